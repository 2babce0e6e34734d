"""What a needle has to keep away from on its way: structures and bones, as labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import FloatArray, transform_points
from MSKFusionLib.segmentation.labels import Segmentation

from ..screws.structures import margin_mm
from .request import PathRequest

#: A lesion lies in a bone that this share of its border touches.
_HELD_SHARE = 0.25


@dataclass(frozen=True, eq=False)
class Obstacles:
    """Bones and structures of a patient near a target, each as a label that distances are measured to.

    Parameters
    ----------
    margins_mm
        Room for every structure, by name.
    """

    segmentation: Segmentation | None
    margins_mm: Mapping[str, float]
    bones: tuple[str, ...]
    target_bone: str
    target_in: tuple[str, ...]

    def blocking_bones(self, rule: str) -> tuple[str, ...]:
        """Return the bones that may not be touched."""
        if rule == "through":
            return ()
        return tuple(b for b in self.bones if rule == "avoid" or b != self.target_bone)


def obstacles_of(segmentation: Segmentation | None, request: PathRequest) -> Obstacles:
    """Return what a path has to keep away from.

    Raises
    ------
    InputError
        When a structure that is asked for is not there, or the target lies in one that is to be avoided.
    """
    if segmentation is None:
        if request.avoid_mm:
            raise InputError("there are no structures to avoid without labels", "Give --bones.", where="path")
        return Obstacles(None, {}, (), "", ())
    names = [s.name for s in segmentation.segments]
    missing = [n for n in request.avoid_mm if n not in names]
    if missing:
        raise InputError(f"there is no segment '{missing[0]}'", f"There are: {', '.join(names)}.", where="path")
    labels = segmentation.labels
    ijk = np.rint(transform_points(labels.ras_to_ijk, np.array(request.target_ras))).astype(int)
    there = 0
    if np.all((ijk >= 0) & (ijk < labels.shape_ijk)):
        there = int(labels.voxels[ijk[2], ijk[1], ijk[0]])
    holding = tuple(s.name for s in segmentation.segments if s.value == there and there)
    margins = {s.name: m for s in segmentation.segments if (m := margin_mm(s.name, s.kind)) is not None}
    margins |= request.avoid_mm
    inside = [n for n in holding if n in margins]
    if inside:
        raise InputError(f"the target lies in {inside[0]}, which is to be avoided", "Move the target.", where="path")
    bones = tuple(s.name for s in segmentation.bones if s.name not in margins)
    target_bone = next((n for n in holding if n in bones), "")
    if not target_bone and holding:
        target_bone = _bone_round(segmentation, holding[0], bones)
    if request.bone == "avoid" and target_bone:
        raise InputError(
            f"the target lies in {target_bone}, and no bone may be touched", "Allow it: bone 'target'.", where="path"
        )
    return Obstacles(segmentation, margins, bones, target_bone, holding)


def _bone_round(segmentation: Segmentation, name: str, bones: tuple[str, ...]) -> str:
    """Return the bone that a structure lies in: the one that most of its border touches; empty where none does."""
    part = segmentation.around(name, 4.0)
    mask = part.voxels == segmentation[name].value
    shell = part.voxels[ndimage.binary_dilation(mask, iterations=2) & ~mask]
    shares = {b: float((shell == segmentation[b].value).mean()) for b in bones} if shell.size else {}
    best = max(shares, key=lambda b: shares[b], default="")
    return best if best and shares[best] >= _HELD_SHARE else ""


def labels_at(segmentation: Segmentation, points: FloatArray) -> NDArray[np.int_]:
    """Return the label at each point (..., 3) RAS; 0 outside the labels' grid."""
    labels = segmentation.labels
    ijk = np.rint(transform_points(labels.ras_to_ijk, points)).astype(int)
    inside = np.all((ijk >= 0) & (ijk < labels.shape_ijk), axis=-1)
    i, j, k = np.moveaxis(np.clip(ijk, 0, np.array(labels.shape_ijk) - 1), -1, 0)
    return np.asarray(np.where(inside, labels.voxels[k, j, i], 0))
