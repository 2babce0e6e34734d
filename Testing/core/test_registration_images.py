"""Rigid registration of images as they come: other weightings, metal, little overlap, thick slices, headers that say less or seem wrong."""

from dataclasses import replace

import numpy as np
import pytest
from core.body_pair import BodyPair, body_pair

from MSKFusionLib.frames import FloatArray, invert_rigid, transform_points
from MSKFusionLib.phantom import Patient, PatientOptions, generate_patient
from MSKFusionLib.registration import RegistrationResult, Verdict, register_rigid
from MSKFusionLib.volume import Volume, read_image, write_image

SEEDS = (1, 2)
LEVELS = ("L3", "L4", "L5")
#: What a planning system may be off on bone.
MOST_MM = 1.0


# ---------------------------------------------------------------------- one geometry, said in other ways
def left_handed(volume: Volume, axis: int) -> Volume:
    """The same image with one index axis counted from its other end: directions with a negative determinant."""
    directions = volume.directions_ras.copy()
    directions[:, axis] *= -1
    end = np.zeros(3)
    end[axis] = volume.shape_ijk[axis] - 1
    return replace(
        volume,
        voxels=np.ascontiguousarray(np.flip(volume.voxels, 2 - axis)),
        origin_ras=transform_points(volume.ijk_to_ras, end),
        directions_ras=directions,
    )


def axes_swapped(volume: Volume, order: tuple[int, int, int]) -> Volume:
    """The same image with its index axes in another order."""
    kji = [2 - order[2 - n] for n in range(3)]
    return replace(
        volume,
        voxels=np.ascontiguousarray(volume.voxels.transpose(kji)),
        directions_ras=volume.directions_ras[:, list(order)],
        spacing_mm=volume.spacing_mm[list(order)],
    )


def stripped(volume: Volume) -> Volume:
    """The same voxels with a header that only knows their size: directions of the identity (LPS), origin 0."""
    return replace(volume, origin_ras=np.zeros(3), directions_ras=np.diag([-1.0, -1.0, 1.0]))


def moved_by_header(volume: Volume, other: Volume) -> FloatArray:
    """4x4 from where the anatomy is in one image to where it is in another with the same voxels."""
    return other.ijk_to_ras @ volume.ras_to_ijk


@pytest.mark.parametrize("name", ["image.nrrd", "image.nii.gz", "image.mha"])
def test_a_left_handed_header_is_kept_by_every_format(tmp_path, name):
    volume = body_pair(0).mr
    turned = left_handed(volume, 1)
    assert np.linalg.det(turned.directions_ras) < 0
    write_image(turned, tmp_path / name)
    back = read_image(tmp_path / name)
    np.testing.assert_allclose(back.ijk_to_ras, turned.ijk_to_ras, atol=1e-4)
    # The same place of the body has the same value.
    points = np.array([[10.0, -20.0, 15.0], [40.0, 5.0, -30.0], [25.0, -30.0, 60.0]])
    for point in points:
        values = [
            v.voxels[tuple(np.rint(transform_points(v.ras_to_ijk, point)).astype(int)[::-1])] for v in (volume, back)
        ]
        assert values[0] == pytest.approx(values[1], rel=1e-5)


@pytest.mark.slow
def test_left_handed_headers_on_both_sides_register_as_the_right_handed_ones():
    pair: BodyPair = body_pair(0)
    found = register_rigid(left_handed(pair.mr, 1), left_handed(pair.ct, 2), anywhere=False)
    assert found.verdict is Verdict.ACCEPTED
    assert np.linalg.det(found.fixed_to_moving_ras[:3, :3]) == pytest.approx(1.0)
    assert pair.error_mm(invert_rigid(found.fixed_to_moving_ras)) < 0.4


# ---------------------------------------------------------------------- patients
@pytest.fixture(scope="module", params=SEEDS)
def plain(request) -> Patient:
    return generate_patient(PatientOptions.small(request.param, more_weightings=("PD", "FS")))


@pytest.fixture(scope="module", params=SEEDS)
def operated(request) -> tuple[Patient, Patient]:
    """One patient without and with screws in all of three vertebrae and rods between them."""
    seed = request.param
    with_metal = generate_patient(
        PatientOptions.small(seed, more_weightings=("PD", "FS"), screws_in_ct=LEVELS, screws_in_mr=LEVELS)
    )
    return generate_patient(PatientOptions.small(seed)), with_metal


def bone_error_mm(patient: Patient, ct: Volume, mr: Volume, ct_to_mr_ras: FloatArray, truth_ras: FloatArray) -> float:
    """The mean error over the bone that both images show."""
    points = np.concatenate([patient.bone_points_ras(level, 200) for level in patient.vertebrae])
    seen = np.ones(len(points), dtype=bool)
    for volume, at in ((ct, points), (mr, transform_points(truth_ras, points))):
        ijk = transform_points(volume.ras_to_ijk, at)
        seen &= np.all((ijk >= 0) & (ijk <= np.array(volume.shape_ijk) - 1), axis=1)
    assert seen.sum() > 50
    points = points[seen]
    apart = transform_points(ct_to_mr_ras, points) - transform_points(truth_ras, points)
    return float(np.linalg.norm(apart, axis=1).mean())


