"""MSK Planner's panel with two levels planned on an anatomy so simple that every number of a screw is known beforehand.

Stand-ins measure the screws and design the guides, so that hundreds of actions take seconds.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from harness.helpers import press, replace_function, small_volume
from MSKFusionLib.errors import InputError
from MSKFusionLib.mrml import segmentation_to_node, volume_to_node
from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKFusionLib.volume import Modality
from MSKPlannerLib import pipeline
from MSKPlannerLib.bone.smooth_bone import BoneFields
from MSKPlannerLib.mesh import Mesh
from MSKPlannerLib.plan import BreachRisk, Guide, Plan, Screw

TETRAHEDRON = Mesh(
    np.array([[0.0, 0, 0], [9, 0, 0], [0, 9, 0], [0, 0, 9]]), np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
)
RISK = BreachRisk(0.04, {"A": 0.96, "B": 0.04}, "medial", 1.0, 0.004, 2048, "test")
BUDGET = {"name": "test", "source": "this test", "entry_sd_mm": 1.0}
#: Half the width of the pedicles of this anatomy, and where their middles lie beside the midline.
HALF_WIDTH_MM, BESIDE_MM = 5.0, 15.0


def measured(at, entry_ras, tip_ras, diameter_mm, side, *, options, others, before, budget):
    """A pedicle is a straight channel along y: the clearance is its half width less the radius and the way off its middle."""
    entry, tip = np.asarray(entry_ras, float), np.asarray(tip_ras, float)
    length = float(np.linalg.norm(tip - entry))
    if not 5 <= length <= 200:
        raise InputError(f"no screw has a length of {length:.1f} mm", where=at.level)
    middle = BESIDE_MM * (1 if side == "right" else -1)
    off = max(abs(p[0] - middle) for p in (entry, tip))
    clearance = HALF_WIDTH_MM - off - diameter_mm / 2
    reasons = () if clearance >= 0 else (f"the screw leaves the bone by {-clearance:.1f} mm",)
    return replace(
        before,
        side=side,
        entry_ras=tuple(entry.tolist()),
        tip_ras=tuple(tip.tolist()),
        diameter_mm=diameter_mm,
        length_mm=length,
        clearance_mm=clearance,
        breach_mm=max(0.0, -clearance),
        grade="A" if clearance >= 0 else "B",
        risk=None if budget is None else RISK,
        reviewed=False,
        verdict=Verdict.REJECTED if reasons else Verdict.ACCEPTED,
        reasons=reasons,
    )


def prepared(bones, level):
    frame = SimpleNamespace(to_frame=lambda p: np.asarray(p), to_ras=lambda p: np.asarray(p))
    fine = SimpleNamespace(depth_mm=lambda p: np.asarray(p)[..., 1])  # the bone begins at y = 0
    return SimpleNamespace(level=level, frame=frame, fine=fine, side=lambda side: None)


def screw(level: str, side: str) -> Screw:
    x, z = (BESIDE_MM if side == "right" else -BESIDE_MM), 40.0 * int(level[1:])
    return Screw(
        f"{level} {side}",
        "pedicle",
        level,
        side,
        (x, 0.0, z),
        (x, 40.0, z),
        6.5,
        40.0,
        1.75,
        "A",
        hu_mean=310.0,
        risk=RISK,
    )


SCREWS = tuple(screw(level, side) for level in ("L3", "L4") for side in ("left", "right"))


def guide(level: str) -> Guide:
    names = (f"{level} left", f"{level} right")
    return Guide(f"{level} guide", level, names, f"{level}.stl", True, 1, 1.0, 2.0, 0.2, 0.2, 0.0, (0.0, 1.0, 0.0))


@pytest.fixture(name="quick")
def quick_fixture(monkeypatch):
    def plan_case(ct, mr=None, bones=None, options=None, *, implants=None, progress):
        plan = Plan("plan-abc", "2026-01-01", {"mskplanner": "0"}, parameters={"error_budget": BUDGET}, screws=SCREWS)
        return pipeline.Case(
            ct, mr, bones, plan, fields=BoneFields(bones, ct), bones={"L3": TETRAHEDRON, "L4": TETRAHEDRON}
        )

    def design_guides(fields, screws, surfaces, frames, options, *, progress):
        levels = [v for v in surfaces if any(s.level == v and s.verdict is Verdict.ACCEPTED for s in screws)]
        solids = {f"{v} guide": SimpleNamespace(mesh=replace(TETRAHEDRON)) for v in levels}
        return [guide(v) for v in levels], solids

    def anatomy_of(fields, screws):
        return dict.fromkeys([s.level for s in screws], TETRAHEDRON), {}

    replace_function(monkeypatch, "MSKPlannerLib.pipeline.plan_case", plan_case)
    replace_function(monkeypatch, "MSKPlannerLib.pipeline.design_guides", design_guides)
    for place in ("screw_edits", "up_to_date"):
        replace_function(monkeypatch, f"MSKPlannerLib.editing.{place}.anatomy_of", anatomy_of)
    replace_function(monkeypatch, "MSKPlannerLib.editing.screw_edits.evaluate_screw", measured)
    replace_function(monkeypatch, "MSKPlannerLib.editing.screw_edits.prepare_level", prepared)


@pytest.fixture(name="raised")
def raised_fixture(monkeypatch):
    """What was raised inside observers and slots, which VTK and Qt only print."""
    errors: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: errors.append(error))
    yield errors
    assert errors == []


@pytest.fixture(name="inputs")
def inputs_fixture(session):
    return add_inputs(session.scene)


def add_inputs(scene):
    ct = small_volume(Modality.CT, "CT of P")
    labels = ct.with_voxels((ct.voxels > 100).astype(np.uint8) * 22, modality=Modality.LABEL)
    bones = Segmentation(labels, (Segment(22, "L3", "vertebra"),))
    return volume_to_node(scene, ct), segmentation_to_node(scene, bones, "Bones of P")


@pytest.fixture(name="panel")
def panel_fixture(session, inputs, quick, raised):
    panel = session.open_panel("MSKPlanner")
    press(panel.ui.planButton)
    return panel


def axis(panel, name):
    return panel.logic.session.nodes.screws[name].axis


def model(panel, name):
    return panel.logic.session.nodes.screws[name].model


def of(panel, name):
    return next(s for s in panel.logic.case.plan.screws if s.name == name)


def drag(panel, name, point, position, steps=3):
    """Drag an end as a hand does: grasp, a few moves, let go."""
    node = axis(panel, name)
    start = np.array(node.GetNthControlPointPosition(point))
    node.InvokeEvent(node.PointStartInteractionEvent)
    for share in np.linspace(0, 1, steps + 1)[1:]:
        node.SetNthControlPointPosition(point, *(start + share * (np.asarray(position) - start)))
    node.InvokeEvent(node.PointEndInteractionEvent)
