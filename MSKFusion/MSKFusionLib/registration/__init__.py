"""Registration: bringing two images of one patient together, and saying how far it can be trusted."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .deformable import register_deformable
    from .piecewise import register_piecewise
    from .result import BonePose, RegistrationResult, Verdict
    from .rigid import register_rigid

#: What is found where. Loaded when asked for: every plan knows a verdict, few need a registration.
_ROOMS = {
    "BonePose": "result",
    "RegistrationResult": "result",
    "Verdict": "result",
    "register_deformable": "deformable",
    "register_piecewise": "piecewise",
    "register_rigid": "rigid",
}

__all__ = [
    "BonePose",
    "RegistrationResult",
    "Verdict",
    "register_deformable",
    "register_piecewise",
    "register_rigid",
]


def __getattr__(name: str) -> object:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_ROOMS[name]}", __name__), name)
