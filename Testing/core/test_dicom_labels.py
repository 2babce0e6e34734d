"""DICOM segmentations read: what highdicom wrote comes back voxel by voxel; what cannot be labels is refused."""

from dataclasses import replace

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SegmentationStorage, generate_uid

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import RAS_LPS, rotation_about
from MSKFusionLib.segmentation.files import read_segmentation
from MSKFusionLib.volume import Modality, Volume

#: Rows and columns whose product is no multiple of 8: frames begin within a byte.
SHAPE = (7, 9, 11)
TURN = rotation_about([2.0, -1.0, 0.5], 25.0)
NAMES = ("L4", "hip bone, left", "tumour")


def image() -> Volume:
    voxels = np.random.default_rng(1).integers(0, 100, SHAPE).astype(np.int16)
    return Volume(voxels, np.array([30.0, -40.0, 500.0]), np.array([0.7, 0.9, 1.5]), TURN, modality=Modality.CT)


def labels() -> np.ndarray:
    """Random labels of three structures with slice 2 and the last one empty."""
    found = np.random.default_rng(2).integers(0, 4, SHAPE).astype(np.uint8)
    found[[2, 6]] = 0
    return found


def sequence(**values):
    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return [item]


def dataset(values=None, *, kind="BINARY", turned_over=False) -> Dataset:
    """A segmentation written element by element from the standard's tables; frames in any order, one a segment."""
    volume, values = image(), labels() if values is None else values
    lps = RAS_LPS @ volume.ijk_to_ras
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = SegmentationStorage, generate_uid(), "SEG"
    ds.SegmentationType, ds.Rows, ds.Columns = kind, SHAPE[1], SHAPE[2]
    ds.BitsAllocated = ds.BitsStored = 1
    ds.HighBit, ds.PixelRepresentation, ds.SamplesPerPixel, ds.PhotometricInterpretation = 0, 0, 1, "MONOCHROME2"
    ds.SegmentSequence = [sequence(SegmentNumber=n, SegmentLabel=name)[0] for n, name in enumerate(NAMES, 1)]
    columns = lps[:3, :3] / np.linalg.norm(lps[:3, :3], axis=0)
    shared = Dataset()
    shared.PlaneOrientationSequence = sequence(ImageOrientationPatient=[f"{v:.12f}" for v in columns[:, :2].T.ravel()])
    shared.PixelMeasuresSequence = sequence(PixelSpacing=["0.9", "0.7"], SpacingBetweenSlices="1.5")
    ds.SharedFunctionalGroupsSequence = [shared]
    groups, bits = [], []
    for k in range(SHAPE[0])[:: -1 if turned_over else 1]:
        for number in (1, 2, 3):
            frame = values[k] == number
            if not frame.any():
                continue
            group = Dataset()
            place = lps @ [0, 0, k, 1]
            group.PlanePositionSequence = sequence(ImagePositionPatient=[f"{v:.9f}" for v in place[:3]])
            group.SegmentIdentificationSequence = sequence(ReferencedSegmentNumber=number)
            groups.append(group)
            bits.append(frame.ravel())
    ds.PerFrameFunctionalGroupsSequence, ds.NumberOfFrames = groups, len(groups)
    packed = np.packbits(np.concatenate(bits), bitorder="little").tobytes()
    ds.PixelData = packed + b"\0" * (len(packed) % 2)
    ds["PixelData"].VR = "OB"
    return ds


def save(ds, path):
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    ds.save_as(path, enforce_file_format=True)
    return path


def same(found, values):
    for number, name in enumerate(NAMES, 1):
        assert np.array_equal(found.mask(name), values == number), name


@pytest.mark.parametrize("turned_over", [False, True])
def test_labels_come_back_on_the_images_grid(tmp_path, turned_over):
    path = save(dataset(turned_over=turned_over), tmp_path / "a.dcm")
    found = read_segmentation(path, reference=image())
    same(found, labels())
    assert [(s.name, s.value, s.kind) for s in found.segments] == [
        ("L4", 23, "vertebra"), ("hip bone, left", 200, "bone"), ("tumour", 201, "bone")
    ]  # fmt: skip


def test_without_the_image_the_grid_is_that_of_the_frames(tmp_path):
    found = read_segmentation(save(dataset(), tmp_path / "a"))
    same(found, labels()[:6])  # the last slice is empty and has no frame; the empty one between has its place
    assert found.labels.origin_ras == pytest.approx(image().origin_ras, abs=1e-6)
    assert found.labels.directions_ras == pytest.approx(TURN, abs=1e-9)
    assert found.labels.spacing_mm == pytest.approx([0.7, 0.9, 1.5])


def test_what_highdicom_writes_comes_back(tmp_path):
    pytest.importorskip("highdicom", reason="writing needs highdicom: pip install 'mskplanner[dicom]'")
    from core.dicom_plan import make_dicom_plan

    from MSKFusionLib.dicom.source import read_source
    from MSKPlannerLib.export.dicom_labels import labels_object
    from MSKPlannerLib.export.dicom_study import DicomStudy

    plan = make_dicom_plan(tmp_path)
    study = DicomStudy.of(plan.plan, read_source(plan.ct_folder))
    study.write(labels_object(study, plan.bones), tmp_path / "a.dcm")
    found = read_segmentation(tmp_path / "a.dcm", reference=plan.ct)
    assert {s.name for s in found.segments} == {s.name for s in plan.bones.segments}
    for segment in plan.bones.segments:
        assert np.array_equal(found.mask(segment.name), plan.bones.mask(segment.name))
        assert found[segment.name].kind == segment.kind
    assert found.labels.same_grid(plan.ct, 1e-6)


