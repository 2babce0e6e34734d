"""What is done to an image before a network, as a bundle asks for it: transforms that are allowed, in sensible sizes."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InputError
from .allowed import DONE_ANYWAY, GEOMETRY, INTENSITY, Call, allowed_call, allowed_name, transform_name
from .plain_config import PlainConfig

_SMALLEST_PIXDIM_MM, _LARGEST_PIXDIM_MM = 0.1, 50.0
_LARGEST_PAD = 1024


@dataclass(frozen=True)
class Step:
    """A transform before the network, and which of its images it is for."""

    call: Call
    images: tuple[str, ...]


def read_steps(config: PlainConfig, images: tuple[str, ...]) -> tuple[Step, ...]:
    """Return the transforms before the network, without those that read, convert and write.

    Parameters
    ----------
    images
        The keys that an image may have.

    Raises
    ------
    InputError
        That names a transform, or an argument of one, which is not allowed.
    """
    steps = []
    for key in transform_keys(config, "preprocessing"):
        target = config.part(key, ("_target_",))
        if transform_name(target, key, config.where) in DONE_ANYWAY:
            continue
        # By its name first: what is not allowed is named, whatever its arguments hold.
        allowed_name(target, GEOMETRY | INTENSITY, key, config.where)
        entry = config.value(key)
        call = allowed_call(entry, GEOMETRY | INTENSITY, key, config.where)
        _check_sizes(call, key, config.where)
        asked = entry.get("keys", list(images))
        of = tuple(i for i in images if i in (asked if isinstance(asked, list) else [asked]))
        if of and call.name in GEOMETRY and of != images:
            raise InputError(f"'{key}' moves {of[0]} without {set(images) - set(of)}", where=config.where)
        if of:
            steps.append(Step(call, of))
    return tuple(steps)


def transform_keys(config: PlainConfig, section: str) -> list[str]:
    """Return the keys of a section's transforms that are not switched off."""
    key = f"{section}::transforms"
    every = [f"{key}::{n}" for n in range(config.count(key))]
    return [k for k in every if config.part(k, ("_disabled_",)).get("_disabled_") is not True]


def _check_sizes(call: Call, key: str, where: str) -> None:
    """Refuse grids that no machine can hold before one is made."""
    for argument, (least, most) in {
        "pixdim": (_SMALLEST_PIXDIM_MM, _LARGEST_PIXDIM_MM),
        "min_pixdim": (_SMALLEST_PIXDIM_MM, _LARGEST_PIXDIM_MM),
        "max_pixdim": (_SMALLEST_PIXDIM_MM, _LARGEST_PIXDIM_MM),
        "spatial_size": (-1, _LARGEST_PAD),
        "k": (1, _LARGEST_PAD),
        "k_divisible": (1, _LARGEST_PAD),
        "margin": (0, _LARGEST_PAD),
    }.items():
        value = call.arguments.get(argument)
        for number in value if isinstance(value, list) else [value]:
            if number is not None and not (isinstance(number, int | float) and least <= number <= most):
                raise InputError(f"'{key}::{argument}' is {number}, not {least} to {most}", where=where)
    pixdim = call.arguments.get("pixdim")
    if call.name == "Spacing" and None in (pixdim if isinstance(pixdim, list) else [pixdim]):
        raise InputError(f"'{key}' does not say the pixdim", where=where)
