"""Generated patients on disk, each made once for all sets, methods and runs."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from MSKFusionLib.frames import FloatArray, fit_rigid, invert_rigid, rotation_angle_deg, transform_points
from MSKFusionLib.phantom import PatientOptions, generate_patient
from MSKFusionLib.phantom.patient import Patient
from MSKFusionLib.segmentation.files import write_segmentation
from MSKFusionLib.volume import Modality, Volume, write_image

from .pairs import ImageFile

POINTS_PER_BONE = 100
#: A bone counts as imaged by the MR where at least this share of its surface is.
LEAST_IN_VIEW = 0.5
#: What a patient may be generated with besides the seed, by name. Those of one seed are one body, lying the same in the MR.
_SCREWS = ("L3", "L4", "L5")
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "postures": {"two_postures": True},
    "weightings": {"more_weightings": ("PD", "FS")},
    "screws": {"screws_in_ct": _SCREWS, "screws_in_mr": _SCREWS},
}


@dataclass(frozen=True, eq=False)
class StoredPatient:
    """Files of a generated patient and what is true of them.

    Parameters
    ----------
    ct_points_ras, mr_points_ras
        By vertebra, points on its surface in the CT's frame and in the MR's.
    own_motion
        By vertebra, how far it moved against all others together: degrees, and mm of its middle (0 without a second
        posture).
    """

    folder: Path
    ct_to_mr_ras: FloatArray
    ct_points_ras: dict[str, FloatArray]
    mr_points_ras: dict[str, FloatArray]
    own_motion: dict[str, tuple[float, float]]

    @property
    def ct(self) -> ImageFile:
        """The CT where the patient lay."""
        return ImageFile(self.folder / "ct.nrrd", Modality.CT)

    @property
    def labels(self) -> Path:
        """The true labels of the CT."""
        return self.folder / "labels.seg.nrrd"

    def mr(self, weighting: str) -> ImageFile:
        """An MR image: "T1" or "T2", and of the kind `weightings` "PD" and "FS"."""
        return ImageFile(self.folder / f"mr_{weighting.lower()}.nrrd", Modality.MR)

    def levels_in_view(self, volume: Volume) -> list[str]:
        """Return the vertebrae that an MR image shows."""
        found = []
        for level, points in self.mr_points_ras.items():
            ijk = transform_points(volume.ras_to_ijk, points)
            inside = np.all((ijk >= 0) & (ijk <= np.array(volume.shape_ijk) - 1), axis=1)
            if inside.mean() >= LEAST_IN_VIEW:
                found.append(level)
        return found


class PatientStore:
    """Makes patients on demand in a cache folder."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache

    def get(self, seed: int, kind: str = "plain") -> StoredPatient:
        """Return a patient of one of `KINDS`, generating it the first time."""
        folder = self.cache / f"patient_{seed:02d}{'' if kind == 'plain' else f'_{kind}'}"
        if not (folder / "truth.json").is_file():
            print(f"generating {folder.name}", flush=True)
            self._generate(folder, PatientOptions(seed=seed, **KINDS[kind]))
        truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
        return StoredPatient(
            folder,
            np.array(truth["ct_to_mr_ras"]),
            {n: np.array(p) for n, p in truth["ct_points_ras"].items()},
            {n: np.array(p) for n, p in truth["mr_points_ras"].items()},
            {n: (m[0], m[1]) for n, m in truth["own_motion"].items()},
        )

    def derived(self, name: str) -> Path:
        """Return the path of an image made from others."""
        (self.cache / "derived").mkdir(parents=True, exist_ok=True)
        return self.cache / "derived" / f"{name}.nrrd"

    def _generate(self, folder: Path, options: PatientOptions) -> None:
        self.cache.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f"{folder.name}_draft_", dir=self.cache))
        patient = generate_patient(options)
        write_image(patient.ct, draft / "ct.nrrd")
        for weighting in ("T1", "T2", *options.more_weightings):
            write_image(patient.mr(weighting), draft / f"mr_{weighting.lower()}.nrrd")
        write_segmentation(patient.labels, draft / "labels.seg.nrrd")
        (draft / "truth.json").write_text(json.dumps(_truth(patient)), encoding="utf-8")
        # A run that is killed must not leave half a patient that looks whole, nor two at once mix theirs.
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)


def _truth(patient: Patient) -> dict[str, object]:
    ct_points, mr_points = {}, {}
    for level in patient.vertebrae:
        points = patient.bone_points_ras(level, POINTS_PER_BONE)
        pose = patient.ct_to_mr_ras @ patient.vertebra_poses_ras.get(level, np.eye(4))
        ct_points[level], mr_points[level] = points, transform_points(pose, points)
    common = fit_rigid(np.concatenate(list(ct_points.values())), np.concatenate(list(mr_points.values())))
    own = {}
    for level, points in ct_points.items():
        motion = invert_rigid(common) @ fit_rigid(points, mr_points[level])
        middle = points.mean(0)
        shift = float(np.linalg.norm(transform_points(motion, middle) - middle))
        own[level] = (round(rotation_angle_deg(motion), 3), round(shift, 3))
    return {
        "ct_to_mr_ras": patient.ct_to_mr_ras.tolist(),
        "ct_points_ras": {n: p.tolist() for n, p in ct_points.items()},
        "mr_points_ras": {n: p.tolist() for n, p in mr_points.items()},
        "own_motion": own,
    }
