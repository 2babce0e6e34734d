"""A trained nnU-Net through its own package, after its files have been looked at: nothing in them is run by being read.

The package unpickles checkpoints and imports classes that its plans name (nnU-Net, Isensee et al. 2021,
doi 10.1038/s41592-020-01008-z), so both are checked here first.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, MissingComponentError, ProcessingError
from ..progress import Progress, no_progress
from ..segmentation.labels import Segmentation
from ..torch_device import NETWORKS as PURPOSE
from ..torch_device import choose_device, load_torch
from ..volume import Modality, Volume, check_values
from .plain_config import MOST_BYTES, read_json
from .table import segmentation_of

PLANS, DATASET, CHECKPOINT = "plans.json", "dataset.json", "checkpoint_final.pth"
#: Readers that leave an image's axes as they are stored.
_READERS = ("SimpleITKIO", "NibabelIO")
_ARCHITECTURES = ("PlainConvUNet", "ResidualEncoderUNet", "ResidualUNet")
#: Probabilities of all channels at the image's resolution are asked for up to this size.
_MOST_PROBABILITY_BYTES = 1_000_000_000


def is_nnunet_folder(path: Path) -> bool:
    """Tell whether a folder is that of a trained nnU-Net (version 2)."""
    return (path / PLANS).is_file() and (path / DATASET).is_file()


def segment_with_nnunet(
    image: Volume, folder: Path, *, device: str = "auto", progress: Progress = no_progress
) -> Segmentation:
    """Find in an image what a trained nnU-Net knows.

    Parameters
    ----------
    image
        CT in HU or an MR, its axes in the order of the training's images: nnU-Net does not look at orientation.
    folder
        With ``plans.json``, ``dataset.json`` and ``fold_*/checkpoint_final.pth``.

    Raises
    ------
    MissingComponentError
        When the package nnunetv2 is not installed.
    InputError
        When the files are not whole, hold code, or are not for this image.
    """
    check_values(image)
    plans, dataset = (_read(folder / name) for name in (PLANS, DATASET))
    names = _names(dataset, folder)
    _check_input(dataset, plans, image, folder)
    _check_plans(plans, str(folder / PLANS))
    if importlib.util.find_spec("nnunetv2") is None:
        raise MissingComponentError(
            "a trained nnU-Net needs the package nnunetv2, which is not installed here. Install it with "
            "pip install nnunetv2, or give a MONAI bundle."
        )
    torch = load_torch(PURPOSE)
    where = choose_device(device, PURPOSE)
    folds = _checked_folds(folder)
    progress(0.05, "reading the nnU-Net")
    # nnU-Net prints; standard output is for results.
    with contextlib.redirect_stdout(sys.stderr):
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        predictor = nnUNetPredictor(device=torch.device(where), allow_tqdm=False, perform_everything_on_device=False)
        predictor.initialize_from_trained_model_folder(str(folder), folds, CHECKPOINT)
        _report_windows(predictor.network, progress)
        probable = 4 * len(names) * image.voxels.size <= _MOST_PROBABILITY_BYTES
        try:
            found = predictor.predict_single_npy_array(
                image.voxels[None].astype(np.float32),
                {"spacing": image.spacing_mm[::-1].tolist()},
                None,
                None,
                probable,
            )
        finally:
            if where.startswith("cuda"):
                torch.cuda.empty_cache()
    labels, shares = found if probable else (found, None)
    labels = np.asarray(labels).astype(np.uint16)
    if labels.shape != image.voxels.shape or labels.max(initial=0) >= len(names):
        raise ProcessingError("nnU-Net gave labels that do not fit the image or its own dataset.json.")
    if not labels.any():
        raise ProcessingError(f"the nnU-Net finds none of its {len(names) - 1} structures in {image.name}.")
    confidence = None
    if shares is not None:
        confidence = [float(np.mean(shares[n][labels == n])) if (labels == n).any() else 0.0 for n in range(len(names))]
    title = f"nnU-Net {folder.parent.name or folder.name}"
    progress(1.0, "structures found")
    return segmentation_of(
        labels, names, image, by=title, source=f"{title} (folds {folds}) on {image.name}", confidence=confidence
    )


def _read(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return read_json(file.read(MOST_BYTES + 1), str(path))


def _names(dataset: dict[str, Any], folder: Path) -> list[str]:
    """Return the name of every label value."""
    labels = dataset.get("labels")
    if not isinstance(labels, dict) or any(type(v) is not int for v in labels.values()):
        raise InputError(
            "its labels are missing, or are regions that overlap",
            "Give a network of labels, one a voxel.",
            where=str(folder / DATASET),
        )
    by_value = {v: str(k) for k, v in labels.items() if k != "ignore"}
    if set(by_value) != set(range(len(by_value))) or len(by_value) < 2:
        raise InputError("its label values are not 0, 1, 2 ...", where=str(folder / DATASET))
    return [by_value[n] for n in range(len(by_value))]


def _check_input(dataset: dict[str, Any], plans: dict[str, Any], image: Volume, folder: Path) -> None:
    channels = dataset.get("channel_names", dataset.get("modality"))
    if not isinstance(channels, dict) or len(channels) != 1:
        count = len(channels) if isinstance(channels, dict) else 0
        raise InputError(f"this network takes {count} images, and one is given", where=str(folder / DATASET))
    made_for = str(next(iter(channels.values()))).casefold()
    other = Modality.MR if made_for == "ct" else Modality.CT if made_for.startswith(("mr", "t1", "t2")) else None
    if image.modality is other:
        raise InputError(f"it was made for '{made_for}', and this is {image.modality}", where=str(folder / DATASET))
    reader = plans.get("image_reader_writer")
    if reader not in _READERS:
        raise InputError(
            f"it reads images by '{str(reader)[:60]}', which may change their axes",
            f"{', '.join(_READERS)} can be used.",
            where=str(folder / PLANS),
        )


def _check_plans(plans: dict[str, Any], where: str) -> None:
    """Refuse plans that name any class but nnU-Net's networks and torch's layers: the package imports what they name."""
    configurations = plans.get("configurations")
    if not isinstance(configurations, dict):
        raise InputError("its configurations are missing", where=where)
    for name, entry in configurations.items():
        if not isinstance(entry, dict):
            raise InputError(f"the configuration '{name}' is no object", where=where)
        of_network = entry.get("architecture", {})
        asked = str(of_network.get("network_class_name", entry.get("UNet_class_name", "PlainConvUNet")))
        package, _, last = asked.rpartition(".")
        if last not in _ARCHITECTURES or package.split(".")[0] not in ("", "dynamic_network_architectures"):
            raise InputError(f"'{name}' asks for the network {asked[:80]}, which is not nnU-Net's own", where=where)
        arguments = of_network.get("arch_kwargs", {})
        for key in of_network.get("_kw_requires_import", ()):
            layer = arguments.get(key)
            if layer is not None and not (isinstance(layer, str) and layer.startswith("torch.nn.")):
                raise InputError(
                    f"'{name}' asks for the layer {str(layer)[:80]}, which is not torch's own", where=where
                )


def _checked_folds(folder: Path) -> tuple[int | str, ...]:
    """Return the folds whose checkpoints hold numbers and plain values alone; refuse any that holds more."""
    torch = load_torch(PURPOSE)
    files = sorted(folder.glob(f"fold_*/{CHECKPOINT}"))
    if not files:
        raise InputError(f"there is no fold_*/{CHECKPOINT} in it", "Give a trained nnU-Net.", where=str(folder))
    scalar = np.float64(0.0).__reduce__()[0]  # numbers of numpy stand in the training's log, under one of two names
    plain: list[Any] = [np.dtype, *{type(np.dtype(t)) for t in (np.float32, np.float64, np.int64)}]
    plain += [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    for file in files:
        try:
            with torch.serialization.safe_globals(plain):
                torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:
            raise InputError(
                "this checkpoint holds more than numbers (it could run code), or cannot be read",
                "Get it again from a source that you trust.",
                where=str(file),
            ) from error
    folds = [f.parent.name.removeprefix("fold_") for f in files]
    return tuple(int(f) if f.isdigit() else f for f in folds)


def _report_windows(network: Any, progress: Progress) -> None:
    """Report, and hear a cancel, before each window: the package has no callback of its own."""
    count = 0

    def before(*_: object) -> None:
        nonlocal count
        count += 1
        progress(0.95 - 0.85 / (1 + 0.02 * count), f"nnU-Net, window {count}")

    network.register_forward_pre_hook(before)
