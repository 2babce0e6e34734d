"""Real DICOM series, sound and broken, against what is known of them and against GDCM's own series reader."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import map_coordinates

from MSKFusionLib.dicom import list_series
from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import transform_points
from MSKFusionLib.images import load_image
from MSKFusionLib.volume import Modality

pytestmark = pytest.mark.realdata


def test_big_endian_oblique_knee_as_gdcm_reads_it(real_data):
    folder = real_data / "knee_mr" / "mese_t2_dicom_echo1"
    volume = load_image(folder)
    assert volume.modality is Modality.MR
    assert volume.provenance.steps == ()
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    oracle = reader.Execute()
    assert volume.shape_ijk == oracle.GetSize()
    n = np.array(oracle.GetSize()) - 1
    corners = [[a, b, c] for a in (0, n[0]) for b in (0, n[1]) for c in (0, n[2])]
    lps = np.array([oracle.TransformIndexToPhysicalPoint([int(x) for x in corner]) for corner in corners])
    # The same box in space, and at each corner of it the same voxel, whichever end either reader begins at.
    ijk = transform_points(volume.ras_to_ijk, lps * [-1, -1, 1])
    np.testing.assert_allclose(ijk, np.round(ijk), atol=2e-3)
    array = sitk.GetArrayFromImage(oracle)
    flips = [slice(None, None, -1) if round(ijk[0][axis]) else slice(None) for axis in (2, 1, 0)]
    assert np.array_equal(volume.voxels[tuple(flips)], array)


def test_tilted_gantry(real_data):
    volume = load_image(real_data / "dicom" / "d2n_ct_gantry_tilt_4slices")
    assert volume.modality is Modality.CT
    assert volume.provenance.steps == (
        "slices tilted by 14.0 degrees (gantry tilt): resampled on a straight grid with 4.85 mm between slices",
    )
    # They hold nothing but the noise of air, smoothed by interpolating twice; one false pixel would leave no correlation.
    assert_slices_agree(volume, real_data / "dicom" / "d2n_ct_gantry_tilt_4slices", 0.8)


def test_tilted_gantry_with_uneven_steps(real_data):
    """The scanner's own tag says 18.5 degrees; the head is symmetrical and smooth in the resampled volume."""
    volume = load_image(real_data / "dicom" / "ge_head_ct_tilt18.5_variable_spacing")
    text = " ".join(volume.provenance.steps)
    assert "tilted by 18.5 degrees" in text
    assert "uneven slice steps of 1.08 to 7.00 mm" in text
    assert volume.voxels.min() >= -1024
    assert_slices_agree(volume, real_data / "dicom" / "ge_head_ct_tilt18.5_variable_spacing", 0.97)


def assert_slices_agree(volume, folder, least):
    """Read each file alone with GDCM: at the physical points of its pixels the volume has about the same values."""
    voxels = volume.voxels.astype(float)
    for file in sorted(folder.iterdir()):
        slice_ = sitk.ReadImage(str(file))
        picture = np.clip(sitk.GetArrayFromImage(slice_)[0], -1000, 3000)[100:400:3, 100:400:3]
        i, j = np.meshgrid(np.arange(100, 400, 3), np.arange(100, 400, 3))
        start, a, b = (np.array(slice_.TransformIndexToPhysicalPoint(x)) for x in ((0, 0, 0), (1, 0, 0), (0, 1, 0)))
        lps = start + i[..., None] * (a - start) + j[..., None] * (b - start)
        ijk = transform_points(volume.ras_to_ijk, lps * [-1, -1, 1])
        found = map_coordinates(voxels, np.moveaxis(ijk[..., ::-1], -1, 0), order=1, mode="nearest")
        assert np.corrcoef(found.ravel(), picture.ravel())[0, 1] > least, file.name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("d2n_ct_missing_slice_4slices", "1 slice is missing between image 9 and image 10"),
        ("d2n_ct_tilt_and_missing_slice_4slices", "1 slice is missing between image 3 and image 5"),
        ("d2n_ct_not_a_volume_4slices", "4 images lie in one and the same place"),
        ("d2n_mr_mixed_orientation_4slices", "2 different orientations (2 axial, 2 sagittal)"),
    ],
)
def test_broken_series_are_refused(real_data, name, words):
    with pytest.raises(InputError) as caught:
        load_image(real_data / "dicom" / name)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folder_of_several_examinations(real_data):
    """All of them together belong to several people."""
    with pytest.raises(InputError, match="several patients"):
        list_series(real_data / "dicom")
