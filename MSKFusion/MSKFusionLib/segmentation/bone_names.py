"""Names of the large bones of pelvis and hip, by shape and place; what is not sure stays numbered.

A sacrum lies in the middle and reaches about as far to both sides; a hip bone lies beside it and reaches as high as its
middle; a femur lies lower and farther out than the hip bone of its side. What else lies beside the sacrum on a side and
near its hip bone is a fragment of it. One click of the user names the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..boxes import label_boxes, touches_border
from ..errors import InputError
from ..frames import FloatArray, transform_points
from ..volume import Volume
from .labels import VERTEBRA_VALUES, Segment, Segmentation
from .other_bones import shows_joints

METHOD = "dense bone parted at joints and fractures"
#: Label value of small bones together; the large ones and fragments follow.
OTHER_BONE_VALUE = 200
#: Smaller parts are named as fragments only.
_BONE_MM3 = 40e3
#: Hip bones lie so far to the sides of a sacrum's middle at least; its two halves differ by less than this share.
_MIDDLE_MM, _UNEVEN = 25.0, 0.35
#: No hip bone reaches farther over the middle.
_OVER_MM = 25.0
#: A fragment lies this near to the bone that it is broken off.
_FRAGMENT_MM = 30.0


@dataclass(frozen=True, eq=False)
class Shape:
    """What is looked at of a part: its label, volume, middle and the box around it (RAS mm)."""

    value: int
    mm3: float
    middle: FloatArray
    lower: FloatArray
    upper: FloatArray


def shapes(labels: NDArray[np.uint8], grid: Volume) -> list[Shape]:
    """Return the shape of every label (K, J, I on the grid of `grid`), in rising order of value."""
    out = []
    for value, box in label_boxes(labels).items():
        kji = np.argwhere(labels[box] == value) + [s.start for s in box]
        count = len(kji)
        points = transform_points(grid.ijk_to_ras, kji[:: max(1, count // 20000), ::-1])
        out.append(Shape(value, count * grid.voxel_mm3, points.mean(axis=0), points.min(axis=0), points.max(axis=0)))
    return out


def other_segments(
    others: NDArray[np.uint8], ct: Volume, spine: NDArray[np.uint8] | None, least_mm3: float
) -> tuple[NDArray[np.uint8], list[Segment]]:
    """Return a table from the numbers of bones to label values, and the segments.

    Parameters
    ----------
    others
        Numbered bones and fragments on the grid of `ct`.
    spine
        Labels with the sacrum, where one was found.
    least_mm3
        Smaller ones that have no name are one segment together.
    """
    found = shapes(others, ct)
    sacrum = None
    if spine is not None:
        own = np.where(spine == VERTEBRA_VALUES["S1"], spine, 0).astype(np.uint8)
        sacrum = next(iter(shapes(own, ct)), None)
    names = pelvic_names(found, sacrum) if shows_joints(ct) else {}
    boxes = label_boxes(others)
    table = np.zeros(256, dtype=np.uint8)
    segments: list[Segment] = []
    small = 0
    for n, shape in enumerate(found, 1):
        if shape.value not in names and shape.mm3 < least_mm3:
            table[shape.value], small = OTHER_BONE_VALUE, small + 1
            continue
        table[shape.value] = value = OTHER_BONE_VALUE + n
        whole = not touches_border(boxes[shape.value], others.shape)
        name = names.get(shape.value, f"bone {n}")
        # A bone that the image cuts may have its shape from where it is cut.
        confidence = (0.8 if whole else 0.6) if shape.value in names else 0.6
        kind = "sacrum" if name == "sacrum" else "bone"
        segments.append(Segment(value, "S1" if kind == "sacrum" else name, kind, whole, confidence, METHOD))
    if small:
        notes = ("ribs and other small bones",)
        segments.append(Segment(OTHER_BONE_VALUE, "other bone", "bone", False, 0.6, METHOD, notes))
    return table, segments


def pelvic_names(parts: list[Shape], sacrum: Shape | None = None) -> dict[int, str]:
    """Return names by label value of the parts that shape and place tell.

    Parameters
    ----------
    sacrum
        Where it is known already; it is not among `parts` then.
    """
    names: dict[int, str] = {}
    large = [p for p in parts if p.mm3 >= _BONE_MM3]
    if sacrum is None:
        sacrum = _sacrum(large)
        if sacrum is None:
            return names
        names[sacrum.value] = "sacrum"
    for side, sign in (("left", -1.0), ("right", 1.0)):
        own = [p for p in parts if p.value != sacrum.value and sign * (p.middle[0] - sacrum.middle[0]) > 0]
        # One that reaches far over to the other side is both hip bones, not parted at the symphysis.
        over = {p.value: -sign * ((p.lower if sign > 0 else p.upper)[0] - sacrum.middle[0]) for p in own}
        own = [p for p in own if over[p.value] < _OVER_MM]
        hips = [p for p in own if p.mm3 >= _BONE_MM3 and p.upper[2] > sacrum.middle[2] > p.lower[2]]
        if not hips:
            continue
        hip = max(hips, key=lambda p: p.mm3)
        femora = [
            p
            for p in own
            if p.mm3 >= _BONE_MM3
            and p is not hip
            and p.middle[2] < hip.middle[2]
            and p.upper[2] < sacrum.middle[2]
            and sign * (p.middle[0] - hip.middle[0]) > 0
        ]
        femur = max(femora, key=lambda p: p.mm3, default=None)
        if femur is not None:
            names[femur.value] = f"{side} femur"
        broken = [p for p in own if p is not hip and p is not femur and _beside(p, hip, femur, sign)]
        names[hip.value] = f"{side} hip bone" if not broken else f"{side} hip bone, fragment 1"
        for n, part in enumerate(sorted(broken, key=lambda p: -p.mm3), 2):
            names[part.value] = f"{side} hip bone, fragment {n}"
    return names


def _sacrum(large: list[Shape]) -> Shape | None:
    """Return the part in the middle of all, with others on both sides, that reaches as far to the left as to the right."""
    if len(large) < 3:
        return None
    middle = (min(p.lower[0] for p in large) + max(p.upper[0] for p in large)) / 2
    part = min(large, key=lambda p: abs(p.middle[0] - middle))
    others = [p.middle[0] - part.middle[0] for p in large if p is not part]
    left, right = part.middle[0] - part.lower[0], part.upper[0] - part.middle[0]
    uneven = abs(left - right) > _UNEVEN * (left + right)
    if uneven or max(others) < _MIDDLE_MM or min(others) > -_MIDDLE_MM:
        return None
    return part


def _beside(part: Shape, hip: Shape, femur: Shape | None, sign: float) -> bool:
    """Tell whether a part lies within or near the box of a hip bone, and not on the femur's side of it."""
    gap = np.maximum(np.maximum(hip.lower - part.upper, part.lower - hip.upper), 0)
    if float(np.linalg.norm(gap)) > _FRAGMENT_MM:
        return False
    if femur is not None:
        return bool(part.middle[2] > femur.upper[2] or sign * (part.middle[0] - femur.middle[0]) < 0)
    return True


