"""Guides of every kind in the panel: what is asked of whom, which stay, which are out of date when what they hang on changes.

Stand-ins design them; `Testing/slow/test_guides_in_panel.py` designs real ones.
"""

import numpy as np
import pytest
from leg_panel import add_cut, leg_inputs_fixture  # noqa: F401  a fixture is used by its name
from quick_guides import stand_in_guides
from quick_planner import (  # noqa: F401  used by their names
    drag,
    inputs_fixture,
    of,
    panel_fixture,
    quick_fixture,
    raised_fixture,
)

from harness.helpers import press
from MSKPlannerLib.guides.recipe import why_outdated
from MSKPlannerLib.mrml import nodes_of_plan

TIBIA = "right tibia osteotomy"


@pytest.fixture(name="asked")
def asked_fixture(monkeypatch):
    """What the stand-ins were asked for, in order."""
    return stand_in_guides(monkeypatch)


@pytest.fixture(name="leg")
def leg_fixture(session, leg_inputs, asked, raised):
    panel = session.open_panel("MSKPlanner")
    choose(panel, 2)
    assert not panel.ui.guidesButton.enabled
    assert panel.ui.guidesButton.toolTip == "Plan an osteotomy first."
    add_cut(panel, "right tibia")
    return panel


def choose(panel, kind):
    panel.ui.guideKindComboBox.currentIndex = kind


def guides(panel):
    return {g.name: g.out_of_date for g in panel.logic.case.plan.guides}


def told(panel):
    table = panel.ui.problemsTable
    return [table.item(r, 1).text() for r in range(table.rowCount)]


def test_a_cutting_and_a_reduction_guide_follow_their_osteotomy(leg, asked, tmp_path):
    ui = leg.ui
    assert [ui.guideCutComboBox.itemText(n) for n in range(ui.guideCutComboBox.count)] == [TIBIA]
    ui.holesSpinBox.value = 2
    ui.sawFromComboBox.currentIndex = 1
    press(ui.guidesButton)
    assert ui.statusLabel.text == "Done."
    assert (asked[-1].saw_from, asked[-1].holes, asked[-1].printer) == ("front", 2, "sla")
    names = ["right tibia cutting guide", "right tibia reduction guide"]
    assert list(guides(leg)) == names
    assert {n.GetName() for n in nodes_of_plan(leg.logic.session.scene, role="guide")} == set(names)
    assert "thinnest wall" in told(leg)[0]
    assert [why_outdated(g, leg.logic.case.plan) for g in leg.logic.case.plan.guides] == [(), ()]
    # The plane as it is, another angle: the slot still fits, what the holes hang on does not.
    leg.cutUi.cutAngleSpinBox.value = 5.0
    was = f"the correction of '{TIBIA}' was changed since the guide was designed"
    assert guides(leg) == dict.fromkeys(names, was)
    assert ui.outOfDateLabel.text.splitlines() == [f"Guide of {n}: {was}." for n in names]
    assert told(leg)[:2] == [f"✗ out of date: {was}"] * 2
    ui.folderPathLineEdit.currentPath = str(tmp_path / "plan")
    press(ui.exportButton)
    assert "out of date" in ui.statusLabel.text
    assert not (tmp_path / "plan").exists()
    press(ui.undoButton)
    assert set(guides(leg).values()) == {""}
    press(ui.redoButton)
    press(ui.updateButton)
    assert guides(leg) == dict.fromkeys(names, "")
    assert (asked[-1].approach_ras, asked[-1].holes) == ((0.0, 1.0, 0.0), 2)
    press(ui.exportBodiesButton)
    written = {f.name for f in (tmp_path / "plan" / "stl_lps").glob("*.stl")}
    assert written == {f"{n.replace(' ', '_')}.stl" for n in names}
    # The plane itself, dragged.
    node = leg.logic.session.cuts.shown.nodes[TIBIA].plane
    node.InvokeEvent(node.PointStartInteractionEvent)
    node.SetOrigin(*(np.array(node.GetOrigin()) + [0.0, 0, -2.0]))
    assert f"the plane of '{TIBIA}' was moved" in guides(leg)[names[0]]
    node.InvokeEvent(node.PointEndInteractionEvent)
    press(ui.undoButton)
    # Without holes there is nothing to bring together: the reduction guide goes with them.
    ui.holesSpinBox.value = 0
    press(ui.guidesButton)
    assert list(guides(leg)) == names[:1]
    press(leg.cutUi.removeCutButton)
    assert guides(leg) == {names[0]: f"the plan has no cut '{TIBIA}' any more since the guide was designed"}
    press(ui.updateButton)
    assert guides(leg) == {}
    assert nodes_of_plan(leg.logic.session.scene, role="guide") == ()


def test_what_cannot_be_designed_is_said(leg, asked):
    leg.cutUi.cutKindComboBox.currentIndex = 5
    leg.ui.holesSpinBox.value = 1
    press(leg.ui.guidesButton)
    assert "cut of one plane" in leg.ui.statusLabel.text
    assert guides(leg) == {}
    choose(leg, 1)
    assert leg.ui.guidesButton.toolTip == "Plan the screws first."


