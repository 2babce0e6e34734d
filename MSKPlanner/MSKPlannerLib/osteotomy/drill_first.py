"""Drill first, cut, then bring together: the holes of the corrected bone carried back to the bone as it is in the image.

Holes are planned where plate or wires shall be after the correction, all parallel. Each belongs to one fragment; that
fragment's way back takes it to where it is drilled, through the cutting guide, before the saw. A second guide on the
corrected bone has them where they were planned: with its wires in the drilled holes the fragments stand as planned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from MSKFusionLib.errors import GeometryError, InputError, ProcessingError
from MSKFusionLib.frames import FloatArray, as_point, invert_rigid, transform_points, unit
from MSKFusionLib.progress import Progress, no_progress

from ..guides.cut_options import CuttingGuideOptions
from ..guides.field import distance_to
from ..guides.options import GuideOptions
from ..guides.pin_guide import PinGuide, design_pin_guide
from ..guides.pins import LONGEST_MM, MOST_PINS, pin_through
from ..guides.presets import load_guide_options
from ..guides.solid import checked, from_manifold, to_manifold
from ..mesh import Mesh
from ..plan import GuideScrew, Point
from ..plan_osteotomy import CutPlane, Osteotomy
from .plane import Plane
from .planned import asked_of, parts_of

#: The fragments that holes are drilled into.
STAYING, MOVED = "staying", "moved"
_ON_FACE_MM = 0.05
#: The first hole's sleeve stands this far from the block of the slot.
_OFF_BLOCK_MM = 1.5


@dataclass(frozen=True)
class PlannedHole:
    """A hole of the corrected bone.

    Parameters
    ----------
    fragment
        ``staying`` or ``moved``.
    planned
        Entry and tip after the correction, RAS mm.
    """

    fragment: str
    planned: GuideScrew


@dataclass(frozen=True, eq=False)
class CorrectedBone:
    """A bone after its osteotomy: the fragments as they shall be, and their union as one closed surface."""

    staying: Mesh
    moved: Mesh
    whole: Mesh

    def of(self, fragment: str) -> Mesh:
        """Return the fragment of a name."""
        return self.staying if fragment == STAYING else self.moved


def place_of(osteotomy: Osteotomy, fragment: str) -> FloatArray:
    """Return the rigid 4x4 that takes a fragment from the image to where it shall be.

    Raises
    ------
    InputError
        When the osteotomy has no such fragment.
    """
    for f in osteotomy.fragments:
        if f.name == fragment:
            return np.array(f.image_to_planned_ras, dtype=np.float64)
    raise InputError(f"the cut has no fragment '{fragment}'", "Plan it again.", where=osteotomy.name)


def corrected_bone(bone: Mesh, osteotomy: Osteotomy) -> CorrectedBone:
    """Return a bone after its osteotomy.

    Raises
    ------
    GeometryError, ProcessingError
        When the cut cannot be carried out, or the corrected bone does not close.
    """
    parts = parts_of(bone, asked_of(osteotomy).shape)
    staying = parts.staying.transformed(place_of(osteotomy, STAYING))
    moved = parts.moved.transformed(place_of(osteotomy, MOVED))
    both = to_manifold(staying, f"{osteotomy.name}: fragment that stays")
    both = both + to_manifold(moved, f"{osteotomy.name}: fragment that moves")
    whole = from_manifold(checked(both, f"{osteotomy.name}: corrected bone"))
    if not whole.is_closed:
        raise ProcessingError(f"{osteotomy.name}: the corrected bone does not close.")
    return CorrectedBone(staying, moved, whole)


def holes_beside(
    corrected: CorrectedBone,
    osteotomy: Osteotomy,
    approach_ras: Sequence[float] | FloatArray,
    *,
    first_mm: float,
    count: int = 2,
    spacing_mm: float = 12.0,
    depth_mm: float = 20.0,
) -> tuple[PlannedHole, ...]:
    """Return parallel holes in a row across the cut: `count` in each fragment, on the side of the approach.

    Parameters
    ----------
    approach_ras
        From the bone to the surgeon as the bone lies in the image; what of it lies across the plane does not count.
    first_mm
        From the cut (of the face of each fragment) to its first hole along the plane's normal.

    Raises
    ------
    GeometryError
        When the approach does not run along the plane, or a hole misses its fragment.
    """
    if not 1 <= count <= MOST_PINS // 2 or min(first_mm, spacing_mm, depth_mm) <= 0 or depth_mm > LONGEST_MM:
        raise InputError(
            "these are no holes",
            f"Give 1 to {MOST_PINS // 2} a fragment, and lengths above 0 mm.",
            where=osteotomy.name,
        )
    stays, moves = place_of(osteotomy, STAYING), place_of(osteotomy, MOVED)
    faces = osteotomy.planes
    normal, approach = unit(np.array(faces[0].normal_ras)), np.asarray(approach_ras, dtype=np.float64)
    across = approach - (approach @ normal) * normal
    if not np.isfinite(approach).all() or np.linalg.norm(across) < 0.5 * np.linalg.norm(approach):
        raise GeometryError("the approach does not run along the plane of the saw", where=osteotomy.name)
    outward = stays[:3, :3] @ unit(across)
    up = stays[:3, :3] @ normal
    rows = []
    for fragment, place, face, side in ((STAYING, stays, faces[0], -1.0), (MOVED, moves, faces[-1], 1.0)):
        start = _surface_of_face(corrected.of(fragment), place, face, unit(across), osteotomy.name)
        here = distance_to(corrected.of(fragment))
        for k in range(count):
            at = start + side * (first_mm + k * spacing_mm) * up
            name = f"{fragment} {k + 1}"
            rows.append(PlannedHole(fragment, pin_through(here, name, at, at - outward, depth_mm)))
    return tuple(rows)


def holes_through(
    corrected: CorrectedBone, osteotomy: Osteotomy, lines: Sequence[tuple[str, Point, Point]]
) -> tuple[PlannedHole, ...]:
    """Return holes on given lines (name, outer point, tip) of the corrected bone, each in the fragment that it enters first.

    Raises
    ------
    GeometryError
        When a line misses both fragments.
    """
    found = []
    for name, outer, tip in lines:
        best: tuple[float, PlannedHole] | None = None
        for fragment in (STAYING, MOVED):
            try:
                pin = pin_through(distance_to(corrected.of(fragment)), name, outer, tip)
            except GeometryError:
                continue
            away = float(np.linalg.norm(np.subtract(pin.entry_ras, outer)))
            if best is None or away < best[0]:
                best = away, PlannedHole(fragment, pin)
        if best is None:
            raise GeometryError("the hole misses both fragments", "Move it.", where=f"{osteotomy.name}: {name}")
        found.append(best[1])
    return tuple(found)


def first_hole_mm(options: CuttingGuideOptions) -> float:
    """Return how far from the cut the first hole beside the block of a cutting guide's slot can lie, mm."""
    block = options.slot_thickness_mm / 2 + options.ledge_mm
    return block + options.wire_sleeve_diameter_mm / 2 + _OFF_BLOCK_MM


