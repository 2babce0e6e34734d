"""What a bundle may ask for: networks and transforms by name, with plain arguments. All else is refused by its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import InputError

_CONV = ("spatial_dims", "in_channels", "out_channels")
_ROUND_BLOCKS = ("act", "norm", "dropout", "bias")
#: Networks of `monai.networks.nets` and the arguments that a bundle may give. None of them loads weights of its own.
NETWORKS: dict[str, tuple[str, ...]] = {
    "UNet": (*_CONV, *_ROUND_BLOCKS, "channels", "strides", "kernel_size", "up_kernel_size", "num_res_units", "adn_ordering"),
    "BasicUNet": (*_CONV, *_ROUND_BLOCKS, "features", "upsample"),
    "BasicUNetPlusPlus": (*_CONV, *_ROUND_BLOCKS, "features", "upsample", "deep_supervision"),
    "DynUNet": (
        *_CONV, "kernel_size", "strides", "upsample_kernel_size", "filters", "dropout", "norm_name", "act_name",
        "deep_supervision", "deep_supr_num", "res_block", "trans_bias",
    ),
    "SegResNet": (
        *_CONV, "init_filters", "dropout_prob", "act", "norm", "norm_name", "num_groups", "use_conv_final",
        "blocks_down", "blocks_up", "upsample_mode",
    ),
    "SegResNetDS": (
        *_CONV, "init_filters", "act", "norm", "blocks_down", "blocks_up", "dsdepth", "upsample_mode", "resolution",
    ),
    "VNet": (*_CONV, "act", "dropout_prob", "dropout_prob_down", "dropout_prob_up", "dropout_dim", "bias"),
    "AttentionUnet": (*_CONV, "channels", "strides", "kernel_size", "up_kernel_size", "dropout"),
    "HighResNet": (*_CONV, "norm_type", "acti_type", "dropout_prob", "bias", "channel_matching"),
}  # fmt: skip
#: Networks that give a displacement; the first holds the second as its `backbone`.
FLOW_NETWORKS: dict[str, tuple[str, ...]] = {
    "VoxelMorph": ("backbone", "integration_steps", "half_res", "spatial_dims"),
    "VoxelMorphUNet": (
        "spatial_dims", "in_channels", "unet_out_channels", "channels", "final_conv_channels", "final_conv_act",
        "kernel_size", "up_kernel_size", "act", "norm", "dropout", "bias", "use_maxpool", "adn_ordering",
    ),
}  # fmt: skip

#: Transforms of `monai.transforms` that change where voxels are; the affine matrix follows them.
GEOMETRY: dict[str, tuple[str, ...]] = {
    "Orientation": ("axcodes", "as_closest_canonical"),
    "Spacing": ("pixdim", "diagonal", "mode", "padding_mode", "align_corners", "min_pixdim", "max_pixdim"),
    "CropForeground": ("margin", "allow_smaller", "k_divisible", "mode"),
    "SpatialPad": ("spatial_size", "method", "mode"),
    "DivisiblePad": ("k", "method", "mode"),
}
#: Transforms that change values only.
INTENSITY: dict[str, tuple[str, ...]] = {
    "ScaleIntensityRange": ("a_min", "a_max", "b_min", "b_max", "clip"),
    "ScaleIntensity": ("minv", "maxv", "factor", "channel_wise"),
    "ScaleIntensityRangePercentiles": ("lower", "upper", "b_min", "b_max", "clip", "relative", "channel_wise"),
    "NormalizeIntensity": ("subtrahend", "divisor", "nonzero", "channel_wise"),
    "ThresholdIntensity": ("threshold", "above", "cval"),
    "ClipIntensityPercentiles": ("lower", "upper", "sharpness_factor", "channel_wise"),
}
#: What reads, converts and writes: done here in any case.
DONE_ANYWAY = frozenset(
    {"LoadImage", "EnsureChannelFirst", "AddChannel", "EnsureType", "ToTensor", "CastToType", "ToDevice", "Identity",
     "SaveImage", "Invert", "DeleteItems", "SelectItems"}
)  # fmt: skip
POSTPROCESSING: dict[str, tuple[str, ...]] = {
    "Activations": ("softmax", "sigmoid"),
    "AsDiscrete": ("argmax", "threshold", "to_onehot"),
    "KeepLargestConnectedComponent": ("applied_labels", "is_onehot", "independent", "connectivity", "num_components"),
}
#: Said of every dictionary transform: where its image is, and what is done anyway.
_OF_DICTIONARIES = frozenset({"keys", "allow_missing_keys", "source_key", "dtype", "lazy"})
_ABOUT_ITSELF = frozenset({"_target_", "_desc_", "_disabled_"})
_PLAIN_WORD = re.compile(r"[\w .-]{0,64}")
_LARGEST, _LONGEST = 1e6, 64
#: Most that a network's argument may be: counts of channels, and of what is built one after the other.
_MOST = {"num_res_units": 16, "blocks_down": 16, "blocks_up": 16, "integration_steps": 16, "dsdepth": 16}
_MOST_CHANNELS = 4096


@dataclass(frozen=True)
class Call:
    """A class by its name, with plain arguments (for `backbone`: another call)."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


