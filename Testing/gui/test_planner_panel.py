"""MSK Planner's panel on the real scene, with quick stand-ins for the steps of the pipeline."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from harness.helpers import nodes_of_class, press, replace_function, small_volume
from MSKFusionLib.errors import InputError
from MSKFusionLib.mrml import segmentation_to_node, volume_to_node
from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.segmentation import LevelHint
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKFusionLib.volume import Modality
from MSKPlannerLib import pipeline
from MSKPlannerLib.colours import REJECTED_COLOUR, hex_colour
from MSKPlannerLib.mesh import Mesh
from MSKPlannerLib.mrml import nodes_of_plan, scene_to_plan
from MSKPlannerLib.plan import Guide, Plan, Screw

TETRAHEDRON = Mesh(
    np.array([[0.0, 0, 0], [9, 0, 0], [0, 9, 0], [0, 0, 9]]), np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
)


def screw(side: str, **changes) -> Screw:
    entry = (5.0 if side == "right" else -5.0, -3.0, 11.0)
    made = Screw(f"L3 {side}", "pedicle", "L3", side, entry, (entry[0], 37.0, 11.0), 6.5, 40.0, 1.2, "A", hu_mean=310.0)
    return replace(made, **changes)


SCREWS = (
    screw("left"),
    screw("right", clearance_mm=-0.4, grade="B", verdict=Verdict.REJECTED, reasons=("too narrow",)),
)


def guide(**changes) -> Guide:
    made = Guide(
        name="L3 guide",
        level="L3",
        screws=("L3 left",),
        file="guides/L3_drill_guide.stl",
        watertight=True,
        bodies=1,
        volume_mm3=121.5,
        min_wall_mm=2.1,
        fit_clearance_mm=0.25,
        fit_gap_mean_mm=0.25,
        fit_gap_max_error_mm=0.05,
        insertion_direction_ras=(0.0, 1.0, 0.0),
    )
    return replace(made, **changes)


@pytest.fixture
def panel(session):
    return session.open_panel("MSKPlanner")


@pytest.fixture
def inputs(session):
    ct = small_volume(Modality.CT, "CT of P")
    labels = ct.with_voxels((ct.voxels > 100).astype(np.uint8) * 22, modality=Modality.LABEL)
    bones = Segmentation(labels, (Segment(22, "L3", "vertebra"),))
    return volume_to_node(session.scene, ct), segmentation_to_node(session.scene, bones, "Bones of P")


@pytest.fixture
def steps(monkeypatch):
    """Quick stand-ins for planning and designing; `asked` collects the options."""
    asked = []

    def plan_case(ct, mr=None, bones=None, options=None, *, implants=None, progress):
        progress(0.5, "planning")
        asked.append((options, bones))
        reasons = ("no screws in L2: too narrow", "L3 right: too narrow")
        software = {"mskplanner": "0"}
        plan = Plan("plan-abc", "2026-01-01", software, screws=SCREWS, verdict=Verdict.REJECTED, reasons=reasons)
        return pipeline.Case(ct, mr, bones, plan, bones={"L3": TETRAHEDRON})

    def design_guides(bones, screws, surfaces, frames, options, *, progress):
        return [guide()], {"L3 guide": SimpleNamespace(mesh=TETRAHEDRON)}

    replace_function(monkeypatch, "MSKPlannerLib.pipeline.plan_case", plan_case)
    replace_function(monkeypatch, "MSKPlannerLib.pipeline.design_guides", design_guides)
    return asked


def choose(panel, inputs):
    panel.ui.ctSelector.setCurrentNode(inputs[0])
    panel.ui.segmentationSelector.setCurrentNode(inputs[1])


def enabled(panel):
    return tuple(b.enabled for b in (panel.ui.planButton, panel.ui.guidesButton, panel.ui.exportButton))


def test_buttons_wait_for_what_they_need(panel, inputs, steps):
    assert enabled(panel) == (False, False, False)
    panel.ui.ctSelector.setCurrentNode(inputs[0])
    assert enabled(panel) == (False, False, False)
    panel.ui.segmentationSelector.setCurrentNode(inputs[1])
    assert enabled(panel) == (True, False, False)
    assert "first" in panel.ui.guidesButton.toolTip
    press(panel.ui.planButton)
    assert enabled(panel) == (True, True, True)
    panel.ui.folderPathLineEdit.currentPath = ""
    assert enabled(panel) == (True, True, False)


def test_what_can_only_be_meant_is_chosen_on_entering(session, inputs):
    panel = session.open_panel("MSKPlanner")
    assert (panel.ui.ctSelector.currentNode(), panel.ui.segmentationSelector.currentNode()) == inputs


def test_plan_fills_table_text_and_scene(panel, inputs, steps, session):
    choose(panel, inputs)
    panel.ui.levelsLineEdit.text = "l3, L4"
    press(panel.ui.planButton)
    options, _bones = steps[0]
    assert options.levels == ("L3", "L4")
    table = panel.ui.screwsTable
    rows = [[table.item(r, c).text() for c in range(table.columnCount)] for r in range(table.rowCount)]
    assert rows == [
        ["L3 left", "6.5 x 40", "A", "1.20", "310", "–", ""],
        ["L3 right", "6.5 x 40", "B ✗", "-0.40", "310", "–", ""],
    ]
    assert table.item(1, 0).toolTip() == "L3 right: rejected: too narrow"
    assert table.item(1, 0).foreground().color().name() == hex_colour(REJECTED_COLOUR)
    assert panel.ui.screwsLabel.text == "2 screws planned. Rejected: L3 right."
    assert scene_to_plan(session.scene).screws == SCREWS
    lines = nodes_of_class(session.scene, "vtkMRMLMarkupsLineNode")
    assert len(lines) == 2
    assert np.allclose(lines[0].GetNthControlPointPositionWorld(0), SCREWS[0].entry_ras)


def test_lowest_level_names_the_bones_anew(panel, inputs, steps, monkeypatch):
    named = []
    replace_function(monkeypatch, "MSKPlannerLib.mrml.plan_basis.name_levels", lambda s, hint: named.append(hint) or s)
    choose(panel, inputs)
    press(panel.ui.planButton)
    panel.ui.lowestLevelComboBox.currentText = "L5"
    press(panel.ui.planButton)
    assert named == [LevelHint("L5", "lowest")]
    assert [options.level_hint for options, _ in steps] == [None, *named], "the document says what was asked"


def test_plan_follows_a_ct_under_a_transform(panel, inputs, steps, session):
    moved = session.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "table")
    choose(panel, inputs)
    inputs[0].SetAndObserveTransformNodeID(moved.GetID())
    press(panel.ui.planButton)
    assert "different transforms" in panel.ui.statusLabel.text
    inputs[1].SetAndObserveTransformNodeID(moved.GetID())
    press(panel.ui.planButton)
    drawn = [n for kind in ("vtkMRMLMarkupsLineNode", "vtkMRMLModelNode") for n in nodes_of_class(session.scene, kind)]
    drawn = [n for n in drawn if n.GetAttribute("MSKPlanner.Role")]
    assert len(drawn) == 4
    assert {n.GetParentTransformNode() for n in drawn} == {moved}


def test_planning_again_takes_the_place_of_the_last_plan(panel, inputs, steps, session):
    choose(panel, inputs)
    press(panel.ui.planButton)
    press(panel.ui.guidesButton)
    before = session.scene.GetNumberOfNodes()
    items = session.scene.GetSubjectHierarchyNode().GetNumberOfItems()
    press(panel.ui.planButton)
    press(panel.ui.guidesButton)
    assert session.scene.GetNumberOfNodes() == before
    assert session.scene.GetSubjectHierarchyNode().GetNumberOfItems() == items
    assert all(session.scene.IsNodePresent(node) for node in inputs)


def test_guides_are_shown_with_their_verdicts(panel, inputs, steps, session, monkeypatch):
    choose(panel, inputs)
    press(panel.ui.planButton)
    press(panel.ui.guidesButton)
    assert panel.ui.guidesLabel.text == "L3 guide: accepted"
    (model,) = nodes_of_plan(session.scene, role="guide")
    assert np.allclose(model.GetPolyData().GetBounds(), [0, 9, 0, 9, 0, 9])
    assert panel.logic.case.plan.verdict is Verdict.REJECTED, "one screw is rejected, and so is the plan"
    reasons = panel.logic.case.plan.reasons
    rejected = guide(verdict=Verdict.REJECTED, reasons=("the wall is thin",), notes=("a piece was dropped",))
    replace_function(monkeypatch, "MSKPlannerLib.pipeline.design_guides", lambda *a, **k: ([rejected], {}))
    press(panel.ui.guidesButton)
    assert panel.ui.guidesLabel.text == "L3 guide: rejected (the wall is thin; a piece was dropped)"
    assert panel.logic.case.plan.reasons == (*reasons, "L3 guide: the wall is thin")


def test_guides_wait_for_libraries_that_the_user_declines(panel, inputs, steps, monkeypatch):
    def pip_ensure(requirements, *, requester):
        assert any(line.startswith("manifold3d") for line in requirements)
        raise RuntimeError("User declined package installation")

    fake = SimpleNamespace(load_requirements=lambda path: Path(path).read_text().splitlines(), pip_ensure=pip_ensure)
    monkeypatch.setitem(sys.modules, "slicer.packaging", fake)
    monkeypatch.setattr("slicer.packaging", fake, raising=False)
    choose(panel, inputs)
    press(panel.ui.planButton)
    press(panel.ui.guidesButton)
    assert "User declined" in panel.ui.statusLabel.text
    assert panel.logic.case.plan.guides == ()


def test_edited_bones_make_the_plan_out_of_date(panel, inputs, steps):
    choose(panel, inputs)
    press(panel.ui.planButton)
    inputs[1].GetSegmentation().GetNthSegment(0).SetName("L4")
    with pytest.raises(InputError, match="have changed since"):
        panel.logic.designGuides()
    assert enabled(panel) == (True, False, False)
    assert panel.ui.screwsLabel.text.startswith("Out of date")
    press(panel.ui.planButton)
    assert enabled(panel) == (True, True, True)
    inputs[1].GetSegmentation().GetNthSegment(0).GetRepresentation("Binary labelmap").Modified()
    assert not panel.logic.isCurrent(*inputs)
    press(panel.ui.planButton)
    inputs[0].GetImageData().GetPointData().GetScalars().Modified()
    assert not panel.logic.isCurrent(*inputs)


def test_export_writes_the_folder_whole(panel, inputs, steps, tmp_path, monkeypatch):
    written = []

    def write_case(case, folder, **_):
        written.append(case.plan.plan_id)
        (folder / "plan.json").write_text("{}")

    replace_function(monkeypatch, "MSKPlannerLib.cli.write_case.write_case", write_case)
    choose(panel, inputs)
    press(panel.ui.planButton)
    panel.ui.folderPathLineEdit.currentPath = str(tmp_path / "out")
    press(panel.ui.exportButton)
    assert written == ["plan-abc"]
    assert (tmp_path / "out/plan.json").exists()
    assert str(tmp_path / "out") in panel.ui.exportLabel.text
    press(panel.ui.exportButton)
    assert "results in this folder already" in panel.ui.statusLabel.text
    assert written == ["plan-abc"]


def test_an_error_is_shown_in_words_and_the_last_plan_stays(panel, inputs, steps, shown_errors, monkeypatch):
    choose(panel, inputs)
    press(panel.ui.planButton)
    case = panel.logic.case

    def plan_case(*_, **__):
        raise InputError("there is no vertebra L9", "There are: L3.", where="Bones of P")

    replace_function(monkeypatch, "MSKPlannerLib.pipeline.plan_case", plan_case)
    press(panel.ui.planButton)
    assert panel.ui.statusLabel.text == "Bones of P: there is no vertebra L9. There are: L3."
    assert len(shown_errors) == 1
    assert panel.logic.case is case
    assert panel.ui.screwsTable.rowCount == 2


def test_a_bug_is_named_in_the_panel_and_reaches_the_log(panel, inputs, shown_errors, monkeypatch):
    def plan_case(*_, **__):
        raise ZeroDivisionError("division by zero")

    replace_function(monkeypatch, "MSKPlannerLib.pipeline.plan_case", plan_case)
    choose(panel, inputs)
    with pytest.raises(ZeroDivisionError):
        press(panel.ui.planButton)
    assert panel.ui.statusLabel.text == "ZeroDivisionError: division by zero"
    assert panel.ui.workArea.enabled
    assert len(shown_errors) == 1


def test_closing_the_scene_forgets_the_plan(panel, inputs, steps, session):
    choose(panel, inputs)
    press(panel.ui.planButton)
    session.scene.Clear(0)
    assert panel.logic.case is None
    assert panel.ui.screwsTable.rowCount == 0
    assert panel.ui.screwsLabel.text == "No screws planned yet."
    assert enabled(panel) == (False, False, False)
    assert len(panel.Observations) == 4, "three of the scene, one of the parameter node"
    assert panel.logic.session.history.undo_label == ""
    session.close_panel(panel)
    assert panel.Observations == []


def test_logic_works_without_a_panel(session, inputs, steps):
    module = session.load("MSKPlanner")
    logic = module.MSKPlannerLogic()
    with pytest.raises(InputError, match="no plan yet"):
        logic.designGuides()
    case = logic.planScrews(*inputs)
    assert logic.case is case
    assert logic.designGuides().plan.guides == (guide(),)
