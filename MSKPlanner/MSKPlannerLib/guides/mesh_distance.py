"""Exact signed distance to a closed mesh, at a price that hardly depends on how fine the mesh is."""

from __future__ import annotations

import os

import numpy as np
from scipy.spatial import cKDTree

from MSKFusionLib.errors import GeometryError
from MSKFusionLib.frames import FloatArray, unit_rows

from ..bone.region import Region
from ..mesh import IntArray, Mesh

#: Pairs of a point and a triangle that are worked on at once: few enough to stay in the processor's cache.
_PAIRS_AT_ONCE = 60_000
#: Triangles that reach further from their middle than this are looked up by smaller pieces.
_PIECE_MM = 0.8
#: Pieces a side of a triangle at most: what is longer is far from everything else in a bone.
_MOST_PARTS = 60
#: How many pieces are looked at: far off, within `_NEAR_MM` of the surface, and where those prove nothing.
_FAR_NEIGHBOURS, _NEAR_NEIGHBOURS, _MORE_NEIGHBOURS = 3, 16, (64, 256)
_NEAR_MM = 1.5
#: Fine surfaces are looked up from afar by one piece in a cell of this size, then around the foot on them.
_CELL_MM = 0.5
_FOOT_NEIGHBOURS = 8
#: More threads than this look things up no quicker.
_MOST_THREADS = 4


