"""Bones parted at joints and fractures, and named by shape and place; truth from geometry."""

import numpy as np
import pytest
from scipy import ndimage
from segbench.scores import match, surface_distance_mm

from MSKFusionLib.errors import InputError, ProcessingError
from MSKFusionLib.segmentation import Segment, Segmentation, name_bone, segment_bones_ct
from MSKFusionLib.segmentation.bone_names import pelvic_names, shapes
from MSKFusionLib.segmentation.other_bones import BoneInView, is_bone_only, other_bones
from MSKFusionLib.segmentation.pieces import split
from MSKFusionLib.volume import Modality, Volume


def _scan(solid, marrow_hu=200.0, cortex_hu=900.0, outside_hu=40.0, noise_hu=15.0):
    """A CT of 1 mm voxels of labelled bones: a cortex of 2 mm, marrow, tissue outside; what touches has a cortex too."""
    cortex = np.zeros(solid.shape, bool)
    for value in np.unique(solid[solid > 0]):
        own = solid == value
        cortex |= own & ~ndimage.binary_erosion(own, iterations=2)
    hu = np.where(solid > 0, np.where(cortex, cortex_hu, marrow_hu), outside_hu)
    hu = ndimage.gaussian_filter(hu, 0.7)
    return (hu + np.random.default_rng(0).normal(0, noise_hu, hu.shape)).astype(np.float32)


def _volume(voxels, modality=Modality.CT, spacing=1.0):
    return Volume(voxels, np.zeros(3), np.full(3, spacing), np.eye(3), modality)


def _best(truth, found):
    return {value: dice for value, (_, dice) in match(truth, found).items()}


def _broken_block():
    """A block broken across; the fragments are 3 mm apart but for an edge where they touch over 6 by 6 mm."""
    truth = np.zeros((40, 40, 70), np.uint8)
    truth[5:35, 5:35, 5:34] = 1
    truth[5:35, 5:35, 37:65] = 2
    truth[5:11, 5:11, 34:36] = 1
    truth[5:11, 5:11, 36:37] = 2
    return np.pad(truth, 10)


def test_fragments_that_touch_at_an_edge_are_two():
    truth = _broken_block()
    found = split(_scan(truth), truth > 0, 1.0)
    assert found.max() == 2
    assert min(_best(truth, found).values()) > 0.98


def test_a_ball_in_its_socket_is_a_bone_of_its_own():
    """A joint space of 3 mm that is bridged along two lines of 3 mm, as on voxels of its size."""
    z, y, x = np.mgrid[-30:31, -30:31, -30:41].astype(float)
    r = np.sqrt(x**2 + y**2 + z**2)
    truth = np.where(r < 16, 1, np.where((r > 19) & (r < 27) & (x < 4), 2, 0)).astype(np.uint8)
    gap = (r >= 16) & (r <= 19) & (x < 4)
    bridged = gap & ((np.abs(y) < 2) | (np.abs(z) < 2))
    hu = _scan(truth)
    hu[bridged] = 250.0
    found = split(hu, (truth > 0) | bridged, 1.0)
    assert found.max() == 2
    assert min(_best(truth, found).values()) > 0.93


@pytest.mark.parametrize("waist_mm", [5, 9])
def test_a_bone_that_narrows_slowly_stays_one(waist_mm):
    z, y, x = np.mgrid[-25:26, -25:26, -50:51].astype(float)
    radius = waist_mm + (22 - waist_mm) * (x / 50.0) ** 2
    truth = (np.hypot(y, z) < radius).astype(np.uint8)
    assert split(_scan(truth), truth > 0, 1.0).max() == 1


def test_a_thin_plate_between_two_thick_rims_stays_one():
    """As the wing of the ilium: 4 mm in the middle, 16 mm at its rims, without a step between."""
    _, y, x = np.mgrid[-30:31, -12:13, -40:41].astype(float)
    truth = (np.abs(y) < 2 + 6 * (np.abs(x) / 40.0) ** 2).astype(np.uint8)
    assert split(_scan(truth), truth > 0, 1.0).max() == 1


def _pelvis(femora=True, broken=False):
    """Boxes in the places of a sacrum, two hip bones and two femora, RAS, 2 mm."""
    labels = np.zeros((120, 60, 130), np.uint8)
    labels[60:110, 5:25, 50:80] = 1  # sacrum
    for n, (hip, femur) in enumerate(((slice(20, 47), slice(5, 22)), (slice(83, 110), slice(108, 125)))):
        labels[20:115, 5:50, hip] = 2 + n
        if femora:
            labels[0:45, 15:45, femur] = 4 + n
    if broken:
        labels[20:50, 30:50, 20:47] = 6
        labels[50:53, 30:50, 20:47] = 0
    return _volume(labels, Modality.LABEL, 2.0)


