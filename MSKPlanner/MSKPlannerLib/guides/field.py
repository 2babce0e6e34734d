"""Signed distances to bone: exact ones to a mesh, and fields of them on a grid along the insertion direction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MSKFusionLib.errors import ProcessingError
from MSKFusionLib.frames import FloatArray, unit_rows
from MSKFusionLib.isosurface import zero_surface

from ..bone.region import Region
from ..mesh import Mesh
from .mesh_distance import MeshDistance

#: Opening does not round edges of the solid that stick out of it by less than this: square ones stay.
_OPENING_SLACK_MM = 0.33
#: Nodes whose surface an opening may move by less than this are looked at closely, by balls so many steps farther in.
_DOUBT_MM, _BALL_STEPS = 0.5, (0.0, 1.0, 2.0)


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

    def near_distance_mm(self, points_ras: FloatArray) -> FloatArray:
        """Return the same, quicker for points that are known to lie near the surface."""

    def distance_and_gradient(self, points_ras: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the distance (N,) and its unit gradient (N, 3), which points away from the bone."""


def distance_to(bone: Bone, region: Region | None = None) -> Distance:
    """Return the signed distance of a bone in whatever way it is given.

    Parameters
    ----------
    region
        Only the surface in it is looked at: enough for points whose distance is less than that to its border.

    Raises
    ------
    GeometryError
        When a mesh is not closed: inside and outside are not defined then.
    """
    if isinstance(bone, Mesh):
        return MeshDistance(bone, region)
    return DepthDistance(bone.depth_mm if isinstance(bone, HasDepth) else bone)


