"""Signed distances to bone: exact ones to a mesh, and fields of them on a grid along the insertion direction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from MSKFusionLib.errors import GeometryError, ProcessingError
from MSKFusionLib.frames import FloatArray, unit_rows
from MSKFusionLib.isosurface import zero_surface

from ..mesh import IntArray, Mesh

#: Pairs of a point and a triangle that are worked on at once; bounds the memory (about 200 bytes a pair).
_PAIRS_AT_ONCE = 1_000_000
#: Triangles with longer edges get sample points inside, so that the nearest samples always name the nearest triangle.
_SAMPLE_SPACING_MM = 1.5
_CLUSTER_MM = 0.4
#: Points nearer to the surface than this are answered from so many samples: 8 were wrong by up to 0.2 mm beside slivers in 1 of 300.
_NEAR_MM, _NEAR_NEIGHBOURS = 1.5, 16
#: For a gradient: so many where those prove nothing.
_MORE_NEIGHBOURS = (32, 96)
#: Every point of a triangle lies this near to a sample of that triangle.
_COVER_MM = _SAMPLE_SPACING_MM / np.sqrt(3.0) + _CLUSTER_MM * np.sqrt(3.0) / 2
#: Opening does not round edges of the solid that stick out of it by less than this: square ones stay.
_OPENING_SLACK_MM = 0.33


@runtime_checkable
class HasDepth(Protocol):
    """A bone given by its depth: positive inside, mm."""

    def depth_mm(self, points_ras: FloatArray) -> FloatArray:
        """Return the depth (N,) of points (N, 3)."""


DepthFunction = Callable[[FloatArray], FloatArray]
Field = NDArray[np.float32]
#: What a bone may be given as: its closed surface, or its depth (positive inside).
Bone = Mesh | HasDepth | DepthFunction


class Distance(Protocol):
    """A signed distance in mm, positive outside."""

    def distance_mm(self, points_ras: FloatArray) -> FloatArray:
        """Return the distance (N,) of points (N, 3)."""

    def distance_and_gradient(self, points_ras: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the distance (N,) and its unit gradient (N, 3), which points away from the bone."""


def distance_to(bone: Bone, centre_ras: FloatArray | None = None, reach_mm: float = np.inf) -> Distance:
    """Return the signed distance of a bone in whatever way it is given.

    Parameters
    ----------
    centre_ras, reach_mm
        Only the surface in this ball is looked at: enough for points whose distance is less than that to its border.

    Raises
    ------
    GeometryError
        When a mesh is not closed: inside and outside are not defined then.
    """
    if isinstance(bone, Mesh):
        return MeshDistance(bone, centre_ras, reach_mm)
    return DepthDistance(bone.depth_mm if isinstance(bone, HasDepth) else bone)


