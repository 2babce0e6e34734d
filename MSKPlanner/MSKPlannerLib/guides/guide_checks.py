"""Whether a drill guide does what it is for: measured on the finished mesh, not taken from its construction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from MSKFusionLib.frames import FloatArray, perpendicular_axes

from ..mesh import Mesh
from ..plan import Check
from .checks import check_mesh, point
from .cut_options import CuttingGuideOptions
from .field import Distance
from .fit import Fit
from .mesh_distance import MeshDistance
from .options import GuideOptions
from .presets import load_printer
from .skin_options import SkinFrameOptions
from .sleeve import Sleeve
from .solid import overlap_mm3

#: Bars of a guide (issue 2): overlap with bone, deviation of the gap, and what a sleeve may be off its axis.
OVERLAP_MM3 = 0.1
GAP_ERROR_MM = 0.15
AXIS_ERROR_MM = 0.01
#: A guide that touches less than this rocks.
CONTACT_MM2 = 120.0
#: Taken off in such steps up to here, a mm a step beyond, and how far above its limit a distance is still wanted.
STEP_MM, _FINE_MM, _FAR_MM, _LOOK_MM = 0.1, 6.0, 40.0, 0.1


@dataclass(frozen=True, eq=False)
class Bones:
    """What a guide is checked against: distances to its bone and to the neighbours, and the bone's surface if there."""

    bone: Distance
    neighbours: Sequence[Distance]
    surface: Mesh | None


def check_guide(
    guide: Mesh,
    without_letters: Mesh,
    sleeves: Sequence[Sleeve],
    fit: Fit,
    options: GuideOptions,
    outward_ras: FloatArray,
    bones: Bones,
) -> tuple[tuple[Check, ...], float]:
    """Return all checks of a guide, and its least wall in mm (letters left out)."""
    checks, wall = seated_checks(guide, without_letters, fit, options, outward_ras, bones, way_off=way_off_check)
    if not guide.is_closed:
        return tuple(checks), wall
    body = MeshDistance(guide)
    for sleeve in sleeves:
        checks += bore_checks(guide, body, sleeve, bones, options.drill_diameter_mm)
    return tuple(checks), wall


def seated_checks(
    guide: Mesh,
    without_letters: Mesh,
    fit: Fit,
    options: GuideOptions | CuttingGuideOptions | SkinFrameOptions,
    outward_ras: FloatArray,
    bones: Bones,
    *,
    way_off: Callable[[Mesh, Distance, Fit, FloatArray], Check],
) -> tuple[list[Check], float]:
    """Return what is checked of a guide of any kind, and its least wall in mm: the mesh alone where it is not closed.

    Parameters
    ----------
    way_off
        How this kind is taken off its bone.
    """
    printer = load_printer(options.printer)
    checks = list(check_mesh(guide, printer, wall_of=without_letters))
    wall = next((c.value for c in checks if c.name == "minimum wall" and c.value is not None), float("nan"))
    if not guide.is_closed:
        return checks, wall
    checks.append(lettering_check(options.text_stroke_mm, printer.min_wall_mm))
    checks.append(overlap_check(guide, bones.surface, fit))
    checks += gap_checks(fit)
    checks.append(way_off(guide, bones.bone, fit, outward_ras))
    if bones.neighbours:
        checks.append(neighbour_check(guide, bones.neighbours, options.neighbour_clearance_mm, outward_ras))
    return checks, wall


def bore_checks(guide: Mesh, body: MeshDistance, sleeve: Sleeve, bones: Bones, drill_mm: float) -> list[Check]:
    """Return the checks of one sleeve: its bore against the drill, its axis, the free way of the drill."""
    return [_bore(body, sleeve, drill_mm), _axis(guide, sleeve), _way_of_drill(sleeve, bones, drill_mm)]


def lettering_check(stroke: float, least: float) -> Check:
    """Return whether the strokes of the name are as wide as the printer needs, mm."""
    return Check("lettering", stroke >= least, stroke, least, "mm", f"strokes of the name are {stroke:.1f} mm wide")