def name_bone(segmentation: Segmentation, name: str, point_ras: ArrayLike) -> Segmentation:
    """Return the segmentation with the bone at a point (RAS mm) named by the user.

    Raises
    ------
    InputError
        When the point lies in no bone, or another segment has that name.
    """
    point = np.asarray(point_ras, dtype=float)
    if point.shape != (3,) or not np.all(np.isfinite(point)):
        raise InputError("the point is not three finite numbers", "Give x, y, z in RAS mm.")
    if not name.strip():
        raise InputError("the name is empty", "Give the bone's name.")
    labels = segmentation.labels
    ijk = np.round(transform_points(labels.ras_to_ijk, point)).astype(int)
    inside = bool(np.all((ijk >= 0) & (ijk < labels.shape_ijk)))
    value = int(labels.voxels[tuple(ijk[::-1])]) if inside else 0
    chosen = [s for s in segmentation.segments if s.value == value]
    if not chosen:
        raise InputError(
            f"the point ({', '.join(f'{c:.1f}' for c in point)} RAS mm) lies in no bone", "Click inside the bone."
        )
    if any(s.name == name and s is not chosen[0] for s in segmentation.segments):
        raise InputError(f"another segment is named '{name}'", "Give another name, or rename that one first.")
    named: Segment = replace(chosen[0], name=name.strip(), notes=(*chosen[0].notes, "named by the user"))
    return replace(segmentation, segments=tuple(named if s is chosen[0] else s for s in segmentation.segments))
