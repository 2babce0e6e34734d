"""What the planner's panel says of a plan as a whole."""

from __future__ import annotations

from MSKPlannerLib.plan_texts import level_names, levels_to_add, structures_in_words


def test_structures_at_risk_are_named_with_their_room():
    text = structures_in_words(("L3", "spinal_canal", "aorta", "muscle"))
    assert "spinal_canal (0.5 mm), aorta (5 mm)" in text
    assert "muscle" not in text
    assert "none is measured" in structures_in_words(("L3", "L4"))
    assert structures_in_words(()) == ""


def test_levels_are_read_as_they_are_typed_and_offered_as_they_are_named():
    assert level_names("l3, L4 t12") == ("L3", "L4", "T12")
    assert levels_to_add(None, ("S1", "L4", "femur", "L3")) == ["L3", "L4"]
