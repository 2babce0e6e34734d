"""Whether a mesh can be printed: every check with its number, its bar, words and a place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import FloatArray, unit

from ..mesh import EdgeCounts, Mesh, body_labels, split_bodies
from ..plan import Check, Point
from .build_direction import best_build_direction, fits_bed, overhang
from .intersections import self_intersections
from .mesh_distance import MeshDistance
from .presets import PrinterPreset
from .solid import LEAST_HEIGHT_MM, heights_mm
from .thickness import gap_width, wall_thickness
from .touching import touching_vertices

#: Longest side of what is plausibly a part in mm.
_PLAUSIBLE_MM = (2.0, 1000.0)


def failed(checks: Iterable[Check]) -> tuple[Check, ...]:
    """Return the checks that did not pass."""
    return tuple(c for c in checks if not c.passed)


def check_mesh(
    mesh: Mesh,
    printer: PrinterPreset | None = None,
    *,
    wall_of: Mesh | None = None,
    build_direction_ras: Sequence[float] | FloatArray | None = None,
) -> tuple[Check, ...]:
    """Check whether a mesh is a printable solid.

    Parameters
    ----------
    mesh
        Any mesh, RAS mm.
    printer
        Limits of the process; None: the default preset's.
    wall_of
        The same part without lettering, on which walls and gaps are measured; None: `mesh` itself.
    build_direction_ras
        How the part stands in the printer; None: the direction with least overhang of those that fit on the bed.

    Returns
    -------
    Checks in the order in which they build on each other. What cannot be judged because an earlier check failed (a
    wall of an open surface) is left out, and the failed check says so.
    """
    limits = PrinterPreset() if printer is None else printer
    first = _contents(mesh)
    if not first.passed:
        return (first,)
    counts = mesh.edge_counts
    checks = [first, _closed(mesh, counts), _two_manifold(mesh, counts), _degenerate(mesh)]
    sound = all(c.passed for c in checks[:3])
    checks.append(_orientation(mesh, counts, closed=sound))
    sound = sound and checks[-1].passed
    if sound:
        checks.append(_touching(mesh))
    checks.append(_one_body(mesh, closed=sound))
    checks.append(_no_self_intersection(mesh))
    checks.append(_units(mesh))
    checks += _standing(mesh, limits, build_direction_ras)
    if sound:
        plain = mesh if wall_of is None else wall_of
        checks.append(_wall(plain, limits))
        checks.append(_gap(plain, limits))
        volume = mesh.volume_mm3
        checks.append(Check("volume", volume > 0, volume, 0.0, "mm3", f"{volume:.0f} mm3 of material"))
    return tuple(checks)


def point(place: Sequence[float] | FloatArray | None) -> Point | None:
    """Return a place as a tuple of three numbers for a `Check`."""
    if place is None:
        return None
    x, y, z = (float(value) for value in place)
    return x, y, z


def _contents(mesh: Mesh) -> Check:
    if not len(mesh.faces) or not len(mesh.vertices_ras):
        return Check("contents", False, 0.0, 4.0, "triangles", "the mesh is empty: it has no triangles")
    bad = ~np.isfinite(mesh.vertices_ras).all(axis=1)
    if bad.any():
        words = f"{int(bad.sum())} corners are not numbers (NaN or infinite); nothing else can be checked"
        return Check("contents", False, float(bad.sum()), 0.0, "corners", words)
    return Check("contents", True, float(len(mesh.faces)), 4.0, "triangles", f"{len(mesh.faces)} triangles")


def _place_of(mesh: Mesh, vertex: int | None) -> Point | None:
    return None if vertex is None else point(mesh.vertices_ras[vertex])


def _closed(mesh: Mesh, counts: EdgeCounts) -> Check:
    words = "closed" if not counts.open else f"not closed: {counts.open} edges lie at a hole; close it or make it again"
    place = _place_of(mesh, counts.open_vertex)
    return Check("closed", not counts.open, float(counts.open), 0.0, "open edges", words, place)


def _two_manifold(mesh: Mesh, counts: EdgeCounts) -> Check:
    words = "every edge joins two triangles"
    if counts.crowded:
        words = f"{counts.crowded} edges join more than two triangles: inside and outside are not defined there"
    place = _place_of(mesh, counts.crowded_vertex)
    return Check("two-manifold", not counts.crowded, float(counts.crowded), 0.0, "edges", words, place)


def _degenerate(mesh: Mesh) -> Check:
    t = mesh.triangles_ras
    flat = heights_mm(mesh) < LEAST_HEIGHT_MM
    words = "no triangle without area" if not flat.any() else f"{int(flat.sum())} triangles have no area"
    place = point(t[int(flat.argmax())].mean(axis=0)) if flat.any() else None
    return Check("degenerate triangles", not flat.any(), float(flat.sum()), 0.0, "triangles", words, place)


def _orientation(mesh: Mesh, counts: EdgeCounts, *, closed: bool) -> Check:
    if counts.same_way:
        words = f"{counts.same_way} edges join a triangle to one that is turned over"
        return Check(
            "orientation", False, float(counts.same_way), 0.0, "edges", words, _place_of(mesh, counts.same_way_vertex)
        )
    if not closed:
        return Check("orientation", True, 0.0, 0.0, "edges", "neighbouring triangles agree; outside is not defined")
    wrong = [b for b, outward in zip(*_outward(mesh), strict=True) if not outward]
    if not wrong:
        return Check("orientation", True, 0.0, 0.0, "bodies", "all faces look outward")
    words = f"{len(wrong)} closed surfaces are inside out: their faces look inward"
    return Check("orientation", False, float(len(wrong)), 0.0, "bodies", words, point(wrong[0].vertices_ras[0]))


def _outward(mesh: Mesh) -> tuple[list[Mesh], list[bool]]:
    """Return the closed surfaces of a mesh, and whether each looks the right way: outward, a cavity's inward."""
    parts = split_bodies(mesh)
    result = []
    for n, part in enumerate(parts):
        depth = sum(_inside(part, other) for m, other in enumerate(parts) if m != n)
        result.append((part.volume_mm3 > 0) == (depth % 2 == 0))
    return parts, result


