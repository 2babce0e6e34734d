"""`mskplanner reduce` as a user calls it."""

import json

import numpy as np
import pytest
from core.guide_shapes import box_mesh

from MSKPlannerLib.cli.main import main
from MSKPlannerLib.export.mesh_files import write_stl


@pytest.mark.slow
def test_two_labels_are_put_together(tmp_path, capsys):
    import SimpleITK as sitk

    # A block with a step on one side, so that it fits one way only, broken across and its upper part moved by 6 mm.
    whole = np.zeros((70, 50, 60), np.uint8)
    whole[10:60, 15:35, 10:40] = 1
    whole[40:60, 15:45, 10:28] = 1
    whole[10:20, 8:35, 20:40] = 1
    broken = np.zeros_like(whole)
    broken[:34] = whole[:34]
    broken[36:, :, 6:] = np.where(whole[36:, :, :-6] > 0, 2, broken[36:, :, 6:])
    for name, voxels in (("broken", broken), ("healthy", whole[:, :, ::-1].copy())):
        sitk.WriteImage(sitk.GetImageFromArray(voxels), str(tmp_path / f"{name}.nrrd"))
    call = ["reduce", "--fragments", str(tmp_path / "broken.nrrd"), "--healthy", str(tmp_path / "healthy.nrrd")]
    assert main([*call, "--main", "1", "--out", str(tmp_path / "out")]) in (0, 3)
    assert "Way" in capsys.readouterr().out
    plan = json.loads((tmp_path / "out" / "reduction.json").read_text())
    found = {f["name"]: f for f in plan["fragments"]}
    # LPS x is -R: the label moved by 6 mm to +x, so it goes back by 6 mm to the right.
    assert np.array(found["2"]["motion_ras"])[:3, 3] == pytest.approx([6.0, 0.0, 0.0], abs=1.5)
    assert found["2"]["turned_deg"] < 1.5
    assert found["2"]["path"]["found"]
    assert (tmp_path / "out" / "reduced_2.stl").is_file()
    assert (tmp_path / "out" / "reduction.mrb").is_file()


def test_a_name_that_is_not_there_is_said(tmp_path, capsys):
    write_stl(box_mesh((40.0, 40.0, 200.0)), tmp_path / "bone.stl")
    call = ["reduce", "--fragments", str(tmp_path / "bone.stl"), "--healthy", str(tmp_path / "bone.stl")]
    assert main([*call, "--names", "head", "--out", str(tmp_path / "out")]) == 2
    assert "no structure 'head'" in capsys.readouterr().err
