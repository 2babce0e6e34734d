"""Generated patients: what is stated as truth must hold on the shapes themselves, found another way."""

import itertools

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from MSKFusionLib.boxes import mask_box, touches_border
from MSKFusionLib.errors import Cancelled, InputError
from MSKFusionLib.frames import invert_rigid, rotation_angle_deg, transform_points
from MSKFusionLib.phantom import PatientOptions, generate_patient
from MSKFusionLib.phantom.bone_surface import BoneSurface
from MSKFusionLib.phantom.ct import ct_grid
from MSKFusionLib.phantom.grid import Grid, evaluate
from MSKFusionLib.phantom.spine import JOINT_GAP_MM, build_spine
from MSKFusionLib.volume import Modality

TINY = {"levels": ("L4", "L5"), "ct_spacing_mm": (2.0, 2.0, 3.0), "mr_spacing_mm": (2.0, 6.0)}


@pytest.fixture(scope="module")
def spine():
    return build_spine(PatientOptions(seed=3))


def inside(shape, points_ras):
    return shape.value_at(transform_points(invert_rigid(shape.frame_to_world), points_ras)) > 0


def sample(volume, points_ras):
    ijk = transform_points(volume.ras_to_ijk, points_ras)
    return map_coordinates(volume.voxels.astype(np.float32), ijk[:, ::-1].T, order=1, mode="nearest")


# ---------------------------------------------------------------------- shapes
@pytest.mark.parametrize("level", ["L2", "S1"])
def test_depth_is_the_distance_to_a_densely_sampled_surface(spine, level):
    shape = spine.bones[level]
    surface = BoneSurface(shape)
    rng = np.random.default_rng(0)
    worst = []
    for start in surface.points_ras[rng.choice(len(surface.points_ras), 6, replace=False)]:
        # Zero crossings along x, y and z in a block of 12 mm, 0.25 mm apart: nothing of the code under test but the sign.
        h = 0.25
        axis = np.arange(-6, 6, h)
        block = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1) + start
        v = shape.value_at(transform_points(invert_rigid(shape.frame_to_world), block.reshape(-1, 3)))
        v = v.reshape(block.shape[:3])
        crossings = []
        for k in range(3):
            a, b = np.moveaxis(v, k, 0)[:-1], np.moveaxis(v, k, 0)[1:]
            p = np.moveaxis(block, k, 0)[:-1]
            at = (a > 0) != (b > 0)
            q = p[at].copy()
            q[:, k] += h * a[at] / (a[at] - b[at])
            crossings.append(q)
        tree = cKDTree(np.concatenate(crossings))
        test = start + rng.uniform(-1.7, 1.7, (200, 3))  # the nearest surface is within the block
        expected = tree.query(test)[0] * np.where(inside(shape, test), 1, -1)
        # Sampling 0.25 mm apart misses the foot of points almost on the surface; it is exact away from it.
        clear = np.abs(expected) > 0.4
        worst.append(np.abs(surface.depth_mm(test) - expected)[clear].max())
    assert max(worst) < 0.05


def test_depth_far_away_and_deep_inside(spine):
    surface = BoneSurface(spine.bones["L3"])
    frame, size = spine.frames["L3"], spine.sizes["L3"]
    ahead = transform_points(frame, [[0.0, 200.0, 0.0]])
    nearest = np.linalg.norm(surface.points_ras - ahead, axis=1).min()
    assert surface.depth_mm(ahead)[0] == pytest.approx(-nearest, abs=0.1)
    assert 0.35 * size.height < surface.depth_mm(transform_points(frame, [[0.0, 0.0, 0.0]]))[0] < 0.5 * size.height


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("level", ["L1", "L3", "L5"])
def test_pedicle_width_by_brute_force(spine, level, side):
    from MSKFusionLib.phantom.truth import measure_pedicle

    shape, size = spine.bones[level], spine.sizes[level]
    truth = measure_pedicle(shape, size, side)
    axis = truth.anterior_ras - truth.posterior_ras
    axis /= np.linalg.norm(axis)
    up = spine.frames[level][:3, 2]
    across = np.cross(axis, up)
    t = np.arange(-14, 14, 0.05)
    narrowest = np.inf
    for offset in np.arange(-2.0, 2.1, 0.5):
        for height in np.arange(-1.0, 1.1, 0.5):
            line = truth.isthmus_ras + offset * axis + height * up + t[:, None] * across
            hit = inside(shape, line)
            middle = len(t) // 2
            left = np.flatnonzero(~hit[:middle])[-1]
            right = middle + np.flatnonzero(~hit[middle:])[0]
            narrowest = min(narrowest, (right - left - 1) * 0.05)
    assert truth.width_mm == pytest.approx(narrowest, abs=0.15)
    # The largest ball in the isthmus: what a screw can use.
    surface = BoneSurface(shape)
    assert 2 * surface.depth_mm(truth.isthmus_ras)[0] == pytest.approx(truth.width_mm, abs=0.5)
    # The ends of the axis lie on the surface, all between them in the bone.
    assert np.abs(surface.depth_mm(np.stack([truth.posterior_ras, truth.anterior_ras]))).max() < 0.1
    between = np.linspace(truth.posterior_ras, truth.anterior_ras, 60)[2:-2]
    assert inside(shape, between).all()
    assert truth.height_mm > truth.width_mm or level == "L5"


