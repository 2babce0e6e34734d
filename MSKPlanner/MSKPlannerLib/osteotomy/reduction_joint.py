"""All fragments of a bone placed at once, so that what each is off does not add up along it.

Unknown are the fragments' poses, how wide each gap between two fracture surfaces is, and how the two sides of the body differ. Natural
surfaces lie on the mirrored side moved by that difference, fracture surfaces face each other over their gap, and all gaps of
one bone are much alike: robust Gauss-Newton steps on all of it (bundle adjustment; Triggs et al. 2000, doi
10.1007/3-540-44480-7_21). The same equations say how surely each fragment then lies to the main one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from MSKFusionLib.frames import FloatArray, invert_rigid, transform_points

from ..bone.depth_field import DepthField
from ..mesh import Mesh
from .reduction_fit import SurfaceSample, moved_by, weakest_sd
from .side_difference import SideDifference

#: Points of a surface: one for so much of it.
_POINT_MM2, _SEED = 6.0, 3
#: Of natural surface every so manieth is enough.
_THIN = 4
#: Deeper than this in the whole bone lies no natural surface.
WITHIN_MM = 2.0
#: What is left of a distance after all else, and how much surface errs alike: on natural surface, and between fracture surfaces.
_NATURAL_MM, _NATURAL_MM2 = 0.25, 60.0
_BROKEN_MM, _BROKEN_MM2 = 0.1, 30.0
#: How much gaps of one bone differ; what a gap is before anything is known, and how surely.
_GAP_SD_MM, _USUAL_GAP_MM, _ANY_GAP_MM = 0.3, 1.0, 2.0
#: The least and the most that the two sides are taken to differ by (standard deviation along an axis).
_SIDES_MM = (0.2, 2.0)
#: Distances between fracture surfaces count up to so far from their gap, of natural surface up to a share of that; less in each step.
_REACH_MM = (6.0, 6.0, 6.0, 5.0, 5.0, 4.0, 4.0, 3.0)
FACING_MM, _LIMIT_SHARE = _REACH_MM[0], 0.35
_LEAST_FACING = 15
#: Cosine between a natural surface's normal and the whole bone's; and between those of two fracture surfaces.
_ALIKE, _FACES = 0.75, -0.7
#: Beyond so many times their median they do not count (Tukey's weights), and least limit.
_TUKEY, _LEAST_LIMIT_MM = 4.685, 0.5
#: Steps without the sides' difference, which would take up what the poses should; and steps at most.
_RIGID_STEPS, _STEPS = 5, 30
#: The longest step, and the one that ends it, mm; a turn counts at this arm.
_LONGEST_MM, _STILL, _ARM_MM = 5.0, 0.003, 30.0
#: What nothing holds is free by this much.
_FREE_RAD, _FREE_MM = 1.0, 100.0


@dataclass(frozen=True, eq=False)
class Piece:
    """A fragment: points of its surface, its depth where it is, and its pose (4x4) in the whole bone."""

    sample: SurfaceSample
    field: DepthField
    motion_ras: FloatArray
    point_mm2: float

    @classmethod
    def of(cls, mesh: Mesh, field: DepthField, motion_ras: FloatArray) -> Piece:
        """Return a mesh's piece."""
        area = float(np.linalg.norm(mesh.face_area_vectors, axis=1).sum())
        count = max(int(area / _POINT_MM2), 200)
        return cls(SurfaceSample.of(mesh, count, _SEED), field, motion_ras, area / count)

    def placed(self) -> tuple[FloatArray, FloatArray]:
        """Return its points and normals (N, 3) where it lies."""
        return (
            transform_points(self.motion_ras, self.sample.points_ras),
            self.sample.normals_ras @ self.motion_ras[:3, :3].T,
        )

    def distance_mm(self, points_ras: FloatArray) -> FloatArray:
        """Return the distance (N,) of points from it, negative inside."""
        return -self.field.depth_mm(transform_points(invert_rigid(self.motion_ras), points_ras))

    def outward_ras(self, points_ras: FloatArray) -> FloatArray:
        """Return its outward normals (N, 3) nearest to points."""
        local = transform_points(invert_rigid(self.motion_ras), points_ras)
        return self.field.outward_ras(local) @ self.motion_ras[:3, :3].T


@dataclass(frozen=True, eq=False)
class Placed:
    """A fragment's place in the whole bone.

    Parameters
    ----------
    motion_ras
        Rigid 4x4 that takes the fragment there.
    covariance
        (6, 6) of how it lies to the main fragment: a small turn (rad) and its middle's place (mm).
    has_rival
        Whether another place fits about as well, its neighbours counted.
    """

    motion_ras: FloatArray
    covariance: FloatArray
    has_rival: bool = False

    @property
    def turn_sd_deg(self) -> float:
        """Standard deviation of the turn about its weakest axis."""
        return float(np.degrees(weakest_sd(self.covariance[:3, :3])))

    @property
    def place_sd_mm(self) -> float:
        """Standard deviation of the middle's place in its weakest direction."""
        return weakest_sd(self.covariance[3:, 3:])


