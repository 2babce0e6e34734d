"""From the voxels of a label to a bone's smooth surface, put where the CT shows the cortex to end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, special

from MSKFusionLib.boxes import mask_box
from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import FloatArray, transform_points
from MSKFusionLib.interpolation import sample_volume
from MSKFusionLib.progress import Progress, no_progress
from MSKFusionLib.segmentation.cortical_edge import cortical_edge
from MSKFusionLib.segmentation.labels import Segmentation
from MSKFusionLib.volume import Volume

from .depth_field import DEFAULT_STEP_MM, DepthField, signed_distance
from .surface_band import SurfaceBand

Kept = TypeVar("Kept")
#: How far the grid reaches beyond the bone. Farther points are answered by a bound (see `DepthField.depth_mm`).
DEFAULT_MARGIN_MM = 5.0
#: Smoothing of the staircase of the mask, in voxels of the label grid, along each axis.
_SMOOTHING_VOXELS = 0.7
#: Smoothing of the distances on the label grid: what is left of the staircase. Never so wide that it thins a pedicle.
_DISTANCE_SMOOTHING_VOXELS = 1.1
_DISTANCE_SMOOTHING_MM = 0.9
_LINEAR_LIMIT_MM = 1.2
#: The rim of a label is peeled where the CT is below this: muscle and fluid, and a voxel that is mostly that.
_NO_BONE_HU = 200.0
_PEEL_LAYERS = 2
#: The edge found in the CT is averaged over its neighbourhood (standard deviation of the weights), counts half at such a
#: standard deviation of its own, gives way to the label where less than this share of the profiles shows a cortex, and
#: moves the surface no farther than this.
_EDGE_SMOOTHING_MM = 0.6
_EDGE_SD_MM = 0.15
_LABEL_SHARE = 0.05
_FARTHEST_EDGE_MM = 1.2
#: Another bone is looked for so far outside, in such steps; half a voxel of it is left out.
_OTHER_BONE_MM = np.arange(0.5, 3.01, 0.25)


@dataclass(frozen=True, eq=False)
class SmoothBone:
    """A bone's distances on its label grid, free of the staircase: what depth fields of any step are made from.

    The mask is smoothed by Gaussians of about 0.7 voxels, and its 0.5 level gives distances on the label grid, which are
    smoothed again; both in a way that does not shrink curved surfaces. Their zero level is the surface.

    Parameters
    ----------
    band
        How sure the surface is; None where there was no CT to look at.
    """

    level: NDArray[np.float32]
    origin_ras: FloatArray
    spacing_mm: FloatArray
    directions_ras: FloatArray
    band: SurfaceBand | None = None

    @classmethod
    def of_mask(
        cls, grid: Volume, mask: NDArray[np.bool_], margin_mm: float = DEFAULT_MARGIN_MM, where: str = "mask"
    ) -> SmoothBone:
        """Smooth a boolean mask (K, J, I) on the grid of a volume of any spacing and orientation.

        Raises
        ------
        InputError
            When the mask is empty.
        """
        if not mask.any():
            raise InputError("this structure has no voxels", "Segment it again.", where=where)
        part, origin_ijk = _padded_box(grid, mask, margin_mm)
        smooth_mask = _straightened(_smooth_mask(part, _SMOOTHING_VOXELS))
        spacing_kji = grid.spacing_mm[::-1]
        sigma = smoothing_mm(spacing_kji) / spacing_kji
        level = _smooth_distance(signed_distance(smooth_mask, spacing_kji), sigma)
        return cls(
            level, np.asarray(transform_points(grid.ijk_to_ras, origin_ijk)), grid.spacing_mm, grid.directions_ras
        )

    def field(self, step_mm: float = DEFAULT_STEP_MM, region_ras: ArrayLike | None = None) -> DepthField:
        """Return the depth field, of the whole bone or of the box around some points.

        Every grid point next to the surface has a foot point on it (one Newton step); the depth of any other is the
        distance to the foot point of its nearest such neighbour, by the exact feature transform (Maurer et al. 2003,
        doi 10.1109/TPAMI.2003.1177156). Distances to voxel centres would be off by up to a voxel, and by the same sign
        on both sides of a thin wall.

        Parameters
        ----------
        region_ras
            (N, 3) points, mm. Depths are exact only as far as the box reaches around them: give room.
        """
        if not 0.05 <= step_mm <= 5.0:
            raise GeometryError(f"a depth field cannot have steps of {step_mm} mm")
        length = (np.array(self.level.shape[::-1]) - 1) * self.spacing_mm
        low, high = np.zeros(3), length
        if region_ras is not None:
            local = (np.asarray(region_ras, dtype=np.float64) - self.origin_ras) @ self.directions_ras
            low, high = np.clip(local.min(axis=0), 0, length), np.clip(local.max(axis=0), 0, length)
        size = np.maximum(np.floor((high - low) / step_mm).astype(int) + 1, 3)
        image = sitk.GetImageFromArray(self.level)
        image.SetSpacing(self.spacing_mm.tolist())
        identity = np.eye(3).ravel().tolist()
        # Straight lines between coarse voxels cut curved surfaces short; between fine ones by a few hundredths only.
        coarse = float(self.spacing_mm.max()) > _LINEAR_LIMIT_MM
        fine = sitk.Resample(
            image,
            size.tolist(),
            sitk.Transform(),
            sitk.sitkBSpline if coarse else sitk.sitkLinear,
            low.tolist(),
            [step_mm] * 3,
            identity,
            -100.0,
        )
        depth = signed_distance(sitk.GetArrayFromImage(fine), np.full(3, step_mm))
        return DepthField(depth, self.origin_ras + self.directions_ras @ low, self.directions_ras, step_mm)

    def moved_by_band(self, share: float) -> SmoothBone:
        """Return the bone with its surface moved outward by a share of its band's half width: 1 is the outer surface of the
        band, -1 the inner one, which is bone for all that can be told.

        Raises
        ------
        GeometryError
            When the bone has no band, for want of a CT.
        """
        if self.band is None:
            raise GeometryError("how sure this surface is was not measured", "Give the CT that it was found in.")
        reach_mm = 2 * self.band.half_width_mm.max() + float(self.spacing_mm.max())
        near = np.argwhere(np.abs(self.level) <= reach_mm)
        points = self.origin_ras + (near[:, ::-1] * self.spacing_mm) @ self.directions_ras.T
        width_mm = np.full(self.level.shape, self.band.usual_mm, dtype=np.float32)
        width_mm[tuple(near.T)] = self.band.nearest(points)[1]
        level = signed_distance((self.level + share * width_mm).astype(np.float32), self.spacing_mm[::-1])
        return replace(self, level=level, band=None)

    def surface_points(self) -> tuple[NDArray[np.int64], FloatArray, FloatArray]:
        """Return points spread over the surface: flat indices of `level` next to them, places and outward normals in RAS.

        One for every grid point within half a voxel's diagonal of the surface that has a slope to go by.
        """
        reach = 0.87 * float(self.spacing_mm.max())
        slope = np.stack(list(np.gradient(self.level, *self.spacing_mm[::-1])), axis=-1).reshape(-1, 3)
        steepness = np.linalg.norm(slope, axis=1)
        flat = self.level.ravel()
        at = np.flatnonzero((np.abs(flat) < reach * np.maximum(steepness, 0.3)) & (steepness > 0.3))
        normal = slope[at] / steepness[at, None]
        kji = np.stack(np.unravel_index(at, self.level.shape), axis=-1)
        foot = kji * self.spacing_mm[::-1] - (flat[at] / steepness[at])[:, None] * normal
        points = self.origin_ras + foot[:, ::-1] @ self.directions_ras.T
        return at, points, -normal[:, ::-1] @ self.directions_ras.T


def smooth_bone(segmentation: Segmentation, name: str, ct: Volume | None = None) -> SmoothBone:
    """Return one segment's smooth distances; with a CT, its surface is where the cortex ends in the CT.

    Raises
    ------
    InputError
        When there is no such segment, or it has no voxels.
    """
    mask = segmentation.mask(name)
    if ct is None or not mask.any():
        return SmoothBone.of_mask(segmentation.labels, mask, where=name)
    smooth = SmoothBone.of_mask(segmentation.labels, peel(segmentation.labels, mask, ct), where=name)
    return _on_cortex(smooth, ct, segmentation, name)


def _on_cortex(smooth: SmoothBone, ct: Volume, segmentation: Segmentation, name: str) -> SmoothBone:
    """Move the surface to the cortical edge that the CT shows; where it shows none, as in joints, the label's stays."""
    labels = segmentation.labels
    # Soft tissue that is labelled too has no cortex that could be mistaken for this bone's.
    other_bones = [s.value for s in segmentation.bones if s.name != name]
    at, points, outward = smooth.surface_points()
    places = points[:, None] + _OTHER_BONE_MM[:, None] * outward[:, None]
    ijk = np.rint(transform_points(labels.ras_to_ijk, places.reshape(-1, 3))).astype(int)
    ijk = np.clip(ijk, 0, np.array(labels.shape_ijk) - 1)
    there = labels.voxels[ijk[:, 2], ijk[:, 1], ijk[:, 0]].reshape(len(points), -1)
    other = np.isin(there, other_bones)
    free_mm = np.where(other.any(axis=1), _OTHER_BONE_MM[other.argmax(axis=1)] - 0.5, np.inf)
    edge = cortical_edge(ct, points, outward, free_mm)
    weight = edge.weight / (1.0 + (edge.sd_mm / _EDGE_SD_MM) ** 2)
    shift = np.clip(edge.shift_mm, -_FARTHEST_EDGE_MM, _FARTHEST_EDGE_MM)
    sigma = _EDGE_SMOOTHING_MM / smooth.spacing_mm[::-1]

    def spread(values: FloatArray) -> NDArray[np.float32]:
        image = np.zeros_like(smooth.level)
        image.ravel()[at] = values
        return np.asarray(ndimage.gaussian_filter(image, sigma, truncate=4.0))

    total = spread(weight) + _LABEL_SHARE * spread(np.ones(len(at)))
    # What is moved are true distances: on the smoothed ones a shift of half a millimetre falls short by a tenth.
    level = signed_distance(smooth.level, smooth.spacing_mm[::-1])
    moved_mm = spread(weight * shift) / np.maximum(total, 1e-6)
    return replace(
        smooth,
        level=signed_distance((level + moved_mm).astype(np.float32), smooth.spacing_mm[::-1]),
        band=SurfaceBand.of_fit(points, outward, moved_mm.ravel()[at], edge, ct.spacing_mm),
    )


