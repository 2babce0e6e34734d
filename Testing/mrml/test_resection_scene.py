"""A resection in a scene: planes where the plan has them, parts, margins as colours; and all of it after a round trip."""

import numpy as np
import pytest
from core.guide_shapes import box_mesh, sphere_mesh

from MSKFusionLib.registration.result import Verdict
from MSKPlannerLib.mrml import nodes_of_plan, plan_to_scene, scene_to_plan
from MSKPlannerLib.mrml.resection_scene import MARGIN_ROLE, PART_ROLE, PLANE_ROLE, resection_to_scene
from MSKPlannerLib.plan import Plan
from MSKPlannerLib.plan_resection import ResectionCut, ResectionPart, ResectionRecord

TILT = tuple(np.array([0.6, 0.0, 0.8]))
RECORD = ResectionRecord(
    "tibia resection", "tibia", 10.0, (0.0, -1.0, 0.0),
    (
        ResectionCut("cut 1", (1.0, 2.0, 30.0), TILT, 1.0, 10.2, (0.0, 0.0, 28.0), 900.0, (0.0, -1.0, 0.0), 41.0, 3.0),
        ResectionCut("cut 2", (1.0, 2.0, -30.0), (0.0, 0.0, -1.0), 1.0, 9.1, (0.0, 0.0, -28.0), 900.0, (0.0, -1.0, 0.0), 41.0, 0.0),
    ),
    (ResectionPart("specimen", 64000.0), ResectionPart("tumour", 2000.0)),
    9.1, (0.0, 0.0, -28.0), 50000.0, 2000.0, 6.0, 0.2, 0.01, (1.0, 1.0, 2.0, 0.0), verdict=Verdict.REJECTED, reasons=("the margin is 9.10 mm",),
)  # fmt: skip
MESHES = {"specimen": box_mesh((40.0, 40.0, 40.0)), "tumour": sphere_mesh(8.0)}


def test_planes_parts_and_margins(scene, tmp_path):
    from MSKFusionLib.mrml import save_scene

    plan = Plan("p-1", "now", {}, resections=(RECORD,), verdict=Verdict.REJECTED, reasons=RECORD.reasons)
    folder = plan_to_scene(scene, plan, arrange_views=False).folder
    values = np.linspace(9.1, 20.0, len(MESHES["specimen"].vertices_ras))
    resection_to_scene(scene, plan, RECORD, MESHES, (MESHES["specimen"], values), folder)
    for _ in range(2):
        planes = {n.GetAttribute("MSKPlanner.Item"): n for n in nodes_of_plan(scene, "p-1", PLANE_ROLE)}
        assert set(planes) == {"tibia resection, cut 1", "tibia resection, cut 2"}
        for cut in RECORD.cuts:
            node = planes[f"tibia resection, {cut.name}"]
            assert node.GetOriginWorld() == pytest.approx(cut.point_ras, abs=1e-4)
            assert node.GetNormalWorld() == pytest.approx(cut.normal_ras, abs=1e-6)
            assert node.GetLocked()
        assert len(nodes_of_plan(scene, "p-1", PART_ROLE)) == 2
        margins = nodes_of_plan(scene, "p-1", MARGIN_ROLE)[0]
        assert margins.GetPolyData().GetPointData().GetScalars().GetRange() == pytest.approx((9.1, 20.0), abs=1e-4)
        assert margins.GetDisplayNode().GetScalarRange() == pytest.approx((10.0, 20.0), abs=1e-4)
        assert scene_to_plan(scene).resections == (RECORD,)
        save_scene(scene, tmp_path / "r.mrb")
        scene.Clear(0)
        scene.ReadFromMRB(str(tmp_path / "r.mrb"))
