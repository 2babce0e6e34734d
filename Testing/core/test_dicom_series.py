"""Folders as they come from an archive: several series, scouts, reports and other files; one volume is chosen."""

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from dicom_writer import PATIENT_ID, base_dataset, noise, save, straight_positions, write_series
from MSKFusionLib.dicom import list_series, read_series
from MSKFusionLib.errors import Cancelled, InputError
from MSKFusionLib.images import load_image
from MSKFusionLib.volume import Modality


@pytest.fixture
def study(tmp_path):
    """CT bone and soft tissue, MR; a scout, a screen capture, a report, a DICOMDIR, and files of other kinds."""
    write_series(tmp_path / "s1", noise(5, seed=1), straight_positions(5, 2.0), SeriesDescription="CT bone 2.0 B70")
    write_series(
        tmp_path / "s1",  # the same folder
        noise(6, seed=2),
        straight_positions(6, 3.0),
        SeriesNumber=4,
        SeriesDescription="CT soft 3.0 B30",
        SeriesInstanceUID="1.2.3.44",
        names=[f"soft{k}" for k in range(6)],
    )
    write_series(
        tmp_path / "deep" / "er" / "s2",
        noise(7, seed=3),
        straight_positions(7, 4.0),
        modality="MR",
        SeriesNumber=12,
        SeriesDescription="T1 sag",
    )
    write_series(
        tmp_path / "s1",
        noise(1, 30, 30),
        [[0, 0, 0]],
        SeriesNumber=1,
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
        names=["scout"],
    )
    write_series(
        tmp_path,
        noise(3),
        straight_positions(3, 1.0),
        SeriesNumber=99,
        each=lambda k: {"ImagePositionPatient": None, "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"},
    )
    for name, sop_class, modality in (
        ("sr", "1.2.840.10008.5.1.4.1.1.88.33", "SR"),
        ("DICOMDIR", "1.2.840.10008.1.3.10", ""),
    ):
        ds = Dataset()
        ds.SOPClassUID, ds.SOPInstanceUID, ds.PatientID, ds.SeriesInstanceUID = (
            sop_class,
            generate_uid(),
            PATIENT_ID,
            "1.9",
        )
        if modality:
            ds.Modality = modality
        ds.file_meta = FileMetaDataset()
        ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = sop_class, ds.SOPInstanceUID
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.save_as(tmp_path / name, enforce_file_format=True)
    seg = base_dataset(noise(1)[0].astype(np.uint8))
    seg.Modality, seg.SeriesInstanceUID = "SEG", "1.8"
    save(seg, tmp_path / "seg.dcm")
    (tmp_path / "autorun.inf").write_text("[autorun]")
    (tmp_path / "s1" / ".DS_Store").write_bytes(bytes(100))
    (tmp_path / "empty").mkdir()
    (tmp_path / "zero.dcm").write_bytes(b"")
    return tmp_path


def test_listing(study):
    infos = list_series(study)
    assert [(i.key, i.modality, i.image_count, i.is_volume) for i in infos] == [
        ("1", "CT", 1, False),
        ("3", "CT", 5, True),
        ("4", "CT", 6, True),
        ("12", "MR", 7, True),
        ("99", "CT", 3, False),
    ]
    assert infos[2].text == "[4] CT axial 'CT soft 3.0 B30', 6 images, 0.7x0.8x3 mm"
    assert "localizer" in infos[0].problem


def test_several_are_not_guessed(study):
    with pytest.raises(InputError) as caught:
        load_image(study)
    text = str(caught.value)
    assert "3 image series could be meant" in text
    for key in ("[3]", "[4]", "[12]"):
        assert key in text
    with pytest.raises(InputError, match="2 image series could be meant"):
        load_image(study, modality=Modality.CT)


@pytest.mark.parametrize("wish", ["4", "1.2.3.44", "CT soft 3.0 B30", "ct SOFT", "soft"])
def test_choice(study, wish):
    volume = load_image(study, series=wish)
    assert np.array_equal(volume.voxels, noise(6, seed=2))
    assert volume.name == "CT soft 3.0 B30"
    assert volume.provenance.source == "DICOM series 1.2.3.44"


def test_choice_by_modality(study):
    volume = load_image(study, modality=Modality.MR)
    assert np.array_equal(volume.voxels, noise(7, seed=3))
    assert volume.modality is Modality.MR


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ("5", "no series is called '5'; there are: [1]"),
        ("", "3 image series could be meant"),
        ("CT", "2 image series could be meant"),
        ("1", "localizer"),
        ("99", "where in the patient"),
    ],
)
def test_wrong_choice(study, wish, words):
    with pytest.raises(InputError) as caught:
        load_image(study, series=wish)
    assert words in str(caught.value)


def test_no_series_of_the_modality(tmp_path):
    write_series(tmp_path, noise(5), straight_positions(5, 2.0))
    with pytest.raises(InputError, match=r"there is no MR series, only: \[3\] CT"):
        load_image(tmp_path, modality=Modality.MR)
    with pytest.raises(InputError, match="is CT, not LABEL"):
        load_image(tmp_path, modality=Modality.LABEL)


