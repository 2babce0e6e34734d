"""The direction that a guide is put on along: the one that reaches most of the bone around the screws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from MSKFusionLib.errors import GeometryError, InputError, ProcessingError
from MSKFusionLib.frames import FloatArray, rigid, rotation_about, unit

from ..bone.region import Region
from ..mesh import Mesh
from .field import Bone, Distance, Grid, distance_to
from .sleeve import Sleeve

#: Bone within this distance of a sleeve's entry, or of the lines from the entries to the midline, may carry the guide.
_REACH_MM = 11.0
#: Surfaces steeper than this against the direction (cosine) guide but do not carry.
_CARRIES = 0.2
_BIN_MM = 1.0
#: A direction that is asked for comes at least this much (cosine) from behind.
_FROM_BEHIND = 0.5
_POINTS = 25_000
#: Bone that can matter, right, towards the head and backwards from amid the entries, whatever way the guide is put on.
_REACH_LOW_MM, _REACH_HIGH_MM = np.array([-58.0, -66.0, -24.0]), np.array([58.0, 66.0, 110.0])


class Frame(Protocol):
    """The anatomical axes of a vertebra, unit vectors in RAS, and a point of its midline."""

    @property
    def centre_ras(self) -> FloatArray:
        """The middle of its body."""

    @property
    def right_ras(self) -> FloatArray:
        """To the patient's right."""

    @property
    def anterior_ras(self) -> FloatArray:
        """To the front."""

    @property
    def superior_ras(self) -> FloatArray:
        """To the head."""


@dataclass(frozen=True, eq=False)
class Insertion:
    """How the guide sits.

    Parameters
    ----------
    frame_to_ras
        Rigid 4x4, origin amid the entries: x right, y towards the head, z the way out (against the insertion).
    reachable
        Share of the bone around the screws that can be touched along this direction.
    """

    frame_to_ras: FloatArray
    reachable: float

    @property
    def outward_ras(self) -> FloatArray:
        """Unit direction in which the guide comes off."""
        return np.array(self.frame_to_ras[:3, 2])


def seat_frame(outward_ras: FloatArray, frame: Frame, origin_ras: FloatArray) -> FloatArray:
    """Return the 4x4 whose z is `outward_ras` and whose x is as near to the vertebra's right as that allows."""
    w = unit(outward_ras)
    right = np.asarray(frame.right_ras, dtype=np.float64)
    u = unit(right - (right @ w) * w)
    return np.vstack([np.column_stack([u, np.cross(w, u), w, origin_ras]), [0, 0, 0, 1]])


def straight_frame(frame: Frame, sleeves: Sequence[Sleeve]) -> FloatArray:
    """Return the 4x4 of a guide that is put on straight from behind: origin amid the entries, z backwards.

    Of one sleeve alone the origin is the entry's place on the midline, where the bridge goes to.
    """
    back = -np.asarray(frame.anterior_ras, dtype=np.float64)
    origin = np.mean([s.entry_ras for s in sleeves], axis=0)
    if len(sleeves) == 1:
        right = np.asarray(frame.right_ras, dtype=np.float64)
        origin = origin - ((origin - np.asarray(frame.centre_ras)) @ right) * right
    return seat_frame(back, frame, origin)


def reach_of_guide(straight: FloatArray) -> Region:
    """Return the box of all bone that a guide of this vertebra, its way off or its drills can have to do with."""
    return Region(straight, _REACH_LOW_MM, _REACH_HIGH_MM)


