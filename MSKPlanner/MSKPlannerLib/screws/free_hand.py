"""A screw that a user placed in any bone: measured where it lies, in the bones that its axis runs through.

Nothing is searched for and nothing is corrected here: the screw is taken as it lies, as `evaluate` does in pedicles.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import FloatArray, transform_points, unit
from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.segmentation.labels import Segment, Segmentation

from ..bone.depth_field import DepthField
from ..bone.smooth_bone import BoneFields
from ..plan import Screw
from .beside import beside, with_structures
from .breach_risk import PlannedCylinder, breach_risk
from .error_budget import ErrorBudget
from .evaluate import checked_ends, gap_between_mm, ring_ends, within_image
from .options import ScrewOptions
from .safety import DepthFunction, assess_surface, path_density, screw_surface
from .sites.describe import breaches_by_wall
from .sites.plan_sites import with_free_way
from .sites.request import FREE
from .structures import StructureMaps

#: A bone counts as one that a screw runs in from so much of its axis on.
_LEAST_ALONG_MM = 2.0
_STEP_MM = 0.5
#: Between two bones that a screw runs through, a joint no wider than this counts as bone (as in `bone.joined`).
_JOINT_GAP_MM = 5.0
#: An entry may lie so far off the surface, and of the axis at least this share is in bone (as in `evaluate`).
_ENTRY_OFF_MM = 1.5
_LEAST_IN_BONE = 0.2
#: Grid of a bone's field: fine for a vertebra, coarser for a hip bone, so that it stays at some millions of points.
_MOST_NODES = 6e6
_STEPS_MM = (0.5, 1.0)
#: Maps of the structures at risk are made for boxes whose corners lie on such a grid, so that a drag does not make them anew.
_BOX_MM, _AROUND_MM = 20.0, 9.0


def bones_along(segmentation: Segmentation, entry_ras: ArrayLike, tip_ras: ArrayLike) -> tuple[Segment, ...]:
    """Return the bones that the line from entry to tip runs in for 2 mm or more, in the order in which it meets them.

    Parameters
    ----------
    entry_ras, tip_ras
        (3,), RAS mm.
    """
    entry, tip = np.asarray(entry_ras, dtype=np.float64), np.asarray(tip_ras, dtype=np.float64)
    steps = max(2, int(np.ceil(np.linalg.norm(tip - entry) / _STEP_MM)) + 1)
    labels = segmentation.labels
    points = entry + np.linspace(0.0, 1.0, steps)[:, None] * (tip - entry)
    ijk = np.rint(transform_points(labels.ras_to_ijk, points)).astype(int)
    i, j, k = ijk[np.all((ijk >= 0) & (ijk < labels.shape_ijk), axis=1)].T
    values, first, count = np.unique(labels.voxels[k, j, i], return_index=True, return_counts=True)
    met = {int(v): int(f) for v, f, n in zip(values, first, count, strict=True) if n * _STEP_MM >= _LEAST_ALONG_MM}
    found = [s for s in segmentation.bones if s.value in met]
    return tuple(sorted(found, key=lambda s: met[s.value]))


def evaluate_free(
    bones: BoneFields,
    entry_ras: ArrayLike,
    tip_ras: ArrayLike,
    diameter_mm: float,
    name: str,
    *,
    options: ScrewOptions | None = None,
    others: Sequence[Screw] = (),
    budget: ErrorBudget | None = None,
) -> Screw:
    """Measure a screw of the site ``free`` where it lies, and say what holds and what does not.

    Its level is the bone that it enters. Where it crosses from one bone to the next, a gap of up to 5 mm counts as joint;
    the clearance there is a lower bound.

    Parameters
    ----------
    entry_ras, tip_ras
        RAS mm.
    others
        The other screws of the plan, for the distance to the nearest.
    budget
        Also count the breach risk; None leaves it out.

    Returns
    -------
    Screw
        Marked as placed by hand, and not reviewed.

    Raises
    ------
    GeometryError
        When the points are no numbers or lie together.
    InputError
        When no screw has this size, or the line meets no bone.
    """
    wishes = options or ScrewOptions(error_budget="")
    entry, tip = checked_ends(name, entry_ras, tip_ras, diameter_mm)
    met = bones_along(bones.segmentation, entry, tip)
    if not met:
        raise InputError("the line from entry to tip meets no bone", "Place it in a bone.", where=name)
    names = [s.name for s in met]
    depth = _depth_in(bones, names)
    surface = screw_surface(depth, entry, tip, float(diameter_mm))
    safety = assess_surface(surface)
    side = next((way for way in ("left", "right") if names[0].startswith(f"{way} ")), "")
    breaches = breaches_by_wall(surface, np.eye(3), side)
    way = max(breaches, key=lambda d: breaches[d]) if breaches else ""
    ends = ring_ends(entry, tip, diameter_mm)
    in_image = within_image(bones.segmentation.labels, ends)
    density = path_density(bones.ct, entry, tip, diameter_mm) if bones.ct is not None and in_image else None
    reasons = [] if in_image else ["it reaches beyond the image: what is there is not known"]
    reasons += _misplaced(depth, entry, tip, names)
    notes = [f"placed by hand in {' and '.join(names)}; no site's rules apply to it"]
    if len(names) > 1:
        notes.append(
            f"between the bones up to {_JOINT_GAP_MM:g} mm count as joint; the clearance there is a lower bound"
        )
    if safety.breach_mm > 0:
        reasons.append(f"the screw leaves the bone by {safety.breach_mm:.1f} mm {way}".rstrip())
    elif safety.clearance_mm < wishes.minimum_clearance_mm:
        reasons.append(
            f"only {safety.clearance_mm:.1f} mm of bone round it, less than the least of {wishes.minimum_clearance_mm:g} mm"
        )
    screw = Screw(
        name=name,
        site=FREE,
        level=names[0],
        side=side,
        entry_ras=(float(entry[0]), float(entry[1]), float(entry[2])),
        tip_ras=(float(tip[0]), float(tip[1]), float(tip[2])),
        diameter_mm=float(diameter_mm),
        length_mm=float(np.linalg.norm(tip - entry)),
        clearance_mm=safety.clearance_mm,
        grade=safety.grade,
        breach_mm=safety.breach_mm,
        breach_direction=way,
        breaches_mm=breaches,
        hu_mean=None if density is None else density.hu_mean,
        hu_min=None if density is None else density.hu_min,
        risk=None if budget is None else breach_risk(depth, PlannedCylinder(entry, tip, float(diameter_mm)), budget),
        by_hand=True,
        verdict=Verdict.REJECTED if reasons else Verdict.ACCEPTED,
        reasons=tuple(reasons),
        notes=tuple(notes),
    )
    screw = with_free_way(screw, bones.segmentation)
    screw = beside(screw, {o.name: gap_between_mm(screw, o) for o in others if o.name != name})
    return with_structures(screw, _structures(bones, entry, tip)) if in_image else screw


def depth_in_bone_mm(bones: BoneFields, name: str, points_ras: FloatArray) -> FloatArray:
    """Return the depth (N,) in one bone, mm, positive inside, of RAS points (N, 3)."""
    return _field(bones, name).depth_mm(points_ras)


def _misplaced(depth: DepthFunction, entry: FloatArray, tip: FloatArray, names: Sequence[str]) -> list[str]:
    length = float(np.linalg.norm(tip - entry))
    along = np.asarray(depth(entry + np.arange(0.0, length, _STEP_MM)[:, None] * unit(tip - entry)))
    if (along > 0).mean() < _LEAST_IN_BONE:
        return [f"it hardly meets the bone of {names[0]}: {100 * (along > 0).mean():.0f} % of its axis lie in it"]
    if along[0] < -_ENTRY_OFF_MM:
        return [f"the entry lies {-float(along[0]):.1f} mm off the bone"]
    return []


def _depth_in(bones: BoneFields, names: Sequence[str]) -> DepthFunction:
    fields = [_field(bones, name) for name in names]

    def depth_mm(points_ras: FloatArray) -> FloatArray:
        found = [f.depth_mm(points_ras) for f in fields]
        out = np.max(found, axis=0)
        for one, other in itertools.pairwise(found):
            out = np.maximum(out, 0.5 * (_JOINT_GAP_MM + np.minimum(one, 0.0) + np.minimum(other, 0.0)))
        return np.asarray(out)

    return depth_mm


def _field(bones: BoneFields, name: str) -> DepthField:
    def make() -> DepthField:
        smooth = bones.smooth(name)
        volume_mm3 = float(np.prod(np.array(smooth.level.shape[::-1]) * smooth.spacing_mm))
        return smooth.field(float(np.clip(np.cbrt(volume_mm3 / _MOST_NODES), *_STEPS_MM)))

    return bones.kept(("free", name), make)


def _structures(bones: BoneFields, entry: FloatArray, tip: FloatArray) -> StructureMaps:
    ends = np.array([entry, tip])
    low = np.floor((ends.min(axis=0) - _AROUND_MM) / _BOX_MM) * _BOX_MM
    high = np.ceil((ends.max(axis=0) + _AROUND_MM) / _BOX_MM) * _BOX_MM
    key = ("structures", " ".join(f"{v:.0f}" for v in (*low, *high)))
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * (high - low) + low
    return bones.kept(key, lambda: StructureMaps.around(bones.segmentation, corners))
