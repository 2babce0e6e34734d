"""Fragments beside each other: what their fracture surfaces say of where they belong.

Who is held by its own shape is put together first; a piece of a smooth shaft is then slid along where its shape leaves it free, to
where it lies in no neighbour and leaves least open. Then all are placed at once (`reduction_joint`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from MSKFusionLib.frames import FloatArray, invert_rigid, rigid, transform_points

from ..bone.depth_field import DepthField
from ..bone.mesh_depth import depth_of_mesh
from ..mesh import Mesh
from .reduction_fit import CLEARLY_MM, Fit, SurfaceSample, same_place, score
from .reduction_joint import FACING_MM, WITHIN_MM, Piece, Placed, placed_together

#: A fragment's field reaches a little farther than fracture surfaces look at each other.
_ROOM_MM = FACING_MM + 2.0
_STEP_MM = 1.5
_SLIDE_POINTS, _SLIDE_SEED = 1200, 3
#: The shape alone holds a fragment that is surer than this.
_FIRM_DEG, _FIRM_MM = 1.2, 0.5
_SLIDE_STEP_MM = 1.0
#: What a gap counts beside a misfit or an overlap of the same size, while sliding; gaps count up to a width.
_GAP_COUNTS, _WIDEST_MM = 0.05, 10.0


def put_together(
    fragments: Mapping[str, Mesh], fits: Mapping[str, Fit], whole: DepthField, main: str, farthest_mm: float
) -> dict[str, Placed]:
    """Return where the fragments lie in the whole bone, their fracture surfaces fitted to each other's.

    Parameters
    ----------
    fits
        Of each fragment by name, into the whole bone.
    farthest_mm
        How far a fragment may be slid.
    """
    samples = {n: SurfaceSample.of(m, _SLIDE_POINTS, _SLIDE_SEED) for n, m in fragments.items()}
    unknown = np.full((6, 6), np.inf)
    found = {n: Placed(fit.motion_ras, unknown) for n, fit in fits.items()}
    pieces = {n: Piece.of(m, depth_of_mesh(m, _STEP_MM, _ROOM_MM, n), fits[n].motion_ras) for n, m in fragments.items()}

    def place(names: Sequence[str]) -> None:
        placed = placed_together([pieces[n] for n in names], whole)
        found.update(zip(names, placed, strict=True))
        pieces.update({n: replace(pieces[n], motion_ras=p.motion_ras) for n, p in zip(names, placed, strict=True)})

    def slide(name: str, among: Sequence[str]) -> bool:
        """Slide a piece between others; return whether it moved."""
        was = pieces[name].motion_ras
        beside = [pieces[n] for n in among if n != name]
        slid = slid_between(samples[name], whole, was, fits[name].loosest_ras, beside, farthest_mm)
        pieces[name] = replace(pieces[name], motion_ras=slid)
        return slid is not was

    def has_rival(name: str) -> bool:
        """Put a piece where it fits about as well by itself, let all settle again, and see whether it still does."""
        own = _misplaced(samples[name], whole, pieces[name].motion_ras, [pieces[n] for n in held if n != name])
        rest = [n for n in held if n != name]
        for rival in fits[name].rivals_ras:
            if name == main or not fits[name].is_known:
                return True
            slid = slid_between(
                samples[name], whole, rival, fits[name].loosest_ras, [pieces[n] for n in rest], farthest_mm
            )
            trial = [replace(pieces[name], motion_ras=slid), *(pieces[n] for n in rest)]
            settled = [
                replace(p, motion_ras=q.motion_ras) for p, q in zip(trial, placed_together(trial, whole), strict=True)
            ]
            # To its neighbours: all of them may have moved a little.
            moved = pieces[rest[0]].motion_ras @ invert_rigid(settled[1].motion_ras) @ settled[0].motion_ras
            if same_place(moved, pieces[name].motion_ras, fragments[name].vertices_ras.mean(axis=0)):
                continue
            if _misplaced(samples[name], whole, settled[0].motion_ras, settled[1:]) < own + CLEARLY_MM:
                return True
        return False

    held = [main, *(n for n in fragments if n != main and _is_firm(fits[n]))]
    loose = [n for n in fragments if n not in held and fits[n].is_known]
    place(held)
    for name in sorted(loose, key=lambda n: fits[n].shift_sd_mm):
        slide(name, held)
        held.append(name)
    if loose:
        place(held)
    # Each was slid beside those alone that had been placed before it.
    if any([slide(name, held) for name in loose]):
        place(held)
    return {n: replace(p, has_rival=has_rival(n)) for n, p in found.items()}


def slid_between(
    sample: SurfaceSample,
    whole: DepthField,
    motion_ras: FloatArray,
    along_ras: FloatArray,
    neighbours: Sequence[Piece],
    farthest_mm: float,
) -> FloatArray:
    """Return the pose slid along a direction to where it fits the whole bone, lies in no neighbour and leaves least open."""
    shifts = np.arange(_SLIDE_STEP_MM, farthest_mm + 0.5 * _SLIDE_STEP_MM, _SLIDE_STEP_MM)
    # Small shifts first: of two that are as good the nearer one stays.
    moved = [rigid(translation=s * along_ras) @ motion_ras for shift in shifts for s in (shift, -shift)]
    return min([motion_ras, *moved], key=lambda motion: _misplaced(sample, whole, motion, neighbours))


def _is_firm(fit: Fit) -> bool:
    return fit.turn_sd_deg < _FIRM_DEG and fit.shift_sd_mm < _FIRM_MM


def _misplaced(sample: SurfaceSample, whole: DepthField, motion_ras: FloatArray, neighbours: Sequence[Piece]) -> float:
    """Return how badly a pose fits, in mm: misfit to the whole bone, depth in neighbours, and what is left open."""
    at = transform_points(motion_ras, sample.points_ras)
    if not neighbours:
        return score(sample, whole, motion_ras)
    away = np.min([n.distance_mm(at) for n in neighbours], axis=0)
    broken = whole.depth_mm(at) > WITHIN_MM
    gap_mm = float(np.clip(away[broken], 0.0, _WIDEST_MM).mean()) if broken.any() else 0.0
    return score(sample, whole, motion_ras) + float(np.maximum(-away, 0.0).mean()) + _GAP_COUNTS * gap_mm
