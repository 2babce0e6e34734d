"""Surfaces of bones and tumours from what a user has: mesh files or label maps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from MSKFusionLib.errors import InputError
from MSKFusionLib.isosurface import zero_surface
from MSKFusionLib.segmentation.dicom_labels import is_dicom
from MSKFusionLib.segmentation.files import read_segmentation
from MSKFusionLib.volume import Modality, Volume, read_image

from ..bone.smooth_bone import SmoothBone
from ..export.mesh_files import READABLE, read_mesh
from ..mesh import Mesh, merge_vertices, split_bodies

#: Bodies of a label below this share of the largest are crumbs of the drawing.
_CRUMB_SHARE = 0.005
_STEPS_MM = (0.5, 1.0)


@dataclass(frozen=True, eq=False)
class Surfaces:
    """Closed surfaces by name, in the order of the file."""

    path: Path
    meshes: dict[str, Mesh]

    def one(self, name: str | None, what: str) -> tuple[str, Mesh]:
        """Return the surface of a name (or the only one).

        Raises
        ------
        InputError
            When the name is not there, or several are and none is named.
        """
        known = ", ".join(self.meshes)
        if name is None:
            if len(self.meshes) > 1:
                raise InputError(
                    f"there are several structures ({known})", f"Say which is the {what}.", where=str(self.path)
                )
            name = next(iter(self.meshes))
        if name not in self.meshes:
            raise InputError(f"there is no '{name}'", f"There are: {known}.", where=str(self.path))
        return name, self.meshes[name]


def read_surfaces(path: str | Path) -> Surfaces:
    """Read a mesh file (one surface), or the structures of a label map.

    A label map without names calls its structures by their values: ``1``, ``2``, ...

    Raises
    ------
    InputError
        When the file is missing, of an unknown kind, or empty.
    """
    p = Path(path)
    if p.suffix.lower() in READABLE:
        return Surfaces(p, {p.stem: read_mesh(p)})
    if not p.is_file():
        raise InputError("there is no such file", "Give a mesh (STL, ...) or a label map (NRRD, NIfTI).", str(p))
    if p.name.lower().endswith(".seg.nrrd") or is_dicom(p):
        bones = read_segmentation(p)
        named = {s.name: bones.mask(s.name) for s in bones.segments}
        grid = bones.labels
    else:
        grid = read_image(p, modality=Modality.LABEL)
        values = np.unique(grid.voxels)
        if not np.all(values == np.round(values)) or len(values) > 400:
            raise InputError("this is an image, not a label map", "Give labels or a mesh.", where=str(p))
        named = {str(int(v)): grid.voxels == v for v in values if v}
    meshes = {name: mesh_of_mask(grid, mask, f"{p.name}: {name}") for name, mask in named.items() if mask.any()}
    if not meshes:
        raise InputError("there are no labels in this file", "Segment the structure first.", where=str(p))
    return Surfaces(p, meshes)


def mesh_of_mask(grid: Volume, mask: np.ndarray, where: str) -> Mesh:
    """Return the closed, smooth surface of a mask, all its bodies but crumbs; holes inside are filled."""
    step = float(np.clip(grid.spacing_mm.min(), *_STEPS_MM))
    field = SmoothBone.of_mask(grid, mask, where=where).field(step)
    vertices, faces = zero_surface(np.pad(-field.depth, 1, constant_values=1.0))
    bodies = split_bodies(merge_vertices(Mesh(vertices - 1.0, faces).transformed(field.ijk_to_ras)))
    kept = [b for b in bodies if b.volume_mm3 > _CRUMB_SHARE * bodies[0].volume_mm3] if bodies else []
    if not kept:
        raise InputError("this structure is too small for a surface", "Segment it again.", where=where)
    first = np.cumsum([0, *(len(b.vertices_ras) for b in kept)])
    return Mesh(
        np.concatenate([b.vertices_ras for b in kept]),
        np.concatenate([b.faces + n for b, n in zip(kept, first, strict=False)]),
    )
