"""Whether a guide with several slots does what it is for: measured on the finished mesh, slot by slot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree

from MSKFusionLib.frames import unit

from ..mesh import Mesh
from ..plan import Check, GuideCut
from .cut_checks import slot_check, sweep_check, way_of_saw
from .cut_options import CuttingGuideOptions
from .fit import Fit
from .guide_checks import Bones, bore_checks, seated_checks
from .mesh_distance import MeshDistance
from .sawn_face import SawnFace
from .sleeve import Sleeve
from .slots_seat import SlotsSeat


def check_slots_guide(
    guide: Mesh,
    without_letters: Mesh,
    seat: SlotsSeat,
    faces: Sequence[SawnFace],
    fit: Fit,
    options: CuttingGuideOptions,
    bones: Bones,
    leaves: Sequence[GuideCut] = (),
) -> tuple[tuple[Check, ...], float]:
    """Return all checks of the guide, and its least wall in mm (letters left out); `leaves` as in `design_slots_guide`."""
    checks, wall = seated_checks(guide, without_letters, fit, options, seat.outward_ras, bones, way_off=sweep_check)
    if not guide.is_closed:
        return tuple(checks), wall
    body = MeshDistance(guide)
    for n, slot in enumerate(seat.slots, 1):
        # Below what is asked for the wall ends where the bone falls away, anywhere beside the slot's face.
        led = slot.top_mm - options.slot_height_mm
        for check in (slot_check(guide, slot, bones.bone, led), way_of_saw(body, slot, bones, options)):
            checks.append(replace(check, name=f"{check.name} {n}"))
    for wire in seat.wires:
        checks += bore_checks(guide, body, wire, bones, options.wire_diameter_mm)
        checks.append(_off_cuts(wire, faces, leaves, options))
    return tuple(checks), wall


def _off_cuts(
    wire: Sleeve, faces: Sequence[SawnFace], leaves: Sequence[GuideCut], options: CuttingGuideOptions
) -> Check:
    """Return whether a wire keeps off every sawn face as deep as it goes, and out of what is taken away."""
    line = wire.entry_ras - np.linspace(0.0, options.wire_depth_mm, 60)[:, None] * wire.outward_ras
    least = min(float(cKDTree(f.points_ras).query(line)[0].min()) for f in faces)
    if leaves:
        over = [(line - np.asarray(p.point_ras)) @ unit(np.asarray(p.normal_ras, dtype=np.float64)) for p in leaves]
        least = min(least, float(np.max(over, axis=0).min()))
    least -= options.wire_diameter_mm / 2
    # The line is looked at more closely here than where its place was chosen.
    limit = options.wire_to_cut_mm - options.wire_diameter_mm / 2 - 0.2
    words = f"{wire.screw}: {least:.1f} mm from the cuts down to {options.wire_depth_mm:.0f} mm"
    return Check(f"wire to cut {wire.side}", least >= limit, least, limit, "mm", words)
