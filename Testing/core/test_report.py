"""The report of a plan."""

from MSKPlannerLib.colours import BONE_COLOUR, GUIDE_COLOUR, REJECTED_COLOUR, SCREW_COLOUR, hex_colour


def test_colours_are_the_published_ones():
    assert [hex_colour(c) for c in (SCREW_COLOUR, GUIDE_COLOUR, REJECTED_COLOUR)] == ["#0072b2", "#009e73", "#d55e00"]
    assert hex_colour(BONE_COLOUR) == "#e8dcc0"
