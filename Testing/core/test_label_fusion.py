"""Labels of the MR on the CT's grid: a generated patient whose true labels and motion are known."""

from dataclasses import replace

import numpy as np
import pytest

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import invert_rigid, rigid, rotation_about, transform_points
from MSKFusionLib.label_fusion import combine_labels, combine_mapped
from MSKFusionLib.registration.result import RegistrationResult, Verdict
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKFusionLib.volume import Modality, Volume

SOFT = ("spinal_canal", "disc_L4_L5", "aorta")


@pytest.fixture(scope="module")
def pair(small_patient):
    """The CT's bones, and an MR label set of coarse oblique voxels with other structures; the motion between them."""
    truth = small_patient.labels
    bones = tuple(s for s in truth.segments if s.kind in ("vertebra", "sacrum", "bone"))
    values = [s.value for s in bones]
    ct = Segmentation(
        truth.labels.with_voxels(np.where(np.isin(truth.labels.voxels, values), truth.labels.voxels, 0)), bones
    )
    motion = rigid(rotation_about([1, 2, 3], 12.0), np.array([8.0, -5.0, 11.0]))
    centre = transform_points(motion, truth.labels.centre_ras)
    spacing, count = np.array([1.2, 1.2, 3.0]), np.array([110, 110, 70])
    axes = rotation_about([0, 0, 1], 8.0)
    empty = Volume(np.zeros(count[::-1], dtype=np.int16), np.zeros(3), spacing, axes, Modality.LABEL)
    grid = replace(empty, origin_ras=centre - transform_points(empty.ijk_to_ras, (count - 1) / 2))
    kji = np.indices(grid.voxels.shape).reshape(3, -1).T
    at = transform_points(truth.labels.ras_to_ijk @ invert_rigid(motion) @ grid.ijk_to_ras, kji[:, ::-1].astype(float))
    ijk = np.rint(at).astype(int)
    inside = np.all((ijk >= 0) & (ijk < np.array(truth.labels.shape_ijk)), axis=1)
    found = np.zeros(len(kji), dtype=np.int16)
    found[inside] = truth.labels.voxels[ijk[inside, 2], ijk[inside, 1], ijk[inside, 0]]
    soft = tuple(s for s in truth.segments if s.name in SOFT)
    kept = np.where(np.isin(found, [s.value for s in (*soft, *bones)]), found, 0).reshape(grid.voxels.shape)
    present = set(np.unique(kept).tolist())
    segments = tuple(s for s in (*soft, *bones) if s.value in present)
    return ct, Segmentation(grid.with_voxels(kept), segments), motion


def result(motion, expected_error_mm=0.2, verdict=Verdict.ACCEPTED):
    return RegistrationResult("known", motion, verdict, ("as it was made",), expected_error_mm=expected_error_mm)


def test_bone_stays_the_cts_and_soft_tissue_comes_to_lie_where_it_is(small_patient, pair):
    ct, mr, motion = pair
    found = combine_labels(ct, mr, result(motion))
    labels, truth = found.segmentation.labels.voxels, small_patient.labels
    for bone in ct.segments:
        assert np.array_equal(labels == bone.value, ct.labels.voxels == bone.value)
    for name in SOFT:
        a, b = found.segmentation.mask(name), truth.mask(name)
        # As far as the MR reaches; its slices are 3 mm thick.
        k, j, i = np.nonzero(b)
        at = transform_points(
            mr.labels.ras_to_ijk @ motion @ truth.labels.ijk_to_ras, np.stack([i, j, k], 1).astype(float)
        )
        seen = np.all((at >= 1) & (at <= np.array(mr.labels.shape_ijk) - 2), axis=1)
        assert 2 * (a & b).sum() / (a.sum() + seen.sum()) > 0.9
        assert "carried by a registration (expected error 0.20 mm)" in found.segmentation[name].source
    assert found.disagreements == ()
    assert not found.disagreement_mm.voxels.any()
    assert "as the CT shows them: " in " ".join(found.segmentation.notes)