def test_what_a_code_says_is_not_bone_is_not_bone(tmp_path):
    """A vessel of another program must keep screws off, not hold them."""
    ds = dataset()
    codes = {1: ("SCT", "11994002"), 2: ("SCT", "272673000"), 3: ("SCT", "15825003")}  # L4, bone, aorta
    for segment in ds.SegmentSequence:
        scheme, value = codes[segment.SegmentNumber]
        segment.SegmentedPropertyTypeCodeSequence = sequence(CodingSchemeDesignator=scheme, CodeValue=value)
        segment.SegmentDescription = "anything"
    ds.SegmentSequence[0].SegmentLabel, ds.SegmentSequence[2].SegmentLabel = "vertebrae_L4", "Ao"
    found = read_segmentation(save(ds, tmp_path / "a.dcm"))
    assert [s.kind for s in found.segments] == ["vertebra", "bone", "aorta"]
    assert [s.name for s in found.bones] == ["L4", "hip bone, left"]


def test_our_own_kinds_come_back_and_what_has_no_term_is_not_called_bone(tmp_path):
    pytest.importorskip("highdicom", reason="writing needs highdicom: pip install 'mskplanner[dicom]'")
    from core.dicom_plan import make_dicom_plan

    from MSKFusionLib.dicom.source import read_source
    from MSKPlannerLib.export.dicom_labels import labels_object
    from MSKPlannerLib.export.dicom_study import DicomStudy

    plan = make_dicom_plan(tmp_path)
    one, other = plan.bones.segments
    bones = replace(
        plan.bones, segments=(replace(one, name="plate", kind="implant"), replace(other, name="X", kind="canal"))
    )
    study = DicomStudy.of(plan.plan, read_source(plan.ct_folder))
    ds = labels_object(study, bones)
    types = [s.SegmentedPropertyTypeCodeSequence[0].CodeMeaning for s in ds.SegmentSequence]
    assert types == ["Anatomical Structure", "Spinal canal"]
    study.write(ds, tmp_path / "a.dcm")
    found = read_segmentation(tmp_path / "a.dcm")
    assert {s.name: s.kind for s in found.segments} == {"plate": "implant", "X": "canal"}


def test_surfaces_are_made_of_its_segments(tmp_path):
    """Not of its frames as if they were the slices of one image, as image readers take them."""
    from MSKPlannerLib.cli.surface_input import read_surfaces

    values = np.zeros(SHAPE, dtype=np.uint8)
    values[1:5, 2:7, 2:8], values[1:5, 2:7, 8:10] = 1, 3
    found = read_surfaces(save(dataset(values), tmp_path / "a.dcm"))
    assert list(found.meshes) == ["L4", "tumour"]
    voxel = 0.7 * 0.9 * 1.5
    assert found.meshes["L4"].volume_mm3 == pytest.approx((values == 1).sum() * voxel, rel=0.25)
    assert found.meshes["tumour"].volume_mm3 == pytest.approx((values == 3).sum() * voxel, rel=0.35)
    middle = image().ijk_to_ras @ [4.5, 4.0, 2.5, 1.0]
    assert found.meshes["L4"].bounds_ras.mean(0) == pytest.approx(middle[:3], abs=0.4)


def overlapping(ds):
    ds.PixelData = b"\xff" * len(ds.PixelData)


def off_grid(ds):
    place = ds.PerFrameFunctionalGroupsSequence[3].PlanePositionSequence[0]
    place.ImagePositionPatient = [float(v) + 0.2 for v in place.ImagePositionPatient]


def too_few_groups(ds):
    del ds.PerFrameFunctionalGroupsSequence[0]


def cut_short(ds):
    ds.PixelData = ds.PixelData[:20]


def two_orientations(ds):
    ds.PerFrameFunctionalGroupsSequence[0].PlaneOrientationSequence = sequence(
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0]
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (overlapping, "overlap"),
        (off_grid, "do not lie on one grid"),
        (too_few_groups, "promises"),
        (cut_short, "damaged"),
        (two_orientations, "several grids"),
        (lambda ds: setattr(ds, "SegmentationType", "FRACTIONAL"), "fractions"),
        (lambda ds: setattr(ds, "Modality", "CT"), "not a segmentation"),
        (lambda ds: delattr(ds, "SegmentSequence"), "damaged"),
    ],
)
def test_what_is_no_label_set_is_refused(tmp_path, change, words):
    ds = dataset()
    change(ds)
    with pytest.raises(InputError, match=words) as caught:
        read_segmentation(save(ds, tmp_path / "a.dcm"))
    assert "a.dcm" in str(caught.value)


def test_a_label_map_segmentation_is_read(tmp_path):
    """The newer kind: the pixels are segment numbers."""
    ds, values = dataset(kind="LABELMAP"), labels()
    groups = []
    for k in range(SHAPE[0]):
        group = Dataset()
        place = (RAS_LPS @ image().ijk_to_ras) @ [0, 0, k, 1]
        group.PlanePositionSequence = sequence(ImagePositionPatient=[f"{v:.9f}" for v in place[:3]])
        groups.append(group)
    ds.PerFrameFunctionalGroupsSequence, ds.NumberOfFrames = groups, SHAPE[0]
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit = 7
    content = values.tobytes()
    ds.PixelData = content + b"\0" * (len(content) % 2)
    same(read_segmentation(save(ds, tmp_path / "a.dcm"), reference=image()), values)
