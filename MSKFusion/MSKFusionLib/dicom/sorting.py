"""Sort the images of one volume by where they lie, and recognise what keeps them from being one.

Nothing here believes file names, instance numbers, SliceThickness or SpacingBetweenSlices: the place of an image is its
ImagePositionPatient, and the step between two is measured along the normal of the slices (row x column, so that the
grid is right-handed).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import GeometryError
from ..frames import FloatArray
from .header import FrameHeader

#: Slices of one volume are parallel; scanners round directions at the fourth digit at worst.
DIRECTION_TOLERANCE = 1e-3
#: Positions are written with one decimal at worst, which moves a slice by 0.05 mm.
POSITION_TOLERANCE_MM = 0.06
#: Sideways drift that is still called straight.
DRIFT_TOLERANCE_MM = 0.1
#: Two slices nearer than this, or than a fiftieth of the step between others, lie in the same place.
SAME_PLACE_MM = 0.01
_SURELY_APART_MM = 0.1
#: A step this much longer than the usual one may be a hole.
_HOLE = 1.7
#: What lies in a step this much longer than the usual one is not made up by interpolation.
_TOO_WIDE = 2.5
_MAX_TILT_DEG = 45.0


@dataclass(frozen=True, eq=False)
class Stack:
    """Parallel images of one size in the order of their place.

    Parameters
    ----------
    row_lps, column_lps, normal_lps
        Unit vectors along increasing column index, increasing row index, and increasing slice index.
    heights_mm
        (N,) place of each slice along the normal, from the first one.
    shifts_mm
        (N, 2) sideways offset of each slice from the first one along row_lps and column_lps; zero for a straight stack.
    step_mm
        The mean step when the steps are even, otherwise the one to resample with.
    """

    frames: tuple[FrameHeader, ...]
    row_lps: FloatArray
    column_lps: FloatArray
    normal_lps: FloatArray
    heights_mm: FloatArray
    shifts_mm: FloatArray
    step_mm: float
    is_even: bool

    @property
    def is_straight(self) -> bool:
        """Whether the slices lie squarely over each other."""
        return bool(np.abs(self.shifts_mm).max() <= DRIFT_TOLERANCE_MM)

    @property
    def is_sheared_evenly(self) -> bool:
        """Whether the sideways offset grows with the height, as a tilted gantry makes it."""
        slope = self.shifts_mm[-1] / self.heights_mm[-1]
        return bool(np.abs(self.shifts_mm - self.heights_mm[:, None] * slope).max() <= DRIFT_TOLERANCE_MM)

    @property
    def tilt_deg(self) -> float:
        """Angle between the slices' normal and the line on which they lie."""
        return float(np.degrees(np.arctan2(np.linalg.norm(self.shifts_mm[-1]), self.heights_mm[-1])))


def normal_of(frame: FrameHeader) -> FloatArray:
    """Return the unit LPS normal of an image, row x column."""
    n = np.cross(frame.row_lps, frame.column_lps)
    return np.asarray(n / np.linalg.norm(n))


def plane_name(frame: FrameHeader) -> str:
    """Return axial, sagittal or coronal, whichever is nearest."""
    return ("sagittal", "coronal", "axial")[int(np.argmax(np.abs(normal_of(frame))))]


def heights(frames: Sequence[FrameHeader]) -> FloatArray:
    """Return the place (N,) in mm of each image along the common normal."""
    return np.array([f.position_lps for f in frames]) @ normal_of(frames[0])


def group_by_grid(frames: Sequence[FrameHeader]) -> list[list[FrameHeader]]:
    """Return the images in groups of one size, pixel spacing and orientation each, largest group first."""
    groups: list[list[FrameHeader]] = []
    for frame in frames:
        for group in groups:
            first = group[0]
            if (
                (frame.rows, frame.columns) == (first.rows, first.columns)
                and abs(frame.row_spacing_mm - first.row_spacing_mm) <= 1e-4 * first.row_spacing_mm
                and abs(frame.column_spacing_mm - first.column_spacing_mm) <= 1e-4 * first.column_spacing_mm
                and np.abs(frame.row_lps - first.row_lps).max() <= DIRECTION_TOLERANCE
                and np.abs(frame.column_lps - first.column_lps).max() <= DIRECTION_TOLERANCE
            ):
                group.append(frame)
                break
        else:
            groups.append([frame])
    return sorted(groups, key=len, reverse=True)


def places(frames: Sequence[FrameHeader]) -> list[list[FrameHeader]]:
    """Return the images in the order of their place, those in the same place together."""
    order = np.argsort(heights(frames), kind="stable")
    level = heights(frames)[order]
    steps = np.diff(level)
    real = steps[steps > _SURELY_APART_MM]
    tolerance = max(SAME_PLACE_MM, 0.02 * float(np.median(real))) if real.size else SAME_PLACE_MM
    found: list[list[FrameHeader]] = []
    last = -np.inf
    for index, height in zip(order, level, strict=True):
        if height - last > tolerance:
            found.append([])
            last = height
        found[-1].append(frames[index])
    return found


