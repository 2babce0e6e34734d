"""Guides of every kind designed for real through the panel, on a generated leg and a generated spine."""

from __future__ import annotations

import numpy as np
import pytest
from core.leg_labels import leg_images
from quick_planner import raised_fixture  # noqa: F401  used by its name

from harness.helpers import press
from MSKFusionLib.mrml import segmentation_to_node, volume_to_node
from MSKPlannerLib.editing.made_again import all_made_again
from MSKPlannerLib.export.mesh_files import read_mesh
from MSKPlannerLib.guides.recipe import why_outdated
from MSKPlannerLib.pipeline import case_of_plan
from MSKPlannerLib.plan_file import read_plan

#: As in the application: the long work is done in another process.
pytestmark = pytest.mark.usefixtures("planner_works_away")

CUT = "right femur osteotomy"


def _guides(panel):
    return {g.name: g for g in panel.logic.case.plan.guides}


@pytest.mark.slow
def test_cutting_and_reduction_guide_of_a_femur(session, raised, shown_errors, tmp_path):
    ct, bones = leg_images(1.5)
    volume_to_node(session.scene, ct, "CT")
    segmentation_to_node(session.scene, bones, "Bones")
    panel = session.open_panel("MSKPlanner")
    ui, box = panel.ui, panel.cutUi.cutBoneComboBox
    box.currentIndex = [box.itemText(n) for n in range(box.count)].index("right femur")
    press(panel.cutUi.addCutButton)
    ui.guideKindComboBox.currentIndex = 2
    ui.holesSpinBox.value = 1
    press(ui.guidesButton)
    assert {n: str(g.verdict) for n, g in _guides(panel).items()} == {
        "right femur cutting guide": "accepted", "right femur reduction guide": "accepted",
    }, ui.statusLabel.text  # fmt: skip
    assert any("does not keep it from turning" in n for n in _guides(panel)["right femur reduction guide"].notes)
    panel.cutUi.cutAngleSpinBox.value = panel.logic.case.plan.osteotomies[0].angle_deg + 1.0
    assert all("was changed" in g.out_of_date for g in _guides(panel).values())
    press(ui.updateButton)
    assert all((str(g.verdict), g.out_of_date) == ("accepted", "") for g in _guides(panel).values())
    folder = tmp_path / "plan"
    ui.folderPathLineEdit.currentPath = str(folder)
    press(ui.exportButton)
    assert ui.statusLabel.text == "Done."
    assert shown_errors == []
    plan = read_plan(folder)
    osteotomy = plan.osteotomies[0]
    cut, reduction = plan.guides
    for guide in plan.guides:
        assert why_outdated(guide, plan) == ()
        assert read_mesh(folder / guide.file).is_closed
        assert (folder / guide.file).with_suffix(".html").is_file()
    # What is drilled through the one and what holds in the other is one hole: taken along with its fragment.
    for hole in cut.recipe.options["holes"]:
        assert hole in reduction.recipe.options["holes"]
        place = np.array(next(f.image_to_planned_ras for f in osteotomy.fragments if f.name == hole["fragment"]))
        drilled = (np.linalg.inv(place) @ [*hole["entry_ras"], 1.0])[:3]
        mesh = read_mesh(folder / cut.file)
        axis = np.linalg.inv(place)[:3, :3] @ np.subtract(hole["tip_ras"], hole["entry_ras"])
        axis /= np.linalg.norm(axis)
        off = mesh.vertices_ras - drilled
        along = off @ axis
        beside = np.linalg.norm(off - along[:, None] * axis, axis=1)
        above = (along < -0.5) & (along > -30.0)
        assert beside[above].min() > 0.8  # the bore of a wire of 1.6 mm is free
        assert beside[above].min() < 1.2


