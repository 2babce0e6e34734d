"""Screws through the hip bone into or through the sacrum: their bones, the region they run in, the lines they may take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import FloatArray, transform_points
from MSKFusionLib.interpolation import interpolate
from MSKFusionLib.segmentation.labels import Segmentation

from ...anatomy.pelvis import HIPS, SACRUM, SacralFrame, displacement_mm
from ...bone.depth_field import DepthField
from ...bone.joined import joined_field, kept_away
from ...bone.region import Region
from ..corridor import LineFamily
from .description import SACRAL_FAMILIES, Site

#: Room of the map beyond the lines in it.
_ROOM_MM = 9.0
#: Where the outer wall of the hip bone is looked for, from the foramina outwards.
_FARTHEST_WALL_MM = 110.0
#: Reduced to 4 mm and less is called excellent (Matta and Tornetta 1996, Clin Orthop 329:129); natural asymmetry comes on top.
MOST_DISPLACED_MM = 5.0
#: Labels of structures that are kept away from, where a segmentation has them.
_NERVES = ("spinal_canal", "sacral_canal", "sacral_foramina", "nerve_roots")
_SIGNS = {"left": -1.0, "right": 1.0}


@dataclass(frozen=True, eq=False)
class Problem:
    """What a corridor is searched in.

    Parameters
    ----------
    solid
        Depth in the bones and in the joints that may be crossed.
    field
        The same, with nerves kept away from: what the search uses.
    """

    solid: DepthField
    field: DepthField
    family: LineFamily


@dataclass(frozen=True, eq=False)
class SacralAnatomy:
    """Frame and depth about the upper sacrum, made once and used by all its sites.

    Parameters
    ----------
    solid
        Depth in sacrum, hip bones and sacroiliac joints.
    from_nerves
        Distance from canal and foramina on the same grid, positive outside them.
    walls_mm
        Distance of the outer wall of each hip bone from the midline, beside the S1 and the S2 body.
    """

    frame: SacralFrame
    solid: DepthField
    from_nerves: DepthField
    walls_mm: dict[str, tuple[float, float]]


def sacral_anatomy(
    segmentation: Segmentation,
    frame: SacralFrame,
    *,
    joint_gap_mm: float = 5.0,
    step_mm: float = 0.7,
    most_displaced_mm: float = MOST_DISPLACED_MM,
) -> SacralAnatomy:
    """Map the upper sacrum and the hip bones beside it.

    Parameters
    ----------
    most_displaced_mm
        A pelvis whose bones are farther from each other's mirror images is refused: its screws would hold the displacement.

    Raises
    ------
    GeometryError
        When no hip bone lies beside the sacrum, or the bones are displaced against each other.
    """
    displaced_mm = displacement_mm(segmentation)
    if displaced_mm > most_displaced_mm:
        raise GeometryError(
            f"the bones of this pelvis are displaced by {displaced_mm:.0f} mm against each other's mirror images",
            f"Plan on the reduced pelvis; more than {most_displaced_mm:g} mm has to be allowed on purpose.",
            where="pelvis",
        )
    walls = {side: (_wall_mm(segmentation, frame, side, 1), _wall_mm(segmentation, frame, side, 2)) for side in HIPS}
    bodies = np.stack([frame.body_middle(level) for level in (1, 2)])
    x = max(max(w) for w in walls.values()) + 4.0
    # The iliosacral screw may start lower and farther back than the body that it is for.
    lower = np.array([-x, bodies[:, 1].min() - 20.0 - _ROOM_MM, bodies[1, 2] - 12.0 - _ROOM_MM])
    upper = np.array([x, bodies[:, 1].max() + 16.0 + _ROOM_MM, bodies[0, 2] + 16.0 + _ROOM_MM])
    region = Region(frame.frame_to_ras, lower, upper)
    joints = [(SACRUM, hip) for hip in HIPS.values()]
    solid = joined_field(
        segmentation, [SACRUM, *HIPS.values()], region, joints=joints, joint_gap_mm=joint_gap_mm, step_mm=step_mm
    )
    return SacralAnatomy(frame, solid, _from_nerves(segmentation, frame, region, step_mm), walls)


def sacral_problem(site: Site, side: str, anatomy: SacralAnatomy) -> Problem:
    """Return field and lines of one site; for a trans-sacral screw `side` says where it enters.

    Raises
    ------
    InputError
        When the side is neither left nor right, or the site is not one of the sacrum's.
    """
    if site.family not in SACRAL_FAMILIES:
        raise InputError(f"'{site.family}' is not planned from the sacrum", "Use plan_free.", where=site.name)
    if side not in _SIGNS:
        raise InputError(f"'{side}' is no side", "Give left or right.", where=site.name)
    frame, sign = anatomy.frame, _SIGNS[side]
    other = "right" if side == "left" else "left"
    middle = frame.body_middle(site.level)
    start, end = middle.copy(), middle.copy()
    start[0] = sign * (anatomy.walls_mm[side][site.level - 1] - site.start_inside_mm)
    if site.family == "trans_sacral":
        end[0] = -sign * (anatomy.walls_mm[other][site.level - 1] - site.start_inside_mm)
    else:
        end[0] = -sign * site.past_midline_mm
        # It comes from behind and from below.
        lean = np.radians([np.mean(site.anterior_deg), np.mean(site.cranial_deg)])
        start[1:] -= np.tan(lean) * abs(end[0] - start[0]) * 0.5
    across = abs(float(end[0] - start[0]))
    u_shift, v_shift = (
        (across * float(np.tan(np.radians(a))), across * float(np.tan(np.radians(b))))
        for a, b in (site.anterior_deg, site.cranial_deg)
    )
    axes = frame.axes_ras
    family = LineFamily(
        transform_points(frame.frame_to_ras, start),
        transform_points(frame.frame_to_ras, end),
        axes[:, 1],
        axes[:, 2],
        site.start_half_mm,
        site.end_half_mm,
        u_shift,
        v_shift,
    )
    extra = site.nerve_distance_mm - site.clearance_mm
    return Problem(anatomy.solid, kept_away(anatomy.solid, anatomy.from_nerves, extra), family)


def _wall_mm(segmentation: Segmentation, frame: SacralFrame, side: str, level: int) -> float:
    """Return how far from the midline the hip bone's outer wall is beside a body."""
    start = float(np.mean([abs(f[0][0]) for f in frame.foramina.values()]))
    x = np.arange(start, _FARTHEST_WALL_MM, 0.5)
    middle = frame.body_middle(level)
    line = np.stack([_SIGNS[side] * x, np.full_like(x, middle[1]), np.full_like(x, middle[2])], axis=-1)
    labels = segmentation.labels
    ijk = np.rint(transform_points(labels.ras_to_ijk, transform_points(frame.frame_to_ras, line))).astype(int)
    inside = np.all((ijk >= 0) & (ijk < np.array(labels.shape_ijk)), axis=1)
    i, j, k = np.clip(ijk, 0, np.array(labels.shape_ijk) - 1).T
    hip = inside & (labels.voxels[k, j, i] == segmentation[HIPS[side]].value)
    if not hip.any():
        raise GeometryError(
            f"there is no hip bone to the {side} of the S{level} body",
            "Check the labels and the field of view.",
            where="pelvis",
        )
    if not inside.all() and int(np.flatnonzero(hip)[-1]) >= int(np.flatnonzero(inside)[-1]) - 2:
        raise GeometryError(
            f"the field of view cuts the {side} hip bone", "Take a CT of the whole pelvis.", where="pelvis"
        )
    return float(x[np.flatnonzero(hip)[-1]])


