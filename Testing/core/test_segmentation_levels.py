"""Names from one known level."""

import numpy as np
import pytest

from MSKFusionLib.errors import InputError
from MSKFusionLib.segmentation import LevelHint, Segment, Segmentation, name_levels
from MSKFusionLib.volume import Modality, Volume


def _column(kinds, complete=None):
    """Boxes of 10 mm from head to foot, the first one uppermost."""
    count = len(kinds)
    voxels = np.zeros((10 * count, 12, 12), np.uint8)
    segments = []
    for n, kind in enumerate(kinds):
        value = 26 if kind == "sacrum" else 101 + n
        voxels[10 * (count - 1 - n) : 10 * (count - n), 2:10, 2:10] = value
        name = "S1" if kind == "sacrum" else f"V{n + 1}"
        segments.append(Segment(value, name, kind, True if complete is None else complete[n]))
    return Segmentation(Volume(voxels, np.zeros(3), np.ones(3), np.eye(3), Modality.LABEL), tuple(segments))


def _names(segmentation):
    return [s.name for s in segmentation.segments]


def test_lowest_and_highest_mean_vertebrae_wholly_in_view():
    column = _column(["vertebra"] * 4, complete=[False, True, True, False])
    assert _names(name_levels(column, LevelHint("T10", "lowest"))) == ["T8", "T9", "T10", "T11"]
    assert _names(name_levels(column, LevelHint("T10", "highest"))) == ["T9", "T10", "T11", "T12"]


def test_a_point_names_its_vertebra_and_values_follow():
    named = name_levels(_column(["vertebra"] * 3), LevelHint("l1", (5.0, 5.0, 15.0)))
    assert [(s.name, s.value) for s in named.segments] == [("T12", 19), ("L1", 20), ("L2", 21)]
    assert named.mask("L1")[15, 5, 5]
    again = name_levels(named, LevelHint("L2", (5.0, 5.0, 15.0)))
    assert _names(again) == ["L1", "L2", "L3"]
    assert again.mask("L2")[15, 5, 5]


def test_no_hint_numbers_them():
    named = name_levels(_column(["vertebra"] * 2), LevelHint("L1", "highest"))
    assert [(s.name, s.value) for s in name_levels(named, None).segments] == [("V1", 101), ("V2", 102)]


def test_the_sacrum_keeps_its_name_and_an_unusual_count_is_said():
    column = _column(["vertebra", "vertebra", "sacrum"])
    usual = name_levels(column, LevelHint("S1", (5.0, 5.0, 5.0)))
    assert _names(usual) == ["L4", "L5", "S1"]
    assert usual.notes == ()
    unusual = name_levels(column, LevelHint("L4", "lowest"))
    assert _names(unusual) == ["L3", "L4", "S1"]
    assert any("transitional" in note for note in unusual.notes)
    assert _names(name_levels(column, LevelHint("L6", "lowest"))) == ["L5", "L6", "S1"]


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (("L3", (5.0, 5.0, 500.0)), "lies in no vertebra"),
        (("C1", "lowest"), "no name"),
        (("L5", "highest"), "no name"),
        (("S1", "lowest"), "no sacrum"),
        (("S1", (5.0, 5.0, 15.0)), "what lies there is a vertebra"),
    ],
)
def test_hints_that_cannot_be(hint, words):
    with pytest.raises(InputError, match=words):
        name_levels(_column(["vertebra"] * 3), LevelHint(*hint))


@pytest.mark.parametrize(("level", "where"), [("X9", "lowest"), ("L3", "middle"), ("L3", (1.0, np.nan, 2.0))])
def test_hints_that_say_nothing(level, where):
    with pytest.raises(InputError):
        LevelHint(level, where)