def overlap_check(guide: Mesh, bone: Mesh | None, fit: Fit) -> Check:
    """Return whether the guide keeps out of the bone."""
    shared = None if bone is None else overlap_mm3(guide, bone)
    good = fit.least_mm > 0 and (shared is None or shared < OVERLAP_MM3)
    where = f"nearest point {fit.least_mm:.2f} mm from the bone"
    words = f"no overlap with the bone, {where}" if good else f"the guide runs into the bone, {where}"
    return Check(
        "overlap with bone", good, shared, OVERLAP_MM3, "mm3", words, None if good else point(fit.least_at_ras)
    )


def gap_checks(fit: Fit) -> list[Check]:
    """Return whether the contact is large enough and its gap is what was asked."""
    words = f"{fit.area_mm2:.0f} mm2 touch the bone"
    area = Check("contact area", fit.area_mm2 >= CONTACT_MM2, fit.area_mm2, CONTACT_MM2, "mm2", words)
    if not fit.area_mm2:
        return [area]
    words = (
        f"gap {fit.mean_mm:.3f} mm where {fit.asked_mm:.2f} was asked; deviation mean {fit.mean_error_mm:.3f}, "
        f"95 % {fit.p95_error_mm:.3f}, greatest {fit.max_error_mm:.3f} mm"
    )
    return [area, Check("fit gap", fit.max_error_mm <= GAP_ERROR_MM, fit.max_error_mm, GAP_ERROR_MM, "mm", words)]


def way_off_check(guide: Mesh, distance: Distance, fit: Fit, outward_ras: FloatArray) -> Check:
    """Move the guide off step by step: it must never be nearer to the bone than its clearance, but for the error allowed."""
    limit = max(0.0, fit.asked_mm - GAP_ERROR_MM)
    least, at = nearest_on_way(guide, distance, outward_ras, limit)
    least = min(least, fit.least_mm)
    # The grid sees undercuts to a fraction of its step; what is less than the clearance by more would catch.
    good = least >= limit
    words = f"comes off along its insertion direction by steps of {STEP_MM} mm, never nearer than {least:.2f} mm to the bone"
    if not good:
        words = f"catches on the bone on its way off: {least:.2f} mm"
    return Check("insertion", good, least, limit, "mm", words, None if good else point(at))


def nearest_on_way(
    guide: Mesh, distance: Distance, outward_ras: FloatArray, limit_mm: float
) -> tuple[float, FloatArray | None]:
    """Return how near to the bone any corner of a guide comes while it is taken off by steps of 0.1 mm, and where.

    A corner comes nearer by no more than it moves: those that cannot be within 0.1 mm of the limit yet are not asked
    again, so what is found is exact below that and an upper bound above. Only what looks towards the bone is asked: above
    it the guide goes where that has gone before.
    """
    first = np.unique(guide.faces[guide.face_area_vectors @ outward_ras <= 0])
    corners = guide.vertices_ras[first]
    known, since = distance.distance_mm(corners), np.zeros(len(corners))
    least, at = np.inf, None
    for way in np.concatenate([np.arange(STEP_MM, _FINE_MM, STEP_MM), np.arange(_FINE_MM, _FAR_MM, 1.0)]):
        near = np.flatnonzero(known - (way - since) < limit_mm + _LOOK_MM)
        if not len(near):
            continue
        there = corners[near] + way * outward_ras
        known[near], since[near] = distance.distance_mm(there), way
        low = near[known[near] < limit_mm]
        if len(low):  # told by the quick distance, so asked once more exactly
            known[low] = distance.distance_and_gradient(corners[low] + way * outward_ras)[0]
        k = int(known[near].argmin())
        if known[near][k] < least:
            least, at = float(known[near][k]), there[k]
    return least, at


