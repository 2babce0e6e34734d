"""A bone and a tumour as the search for cuts sees them: cells of bone, what must go, and distances to the tumour."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError, cKDTree

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import FloatArray, transform_points
from MSKFusionLib.isosurface import zero_surface

from ..bone.depth_field import DepthField
from ..bone.mesh_depth import depth_of_mesh, surface_points
from ..guides.field import MeshDistance
from ..mesh import Mesh

#: About so many cells stand for the bone while cuts are compared.
_CELLS = 9000
_FINEST_CELL_MM, _COARSEST_CELL_MM = 1.0, 4.0
#: Grid on which the bone that must go is found; the cuts are put exactly afterwards.
_ZONE_STEP_MM = 1.0


@dataclass(frozen=True, eq=False)
class ResectionSite:
    """What cuts are judged by.

    Parameters
    ----------
    bone, tumour
        Closed surfaces in one RAS frame.
    cells_ras, cell_bone, cell_mm3
        (N, 3) middles of the cells that hold bone, the share (N,) of each that is bone, volume of a whole cell.
    cell_grid
        (K, J, I) number of the cell at each grid point, -1 where there is none.
    zone_cells
        Boolean (N,): cells nearer to the tumour than the margin.
    zone_ras
        (M, 3) corners of the convex hull of the bone that must go: what is nearer to the tumour than the margin.
    field
        Depth in the bone.
    obstacles
        Depth in what a saw must not meet on its way: other bones, structures.
    """

    bone: Mesh
    tumour: Mesh
    margin_mm: float
    cells_ras: FloatArray
    cell_bone: FloatArray
    cell_mm3: float
    cell_grid: NDArray[np.int64]
    zone_cells: NDArray[np.bool_]
    zone_ras: FloatArray
    field: DepthField
    tumour_distance: MeshDistance
    obstacles: tuple[DepthField, ...] = ()

    def support_mm(self, normals_ras: FloatArray) -> FloatArray:
        """Return how far (M,) what must go reaches along unit vectors (M, 3), as n . x."""
        return np.asarray((self.zone_ras @ np.asarray(normals_ras).T).max(axis=0))

    def part_with_zone(self, inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return, of the cells (N,) within the cuts, those that hang together with cells that must go."""
        grid = np.zeros(self.cell_grid.shape, dtype=bool)
        grid.ravel()[self._place] = inside
        labels, count = ndimage.label(grid)
        if count <= 1:
            return inside
        own = labels.ravel()[self._place]
        keep = np.zeros(count + 1, dtype=bool)
        keep[own[self.zone_cells & inside]] = True
        keep[0] = False
        return np.asarray(keep[own])

    @cached_property
    def _place(self) -> NDArray[np.int64]:
        """Where on the grid each cell is, flat (N,)."""
        flat = np.flatnonzero(self.cell_grid.ravel() >= 0)
        return flat[np.argsort(self.cell_grid.ravel()[flat])]


