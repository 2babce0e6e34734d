"""Registration: bringing two images of one patient together, and saying how far it can be trusted."""

from .deformable import register_deformable
from .piecewise import register_piecewise
from .result import BonePose, RegistrationResult, Verdict
from .rigid import register_rigid

__all__ = [
    "BonePose",
    "RegistrationResult",
    "Verdict",
    "register_deformable",
    "register_piecewise",
    "register_rigid",
]
