"""Every transfer syntax gives the same voxels; values are what the header says they stand for."""

import base64
import subprocess
import sys

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RLELossless,
)

from dicom_writer import base_dataset, noise, save, straight_positions, write_series
from MSKFusionLib.dicom import read_series
from MSKFusionLib.errors import InputError
from MSKFusionLib.volume import Modality

SYNTAXES = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
    JPEGLosslessSV1,
    JPEG2000Lossless,
]


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda s: s.name.replace(" ", "_")[:24])
@pytest.mark.parametrize("kind", [np.int16, np.uint16, np.uint8])
def test_syntaxes(tmp_path, syntax, kind):
    pixels = np.random.default_rng(2).integers(0, 250, (4, 24, 18)).astype(kind)
    if kind != np.uint8:
        pixels = (pixels * 17 - (1000 if kind == np.int16 else 0)).astype(kind)
    write_series(tmp_path, pixels, straight_positions(4, 2.0), syntax=syntax, RescaleIntercept="-50")
    assert np.array_equal(read_series(tmp_path).voxels, pixels.astype(int) - 50)


@pytest.mark.parametrize(
    "file",
    ["implicit", "bigendian", "RLE", "jp2klossless", "jpeg_ls_lossless"],
)
def test_files_written_by_others(tmp_path, file):
    """pydicom's own test pictures: one MR slice in several syntaxes (by GDCM and others)."""
    reference = pydicom.dcmread(get_testdata_file("MR_small.dcm", download=False)).pixel_array
    source = pydicom.dcmread(get_testdata_file(f"MR_small_{file}.dcm", download=False))
    for k in range(3):
        source.SOPInstanceUID = source.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{k}"
        source.ImagePositionPatient = [0, 0, 4 * k]
        source.save_as(tmp_path / f"{k}.dcm")
    volume = read_series(tmp_path)
    assert np.array_equal(volume.voxels, np.stack([reference] * 3))


def test_hash_is_that_of_the_picture_not_of_its_syntax(tmp_path):
    hashes = set()
    for syntax in SYNTAXES:
        folder = tmp_path / syntax.replace(".", "_")
        write_series(folder, noise(3, 16, 16), straight_positions(3, 2.0), syntax=syntax)
        hashes.add(read_series(folder).provenance.sha256)
    assert len(hashes) == 1


#: A grey ramp 5 * row + 4 * column (24 x 32) as a baseline JPEG of quality 95, written by libjpeg.
RAMP = (
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAIBAQEBAQIBAQECAgICAgQDAgICAgUEBAMEBgUGBgYFBgYGBwkIBgcJBwYGCAsICQoKCgoKBggLDAsK"
    "DAkKCgr/wAALCAAYACABAREA/8QAFQABAQAAAAAAAAAAAAAAAAAACAn/xAAZEAABBQAAAAAAAAAAAAAAAAAHACQzQVH/2gAIAQEAAD8Aj6NhJG1y"
    "kgBsJI2uUkANhJG1ykgBsJI2uUg+NhJG1ykgBsJI2uUkANhJG1ykgBsJI2uUg+NhJG1ykgBsJI2uUkANhJG1ykgBsJI2uUv/2Q=="
)


def test_baseline_jpeg(tmp_path):
    ramp = np.add.outer(np.arange(24) * 5, np.arange(32) * 4).astype(np.uint8)
    for k in range(3):
        ds = base_dataset(ramp)
        ds.SeriesInstanceUID, ds.ImageOrientationPatient = "1.2.3", [1, 0, 0, 0, 1, 0]
        ds.PixelSpacing, ds.ImagePositionPatient = [1, 1], [0, 0, k]
        save(ds, tmp_path / "x")
        ds = pydicom.dcmread(tmp_path / "x")
        ds.PixelData = encapsulate([base64.b64decode(RAMP)])
        ds["PixelData"].VR = "OB"
        ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        ds.save_as(tmp_path / f"{k}.dcm")
    (tmp_path / "x").unlink()
    volume = read_series(tmp_path)
    assert np.abs(volume.voxels - ramp.astype(int)).max() <= 1
    assert volume.provenance.steps == ("the images had been compressed with loss",)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLosslessSV1, JPEG2000Lossless], ids=lambda s: s.name[:12])
