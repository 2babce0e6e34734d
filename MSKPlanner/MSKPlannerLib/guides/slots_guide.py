"""A guide with several slots in one body: all planes of a resection, or the faces of a cut that is no single plane.

Contact, slots, bores and checks are those of the cutting guide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from MSKFusionLib.errors import GeometryError, InputError, ProcessingError
from MSKFusionLib.frames import FloatArray
from MSKFusionLib.progress import Progress, no_progress

from ..bone.region import Region
from ..mesh import Mesh
from ..plan import Check, GuideCut, Point
from .cut_checks import stability_checks
from .cut_options import CuttingGuideOptions
from .field import Bone, distance_to
from .fit import Fit, measure_fit
from .guide_checks import Bones
from .openings import CRUMB_MM3, embossed
from .presets import load_printer
from .sawn_face import SawnFace
from .sleeve import Sleeve
from .slot import Slot
from .slots_body import slots_body, without_thin
from .slots_checks import check_slots_guide
from .slots_seat import SawStop, SlotsSeat, off_box, seat_of_faces, with_wires
from .slots_wires import Sides, place_wires
from .solid import box, checked, from_manifold, largest_body, printable, to_manifold
from .stability import Stability, stability_on
from .thickness import thin_places, wall_thickness

__all__ = ["SlotsGuide", "design_slots_guide"]

#: Bone farther from amid the faces than this has no part in the guide.
_REACH_MM = 110.0
#: How often thin walls are taken away, and how much thicker than the printer's least counts as thin then.
_MENDINGS, _THIN_SHARE = 3, 1.1
#: Nothing is taken away nearer than this to where a slot leads its blade.
_OFF_FACES_MM = 1.5
#: A cut whose end in bone varies by more than this has its shallowest place told.
_SAID_MM = 1.0


@dataclass(frozen=True, eq=False)
class SlotsGuide:
    """A designed guide with everything measured on it.

    Parameters
    ----------
    stops
        A slot: how deep its saw goes, from the flat top of its block.
    tilt_deg
        How far the blade can tilt in a slot.
    play_mm
        A slot: how far the blade can be off its plane at the end of the cut, by the room that the slot leaves it.
    insertion_direction_ras
        Unit direction in which it is put on (towards the bone).
    """

    mesh: Mesh
    faces: tuple[SawnFace, ...]
    slots: tuple[Slot, ...]
    stops: tuple[SawStop, ...]
    wires: tuple[Sleeve, ...]
    options: CuttingGuideOptions
    insertion_direction_ras: FloatArray
    reachable: float
    fit: Fit
    stability: Stability
    tilt_deg: float
    play_mm: tuple[float, ...]
    min_wall_mm: float
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()
    asked_direction: Point | None = None
    label: str = ""

    @property
    def sayings(self) -> tuple[str, ...]:
        """What who saws has to know, a line a slot."""
        return tuple(_saying(s, stop, play) for s, stop, play in zip(self.slots, self.stops, self.play_mm, strict=True))


def design_slots_guide(
    bone: Bone,
    faces: Sequence[SawnFace],
    options: CuttingGuideOptions | None = None,
    *,
    label: str = "R1",
    neighbours: Sequence[Bone] = (),
    leaves: Sequence[GuideCut] = (),
    wire_sides: Sides = (1,),
    insertion_direction_ras: Point | None = None,
    progress: Progress = no_progress,
) -> SlotsGuide:
    """Design the guide of several sawn faces.

    Parameters
    ----------
    bone
        Closed surface of the bone, or its depth.
    faces
        What is sawn; saws come from about the same side.
    label
        Name on the guide (`lettering`).
    neighbours
        Bones that guide, saws and wires must not meet; of a resection the tumour too.
    leaves
        Planes of a part that is taken out, normals away from it: no wire goes into it.
    wire_sides
        Sides of the faces on which wires hold the guide: 1 for the normals', -1 for the other.
    insertion_direction_ras
        The direction to put it on along, towards the bone; None: the one that reaches most bone.

    Raises
    ------
    InputError
        For no faces, or a label with signs that cannot be embossed.
    GeometryError
        When the bone's surface is not closed, a plane misses it, or cannot be reached from the side of the others.
    ProcessingError
        When no sound solid comes of it; the message names the operation and the place.
    """
    wish = CuttingGuideOptions() if options is None else options
    if wish.ledge:
        raise InputError("a ledge leads one plane, not several", "Use slots.", where=label)
    if not faces:
        raise InputError("there is no plane to guide a saw along", "Give at least one.", where="guide")
    for f in faces:
        if not np.isfinite([*f.cut.point_ras, *f.cut.normal_ras, *f.outward_ras]).all() or not len(f.points_ras):
            raise GeometryError("the plane is not a point, directions and a face", where=f.name)
    progress(0.0, f"{label}: slots and insertion direction")
    centre = np.mean([f.points_ras.mean(axis=0) for f in faces], axis=0)
    region = Region.around(centre, _REACH_MM)
    exact = distance_to(bone, region)
    others = [distance_to(n, region) for n in neighbours]
    seat = seat_of_faces(bone, exact, faces, wish, label, neighbours, insertion_direction_ras)
    wires = place_wires(seat, faces, exact, others, wish, leaves=leaves, sides=wire_sides)
    seat = with_wires(seat, wires)
    progress(0.2, f"{label}: body on the bone")
    body = slots_body(exact, others, seat, wish)
    progress(0.6, f"{label}: slots, holes and letters")
    plain, more = _with_openings(body.mesh, seat)
    told: list[str] = []
    for _ in range(_MENDINGS):
        # A grid may leave a thin fin where blocks, bone and ways meet; what is measured to be thin is taken away.
        shown, least = from_manifold(plain), load_printer(wish.printer).min_wall_mm
        if not wall_thickness(shown).least_mm < least:
            break
        progress(0.65, f"{label}: thin walls")
        thin = _off_faces(thin_places(shown, _THIN_SHARE * least), seat, wish)
        if not len(thin):
            break
        try:
            body = without_thin(body, exact, seat, wish, thin)
        except ProcessingError as error:
            # More would be lost than a fin: the guide is shown as it is, rejected by its wall.
            told.append(str(error))
            break
        plain, more = _with_openings(body.mesh, seat)
    mesh = printable(_lettered(plain, seat, wish, label), label)
    progress(0.75, f"{label}: measuring")
    fit = measure_fit(mesh, exact, seat.outward_ras, wish.fit_clearance_mm, body.relief_mm)
    play = stability_on(exact, fit.points_ras, -seat.outward_ras)
    slack = wish.slot_thickness_mm - wish.blade_thickness_mm
    guide = SlotsGuide(
        mesh=mesh,
        faces=tuple(faces),
        slots=seat.slots,
        stops=seat.stops,
        wires=seat.wires,
        options=wish,
        insertion_direction_ras=-seat.outward_ras,
        reachable=seat.reachable,
        fit=fit,
        stability=play,
        tilt_deg=float(np.degrees(np.arctan(slack / wish.slot_height_mm))),
        play_mm=tuple(slack * (s.deepest_mm / wish.slot_height_mm - 0.5) for s in seat.stops),
        min_wall_mm=float("nan"),
        checks=(),
        notes=(
            *told,
            *(f"a loose piece of {v:.1f} mm3 was dropped" for v in (*body.dropped_mm3, *more) if v > CRUMB_MM3),
        ),
        asked_direction=insertion_direction_ras,
        label=label,
    )
    bones = Bones(exact, others, bone if isinstance(bone, Mesh) else None)
    checks, wall = check_slots_guide(mesh, from_manifold(plain), seat, faces, fit, wish, bones, leaves)
    progress(1.0, f"{label}: guide done")
    return replace(guide, checks=(*checks, *stability_checks(play)), min_wall_mm=wall)


def _saying(slot: Slot, stop: SawStop, play_mm: float) -> str:
    words = f"{slot.name}: set the saw's depth stop to {stop.deepest_mm:.1f} mm from the top of its slot"
    if stop.shallowest_mm is not None and stop.deepest_mm - stop.shallowest_mm > _SAID_MM:
        words = (
            f"{slot.name}: the cut ends in bone that stays; set the saw's depth stop to {stop.shallowest_mm:.1f} mm from the top of "
            f"its slot for the whole width, and go deeper only where it is deeper, to {stop.deepest_mm:.1f} mm at most"
        )
    words += f"; by the room in the slot the blade can be {play_mm:.1f} mm off at its end"
    if stop.across_mm - stop.led_mm > _SAID_MM:
        words += (
            f"; the slot leads over {stop.led_mm:.0f} of {stop.across_mm:.0f} mm, saw the rest along the face begun"
        )
    return words


def _with_openings(body: Mesh, seat: SlotsSeat) -> tuple[Any, list[float]]:
    """Return the solid with flat ends, slots and bores, and the volumes of pieces that came loose."""
    solid = to_manifold(body, "body of the guide")
    for k, slot in enumerate(seat.slots):
        over = slot.above_top()
        for n, other in enumerate(seat.slots):
            if n != k:
                over = over - _block(other)
        solid = checked(solid - over, f"{slot.name}: flat top of its block")
    for wire in seat.wires:
        solid = checked(solid - wire.above_end(), f"flat end of the sleeve of {wire.screw}")
    for slot in seat.slots:
        solid = checked(solid - slot.opening(), f"{slot.name}: slot")
    for wire in seat.wires:
        solid = checked(solid - wire.bore(), f"bore of {wire.screw}")
    return largest_body(solid)


def _off_faces(places_ras: FloatArray, seat: SlotsSeat, options: CuttingGuideOptions) -> FloatArray:
    """Return the places (N, 3) round which something can be taken away without a nick in what leads a blade."""
    keep = np.ones(len(places_ras), dtype=bool)
    for slot in seat.slots:
        half = np.array([slot.width_mm / 2, slot.thickness_mm / 2])
        low = np.array([*-half, slot.top_mm - options.slot_height_mm])
        keep &= off_box(slot.local(places_ras), low, np.array([*half, slot.top_mm])) > _OFF_FACES_MM
    return places_ras[keep]


def _block(slot: Slot) -> Any:
    """Return a block as it stands: what is cut flat over another one leaves it, and no skin round it."""
    low, high = slot.block_corners
    return box(low, high, slot.to_ras)


def _lettered(plain: Any, seat: SlotsSeat, options: CuttingGuideOptions, label: str) -> Any:
    """Return the solid with its name on the flat top beside the widest slot, readable for who holds the saw."""
    slot = seat.slots[seat.named]
    return embossed(plain, label, slot.ledge_to_ras, options, on="the block", where=slot.name)
