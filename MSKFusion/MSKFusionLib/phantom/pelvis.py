"""A generated pelvis: labels on a CT-like grid, and the closed-form depth of each of its bones."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..frames import FloatArray, rigid, rotation_about
from ..segmentation.labels import VERTEBRA_VALUES, Segment, Segmentation
from ..volume import Modality, Provenance, Volume
from .bone_surface import BoneSurface
from .grid import Grid, evaluate
from .pelvis_hip import HipBoneSize, draw_hip_bones, hip_bone_shape
from .pelvis_sacrum import PelvicSacrumSize, draw_pelvic_sacrum, pelvic_sacrum_shape
from .shapes import CAP_MM, Shape

#: Share of upper sacra that are dysmorphic to some degree; 30 % of 267 could not hold a trans-sacral S1 screw of 7.3 mm
#: (BMC Musculoskelet Disord 2023;24:536, doi 10.1186/s12891-023-06655-9).
_DYSMORPHIC_SHARE = 0.4
_LABELS = {"S1": VERTEBRA_VALUES["S1"], "hip_left": 61, "hip_right": 62}
_KINDS = {"S1": "sacrum", "hip_left": "bone", "hip_right": "bone"}
_MARGIN_MM = 8.0


@dataclass(frozen=True)
class PelvisOptions:
    """What is generated.

    Parameters
    ----------
    seed
        Draws everything that is not given.
    spacing_mm
        Of the label grid along i, j, k.
    dysmorphism
        0 to 1; None draws it (40 % of sacra are dysmorphic to some degree).
    turned_deg
        How far the patient lies askew in the scanner at most, about any axis.
    """

    seed: int
    spacing_mm: tuple[float, float, float] = (0.8, 0.8, 1.0)
    dysmorphism: float | None = None
    turned_deg: float = 5.0

    def __post_init__(self) -> None:
        if not all(0.3 <= s <= 5.0 for s in self.spacing_mm) or not 0 <= self.turned_deg <= 30:
            raise InputError(
                "spacing or turn of the generated pelvis make no sense", "Give 0.3 to 5 mm, 0 to 30 degrees."
            )
        if self.dysmorphism is not None and not 0 <= self.dysmorphism <= 1:
            raise InputError("dysmorphism is a number from 0 to 1")


@dataclass(frozen=True, eq=False)
class Pelvis:
    """Three bones and their truth.

    Parameters
    ----------
    bones
        Shapes by name: S1 (the whole sacrum), hip_left, hip_right.
    pelvis_to_ras, sacrum_to_ras
        4x4 from the pelvis's frame (see `pelvis_hip`) and from the sacrum's (see `pelvis_sacrum`).
    """

    options: PelvisOptions
    sacrum: PelvicSacrumSize
    hips: tuple[HipBoneSize, HipBoneSize]
    bones: dict[str, Shape]
    pelvis_to_ras: FloatArray
    sacrum_to_ras: FloatArray
    _surfaces: dict[str, BoneSurface] = field(default_factory=dict, repr=False)

    def bone_depth_mm(self, name: str, points_ras: ArrayLike) -> FloatArray:
        """Return the distance (N,) of RAS points (N, 3) from the true surface of a bone, positive inside."""
        return self.surface(name).depth_mm(points_ras)

    def surface(self, name: str) -> BoneSurface:
        """Return the true surface of a bone."""
        if name not in self.bones:
            raise InputError(f"there is no bone '{name}'", f"There are: {', '.join(self.bones)}.", where="pelvis")
        if name not in self._surfaces:
            self._surfaces[name] = BoneSurface(self.bones[name])
        return self._surfaces[name]

    def implicit(self, name: str, grid: Grid) -> NDArray[np.float32]:
        """Return the implicit values of a bone on a grid (K, J, I): 0 on its surface, about the depth in mm near it."""
        out = np.full(grid.shape, -CAP_MM, dtype=np.float32)
        found = evaluate(self.bones[name], grid)
        if found is not None:
            out[found[1]] = found[0]
        return out

    def label_grid(self) -> Grid:
        """Return the grid of a pelvic CT: in scanner order (i to the left, j to the back, k to the head), around the bones."""
        corners = []
        for shape in self.bones.values():
            low, high = shape.bounds
            box = np.array(np.meshgrid(*zip(low + CAP_MM, high - CAP_MM, strict=True))).reshape(3, -1).T
            corners.append(box @ shape.frame_to_world[:3, :3].T + shape.frame_to_world[:3, 3])
        points = np.concatenate(corners)
        lower, upper = points.min(axis=0) - _MARGIN_MM, points.max(axis=0) + _MARGIN_MM
        spacing = np.array(self.options.spacing_mm)
        i, j, k = (np.ceil((upper - lower) / spacing).astype(int) + 1).tolist()
        m = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
        m[:3, 3] = [upper[0], upper[1], lower[2]]
        return Grid((k, j, i), m)

    def labels(self) -> Segmentation:
        """Return the bones as labels on the CT grid; canal and foramina are the gaps that they leave."""
        grid = self.label_grid()
        voxels = np.zeros(grid.shape, dtype=np.uint8)
        for name, shape in self.bones.items():
            found = evaluate(shape, grid)
            if found is not None:
                voxels[found[1]][found[0] > 0] = _LABELS[name]
        provenance = Provenance(source=f"generated pelvis, seed {self.options.seed}")
        volume = Volume.from_ijk_to_ras(
            voxels, grid.ijk_to_world, modality=Modality.LABEL, name="pelvis", provenance=provenance
        )
        return Segmentation(volume, tuple(Segment(_LABELS[n], n, _KINDS[n], source="generated") for n in self.bones))


def generate_pelvis(options: PelvisOptions) -> Pelvis:
    """Draw a pelvis from the options' seed."""
    rng = np.random.default_rng([options.seed, 71])
    scale = float(np.clip(1 + 0.05 * rng.standard_normal(), 0.88, 1.12))
    dysmorphic, degree = bool(rng.random() < _DYSMORPHIC_SHARE), float(rng.uniform(0.3, 1.0))
    usual = float(rng.uniform(0.0, 0.25))
    drawn = degree if dysmorphic else usual
    sacrum = draw_pelvic_sacrum(scale, drawn if options.dysmorphism is None else options.dysmorphism, rng)
    hips = draw_hip_bones(scale, rng)
    slope = float(rng.normal(40.0, 5.0))  # of the S1 endplate, with the anterior pelvic plane upright
    turn = rotation_about(rng.standard_normal(3), float(rng.uniform(0.0, max(options.turned_deg, 1e-9))))
    pelvis_to_ras = rigid(turn, rng.uniform(-15.0, 15.0, 3))
    sacrum_to_ras = pelvis_to_ras @ rigid(rotation_about([1, 0, 0], -slope))
    bones = {"S1": pelvic_sacrum_shape(sacrum, sacrum_to_ras)}
    for size in hips:
        bones["hip_left" if size.side < 0 else "hip_right"] = hip_bone_shape(size, bones["S1"], pelvis_to_ras)
    return Pelvis(options, sacrum, hips, bones, pelvis_to_ras, sacrum_to_ras)