def _from_nerves(segmentation: Segmentation, frame: SacralFrame, region: Region, step_mm: float) -> DepthField:
    """Return the distance from canal and foramina: the label's gaps, and the structures that were labelled."""
    nodes = region.nodes_ras(step_mm)
    to_gaps = np.linalg.inv(frame.gaps_ijk_to_ras)
    smooth = ndimage.gaussian_filter(frame.gaps.astype(np.float32), 0.7)
    inside = interpolate(smooth, transform_points(to_gaps, nodes)) > 0.5
    labels = segmentation.labels
    names = [s.name for s in segmentation.segments if s.name in _NERVES]
    if names:
        ijk = np.rint(transform_points(labels.ras_to_ijk, nodes)).astype(int)
        valid = np.all((ijk >= 0) & (ijk < np.array(labels.shape_ijk)), axis=-1)
        i, j, k = np.moveaxis(np.clip(ijk, 0, np.array(labels.shape_ijk) - 1), -1, 0)
        inside |= valid & np.isin(labels.voxels[k, j, i], [segmentation[n].value for n in names])
    image = sitk.GetImageFromArray(inside.astype(np.uint8))
    image.SetSpacing([step_mm] * 3)
    distance = sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    # It is measured to the middles of the outermost grid points inside; the surface is half a step nearer.
    return region.field(sitk.GetArrayFromImage(distance).astype(np.float32) - np.float32(0.5 * step_mm), step_mm)


def frame_direction_deg(frame: SacralFrame, start_ras: FloatArray, end_ras: FloatArray) -> tuple[float, float]:
    """Return how far a line is inclined towards anterior and towards cranial from the transverse axis, in degrees."""
    d = frame.axes_ras.T @ (np.asarray(end_ras) - np.asarray(start_ras))
    return float(np.degrees(np.arctan2(d[1], abs(d[0])))), float(np.degrees(np.arctan2(d[2], abs(d[0]))))
