"""A cutting guide: from a bone and the plane of an osteotomy to one checked solid.

The same engine as the drill guide's: the body on a distance grid, the contact moved onto the exact clearance, slot,
bores, flat top and letters as exact solids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from MSKFusionLib.errors import GeometryError, ProcessingError
from MSKFusionLib.frames import FloatArray
from MSKFusionLib.progress import Progress, no_progress

from ..bone.region import Region
from ..mesh import Mesh
from ..plan import Check, GuideCut, GuideScrew, Point
from .cut_body import cut_body
from .cut_checks import check_cutting_guide
from .cut_options import CuttingGuideOptions
from .cut_seat import CutSeat, seat_of_cut
from .field import Bone, Distance, distance_to
from .fit import Fit, measure_fit
from .guide_checks import Bones
from .lettering import text_size
from .openings import CRUMB_MM3, embossed
from .sleeve import Sleeve
from .slot import Slot
from .solid import checked, from_manifold, largest_body, printable, to_manifold
from .stability import Stability, stability_on

__all__ = ["CuttingGuideOptions", "CuttingGuideSolid", "design_cutting_guide", "saw_stop"]

#: Bone farther from the slot than this has no part in the guide.
_REACH_MM = 90.0


@dataclass(frozen=True, eq=False)
class CuttingGuideSolid:
    """A designed cutting guide with everything measured on it.

    Parameters
    ----------
    mesh
        The printable solid, RAS mm.
    stop_mm
        What the saw's depth stop is set to: from the block's flat top along the saw to the far side of the bone, or to the hinge
        of a wedge where that is nearest.
    deepest_mm
        The same to the hinge where that is farthest; None where there is no hinge.
    tilt_deg
        How far the blade can tilt in the slot; None on an open ledge, which holds it on one side alone.
    insertion_direction_ras
        Unit direction in which it is put on (towards the bone).
    """

    mesh: Mesh
    cut: GuideCut
    slot: Slot
    wires: tuple[Sleeve, ...]
    options: CuttingGuideOptions
    insertion_direction_ras: FloatArray
    reachable: float
    fit: Fit
    stability: Stability
    stop_mm: float
    tilt_deg: float | None
    min_wall_mm: float
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()
    asked_direction: Point | None = None
    label: str = ""
    approach_ras: Point = (0.0, 0.0, 0.0)
    holes: tuple[GuideScrew, ...] = ()
    hole_sleeves: tuple[Sleeve, ...] = ()
    deepest_mm: float | None = None
    hinge: GuideCut | None = None


def design_cutting_guide(
    bone: Bone,
    cut: GuideCut,
    approach_ras: Sequence[float] | FloatArray,
    options: CuttingGuideOptions | None = None,
    *,
    label: str = "C1",
    neighbours: Sequence[Bone] = (),
    holes: Sequence[GuideScrew] = (),
    hinge: GuideCut | None = None,
    insertion_direction_ras: Point | None = None,
    progress: Progress = no_progress,
) -> CuttingGuideSolid:
    """Design the guide of one plane of a saw on a bone.

    Parameters
    ----------
    bone
        Closed surface of the bone, or its depth.
    cut
        The plane; its point lies in the part of the bone that is cut.
    approach_ras
        Direction from the bone to the surgeon, RAS; the saw goes against it, within the plane.
    label
        Name on the guide (`lettering`).
    neighbours
        Bones that guide and saw must not meet.
    holes
        Further holes to drill through it, entry in the bone and tip, RAS mm: those that a reduction guide brings together.
    hinge
        Where a wedge's cut ends: a point of the hinge, and the direction in the cut beyond it. None: it goes right through.
    insertion_direction_ras
        The direction to put it on along, towards the bone; None: the one that reaches most bone.

    Raises
    ------
    InputError
        For a label with signs that cannot be embossed.
    GeometryError
        When the bone's surface is not closed, the plane misses it, or the approach does not run along the plane.
    ProcessingError
        When no sound solid comes of it; the message names the operation and the place.
    """
    wish = CuttingGuideOptions() if options is None else options
    if not np.isfinite([*cut.point_ras, *cut.normal_ras]).all() or np.linalg.norm(cut.normal_ras) < 1e-9:
        raise GeometryError("the plane is not a point and a direction with a length", where=cut.name)
    approach = np.asarray(approach_ras, dtype=np.float64)
    if approach.shape != (3,) or not np.isfinite(approach).all() or np.linalg.norm(approach) < 1e-9:
        raise GeometryError("the approach is not three numbers with a length", where=cut.name)
    progress(0.0, f"{cut.name}: insertion direction")
    centre = np.asarray(cut.point_ras, dtype=np.float64)
    region = Region.around(centre, _REACH_MM)
    exact = distance_to(bone, region)
    others = [distance_to(n, region) for n in neighbours]
    seat = seat_of_cut(bone, exact, cut, approach, wish, neighbours, insertion_direction_ras, holes)
    progress(0.2, f"{cut.name}: body on the bone")
    body, loose = cut_body(exact, others, seat, wish)
    progress(0.6, f"{cut.name}: slot, holes and letters")
    plain, more = _with_openings(body, seat)
    mesh = printable(_lettered(plain, seat, wish, label), cut.name)
    progress(0.75, f"{cut.name}: measuring")
    fit = measure_fit(mesh, exact, seat.outward_ras, wish.fit_clearance_mm)
    play = stability_on(exact, fit.points_ras, -seat.outward_ras)
    lost = [v for v in (*loose, *more) if v > CRUMB_MM3]
    stop, deepest = saw_stop(exact, seat.slot, hinge)
    guide = CuttingGuideSolid(
        mesh=mesh,
        cut=cut,
        slot=seat.slot,
        wires=seat.wires,
        options=wish,
        insertion_direction_ras=-seat.outward_ras,
        reachable=seat.reachable,
        fit=fit,
        stability=play,
        stop_mm=stop,
        tilt_deg=_tilt_deg(wish),
        min_wall_mm=float("nan"),
        checks=(),
        notes=tuple(f"a loose piece of {v:.1f} mm3 was dropped" for v in lost),
        asked_direction=insertion_direction_ras,
        label=label,
        approach_ras=(float(approach[0]), float(approach[1]), float(approach[2])),
        holes=tuple(holes),
        hole_sleeves=seat.holes,
        deepest_mm=deepest,
        hinge=hinge,
    )
    bones = Bones(exact, others, bone if isinstance(bone, Mesh) else None)
    checks, wall = check_cutting_guide(mesh, from_manifold(plain), seat, fit, play, wish, bones, holes)
    progress(1.0, f"{cut.name}: guide done")
    return replace(guide, checks=checks, min_wall_mm=wall)


def _tilt_deg(options: CuttingGuideOptions) -> float | None:
    if options.ledge:
        return None
    return float(
        np.degrees(np.arctan((options.slot_thickness_mm - options.blade_thickness_mm) / options.slot_height_mm))
    )


def _with_openings(body: Mesh, seat: CutSeat) -> tuple[Any, list[float]]:
    """Return the solid with flat ends, slot and bores, and the volumes of pieces that came loose."""
    name = seat.slot.name
    solid = to_manifold(body, f"{name}: body of the guide")
    solid = checked(solid - seat.slot.above_top(), f"{name}: flat top of the block")
    for wire in seat.sleeves:
        solid = checked(solid - wire.above_end(), f"{name}: flat end of the sleeve of {wire.screw}")
    solid = checked(solid - seat.slot.opening(), f"{name}: {seat.slot.what}")
    for wire in seat.sleeves:
        solid = checked(solid - wire.bore(), f"{name}: bore of {wire.screw}")
    return largest_body(solid)


def _lettered(plain: Any, seat: CutSeat, options: CuttingGuideOptions, label: str) -> Any:
    """Return the solid with its name on the flat top beside the slot, readable for who holds the saw."""
    slot = seat.slot
    width, _ = text_size(label, options.text_height_mm, options.text_stroke_mm)
    if width > slot.width_mm + 2 * slot.end_wall_mm - 1.0:
        raise ProcessingError(f"{slot.name}: the name '{label}' is longer than the guide is wide; make it shorter.")
    return embossed(plain, label, slot.ledge_to_ras, options, on="the block", where=slot.name)


def saw_stop(exact: Distance, slot: Slot, hinge: GuideCut | None) -> tuple[float, float | None]:
    """Return what the depth stop is set to, mm from the block's top, and how far the hinge is where it is farthest.

    The saw ends at the far side of the bone, or where the hinge is nearest: it runs on over its whole width.
    """
    x = np.linspace(-slot.width_mm / 2, slot.width_mm / 2, 9)
    z = np.arange(-_REACH_MM, slot.top_mm, 0.5)
    grid = np.stack(np.meshgrid(x, [0.0], z, indexing="ij"), axis=-1).reshape(-1, 3)
    places = grid @ slot.to_ras[:3, :3].T + slot.to_ras[:3, 3]
    inside = exact.distance_mm(places).reshape(len(x), len(z)) < 0
    beyond = np.zeros(inside.shape, dtype=bool)
    if hinge is not None:
        beyond = ((places - np.asarray(hinge.point_ras)) @ np.asarray(hinge.normal_ras) > 0).reshape(inside.shape)
    # The first stretch of bone from above: what lies behind a gap is another bone.
    deepest, ends_at_hinge = slot.top_mm, []
    for row, past in zip(inside, beyond, strict=True):
        found = np.flatnonzero(row)
        if not len(found):
            continue
        k = int(found[-1])
        while k > 0 and row[k - 1] and not past[k - 1]:
            k -= 1
        if k > 0 and row[k - 1] and past[k - 1]:
            ends_at_hinge.append(float(z[k]))
        deepest = min(deepest, float(z[k]))
    if not ends_at_hinge:
        return slot.top_mm - deepest, None
    return slot.top_mm - max(ends_at_hinge), slot.top_mm - min(ends_at_hinge)
