"""A generated patient: CT and MR images of one body, and what is true about it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from ..boxes import label_boxes, touches_border
from ..errors import InputError
from ..frames import FloatArray, transform_points
from ..progress import Progress, no_progress, part
from ..segmentation.labels import VERTEBRA_VALUES, Segment, Segmentation
from ..volume import Modality, Volume
from .bone_surface import BoneSurface
from .canal_room import spinal_canal
from .ct import ct_grid, ct_volume, render_ct
from .deformation import SoftTissueDeformation
from .grid import Grid
from .mr import draw_misplacement, render_mr
from .options import PatientOptions
from .render import make_body
from .spine import Spine, build_spine
from .tissue import Tissue
from .truth import VertebraTruth, landmarks, measure_pedicle

#: Label values and names of the soft tissues that are labelled, above every vertebra value.
_SOFT_LABELS: dict[Tissue, tuple[int, str, str]] = {
    Tissue.NERVE_ROOT: (52, "nerve_roots", "nerve"),
    Tissue.AORTA: (53, "aorta", "artery"),
    Tissue.VENA_CAVA: (54, "vena_cava", "vein"),
    Tissue.MUSCLE: (55, "muscle", "muscle"),
    Tissue.KIDNEY: (56, "kidneys", "kidney"),
}
_DISC_FIRST_VALUE, _CANAL_VALUE = 31, 51
_HIP_LABELS = {"hip_left": 61, "hip_right": 62}
_DISCS = (Tissue.DISC_ANNULUS, Tissue.DISC_NUCLEUS, Tissue.DISC_WORN)


@dataclass(frozen=True, eq=False)
class Patient:
    """Images of one generated body and their truth.

    Parameters
    ----------
    labels
        Bones by VerSe value (S1: the whole sacrum), discs, canal, nerve roots, vessels, muscle, kidneys on the CT grid.
    ct_to_mr_ras
        4x4 from a RAS point of the CT to the same point of all MR images (for the sacrum, where every bone has a pose).
    vertebra_poses_ras
        By level, a 4x4 in CT RAS that goes before `ct_to_mr_ras`; identity unless two postures were asked for.
    deformation
        Where soft tissue lies in MR, in CT RAS, before `ct_to_mr_ras`; None unless it was asked to move.
    more_mr
        By weighting, the MR images besides T1 and T2 that were asked for.
    """

    options: PatientOptions
    ct: Volume
    mr_t1: Volume
    mr_t2: Volume
    labels: Segmentation
    ct_to_mr_ras: FloatArray
    vertebra_poses_ras: dict[str, FloatArray]
    vertebrae: dict[str, VertebraTruth]
    cobb_deg: float
    wedge_fracture: str
    low_density: bool
    spine: Spine
    deformation: SoftTissueDeformation | None = None
    more_mr: Mapping[str, Volume] = field(default_factory=dict)
    _surfaces: dict[str, BoneSurface] = field(default_factory=dict, repr=False)

    def mr(self, weighting: str) -> Volume:
        """Return the MR image of a weighting: "T1", "T2", and of "PD" and "FS" those that were asked for.

        Raises
        ------
        InputError
            When there is none.
        """
        images = {"T1": self.mr_t1, "T2": self.mr_t2, **self.more_mr}
        if weighting not in images:
            raise InputError(
                f"there is no {weighting} image",
                f"There are: {', '.join(images)}; see more_weightings.",
                where="patient",
            )
        return images[weighting]

    def ct_to_mr(self, points_ras: ArrayLike) -> FloatArray:
        """Take CT RAS points (..., 3) to the same tissue in the MR images, soft tissue where it has moved to.

        Raises
        ------
        InputError
            For a patient in two postures, of whom only the bones' places are known (`vertebra_poses_ras`).
        """
        if self.options.two_postures:
            raise InputError(
                "between bones that move on their own no truth is known", "Ask for each bone's pose.", where="patient"
            )
        points = np.asarray(points_ras, dtype=np.float64)
        return transform_points(
            self.ct_to_mr_ras, points if self.deformation is None else self.deformation.ct_to_mr(points)
        )

    def bone_depth_mm(self, level: str, points_ras: ArrayLike) -> FloatArray:
        """Return the distance (N,) of CT RAS points (N, 3) from the true surface of a bone, positive inside."""
        return self._surface(level).depth_mm(points_ras)

    def bone_points_ras(self, level: str, count: int, seed: int = 0) -> FloatArray:
        """Return `count` points (CT RAS) spread evenly over the true surface of a bone, within the CT's field of view."""
        rng = np.random.default_rng([self.options.seed, 61, seed])
        points = self._surface(level).points_ras
        ijk = transform_points(self.ct.ras_to_ijk, points)
        seen = points[np.all((ijk >= 0) & (ijk <= np.array(self.ct.shape_ijk) - 1), axis=1)]
        return seen[rng.choice(len(seen), count, replace=len(seen) < count)]

    def _surface(self, level: str) -> BoneSurface:
        if level not in self.spine.all_bones:
            raise InputError(
                f"there is no bone '{level}'", f"There are: {', '.join(self.spine.all_bones)}.", where="patient"
            )
        if level not in self._surfaces:
            self._surfaces[level] = BoneSurface(self.spine.all_bones[level])
        return self._surfaces[level]


