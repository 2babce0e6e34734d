"""A plan as DICOM: encapsulated STL, segmentation and spatial registration, tied to the study, without the patient."""

import io
import shutil
import subprocess
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
from core.dicom_plan import FIXED_TO_MOVING_RAS, make_dicom_plan

from dicom_writer import PATIENT_ID, PATIENT_NAME, noise, straight_positions, write_enhanced
from MSKFusionLib.dicom import read_series
from MSKFusionLib.dicom.source import read_source
from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import flip_ras_lps, transform_points
from MSKFusionLib.registration import deformable, piecewise, rigid
from MSKFusionLib.segmentation.files import read_segmentation
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKFusionLib.volume import Modality, write_image
from MSKPlannerLib.cli.arguments import build_parser
from MSKPlannerLib.cli.export import export
from MSKPlannerLib.cli.export_dicom import DicomExport
from MSKPlannerLib.export.dicom_labels import labels_object
from MSKPlannerLib.export.dicom_registration import registration_object
from MSKPlannerLib.export.dicom_stl import stl_object
from MSKPlannerLib.export.dicom_study import DicomStudy
from MSKPlannerLib.export.mesh_files import read_mesh
from MSKPlannerLib.export.parts import FileNotes, Part
from MSKPlannerLib.export.rigid_registration import moving_to_fixed_ras
from MSKPlannerLib.plan import Plan
from MSKPlannerLib.plan_file import plan_to_json

STL, REGISTRATION, SEGMENTATION = (f"1.2.840.10008.5.1.4.1.1.{n}" for n in ("104.3", "66.1", "66.4"))


def quiet(_fraction, _message):
    """Progress that nobody looks at."""


def export_dicom(source, out, what, *more):
    words = ["export", source.plan_folder, "--format", "dicom", "--what", what, "--ct", source.ct_folder, "--out", out]
    return export(build_parser().parse_args([str(w) for w in (*words, *more)]), quiet)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return make_dicom_plan(tmp_path_factory.mktemp("dicom_plan"))


@pytest.fixture(scope="module")
def exported(source, tmp_path_factory):
    """Guides, screws and the registration: what needs no extra library."""
    out = tmp_path_factory.mktemp("exported") / "out"
    assert export_dicom(source, out, "guides,screws,registration", "--mr", source.mr_folder) == 0
    return out


@pytest.fixture(scope="module")
def labels(source, tmp_path_factory):
    pytest.importorskip("highdicom", reason="labels as DICOM need highdicom: pip install 'mskplanner[dicom]'")
    out = tmp_path_factory.mktemp("labels") / "out"
    assert export_dicom(source, out, "labels") == 0
    return pydicom.dcmread(out / "segmentation.dcm")


def test_an_encapsulated_guide_is_the_guide_in_patient_coordinates(source, exported, tmp_path):
    ds = pydicom.dcmread(exported / "L4_guide.dcm")
    assert (ds.SOPClassUID, ds.Modality, ds.MIMETypeOfEncapsulatedDocument) == (STL, "M3D", "model/stl")
    assert ds.MeasurementUnitsCodeSequence[0].CodeValue == "mm"
    assert ds.DocumentTitle == "L4 guide"
    content = ds.EncapsulatedDocument[: ds.EncapsulatedDocumentLength]
    # Read as any STL reader would, knowing nothing of ours: corners are LPS mm.
    count = int.from_bytes(content[80:84], "little")
    records = np.frombuffer(content, dtype=[("n", "<f4", 3), ("p", "<f4", (3, 3)), ("a", "<u2")], offset=84)
    assert len(records) == count == len(source.guide.faces)
    corners = source.guide.vertices_ras[source.guide.faces]
    assert np.abs(records["p"] - flip_ras_lps(corners)).max() < 1e-4
    (tmp_path / "a.stl").write_bytes(content)
    assert read_mesh(tmp_path / "a.stl").volume_mm3 == pytest.approx(source.guide.volume_mm3, rel=1e-5)


