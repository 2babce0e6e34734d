"""A tumour drawn in one image, carried to where a registration says it is in the other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import FloatArray, check_rigid, invert_rigid
from MSKFusionLib.registration.result import RegistrationResult, Verdict

from ..mesh import Mesh


@dataclass(frozen=True, eq=False)
class BoneRegistration:
    """The rigid motion that a registration gives for one bone.

    Parameters
    ----------
    fixed_to_moving_ras
        4x4.
    expected_error_mm
        Mean error over the bone.
    notes
        What the registration says that a user must know.
    """

    fixed_to_moving_ras: FloatArray
    expected_error_mm: float
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "fixed_to_moving_ras", check_rigid(self.fixed_to_moving_ras, "registration"))
        if not (np.isfinite(self.expected_error_mm) and self.expected_error_mm >= 0):
            raise InputError("the expected error is no length in mm", where="registration")

    def carried(self, tumour: Mesh, *, drawn_in: str = "moving") -> Mesh:
        """Return a tumour that was drawn in the ``moving`` (or ``fixed``) image in the frame of the other."""
        if drawn_in not in ("moving", "fixed"):
            raise InputError(f"'{drawn_in}' is neither 'moving' nor 'fixed'", where="tumour")
        m = self.fixed_to_moving_ras
        return tumour.transformed(invert_rigid(m) if drawn_in == "moving" else m)

    @classmethod
    def of_result(
        cls, result: RegistrationResult, bone: str | None = None, error_mm: float | None = None
    ) -> BoneRegistration:
        """Return what a registration in memory says of a bone; arguments as in `of_file`."""
        entry = {
            "verdict": str(result.verdict),
            "reasons": list(result.reasons),
            "warnings": list(result.warnings),
            "fixed_to_moving_ras": result.fixed_to_moving_ras,
            "expected_error_mm": result.expected_error_mm,
            "bones": [
                {
                    "name": b.name,
                    "verdict": str(b.verdict),
                    "reasons": list(b.reasons),
                    "fixed_to_moving_ras": b.fixed_to_moving_ras,
                    "expected_error_mm": b.expected_error_mm,
                }
                for b in result.bones
            ],
        }
        return _of_entry(entry, bone, error_mm, "registration")

    @classmethod
    def of_file(cls, path: str | Path, bone: str | None = None, error_mm: float | None = None) -> BoneRegistration:
        """Read a `registration.json`.

        Parameters
        ----------
        bone
            Its own motion is taken where the registration moved each bone on its own.
        error_mm
            Expected error to use where the registration tells none, or where you know better.

        Raises
        ------
        InputError
            When the file is no registration, was rejected, or tells no expected error and none is given.
        """
        p = Path(path)
        if not p.is_file():
            raise InputError("there is no such file", "Give the registration.json that `register` wrote.", str(p))
        try:
            entry = json.loads(p.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"this is no JSON ({error})", "Give a registration.json.", str(p)) from error
        if not isinstance(entry, dict) or "fixed_to_moving_ras" not in entry:
            raise InputError("this file holds no registration", "Give the registration.json of `register`.", str(p))
        return _of_entry(entry, bone, error_mm, str(p))


def _of_entry(entry: Mapping[str, Any], bone: str | None, error_mm: float | None, where: str) -> BoneRegistration:
    notes = [str(w) for w in entry.get("warnings", ())]
    used: Mapping[str, Any] = entry
    if entry.get("verdict") != str(Verdict.ACCEPTED):
        reasons = "; ".join(str(r) for r in entry.get("reasons", ()))
        raise InputError(
            f"this registration was rejected: a tumour cannot be carried by it ({reasons or 'no reason given'})",
            "Register again.",
            where,
        )
    poses = [b for b in entry.get("bones", ()) if isinstance(b, Mapping)]
    own = next((b for b in poses if b.get("name") == bone), None)
    if own is not None:
        if own.get("verdict") != str(Verdict.ACCEPTED) or own.get("fixed_to_moving_ras") is None:
            raise InputError(f"the registration did not place {bone}", "Register again, or take the rigid one.", where)
        used = own
    elif poses:
        notes.append(
            "each bone has a motion of its own in this registration, and none is named as this bone: the common one is used"
        )
    expected = error_mm if error_mm is not None else used.get("expected_error_mm")
    if expected is None:
        raise InputError(
            "the registration tells no expected error", "Say how far it may be off (--registration-error MM).", where
        )
    try:
        matrix = np.asarray(used["fixed_to_moving_ras"], dtype=np.float64)
        length = float(expected)
    except (TypeError, ValueError) as error:
        raise InputError("the registration's numbers cannot be read", "Give the file as written.", where) from error
    return BoneRegistration(matrix, length, tuple(notes))
