"""Drill guides where bones crowd the sleeves: walls and gap are right by design, not told to be wrong."""

import pytest
from benchmarks.guides import cut_case, reduction_case
from core.guide_shapes import neighbour_of, toy_vertebra

from MSKPlannerLib.guides.checks import failed
from MSKPlannerLib.guides.drill_guide import design_drill_guide
from MSKPlannerLib.guides.options import GuideOptions

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("clearance", "drill", "size"), [(0.42, 1.6, 1.087), (0.11, 3.2, 1.121), (0.27, 2.7, 1.095)])
def test_no_thin_walls_where_neighbours_reach_into_the_sleeves(clearance, drill, size):
    """Bones larger than their distance allows: the neighbour's facet lies over the entry, and cuts meet in fins there."""
    v = toy_vertebra(spacing_mm=1.1 * size, size=size)
    options = GuideOptions(fit_clearance_mm=clearance, drill_diameter_mm=drill)
    guide = design_drill_guide(v.bone, v.frame, v.screws, options, neighbours=[neighbour_of(v, True)])
    checks = {c.name: c for c in guide.checks}
    assert checks["minimum wall"].passed
    assert guide.fit.max_error_mm <= 0.1
    # The drill meets the neighbour: that is the plan's fault, and it is said.
    assert not checks["way of the drill left"].passed


def test_short_edges_round_a_narrow_neck_stay():
    """The sweep's reduction guide of seed 1: made one, two corners left an edge of four triangles, and the guide was refused."""
    _, _, design = reduction_case(1)
    assert failed(design().checks) == ()


def test_a_needle_that_cannot_be_turned_away_goes_with_a_larger_detail():
    """The sweep's cutting guide of seed 55: one triangle without area was left, and the guide rejected for it."""
    _, _, design = cut_case(55)
    assert failed(design().checks) == ()
