"""The band about a bone's surface against the true surface of generated bones, and where there is nothing to see."""

from dataclasses import replace

import numpy as np
import pytest

from MSKFusionLib.errors import GeometryError
from MSKFusionLib.frames import transform_points
from MSKPlannerLib.bone.smooth_bone import SmoothBone, smooth_bone
from MSKPlannerLib.bone.surface_band import UNSEEN_MM, SurfaceBand, band_map
from MSKPlannerLib.screws.describe import _surface_note
from MSKPlannerLib.screws.safety import ScrewSafety


@pytest.fixture(scope="module")
def l4(small_patient):
    return smooth_bone(small_patient.labels, "L4", small_patient.ct)


def true_depth_mm(patient, level, points_ras):
    return patient.bone_depth_mm(level, points_ras)


def test_the_true_surface_lies_within_the_band_nine_times_out_of_ten(small_patient, l4):
    inside = []
    for level, bone in (("L4", l4), ("L5", smooth_bone(small_patient.labels, "L5", small_patient.ct))):
        some = np.random.default_rng(0).permutation(len(bone.band.points_ras))[:4000]
        missed_mm = np.abs(true_depth_mm(small_patient, level, bone.band.points_ras[some]))
        inside.append(missed_mm <= bone.band.half_width_mm[some])
    assert 0.85 <= np.concatenate(inside).mean() <= 0.95
    assert l4.band.usual_mm < 0.4
    assert l4.band.unseen_share < 0.1


def test_where_the_cortex_is_wiped_out_the_surface_is_not_sure(small_patient, l4):
    ct, middle = small_patient.ct, np.asarray(small_patient.vertebrae["L4"].frame_to_ras)[:3, 3]
    k, j, i = np.indices(ct.voxels.shape)
    places = transform_points(ct.ijk_to_ras, np.stack([i, j, k], axis=-1).reshape(-1, 3))
    # In the front third of the body there is nothing but tissue of one density.
    wiped = (places[:, 1] > middle[1] + 6.0).reshape(ct.voxels.shape)
    blank = ct.with_voxels(np.where(wiped, 150, ct.voxels).astype(ct.voxels.dtype))
    band = smooth_bone(small_patient.labels, "L4", blank).band
    front = band.points_ras[:, 1] > middle[1] + 9.0
    back = band.points_ras[:, 1] < middle[1] + 3.0
    assert band.seen[front].mean() < 0.02
    assert (band.half_width_mm[front] > UNSEEN_MM - 1e-6).mean() > 0.98
    assert band.seen[back].mean() > 0.9


def test_the_bone_inside_the_band_lies_within_the_one_outside_of_it(l4):
    inner, outer = l4.moved_by_band(-1.0), l4.moved_by_band(1.0)
    assert not ((inner.level > 0) & ~(l4.level > 0)).any()
    assert not ((l4.level > 0) & ~(outer.level > 0)).any()
    seen = l4.band.points_ras[l4.band.seen]
    width = l4.band.half_width_mm[l4.band.seen]
    # Beside the surface the field of the outer bone is deeper by the half width there.
    change = outer.field(0.5).depth_mm(seen) - l4.field(0.5).depth_mm(seen)
    assert np.median(change - width) == pytest.approx(0.0, abs=0.03)


def test_the_map_has_the_half_width_at_the_surface_and_nothing_far_from_it(small_patient, l4):
    found = band_map(small_patient.labels, {"L4": l4.band})
    distance = np.abs(true_depth_mm(small_patient, "L4", _voxels_ras(found, found.voxels > 0)))
    assert distance.max() < UNSEEN_MM + 1.5
    at = np.rint(transform_points(found.ras_to_ijk, l4.band.points_ras[:2000])).astype(int)
    values = found.voxels[at[:, 2], at[:, 1], at[:, 0]]
    assert (values > 0).mean() > 0.98
    assert np.median(values) == pytest.approx(l4.band.usual_mm, abs=0.05)


def test_soft_tissue_that_is_labelled_too_hides_no_cortex(small_patient, l4):
    segmentation = small_patient.labels
    bones = [s for s in segmentation.segments if s.kind in ("vertebra", "sacrum", "bone")]
    voxels = np.where(np.isin(segmentation.labels.voxels, [s.value for s in bones]), segmentation.labels.voxels, 0)
    alone = replace(segmentation, labels=segmentation.labels.with_voxels(voxels), segments=tuple(bones))
    assert len(bones) < len(segmentation.segments)
    assert np.array_equal(smooth_bone(alone, "L4", small_patient.ct).level, l4.level)


def test_without_a_ct_nothing_is_said(small_patient):
    bone = SmoothBone.of_mask(small_patient.labels.labels, small_patient.labels.mask("L4"))
    assert bone.band is None
    with pytest.raises(GeometryError, match="Give the CT"):
        bone.moved_by_band(-1.0)


def _voxels_ras(volume, mask):
    return transform_points(volume.ijk_to_ras, np.argwhere(mask)[:, ::-1].astype(float))


@pytest.mark.parametrize(
    ("width_mm", "seen", "breach_mm", "says"),
    [
        (0.2, True, 0.0, ""),
        (0.9, True, 0.0, "sure to 0.9 mm only"),
        (4.5, False, 0.0, "no cortex can be seen where the screw comes nearest"),
        (4.5, False, 1.0, ""),  # a breach is said already
    ],
)
def test_a_screw_beside_a_surface_that_is_not_sure_says_so(width_mm, seen, breach_mm, says):
    near, far = np.array([5.0, 0.0, 0.0]), np.array([-50.0, 0.0, 0.0])
    band = SurfaceBand(np.array([near, far]), np.array([width_mm, 0.1]), np.array([seen, True]))
    clearance_mm = -breach_mm if breach_mm else 0.6
    safety = ScrewSafety(clearance_mm, breach_mm, "medial" if breach_mm else "", "A", (4.4, 0.0, 0.0), 6.0)
    found = " ".join(_surface_note(band, safety))
    assert says in found
    assert bool(says) == bool(found)
    assert _surface_note(None, safety) == ()
