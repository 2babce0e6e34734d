"""The registration benchmark's own pieces: motions, starts, scores, the mix of pairs, the table. Nothing is registered."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from regbench.honesty import honesty
from regbench.methods import matrix_of_itk
from regbench.motions import draw_motion, with_moved_header
from regbench.pairs import ImageFile, Pair, start_at
from regbench.patients import PatientStore
from regbench.runs import read_records, scored
from regbench.sets import SETS, Source
from regbench.table import as_text, summarise

from MSKFusionLib.frames import invert_rigid, rigid_about, rotation_about, rotation_angle_deg, transform_points
from MSKFusionLib.volume import Modality, Volume

CENTRE = np.array([10.0, -20.0, 30.0])


def record(pair: str, method: str = "ours", **changes):
    made = {
        "set": "lumbar",
        "pair": pair,
        "category": "T1",
        "method": method,
        "has_answer": True,
        "status": "done",
        "seconds": 10.0,
        "cpu_seconds": 9.0,
        "peak_mib": 500.0,
        "error_mm": 0.1,
        "expected_error_mm": 0.2,
        "part_errors_mm": {"L3": [0.1, 0.1]},
        "verdict": "accepted" if method == "ours" else None,
    }
    return made | changes


# ---------------------------------------------------------------------- motions and starts
def test_motions_stay_within_their_limits():
    rng = np.random.default_rng(0)
    motions = [draw_motion(rng, CENTRE, 64.0, 45.0) for _ in range(500)]
    shifts = [np.linalg.norm(transform_points(m, CENTRE) - CENTRE) for m in motions]
    angles = [rotation_angle_deg(m) for m in motions]
    assert 60.0 < max(shifts) <= 64.0
    assert 42.0 < max(angles) <= 45.0
    assert min(angles) < 3.0


def test_the_same_seed_gives_the_same_motion():
    first, second = (draw_motion(np.random.default_rng((3, 71)), CENTRE, 64.0, 45.0) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_the_start_is_wrong_by_the_motion_that_was_asked():
    """A point of the moving image, followed through its moved header, lies where the motion takes its partner."""
    fixed_to_moving = rigid_about(CENTRE, rotation_about((1, 2, 3), 25.0), (30.0, 0.0, -10.0))
    motion = rigid_about(CENTRE, rotation_about((0, 1, 0), 12.0), (5.0, 6.0, 7.0))
    points = {"L3": np.array([[1.0, 2.0, 3.0], [-20.0, 5.0, 40.0]])}
    moving, there = start_at(motion, fixed_to_moving, ImageFile(Path("ct.nrrd"), Modality.CT), points)
    volume = Volume(
        np.zeros((4, 5, 6)), np.array([3.0, 4.0, 5.0]), np.array([1.0, 2.0, 3.0]), rotation_about((1, 0, 0), 9)
    )
    ijk = transform_points(volume.ras_to_ijk, transform_points(fixed_to_moving, points["L3"]))
    moved = with_moved_header(volume, moving.moved_ras)
    np.testing.assert_allclose(transform_points(moved.ijk_to_ras, ijk), there["L3"], atol=1e-9)
    np.testing.assert_allclose(transform_points(motion, points["L3"]), there["L3"], atol=1e-12)


def test_the_true_motion_has_no_error_and_the_identity_that_of_the_start():
    motion = rigid_about(CENTRE, rotation_about((0, 0, 1), 30.0), (0.0, 40.0, 0.0))
    points = {"L3": CENTRE[None], "head": CENTRE[None] + 100.0}
    there = {n: transform_points(motion, p) for n, p in points.items()}
    image = ImageFile(Path("x.nrrd"), Modality.MR)
    pair = Pair(image, image, points, there, also=("head",))
    assert pair.start_error_mm() == pytest.approx(40.0)  # the head is listed, not scored
    answer = scored(pair, {"mapped_ras": {n: p.tolist() for n, p in there.items()}})
    assert answer["error_mm"] == 0.0
    assert set(answer["part_errors_mm"]) == {"L3", "head"}


def test_the_matrix_of_an_itk_transform_has_its_centre_in_it():
    transform = sitk.Euler3DTransform((10.0, 20.0, 30.0), 0.1, -0.2, 0.3, (1.0, 2.0, 3.0))
    point = (-7.0, 8.0, 9.0)
    np.testing.assert_allclose(transform_points(matrix_of_itk(transform), point), transform.TransformPoint(point))
    np.testing.assert_allclose(
        invert_rigid(matrix_of_itk(transform)), matrix_of_itk(transform.GetInverse()), atol=1e-12
    )


# ---------------------------------------------------------------------- sets
def test_every_set_is_listed_without_making_an_image(tmp_path):
    source = Source(PatientStore(tmp_path), range(1, 21), 1, tmp_path)
    recipes = {name: make(source) for name, make in SETS.items()}
    assert {n: len(r) for n, r in recipes.items() if n in ("lumbar", "turns", "contrasts", "real", "honesty")} == {
        "lumbar": 40,
        "turns": 40,
        "contrasts": 8,
        "real": 100,
        "honesty": 300,
    }
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seeds", [range(1, 21), [2, 3, 4], [7, 8], [5]])
def test_no_pair_occurs_twice(tmp_path, seeds):
    source = Source(PatientStore(tmp_path), seeds, 3, tmp_path)
    for name, make in SETS.items():
        found = [r.name for r in make(source)]
        assert len(set(found)) == len(found), name


def test_the_first_pairs_that_must_fail_are_of_every_kind_and_mostly_other_patients(tmp_path):
    recipes = honesty(PatientStore(tmp_path), range(1, 21), tmp_path)
    kinds = [r.category for r in recipes[:60]]
    assert len(set(kinds)) == 6
    assert kinds.count("other patient") > 30
    others = [r.name.split("-")[1:3] for r in recipes if r.category == "other patient"]
    assert all(seed != other for seed, other in others)


# ---------------------------------------------------------------------- records and table
def test_a_line_cut_short_by_a_kill_is_left_out(tmp_path):
    path = tmp_path / "runs.jsonl"
    path.write_text('{"pair": "a"}\n{"pair": "b"}\n{"pai', encoding="utf-8")
    assert [r["pair"] for r in read_records(path)] == ["a", "b"]


def test_the_table_counts_what_is_wrong_and_accepted():
    records = [
        record("a"),
        record("b", error_mm=9.0, evidence={"return_share": 0.9}),
        record("c", verdict="rejected", reasons=["doubt"], expected_error_mm=None),
        record("d", status="timeout", seconds=300.0, verdict=None, error_mm=None),
        record("a", "greedy", error_mm=50.0),
    ]
    del records[3]["error_mm"]
    must_fail = record("e", set="honesty", category="mirrored", has_answer=False, expected_error_mm=0.3)
    del must_fail["error_mm"], must_fail["part_errors_mm"]
    summary = summarise([*records, must_fail])
    ours = next(n for n in summary["sets"] if n["set"] == "lumbar" and n["method"] == "ours")
    assert (ours["right"], ours["answerable"], ours["accepted"]) == (2, 4, 2)
    assert (ours["wrong_accepted"], ours["right_rejected"], ours["crashed_or_late"]) == (1, 1, 1)
    assert [c["pair"] for c in summary["wrong_accepted"]] == ["b", "e"]
    assert [c["pair"] for c in summary["right_rejected"]] == ["c"]
    accepted = summary["accepted"][0]
    assert accepted["accepted_with_answer"] == 2
    assert accepted["within_expected_share"] == 0.5
    assert accepted["accepted_above_3_mm"] == 1
    assert (accepted["must_fail"], accepted["must_fail_accepted"]) == (1, 1)


def test_the_text_names_the_lies_with_their_evidence():
    lie = record(
        "other-03-04-T2", set="honesty", category="other patient", has_answer=False, evidence={"gap_share": 0.5}
    )
    del lie["error_mm"], lie["part_errors_mm"]
    text = as_text(summarise([lie, record("a", "greedy")]))
    assert "other patient      1 of 1" in text
    assert "WRONG AND ACCEPTED" in text
    assert "gap_share 0.5" in text
    greedy = next(line for line in text.splitlines() if line.startswith("lumbar"))
    assert "silent" in greedy  # it never says that it failed
