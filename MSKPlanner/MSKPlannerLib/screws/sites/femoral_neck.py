"""Three parallel screws in a femoral neck, in an inverted triangle as wide as its cortex allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import FloatArray, rigid, transform_points, unit
from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.segmentation.labels import Segmentation
from MSKFusionLib.volume import Volume

from ...anatomy.pelvic_bones import label_hole
from ...anatomy.proximal_femur import ProximalFemur, proximal_femur
from ...bone.depth_field import DepthField
from ...bone.joined import joined_field
from ...bone.region import Region
from ...bone.smooth_bone import SmoothBone
from ...bone.surface import surface_of_depth
from ...plan import Screw
from ..candidate_lines import Choice
from ..error_budget import ErrorBudget
from ..parallel import Triangle, TriangleProblem, widest_triangle
from ..safety import assess_screw, cylinder_points, screw_surface
from .describe import Place, described_choice, direction_name
from .description import NECK_FAMILY, Site

#: Of the surface that the frame is found on, and of the map that is planned in, mm.
_SURFACE_STEP_MM, _MAP_STEP_MM = (1.2, 1.7), 0.7
#: The part of the bone that is looked at, from its top, mm.
_TOP_MM = 200.0
#: Lines are followed so far from the middle of the neck.
_BACK_MM, _AHEAD_MM = 95.0, 60.0
#: An entry faces lateral to within 60 degrees.
_LEAST_LATERAL = 0.5
#: Denser than any bone, and so much of it that it is no tooth of noise.
_METAL_HU, _METAL_MM3, _METAL_AROUND_MM, _HIP_MM = 2500.0, 300.0, 8.0, 120.0
#: The neck is where its cortex is measured: so far to either side of its narrowest section.
_NECK_HALF_MM = 6.0
_TIP_TOLERANCE_MM = 0.5
#: So far above its lowest end a bone that meets the image's border is cut elsewhere than through its shaft.
_SHAFT_END_MM = 25.0
#: So much less than wished may be measured on a surface.
_SHORT_MM = 0.08
_NAMES = ("inferior", "anterior", "posterior")


@dataclass(frozen=True, eq=False)
class Hip:
    """One proximal femur, ready to be planned in.

    Parameters
    ----------
    name
        Its segment.
    solid
        Depth in it.
    """

    name: str
    frame: ProximalFemur
    solid: DepthField


def femur_segment(segmentation: Segmentation, side: str) -> str:
    """Return the name of the segment that is the femur of a side, whoever named it.

    Raises
    ------
    InputError
        When there is none, or it is in fragments.
    """
    found = []
    for segment in segmentation.segments:
        words = segment.name.lower().replace("_", " ").replace(",", " ").split()
        if "femur" in words and side in words:
            found.append((segment.name, "fragment" in words))
    whole = [called for called, broken in found if not broken]
    if len(found) > len(whole):
        raise InputError(
            f"the {side} femur is in {len(found)} fragments",
            "Reduce them first and plan on the one bone that they make.",
            where="femoral neck",
        )
    if len(whole) != 1:
        known = ", ".join(s.name for s in segmentation.segments)
        missing = f"there is no segment '{side} femur'" if not whole else f"there are several {side} femora"
        raise InputError(missing, f"There are: {known}.", where="femoral neck")
    return whole[0]


def hip_of(
    segmentation: Segmentation, side: str, placed: Mapping[str, FloatArray] | None = None, ct: Volume | None = None
) -> Hip:
    """Find the frame of a hip and map the bone about its neck.

    Raises
    ------
    InputError, GeometryError
        When the bone is missing, cut, in pieces, holds metal, or does not look like a femur; see `proximal_femur`.
    """
    if side not in ("left", "right"):
        raise InputError(f"'{side}' is no side", "Give left or right.", where="femoral neck")
    name = femur_segment(segmentation, side)
    grid, mask = _top_of(segmentation, name)
    if ct is not None:
        _no_metal(ct, grid, mask, name)
    step_mm = float(np.clip(grid.spacing_mm.max(), *_SURFACE_STEP_MM))
    surface = surface_of_depth(SmoothBone.of_mask(grid, mask, where=name).field(step_mm))
    border = _border_ras(segmentation, name)
    try:
        frame = proximal_femur(surface, side, placed, where=name)
    except GeometryError:
        # A bone that is cut looks like anything; that it is cut is what helps. Its shaft may be.
        if len(border) and float(border[:, 2].max()) > float(surface.bounds_ras[0, 2]) + _SHAFT_END_MM:
            raise _cut(name) from None
        raise
    if len(border) and (frame.above_lesser_trochanter_mm(border) > -5.0).any():
        raise _cut(name)
    half = 26.0 + 8.0
    axis = frame.neck_axis_ras
    up = unit(frame.up_ras - (frame.up_ras @ axis) * axis)
    box = rigid(np.stack([np.cross(up, axis), up, axis], axis=1), frame.neck_centre_ras)
    lower = np.array([-half, -half - 14.0, -_BACK_MM])
    region = Region(box, lower, np.array([half, half + 14.0, _AHEAD_MM]))
    return Hip(name, frame, joined_field(segmentation, [name], region, step_mm=_MAP_STEP_MM))


def triangle_problem(site: Site, hip: Hip) -> TriangleProblem:
    """Return where the three screws of a hip may lie by its site's page of data."""
    frame, axis = hip.frame, hip.frame.neck_axis_ras
    up = unit(frame.up_ras - (frame.up_ras @ axis) * axis)
    anterior = frame.anterior_ras - (frame.anterior_ras @ axis) * axis
    anterior = unit(anterior - (anterior @ up) * up)
    return TriangleProblem(
        field=hip.solid,
        middle_ras=frame.neck_centre_ras,
        axes_ras=np.stack([anterior, up, axis], axis=1),
        half_mm=max(site.start_half_mm),
        turn_deg=np.array([site.anterior_deg, site.cranial_deg]),
        back_mm=_BACK_MM,
        ahead_mm=_AHEAD_MM,
        lowest_ras=frame.lesser_trochanter_ras,
        up_ras=frame.up_ras,
        lateral_ras=frame.lateral_ras,
        least_lateral=_LEAST_LATERAL,
        head_ras=frame.head.centre_ras,
        head_radius_mm=frame.head.radius_mm,
        tip_margin_mm=site.tip_margin_mm,
        clearance_mm=site.clearance_mm,
        least_apart_mm=site.least_apart_mm,
        most_tilt_deg=site.most_tilt_deg,
    )