def peel(grid: Volume, mask: NDArray[np.bool_], ct: Volume) -> NDArray[np.bool_]:
    """Return a mask without the outer voxels (two layers at most) whose CT value is that of soft tissue.

    A label that fills a joint, or lies a voxel too far out, promises bone that is not there. Nothing is ever added, and
    what lies behind a cortex stays, however porous.
    """
    box = mask_box(mask, 1)
    part = mask[box].copy()
    kji = np.argwhere(part & ~ndimage.binary_erosion(part, iterations=_PEEL_LAYERS))
    offset = np.array([s.start for s in box])
    hu = np.full(part.shape, np.inf, dtype=np.float32)
    hu[tuple(kji.T)] = sample_volume(ct, transform_points(grid.ijk_to_ras, (kji + offset)[:, ::-1]))
    for _ in range(_PEEL_LAYERS):
        part &= ~((hu < _NO_BONE_HU) & ~ndimage.binary_erosion(part))
    out = np.zeros_like(mask)
    out[box] = part
    return out


def surface_bands(
    segmentation: Segmentation, ct: Volume, *, progress: Progress = no_progress
) -> dict[str, SurfaceBand]:
    """Return how sure the surface of each bone of a CT is, by its name."""
    bones = [s.name for s in segmentation.bones]
    found = {}
    for n, name in enumerate(bones):
        progress(n / len(bones), f"surface of {name}")
        band = smooth_bone(segmentation, name, ct).band
        if band is not None:
            found[name] = band
    return found


