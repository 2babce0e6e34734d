"""Pictures of the panel's osteotomies on a generated leg, for the documentation.

    python Testing/harness/osteotomy_pictures.py [--out docs/pictures] [--width 380]

Also prints how long a drag of the plane, letting it go and a new target take, processor time.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("MSKFusion", "MSKPlanner", "Testing")]
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
_SPACING_MM = 1.5


def make(folder: Path, width: int) -> None:
    """Cut the tibia of the generated leg, drag its plane, cut the femur too; take a picture of the panel and of the scene."""
    from core.leg_labels import leg_images

    from harness.panel_pictures import take
    from harness.session import module_session
    from MSKFusionLib.mrml import segmentation_to_node, volume_to_node
    from MSKPlannerLib.mrml import camera_towards, nodes_of_plan, render_scene_3d

    ct, bones = leg_images(_SPACING_MM)
    with module_session() as session:
        volume_to_node(session.scene, ct, "CT")
        segmentation_to_node(session.scene, bones, "Bones")
        panel = session.open_panel("MSKPlanner")
        panel.ui.screwsCollapsibleButton.collapsed = True
        ui = panel.cutUi
        for bone in ("right tibia", "right femur"):
            names = [ui.cutBoneComboBox.itemText(n) for n in range(ui.cutBoneComboBox.count)]
            ui.cutBoneComboBox.currentIndex = names.index(bone)
            start = time.process_time()
            ui.addCutButton.click()
            print(f"{bone} cut in {time.process_time() - start:.1f} s: {panel.ui.statusLabel.text}")
            if bone == "right tibia":
                _drag(panel)
        take(panel, folder / "planner_osteotomies.png", width)
        shown = [
            n for n in nodes_of_plan(session.scene) if n.GetAttribute("MSKPlanner.Role") in ("fragment", "cut-plane")
        ]
        knee = np.array([[-75, -50, -110], [75, 50, 110]])
        camera = camera_towards(knee, (-0.35, 1, 0.25), aspect=0.9)
        render_scene_3d(session.scene, folder / "osteotomy_scene.png", camera, visible=shown, size=(540, 600))


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
