"""`mskplanner segment --uncertainty`: how sure the surface of a bone is, as an image and as figures."""

import json

import numpy as np
import pytest

from MSKFusionLib.volume import Modality, Volume, read_image, write_image

RADIUS_MM, WALL_MM = 14.0, 3.0


@pytest.fixture(scope="module")
def shaft(tmp_path_factory):
    """A shaft of 28 mm with a wall of 3 mm, seen by a scanner of 0.8 mm blur."""
    rng = np.random.default_rng(2)
    ijk = np.indices((60, 64, 64))[::-1]
    across = np.hypot(ijk[0] - 31.5, ijk[1] - 31.5)
    outer, inner = (0.5 * (1 - np.tanh((across - r) / 0.8)) for r in (RADIUS_MM, RADIUS_MM - WALL_MM))
    hu = 40 + (1200 - 40) * outer + (150 - 1200) * inner + rng.normal(0, 15, across.shape)
    path = tmp_path_factory.mktemp("shaft") / "ct.nrrd"
    write_image(Volume(hu.astype(np.int16), np.zeros(3), np.ones(3), np.eye(3), Modality.CT), path)
    return path


def test_the_band_is_written_and_told(mskplanner, shaft, tmp_path):
    bones, band = tmp_path / "bones.seg.nrrd", tmp_path / "band.nrrd"
    run = mskplanner("segment", shaft, "--modality", "ct", "--out", bones, "--uncertainty", band, "--json")
    assert run.status == 0, run.err
    (figures,) = json.loads(run.out)["surface_bands"].values()
    assert figures["usual_mm"] < 0.5
    # The ends are cut by the image's border: the wall is all that shows a cortex.
    assert figures["unseen_share"] < 0.3
    found = read_image(band, modality=Modality.CT)
    k, j, i = np.nonzero(found.voxels[10:50] > 0)
    assert len(k) > 1000
    assert np.median(np.abs(np.hypot(i - 31.5, j - 31.5) - RADIUS_MM)) < 1.0
    again = mskplanner("segment", shaft, "--modality", "ct", "--out", tmp_path / "b.seg.nrrd", "--uncertainty", band)
    assert again.status == 2
    assert "there already" in again.err


def test_a_network_has_no_band(mskplanner, shaft, tmp_path):
    call = ("--out", tmp_path / "b.seg.nrrd", "--uncertainty", tmp_path / "u.nrrd", "--network", tmp_path)
    run = mskplanner("segment", shaft, "--modality", "ct", *call)
    assert run.status == 2
    assert "--uncertainty goes by the cortex in a CT" in run.err
    assert not (tmp_path / "b.seg.nrrd").exists()
