"""The network that comes with the planner: found by its name, whole, small, and it runs."""

import numpy as np
import pytest

from MSKFusionLib.errors import InputError
from MSKFusionLib.networks import read_bundle, segment_with_network
from MSKFusionLib.networks.shipped import find_network, shipped_networks
from MSKFusionLib.volume import Modality, Volume


def test_the_shipped_bundle_is_whole_small_and_says_what_it_is_worth():
    folder = shipped_networks()["msk_bones"]
    bundle = read_bundle(folder)
    assert bundle.labels == ("background", "vertebrae", "sacrum", "discs", "spinal canal", "hip bones")
    assert bundle.modality is Modality.UNKNOWN  # for CT and MR
    assert sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) < 4e6
    card = (folder / "docs/README.md").read_text(encoding="utf-8")
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in card.splitlines() if line.startswith("| ")]
    scored = {(row[1], row[2]) for row in rows[1:]}
    assert {("CT", "network"), ("MR", "network"), ("CT", "rules"), ("MR", "rules")} <= scored
    assert any(row[0].startswith("tptbox") for row in rows), "scores on real images"
    assert "has seen no real image" in card


def test_a_path_that_is_there_comes_before_a_name(tmp_path, monkeypatch):
    assert find_network("msk_bones") == shipped_networks()["msk_bones"]
    assert find_network("nowhere").name == "nowhere"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "msk_bones").mkdir()
    assert find_network("msk_bones").resolve() == tmp_path / "msk_bones"


def test_a_name_that_is_not_known_is_refused_with_those_that_are():
    ct = Volume(np.zeros((9, 9, 9), np.int16), np.zeros(3), np.ones(3), np.eye(3), Modality.CT, name="ct")
    with pytest.raises(InputError, match="no network of that name") as refused:
        segment_with_network(ct, "msk_bonez")
    assert "msk_bones" in str(refused.value)


def test_it_finds_the_spine_of_a_generated_patient_in_ct_and_mr(request):
    """What it is worth on real images stands in its card; here it must be the network that was trained: more than chance."""
    pytest.importorskip("monai")
    pytest.importorskip("torch").set_num_threads(1)
    small_patient = request.getfixturevalue("small_patient")
    found = segment_with_network(small_patient.ct, "msk_bones", device="cpu")
    bone = np.isin(small_patient.labels.labels.voxels, [s.value for s in small_patient.labels.vertebrae])
    mask = found.mask("vertebrae")
    by_chance = mask.mean() * bone.mean()
    assert (mask & bone).mean() > 3 * by_chance, (mask & bone).mean() / by_chance
    assert any("too little" in note for note in found.notes)
    assert "MSK Planner bones" in found["vertebrae"].source
    of_mr = segment_with_network(small_patient.mr_t1, "msk_bones", device="cpu")
    assert of_mr.labels.same_grid(small_patient.mr_t1)
    assert "vertebrae" in {s.name for s in of_mr.segments}
