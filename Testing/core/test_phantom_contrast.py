"""Proton density, fat suppression and metal in generated patients: against physics in closed form, and what stays as it was."""

import numpy as np
import pytest

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import rigid, rotation_about, transform_points
from MSKFusionLib.interpolation import interpolate, sample_volume
from MSKFusionLib.phantom import PatientOptions, generate_patient
from MSKFusionLib.phantom.grid import Grid
from MSKFusionLib.phantom.metal import coverage
from MSKFusionLib.phantom.metal_ct import add_metal, measured_cm
from MSKFusionLib.phantom.metal_mr import field_around, spoil_with_metal
from MSKFusionLib.phantom.relaxation import SEQUENCES, Sequence, relaxed_signals
from MSKFusionLib.phantom.shapes import Shape, ellipsoid, tube
from MSKFusionLib.phantom.tissue import Tissue

TINY = {"levels": ("L4", "L5"), "ct_spacing_mm": (2.0, 2.0, 3.0), "mr_spacing_mm": (2.0, 6.0)}


@pytest.fixture(scope="module")
def plain():
    return generate_patient(PatientOptions(seed=7, **TINY))


@pytest.fixture(scope="module")
def treated():
    """The same body with everything that can be added."""
    more = {"more_weightings": ("PD", "FS"), "screws_in_ct": ("L4",), "screws_in_mr": ("L4", "L5")}
    return generate_patient(PatientOptions(seed=7, **TINY, **more))


# ---------------------------------------------------------------------- what is asked for, and nothing else
def test_what_was_not_asked_for_stays_as_it_was(plain):
    images = generate_patient(PatientOptions(seed=7, more_weightings=("FS",), **TINY))
    operated = generate_patient(PatientOptions(seed=7, screws_in_ct=("L5",), **TINY))
    for name in ("ct", "mr_t1", "mr_t2"):
        assert getattr(images, name).sha256() == getattr(plain, name).sha256()
        assert (getattr(operated, name).sha256() == getattr(plain, name).sha256()) == (name != "ct")
    assert operated.labels.labels.sha256() == plain.labels.labels.sha256()
    assert list(images.more_mr) == ["FS"]
    with pytest.raises(InputError, match="no PD image"):
        images.mr("PD")


@pytest.mark.parametrize(
    "wrong",
    [
        {"more_weightings": ("T1",)},
        {"more_weightings": ("PD", "PD")},
        {"screws_in_ct": ("S1",)},
        {"screws_in_mr": ("L5", "L4")},
        {"screws_in_mr": ("L2",)},
        {"screws_in_mr": ("L4",), "two_postures": True},
    ],
)
def test_wrong_additions_are_refused(wrong):
    with pytest.raises(InputError):
        PatientOptions(**TINY, **wrong)


# ---------------------------------------------------------------------- weightings
def test_an_inversion_pulse_nulls_one_relaxation_time():
    t1 = np.linspace(150.0, 400.0, 2001)
    signal = Sequence(1e9, 1.0, 165.0).signal(np.ones(2001), t1, np.full(2001, 100.0))
    assert t1[np.argmin(signal)] == pytest.approx(165.0 / np.log(2.0), abs=0.5)


def test_weightings_show_tissues_in_their_order():
    fs, pd = (np.array(relaxed_signals(SEQUENCES[n]).mean) for n in ("FS", "PD"))
    assert fs[Tissue.FAT] < 0.1
    assert fs[Tissue.FAT] < fs[Tissue.MUSCLE] < fs[Tissue.KIDNEY] < fs[Tissue.CSF] == 1.0
    assert pd[Tissue.MUSCLE] > 0.5
    assert abs(pd[Tissue.FAT] / pd[Tissue.CSF] - 1) < 0.3
    assert relaxed_signals(SEQUENCES["FS"]).cancellous < fs[Tissue.MUSCLE]


