"""The report of a plan, and the columns that its tables share with the scene and the panel."""

from dataclasses import replace

import pytest

from MSKFusionLib.registration.result import Verdict
from MSKPlannerLib.colours import BONE_COLOUR, GUIDE_COLOUR, REJECTED_COLOUR, SCREW_COLOUR, hex_colour
from MSKPlannerLib.export.report import render_report
from MSKPlannerLib.plan import Guide, Plan, Screw
from MSKPlannerLib.plan_columns import GUIDE_COLUMNS, SCREW_COLUMNS, pick

SCREW = Screw(
    "L4 left", "pedicle", "L4", "left", (1, -2, 30), (-0.04, 40, 30), 6.0, 42.0, -0.001, "B", 0.31, "medial",
    verdict=Verdict.REJECTED, reasons=("it leaves <the> pedicle",), notes=("a note",),
)  # fmt: skip
GUIDE = Guide(
    "L4 guide", "L4", ("L4 left",), "guides/L4.stl", True, 1, 8123.4, 2.0, 0.25, 0.26, 0.1, (0.0, 1.0, 0.0),
    notes=("a loose piece of 2.0 mm3 was dropped",),
)  # fmt: skip


def test_a_column_is_one_description_for_all():
    shown = {c.title: c.text(SCREW) for c in SCREW_COLUMNS}
    assert shown["Screw"] == "L4 left"
    assert shown["Diameter (mm)"] == "6.0"
    assert shown["Length (mm)"] == "42"
    assert shown["Clearance (mm)"] == "0.00", "no minus before a zero"
    assert shown["Breach (mm)"] == "0.3"
    assert shown["Breach direction"] == "medial"
    assert shown["Mean (HU)"] == "–"
    assert shown["Tip (RAS mm)"] == "0.0 40.0 30.0"
    assert shown["Verdict"] == "rejected"
    assert shown["Remarks"] == "it leaves <the> pedicle; a note"
    assert [c.heading for c in pick(SCREW_COLUMNS, "Verdict", "Screw")] == ["Verdict", "Screw"]
    with pytest.raises(KeyError):
        pick(SCREW_COLUMNS, "Screws")


def test_no_heading_stands_twice():
    for columns in (SCREW_COLUMNS, GUIDE_COLUMNS):
        assert len({c.heading for c in columns}) == len(columns)


def test_the_report_shows_screws_and_guides_with_their_remarks():
    html = render_report(Plan("p", "now", {}, screws=(SCREW,), guides=(GUIDE, replace(GUIDE, name="L5 guide"))))
    assert html.count("<th>Clearance (mm)</th>") == 1
    assert "<td>it leaves &lt;the&gt; pedicle; a note</td>" in html
    assert '<tr class="rejected"><td>L4 left</td>' in html
    assert '<tr class="accepted"><td>L5 guide</td><td>guides/L4.stl</td><td>yes</td><td>1</td><td>8123</td>' in html
    assert html.count("<td>a loose piece of 2.0 mm3 was dropped</td>") == 2


def test_colours_are_the_published_ones():
    assert [hex_colour(c) for c in (SCREW_COLOUR, GUIDE_COLOUR, REJECTED_COLOUR)] == ["#0072b2", "#009e73", "#d55e00"]
    assert hex_colour(BONE_COLOUR) == "#e8dcc0"
