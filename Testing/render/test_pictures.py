"""Pictures by Slicer's own views: what they show is where geometry says, and the scene is as it was."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scene_objects import LEVELS, TO_RAS, plan_parts

from MSKFusionLib.frames import rigid, transform_points, unit
from MSKPlannerLib.colours import GUIDE_COLOUR
from MSKPlannerLib.mrml import (
    Camera,
    bounds_of,
    camera_towards,
    render_probe,
    render_scene_3d,
    render_slices_along_screw,
    views,
)
from MSKPlannerLib.mrml.offscreen import offscreen_slice

_PANEL = 300


def _pixels(path):
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def _screw_pixels(panel):
    """Where the outline of a screw is: far bluer than the outline of any segment."""
    red, _, blue = np.moveaxis(panel.astype(int), -1, 0)
    return blue > red + 120


def _axial(screw):
    """Right and up of the picture that contains the axis and is close to axial."""
    axis = unit(np.subtract(screw.tip_ras, screw.entry_ras))
    up = np.array([0.0, 0, 1])
    normal = unit(up - (up @ axis) * axis)
    forward = unit(np.array([0, 1.0, 0]) - normal[1] * normal)
    right = np.cross(forward, normal)
    return (right if right[0] < 0 else -right), forward


def test_the_screw_is_drawn_where_it_is_planned(scene, nodes, tmp_path):
    screw = plan_parts()["plan"].screws[1]
    path = render_slices_along_screw(scene, screw, tmp_path / "s.png", nodes.ct, panel_px=_PANEL)
    picture = _pixels(path)
    assert picture.shape == (_PANEL, 3 * _PANEL + 8, 3)
    width_mm = screw.length_mm + 45
    entry, tip = np.array(screw.entry_ras), np.array(screw.tip_ras)
    middle = (entry + tip) / 2
    right, up = _axial(screw)

    def pixel(point):  # column, row
        offset = np.asarray(point) - middle
        shares = np.array([offset @ right, -(offset @ up)]) / width_mm + 0.5
        return shares * _PANEL - 0.5

    outline = np.argwhere(_screw_pixels(picture[:, :_PANEL]))[:, ::-1]
    axis = unit(tip - entry)
    across = np.cross(axis, np.cross(right, up))
    mm_per_pixel = width_mm / _PANEL
    for side in (-1, 1):  # both flanks of the shaft, halfway
        expected = pixel(middle + side * screw.diameter_mm / 2 * unit(across))
        assert np.linalg.norm(outline - expected, axis=1).min() * mm_per_pixel < 0.6
    assert np.linalg.norm(outline - pixel(tip), axis=1).min() * mm_per_pixel < 0.6
    # nothing of it lies outside the body with its head
    reach = np.abs((outline - pixel(middle)) @ ((pixel(middle + axis) - pixel(middle)) * mm_per_pixel)) * mm_per_pixel
    assert reach.max() < screw.length_mm / 2 + 6.5
    # across the pedicle: a circle of the diameter about the middle of the panel
    ring = np.argwhere(_screw_pixels(picture[:, -_PANEL:]))[:, ::-1] - (_PANEL / 2 - 0.5)
    radius = np.linalg.norm(ring, axis=1) * 50.0 / _PANEL
    assert np.percentile(radius, [2, 98]) == pytest.approx([2.75, 2.75], abs=0.5)


@pytest.mark.parametrize("tilt_deg", [0.0, 35.0, 60.0])
def test_an_oblique_slice_cuts_the_cylinder_where_geometry_says(scene, nodes, tilt_deg):
    """A plane tilted against the axis cuts a cylinder of radius r in an ellipse of r and r / cos(tilt)."""
    screw = plan_parts()["plan"].screws[0]
    entry, tip = np.array(screw.entry_ras), np.array(screw.tip_ras)
    axis = unit(tip - entry)
    right = unit(np.cross(axis, [0.3, 0.2, 1.0]))
    tilt = np.radians(tilt_deg)
    normal = np.cos(tilt) * axis + np.sin(tilt) * np.cross(right, axis)
    slice_to_ras = rigid(np.column_stack([right, np.cross(normal, right), normal]), (entry + tip) / 2)
    others = [n for n in views._drawn(scene) if n is not nodes.screws[screw.name].model]
    for node in others:
        node.GetDisplayNode().SetVisibility(False)
    try:
        with offscreen_slice(scene, (_PANEL, _PANEL)) as view:
            view.place(slice_to_ras, 30.0)
            drawn = np.argwhere(_screw_pixels(view.draw()))
    finally:
        for node in others:
            node.GetDisplayNode().SetVisibility(True)
    half_mm = np.ptp(drawn, axis=0)[::-1] / 2 * 30.0 / _PANEL
    radius = screw.diameter_mm / 2
    assert half_mm == pytest.approx([radius, radius / np.cos(tilt)], abs=0.35)


def test_bone_is_bright_and_left_is_right(scene, nodes, tmp_path):
    """The CT is behind, in its bone window; the screw of the left pedicle is on the right of the picture's body."""
    screw = plan_parts()["plan"].screws[0]
    assert screw.side == "left"
    path = render_slices_along_screw(scene, screw, tmp_path / "s.png", nodes.ct, panel_px=_PANEL)
    panel = _pixels(path)[:, :_PANEL]
    grey = np.abs(panel.astype(int).max(axis=2) - panel.min(axis=2)) < 8
    bone = grey & (np.abs(panel[..., 0].astype(int) - _window(600)) < 12)
    assert bone.mean() > 0.05
    columns = np.nonzero(bone)[1]
    assert np.nonzero(_screw_pixels(panel))[1].mean() > columns.mean()