def resection_site(bone: Mesh, tumour: Mesh, margin_mm: float, obstacles: tuple[Mesh, ...] = ()) -> ResectionSite:
    """Look at a bone and a tumour.

    Raises
    ------
    InputError
        When a surface is not closed, or inside out.
    GeometryError
        When the tumour lies so far outside of the bone that nothing of it has to go, or the whole bone has to.
    """
    for mesh, where in ((bone, "bone"), (tumour, "tumour")):
        if not len(mesh.faces) or not mesh.is_closed:
            raise InputError("the surface is not closed", "Make it again from the segmentation.", where=where)
        if mesh.volume_mm3 <= 0:
            raise InputError("the surface is inside out", "Turn its faces over.", where=where)
    step = float(np.clip((bone.volume_mm3 / _CELLS) ** (1 / 3), _FINEST_CELL_MM, _COARSEST_CELL_MM))
    field = depth_of_mesh(bone, step, room_mm=2 * step, where="bone")
    share = np.clip(field.depth / step + 0.5, 0.0, 1.0)
    flat = np.flatnonzero(share.ravel() > 0)
    grid = np.full(share.shape, -1, dtype=np.int64)
    grid.ravel()[flat] = np.arange(len(flat))
    cells = transform_points(field.ijk_to_ras, np.stack(np.unravel_index(flat, share.shape), axis=1)[:, ::-1])
    distance = MeshDistance(tumour)
    near = _distances(tumour, cells, margin_mm)
    weight = share.ravel()[flat].astype(np.float64)
    zone_cells = near < margin_mm
    left = float(weight[~zone_cells].sum() * step**3)
    if left < 0.02 * bone.volume_mm3:
        raise GeometryError(
            f"the tumour with a margin of {margin_mm:g} mm takes the whole bone",
            "Nothing is left to cut; plan its removal as a whole, or check the units of the tumour.",
            where="tumour",
        )
    zone = _zone(bone, tumour, margin_mm)
    if zone is None:
        gap = float(distance.distance_mm(surface_points(bone, 3.0)).min())
        raise GeometryError(
            f"the tumour lies {gap:.1f} mm beside the bone: with a margin of {margin_mm:g} mm nothing of it has to go",
            "Check that bone and tumour are in one frame (registration), or that this is the right bone.",
            where="tumour",
        )
    if not zone_cells.any():
        zone_cells[int(near.argmin())] = True
    fields = tuple(depth_of_mesh(o, max(1.0, step), where="obstacle") for o in obstacles)
    return ResectionSite(
        bone, tumour, margin_mm, cells, weight, step**3, grid, zone_cells, zone, field, distance, fields
    )


def _distances(tumour: Mesh, points_ras: FloatArray, margin_mm: float) -> FloatArray:
    """Return distances from the tumour, right to a fraction of a mm up to the margin: enough to tell whole cells by."""
    low, high = tumour.bounds_ras
    step = max(1.0, float((high - low).max()) / 80)
    return -depth_of_mesh(tumour, step, margin_mm + 3 * step, "tumour").depth_mm(points_ras)


def _zone(bone: Mesh, tumour: Mesh, margin_mm: float) -> FloatArray | None:
    """Return the corners (M, 3) of the hull of the bone that is nearer to the tumour than the margin."""
    room = margin_mm + 3 * _ZONE_STEP_MM
    low, high = tumour.bounds_ras + [[-room], [room]]
    low, high = np.maximum(low, bone.bounds_ras[0] - 2), np.minimum(high, bone.bounds_ras[1] + 2)
    if (high - low).min() < 1e-6:
        return None
    size = np.ceil((high - low) / _ZONE_STEP_MM).astype(int) + 1
    step = _ZONE_STEP_MM * max(1.0, float((np.prod(size.astype(float)) / 4e6) ** (1 / 3)))
    axes = [np.arange(a, b + step, step) for a, b in zip(low, high, strict=True)]
    k, j, i = np.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    nodes = np.stack([i, j, k], axis=-1)
    fine = depth_of_mesh(bone, step, where="bone", region_ras=np.stack([low - 2 * step, high + 2 * step]))
    depth = fine.depth_mm(nodes)
    level = np.full(depth.shape, 10.0, dtype=np.float32)
    # Deep inside the tumour the level is positive as well; that is a hole in the zone, which its hull does not know.
    worth = np.flatnonzero(depth.ravel() > -1.5 * step)
    away, _ = cKDTree(surface_points(tumour, 0.5)).query(nodes.reshape(-1, 3)[worth])
    level.ravel()[worth] = np.maximum(away - margin_mm, -depth.ravel()[worth])
    vertices, _ = zero_surface(np.pad(level, 1, constant_values=10.0))
    if len(vertices) < 4:
        return None
    points = np.array([axes[0][0], axes[1][0], axes[2][0]]) + step * (vertices - 1.0)
    try:
        return np.asarray(points[ConvexHull(points).vertices])
    except QhullError:
        return np.asarray(points)
