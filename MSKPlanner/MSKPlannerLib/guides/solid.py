"""Exact solids by manifold3d, with the status of every operation looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from MSKFusionLib.errors import ProcessingError
from MSKFusionLib.frames import FloatArray, perpendicular_axes, unit

from ..mesh import IntArray, Mesh, merge_vertices

#: Corners nearer than this along an edge become one: single precision keeps no triangle between them.
_SHORT_EDGE_MM = 2e-4
#: A needle that cannot be flipped away loses its shortest edge where that is shorter than this.
_NEEDLE_MM = 5e-3
#: A triangle lower than this is degenerate: it has no direction in single precision.
LEAST_HEIGHT_MM = 1e-5


def to_manifold(mesh: Mesh, what: str) -> Any:
    """Return a `manifold3d.Manifold` of a closed mesh in double precision.

    Raises
    ------
    ProcessingError
        When the mesh is not closed; it names `what`.
    """
    import manifold3d as m3

    # manifold3d refuses read-only arrays, which those of a mesh that came from it are.
    vertices = np.require(mesh.vertices_ras, requirements=["C", "W"])
    solid = m3.Manifold(m3.Mesh64(vert_properties=vertices, tri_verts=np.array(mesh.faces, dtype=np.uint64, order="C")))
    return checked(solid, what)


def from_manifold(solid: Any) -> Mesh:
    """Return the triangles of a manifold."""
    raw = solid.to_mesh64()
    return Mesh(np.asarray(raw.vert_properties)[:, :3], np.asarray(raw.tri_verts).astype(np.int64))


def checked(solid: Any, what: str) -> Any:
    """Return `solid` when its operation went well and something is left of it.

    Raises
    ------
    ProcessingError
        With the operation and the reason that manifold3d gives.
    """
    import manifold3d as m3

    status = solid.status()
    if status != m3.Error.NoError:
        raise ProcessingError(f"{what}: the solid does not close ({status.name}).")
    if solid.is_empty():
        raise ProcessingError(f"{what}: nothing is left of the solid.")
    return solid


def cylinder(start_ras: FloatArray, end_ras: FloatArray, radius_mm: float, *, around: bool, segments: int = 96) -> Any:
    """Return a cylinder from `start_ras` to `end_ras`.

    Parameters
    ----------
    around
        True: the facets touch the circle from outside (a bore is never too narrow). False: from inside.
    """
    import manifold3d as m3

    axis = np.asarray(end_ras, dtype=np.float64) - start_ras
    radius = radius_mm / np.cos(np.pi / segments) if around else radius_mm
    w = unit(axis)
    u, v = perpendicular_axes(w)
    placed = np.column_stack([u, v, w, start_ras])
    return m3.Manifold.cylinder(float(np.linalg.norm(axis)), radius, circular_segments=segments).transform(placed)


def box(corner_low: FloatArray, corner_high: FloatArray, frame_to_ras: FloatArray) -> Any:
    """Return a box between two corners of a rigid 4x4 frame."""
    import manifold3d as m3

    low = np.asarray(corner_low, dtype=np.float64)
    size = np.asarray(corner_high, dtype=np.float64) - low
    return m3.Manifold.cube(size.tolist()).translate(low.tolist()).transform(frame_to_ras[:3])


def largest_body(solid: Any) -> tuple[Any, list[float]]:
    """Return the largest body and the volumes in mm3 of the others, which are dropped."""
    bodies = sorted(solid.decompose(), key=lambda b: -b.volume())
    return bodies[0], [float(b.volume()) for b in bodies[1:]]


def tidied(solid: Any, tolerance_mm: float) -> Any:
    """Return the solid with details below the tolerance merged away (far below what any printer resolves)."""
    return checked(solid.simplify(tolerance_mm), "tidying the triangles")


def overlap_mm3(one: Mesh, other: Mesh) -> float:
    """Return the volume that two closed meshes share, mm3."""
    return float((to_manifold(one, "overlap: first mesh") ^ to_manifold(other, "overlap: second mesh")).volume())


def without_short_edges(mesh: Mesh, length_mm: float) -> Mesh:
    """Return a mesh whose corners nearer than `length_mm` along an edge are one; triangles that vanish go."""
    edges = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    ends = mesh.vertices_ras[edges]
    return _with_ends_joined(mesh, edges[np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1) < length_mm])


def _with_ends_joined(mesh: Mesh, short: IntArray) -> Mesh:
    """Return a mesh in which the corners of some edges (N, 2) are one."""
    into = np.arange(len(mesh.vertices_ras))
    for _ in range(len(short) + 1):
        before = into.copy()
        np.minimum.at(into, short[:, 0], into[short[:, 1]])
        np.minimum.at(into, short[:, 1], into[short[:, 0]])
        if np.array_equal(before, into):
            break
    f = into[mesh.faces]
    f = f[(f[:, 0] != f[:, 1]) & (f[:, 1] != f[:, 2]) & (f[:, 2] != f[:, 0])]
    used, faces = np.unique(f, return_inverse=True)
    return Mesh(mesh.vertices_ras[used], faces.reshape(-1, 3))


def heights_mm(mesh: Mesh) -> FloatArray:
    """Return the height (M,) of every triangle over its longest edge."""
    t = mesh.triangles_ras
    longest = np.linalg.norm(t - np.roll(t, -1, axis=1), axis=2).max(axis=1)
    return np.asarray(2 * np.linalg.norm(mesh.face_area_vectors, axis=1) / np.maximum(longest, 1e-30))


def without_slivers(mesh: Mesh, height_mm: float) -> Mesh:
    """Return a closed mesh with triangles lower than `height_mm` turned away by flipping their longest edge.

    The surface moves by less than that height. A triangle is left whose flip would make an edge twice, or another triangle
    as low: two beside each other would be flipped to and fro.
    """
    faces = mesh.faces.copy()
    for _ in range(4):
        t = mesh.vertices_ras[faces]
        sides = np.linalg.norm(t - np.roll(t, -1, axis=1), axis=2)
        area = np.linalg.norm(np.cross(t[:, 1] - t[:, 0], t[:, 2] - t[:, 0]), axis=1)
        flat = np.flatnonzero(area < height_mm * sides.max(axis=1))
        if not len(flat):
            break
        for face in flat:
            _flip_longest_edge(mesh.vertices_ras, faces, int(face), int(sides[face].argmax()))
    return Mesh(mesh.vertices_ras, faces)


def without_needles(mesh: Mesh, height_mm: float, length_mm: float) -> Mesh:
    """Return a closed mesh in which triangles lower than `height_mm` whose shortest edge is shorter than `length_mm` have lost that edge.

    Its ends become one where one of them was, or else midway, as leaves the triangles round it higher. An edge stays where that would
    leave a triangle as low as the needle, turn one over, or join the surface to itself.
    """
    vertices, faces = mesh.vertices_ras.copy(), mesh.faces.copy()
    left = np.ones(len(faces), dtype=bool)
    for face in np.flatnonzero(heights_mm(mesh) < height_mm):
        t = vertices[faces[face]]
        sides = np.linalg.norm(t - np.roll(t, -1, axis=0), axis=1)
        k = int(sides.argmin())
        # What was joined before may have done away with it, or made it high enough.
        if left[face] and sides[k] < length_mm and heights_mm(Mesh(vertices, faces[[face]]))[0] < height_mm:
            _join_ends(vertices, faces, left, int(faces[face, k]), int(faces[face, (k + 1) % 3]))
    used, compact = np.unique(faces[left], return_inverse=True)
    return Mesh(vertices[used], compact.reshape(-1, 3))


def _join_ends(vertices: FloatArray, faces: IntArray, left: NDArray[np.bool_], a: int, b: int) -> None:
    """Make the ends of an edge one, in place, where that leaves no triangle lower than the lowest round it was."""
    of_a, of_b = ((faces == v).any(axis=1) & left for v in (a, b))
    gone, around = of_a & of_b, np.flatnonzero(of_a ^ of_b)
    opposite = set(faces[gone].ravel().tolist()) - {a, b}
    if gone.sum() != 2 or (set(faces[of_a].ravel().tolist()) & set(faces[of_b].ravel().tolist())) - {a, b} != opposite:
        return
    before = Mesh(vertices, faces[around])
    joined = np.where(faces[around] == b, a, faces[around])
    lowest = float(heights_mm(Mesh(vertices, faces[of_a | of_b])).min())
    solid = heights_mm(before) >= LEAST_HEIGHT_MM
    place, middle = None, ((vertices[a] + vertices[b]) / 2).astype(np.float32).astype(np.float64)
    for there in (vertices[a].copy(), vertices[b].copy(), middle):
        if there is middle and place is not None:
            break
        moved = vertices.copy()
        moved[a] = there
        after = Mesh(moved, joined)
        turned = np.einsum("ij,ij->i", before.face_area_vectors, after.face_area_vectors)[solid] <= 0
        height = float(heights_mm(after).min())
        if height > lowest and not turned.any():
            lowest, place = height, there
    if place is not None:
        vertices[a], faces[around], left[gone] = place, joined, False


def _flip_longest_edge(vertices_ras: FloatArray, faces: IntArray, face: int, side: int) -> None:
    a, b, c = (int(faces[face, (side + k) % 3]) for k in range(3))
    across = np.flatnonzero((faces == a).any(axis=1) & (faces == b).any(axis=1))
    across = across[across != face]
    if len(across) != 1:
        return
    other = int(across[0])
    d = int(next(v for v in faces[other] if v not in (a, b)))
    if d == c or ((faces == c).any(axis=1) & (faces == d).any(axis=1)).any():
        return
    flipped = np.array([(a, d, c), (d, b, c)])
    if heights_mm(Mesh(vertices_ras, flipped)).min() > heights_mm(Mesh(vertices_ras, faces[[face, other]])).min():
        faces[face], faces[other] = flipped


def printable(solid: Any, what: str) -> Mesh:
    """Return the mesh in coordinates that single-precision files keep, still closed, and without flat triangles where that can be.

    Raises
    ------
    ProcessingError
        When it does not stay closed.
    """
    closed: Mesh | None = None
    for tolerance in (5e-4, 2e-3, 1e-2):
        mesh = from_manifold(tidied(solid, tolerance))
        rounded = merge_vertices(Mesh(mesh.vertices_ras.astype(np.float32).astype(np.float64), mesh.faces))
        joined = without_short_edges(rounded, _SHORT_EDGE_MM)
        # Corners of a narrow neck made one would leave an edge of four triangles: then the short edges stay.
        kept = without_slivers(joined if joined.is_closed else rounded, 2 * LEAST_HEIGHT_MM)
        kept = without_needles(kept, 2 * LEAST_HEIGHT_MM, _NEEDLE_MM)
        if kept.is_closed and (heights_mm(kept) >= LEAST_HEIGHT_MM).all():
            return kept
        # A needle that cannot be turned away goes with the next larger detail; where none helps, the checks tell of it.
        closed = kept if closed is None and kept.is_closed else closed
    if closed is not None:
        return closed
    raise ProcessingError(f"{what}: the finished guide does not stay closed in single precision.")