def plan_femoral_neck(
    site: Site,
    segmentation: Segmentation,
    side: str,
    *,
    placed: Mapping[str, FloatArray] | None = None,
    ct: Volume | None = None,
    budget: ErrorBudget | None = None,
) -> list[Screw] | str:
    """Plan the three screws of one hip: the thickest of the table of which three fit, spread as wide as they can be.

    Parameters
    ----------
    placed
        Landmarks that the user placed (`anatomy.proximal_femur.LANDMARKS`), RAS mm.
    ct
        For densities and metal, in HU.

    Returns
    -------
    The screws (inferior, anterior, posterior), or why there are none.

    Raises
    ------
    InputError, GeometryError
        When the bone does not show what is needed.
    """
    if site.family != NECK_FAMILY:
        raise InputError(f"'{site.family}' is not planned in a femoral neck", where=site.name)
    hip = hip_of(segmentation, side, placed, ct)
    problem = triangle_problem(site, hip)
    hole = label_hole(segmentation, hip.name)
    lengths = np.array(site.lengths_mm)
    for diameter in reversed(site.diameters_mm):
        triangle = _held(problem, diameter, lengths)
        if triangle is not None:
            return _described(triangle, site, hip, side, ct, budget, hole)
    width = 2 * float(hip.solid.depth_mm(hip.frame.neck_centre_ras))
    refusal = (
        f"no three parallel screws of {site.diameters_mm[0]:g} mm were found, {site.least_apart_mm:g} mm apart with "
        f"{site.clearance_mm:g} mm of bone round each, entering above the lesser trochanter and ending {site.tip_margin_mm:g} mm under "
        f"the head's surface; the neck is {width:.1f} mm wide in its middle"
    )
    return f"{refusal}; {hole}" if hole else refusal