def assert_right(
    found: RegistrationResult, patient: Patient, ct: Volume, mr: Volume, truth_ras: FloatArray | None = None
) -> None:
    truth = patient.ct_to_mr_ras if truth_ras is None else truth_ras
    error = bone_error_mm(patient, ct, mr, found.fixed_to_moving_ras, truth)
    assert found.verdict is Verdict.ACCEPTED, (error, found.reasons)
    assert error < MOST_MM
    assert found.expected_error_mm is not None
    assert error < 3.0 * found.expected_error_mm


@pytest.mark.slow
@pytest.mark.parametrize("weighting", ["PD", "FS"])
def test_other_weightings(plain: Patient, weighting: str):
    mr = plain.mr(weighting)
    assert_right(register_rigid(plain.ct, mr), plain, plain.ct, mr)


@pytest.mark.slow
@pytest.mark.parametrize("weighting", ["T1", "T2"])
@pytest.mark.parametrize("where", ["ct", "mr"])
def test_metal_in_one_image(operated: tuple[Patient, Patient], where: str, weighting: str):
    before, after = operated
    ct, mr = (after.ct, before.mr(weighting)) if where == "ct" else (before.ct, after.mr(weighting))
    assert_right(register_rigid(ct, mr), before, ct, mr)


@pytest.mark.slow
@pytest.mark.parametrize("weighting", ["T1", "T2", "PD", "FS"])
def test_metal_in_both_images(operated: tuple[Patient, Patient], weighting: str):
    _, after = operated
    mr = after.mr(weighting)
    assert_right(register_rigid(after.ct, mr), after, after.ct, mr)


def _with_share_of_mr(patient: Patient, mr: Volume, share: float, *, upper: bool) -> Volume:
    """The CT cut across so that this share of the MR's voxels lies in it."""
    n = mr.shape_ijk
    ijk = np.stack(np.meshgrid(*[np.arange(0, m, 4) for m in n], indexing="ij"), -1).reshape(-1, 3)
    mr_to_ct = patient.ct.ras_to_ijk @ invert_rigid(patient.ct_to_mr_ras) @ mr.ijk_to_ras
    at = transform_points(mr_to_ct, ijk)
    size = np.array(patient.ct.shape_ijk)
    inside = np.all((at >= 0) & (at <= size - 1), axis=1)
    slices = np.arange(5, size[2] - 5)
    shares = np.array([(inside & ((at[:, 2] >= k) if upper else (at[:, 2] <= k))).mean() for k in slices])
    k = int(slices[np.argmin(np.abs(shares - share))])
    part = patient.ct.cropped((0, 0, k if upper else 0), (*size[:2], size[2] if upper else k + 1))
    return replace(part, voxels=np.ascontiguousarray(part.voxels))


@pytest.mark.slow
@pytest.mark.parametrize("upper", [True, False])
def test_a_third_of_the_mr_overlaps(plain: Patient, upper: bool):
    ct = _with_share_of_mr(plain, plain.mr_t2, 1 / 3, upper=upper)
    assert_right(register_rigid(ct, plain.mr_t2), plain, ct, plain.mr_t2)


@pytest.mark.slow
@pytest.mark.parametrize("weighting", ["T1", "T2"])
def test_slices_of_5_mm(weighting: str):
    patient = generate_patient(PatientOptions.small(1, mr_spacing_mm=(0.5, 5.0)))
    mr = patient.mr(weighting)
    assert mr.spacing_mm.max() / mr.spacing_mm.min() > 9
    assert_right(register_rigid(patient.ct, mr), patient, patient.ct, mr)


@pytest.mark.slow
def test_mr_fixed(plain: Patient):
    found = register_rigid(plain.mr_t2, plain.ct)
    turned = replace(found, fixed_to_moving_ras=invert_rigid(found.fixed_to_moving_ras))
    assert_right(turned, plain, plain.ct, plain.mr_t2)


@pytest.mark.slow
@pytest.mark.parametrize("weighting", ["T1", "T2"])
def test_a_stripped_header_is_found(plain: Patient, weighting: str):
    """Nothing tells where the MR was."""
    mr = plain.mr(weighting)
    bare = stripped(mr)
    truth = moved_by_header(mr, bare) @ plain.ct_to_mr_ras
    assert_right(register_rigid(plain.ct, bare), plain, plain.ct, bare, truth)


@pytest.mark.slow
def test_a_header_with_its_axes_mixed_up(plain: Patient):
    """i, j and k named one for another: what is called up is across."""
    mr = plain.mr_t2
    mixed = replace(mr, directions_ras=mr.directions_ras[:, [1, 2, 0]])
    truth = moved_by_header(mr, mixed) @ plain.ct_to_mr_ras
    assert_right(register_rigid(plain.ct, mixed), plain, plain.ct, mixed, truth)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [lambda v: axes_swapped(v, (1, 0, 2)), lambda v: axes_swapped(v, (2, 0, 1)), lambda v: left_handed(v, 0)],
    ids=["two axes", "three axes", "left-handed"],
)
@pytest.mark.parametrize("where", ["ct", "mr"])
def test_voxels_in_another_order(plain: Patient, where: str, change):
    ct, mr = plain.ct, plain.mr_t2
    ct, mr = (change(ct), mr) if where == "ct" else (ct, change(mr))
    assert_right(register_rigid(ct, mr), plain, ct, mr)