def test_every_object_is_tied_to_the_study_by_its_uids(source, exported):
    images = {str(pydicom.dcmread(p).SOPInstanceUID) for p in source.ct_folder.iterdir()}
    for path in exported.glob("*.dcm"):
        ds = pydicom.dcmread(path)
        assert ds.StudyInstanceUID == source.study_uid
        assert ds.FrameOfReferenceUID == source.ct_frame_uid
        referenced = ds.ReferencedSeriesSequence[0]
        assert {str(i.ReferencedSOPInstanceUID) for i in referenced.ReferencedInstanceSequence} == images
        assert ds.SeriesInstanceUID != referenced.SeriesInstanceUID
    series = {p.name: pydicom.dcmread(p).SeriesInstanceUID for p in exported.glob("*.dcm")}
    assert series["L4_guide.dcm"] == series["L4_left_screw.dcm"] != series["registration.dcm"]


def test_the_patient_stays_out_unless_asked_for(source, exported, tmp_path):
    secrets = [*PATIENT_NAME.split("^"), PATIENT_ID, "19501224", "20250102", "ACC-77", "Feuerbach", "LWS"]
    for path in exported.glob("*.dcm"):
        content = path.read_bytes()
        assert not [s for s in secrets if s.encode() in content]
        assert pydicom.dcmread(path).PatientIdentityRemoved == "YES"
    assert export_dicom(source, tmp_path / "o", "guides,registration", "--mr", source.mr_folder, "--with-patient") == 0
    for path in (tmp_path / "o").glob("*.dcm"):
        ds = pydicom.dcmread(path)
        assert (str(ds.PatientName), ds.PatientID, ds.PatientBirthDate, ds.StudyDate, ds.AccessionNumber) == (
            PATIENT_NAME, PATIENT_ID, "19501224", "20250102", "ACC-77"
        )  # fmt: skip
        assert "PatientIdentityRemoved" not in ds
        assert ds.SOPInstanceUID != pydicom.dcmread(exported / path.name).SOPInstanceUID  # another content


def test_a_wrong_value_in_the_header_is_not_repeated_in_a_warning(source, tmp_path, recwarn):
    origin = read_source(source.ct_folder)
    origin.headers[0].PatientBirthDate = "1950-12-24?"
    recwarn.clear()
    study = DicomStudy.of(source.plan, origin, with_patient=True)
    study.write(stl_object(study, [Part("g", "guide", source.guide)], FileNotes(), 1), tmp_path / "a.dcm")
    assert not [w for w in recwarn if "1950" in str(w.message)]
    assert b"1950-12-24?" in (tmp_path / "a.dcm").read_bytes()


def test_a_name_typed_into_a_part_is_taken_out_too(source):
    study = DicomStudy.of(source.plan, read_source(source.ct_folder))
    part = Part("Guide Klothilde GRÜNEWALD", "guide", source.guide)
    ds = stl_object(study, [part], FileNotes("0" * 64, ("REJECTED: wall too thin",)), 1)
    assert ds.DocumentTitle == "REJECTED: wall too thin; Guide *** ***"
    assert b"REJECTED" in ds.EncapsulatedDocument[:80]


def test_no_private_element_and_no_group_that_pydicom_does_not_know(exported):
    for path in exported.glob("*.dcm"):
        for element in pydicom.dcmread(path).iterall():
            assert not element.tag.is_private
            assert element.keyword


