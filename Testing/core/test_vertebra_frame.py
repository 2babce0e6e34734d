"""The frame of a vertebra against shapes whose pose is known."""

from dataclasses import replace

import numpy as np
import pytest
from core.bone_shapes import capsule, moved, pose, schematic_vertebra, union, vertebra_segmentation

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import rotation_about
from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKFusionLib.volume import Modality, read_image
from MSKPlannerLib.anatomy.vertebra import spine_course_ras, vertebra_frame


def angle_deg(a, b):
    return np.degrees(np.arccos(np.clip(a @ b, -1, 1)))


def make(local_to_ras, rotation=None, left=8.0, right=8.0, spacing=(0.8, 0.8, 1.0)):
    shape = moved(schematic_vertebra(left, right), local_to_ras)
    return vertebra_segmentation(shape, local_to_ras[:3, 3], spacing, rotation)


@pytest.mark.parametrize(
    ("local_to_ras", "rotation"),
    [
        (pose(), None),
        (pose(yaw_deg=15, roll_deg=25, pitch_deg=-10), None),
        (pose(yaw_deg=-12, roll_deg=-20, pitch_deg=25), rotation_about([1, 1, 0], 30)),
        (pose(yaw_deg=5, pitch_deg=10), np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])),
    ],
    ids=["straight", "scoliosis", "lordosis, oblique grid", "permuted grid"],
)
def test_axes_centre_and_pedicles(local_to_ras, rotation):
    frame = vertebra_frame(make(local_to_ras, rotation), "L3")
    assert frame.verdict is Verdict.ACCEPTED
    for axis, true in zip(frame.axes_ras.T, local_to_ras[:3, :3].T, strict=True):
        assert angle_deg(axis, true) < 4.0
    assert np.linalg.det(frame.axes_ras) == pytest.approx(1.0)
    assert np.linalg.norm(frame.centre_ras - local_to_ras[:3, 3]) < 2.0
    assert frame.body_height_mm == pytest.approx(28, abs=1.5)
    assert frame.body_depth_mm == pytest.approx(34, abs=2.0)
    assert frame.body_width_mm == pytest.approx(46, abs=2.0)
    for side, sign in (("left", -1), ("right", 1)):
        pedicle = frame.pedicles[side]
        assert pedicle.width_mm == pytest.approx(8.0, abs=0.6)
        local = np.linalg.inv(local_to_ras) @ np.append(pedicle.centre_ras, 1)
        assert local[0] * sign == pytest.approx(15.0, abs=2.5)
        assert local[2] == pytest.approx(5.0, abs=1.5)
        assert (
            angle_deg(
                pedicle.axis_ras,
                local_to_ras[:3, :3] @ np.array([-sign * np.sin(np.radians(10)), np.cos(np.radians(10)), 0]),
            )
            < 12
        )


def test_pedicles_of_unequal_width_are_told_apart():
    frame = vertebra_frame(make(pose(roll_deg=8), left=5.0, right=9.0), "L3")
    assert frame.pedicles["left"].width_mm == pytest.approx(5.0, abs=0.5)
    assert frame.pedicles["right"].width_mm == pytest.approx(9.0, abs=0.6)
    # In RAS the patient's right is the side of greater R.
    assert frame.pedicles["right"].centre_ras[0] > frame.pedicles["left"].centre_ras[0]


def test_a_vertebra_cut_off_is_refused():
    whole = make(pose())
    k = int(np.argwhere(whole.mask("L3"))[:, 0].mean())
    cut = Segmentation(whole.labels.cropped((0, 0, k), whole.labels.shape_ijk), whole.segments)
    with pytest.raises(InputError, match="not wholly in view"):
        vertebra_frame(cut, "L3")
    marked = Segmentation(whole.labels, (replace(whole.segments[0], complete=False),))
    with pytest.raises(InputError, match="not wholly in view"):
        vertebra_frame(marked, "L3")


def test_a_body_without_an_arch_has_no_canal():
    whole = make(pose())
    keep = whole.labels.voxels.copy()
    j = int(np.floor((whole.labels.ras_to_ijk @ [12.0, -31.0 - 19, 240.0, 1])[1]))
    keep[:, :j, :] = 0
    with pytest.raises(GeometryError, match="no spinal canal"):
        vertebra_frame(Segmentation(whole.labels.with_voxels(keep), whole.segments), "L3")


