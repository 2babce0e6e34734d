"""What MSK Planner's panel writes: which bodies, format and frame; guides for a printer, and where they are wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from quick_planner import (  # noqa: F401  the fixtures are used by their names
    SCREWS,
    TETRAHEDRON,
    axis,
    drag,
    inputs_fixture,
    panel_fixture,
    quick_fixture,
    raised_fixture,
)

from harness.helpers import press
from MSKFusionLib.resources import resource_path
from MSKPlannerLib.export.mesh_files import read_mesh
from MSKPlannerLib.export.plan_bodies import FORMATS, FRAMES
from MSKPlannerLib.guides.presets import load_guide_options, load_printer, options_for_printer
from MSKPlannerLib.mrml.slice_views import arrange_slice_views


@pytest.fixture(name="folder")
def folder_fixture(panel, tmp_path):
    press(panel.ui.guidesButton)
    panel.ui.folderPathLineEdit.currentPath = str(tmp_path / "out")
    return tmp_path / "out"


def written(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir() if not p.name.startswith(".")}


def test_guides_are_written_as_stl_in_lps_where_nothing_else_is_asked_for(panel, folder):
    press(panel.ui.exportBodiesButton)
    assert written(folder / "stl_lps") == {"L3_guide.stl", "L4_guide.stl"}
    data = (folder / "stl_lps/L3_guide.stl").read_bytes()
    assert b"SPACE=LPS" in data[:80]
    assert np.allclose(np.ptp(read_mesh(folder / "stl_lps/L3_guide.stl").vertices_ras, axis=0), 9.0)
    assert "stl_lps in LPS mm: L3_guide.stl, L4_guide.stl" in panel.ui.exportLabel.text
    press(panel.ui.exportBodiesButton)
    assert "results in this folder already" in panel.ui.statusLabel.text


def test_screws_too_in_one_file_of_another_format_and_frame(panel, folder):
    panel.ui.screwsCheckBox.checked = True
    panel.ui.formatComboBox.currentText = "PLY"
    panel.ui.frameComboBox.currentText = "RAS"
    panel.ui.mergedCheckBox.checked = True
    press(panel.ui.exportBodiesButton)
    assert written(folder / "ply_ras") == {"merged.ply"}
    header = (folder / "ply_ras/merged.ply").read_bytes().split(b"end_header")[0].decode()
    assert "SPACE=RAS" in header
    assert all(f"{name} (" in header for name in ("L3 guide", "L4 guide", *(s.name for s in SCREWS)))
    assert read_mesh(folder / "ply_ras/merged.ply").vertices_ras[:, 1].max() == pytest.approx(40.0), (
        "the tips, anterior"
    )


def test_nothing_chosen_is_said(panel, folder):
    panel.ui.guidesCheckBox.checked = False
    press(panel.ui.exportBodiesButton)
    assert "nothing is chosen" in panel.ui.statusLabel.text
    assert not folder.exists()


def test_what_is_out_of_date_is_written_only_where_that_is_said(panel, folder, shown_errors):
    assert not panel.ui.outdatedCheckBox.enabled
    drag(panel, "L3 right", 1, (16.0, 40.0, 120.0))
    press(panel.ui.exportBodiesButton)
    assert "this guide is out of date: L3 right was changed" in panel.ui.statusLabel.text
    assert not folder.exists()
    panel.ui.outdatedCheckBox.checked = True
    panel.ui.formatComboBox.currentText = "OBJ"
    press(panel.ui.exportBodiesButton)
    assert "OUT OF DATE: L3 guide" in (folder / "obj_lps/L3_guide.obj").read_text()
    assert "OUT OF DATE" not in (folder / "obj_lps/L4_guide.obj").read_text()
    press(panel.ui.updateButton)
    assert not panel.ui.outdatedCheckBox.checked, "it is asked anew each time"


def test_the_plan_too_is_written_out_of_date_only_where_that_is_said(panel, folder, shown_errors, monkeypatch):
    monkeypatch.setattr("MSKPlannerLib.cli.write_case.render_report", lambda *_, **__: "report")
    monkeypatch.setattr("MSKPlannerLib.cli.write_case.print_sheet", lambda *_, **__: "sheet")
    monkeypatch.setattr("MSKPlannerLib.cli.write_case._write_scene", lambda *_: ([], []))
    drag(panel, "L3 right", 1, (16.0, 40.0, 120.0))
    press(panel.ui.exportButton)
    assert "the plan is out of date" in panel.ui.statusLabel.text
    panel.ui.outdatedCheckBox.checked = True
    press(panel.ui.exportButton)
    assert (folder / "plan.json").is_file(), panel.ui.statusLabel.text
    assert b"OUT OF DATE" in (folder / "L3.stl").read_bytes()[:80]
    assert b"OUT OF DATE" not in (folder / "L4.stl").read_bytes()[:80]


def test_a_printer_sets_what_the_guides_are_asked_for_and_checked_by(panel, folder):
    panel.ui.presetComboBox.currentText = "k_wire"
    panel.ui.printerComboBox.currentText = "fdm"
    press(panel.ui.guidesButton)
    asked = panel.logic.case.plan.parameters["guides"]
    assert (asked["printer"], asked["drill_diameter_mm"]) == ("fdm", 1.6)
    assert asked["fit_clearance_mm"] == load_printer("fdm").clearance_mm == 0.4
    assert asked["drill_diameter_mm"] + asked["bore_clearance_mm"] == load_printer("fdm").min_hole_mm
    assert options_for_printer("standard", "sla") == load_guide_options("standard")


def test_problems_are_listed_and_gone_to(panel, folder, session, inputs):
    table = panel.ui.problemsTable
    assert [table.item(r, 1).text() for r in range(table.rowCount)] == ["minimum wall: thinnest wall (bar 1 mm)"] * 2, (
        "where all is well, the tightest places"
    )
    panel.ui.printerComboBox.currentText = "fdm"
    press(panel.ui.guidesButton)
    assert [table.item(r, 0).text() for r in range(4)] == ["L3 guide", "L4 guide", "L3 guide", "L4 guide"]
    assert table.item(0, 1).text() == "✗ bed: it does not fit on the bed (bar 210 mm)"
    assert panel.ui.problemsLabel.text.startswith("2 to look at, 2 tightest places")
    arrange_slice_views(session.scene, inputs[0], None, np.zeros(3))
    red = session.scene.GetNodeByID("vtkMRMLSliceNodeRed")
    table.setCurrentCell(2, 0)
    assert np.allclose([red.GetSliceToRAS().GetElement(i, 3) for i in range(3)], (3.0, 4.0, 5.0))
    table.setCurrentCell(0, 0)  # of no place of its own: the middle of the guide
    middle = TETRAHEDRON.vertices_ras.max(axis=0) / 2
    assert np.allclose([red.GetSliceToRAS().GetElement(i, 3) for i in range(3)], middle)
    table_node = session.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "table")
    import vtk

    moved = vtk.vtkMatrix4x4()
    moved.SetElement(2, 3, 50.0)
    table_node.SetMatrixTransformToParent(moved)
    for node in inputs:
        node.SetAndObserveTransformNodeID(table_node.GetID())
    table.setCurrentCell(3, 0)
    assert np.allclose([red.GetSliceToRAS().GetElement(i, 3) for i in range(3)], (3.0, 4.0, 55.0))


def test_out_of_date_is_among_the_problems(panel, folder):
    axis(panel, "L4 left").SetNthControlPointPosition(1, -16.0, 40.0, 160.0)
    table = panel.ui.problemsTable
    assert table.item(0, 0).text() == "L4 guide"
    assert table.item(0, 1).text().startswith("✗ out of date: L4 left was changed")


def test_the_panel_offers_every_preset_printer_format_and_frame(session):
    module = session.load("MSKPlanner")
    # The others are of cutting guides, of frames on the skin and of wires on any bone, which have one preset each.
    drill = {p.stem for p in resource_path("Guides").glob("*.toml")} - {"saw", "skin", "pin", "dome", "resection"}
    assert sorted(module.GUIDE_PRESETS) == sorted(drill)
    assert sorted(module.PRINTERS) == sorted(p.stem for p in resource_path("Printers").glob("*.toml"))
    assert sorted(f.lower() for f in module.FORMATS) == sorted(FORMATS)
    assert tuple(module.FRAMES) == FRAMES