class BoneFields:
    """The smooth surface and the depth field of each bone of a patient, each made once, when it is first asked for."""

    def __init__(self, segmentation: Segmentation, ct: Volume | None = None) -> None:
        self.segmentation = segmentation
        self.ct = ct
        self._smooth: dict[str, SmoothBone] = {}
        self._depth: dict[str, DepthField] = {}
        self._kept: dict[tuple[str, str], Any] = {}

    def kept(self, key: tuple[str, str], make: Callable[[], Kept]) -> Kept:
        """Return what was made of these bones under a key (what, which bone), made when it is first asked for."""
        if key not in self._kept:
            self._kept[key] = make()
        return cast(Kept, self._kept[key])

    @property
    def made(self) -> dict[tuple[str, Any], Any]:
        """What has been made so far, by what it is: enough for `take` of another one of the same bones."""
        kinds = (("smooth", self._smooth), ("depth", self._depth), ("kept", self._kept))
        return {(kind, key): value for kind, found in kinds for key, value in found.items()}

    def take(self, made: Mapping[tuple[str, Any], Any]) -> None:
        """Take what another one of the same bones has made; what is there already stays."""
        into: dict[str, dict[Any, Any]] = {"smooth": self._smooth, "depth": self._depth, "kept": self._kept}
        for (kind, key), value in made.items():
            into[kind].setdefault(key, value)

    def smooth(self, name: str) -> SmoothBone:
        """Return a bone's smooth distances; see `smooth_bone`."""
        if name not in self._smooth:
            self._smooth[name] = smooth_bone(self.segmentation, name, self.ct)
        return self._smooth[name]

    def depth(self, name: str) -> DepthField:
        """Return the depth field of a whole bone."""
        if name not in self._depth:
            self._depth[name] = self.smooth(name).field()
        return self._depth[name]


