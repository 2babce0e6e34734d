"""A segmentation network as a MONAI bundle describes it: network, transforms, window, labels. Nothing of it is run here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..volume import Modality
from .allowed import (
    DONE_ANYWAY,
    NETWORKS,
    POSTPROCESSING,
    Call,
    allowed_call,
    allowed_name,
    transform_name,
)
from .bundle_files import INFERENCE, METADATA, BundleFiles
from .plain_config import PlainConfig
from .steps import Step, read_steps, transform_keys
from .structure_names import plain_words

_BACKGROUND = ("background", "everything else", "other", "others", "nothing", "none")
_MODALITIES = {"ct": Modality.CT, "mr": Modality.MR, "mri": Modality.MR}
_SMALLEST_WINDOW, _LARGEST_WINDOW, _MOST_WINDOW_VOXELS = 8, 512, 256**3
_PADDING = ("constant", "reflect", "replicate", "circular")


@dataclass(frozen=True)
class Window:
    """How the network is moved over an image.

    Parameters
    ----------
    size
        Voxels of a window along i, j, k of the network's grid; None takes the whole image at once.
    overlap
        Share of neighbouring windows that is common.
    gaussian
        Whether a window counts less towards its border.
    sigma_scale
        How fast: standard deviation as a share of the window.
    padding
        How an image that is smaller than a window is filled up.
    """

    size: tuple[int, int, int] | None
    overlap: float = 0.25
    gaussian: bool = False
    sigma_scale: float = 0.125
    padding: str = "constant"


@dataclass(frozen=True)
class Bundle:
    """A network that names structures in one image.

    Parameters
    ----------
    files
        Where its weights lie.
    modality
        What it was made for; unknown where the bundle does not say.
    labels
        What each label value means, by value; the first is the background.
    steps
        What is done to an image before it.
    sigmoid_threshold
        For a network of one channel: above which probability a voxel is the structure. None takes the best channel.
    keep_largest
        Label values of which only the largest piece is kept.
    """

    name: str
    version: str
    files: BundleFiles
    modality: Modality
    network: Call
    labels: tuple[str, ...]
    steps: tuple[Step, ...]
    window: Window
    sigmoid_threshold: float | None = None
    keep_largest: tuple[int, ...] = ()

    @property
    def channels(self) -> int:
        """Channels that the network gives out."""
        return 1 if self.sigmoid_threshold is not None else len(self.labels)


def read_bundle(path: str | Path) -> Bundle:
    """Read and check the description of a segmentation network.

    Parameters
    ----------
    path
        A MONAI bundle, a folder or a zip: ``configs/metadata.json``, ``configs/inference.json``, ``models/model.pt``.

    Raises
    ------
    InputError
        When something is missing, does not fit together, or is not among what a bundle may ask for.
    """
    files = BundleFiles.find(path)
    metadata, config = files.config(METADATA), files.config(INFERENCE)
    name, version = names(metadata, files)
    image = metadata.part("network_data_format::inputs::image", ("num_channels", "modality"))
    network = network_call(config, NETWORKS)
    takes = [network_count(network, "in_channels", config), image.get("num_channels", 1)]
    if takes != [1, 1]:
        count = str(next(n for n in takes if n != 1))[:20]
        raise InputError(
            f"this network takes {count} channels, and one image is what is given",
            "Give a network for one image.",
            where=config.where,
        )
    threshold, keep_largest = _postprocessing(config)
    labels = _labels(metadata, network_count(network, "out_channels", config), threshold)
    if any(not 0 < v < len(labels) for v in keep_largest):
        raise InputError("KeepLargestConnectedComponent is for labels that there are not", where=config.where)
    return Bundle(
        name=name,
        version=version,
        files=files,
        modality=_MODALITIES.get(str(image.get("modality", "")).casefold(), Modality.UNKNOWN),
        network=network,
        labels=labels,
        steps=read_steps(config, ("image",)),
        window=_window(config),
        sigmoid_threshold=threshold,
        keep_largest=keep_largest,
    )


def names(metadata: PlainConfig, files: BundleFiles) -> tuple[str, str]:
    """Return name and version of a bundle."""
    name, version = (plain_words(str(metadata.content.get(key) or "")) for key in ("name", "version"))
    return name or plain_words(files.path.stem), version


def network_call(config: PlainConfig, table: dict[str, tuple[str, ...]]) -> Call:
    """Return the network that a configuration asks for.

    Raises
    ------
    InputError
        When there is none, or one that is not in `table`.
    """
    key = "network_def" if config.has("network_def") or not config.has("network") else "network"
    return allowed_call(config.value(key), table, key, config.where)


def network_count(network: Call, argument: str, config: PlainConfig) -> int:
    """Return a number of channels that the network's arguments must hold."""
    count = network.arguments.get(argument)
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise InputError(f"{network.name} has no '{argument}'", "Write it in network_def.", where=config.where)
    return count


