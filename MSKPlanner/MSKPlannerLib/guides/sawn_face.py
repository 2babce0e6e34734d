"""One sawn face of a cut that is made of several, and what of it a saw finds at the bone's surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from MSKFusionLib.errors import GeometryError
from MSKFusionLib.frames import FloatArray, rigid, transform_points, unit

from ..plan import GuideCut
from .field import Distance

#: A face is looked at on a raster of this step; bone of it lies this near to one of its points.
_STEP_MM = 0.5
_OF_FACE_MM = 2.5
#: Bone this far above a face, and that far below it, is looked for.
_ABOVE_MM, _BELOW_MM = 25.0, 1.5
#: What is nicked of bone beside the face is less than this.
_NICK_MM = 1.0


@dataclass(frozen=True, eq=False)
class SawnFace:
    """A plane face that one slot leads the saw along.

    Parameters
    ----------
    cut
        The plane as it is planned; of a resection its normal looks to the bone that stays.
    outward_ras
        Against the saw, unit, in the plane.
    points_ras
        (N, 3) points of the sawn face, no farther than 2 mm from each other: a plane may cross other bone besides.
    limits
        Planes above which (on their normals' side) nothing is sawn.
    middle_mm
        From the plane to the middle of the saw, along the normal.
    """

    cut: GuideCut
    outward_ras: FloatArray
    points_ras: FloatArray
    limits: tuple[GuideCut, ...] = ()
    middle_mm: float = 0.0

    @property
    def name(self) -> str:
        """What the cut is called."""
        return self.cut.name


@dataclass(frozen=True, eq=False)
class Trace:
    """The columns of a face that a saw enters from outside, side by side.

    Parameters
    ----------
    to_ras
        Rigid 4x4: x across the saw, y the plane's normal, z against the saw; y is 0 in the middle of the saw.
    x_mm
        (N,) places of the columns that the guide leads the saw over.
    top_mm, bottom_mm
        (N,) where the face begins and ends along z.
    blind
        (N,) whether bone that stays lies below its end.
    cornered
        Whether the face ends inside the bone, at another one, at its low and its high end in x.
    across_mm
        Width of all of the face that can be entered from outside.
    """

    to_ras: FloatArray
    x_mm: FloatArray
    top_mm: FloatArray
    bottom_mm: FloatArray
    blind: NDArray[np.bool_]
    cornered: tuple[bool, bool]
    across_mm: float


def trace_of(face: SawnFace, bone: Distance, wrap_mm: float) -> Trace:
    """Return what the saw finds of a face.

    Parameters
    ----------
    wrap_mm
        The columns that are led over begin at heights that differ by no more than this: the widest stretch of such.

    Raises
    ------
    GeometryError
        When the plane misses the bone, or nothing of the face can be entered from outside.
    """
    normal = unit(np.asarray(face.cut.normal_ras, dtype=np.float64))
    outward = unit(face.outward_ras - (face.outward_ras @ normal) * normal)
    middle = face.points_ras.mean(axis=0)
    middle = middle + (face.middle_mm - (middle - np.asarray(face.cut.point_ras)) @ normal) * normal
    to_ras = rigid(np.column_stack([np.cross(normal, outward), normal, outward]), middle)
    local = (face.points_ras - middle) @ to_ras[:3, :3]
    x = np.arange(local[:, 0].min() - 3.0, local[:, 0].max() + 3.0, _STEP_MM)
    z = np.arange(local[:, 2].min() - 3.0, local[:, 2].max() + _ABOVE_MM, _STEP_MM)
    grid = np.stack(np.meshgrid(x, [0.0], z, indexing="ij"), axis=-1).reshape(-1, 3)
    places = np.asarray(transform_points(to_ras, grid))
    inside = bone.distance_mm(places) < 0
    sawn = inside & (cKDTree(face.points_ras).query(places, distance_upper_bound=_OF_FACE_MM)[0] < _OF_FACE_MM)
    for limit in face.limits:
        sawn &= (places - np.asarray(limit.point_ras)) @ unit(np.asarray(limit.normal_ras)) <= 0
    if not sawn.any():
        raise GeometryError("the plane misses the bone", "Check bone and plan.", where=face.name)
    sawn, inside = sawn.reshape(len(x), len(z)), inside.reshape(len(x), len(z))
    any_in = sawn.any(axis=1)
    first, last = sawn.argmax(axis=1), len(z) - 1 - sawn[:, ::-1].argmax(axis=1)
    above = np.arange(len(z))[None, :] > last[:, None]
    entered = any_in & ((inside & above).sum(axis=1) * _STEP_MM < _NICK_MM)
    if not entered.any():
        raise GeometryError(
            "bone that stays lies before all of this plane: no guide on this side leads a saw to it",
            "Choose another approach.",
            where=face.name,
        )
    low, high = _widest(z[last], entered, wrap_mm)
    rows = np.arange(low, high + 1)
    below = inside[rows, np.maximum(first[rows] - round(_BELOW_MM / _STEP_MM), 0)]
    cornered = (_in_bone(inside, z, last, low, -1), _in_bone(inside, z, last, high, 1))
    return Trace(to_ras, x[rows], z[last][rows], z[first][rows], below, cornered, float(entered.sum() * _STEP_MM))


def _widest(tops: FloatArray, entered: NDArray[np.bool_], wrap_mm: float) -> tuple[int, int]:
    """Return the first and the last column of the widest stretch whose tops lie within a wrap; of like ones the highest."""
    best = (0, 0)
    for highest in np.unique(tops[entered])[::-1]:
        low, high = _longest(entered & (tops <= highest) & (tops > highest - wrap_mm))
        if best == (0, 0) or high - low > best[1] - best[0]:
            best = (low, high)
    return best


def _longest(wanted: NDArray[np.bool_]) -> tuple[int, int]:
    """Return the first and the last place of the longest stretch of true values."""
    edges = np.flatnonzero(np.diff(np.r_[False, wanted, False].astype(int)))
    starts, ends = edges[::2], edges[1::2]
    k = int((ends - starts).argmax())
    return int(starts[k]), int(ends[k]) - 1


def _in_bone(inside: NDArray[np.bool_], z: FloatArray, last: NDArray[np.int64], end: int, way: int) -> bool:
    """Return whether bone goes on beside a face's end, a mm beside it and a mm below its top."""
    beside = end + way * round(1.0 / _STEP_MM)
    if not 0 <= beside < len(inside):
        return False
    return bool(inside[beside, max(int(last[end]) - round(1.0 / _STEP_MM), 0)])
