"""Pictures of MSK Planner's panel in the states that the documentation shows.

    python Testing/harness/panel_pictures.py [--out docs/pictures] [--width 380]

The panel is the real one over the harness, on a generated patient; Slicer's style and its views are not in the pictures.
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


def make(folder: Path, width: int) -> None:
    """Go through the panel's states and take a picture of each."""
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


def main() -> None:
    """Read the arguments and make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "pictures")
    parser.add_argument("--width", type=int, default=380)
    arguments = parser.parse_args()
    make(arguments.out, arguments.width)


if __name__ == "__main__":
    main()