def best_insertion(
    bone: Bone,
    frame: Frame,
    sleeves: Sequence[Sleeve],
    neighbours: Sequence[Bone],
    asked_inward_ras: Sequence[float] | None = None,
) -> Insertion:
    """Search the directions around straight back, up to 30 degrees in the sagittal plane and 10 to the sides.

    A point of the bone counts when the direction reaches it past this bone and its neighbours; ties and small gains
    go to straight back. Where a direction is asked for (towards the bone), only that one is looked at.

    Raises
    ------
    InputError
        When the direction asked for is none, or comes from the front.
    ProcessingError
        When nothing of the bone can be reached.
    """
    straight = straight_frame(frame, sleeves)
    back, origin = straight[:3, 2], straight[:3, 3]
    points, normals, areas = surface_around(bone, straight)
    carrying = _may_carry(points, straight, sleeves)
    if not carrying.any():
        raise ProcessingError("There is no bone behind the planned entries for a guide to sit on; check the screws.")
    obstacles = [surface_around(n, straight)[0] for n in neighbours]
    if asked_inward_ras is not None:
        asked = seat_frame(_outward_of(asked_inward_ras, back), frame, origin)
        return Insertion(asked, reachable_share(asked, points, normals, areas, carrying, obstacles))
    best, best_score = straight, -1.0
    for sagittal in range(-30, 31, 6):
        for lateral in (-10, -5, 0, 5, 10):
            turn = rotation_about(straight[:3, 0], sagittal) @ rotation_about(straight[:3, 1], lateral)
            candidate = seat_frame(turn @ back, frame, origin)
            share = reachable_share(candidate, points, normals, areas, carrying, obstacles)
            score = share - 0.002 * abs(sagittal) - 0.004 * abs(lateral)
            if score > best_score + 1e-9:
                best, best_score, best_share = candidate, score, share
    return Insertion(best, best_share)


def insertion_around(
    start: FloatArray,
    points: FloatArray,
    normals: FloatArray,
    areas: FloatArray,
    carrying: NDArray[np.bool_],
    obstacles: Sequence[FloatArray],
    asked_inward_ras: Sequence[float] | None,
    name: str,
) -> tuple[FloatArray, float]:
    """Return the seat's frame and the share of bone it reaches: the best direction within 24 degrees of where it starts."""
    if not carrying.any():
        raise ProcessingError(f"{name}: there is no bone for a guide to sit on.")

    def share_of(candidate: FloatArray) -> float:
        return reachable_share(candidate, points, normals, areas, carrying, obstacles)

    if asked_inward_ras is not None:
        inward = np.asarray(asked_inward_ras, dtype=np.float64)
        if inward.shape != (3,) or not np.isfinite(inward).all() or np.linalg.norm(inward) < 1e-9:
            raise InputError("the insertion direction is not three numbers with a length", where=name)
        outward = -unit(inward)
        if outward @ start[:3, 2] < 0.5:
            raise GeometryError("the insertion direction does not come from the side of the approach", where=name)
        frame = _turned_to(start, outward)
        return frame, share_of(frame)
    best, best_score, best_share = start, -1.0, 0.0
    for about_x in range(-24, 25, 8):
        for about_y in range(-24, 25, 8):
            turn = rotation_about(start[:3, 0], about_x) @ rotation_about(start[:3, 1], about_y)
            frame = _turned_to(start, turn @ start[:3, 2])
            share = share_of(frame)
            score = share - 0.003 * (abs(about_x) + abs(about_y))
            if score > best_score + 1e-9:
                best, best_score, best_share = frame, score, share
    if best_share <= 0:
        raise ProcessingError(f"{name}: nothing of the bone can be reached; another bone is in the way.")
    return best, best_share


def _turned_to(start: FloatArray, outward: FloatArray) -> FloatArray:
    across = start[:3, 0]
    u = unit(across - (across @ outward) * outward)
    return rigid(np.column_stack([u, np.cross(outward, u), outward]), start[:3, 3])


def _outward_of(inward_ras: Sequence[float], back: FloatArray) -> FloatArray:
    """Return the way off for a direction that was asked for."""
    inward = np.asarray(inward_ras, dtype=np.float64)
    if inward.shape != (3,) or not np.isfinite(inward).all() or np.linalg.norm(inward) < 1e-9:
        raise InputError("the insertion direction is not three numbers with a length", where="guide")
    outward = -unit(inward)
    if outward @ back < _FROM_BEHIND:
        raise InputError(
            "the insertion direction does not come from behind",
            "Give a direction towards the bone, at most 60 degrees from straight forward.",
            where="guide",
        )
    return outward


