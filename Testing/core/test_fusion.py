"""Pictures of two registered images: what is where, in which colour, and that nothing is resampled twice or mirrored."""

import numpy as np
import pytest
import SimpleITK as sitk

from MSKFusionLib import fusion
from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import invert_rigid, rigid_about, rotation_about, transform_points
from MSKFusionLib.registration.expected_error import Refits
from MSKFusionLib.registration.result import RegistrationResult, Verdict
from MSKFusionLib.volume import Modality, Volume

#: A bone off the middle: to the right, in front and above; and how the MR lies against the CT.
BONE_RAS, BONE_MM = np.array([12.0, 18.0, 24.0]), 8.0
POSE = rigid_about((0, 0, 0), rotation_about((1, -1, 2), 25.0), (30.0, -12.0, 8.0))


def _volume(modality: Modality, size_kji, spacing, directions, centre, value) -> Volume:
    empty = Volume(np.zeros(size_kji, np.float32), (0, 0, 0), spacing, directions, modality, modality.value)
    volume = Volume(empty.voxels, np.asarray(centre) - empty.centre_ras, spacing, directions, modality, modality.value)
    k, j, i = np.meshgrid(*[np.arange(n) for n in size_kji], indexing="ij")
    return volume.with_voxels(value(transform_points(volume.ijk_to_ras, np.stack([i, j, k], -1))).astype(np.float32))


def _in_bone(points_ras) -> np.ndarray:
    return np.linalg.norm(points_ras - BONE_RAS, axis=-1) < BONE_MM


@pytest.fixture(scope="module")
def ct() -> Volume:
    return _volume(Modality.CT, (60, 50, 40), (2, 2, 2), np.eye(3), (0, 0, 0), lambda p: np.where(_in_bone(p), 700, 40))


@pytest.fixture(scope="module")
def mr() -> Volume:
    """Bone is dark; smaller than the CT and turned."""
    back = invert_rigid(POSE)
    centre = transform_points(POSE, np.array([5.0, 8.0, 10.0]))
    return _volume(
        Modality.MR, (30, 60, 60), (1, 1, 2), POSE[:3, :3], centre,
        lambda p: np.where(_in_bone(transform_points(back, p)), 5, 200),
    )  # fmt: skip


@pytest.fixture(scope="module")
def result() -> RegistrationResult:
    refits = Refits(POSE, (POSE, rigid_about((0, 0, 0), np.eye(3), (0.3, 0, 0)) @ POSE), POSE, 2.0)
    return RegistrationResult("test", POSE, Verdict.ACCEPTED, (), expected_error_mm=0.3, refits=refits)


def _fused(fixed, moving, result, centre=BONE_RAS, step_mm=1.0):
    planes = fusion.anatomical_planes(fixed, centre, step_mm)
    return planes, fusion.fused_slices(fixed, moving, result, planes)


def test_planes_are_seen_as_radiologists_do(ct: Volume):
    for plane in fusion.anatomical_planes(ct, BONE_RAS, 1.0):
        points = plane.points_ras()
        first, last = points[0, 0], points[-1, -1]
        if plane.name in ("axial", "coronal"):
            assert first[0] > last[0], "the patient's right is on the left"
        assert first[2] > last[2] if plane.name != "axial" else first[1] > last[1]
        normal = np.cross(plane.along_row_ras, plane.along_column_ras)
        np.testing.assert_allclose((points - BONE_RAS) @ normal, 0, atol=1e-9)


@pytest.mark.parametrize("swapped", [False, True])
def test_the_bone_is_in_both_images_at_its_place(ct: Volume, mr: Volume, result, swapped: bool):
    if swapped:
        back = RegistrationResult("test", invert_rigid(POSE), Verdict.ACCEPTED, ())
        planes, slices = _fused(mr, ct, back, transform_points(POSE, BONE_RAS))
    else:
        planes, slices = _fused(ct, mr, result)
    for plane, fused in zip(planes, slices, strict=True):
        points = plane.points_ras()
        depth = BONE_MM - np.linalg.norm(
            (transform_points(invert_rigid(POSE), points) if swapped else points) - BONE_RAS, axis=-1
        )
        both = fused.in_ct & fused.in_mr
        assert both.any()
        assert fused.ct[(depth > 2.5) & both].min() > 0.95
        assert fused.mr[(depth > 2.5) & both].max() < 0.05
        assert fused.ct[(depth < -2.5) & both].max() < 0.5
        assert fused.mr[(depth < -2.5) & both].min() > 0.9


def test_outside_an_image_the_other_is_shown(ct: Volume, mr: Volume, result):
    _, slices = _fused(ct, mr, result)
    for fused in slices:
        only_ct = fused.in_ct & ~fused.in_mr
        assert only_ct.any()
        expected = np.round(255 * fused.ct[only_ct])
        for picture in (fusion.blended(fused), fusion.checkerboard(fused)):
            np.testing.assert_allclose(picture[only_ct][:, 0], expected, atol=1)
        assert not fusion.bone_outlined(fused)[only_ct].any()