@pytest.mark.slow
def test_one_guide_for_two_levels_and_no_frame_where_the_skin_is_not_in_view(
    session, small_patient, raised, shown_errors
):
    volume_to_node(session.scene, small_patient.ct, "CT")
    segmentation_to_node(session.scene, small_patient.labels, "Bones")
    panel = session.open_panel("MSKPlanner")
    ui = panel.ui
    ui.levelsLineEdit.text = "L3, L4"
    press(ui.planButton)
    ui.guideKindComboBox.currentIndex = 1
    ui.guideLevelsLineEdit.text = "L3, L4"
    press(ui.guidesButton)
    (levels,) = _guides(panel).values()
    assert [c.name for c in levels.checks if not c.passed] == ["posture L3-L4"], ui.statusLabel.text
    ui.fixedLevelsCheckBox.checked = True
    press(ui.guidesButton)
    (levels,) = _guides(panel).values()
    assert str(levels.verdict) == "accepted"
    ui.guideKindComboBox.currentIndex = 4
    ui.pinBoneComboBox.currentIndex = [ui.pinBoneComboBox.itemText(n) for n in range(ui.pinBoneComboBox.count)].index(
        "L3"
    )
    ui.pinKindComboBox.currentIndex = 1
    press(ui.guidesButton)
    assert _guides(panel)["L3 pin guide"].screws == ("L3 left", "L3 right"), ui.statusLabel.text
    press(ui.undoButton)
    ui.guideKindComboBox.currentIndex = 3
    ui.guideLevelsLineEdit.text = "L3"
    press(ui.guidesButton)
    (error,) = shown_errors
    assert "There is no skin for a pad" in error
    assert [str(g.verdict) for g in _guides(panel).values()] == ["accepted"], "the guide that is there stays"


@pytest.mark.slow
def test_converging_wires_between_two_points_on_a_femur(session, raised, shown_errors, tmp_path):
    """Bores lie on lines through the two points, at the asked angle; on bones that have changed the same lines are kept."""
    ct, bones = leg_images(2.0)
    volume_to_node(session.scene, ct, "CT")
    segmentation = segmentation_to_node(session.scene, bones, "Bones")
    panel = session.open_panel("MSKPlanner")
    ui = panel.ui
    ui.guideKindComboBox.currentIndex = 4
    press(ui.pinPointsButton)
    marked = np.array([[20.2, 0.0, 60.0], [12.9, 0.0, 95.0]])  # on the outside of the femur, within a voxel
    for n, place in enumerate(marked):
        ui.pinPointsWidget.currentNode().SetNthControlPointPosition(n, *place)
    ui.pinCountSpinBox.value, ui.pinAngleSpinBox.value, ui.sawFromComboBox.currentIndex = 3, 6.0, 3
    press(ui.guidesButton)
    (guide,) = _guides(panel).values()
    assert (str(guide.verdict), guide.name) == ("accepted", "right femur pin guide"), ui.statusLabel.text
    pins = guide.recipe.options["pins"]
    axes = np.array([np.subtract(p["entry_ras"], p["tip_ras"]) for p in pins]) / 30.0
    assert axes[1] == pytest.approx([1.0, 0.0, 0.0], abs=1e-6)  # from the right, as chosen
    assert np.degrees(np.arccos(axes[0] @ axes[1])) == pytest.approx(6.0, abs=1e-4)
    mesh = panel.logic.case.guides[guide.name].mesh
    for pin, axis, through in zip(pins[::2], axes[::2], marked, strict=True):
        off = through - pin["entry_ras"]
        assert np.linalg.norm(off - (off @ axis) * axis) < 0.5
        beside = mesh.vertices_ras - pin["entry_ras"]
        along = beside @ axis
        radial = np.linalg.norm(beside - along[:, None] * axis, axis=1)
        assert radial[(along > 0) & (along < 15)].min() == pytest.approx(0.9, abs=0.02)  # 1.6 mm and 0.2 of room
    folder = tmp_path / "plan"
    ui.folderPathLineEdit.currentPath = str(folder)
    press(ui.exportButton)
    assert ui.statusLabel.text == "Done."
    plan = read_plan(folder)
    assert why_outdated(plan.guides[0], plan) == ()
    assert read_mesh(folder / plan.guides[0].file).is_closed
    # What the command line makes again of the files is the same solid.
    again, told = all_made_again(case_of_plan(plan, bones, ct))
    assert (told, again.plan.guides[0].mesh_sha256) == ((), guide.mesh_sha256)
    segmentation.GetSegmentation().GetNthSegment(1).SetName("right shin")
    press(ui.updateButton)
    (again,) = _guides(panel).values()
    assert (str(again.verdict), again.out_of_date) == ("accepted", "")
    assert np.allclose(again.recipe.options["pins"][1]["tip_ras"], pins[1]["tip_ras"])
    press(ui.undoButton)
    assert _guides(panel)[guide.name] == guide
    assert shown_errors == []
