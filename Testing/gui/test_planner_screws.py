"""Screws changed in MSK Planner's panel and in the scene: drag, size, copy, swap, undo, delete, save and load.

A quick stand-in measures them: a box of bone about each side, so that what a screw's numbers should be is known.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from harness.helpers import nodes_of_class, press, replace_function, small_volume
from MSKFusionLib.errors import InputError
from MSKFusionLib.mrml import load_scene, save_scene, segmentation_to_node, volume_to_node
from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKFusionLib.volume import Modality
from MSKPlannerLib import pipeline
from MSKPlannerLib.bone.smooth_bone import BoneFields
from MSKPlannerLib.colours import OUT_OF_DATE_COLOUR, REJECTED_COLOUR, SCREW_COLOUR
from MSKPlannerLib.mesh import Mesh
from MSKPlannerLib.mrml import nodes_of_plan, scene_to_plan
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


@pytest.fixture
def quick(monkeypatch):
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


@pytest.fixture
def raised(monkeypatch):
    """What was raised inside observers and slots, which VTK and Qt only print."""
    errors: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: errors.append(error))
    yield errors
    assert errors == []


@pytest.fixture
def inputs(session):
    return add_inputs(session.scene)


def add_inputs(scene):
    ct = small_volume(Modality.CT, "CT of P")
    labels = ct.with_voxels((ct.voxels > 100).astype(np.uint8) * 22, modality=Modality.LABEL)
    bones = Segmentation(labels, (Segment(22, "L3", "vertebra"),))
    return volume_to_node(scene, ct), segmentation_to_node(scene, bones, "Bones of P")


@pytest.fixture
def panel(session, inputs, quick, raised):
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


def row(panel, name):
    table = panel.ui.screwsTable
    rows = [r for r in range(table.rowCount) if table.item(r, 0).text() == name]
    return [table.item(rows[0], c).text() for c in range(table.columnCount)] if rows else None


def choose(panel, name):
    table = panel.ui.screwsTable
    table.setCurrentCell([table.item(r, 0).text() for r in range(table.rowCount)].index(name), 0)


def test_dragging_an_end_is_followed_by_numbers_colour_body_and_words(panel):
    press(panel.ui.guidesButton)
    node = axis(panel, "L3 left")
    assert not node.GetLocked()
    node.InvokeEvent(node.PointStartInteractionEvent)
    node.SetNthControlPointPosition(1, -9.0, 40.0, 120.0)  # 6 mm off the middle of a pedicle of 5 mm: out by 4.25
    assert row(panel, "L3 left")[2:6] == ["B ✗", "-4.25", "310", "?"]
    assert "leaves the bone by 4.2 mm" in panel.ui.screwLabel.text, "why it turned bad, while it is dragged"
    assert np.allclose(model(panel, "L3 left").GetDisplayNode().GetColor(), REJECTED_COLOUR)
    assert model(panel, "L3 left").GetPolyData().GetBounds()[1] > -12, "its body has gone along"
    assert "Guide of L3: L3 left was changed" in panel.ui.outOfDateLabel.text
    node.SetNthControlPointPosition(1, -14.0, 40.0, 120.0)
    node.InvokeEvent(node.PointEndInteractionEvent)
    assert row(panel, "L3 left")[2:6] == ["A", "0.75", "310", "4"], "the risk is counted when it is let go"
    assert np.allclose(model(panel, "L3 left").GetDisplayNode().GetColor(), SCREW_COLOUR)
    assert of(panel, "L3 left").by_hand
    assert scene_to_plan(panel.logic.session.scene).screws == panel.logic.case.plan.screws
    press(panel.ui.undoButton)
    assert of(panel, "L3 left") == SCREWS[0], "the whole drag is one step"
    assert np.allclose(axis(panel, "L3 left").GetNthControlPointPosition(1), SCREWS[0].tip_ras)
    assert panel.ui.undoButton.toolTip == "Design guides"
    press(panel.ui.redoButton)
    assert row(panel, "L3 left")[3] == "0.75"


def test_an_end_moved_by_a_script_is_a_step_of_its_own(panel):
    axis(panel, "L4 right").SetNthControlPointPosition(0, 16.0, 0.0, 160.0)
    assert row(panel, "L4 right")[3:6] == ["0.75", "310", "?"]
    assert panel.ui.outOfDateLabel.text.startswith("Breach risk of L4 right")
    press(panel.ui.updateButton)
    assert row(panel, "L4 right")[5] == "4"
    assert not panel.ui.updateButton.enabled


def test_what_is_no_screw_springs_back_and_says_why(panel):
    drag(panel, "L3 left", 1, (-15.0, 1.0, 120.0))
    assert "no screw has a length of 1.0 mm" in panel.ui.statusLabel.text
    assert of(panel, "L3 left").length_mm >= 5
    shown = np.array(axis(panel, "L3 left").GetNthControlPointPosition(1))
    assert np.allclose(shown, of(panel, "L3 left").tip_ras), "the last one that could be was kept, and is what is shown"
    axis(panel, "L3 right").RemoveNthControlPoint(1)
    assert "an entry and a tip" in panel.ui.statusLabel.text
    assert axis(panel, "L3 right").GetNumberOfControlPoints() == 2


def test_size_from_the_table_and_free(panel):
    choose(panel, "L4 left")
    assert panel.ui.sizeComboBox.currentText == "6.5 x 40"
    panel.ui.diameterSpinBox.value = 7.3
    assert row(panel, "L4 left")[1:4] == ["7.3 x 40", "A", "1.35"]
    assert panel.ui.sizeComboBox.currentText == "free size"
    panel.ui.sizeComboBox.currentText = "5.5 x 45"
    assert row(panel, "L4 left")[1:4] == ["5.5 x 45", "A", "2.25"]
    assert np.allclose(of(panel, "L4 left").tip_ras, (-15, 45, 160))
    panel.ui.lengthSpinBox.value = 33.4
    assert of(panel, "L4 left").length_mm == pytest.approx(33.4)
    for _ in range(3):
        press(panel.ui.undoButton)
    assert of(panel, "L4 left") == SCREWS[2]


def test_reviewed_until_it_changes(panel):
    choose(panel, "L3 left")
    panel.ui.reviewedCheckBox.checked = True
    assert row(panel, "L3 left")[6] == "✓"
    drag(panel, "L3 left", 0, (-14.0, 0.0, 120.0))
    assert row(panel, "L3 left")[6] == ""
    assert not panel.ui.reviewedCheckBox.checked


def test_copy_swap_and_remove(panel):
    drag(panel, "L3 left", 0, (-17.0, 0.0, 120.0))
    choose(panel, "L3 left")
    press(panel.ui.copyButton)
    assert np.allclose(of(panel, "L3 right").entry_ras, (17, 0, 120))
    choose(panel, "L4 left")
    press(panel.ui.removeButton)
    assert row(panel, "L4 left") is None
    assert not any("L4 left" in n.GetName() for n in nodes_of_plan(panel.logic.session.scene))
    choose(panel, "L4 right")
    press(panel.ui.swapButton)
    assert row(panel, "L4 right") is None
    assert of(panel, "L4 left").side == "left"
    for _ in range(4):
        press(panel.ui.undoButton)
    assert panel.logic.case.plan.screws == SCREWS
    assert {n.GetAttribute("MSKPlanner.Item") for n in nodes_of_plan(panel.logic.session.scene, role="screw")} == {
        s.name for s in SCREWS
    }


def test_an_out_of_date_plan_is_not_exported(panel, tmp_path, monkeypatch):
    written = []
    replace_function(
        monkeypatch,
        "MSKPlannerLib.cli.write_case.write_case",
        lambda case, folder, **_: written.append(case) or (folder / "plan.json").write_text("{}"),
    )
    press(panel.ui.guidesButton)
    panel.ui.folderPathLineEdit.currentPath = str(tmp_path / "out")
    drag(panel, "L3 right", 1, (16.0, 40.0, 120.0))
    (model_node,) = (n for n in nodes_of_plan(panel.logic.session.scene, role="guide") if "L3" in n.GetName())
    assert model_node.GetName() == "L3 guide (out of date)"
    assert np.allclose(model_node.GetDisplayNode().GetColor(), OUT_OF_DATE_COLOUR)
    press(panel.ui.exportButton)
    assert "the plan is out of date. Guide of L3" in panel.ui.statusLabel.text
    assert written == []
    press(panel.ui.updateButton)
    assert panel.ui.guidesLabel.text == "L3 guide: accepted\nL4 guide: accepted"
    press(panel.ui.exportButton)
    assert len(written) == 1


def test_a_screw_deleted_in_the_scene_leaves_the_plan_and_comes_back(panel, session):
    press(panel.ui.guidesButton)
    before = session.scene.GetNumberOfNodes()
    session.scene.RemoveNode(model(panel, "L3 left"))
    assert row(panel, "L3 left") is None
    assert len(nodes_of_class(session.scene, "vtkMRMLMarkupsLineNode")) == 3, "its axis has gone with it"
    assert scene_to_plan(session.scene).screws == SCREWS[1:]
    session.scene.RemoveNode(panel.logic.session.nodes.guides["L4 guide"])
    assert panel.ui.guidesLabel.text.startswith("L3 guide: out of date")
    assert "L4 guide" not in panel.ui.guidesLabel.text
    press(panel.ui.undoButton)
    press(panel.ui.undoButton)
    assert panel.logic.case.plan.screws == SCREWS
    assert session.scene.GetNumberOfNodes() == before


def test_documents_that_are_deleted_come_back(panel, session):
    before = session.scene.GetNumberOfNodes()
    session.scene.RemoveNode(panel.logic.session.nodes.plan)
    session.scene.RemoveNode(panel.logic.session.nodes.metrics)
    assert scene_to_plan(session.scene) is None
    session.application.processEvents()
    assert scene_to_plan(session.scene).screws == SCREWS
    assert session.scene.GetNumberOfNodes() == before


def test_a_plan_all_of_whose_nodes_are_deleted_is_forgotten(panel, session):
    for node in nodes_of_plan(session.scene):
        if session.scene.IsNodePresent(node):
            session.scene.RemoveNode(node)
    session.application.processEvents()
    assert panel.logic.case is None
    assert nodes_of_plan(session.scene) == ()
    assert panel.ui.screwsLabel.text == "No screws planned yet."
    press(panel.ui.planButton)
    assert panel.logic.case.plan.screws == SCREWS


def test_names_are_the_users_and_images_that_go_stop_the_work(panel, session, inputs):
    axis(panel, "L3 left").SetName("my screw")
    drag(panel, "L3 left", 1, (-8.0, 40.0, 120.0))
    assert axis(panel, "L3 left").GetName() == "my screw"
    assert model(panel, "L3 left").GetName().endswith("(rejected)"), "a name that the plan gave follows the plan"
    session.scene.RemoveNode(inputs[0])
    assert not panel.ui.exportButton.enabled
    drag(panel, "L3 left", 1, (-15.0, 40.0, 120.0))
    assert "the CT that the plan was made on is no longer in the scene" in panel.ui.statusLabel.text
    assert np.allclose(axis(panel, "L3 left").GetNthControlPointPosition(1), of(panel, "L3 left").tip_ras)


def test_a_saved_scene_is_gone_on_with(panel, session, tmp_path):
    press(panel.ui.guidesButton)
    axis(panel, "L3 left").SetName("my screw")
    drag(panel, "L3 left", 1, (-13.0, 40.0, 120.0))
    plan = panel.logic.case.plan
    save_scene(session.scene, tmp_path / "scene.mrb")
    load_scene(session.scene, tmp_path / "scene.mrb")
    assert panel.logic.case.plan.screws == plan.screws
    assert axis(panel, "L3 left").GetName() == "my screw", "the scene's own nodes are followed, none made anew"
    assert len(nodes_of_class(session.scene, "vtkMRMLMarkupsLineNode")) == 4
    assert "designed again" in panel.ui.guidesLabel.text, "a guide's solid is not kept in a scene"
    drag(panel, "L3 left", 1, (-15.0, 40.0, 120.0))
    assert row(panel, "L3 left")[3] == "1.75"
    press(panel.ui.updateButton)
    assert panel.ui.guidesLabel.text == "L3 guide: accepted\nL4 guide: accepted"
    assert len(nodes_of_plan(session.scene, role="guide")) == 2


def test_a_saved_scene_whose_images_were_changed_is_not_worked_on(panel, session, inputs, tmp_path):
    import slicer

    slicer.util.arrayFromVolume(inputs[0])[0, 0, 0] += 1
    panel.logic.session.nodes.plan.Modified()
    save_scene(session.scene, tmp_path / "scene.mrb")
    load_scene(session.scene, tmp_path / "scene.mrb")
    assert panel.logic.case is None
    assert "not those that the plan was made on" in panel.ui.statusLabel.text


def test_closing_the_panel_leaves_no_observer(panel, session):
    nodes = [axis(panel, s.name) for s in SCREWS]
    assert all(n.HasObserver(n.PointModifiedEvent) for n in nodes)
    session.close_panel(panel)
    assert len(panel.logic.session._observers) == 0
    assert all(n.GetLocked() for n in nodes), "what nobody follows is no handle"
    for node in nodes:
        assert not node.HasObserver(node.PointEndInteractionEvent)
