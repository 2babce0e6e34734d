"""Osteotomies in the panel: added, aimed, dragged, undone; the numbers are those of the closed form."""

import numpy as np
import pytest
from core.leg_case import leg_case
from leg_panel import add_cut as add
from leg_panel import leg_inputs_fixture  # noqa: F401  used by its name
from quick_planner import raised_fixture  # noqa: F401  used by its name

from harness.helpers import press, replace_function
from MSKPlannerLib.cli.main import main
from MSKPlannerLib.export.mesh_files import read_mesh
from MSKPlannerLib.mrml import nodes_of_plan
from MSKPlannerLib.osteotomy.planned import asked_of
from MSKPlannerLib.plan_file import read_plan

TIBIA = "right tibia osteotomy"


@pytest.fixture(name="panel")
def panel_fixture(session, leg_inputs, raised):
    panel = session.open_panel("MSKPlanner")
    add(panel, "right tibia")
    return panel


def record(panel, name=TIBIA):
    return next(o for o in panel.logic.case.plan.osteotomies if o.name == name)


def measures(panel):
    table = panel.cutUi.measuresTable
    rows = ([table.item(r, c).text() for c in range(4)] for r in range(table.rowCount))
    return {row[0]: tuple(row[1:]) for row in rows}


def row(panel, n=0):
    table = panel.cutUi.cutsTable
    return [table.item(n, c).text() for c in range(table.columnCount)]


def plane(panel, name=TIBIA):
    return panel.logic.session.cuts.shown.nodes[name].plane


def test_without_bones_nothing_can_be_cut(session, raised):
    panel = session.open_panel("MSKPlanner")
    assert not panel.cutUi.addCutButton.enabled
    assert panel.cutUi.measuresTable.visible is False


def test_a_tibia_is_cut_to_a_straight_axis(panel):
    cut = record(panel)
    assert cut.verdict == "accepted"
    assert measures(panel)["HKA (°)"] == ("172.0", "180.0", "+8.0")
    assert row(panel)[:3] == ["right tibia", "opens", f"{cut.angle_deg:.1f}"]
    assert panel.cutUi.cutsTable.currentRow() == 0
    assert "for HKA 180.0°" in panel.cutUi.cutLabel.text
    assert panel.ui.screwsLabel.text == "No screws planned yet."
    assert panel.ui.guideKindComboBox.currentText == "cutting guide of an osteotomy"
    assert panel.ui.guidesButton.enabled
    panel.ui.guideKindComboBox.currentIndex = 0
    assert not panel.ui.guidesButton.enabled
    assert panel.cutUi.cutTargetComboBox.currentIndex == 1


def test_angle_gap_and_target_are_one_wedge(panel):
    ui = panel.cutUi
    ui.cutAngleSpinBox.value = 6.0
    cut = record(panel)
    assert (cut.angle_deg, cut.target) == (6.0, None)
    assert ui.cutTargetComboBox.currentIndex == 0
    assert ui.cutGapSpinBox.value == pytest.approx(cut.gap_mm, abs=0.051)
    ui.cutGapSpinBox.value = 9.0
    assert record(panel).gap_mm == pytest.approx(9.0, abs=1e-9)
    ui.cutTargetComboBox.currentIndex = 2  # the weight-bearing line
    assert ui.cutTargetSpinBox.value == 62.0
    assert measures(panel)["Weight-bearing line (%)"][1] == "62.0"
    ui.cutTargetSpinBox.value = 55.0
    assert measures(panel)["Weight-bearing line (%)"][1] == "55.0"
    assert record(panel).target.value == pytest.approx(0.55)
    ui.cutTargetComboBox.currentIndex = 0
    assert record(panel).target is None
    assert measures(panel)["Weight-bearing line (%)"][1] == "55.0"
    ui.cutKerfSpinBox.value = 1.2
    assert _between_faces(panel) == pytest.approx(record(panel).gap_mm + 1.2, abs=0.06)
    assert f"({_between_faces(panel):.1f} mm between the sawn faces)" in ui.cutLabel.text
    before = record(panel)
    ui.cutKindComboBox.currentIndex = 1
    assert record(panel).kind == "closing wedge"
    assert len(record(panel).fragments) == 3
    press(panel.ui.undoButton)
    assert record(panel) == before
    ui.cutKerfSpinBox.value = 0.0
    ui.cutTargetComboBox.currentIndex = 1
    _other_kinds_of_cut(panel)