class DepthDistance:
    """Signed distance from a depth function; the gradient by central differences."""

    def __init__(self, depth: DepthFunction, step_mm: float = 0.05) -> None:
        self._depth, self._step = depth, step_mm

    def distance_mm(self, points_ras: FloatArray) -> FloatArray:
        """Return the signed distance (N,) in mm, positive outside."""
        return -np.asarray(self._depth(points_ras), dtype=np.float64)

    def distance_and_gradient(self, points_ras: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the distance (N,) and its unit gradient (N, 3)."""
        shifts = self._step * np.eye(3)
        slope = [self.distance_mm(points_ras + s) - self.distance_mm(points_ras - s) for s in shifts]
        return self.distance_mm(points_ras), unit_rows(np.stack(slope, axis=1))


class MeshDistance:
    """Exact signed distance to a closed mesh.

    The nearest triangle is sought among those around the nearest surface samples; the sign comes from the
    angle-weighted pseudo-normal of the nearest face, edge or vertex (Baerentzen & Aanaes 2005,
    doi 10.1109/TVCG.2005.49).

    Raises
    ------
    GeometryError
        When the mesh is not closed.
    """

    def __init__(self, mesh: Mesh, centre_ras: FloatArray | None = None, reach_mm: float = np.inf) -> None:
        if not mesh.is_closed:
            raise GeometryError(
                f"the bone surface is not closed ({mesh.edge_counts.open} open edges)",
                "Make it again from the segmentation, or mend it.",
                where="bone surface",
            )
        if centre_ras is not None:
            mesh = _within(mesh, centre_ras, reach_mm)
        t = mesh.triangles_ras
        self._a, self._ab, self._ac = t[:, 0], t[:, 1] - t[:, 0], t[:, 2] - t[:, 0]
        self._d00 = np.einsum("ij,ij->i", self._ab, self._ab)
        self._d01 = np.einsum("ij,ij->i", self._ab, self._ac)
        self._d11 = np.einsum("ij,ij->i", self._ac, self._ac)
        self._det = np.maximum(self._d00 * self._d11 - self._d01**2, 1e-30)
        self._normal = unit_rows(np.cross(self._ab, self._ac))
        self._pseudo = _pseudo_normals(mesh, self._normal)
        samples, self._triangles, self._start = _surface_samples(mesh)
        self._tree = cKDTree(samples)

    def distance_mm(self, points_ras: FloatArray, neighbours: int = 2) -> FloatArray:
        """Return the signed distance (N,) in mm, positive outside.

        Near the surface more samples are looked at: there another triangle than the nearest may have the other sign.
        """
        p = np.atleast_2d(points_ras)
        distance = self._closest(p, neighbours)[0]
        near = np.flatnonzero(np.abs(distance) < _NEAR_MM)
        if len(near) and neighbours < _NEAR_NEIGHBOURS:
            distance[near] = self._closest(p[near], _NEAR_NEIGHBOURS)[0]
        return distance

    def distance_and_gradient(self, points_ras: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the distance (N,) and its unit gradient (N, 3); on the surface itself the outward normal."""
        p = np.atleast_2d(points_ras)
        distance, closest, normal, farthest = self._closest(p, _NEAR_NEIGHBOURS)
        # The nearest triangle has a sample within its distance and _COVER_MM: with all of those looked at it is found.
        looked_at, open_points = _NEAR_NEIGHBOURS, np.arange(len(p))
        for neighbours in _MORE_NEIGHBOURS:
            unproven = farthest < np.abs(distance[open_points]) + _COVER_MM
            open_points = open_points[unproven]
            if not len(open_points) or looked_at >= self._tree.n:
                break
            looked_at = min(neighbours, self._tree.n)
            found = self._closest(p[open_points], looked_at)
            distance[open_points], closest[open_points], normal[open_points], farthest = found
        away = (p - closest) * np.where(distance < 0, -1.0, 1.0)[:, None]
        near = np.abs(distance) < 1e-6
        return distance, np.where(near[:, None], normal, unit_rows(away))

    def _closest(self, p: FloatArray, neighbours: int) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Return distance, closest point and normal there, and how far the farthest sample is that was looked at."""
        triangle, farthest = np.empty(len(p), dtype=np.int64), np.empty(len(p))
        block = max(1, _PAIRS_AT_ONCE // (8 * neighbours))
        for first in range(0, len(p), block):
            part = slice(first, first + block)
            triangle[part], farthest[part] = self._nearest_triangle(p[part], neighbours)
        closest, region = self._closest_on(p, triangle)
        normal = self._pseudo[triangle, region]
        away = p - closest
        sign = np.where(np.einsum("ij,ij->i", away, normal) < 0, -1.0, 1.0)
        return sign * np.linalg.norm(away, axis=1), closest, normal, farthest

    def _nearest_triangle(self, p: FloatArray, neighbours: int) -> tuple[IntArray, FloatArray]:
        # A surface with fewer samples than are asked for has them all.
        away, sample = (a.reshape(len(p), -1) for a in self._tree.query(p, k=min(neighbours, self._tree.n)))
        count = (self._start[sample + 1] - self._start[sample]).ravel()
        total = count.reshape(len(p), -1).sum(axis=1)
        ends = np.cumsum(count)
        within = np.arange(ends[-1]) - np.repeat(ends - count, count)
        candidates = self._triangles[np.repeat(self._start[sample].ravel(), count) + within]
        squared = self._squared_distance(np.repeat(p, total, axis=0), candidates)
        starts = np.concatenate([[0], np.cumsum(total)[:-1]])
        least = np.minimum.reduceat(squared, starts)
        hits = np.flatnonzero(squared <= np.repeat(least, total))
        owner = np.searchsorted(starts, hits, side="right") - 1
        return candidates[hits[np.r_[True, owner[1:] != owner[:-1]]]], away[:, -1]

    def _squared_distance(self, p: FloatArray, t: IntArray) -> FloatArray:
        v, ab, ac, d00, d01, d11 = p - self._a[t], self._ab[t], self._ac[t], self._d00[t], self._d01[t], self._d11[t]
        vv = np.einsum("ij,ij->i", v, v)
        d1, d2 = np.einsum("ij,ij->i", v, ab), np.einsum("ij,ij->i", v, ac)
        s, r = (d11 * d1 - d01 * d2) / self._det[t], (d00 * d2 - d01 * d1) / self._det[t]
        inside = (s >= 0) & (r >= 0) & (s + r <= 1)
        # Squared distances to the plane (where the foot lies inside) and to the three edges otherwise.
        plane = np.einsum("ij,ij->i", v, self._normal[t]) ** 2
        k = np.clip(d1 / np.maximum(d00, 1e-30), 0, 1)
        edge = vv - 2 * k * d1 + k * k * d00
        k = np.clip(d2 / np.maximum(d11, 1e-30), 0, 1)
        edge = np.minimum(edge, vv - 2 * k * d2 + k * k * d11)
        bc2, bp2, bpbc = d00 + d11 - 2 * d01, vv - 2 * d1 + d00, d2 - d1 + d00 - d01
        k = np.clip(bpbc / np.maximum(bc2, 1e-30), 0, 1)
        edge = np.minimum(edge, bp2 - 2 * k * bpbc + k * k * bc2)
        return np.where(inside, plane, np.maximum(edge, 0.0))

    def _closest_on(self, p: FloatArray, t: IntArray) -> tuple[FloatArray, IntArray]:
        """Return the closest points and their feature: 0 face, 1 to 3 corners a b c, 4 to 6 edges ab bc ca."""
        v, ab, ac, d00, d01, d11 = p - self._a[t], self._ab[t], self._ac[t], self._d00[t], self._d01[t], self._d11[t]
        d1, d2 = np.einsum("ij,ij->i", v, ab), np.einsum("ij,ij->i", v, ac)
        s, r = (d11 * d1 - d01 * d2) / self._det[t], (d00 * d2 - d01 * d1) / self._det[t]
        inside = (s >= 0) & (r >= 0) & (s + r <= 1)
        k_ab = np.clip(d1 / np.maximum(d00, 1e-30), 0, 1)
        k_ca = 1 - np.clip(d2 / np.maximum(d11, 1e-30), 0, 1)
        k_bc = np.clip((d2 - d1 + d00 - d01) / np.maximum(d00 + d11 - 2 * d01, 1e-30), 0, 1)
        weights = np.stack(
            [
                np.stack([1 - s - r, s, r], axis=1),
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
        return self._a[t] + feet[choice, rows], region


def _pseudo_normals(mesh: Mesh, normal: FloatArray) -> FloatArray:
    """Return (M, 7, 3): the normals of each triangle's face, corners a b c and edges ab bc ca."""
    faces, t = mesh.faces, mesh.triangles_ras
    size = len(mesh.vertices_ras)
    weighted = np.empty((3, len(faces), 3))
    for k in range(3):
        one, two = unit_rows(t[:, k - 2] - t[:, k]), unit_rows(t[:, k - 1] - t[:, k])
        weighted[k] = normal * np.arccos(np.clip(np.einsum("ij,ij->i", one, two), -1, 1))[:, None]
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


def _within(mesh: Mesh, centre_ras: FloatArray, reach_mm: float) -> Mesh:
    """Return the triangles with a corner in a ball."""
    near = np.linalg.norm(mesh.vertices_ras - centre_ras, axis=1) < reach_mm
    keep = near[mesh.faces].any(axis=1)
    if not keep.any():
        # Nothing is near: any one triangle says that it is far.
        keep[np.linalg.norm(mesh.triangles_ras.mean(axis=1) - centre_ras, axis=1).argmin()] = True
    used = np.zeros(len(mesh.vertices_ras), dtype=bool)
    used[mesh.faces[keep]] = True
    return Mesh(mesh.vertices_ras[used], (np.cumsum(used) - 1)[mesh.faces[keep]])


def _surface_samples(mesh: Mesh) -> tuple[FloatArray, IntArray, IntArray]:
    """Return sample points on the surface and, as a list with offsets, the triangles that each belongs to."""
    # Corners that lie close together are one sample: around the tip of a sliver there is nothing but slivers.
    cell = np.floor((mesh.vertices_ras - mesh.vertices_ras.min(axis=0)) / _CLUSTER_MM).astype(np.int64)
    size = cell.max(axis=0) + 1
    key = (cell[:, 2] * size[1] + cell[:, 1]) * size[0] + cell[:, 0]
    order = np.argsort(key, kind="stable")
    cluster = np.empty(len(key), dtype=np.int64)
    cluster[order] = np.cumsum(np.r_[True, key[order][1:] != key[order][:-1]]) - 1
    count = np.bincount(cluster)
    middle = np.stack([np.bincount(cluster, weights=c) / count for c in mesh.vertices_ras.T], axis=1)
    pairs = np.unique(
        cluster[mesh.faces.ravel()] * np.int64(len(mesh.faces)) + np.repeat(np.arange(len(mesh.faces)), 3)
    )
    points, owners = [middle], [pairs % len(mesh.faces)]
    counts = [np.bincount(pairs // len(mesh.faces), minlength=len(middle))]
    t = mesh.triangles_ras
    longest = np.linalg.norm(t - np.roll(t, -1, axis=1), axis=2).max(axis=1)
    parts = np.ceil(longest / _SAMPLE_SPACING_MM).astype(int)
    for n in np.unique(parts[parts > 1]):
        which = np.flatnonzero(parts == n)
        n = min(int(n), 60)
        i, j = (g.ravel() for g in np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij"))
        keep = i + j <= n
        w = np.stack([n - i - j, i, j], axis=1)[keep] / n
        points.append(np.einsum("kw,mwc->mkc", w, t[which]).reshape(-1, 3))
        owners.append(np.repeat(which, len(w)))
        counts.append(np.ones(len(which) * len(w), dtype=np.int64))
    points[0], counts[0] = points[0][counts[0] > 0], counts[0][counts[0] > 0]
    start = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64)
    return np.concatenate(points), np.concatenate(owners).astype(np.int64), start


# ---------------------------------------------------------------------------------------------------------------- grid
@dataclass(frozen=True, eq=False)
class Grid:
    """A regular grid of cubes in a turned frame; arrays on it have the shape (U, V, W).

    Parameters
    ----------
    grid_to_ras
        Rigid 4x4; columns are the directions u, v, w, the last is where the first node lies.
    """

    grid_to_ras: FloatArray
    spacing_mm: float
    shape: tuple[int, int, int]

    def axes(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the grid coordinates in mm along u, v, w, shaped to broadcast to the grid."""
        u, v, w = (np.arange(n, dtype=np.float64) * self.spacing_mm for n in self.shape)
        return u[:, None, None], v[None, :, None], w[None, None, :]

    def points_ras(self, index: NDArray[np.int64] | None = None) -> FloatArray:
        """Return the RAS positions of all nodes (or of those with flat `index`), (N, 3)."""
        flat = np.arange(int(np.prod(self.shape))) if index is None else index
        steps = self.grid_to_ras[:3, :3] * self.spacing_mm
        i, j, k = np.unravel_index(flat, self.shape)
        return np.asarray(self.grid_to_ras[:3, 3] + np.stack([i, j, k], axis=1) @ steps.T)

    def surface(self, values: NDArray[np.floating]) -> Mesh:
        """Return the closed surface of `values` < 0.

        The border nodes count as outside, so that the surface closes inside the grid.
        """
        f = np.array(values, dtype=np.float32)
        for axis in range(3):
            for side in (0, -1):
                border = np.moveaxis(f, axis, 0)[side]
                np.maximum(border, self.spacing_mm, out=border)
        vertices_uvw, faces = zero_surface(f.transpose(2, 1, 0))
        if not len(faces):
            raise ProcessingError("Nothing is left of the solid on the grid.")
        return Mesh(self.spacing_mm * vertices_uvw, faces).transformed(self.grid_to_ras)


def sample_distance(distance: Distance, grid: Grid, band_mm: float, exact_mm: float) -> Field:
    """Return the distance on a grid, exact at nodes from 0.7 mm inside the surface to `exact_mm` outside.

    Up to `band_mm` it is interpolated from half the nodes an axis (right to some hundredths of a mm), further off from
    a coarse grid. Distances change by at most one mm a mm, so a node whose coarse value is off a band by more than the
    step's diagonal cannot lie in it.
    """
    result = sample_roughly(distance, grid, band_mm)
    near = np.flatnonzero((result > -0.7) & (result < exact_mm))
    result.reshape(-1)[near] = distance.distance_mm(grid.points_ras(near))
    return result


def sample_roughly(distance: Distance, grid: Grid, band_mm: float) -> Field:
    """Return the distance on a grid, interpolated: to some hundredths of a mm from 1 mm inside to `band_mm` outside."""
    half = _coarser(grid, 2)
    coarse = _coarser(half, 3)
    values = distance.distance_mm(coarse.points_ras()).reshape(coarse.shape)
    rough = np.ascontiguousarray(_cut(_refine(values, 3), half.shape))
    margin = np.sqrt(3.0) * coarse.spacing_mm
    near = np.flatnonzero((rough > -margin - 1.0) & (rough < band_mm + margin))
    rough.reshape(-1)[near] = distance.distance_mm(half.points_ras(near))
    return np.ascontiguousarray(_cut(_refine(rough, 2), grid.shape), dtype=np.float32)


def _coarser(grid: Grid, factor: int) -> Grid:
    """Return a grid of a multiple of the step that covers the same box."""
    n = [-(-(n - 1) // factor) + 1 for n in grid.shape]
    return Grid(grid.grid_to_ras, factor * grid.spacing_mm, (n[0], n[1], n[2]))


def _cut(values: FloatArray, shape: tuple[int, int, int]) -> FloatArray:
    return values[: shape[0], : shape[1], : shape[2]]


def _refine(values: FloatArray, factor: int) -> FloatArray:
    """Interpolate linearly between nodes, axis by axis, `factor` times finer."""
    for axis in range(3):
        a = np.moveaxis(values, axis, 0)
        weight = (np.arange(factor) / factor)[None, :, None, None]
        fine = (a[:-1, None] * (1 - weight) + a[1:, None] * weight).reshape(-1, *a.shape[1:])
        values = np.moveaxis(np.concatenate([fine, a[-1:]]), 0, axis)
    return values


def swept(values: Field) -> Field:
    """Return the least value met on the way out along +w: a point below the clearance there cannot be taken off."""
    return np.minimum.accumulate(values[..., ::-1], axis=2)[..., ::-1]


def smooth_min(a: Field, b: Field, radius_mm: float) -> Field:
    """Return the union of two fields with a fillet (polynomial smooth minimum, Quilez 2013)."""
    if radius_mm <= 0:
        return np.minimum(a, b)
    h = np.maximum(radius_mm - np.abs(a - b), 0.0) / radius_mm
    return np.minimum(a, b) - h * h * radius_mm * 0.25


def smooth_max(a: Field, b: Field, radius_mm: float) -> Field:
    """Return the intersection of two fields with a rounded edge."""
    return -smooth_min(-a, -b, radius_mm)


def thick_parts(values: Field, spacing_mm: float, radius_mm: float) -> tuple[Field, list[float]]:
    """Return a field that is negative where a solid is at least as thick as a ball, in its largest such piece.

    The second result are the volumes in mm3 of the other pieces (of their cores), which are left out.

    The intersection with it is an opening (Serra 1982) with some slack: the surface stays exactly where it was wherever
    the solid is thick enough, square edges included; sharper edges are blunted, thin sheets and loose pieces vanish.
    """
    core, count = ndimage.label(values < -radius_mm)
    if not count:
        raise ProcessingError(f"No part of the solid is {2 * radius_mm:.1f} mm thick; make its wall thicker.")
    sizes = np.bincount(core.ravel())
    sizes[0] = 0
    largest = int(sizes.argmax())
    lost = [float(n) * spacing_mm**3 for k, n in enumerate(sizes) if n and k != largest]
    core = core == largest
    outside, nearest = ndimage.distance_transform_edt(core == 0, sampling=spacing_mm, return_indices=True)
    # The core's border lies between nodes: its nearest node is inside the core by what its own value says.
    outside -= -values[tuple(nearest)] - radius_mm
    return (outside - radius_mm - _OPENING_SLACK_MM).astype(np.float32), lost