def test_names_of_a_pelvis_by_place():
    grid = _pelvis()
    assert pelvic_names(shapes(grid.voxels, grid)) == {
        1: "sacrum",
        2: "left hip bone",
        3: "right hip bone",
        4: "left femur",
        5: "right femur",
    }


def test_the_parts_of_a_broken_hip_bone_are_its_fragments():
    grid = _pelvis(femora=False, broken=True)
    names = pelvic_names(shapes(grid.voxels, grid))
    assert names[2] == "left hip bone, fragment 1"
    assert names[6] == "left hip bone, fragment 2"
    assert names[3] == "right hip bone"


def test_two_hip_bones_in_one_are_not_named():
    grid = _pelvis(femora=False)
    both = np.where(grid.voxels == 3, 2, grid.voxels)
    assert pelvic_names(shapes(both, grid)) == {}


def test_one_bone_alone_has_no_name():
    grid = _pelvis()
    alone = np.where(grid.voxels == 2, 2, 0).astype(np.uint8)
    assert pelvic_names(shapes(alone, grid)) == {}


def test_a_click_names_a_bone():
    labels = _volume(np.pad(np.full((6, 6, 6), 201, np.uint8), 3), Modality.LABEL)
    found = Segmentation(labels, (Segment(201, "bone 1"),))
    assert name_bone(found, "left talus", (5.0, 5.0, 5.0))["left talus"].value == 201
    with pytest.raises(InputError, match="lies in no bone"):
        name_bone(found, "left talus", (0.0, 0.0, 0.0))
    with pytest.raises(InputError, match="three finite"):
        name_bone(found, "left talus", (0.0, np.nan, 0.0))


def test_a_knee_shows_bones_without_a_spine():
    """Two shafts with a joint between them in soft tissue: found, filled, apart; and a table and a metal rod left out."""
    truth = np.zeros((110, 90, 90), np.uint8)
    z, y, x = np.mgrid[:110, :90, :90].astype(float)
    shaft = np.hypot(y - 45, x - 45)
    truth[(shaft < 14) & (z < 52) & (z > 6)] = 1
    truth[(shaft < 16) & (z > 57) & (z < 104)] = 2
    hu = _scan(truth, marrow_hu=-40.0, outside_hu=50.0)
    body = np.hypot(y - 45, x - 45) < 36
    hu[~body] = -1000.0
    hu[:, 88:, :] = 300.0  # table
    hu[:, 40:44, 70:74] = 3000.0  # rod in the soft tissue
    hu[body & (np.hypot(y - 45, x - 45) > 30) & (hu < 500)] = -100.0  # fat
    ct = _volume(hu)
    assert not is_bone_only(ct)
    found = segment_bones_ct(ct, spine_required=False)
    assert [s.kind for s in found.segments] == ["bone", "bone"]
    assert min(_best(truth, found.labels.voxels).values()) > 0.95
    with pytest.raises(ProcessingError, match="no spine"):
        segment_bones_ct(ct)


def test_no_bone_in_view():
    ct = _volume(np.random.default_rng(1).normal(30, 20, (40, 40, 40)).astype(np.float32), spacing=2.0)
    with pytest.raises(ProcessingError, match="no bone"):
        segment_bones_ct(ct, spine_required=False)


def test_a_ct_without_its_background_is_all_bone():
    truth = _broken_block()
    hu = np.where(truth > 0, _scan(truth), -1000.0).astype(np.float32)
    ct = _volume(hu)
    assert is_bone_only(ct)
    found = other_bones(ct, np.zeros(truth.shape, bool), BoneInView.of(ct, 1.0))
    assert np.array_equal(found > 0, truth > 0)
    assert min(_best(truth, found).values()) > 0.98


def test_the_scores_of_the_benchmark():
    a = np.zeros((30, 30, 30), bool)
    a[5:25, 5:25, 5:25] = True
    b = np.roll(a, 1, axis=2)
    # Two of six faces lie 1 mm off, four lie upon each other.
    assert surface_distance_mm(a, b, np.ones(3)) == pytest.approx(1 / 3, abs=0.06)
    assert surface_distance_mm(a, a, np.ones(3)) < 1e-6
    truth, found = a.astype(np.uint8) * 7, b.astype(np.uint8) * 3
    assert match(truth, found) == {7: (3, pytest.approx(0.95))}