class DepthDistance:
    """Signed distance from a depth function; the gradient by central differences."""

    def __init__(self, depth: DepthFunction, step_mm: float = 0.05) -> None:
        self._depth, self._step = depth, step_mm

    def distance_mm(self, points_ras: FloatArray) -> FloatArray:
        """Return the signed distance (N,) in mm, positive outside."""
        return -np.asarray(self._depth(points_ras), dtype=np.float64)

    def near_distance_mm(self, points_ras: FloatArray) -> FloatArray:
        """Return the same: it costs the same everywhere."""
        return self.distance_mm(points_ras)

    def distance_and_gradient(self, points_ras: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the distance (N,) and its unit gradient (N, 3)."""
        shifts = self._step * np.eye(3)
        slope = [self.distance_mm(points_ras + s) - self.distance_mm(points_ras - s) for s in shifts]
        return self.distance_mm(points_ras), unit_rows(np.stack(slope, axis=1))


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
    a coarse grid.
    """
    result = sample_roughly(distance, grid, band_mm)
    near = np.flatnonzero((result > -0.7) & (result < exact_mm))
    result.reshape(-1)[near] = distance.near_distance_mm(grid.points_ras(near))
    return result


def sample_roughly(distance: Distance, grid: Grid, band_mm: float) -> Field:
    """Return the distance on a grid, interpolated: to some hundredths of a mm from 1 mm inside to `band_mm` outside."""
    half = _coarser(grid, 2)
    coarse = _coarser(half, 3)
    values = distance.distance_mm(coarse.points_ras()).reshape(coarse.shape)
    rough = np.ascontiguousarray(_cut(_refine(values, 3), half.shape))
    # Between nodes the interpolated distance is off by half the cell's diagonal at most: it changes by at most 1 mm a mm.
    margin = np.sqrt(3.0) / 2 * coarse.spacing_mm
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


def rod_field(a: FloatArray, b: FloatArray, radius: float, u: FloatArray, v: FloatArray, w: FloatArray) -> Field:
    """Return the distance to a round bar between two points of the frame."""
    way = b - a
    length = max(float(way @ way), 1e-9)
    t = np.clip(((u - a[0]) * way[0] + (v - a[1]) * way[1] + (w - a[2]) * way[2]) / length, 0.0, 1.0)
    away = (u - a[0] - t * way[0]) ** 2 + (v - a[1] - t * way[1]) ** 2 + (w - a[2] - t * way[2]) ** 2
    return (np.sqrt(away) - radius).astype(np.float32)


def smooth_max(a: Field, b: Field, radius_mm: float) -> Field:
    """Return the intersection of two fields with a rounded edge."""
    return -smooth_min(-a, -b, radius_mm)


def thick_parts(
    values: Field, spacing_mm: float, radius_mm: float, depth: Field | None = None, *, deeper: bool = False
) -> tuple[Field, list[float]]:
    """Return a field that is negative where a solid is at least as thick as a ball, in its largest such piece.

    The second result are the volumes in mm3 of the other pieces (of their cores), which are left out.

    The intersection with it is an opening (Serra 1982) with some slack: the surface stays exactly where it was wherever
    the solid is thick enough, square edges included; sharper edges are blunted, thin sheets and loose pieces vanish.

    Parameters
    ----------
    depth
        How deep the nodes lie in the solid (`depth_mm`); None: what its own field says, which is too little in fillets.
    deeper
        Balls farther in than the nearest are looked at too, where that one alone may not reach the surface: beside openings that
        lie askew to the grid their surface is else nicked by tenths of its step.
    """
    depth = -values if depth is None else depth
    core, count = ndimage.label(depth > radius_mm)
    if not count:
        raise ProcessingError(f"No part of the solid is {2 * radius_mm:.1f} mm thick; make its wall thicker.")
    sizes = np.bincount(core.ravel())
    sizes[0] = 0
    largest = int(sizes.argmax())
    lost = [float(n) * spacing_mm**3 for k, n in enumerate(sizes) if n and k != largest]
    core = core == largest
    outside, nearest = ndimage.distance_transform_edt(core == 0, sampling=spacing_mm, return_indices=True)
    # The core's border lies between nodes: its nearest node is inside the core by what its own depth says.
    outside -= depth[tuple(nearest)] - radius_mm
    thick = (outside - radius_mm - _OPENING_SLACK_MM).astype(np.float32)
    if deeper:
        doubtful = np.flatnonzero((thick > -_DOUBT_MM) & (depth > -_DOUBT_MM) & (depth <= radius_mm + spacing_mm))
        border = np.stack([n.ravel()[doubtful] for n in nearest], axis=1)
        by_balls = _off_balls(doubtful, border, core, depth, spacing_mm, radius_mm)
        thick.ravel()[doubtful] = np.minimum(thick.ravel()[doubtful], by_balls - np.float32(_OPENING_SLACK_MM))
    return thick, lost


def without_slits(values: Field, spacing_mm: float, width_mm: float) -> Field:
    """Return a solid whose slits and the bottoms of whose grooves are filled up to where they are about so wide: a printer would fuse them.

    What is wider, and every flat or rounded surface, stays where it is; cavities without a way out are filled.
    """
    outside, _ = thick_parts(-values, spacing_mm, width_mm / 2)
    return np.minimum(values, -outside)


def kept_beside(thick: Field, void: NDArray[np.bool_]) -> Field:
    """Return what `thick_parts` gives with its surface drawn back from the walls of openings that are cut exactly later.

    Parameters
    ----------
    void
        The nodes inside the openings: they count as their nearest neighbours do, where these are kept.
    """
    return np.where(void, ndimage.minimum_filter(thick, size=3), thick)


def _off_balls(
    index: NDArray[np.int64],
    nearest: NDArray[np.int64],
    core: NDArray[np.bool_],
    depth: Field,
    spacing_mm: float,
    radius_mm: float,
) -> Field:
    """Return how far nodes (flat `index`) lie off the nearest of the largest balls that stand some steps farther in than the core's border.

    A ball round a node of the core is as large as the node lies deep. The farther in it stands, the less it matters that it stands
    beside the way straight in.
    """
    places = np.stack(np.unravel_index(index, depth.shape), axis=1)
    last = np.array(depth.shape) - 1
    inward = np.stack(
        [
            depth[tuple(np.minimum(places + e, last).T)] - depth[tuple(np.maximum(places - e, 0).T)]
            for e in np.eye(3, dtype=np.int64)
        ],
        axis=1,
    )
    found = np.full(len(index), np.inf)
    # From the border of the core on, by the way to its nearest node; and by the way that the depth rises, which a corner turns aside.
    for start, way in ((nearest, (nearest - places).astype(np.float64)), (places, inward.astype(np.float64))):
        length = np.linalg.norm(way, axis=1, keepdims=True)
        way /= np.maximum(length, 1e-9)
        first = 0.0 if start is nearest else radius_mm / spacing_mm
        for steps in _BALL_STEPS:
            corner = np.floor(start + (first + steps) * way).astype(np.int64)
            for beside in np.ndindex(2, 2, 2):
                node = np.clip(corner + beside, 0, last)
                at = tuple(node.T)
                away = spacing_mm * np.linalg.norm(node - places, axis=1) - depth[at]
                found = np.where(core[at], np.minimum(found, away), found)
    return found.astype(np.float32)


def depth_mm(values: Field, spacing_mm: float) -> Field:
    """Return how deep nodes lie in a solid, 0 outside.

    A fillet's field rises by less than a mm a mm, so that it tells too little; the distance to the nearest node outside, less
    what that is outside, tells as much where the grid is fine enough.
    """
    away, nearest = ndimage.distance_transform_edt(values < 0, sampling=spacing_mm, return_indices=True)
    counted = away - np.clip(values[tuple(nearest)], 0.0, spacing_mm)
    return np.where(values < 0, np.maximum(-values, counted), 0.0).astype(np.float32)