def _other_kinds_of_cut(panel):
    """Part of the test above: opening the panel costs more than all of this."""
    ui = panel.cutUi
    before = record(panel)
    ui.cutKindComboBox.currentIndex = 3
    cut = record(panel)
    assert cut.form.name == "biplanar"
    assert (cut.angle_deg, cut.target) == (pytest.approx(before.angle_deg, abs=1e-9), before.target)
    assert row(panel)[1] == "biplanar"
    assert measures(panel)["HKA (°)"][1] == "180.0"
    ui.turnCutButton.click()
    back, corner, _ = np.array(record(panel).form.corners_ras)
    assert (corner - back)[1] > 0  # the tongue stays at the front
    press(panel.ui.undoButton)
    ui.cutGapSpinBox.value = 7.0
    assert record(panel).gap_mm == pytest.approx(7.0, abs=1e-9)
    ui.cutKindComboBox.currentIndex = 4
    closing = record(panel)
    assert (closing.what, closing.target, row(panel)[1]) == ("biplanar closing wedge", None, "biplanar, closes")
    ui.cutAngleSpinBox.value = 6.0
    assert [f.name for f in record(panel).fragments] == ["staying", "moved", "wedge"]
    assert "Biplanar closing wedge of 6.0°" in ui.cutLabel.text
    ui.cutKindComboBox.currentIndex = 5
    assert record(panel).kind == "dome"
    assert not ui.cutGapSpinBox.enabled
    ui.cutTargetComboBox.currentIndex = 1
    assert measures(panel)["HKA (°)"][1] == "180.0"
    ui.cutKindComboBox.currentIndex = 6
    assert record(panel).angle_deg == 0
    assert not ui.cutAngleSpinBox.enabled
    ui.cutGapSpinBox.value = 12.0
    assert float(measures(panel)["Tibia (mm)"][2]) == pytest.approx(12.0, abs=0.1)
    assert "lengthened by 12.0 mm" in ui.cutLabel.text
    ui.cutGapSpinBox.value = 45.0
    assert "come apart" in panel.ui.statusLabel.text
    assert ui.cutGapSpinBox.value == 12.0
    ui.cutKindComboBox.currentIndex = 0
    assert record(panel).form is None
    while record(panel) != before:
        press(panel.ui.undoButton)
    assert ui.cutKindComboBox.currentIndex == 0


def _between_faces(panel):
    """From the fragments as they are shown: how far the far edges of their sawn faces lie apart."""
    cut = record(panel)
    frame = asked_of(cut).shape.to_ras
    ends = []
    for name, side in (("staying", -1), ("moved", 1)):
        surface = panel.logic.session.cuts.shown.nodes[TIBIA].models[name].GetPolyData()
        points = (np.array([surface.GetPoint(n) for n in range(surface.GetNumberOfPoints())]) - frame[:3, 3]) @ frame[
            :3, :3
        ]
        face = points[np.abs(points[:, 2] - side * cut.planes[0].kerf_mm / 2) < 1e-3]
        far = frame[:3, :3] @ face[face[:, 0].argmax()] + frame[:3, 3]
        motion = np.array(cut.fragments[0 if name == "staying" else 1].image_to_planned_ras)
        ends.append((motion @ [*far, 1])[:3])
    # Along the hinge both may lie anywhere on the edge.
    step = ends[1] - ends[0]
    return float(np.linalg.norm(step - (step @ frame[:3, 1]) * frame[:3, 1]))


def test_what_cannot_be_is_said_and_the_boxes_go_back(panel):
    ui = panel.cutUi
    before = record(panel)
    ui.cutTargetComboBox.currentIndex = 4  # mLDFA: no cut of the tibia changes it
    assert "no turn about this hinge" in panel.ui.statusLabel.text
    assert ui.cutTargetComboBox.currentIndex == 1
    ui.cutGapSpinBox.value = 60.0
    assert record(panel).gap_mm == pytest.approx(60.0) or "degrees" in panel.ui.statusLabel.text
    while record(panel) != before:
        press(panel.ui.undoButton)
    press(ui.addCutButton)
    assert "once in a plan" in panel.ui.statusLabel.text