def test_the_same_plan_gives_the_same_bytes_and_another_plan_others(source, exported, tmp_path):
    assert export_dicom(source, tmp_path / "b", "guides,screws,registration", "--mr", source.mr_folder) == 0
    for path in exported.glob("*.dcm"):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    # A screw is the same object whatever else is written with it.
    assert export_dicom(source, tmp_path / "c", "screws") == 0
    assert (exported / "L4_left_screw.dcm").read_bytes() == (tmp_path / "c" / "L4_left_screw.dcm").read_bytes()
    here = DicomStudy.of(source.plan, read_source(source.ct_folder))
    other = DicomStudy.of(replace(source.plan, notes=("seen",)), read_source(source.ct_folder))
    part = Part("L4 guide", "guide", source.guide)
    uids = [s.write(stl_object(s, [part], FileNotes(), 1), tmp_path / "x.dcm") for s in (here, here, other)]
    assert uids[0] == uids[1] != uids[2]


def test_the_matrix_takes_points_of_the_mr_to_the_ct(source, exported):
    ds = pydicom.dcmread(exported / "registration.dcm")
    assert (ds.SOPClassUID, ds.Modality) == (REGISTRATION, "REG")
    items = {str(i.FrameOfReferenceUID): i for i in ds.RegistrationSequence}
    assert set(items) == {source.ct_frame_uid, source.mr_frame_uid}

    def matrix(frame):
        step = items[frame].MatrixRegistrationSequence[0].MatrixSequence[0]
        assert step.FrameOfReferenceTransformationMatrixType == "RIGID"
        return np.array([float(v) for v in step.FrameOfReferenceTransformationMatrix]).reshape(4, 4)

    assert np.array_equal(matrix(source.ct_frame_uid), np.eye(4))
    # A place in the CT, and the same anatomy in the MR, both as DICOM counts: the object must bring it back.
    ct_ras = np.array([31.0, -17.0, -212.0])
    mr_lps = flip_ras_lps(transform_points(FIXED_TO_MOVING_RAS, ct_ras))
    assert transform_points(matrix(source.mr_frame_uid), mr_lps) == pytest.approx(flip_ras_lps(ct_ras), abs=1e-6)
    other = ds.StudiesContainingOtherReferencedInstancesSequence[0]
    mr = read_source(source.mr_folder, modality=Modality.MR)
    assert (other.StudyInstanceUID, other.ReferencedSeriesSequence[0].SeriesInstanceUID) == (
        mr.study_uid,
        mr.series_uid,
    )


def test_two_scans_of_one_frame_of_reference_are_told_apart_by_their_images(tmp_path):
    plan = make_dicom_plan(tmp_path, one_frame=True)
    study = DicomStudy.of(plan.plan, read_source(plan.ct_folder))
    mr = read_source(plan.mr_folder, modality=Modality.MR)
    items = registration_object(study, mr, plan.plan.registration).RegistrationSequence
    assert ["FrameOfReferenceUID" in i for i in items] == [False, False]
    named = [{str(r.ReferencedSOPInstanceUID) for r in i.ReferencedImageSequence} for i in items]
    assert not named[0] & named[1]
    assert named[1] == {uid for _, uid in mr.images}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"verdict": "rejected"}, "the registration was rejected"),
        ({"method": "piecewise rigid: x"}, "one rigid motion"),
        ({"method": "deformable: x"}, "one rigid motion"),
        ({"fixed_to_moving_ras": np.diag([2.0, 1, 1, 1]).tolist()}, "scales"),
        ({"fixed_to_moving_ras": [["a"]]}, "no 4x4"),
        ({"fixed_to_moving_ras": None}, "no 4x4|not a finite 4x4"),
    ],
)
def test_a_registration_that_is_not_one_trusted_rigid_motion_is_refused(source, change, words):
    study = DicomStudy.of(source.plan, read_source(source.ct_folder))
    mr = read_source(source.mr_folder, modality=Modality.MR)
    with pytest.raises(InputError, match=words):
        registration_object(study, mr, {**source.plan.registration, **change})


def test_what_our_registrations_call_themselves_is_told_apart(source):
    def entry(method):
        return {**source.plan.registration, "method": method}

    assert moving_to_fixed_ras(entry(rigid.METHOD)).shape == (4, 4)
    for method in (piecewise.METHOD, deformable.METHOD + rigid.METHOD):
        with pytest.raises(InputError, match="one rigid motion"):
            moving_to_fixed_ras(entry(method))


