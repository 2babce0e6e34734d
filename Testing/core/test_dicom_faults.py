"""Every broken series is refused in one line that says what, where and how to mend it, and never who the patient is."""

import contextlib
import os
import shutil

import numpy as np
import pytest

from dicom_writer import PATIENT_ID, PATIENT_NAME, base_dataset, noise, save, straight_positions, write_series
from MSKFusionLib.dicom import list_series, read_series
from MSKFusionLib.errors import InputError
from MSKFusionLib.images import load_image


def refusal(folder, **keywords) -> str:
    with pytest.raises(InputError) as caught:
        load_image(folder, **keywords)
    text = str(caught.value)
    assert "\n" not in text
    assert str(folder) in text or repr(str(folder)) in text
    assert caught.value.way_out
    lowered = text.casefold()
    for secret in (*PATIENT_NAME.casefold().split("^"), PATIENT_ID.casefold()):
        assert secret not in lowered
    return text


def test_absent(tmp_path):
    assert "no such" in refusal(tmp_path / "nothing")
    with pytest.raises(InputError, match="no such"):
        list_series(tmp_path / "nothing")


@pytest.mark.parametrize("path", ["a\0b", "", " "])
def test_no_path(path):
    refusal(path)


def test_empty_folder(tmp_path):
    assert "empty" in refusal(tmp_path)


def test_not_dicom(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "looks.bin").write_bytes(b"\x08\x00\x05\x00" + os.urandom(400))
    assert "nothing here is a DICOM file" in refusal(tmp_path)


@pytest.mark.parametrize("missing", [1, 2, 3])
@pytest.mark.parametrize("count", [4, 20])
def test_missing_slices(tmp_path, count, missing):
    keep = [k for k in range(count + missing) if not 2 <= k < 2 + missing]
    write_series(tmp_path, noise(len(keep)), straight_positions(count + missing, 2.0)[keep], SliceThickness="2")
    text = refusal(tmp_path)
    assert f"{missing} slice{'s are' if missing > 1 else ' is'} missing between image 2 and image 3" in text
    assert "7.0 mm" in text  # the last slice before the hole lies at 5 + 1 * 2 mm


def test_missing_slice_of_overlapping_reconstruction(tmp_path):
    keep = [k for k in range(12) if k != 6]
    write_series(tmp_path, noise(11), straight_positions(12, 1.0)[keep], SliceThickness="2")
    assert "1 slice is missing" in refusal(tmp_path)


def test_missing_slice_of_a_tilted_gantry(tmp_path):
    keep = [0, 1, 2, 4, 5]
    positions = straight_positions(6, 3.0, normal=(0, 0.3, 1))[keep]
    write_series(tmp_path, noise(5), positions)
    assert "1 slice is missing" in refusal(tmp_path)


def test_every_second_slice_of_one_half_missing(tmp_path):
    keep = [0, 1, 2, 3, 4, 5, 6, 8, 10, 12]
    write_series(tmp_path, noise(10), straight_positions(13, 2.0)[keep], SliceThickness="2")
    assert "missing" in refusal(tmp_path)


def test_wide_gap(tmp_path):
    positions = straight_positions(10, 2.0)
    positions[5:, 2] += 31.3
    write_series(tmp_path, noise(10), positions)
    assert "a gap between image 5 and image 6" in refusal(tmp_path)


def test_missing_slice_whatever_thickness_is_written(tmp_path):
    for thickness in ("0.01", "99"):
        folder = tmp_path / thickness
        keep = [0, 1, 2, 4, 5, 6]
        write_series(folder, noise(6), straight_positions(7, 1.0)[keep], SliceThickness=thickness)
        assert "1 slice is missing" in refusal(folder)


@pytest.mark.parametrize("count", [1, 2])
def test_too_few(tmp_path, count):
    write_series(tmp_path, noise(count), straight_positions(count, 2.0))
    assert "at least 3" in refusal(tmp_path)


