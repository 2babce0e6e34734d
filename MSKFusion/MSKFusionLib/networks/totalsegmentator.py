"""TotalSegmentator through its own package, offline: with weights that are there already, and without its statistics.

Wasserthal et al. 2023, doi 10.1148/ryai.230024.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errors import InputError, MissingComponentError, ProcessingError
from ..progress import Progress, no_progress
from ..segmentation.labels import Segmentation
from ..torch_device import NETWORKS as PURPOSE
from ..torch_device import choose_device
from ..volume import Modality, Volume, check_values
from .table import segmentation_of

_TASKS = {Modality.CT: "total", Modality.MR: "total_mr"}
_GET_WEIGHTS = "totalseg_download_weights -t {task}"


def segment_with_totalsegmentator(
    image: Volume, *, device: str = "auto", progress: Progress = no_progress
) -> Segmentation:
    """Find in a CT or MR what TotalSegmentator's open task (``total``, ``total_mr``) knows.

    Progress is reported, and a cancel heard, before and after it only: the package has no callback.

    Raises
    ------
    MissingComponentError
        When the package is not installed, or its weights are not on this machine.
    InputError
        When it is not known whether the image is CT or MR.
    """
    check_values(image)
    task = _TASKS.get(image.modality)
    if task is None:
        raise InputError("it is not known whether this is CT or MR", "Say it (--modality ct or mr).", where=image.name)
    if importlib.util.find_spec("totalsegmentator") is None:
        raise MissingComponentError(
            "TotalSegmentator is not installed here. Install it with pip install TotalSegmentator and get its weights "
            f"with {_GET_WEIGHTS.format(task=task)}, or give a MONAI bundle."
        )
    where = choose_device(device, PURPOSE)
    progress(0.0, "TotalSegmentator (reports no progress of its own)")
    with contextlib.redirect_stdout(sys.stderr):  # it prints; standard output is for results
        import nibabel
        from totalsegmentator import python_api
        from totalsegmentator.map_to_binary import class_map

        values = np.ascontiguousarray(image.voxels.transpose(2, 1, 0).astype(np.float32))
        with _offline(python_api, task):
            found = python_api.totalsegmentator(
                nibabel.Nifti1Image(values, image.ijk_to_ras),
                None,
                ml=True,
                task=task,
                device="gpu" if where == "cuda" else where.replace("cuda", "gpu"),
                quiet=True,
                skip_saving=True,
            )
    labels = np.asarray(found.dataobj).astype(np.uint16).transpose(2, 1, 0)
    if labels.shape != image.voxels.shape or np.abs(found.affine - image.ijk_to_ras).max() > 1e-3:
        raise ProcessingError("TotalSegmentator gave labels on another grid than the image's.")
    if not labels.any():
        raise ProcessingError(f"TotalSegmentator finds none of its structures in {image.name}.")
    known = class_map[task]
    names = ["background", *(str(known.get(n, f"label {n}")) for n in range(1, int(max(known)) + 1))]
    progress(1.0, "structures found")
    source = f"TotalSegmentator {task} on {image.name}"
    return segmentation_of(labels, names, image, by=f"TotalSegmentator ({task})", source=source, confidence=None)


@contextlib.contextmanager
def _offline(python_api: Any, task: str) -> Iterator[None]:
    """Keep the package from fetching weights and from reporting its use while it runs."""
    from totalsegmentator.config import get_weights_dir

    def here_already(task_id: object, *_: object) -> None:
        if not any(get_weights_dir().glob(f"Dataset{int(str(task_id)):03d}_*")):
            raise MissingComponentError(
                f"the weights of TotalSegmentator (dataset {task_id}) are not on this machine, and nothing is downloaded "
                f"without being asked for. Get them with {_GET_WEIGHTS.format(task=task)}."
            )

    before = {name: getattr(python_api, name) for name in ("download_pretrained_weights", "send_usage_stats")}
    python_api.download_pretrained_weights = here_already
    python_api.send_usage_stats = lambda *_: None
    try:
        yield
    finally:
        for name, function in before.items():
            setattr(python_api, name, function)