def test_numbers_follow_the_hand(panel):
    node = plane(panel)
    node.InvokeEvent(node.PointStartInteractionEvent)
    angles = []
    for _ in range(3):
        origin = np.array(node.GetOrigin())
        node.SetOrigin(*(origin + [-2.0, 0, -1.5]))
        angles.append(panel.cutUi.cutLabel.text)
        assert measures(panel)["HKA (°)"][1] == "180.0"
        assert panel.cutUi.cutAngleSpinBox.value == pytest.approx(record(panel).angle_deg, abs=0.051)
    node.InvokeEvent(node.PointEndInteractionEvent)
    assert len(set(angles)) == 3
    press(panel.cutUi.turnCutButton)
    assert record(panel).kind == "closing wedge"  # the same turn, with the saw from the other side
    assert measures(panel)["HKA (°)"][1] == "180.0"
    for _ in range(2):
        press(panel.ui.undoButton)
    assert panel.ui.undoButton.enabled is False or record(panel).verdict == "accepted"


def test_two_levels_and_a_review(panel):
    add(panel, "right femur")
    assert panel.cutUi.cutsTable.rowCount == 2
    # The tibia is cut for the whole leg: the femur takes its own share, the tibia what is left.
    assert measures(panel)["mLDFA (°)"][:2] == ("92.0", "87.5")
    panel.cutUi.cutTargetSpinBox.value = 88.0
    assert measures(panel)["mLDFA (°)"][1] == "88.0"
    assert measures(panel)["HKA (°)"][1] == "180.0"
    panel.cutUi.cutReviewedCheckBox.checked = True
    assert row(panel, 1)[-1] == "✓"
    panel.cutUi.cutAngleSpinBox.value = 3.0
    assert row(panel, 1)[-1] == ""
    press(panel.cutUi.removeCutButton)
    assert panel.cutUi.cutsTable.rowCount == 1
    panel.cutUi.cutsTable.setCurrentCell(0, 0)
    press(panel.cutUi.removeCutButton)
    assert panel.cutUi.cutsTable.rowCount == 0
    assert nodes_of_plan(panel.logic.session.scene, role="fragment") == ()


def test_the_scene_closes_and_the_panel_is_empty(session, panel):
    session.scene.Clear(0)
    assert panel.cutUi.cutsTable.rowCount == 0
    assert panel.cutUi.measuresTable.rowCount == 0
    assert not panel.cutUi.removeCutButton.enabled
    assert nodes_of_plan(session.scene) == ()


def test_exported_and_read_by_the_command_line(panel, tmp_path, capsys):
    panel.cutUi.cutKindComboBox.currentIndex = 1
    panel.ui.folderPathLineEdit.currentPath = str(tmp_path / "plan")
    press(panel.ui.exportButton)
    assert panel.ui.statusLabel.text == "Done."
    plan = read_plan(tmp_path / "plan")
    assert [f.file for f in plan.osteotomies[0].fragments] == [
        f"fragments/right_tibia_{n}.stl" for n in ("staying", "moved", "wedge")
    ]
    report = (tmp_path / "plan" / "report.html").read_text()
    assert "right tibia osteotomy" in report
    assert "HKA" in report
    out = tmp_path / "files"
    assert main(["export", str(tmp_path / "plan"), "--what", "fragments", "--out", str(out)]) == 0
    moved = read_mesh(out / "right_tibia_moved_planned_fragment.stl")
    motion = np.array(plan.osteotomies[0].fragments[1].image_to_planned_ras)
    lies = read_mesh(tmp_path / "plan" / "fragments" / "right_tibia_moved.stl").transformed(motion)
    assert moved.vertices_ras.mean(axis=0) == pytest.approx(lies.vertices_ras.mean(axis=0), abs=1e-3)


def test_a_new_plan_on_changed_bones_says_that_the_old_one_is_left(panel, leg_inputs):
    segment = leg_inputs[1].GetSegmentation().GetNthSegment(1)
    segment.GetRepresentation("Binary labelmap").Modified()
    assert not panel.cutUi.removeCutButton.enabled
    add(panel, "right femur")
    assert "Undo brings the old one back" in panel.ui.statusLabel.text
    assert [o.bone for o in panel.logic.case.plan.osteotomies] == ["right femur"]
    press(panel.ui.undoButton)
    assert [o.bone for o in panel.logic.case.plan.osteotomies] == ["right tibia"]


def test_planning_screws_keeps_the_cuts(panel, monkeypatch):
    def plan_case(ct, mr=None, bones=None, options=None, *, implants=None, progress):
        return leg_case(ct, bones)

    replace_function(monkeypatch, "MSKPlannerLib.pipeline.plan_case", plan_case)
    before = panel.logic.case.plan.osteotomies
    press(panel.ui.planButton)
    assert panel.logic.case.plan.osteotomies == before
    assert panel.cutUi.cutsTable.rowCount == 1
    assert panel.ui.statusLabel.text == "Done."
