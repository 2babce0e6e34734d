"""Dice on images whose labels are known, of a bundle and of the planner's own method: generated patients and real images."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MSKFusionLib.errors import ProcessingError
from MSKFusionLib.networks import Bundle, segment_with_bundle
from MSKFusionLib.phantom import Patient
from MSKFusionLib.segmentation import Segmentation, segment_bones_ct
from MSKFusionLib.segmentation.mr import segment_spine_mr
from MSKFusionLib.volume import Modality, Volume, read_image, resample_to

from .patients import TARGETS, target_map

#: Real labelled images of ../shared/data: image, labels, what is CT, and which label values are which target.
_REAL = (
    ("totalseg_example", "spine_ct/totalseg_example_ct_lumbar_pelvis_3mm.nii.gz",
     "spine_ct/totalseg_example_ct_vertebra_labels.nii.gz", Modality.CT, {1: range(27, 51), 2: range(26, 27)}),
    ("tptbox L3", "spine_ct/tptbox_L3_sub-ct_label-22_ct.nii.gz",
     "spine_ct/tptbox_L3_sub-ct_seg-vert_label-22_msk.nii.gz", Modality.CT, {1: range(1, 26)}),
    ("tptbox MR", "spine_mr/tptbox_sub-mri_label-6_T2w.nii.gz",
     "spine_mr/tptbox_sub-mri_seg-vert_label-6_msk.nii.gz", Modality.MR, {1: range(1, 26), 3: range(101, 126)}),
    ("tptbox MR, bodies and canal", "spine_mr/tptbox_sub-mri_label-6_T2w.nii.gz",
     "spine_mr/tptbox_sub-mri_seg-subreg_label-6_msk.nii.gz", Modality.MR, {1: range(49, 51), 4: range(60, 62)}),
)  # fmt: skip


#: What finds structures in an image.
Finder = Callable[[Volume], Segmentation]


@dataclass(frozen=True)
class Score:
    """Dice of each target that the truth holds, on one image; `by` says what found it."""

    image: str
    modality: Modality
    dice: dict[str, float]
    by: str = "network"


def by_network(bundle: Bundle, device: str) -> Finder:
    """Return what finds structures by a bundle."""
    return lambda image: segment_with_bundle(image, bundle, device=device)


def by_rules(image: Volume) -> Segmentation:
    """Find structures by the planner's own methods: bones in CT; bodies, discs and canal in MR, without a click."""
    return segment_bones_ct(image, spine_required=False) if image.modality is Modality.CT else segment_spine_mr(image)


def score(find: Finder, image: Volume, truth: NDArray[np.uint8], name: str, by: str = "network") -> Score:
    """Return the Dice on one image; 0 where nothing is found.

    Parameters
    ----------
    truth
        (K, J, I) values of `TARGETS` on the grid of `image`.
    """
    wanted = [int(n) for n in np.unique(truth) if n]
    try:
        found = target_map(find(image))
    except ProcessingError:
        return Score(name, image.modality, {TARGETS[n]: 0.0 for n in wanted}, by)
    dice = {}
    for value in wanted:
        a, b = found == value, truth == value
        dice[TARGETS[value]] = float(2 * (a & b).sum() / (a.sum() + b.sum()))
    return Score(name, image.modality, dice, by)


def score_generated(find: Finder, patients: Iterable[Patient], by: str = "network") -> list[Score]:
    """Return the Dice on each patient's CT, and on its T1 and T2 where its MR lies."""
    out = []
    for patient in patients:
        truth = target_map(patient.labels)
        out.append(score(find, patient.ct, truth, f"generated {patient.options.seed}", by))
        labels = patient.ct.with_voxels(truth, modality=Modality.LABEL)
        for mr, name in ((patient.mr_t1, "T1"), (patient.mr_t2, "T2")):
            on_mr = resample_to(labels, mr, np.linalg.inv(patient.ct_to_mr_ras), order=0).voxels.astype(np.uint8)
            out.append(score(find, mr, on_mr, f"generated {patient.options.seed} {name}", by))
    return out


def score_real(find: Finder, data: Path, by: str = "network") -> list[Score]:
    """Return the Dice on the real labelled images that are there; targets without labels are left out."""
    out = []
    for name, image_file, label_file, modality, values in _REAL:
        if not (data / image_file).is_file() or not (data / label_file).is_file():
            continue
        image = read_image(data / image_file, modality)
        labels = resample_to(read_image(data / label_file, Modality.LABEL), image, np.eye(4), order=0).voxels
        truth = np.zeros(labels.shape, dtype=np.uint8)
        for target, of in values.items():
            truth[np.isin(labels, list(of))] = target
        out.append(score(find, image, truth, name, by))
    return out


def as_table(scores: Iterable[Score]) -> str:
    """Return scores as a Markdown table."""
    rows = [f"| image | modality | by | {' | '.join(TARGETS[1:])} |", "|---" * (2 + len(TARGETS)) + "|"]
    for s in scores:
        cells = [f"{s.dice[t]:.2f}" if t in s.dice else "" for t in TARGETS[1:]]
        rows.append(f"| {s.image} | {s.modality} | {s.by} | {' | '.join(cells)} |")
    return "\n".join(rows)
