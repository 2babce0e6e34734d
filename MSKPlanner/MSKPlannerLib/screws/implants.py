"""The table of screws that a plan may choose from."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from MSKFusionLib.errors import InputError
from MSKFusionLib.resources import resource_path

#: What a screw for bone can measure at all; anything else is a slip of the pen in the table.
DIAMETER_RANGE_MM = (1.0, 15.0)
LENGTH_RANGE_MM = (5.0, 200.0)


@dataclass(frozen=True)
class ImplantTable:
    """Pairs of outer diameter and length in mm, sorted.

    Raises
    ------
    InputError
        When it is empty.
    """

    name: str
    sizes_mm: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        if not self.sizes_mm:
            raise InputError("the implant table holds no screw", where=self.name)
        object.__setattr__(self, "sizes_mm", tuple(sorted(set(self.sizes_mm))))

    @property
    def diameters_mm(self) -> tuple[float, ...]:
        """The diameters, smallest first."""
        return tuple(sorted({d for d, _ in self.sizes_mm}))

    def lengths_mm(self, diameter_mm: float) -> tuple[float, ...]:
        """Return the lengths of one diameter, shortest first."""
        return tuple(length for d, length in self.sizes_mm if abs(d - diameter_mm) < 1e-6)


def load_implants(path: str | Path | None = None) -> ImplantTable:
    """Read a CSV with the columns ``diameter_mm`` and ``length_mm`` (one size a row, ``#`` starts a comment line).

    Parameters
    ----------
    path
        None takes the generic pedicle screws that come with the project.

    Raises
    ------
    InputError
        When the file is missing, lacks a column, or a row is not two sensible numbers.
    """
    file = resource_path("Implants", "generic_pedicle_screws.csv") if path is None else Path(path)
    if not file.is_file():
        raise InputError("there is no such implant table", "Check the path.", where=str(file))
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError("the implant table is not a text file", "Give a CSV file.", where=str(file)) from error
    kept = [(n, line) for n, line in enumerate(lines, 1) if line.strip() and not line.lstrip().startswith("#")]
    reader = csv.DictReader([line for _, line in kept])
    columns = [c.strip() for c in reader.fieldnames or []]
    reader.fieldnames = columns
    missing = [c for c in ("diameter_mm", "length_mm") if c not in columns]
    if missing:
        raise InputError(
            f"the implant table lacks the column {' and '.join(missing)}",
            "Name the columns in its first row.",
            where=str(file),
        )
    sizes = tuple(_size(row, f"{file} line {number}") for (number, _), row in zip(kept[1:], reader, strict=True))
    return ImplantTable(file.stem, sizes)


def _size(row: dict[str, str], where: str) -> tuple[float, float]:
    try:
        diameter, length = float(row["diameter_mm"]), float(row["length_mm"])
    except (TypeError, ValueError) as error:
        raise InputError("the row is not a diameter and a length in mm", where=where) from error
    if not (
        DIAMETER_RANGE_MM[0] <= diameter <= DIAMETER_RANGE_MM[1] and LENGTH_RANGE_MM[0] <= length <= LENGTH_RANGE_MM[1]
    ):
        raise InputError(f"a screw of {diameter} x {length} mm cannot be", "Give millimetres.", where=where)
    return diameter, length
