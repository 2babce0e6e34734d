"""A screw along a scaphoid, on scaphoids of known shape."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from core.bone_shapes import capsule, grid, rasterise

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import rotation_about, unit
from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKPlannerLib.anatomy.scaphoid import scaphoid_axis
from MSKPlannerLib.screws.options import ScrewOptions
from MSKPlannerLib.screws.sites.description import load_site
from MSKPlannerLib.screws.sites.plan_sites import plan_sites
from MSKPlannerLib.screws.sites.request import SiteRequest, request_from_table

NO_RISK = ScrewOptions(error_budget="")
CENTRE = np.array([40.0, 5.0, 12.0])


@dataclass(frozen=True)
class Scaphoid:
    """A twisted peanut: two poles and a waist on an arc; its proximal pole first."""

    length: float = 27.0
    radii: tuple = (6.4, 5.0, 6.0)
    bow: float = 0.0  # of the arc's middle, mm
    turn_deg: float = 35.0

    @property
    def axes(self):
        return rotation_about(unit(np.array([1.0, 2.0, -0.6])), self.turn_deg)

    def point(self, share):
        """On the middle line: 0 proximal to 1 distal, the poles' centres at the ends."""
        span = self.length - self.radii[0] - self.radii[2]
        return CENTRE + self.axes @ np.array([4 * self.bow * share * (1 - share), 0, span * (share - 0.5)])

    @property
    def ends(self):
        way = unit(self.point(1) - self.point(0))
        return self.point(0) - self.radii[0] * way, self.point(1) + self.radii[2] * way

    def depth(self, p):
        shares = np.linspace(0, 1, 25)
        radius = np.interp(shares, [0, 0.5, 1], self.radii)
        spheres = [r - np.linalg.norm(p - self.point(s), axis=-1) for s, r in zip(shares, radius, strict=True)]
        return np.max(spheres, axis=0)

    def radius_bone(self):
        """A bar at the proximal pole."""
        end = self.ends[0] + 11.0 * unit(self.ends[0] - self.ends[1])
        return capsule(end + [-12, 0, -3], end + [8, 0, 0], 8.0)

    def segmentation(self, spacing=(0.4, 0.4, 0.6), with_radius=True, name="right scaphoid"):
        volume = grid((28, 28, 30), spacing, centre=CENTRE)
        voxels = rasterise(self.depth, volume).astype(np.uint8)
        segments = [Segment(1, name, kind="bone")]
        if with_radius:
            voxels[rasterise(self.radius_bone(), volume) & (voxels == 0)] = 2
            segments.append(Segment(2, "right radius", kind="bone"))
        return Segmentation(volume.with_voxels(voxels), tuple(segments))


def planned(bones, site="scaphoid_antegrade", **more):
    return plan_sites(None, bones, [SiteRequest(site, **more)], options=NO_RISK)


def wall(screw, more_mm=0.0):
    entry, tip = np.array(screw.entry_ras), np.array(screw.tip_ras)
    axis = unit(tip - entry)
    u = unit(np.cross(axis, [1.0, 0, 0]))
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = np.cos(angle)[:, None] * u + np.sin(angle)[:, None] * np.cross(axis, u)
    along = np.arange(0.0, screw.length_mm + 0.01, 0.5)
    return entry + along[:, None, None] * axis + (screw.diameter_mm / 2 + more_mm) * ring


STRAIGHT = Scaphoid()


@pytest.fixture(scope="module")
def straight():
    return STRAIGHT.segmentation()


@pytest.mark.parametrize(("site", "first"), [("scaphoid_antegrade", 0), ("scaphoid_retrograde", 1)])
def test_in_a_straight_bone_the_screw_lies_on_its_axis_sunk_at_both_ends(straight, site, first):
    (screw,) = planned(straight, site).screws
    assert screw.verdict is Verdict.ACCEPTED
    assert (screw.side, screw.level) == ("right", "right scaphoid")
    entry, tip = np.array(screw.entry_ras), np.array(screw.tip_ras)
    ends = STRAIGHT.ends
    axis = unit(ends[1 - first] - ends[first])
    assert np.degrees(np.arccos(unit(tip - entry) @ axis)) < 3.0
    assert np.linalg.norm(np.cross(entry - ends[first], axis)) < 0.7
    # As long as the steps of 2 mm allow with 2 mm of bone before and behind.
    assert screw.length_mm == 22.0
    assert 2.0 <= (entry - ends[first]) @ axis <= 3.2
    assert 2.0 <= (ends[1 - first] - tip) @ axis <= 3.2
    assert screw.diameter_mm == 3.5
    assert (STRAIGHT.depth(wall(screw, 1.0)) > 0).all()
    assert screw.largest_diameter_mm == pytest.approx(2 * (STRAIGHT.radii[1] - 1.0), abs=0.5)
    assert any("within the central third" in note for note in screw.notes)
    assert any("at the right radius" in note for note in screw.notes)


