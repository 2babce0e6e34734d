"""Screws of C1 and C2 between placed points, on a ring of known shape."""

from dataclasses import replace

import numpy as np
import pytest
from core.bone_shapes import capsule, grid, rasterise, union

from MSKFusionLib.frames import unit
from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKPlannerLib.screws.options import ScrewOptions
from MSKPlannerLib.screws.sites.plan_sites import plan_sites
from MSKPlannerLib.screws.sites.request import SiteRequest

NO_RISK = ScrewOptions(error_budget="")
CENTRE = np.array([2.0, -10.0, 90.0])
#: Ends and radius of the right bar that holds the screw; the left one is its mirror image and too thin.
BACK, FRONT, RADIUS = np.array([14.0, -14.0, 0.0]), np.array([9.0, 12.0, 3.0]), 3.4


def ring():
    """A body in front, a bar each side, an arch behind: they enclose a canal."""
    left = np.array([-1.0, 1.0, 1.0])
    return union(
        capsule((-8, 14, 2), (8, 14, 2), 6.0),
        capsule(BACK, FRONT, RADIUS),
        capsule(BACK * left, FRONT * left, 1.8),
        capsule((14, -14, 0), (0, -22, 0), 2.6),
        capsule((-14, -14, 0), (0, -22, 0), 2.6),
    )


def bone(name="C2", depth=None, artery=False):
    volume = grid((28, 34, 16), (0.5, 0.5, 0.6), centre=CENTRE)
    shape = ring() if depth is None else depth
    voxels = rasterise(lambda p: shape(p - CENTRE), volume).astype(np.uint8)
    segments = [Segment(1, name, "vertebra")]
    if artery:
        tube = rasterise(lambda p: capsule((19.5, 0, -12), (19.5, 0, 12), 2.0)(p - CENTRE), volume)
        voxels[tube & (voxels == 0)] = 2
        segments.append(Segment(2, "vertebral artery right"))
    return Segmentation(volume.with_voxels(voxels), tuple(segments))


def marks(entry=0.08, target=0.8, side=1.0):
    out = {}
    for name, share in (("entry", entry), ("target", target)):
        out[name] = tuple((BACK * (1 - share) + FRONT * share) * [side, 1, 1] + [0.8, 0, -0.6] + CENTRE)
    return out


def planned(bones, site="c2_pedicle", side="right", **given):
    return plan_sites(None, bones, [SiteRequest(site, (side,), landmarks=given)], options=NO_RISK)


def refused(*args, **more):
    found = planned(*args, **more)
    assert not found.screws
    return found.skipped[0].reason


def test_the_screw_lies_on_the_axis_of_the_bar_and_in_true_bone():
    (screw,) = planned(bone(), **marks()).screws
    assert screw.verdict is Verdict.ACCEPTED
    entry, tip = (np.array(p) - CENTRE for p in (screw.entry_ras, screw.tip_ras))
    axis = unit(FRONT - BACK)
    assert np.degrees(np.arccos(unit(tip - entry) @ axis)) < 4.0
    u = unit(np.cross(axis, [1.0, 0, 0]))
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    circle = np.cos(angle)[:, None] * u + np.sin(angle)[:, None] * np.cross(axis, u)
    along = np.arange(6.0, screw.length_mm, 0.5)[:, None, None]
    wall = entry + along * unit(tip - entry) + (screw.diameter_mm / 2 + 0.5) * circle
    assert (ring()(wall) > 0).all()
    assert screw.diameter_mm == 4.0
    assert any("artery is not labelled" in note for note in screw.notes)


def test_a_labelled_artery_counts():
    (screw,) = planned(bone(artery=True), **marks()).screws
    assert 0 < screw.structures_mm["vertebral artery right"] < 12
    assert not any("artery is not labelled" in note for note in screw.notes)


def test_nothing_is_guessed_and_wrong_points_are_said():
    c2, right = bone(), marks()
    assert "'entry' is not placed" in refused(c2)
    assert "'target' is not placed" in refused(c2, entry=right["entry"])
    assert "swapped, or --side" in refused(c2, side="left", **right)
    assert "run forwards" in refused(c2, entry=right["target"], target=right["entry"])
    far = tuple(np.array(right["target"]) + [0, 0, 14.0])
    assert "mm from C2" in refused(c2, entry=right["entry"], target=far)
    assert "no segment 'C1'" in refused(c2, site="c1_lateral_mass", **right)
    thin = refused(c2, side="left", **marks(side=-1.0))
    assert "not possible" in thin or "no screw" in thin


def test_a_label_without_a_canal_is_refused():
    filled = bone(depth=union(ring(), capsule((0, -14, 0), (0, 10, 0), 13.0)))
    assert "no canal" in refused(filled, **marks())
    named = replace(filled, segments=(Segment(1, "C1", "vertebra"),))
    assert "no canal" in refused(named, site="c1_lateral_mass", **marks())


@pytest.mark.parametrize(("site", "name"), [("c1_lateral_mass", "C1"), ("c2_pars", "C2")])
def test_the_other_pages_plan_too(site, name):
    (screw,) = planned(bone(name), site, **marks(target=0.55)).screws
    assert (screw.site, screw.side, screw.level) == (site, "right", name)
