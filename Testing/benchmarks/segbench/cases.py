"""What is segmented, what is true of it, and the bars it must meet."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MSKFusionLib.phantom import PatientOptions, generate_patient
from MSKFusionLib.phantom.patient import Patient
from MSKFusionLib.volume import Modality, Volume, read_image, resample_to, write_image

from .metal import with_screws

_SCREW_RADIUS_MM = 3.0
#: Every generated patient four times: as it comes, low in density, noisier than any protocol, all of it with screws.
VARIANTS = ("usual", "low_density", "noise", "metal")
_NOISE_HU = 45.0


@dataclass(frozen=True)
class Case:
    """A CT on disk with its true labels.

    Parameters
    ----------
    truth
        Labels on the CT's grid; None where only time and memory are measured, or only the count is known.
    bones
        The labels to be scored and their names, from head to foot where `ordered`.
    groups
        Labels of the fragments of one bone, by its name: so many must be found.
    ignored
        Where neither is right (1): metal.
    """

    set_name: str
    name: str
    ct: Path
    truth: Path | None
    bones: dict[int, str] = field(default_factory=dict)
    ordered: bool = False
    groups: dict[str, tuple[int, ...]] = field(default_factory=dict)
    ignored: Path | None = None
    dice_bar: float = 0.0
    union_bar: float | None = None
    surface_bar_mm: float | None = None
    seconds_bar: float | None = None
    peak_bar_mib: float | None = None
    vertebrae: int | None = None


def real(data: Path) -> Iterator[Case]:
    """Give the real images that have labels."""
    spine, pelvis = data / "spine_ct", data / "pelvis_ct"
    yield Case(
        "real",
        "L3 crop, 1.5 mm",
        spine / "tptbox_L3_sub-ct_label-22_ct.nii.gz",
        spine / "tptbox_L3_sub-ct_seg-vert_label-22_msk.nii.gz",
        # L2 and L4 are cut by the crop: only L3 has a bar.
        {22: "L3"},
        dice_bar=0.93,
    )
    levels = ("T12", "L1", "L2", "L3", "L4", "L5")
    yield Case(
        "real",
        "lumbar spine and pelvis, 3 mm",
        spine / "totalseg_example_ct_lumbar_pelvis_3mm.nii.gz",
        spine / "totalseg_example_ct_vertebra_labels.nii.gz",
        {32 - n: level for n, level in enumerate(levels)},
        ordered=True,
        dice_bar=0.88,
    )
    yield Case("real", "lower thoracic, no labels", spine / "lidc0314_lower_thoracic_ct.nrrd", None, vertebrae=6)
    for number in ("001", "002"):
        labels = pelvis / f"pengwin_{number}_fragment_labels.nrrd"
        if not labels.is_file():
            continue
        values = [int(v) for v in np.unique(read_image(labels, modality=Modality.LABEL).voxels) if v > 0]
        sides = {"sacrum": range(1, 11), "left hip bone": range(11, 21), "right hip bone": range(21, 31)}
        groups = {side: tuple(v for v in values if v in of) for side, of in sides.items()}
        names = {v: f"{side} {n}" for side, of in groups.items() for n, v in enumerate(of, 1)}
        yield Case(
            "real",
            f"fractured pelvis {number}",
            pelvis / f"pengwin_{number}_bone_ct.nrrd",
            labels,
            names,
            groups=groups,
            dice_bar=0.9,
        )


def generated(cache: Path, seeds: list[int], wanted: Callable[[str], bool]) -> Iterator[Case]:
    """Give generated patients: every bone wholly in view is scored, and all bone together; only what is asked is generated."""
    for seed in seeds:
        for variant in VARIANTS:
            if not wanted(f"{variant} {seed}"):
                continue
            folder = cache / f"ct_{seed:02d}_{variant}"
            if not (folder / "truth.nrrd").is_file():
                _generate(folder, seed, variant)
            names = dict(line.split(" ", 1) for line in (folder / "bones.txt").read_text(encoding="utf-8").splitlines())
            metal = folder / "metal.nrrd"
            yield Case(
                "generated",
                f"{variant} {seed}",
                folder / "ct.nrrd",
                folder / "truth.nrrd",
                {int(v): n for v, n in names.items()},
                ignored=metal if metal.is_file() else None,
                dice_bar=0.95,
                union_bar=0.97,
                surface_bar_mm=0.35,
            )


def large(cache: Path, data: Path) -> Iterator[Case]:
    """Give a whole trunk of 512 x 512 x 400 voxels: the real lumbar spine and pelvis on finer voxels."""
    source = data / "spine_ct" / "totalseg_example_ct_lumbar_pelvis_3mm.nii.gz"
    path = cache / "trunk_512_512_400.nrrd"
    if not path.is_file():
        ct = read_image(source, modality=Modality.CT)
        size = np.array([512, 512, 400])
        spacing = ct.spacing_mm * np.array(ct.shape_ijk) / size
        origin = ct.origin_ras + ct.directions_ras @ ((spacing - ct.spacing_mm) / 2)
        grid = Volume(
            np.broadcast_to(np.zeros((), np.int16), tuple(size[::-1])), origin, spacing, ct.directions_ras, Modality.CT
        )
        fine = resample_to(ct, grid, np.eye(4))
        # The scanner's noise, which interpolation has taken away.
        noise = np.random.default_rng(0).normal(0, 20, fine.voxels.shape).astype(np.float32)
        cache.mkdir(parents=True, exist_ok=True)
        write_image(fine.with_voxels(np.rint(fine.voxels + noise).astype(np.int16)), path)
    yield Case("large", "512 x 512 x 400", path, None, seconds_bar=25.0, peak_bar_mib=3 * 1024.0)


def _options(seed: int, variant: str) -> PatientOptions:
    return PatientOptions(
        seed=seed,
        low_density=True if variant in ("low_density", "metal") else None,
        ct_noise_hu=_NOISE_HU if variant in ("noise", "metal") else 22.0,
        mr_spacing_mm=(3.0, 8.0),  # nobody looks at it
    )


def _generate(folder: Path, seed: int, variant: str) -> None:
    print(f"generating {folder.name}", flush=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f"{folder.name}_draft_", dir=folder.parent))
    patient = generate_patient(_options(seed, variant))
    ct = patient.ct
    if variant == "metal":
        ct, metal = with_screws(ct, _screw_lines(patient), _SCREW_RADIUS_MM, seed)
        write_image(ct.with_voxels(metal.astype(np.uint8), modality=Modality.LABEL), draft / "metal.nrrd")
    write_image(ct, draft / "ct.nrrd")
    segments = [s for s in patient.labels.segments if s.kind in ("vertebra", "sacrum", "bone")]
    labels = np.where(
        np.isin(patient.labels.labels.voxels, [s.value for s in segments]), patient.labels.labels.voxels, 0
    )
    lines = [f"{s.value} {s.name}" for s in segments if s.complete]
    (draft / "bones.txt").write_text("\n".join(lines), encoding="utf-8")
    write_image(patient.labels.labels.with_voxels(labels.astype(np.uint8)), draft / "truth.nrrd")
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)


def _screw_lines(patient: Patient) -> list[list[np.ndarray]]:
    """Return both pedicles' axes of L4, 45 mm of each from the back."""
    lines = []
    for pedicle in patient.vertebrae["L4"].pedicles.values():
        along = pedicle.anterior_ras - pedicle.posterior_ras
        lines.append([pedicle.posterior_ras, pedicle.posterior_ras + 45.0 * along / np.linalg.norm(along)])
    return lines


#: By name: what gives the cases of a set that are wanted, by cache, data and seeds.
SETS: dict[str, Callable[[Path, Path, list[int], Callable[[str], bool]], Iterator[Case]]] = {
    "real": lambda cache, data, seeds, wanted: (c for c in real(data) if wanted(c.name)),
    "generated": lambda cache, data, seeds, wanted: generated(cache, seeds, wanted),
    "large": lambda cache, data, seeds, wanted: (c for c in large(cache, data) if wanted(c.name)),
}


def read_labels(path: Path) -> np.ndarray:
    """Return a label image as stored (K, J, I)."""
    return np.asarray(sitk.GetArrayFromImage(sitk.ReadImage(str(path))))
