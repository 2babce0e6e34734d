"""Angles of spines whose vertebrae are turned by known angles, and of a generated patient."""

import itertools
import json

import numpy as np
import pytest

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import rotation_about
from MSKFusionLib.segmentation.files import write_segmentation
from MSKPlannerLib.anatomy.spine_angles import measure_spine
from MSKPlannerLib.anatomy.vertebra import VertebraFrame
from MSKPlannerLib.cli.main import main


def frame(level, coronal=0.0, sagittal=0.0, axial=0.0):
    """A vertebra whose right side is up, whose front is up, and whose front looks to the left, by these angles."""
    axes = rotation_about([0, 1, 0], -coronal) @ rotation_about([1, 0, 0], sagittal) @ rotation_about([0, 0, 1], axial)
    zero = np.zeros(3)
    return VertebraFrame(level, zero, *axes.T, zero, 20.0, 16.0, 44.0, 34.0, 27.0, {})


def test_a_lumbar_spine_of_known_angles():
    lordosis = {"L1": 15.0, "L2": 7.0, "L3": 0.0, "L4": -10.0, "L5": -24.0}
    found = measure_spine({n: frame(n, sagittal=a) for n, a in lordosis.items()})
    angles = {a.name: a for a in found.angles}
    assert angles["Lumbar lordosis"].value_deg == pytest.approx(39.0)
    assert (angles["Lumbar lordosis"].upper, angles["Lumbar lordosis"].lower) == ("L1", "L5")
    assert angles["Cobb angle"].value_deg == pytest.approx(0, abs=1e-9)
    assert "no scoliosis" in angles["Cobb angle"].words
    assert found.tilts_deg["L5"] == pytest.approx((0, -24.0, 0), abs=1e-9)
    assert any("Thoracic kyphosis: T4 and T12 not in view" in n for n in found.not_made)


def test_a_scoliosis_is_found_between_its_end_vertebrae():
    coronal = {"T9": 4.0, "T10": 14.0, "T11": 10.0, "T12": 0.0, "L1": -9.0, "L2": -17.0, "L3": -8.0}
    found = measure_spine({n: frame(n, coronal=a) for n, a in coronal.items()})
    (cobb,) = [a for a in found.angles if a.name == "Cobb angle"]
    assert (cobb.upper, cobb.lower) == ("T10", "L2")
    assert cobb.value_deg == pytest.approx(31.0)
    # Stacked on each other from L2 up to T10, the bodies between lie on the convex side of the line from first to last.
    ups = [frame(n, coronal=coronal[n]).superior_ras for n in ("L2", "L1", "T12", "T11", "T10")]
    places = np.cumsum([np.zeros(3), *(0.5 * (a + b) for a, b in itertools.pairwise(ups))], axis=0)
    chord = places[0] + (places[:, 2:] / places[-1, 2]) * (places[-1] - places[0])
    bulge = (places - chord)[1:-1, 0]
    assert (bulge > 0).all() or (bulge < 0).all()
    assert cobb.words == f"convex to the {'right' if bulge[0] > 0 else 'left'}"
    mirrored = measure_spine({n: frame(n, coronal=-a) for n, a in coronal.items()})
    assert mirrored.angles[0].words == f"convex to the {'left' if bulge[0] > 0 else 'right'}"


def test_a_curve_does_not_reach_over_a_gap():
    found = measure_spine({n: frame(n, coronal=a) for n, a in {"T10": 20.0, "L1": 0.0, "L2": -3.0, "L3": -5.0}.items()})
    assert found.angles[0].value_deg == pytest.approx(5.0)
    assert measure_spine({n: frame(n) for n in ("L1", "L2")}).not_made[0].startswith("Cobb angle")
    with pytest.raises(InputError, match="two or more named vertebrae"):
        measure_spine({"L1": frame("L1"), "V2": frame("V2")})


def test_kyphosis_bends_forward():
    found = measure_spine({n: frame(n, sagittal=a) for n, a in {"T4": -20.0, "T12": 18.0}.items()})
    (kyphosis,) = found.angles
    assert kyphosis.name == "Thoracic kyphosis"
    assert kyphosis.value_deg == pytest.approx(38.0)


@pytest.mark.slow
def test_a_generated_patient(small_patient, tmp_path, capsys):
    """Tilts against the frames that the patient was made with; frames of vertebrae are good to some degrees."""
    path = tmp_path / "bones.seg.nrrd"
    write_segmentation(small_patient.labels, path)
    assert main(["spine", str(path), "--json", "--out", str(tmp_path / "spine.json")]) == 0
    record = json.loads(capsys.readouterr().out)
    assert json.loads((tmp_path / "spine.json").read_text()) == record
    truth = {level: t.frame_to_ras[:3, :3] for level, t in small_patient.vertebrae.items()}
    assert record["tilts_deg"]
    for level, (coronal, sagittal, _) in record["tilts_deg"].items():
        right, front = truth[level][:, 0], truth[level][:, 1]
        assert coronal == pytest.approx(np.degrees(np.arctan2(right[2], right[0])), abs=1.0)
        assert sagittal == pytest.approx(np.degrees(np.arctan2(front[2], front[1])), abs=2.0)
    assert main(["spine", str(path), "--out", str(tmp_path / "spine.json")]) == 2
    assert "this file is there already" in capsys.readouterr().err
