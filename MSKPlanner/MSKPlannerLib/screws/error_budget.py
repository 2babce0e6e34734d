"""How far a screw may end up from its plan, source by source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from MSKFusionLib.errors import InputError

from ..preset_files import number, read_preset

FOLDER = "ErrorBudgets"
DEFAULT_BUDGET = "printed_guide"
#: The mean length of a vector whose three components are normal with standard deviation 1.
_MEAN_LENGTH = 2 * np.sqrt(2 / np.pi)
_LARGEST = 20.0


@dataclass(frozen=True)
class ErrorBudget:
    """Standard deviations of independent, normally distributed errors.

    Parameters
    ----------
    source
        Where the numbers are from.
    entry_sd_mm, depth_sd_mm
        Of the screw against its plan: across its axis (along each of two directions), and along it.
    turn_sd_deg
        Of its direction, about each of two axes across it through the entry.
    registration_sd_mm
        Of where the planned bone is in the frame that the screw is placed in, along each of three axes.
    surface_sd_mm
        Of the segmented surface, in or out, one value for all of the bone near the screw.
    """

    name: str
    source: str
    entry_sd_mm: float = 0.0
    turn_sd_deg: float = 0.0
    depth_sd_mm: float = 0.0
    registration_sd_mm: float = 0.0
    surface_sd_mm: float = 0.0
    description: str = ""

    def __post_init__(self) -> None:
        for f in _numbers():
            value = getattr(self, f)
            if not (np.isfinite(value) and 0 <= value <= _LARGEST):
                raise InputError(f"{f} = {value!r} is no error of a screw", f"Give 0 to {_LARGEST:g}.", where=self.name)

    def with_registration(self, expected_error_mm: float) -> ErrorBudget:
        """Return the budget with a registration of this expected mean error at the screw (`expected_error_mm`) on top."""
        own = expected_error_mm / _MEAN_LENGTH
        return replace(self, registration_sd_mm=float(np.hypot(self.registration_sd_mm, own)))


def load_error_budget(preset: str | Path = DEFAULT_BUDGET) -> ErrorBudget:
    """Read a budget by the name of its preset (in `Resources/ErrorBudgets`) or from a TOML file.

    Raises
    ------
    InputError
        When there is no such preset or file, or it holds a key or a value that is not known.
    """
    data, where = read_preset(preset, FOLDER)
    return _from_table(data, Path(preset).stem, where)


def _from_table(data: Mapping[str, object], name: str, where: str) -> ErrorBudget:
    known = [f.name for f in fields(ErrorBudget)]
    unknown = [key for key in data if key not in known]
    if unknown:
        raise InputError(f"unknown key {unknown[0]}", f"Known: {', '.join(known)}.", where=where)
    if not str(data.get("source", "")).strip():
        raise InputError("it does not say where its numbers are from", 'Add source = "...".', where=where)
    return ErrorBudget(
        str(data.get("name", name)),
        str(data["source"]),
        **{k: number(data[k], k, where) for k in _numbers() if k in data},
        description=str(data.get("description", "")),
    )


def _numbers() -> list[str]:
    return [f.name for f in fields(ErrorBudget) if f.name.endswith(("_mm", "_deg"))]
