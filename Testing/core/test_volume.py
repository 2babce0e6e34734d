"""A volume keeps every digit on its way to SimpleITK, to a file and back, and refuses what is no image."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import rigid, rotation_about, transform_points
from MSKFusionLib.images import load_image
from MSKFusionLib.volume import Modality, Volume, guess_modality, read_image, resample_to, write_image

KINDS = [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.float32, np.float64]


def make(seed=0, shape=(4, 5, 6), kind=np.int16):
    rng = np.random.default_rng(seed)
    voxels = rng.normal(0, 60, shape).astype(kind) if kind != np.uint8 else rng.integers(0, 255, shape).astype(kind)
    turn = rotation_about(rng.normal(size=3), float(rng.uniform(-180, 180)))
    return Volume(voxels, rng.uniform(-300, 300, 3), rng.uniform(0.2, 5, 3), turn)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), kind=st.sampled_from(KINDS))
def test_there_and_back_without_losing_a_bit(seed, kind):
    volume = make(seed, kind=kind)
    again = Volume.from_sitk(volume.to_sitk())
    assert np.array_equal(again.voxels, volume.voxels)
    assert again.voxels.dtype == volume.voxels.dtype
    for name in ("origin_ras", "spacing_mm", "directions_ras"):
        assert np.array_equal(getattr(again, name), getattr(volume, name)), name
    assert again.sha256() == volume.sha256()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_itk_puts_voxels_at_the_same_places(seed):
    volume = make(seed)
    image = volume.to_sitk()
    for ijk in ((0, 0, 0), (5, 4, 3), (2, 0, 1)):
        lps = np.array(image.TransformIndexToPhysicalPoint(ijk))
        np.testing.assert_allclose(transform_points(volume.ijk_to_ras, ijk), lps * [-1, -1, 1], atol=1e-9)
        assert image[ijk] == volume.voxels[ijk[::-1]]


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".nii.gz"])
def test_files(tmp_path, ending):
    volume = make(3)
    write_image(volume, tmp_path / f"image{ending}")
    again = read_image(tmp_path / f"image{ending}", Modality.MR)
    assert np.array_equal(again.voxels, volume.voxels)
    exact = 1e-4 if ending == ".nii.gz" else 1e-9  # NIfTI keeps its geometry in single precision
    np.testing.assert_allclose(again.ijk_to_ras, volume.ijk_to_ras, atol=exact)
    assert again.modality is Modality.MR
    assert [p.name for p in tmp_path.iterdir()] == [f"image{ending}"]


def test_booleans_and_foreign_byte_order_reach_itk():
    volume = make(1)
    assert np.array_equal(sitk.GetArrayFromImage(volume.with_voxels(volume.voxels > 0).to_sitk()), volume.voxels > 0)
    swapped = volume.with_voxels(volume.voxels.astype(">i2"))
    assert np.array_equal(sitk.GetArrayFromImage(swapped.to_sitk()), volume.voxels)
    assert swapped.sha256() == volume.sha256()


def test_hash_sees_voxels_and_geometry_and_not_the_sign_of_zero():
    a = make(1)
    assert a.sha256() == make(1).sha256()
    assert a.with_voxels(a.voxels + np.int16(1)).sha256() != a.sha256()
    moved = Volume(a.voxels, a.origin_ras + [0, 0, 1e-9], a.spacing_mm, a.directions_ras)
    assert moved.sha256() != a.sha256()
    zero, minus = (Volume(a.voxels, [z, 0, 0], [1, 1, 1], np.eye(3)) for z in (0.0, -0.0))
    assert zero.sha256() == minus.sha256()


def test_geometry():
    volume = make(2)
    np.testing.assert_allclose(volume.ijk_to_ras @ volume.ras_to_ijk, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(volume.centre_ras, volume.corners_ras().mean(0))
    np.testing.assert_allclose(volume.extent_mm, np.array([6, 5, 4]) * volume.spacing_mm)
    again = Volume.from_ijk_to_ras(volume.voxels, volume.ijk_to_ras)
    assert again.same_grid(volume)
    part = volume.cropped((1, 2, 1), (4, 99, 3))
    assert part.shape_ijk == (3, 3, 2)
    np.testing.assert_allclose(part.origin_ras, transform_points(volume.ijk_to_ras, (1, 2, 1)))
    assert np.array_equal(part.voxels, volume.voxels[1:3, 2:, 1:4])
    again = volume.within((slice(1, 3), slice(2, 5), slice(1, 4)))
    assert again.same_grid(part)
    assert np.array_equal(again.voxels, part.voxels)
    assert not part.same_grid(volume)


@pytest.mark.parametrize(
    "change",
    [
        {"voxels": np.zeros((4, 5), np.int16)},
        {"voxels": np.zeros((4, 0, 5), np.int16)},
        {"spacing_mm": [1, 0, 1]},
        {"spacing_mm": [1, -1, 1]},
        {"spacing_mm": [1, np.nan, 1]},
        {"origin_ras": [0, np.inf, 0]},
        {"directions_ras": np.array([[1, 0.3, 0], [0, 1, 0], [0, 0, 1.0]])},
        {"directions_ras": np.eye(2)},
    ],
    ids=lambda c: next(iter(c)),
)
def test_impossible_geometry_is_refused(change):
    values = {"voxels": np.zeros((4, 5, 6), np.int16), "origin_ras": [0, 0, 0], "spacing_mm": [1, 1, 1]}
    values = {**values, "directions_ras": np.eye(3), **change}
    with pytest.raises(GeometryError):
        Volume(**values)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_resampling_goes_the_way_its_name_says(seed):
    """A linear function of space read through `fixed_to_moving` has the value of the mapped point."""
    rng = np.random.default_rng(seed)
    gradient = rng.normal(size=3)
    k, j, i = np.mgrid[:30, :30, :30]
    moving = Volume(np.zeros((30, 30, 30)), rng.uniform(-9, 9, 3), [2, 2, 2], rotation_about([1, 1, 0], 20))
    points = transform_points(moving.ijk_to_ras, np.stack([i, j, k], -1))
    moving = moving.with_voxels(points @ gradient)
    to_moving = rigid(rotation_about(rng.normal(size=3), 10), rng.uniform(-3, 3, 3))
    centre = np.linalg.inv(to_moving) @ [*moving.centre_ras, 1]
    fixed = Volume(np.zeros((5, 4, 3)), centre[:3], [1, 1.5, 2], np.eye(3))
    out = resample_to(moving, fixed, to_moving)
    k, j, i = np.mgrid[:5, :4, :3]
    expected = transform_points(to_moving, transform_points(fixed.ijk_to_ras, np.stack([i, j, k], -1))) @ gradient
    np.testing.assert_allclose(out.voxels, expected, atol=1e-3)
    assert out.same_grid(fixed, 0.0)


def test_what_the_numbers_mean():
    rng = np.random.default_rng(0)
    assert guess_modality(rng.integers(-1000, 900, (9, 9, 9))) is Modality.CT
    assert guess_modality(rng.integers(0, 900, (9, 9, 9))) is Modality.MR


# ---------------------------------------------------------------------------------------------- hostile files


def refusal(path, **keywords):
    with pytest.raises(InputError) as caught:
        load_image(path, **keywords)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.way_out
    return str(caught.value)


def test_absent(tmp_path):
    assert "no such file" in refusal(tmp_path / "a.nrrd")


@pytest.mark.parametrize("name", ["a.nrrd", "a.nii.gz", "a.mha", "a.dcm", "a.png", "a"])
@pytest.mark.parametrize("content", [b"", b"this is no image", bytes(500)], ids=["empty", "text", "zeros"])
def test_no_image(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    refusal(tmp_path / name)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".nii.gz", ".nii", ".hdr", ".vtk", ".gipl"])
def test_cut_short(tmp_path, ending, packed):
    """ITK itself reads some of these without a word, with zeros or rubbish in the missing part."""
    path = tmp_path / f"a{ending}"
    sitk.WriteImage(make(1, (20, 30, 30)).to_sitk(), str(path), useCompression=packed)
    assert load_image(path).shape_ijk == (30, 30, 20)
    data = path.with_suffix(".img") if ending == ".hdr" else path
    content = data.read_bytes()
    for share in (0.5, 0.98):
        data.write_bytes(content[: int(len(content) * share)])
        refusal(path)


def test_nifti_with_rescaled_whole_numbers_is_not_called_short(tmp_path):
    path = tmp_path / "a.nii"
    sitk.WriteImage(make(1, (20, 30, 30)).to_sitk(), str(path))
    content = bytearray(path.read_bytes())
    content[112:116] = np.array([0.5], "<f4").tobytes()  # scl_slope: ITK gives floats, the file holds int16
    path.write_bytes(content)
    assert load_image(path).voxels.max() == make(1, (20, 30, 30)).voxels.max() * 0.5


def test_pictures_are_no_images(tmp_path):
    sitk.WriteImage(make(1).to_sitk(), str(tmp_path / "a.tif"))
    assert "where in the patient" in refusal(tmp_path / "a.tif")


def test_not_three_dimensions(tmp_path):
    for name, array, vector in (
        ("flat", np.zeros((5, 6), np.int16), False),
        ("moving", np.arange(625, dtype=np.int16).reshape(5, 5, 5, 5), False),
        ("colour", np.zeros((5, 5, 5, 3), np.uint8), True),
    ):
        sitk.WriteImage(sitk.GetImageFromArray(array, isVector=vector), str(tmp_path / f"{name}.nrrd"))
        assert "dimensions" in refusal(tmp_path / f"{name}.nrrd")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_no_numbers(tmp_path, value):
    volume = make(1, kind=np.float32)
    volume.voxels[1, 2, 3] = value
    write_image(volume, tmp_path / "a.nrrd")
    assert "1 voxels are not numbers" in refusal(tmp_path / "a.nrrd")


def test_empty_image(tmp_path):
    volume = make(1)
    write_image(volume.with_voxels(volume.voxels * 0), tmp_path / "a.nrrd")
    assert "the image is empty" in refusal(tmp_path / "a.nrrd")


def test_a_series_of_a_file(tmp_path):
    write_image(make(1), tmp_path / "a.nrrd")
    assert "only be chosen in a DICOM folder" in refusal(tmp_path / "a.nrrd", series="3")


def test_a_folder_without_dicom(tmp_path):
    write_image(make(1), tmp_path / "a.nrrd")
    assert "nothing here is a DICOM file" in refusal(tmp_path)


@pytest.mark.parametrize("spacing", [0.3125, 0.48828125, 0.5, 0.625, 0.7, 1.0, 1.0005, 2.5])
def test_the_hash_is_that_of_the_image_however_a_file_rounded_its_matrix(spacing):
    """Scenes and NRRD headers keep directions and spacing as one product: the last bits differ, the image does not."""
    turn = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    for directions in (np.eye(3), turn):
        hashes = {
            Volume(
                voxels, np.array([-125.5, 12.3455, 0.00005]) + off, np.full(3, spacing) * (1 + off), directions
            ).sha256()
            for off in (-1e-13, 0.0, 1e-13)
        }
        assert len(hashes) == 1
    near = Volume(voxels, np.zeros(3), np.full(3, spacing), np.eye(3))
    assert near.sha256() != Volume(voxels, np.full(3, 2e-4), np.full(3, spacing), np.eye(3)).sha256()
