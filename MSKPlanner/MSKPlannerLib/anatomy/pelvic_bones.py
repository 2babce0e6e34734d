"""Sacrum and hip bones of a segmentation under one set of names, whoever named them, fragments of a broken one together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk

from MSKFusionLib.segmentation.labels import Segmentation

from .pelvis import HIPS, SACRUM

#: How the bones are called elsewhere, in lower case: by our segmentation of CT, by TotalSegmentator, by hand.
_NAMES = {
    SACRUM: ("s1", "sacrum"),
    HIPS["left"]: ("hip_left", "left hip bone", "left hip", "hip bone left"),
    HIPS["right"]: ("hip_right", "right hip bone", "right hip", "hip bone right"),
}
_FRAGMENT = "fragment"
#: Smaller holes within a label are specks.
_HOLE_MM3 = 250.0


@dataclass(frozen=True, eq=False)
class PelvicBones:
    """A segmentation whose pelvis is `S1`, `hip_left` and `hip_right`, as far as it has them.

    Parameters
    ----------
    names
        What each of the three is called in the segmentation that was given; more than one where a bone is in fragments.
    """

    segmentation: Segmentation
    names: Mapping[str, tuple[str, ...]]

    def broken(self, bone: str) -> str:
        """Say that a bone is in fragments; empty where it is whole."""
        count = len(self.names.get(bone, ()))
        if count < 2:
            return ""
        words = {SACRUM: "sacrum", HIPS["left"]: "left hip bone", HIPS["right"]: "right hip bone"}[bone]
        return f"the {words} is in {count} fragments, which are taken together as they lie: nothing was reduced"

    def hole(self, bone: str) -> str:
        """Say that the label of a bone encloses empty voxels, which count as a wall for screws; empty where it does not."""
        if bone not in self.names:
            return ""
        return label_hole(self.segmentation, bone, self.names[bone][0])


def label_hole(segmentation: Segmentation, name: str, called: str = "") -> str:
    """Say that a segment encloses empty voxels, which count as a wall for screws; empty where it does not.

    Parameters
    ----------
    called
        What the segment is called where it comes from.
    """
    part = segmentation.around(name, 2.0)
    image = sitk.GetImageFromArray((part.voxels == segmentation[name].value).astype(np.uint8))
    filled = sitk.GetArrayViewFromImage(sitk.BinaryFillhole(image))
    mm3 = float(np.count_nonzero(filled) - np.count_nonzero(sitk.GetArrayViewFromImage(image))) * part.voxel_mm3
    if mm3 < _HOLE_MM3:
        return ""
    return f"the label of {called or name} has holes of {mm3 / 1000:.1f} cm3 inside, which count as no bone: fill them"


def pelvic_bones(segmentation: Segmentation) -> PelvicBones:
    """Return a segmentation with its pelvis named as the sites need it; every other segment stays as it is.

    Fragments (``left hip bone, fragment 2``) become one segment of their bone, with the gaps between them left open.
    """
    found: dict[str, list[str]] = {}
    for segment in segmentation.segments:
        words = segment.name.lower().replace(",", " ")
        whole = words.split(_FRAGMENT)[0].strip()
        for bone, known in _NAMES.items():
            if whole in known:
                found.setdefault(bone, []).append(segment.name)
    renamed = {names[0]: bone for bone, names in found.items()}
    dropped = {name for names in found.values() for name in names[1:]}
    voxels = segmentation.labels.voxels
    if dropped:
        table = np.arange(int(voxels.max()) + 1, dtype=voxels.dtype)
        for names in found.values():
            for name in names[1:]:
                table[segmentation[name].value] = segmentation[names[0]].value
        voxels = table[voxels]
    segments = tuple(
        replace(s, name=renamed.get(s.name, s.name)) for s in segmentation.segments if s.name not in dropped
    )
    joined = Segmentation(segmentation.labels.with_voxels(voxels), segments, segmentation.notes)
    return PelvicBones(joined, {bone: tuple(names) for bone, names in found.items()})