def test_another_patients_mr_is_refused(source):
    study = DicomStudy.of(source.plan, read_source(source.ct_folder))
    mr = read_source(source.mr_folder, modality=Modality.MR)
    other = replace(mr, patient=replace(mr.patient, identifier="someone"))
    with pytest.raises(InputError, match="different patients") as caught:
        registration_object(study, other, source.plan.registration)
    assert PATIENT_ID not in str(caught.value)


def test_segments_lie_on_the_labels_grid_and_carry_their_terms(source, labels):
    assert (labels.SOPClassUID, labels.Modality, labels.SegmentationType) == (SEGMENTATION, "SEG", "BINARY")
    assert (labels.StudyInstanceUID, labels.FrameOfReferenceUID) == (source.study_uid, source.ct_frame_uid)
    assert PATIENT_NAME.split("^")[0] not in str(labels)
    # Put together from each frame's own place, knowing nothing of how it was written.
    shared = labels.SharedFunctionalGroupsSequence[0]
    axes = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float).reshape(2, 3)
    row_mm, column_mm = (float(v) for v in shared.PixelMeasuresSequence[0].PixelSpacing)
    values = {n: source.bones[s.SegmentLabel].value for n, s in enumerate(labels.SegmentSequence, 1)}
    found = np.zeros_like(source.bones.labels.voxels)
    ras_to_ijk = source.bones.labels.ras_to_ijk
    worst = 0.0
    for frame, group in zip(labels.pixel_array, labels.PerFrameFunctionalGroupsSequence, strict=True):
        position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        rows, columns = np.nonzero(frame)
        lps = position + columns[:, None] * column_mm * axes[0] + rows[:, None] * row_mm * axes[1]
        ijk = transform_points(ras_to_ijk, flip_ras_lps(lps))
        worst = max(worst, float(np.abs(ijk - np.rint(ijk)).max()))
        i, j, k = np.rint(ijk).astype(int).T
        found[k, j, i] = values[group.SegmentIdentificationSequence[0].ReferencedSegmentNumber]
    assert worst < 1e-5
    assert np.array_equal(found, source.bones.labels.voxels)
    first, second = labels.SegmentSequence
    assert first.SegmentedPropertyTypeCodeSequence[0].CodeValue == "11994002"  # SNOMED CT: L4 vertebra
    side = second.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0]
    assert side.CodeMeaning == "Left"


def test_the_same_labels_give_the_same_bytes(source, labels, tmp_path):
    assert export_dicom(source, tmp_path / "b", "labels") == 0
    again = pydicom.dcmread(tmp_path / "b" / "segmentation.dcm")
    one, other = io.BytesIO(), io.BytesIO()
    labels.save_as(one)
    again.save_as(other)
    assert one.getvalue() == other.getvalue()


def test_the_patient_is_in_all_three_objects_when_asked_for(source, labels, tmp_path):
    what = "labels,guides,registration"
    assert export_dicom(source, tmp_path / "o", what, "--mr", source.mr_folder, "--with-patient") == 0
    found = [pydicom.dcmread(p) for p in (tmp_path / "o").glob("*.dcm")]
    assert {(str(d.PatientName), d.PatientID, d.StudyDate) for d in found} == {(PATIENT_NAME, PATIENT_ID, "20250102")}
    assert len(found) == 3


def test_meshes_and_dicom_in_one_call_hold_the_same_triangles(source, tmp_path, capsys):
    assert export_dicom(source, tmp_path / "o", "guides,screws", "--format", "stl,dicom", "--merged") == 0
    assert sorted(p.name for p in (tmp_path / "o").glob("m*")) == ["merged.dcm", "merged.stl"]
    ds = pydicom.dcmread(tmp_path / "o" / "merged.dcm")
    assert ds.EncapsulatedDocument[: ds.EncapsulatedDocumentLength] == (tmp_path / "o" / "merged.stl").read_bytes()
    assert ds.DocumentTitle == "L4 guide, L4 left"
    assert "without the patient" in capsys.readouterr().out