def neighbour_check(guide: Mesh, neighbours: Sequence[Distance], clearance_mm: float, outward_ras: FloatArray) -> Check:
    """Return whether the guide keeps off the neighbouring bones, on its way in too."""
    corners = guide.vertices_ras[:: max(1, len(guide.vertices_ras) // 8000)]
    least, at = np.inf, None
    for distance in neighbours:
        for way in (0.0, 2.0, 5.0, 12.0, 25.0):
            there = corners + way * outward_ras
            d = distance.distance_mm(there)
            if d.min() < least:
                least, at = float(d.min()), there[int(d.argmin())]
    limit = clearance_mm - GAP_ERROR_MM
    words = f"keeps {least:.1f} mm from the neighbouring bones, on its way in too"
    return Check("neighbouring bones", least >= limit, least, limit, "mm", words, point(at))


def _bore(body: MeshDistance, sleeve: Sleeve, drill_mm: float) -> Check:
    """Measure the free way round the axis, from the bone to well above the sleeve."""
    along = np.arange(-1.0, sleeve.length_mm + 30.0, 0.2)
    free = body.distance_and_gradient(sleeve.entry_ras + along[:, None] * sleeve.outward_ras)[0]
    diameter, at = 2 * float(free.min()), int(free.argmin())
    good = diameter >= drill_mm
    words = f"{sleeve.screw}: bore {diameter:.2f} mm for a drill of {drill_mm:.2f} mm"
    place = None if good else point(sleeve.at(float(along[at])))
    return Check(f"bore {sleeve.side}", good, diameter, drill_mm, "mm", words, place)


def _axis(guide: Mesh, sleeve: Sleeve) -> Check:
    """Fit a cylinder to the corners of the bore and compare its axis with the planned one."""
    offset = guide.vertices_ras - sleeve.entry_ras
    along = offset @ sleeve.outward_ras
    radial = np.linalg.norm(offset - along[:, None] * sleeve.outward_ras, axis=1)
    on_bore = (np.abs(radial - sleeve.bore_radius_mm) < 0.05) & (along > -10) & (along < sleeve.length_mm + 0.05)
    if on_bore.sum() < 12:
        return Check(
            f"sleeve axis {sleeve.side}", False, None, AXIS_ERROR_MM, "mm", f"{sleeve.screw}: no bore is there"
        )
    u, v = perpendicular_axes(sleeve.outward_ras)
    p, t = np.stack([offset[on_bore] @ u, offset[on_bore] @ v], axis=1), along[on_bore]

    def residual(x: FloatArray) -> FloatArray:
        centre = x[:2] + np.outer(t / sleeve.length_mm, x[2:4])
        return np.asarray(np.linalg.norm(p - centre, axis=1) - sleeve.bore_radius_mm - x[4])

    x = least_squares(residual, np.zeros(5), xtol=1e-12, ftol=1e-12).x
    at_bone, at_end = float(np.hypot(*x[:2])), float(np.hypot(*(x[:2] + x[2:4])))
    off = max(at_bone, at_end)
    words = f"{sleeve.screw}: the bore is {off:.4f} mm off the planned axis"
    return Check(f"sleeve axis {sleeve.side}", off <= AXIS_ERROR_MM, off, AXIS_ERROR_MM, "mm", words)


def _way_of_drill(sleeve: Sleeve, bones: Bones, drill_mm: float) -> Check:
    """Look along the axis outside the entry: no bone in it, and none of the neighbours within the drill's radius."""
    along = np.arange(1.0, sleeve.length_mm + 30.0, 0.5)
    points = sleeve.entry_ras + along[:, None] * sleeve.outward_ras
    room = float(bones.bone.distance_mm(points).min())
    words = f"{sleeve.screw}: nothing lies before the entry"
    if room <= 0:
        words = f"{sleeve.screw}: the axis runs through bone before its entry"
    for other in bones.neighbours:
        left = float(other.distance_mm(points).min()) - drill_mm / 2
        if left <= 0:
            words = f"{sleeve.screw}: the drill meets a neighbouring bone before its entry"
        room = min(room, left)
    return Check(f"way of the drill {sleeve.side}", room > 0, room, 0.0, "mm", words)
