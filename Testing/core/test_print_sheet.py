"""The print sheet and its pictures: what they show is there, the same bytes every time, doubts in large letters."""

import base64
import re
from dataclasses import replace

import numpy as np
import pytest
import vtk
from core.guide_shapes import box_mesh, joined, sphere_mesh
from core.test_guide_recipe import GUIDE, LEFT, PLAN, RIGHT
from vtk.util.numpy_support import vtk_to_numpy

from MSKFusionLib.errors import InputError
from MSKFusionLib.registration.result import Verdict
from MSKPlannerLib.export.drawing import draw
from MSKPlannerLib.export.print_sheet import print_sheet
from MSKPlannerLib.plan import Check

RED, GREEN = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)


def pixels(png, tmp_path):
    """The picture as VTK reads it: rows from the top, columns from the left."""
    (tmp_path / "a.png").write_bytes(png)
    reader = vtk.vtkPNGReader()
    reader.SetFileName(str(tmp_path / "a.png"))
    reader.Update()
    image = reader.GetOutput()
    wide, tall, _ = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(tall, wide, 3)[::-1].astype(int)


def test_a_picture_shows_what_is_in_front(tmp_path):
    # Seen from the front (+A): the patient's right is on the left hand.
    ball, wall = sphere_mesh(5.0, (0, 10, 0)), box_mesh((40, 2, 30))
    image = pixels(draw([(wall, RED), (ball, GREEN)], np.array([0, 1.0, 0]), np.array([0, 0, 1.0])), tmp_path)
    middle, corner = image[200, 240], image[2, 2]
    assert middle[1] > 100 > middle[0]
    assert corner.tolist() == [255, 255, 255]
    red = (image[..., 0] > 60) & (image[..., 1] < 20)
    rows, columns = np.nonzero(red)
    # 40 by 30 mm fill 88 % of the width.
    assert np.ptp(columns) == pytest.approx(0.88 * 480, abs=3)
    assert np.ptp(columns) / np.ptp(rows) == pytest.approx(40 / 30, rel=0.02)
    behind = pixels(draw([(wall, RED), (ball, GREEN)], np.array([0, -1.0, 0]), np.array([0, 0, 1.0])), tmp_path)
    assert behind[200, 240][0] > behind[200, 240][1]


def test_a_picture_says_left_from_right(tmp_path):
    right = joined(box_mesh((4, 4, 4)), box_mesh((4, 4, 4), (30, 0, 0)))
    image = pixels(draw([(right, RED), (box_mesh((6, 6, 6), (30, 0, 0)), GREEN)], np.array([0, 1.0, 0]), np.array([0, 0, 1.0])), tmp_path)  # fmt: skip
    _, green = np.nonzero((image[..., 1] > 60) & (image[..., 0] < 20))
    assert green.max() < 240  # the patient's right


def sheet(**changes):
    guide = replace(
        GUIDE,
        checks=(Check("minimum wall", True, 2.1, 1.0, "mm", "thinnest wall 2.10 mm", (1.0, 2.0, 3.0)),),
        **changes,
    )
    return print_sheet(guide, box_mesh((20, 30, 10)), PLAN, bone=box_mesh((60, 60, 60), (0, 0, -40)))


def test_the_sheet_says_what_the_printer_needs():
    html = sheet()
    text = re.sub(r"<[^>]+>", " ", html)
    for words in (
        "20.0 x 30.0 x 10.0 mm",
        "6.00 cm3",
        "22.0 cm2",
        "thinnest wall 2.10 mm",
        "1.0 2.0 3.0",
        "sla",
        "labels",
        "abc",
    ):
        assert words in text
    assert "Passed its own checks" in text
    assert "Not for clinical use" in text
    assert len(re.findall(r'src="data:image/png;base64,', html)) == 4
    assert all(base64.b64decode(b).startswith(b"\x89PNG") for b in re.findall(r'base64,([^"]+)"', html))
    assert not re.findall(r'(?:src|href)="https?://', html)
    assert sheet() == html


def test_a_doubtful_guide_is_not_to_be_printed():
    assert "DO NOT PRINT" in sheet(verdict=Verdict.REJECTED, reasons=("thin wall",))
    moved = replace(PLAN, screws=(LEFT, replace(RIGHT, tip_ras=(10, 10, 2))))
    html = print_sheet(GUIDE, box_mesh(), moved)
    assert "DO NOT PRINT" in html
    assert "OUT OF DATE: screw L4 right was moved by 2.00 mm" in html
    with pytest.raises(InputError, match="no preset"):
        print_sheet(GUIDE, box_mesh(), PLAN, printer="laser")