def test_bones_keep_a_joint_space(spine):
    names = list(spine.bones)
    surfaces = {n: BoneSurface(spine.bones[n]) for n in ("L4", "L5", "S1")}
    for upper, lower in itertools.pairwise(names):
        if upper in surfaces and lower in surfaces:
            gap = -surfaces[upper].depth_mm(surfaces[lower].points_ras).max()
            assert 0.7 < gap < JOINT_GAP_MM + 0.4, (upper, lower)


@pytest.mark.parametrize("seed", [1, 11])
def test_bones_never_overlap_and_the_canal_is_open(seed):
    spine = build_spine(PatientOptions(seed=seed, scoliosis_deg=25.0, wedge_fracture="L2", pedicle_width_min_mm=4.0))
    rng = np.random.default_rng(0)
    points = np.concatenate(
        [transform_points(f, rng.uniform([-50, -75, -35], [50, 22, 35], (20000, 3))) for f in spine.frames.values()]
    )
    count = np.sum([inside(s, points) for s in spine.all_bones.values()], axis=0)
    assert count.max() == 1
    for level, frame in spine.frames.items():
        size = spine.sizes[level]
        z = np.linspace(-0.5 * size.height, 0.5 * size.height, 9)
        for x in (-5.0, 0.0, 5.0):
            middle = np.stack([np.full(9, x), np.full(9, size.canal_centre_y), z], axis=1)
            if level == "S1":
                middle = middle[z > 0]
            ras = transform_points(frame, middle)
            assert not any(inside(s, ras).any() for s in spine.all_bones.values()), level


def test_narrowest_pedicle_is_as_asked():
    from MSKFusionLib.phantom.truth import measure_pedicle

    for width in (4.0, 7.0):
        spine = build_spine(PatientOptions(seed=5, pedicle_width_min_mm=width))
        made = [
            measure_pedicle(spine.bones[n], spine.sizes[n], s).width_mm for n in ("L1", "L2", "L3") for s in (-1, 1)
        ]
        assert min(made) == pytest.approx(width, abs=0.1)


@pytest.mark.parametrize("cobb", [0.0, 12.0, 25.0])
def test_cobb_angle(cobb):
    spine = build_spine(PatientOptions(seed=2, scoliosis_deg=cobb, wedge_fracture="none"))
    up = np.array([spine.frames[n][:3, 2] for n in ("T12", "L1", "L2", "L3", "L4", "L5")])
    tilt = np.degrees(np.arctan2(up[:, 0], up[:, 2]))
    assert np.ptp(tilt) == pytest.approx(cobb, abs=1.0)


def test_lordosis_and_proportions(spine):
    up = {n: f[:3, 2] for n, f in spine.frames.items()}
    tilt = {n: np.degrees(np.arctan2(v[1], v[2])) for n, v in up.items()}
    assert 30 < tilt["S1"] - tilt["L1"] < 65
    canal = [spine.sizes[n].canal_half_width for n in ("L1", "L3", "L5")]
    assert canal == sorted(canal)
    for n in ("L1", "L2", "L3", "L4", "L5"):
        size = spine.sizes[n]
        assert 36 < 2 * size.half_width < 58
        assert 26 < 2 * size.half_depth < 40
        assert 22 < size.height < 33


def test_wedge_fracture_lowers_the_front():
    options = PatientOptions(seed=2, wedge_fracture="L2")
    size = build_spine(options).sizes["L2"]
    front = size.top_z(size.half_depth) - size.bottom_z(size.half_depth)
    back = size.top_z(-size.half_depth) - size.bottom_z(-size.half_depth)
    assert 0.6 < front / back < 0.9