def test_tiles_alternate(ct: Volume, mr: Volume, result):
    _, slices = _fused(ct, mr, result)
    both = slices[0].in_ct & slices[0].in_mr
    picture = fusion.checkerboard(slices[0], tile_mm=10.0)[..., 0]
    is_mr = picture == np.round(255 * slices[0].mr).astype(np.uint8)
    is_ct = picture == np.round(255 * slices[0].ct).astype(np.uint8)
    assert (is_mr | is_ct)[both].all()
    assert 0.3 < is_mr[both].mean() < 0.7


def test_the_outline_runs_round_the_bone(ct: Volume, mr: Volume, result):
    planes, slices = _fused(ct, mr, result, step_mm=0.5)
    outlined = fusion.bone_outlined(slices[0])
    at = planes[0].points_ras()[(outlined[..., 2] > outlined[..., 0]) & slices[0].in_mr]
    assert len(at) > 20
    assert np.abs(np.linalg.norm(at - BONE_RAS, axis=1) - BONE_MM).max() < 1.5


def test_specks_of_marrow_get_no_outline_and_a_canal_does():
    """In a disc of bone: a hole of 3 mm, and one of 8 mm radius; beside it an island of 3 mm."""
    hu = np.full((200, 200), 50.0)
    rows, columns = np.mgrid[:200, :200] * 0.5

    def disc(row, column, radius):
        return np.hypot(rows - row, columns - column) < radius

    hu[disc(50, 50, 30)] = 600
    hu[disc(50, 65, 3)] = 50
    hu[disc(50, 40, 8)] = 50
    hu[disc(10, 10, 3)] = 600
    everywhere = np.ones(hu.shape, bool)
    outlined = fusion.bone_outlined(fusion.FusedSlice(0.5, hu * 0, hu * 0, hu, everywhere, everywhere))
    edge = outlined[..., 2] > 0
    assert edge[disc(50, 40, 10)].any()
    assert not edge[disc(50, 65, 5)].any()
    assert not edge[disc(10, 10, 5)].any()


def test_the_colour_volume_lies_on_the_fixed_grid(ct: Volume, mr: Volume, result):
    image = fusion.fused_volume(ct, mr, result)
    assert image.GetNumberOfComponentsPerPixel() == 3
    assert Volume.from_sitk(sitk.VectorIndexSelectionCast(image, 0)).same_grid(ct)
    i, j, k = np.rint(transform_points(ct.ras_to_ijk, BONE_RAS)).astype(int)
    red, green, blue = image[int(i), int(j), int(k)]
    assert red > green > blue, "bone is orange"


def test_error_colours_rise_and_stay_within_the_overlap(ct: Volume, mr: Volume, result):
    _, slices = _fused(ct, mr, result)
    error = np.broadcast_to(np.linspace(0, 2, slices[0].ct.shape[1]), slices[0].ct.shape)
    picture = fusion.with_error(slices[0], error, 2.0).astype(int)
    both = slices[0].in_ct & slices[0].in_mr
    assert np.all(picture[~both].max(axis=1) == picture[~both].min(axis=1)), "grey outside"
    row = int(np.argmax(both.sum(axis=1)))
    bright = picture[row][both[row]].sum(axis=1)
    assert bright[-1] > bright[0] + 150


def test_the_error_map_says_what_the_fits_differ_by(ct: Volume, result):
    errors = result.error_map(ct, step_mm=5.0)
    np.testing.assert_allclose(errors.voxels, np.hypot(0.3, 0.03 * 2.0), rtol=1e-5)
    low, high = ct.corners_ras().min(axis=0), ct.corners_ras().max(axis=0)
    assert np.all(errors.corners_ras().min(axis=0) <= low + 1e-6)
    assert np.all(errors.corners_ras().max(axis=0) >= high - 1e-6)
    rejected = RegistrationResult("test", POSE, Verdict.REJECTED, ("no",), refits=result.refits)
    assert rejected.error_map(ct) is None


def test_fits_turn_round_with_the_result(result):
    points = np.random.default_rng(0).normal(0, 40, (50, 3))
    there, back = result.refits, result.refits.inverted()
    np.testing.assert_allclose(back.error_mm(transform_points(POSE, points)), there.error_mm(points), rtol=1e-6)


def test_the_middle_of_the_overlap(ct: Volume, mr: Volume, result):
    centre = fusion.overlap_centre_ras(ct, mr, result)
    assert np.linalg.norm(centre - [5.0, 8.0, 10.0]) < 6.0
    far = RegistrationResult("test", rigid_about((0, 0, 0), np.eye(3), (900, 0, 0)), Verdict.REJECTED, ("far",))
    assert fusion.overlap_centre_ras(ct, mr, far) is None


def test_two_of_a_kind_are_refused(ct: Volume, result):
    with pytest.raises(InputError, match="one CT and one MR"):
        fusion.fused_slices(ct, ct, result, fusion.anatomical_planes(ct, (0, 0, 0)))


def test_of_two_mr_images_the_bright_part_of_the_fixed_one_is_coloured(mr: Volume):
    still = RegistrationResult("test", np.eye(4), Verdict.ACCEPTED, ())
    centre = mr.centre_ras
    (axial, *_) = fusion.fused_slices(mr, mr, still, fusion.anatomical_planes(mr, centre))
    np.testing.assert_allclose(axial.ct, axial.mr)
    coloured = np.ptp(fusion.in_colour(axial).astype(int), axis=-1) > 20
    assert (axial.ct[coloured] > 0.3).all()
    assert coloured[axial.ct > 0.9].all()
