"""Angles of a spine from the frames of its vertebrae: Cobb, lordosis, kyphosis, and the turn of each vertebra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from MSKFusionLib.errors import InputError

from .vertebra import VertebraFrame

#: From head to foot.
LEVELS = (
    *(f"C{n}" for n in range(1, 8)), *(f"T{n}" for n in range(1, 13)), *(f"L{n}" for n in range(1, 7)),
)  # fmt: skip
#: A curve spans at least so many vertebrae.
_LEAST_SPAN = 3
_SRS = "Scoliosis Research Society: a curve of 10 degrees or more is a scoliosis"
_COBB = "Cobb 1948, Instr Course Lect 5:261, here between the bodies' own planes"
_MIDDLE = "the middle planes of the bodies (mean of both endplates), in the patient's"


@dataclass(frozen=True)
class SpineAngle:
    """One angle between two vertebrae.

    Parameters
    ----------
    name, value_deg
        What it is called, and its value.
    upper, lower
        Levels between which it is measured.
    definition, source
        How, and after whom.
    words
        What the value means; empty where nothing is said of it.
    """

    name: str
    value_deg: float
    upper: str
    lower: str
    definition: str
    source: str
    words: str = ""


@dataclass(frozen=True)
class SpineMeasures:
    """Angles of a spine.

    Parameters
    ----------
    tilts_deg
        For each level from head to foot: coronal (right side up), sagittal (front up) and axial (front to the left)
        turn of the vertebra in the patient's planes.
    angles
        What could be measured.
    not_made
        What could not, and why.
    """

    tilts_deg: Mapping[str, tuple[float, float, float]]
    angles: tuple[SpineAngle, ...]
    not_made: tuple[str, ...]


def measure_spine(frames: Mapping[str, VertebraFrame], sacral_slope_deg: float | None = None) -> SpineMeasures:
    """Return the angles that the vertebrae in view allow.

    Taken lying down, so curves are smaller than in a standing radiograph.

    Parameters
    ----------
    sacral_slope_deg
        Of the S1 endplate in the patient's sagittal plane (see `spinopelvic`), where it is known.

    Raises
    ------
    InputError
        When fewer than two named vertebrae are given, and no sacral slope.
    """
    levels = [n for n in LEVELS if n in frames]
    if len(levels) < 2 and sacral_slope_deg is None:
        raise InputError(
            "angles need two or more named vertebrae", "Name one level, so that the others follow.", "spine"
        )
    tilts = {n: _tilts(frames[n]) for n in levels}
    angles: list[SpineAngle] = []
    missing: list[str] = []
    cobb = _cobb(tilts, levels)
    if cobb is None:
        missing.append(f"Cobb angle: needs {_LEAST_SPAN} vertebrae in a row")
    else:
        angles.append(cobb)
    for name, upper, lower, sign in (
        ("Lumbar lordosis", "L1", "L5", 1.0),
        ("Thoracic kyphosis", "T4", "T12", -1.0),
    ):
        lacking = [n for n in (upper, lower) if n not in tilts]
        if lacking:
            missing.append(f"{name}: {' and '.join(lacking)} not in view")
            continue
        value = sign * (tilts[upper][1] - tilts[lower][1])
        angles.append(
            SpineAngle(
                name, value, upper, lower, f"Angle between {_MIDDLE} sagittal plane.", _COBB,
                "" if value > 0 else "curved the other way",
            )
        )  # fmt: skip
    if sacral_slope_deg is not None and "L1" in tilts:
        angles.append(
            SpineAngle(
                "Lordosis to the sacrum", tilts["L1"][1] + sacral_slope_deg, "L1", "S1",
                "Angle between the middle plane of the L1 body and the S1 endplate, in the patient's sagittal plane.", _COBB,
            )
        )  # fmt: skip
    return SpineMeasures(tilts, tuple(angles), tuple(missing))


def _tilts(frame: VertebraFrame) -> tuple[float, float, float]:
    right, front = frame.right_ras, frame.anterior_ras
    return (
        float(np.degrees(np.arctan2(right[2], right[0]))),
        float(np.degrees(np.arctan2(front[2], front[1]))),
        float(np.degrees(np.arctan2(-front[0], front[1]))),
    )


def _cobb(tilts: Mapping[str, tuple[float, float, float]], levels: Sequence[str]) -> SpineAngle | None:
    """Return the greatest angle in the coronal plane between two vertebrae without a gap between them."""
    best: tuple[float, str, str] | None = None
    for i, upper in enumerate(levels):
        for j in range(i + _LEAST_SPAN - 1, len(levels)):
            lower = levels[j]
            if LEVELS.index(lower) - LEVELS.index(upper) != j - i:
                break  # a level between them is not in view
            value = tilts[upper][0] - tilts[lower][0]
            if best is None or abs(value) > abs(best[0]):
                best = (value, upper, lower)
    if best is None:
        return None
    value, upper, lower = best
    # From the foot upwards the spine first goes to where the lower one leans, right side down, and then back.
    side = "right" if value > 0 else "left"
    words = f"convex to the {side}" + ("" if abs(value) >= 10 else "; below 10 degrees: no scoliosis by definition")
    return SpineAngle(
        "Cobb angle",
        abs(value),
        upper,
        lower,
        f"Greatest angle between {_MIDDLE} coronal plane.",
        f"{_COBB}; {_SRS}",
        words,
    )
