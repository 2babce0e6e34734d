"""MSK Planner's panel with two levels planned on an anatomy so simple that every number of a screw is known beforehand.

Stand-ins measure the screws and design the guides, so that hundreds of actions take seconds.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from harness.helpers import nodes_of_class, press, replace_function, small_volume
from MSKFusionLib.errors import InputError
from MSKFusionLib.mrml import segmentation_to_node, volume_to_node
from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKFusionLib.volume import Modality
from MSKPlannerLib import pipeline
from MSKPlannerLib.bone.smooth_bone import BoneFields
from MSKPlannerLib.mesh import Mesh
from MSKPlannerLib.plan import BreachRisk, Check, Guide, GuideRecipe, GuideScrew, Plan, Screw
from MSKPlannerLib.records import describe_input, describe_segmentation
from MSKPlannerLib.screws.pedicle import PedicleScrewPlan

TETRAHEDRON = Mesh(
    np.array([[0.0, 0, 0], [9, 0, 0], [0, 9, 0], [0, 0, 9]]), np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
)
RISK = BreachRisk(0.04, {"A": 0.96, "B": 0.04}, "medial", 1.0, 0.004, 2048, "test")
BUDGET = {"name": "test", "source": "this test", "entry_sd_mm": 1.0}
#: Half the width of the pedicles of this anatomy, and where their middles lie beside the midline.
HALF_WIDTH_MM, BESIDE_MM = 5.0, 15.0


def measured(at, entry_ras, tip_ras, diameter_mm, side, *, options=None, others=(), before=None, budget=None):
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
        before or screw(at.level, side),
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
    pedicles = {
        side: SimpleNamespace(centre_ras=(x, 5.0, 40.0 * int(level[1:])), width_mm=2 * HALF_WIDTH_MM)
        for side, x in (("left", -BESIDE_MM), ("right", BESIDE_MM))
    }
    frame = SimpleNamespace(to_frame=lambda p: np.asarray(p), to_ras=lambda p: np.asarray(p), pedicles=pedicles)
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


def bones_along(segmentation, entry_ras, tip_ras):
    """Bone is everything within 60 mm of the midline: a vertebra each 40 mm."""
    level = round(float(np.asarray(tip_ras)[2]) / 40)
    return (Segment(1, f"L{level}", "vertebra"),) if abs(tip_ras[0]) < 60 and 1 <= level <= 5 else ()


def measured_free(bones, entry_ras, tip_ras, diameter_mm, name, *, options=None, others=(), budget=None):
    at = SimpleNamespace(level=bones_along(None, entry_ras, tip_ras)[0].name)
    before = replace(screw("L3", "left"), name=name, site="free", level=at.level, by_hand=True)
    return measured(at, entry_ras, tip_ras, diameter_mm, "", before=before, budget=budget)


def planned_levels(ct, bones, *, implants=None, options=None, levels=None, fields=None, progress=None):
    progress(0.5, "planning")
    way = options.trajectory if options is not None and options.trajectory != "traditional" else ""
    found = [replace(screw(level, side), trajectory=way) for level in levels for side in ("left", "right")]
    return PedicleScrewPlan(tuple(found))


SCREWS = tuple(screw(level, side) for level in ("L3", "L4") for side in ("left", "right"))


def guide(level: str, screws=SCREWS, options=None) -> Guide:
    names = tuple(s.name for s in screws if (s.level, s.site) == (level, "pedicle"))
    made_for = tuple(GuideScrew(s.name, s.entry_ras, s.tip_ras) for s in screws if s.name in names)
    wall = Check("minimum wall", True, 2.1, 1.0, "mm", "thinnest wall", (3.0, 4.0, 5.0))
    bad = Check("bed", False, 300.0, 210.0, "mm", "it does not fit on the bed")
    thick = options is not None and options.printer == "fdm"
    return Guide(
        f"{level} guide",
        level,
        names,
        f"{level}.stl",
        True,
        1,
        1.0,
        2.0,
        0.2 if options is None else options.fit_clearance_mm,
        0.2,
        0.0,
        (0.0, 1.0, 0.0),
        recipe=GuideRecipe("drill", made_for),
        checks=(wall, bad) if thick else (wall,),
        verdict=Verdict.REJECTED if thick else Verdict.ACCEPTED,
        reasons=("it does not fit on the bed",) if thick else (),
    )


@pytest.fixture(name="quick")
def quick_fixture(monkeypatch):
    def plan_case(ct, mr=None, bones=None, options=None, *, implants=None, progress):
        plan = Plan(
            "plan-abc",
            "2026-01-01",
            {"mskplanner": "0"},
            (describe_input("ct", ct),),
            {"error_budget": BUDGET},
            segmentation=describe_segmentation(bones),
            screws=SCREWS,
        )
        return pipeline.Case(
            ct, mr, bones, plan, fields=BoneFields(bones, ct), bones={"L3": TETRAHEDRON, "L4": TETRAHEDRON}
        )

    def design_guides(fields, screws, surfaces, frames, options, *, progress):
        levels = [v for v in surfaces if any(s.level == v and s.verdict is Verdict.ACCEPTED for s in screws)]
        solids = {f"{v} guide": SimpleNamespace(mesh=replace(TETRAHEDRON), options=options) for v in levels}
        return [guide(v, [s for s in screws if s.verdict is Verdict.ACCEPTED], options) for v in levels], solids

    def anatomy_of(fields, screws):
        return dict.fromkeys([s.level for s in screws], TETRAHEDRON), {}

    replace_function(monkeypatch, "MSKPlannerLib.pipeline.plan_case", plan_case)
    replace_function(monkeypatch, "MSKPlannerLib.pipeline.design_guides", design_guides)
    for place in ("screw_edits", "up_to_date"):
        replace_function(monkeypatch, f"MSKPlannerLib.editing.{place}.anatomy_of", anatomy_of)
    replace_function(monkeypatch, "MSKPlannerLib.editing.screw_edits.evaluate_screw", measured)
    replace_function(monkeypatch, "MSKPlannerLib.editing.screw_edits.prepare_level", prepared)
    replace_function(monkeypatch, "MSKPlannerLib.editing.screw_edits.evaluate_free", measured_free)
    for name, stand_in in (
        ("evaluate_screw", measured),
        ("evaluate_free", measured_free),
        ("bones_along", bones_along),
        ("depth_in_bone_mm", lambda bones, name, points_ras: np.asarray(points_ras)[..., 1]),
        ("plan_levels", planned_levels),
        ("with_facet_joints", lambda screws, segmentation: list(screws)),
    ):
        replace_function(monkeypatch, f"MSKPlannerLib.editing.add_screws.{name}", stand_in)


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


def click_two_points(panel, entry, tip):
    """Press the button for two clicks and click, as the application's place mode does; what follows is done at once."""
    import slicer

    panel.ui.placeButton.click()
    lines = [n for n in nodes_of_class(slicer.mrmlScene, "vtkMRMLMarkupsLineNode") if n.GetName() == "New screw"]
    for place in (entry, tip):
        lines[0].AddControlPoint(*place)
    slicer.app.processEvents()
