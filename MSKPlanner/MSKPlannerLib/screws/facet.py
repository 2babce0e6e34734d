"""What a pedicle screw does to the facet joint with the vertebra above it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from MSKFusionLib.distance_map import signed_distance_mm
from MSKFusionLib.frames import FloatArray, transform_points, unit, unit_rows
from MSKFusionLib.segmentation.labels import Segmentation

from ..plan import Screw

#: The articulation lies between two processes that are no farther apart than this; where the labels are nearer than this
#: share of a voxel it is their outermost voxels.
_GAP_MM, _TOUCHING_VOXELS = 3.5, 0.3
_OPPOSITE_COS = -0.6
#: It is looked for so far about the entry, and along the screw no farther than the articular processes reach.
_ABOUT_MM, _AHEAD_MM = 22.0, 20.0
#: Fewer voxels than this are no joint.
_LEAST_MM3 = 20.0
#: Bone of the articular process beside the articulation (grade 1); ours, the source draws no line.
_BESIDE_MM = 2.0
#: A screw that is in the articulation for more than its own diameter travels within it (grade 3); ours.
_TRAVELS_DIAMETERS = 1.0


@dataclass(frozen=True)
class FacetViolation:
    """The joint with the vertebra above and a screw.

    Parameters
    ----------
    grade
        ``0`` to ``3`` after Babu et al. 2012, Neurosurgery 71:962 (doi 10.1227/neu.0b013e31826a88c8): 0 not in the facet; 1 in
        the lateral facet but not in the articulation; 2 penetrates the articulation; 3 travels within it.
    distance_mm
        From the screw's surface to the articulation, negative within it.
    along_mm
        Length of the screw in the articulation.
    """

    grade: str
    distance_mm: float
    along_mm: float


def facet_joint_points(segmentation: Segmentation, level: str, above: str, near_ras: ArrayLike) -> FloatArray:
    """Return the voxels (N, 3), RAS mm, between the bones of two vertebrae near a place; none where no joint is there.

    They lie outside both labels (or on their border, where the labels touch), with the two bones on opposite sides, and
    their distances from both add up to 3.5 mm at most.
    """
    labels = segmentation.labels
    ijk = transform_points(labels.ras_to_ijk, np.asarray(near_ras, dtype=np.float64))
    room = (_ABOUT_MM + 4.0) / labels.spacing_mm
    if np.any(ijk + room < 0) or np.any(ijk - room > np.array(labels.shape_ijk) - 1):
        return np.zeros((0, 3))
    part = labels.cropped(np.floor(ijk - room), np.ceil(ijk + room) + 1)
    half = 0.5 * float(part.spacing_mm.mean())
    distances = []
    for name in (level, above):
        mask = part.voxels == segmentation[name].value
        if not mask.any():
            return np.zeros((0, 3))
        # 0 in the middle of the outermost voxels; the border is half a voxel farther out.
        distances.append(signed_distance_mm(mask, part.spacing_mm[::-1]) - half)
    a, b = distances
    between = (a > 0) & (b > 0) & (a + b <= _GAP_MM)
    where = between | ((np.minimum(a, b) >= -1.01 * half) & (a + b <= _TOUCHING_VOXELS * 2 * half))
    # Between the two, not beside them: beyond the joint's rim both bones lie on the same side.
    rises = [np.stack(np.gradient(d, *part.spacing_mm[::-1]), axis=-1)[where] for d in (a, b)]
    cos = (unit_rows(rises[0]) * unit_rows(rises[1])).sum(axis=-1)
    kji = np.argwhere(where)[cos < _OPPOSITE_COS]
    points = transform_points(part.ijk_to_ras, kji[:, ::-1])
    points = points[np.linalg.norm(points - np.asarray(near_ras), axis=1) <= _ABOUT_MM]
    return points if len(points) * part.voxel_mm3 >= _LEAST_MM3 else np.zeros((0, 3))


def facet_violation(
    joint_ras: FloatArray, entry_ras: ArrayLike, tip_ras: ArrayLike, diameter_mm: float, voxel_mm: float
) -> FacetViolation:
    """Grade a screw against the points (N, 3) of an articulation; without points it is 0.

    Parameters
    ----------
    voxel_mm
        Distance of the points from each other: the border of what they stand for lies half of it around them.
    """
    entry, tip = np.asarray(entry_ras, dtype=np.float64), np.asarray(tip_ras, dtype=np.float64)
    length, axis = float(np.linalg.norm(tip - entry)), unit(tip - entry)
    arm = joint_ras - entry
    along = arm @ axis
    counted = (along >= -0.5 * voxel_mm) & (along <= min(_AHEAD_MM, length))
    if not counted.any():
        return FacetViolation("0", float("inf"), 0.0)
    radial = np.linalg.norm(arm - along[:, None] * axis, axis=1)[counted] - diameter_mm / 2 - 0.5 * voxel_mm
    inside = radial < -0.5 * voxel_mm
    # How much of the screw's way has the articulation in it, step by step.
    steps = np.unique(np.floor(along[counted][inside] / voxel_mm))
    along_mm = float(len(steps) * voxel_mm)
    distance = float(radial.min())
    if not inside.any():
        return FacetViolation("1" if distance < _BESIDE_MM else "0", distance, 0.0)
    return FacetViolation("3" if along_mm > _TRAVELS_DIAMETERS * diameter_mm else "2", distance, along_mm)


def with_facet_joints(screws: Sequence[Screw], segmentation: Segmentation) -> list[Screw]:
    """Return pedicle screws with the grade of the joint above; none is said where the vertebra above is not labelled."""
    order = [s.name for s in segmentation.vertebrae]
    voxel = float(segmentation.labels.spacing_mm.mean())
    out = []
    for screw in screws:
        at = order.index(screw.level) if screw.level in order else 0
        if at == 0:
            out.append(screw)
            continue
        above = order[at - 1]
        joint = facet_joint_points(segmentation, screw.level, above, screw.entry_ras)
        if not len(joint):
            out.append(screw)
            continue
        found = facet_violation(joint, screw.entry_ras, screw.tip_ras, screw.diameter_mm, voxel)
        notes = screw.notes
        if found.grade in ("2", "3"):
            notes = (*notes, f"it runs into the facet joint with {above} over {found.along_mm:.0f} mm")
        out.append(replace(screw, facet_grade=found.grade, notes=notes))
    return out