def _held(problem: TriangleProblem, diameter_mm: float, lengths_mm: np.ndarray) -> Triangle | None:
    """Return the widest triangle whose screws have the wished clearance when they are measured on their surface.

    The search goes by the axes, and a surface may have some hundredths less: it is then asked for that much more.
    """
    wished = problem.clearance_mm
    for _ in range(3):
        triangle = widest_triangle(problem, diameter_mm, lengths_mm)
        if triangle is None:
            return None
        ends = zip(triangle.entries_ras, triangle.tips_ras, strict=True)
        least = min(assess_screw(problem.field.depth_mm, e, t, diameter_mm).clearance_mm for e, t in ends)
        if least >= wished - _SHORT_MM:
            return triangle
        problem = replace(problem, clearance_mm=problem.clearance_mm + wished - least)
    return None


def _described(
    triangle: Triangle,
    site: Site,
    hip: Hip,
    side: str,
    ct: Volume | None,
    budget: ErrorBudget | None,
    hole: str,
) -> list[Screw]:
    frame = hip.frame
    apart = triangle.apart_mm
    spread = (
        f"parallel screws, axes {apart[0]:.1f} (inferior to anterior), {apart[1]:.1f} (inferior to posterior) and {apart[2]:.1f} mm "
        f"(anterior to posterior) apart"
    )
    angle = f"{np.degrees(np.arccos(-triangle.direction_ras @ frame.up_ras)):.0f} degrees to the shaft (the neck: {frame.neck_shaft_deg:.0f})"
    thread = "the plan does not know the fracture: all of the thread has to lie in the head's fragment"
    screws = []
    for n, name in enumerate(_NAMES):
        entry, tip = triangle.entries_ras[n], triangle.tips_ras[n]
        choice = Choice(entry, tip, triangle.diameter_mm, float(triangle.lengths_mm[n]))
        cortex_mm, way = _from_neck_cortex(hip, choice, side)
        tip_mm = _tip_depth_mm(hip.solid, choice)
        above_mm = float(frame.above_lesser_trochanter_mm(entry))
        notes = [
            f"{cortex_mm:.1f} mm from the neck's cortex ({way})",
            f"its tip ends {tip_mm:.1f} mm under the head's surface",
            f"enters {above_mm:.0f} mm above the level of the lesser trochanter",
            spread,
            angle,
            thread,
        ]
        if hole:
            notes.append(hole)
        if frame.placed:
            notes.append(f"placed by the user: {', '.join(frame.placed)}")
        place = Place(f"{site.title.split(',')[0]} {side} {name}", hip.name, side, frame.axes_ras)
        screw = described_choice(choice, hip.solid, site, place, ct, budget, notes)
        if tip_mm < site.tip_margin_mm - _TIP_TOLERANCE_MM:
            reason = f"its tip ends {tip_mm:.1f} mm under the head's surface, {site.tip_margin_mm:g} are wished"
            screw = replace(screw, verdict=Verdict.REJECTED, reasons=(*screw.reasons, reason))
        screws.append(screw)
    return screws