def target_name(entry: Any, key: str, where: str) -> str:
    """Return the class that a configuration's entry asks for: ``UNet`` for ``monai.networks.nets.unet.UNet``.

    Raises
    ------
    InputError
        When the entry names none, or one that is not MONAI's.
    """
    target = entry.get("_target_") if isinstance(entry, dict) else None
    if not isinstance(target, str):
        raise InputError(f"'{key}' names no class (_target_)", "Give a whole MONAI bundle.", where=where)
    package, _, name = target.rpartition(".")
    if package and package.split(".")[0] != "monai":
        raise _refused(target, key, where)
    return name


def allowed_call(entry: Any, table: Mapping[str, tuple[str, ...]], key: str, where: str) -> Call:
    """Return an entry of a configuration as a call, where `table` allows it.

    Raises
    ------
    InputError
        That names the class, or the argument, that is not allowed.
    """
    name = allowed_name(entry, table, key, where)
    arguments: dict[str, Any] = {}
    for argument, value in entry.items():
        if argument in _ABOUT_ITSELF or argument in _OF_DICTIONARIES:
            continue
        if argument not in table[name]:
            raise InputError(f"'{key}' gives {name} the argument '{argument}', which is not allowed here", where=where)
        inner = f"{key}::{argument}"
        if argument == "backbone":
            arguments[argument] = allowed_call(value, table, inner, where)
        else:
            arguments[argument] = _plain(value, inner, where)
            if table in (NETWORKS, FLOW_NETWORKS):
                _check_count(arguments[argument], _MOST.get(argument, _MOST_CHANNELS), inner, where)
    return Call(name, arguments)


def _check_count(value: Any, most: int, key: str, where: str) -> None:
    for number in value if isinstance(value, list) else [value]:
        if isinstance(number, int | float) and not -1 <= number <= most:
            raise InputError(f"'{key}' is {number}, and more than {most} is not allowed here", where=where)


def allowed_name(entry: Any, table: Mapping[str, tuple[str, ...]], key: str, where: str) -> str:
    """Return the name of the class that an entry asks for, as `table` has it; refuse one that is not there."""
    name = target_name(entry, key, where)
    name = name if name in table else _without_d(name)
    if name not in table:
        raise _refused(str(entry["_target_"]), key, where)
    return name


def transform_name(entry: Any, key: str, where: str) -> str:
    """Return the name of a transform without the ``d`` of its dictionary form (``Spacingd``: ``Spacing``)."""
    return _without_d(target_name(entry, key, where))


def _without_d(name: str) -> str:
    for ending in ("Dict", "D", "d"):
        if name.endswith(ending):
            return name[: -len(ending)]
    return name


def _refused(target: str, key: str, where: str) -> InputError:
    return InputError(
        f"'{key}' asks for {target[:80]}, which is not among the classes that a bundle may use here",
        "docs/networks.md lists them.",
        where=where,
    )


def _plain(value: Any, key: str, where: str, depth: int = 0) -> Any:
    """Return a value of an argument, if it is plain and of a sensible size."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and abs(value) <= _LARGEST:
        return value
    if isinstance(value, str) and _PLAIN_WORD.fullmatch(value):
        return value
    if isinstance(value, list) and len(value) <= _LONGEST and depth < 3:
        return [_plain(v, f"{key}::{n}", where, depth + 1) for n, v in enumerate(value)]
    # As in "norm": ["instance", {"affine": true}].
    if isinstance(value, dict) and 0 < depth < 3 and not any(k.startswith("_") for k in value):
        return {k: _plain(v, f"{key}::{k}", where, depth + 1) for k, v in value.items()}
    raise InputError(f"'{key}' is no plain value of a sensible size", "Write numbers, words or lists.", where=where)