def test_a_ct_that_is_no_dicom_has_no_study_to_be_filed_in(source, tmp_path):
    write_image(source.ct, tmp_path / "ct.nrrd")
    args = SimpleNamespace(frame="lps", ct=str(tmp_path / "ct.nrrd"), series=None, with_patient=False)
    with pytest.raises(InputError, match="this is no DICOM"):
        DicomExport.of(source.plan, args, ["guides"], source.ct)


def test_screws_of_a_plan_with_an_outdated_guide_can_be_exported(source, tmp_path):
    """Only the guide is refused, not what does not hang on it."""
    moved = replace(source.plan.screws[0], tip_ras=(0.0, 0.0, 0.0))
    (tmp_path / "plan.json").write_text(plan_to_json(replace(source.plan, screws=(moved,))), encoding="utf-8")
    elsewhere = SimpleNamespace(plan_folder=tmp_path, ct_folder=source.ct_folder)
    with pytest.raises(InputError, match="out of date"):
        export_dicom(elsewhere, tmp_path / "o", "guides,screws")
    assert export_dicom(elsewhere, tmp_path / "o", "screws") == 0


def test_without_highdicom_the_way_out_is_said_and_nothing_is_written(source, tmp_path, monkeypatch):
    import sys

    from MSKFusionLib.errors import MissingComponentError

    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(MissingComponentError, match=r"pip install 'mskplanner\[dicom\]'"):
        export_dicom(source, tmp_path / "o", "guides,labels")
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("what", "more", "words"),
    [
        ("guides", ("--frame", "ras"), "LPS"),
        ("registration", (), "needs the MR's series"),
        ("guides,labels", ("--format", "stl"), "can only be written as DICOM"),
        ("guides", ("--format", "stl", "--with-patient"), "--format dicom"),
    ],
)
def test_a_call_that_cannot_be_met_is_refused(source, tmp_path, what, more, words):
    with pytest.raises(InputError, match=words):
        export_dicom(source, tmp_path / "o", what, *more)
    assert not (tmp_path / "o").exists()


def test_a_ct_that_the_plan_does_not_rest_on_is_refused(source, tmp_path):
    other = tmp_path / "ct"
    shutil.copytree(source.ct_folder, other)
    path = next(other.iterdir())
    ds = pydicom.dcmread(path)
    ds.PixelData = bytes(len(ds.PixelData))
    ds.save_as(path)
    elsewhere = SimpleNamespace(plan_folder=source.plan_folder, ct_folder=other)
    with pytest.raises(InputError, match="not the one that this plan was made on"):
        export_dicom(elsewhere, tmp_path / "o", "guides")


def test_images_without_a_study_are_refused(source, tmp_path):
    other = tmp_path / "ct"
    shutil.copytree(source.ct_folder, other)
    for path in other.iterdir():
        ds = pydicom.dcmread(path)
        del ds.StudyInstanceUID
        ds.save_as(path)
    with pytest.raises(InputError, match="name no study"):
        read_source(other)


@pytest.mark.parametrize("more", [(), ("--with-patient",)])
def test_dciodvfy_finds_no_error(source, tmp_path, more):
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed: apt-get install dicom3tools")
    what = "guides,bones,screws,registration"
    try:
        import highdicom  # noqa: F401

        what += ",labels"
    except ImportError:
        pass
    assert export_dicom(source, tmp_path / "o", what, "--mr", source.mr_folder, *more) == 0
    paths = sorted((tmp_path / "o").glob("*.dcm"))
    assert len(paths) == what.count(",") + 2  # two bones
    for path in paths:
        run = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
        said = run.stdout + run.stderr
        assert run.returncode == 0, said
        assert "Error" not in said, said
        kind = {"segmentation": "Segmentation", "registration": "SpatialRegistration"}.get(path.stem, "EncapsulatedSTL")
        assert kind in said  # it knew what it was looking at