# ---------------------------------------------------------------------- options
@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": -1},
        {"seed": 1.5},
        {"scale": 3.0},
        {"pedicle_width_min_mm": 0.5},
        {"scoliosis_deg": 90.0},
        {"wedge_fracture": "C3"},
        {"levels": ("L1", "L3")},
        {"levels": ("L3",)},
        {"levels": ("L4", "L5"), "wedge_fracture": "L1"},
        {"ct_spacing_mm": (0.7, 0.7, 0.0)},
        {"ct_spacing_mm": (0.7, 0.7)},
        {"scale": float("nan")},
    ],
)
def test_wrong_options_are_refused(wrong):
    with pytest.raises(InputError):
        PatientOptions(**wrong)


def test_cancelling_stops():
    def stop(fraction, message):
        raise Cancelled(message)

    with pytest.raises(Cancelled):
        generate_patient(PatientOptions(**TINY), stop)


# ---------------------------------------------------------------------- images
def test_same_seed_same_patient_other_seed_another():
    a, b, c = (generate_patient(PatientOptions(seed=s, **TINY)) for s in (7, 7, 8))
    for name in ("ct", "mr_t1", "mr_t2"):
        assert getattr(a, name).sha256() == getattr(b, name).sha256()
        assert getattr(a, name).sha256() != getattr(c, name).sha256()
    assert a.labels.labels.sha256() == b.labels.labels.sha256()
    assert np.array_equal(a.ct_to_mr_ras, b.ct_to_mr_ras)


def test_volumes_have_geometry_of_their_own(small_patient):
    p = small_patient
    assert [v.modality for v in (p.ct, p.mr_t1, p.mr_t2)] == [Modality.CT, Modality.MR, Modality.MR]
    assert p.ct.spacing_mm == pytest.approx(p.options.ct_spacing_mm)
    assert p.labels.labels.same_grid(p.ct)
    assert not p.mr_t1.same_grid(p.mr_t2)
    assert np.abs(p.ct.directions_ras).max() < 0.99999  # oblique
    assert 10 <= rotation_angle_deg(p.ct_to_mr_ras) <= 28
    moved = transform_points(p.ct_to_mr_ras, p.ct.centre_ras) - p.ct.centre_ras
    assert 20 <= np.linalg.norm(moved) <= 50


def test_labels_are_the_inside_of_the_true_surfaces(small_patient):
    p = small_patient
    for level in ("L4", "S1"):
        mask = p.labels.mask(level)
        k, j, i = np.nonzero(mask)
        pick = np.random.default_rng(0).choice(len(k), 500)
        ras = transform_points(p.ct.ijk_to_ras, np.stack([i, j, k], 1)[pick])
        assert p.bone_depth_mm(level, ras).min() > -1e-3
        assert mask.sum() * p.ct.voxel_mm3 > 20_000
    assert {"L3", "L4", "L5", "S1", "disc_L4_L5", "spinal_canal", "nerve_roots", "aorta", "vena_cava", "muscle"} <= {
        s.name for s in p.labels.segments
    }
    assert p.vertebrae["L4"].complete_in_ct
    assert p.labels["L4"].complete


def test_the_canal_is_all_between_body_pedicles_and_laminae_and_ends_with_the_spine(small_patient):
    p = small_patient
    labels, bones = p.labels.labels, [s.value for s in p.labels.bones]
    canal, roots = p.labels["spinal_canal"].value, p.labels["nerve_roots"].value
    t = np.arange(0.0, 16.0, 0.25)
    for level in ("L4", "L5"):
        size, frame = p.spine.sizes[level], p.spine.frames[level]
        # To the sides where the pedicles are, backwards where the laminae are: from the middle on there is canal, then bone.
        # A pedicle that stands off the foramen's edge leaves a gap there.
        for z, gap_mm, angles in ((size.pedicle_z, 2.5, (0, 180)), (-0.3 * size.height, 1.0, range(-120, -59, 15))):
            for angle in np.radians(angles):
                ray = np.array([0.0, size.canal_centre_y, z]) + t[:, None] * [np.cos(angle), np.sin(angle), 0.0]
                i, j, k = np.rint(transform_points(p.ct.ras_to_ijk @ frame, ray)).astype(int).T
                seen = labels.voxels[k, j, i]
                wall = int(np.isin(seen, bones).argmax())
                assert wall > 0, (level, np.degrees(angle))
                assert 0.25 * (~np.isin(seen[:wall], (canal, roots))).sum() <= gap_mm, (level, np.degrees(angle))
    first = p.spine.frames["L3"]
    kji = np.argwhere(p.labels.mask("spinal_canal"))
    height = transform_points(invert_rigid(first) @ p.ct.ijk_to_ras, kji[:, ::-1].astype(float))[:, 2]
    assert height.max() < 0.5 * p.spine.sizes["L3"].height + 10.0


