"""Surfaces of the bones about the screws of the sites, to be looked at: coarser than what is planned in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from MSKFusionLib.frames import transform_points
from MSKFusionLib.segmentation.labels import Segmentation

from ...anatomy.pelvic_bones import pelvic_bones
from ...bone.smooth_bone import depth_field_of_mask
from ...bone.surface import surface_of_depth
from ...mesh import Mesh
from ...plan import Screw
from .request import FREE

_STEP_MM = 1.5


def surfaces_of_sites(segmentation: Segmentation, screws: Sequence[Screw]) -> dict[str, Mesh]:
    """Return the surface of every bone that a screw runs in, and of the whole pelvis where one is in it; by segment name."""
    names: set[str] = set()
    if any(s.site != FREE for s in screws):
        names |= {name for group in pelvic_bones(segmentation).names.values() for name in group}
    labels = segmentation.labels
    by_value = {s.value: s.name for s in segmentation.bones}
    for screw in screws:
        along = np.linspace(0.0, 1.0, max(2, int(screw.length_mm)))[:, None]
        ijk = np.rint(
            transform_points(
                labels.ras_to_ijk, np.array(screw.entry_ras) * (1 - along) + np.array(screw.tip_ras) * along
            )
        ).astype(int)
        i, j, k = np.clip(ijk, 0, np.array(labels.shape_ijk) - 1).T
        names |= {by_value[int(v)] for v in np.unique(labels.voxels[k, j, i]) if int(v) in by_value}
    return {
        s.name: surface_of_depth(depth_field_of_mask(labels, segmentation.mask(s.name), step_mm=_STEP_MM))
        for s in segmentation.segments
        if s.name in names
    }
