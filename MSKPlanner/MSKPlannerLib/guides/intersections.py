"""Triangles of a mesh that cut each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from MSKFusionLib.frames import FloatArray, unit_rows

from ..mesh import IntArray, Mesh

#: Crossings shallower than this are rounding, not a fault: a micrometre, far below what any printer resolves.
_TOUCH_MM = 1e-3
_PAIRS_AT_ONCE = 400_000


def self_intersections(mesh: Mesh) -> tuple[int, FloatArray | None]:
    """Count pairs of triangles that cut each other, and return a place (3,) of one.

    Pairs come from a grid of cells and overlapping boxes; each is tested by its six edges against the other triangle
    (Moeller & Trumbore 1997, doi 10.1080/10867651.1997.10487468). Triangles with a common corner are tested by the
    edges that do not have it; triangles with a common edge count when one is folded flat onto the other. Faces that lie
    in one plane and overlap count as well.
    """
    a, b = _candidate_pairs(mesh)
    found = 0
    place: FloatArray | None = None
    for first in range(0, len(a), _PAIRS_AT_ONCE):
        part = slice(first, first + _PAIRS_AT_ONCE)
        hit, where = _cut(mesh, a[part], b[part])
        if hit.any() and place is None:
            place = where[int(hit.argmax())]
        found += int(hit.sum())
    return found, place


def _candidate_pairs(mesh: Mesh) -> tuple[IntArray, IntArray]:
    """Return pairs of triangles whose boxes overlap, each once."""
    t = mesh.triangles_ras
    size = float(np.median(np.ptp(t, axis=1))) * 2.5
    size = max(size, float((mesh.bounds_ras[1] - mesh.bounds_ras[0]).max()) / 400, 1e-6)
    origin = mesh.bounds_ras[0]
    pieces, triangle = _short_pieces(t, 3 * size)
    low, high = pieces.min(axis=1), pieces.max(axis=1)
    first, last = ((x - origin) / size for x in (low, high))
    first, last = np.floor(first).astype(np.int64), np.floor(last).astype(np.int64)
    span = last - first + 1
    count = span.prod(axis=1)
    owner = np.repeat(np.arange(len(pieces)), count)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    s = span[owner]
    cell = first[owner] + np.stack(
        [within % s[:, 0], within // s[:, 0] % s[:, 1], within // (s[:, 0] * s[:, 1])], axis=1
    )
    n = last.max(axis=0) + 1
    key = (cell[:, 2] * n[1] + cell[:, 1]) * n[0] + cell[:, 0]
    order = np.argsort(key, kind="stable")
    key, owner = key[order], owner[order]
    starts = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
    ends = np.repeat(np.r_[starts[1:], len(key)], np.diff(np.r_[starts, len(key)]))
    left, right = [], []
    # The k-th follower of every entry in its cell: as many rounds as the fullest cell has entries.
    step = 1
    rest = np.flatnonzero(np.arange(len(key)) + step < ends)
    # Axis by axis: whole rows of three are compared several times slower.
    lows, highs = np.ascontiguousarray(low.T), np.ascontiguousarray(high.T)
    while len(rest):
        i, j, at = owner[rest], owner[rest + step], key[rest]
        for lowest, highest in zip(lows, highs, strict=True):
            keep = np.flatnonzero((lowest[i] <= highest[j]) & (lowest[j] <= highest[i]))
            i, j, at = i[keep], j[keep], at[keep]
        # Two pieces share several cells; the pair counts in the cell where their boxes begin to overlap.
        c = [np.floor((np.maximum(a[i], a[j]) - o) / size).astype(np.int64) for a, o in zip(lows, origin, strict=True)]
        once = (c[2] * n[1] + c[1]) * n[0] + c[0] == at
        left.append(triangle[i[once]])
        right.append(triangle[j[once]])
        step += 1
        rest = rest[rest + step < ends[rest]]
    if not left:
        empty = np.empty(0, dtype=np.int64)
        return empty, empty
    a, b = np.concatenate(left), np.concatenate(right)
    pair = np.sort((np.minimum(a, b) * np.int64(len(t)) + np.maximum(a, b))[a != b])
    pair = pair[np.r_[True, pair[1:] != pair[:-1]]] if len(pair) else pair
    return pair // len(t), pair % len(t)


def _short_pieces(triangles: FloatArray, length: float) -> tuple[FloatArray, IntArray]:
    """Halve triangles with longer edges until none is: a long slanted one would fill a box with nothing."""
    pieces, owner = triangles, np.arange(len(triangles))
    for _ in range(40):
        sides = np.linalg.norm(pieces - np.roll(pieces, -1, axis=1), axis=2)
        long = sides.max(axis=1) > length
        if not long.any():
            break
        k = sides[long].argmax(axis=1)
        rows = np.arange(len(k))
        a, b, c = (pieces[long][rows, (k + m) % 3] for m in range(3))
        middle = (a + b) / 2
        halves = [np.stack([a, middle, c], axis=1), np.stack([middle, b, c], axis=1)]
        pieces = np.concatenate([pieces[~long], *halves])
        owner = np.concatenate([owner[~long], owner[long], owner[long]])
    return pieces, owner


def _cut(mesh: Mesh, a: IntArray, b: IntArray) -> tuple[NDArray[np.bool_], FloatArray]:
    """Return which pairs cut each other, and where."""
    ta, tb = mesh.triangles_ras[a], mesh.triangles_ras[b]
    fa, fb = mesh.faces[a], mesh.faces[b]
    same = fa[:, :, None] == fb[:, None, :]
    common = same.sum(axis=(1, 2))
    hit = np.zeros(len(a), dtype=bool)
    where = np.zeros((len(a), 3))
    for one, other, shared in ((ta, tb, same.any(axis=2)), (tb, ta, same.any(axis=1))):
        for k in range(3):
            m = (k + 1) % 3
            open_edge = (common < 2) & ~shared[:, k] & ~shared[:, m]
            index = np.flatnonzero(open_edge & ~hit)
            # Beside a common corner an edge may graze the border; strangers may meet border on border as well.
            inset = np.where(common[index] > 0, _TOUCH_MM, -1e-9)
            crosses, at = _edge_through(one[index, k], one[index, m], other[index], inset)
            hit[index[crosses]] = True
            where[index[crosses]] = at[crosses]
    flat = np.flatnonzero(~hit)
    lies = _flat_overlap(ta[flat], tb[flat], common[flat])
    hit[flat[lies]] = True
    where[flat[lies]] = ta[flat[lies]].mean(axis=1)
    return hit, where


def _edge_through(
    p: FloatArray, q: FloatArray, triangle: FloatArray, inset_mm: FloatArray
) -> tuple[NDArray[np.bool_], FloatArray]:
    """Return which edges p-q pass through their triangle, `inset_mm` inside its border, and where."""
    a, b, c = triangle[:, 0], triangle[:, 1], triangle[:, 2]
    normal = np.cross(b - a, c - a)
    length = np.linalg.norm(normal, axis=1)
    unit = normal / np.maximum(length, 1e-30)[:, None]
    dp, dq = np.einsum("ij,ij->i", p - a, unit), np.einsum("ij,ij->i", q - a, unit)
    across = (length > 1e-12) & (np.minimum(dp, dq) < -_TOUCH_MM) & (np.maximum(dp, dq) > _TOUCH_MM)
    t = np.where(across, dp / np.where(across, dp - dq, 1.0), 0.0)
    x = p + t[:, None] * (q - p)
    inside = across
    for one, two in ((a, b), (b, c), (c, a)):
        edge = two - one
        side = np.cross(unit, edge)
        reach = np.einsum("ij,ij->i", x - one, side) / np.maximum(np.linalg.norm(edge, axis=1), 1e-30)
        inside = inside & (reach > inset_mm)
    return inside, x


def _flat_overlap(ta: FloatArray, tb: FloatArray, common: IntArray) -> NDArray[np.bool_]:
    """Return which pairs lie in one plane and overlap by an area."""
    result = np.zeros(len(ta), dtype=bool)
    na, nb = (np.cross(t[:, 1] - t[:, 0], t[:, 2] - t[:, 0]) for t in (ta, tb))
    la, lb = np.linalg.norm(na, axis=1), np.linalg.norm(nb, axis=1)
    cosine = np.einsum("ij,ij->i", na, nb) / np.maximum(la * lb, 1e-30)
    offset = np.abs(np.einsum("ijk,ik->ij", tb - ta[:, :1], na / np.maximum(la, 1e-30)[:, None])).max(axis=1)
    # Neighbours by an edge that face the same way lie beside each other; folded ones face opposite ways.
    suspect = (la > 1e-8) & (lb > 1e-8) & (np.abs(cosine) > 1 - 1e-10) & (offset < 1e-6)
    suspect &= (common < 2) | (cosine < 0)
    index = np.flatnonzero(suspect)
    if not len(index):
        return result
    a, b = ta[index], tb[index]
    axis_u = unit_rows(a[:, 1] - a[:, 0])
    axis_v = np.cross(na[index] / la[index, None], axis_u)
    flat = [np.stack([np.einsum("ijk,ik->ij", t - a[:, :1], x) for x in (axis_u, axis_v)], axis=2) for t in (a, b)]
    apart = np.zeros(len(index), dtype=bool)
    for t in flat:
        for k in range(3):
            edge = t[:, (k + 1) % 3] - t[:, k]
            side = unit_rows(np.stack([-edge[:, 1], edge[:, 0]], axis=1))
            one, two = (np.einsum("ijk,ik->ij", x, side) for x in flat)
            apart |= (one.max(axis=1) <= two.min(axis=1) + _TOUCH_MM) | (two.max(axis=1) <= one.min(axis=1) + _TOUCH_MM)
    result[index[~apart]] = True
    return result