def test_images_show_the_weighting_where_the_truth_says(plain, treated):
    """At the CT's labels, through the true motion and away from the metal."""
    k, j, i = np.nonzero(treated.labels.mask("muscle"))
    muscle = transform_points(plain.ct.ijk_to_ras, np.stack([i, j, k], axis=1)[::7])
    skin = np.argmax(plain.ct.voxels[5, ::-1, 45] > -400)
    row = plain.ct.shape_ijk[1] - 1 - skin
    fat = transform_points(plain.ct.ijk_to_ras, [[45.0, row - 5.0, n] for n in range(3, 12)])
    shown = {}
    for name in ("PD", "FS", "T1"):
        image = treated.mr(name)
        at = {"muscle": muscle, "fat": fat}
        shown[name] = {
            n: float(np.median(sample_volume(image, transform_points(treated.ct_to_mr_ras, p)))) for n, p in at.items()
        }
    assert shown["FS"]["fat"] < 0.8 * shown["FS"]["muscle"]  # the coil is at the back, which brightens the fat
    assert shown["T1"]["fat"] > 2.0 * shown["T1"]["muscle"]
    assert 1.0 < shown["PD"]["fat"] / shown["PD"]["muscle"] < 3.5


# ---------------------------------------------------------------------- metal in CT
def test_a_scanner_is_right_about_water_and_misjudges_metal():
    cm = np.array([0.0, 5.0, 20.0, 40.0])
    np.testing.assert_allclose(measured_cm(cm, np.zeros(4)), cm, atol=1e-6)
    # The same metal seems thinner the more of the soft rays are gone already, and the thicker it is.
    behind = measured_cm(cm[:3], np.full(3, 0.5)) - cm[:3]
    assert np.all(np.diff(behind) < 0)
    layers = np.array([0.3, 0.6, 0.9])
    assert np.all(np.diff(np.diff(np.r_[0.0, measured_cm(np.zeros(3), layers)])) < 0)
    assert measured_cm(np.array([20.0]), np.array([50.0]))[0] < 60.0, "no photons are not endlessly much water"


def _water_with(rods: Shape) -> tuple[np.ndarray, Grid]:
    """A disc of water of 80 mm radius (HU), rods in it, and its grid of 1 mm."""
    grid = Grid((2, 170, 170), np.array([[1.0, 0, 0, -84.5], [0, 1, 0, -84.5], [0, 0, 2, -1], [0, 0, 0, 1]]))
    x, y, _ = grid.coordinates()
    image = np.where(np.hypot(x, y) < 80, 0.0, -1000.0).astype(np.float32)
    add_metal(image, grid, rods, np.random.default_rng(0))
    return image, grid


def test_a_rod_in_the_middle_weighs_what_its_rays_were_taken_for():
    """All views of a centred rod are alike, and the sum over the reconstructed slice is the sum over any one view."""
    radius = 4.0
    image, _ = _water_with(Shape(tube([[0, 0, -40], [0, 0, 40]], [radius, radius])))
    s = np.linspace(-radius, radius, 4001)
    metal_cm, water_cm = 0.2 * np.sqrt(radius**2 - s**2), 0.2 * np.sqrt(80.0**2 - s**2)
    added_cm = measured_cm(water_cm - metal_cm, metal_cm) - water_cm
    expected = float(np.trapezoid(added_cm, s)) * 10.0  # mm2 of water
    x, y = np.meshgrid(*[np.arange(170) - 84.5] * 2)
    whole = np.where(np.hypot(x, y) < 80, 0.0, -1000.0)
    assert (image[1] - whole).sum() / 1000.0 == pytest.approx(expected, rel=0.06)
    assert image[1, 84:86, 84:86].min() > 3071


def test_between_two_rods_the_ct_is_dark():
    ends = [tube([[x, 0, -40], [x, 0, 40]], [4.0, 4.0]) for x in (-25.0, 25.0)]
    image, _ = _water_with(Shape((*ends[0], *ends[1])))
    between, beside = image[:, 80:90, 75:95].mean(), image[:, 120:130, 75:95].mean()
    # On rays through both rods the second seems thinner than it would alone.
    deficit_cm = (
        2 * measured_cm(np.array([16.0]), np.array([0.8])) - measured_cm(np.array([16.0]), np.array([1.6])) - 16.0
    )
    assert deficit_cm[0] > 0.3
    assert between < -30
    assert abs(beside) < 0.5 * abs(between)
    assert abs(image[:, 15:25, 15:25].mean() + 1000) < 60, "the air stays air"