def test_the_only_volume_is_taken_and_said(tmp_path):
    write_series(tmp_path, noise(5), straight_positions(5, 2.0))
    write_series(tmp_path / "x", noise(1), [[0, 0, 0]], SeriesNumber=1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    volume = load_image(tmp_path)
    assert volume.provenance.steps == ("chosen as the only volume among 2 series",)


def test_a_broken_series_beside_a_sound_one_is_not_passed_over(tmp_path):
    """The one with the missing slice may be the one that is meant."""
    write_series(tmp_path / "a", noise(5), straight_positions(5, 2.0))
    write_series(tmp_path / "b", noise(9), straight_positions(10, 2.0)[[*range(4), *range(5, 10)]], SeriesNumber=4)
    with pytest.raises(InputError, match=r"could be meant.*1 slice is missing"):
        load_image(tmp_path)
    assert load_image(tmp_path, series="3").shape_ijk == (10, 12, 5)


def test_scouts_within_a_series_are_left_out(tmp_path):
    write_series(
        tmp_path,
        noise(6),
        straight_positions(6, 2.0),
        each=lambda k: (
            {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "ImagePositionPatient": [0, 0, 500]} if k == 5 else {}
        ),
    )
    volume = load_image(tmp_path)
    assert np.array_equal(volume.voxels, noise(6)[:5])
    assert volume.provenance.steps == ("1 localizer pictures left out",)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("EchoNumbers", ["1", "2"]),
        ("EchoTime", ["10.5", "80"]),
        ("AcquisitionNumber", ["7", "8"]),
        ("TemporalPositionIdentifier", ["1", "2"]),
        ("DiffusionBValue", [0.0, 800.0]),
        ("ImageType", [["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"]]),
    ],
)
def test_volumes_within_one_series(tmp_path, name, values):
    pixels = noise(12)
    positions = np.repeat(straight_positions(6, 3.0), 2, axis=0)
    write_series(tmp_path, pixels, positions, modality="MR", each=lambda k: {name: values[k % 2]})
    infos = list_series(tmp_path)
    assert [(i.key, i.image_count) for i in infos] == [("3.1", 6), ("3.2", 6)]
    with pytest.raises(InputError, match="2 image series could be meant"):
        load_image(tmp_path)
    with pytest.raises(InputError, match="2 image series could be meant"):
        load_image(tmp_path, series="3")
    assert np.array_equal(load_image(tmp_path, series="3.2").voxels, pixels[1::2])
    assert np.array_equal(load_image(tmp_path, series=infos[0].part).voxels, pixels[0::2])


def test_echoes_and_time_points(tmp_path):
    """Two attributes together tell four volumes apart; ten time points are sorted as numbers."""
    pixels = noise(4 * 4)
    positions = np.repeat(straight_positions(4, 3.0), 4, axis=0)
    write_series(
        tmp_path,
        pixels,
        positions,
        modality="MR",
        each=lambda k: {"EchoNumbers": str(k % 2 + 1), "TemporalPositionIdentifier": str((9, 10)[k % 4 // 2])},
    )
    parts = [i.part for i in list_series(tmp_path)]
    assert parts == [f"echo {e}, time point {t}" for e in (1, 2) for t in (9, 10)]
    assert np.array_equal(load_image(tmp_path, series="3.3").voxels, pixels[1::4])


def test_parallel_disc_stacks_of_different_orientation(tmp_path):
    """Axial slices along three discs: three volumes of one series."""
    from MSKFusionLib.frames import rotation_about

    for number, angle in enumerate((-10, 0, 15)):
        turn = rotation_about((1, 0, 0), angle)
        write_series(
            tmp_path,
            noise(4, seed=number),
            straight_positions(4, 4.0, origin=(0, 0, 40 * number), normal=turn[:, 2]),
            row=turn[:, 0],
            column=turn[:, 1],
            modality="MR",
            SeriesInstanceUID="1.2.77",
            names=[f"{number}{k}" for k in range(4)],
        )
    assert [i.key for i in list_series(tmp_path)] == ["3.1", "3.2", "3.3"]
    for key, seed in (("3.1", 0), ("3.2", 1), ("3.3", 2)):
        assert np.array_equal(load_image(tmp_path, series=key).voxels, noise(4, seed=seed))


def test_two_series_with_one_number(tmp_path):
    write_series(tmp_path / "a", noise(4, seed=1), straight_positions(4, 2.0), SeriesInstanceUID="1.1")
    write_series(tmp_path / "b", noise(4, seed=2), straight_positions(4, 2.0), SeriesInstanceUID="1.2")
    assert [i.key for i in list_series(tmp_path)] == ["3a", "3b"]
    assert np.array_equal(load_image(tmp_path, series="3b").voxels, noise(4, seed=2))
    with pytest.raises(InputError, match="2 image series"):
        load_image(tmp_path, series="3")


def test_the_patient_is_named_nowhere(tmp_path):
    """Not even when somebody typed the name into the description."""
    write_series(
        tmp_path, noise(4), straight_positions(4, 2.0), SeriesDescription=f"LWS Grünewald Klothilde {PATIENT_ID} bone"
    )
    volume = load_image(tmp_path)
    text = (repr(list_series(tmp_path)) + volume.name + repr(volume.provenance)).casefold()
    for secret in ("grünewald", "klothilde", "pid4711"):
        assert secret not in text
    assert volume.name == "LWS *** *** *** bone"


def test_one_dicom_file_is_no_volume(tmp_path):
    paths = write_series(tmp_path, noise(4), straight_positions(4, 2.0))
    with pytest.raises(InputError, match=r"1 slice: a volume needs at least 3. Give the folder"):
        load_image(paths[0])


def test_other_modalities_are_read_without_a_meaning(tmp_path):
    write_series(tmp_path, noise(4), straight_positions(4, 2.0), modality="XA")
    assert load_image(tmp_path).modality is Modality.UNKNOWN
    assert load_image(tmp_path, modality=Modality.CT).modality is Modality.CT


def test_progress_and_cancel(tmp_path):
    write_series(tmp_path, noise(30), straight_positions(30, 2.0))
    seen = []
    read_series(tmp_path, progress=lambda fraction, message: seen.append(fraction))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0

    def stop(fraction: float, message: str) -> None:
        if fraction > 0.4:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        read_series(tmp_path, progress=stop)
