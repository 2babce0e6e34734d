"""What counts as a screw that holds the project's bars in the true anatomy."""

import pytest

from MSKPlannerLib.truth import SCREW_CLEARANCE_MM, TrueScrew


def screw(*, accepted=True, clearance_mm=1.0, best_clearance_mm=1.0, grade="A"):
    return TrueScrew("L3 left", accepted, clearance_mm, grade, 6.0, best_clearance_mm)


def test_a_screw_in_a_wide_pedicle_needs_grade_and_clearance():
    assert screw().passed
    assert not screw(grade="B").passed
    assert not screw(clearance_mm=SCREW_CLEARANCE_MM - 0.01).passed


def test_where_no_line_has_the_clearance_grade_a_is_enough():
    narrow = SCREW_CLEARANCE_MM - 0.01
    assert screw(clearance_mm=0.2, best_clearance_mm=narrow).passed
    assert not screw(clearance_mm=-0.2, grade="B", best_clearance_mm=narrow).passed
    assert screw(accepted=False, clearance_mm=-0.2, grade="B", best_clearance_mm=narrow).passed


@pytest.mark.parametrize(
    ("spare_mm", "clearance_mm", "passes"), [(0.05, 0.51, True), (0.05, 0.4, False), (0.2, 0.6, False)]
)
def test_a_rejection_is_right_only_where_the_pedicle_is_at_the_limit(spare_mm, clearance_mm, passes):
    found = screw(accepted=False, clearance_mm=clearance_mm, best_clearance_mm=SCREW_CLEARANCE_MM + spare_mm)
    assert found.passed is passes