def make_stack(frames: Sequence[FrameHeader], where: str = "") -> Stack:
    """Return the images of one volume sorted by place.

    Raises
    ------
    GeometryError
        For fewer than three slices, several images in one place, a missing slice, or slices that lie beside each other.
    """
    if len(frames) < 3:
        raise GeometryError(
            f"{len(frames)} slice{'s' * (len(frames) != 1)}: a volume needs at least 3",
            "Give the folder of the whole series.",
            where=where,
        )
    level = places(frames)
    if len(level) < len(frames):
        most = max(level, key=len)
        raise GeometryError(
            f"{len(most)} images lie in one and the same place ({_spot(most[0])}), and nothing in their headers tells "
            "them apart",
            "Export one volume a series (one phase, echo or time point).",
            where=where,
        )
    ordered = [group[0] for group in level]
    first = ordered[0]
    normal = normal_of(first)
    offsets = np.array([f.position_lps for f in ordered]) - first.position_lps
    height = offsets @ normal
    shifts = np.stack([offsets @ first.row_lps, offsets @ first.column_lps], axis=1)
    steps = np.diff(height)
    _refuse_holes(ordered, steps, where)
    step = float(height[-1] / (len(ordered) - 1))
    deviation = np.abs(height - step * np.arange(len(ordered))).max()
    is_even = bool(deviation <= min(POSITION_TOLERANCE_MM, 0.1 * step))
    stack = Stack(
        tuple(ordered),
        first.row_lps,
        first.column_lps,
        normal,
        height,
        shifts,
        step if is_even else _step_to_resample_with(steps),
        is_even,
    )
    if stack.tilt_deg > _MAX_TILT_DEG or np.abs(shifts).max() > np.hypot(*_size_mm(first)) + height[-1]:
        raise GeometryError(
            f"the slices lie beside each other rather than over each other ({stack.tilt_deg:.0f} degrees off)",
            "Choose a series of parallel, stacked slices.",
            where=where,
        )
    return stack


def _size_mm(frame: FrameHeader) -> tuple[float, float]:
    return frame.rows * frame.row_spacing_mm, frame.columns * frame.column_spacing_mm


def _spot(frame: FrameHeader) -> str:
    x, y, z = frame.position_lps
    return f"LPS {x:.1f}, {y:.1f}, {z:.1f} mm"


def _usual_step(steps: FloatArray) -> tuple[float, float]:
    """Return the step that most slices have (the smaller of two equally frequent ones), and the share that has it.

    Where less than half of the steps are alike, the middle one is called usual.
    """
    ascending = np.sort(steps)
    votes = [int(np.sum(np.abs(ascending - s) <= max(2 * POSITION_TOLERANCE_MM, 0.05 * s))) for s in ascending]
    share = max(votes) / len(votes)
    return float(ascending[int(np.argmax(votes))]) if share >= 0.5 else float(np.median(steps)), share


def _refuse_holes(frames: Sequence[FrameHeader], steps: FloatArray, where: str) -> None:
    """Raise `GeometryError` for a step in which a slice is missing, or that is too wide to interpolate over.

    In an otherwise regular series a step of twice or three times the usual one is a missing slice. Where the steps are
    uneven anyhow, or not a multiple, the series is resampled, as long as no step is far wider than the others.
    """
    usual, share = _usual_step(steps)
    thin = [f.thickness_mm for f, s in zip(frames, steps, strict=False) if f.thickness_mm and s < _HOLE * usual]
    for i in np.flatnonzero(steps >= _HOLE * usual).tolist():
        below, above = frames[i], frames[i + 1]
        if below.thickness_mm and above.thickness_mm and thin:
            # A protocol that goes on with thicker slices further apart images everything in between.
            covers = 0.5 * (below.thickness_mm + above.thickness_mm) >= 0.8 * steps[i]
            if covers and min(thin) < 0.8 * steps[i]:
                continue
        ratio = steps[i] / usual
        between = f"between {below.label} and {above.label} ({_spot(below)} and {_spot(above)})"
        if share >= 0.5 and abs(ratio - round(ratio)) <= 0.1:
            missing = round(ratio) - 1
            what = f"{missing} slice{'s are' if missing > 1 else ' is'} missing {between}"
        elif ratio > _TOO_WIDE:
            what = f"a gap {between}"
        else:
            continue
        raise GeometryError(
            f"{what}: a step of {steps[i]:.2f} mm where the others are {usual:.2f} mm",
            "Export the whole series again.",
            where=where,
        )


def _step_to_resample_with(steps: FloatArray) -> float:
    """Return the smallest step that is not a rarity, so that nothing that was imaged is skipped over."""
    for step in np.sort(steps):
        alike = np.abs(steps - step) <= 0.1 * step
        if alike.sum() >= max(2, 0.1 * len(steps)):
            return float(np.median(steps[alike]))
    return float(np.median(steps))