def _window(hu):
    return np.clip((hu - 400) / 1800 + 0.5, 0, 1) * 255


def test_pictures_are_the_same_each_time(scene, nodes, tmp_path):
    screw = plan_parts()["plan"].screws[0]
    for name in ("a", "b"):
        render_slices_along_screw(scene, screw, tmp_path / f"slice_{name}.png", nodes.ct, panel_px=200)
        render_scene_3d(scene, tmp_path / f"3d_{name}.png", size=(240, 200))
    for kind in ("slice", "3d"):
        assert (tmp_path / f"{kind}_a.png").read_bytes() == (tmp_path / f"{kind}_b.png").read_bytes()


def test_the_scene_is_as_it_was(scene, nodes, tmp_path):
    def state():
        found = [scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes())]
        displays = [n for n in found if n.IsA("vtkMRMLDisplayNode")]
        looks = [(d.GetID(), d.GetVisibility(), d.GetColor(), d.GetOpacity()) for d in displays]
        display = nodes.segmentation.GetDisplayNode()
        segments = [(display.GetSegmentVisibility(name), display.GetSegmentVisibility3D(name)) for name in LEVELS]
        return Counter(n.GetClassName() for n in found), looks, segments, display.GetOpacity3D()

    before = state()
    screw = plan_parts()["plan"].screws[0]
    render_slices_along_screw(scene, screw, tmp_path / "s.png", nodes.ct, panel_px=120)
    shown = [nodes.guides["L3 guide"], nodes.segmentation]
    render_scene_3d(scene, tmp_path / "v.png", visible=shown, segments={"L4"}, guide_opacity=1.0, size=(120, 120))
    assert state() == before


