"""One guide for two vertebrae of known shape: a base on each, and what it says of posture."""

import numpy as np
import pytest
from core.guide_shapes import toy_vertebra, vertebra_field

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import invert_rigid, rigid, rotation_about, transform_points
from MSKPlannerLib.guides.checks import failed
from MSKPlannerLib.guides.levels_guide import Level, design_levels_guide, label_of, posture_check
from MSKPlannerLib.mesh import body_labels

BELOW = rigid(rotation_about([1, 0, 0], -6.0), [0.0, -1.0, -36.5])


def levels():
    upper, lower = toy_vertebra(level="L3", spacing_mm=1.1), toy_vertebra(BELOW, level="L4", spacing_mm=1.1)
    return [Level(n, v.bone, v.frame, v.screws) for n, v in (("L3", upper), ("L4", lower))]


@pytest.mark.slow
def test_a_base_on_each_level_and_the_posture_told():
    two = levels()
    guide = design_levels_guide(two)
    assert guide.mesh.is_closed
    assert body_labels(guide.mesh)[1] == 1
    assert [c.name for c in failed(guide.checks)] == ["posture L3-L4"]
    assert failed(design_levels_guide(two, fixed=True).checks) == ()
    # Contact on both, at the clearance of the true shapes.
    for place in (rigid(), BELOW):
        d = vertebra_field(transform_points(invert_rigid(place), guide.fit.points_ras))
        assert (np.abs(d - 0.25) < 0.2).sum() > 100
        assert vertebra_field(transform_points(invert_rigid(place), guide.mesh.vertices_ras)).min() > 0.0
    assert [s.screw for s in guide.sleeves] == ["L3 left", "L3 right", "L4 left", "L4 right"]
    # By turning the lower contact and entries about the disc's middle by a degree.
    check = posture_check(guide, *two, fixed=False)
    amid = 0.5 * BELOW[:3, 3]
    points = np.concatenate([guide.fit.points_ras, [s.entry_ras for s in two[1].screws]])
    points = points[(points - amid) @ BELOW[:3, 3] > 0]
    turned = (points - amid) @ rotation_about([1, 0, 0], 1.0).T + amid
    assert check.value == pytest.approx(np.linalg.norm(turned - points, axis=1).max(), rel=0.01)
    assert "Posture changes" in check.message


@pytest.mark.parametrize(
    ("levels", "label"), [("L3 L4", "L3-4"), ("T12 L1", "T12-L1"), ("L5 S1", "L5-S1"), ("V1 V2 V3", "V1-3")]
)
def test_the_name_on_it_is_short(levels, label):
    assert label_of(levels.split()) == label


def test_one_level_is_refused():
    with pytest.raises(InputError, match="needs two"):
        design_levels_guide([])