def reduction_options(options: CuttingGuideOptions) -> GuideOptions:
    """Return the options of the guide that goes with a cutting guide: the same wires, fit and letters."""
    return replace(
        load_guide_options("pin"),
        fit_clearance_mm=options.fit_clearance_mm,
        neighbour_clearance_mm=options.neighbour_clearance_mm,
        edge_margin_mm=options.edge_margin_mm,
        wall_mm=options.wall_mm,
        drill_diameter_mm=options.wire_diameter_mm,
        bore_clearance_mm=options.wire_clearance_mm,
        text_height_mm=options.text_height_mm,
        text_stroke_mm=options.text_stroke_mm,
        text_relief_mm=options.text_relief_mm,
        grid_mm=options.grid_mm,
        printer=options.printer,
    )


def design_reduction_guide(
    corrected: CorrectedBone,
    holes: Sequence[PlannedHole],
    options: GuideOptions,
    *,
    label: str = "C1",
    insertion_direction_ras: Point | None = None,
    progress: Progress = no_progress,
) -> PinGuide:
    """Design the guide that brings the holes of a cut bone together (`guides.pin_guide.design_pin_guide`, bars across the cut)."""
    return design_pin_guide(
        corrected.whole,
        [h.planned for h in holes],
        options,
        label=label,
        insertion_direction_ras=insertion_direction_ras,
        bars=True,
        progress=progress,
    )


def as_in_image(holes: Sequence[PlannedHole], osteotomy: Osteotomy) -> tuple[GuideScrew, ...]:
    """Return holes where they are drilled: in the bone as it lies in the image."""
    drilled = []
    for hole in holes:
        back = invert_rigid(place_of(osteotomy, hole.fragment))
        entry, tip = transform_points(back, np.array([hole.planned.entry_ras, hole.planned.tip_ras]))
        drilled.append(GuideScrew(hole.planned.name, as_point(entry), as_point(tip)))
    return tuple(drilled)


def _surface_of_face(fragment: Mesh, place: FloatArray, face: CutPlane, across: FloatArray, name: str) -> FloatArray:
    """Return the outermost point of a fragment's face in the middle of the bone, where the fragment shall be."""
    plane = Plane(np.array(face.point_ras), np.array(face.normal_ras)).transformed(place)
    # The saw takes half of its kerf from the fragment; behind the hinge it takes nothing.
    on_face = fragment.vertices_ras[np.abs(plane.height_mm(fragment.vertices_ras)) < face.kerf_mm / 2 + _ON_FACE_MM]
    if not len(on_face):
        raise GeometryError("a fragment has no face", "Plan the cut again.", where=name)
    out = place[:3, :3] @ across
    side = np.cross(plane.normal_ras, out)
    outer = on_face[on_face @ out > np.median(on_face @ out)]
    sideways = outer @ side
    rim = outer[int((outer @ out).argmax())]
    return np.asarray(rim + ((sideways.min() + sideways.max()) / 2 - rim @ side) * side)
