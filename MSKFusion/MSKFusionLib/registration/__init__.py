"""Registration: bringing two images of one patient together, and saying how far it can be trusted."""

from .result import RegistrationResult, Verdict
from .rigid import register_rigid

__all__ = ["RegistrationResult", "Verdict", "register_rigid"]