def labels_of(folder, ct, tmp_path):
    """Write a ball in a CT's grid as a DICOM segmentation; return it and the labels."""
    pytest.importorskip("highdicom", reason="labels as DICOM need highdicom: pip install 'mskplanner[dicom]'")
    k, j, i = np.indices(ct.voxels.shape)
    ras = transform_points(ct.ijk_to_ras, np.stack([i, j, k], -1).astype(float))
    ball = np.linalg.norm(ras - ct.centre_ras, axis=-1) < 0.3 * ct.extent_mm.min()
    volume = ct.with_voxels(ball.astype(np.uint8), modality=Modality.LABEL)
    bones = Segmentation(volume, (Segment(1, "ball", "bone"),))
    study = DicomStudy.of(Plan("p", "2026-11-21T10:20:30+00:00", {}), read_source(folder, modality=Modality.CT))
    study.write(labels_object(study, bones), tmp_path / "seg.dcm")
    return pydicom.dcmread(tmp_path / "seg.dcm"), bones


def ball_from_frames(ds):
    """Volume in mm3 and centre (LPS mm) of what the frames hold, each at its own place."""
    shared = ds.SharedFunctionalGroupsSequence[0]
    axes = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float).reshape(2, 3)
    measures = shared.PixelMeasuresSequence[0]
    row_mm, column_mm = (float(v) for v in measures.PixelSpacing)
    points = []
    for frame, group in zip(ds.pixel_array, ds.PerFrameFunctionalGroupsSequence, strict=True):
        position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        rows, columns = np.nonzero(frame)
        points.append(position + columns[:, None] * column_mm * axes[0] + rows[:, None] * row_mm * axes[1])
    places = np.concatenate(points)
    return len(places) * row_mm * column_mm * float(measures.SpacingBetweenSlices), places.mean(0)


@pytest.mark.slow
@pytest.mark.realdata
def test_labels_of_a_tilted_ct_lie_on_the_straight_grid(real_data, tmp_path):
    """Slices tilted by 18.5 degrees with uneven steps: no frame of the labels is a slice of the scanner."""
    folder = real_data / "dicom" / "ge_head_ct_tilt18.5_variable_spacing"
    ct = read_series(folder)
    ds, bones = labels_of(folder, ct, tmp_path)
    volume, centre = ball_from_frames(ds)
    mask = bones.mask("ball")
    k, j, i = np.nonzero(mask)
    assert volume == pytest.approx(mask.sum() * ct.voxel_mm3, rel=1e-6)  # decimals of 16 characters
    expected = transform_points(ct.ijk_to_ras, np.stack([i, j, k], -1).astype(float)).mean(0)
    assert centre == pytest.approx(flip_ras_lps(expected), abs=1e-4)
    back = read_segmentation(tmp_path / "seg.dcm", reference=ct)
    assert np.array_equal(back.mask("ball"), mask)
    if shutil.which("dciodvfy"):
        run = subprocess.run(["dciodvfy", tmp_path / "seg.dcm"], capture_output=True, text=True, check=False)
        assert "Error" not in run.stdout + run.stderr


def test_labels_of_an_enhanced_ct(tmp_path):
    """One file of many frames: the references are to frames of it."""
    file = tmp_path / "ct" / "enhanced.dcm"
    write_enhanced(file, noise(9, 20, 18), straight_positions(9, 2.0), modality="CT", PatientBirthDate="19501224")
    ct = read_series(file)
    ds, bones = labels_of(file, ct, tmp_path)
    volume, _ = ball_from_frames(ds)
    assert volume == pytest.approx(bones.mask("ball").sum() * ct.voxel_mm3, rel=1e-9)