def test_screws_saturate_the_ct_in_their_slices_only(plain, treated):
    pedicle = treated.vertebrae["L4"].pedicles["left"]
    axis = pedicle.posterior_ras + np.linspace(0.2, 0.5, 7)[:, None] * (pedicle.anterior_ras - pedicle.posterior_ras)
    assert np.median(sample_volume(treated.ct, axis)) > 2500
    changed = np.flatnonzero((treated.ct.voxels != plain.ct.voxels).any(axis=(1, 2)))
    assert changed[-1] - changed[0] + 1 == len(changed)
    assert len(changed) < 0.5 * treated.ct.shape_ijk[2]


# ---------------------------------------------------------------------- metal in MR
def test_coverage_adds_up_to_the_volume():
    ball = Shape((ellipsoid([3.0, -2.0, 1.0], [6.0, 6.0, 6.0]),))
    grid = Grid((40, 40, 40), np.array([[1.0, 0, 0, -20], [0, 1, 0, -20], [0, 0, 1, -20], [0, 0, 0, 1]]))
    found = coverage(ball, grid)
    assert found is not None
    assert found[0].sum() == pytest.approx(4 / 3 * np.pi * 216, rel=0.02)


def test_the_field_of_a_ball_is_a_dipole_along_the_scanner():
    radius, chi = 8.0, 191.0
    world_to_scanner = rigid(rotation_about((1, 2, 0), 35.0), (5.0, -9.0, 14.0))
    ball = Shape((ellipsoid([2.0, 3.0, 4.0], [radius] * 3),))
    field, field_to_world = field_around(ball, world_to_scanner)
    along = world_to_scanner[:3, :3].T @ [0.0, 0.0, 1.0]
    across = np.cross(along, [0.0, 0.0, 1.0])
    across /= np.linalg.norm(across)
    for distance in (13.0, 20.0):
        size = chi / 3 * (radius / distance) ** 3
        places = np.array([2.0, 3.0, 4.0]) + distance * np.array([along, -along, across, -across])
        ppm = interpolate(field, transform_points(np.linalg.inv(field_to_world), places))
        np.testing.assert_allclose(ppm, size * np.array([2.0, 2.0, -1.0, -1.0]), atol=0.08 * size + 0.4)


def _rod_in_even_tissue(world_to_scanner: np.ndarray) -> np.ndarray:
    """The middle slice (1 mm, signal 1) across a rod of 3 mm radius."""
    grid = Grid((3, 90, 90), np.array([[1.0, 0, 0, -44.5], [0, 1, 0, -44.5], [0, 0, 3, -3], [0, 0, 0, 1]]))
    signal = np.ones(grid.shape, dtype=np.float32)
    spoil_with_metal(signal, grid, Shape(tube([[0, 0, -20], [0, 0, 20]], [3.0, 3.0])), world_to_scanner)
    return signal[1]


@pytest.mark.parametrize(("axis", "angle_deg"), [((1, 0, 0), 90.0), ((0, 1, 0), 90.0)])
def test_signal_leaves_metal_and_piles_up_beside_it(axis, angle_deg):
    """The scanner's field lies across the rod: along the slice's columns or rows."""
    shown = _rod_in_even_tissue(rigid(rotation_about(axis, angle_deg)))
    void = shown < 0.5
    assert void.sum() > 2 * np.pi * 9, "larger than the rod"
    assert np.hypot(*(np.argwhere(void) - 44.5).T).max() < 20
    assert shown.max() > 2, "a bright rim"
    # Signal is moved, not made: what is missing is the rod's own.
    assert (1.0 - shown).sum() == pytest.approx(np.pi * 9, rel=0.05)
    assert np.abs(shown[:, :3] - 1).max() < 0.02, "far away nothing changes"


def test_a_rod_along_the_field_hides_little_but_itself():
    assert (_rod_in_even_tissue(np.eye(4)) < 0.5).sum() < 2 * np.pi * 9


def test_screws_darken_the_mr_around_them(plain, treated):
    middles = [treated.vertebrae["L4"].pedicles[s].isthmus_ras for s in ("left", "right")]
    there = transform_points(treated.ct_to_mr_ras, np.array(middles))
    assert sample_volume(treated.mr_t1, there).max() < 0.5 * sample_volume(plain.mr_t1, there).min()