@dataclass(eq=False)
class _Equations:
    """Normal equations of all unknowns."""

    left: FloatArray
    right: FloatArray

    def add(self, columns: NDArray[np.intp], rows: FloatArray, target: FloatArray, weight: FloatArray) -> None:
        """Add weighted rows (N, C), of so many columns (C,), each meant to be its target (N,)."""
        weighted = rows * weight[:, None]
        self.left[np.ix_(columns, columns)] += weighted.T @ rows
        self.right[columns] += weighted.T @ target


def placed_together(pieces: Sequence[Piece], whole: DepthField) -> list[Placed]:
    """Return where all fragments of a bone lie, and how surely to the first, the main one.

    Parameters
    ----------
    pieces
        Of every fragment, about where it belongs: within about 6 mm and 10 degrees.
    whole
        The mirrored healthy side.
    """
    joint = _Joint(list(pieces), whole)
    for number in range(_STEPS):
        if joint.step(number) < _STILL and number > len(_REACH_MM):
            break
    return joint.placed()


class _Joint:
    """The unknowns: 6 numbers a piece, a gap each pair, the gap they have in common, 3 for each function of how the sides differ."""

    def __init__(self, pieces: list[Piece], whole: DepthField) -> None:
        self.pieces, self.whole = pieces, whole
        self.centres = [transform_points(p.motion_ras, p.sample.points_ras.mean(axis=0)) for p in pieces]
        self.pairs = list(combinations(range(len(pieces)), 2))
        at = np.concatenate([p.placed()[0][::_THIN] for p in pieces])
        natural = np.abs(whole.depth_mm(at)) < WITHIN_MM
        self.side = SideDifference.over(at[natural] if natural.any() else at)
        self.gap_mm = np.full(len(self.pairs) + 1, _USUAL_GAP_MM)  # the last one is that in common
        self.amounts, self.side_mm = np.zeros((self.side.count, 3)), _SIDES_MM[0]
        self.first_gap = 6 * len(pieces)
        self.first_amount = self.first_gap + len(self.gap_mm)
        self.count = self.first_amount + self.amounts.size

    def step(self, number: int) -> float:
        """Take one step; return the largest move of any piece (mm, and rad at 30 mm)."""
        bends = number >= _RIGID_STEPS
        equations = self._equations(_REACH_MM[min(number, len(_REACH_MM) - 1)], bends=bends)
        # A little friction: what nothing holds stays.
        held = np.tile([_ARM_MM**2] * 3 + [1.0] * 3, len(self.pieces))
        held *= 1e-3 * equations.left[np.arange(3, self.first_gap, 6), np.arange(3, self.first_gap, 6)].mean()
        equations.left[np.arange(self.first_gap), np.arange(self.first_gap)] += held
        known = np.arange(self.count if bends else self.first_amount)
        change = np.zeros(self.count)
        change[known] = np.linalg.solve(equations.left[np.ix_(known, known)], equations.right[known])
        moves = change[: self.first_gap].reshape(-1, 6)
        far = max(float(np.abs(moves[:, :3]).max()) * _ARM_MM, float(np.abs(moves[:, 3:]).max()))
        change *= min(1.0, _LONGEST_MM / max(far, 1e-12))
        moves = change[: self.first_gap].reshape(-1, 6)
        self.pieces = [
            replace(p, motion_ras=moved_by(p.motion_ras, c, m))
            for p, c, m in zip(self.pieces, self.centres, moves, strict=True)
        ]
        self.centres = [c + m[3:] for c, m in zip(self.centres, moves, strict=True)]
        self.gap_mm = self.gap_mm + change[self.first_gap : self.first_amount]
        self.amounts = self.amounts + change[self.first_amount :].reshape(-1, 3)
        return far

    def placed(self) -> list[Placed]:
        """Return every piece's place."""
        left = self._equations(_REACH_MM[-1], bends=True).left
        poses = self.first_gap
        left[np.arange(poses), np.arange(poses)] += np.tile([_FREE_RAD**-2] * 3 + [_FREE_MM**-2] * 3, len(self.pieces))
        spread = np.linalg.inv(left)[:poses, :poses]
        out = []
        for n, piece in enumerate(self.pieces):
            jacobian = np.zeros((6, poses))
            for k, sign in ((n, 1.0), (0, -1.0)):
                jacobian[:, 6 * k : 6 * k + 6] += sign * _motion_at(self.centres[n] - self.centres[k])
            out.append(Placed(piece.motion_ras, jacobian @ spread @ jacobian.T))
        return out

    def _equations(self, reach_mm: float, *, bends: bool) -> _Equations:
        """Return the equations at the present poses, distances counting up to so far."""
        equations = _Equations(np.zeros((self.count, self.count)), np.zeros(self.count))
        places = [p.placed() for p in self.pieces]
        depths = [self.whole.depth_mm(at) for at, _ in places]
        broken = [np.zeros(len(d), dtype=bool) for d in depths]
        for number, pair in enumerate(self.pairs):
            for n, k in (pair, pair[::-1]):
                broken[n] |= self._facing(equations, number, n, k, *places[n], depths[n], reach_mm)
        misses = []
        for n, (at, normals) in enumerate(places):
            near = np.flatnonzero((np.abs(depths[n]) < reach_mm) & ~broken[n])[::_THIN]
            limit_mm = _LIMIT_SHARE * reach_mm
            misses.append(self._natural(equations, n, at[near], normals[near], depths[n][near], limit_mm, bends=bends))
        off = np.abs(np.concatenate(misses))
        if not bends and len(off):
            self.side_mm = float(np.clip(1.4826 * np.median(off), *_SIDES_MM))
        # What is known without any surface: gaps are alike, and the sides differ by so much.
        common = len(self.pairs)
        for number in range(common):
            columns, row = self.first_gap + np.array([number, common]), np.array([[1.0, -1.0]])
            target = np.array([self.gap_mm[common] - self.gap_mm[number]])
            equations.add(columns, row, target, np.array([_GAP_SD_MM**-2]))
        columns, target = np.array([self.first_gap + common]), np.array([_USUAL_GAP_MM - self.gap_mm[common]])
        equations.add(columns, np.ones((1, 1)), target, np.array([_ANY_GAP_MM**-2]))
        rest = np.arange(self.first_amount, self.count)
        equations.left[rest, rest] += self.side_mm**-2
        equations.right[rest] -= self.side_mm**-2 * self.amounts.ravel()
        return equations

    def _natural(
        self,
        equations: _Equations,
        n: int,
        at: FloatArray,
        normals: FloatArray,
        depth: FloatArray,
        limit_mm: float,
        *,
        bends: bool,
    ) -> FloatArray:
        """Add a piece's natural surface, which lies on the whole bone's moved by what the sides differ; return its misfits."""
        outward, functions = self.whole.outward_ras(at), self.side.functions(at)
        miss = depth + np.einsum("ij,ij->i", functions @ self.amounts, outward)
        alike = np.einsum("ij,ij->i", outward, normals) > _ALIKE
        share = np.where(alike, np.maximum(1 - (miss / limit_mm) ** 2, 0.0) ** 2, 0.0)
        weight = share * (_THIN * self.pieces[n].point_mm2 / _NATURAL_MM2) / _NATURAL_MM**2
        columns = np.arange(6 * n, 6 * n + 6)
        rows = np.concatenate([np.cross(at - self.centres[n], outward), outward], axis=1)
        if bends:
            bent = (functions[:, :, None] * outward[:, None, :]).reshape(len(at), self.amounts.size)
            columns = np.concatenate([columns, np.arange(self.first_amount, self.count)])
            rows = np.concatenate([rows, -bent], axis=1)
        equations.add(columns, rows, miss, weight)
        return np.asarray(miss[share > 0.0])

    def _facing(
        self,
        equations: _Equations,
        pair: int,
        n: int,
        k: int,
        at: FloatArray,
        normals: FloatArray,
        depth: FloatArray,
        reach_mm: float,
    ) -> NDArray[np.bool_]:
        """Add the fracture surface of one piece that looks at another's, over the gap of the pair; return which points look."""
        away = self.pieces[k].distance_mm(at)
        looks = np.abs(away - self.gap_mm[pair]) < reach_mm
        outward = self.pieces[k].outward_ras(at[looks])
        faces = np.einsum("ij,ij->i", outward, normals[looks]) < _FACES
        looks[looks] = faces
        outward = outward[faces]
        # Nearer to the rim the one that is nearest may be natural surface.
        inner = depth[looks] > WITHIN_MM
        if inner.sum() < _LEAST_FACING:
            return looks
        at, outward = at[looks][inner], outward[inner]
        open_mm = away[looks][inner] - self.gap_mm[pair]
        # Surfaces that do not run beside each other never were one: the more their distance changes, the less it counts.
        spread = max(1.4826 * float(np.median(np.abs(open_mm - np.median(open_mm)))), _BROKEN_MM)
        limit = min(max(_TUKEY * 1.4826 * float(np.median(np.abs(open_mm))), _LEAST_LIMIT_MM), reach_mm)
        share = np.maximum(1 - (open_mm / limit) ** 2, 0.0) ** 2
        # Each pair is seen from both of its pieces.
        weight = 0.5 * share * (self.pieces[n].point_mm2 / _BROKEN_MM2) / spread**2
        turns = [np.cross(at - self.centres[n], outward), -np.cross(at - self.centres[k], outward)]
        rows = np.concatenate([turns[0], outward, turns[1], -outward, -np.ones((len(at), 1))], axis=1)
        columns = np.array([*range(6 * n, 6 * n + 6), *range(6 * k, 6 * k + 6), self.first_gap + pair])
        equations.add(columns, rows, -open_mm, weight)
        return looks


def _motion_at(arm: FloatArray) -> FloatArray:
    """Return what takes a small turn and shift to the turn, and the move of a point at so far from the turn's centre."""
    x, y, z = arm
    out = np.eye(6)
    out[3:, :3] = [[0.0, z, -y], [-z, 0.0, x], [y, -x, 0.0]]
    return out