def smoothing_mm(spacing_mm: FloatArray) -> FloatArray:
    """Return how wide (standard deviation, mm) the distances of a label are smoothed along axes of such spacings."""
    return np.minimum(_DISTANCE_SMOOTHING_VOXELS * spacing_mm, _DISTANCE_SMOOTHING_MM)


def depth_field_of_mask(grid: Volume, mask: NDArray[np.bool_], *, step_mm: float = DEFAULT_STEP_MM) -> DepthField:
    """Return the depth field of a boolean mask (K, J, I) on the grid of a volume of any spacing and orientation."""
    return SmoothBone.of_mask(grid, mask).field(step_mm)


def _padded_box(grid: Volume, mask: NDArray[np.bool_], margin_mm: float) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Return the mask in a box around the structure as float32, and the box's first voxel (i, j, k)."""
    box = mask_box(mask)
    pad = np.ceil(margin_mm / grid.spacing_mm[::-1]).astype(int) + 1
    # Zeros are added where the box leaves the image, so that every field is closed.
    part = np.pad(mask[box].astype(np.float32), [(p, p) for p in pad])
    return part, np.array([s.start - p for s, p in zip(box, pad, strict=True)])[::-1]


def _smooth_mask(mask: NDArray[np.float32], sigma_voxels: float) -> NDArray[np.float32]:
    """Smooth a mask so that its 0.5 level stays where the surface is, also where the surface is curved.

    On a surface of curvature k the Gaussian of a mask is below 0.5 by an amount in proportion to k and to the width.
    The mixture of two widths, one the square root of two times the other, that takes it back is used.
    """
    root = np.sqrt(2.0)
    once = ndimage.gaussian_filter(mask, sigma_voxels, truncate=4)
    twice = ndimage.gaussian_filter(once, sigma_voxels, truncate=4)
    return np.asarray((root * once - twice) / (root - 1.0), dtype=np.float32)


def _straightened(smooth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return values that rise in proportion to the distance from a plane surface, 0 at 0.5, from a smoothed mask.

    A smoothed edge is steep in its middle and flat beside it: distances taken from its values as they are would be too
    large by up to a quarter of a millimetre.
    """
    x = np.linspace(-1.6, 1.6, 129)  # in widths of the Gaussian; farther out the mixture overshoots
    root = np.sqrt(2.0)
    edge = (root * special.ndtr(x) - special.ndtr(x / root)) / (root - 1.0)
    return np.interp(smooth, edge, x).astype(np.float32)


def _smooth_distance(values: NDArray[np.float32], sigma_voxels: FloatArray) -> NDArray[np.float32]:
    """Smooth distances: of them, 2G - GG of a Gaussian G is free of the shift by curvature."""
    once = ndimage.gaussian_filter(values, sigma_voxels, truncate=4)
    return np.asarray(2 * once - ndimage.gaussian_filter(once, sigma_voxels, truncate=4), dtype=np.float32)
