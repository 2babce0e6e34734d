"""A way for a fragment from where it is to where it belongs that meets no other bone.

Two trees grow towards each other from both ends, through turns and shifts (RRT-Connect; Kuffner & LaValle 2000, doi
10.1109/ROBOT.2000.844730). The widest clearance of a list for which a way is found is kept; with it the way is then shortened
(`path_shortening`).
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from scipy.spatial.transform import Rotation

from MSKFusionLib.errors import ProcessingError
from MSKFusionLib.frames import FloatArray, rigid, transform_points

from ..bone.depth_field import DepthField
from ..bone.mesh_depth import depth_of_mesh
from ..mesh import Mesh
from .path_shortening import shortened
from .reduction import ReducedFragment, Reduction
from .reduction_fit import SurfaceSample

#: No point of the fragment moves farther than this between two poses that are looked at.
STEP_MM = 0.5
_FIELD_STEP_MM = 1.0
_POINTS = 800
#: So many times as many points are looked at on the way that was found.
_FINER = 4
#: Clearances that are tried, mm, the widest first; nearer to its ends a way may come as near as the ends do.
_CLEARANCES_MM = (2.0, 0.5, 0.0)
_REACH_MM = 25.0
_NODES = 150
#: Ways that are grown and shortened, of which the shortest is taken: one may lead round the wrong side.
_WAYS = 3
#: One that is hardly longer than the straight one is not grown again.
_NEARLY_STRAIGHT = 1.25
#: What two surfaces may overlap: their grids and points do not tell more.
_TOUCH_MM = 0.3


@dataclass(frozen=True, eq=False)
class FragmentPath:
    """A way of a fragment.

    Parameters
    ----------
    motions_ras
        (N, 4, 4) rigid, from the identity to where the fragment belongs; no point moves more than 0.5 mm from one to the next.
    clearance_mm
        (N,) distance from the other bones; negative where they overlap as they do at an end.
    longest_mm
        The way of the point that moves farthest.
    straight_mm
        How far apart start and goal of the point lie for which that is most: no way can be shorter.
    """

    motions_ras: FloatArray
    clearance_mm: FloatArray
    longest_mm: float
    straight_mm: float

    @property
    def least_mm(self) -> float:
        """The least clearance on the way between the ends."""
        return float(self.clearance_mm.min())


class _Fields:
    """Depth fields of meshes, each made once."""

    def __init__(self) -> None:
        # The mesh is held with its field, so that no other gets its id.
        self._known: dict[int, tuple[Mesh, DepthField]] = {}

    def of(self, mesh: Mesh, name: str) -> DepthField:
        """Return the depth of a mesh."""
        if id(mesh) not in self._known:
            self._known[id(mesh)] = (mesh, depth_of_mesh(mesh, _FIELD_STEP_MM, 6.0, name))
        return self._known[id(mesh)][1]


class _Room:
    """Poses of one fragment among others: six numbers (turn vector in rad times the arm, shift in mm)."""

    def __init__(self, fragment: Mesh, goal_ras: FloatArray, others: Sequence[Mesh], fields: _Fields) -> None:
        self.middle = fragment.vertices_ras.mean(axis=0)
        self.arm = max(float(np.linalg.norm(fragment.vertices_ras - self.middle, axis=1).max()), 1.0)
        self.field = fields.of(fragment, "fragment")
        self._meshes = (fragment, *others)
        self._fields = [fields.of(o, "other bone") for o in others]
        self._take_points(1)
        turn = Rotation.from_matrix(goal_ras[:3, :3]).as_rotvec()
        self.goal = np.concatenate([turn * self.arm, transform_points(goal_ras, self.middle) - self.middle])
        self.start = np.zeros(6)

    def _take_points(self, finer: int) -> None:
        fragment, *others = self._meshes
        self.points = SurfaceSample.of(fragment, finer * _POINTS, 5).points_ras
        self.others: list[tuple[DepthField, FloatArray]] = [
            (field, SurfaceSample.of(o, 2 * finer * _POINTS, 6).points_ras)
            for field, o in zip(self._fields, others, strict=True)
        ]

    def with_more_points(self) -> _Room:
        """Return the same room looked at through more points."""
        room = copy(self)
        room._take_points(_FINER)
        return room

    def motion(self, pose: FloatArray) -> FloatArray:
        """Return the 4x4 of a pose."""
        turn = Rotation.from_rotvec(pose[:3] / self.arm).as_matrix()
        return rigid(turn, self.middle - turn @ self.middle + pose[3:])

    def clearance_mm(self, pose: FloatArray) -> float:
        """Return the distance from the other bones, each side's points in the other's field."""
        m = self.motion(pose)
        back = np.linalg.inv(m)
        at = transform_points(m, self.points)
        least = np.inf
        for field, points in self.others:
            least = min(least, -float(field.depth_mm(at).max()))
            least = min(least, -float(self.field.depth_mm(transform_points(back, points)).max()))
        return least

    @staticmethod
    def way_mm(a: FloatArray, b: FloatArray) -> float:
        """Return how far a point moves at most from one pose to another."""
        return float(np.linalg.norm(a[:3] - b[:3]) + np.linalg.norm(a[3:] - b[3:]))

    def between(self, a: FloatArray, b: FloatArray, step_mm: float = STEP_MM) -> FloatArray:
        """Return poses (N, 6) from one to another, the first left out."""
        count = max(1, int(np.ceil(1.05 * self.way_mm(a, b) / step_mm)))
        return a + np.linspace(0, 1, count + 1)[1:, None] * (b - a)


def reduction_path(
    fragment: Mesh, goal_ras: FloatArray, others: Sequence[Mesh], *, seed: int = 0, room_mm: float = 60.0
) -> FragmentPath:
    """Find a way for a fragment.

    Parameters
    ----------
    fragment
        Where it is.
    goal_ras
        4x4 that takes it to where it belongs.
    others
        Bones and fragments that do not move meanwhile.
    room_mm
        How far it may swerve.

    Raises
    ------
    ProcessingError
        When no way is found: the fragment is locked, or ends deep in another bone.
    """
    return _found(_Room(fragment, np.asarray(goal_ras, dtype=np.float64), others, _Fields()), seed, room_mm)


def _found(room: _Room, seed: int, room_mm: float = 60.0) -> FragmentPath:
    """Find a way in a room."""
    ends = [room.clearance_mm(room.start), room.clearance_mm(room.goal)]
    rng = np.random.default_rng(seed)
    finer = room.with_more_points()
    straight = room.way_mm(room.start, room.goal)
    for wish in _CLEARANCES_MM:
        ways: list[list[FloatArray]] = []
        for _ in range(_WAYS):
            way = _way(room, wish, ends, rng, room_mm)
            if way is None:
                break
            ways.append(shortened(way, partial(_is_free, room, wish, ends), room.way_mm, rng))
            if sum(room.way_mm(p, q) for p, q in pairwise(ways[-1])) < _NEARLY_STRAIGHT * straight:
                break
        for poses in sorted(ways, key=lambda w: sum(room.way_mm(p, q) for p, q in pairwise(w))):
            found = _described(finer, poses)
            # More points may see more: a way that they show to be nearer than the ends are is none.
            if found.least_mm >= min(wish, *found.clearance_mm[[0, -1]]) - 2 * _TOUCH_MM:
                return found
    raise ProcessingError(
        f"no way was found for the fragment (its clearance is {ends[0]:.1f} mm where it is, {ends[1]:.1f} mm where it "
        "belongs): move what is in its way first, or check where it belongs."
    )


def reduction_paths(plan: Reduction, obstacles: Sequence[Mesh] = (), *, seed: int = 0) -> dict[str, FragmentPath | str]:
    """Find a way for each fragment, one after the other: the largest first, those before it already in place.

    Parameters
    ----------
    obstacles
        Bones that stay where they are.

    Returns
    -------
    By fragment its way, or in words why there is none; the main fragment, which stays, has none.
    """
    out: dict[str, FragmentPath | str] = {}
    waiting = in_order(plan)
    placed = [plan.fragments[0].reduced, *obstacles]
    fields = _Fields()
    for n, fragment in enumerate(waiting):
        others = [*placed, *(f.mesh for f in waiting[n + 1 :])]
        try:
            out[fragment.name] = _found(_Room(fragment.mesh, fragment.motion_ras, others, fields), seed)
        except ProcessingError as error:
            out[fragment.name] = str(error)
        placed.append(fragment.reduced)
    return out


def in_order(plan: Reduction) -> list[ReducedFragment]:
    """Return the fragments that move, in the order in which they do: the largest first."""
    return sorted(plan.fragments[1:], key=lambda f: -f.mesh.volume_mm3)


def _spare_mm(room: _Room, pose: FloatArray, wish_mm: float, ends: Sequence[float]) -> float:
    """Return how much more clearance a pose has than is wished; near the ends it may be as near as they are."""
    near = [e + 0.5 * room.way_mm(pose, p) - _TOUCH_MM for e, p in zip(ends, (room.start, room.goal), strict=True)]
    needed = min(wish_mm, *near)
    return room.clearance_mm(pose) - needed


def _reached(room: _Room, a: FloatArray, b: FloatArray, wish: float, ends: Sequence[float]) -> FloatArray:
    """Return how far one gets from `a` straight towards `b`."""
    last, sure = a, 0.0
    poses = room.between(a, b)
    step = room.way_mm(a, b) / len(poses)
    for n, pose in enumerate(poses):
        # A distance changes by no more than the way, and what is wished by half of it: what is far from all is free.
        sure -= step
        if sure < 0 or n == len(poses) - 1:
            spare = _spare_mm(room, pose, wish, ends)
            if spare < 0:
                break
            sure = spare / 1.5
        last = pose
    return last


def _is_free(room: _Room, wish: float, ends: Sequence[float], a: FloatArray, b: FloatArray) -> bool:
    """Tell whether one gets straight from one pose to another."""
    return bool(np.array_equal(_reached(room, a, b, wish, ends), b))


def _way(
    room: _Room, wish: float, ends: Sequence[float], rng: np.random.Generator, room_mm: float
) -> list[FloatArray] | None:
    """Return corners of a free way, or None."""
    if np.array_equal(_reached(room, room.start, room.goal, wish, ends), room.goal):
        return [room.start, room.goal]
    trees: list[tuple[list[FloatArray], list[int]]] = [([room.start], [-1]), ([room.goal], [-1])]
    middle, span = 0.5 * (room.start + room.goal), 0.5 * np.abs(room.goal - room.start) + 10.0
    span[3:] += room_mm
    for n in range(_NODES):
        (nodes, parents), (others, other_parents) = trees[n % 2], trees[1 - n % 2]
        drawn = middle + span * rng.uniform(-1, 1, 6)
        if n % 4 < 2:
            # Half of the time the turn is one between the ends': most ways need no other.
            drawn[:3] = room.start[:3] + rng.random() * (room.goal[:3] - room.start[:3])
        at = int(np.argmin([room.way_mm(drawn, p) for p in nodes]))
        aim = nodes[at] + min(1.0, _REACH_MM / room.way_mm(nodes[at], drawn)) * (drawn - nodes[at])
        got = _reached(room, nodes[at], aim, wish, ends)
        if room.way_mm(got, nodes[at]) < STEP_MM / 2:
            continue
        nodes.append(got)
        parents.append(at)
        to = int(np.argmin([room.way_mm(got, p) for p in others]))
        end = _reached(room, got, others[to], wish, ends)
        if np.array_equal(end, others[to]):  # the trees meet
            one, two = _branch(nodes, parents, len(nodes) - 1), _branch(others, other_parents, to)
            way = one[::-1] + two
            return way if n % 2 == 0 else way[::-1]
    return None


def _branch(nodes: list[FloatArray], parents: list[int], at: int) -> list[FloatArray]:
    out = []
    while at >= 0:
        out.append(nodes[at])
        at = parents[at]
    return out


def _described(room: _Room, corners: list[FloatArray]) -> FragmentPath:
    poses = [room.start, *(p for a, b in pairwise(corners) for p in room.between(a, b))]
    motions = np.stack([room.motion(p) for p in poses])
    clearance = np.array([room.clearance_mm(p) for p in poses])
    rows = np.unique(np.linspace(0, len(motions) - 1, min(len(motions), 200)).round().astype(int))
    far = np.stack([transform_points(m, room.points) for m in motions[rows]])
    longest = float(np.linalg.norm(np.diff(far, axis=0), axis=2).sum(axis=0).max()) if len(far) > 1 else 0.0
    return FragmentPath(motions, clearance, longest, float(np.linalg.norm(far[-1] - far[0], axis=1).max()))