def test_several_images_in_one_place(tmp_path):
    write_series(tmp_path, noise(5), np.tile([[1.0, 2, 3]], (5, 1)))
    assert "5 images lie in one and the same place" in refusal(tmp_path)


def test_one_slice_twice_with_other_pixels(tmp_path):
    positions = straight_positions(6, 2.0)
    positions[5] = positions[2]
    write_series(tmp_path, noise(6), positions)
    assert "2 images lie in one and the same place" in refusal(tmp_path)


def test_duplicates_are_dropped_and_said(tmp_path):
    pixels, positions = noise(6), straight_positions(6, 2.0)
    paths = write_series(tmp_path, pixels, positions)
    shutil.copy(paths[2], tmp_path / "copy.dcm")  # the same file again
    volume = read_series(tmp_path)
    assert np.array_equal(volume.voxels, pixels)
    assert "1 duplicate slice " in volume.provenance.steps[0]
    write_series(tmp_path / "x", np.concatenate([pixels, pixels[1:3]]), np.concatenate([positions, positions[1:3]]))
    near = tmp_path / "near"  # scanned twice: the table is 0.02 mm off, which no slice would be
    write_series(near, np.concatenate([pixels, pixels]), np.concatenate([positions, positions + [0, 0, 0.02]]))
    assert "6 duplicate slices" in read_series(near).provenance.steps[0]
    volume = read_series(tmp_path / "x")  # exported again under other UIDs
    assert np.array_equal(volume.voxels, pixels)
    assert "2 duplicate slices" in volume.provenance.steps[0]


def test_mixed_orientation(tmp_path):
    positions = straight_positions(8, 2.0)
    write_series(
        tmp_path,
        noise(8, 10, 10),
        positions,
        each=lambda k: {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]} if k == 7 else {},
    )
    text = refusal(tmp_path)
    assert "2 different orientations (7 axial, 1 sagittal)" in text


def test_mixed_size(tmp_path):
    common = {"SeriesInstanceUID": "1.2.3.5"}
    write_series(tmp_path / "a", noise(4), straight_positions(4, 2.0), **common)
    write_series(tmp_path / "b", noise(2, 20, 20), straight_positions(2, 2.0, origin=(-20, -30, 13)), **common)
    assert "differ in size (4 of 10x12 pixels, 2 of 20x20 pixels)" in refusal(tmp_path)


def test_mixed_spacing(tmp_path):
    write_series(
        tmp_path,
        noise(6),
        straight_positions(6, 2.0),
        each=lambda k: {"PixelSpacing": ["0.9", "0.9"]} if k > 3 else {},
    )
    assert "differ in pixel spacing" in refusal(tmp_path)


def test_several_patients(tmp_path):
    write_series(tmp_path / "a", noise(4), straight_positions(4, 2.0))
    write_series(tmp_path / "b", noise(4), straight_positions(4, 2.0), PatientID="PID0815", PatientName="Other^One")
    text = refusal(tmp_path)
    assert "several patients" in text
    assert "0815" not in text
    with pytest.raises(InputError, match="several patients"):
        list_series(tmp_path)


def test_one_patient_spelled_twice(tmp_path):
    birth = {"PatientBirthDate": "19500101"}
    write_series(tmp_path / "a", noise(4), straight_positions(4, 2.0), **birth)
    write_series(tmp_path / "b", noise(4), straight_positions(4, 2.0), SeriesNumber=4, PatientName="G K", **birth)
    assert [i.key for i in list_series(tmp_path)] == ["3", "4"]


def test_one_patient_number_with_two_names_is_doubted(tmp_path):
    """Anonymised with one number for all: without a birth date nothing says that they are one person."""
    write_series(tmp_path / "a", noise(4), straight_positions(4, 2.0))
    write_series(tmp_path / "b", noise(4), straight_positions(4, 2.0), SeriesNumber=4, PatientName="Other^One")
    assert "several patients" in refusal(tmp_path)


