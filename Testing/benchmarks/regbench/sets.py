"""The sets of pairs that have a right answer: generated patients, one real head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from MSKFusionLib.frames import (
    FloatArray,
    fit_rigid,
    flip_ras_lps,
    flip_transform_ras_lps,
    invert_rigid,
    transform_points,
)
from MSKFusionLib.volume import Modality

from .honesty import honesty
from .motions import draw_motion
from .pairs import ImageFile, Pair, Recipe, start_at
from .patients import PatientStore, StoredPatient
from .real_mr import with_themselves

LUMBAR_MM, LUMBAR_DEG = 64.0, 45.0
NEAR_MM, NEAR_DEG = 5.0, 3.0
REAL_MM, REAL_DEG, REAL_NEAR_MM, REAL_NEAR_DEG = 60.0, 45.0, 10.0, 6.0
TURN_DEG, TURN_MM = 180.0, 20.0
TURNS, POSTURES, REAL_STARTS, REAL_NEAR_STARTS, REAL_MR_STARTS = 40, 8, 100, 10, 10
CONTRAST_PATIENTS = 2
_CONTRASTS = ("PD", "FS", "metal in CT", "metal in MR")


@dataclass(frozen=True)
class Source:
    """What the sets draw from.

    Parameters
    ----------
    seeds
        Of the generated patients.
    starts
        How many starts each patient and weighting has in `lumbar`.
    data
        The folder of real images; pairs of them are left out where it is not there.
    """

    store: PatientStore
    seeds: Sequence[int]
    starts: int
    data: Path


def _generated(
    source: Source, set_name: str, seed: int, weighting: str, key: Sequence[int], limits: tuple[float, float]
) -> Recipe:
    """Return a generated patient's MR (fixed) and CT (moving), wrong at the start by a motion drawn from `key`.

    The MR is the fixed image: the peers draw their samples from the fixed one and want most of them inside the moving
    one, and the MR's field of view is the smaller. The order does not matter to this project.
    """

    def make() -> Pair:
        patient = source.store.get(seed)
        return _from_wrong_start(patient, patient.ct, patient.mr(weighting), key, limits)

    return Recipe(set_name, f"{set_name}-{seed:02d}-{weighting}-{key[-1]}", weighting, make)


def _from_wrong_start(
    patient: StoredPatient, ct: ImageFile, mr: ImageFile, key: Sequence[int], limits: tuple[float, float]
) -> Pair:
    """Return an MR (fixed) and a CT (moving) of a patient, wrong at the start by a motion drawn from `key`."""
    motion = draw_motion(np.random.default_rng(key), mr.read().centre_ras, *limits)
    fixed_points = patient.mr_points_ras
    moved, moving_points = start_at(motion, invert_rigid(patient.ct_to_mr_ras), ct, fixed_points)
    return Pair(mr, moved, fixed_points, moving_points, labels=patient.labels, labels_moved_ras=moved.moved_ras)


def near(source: Source) -> list[Recipe]:
    """Generated lumbar pairs that are almost right from the start: what every adapter must solve."""
    limits = (NEAR_MM, NEAR_DEG)
    return [_generated(source, "near", s, w, (s, n, 70, 0), limits) for s in source.seeds for n, w in _weightings()]


def lumbar(source: Source) -> list[Recipe]:
    """Generated lumbar pairs from far starts."""
    limits = (LUMBAR_MM, LUMBAR_DEG)
    # The first pairs shall be of many patients and of both weightings.
    found = []
    for start in range(source.starts):
        for turn in range(2):
            for number, seed in enumerate(source.seeds):
                n, weighting = _weightings()[(number + turn) % 2]
                found.append(_generated(source, "lumbar", seed, weighting, (seed, n, 71, start), limits))
    return found


def turns(source: Source) -> list[Recipe]:
    """Generated lumbar pairs turned by up to half a turn about any axis."""
    found = []
    for n in range(TURNS):
        weighting = _weightings()[n // len(source.seeds) % 2][1]
        found.append(
            _generated(source, "turns", source.seeds[n % len(source.seeds)], weighting, (n, 72, n), (TURN_MM, TURN_DEG))
        )
    return found


def contrasts(source: Source) -> list[Recipe]:
    """Generated patients from far starts, in images that are neither plain T1 nor T2: other weightings, metal in one image."""

    def make(seed: int, n: int, what: str) -> Pair:
        plain = source.store.get(seed, "weightings")
        ct, mr = plain.ct, plain.mr(what) if what in ("PD", "FS") else plain.mr(_weightings()[n % 2][1])
        if what == "metal in CT":
            ct = source.store.get(seed, "screws").ct
        elif what == "metal in MR":
            mr = source.store.get(seed, "screws").mr(_weightings()[n % 2][1])
        return _from_wrong_start(plain, ct, mr, (seed, _CONTRASTS.index(what), 75), (LUMBAR_MM, LUMBAR_DEG))

    return [
        Recipe("contrasts", f"contrasts-{seed:02d}-{what.replace(' ', '_')}", what, partial(make, seed, n, what))
        for n, seed in enumerate(source.seeds[:CONTRAST_PATIENTS])
        for what in _CONTRASTS
    ]


def postures(source: Source) -> list[Recipe]:
    """Generated patients who lay differently in the MR: every vertebra has moved on its own."""

    def make(seed: int, weighting: str) -> Pair:
        patient = source.store.get(seed, "postures")
        mr = patient.mr(weighting)
        levels = patient.levels_in_view(mr.read())
        own = {n: {"turn_deg": t, "shift_mm": s} for n, (t, s) in patient.own_motion.items() if n in levels}
        return Pair(
            patient.ct,
            mr,
            {n: patient.ct_points_ras[n] for n in levels},
            {n: patient.mr_points_ras[n] for n in levels},
            labels=patient.labels,
            facts={"own_motion": own},
        )

    return [
        Recipe("postures", f"postures-{seed:02d}-{w}", w, _bound(make, seed, w))
        for seed in source.seeds[:POSTURES]
        for _, w in _weightings()
    ]


def real(source: Source) -> list[Recipe]:
    """The RIRE head, CT and T1 in turn the fixed image, from far starts."""
    return _head(source, "real", REAL_STARTS, (REAL_MM, REAL_DEG))


def real_near(source: Source) -> list[Recipe]:
    """The RIRE head from near starts, where the peers work too."""
    return _head(source, "real_near", REAL_NEAR_STARTS, (REAL_NEAR_MM, REAL_NEAR_DEG))


def real_mr(source: Source) -> list[Recipe]:
    """Real MR images of a knee, a pelvis and a spine with themselves, from far starts."""
    return with_themselves(source.store, source.data, "real_mr", REAL_MR_STARTS, (REAL_MM, REAL_DEG))


def _head(source: Source, set_name: str, count: int, limits: tuple[float, float]) -> list[Recipe]:
    return [_rire(source, set_name, n, limits) for n in range(count)] if source.data.is_dir() else []


def _rire(source: Source, set_name: str, number: int, limits: tuple[float, float]) -> Recipe:
    ct_is_fixed = number % 2 == 0

    def make() -> Pair:
        folder = source.data / "rire"
        ct = ImageFile(folder / "training_001_ct_1.25mm.nii.gz", Modality.CT)
        mr = ImageFile(folder / "training_001_mr_T1.mha", Modality.MR)
        points, truth = rire_truth(folder / "ct_T1.standard")
        fixed, moving = (ct, mr) if ct_is_fixed else (mr, ct)
        if not ct_is_fixed:
            points = {n: transform_points(truth, p) for n, p in points.items()}
            truth = invert_rigid(truth)
        rng = np.random.default_rng((number, 73 if set_name == "real" else 74))
        motion = draw_motion(rng, fixed.read().centre_ras, *limits)
        moving, there = start_at(motion, truth, moving, points)
        return Pair(fixed, moving, points, there, also=("head",))

    return Recipe(set_name, f"{set_name}-{number:03d}", "CT fixed" if ct_is_fixed else "MR fixed", make)


def rire_truth(standard: Path) -> tuple[dict[str, FloatArray], FloatArray]:
    """Return the standard's eight points and 27 points in the head (CT RAS), and the 4x4 from CT to MR RAS."""
    rows = [line.split() for line in standard.read_text(encoding="latin-1").splitlines()]
    numbers = np.array([[float(x) for x in row] for row in rows if len(row) == 7 and row[0].isdigit()])
    truth = flip_transform_ras_lps(fit_rigid(numbers[:, 1:4], numbers[:, 4:7]))
    # The points of tre_rire.py, LPS.
    head = np.array([[x, y, z] for x in (80, 160, 240) for y in (80, 160, 240) for z in (28, 64, 100)], dtype=float)
    return {"standard": flip_ras_lps(numbers[:, 1:4]), "head": flip_ras_lps(head)}, truth


def _weightings() -> tuple[tuple[int, str], ...]:
    return ((0, "T1"), (1, "T2"))


def _bound(make: Callable[[int, str], Pair], seed: int, weighting: str) -> Callable[[], Pair]:
    return lambda: make(seed, weighting)


def must_fail(source: Source) -> list[Recipe]:
    """Pairs without a right answer."""
    return honesty(source.store, source.seeds, source.data)


SETS: dict[str, Callable[[Source], list[Recipe]]] = {
    "near": near,
    "lumbar": lumbar,
    "turns": turns,
    "contrasts": contrasts,
    "postures": postures,
    "real": real,
    "real_near": real_near,
    "real_mr": real_mr,
    "honesty": must_fail,
}
#: The methods that a set is run with unless others are asked for.
USUAL_METHODS = {
    "turns": ("ours",),
    "postures": ("ours", "ours_piecewise"),
    "honesty": ("ours",),
}
