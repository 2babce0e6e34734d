"""A reduction in a scene: its ways are sequences that one browser plays, also after the scene was saved and loaded."""

import numpy as np
import pytest
import vtk
from core.guide_shapes import box_mesh

from MSKFusionLib.frames import rigid, rotation_about, transform_points
from MSKPlannerLib.mrml.reduction_scene import reduction_to_scene, show_frame, timeline
from MSKPlannerLib.osteotomy.reduction import ReducedFragment, Reduction
from MSKPlannerLib.osteotomy.reduction_path import FragmentPath

MAIN, SMALL, LARGE = box_mesh((30.0, 30.0, 60.0)), box_mesh((8.0, 8.0, 8.0), (40, 0, 0)), box_mesh((20.0, 20.0, 9.0), (0, 40, 0))  # fmt: skip
GOALS = {
    "small": rigid(rotation_about([0, 0, 1], 30.0), [5.0, 1.0, 0.0]),
    "large": rigid(translation=[0.0, -12.0, 3.0]),
}


def way(goal, count):
    """Straight to the goal: the turn about z and the shift by equal shares."""
    angle = np.degrees(np.arctan2(goal[1, 0], goal[0, 0]))
    motions = np.stack([rigid(rotation_about([0, 0, 1], angle * s), goal[:3, 3] * s) for s in np.linspace(0, 1, count)])
    return FragmentPath(motions, np.full(count, 2.0), 20.0, 15.0)


def fragment(name, mesh, motion=None):
    return ReducedFragment(name, mesh, np.eye(4) if motion is None else motion, None, 0.0, 0.0)


PLAN = Reduction(
    (fragment("main", MAIN), fragment("small", SMALL, GOALS["small"]), fragment("large", LARGE, GOALS["large"])),
    box_mesh((60.0, 60.0, 60.0)),
)
PATHS = {"small": way(GOALS["small"], 300), "large": way(GOALS["large"], 11)}


def test_one_after_the_other_the_largest_first():
    frames = timeline(PLAN, PATHS)
    assert list(frames) == ["large", "small"]
    assert len(frames["large"]) == len(frames["small"]) == 1 + 10 + 79
    for name, goal in GOALS.items():
        assert np.array_equal(frames[name][0], np.eye(4))
        assert frames[name][-1] == pytest.approx(goal)
    assert np.array_equal(frames["small"][10], np.eye(4))
    assert frames["large"][10] == pytest.approx(GOALS["large"])
    # No frame is left out that another passes through: the way is the path's own.
    assert all(any(np.array_equal(m, p) for p in PATHS["small"].motions_ras) for m in frames["small"])
    told = timeline(PLAN, {"small": "locked", "large": PATHS["large"]})
    assert len(told["small"]) == 12
    assert told["small"][-1] == pytest.approx(GOALS["small"])


def test_it_is_played_also_after_it_was_saved(scene, tmp_path):
    from MSKFusionLib.mrml import save_scene

    nodes = reduction_to_scene(scene, PLAN, PATHS)
    frames = timeline(PLAN, PATHS)
    assert nodes.browser.GetNumberOfItems() == len(frames["small"])
    _assert_played(scene, nodes.browser, frames)
    save_scene(scene, tmp_path / "reduction.mrb")
    scene.Clear(0)
    scene.ReadFromMRB(str(tmp_path / "reduction.mrb"))
    _assert_played(scene, scene.GetFirstNodeByName("Reduction"), frames)


def _assert_played(scene, browser, frames):
    for frame in (0, 5, 10, 47, len(frames["small"]) - 1):
        show_frame(scene, browser, frame)
        for name, mesh in (("small", SMALL), ("large", LARGE)):
            model = scene.GetFirstNodeByName(name)
            matrix = vtk.vtkMatrix4x4()
            model.GetParentTransformNode().GetMatrixTransformToWorld(matrix)
            held = np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])
            # Slicer's file of a sequence keeps six digits.
            assert held == pytest.approx(frames[name][frame], abs=1e-4)
            points = model.GetPolyData().GetPoints()
            seen = transform_points(held, np.array([points.GetPoint(n) for n in range(points.GetNumberOfPoints())]))
            expected = transform_points(frames[name][frame], mesh.vertices_ras)
            assert seen == pytest.approx(expected, abs=1e-3)