def test_colour_is_refused(tmp_path):
    for k in range(4):
        ds = base_dataset(noise(1)[0].astype(np.uint8), "CT")
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
        ds.PixelData = bytes(12 * 10 * 3)
        ds.SeriesInstanceUID, ds.ImageOrientationPatient = "1.2.3", [1, 0, 0, 0, 1, 0]
        ds.PixelSpacing, ds.ImagePositionPatient = [1, 1], [0, 0, k]
        save(ds, tmp_path / f"{k}.dcm")
    assert "colour" in refusal(tmp_path)


def test_pictures_without_a_place_are_refused(tmp_path):
    write_series(
        tmp_path,
        noise(5),
        straight_positions(5, 2.0),
        each=lambda k: {"ImagePositionPatient": None, "ImageOrientationPatient": None},
    )
    assert "where in the patient" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"PixelSpacing": None}, "how large a pixel is"),
        ({"PixelSpacing": ["0", "0.5"]}, "not two positive numbers"),
        ({"ImageOrientationPatient": ["1", "0", "0", "0.5", "0.9", "0"]}, "not perpendicular"),
        ({"ImageOrientationPatient": ["0", "0", "0", "0", "0", "0"]}, "not perpendicular"),
    ],
)
def test_broken_geometry(tmp_path, tags, words):
    write_series(tmp_path, noise(5), straight_positions(5, 2.0), **tags)
    assert words in refusal(tmp_path)


def test_two_frames_of_reference(tmp_path):
    write_series(
        tmp_path,
        noise(8),
        straight_positions(8, 2.0),
        each=lambda k: {"FrameOfReferenceUID": f"1.2.{k // 4}"},
    )
    assert "frames of reference" in refusal(tmp_path)


def test_slices_beside_each_other(tmp_path):
    write_series(tmp_path, noise(5), straight_positions(5, 1.0, normal=(0, 20, 1)))
    assert "beside each other" in refusal(tmp_path)


@pytest.mark.parametrize("keep", [100, 140, 300, -60, -1])
def test_cut_short(tmp_path, keep):
    paths = write_series(tmp_path, noise(5), straight_positions(5, 2.0))
    content = paths[2].read_bytes()
    paths[2].write_bytes(content[:keep])
    text = refusal(tmp_path)
    assert "cut short" in text or "missing" in text


def test_missing_pixels(tmp_path):
    write_series(tmp_path, noise(5), straight_positions(5, 2.0), each=lambda k: {} if k != 1 else {"Rows": 99})
    assert "differ in size" in refusal(tmp_path)
    write_series(tmp_path / "x", noise(5), straight_positions(5, 2.0), Rows=99)
    assert "cut short" in refusal(tmp_path / "x")


def test_garbage_in_the_header(tmp_path):
    paths = write_series(tmp_path, noise(5), straight_positions(5, 2.0))
    rng = np.random.default_rng(1)
    for _ in range(12):
        content = bytearray(paths[0].read_bytes())
        at = int(rng.integers(132, 700))
        content[at : at + 40] = rng.bytes(40)
        (tmp_path / "im0003").write_bytes(content)
        with contextlib.suppress(InputError):
            load_image(tmp_path)


def test_dangling_link(tmp_path):
    write_series(tmp_path, noise(5), straight_positions(5, 2.0))
    (tmp_path / "im9999").symlink_to(tmp_path / "gone")
    assert "cannot be opened" in refusal(tmp_path)


def test_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "nothing here is a DICOM" in refusal(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_no_permission(tmp_path):
    paths = write_series(tmp_path, noise(5), straight_positions(5, 2.0))
    paths[0].chmod(0)
    assert "cannot be opened" in refusal(tmp_path)


def test_constant_image(tmp_path):
    write_series(tmp_path, noise(5) * 0, straight_positions(5, 2.0))
    assert "empty" in refusal(tmp_path)