def test_in_a_bent_bone_it_is_the_widest_line_and_says_where_it_leaves_the_central_third():
    bent = Scaphoid(bow=4.0, radii=(6.0, 4.6, 5.6))
    (screw,) = planned(bent.segmentation()).screws
    assert (bent.depth(wall(screw, screw.clearance_mm - 0.25)) > 0).all()
    # Exhaustive search of lines between the poles in the closed form.
    start, end = (bent.ends[0] * (1 - s) + bent.ends[1] * s for s in (0.2, 0.8))
    axes = bent.axes[:, :2]
    shifts = np.arange(-3.0, 3.01, 0.5)
    a, b, c, d = (g.ravel() for g in np.meshgrid(shifts, shifts, shifts, shifts, indexing="ij"))
    t = np.linspace(0, 1, 13)[:, None, None]
    lines = (1 - t) * (start + np.stack([a, b], -1) @ axes.T) + t * (end + np.stack([c, d], -1) @ axes.T)
    best = bent.depth(lines).min(axis=0).max()
    assert screw.largest_diameter_mm / 2 + 1.0 == pytest.approx(best, abs=0.3)
    very = Scaphoid(bow=7.0, length=30.0, radii=(6.5, 5.5, 6.5))
    found = planned(very.segmentation())
    words = " ".join(note for s in found.screws for note in s.notes) + " ".join(s.reason for s in found.skipped)
    assert "leaves the central third" in words or "no screw fits" in words


def test_without_radius_and_pole_the_ends_are_not_guessed(straight):
    alone = Segmentation(straight.labels, straight.segments[:1])
    (skipped,) = planned(alone).skipped
    assert "which end is proximal" in skipped.reason
    assert "place 'proximal_pole'" in skipped.reason
    for placed in ({"proximal_pole": tuple(STRAIGHT.ends[0])}, {"distal_pole": tuple(STRAIGHT.ends[1])}):
        (screw,) = planned(alone, landmarks=placed).screws
        assert np.linalg.norm(np.array(screw.entry_ras) - STRAIGHT.ends[0]) < 4
        assert any("placed by the user" in note for note in screw.notes)
    both = {"proximal_pole": tuple(STRAIGHT.ends[0]), "distal_pole": tuple(STRAIGHT.ends[0] + 0.5)}
    assert "at the same end" in planned(alone, landmarks=both).skipped[0].reason
    far = {"proximal_pole": tuple(STRAIGHT.ends[0] + 15.0)}
    assert "mm from the scaphoid" in planned(alone, landmarks=far).skipped[0].reason


def test_what_is_no_whole_scaphoid_is_said(straight):
    first = straight.segments[0]

    def reason(bones, **more):
        found = planned(bones, **more)
        assert not found.screws
        return found.skipped[0].reason

    pieces = (replace(first, name="scaphoid, fragment 1"), straight.segments[1])
    assert "fragments" in reason(Segmentation(straight.labels, pieces))
    assert "no segment called scaphoid" in reason(Segmentation(straight.labels, straight.segments[1:]))
    assert "no left scaphoid" in reason(straight, sides=("left",))
    ball = Scaphoid(length=15.0, radii=(7.0, 7.0, 7.0))
    assert "does not look like a scaphoid" in reason(ball.segmentation((0.8, 0.8, 0.8)))
    n = straight.labels.shape_ijk
    cut = straight.labels.cropped([0, 0, n[2] // 2], n)
    assert "border cuts" in reason(Segmentation(cut, straight.segments))
    thin = Scaphoid(radii=(4.0, 2.0, 4.0))
    assert "no screw fits" in reason(thin.segmentation((0.5, 0.5, 0.5)))
    with pytest.raises(InputError, match="no landmark"):
        request_from_table({"site": "scaphoid_antegrade", "landmarks": {"aiis": [1, 2, 3]}}, "case")


def test_a_scaphoid_without_a_side_in_its_name_is_planned_once(straight):
    named = Segmentation(straight.labels, (replace(straight.segments[0], name="scaphoid"), straight.segments[1]))
    (screw,) = planned(named).screws
    assert screw.side == ""
    axis = scaphoid_axis(named, "scaphoid")
    assert axis.length_mm == pytest.approx(STRAIGHT.length, abs=0.8)
    assert load_site("scaphoid_antegrade").start_place == "proximal_pole"
