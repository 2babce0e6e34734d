"""Pictures of the panel's osteotomies on a generated leg, for the documentation.

    python Testing/harness/osteotomy_pictures.py [--out docs/pictures] [--width 380]

Also prints how long a drag of the plane and letting it go take, processor time, and cuts and guides, by the clock.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("MSKFusion", "MSKPlanner", "Testing")]
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
_SPACING_MM = 1.5
#: On the outside of the generated femur, above its condyles.
_WIRES_RAS = ((20.2, 0.0, 60.0), (12.9, 0.0, 95.0))


def make(folder: Path, width: int) -> None:
    """Cut the tibia of the generated leg, drag its plane, cut the femur too; take a picture of the panel and of the scene."""
    import slicer
    from core.leg_labels import leg_images

    from harness.panel_pictures import take
    from harness.session import module_session
    from MSKFusionLib.mrml import segmentation_to_node, volume_to_node
    from MSKPlannerLib.mrml import camera_towards, nodes_of_plan, render_scene_3d

    ct, bones = leg_images(_SPACING_MM)
    with module_session() as session:
        layout = slicer.vtkMRMLLayoutLogic()  # as the application keeps its layout
        layout.SetMRMLScene(session.scene)
        volume_to_node(session.scene, ct, "CT")
        segmentation_to_node(session.scene, bones, "Bones")
        panel = session.open_panel("MSKPlanner")
        panel.ui.screwsCollapsibleButton.collapsed = True
        ui = panel.cutUi
        for bone in ("right tibia", "right femur"):
            names = [ui.cutBoneComboBox.itemText(n) for n in range(ui.cutBoneComboBox.count)]
            ui.cutBoneComboBox.currentIndex = names.index(bone)
            start = time.perf_counter()
            ui.addCutButton.click()
            print(f"{bone} cut in {time.perf_counter() - start:.1f} s: {panel.ui.statusLabel.text}")
            if bone == "right tibia":
                _drag(panel)
        take(panel, folder / "planner_osteotomies.png", width)
        shown = [
            n for n in nodes_of_plan(session.scene) if n.GetAttribute("MSKPlanner.Role") in ("fragment", "cut-plane")
        ]
        knee = np.array([[-75, -50, -110], [75, 50, 110]])
        camera = camera_towards(knee, (-0.35, 1, 0.25), aspect=0.9)
        render_scene_3d(session.scene, folder / "osteotomy_scene.png", camera, visible=shown, size=(540, 600))
        ui.beforeAfterButton.click()
        _draw_two_views(session.scene, folder / "osteotomy_before_after.png")
        ui.beforeAfterButton.click()
        ui.osteotomiesCollapsibleButton.collapsed = True
        panel.ui.guideKindComboBox.currentIndex = 2
        panel.ui.guideCutComboBox.currentIndex = 1
        start = time.perf_counter()
        panel.ui.guidesButton.click()
        print(f"cutting guide in {time.perf_counter() - start:.1f} s: {panel.ui.statusLabel.text}")
        take(panel, folder / "planner_cutting_guide.png", width)
        _guide_wires(panel)
        take(panel, folder / "planner_pin_guide.png", width)
        layout.SetMRMLScene(None)


def _draw_two_views(scene: Any, path: Path) -> None:
    """Draw the two 3D views of the layout side by side, as they are."""
    from MSKPlannerLib.mrml import camera_towards, pictures_possible
    from MSKPlannerLib.mrml.before_after import FIRST, SECOND
    from MSKPlannerLib.mrml.offscreen import offscreen_3d, write_png

    if not pictures_possible():
        print("nothing can be drawn here: the picture of the two views is left as it is")
        return
    camera = camera_towards(np.array([[-110, -60, -430], [90, 60, 430]]), (-0.25, 1, 0.1), aspect=0.6)
    drawn = []
    for name in (FIRST, SECOND):
        with offscreen_3d(scene, (460, 720), scene.GetSingletonNode(name, "vtkMRMLViewNode")) as view:
            view.node.SetBoxVisible(False)
            view.node.SetAxisLabelsVisible(False)
            view.node.SetBackgroundColor(1.0, 1.0, 1.0)
            view.node.SetBackgroundColor2(1.0, 1.0, 1.0)
            view.camera_node.SetPosition(camera.position_ras)
            view.camera_node.SetFocalPoint(camera.focal_ras)
            view.camera_node.SetViewUp(camera.up_ras)
            view.camera_node.SetViewAngle(camera.view_angle_deg)
            drawn.append(view.draw())
    gap = np.full((drawn[0].shape[0], 6, 3), 128, dtype=np.uint8)
    write_png(np.concatenate([drawn[0], gap, drawn[1]], axis=1), str(path))


def _guide_wires(panel: Any) -> None:
    """Lead three wires that converge into the outside of the thigh bone."""
    ui = panel.ui
    ui.guideKindComboBox.currentIndex = 4
    ui.pinPointsButton.click()
    for n, place in enumerate(_WIRES_RAS):
        ui.pinPointsWidget.currentNode().SetNthControlPointPosition(n, *place)
    ui.pinCountSpinBox.value, ui.pinAngleSpinBox.value, ui.sawFromComboBox.currentIndex = 3, 6.0, 3
    start = time.perf_counter()
    ui.guidesButton.click()
    print(f"pin guide in {time.perf_counter() - start:.1f} s: {ui.statusLabel.text}")
    ui.exportCollapsibleButton.collapsed = True


def _drag(panel: object) -> None:
    """Drag the chosen plane a few steps and let it go."""
    cut = panel.logic.case.plan.osteotomies[0]  # type: ignore[attr-defined]
    node = panel.logic.session.cuts.shown.planes[cut.name]  # type: ignore[attr-defined]
    node.InvokeEvent(node.PointStartInteractionEvent)
    took = []
    for _ in range(15):
        origin = np.array(node.GetOrigin())
        start = time.process_time()
        node.SetOrigin(*(origin + [0.2, 0.0, -0.3]))
        took.append(1000 * (time.process_time() - start))
    start = time.process_time()
    node.InvokeEvent(node.PointEndInteractionEvent)
    faces = sum(
        m.GetPolyData().GetNumberOfCells() for m in panel.logic.session.cuts.shown.nodes[cut.name].models.values()
    )  # type: ignore[attr-defined]
    print(
        f"drag: median {np.median(took):.0f}, most {max(took):.0f} ms; let go: {1000 * (time.process_time() - start):.0f} ms"
    )
    print(f"triangles of the fragments: {faces}")


def main() -> None:
    """Read the arguments and make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "pictures")
    parser.add_argument("--width", type=int, default=380)
    arguments = parser.parse_args()
    make(arguments.out, arguments.width)


if __name__ == "__main__":
    main()