def test_a_compressed_picture_cut_short_is_refused(tmp_path, syntax):
    paths = write_series(tmp_path, noise(4, 64, 64), straight_positions(4, 2.0), syntax=syntax)
    ds = pydicom.dcmread(paths[1])
    frame = pydicom.encaps.get_frame(ds.PixelData, 0, number_of_frames=1)
    ds.PixelData = encapsulate([frame[: len(frame) // 2]])
    ds.save_as(paths[1])
    with pytest.raises(InputError, match="cut short, damaged"):
        read_series(tmp_path)


def test_other_decoders_are_not_asked(tmp_path):
    """pylibjpeg and Pillow may lie in the environment; an image must read the same without them."""
    write_series(tmp_path, noise(3, 16, 16), straight_positions(3, 2.0), syntax=JPEGLosslessSV1)
    code = (
        "import sys\n"
        "for name in ('pylibjpeg', 'libjpeg', 'openjpeg', 'PIL', 'gdcm', 'jpeg_ls'): sys.modules[name] = None\n"
        "from MSKFusionLib.dicom import read_series\n"
        "print(read_series(sys.argv[1]).sha256())"
    )
    out = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == read_series(tmp_path).sha256()


def test_slope_and_intercept_of_each_slice(tmp_path):
    pixels = noise(4)
    each = [(1, 0), (2, -10), (3, 5), (1, 100)]
    write_series(
        tmp_path,
        pixels,
        straight_positions(4, 2.0),
        each=lambda k: {"RescaleSlope": str(each[k][0]), "RescaleIntercept": str(each[k][1])},
    )
    volume = read_series(tmp_path)
    expected = np.array([p.astype(int) * s + i for p, (s, i) in zip(pixels, each, strict=True)])
    assert np.array_equal(volume.voxels, expected)
    assert volume.voxels.dtype == np.int16


def test_broken_slopes_give_floats(tmp_path):
    pixels = noise(4)
    write_series(
        tmp_path, pixels, straight_positions(4, 2.0), modality="MR", RescaleSlope="0.37", RescaleIntercept="1.5"
    )
    volume = read_series(tmp_path)
    assert volume.voxels.dtype == np.float32
    np.testing.assert_allclose(volume.voxels, pixels * 0.37 + 1.5, atol=1e-4)


def test_large_values_get_more_bits(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 65536, (3, 8, 8)).astype(np.uint16)
    write_series(tmp_path, pixels, straight_positions(3, 2.0), RescaleIntercept="-1024")
    volume = read_series(tmp_path)
    assert volume.voxels.dtype == np.int32
    assert np.array_equal(volume.voxels, pixels.astype(int) - 1024)


def test_unused_bits_are_not_values(tmp_path):
    """Old scanners draw in the bits above the 12 that hold the image."""
    pixels = np.random.default_rng(1).integers(0, 4096, (3, 8, 8)).astype(np.uint16)
    drawn = pixels | (np.random.default_rng(2).integers(0, 16, pixels.shape) << 12).astype(np.uint16)
    write_series(tmp_path / "u", drawn, straight_positions(3, 2.0), BitsStored=12, HighBit=11)
    assert np.array_equal(read_series(tmp_path / "u").voxels, pixels)
    signed = np.where(pixels >= 2048, pixels.astype(int) - 4096, pixels)
    write_series(tmp_path / "s", drawn.view(np.int16), straight_positions(3, 2.0), BitsStored=12, HighBit=11)
    assert np.array_equal(read_series(tmp_path / "s").voxels, signed)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_padding_becomes_air_in_ct(tmp_path, syntax):
    pixels = noise(4)
    pixels[:, :3] = -2000
    write_series(
        tmp_path, pixels, straight_positions(4, 2.0), syntax=syntax, PixelPaddingValue=-2000, RescaleIntercept="-24"
    )
    volume = read_series(tmp_path)
    assert (volume.voxels[:, :3] == -1000).all()
    assert np.array_equal(volume.voxels[:, 3:], pixels[:, 3:] - 24)
    assert "set to air" in volume.provenance.steps[0]


def test_padding_with_a_value_of_tissue_is_believed_only_at_the_edge(tmp_path):
    pixels = noise(4, 20, 20)
    pixels[pixels == 0] = 1
    pixels[:, :4] = 0  # outside the circle
    pixels[:, 10:14, 10:14] = 0  # water within the body
    write_series(tmp_path, pixels, straight_positions(4, 2.0), PixelPaddingValue=0)
    voxels = read_series(tmp_path).voxels
    assert (voxels[:, :4] == -1000).all()
    assert (voxels[:, 10:14, 10:14] == 0).all()


def test_padding_range(tmp_path):
    pixels = noise(4)
    pixels[:, 0], pixels[:, 1], pixels[:, 2] = -3000, -2500, -2000
    write_series(tmp_path, pixels, straight_positions(4, 2.0), PixelPaddingValue=-2000, PixelPaddingRangeLimit=-3000)
    assert (read_series(tmp_path).voxels[:, :3] == -1000).all()


def test_mr_with_white_low_is_turned_round(tmp_path):
    pixels = noise(4) + 1000
    write_series(tmp_path, pixels, straight_positions(4, 2.0), modality="MR", PhotometricInterpretation="MONOCHROME1")
    volume = read_series(tmp_path)
    assert np.array_equal(volume.voxels, pixels.max() - pixels)
    assert "turned round" in volume.provenance.steps[0]


def test_ct_with_white_low_keeps_its_hounsfield_units(tmp_path):
    """The photometric interpretation is about the display; HU come from slope and intercept alone."""
    pixels = noise(4)
    write_series(tmp_path, pixels, straight_positions(4, 2.0), PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(read_series(tmp_path).voxels, pixels)


def test_float_pixels_that_are_no_numbers(tmp_path):
    paths = write_series(tmp_path, noise(4), straight_positions(4, 2.0), modality="MR")
    for k, path in enumerate(paths):
        ds = pydicom.dcmread(path)
        values = np.ones((12, 10), np.float32) * k
        values[0, 0] = np.nan if k == 2 else 7
        del ds.PixelData, ds.PixelRepresentation, ds.BitsStored, ds.HighBit
        ds.BitsAllocated = 32
        ds.FloatPixelData = values.tobytes()
        ds.save_as(path)
    with pytest.raises(InputError, match="1 voxels are not numbers"):
        read_series(tmp_path)


def test_files_without_the_preamble(tmp_path):
    pixels = noise(4)
    paths = write_series(tmp_path, pixels, straight_positions(4, 2.0), syntax=ImplicitVRLittleEndian)
    for path in paths:
        content = path.read_bytes()
        meta = int.from_bytes(content[140:144], "little")
        path.write_bytes(content[144 + meta :])  # without preamble and group 0002
    assert np.array_equal(read_series(tmp_path).voxels, pixels)


def test_material_maps_are_not_called_hounsfield_units(tmp_path):
    write_series(tmp_path, noise(4), straight_positions(4, 2.0), RescaleType="MGML")
    volume = read_series(tmp_path)
    assert volume.modality is Modality.UNKNOWN
    assert "not HU" in volume.provenance.steps[0]
