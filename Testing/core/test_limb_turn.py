"""A derotation brings a torsion to its target, by its parts too, and leaves the frontal plane as it was."""

import json

import numpy as np
import pytest
from core.femur_shapes import femur_mesh
from core.limb_shapes import leg
from core.test_limb_wedge import bar

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import rigid, rotation_about
from MSKPlannerLib.anatomy.limb_landmarks import POINTS, LimbLandmarks
from MSKPlannerLib.cli.main import main
from MSKPlannerLib.export.mesh_files import read_mesh, write_stl
from MSKPlannerLib.osteotomy.limb_turn import plan_limb_turn
from MSKPlannerLib.osteotomy.target import CutLevel, Target


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(("measure", "value"), [("femoral_torsion_deg", 15.0), ("tibial_torsion_deg", 25.0)])
def test_the_turn_is_what_the_torsion_lacks(side, measure, value):
    rng = np.random.default_rng(2)
    pose = rigid(rotation_about(rng.normal(size=3), rng.uniform(-180, 180)), rng.uniform(-300, 300, 3))
    points = leg(side, femoral_torsion=40.0, tibial_torsion=5.0).moved(pose)
    bone = (bar(-14, 420) if "femoral" in measure else bar(-360, -6)).transformed(pose)
    plan = plan_limb_turn(points, bone, Target(measure, value), kerf_mm=1.0)
    assert plan.accepted, plan.reasons
    assert plan.bone is (CutLevel.FEMUR if "femoral" in measure else CutLevel.TIBIA)
    # About the mechanical axis, degree for degree; more external torsion below is a turn one way on the right side.
    lacks = value - (40.0 if "femoral" in measure else 5.0)
    assert abs(plan.correction.angle_deg) == pytest.approx(abs(lacks), abs=1e-6)
    assert getattr(plan.measured_again, measure) == pytest.approx(value, abs=1e-6)
    # The cut is 70 or 80 mm from the joint and square to the axis: nothing but the saw's slot is lost, nothing bends.
    assert plan.cut.kerf_mm3 == pytest.approx(72 * 48 * 1.0, rel=1e-6)
    assert all(part.is_closed for part in plan.fragments_after)
    changes = plan.correction.changes()
    assert abs(changes["hka_deg"]) < 0.01
    assert abs(changes["leg_length_mm"]) < 0.01


def test_what_is_no_derotation_is_said():
    points = leg(femoral_torsion=40.0)
    with pytest.raises(InputError, match="is no torsion"):
        plan_limb_turn(points, bar(-14, 420), Target("hka_deg", 180.0))
    with pytest.raises(InputError, match="at the target already"):
        plan_limb_turn(points, bar(-14, 420), Target("femoral_torsion_deg", 40.0))
    with pytest.raises(InputError, match="above 0, up to 400"):
        plan_limb_turn(points, bar(-14, 420), Target("femoral_torsion_deg", 10.0), level_mm=-5)
    with pytest.raises(GeometryError, match="misses the bone"):
        plan_limb_turn(points, bar(-14, 60), Target("femoral_torsion_deg", 10.0))
    known = {n: getattr(points, n) for n in POINTS if n != "ankle_centre"}
    with pytest.raises(GeometryError, match="mechanical axis"):
        plan_limb_turn(LimbLandmarks.of_points("right", known), bar(-360, -6), Target("tibial_torsion_deg", 10.0))


def test_a_derotation_from_the_command_line(tmp_path, capsys):
    femur = femur_mesh(3.0)
    write_stl(femur, tmp_path / "femur.stl")
    call = [
        "limb",
        "--femur",
        str(tmp_path / "femur.stl"),
        "--target",
        "femoral-torsion:10",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(call) == 0
    said = capsys.readouterr().out
    assert "Derotation of the femur" in said
    assert "less torsion" in said
    plan = json.loads((tmp_path / "out/limb.json").read_text())["correction"]
    assert plan["measured_again"]["femoral_torsion_deg"] == pytest.approx(10, abs=1e-6)
    parts = [read_mesh(tmp_path / f"out/femur_{n}.stl") for n in ("staying", "moved_after")]
    assert sum(p.volume_mm3 for p in parts) == pytest.approx(femur.volume_mm3, rel=1e-4)
    assert "Turn of the part below" in (tmp_path / "out/limb.html").read_text()