def test_hounsfield_units(small_patient):
    p = small_patient

    def hu(level, low, high):
        k, j, i = np.nonzero(p.labels.mask(level))
        depth = p.bone_depth_mm(level, transform_points(p.ct.ijk_to_ras, np.stack([i, j, k], 1)))
        return float(np.median(p.ct.voxels[k, j, i][(depth > low) & (depth < high)]))

    assert 100 < hu("L4", 5.0, 20.0) < 270 or p.low_density
    assert hu("L4", 0.2, 0.7) > 300
    muscle = np.median(p.ct.voxels[p.labels.mask("muscle")])
    assert 40 < muscle < 70
    assert p.ct.voxels.min() < -950  # air behind the back
    assert p.ct.voxels.max() < 1600


def test_low_density_is_lower():
    cores = []
    for low in (False, True):
        p = generate_patient(PatientOptions(seed=4, low_density=low, **TINY))
        f = p.vertebrae["L4"].frame_to_ras
        cores.append(sample(p.ct, transform_points(f, np.random.default_rng(0).uniform(-7, 7, (200, 3)))).mean())
    assert 120 < cores[0] < 250
    assert 55 < cores[1] < 105


@pytest.mark.parametrize("weighting", ["mr_t1", "mr_t2"])
def test_true_transform_puts_bone_surfaces_on_mr_edges(small_patient, weighting):
    p = small_patient
    volume = getattr(p, weighting)
    f = p.vertebrae["L4"].frame_to_ras
    size = p.spine.sizes["L4"]
    points = p.bone_points_ras("L4", 4000, seed=1)
    local = transform_points(invert_rigid(f), points)
    # Endplates and front wall: dark cortex between marrow and disc or fat.
    wall = (np.abs(local[:, 0]) < 0.7 * size.half_width) & (local[:, 1] > -0.8 * size.half_depth)
    local = local[wall]
    inner = local * (1 - 0.4 / np.linalg.norm(local, axis=1, keepdims=True))

    def darkness(shift):
        return sample(volume, transform_points(p.ct_to_mr_ras @ f, inner + shift)).mean()

    steps = np.arange(-3.0, 3.1, 0.5)
    for axis in (1, 2):
        profile = [darkness(step * np.eye(3)[axis]) for step in steps]
        assert abs(steps[int(np.argmin(profile))]) <= 1.0


def test_two_postures_move_every_vertebra():
    p = generate_patient(PatientOptions(seed=6, two_postures=True, **(TINY | {"levels": ("L3", "L4", "L5")})))
    poses = p.vertebra_poses_ras
    names = list(poses)
    for upper, lower in itertools.pairwise(names):
        turn = rotation_angle_deg(invert_rigid(poses[lower]) @ poses[upper])
        assert 0.8 < turn < 5.0
    plain = generate_patient(PatientOptions(seed=6, **(TINY | {"levels": ("L3", "L4", "L5")})))
    assert all(np.array_equal(m, np.eye(4)) for m in plain.vertebra_poses_ras.values())
    assert plain.ct.sha256() == p.ct.sha256()
    assert plain.mr_t2.sha256() != p.mr_t2.sha256()


def test_unknown_bone_is_named(small_patient):
    with pytest.raises(InputError, match="C2"):
        small_patient.bone_depth_mm("C2", np.zeros((1, 3)))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 21))
def test_every_seed_has_five_whole_lumbar_vertebrae_and_a_cut_t12(seed):
    options = PatientOptions(seed=seed)
    spine = build_spine(options)
    fine = ct_grid(spine, options)
    grid = Grid(tuple(n // 2 for n in fine.shape), fine.ijk_to_world @ np.diag([2.0, 2.0, 2.0, 1.0]))
    count = np.zeros(grid.shape, dtype=np.uint8)
    whole = set()
    for name, shape in spine.all_bones.items():
        values, box = evaluate(shape, grid)
        mask = np.zeros(grid.shape, dtype=bool)
        mask[box] = values > 0
        count += mask
        if not touches_border(mask_box(mask), mask.shape):
            whole.add(name)
    assert count.max() == 1
    assert whole == {"L1", "L2", "L3", "L4", "L5", "S1"}
