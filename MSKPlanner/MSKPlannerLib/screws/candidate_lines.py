"""Lines through a pedicle, each followed from where it enters the bone: what of them does not depend on the screw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from MSKFusionLib.frames import FloatArray, transform_points, unit_rows

from ..bone.depth_field import DepthField
from .corridor import LineFamily

#: Distance in mm (...,) of RAS points (..., 3) from something; large where it is far.
DistanceFunction = Callable[[FloatArray], FloatArray]

#: Step of the samples along a line.
STEP_MM = 0.75
#: Farthest that the bone behind the corridor's start is followed to the entry, and the screw from its entry.
_ENTRY_REACH_MM = 26.0
_SCREW_REACH_MM = 75.0
#: Behind the entry a sleeve of this radius needs a free way of this length.
_APPROACH_RADIUS_MM = 2.5
_APPROACH_MM = 50.0
#: So far in from the entry a facet joint may lie beside the screw.
_JOINT_REACH_MM = 18.0


@dataclass(frozen=True)
class TrajectoryLimits:
    """Where entry and tip may lie, in the vertebra's frame (y anterior, mm from the body's centre).

    Parameters
    ----------
    posterior_limit_y_mm
        The entry lies behind this.
    least_tip_y_mm, deepest_tip_y_mm
        The tip lies between these.
    anterior_margin_mm
        Bone left in front of the tip along the axis.
    counted_y_mm
        From here on the clearance counts even where the entry zone is not over: the back of the isthmus.
    highest_entry_z_mm
        The entry lies below this (z superior).
    """

    posterior_limit_y_mm: float
    least_tip_y_mm: float
    deepest_tip_y_mm: float
    anterior_margin_mm: float
    counted_y_mm: float
    highest_entry_z_mm: float = np.inf


@dataclass(frozen=True, eq=False)
class Choice:
    """One screw on one line."""

    entry_ras: FloatArray
    tip_ras: FloatArray
    diameter_mm: float
    length_mm: float


def ways_are_free(
    entry_ras: FloatArray, direction_ras: FloatArray, bone: DepthField, neighbours: DistanceFunction | None
) -> NDArray[np.bool_]:
    """Tell (N,) for lines (N, 3) if the way of the tools to the entry leads through no bone, of this vertebra or another."""
    back = np.arange(4.0, _APPROACH_MM, 2.0)
    way = entry_ras[:, None] - back[:, None] * direction_ras[:, None]
    free = (bone.depth_mm(way) < -0.5).all(axis=1)
    if neighbours is not None:
        free &= (neighbours(way) > _APPROACH_RADIUS_MM).all(axis=1)
    return np.asarray(free)


@dataclass(frozen=True, eq=False)
class Lines:
    """Candidate lines with what does not depend on the screw."""

    parameters: FloatArray  # (N, 4)
    entry_ras: FloatArray  # (N, 3)
    direction_ras: FloatArray  # (N, 3)
    depth_mm: FloatArray  # (N, S) from the entry on
    reach_mm: FloatArray  # (N,) longest screw by the tip's limits
    least_mm: FloatArray  # (N,) shortest screw by the tip's limits
    pedicle_mm: FloatArray  # (N,) way from the entry to the back of the isthmus
    neighbour_mm: FloatArray  # (N,) least distance of the axis near its entry from other vertebrae
    usable: NDArray[np.bool_]  # (N,) enters from behind, with a free way to the entry

    def only(self, n: int) -> Lines:
        """Return one of the lines."""
        return Lines(*(getattr(self, field.name)[n : n + 1] for field in fields(self)))

    def screw(self, n: int, diameter_mm: float, length_mm: float) -> Choice:
        """Return the screw of a size on one of the lines."""
        entry = self.entry_ras[n]
        return Choice(entry, entry + length_mm * self.direction_ras[n], diameter_mm, length_mm)


@dataclass(frozen=True, eq=False)
class LineTracer:
    """Follows lines through the bone.

    Parameters
    ----------
    fine, coarse
        The bone where the screws run, and all of it.
    neighbours
        Distance from other vertebrae: screws are led past them.
    joint_margin_mm
        Kept from the screw's surface to the neighbours near the entry, where the facet joints are.
    """

    fine: DepthField
    coarse: DepthField
    frame_to_ras: FloatArray
    family: LineFamily
    limits: TrajectoryLimits
    neighbours: DistanceFunction | None = None
    joint_margin_mm: float = 0.0

    @property
    def along_mm(self) -> FloatArray:
        """Where on a line, from its entry on, its depth is sampled (S,)."""
        return np.arange(0.0, _SCREW_REACH_MM, STEP_MM)

    def follow(self, x: FloatArray) -> Lines:
        """Find each line's entry behind the corridor's start and sample the depth from there on."""
        start, end = self.family.ends_ras(x)
        direction = unit_rows(end - start)
        back = np.arange(0.0, _ENTRY_REACH_MM, STEP_MM)
        behind = self.fine.depth_mm(start[:, None] - back[:, None] * direction[:, None])
        outside = behind <= 0
        first = outside.argmax(axis=1)
        rows = np.arange(len(x))
        inner = behind[rows, np.maximum(first - 1, 0)]
        share = inner / np.maximum(inner - behind[rows, first], 1e-6)
        entry = start - (back[np.maximum(first - 1, 0)] + share * STEP_MM)[:, None] * direction
        depth = self.fine.depth_mm(entry[:, None] + self.along_mm[:, None] * direction[:, None])
        usable = outside.any(axis=1) & (first > 0) & ways_are_free(entry, direction, self.coarse, self.neighbours)
        reach, least, pedicle, behind_pedicle = self._tip_limits(entry, direction, depth)
        beside = np.full(len(x), np.inf)
        if self.neighbours is not None and self.joint_margin_mm > 0:
            first = np.arange(0.0, _JOINT_REACH_MM, 1.5)
            beside = self.neighbours(entry[:, None] + first[:, None] * direction[:, None]).min(axis=1)
        return Lines(x, entry, direction, depth, reach, least, pedicle, beside, usable & behind_pedicle)

    def parameters_of(self, screw: Choice) -> FloatArray:
        """Return the parameters (4,) of a screw's line."""
        return self.family.parameters_of(screw.entry_ras, screw.tip_ras)

    def fits(self, lines: Lines, size: Choice) -> NDArray[np.bool_]:
        """Tell for which lines (N,) a screw of a size keeps to the limits and to the room for neighbours."""
        fits = lines.usable & (size.length_mm <= lines.reach_mm) & (size.length_mm >= lines.least_mm)
        return np.asarray(fits & (lines.neighbour_mm >= size.diameter_mm / 2 + self.joint_margin_mm))

    def _tip_limits(
        self, entry: FloatArray, direction: FloatArray, depth: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray, NDArray[np.bool_]]:
        """Return the longest and the shortest screw (N,) by the tip's place, the way to the pedicle, and if the entry may lie there."""
        to_frame = np.linalg.inv(self.frame_to_ras)
        place = transform_points(to_frame, entry)
        y = place[:, 1]
        slope = np.maximum(direction @ to_frame[1, :3], 0.1)
        # The first two samples are at the surface of the entry itself.
        leaves = depth[:, 2:] < 0
        exit_index = np.where(leaves.any(axis=1), leaves.argmax(axis=1) + 2, len(self.along_mm) - 1)
        to_front = self.along_mm[exit_index] - self.limits.anterior_margin_mm
        reach = np.minimum(to_front, (self.limits.deepest_tip_y_mm - y) / slope)
        least = (self.limits.least_tip_y_mm - y) / slope
        pedicle = (self.limits.counted_y_mm - y) / slope
        placed = (y < self.limits.posterior_limit_y_mm) & (place[:, 2] < self.limits.highest_entry_z_mm)
        return reach, least, pedicle, placed
