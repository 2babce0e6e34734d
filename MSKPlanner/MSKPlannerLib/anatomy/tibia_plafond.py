"""The lower end of a tibia: the plafond, the medial malleolus beside it, and with them fibula and talus."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MSKFusionLib.frames import FloatArray, perpendicular_axes, unit

from ..mesh import Mesh, body_labels
from .bone_end import dense_points, facing_patch, hull_centroid, smoothed

#: The plafond lies within this of the tip of the malleolus, mm.
_SLAB_MM = 30.0
#: Faces of the plafond look down within this angle; those of the talar dome look up.
_FACING_DEG = 40.0
#: A malleolus is cut between these depths below the plafond, and reaches at least the second, mm.
_BELOW_MM = (3.0, 8.0)
#: The dome of the talus lies within this of its highest point, mm.
_DOME_MM = 9.0
#: The ankle's parts lie within this of the middle of the plafond, mm.
_ANKLE_MM = 60.0


@dataclass(frozen=True, eq=False)
class Plafond:
    """What the lower end of a tibia shows, RAS mm.

    Parameters
    ----------
    ankle_centre
        Middle of the plafond.
    medial_malleolus
        Middle of the malleolus at the plafond's height; None where none is seen.
    patch
        (M,) which faces of the smoothed surface form the plafond.
    """

    ankle_centre: FloatArray
    medial_malleolus: FloatArray | None
    patch: np.ndarray


def find_plafond(smooth: Mesh, up: FloatArray) -> Plafond | str:
    """Return the landmarks of the lower end, or why there are none.

    Parameters
    ----------
    smooth
        Smoothed surface of a tibia whose lower end is in view.
    up
        Unit, from the ankle to the knee.
    """
    centre = smooth.triangles_ras.mean(axis=1)
    height = centre @ up
    patch = facing_patch(smooth, -up, _FACING_DEG, height < height.min() + _SLAB_MM)
    if patch.sum() < 20:
        return "no surface at the lower end looks downwards"
    area = -(smooth.face_area_vectors[patch] @ up)
    ankle = np.average(centre[patch], axis=0, weights=area)
    malleolus = _malleolus(smooth, up, float(ankle @ up), ankle)
    return Plafond(ankle, malleolus, patch)


def _malleolus(bone: Mesh, up: FloatArray, level: float, ankle: FloatArray) -> FloatArray | None:
    """Return the middle of what reaches farthest below the plafond, at the plafond's height."""
    height = bone.triangles_ras.mean(axis=1) @ up
    below = np.flatnonzero(height < level - _BELOW_MM[0])
    if not len(below) or float(height.min()) > level - _BELOW_MM[1]:
        return None
    labels, _ = body_labels(Mesh(bone.vertices_ras, bone.faces[below]))
    lowest = labels == labels[height[below].argmin()]
    points = bone.triangles_ras[below[lowest]].reshape(-1, 3)
    slab = points[points @ up > level - _BELOW_MM[1]]
    if len(slab) < 10:
        return None
    u, v = perpendicular_axes(up)
    c = hull_centroid(np.column_stack([slab @ u, slab @ v]))
    middle = np.asarray(c[0] * u + c[1] * v + level * up)
    return middle if np.linalg.norm(middle - ankle) < _ANKLE_MM else None


def lateral_malleolus(fibula: Mesh, up: FloatArray, ankle: FloatArray) -> FloatArray | str:
    """Return the middle of the fibula at the plafond's height, or why there is none.

    Parameters
    ----------
    up
        Unit, from the ankle to the knee.
    ankle
        Middle of the plafond, RAS mm.
    """
    points = dense_points(smoothed(fibula))
    height = (points - ankle) @ up
    near = points[np.abs(height) < 0.5 * _BELOW_MM[1]]
    if len(near) < 10:
        return "the fibula does not reach the ankle"
    if not (height < -_BELOW_MM[0]).any():
        return "the fibula ends above the ankle"
    u, v = perpendicular_axes(up)
    c = hull_centroid(np.column_stack([near @ u, near @ v]))
    middle = np.asarray(c[0] * u + c[1] * v + float(ankle @ up) * up)
    if np.linalg.norm(middle - ankle) > _ANKLE_MM:
        return "the fibula lies far from the ankle"
    return middle


def talar_dome(talus: Mesh, up: FloatArray, ankle: FloatArray) -> FloatArray | str:
    """Return the middle of the talar dome under the plafond, or why there is none.

    Parameters
    ----------
    up
        Unit, from the ankle to the knee.
    ankle
        Middle of the plafond, RAS mm: the dome lies below it.
    """
    smooth = smoothed(talus)
    centre = smooth.triangles_ras.mean(axis=1)
    height = centre @ up
    if not -15 < float(ankle @ up - height.max()) < 25:
        return "the talus does not lie under the tibia"
    dome = facing_patch(smooth, up, _FACING_DEG, height > height.max() - _DOME_MM)
    if dome.sum() < 20:
        return "no surface of the talus looks upwards"
    area = smooth.face_area_vectors[dome] @ up
    middle = np.average(centre[dome], axis=0, weights=area)
    off = middle - ankle
    if np.linalg.norm(off - (off @ up) * up) > 25:
        return "the talus does not lie under the tibia"
    # On the dome, above the mean of its curve.
    near = np.linalg.norm(np.cross(centre[dome] - middle, unit(up)), axis=1) < 6
    if near.any():
        middle = middle + float(np.median((centre[dome] - middle)[near] @ up)) * up
    return np.asarray(middle)
