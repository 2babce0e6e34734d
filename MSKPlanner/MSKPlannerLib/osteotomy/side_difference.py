"""How the two sides of one body differ: smoothly, and by an unknown amount.

A mirrored healthy bone is not the broken one. What lies between them is taken as a random displacement that changes little over a
few centimetres (a Gaussian process, Rasmussen & Williams 2006, ISBN 026218253X, seen from points spread over the bone), so
that two pieces beside each other are off alike and two ends of a bone each in its own way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MSKFusionLib.frames import FloatArray

#: Over so far the displacement changes little, and so dense lie the points that it is seen from.
LENGTH_MM, _SPACING_MM = 20.0, 18.0
_MOST_POINTS = 160


@dataclass(frozen=True, eq=False)
class SideDifference:
    """A random displacement of a bone's surface.

    Parameters
    ----------
    points_ras
        (M, 3) where it is seen from.
    white
        (M, M): takes the kernel between places and these points to functions whose amounts are independent, each of variance 1.
    """

    points_ras: FloatArray
    white: FloatArray

    @classmethod
    def over(cls, surface_ras: FloatArray) -> SideDifference:
        """Return the displacement of a surface that these points (N, 3) lie on, evenly spread."""
        chosen = [0]
        away = np.linalg.norm(surface_ras - surface_ras[0], axis=1)
        while len(chosen) < _MOST_POINTS and away.max() > _SPACING_MM:
            chosen.append(int(np.argmax(away)))
            away = np.minimum(away, np.linalg.norm(surface_ras - surface_ras[chosen[-1]], axis=1))
        points = surface_ras[chosen]
        root = np.linalg.cholesky(_kernel(points, points) + 1e-4 * np.eye(len(points)))
        return cls(points, np.linalg.inv(root).T)

    @property
    def count(self) -> int:
        """How many functions there are."""
        return len(self.points_ras)

    def functions(self, places_ras: FloatArray) -> FloatArray:
        """Return the functions (N, M) at places (N, 3): a displacement along one axis is their sum with amounts of variance 1."""
        return np.asarray(_kernel(places_ras, self.points_ras) @ self.white)


def _kernel(a: FloatArray, b: FloatArray) -> FloatArray:
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * a @ b.T
    return np.asarray(np.exp(-np.maximum(squared, 0.0) / (2 * LENGTH_MM**2)))