def test_kinds_stand_beside_each_other(panel, asked, session):
    ui = panel.ui
    press(ui.guidesButton)
    drills = ["L3 guide", "L4 guide"]
    choose(panel, 1)
    ui.guideLevelsLineEdit.text = "L3, L4"
    ui.fixedLevelsCheckBox.checked = True
    press(ui.guidesButton)
    assert asked[-1] == ("levels", ("L3", "L4"), True)
    assert list(guides(panel)) == [*drills, "L3-L4 guide"]
    choose(panel, 3)
    ui.guideLevelsLineEdit.text = "L4"
    press(ui.guidesButton)
    assert asked[-1] == ("skin", ("L4 left", "L4 right"))
    assert list(guides(panel)) == [*drills, "L3-L4 guide", "L4 skin frame"]
    assert len(nodes_of_plan(session.scene, role="guide")) == 4
    # A screw that is moved: its vertebra's guide and that for several, not the frame over the other.
    drag(panel, "L3 left", 1, np.array(of(panel, "L3 left").tip_ras) + [1.0, 0, 0])
    stale = {n for n, why in guides(panel).items() if why}
    assert stale == {"L3 guide", "L3-L4 guide"}
    press(ui.updateButton)
    assert set(guides(panel).values()) == {""}
    assert asked[-1] == ("levels", ("L3", "L4"), True)
    drag(panel, "L4 left", 1, np.array(of(panel, "L4 left").tip_ras) + [1.0, 0, 0])
    assert {n for n, why in guides(panel).items() if why} == {"L4 guide", "L3-L4 guide", "L4 skin frame"}
    # Deleted in the scene, and back by undo.
    model = next(n for n in nodes_of_plan(session.scene, role="guide") if n.GetName().startswith("L4 skin"))
    session.scene.RemoveNode(model)
    assert "L4 skin frame" not in guides(panel)
    press(ui.undoButton)
    assert "L4 skin frame" in guides(panel)
    # Drill guides anew leave the others as they are.
    choose(panel, 0)
    press(ui.guidesButton)
    assert list(guides(panel)) == [*drills, "L3-L4 guide", "L4 skin frame"]
    choose(panel, 1)
    ui.guideLevelsLineEdit.text = "L3"
    press(ui.guidesButton)
    assert "adjacent" in ui.statusLabel.text
    ui.guideLevelsLineEdit.text = "T9, L3"
    press(ui.guidesButton)
    assert "no usable screw in T9" in ui.statusLabel.text


def place_wires(panel, first, last):
    """Press the button and put both points where clicks would."""
    press(panel.ui.pinPointsButton)
    node = panel.ui.pinPointsWidget.currentNode()
    for n, place in enumerate((first, last)):
        node.SetNthControlPointPosition(n, *place)
    return node


def test_wires_between_two_points_need_no_plan_before_them(session, inputs, quick, raised, asked):
    panel = session.open_panel("MSKPlanner")
    ui = panel.ui
    assert not ui.guidesButton.enabled
    choose(panel, 4)
    assert ui.guidesButton.enabled
    assert [ui.pinBoneComboBox.itemText(n) for n in range(ui.pinBoneComboBox.count)] == ["L3"]
    press(ui.guidesButton)
    assert "not marked where the first and the last wire go in" in ui.statusLabel.text
    assert panel.logic.case is None
    node = place_wires(panel, (4.0, 5.0, 6.0), (4.0, 5.0, 26.0))
    ui.pinCountSpinBox.value, ui.pinAngleSpinBox.value, ui.pinDepthSpinBox.value = 3, 6.0, 25.0
    ui.pinDiameterSpinBox.value, ui.sawFromComboBox.currentIndex = 2.0, 1
    press(ui.guidesButton)
    assert ui.statusLabel.text == "Done."
    wanted = asked[-1]
    assert (wanted.bone, wanted.count, wanted.converge_deg, wanted.depth_mm) == ("L3", 3, 6.0, 25.0)
    assert (wanted.diameter_mm, wanted.come_from) == (2.0, "front")
    assert np.allclose([wanted.first_ras, wanted.last_ras], [(4.0, 5.0, 6.0), (4.0, 5.0, 26.0)])
    assert guides(panel) == {"L3 pin guide": ""}
    assert "thinnest wall" in told(panel)[0]
    # A point that is dragged counts when the guide is designed again; undo brings the former one back.
    node.SetNthControlPointPosition(1, 4.0, 5.0, 30.0)
    press(ui.guidesButton)
    assert asked[-1].last_ras == pytest.approx((4.0, 5.0, 30.0))
    assert list(guides(panel)) == ["L3 pin guide"]
    press(ui.undoButton)
    assert panel.logic.case.plan.guides[0].recipe.options["pins"][0]["tip_ras"] == list(wanted.last_ras)
    # Other bones: the wires stay where they are, their guide is designed again.
    panel.ui.segmentationSelector.currentNode().GetSegmentation().GetNthSegment(0).SetName("L4")
    press(ui.updateButton)
    assert asked[-1] == ("again", "L3 pin guide")
    assert guides(panel) == {"L3 pin guide": ""}


def test_wires_along_screws_hang_on_them(panel, asked, session):
    ui = panel.ui
    choose(panel, 4)
    ui.pinKindComboBox.currentIndex = 1
    press(ui.guidesButton)
    assert asked[-1].of_screws
    assert guides(panel) == {"L3 pin guide": ""}
    drag(panel, "L4 left", 1, np.array(of(panel, "L4 left").tip_ras) + [1.0, 0, 0])
    assert guides(panel) == {"L3 pin guide": ""}
    drag(panel, "L3 left", 1, np.array(of(panel, "L3 left").tip_ras) + [1.0, 0, 0])
    assert "L3 left was changed" in guides(panel)["L3 pin guide"]
    press(ui.updateButton)
    assert guides(panel) == {"L3 pin guide": ""}
    assert asked[-1] == ("again", "L3 pin guide")
    node = next(n for n in nodes_of_plan(session.scene, role="guide"))
    session.scene.RemoveNode(node)
    assert guides(panel) == {}
    press(ui.undoButton)
    assert guides(panel) == {"L3 pin guide": ""}