def generate_patient(options: PatientOptions | None = None, progress: Progress = no_progress) -> Patient:
    """Generate a patient from a seed; the same options give the same patient bit by bit.

    Parameters
    ----------
    options
        What is asked; everything that is None in it is drawn from its seed.
    """
    options = options or PatientOptions()
    spine = build_spine(options)
    grid = ct_grid(spine, options)
    body = make_body(spine, options.seed, posed=False)
    voxels, tissue, bones = render_ct(body, grid, options, progress=part(progress, 0.02, 0.6))
    ct = ct_volume(voxels, grid.ijk_to_world, options.seed)
    boxes = label_boxes(bones)
    # A connected bone that leaves the imaged box reaches its border; one that is not in it at all is not seen whole.
    complete = {
        level: n in boxes and not touches_border(boxes[n], bones.shape)
        for n, level in enumerate(spine.all_bones, start=1)
    }
    labels = _labels(ct, spine, tissue, bones, complete)
    del tissue, bones

    misplacement = draw_misplacement(options.seed, ct.centre_ras)
    posed = make_body(spine, options.seed, posed=True) if options.two_postures else body
    moved = None
    if options.soft_tissue_motion_mm > 0:
        moved = SoftTissueDeformation.draw(spine, options.soft_tissue_motion_mm, options.seed)
    weightings = ("T1", "T2", *options.more_weightings)
    images = {}
    for n, weighting in enumerate(weightings):
        step = part(progress, 0.6 + 0.4 * n / len(weightings), 0.6 + 0.4 * (n + 1) / len(weightings))
        images[weighting] = render_mr(posed, weighting, options, misplacement, moved, progress=step)
    progress(1.0, "generated")
    return Patient(
        options=options,
        ct=ct,
        mr_t1=images.pop("T1"),
        mr_t2=images.pop("T2"),
        labels=labels,
        ct_to_mr_ras=misplacement,
        vertebra_poses_ras=dict(spine.poses),
        vertebrae={level: _truth(spine, level, complete[level]) for level in spine.bones},
        cobb_deg=spine.cobb_deg,
        wedge_fracture=spine.wedge_fracture,
        low_density=spine.low_density,
        spine=spine,
        deformation=moved,
        more_mr=images,
    )


def _truth(spine: Spine, level: str, complete: bool) -> VertebraTruth:
    shape, size = spine.bones[level], spine.sizes[level]
    if level == "S1":
        return VertebraTruth(level, spine.frames[level], complete, {}, {"s1_body_centre": spine.frames[level][:3, 3]})
    pedicles = {name: measure_pedicle(shape, size, side) for name, side in (("left", -1), ("right", 1))}
    return VertebraTruth(level, spine.frames[level], complete, pedicles, landmarks(shape, size))


def _labels(ct: Volume, spine: Spine, tissue: np.ndarray, bones: np.ndarray, complete: dict[str, bool]) -> Segmentation:
    """Return the label volume and its table; bone comes before everything else."""
    source = f"analytic truth of a {ct.provenance.source}"
    names = list(spine.bones)
    soft = np.zeros(len(Tissue), dtype=np.uint8)
    segments: dict[int, Segment] = {}
    for tissue_kind, (value, name, kind) in _SOFT_LABELS.items():
        soft[tissue_kind] = value
        segments[value] = Segment(value, name, kind, complete=False, source=source)
    out = soft[tissue]
    out[spinal_canal(spine, Grid(out.shape, ct.ijk_to_ras), tissue)] = _CANAL_VALUE
    segments[_CANAL_VALUE] = Segment(_CANAL_VALUE, "spinal_canal", "canal", complete=False, source=source)
    for upper, lower in itertools.pairwise(names):
        value = _disc_value(upper)
        segments[value] = Segment(value, f"disc_{upper}_{lower}", "disc", complete[upper], source=source)
    out = _paint_discs(out, ct, spine, tissue)
    values = np.zeros(len(spine.all_bones) + 1, dtype=np.uint8)
    for number, name in enumerate(spine.all_bones, start=1):
        value = _HIP_LABELS[name] if name in _HIP_LABELS else VERTEBRA_VALUES[name]
        kind = "bone" if name in _HIP_LABELS else "sacrum" if name == "S1" else "vertebra"
        values[number] = value
        segments[value] = Segment(value, name, kind, complete[name], source=source)
    out = np.where(bones > 0, values[bones], out)
    volume = ct.with_voxels(out, modality=Modality.LABEL, name="truth labels", step="analytic labels")
    present = set(np.unique(out).tolist())
    return Segmentation(volume, tuple(segments[v] for v in sorted(segments) if v in present))


def _disc_value(upper: str) -> int:
    """Return the label of the disc below a vertebra."""
    return _DISC_FIRST_VALUE + VERTEBRA_VALUES[upper] - VERTEBRA_VALUES["T12"]


def _paint_discs(out: np.ndarray, ct: Volume, spine: Spine, tissue: np.ndarray) -> np.ndarray:
    """Give each disc voxel the value of the disc whose middle is nearest."""
    names = list(spine.bones)
    k, j, i = np.nonzero(np.isin(tissue, [int(t) for t in _DISCS]))
    if not len(k):
        return out
    points = transform_points(ct.ijk_to_ras, np.stack([i, j, k], axis=1))
    middles, values = [], []
    for upper in names[:-1]:
        f, size = spine.frames[upper], spine.sizes[upper]
        middles.append(f[:3, 3] - f[:3, 2] * (0.5 * size.height + 0.5 * spine.disc_mm[upper]))
        values.append(_disc_value(upper))
    nearest = np.argmin([((points - c) ** 2).sum(1) for c in middles], axis=0)
    out[k, j, i] = np.array(values, dtype=np.uint8)[nearest]
    return out