def _may_carry(points: FloatArray, straight: FloatArray, sleeves: Sequence[Sleeve]) -> NDArray[np.bool_]:
    local = local_of(points, straight)
    deep = min(local_of(s.entry_ras[None], straight)[0, 2] for s in sleeves) - 6.0
    near = np.zeros(len(points), dtype=bool)
    for s in sleeves:
        e = local_of(s.entry_ras[None], straight)[0, :2]
        middle = np.array([0.0, e[1] - 6.0])
        way = middle - e
        t = np.clip((local[:, :2] - e) @ way / max(float(way @ way), 1e-9), 0, 1)
        near |= np.linalg.norm(local[:, :2] - e - t[:, None] * (middle - e), axis=1) < _REACH_MM
    return near & (local[:, 2] > deep)


def reachable_share(
    frame_to_ras: FloatArray,
    points: FloatArray,
    normals: FloatArray,
    areas: FloatArray,
    carrying: NDArray[np.bool_],
    obstacles: Sequence[FloatArray],
) -> float:
    """Return the share of the carrying area that is the first thing met from outside and faces outward."""
    local = local_of(points, frame_to_ras)
    low = local[:, :2].min(axis=0) - 2 * _BIN_MM
    size = np.ceil((local[:, :2].max(axis=0) - low) / _BIN_MM).astype(int) + 3
    top = np.full(size[0] * size[1], -np.inf)
    cell = _cells(local, low, size)
    np.maximum.at(top, cell, local[:, 2])
    for other in obstacles:
        there = local_of(other, frame_to_ras)
        there = there[np.all((there[:, :2] > low) & (there[:, :2] < low + _BIN_MM * (size - 1)), axis=1)]
        np.maximum.at(top, _cells(there, low, size), there[:, 2])
    facing = normals @ frame_to_ras[:3, 2]
    # A bin of a slope spans heights by itself: slope times bin width is not an overhang.
    slack = 0.5 + 1.5 * _BIN_MM * np.sqrt(np.maximum(1 - facing**2, 0)) / np.maximum(facing, 0.1)
    seen = (facing > _CARRIES) & (local[:, 2] > top[cell] - slack)
    return float(areas[seen & carrying].sum() / areas[carrying].sum())


def _cells(local: FloatArray, low: FloatArray, size: NDArray[np.int64]) -> NDArray[np.int64]:
    ij = ((local[:, :2] - low) / _BIN_MM).astype(np.int64)
    return ij[:, 0] * size[1] + ij[:, 1]


def local_of(points: FloatArray, frame_to_ras: FloatArray) -> FloatArray:
    """Return points (N, 3) RAS in a rigid frame."""
    return (points - frame_to_ras[:3, 3]) @ frame_to_ras[:3, :3]


def surface_around(bone: Bone, straight: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return points, normals and areas of the bone's surface within 45 mm beside a seat, 15 mm below and 70 above."""
    mesh = bone if isinstance(bone, Mesh) else _surface_of_depth(distance_to(bone), straight)
    vectors = mesh.face_area_vectors
    area = np.linalg.norm(vectors, axis=1)
    points = mesh.triangles_ras.mean(axis=1)
    local = local_of(points, straight)
    keep = (np.abs(local[:, :2]) < 45).all(axis=1) & (local[:, 2] > -15) & (local[:, 2] < 70) & (area > 0)
    which = np.flatnonzero(keep)
    # A few points a bin are enough; fine surfaces have dozens.
    which = which[:: max(1, len(which) // _POINTS)]
    return points[which], vectors[which] / area[which, None], area[which]


def _surface_of_depth(distance: Distance, straight: FloatArray) -> Mesh:
    low, high, step = np.array([-46.0, -46.0, -16.0]), np.array([46.0, 46.0, 71.0]), 1.5
    placed = straight.copy()
    placed[:3, 3] += straight[:3, :3] @ low
    n = np.ceil((high - low) / step).astype(int) + 1
    grid = Grid(placed, step, (int(n[0]), int(n[1]), int(n[2])))
    values = distance.distance_mm(grid.points_ras()).reshape(grid.shape)
    if values.min() >= 0:
        return Mesh(np.empty((0, 3)), np.empty((0, 3), dtype=np.int64))
    return grid.surface(values)
