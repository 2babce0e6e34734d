"""A vertebra made ready for screws: its frame, its fields and what lies about it, made once and used by every screw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from MSKFusionLib.distance_map import signed_distance_mm
from MSKFusionLib.errors import GeometryError
from MSKFusionLib.frames import FloatArray, transform_points
from MSKFusionLib.interpolation import interpolate
from MSKFusionLib.segmentation.labels import Segmentation
from MSKFusionLib.volume import Volume

from ..anatomy.vertebra import VertebraFrame, require_complete, vertebra_frame
from ..bone.depth_field import DepthField
from ..bone.smooth_bone import BoneFields, SmoothBone
from ..bone.surface_band import SurfaceBand
from ..bone.terraces import sure_bone
from .candidate_lines import DistanceFunction
from .describe import PedicleSide
from .structures import StructureMaps

_SIDES = ("left", "right")


@dataclass(frozen=True, eq=False)
class PreparedLevel:
    """What the screws of one vertebra are planned in and measured against. Made by `prepare_level`.

    Parameters
    ----------
    coarse, fine
        Depth in the whole bone, and in the part of it where screws run.
    neighbours
        Distance from the other vertebrae; None where there are none.
    band
        How sure the bone's surface is; None without a CT.
    taken_off_mm
        Without a CT the fine field's surface lies this much farther in, at most, where the label does not tell it.
    """

    level: str
    ct: Volume | None
    segmentation: Segmentation
    frame: VertebraFrame
    coarse: DepthField
    fine: DepthField
    neighbours: DistanceFunction | None
    band: SurfaceBand | None = None
    taken_off_mm: float = 0.0

    def side(self, side: str) -> PedicleSide:
        """Return one pedicle with the bone about it.

        Raises
        ------
        GeometryError
            When this side has no pedicle.
        """
        if side not in self._sides:
            has = " and ".join(self._sides)
            raise GeometryError(f"there is no {side or 'such'} pedicle", f"There is: {has}.", where=self.level)
        return self._sides[side]

    @cached_property
    def structures(self) -> StructureMaps:
        """Distances from the structures at risk, where screws run."""
        return StructureMaps.around(self.segmentation, _corners_ras(self.fine))

    @cached_property
    def _sides(self) -> Mapping[str, PedicleSide]:
        found = [side for side in _SIDES if side in self.frame.pedicles]
        return {
            side: PedicleSide(self.ct, self.level, side, self.frame, self.fine, self.band, self.taken_off_mm)
            for side in found
        }


@dataclass(frozen=True, eq=False)
class _DistanceMap:
    """Distances on a grid as a function of places; no closure, because a level that was made ready goes to other processes."""

    distance_mm: NDArray[np.float32]
    ras_to_ijk: FloatArray

    def __call__(self, points_ras: FloatArray) -> FloatArray:
        """Return the distance (N,) in mm of points (N, 3)."""
        return np.asarray(interpolate(self.distance_mm, transform_points(self.ras_to_ijk, points_ras)))


def prepare_level(bones: BoneFields, level: str) -> PreparedLevel:
    """Return a vertebra made ready; the second call for the same bones and level costs nothing.

    Raises
    ------
    InputError
        When there is no such vertebra, or it is not wholly in view.
    GeometryError
        When the vertebra's frame or its pedicles cannot be found.
    """
    return bones.kept(("screws", level), lambda: _prepared(bones, level))


def _prepared(bones: BoneFields, level: str) -> PreparedLevel:
    require_complete(bones.segmentation, level)
    smooth = bones.smooth(level)
    coarse = smooth.field(1.0)
    frame = vertebra_frame(bones.segmentation, level, depth=coarse)
    if not frame.pedicles:
        raise GeometryError("; ".join(frame.reasons), "Check the segmentation of this vertebra.", where=level)
    sure, taken_off_mm = (smooth, 0.0) if bones.ct is not None else sure_bone(smooth)
    fine = _screw_region(sure, frame)
    neighbours = _neighbours(bones.segmentation, level, frame)
    return PreparedLevel(
        level, bones.ct, bones.segmentation, frame, coarse, fine, neighbours, smooth.band, taken_off_mm
    )


def _corners_ras(field: DepthField) -> FloatArray:
    last = np.array(field.shape_ijk) - 1.0
    box = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * last
    return transform_points(field.ijk_to_ras, box)


def _screw_region(smooth: SmoothBone, frame: VertebraFrame) -> DepthField:
    """Return the fine field of the part of a vertebra where screws run: body, pedicles and the arch behind them."""
    places = np.array([frame.to_frame(p.centre_ras) for p in frame.pedicles.values()])
    side = max(np.abs(places[:, 0]).max() + 18.0, frame.body_width_mm / 2 + 4.0)
    low = [-side, places[:, 1].min() - 32.0, -frame.body_height_mm / 2 - 6.0]
    high = [side, frame.body_depth_mm / 2 + 6.0, frame.body_height_mm / 2 + 12.0]
    corners = np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
    return smooth.field(region_ras=frame.to_ras(corners))


def _neighbours(segmentation: Segmentation, level: str, frame: VertebraFrame) -> DistanceFunction | None:
    """Return the distance from every other vertebra and the sacrum, within the region of the screws and their approach."""
    values = [s.value for s in segmentation.segments if s.kind in ("vertebra", "sacrum") and s.name != level]
    reach = np.array([0.5 * frame.body_width_mm + 25.0, 70.0, 45.0])
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 0.6) for z in (-1, 1)]) * reach
    ijk = transform_points(segmentation.labels.ras_to_ijk, frame.to_ras(corners))
    part = segmentation.labels.cropped(np.floor(ijk.min(axis=0)), np.ceil(ijk.max(axis=0)) + 1)
    other = np.isin(part.voxels, values)
    if not other.any():
        return None
    return _DistanceMap(signed_distance_mm(other, part.spacing_mm[::-1]), part.ras_to_ijk)
