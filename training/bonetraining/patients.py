"""Generated patients as maps: which tissue each voxel is, and what the network should call it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MSKFusionLib.phantom import Patient, PatientOptions, generate_patient
from MSKFusionLib.segmentation.labels import Segmentation

#: What the network learns to tell apart, by label value.
TARGETS = ("background", "vertebrae", "sacrum", "discs", "spinal canal", "hip bones")
#: What has a grey value of its own, by tissue value.
TISSUES = ("air", "fat", "soft", "marrow", "cortex", "disc", "canal", "nerve", "vessel", "kidney")
_OF_KIND = {"vertebra": 1, "sacrum": 2, "disc": 3, "canal": 4, "nerve": 4, "bone": 5}
_TISSUE_OF_KIND = {"disc": 5, "canal": 6, "nerve": 7, "artery": 8, "vein": 8, "kidney": 9}
_AIR_HU, _FAT_HU, _CORTEX_HU = -300.0, -20.0, 280.0


@dataclass(frozen=True, eq=False)
class Maps:
    """A generated patient on cubes.

    Parameters
    ----------
    tissue, target
        (K, J, I) values of `TISSUES` and of `TARGETS`.
    hu
        (K, J, I) the CT without noise.
    """

    tissue: NDArray[np.uint8]
    target: NDArray[np.uint8]
    hu: NDArray[np.int16]


def patient_options(seed: int, spacing_mm: float, *, small: bool) -> PatientOptions:
    """Return the patient of a seed: its own size, curve and density; every third with a fractured vertebra."""
    make: Callable[..., PatientOptions] = PatientOptions.small if small else PatientOptions
    rng = np.random.default_rng(seed)
    options = replace(make(seed=seed), ct_spacing_mm=(spacing_mm,) * 3, ct_noise_hu=0.0)
    if small:
        return options
    return replace(
        options,
        scale=float(rng.uniform(0.88, 1.12)),
        scoliosis_deg=float(rng.uniform(0.0, 25.0)),
        low_density=bool(rng.random() < 0.4),
        wedge_fracture="L2" if "L2" in options.levels and rng.random() < 0.3 else "none",
    )


def target_map(labels: Segmentation) -> NDArray[np.uint8]:
    """Return what the network should say (K, J, I) where a segmentation is known."""
    lookup = np.zeros(1 + max(s.value for s in labels.segments), dtype=np.uint8)
    for segment in labels.segments:
        # A network's label of all vertebrae has its name alone to go by.
        named = TARGETS.index(segment.name) if segment.name in TARGETS else 0
        lookup[segment.value] = _OF_KIND.get(segment.kind, named)
    return lookup[labels.labels.voxels]


def maps_of(patient: Patient) -> Maps:
    """Return the maps of a patient that was generated without noise."""
    hu = patient.ct.voxels
    target = target_map(patient.labels)
    tissue = np.full(hu.shape, TISSUES.index("soft"), dtype=np.uint8)
    tissue[hu < _FAT_HU] = TISSUES.index("fat")
    tissue[hu < _AIR_HU] = TISSUES.index("air")
    for segment in patient.labels.segments:
        if segment.kind in _TISSUE_OF_KIND:
            tissue[patient.labels.labels.voxels == segment.value] = _TISSUE_OF_KIND[segment.kind]
    bone = np.isin(target, (1, 2, 5))
    tissue[bone] = np.where(hu[bone] > _CORTEX_HU, TISSUES.index("cortex"), TISSUES.index("marrow"))
    return Maps(tissue, target, hu.astype(np.int16))


def patient_maps(seed: int, spacing_mm: float, *, small: bool, cache: Path | None) -> Maps:
    """Return the maps of a seed's patient, from the cache where they lie there already."""
    file = None if cache is None else cache / f"{'small' if small else 'whole'}_{seed}_{spacing_mm:g}mm.npz"
    if file is not None and file.is_file():
        with np.load(file, allow_pickle=False) as held:
            return Maps(held["tissue"], held["target"], held["hu"])
    # Its MR images are not looked at, and coarse ones cost little.
    options = replace(patient_options(seed, spacing_mm, small=small), mr_spacing_mm=(6.0, 8.0))
    made = maps_of(generate_patient(options))
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(file, tissue=made.tissue, target=made.target, hu=made.hu)
    return made