def _from_neck_cortex(hip: Hip, choice: Choice, side: str) -> tuple[float, str]:
    """Return the least distance of a screw's surface from the outside of the neck, and which way that is."""
    frame = hip.frame
    surface = screw_surface(hip.solid.depth_mm, choice.entry_ras, choice.tip_ras, choice.diameter_mm)
    along = (surface.points_ras - frame.neck_centre_ras) @ frame.neck_axis_ras
    inside = np.flatnonzero(np.abs(along) <= _NECK_HALF_MM)
    nearest = int(inside[surface.depths_mm[inside].argmin()])
    arm = surface.points_ras[nearest] - choice.entry_ras
    across = arm - (arm @ surface.axis_ras) * surface.axis_ras
    return float(surface.depths_mm[nearest]), direction_name(across, frame.axes_ras, side)


def _tip_depth_mm(solid: DepthField, choice: Choice) -> float:
    """Return the least depth of the tip's disc."""
    axis = unit(choice.tip_ras - choice.entry_ras)
    points, count = cylinder_points(choice.length_mm, choice.diameter_mm, choice.length_mm - 1e-3)
    u = unit(np.cross(axis, [1.0, 0, 0] if abs(axis[0]) < 0.8 else [0, 1.0, 0]))
    turned = choice.entry_ras + points @ np.stack([u, np.cross(axis, u), axis])
    return float(solid.depth_mm(turned).min()) if count else float(solid.depth_mm(choice.tip_ras))


def _top_of(segmentation: Segmentation, name: str) -> tuple[Volume, np.ndarray]:
    """Return the upper part of a bone's label and its mask."""
    labels = segmentation.labels
    kji = np.argwhere(segmentation.mask(name))
    if not len(kji):
        raise InputError("this segment has no voxels", "Segment it again.", where=name)
    height = transform_points(labels.ijk_to_ras, kji[:, ::-1])[:, 2]
    kept = kji[height > height.max() - _TOP_MM]
    low, high = kept.min(axis=0)[::-1], kept.max(axis=0)[::-1] + 1
    part = labels.cropped(low, high)
    return part, part.voxels == segmentation[name].value


def _border_ras(segmentation: Segmentation, name: str) -> FloatArray:
    """Return where (N, 3) a bone's label meets the image's border."""
    mask = segmentation.mask(name)
    border = np.zeros_like(mask)
    for axis in range(3):
        for end in (0, -1):
            at: list[slice | int] = [slice(None)] * 3
            at[axis] = end
            border[tuple(at)] = mask[tuple(at)]
    return np.asarray(transform_points(segmentation.labels.ijk_to_ras, np.argwhere(border)[:, ::-1]))


def _cut(name: str) -> GeometryError:
    return GeometryError(
        "the image's border cuts the femur at its head, neck or trochanters", "Take a wider image.", where=name
    )


def _no_metal(ct: Volume, grid: Volume, mask: np.ndarray, name: str) -> None:
    """Refuse a hip with an implant in it or beside it."""
    ras = transform_points(grid.ijk_to_ras, np.argwhere(mask)[:, ::-1])
    hip = ras[ras[:, 2] > ras[:, 2].max() - _HIP_MM]
    box = np.array([hip.min(axis=0) - _METAL_AROUND_MM, hip.max(axis=0) + _METAL_AROUND_MM])
    corners = np.array([[box[a, 0], box[b, 1], box[c, 2]] for a in (0, 1) for b in (0, 1) for c in (0, 1)])
    ijk = transform_points(ct.ras_to_ijk, corners)
    last = np.array(ct.shape_ijk)
    low = np.clip(np.floor(ijk.min(axis=0)).astype(int), 0, last - 1)
    part = ct.cropped(low, np.clip(np.ceil(ijk.max(axis=0)).astype(int) + 1, low + 1, last))
    mm3 = float(np.count_nonzero(part.voxels > _METAL_HU)) * part.voxel_mm3
    if mm3 > _METAL_MM3:
        raise GeometryError(
            f"there are {mm3 / 1000:.1f} cm3 denser than {_METAL_HU:.0f} HU about the hip: metal",
            "The label of a bone beside metal is not sure enough for screws.",
            where=name,
        )
