"""Pictures of both modules' panels in the states that the documentation shows, and of the views beside them.

    python Testing/harness/panel_pictures.py [--out docs/pictures] [--width 380] [--only fusion]

The panels are the real ones over the harness, on a generated patient; Slicer's style is not in the pictures. The views are
Slicer's own, drawn off screen; where nothing can be drawn they are left out, which is said.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("MSKFusion", "MSKPlanner", "Testing")]
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
#: So much is a hand's slip into the canal, towards the midline.
_SLIP_MM = 7.0


def take(panel: Any, path: Path, width: int) -> None:
    """Write a picture of a panel as it is, as high as it needs to be."""
    from PySide6 import QtCore, QtWidgets

    widget = panel.parent
    widget.setFixedWidth(width)
    widget.show()
    for _ in range(3):  # labels that wrap settle their height in rounds
        QtWidgets.QApplication.processEvents()
        layout = widget.layout()
        layout.activate()
        widget.setFixedHeight(max(layout.totalHeightForWidth(width), layout.totalMinimumSize().height()))
    QtWidgets.QApplication.processEvents()
    image = widget.grab().toImage()
    if not image.save(str(path)):
        raise SystemExit(f"{path} cannot be written")
    widget.setMinimumSize(QtCore.QSize(0, 0))
    print(f"{path.name}: {image.width()} x {image.height()}")


def make_fusion(folder: Path, width: int) -> None:
    """Register and segment in MSK Fusion's panel, and take a picture of each state."""
    from harness.session import module_session
    from MSKFusionLib.frames import rigid, rotation_about
    from MSKFusionLib.mrml import volume_to_node
    from MSKFusionLib.mrml.nudge import nudge_of
    from MSKFusionLib.mrml.transforms import to_vtk_matrix
    from MSKFusionLib.phantom import PatientOptions, generate_patient

    patient = generate_patient(PatientOptions.small(seed=1))
    with module_session() as session:
        ct = volume_to_node(session.scene, patient.ct, "CT")
        mr = volume_to_node(session.scene, patient.mr_t1, "T1")
        panel = session.open_panel("MSKFusion")
        panel.ui.ctSelector.setCurrentNode(ct)
        panel.ui.mrSelector.setCurrentNode(mr)
        take(panel, folder / "fusion_images.png", width)
        panel.ui.registerButton.click()
        panel.checkUi.nudgeButton.click()
        nudge_of(mr).SetMatrixTransformToParent(to_vtk_matrix(rigid(rotation_about([0, 0, 1], 2.0), [1.5, -2.0, 0.5])))
        take(panel, folder / "fusion_check.png", width)
        panel.checkUi.backButton.click()
        panel.checkUi.acceptButton.click()
        panel.ui.levelComboBox.currentText = "S1"
        panel.ui.segmentButton.click()
        take(panel, folder / "fusion_done.png", width)


