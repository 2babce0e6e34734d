"""The closed surface of one bone, at the sub-voxel zero level of its depth field."""

from __future__ import annotations

import numpy as np

from MSKFusionLib.isosurface import zero_surface

from ..mesh import Mesh, merge_vertices, split_bodies
from .depth_field import DepthField


def surface_of_depth(bone: DepthField) -> Mesh:
    """Return the surface of a bone in RAS mm: closed, outward, one body.

    Crumbs of the segmentation and closed holes inside the bone are dropped: a guide and a screw meet the outside only.
    """
    vertices_ijk, faces = zero_surface(np.pad(-bone.depth, 1, constant_values=1.0))
    return split_bodies(merge_vertices(Mesh(vertices_ijk - 1.0, faces).transformed(bone.ijk_to_ras)))[0]