def _window(config: PlainConfig) -> Window:
    where = config.where
    name = transform_name(config.part("inferer", ("_target_",)), "inferer", where)
    if name == "SimpleInferer":
        return Window(None)
    if name != "SlidingWindowInferer":
        raise InputError(
            f"'inferer' asks for {name}", "SlidingWindowInferer and SimpleInferer can be used.", where=where
        )
    given = config.part("inferer", ("roi_size", "overlap", "mode", "sigma_scale", "padding_mode", "cval"))
    size = given.get("roi_size")
    size = [size] * 3 if isinstance(size, int) else size
    if (
        not isinstance(size, list)
        or len(size) != 3
        or any(type(n) is not int or not _SMALLEST_WINDOW <= n <= _LARGEST_WINDOW for n in size)
        or size[0] * size[1] * size[2] > _MOST_WINDOW_VOXELS
    ):
        raise InputError(f"'inferer::roi_size' is {size}, not three window edges that can be computed", where=where)
    overlap, sigma = given.get("overlap", 0.25), given.get("sigma_scale", 0.125)
    if not isinstance(overlap, int | float) or not 0 <= overlap <= 0.9:
        raise InputError(f"'inferer::overlap' is {overlap}, not a share up to 0.9", where=where)
    if not isinstance(sigma, int | float) or not 0.01 <= sigma <= 10:
        raise InputError(f"'inferer::sigma_scale' is {sigma}, not 0.01 to 10", where=where)
    mode, padding = given.get("mode", "constant"), given.get("padding_mode", "constant")
    if mode not in ("constant", "gaussian") or padding not in _PADDING or given.get("cval", 0.0) != 0:
        raise InputError(f"'inferer' asks for the mode {mode}, {padding}, cval {given.get('cval', 0)}", where=where)
    return Window((size[0], size[1], size[2]), float(overlap), mode == "gaussian", float(sigma), padding)


def _postprocessing(config: PlainConfig) -> tuple[float | None, tuple[int, ...]]:
    """Return the threshold of a sigmoid, where there is one, and the labels of which the largest piece is kept."""
    where = config.where
    if not config.has("postprocessing"):
        return None, ()
    sigmoid, threshold = False, 0.5
    keep_largest: tuple[int, ...] = ()
    for key in transform_keys(config, "postprocessing"):
        target = config.part(key, ("_target_",))
        if transform_name(target, key, where) in DONE_ANYWAY:
            continue
        allowed_name(target, POSTPROCESSING, key, where)
        call = allowed_call(config.value(key), POSTPROCESSING, key, where)
        given: dict[str, Any] = dict(call.arguments)
        if call.name == "Activations":
            sigmoid = given.get("sigmoid") is True
        elif call.name == "AsDiscrete" and given.get("threshold") is not None:
            sigmoid, threshold = True, given["threshold"]
        elif call.name == "KeepLargestConnectedComponent":
            keep_largest = _of_largest(given, key, where)
    if not isinstance(threshold, int | float) or not 0 < threshold < 1:
        raise InputError(f"the threshold {threshold} is no probability", where=where)
    return (float(threshold) if sigmoid else None), keep_largest


def _of_largest(given: dict[str, Any], key: str, where: str) -> tuple[int, ...]:
    applied = given.get("applied_labels")
    values = applied if isinstance(applied, list) else [applied]
    if (
        any(type(v) is not int for v in values)
        or given.get("num_components", 1) != 1
        or given.get("independent") is False
    ):
        raise InputError(f"'{key}' must name its labels (applied_labels), each on its own, one piece each", where=where)
    return tuple(values)


def _labels(metadata: PlainConfig, channels: int, threshold: float | None) -> tuple[str, ...]:
    """Return the name of every label value."""
    where = metadata.where
    defined = metadata.value("network_data_format::outputs::pred::channel_def")
    if (
        not isinstance(defined, dict)
        or not defined
        or not all(isinstance(v, str) and v.strip() for v in defined.values())
    ):
        raise InputError("channel_def does not name the channels", where=where)
    if set(defined) != {str(n) for n in range(len(defined))}:
        raise InputError(f"channel_def names the channels {', '.join(defined)[:80]}, not 0, 1, 2 ...", where=where)
    labels = [defined[str(n)].strip() for n in range(len(defined))]
    background = labels[0].casefold().replace("_", " ") in _BACKGROUND
    if threshold is not None:
        if channels != 1:
            raise InputError(
                "its structures may overlap (a sigmoid for each of several channels), which one label a voxel cannot hold",
                "Give a network that ends in a softmax.",
                where=where,
            )
        labels = labels if background else ["background", *labels]
        expected = 2
    else:
        expected = channels
        if not background:
            raise InputError(f"channel 0 is '{labels[0]}', and must be the background", where=where)
    if len(labels) != expected or expected < 2:
        raise InputError(
            f"the network gives {channels} channels and channel_def names {len(defined)}",
            "The two must agree: get the bundle again.",
            where=where,
        )
    return tuple(labels)
