"""Structures found in an image by a network that is given as a MONAI bundle."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, ProcessingError
from ..progress import Progress, no_progress, part
from ..segmentation.labels import Segmentation
from ..torch_device import NETWORKS as PURPOSE
from ..torch_device import Tensor, choose_device, load_torch
from ..volume import Modality, Volume, check_values
from .build import reason
from .bundle import Bundle, read_bundle
from .on_image import keep_largest, labels_on_image, mean_shares
from .prepare import prepare
from .sliding_window import Likeliest, slide
from .table import segmentation_of
from .weights import load_network

PRECISIONS = ("auto", "full", "mixed")


def segment_with_bundle(
    image: Volume,
    bundle: Bundle | str | Path,
    *,
    device: str = "auto",
    precision: str = "auto",
    progress: Progress = no_progress,
) -> Segmentation:
    """Find in an image what a network knows.

    Parameters
    ----------
    image
        CT in HU or an MR, axes in any order and orientation.
    bundle
        A MONAI bundle, or the folder or zip it is in. Nothing is downloaded.
    device
        ``auto`` (a GPU where PyTorch has one), ``cpu``, ``cuda`` or ``cuda:1``.
    precision
        ``full``; ``mixed``: halves where they do (half floats on a GPU, bfloat16 on a CPU); ``auto`` is mixed on a GPU.

    Returns
    -------
    Segmentation
        On the grid of `image`. `confidence` is the network's own probability; `source` names bundle, version and weights.

    Raises
    ------
    MissingComponentError
        When PyTorch, MONAI, or a device that was asked for, is not there.
    InputError
        When the bundle is not whole, asks for what is not allowed, or is not for this image.
    ProcessingError
        When the network finds nothing, or the memory does not suffice.
    Cancelled
        When `progress` raises it; network and image are let go.
    """
    if precision not in PRECISIONS:
        raise InputError(f"there is no precision '{precision}'", f"Choose {', '.join(PRECISIONS)}.")
    check_values(image)
    known = bundle if isinstance(bundle, Bundle) else read_bundle(bundle)
    if Modality.UNKNOWN not in (known.modality, image.modality) and known.modality is not image.modality:
        raise InputError(
            f"'{known.name}' was made for {known.modality}, and this is {image.modality}",
            "Give an image or a network of the other kind.",
            where=image.name,
        )
    where = choose_device(device, PURPOSE)
    found, ijk_to_ras = _in_memory(known, image, where, precision, part(progress, 0.0, 0.9))
    if not found.labels[0].any():
        raise ProcessingError(
            f"'{known.name}' finds none of its {len(known.labels) - 1} structures in {image.name}. "
            "Check that the image shows them, and that its modality and orientation are right."
        )
    labels = labels_on_image(found, ijk_to_ras, image, part(progress, 0.9, 1.0))
    keep_largest(labels, known.keep_largest)
    by = f"{known.name} {known.version}".strip()
    result = segmentation_of(
        labels,
        known.labels,
        image,
        by=by,
        source=f"{by} (weights {known.files.weights_sha256()[:12]}) on {image.name}",
        confidence=mean_shares(found, len(known.labels)),
    )
    progress(1.0, "structures found")
    return result


def _in_memory(
    bundle: Bundle, image: Volume, device: str, precision: str, progress: Progress
) -> tuple[Likeliest, NDArray[np.float64]]:
    """Return what the network finds; nothing of it stays in memory, however this ends."""
    torch = load_torch(PURPOSE)
    name = bundle.files.path.name
    try:
        progress(0.0, "reading the network")
        network = load_network(bundle.network, bundle.files, device)
        ready = prepare({"image": image}, bundle.steps, name, part(progress, 0.05, 0.15))
        with torch.inference_mode():
            found = slide(
                ready.images["image"],
                _runner(network, device, precision, name),
                bundle.window,
                bundle.channels,
                device,
                _shares(bundle),
                part(progress, 0.15, 1.0),
            )
        return found, ready.ijk_to_ras
    except RuntimeError as error:
        if not is_memory(error):
            raise
        raise ProcessingError(
            f"the memory of {device} does not suffice for '{bundle.name}' on this image. Crop it, or choose the cpu."
        ) from error
    finally:
        if device.startswith("cuda"):
            torch.cuda.empty_cache()


def is_memory(error: BaseException) -> bool:
    """Tell whether an error of torch says that memory does not suffice."""
    text = str(error).casefold()
    return (
        isinstance(error, load_torch(PURPOSE).OutOfMemoryError)
        or "not enough memory" in text
        or "out of memory" in text
    )


def _runner(network: Any, device: str, precision: str, where: str) -> Callable[[Tensor], Any]:
    torch = load_torch(PURPOSE)
    kind = device.partition(":")[0]
    mixed = precision == "mixed" or (precision == "auto" and kind == "cuda")
    halves = torch.float16 if kind == "cuda" else torch.bfloat16

    def run(window: Tensor) -> Any:
        try:
            with torch.autocast(kind, halves) if mixed else nullcontext():
                return network(window)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            if is_memory(error):
                raise
            raise InputError(
                f"the network cannot be run on windows of this image ({reason(error)})",
                "Its window or its padding does not suit it: get the bundle again.",
                where=where,
            ) from error

    return run


def _shares(bundle: Bundle) -> Callable[[Tensor], Tensor]:
    """Return what makes probabilities of background and structures of what the network gives."""
    torch = load_torch(PURPOSE)
    threshold = bundle.sigmoid_threshold
    if threshold is None:
        return lambda given: torch.softmax(given, dim=0)
    # Shifted so that 0.5 is where the bundle's threshold is: the likelier of two is then the label.
    shift = math.log(threshold / (1 - threshold))

    def two(given: Tensor) -> Tensor:
        share = torch.sigmoid(given - shift)
        return torch.cat([1 - share, share])

    return two
