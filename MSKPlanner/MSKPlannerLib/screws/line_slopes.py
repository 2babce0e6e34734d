"""How much bone a screw has if its line is moved a little, to first order: which of many moves are worth measuring."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MSKFusionLib.frames import FloatArray

from ..bone.depth_field import DepthField
from .corridor import LineFamily
from .line_rooms import nearest_count
from .safety import screw_points

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
    def of_screws(
        cls,
        bone: DepthField,
        family: LineFamily,
        entries_ras: FloatArray,
        tips_ras: FloatArray,
        diameter_mm: float,
        counted_from_mm: FloatArray,
    ) -> list[LineSlopes]:
        """Measure the surfaces of screws (N, 3); the slide along their own axes, as the entries move on the bone, is left out."""
        places = [
            screw_points(entry, tip, diameter_mm, counted_from_mm=float(counted))[0]
            for entry, tip, counted in zip(entries_ras, tips_ras, counted_from_mm, strict=True)
        ]
        # All at once: few points cost less than the calls.
        ends = np.cumsum([len(p) for p in places])[:-1]
        depths = np.split(bone.depth_mm(np.concatenate(places)), ends)
        kept, found = [], []
        for points, depth in zip(places, depths, strict=True):
            nearest = nearest_count(len(depth))
            count = min(max(_POINTS, 2 * nearest), len(depth) - 1)
            at = np.argpartition(depth, count)[:count]
            kept.append(points[at])
            found.append((depth[at], nearest))
        step_mm = bone.step_mm / 2
        sides = step_mm * np.stack([family.u_ras, -family.u_ras, family.v_ras, -family.v_ras])
        every = np.concatenate(kept)
        around = bone.depth_mm(every + sides[:, None])
        slope = np.stack([around[0] - around[1], around[2] - around[3]], axis=-1) / (2 * step_mm)
        normal = np.cross(family.u_ras, family.v_ras)
        share = (every - family.start_ras) @ normal / float((family.end_ras - family.start_ras) @ normal)
        slopes = np.concatenate([(1 - share)[:, None] * slope, share[:, None] * slope], axis=1)
        parts = np.split(slopes, np.cumsum([len(k) for k in kept])[:-1])
        return [cls(depth, part, nearest) for (depth, nearest), part in zip(found, parts, strict=True)]

    def rooms(self, moves: FloatArray) -> FloatArray:
        """Return the room (N,) in mm of lines that are moved by so much (N, 4) in their parameters."""
        depth = self.depth_mm + moves @ self.slopes.T
        return np.asarray(np.partition(depth, self.nearest - 1, axis=1)[:, : self.nearest].mean(axis=1))
