"""`mskplanner resect` as a user calls it."""

import json

import numpy as np
import pytest
from core.guide_shapes import box_mesh, sphere_mesh

from MSKFusionLib.frames import rigid, rotation_about
from MSKPlannerLib.cli.main import main
from MSKPlannerLib.export.mesh_files import read_mesh, write_stl
from MSKPlannerLib.plan_file import read_plan


def test_a_tumour_drawn_in_mr_is_cut_out_of_a_bone(tmp_path, capsys):
    m = rigid(rotation_about([1, 2, 3], 20.0), [5.0, -30.0, 12.0])
    write_stl(box_mesh((40.0, 40.0, 200.0)), tmp_path / "bone.stl")
    write_stl(sphere_mesh(8.0, (0.0, 0.0, 40.0), 4).transformed(m), tmp_path / "tumour.stl")
    entry = {"verdict": "accepted", "fixed_to_moving_ras": m.tolist(), "expected_error_mm": 1.0}
    (tmp_path / "registration.json").write_text(json.dumps(entry))
    call = ["resect", "--bone", str(tmp_path / "bone.stl"), "--tumour", str(tmp_path / "tumour.stl")]
    call += ["--registration", str(tmp_path / "registration.json"), "--margin", "10", "--planes", "1"]
    assert main([*call, "--tilt", "10", "--out", str(tmp_path / "out")]) == 0
    assert "after errors" in capsys.readouterr().out
    plan = json.loads((tmp_path / "out" / "resection.json").read_text())
    # One plane takes off the nearer end: from 18 mm below the ball's middle up.
    assert plan["cuts"][0]["normal_ras"] == pytest.approx([0, 0, -1], abs=0.06)
    assert plan["volumes_mm3"]["specimen"] == pytest.approx(1600 * 78, rel=0.01)
    assert plan["margin_mm"] == pytest.approx(10, abs=0.02)
    assert plan["after_errors"]["budget"]["registration_error_mm"] == 1.0
    rest = read_mesh(tmp_path / "out" / "remaining.stl")
    assert rest.volume_mm3 == pytest.approx(plan["volumes_mm3"]["remaining"], rel=1e-4)
    assert np.isfinite(read_mesh(tmp_path / "out" / "margins.vtp").vertices_ras).all()
    document = read_plan(tmp_path / "out")
    record = document.resections[0]
    assert record.verdict == "accepted"
    assert record.margin_mm == plan["margin_mm"]
    parts = {p.name: p for p in record.parts}
    total = sum(parts[n].volume_mm3 for n in ("specimen", "remaining", "dust"))
    assert total == pytest.approx(40 * 40 * 200, rel=1e-9)
    assert (tmp_path / "out" / "scene.mrb").is_file()
    assert main(["export", str(tmp_path / "out"), "--what", "resections", "--out", str(tmp_path / "e")]) == 0
    assert read_mesh(tmp_path / "e" / "bone_specimen_fragment.stl").volume_mm3 == pytest.approx(1600 * 78, rel=0.01)
    assert "<h2>Cuts</h2>" in (tmp_path / "out" / "resection.html").read_text()


def test_an_image_is_no_tumour(tmp_path, capsys):
    write_stl(box_mesh((40.0, 40.0, 200.0)), tmp_path / "bone.stl")
    call = ["resect", "--bone", str(tmp_path / "bone.stl"), "--out", str(tmp_path / "out")]
    assert main([*call, "--tumour", str(tmp_path / "none.nrrd")]) == 2
    assert "no such file" in capsys.readouterr().err
    assert main([*call, "--tumour", str(tmp_path / "bone.stl"), "--approach", "medial"]) == 2
    assert "no approach" in capsys.readouterr().err
