"""Fragments beside each other: what their fracture surfaces say of where they belong.

Who is held by its own shape is put first, with those alone beside it that are so too: one that is not would draw it along. A
piece of a smooth shaft is then slid along where its shape leaves it free, to where it lies in no neighbour, and all fracture
surfaces of a fragment are brought to one distance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from MSKFusionLib.frames import FloatArray, invert_rigid, rigid, transform_points

from ..bone.depth_field import DepthField
from ..bone.mesh_depth import depth_of_mesh
from ..mesh import Mesh
from .reduction_fit import Fit, SurfaceSample, moved_by, score, small_step, surface_weights

#: Fracture surfaces look at each other up to this distance; a fragment's field reaches a little farther.
_FACING_MM, _ROOM_MM = 5.0, 6.0
_STEP_MM = 1.5
_POINTS, _SEED = 1200, 3
#: Deeper than this in the whole bone lies no natural surface.
_WITHIN_MM = 2.0
#: The shape alone holds a fragment that is surer than this.
_FIRM_DEG, _FIRM_MM = 1.2, 0.5
#: After each fragment has its place in the whole bone, all are looked at together so many times.
_ROUNDS = 3
_SLIDE_STEP_MM = 1.0
#: What a gap counts beside a misfit or an overlap of the same size, while sliding.
_GAP_COUNTS = 0.05


@dataclass(frozen=True, eq=False)
class Neighbour:
    """A fragment's depth where it is, and its pose (4x4) in the whole bone."""

    field: DepthField
    motion_ras: FloatArray

    def away_mm(self, points_ras: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the distance (N,) of points from it, negative inside, and its outward normals (N, 3) nearest to them."""
        local = transform_points(invert_rigid(self.motion_ras), points_ras)
        return -self.field.depth_mm(local), self.field.outward_ras(local) @ self.motion_ras[:3, :3].T


def put_together(
    fragments: Mapping[str, Mesh], fits: Mapping[str, Fit], whole: DepthField, main: str, farthest_mm: float
) -> dict[str, Fit]:
    """Return the fits with the fracture surfaces of each fragment fitted to those of the others.

    Parameters
    ----------
    fits
        Of each fragment by name, into the whole bone; the main one's is kept.
    farthest_mm
        How far a fragment may be slid.
    """
    found = dict(fits)
    fields = {n: depth_of_mesh(m, _STEP_MM, _ROOM_MM, n) for n, m in fragments.items()}
    samples = {n: SurfaceSample.of(m, _POINTS, _SEED) for n, m in fragments.items()}

    def beside(name: str, among: Sequence[str]) -> list[Neighbour]:
        return [Neighbour(fields[n], found[n].motion_ras) for n in among if n != name]

    def settled(name: str, among: Sequence[str]) -> Fit:
        motion = refine_with_neighbours(samples[name], whole, found[name].motion_ras, beside(name, among))
        return replace(found[name], motion_ras=motion)

    placed = [n for n in fragments if n == main or _is_firm(found[n])]
    for _ in range(_ROUNDS):
        for name in placed:
            if name != main:
                found[name] = settled(name, placed)
    loose = [n for n in fragments if n not in placed and found[n].is_known]
    for name in sorted(loose, key=lambda n: found[n].shift_sd_mm):
        start, among = found[name], beside(name, placed)
        slid = slid_between(samples[name], whole, start.motion_ras, start.loosest_ras, among, farthest_mm)
        found[name] = replace(start, motion_ras=slid)
        placed.append(name)
    for _ in range(_ROUNDS):
        for name in loose:
            found[name] = settled(name, placed)
    return found


def slid_between(
    sample: SurfaceSample,
    whole: DepthField,
    motion_ras: FloatArray,
    along_ras: FloatArray,
    neighbours: Sequence[Neighbour],
    farthest_mm: float,
) -> FloatArray:
    """Return the pose slid along a direction to where it fits the whole bone, lies in no neighbour and leaves least open."""
    shifts = np.arange(0.0, farthest_mm + 0.5 * _SLIDE_STEP_MM, _SLIDE_STEP_MM)
    # Small shifts first: of two that are as good the nearer one stays.
    ways = [rigid(translation=s * along_ras) @ motion_ras for shift in shifts for s in (shift, -shift)]
    return min(ways, key=lambda motion: _misplaced(sample, whole, motion, neighbours))


def refine_with_neighbours(
    sample: SurfaceSample, whole: DepthField, start_ras: FloatArray, neighbours: Sequence[Neighbour], steps: int = 15
) -> FloatArray:
    """Return the pose that also brings fracture surfaces to face those of the neighbours, all at one distance.

    What lies within the whole bone and looks at a neighbour is a fracture surface. How much of both was worn away is not
    known: the mean over the neighbours of the middle distance to each is taken to be the gap all over, so that distances are
    only made even.
    """
    motion = start_ras
    for _ in range(steps):
        at = transform_points(motion, sample.points_ras)
        normal = sample.normals_ras @ motion[:3, :3].T
        depth, outward = whole.depth_mm(at), whole.outward_ras(at)
        facing = [_facing(at, normal, depth, n) for n in neighbours]
        facing = [f for f in facing if len(f[0])]
        gap_mm = float(np.mean([np.clip(np.median(away), 0.0, _FACING_MM) for _, away, _ in facing])) if facing else 0.0
        rows, targets, weights, places = (
            [outward],
            [depth],
            [surface_weights(depth, outward, normal, _WITHIN_MM)],
            [at],
        )
        for points, away, direction in facing:
            rows.append(direction)
            # A distance that is too large is lessened: against the neighbour's outward normal.
            targets.append(gap_mm - away)
            weights.append(0.5 * np.maximum(1 - ((away - gap_mm) / 3.0) ** 2, 0) ** 2)
            places.append(points)
        centre = at.mean(axis=0)
        arms = np.concatenate(places) - centre
        change = small_step(arms, np.concatenate(rows), np.concatenate(targets), np.concatenate(weights))
        motion = moved_by(motion, centre, change)
        if np.abs(change[3:]).max() < 0.003 and np.abs(change[:3]).max() < 1e-4:
            break
    return motion


def _is_firm(fit: Fit) -> bool:
    return fit.turn_sd_deg < _FIRM_DEG and fit.shift_sd_mm < _FIRM_MM


def _facing(
    points: FloatArray, normals: FloatArray, depth_mm: FloatArray, neighbour: Neighbour
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the points that look at a neighbour, their distances from it and its normals there; none where they are few."""
    away, outward = neighbour.away_mm(points)
    looks = np.einsum("ij,ij->i", outward, normals) < -0.7
    near = (depth_mm > _WITHIN_MM) & (np.abs(away) < _FACING_MM) & looks
    if near.sum() < 15:
        near[:] = False
    return points[near], away[near], outward[near]


def _misplaced(
    sample: SurfaceSample, whole: DepthField, motion_ras: FloatArray, neighbours: Sequence[Neighbour]
) -> float:
    """Return how badly a pose fits, in mm: misfit to the whole bone, depth in neighbours, and what is left open."""
    at = transform_points(motion_ras, sample.points_ras)
    if not neighbours:
        return score(sample, whole, motion_ras)
    away = np.min([n.away_mm(at)[0] for n in neighbours], axis=0)
    broken = whole.depth_mm(at) > _WITHIN_MM
    gap_mm = float(np.clip(away[broken], 0.0, 2 * _FACING_MM).mean()) if broken.any() else 0.0
    return score(sample, whole, motion_ras) + float(np.maximum(-away, 0.0).mean()) + _GAP_COUNTS * gap_mm