def test_only_what_is_asked_for_is_seen(scene, nodes, tmp_path):
    guide = nodes.guides["L3 guide"]
    camera = camera_towards(bounds_of([guide]), from_ras=(0, -1, 0), aspect=1.0)
    alone = _pixels(render_scene_3d(scene, tmp_path / "a.png", camera, visible=[guide], size=(200, 200)))
    seen = (alone < 250).any(axis=2)
    seen[140:, 140:] = False  # the cube that says what is where
    assert 0.1 < seen.mean() < 0.7
    red, green, blue = np.median(alone[seen], axis=0)
    assert green > red
    assert green > blue * (GUIDE_COLOUR[1] / GUIDE_COLOUR[2]) * 0.8
    nothing = _pixels(render_scene_3d(scene, tmp_path / "n.png", camera, visible=[], size=(200, 200)))
    rest = (nothing < 250).any(axis=2)
    rest[140:, 140:] = False
    assert not rest.any()


def test_the_camera_sees_all_of_a_box():
    box = np.array([[-40.0, -10, 100], [60, 30, 180]])
    corners = np.array([[box[a, 0], box[b, 1], box[c, 2]] for a in (0, 1) for b in (0, 1) for c in (0, 1)])
    for direction in ((0.45, -1, 0.35), (-1, 0, 0), (0, 1, 0.2)):
        camera = camera_towards(box, direction, aspect=1.5)
        back = unit(np.subtract(camera.position_ras, camera.focal_ras))
        right = np.cross(camera.up_ras, back)
        offset = corners - camera.position_ras
        depth = -offset @ back
        half = np.tan(np.radians(camera.view_angle_deg / 2))
        shares = np.maximum(
            np.abs(offset @ right) / (depth * half * 1.5), np.abs(offset @ camera.up_ras) / (depth * half)
        )
        assert 0.85 < shares.max() < 1.0


def test_bounds_follow_the_segments(scene, nodes):
    low, high = bounds_of([nodes.segmentation], {LEVELS[0]})
    centre = transform_points(TO_RAS, [0, -10, 22.0])
    assert np.all(low < centre)
    assert np.all(centre < high)
    assert (high - low)[2] < 45


def test_without_opengl_there_is_no_picture(scene, nodes, tmp_path, monkeypatch):
    monkeypatch.setattr(views, "can_render", lambda: False)
    screw = plan_parts()["plan"].screws[0]
    assert render_scene_3d(scene, tmp_path / "v.png", Camera((0, -300, 0), (0, 0, 0))) is None
    assert render_slices_along_screw(scene, screw, tmp_path / "s.png", nodes.ct) is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("probe", "class_name"), [("raise SystemExit(3)", None), ("print('vtkSome')", "vtkSome")])
def test_the_probe_believes_the_process(monkeypatch, probe, class_name):
    monkeypatch.setattr(render_probe, "_PROBE", probe)
    assert render_probe.working_window_class.__wrapped__() == class_name


def test_a_probe_that_dies_takes_nothing_with_it(monkeypatch):
    monkeypatch.setattr(render_probe, "_PROBE", "import os; os.abort()")
    assert render_probe.working_window_class.__wrapped__() is None


def test_an_empty_window_class_in_the_environment_does_no_harm(tmp_path):
    """VTK ends the process where VTK_DEFAULT_OPENGL_WINDOW is set to nothing."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from scene_objects import box_mesh\n"
        "from MSKFusionLib.mrml import headless_scene\n"
        "from MSKPlannerLib.mrml import render_scene_3d\n"
        "with headless_scene() as scene:\n"
        "    node = scene.AddNewNodeByClass('vtkMRMLModelNode', 'box')\n"
        "    node.SetAndObservePolyData(box_mesh((9, 9, 9), (0, 0, 0)).to_polydata())\n"
        "    node.CreateDefaultDisplayNodes()\n"
        "    print(render_scene_3d(scene, sys.argv[2], size=(80, 60)))\n"
    )
    folder = str(Path(__file__).parents[1] / "mrml")
    result = subprocess.run(
        [sys.executable, "-c", script, folder, str(tmp_path / "v.png")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "VTK_DEFAULT_OPENGL_WINDOW": ""},
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() in (str(tmp_path / "v.png"), "None")
    assert (tmp_path / "v.png").exists() == (result.stdout.strip() != "None")
