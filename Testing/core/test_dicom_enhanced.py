"""Enhanced multi-frame CT and MR: functional groups, several stacks, echoes and time points in one file."""

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, RLELossless

from dicom_writer import decimals, noise, straight_positions, write_enhanced
from MSKFusionLib.dicom import list_series, read_series
from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import rotation_about, transform_points
from MSKFusionLib.images import load_image
from MSKFusionLib.volume import Modality


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless], ids=["le", "be", "rle"])
@pytest.mark.parametrize("shared", [True, False])
def test_oblique_frames_in_any_order(tmp_path, syntax, shared):
    turn = rotation_about((1, 2, 0.5), 40)
    pixels, origin = noise(9), np.array([12.0, -80, 33])
    order = np.random.default_rng(4).permutation(9)
    write_enhanced(
        tmp_path / "enhanced.dcm",
        pixels[order],
        straight_positions(9, 3.3, origin, turn[:, 2])[order],
        row=turn[:, 0],
        column=turn[:, 1],
        syntax=syntax,
        shared_geometry=shared,
    )
    for place in (tmp_path, tmp_path / "enhanced.dcm"):
        volume = load_image(place)
        assert np.array_equal(volume.voxels, pixels)
        assert volume.modality is Modality.MR
        np.testing.assert_allclose(volume.spacing_mm, [0.7, 0.8, 3.3], atol=1e-6)
        lps = origin + turn @ ([9 * 0.7, 11 * 0.8, 8 * 3.3])
        np.testing.assert_allclose(transform_points(volume.ijk_to_ras, [9, 11, 8]), lps * [-1, -1, 1], atol=1e-5)


def test_ct_values_of_each_frame(tmp_path):
    pixels = noise(5)

    def frame(k):
        return {"PixelValueTransformationSequence": {"RescaleSlope": str(1 + k % 2), "RescaleIntercept": str(-10 * k)}}

    write_enhanced(tmp_path / "a", pixels, straight_positions(5, 2.0), modality="CT", frame=frame)
    expected = np.array([p.astype(int) * (1 + k % 2) - 10 * k for k, p in enumerate(pixels)])
    assert np.array_equal(read_series(tmp_path).voxels, expected)


@pytest.mark.parametrize(
    ("name", "frame", "word"),
    [
        ("stack", lambda s: {"FrameContentSequence": {"StackID": str(s)}}, "stack 2"),
        ("echo", lambda s: {"MREchoSequence": {"EffectiveEchoTime": 30.0 * s}}, "echo time 60.0"),
        ("time", lambda s: {"FrameContentSequence": {"TemporalPositionIndex": s}}, "time point 2"),
        ("b", lambda s: {"MRDiffusionSequence": {"DiffusionBValue": 500.0 * s}}, "b-value 1000.0"),
    ],
)
def test_volumes_in_one_file(tmp_path, name, frame, word):
    pixels = noise(10)
    positions = np.tile(straight_positions(5, 2.0), (2, 1))
    write_enhanced(tmp_path / "a", pixels, positions, frame=lambda k: frame(k // 5 + 1))
    infos = list_series(tmp_path)
    assert [i.key for i in infos] == ["5.1", "5.2"]
    assert infos[1].part == word
    with pytest.raises(InputError, match="2 image series could be meant"):
        load_image(tmp_path)
    assert np.array_equal(load_image(tmp_path, series="5.2").voxels, pixels[5:])


def test_stacks_beside_each_other(tmp_path):
    """Two parallel stacks with a wide gap between: not a hole, since each says that it is a stack."""
    positions = np.concatenate([straight_positions(5, 2.0), straight_positions(5, 2.0, origin=(-20, -30, 70))])
    stacks = {"frame": lambda k: {"FrameContentSequence": {"StackID": str(k // 5 + 1)}}}
    write_enhanced(tmp_path / "a" / "x", noise(10), positions, **stacks)
    assert np.array_equal(load_image(tmp_path / "a", series="5.1").voxels, noise(10)[:5])
    write_enhanced(tmp_path / "b" / "x", noise(10), positions)
    with pytest.raises(InputError, match="a gap between"):
        load_image(tmp_path / "b")


def test_a_volume_a_file_in_one_series(tmp_path):
    for number in range(2):
        write_enhanced(
            tmp_path / f"{number}", noise(5, seed=number), straight_positions(5, 2.0), SeriesInstanceUID="1.2.3"
        )
    parts = list_series(tmp_path)
    assert [i.part for i in parts] == ["file 1", "file 2"]
    assert np.array_equal(load_image(tmp_path, series="5.1").voxels, noise(5, seed=0))


def test_missing_frame(tmp_path):
    write_enhanced(tmp_path / "a", noise(5), straight_positions(6, 2.0)[[0, 1, 2, 4, 5]])
    with pytest.raises(InputError, match="1 slice is missing"):
        load_image(tmp_path)


def test_tilted_frames(tmp_path):
    write_enhanced(tmp_path / "a", noise(5), straight_positions(5, 2.0, normal=(0, 0.3, 1)), modality="CT")
    assert "gantry tilt" in load_image(tmp_path).provenance.steps[0]


def test_promised_frames_are_missing(tmp_path):
    write_enhanced(tmp_path / "a", noise(5), straight_positions(5, 2.0), NumberOfFrames=7)
    with pytest.raises(InputError, match="promises 7 images and describes 5"):
        load_image(tmp_path)
    write_enhanced(tmp_path / "b" / "a", noise(5), straight_positions(7, 2.0), NumberOfFrames=7)
    with pytest.raises(InputError, match="cut short"):
        load_image(tmp_path / "b")


def test_frames_without_places(tmp_path):
    write_enhanced(tmp_path / "a", noise(5), straight_positions(5, 2.0))
    ds = pydicom.dcmread(tmp_path / "a")
    del ds.PerFrameFunctionalGroupsSequence, ds.SharedFunctionalGroupsSequence
    ds.ImagePositionPatient, ds.PixelSpacing = decimals([0, 0, 0]), decimals([1, 1])
    ds.ImageOrientationPatient = decimals([1, 0, 0, 0, 1, 0])
    ds.save_as(tmp_path / "a")
    with pytest.raises(InputError, match="without a position each"):
        load_image(tmp_path)