def test_a_canal_in_bone_is_told_where_the_error_does_not_explain_it(pair):
    ct, mr, motion = pair
    off = motion @ rigid(None, np.array([0.0, -9.0, 0.0]))
    found = combine_labels(ct, mr, result(off))
    canal = [d for d in found.disagreements if d.name == "spinal_canal"]
    assert canal
    worst = max(canal, key=lambda d: d.deepest_mm)
    assert worst.deepest_mm > worst.allowed_mm
    # The place is in that bone, on the map, and by as much deeper as it says.
    i, j, k = np.rint(transform_points(ct.labels.ras_to_ijk, np.array(worst.place_ras))).astype(int)
    assert ct.labels.voxels[k, j, i] == ct[worst.bone].value
    assert found.disagreement_mm.voxels[k, j, i] >= worst.deepest_mm - worst.allowed_mm - 1e-3
    assert found.segmentation["spinal_canal"].confidence <= 0.5
    assert str(worst) in found.segmentation.notes
    # An error of that size, once admitted, explains it.
    assert not combine_labels(ct, mr, result(off, 9.0)).disagreements


def renamed(segmentation, names):
    return replace(
        segmentation, segments=tuple(replace(s, name=names.get(s.name, s.name)) for s in segmentation.segments)
    )


def test_vertebrae_that_the_mr_only_numbers_are_those_of_the_ct(pair):
    ct, mr, motion = pair
    found = combine_labels(ct, renamed(mr, {"L4": "V1", "L5": "V2"}), result(motion))
    assert not found.disagreements
    assert not {"V1", "V2"} & {s.name for s in found.segmentation.segments}
    notes = " ".join(found.segmentation.notes)
    assert "V1 of the MR is L4 of the CT" in notes
    assert "V2 of the MR is L5 of the CT" in notes
    assert np.array_equal(found.segmentation.mask("L4"), ct.mask("L4"))


def test_levels_that_are_named_differently_are_told(pair):
    ct, mr, motion = pair
    found = combine_labels(ct, renamed(mr, {"L4": "L3", "L3": "L2"}), result(motion))
    told = {(d.name, d.bone) for d in found.disagreements}
    assert ("L3", "L4") in told, "the CT has an L3 of its own, and it is another"
    assert np.array_equal(found.segmentation.mask("L3"), ct.mask("L3"))
    assert "named differently, or the registration is a level off" in " ".join(found.segmentation.notes)


def test_a_tumour_takes_the_place_of_bone(small_patient, pair):
    ct, mr, motion = pair
    middle = np.asarray(small_patient.vertebrae["L4"].frame_to_ras)[:3, 3]
    k, j, i = np.indices(mr.labels.voxels.shape)
    places = transform_points(
        invert_rigid(motion) @ mr.labels.ijk_to_ras, np.stack([i, j, k], -1).reshape(-1, 3).astype(float)
    )
    ball = (np.linalg.norm(places - middle, axis=1) < 7.0).reshape(mr.labels.voxels.shape)
    # A value that the CT has for a bone: it is given another.
    value = ct.segments[0].value
    labels = mr.labels.with_voxels(np.where(ball, value, np.where(mr.labels.voxels == value, 0, mr.labels.voxels)))
    kept = tuple(s for s in mr.segments if s.value != value)
    found = combine_labels(ct, Segmentation(labels, (*kept, Segment(value, "tumour", "lesion"))), result(motion))
    tumour = found.segmentation.mask("tumour")
    assert found.segmentation["tumour"].value not in {s.value for s in ct.segments}
    assert tumour.sum() * ct.labels.voxel_mm3 == pytest.approx(4 / 3 * np.pi * 7.0**3, rel=0.15)
    assert (ct.labels.voxels[tumour] == ct["L4"].value).mean() > 0.9
    assert not found.disagreements


def test_what_cannot_be_trusted_or_does_not_meet_is_refused(pair):
    ct, mr, motion = pair
    with pytest.raises(InputError, match="cannot be trusted: as it was made"):
        combine_labels(ct, mr, result(motion, None, Verdict.REJECTED))
    far = motion @ rigid(None, np.array([900.0, 0.0, 0.0]))
    with pytest.raises(InputError, match="nothing that is labelled in the MR"):
        combine_labels(ct, mr, result(far))


@pytest.mark.slow
def test_a_map_that_bends_carries_too(pair):
    ct, mr, motion = pair

    def bent(points_ras):
        out = transform_points(motion, points_ras)
        return out + 2.0 * np.sin(out[..., 2:3] / 30.0) * np.array([1.0, 0.0, 0.0])

    found = combine_mapped(ct, mr, bent, 0.5)
    canal, straight = (f.segmentation.mask("spinal_canal") for f in (found, combine_labels(ct, mr, result(motion))))
    assert canal.sum() == pytest.approx(straight.sum(), rel=0.1)
    assert (canal & ~straight).sum() > 0.02 * straight.sum()