def _inside(part: Mesh, other: Mesh) -> bool:
    """Tell whether a surface lies wholly inside another one, by a sample of its corners."""
    (low, high), corners = other.bounds_ras, part.vertices_ras[:: max(1, len(part.vertices_ras) // 50)]
    if np.any(corners < low) or np.any(corners > high):
        return False
    distance = MeshDistance(other).distance_and_gradient(corners)[0]
    return bool(np.all((distance < 0) == (other.volume_mm3 > 0)))


def _one_body(mesh: Mesh, *, closed: bool) -> Check:
    labels, count = body_labels(mesh)
    cavities = 0
    if closed and count > 1:
        parts = split_bodies(mesh)
        cavities = sum(p.volume_mm3 < 0 for p in parts)
    bodies = count - cavities
    words = "one body" if bodies == 1 else f"{bodies} separate bodies: they would fall apart"
    if cavities:
        words += f"; {cavities} closed cavities hold powder or resin"
    sizes = np.bincount(labels)
    place = None if bodies == 1 else point(mesh.triangles_ras[labels == sizes.argmin()][0].mean(axis=0))
    return Check("one body", bodies == 1 and not cavities, float(bodies), 1.0, "bodies", words, place)


def _no_self_intersection(mesh: Mesh) -> Check:
    count, place = self_intersections(mesh)
    words = "no triangle cuts another" if not count else f"{count} pairs of triangles cut each other"
    return Check("self-intersection", not count, float(count), 0.0, "pairs", words, point(place))


def _touching(mesh: Mesh) -> Check:
    found = touching_vertices(mesh)
    words = "the surface touches itself nowhere"
    if len(found):
        words = f"the surface touches itself at {len(found)} corners: what hangs together by a point breaks there"
    place = _place_of(mesh, int(found[0])) if len(found) else None
    return Check("touching corners", not len(found), float(len(found)), 0.0, "corners", words, place)


def _units(mesh: Mesh) -> Check:
    longest = float(np.ptp(mesh.bounds_ras, axis=0).max())
    low, high = _PLAUSIBLE_MM
    words, limit = f"longest side {longest:.1f} mm", high
    if longest < low:
        words, limit = f"the longest side is {longest:.3g} mm: the file is probably in metres or inches, not mm", low
    elif longest > high:
        words = f"the longest side is {longest:.0f} mm: the file is probably in micrometres, not mm"
    return Check("units", low <= longest <= high, longest, limit, "mm", words)


def _standing(mesh: Mesh, printer: PrinterPreset, asked: Sequence[float] | FloatArray | None) -> list[Check]:
    """Return whether the part fits on the bed as it stands, and what overhangs then (told; supports are no fault)."""
    if asked is None:
        up, _ = best_build_direction(mesh, printer.self_supporting_deg, printer.bed_mm)
    else:
        up = np.asarray(asked, dtype=np.float64)
        if up.shape != (3,) or not np.isfinite(up).all() or np.linalg.norm(up) < 1e-9:
            raise InputError("the build direction is not three numbers with a length")
        up = unit(up)
    fits = fits_bed(mesh.vertices_ras, up, printer.bed_mm)
    size = " x ".join(f"{e:.0f}" for e in np.sort(np.ptp(mesh.bounds_ras, axis=0))[::-1])
    towards = " ".join(f"{v:+.2f}" for v in up)
    height = float(np.ptp(mesh.vertices_ras @ up))
    bed = " x ".join(f"{b:.0f}" for b in printer.bed_mm)
    words = f"{size} mm, {height:.0f} mm high when built along {towards} RAS: "
    words += f"fits on the bed of {printer.name}" if fits else f"does not fit on the bed of {printer.name} ({bed} mm)"
    checks = [Check("bed", fits, height, float(printer.bed_mm[2]), "mm", words)]
    hanging = overhang(mesh, up, printer.self_supporting_deg)
    words = f"built along {towards} RAS nothing needs support"
    if hanging.place_ras is not None:
        words = (
            f"built along {towards} RAS {hanging.area_mm2:.0f} mm2 are flatter than {printer.self_supporting_deg:.0f} "
            f"degrees and need support, {hanging.largest_mm2:.0f} mm2 of it in one piece"
        )
    place = point(hanging.place_ras)
    return [*checks, Check("overhang", True, hanging.area_mm2, None, "mm2", words, place)]


def _wall(mesh: Mesh, printer: PrinterPreset) -> Check:
    wall = wall_thickness(mesh)
    if wall.place_ras is None:
        return Check("minimum wall", True, None, printer.min_wall_mm, "mm", "no thin wall: a block")
    good = wall.least_mm >= printer.min_wall_mm - 5e-3
    words = f"thinnest wall {wall.least_mm:.2f} mm" + (
        "" if good else f", {printer.name} needs {printer.min_wall_mm} mm"
    )
    return Check("minimum wall", good, wall.least_mm, printer.min_wall_mm, "mm", words, point(wall.place_ras))


def _gap(mesh: Mesh, printer: PrinterPreset) -> Check:
    gap = gap_width(mesh)
    if gap.place_ras is None:
        return Check("minimum gap", True, None, printer.min_gap_mm, "mm", "no gap: nothing lies opposite to anything")
    good = gap.least_mm >= printer.min_gap_mm - 5e-3
    words = f"narrowest gap {gap.least_mm:.2f} mm" + (
        "" if good else f"; {printer.name} fuses what is nearer than {printer.min_gap_mm} mm"
    )
    return Check("minimum gap", good, gap.least_mm, printer.min_gap_mm, "mm", words, point(gap.place_ras))
