"""PyTorch, where it is installed, and the device that it computes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .errors import InputError, MissingComponentError
from .optional import check_optional, load_optional

#: A torch tensor; torch is imported only where something is computed with it.
Tensor = Any


@dataclass(frozen=True)
class Purpose:
    """What PyTorch is wanted for, the extra that installs it, and what can be done without it."""

    what: str
    extra: str
    instead: str


DEFORMABLE = Purpose("deformable registration", "deformable", "register rigidly or bone by bone")
NETWORKS = Purpose("a network", "networks", "work without a network")


def load_torch(purpose: Purpose = DEFORMABLE) -> Any:
    """Return the module `torch`.

    Raises
    ------
    MissingComponentError
        When it is not installed.
    """
    return load_optional("torch", missing=_missing(purpose))


def check_torch(purpose: Purpose = DEFORMABLE) -> None:
    """Make sure that PyTorch is installed, without loading it.

    Raises
    ------
    MissingComponentError
        When it is not.
    """
    check_optional("torch", missing=_missing(purpose))


def _missing(purpose: Purpose) -> str:
    return (
        f"{purpose.what} needs PyTorch, which is not installed here. Install it with "
        f"pip install 'mskplanner[{purpose.extra}]' (in Slicer: the PyTorch extension), or {purpose.instead}."
    )


def choose_device(name: str, purpose: Purpose = DEFORMABLE) -> str:
    """Return the device that ``auto``, ``cpu``, ``cuda`` or ``cuda:1`` stands for; auto takes a GPU where there is one.

    Raises
    ------
    MissingComponentError
        When a GPU is asked for and there is none that torch can use.
    """
    torch = load_torch(purpose)
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
        raise InputError(f"'{name}' is no device to compute on", "Choose auto, cpu or cuda.")
    if kind == "cuda" and (not torch.cuda.is_available() or int(number or 0) >= torch.cuda.device_count()):
        raise MissingComponentError(f"there is no GPU '{name}' that PyTorch can use here. Choose auto or cpu.")
    return name