class MeshDistance:
    """Exact signed distance to a closed mesh.

    Every triangle is looked up by the middles of its pieces. The nearest triangle has a piece whose middle is no further
    than the distance and that piece's radius: with all pieces so near looked at it is found, and proven to be. The sign comes
    from the angle-weighted pseudo-normal of the nearest face, edge or vertex (Baerentzen & Aanaes 2005,
    doi 10.1109/TVCG.2005.49).

    Parameters
    ----------
    region
        Only the surface in it is looked at: enough for points whose distance is less than that to its border. None: all.

    Raises
    ------
    GeometryError
        When the mesh is not closed.
    """

    def __init__(self, mesh: Mesh, region: Region | None = None) -> None:
        if not mesh.is_closed:
            raise GeometryError(
                f"the bone surface is not closed ({mesh.edge_counts.open} open edges)",
                "Make it again from the segmentation, or mend it.",
                where="bone surface",
            )
        if region is not None:
            mesh = region.of(mesh)
        t = mesh.triangles_ras
        ab, ac = t[:, 1] - t[:, 0], t[:, 2] - t[:, 0]
        d00, d01, d11 = (np.einsum("ij,ij->i", x, y) for x, y in ((ab, ab), (ab, ac), (ac, ac)))
        det = np.maximum(d00 * d11 - d01**2, 1e-30)
        normal = unit_rows(np.cross(ab, ac))
        # One row a triangle: what a pair needs lies side by side in memory.
        self._rows = np.concatenate([t[:, 0], ab, ac, normal, np.stack([d00, d01, d11, 1.0 / det], axis=1)], axis=1)
        self._pseudo = _pseudo_normals(mesh, t, normal)
        self._threads = _threads()
        middles, self._owner, self._radius = _pieces(t)
        self._tree = _tree(middles)
        few = _one_a_cell(middles)
        # A point far from many others is dear to look up in a tree of them all.
        self._far = None if 2 * len(few) > len(middles) else _tree(middles[few])

    def distance_mm(self, points_ras: FloatArray) -> FloatArray:
        """Return the signed distance (N,) in mm, positive outside.

        Near the surface more pieces are looked at: there another triangle than the nearest may have the other sign. What
        is not proven is never too small, and too large by hundredths of a mm at most places.
        """
        p = np.atleast_2d(points_ras)
        distance = self._closest(p, _FAR_NEIGHBOURS)[0] if self._far is None else self._by_foot(p, self._far)
        near = np.flatnonzero(np.abs(distance) < _NEAR_MM)
        if len(near):
            distance[near] = self.near_distance_mm(p[near])
        return distance

    def near_distance_mm(self, points_ras: FloatArray) -> FloatArray:
        """Return what `distance_mm` does, quicker for points that are known to lie near the surface."""
        return self._closest(np.atleast_2d(points_ras), _NEAR_NEIGHBOURS)[0]

    def _by_foot(self, p: FloatArray, far: cKDTree) -> FloatArray:
        """Return distances by way of the foot: the nearest of few pieces, then what lies around it."""
        return self._closest(p, _FOOT_NEIGHBOURS, far.data[far.query(p, workers=self._threads)[1]])[0]

    def distance_and_gradient(self, points_ras: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the distance (N,), proven, and its unit gradient (N, 3); on the surface itself the outward normal."""
        p = np.atleast_2d(points_ras)
        distance, closest, normal, farthest = self._closest(p, _NEAR_NEIGHBOURS)
        looked_at, left = _NEAR_NEIGHBOURS, np.arange(len(p))
        for neighbours in _MORE_NEIGHBOURS:
            unproven = farthest < np.abs(distance[left]) + self._radius
            left = left[unproven]
            if not len(left) or looked_at >= self._tree.n:
                break
            looked_at = min(neighbours, self._tree.n)
            found = self._closest(p[left], looked_at)
            distance[left], closest[left], normal[left], farthest = found
        away = (p - closest) * np.where(distance < 0, -1.0, 1.0)[:, None]
        near = np.abs(distance) < 1e-6
        return distance, np.where(near[:, None], normal, unit_rows(away))

    def _closest(
        self, p: FloatArray, neighbours: int, around: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Return distance, closest point and normal there, and how far the farthest middle is that was looked at.

        The pieces that are nearest to the points are looked at, or those nearest to the points `around`.
        """
        neighbours = min(neighbours, self._tree.n)
        triangle, farthest = np.empty(len(p), dtype=np.int64), np.empty(len(p))
        block = max(1, _PAIRS_AT_ONCE // neighbours)
        for first in range(0, len(p), block):
            part = slice(first, first + block)
            looked_up = p[part] if around is None else around[part]
            away, piece = (
                a.reshape(-1, neighbours) for a in self._tree.query(looked_up, k=neighbours, workers=self._threads)
            )
            candidates = self._owner[piece]
            squared = self._squared_distances(p[part], candidates, away if around is None else None)
            best = squared.argmin(axis=1)
            triangle[part] = candidates[np.arange(len(candidates)), best]
            farthest[part] = away[:, -1]
        closest, region = self._closest_on(p, triangle)
        normal = self._pseudo[triangle, region]
        away = p - closest
        sign = np.where(np.einsum("ij,ij->i", away, normal) < 0, -1.0, 1.0)
        return sign * np.linalg.norm(away, axis=1), closest, normal, farthest

    def _squared_distances(self, p: FloatArray, candidates: IntArray, away: FloatArray | None) -> FloatArray:
        """Return the squared distances (N, K) of points to triangles; infinite where a nearer one is certain already.

        Parameters
        ----------
        away
            (N, K) distances to the pieces' middles, ascending; None: not known.
        """
        few = candidates.shape[1] if away is None else min(6, candidates.shape[1])
        result = np.full(candidates.shape, np.inf)
        result[:, :few] = self._pairs(np.repeat(p, few, axis=0), candidates[:, :few].ravel()).reshape(-1, few)
        if away is not None and few < candidates.shape[1]:
            least = np.sqrt(result[:, :few].min(axis=1))
            row, column = np.nonzero(away[:, few:] - self._radius < least[:, None])
            result[row, column + few] = self._pairs(p[row], candidates[row, column + few])
        return result

    def _pairs(self, p: FloatArray, t: IntArray) -> FloatArray:
        """Return the squared distance of each point to its triangle."""
        r = self._rows[t].T.copy()
        vx, vy, vz = p[:, 0] - r[0], p[:, 1] - r[1], p[:, 2] - r[2]
        d00, d01, d11, inverse = r[12], r[13], r[14], r[15]
        vv = vx * vx + vy * vy + vz * vz
        d1 = vx * r[3] + vy * r[4] + vz * r[5]
        d2 = vx * r[6] + vy * r[7] + vz * r[8]
        s, q = (d11 * d1 - d01 * d2) * inverse, (d00 * d2 - d01 * d1) * inverse
        inside = (s >= 0) & (q >= 0) & (s + q <= 1)
        # Squared distances to the plane (where the foot lies inside) and to the three edges otherwise.
        plane = (vx * r[9] + vy * r[10] + vz * r[11]) ** 2
        k = np.minimum(np.maximum(d1 / np.maximum(d00, 1e-30), 0.0), 1.0)
        edge = vv - 2 * k * d1 + k * k * d00
        k = np.minimum(np.maximum(d2 / np.maximum(d11, 1e-30), 0.0), 1.0)
        edge = np.minimum(edge, vv - 2 * k * d2 + k * k * d11)
        bc2, bp2, bpbc = d00 + d11 - 2 * d01, vv - 2 * d1 + d00, d2 - d1 + d00 - d01
        k = np.minimum(np.maximum(bpbc / np.maximum(bc2, 1e-30), 0.0), 1.0)
        edge = np.minimum(edge, bp2 - 2 * k * bpbc + k * k * bc2)
        return np.where(inside, plane, np.maximum(edge, 0.0))

    def _closest_on(self, p: FloatArray, t: IntArray) -> tuple[FloatArray, IntArray]:
        """Return the closest points and their feature: 0 face, 1 to 3 corners a b c, 4 to 6 edges ab bc ca."""
        r = self._rows[t]
        a, ab, ac = r[:, 0:3], r[:, 3:6], r[:, 6:9]
        d00, d01, d11, inverse = r[:, 12], r[:, 13], r[:, 14], r[:, 15]
        v = p - a
        d1, d2 = np.einsum("ij,ij->i", v, ab), np.einsum("ij,ij->i", v, ac)
        s, q = (d11 * d1 - d01 * d2) * inverse, (d00 * d2 - d01 * d1) * inverse
        inside = (s >= 0) & (q >= 0) & (s + q <= 1)
        k_ab = np.clip(d1 / np.maximum(d00, 1e-30), 0, 1)
        k_ca = 1 - np.clip(d2 / np.maximum(d11, 1e-30), 0, 1)
        k_bc = np.clip((d2 - d1 + d00 - d01) / np.maximum(d00 + d11 - 2 * d01, 1e-30), 0, 1)
        weights = np.stack(
            [
                np.stack([1 - s - q, s, q], axis=1),
                np.stack([1 - k_ab, k_ab, 0 * k_ab], axis=1),
                np.stack([0 * k_bc, 1 - k_bc, k_bc], axis=1),
                np.stack([k_ca, 0 * k_ca, 1 - k_ca], axis=1),
            ]
        )
        feet = weights[..., 1, None] * ab + weights[..., 2, None] * ac
        squared = ((v - feet) ** 2).sum(axis=2)
        squared[0] = np.where(inside, -1.0, np.inf)
        choice = squared.argmin(axis=0)
        rows = np.arange(len(t))
        w = weights[choice, rows]
        corner = w > 1 - 1e-9
        region = np.where(choice == 0, 0, choice + 3)
        region = np.where(corner.any(axis=1), 1 + corner.argmax(axis=1), region)
        return a + feet[choice, rows], region


def _pseudo_normals(mesh: Mesh, triangles: FloatArray, normal: FloatArray) -> FloatArray:
    """Return (M, 7, 3): the normals of each triangle's face, corners a b c and edges ab bc ca."""
    faces = mesh.faces
    along = [unit_rows(triangles[:, k - 2] - triangles[:, k]) for k in range(3)]
    size = len(mesh.vertices_ras)
    weighted = np.empty((3, len(faces), 3))
    for k in range(3):
        angle = np.arccos(np.clip(np.einsum("ij,ij->i", along[k], -along[k - 1]), -1, 1))
        weighted[k] = normal * angle[:, None]
    corner = faces.T.ravel()
    vertex = np.stack([np.bincount(corner, weighted[..., c].ravel(), minlength=size) for c in range(3)], axis=1)
    edges = np.stack([faces, np.roll(faces, -1, axis=1)], axis=2)
    key = (edges.min(axis=2) * np.int64(size) + edges.max(axis=2)).ravel()
    order = np.argsort(key, kind="stable")
    # The two triangles of an edge lie side by side in this order.
    first = np.r_[True, key[order][1:] != key[order][:-1]]
    number = np.empty(len(key), dtype=np.int64)
    number[order] = np.cumsum(first) - 1
    of_edge = np.repeat(normal, 3, axis=0)
    edge = np.stack([np.bincount(number, of_edge[:, c]) for c in range(3)], axis=1)[number].reshape(-1, 3, 3)
    return np.concatenate([normal[:, None], vertex[faces], edge], axis=1)


def _threads() -> int:
    """Return how many threads look things up: as many as OMP_NUM_THREADS says, else one a core, up to four; what they find is the same."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdigit() and int(asked) > 0 else min(_MOST_THREADS, os.cpu_count() or 1)


def _tree(points: FloatArray) -> cKDTree:
    """Return a tree of points on a surface; built so, points off the surface are looked up twice as fast."""
    return cKDTree(points, leafsize=32, compact_nodes=False)


def _one_a_cell(points: FloatArray) -> IntArray:
    """Return the index of one point in every cell of `_CELL_MM` that holds any."""
    cell = np.floor((points - points.min(axis=0)) / _CELL_MM).astype(np.int64)
    size = cell.max(axis=0) + 1
    return np.unique((cell[:, 2] * size[1] + cell[:, 1]) * size[0] + cell[:, 0], return_index=True)[1]


def _pieces(triangles: FloatArray) -> tuple[FloatArray, IntArray, float]:
    """Return the middles (K, 3) of pieces of all triangles, the triangle of each, and how far a piece reaches at most."""
    reach = np.linalg.norm(triangles - triangles.mean(axis=1, keepdims=True), axis=2).max(axis=1)
    parts = np.minimum(np.ceil(reach / _PIECE_MM), _MOST_PARTS).astype(int)
    middles, owners = [], []
    for n in np.unique(parts):
        which = np.flatnonzero(parts == n)
        n = max(1, int(n))
        i, j = (g.ravel() for g in np.meshgrid(np.arange(n), np.arange(n), indexing="ij"))
        # A triangle in n x n alike pieces: those that stand as it does, and those that stand on their heads.
        up, down = i + j <= n - 1, i + j <= n - 2
        s = np.concatenate([i[up] + 1 / 3, i[down] + 2 / 3]) / n
        q = np.concatenate([j[up] + 1 / 3, j[down] + 2 / 3]) / n
        w = np.stack([1 - s - q, s, q], axis=1)
        middles.append(np.einsum("kw,mwc->mkc", w, triangles[which]).reshape(-1, 3))
        owners.append(np.repeat(which, len(w)))
    radius = float((reach / np.maximum(parts, 1)).max(initial=0.0))
    return np.concatenate(middles), np.concatenate(owners).astype(np.int64), radius
