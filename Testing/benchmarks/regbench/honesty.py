"""Pairs that must fail: no motion is right, and every accepted one is a lie."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from MSKFusionLib.frames import FloatArray, transform_points
from MSKFusionLib.volume import Modality, Volume

from .pairs import ImageFile, Pair, Recipe
from .patients import PatientStore
from .real_mr import REAL_MR, derived, series

#: How many pairs of each kind, 300 in all; fewer patients give fewer.
OTHER_PATIENT, MIRRORED, NO_OVERLAP, NOISE, OTHER_BODY_PART, THREE_SLICES = 184, 40, 40, 10, 16, 10
#: What is left out between the part that the CT shows and the part that the MR shows.
_APART_MM = 15.0
_WEIGHTINGS = ("T1", "T2")
_REAL_CT = {
    "head": "rire/training_001_ct_1.25mm.nii.gz",
    "thorax": "spine_ct/lidc0314_lower_thoracic_ct.nrrd",
    "lumbar": "spine_ct/totalseg_example_ct_lumbar_pelvis_3mm.nii.gz",
    "pelvis": "pelvis_ct/pengwin_001_bone_ct.nrrd",
}
_REAL_MR = {"head": "rire/training_001_mr_T1.mha", **REAL_MR}


def honesty(store: PatientStore, seeds: Sequence[int], data: Path) -> list[Recipe]:
    """Return the pairs, mixed so that any first part of them has all kinds in proportion."""
    kinds = [
        _others(store, seeds),
        _own(store, seeds, "mirrored", MIRRORED, _mirrored),
        _own(store, seeds, "no overlap", NO_OVERLAP, _no_overlap),
        _own(store, seeds, "noise", NOISE, _noise),
        _body_parts(store, data),
        _own(store, seeds, "three slices", THREE_SLICES, _three_slices),
    ]
    ranked = [
        ((n + 0.5) / len(kind), which, recipe) for which, kind in enumerate(kinds) for n, recipe in enumerate(kind)
    ]
    return [recipe for _, _, recipe in sorted(ranked, key=lambda entry: entry[:2])]


def _others(store: PatientStore, seeds: Sequence[int]) -> list[Recipe]:
    """Return CTs with the MR of another generated patient."""
    pairs = list(itertools.permutations(seeds, 2))
    order = np.random.default_rng((len(pairs), 80)).permutation(len(pairs))
    recipes = []
    for n in order[:OTHER_PATIENT]:
        seed, other = pairs[n]
        weighting = _WEIGHTINGS[(seed + other) % 2]

        def make(seed: int = seed, other: int = other, weighting: str = weighting) -> Pair:
            return _with_whole_ct(store, seed, store.get(other).mr(weighting))

        recipes.append(Recipe("honesty", f"other-{seed:02d}-{other:02d}-{weighting}", "other patient", make))
    return recipes


def _own(
    store: PatientStore,
    seeds: Sequence[int],
    kind: str,
    count: int,
    spoil: Callable[[PatientStore, int, str], Pair],
) -> list[Recipe]:
    """Return pairs of one generated patient with something done to them."""
    recipes = []
    for n in range(min(count, 2 * len(seeds))):
        seed, weighting = seeds[n % len(seeds)], _WEIGHTINGS[(n % len(seeds) + n // len(seeds)) % 2]

        def make(seed: int = seed, weighting: str = weighting) -> Pair:
            return spoil(store, seed, weighting)

        recipes.append(Recipe("honesty", f"{kind.replace(' ', '_')}-{seed:02d}-{weighting}", kind, make))
    return recipes


def _with_whole_ct(store: PatientStore, seed: int, mr: ImageFile) -> Pair:
    patient = store.get(seed)
    return Pair(patient.ct, mr, labels=patient.labels)


def _mirrored(store: PatientStore, seed: int, weighting: str) -> Pair:
    """Flip the MR's voxels left to right, its header kept: the aorta and the vena cava change places."""
    patient = store.get(seed)

    def make() -> Volume:
        mr = patient.mr(weighting).read()
        right = patient.ct_to_mr_ras[:3, 0]
        axis = int(np.argmax(np.abs(mr.directions_ras.T @ right)))
        return mr.with_voxels(np.ascontiguousarray(np.flip(mr.voxels, 2 - axis)), step="mirrored left to right")

    return _with_whole_ct(store, seed, derived(store, f"mirrored_{seed:02d}_{weighting}", make))


