"""The training's loop: samples whose labels lie where the image shows them, and a network that learns what can be learnt."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from MSKFusionLib.phantom.ct import ct_grid
from MSKFusionLib.phantom.spine import build_spine
from MSKFusionLib.volume import Modality, Volume

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def torch():
    pytest.importorskip("monai")
    pytest.importorskip("nibabel")
    module = pytest.importorskip("torch")
    module.set_num_threads(1)
    return module


@pytest.fixture(scope="module")
def maps(torch):
    from bonetraining.patients import patient_maps

    return patient_maps(1, 4.0, small=True, cache=None)


def test_maps_hold_every_target_and_tissue_where_the_ct_shows_it(maps):
    from bonetraining.patients import TARGETS, TISSUES

    assert set(np.unique(maps.target)) == set(range(len(TARGETS)))
    assert maps.tissue.max() < len(TISSUES)
    bone = np.isin(maps.target, (1, 2, 5))
    assert np.isin(maps.tissue[bone], (TISSUES.index("marrow"), TISSUES.index("cortex"))).all()
    assert not np.isin(maps.tissue[~bone], (TISSUES.index("marrow"), TISSUES.index("cortex"))).any()
    assert maps.hu[maps.tissue == TISSUES.index("air")].max() < -300


def test_the_bundle_turns_images_to_the_axes_that_were_learnt():
    """Once they were mirrored from front to back, and what had been learnt was hardly found again."""
    from bonetraining.card import AXES, Setting, inference_config
    from bonetraining.patients import patient_options

    towards = {"R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}
    options = patient_options(1, 4.0, small=True)
    directions = ct_grid(build_spine(options), options).ijk_to_world[:3, :3]  # columns are the axes that samples have
    assert [max(towards, key=lambda c: float(np.dot(towards[c], directions[:, n]))) for n in range(3)] == list(AXES)
    (turn,) = (e for e in inference_config(Setting())["preprocessing"]["transforms"] if e["_target_"] == "Orientationd")
    assert turn["axcodes"] == AXES


def test_a_patient_is_kept_in_the_cache(torch, tmp_path, monkeypatch):
    from bonetraining import patients

    first = patients.patient_maps(1, 5.0, small=True, cache=tmp_path)
    monkeypatch.setattr(patients, "generate_patient", lambda *_: pytest.fail("it is there already"))
    again = patients.patient_maps(1, 5.0, small=True, cache=tmp_path)
    assert np.array_equal(first.target, again.target)
    assert np.array_equal(first.hu, again.hu)


def test_samples_are_normalised_drawn_anew_and_the_same_for_a_seed(maps):
    from bonetraining.card import Setting
    from bonetraining.samples import batches

    setting = replace(Setting.tiny(), batch=6)
    image, target = next(batches([maps], setting, 4))
    assert image.shape == target.shape == (6, 1, 32, 32, 32)
    assert bool(image.isfinite().all())
    assert set(target.unique().tolist()) <= set(range(6))
    again, _ = next(batches([maps], setting, 4))
    other, _ = next(batches([maps], setting, 5))
    assert bool((again == image).all())
    assert not bool((other == image).all())


def test_distractors_leave_the_targets_alone_and_a_small_field_holds_one(maps):
    from bonetraining.distractors import add_distractors, small_field

    rng = np.random.default_rng(3)
    drawn = [add_distractors(maps, 4.0, rng) for _ in range(12)]
    known = maps.target > 0
    metal = [d.hu.max() > 2500 for d in drawn]
    assert any((d.tissue != maps.tissue).any() for d in drawn)
    for d, with_metal in zip(drawn, metal, strict=True):
        assert np.array_equal(d.target, maps.target)
        assert with_metal or np.array_equal(d.hu[known], maps.hu[known])  # metal alone may lie in bone
    fields = [small_field(maps, rng) for _ in range(20)]
    assert any(f.target.shape != maps.target.shape for f in fields)
    assert all((f.target > 0).any() and f.tissue.shape == f.hu.shape == f.target.shape for f in fields)


def blocks(rng: np.random.Generator, edge: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes whose grey value says what they are."""
    labels = np.zeros((edge,) * 3, np.uint8)
    for value in range(1, 6):
        low = rng.integers(0, edge - 12, 3)
        labels[tuple(slice(a, a + int(rng.integers(7, 12))) for a in low)] = value
    return (labels / 5.0 + rng.normal(0, 0.02, labels.shape)).astype(np.float32), labels


def test_what_can_be_learnt_is_learnt_and_the_bundle_finds_it(torch, tmp_path):
    """Each target has a grey value of its own: after some steps the bundle finds the boxes of an image it has not seen."""
    from bonetraining.card import Setting, write_bundle, write_scores
    from bonetraining.learn import learn
    from bonetraining.scores import as_table, by_network, score

    from MSKFusionLib.networks import read_bundle

    setting = replace(Setting.tiny(), steps=120, rate=1e-2)

    def normalised(image: np.ndarray) -> np.ndarray:
        low, high = np.percentile(image, (1, 99))
        image = np.clip((image - low) / (high - low), 0, 1)
        return (image - image.mean()) / image.std()

    def samples():
        rng = np.random.default_rng(0)
        while True:
            drawn = [blocks(rng, 32) for _ in range(2)]
            yield (
                torch.from_numpy(np.stack([normalised(i)[None] for i, _ in drawn]).astype(np.float32)),
                torch.from_numpy(np.stack([t[None] for _, t in drawn])).float(),
            )

    state, losses = learn(samples(), setting, "cpu", 0, lambda *_: None)
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:5])
    write_bundle(tmp_path / "b", setting, state, "none")
    values, labels = blocks(np.random.default_rng(99), 32)
    image = Volume(1000 * values, np.zeros(3), np.full(3, 4.0), np.eye(3), Modality.MR, name="unseen").with_voxels(
        (1000 * values).astype(np.float32).transpose(2, 1, 0)
    )
    found = score(by_network(read_bundle(tmp_path / "b"), "cpu"), image, labels.transpose(2, 1, 0), "unseen")
    assert np.mean(list(found.dice.values())) > 0.6, found
    assert "| unseen | MR | network |" in as_table([found])
    done = learn(samples(), setting, "cpu", 1, lambda *_: None, share_done=lambda _: 1.0, start=state)[0]
    assert all(bool((done[k] == state[k]).all()) for k in state)  # going on begins where it ended
    card = (tmp_path / "b/docs/README.md").read_text()
    assert "Not for clinical use" in card
    write_scores(tmp_path / "b", "| a |")
    write_scores(tmp_path / "b", "| other |")
    again = (tmp_path / "b/docs/README.md").read_text()
    assert again == card.replace("none\n\n## What", "| other |\n\n## What")
    (tmp_path / "b/docs/README.md").write_text(again.replace("| other |", "| other |\n\nRead it so.\n\nAnd so."))
    write_scores(tmp_path / "b", "| third |")
    assert "| third |\n\nRead it so.\n\nAnd so.\n\n## What" in (tmp_path / "b/docs/README.md").read_text()


def test_the_script_writes_a_bundle_that_is_read(torch, tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "training/train_bones.py"), "--tiny", "--steps", "20", "--out", str(tmp_path / "b"),
         "--device", "cpu"],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    from bonetraining.patients import TARGETS

    from MSKFusionLib.networks import read_bundle

    bundle = read_bundle(tmp_path / "b")
    assert bundle.labels == TARGETS
    assert bundle.modality is Modality.UNKNOWN
    assert "generated 9001 T2" in (tmp_path / "b/docs/README.md").read_text()
