"""A box in a frame of its own: the part of a bone that something has to do with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MSKFusionLib.frames import FloatArray, invert_rigid, rigid, transform_points

from ..mesh import Mesh, part_of
from .depth_field import DepthField


@dataclass(frozen=True, eq=False)
class Region:
    """A box in a frame of its own.

    Parameters
    ----------
    frame_to_ras
        Rigid 4x4.
    lower, upper
        Corners (3,) in the frame, mm.
    """

    frame_to_ras: FloatArray
    lower: FloatArray
    upper: FloatArray

    @classmethod
    def around(cls, centre_ras: FloatArray, reach_mm: float) -> Region:
        """Return the cube that reaches so far from a point."""
        reach = np.full(3, reach_mm)
        return cls(rigid(translation=centre_ras), -reach, reach)

    def corners_ras(self, room_mm: float = 0.0) -> FloatArray:
        """Return the eight corners (8, 3), the box made larger by some room."""
        sides = np.stack([self.lower - room_mm, self.upper + room_mm])
        box = np.array([[sides[a, 0], sides[b, 1], sides[c, 2]] for a in (0, 1) for b in (0, 1) for c in (0, 1)])
        return transform_points(self.frame_to_ras, box)

    def nodes_ras(self, step_mm: float) -> FloatArray:
        """Return the grid points (K, J, I, 3) of the box."""
        axes = [np.arange(a, b + step_mm, step_mm) for a, b in zip(self.lower, self.upper, strict=True)]
        k, j, i = np.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
        return transform_points(self.frame_to_ras, np.stack([i, j, k], axis=-1))

    def field(self, depth: NDArray[np.float32], step_mm: float) -> DepthField:
        """Return depths (K, J, I) at the box's grid points as a field."""
        origin = transform_points(self.frame_to_ras, self.lower)
        return DepthField(depth, np.asarray(origin), self.frame_to_ras[:3, :3], step_mm)

    def triangles_of(self, mesh: Mesh) -> NDArray[np.bool_]:
        """Return which triangles (M,) have a corner in it; at least one, the nearest, where none has."""
        local = transform_points(invert_rigid(self.frame_to_ras), mesh.vertices_ras)
        inside = np.all((local > self.lower) & (local < self.upper), axis=1)
        keep = np.asarray(inside[mesh.faces].any(axis=1))
        if not keep.any():
            # Nothing is near: one triangle says how far it is.
            off = np.maximum(np.maximum(self.lower - local, local - self.upper), 0.0)
            keep = np.asarray((mesh.faces == np.linalg.norm(off, axis=1).argmin()).any(axis=1))
        return keep

    def of(self, mesh: Mesh) -> Mesh:
        """Return that part of a mesh, open at its border."""
        return part_of(mesh, self.triangles_of(mesh))
