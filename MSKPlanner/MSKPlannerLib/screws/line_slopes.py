"""How much bone a screw has if its line is moved a little, to first order: which of many moves are worth measuring."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MSKFusionLib.frames import FloatArray

from ..bone.depth_field import DepthField
from .corridor import LineFamily
from .line_rooms import nearest_count
from .safety import screw_surface

#: So many of the surface's points, those nearest to the cortex, can become the nearest ones by a small move.
_POINTS = 320


@dataclass(frozen=True, eq=False)
class LineSlopes:
    """The points of a screw's surface that lie nearest to the cortex, and how their depths change with the line.

    Parameters
    ----------
    depth_mm
        (M,)
    slopes
        (M, 4) change of the depth by the line's four parameters.
    nearest
        The mean of so many least depths is the screw's room.
    """

    depth_mm: FloatArray
    slopes: FloatArray
    nearest: int

    @classmethod
    def of_screw(
        cls,
        bone: DepthField,
        family: LineFamily,
        entry_ras: FloatArray,
        tip_ras: FloatArray,
        diameter_mm: float,
        counted_from_mm: float,
    ) -> LineSlopes:
        """Measure a screw's surface; its slide along its own axis, as the entry moves on the bone, is left out."""
        surface = screw_surface(bone.depth_mm, entry_ras, tip_ras, diameter_mm, counted_from_mm=counted_from_mm)
        nearest = nearest_count(len(surface.depths_mm))
        count = min(max(_POINTS, 2 * nearest), len(surface.depths_mm) - 1)
        at = np.argpartition(surface.depths_mm, count)[:count]
        points = surface.points_ras[at]
        step_mm = bone.step_mm / 2
        sides = step_mm * np.stack([family.u_ras, -family.u_ras, family.v_ras, -family.v_ras])
        around = bone.depth_mm(points + sides[:, None])
        slope = np.stack([around[0] - around[1], around[2] - around[3]], axis=-1) / (2 * step_mm)
        normal = np.cross(family.u_ras, family.v_ras)
        share = (points - family.start_ras) @ normal / float((family.end_ras - family.start_ras) @ normal)
        slopes = np.concatenate([(1 - share)[:, None] * slope, share[:, None] * slope], axis=1)
        return cls(surface.depths_mm[at], slopes, nearest)

    def rooms(self, moves: FloatArray) -> FloatArray:
        """Return the room (N,) in mm of lines that are moved by so much (N, 4) in their parameters."""
        depth = self.depth_mm + moves @ self.slopes.T
        return np.asarray(np.partition(depth, self.nearest - 1, axis=1)[:, : self.nearest].mean(axis=1))