def make_planner(folder: Path, width: int) -> None:
    """Go through the states of MSK Planner's panel and take a picture of each."""
    from harness.helpers import nodes_of_class
    from harness.session import module_session
    from MSKFusionLib.mrml import segmentation_to_node, volume_to_node
    from MSKFusionLib.phantom import PatientOptions, generate_patient

    patient = generate_patient(PatientOptions.small(seed=1))
    with module_session() as session:
        panel = session.open_panel("MSKPlanner")
        take(panel, folder / "planner_empty.png", width)
        ct = volume_to_node(session.scene, patient.ct, "CT")
        bones = segmentation_to_node(session.scene, patient.labels, "Bones")
        panel.ui.ctSelector.setCurrentNode(ct)
        panel.ui.segmentationSelector.setCurrentNode(bones)
        panel.ui.levelsLineEdit.text = "L3, L4"
        panel.ui.folderPathLineEdit.currentPath = "/home/surgeon/plans/P1"
        panel.ui.planButton.click()
        panel.ui.screwsTable.setCurrentCell(1, 0)
        panel.ui.reviewedCheckBox.checked = True
        panel.ui.guidesButton.click()
        take(panel, folder / "planner_planned.png", width)
        _draw_views(panel, ct, bones, folder)
        # As whoever adds a screw would have it: the sections that are not worked in are closed.
        panel.ui.addCollapsibleButton.collapsed = False
        panel.ui.guidesCollapsibleButton.collapsed = panel.ui.exportCollapsibleButton.collapsed = True
        panel.ui.placeButton.click()
        take(panel, folder / "planner_placing.png", width)
        clicks = _two_clicks(patient)
        line = next(n for n in nodes_of_class(session.scene, "vtkMRMLMarkupsLineNode") if n.GetName() == "New screw")
        for place in clicks:
            line.AddControlPoint(*place)
        session.application.processEvents()
        take(panel, folder / "planner_placed.png", width)
        panel.ui.undoButton.click()
        panel.ui.addCollapsibleButton.collapsed = True
        panel.ui.guidesCollapsibleButton.collapsed = panel.ui.exportCollapsibleButton.collapsed = False
        screw = panel.logic.case.plan.screws[1]
        line = panel.logic.session.nodes.screws[screw.name].axis
        x, y, z = screw.tip_ras
        inwards = -_SLIP_MM if screw.side == "right" else _SLIP_MM
        line.InvokeEvent(line.PointStartInteractionEvent)
        line.SetNthControlPointPosition(0, screw.entry_ras[0] + inwards, *screw.entry_ras[1:])
        line.SetNthControlPointPosition(1, x + inwards, y, z)
        take(panel, folder / "planner_dragged.png", width)
        line.InvokeEvent(line.PointEndInteractionEvent)
        panel.ui.exportButton.click()
        take(panel, folder / "planner_out_of_date.png", width)
        panel.ui.undoButton.click()
        panel.ui.copyPlanButton.click()
        panel.ui.screwsTable.setCurrentCell(1, 0)
        panel.ui.diameterSpinBox.value = 6.5
        panel.ui.updateButton.click()
        panel.ui.alignButton.click()
        panel.ui.guidesCollapsibleButton.collapsed = panel.ui.exportCollapsibleButton.collapsed = True
        take(panel, folder / "planner_compared.png", width)


def _draw_views(panel: Any, ct: Any, bones: Any, folder: Path) -> None:
    """Draw the plan in 3D and in the slices along the chosen screw."""
    from MSKPlannerLib.mrml import render_scene_3d, render_slices_along_screw

    session, plan = panel.logic.session, panel.logic.case.plan
    bones.CreateClosedSurfaceRepresentation()
    levels = {s.level for s in plan.screws}
    shown = [bones, *(s.model for s in session.nodes.screws.values()), *session.nodes.guides.values()]
    drawn = [
        render_scene_3d(
            session.scene,
            folder / "planner_view_3d.png",
            visible=shown,
            segments=levels,
            guide_opacity=1.0,
            size=(760, 560),
        ),
        render_slices_along_screw(session.scene, plan.screws[1], folder / "planner_view_slices.png", ct, panel_px=300),
    ]
    print("views drawn" if all(drawn) else "nothing can be drawn here: the pictures of the views are left as they are")


def _two_clicks(patient: Any) -> tuple[Any, Any]:
    """Return an entry and a tip (3,), RAS mm, that a hand may click for a screw across the body of L3."""
    from MSKPlannerLib.anatomy.vertebra import vertebra_frame

    frame = vertebra_frame(patient.labels, "L3")
    ends = [[frame.body_width_mm / 2 + 4.0, 0.0, 4.0], [-6.0, 6.0, 4.0]]
    return frame.to_ras(ends[0]), frame.to_ras(ends[1])


def main() -> None:
    """Read the arguments and make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "pictures")
    parser.add_argument("--width", type=int, default=380)
    parser.add_argument("--only", choices=["fusion", "planner"], help="the pictures of one module")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, make in (("fusion", make_fusion), ("planner", make_planner)):
        if arguments.only in (None, name):
            make(arguments.out, arguments.width)


if __name__ == "__main__":
    main()
