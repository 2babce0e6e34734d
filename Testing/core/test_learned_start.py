"""A network's displacement as a second start: it is used where it is better, and cannot make anything worse."""

import numpy as np
import pytest
from core.bundle_maker import changed, write_texts
from core.flow_maker import flow_inference, flow_metadata, write_flow_bundle
from core.test_deformable import known_rigid, patient  # noqa: F401  the fixture
from scipy.ndimage import gaussian_filter

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import rotation_about
from MSKFusionLib.networks import read_flow_bundle
from MSKFusionLib.registration import field_search, register_deformable
from MSKFusionLib.registration.deformable import is_better
from MSKFusionLib.registration.field_search import Images
from MSKFusionLib.registration.learned_start import MOST_MM, learned_start
from MSKFusionLib.registration.soft_tissue_pair import SoftTissuePair
from MSKFusionLib.volume import Volume


@pytest.fixture(scope="module")
def torch():
    pytest.importorskip("monai")
    module = pytest.importorskip("torch")
    module.set_num_threads(1)
    return module


def texture_pair(shift=(0, 0, 0), shape=(44, 40, 48)) -> SoftTissuePair:
    """A texture as CT and, moved by whole voxels (k, j, i) along an oblique grid, as MR; all of it free soft tissue."""
    ct = 60 * gaussian_filter(np.random.default_rng(5).normal(size=shape), 1.5).astype(np.float32) * 5
    axes = rotation_about([1, 1, 0], 35.0)[:, [1, 2, 0]]
    grid = Volume(np.zeros(shape, np.uint8), np.array([4.0, -7.0, 2.0]), np.full(3, 2.0), axes)
    ones = np.ones(shape, np.float32)
    return SoftTissuePair(grid, ct, np.roll(ct, shift, (0, 1, 2)), ones > 0, ones, ones, ones < 0)


@pytest.mark.parametrize("integration_steps", [0, 7])
def test_a_known_displacement_arrives_in_the_working_grids_voxels(torch, tmp_path, integration_steps):
    """(1, -2, 0.5) voxels of 4 mm along the grid's axes that lie nearest to R, A and S."""
    folder = write_flow_bundle(tmp_path / "b", (1.0, -2.0, 0.5), integration_steps)
    pair = texture_pair()
    found = learned_start(read_flow_bundle(folder), pair, "cpu", lambda *_: None).numpy()
    assert found.shape == (1, 3, 22, 20, 24)
    along_ijk = np.zeros(3)
    for axis_ras, voxels in enumerate((1.0, -2.0, 0.5)):
        nearest = int(np.abs(pair.grid.directions_ras[axis_ras]).argmax())
        along_ijk[nearest] = voxels * 4.0 / 2.0 * np.sign(pair.grid.directions_ras[axis_ras, nearest])
    # An integrated velocity ends at the border of its grid.
    inner = found[0, :, 8:-8, 8:-8, 8:-8] if integration_steps else found[0]
    assert np.abs(inner - along_ijk[::-1, None, None, None]).max() < (0.05 if integration_steps else 1e-4)


def test_no_displacement_stays_none_and_a_mad_one_is_bounded(torch, tmp_path):
    pair = texture_pair()
    still = learned_start(read_flow_bundle(write_flow_bundle(tmp_path / "a")), pair, "cpu", lambda *_: None)
    assert not still.any()
    mad = learned_start(read_flow_bundle(write_flow_bundle(tmp_path / "b", (500, 0, 0))), pair, "cpu", lambda *_: None)
    assert float(mad.norm(dim=1).max()) == pytest.approx(MOST_MM / 2.0, rel=1e-4)


def test_a_start_beyond_the_searchs_reach_is_found_to_be_better(torch, monkeypatch):
    """16 mm along i, where the search looks 4 mm far; the texture's other end comes in at the border and stays unlike."""
    monkeypatch.setattr(field_search, "REACH_MM", 4.0)
    pair = texture_pair((0, 0, 8))
    images = Images.of(pair, "cpu", 0)
    alone = images.search(lambda *_: None)
    start = torch.zeros(1, 3, 22, 20, 24)
    start[:, 2] = 8.0
    learned = images.refined(start, lambda *_: None)
    assert images.cost(learned) < 0.85 * images.cost(alone)
    along_i = [np.median(f.on_grid().numpy()[2, 8:-8, 8:-8, 8:-20]) for f in (alone, learned)]
    assert along_i[0] < 1.0
    assert along_i[1] == pytest.approx(8.0, abs=0.5)


def test_a_bad_network_changes_nothing(torch, patient, tmp_path):  # noqa: F811
    options = {"initial": known_rigid(patient), "bones": patient.labels, "device": "cpu"}
    without = register_deformable(patient.ct, patient.mr_t2, **options)
    folder = write_flow_bundle(tmp_path / "b", (7.0, 0.0, 0.0))
    found = register_deformable(patient.ct, patient.mr_t2, network=folder, **options)
    evidence = found.evidence
    assert evidence["cost_search_start"] < evidence["cost_network_start"]
    assert evidence["network_start_used"] == 0.0
    assert np.array_equal(found.bending.ct_to_mr.displacement_ras, without.bending.ct_to_mr.displacement_ras)
    assert found.verdict is without.verdict


@pytest.mark.parametrize(
    ("jacobian", "cost", "than", "its_cost", "better"),
    [
        (0.5, 1.0, 0.5, 2.0, True),
        (0.5, 2.0, 0.5, 1.0, False),
        (0.5, 1.0, 0.5, 1.0, False),
        (-0.2, 1.0, 0.5, 2.0, False),
        (0.5, 2.0, -0.2, 1.0, True),
    ],
)
def test_a_field_that_folds_is_never_taken_for_a_lower_cost(jacobian, cost, than, its_cost, better):
    one, other = ({"least_jacobian_of_field": v} for v in (jacobian, than))
    assert is_better(one, cost, other, its_cost) is better


@pytest.mark.parametrize(
    ("meta", "config", "words"),
    [
        (changed(flow_metadata(), "network_data_format::inputs::moving", ...), flow_inference(), "inputs::moving"),
        (
            changed(flow_metadata(), "network_data_format::inputs::fixed::modality", "MR"),
            flow_inference(),
            "fixed image is mr",
        ),
        (flow_metadata(), changed(flow_inference(), "network_def::_target_", "VoxelMorphUNet"), "backbone"),
        (flow_metadata(), changed(flow_inference(), "network_def::backbone::_target_", "os.system"), "os.system"),
        (flow_metadata(), changed(flow_inference(), "network_def::backbone", "$print()"), "expression"),
        (flow_metadata(), changed(flow_inference(), "network_def::backbone::in_channels", 4), "two images"),
        (flow_metadata(), changed(flow_inference(), "preprocessing::transforms::2::keys", ["fixed"]), "without"),
    ],
)
def test_what_is_no_registration_network_is_refused(tmp_path, meta, config, words):
    with pytest.raises(InputError, match=words):
        read_flow_bundle(write_texts(tmp_path / "b", meta, config))
