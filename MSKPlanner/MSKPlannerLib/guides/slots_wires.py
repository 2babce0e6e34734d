"""The wires that hold a guide with several slots: in bone that stays, off every cut, as far from each other as can be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from MSKFusionLib.errors import ProcessingError
from MSKFusionLib.frames import FloatArray, transform_points, unit

from ..plan import GuideCut
from .cut_options import CuttingGuideOptions
from .field import Distance
from .sawn_face import SawnFace
from .sleeve import Sleeve
from .slots_seat import SlotsSeat, off_box

#: Places beside a block that are tried: so far off it, and so many along it.
_OFF_BLOCK_MM, _ALONG = (1.0, 3.0, 5.0, 8.0), 9
#: A line looks for the bone from here on, in such steps.
_FROM_MM, _STEP_MM = 25.0, 0.25
#: A wire enters bone that looks at it to within this cosine: on a steeper one its tip slips.
_SQUARE = 0.6
#: Wires stand at least this far apart; two are needed, more than so many are none the better, and no more than two a slot.
_APART_MM, _FEWEST, _MOST, _A_SLOT = 8.0, 2, 4, 2
#: A sleeve keeps this far off the blocks, which are cut flat round their tops.
_FREE_MM = 0.8
#: Sides of a cut on which wires may stand: beyond the slot's ledge, and below it.
Sides = tuple[int, ...]


def place_wires(
    seat: SlotsSeat,
    faces: Sequence[SawnFace],
    bone: Distance,
    neighbours: Sequence[Distance],
    options: CuttingGuideOptions,
    *,
    leaves: Sequence[GuideCut] = (),
    sides: Sides = (1,),
) -> tuple[Sleeve, ...]:
    """Return the sleeves of the wires, parallel to the insertion direction.

    Parameters
    ----------
    leaves
        Planes of a part that is taken out, normals away from it: no wire goes into what lies below all of them.
    sides
        1: beside the slots, on their normals' side; -1: on the other.

    Raises
    ------
    ProcessingError
        When there is no place for two.
    """
    found: list[tuple[int, int, Sleeve]] = []
    sawn = cKDTree(np.concatenate([f.points_ras for f in faces]))
    for number, slot in enumerate(seat.slots):
        low, high = slot.block_corners
        half = float(high[0]) - options.wire_sleeve_diameter_mm / 2
        for side in sides:
            for off in _OFF_BLOCK_MM:
                edge = (high[1] if side > 0 else -low[1]) + options.wire_sleeve_diameter_mm / 2 + off
                for x in np.linspace(-half, half, _ALONG):
                    start = transform_points(slot.to_ras, np.array([x, side * edge, 0.0]))
                    wire = _wire(np.asarray(start), seat, bone, options)
                    if wire is not None and _is_good(wire, seat, sawn, leaves, bone, neighbours, options):
                        found.append((number, side, wire))
    return _spread(found, sides, seat)


def _wire(start: FloatArray, seat: SlotsSeat, bone: Distance, options: CuttingGuideOptions) -> Sleeve | None:
    """Return the sleeve where a line along the insertion enters the bone; None where it finds none or slips."""
    out = seat.outward_ras
    along = np.arange(_FROM_MM, -options.wrap_mm - 4.0, -_STEP_MM)
    d = bone.distance_mm(start + along[:, None] * out)
    inside = np.flatnonzero(d < 0)
    if not len(inside) or inside[0] == 0:
        return None
    k = int(inside[0])
    entry = start + (along[k] + _STEP_MM * -d[k] / (d[k - 1] - d[k])) * out
    if bone.distance_and_gradient(entry[None])[1][0] @ out < _SQUARE:
        return None
    return Sleeve(
        screw="wire",
        side="",
        entry_ras=np.asarray(entry),
        outward_ras=out,
        bore_radius_mm=options.wire_bore_mm / 2,
        radius_mm=options.wire_sleeve_diameter_mm / 2,
        length_mm=options.wire_sleeve_mm,
    )


def _is_good(
    wire: Sleeve,
    seat: SlotsSeat,
    sawn: cKDTree,
    leaves: Sequence[GuideCut],
    bone: Distance,
    neighbours: Sequence[Distance],
    options: CuttingGuideOptions,
) -> bool:
    """Tell whether a wire keeps off all cuts, blocks and other bones, and stays out of what is taken away."""
    deep = wire.entry_ras - np.arange(0.0, options.wire_depth_mm + 0.5, 1.0)[:, None] * wire.outward_ras
    if sawn.query(deep)[0].min() < options.wire_to_cut_mm:
        return False
    if leaves:
        over = [(deep - np.asarray(p.point_ras)) @ unit(np.asarray(p.normal_ras, dtype=np.float64)) for p in leaves]
        if np.max(over, axis=0).min() < options.wire_to_cut_mm:
            return False
    t = np.arange(-1.0, wire.length_mm + 4.0, 1.0)
    body = wire.entry_ras + t[:, None] * wire.outward_ras
    for slot in seat.slots:
        low, high = slot.block_corners
        if off_box(slot.local(body), low, high + [0.0, 0.0, 6.0]).min() < wire.radius_mm + _FREE_MM:
            return False
    if bone.distance_mm(body[t > 0.5 * wire.length_mm]).min() < 0.9 * wire.radius_mm:
        return False
    return all(
        n.distance_mm(body[t > 0]).min() > wire.radius_mm + options.neighbour_clearance_mm
        and n.distance_mm(deep).min() > options.wire_diameter_mm / 2 + options.neighbour_clearance_mm
        for n in neighbours
    )


def _spread(found: list[tuple[int, int, Sleeve]], sides: Sides, seat: SlotsSeat) -> tuple[Sleeve, ...]:
    """Return the wires that stand farthest from each other; where both sides of a cut carry wires, some on each."""
    chosen: list[tuple[int, int, Sleeve]] = []
    middle = np.mean([s.to_ras[:3, 3] for s in seat.slots], axis=0)
    most = _MOST if len(sides) == 1 else 2 * _MOST
    while len(chosen) < most:
        best, score = None, _APART_MM
        for number, side, wire in found:
            if sum(1 for n, s, _ in chosen if (n, s) == (number, side)) >= _A_SLOT:
                continue
            away = min((float(np.linalg.norm(wire.entry_ras - w.entry_ras)) for *_, w in chosen), default=np.inf)
            # The first is the one farthest out.
            away = float(np.linalg.norm(wire.entry_ras - middle)) + _APART_MM if np.isinf(away) else away
            if away > score + 1e-9:
                best, score = (number, side, wire), away
        if best is None:
            break
        chosen.append(best)
    for side in sides:
        there = sum(1 for _, s, _ in chosen if s == side)
        needed = _FEWEST if len(sides) == 1 else 1
        if there < needed:
            where = "bone that stays" if len(sides) == 1 else f"the bone {'above' if side > 0 else 'below'} the cut"
            raise ProcessingError(
                f"There is a place for {there or 'no'} K-wire{'s' if there != 1 else ''} beside the slots in {where}, and "
                f"{needed} must stand there; make the wires thinner or less deep, or plan fewer planes."
            )
    return tuple(
        Sleeve(f"wire {n}", f"{n}", w.entry_ras, w.outward_ras, w.bore_radius_mm, w.radius_mm, w.length_mm)
        for n, (*_, w) in enumerate(chosen, 1)
    )