def _no_overlap(store: PatientStore, seed: int, weighting: str) -> Pair:
    """Keep the upper half of the spine in the CT and the lower in the MR: no point of the body is in both."""
    patient = store.get(seed)
    middle_ras = patient.ct_points_ras["L3"].mean(0)

    def upper() -> Volume:
        return _part_beyond(patient.ct.read(), middle_ras, np.array([0.0, 0.0, 1.0]))

    def lower() -> Volume:
        down = -patient.ct_to_mr_ras[:3, 2]
        return _part_beyond(
            patient.mr(weighting).read(), transform_points(patient.ct_to_mr_ras, middle_ras) + _APART_MM * down, down
        )

    return Pair(
        derived(store, f"upper_{seed:02d}_CT", upper, Modality.CT),
        derived(store, f"lower_{seed:02d}_{weighting}", lower),
    )


def _part_beyond(volume: Volume, point_ras: FloatArray, direction_ras: FloatArray) -> Volume:
    """Return what lies beyond a plane, cut along the image axis nearest to its normal so that nothing before it is left."""
    along = volume.directions_ras.T @ direction_ras
    axis = int(np.argmax(np.abs(along)))
    corners = np.array(list(itertools.product(*[(0, n - 1) for n in volume.shape_ijk])), dtype=float)
    slices = np.arange(volume.shape_ijk[axis])
    nearest = np.full(len(slices), np.inf)
    for corner in corners:
        line = np.repeat(corner[None], len(slices), axis=0)
        line[:, axis] = slices
        nearest = np.minimum(nearest, (transform_points(volume.ijk_to_ras, line) - point_ras) @ direction_ras)
    kept = np.flatnonzero(nearest >= 0)
    lower, upper = np.zeros(3, dtype=int), np.array(volume.shape_ijk)
    lower[axis], upper[axis] = kept.min(), kept.max() + 1
    part = volume.cropped(lower, upper)
    return replace(part, voxels=np.ascontiguousarray(part.voxels))


def _noise(store: PatientStore, seed: int, weighting: str) -> Pair:
    patient = store.get(seed)

    def make() -> Volume:
        mr = patient.mr(weighting).read()
        rng = np.random.default_rng((seed, 81))
        return mr.with_voxels(np.hypot(*rng.normal(0, 100, (2, *mr.voxels.shape))).astype(np.float32))

    return _with_whole_ct(store, seed, derived(store, f"noise_{seed:02d}_{weighting}", make))


def _three_slices(store: PatientStore, seed: int, weighting: str) -> Pair:
    patient = store.get(seed)

    def make() -> Volume:
        mr = patient.mr(weighting).read()
        middle = mr.shape_ijk[2] // 2
        return mr.cropped((0, 0, middle - 1), (*mr.shape_ijk[:2], middle + 2))

    return _with_whole_ct(store, seed, derived(store, f"three_{seed:02d}_{weighting}", make))


def _body_parts(store: PatientStore, data: Path) -> list[Recipe]:
    """Return real CTs with real MRs of another person, nearly all of another part of the body."""
    recipes: list[Recipe] = []
    if not data.is_dir():
        return recipes
    for shift in range(len(_REAL_MR)):
        for n, (ct_name, ct_path) in enumerate(_REAL_CT.items()):
            mr_name, mr_path = list(_REAL_MR.items())[(n + shift) % len(_REAL_MR)]
            if ct_name == mr_name == "head":
                ct_name, ct_path = (
                    "pelvis 2",
                    "pelvis_ct/pengwin_002_bone_ct.nrrd",
                )  # the head is one and the same person

            def make(ct_path: str = ct_path, mr_name: str = mr_name, mr_path: str = mr_path) -> Pair:
                ct, mr = ImageFile(data / ct_path, Modality.CT), ImageFile(data / mr_path, Modality.MR)
                if mr.path.is_dir():
                    mr = derived(store, f"real_{mr_name}", lambda: series(data / mr_path))
                return Pair(ct, mr)

            name = f"part-{ct_name.replace(' ', '')}-{mr_name}"
            recipes.append(Recipe("honesty", name, "other body part", make))
    return recipes