def test_half_a_vertebra_is_doubted():
    whole = make(pose())
    keep = whole.labels.voxels.copy()
    i = int((whole.labels.ras_to_ijk @ [12.0 + 17, -31.0, 240.0, 1])[0])
    keep[:, :, i:] = 0
    j = int((whole.labels.ras_to_ijk @ [12.0, -31.0 - 17.0, 240.0, 1])[1])
    i = int((whole.labels.ras_to_ijk @ [12.0 + 4, -31.0, 240.0, 1])[0])
    keep[:, j:, i:] = 0
    try:
        frame = vertebra_frame(Segmentation(whole.labels.with_voxels(keep), whole.segments), "L3")
    except GeometryError:
        return
    assert frame.verdict is Verdict.REJECTED
    assert frame.reasons


def test_the_course_comes_from_the_neighbours():
    tilted = pose(roll_deg=25)
    one = make(tilted)
    voxels = one.labels.voxels.copy()
    up = tilted[:3, 2]
    for value, way in ((21, 42.0), (23, -42.0)):
        i, j, k = np.round(one.labels.ras_to_ijk @ np.append(tilted[:3, 3] + way * up, 1))[:3].astype(int)
        voxels[max(k - 4, 0) : k + 5, j - 30 : j + 5, i - 5 : i + 6] = value
    segments = (
        Segment(21, "L2", "vertebra", False),
        Segment(22, "L3", "vertebra"),
        Segment(23, "L4", "vertebra", False),
    )
    course = spine_course_ras(Segmentation(one.labels.with_voxels(voxels), segments), "L3")
    assert angle_deg(course, up) < 12
    assert angle_deg(spine_course_ras(one, "L3"), np.array([0, 0, 1.0])) < 1e-6


@pytest.mark.realdata
def test_a_real_vertebra_on_permuted_axes(real_data):
    """TPTBox L3 at 1.5 mm; the subregion labels say where arch and body are."""
    folder = real_data / "spine_ct"
    labels = read_image(folder / "tptbox_L3_sub-ct_seg-vert_label-22_msk.nii.gz", Modality.LABEL)
    parts = read_image(folder / "tptbox_L3_sub-ct_seg-subreg_label-22_msk.nii.gz", Modality.LABEL)
    segmentation = Segmentation(labels, (Segment(22, "L3", "vertebra"),))
    frame = vertebra_frame(segmentation, "L3")
    assert frame.verdict is Verdict.ACCEPTED

    def middle(*values):
        inside = np.isin(parts.voxels, values) & (labels.voxels == 22)
        ijk = np.argwhere(inside).mean(axis=0)[::-1]
        return frame.to_frame(parts.ijk_to_ras[:3, :3] @ ijk + parts.ijk_to_ras[:3, 3])

    assert np.linalg.norm(middle(49, 50)) < 4.0
    assert middle(42)[1] < -40
    assert abs(middle(42)[0]) < 4
    assert middle(43)[0] < -15
    assert middle(44)[0] > 15
    assert middle(45)[2] > middle(47)[2] + 15
    for side, sign in (("left", -1), ("right", 1)):
        assert 6 < frame.pedicles[side].width_mm < 12
        assert frame.to_frame(frame.pedicles[side].centre_ras)[0] * sign > 8


def test_in_a_small_body_thick_articular_pillars_are_not_taken_for_it():
    # As in the upper thoracic spine: a body of 17 mm depth and 16 mm height, pillars nearly as thick.
    def body(p):
        q = np.sqrt((p[..., 0] / 14) ** 2 + (p[..., 1] / 8.5) ** 2)
        return np.minimum((1 - q) * 8.5, 8 - np.abs(p[..., 2]))

    parts = [body, capsule((0, -32, -2), (0, -46, -10), 3.5)]
    for side in (-1, 1):
        parts.append(capsule((side * 11, -4, 3), (side * 14, -20, 3), 3.6))
        parts.append(capsule((side * 16, -24, -9), (side * 16, -24, 9), 7.0))
        parts.append(capsule((side * 13, -26, 0), (0, -32, -2), 3.6))
        parts.append(capsule((side * 15, -24, 2), (side * 30, -30, 4), 4.0))
    to_ras = pose(pitch_deg=8.0)
    bones = vertebra_segmentation(moved(union(*parts), to_ras), to_ras[:3, 3], name="T2")
    frame = vertebra_frame(bones, "T2")
    assert np.linalg.norm(frame.centre_ras - to_ras[:3, 3]) < 1.5
    assert np.degrees(np.arccos(np.clip(frame.superior_ras @ to_ras[:3, 2], -1, 1))) < 4
    assert set(frame.pedicles) == {"left", "right"}
    assert frame.pedicles["left"].width_mm == pytest.approx(7.2, abs=0.8)
