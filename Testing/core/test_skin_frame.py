"""A frame on the skin, against a body in closed form: an elliptic cylinder along S."""

from dataclasses import replace

import numpy as np
import pytest

from MSKFusionLib.errors import GeometryError, InputError, MSKError, ProcessingError
from MSKFusionLib.volume import Modality, Volume
from MSKPlannerLib.guides.checks import failed
from MSKPlannerLib.guides.skin_frame import Way, design_skin_frame
from MSKPlannerLib.guides.skin_options import SkinFrameOptions
from MSKPlannerLib.mesh import Mesh
from MSKPlannerLib.percutaneous.skin import find_skin
from MSKPlannerLib.percutaneous.skin_surface import skin_entry_ras, skin_surface

HALF_R, HALF_A, SPACING = 90.0, 70.0, 2.0
#: The skin of a CT of 2 mm: what its steps leave.
SKIN_ERROR = 0.45
OPTIONS = SkinFrameOptions(pad_diameter_mm=16.0, incision_radius_mm=8.0, tube_length_mm=20.0)


def body_distance(points):
    """First-order distance from the elliptic cylinder, right to hundredths of a mm within some mm of it."""
    x, y = points[..., 0], points[..., 1]
    e = np.hypot(x / HALF_R, y / HALF_A)
    slope = np.hypot(x / HALF_R**2, y / HALF_A**2) / np.maximum(e, 1e-9)
    return (e - 1) / np.maximum(slope, 1e-9)


def body_image(modality=Modality.CT):
    k, j, i = np.indices((70, 92, 112))
    points = (np.stack([i, j, k], axis=-1) - (np.array([112, 92, 70]) - 1) / 2) * SPACING
    share = np.clip(0.5 - body_distance(points) / SPACING, 0, 1)
    values = -1000.0 + 1040.0 * share if modality is Modality.CT else 400.0 * share
    if modality is Modality.MR:
        values = np.abs(values + np.random.default_rng(0).normal(0, 6.0, values.shape))
    return Volume(values.astype(np.int16), points[0, 0, 0], np.full(3, SPACING), np.eye(3), modality, "body")


@pytest.fixture(scope="module")
def skin():
    return find_skin(body_image())


def ways_to(skin, targets, outward):
    return [
        Way(name, tuple(skin_entry_ras(skin, np.array(t, float), np.array(outward, float))), tuple(map(float, t)))
        for name, t in targets.items()
    ]


@pytest.fixture(scope="module")
def ways(skin):
    left = ways_to(skin, {"left": (-24, -30, 4)}, (-0.25, -1, 0.1))
    return left + ways_to(skin, {"right": (24, -30, 4)}, (0.25, -1, 0.1))


@pytest.fixture(scope="module")
def surface(skin, ways):
    return skin_surface(skin, np.mean([w.entry_ras for w in ways], axis=0), 100.0)


@pytest.fixture(scope="module")
def frame(surface, ways):
    return design_skin_frame(surface, ways, OPTIONS, label="L3")


def shown(points, near):
    """Which points lie on the skin, off the sides of the cube that closes it and off the image's ends."""
    return (np.abs(points - near) < 85).all(axis=1) & (np.abs(points[:, 2]) < 60)


@pytest.mark.parametrize("modality", [Modality.CT, Modality.MR])
def test_the_surface_is_the_skin(modality):
    found = skin_surface(find_skin(body_image(modality)), np.array([0.0, -HALF_A, 0.0]), 60.0)
    assert found.is_closed
    points = found.vertices_ras
    inner = (np.abs(points - [0.0, -HALF_A, 0.0]) < 55).all(axis=1)
    # In MR the level is a share of the brightest: the skin lies where the signal begins, up to a voxel too far out.
    limit = SKIN_ERROR if modality is Modality.CT else 2.2
    assert np.abs(body_distance(points[inner])).max() < limit


def test_an_entry_is_where_the_way_leaves_the_body(skin):
    entry = skin_entry_ras(skin, np.array([10.0, -20.0, 5.0]), np.array([0.3, -1.0, 0.2]))
    assert abs(body_distance(entry)) < SKIN_ERROR
    way = entry - [10.0, -20.0, 5.0]
    assert np.linalg.norm(np.cross(way / np.linalg.norm(way), [0.3, -1.0, 0.2])) < 1e-6
    with pytest.raises(ProcessingError, match="outside the body"):
        skin_entry_ras(skin, np.array([0.0, -90.0, 0.0]), np.array([0.0, -1.0, 0.0]))
    with pytest.raises(ProcessingError, match="leaves the image"):
        skin_entry_ras(skin, np.zeros(3), np.array([0.0, 0.0, 1.0]))


def test_one_sound_body_that_passes_its_checks(frame):
    assert frame.mesh.is_closed
    assert not failed(frame.checks), [c.message for c in failed(frame.checks)]
    assert {"one body", "minimum wall", "incision left", "bore right", "insertion"} <= {c.name for c in frame.checks}


def test_pads_lie_on_the_skin_and_bars_above_it(frame, ways):
    distance = body_distance(frame.mesh.vertices_ras)
    assert distance.min() > OPTIONS.fit_clearance_mm - SKIN_ERROR
    assert body_distance(frame.fit.points_ras) == pytest.approx(OPTIONS.fit_clearance_mm, abs=SKIN_ERROR + 0.05)
    # Four pads of 16 mm, the rim of 0.8 mm left out.
    assert frame.fit.area_mm2 == pytest.approx(4 * np.pi * 7.2**2, rel=0.15)
    pads = frame.layout.pads_uvw[:, :2]
    beside = frame.mesh.vertices_ras @ frame.layout.frame_to_ras[:3, :2] - (
        frame.layout.frame_to_ras[:3, 3] @ frame.layout.frame_to_ras[:3, :2]
    )
    off_pads = np.linalg.norm(beside[:, None] - pads[None], axis=2).min(axis=1) > OPTIONS.pad_diameter_mm / 2 + 4.0
    assert distance[off_pads].min() > OPTIONS.bar_above_mm - SKIN_ERROR - 0.5


def test_tubes_lead_to_the_targets_and_incisions_are_free(frame, ways):
    corners = frame.mesh.vertices_ras
    for way, sleeve, depth in zip(ways, frame.sleeves, frame.depth_mm, strict=True):
        entry, target = sleeve.entry_ras, np.array(way.target_ras)
        assert np.linalg.norm(entry - way.entry_ras) < 0.6
        axis = (entry - target) / np.linalg.norm(entry - target)
        along = (corners - entry) @ axis
        radial = np.linalg.norm(corners - entry - along[:, None] * axis, axis=1)
        assert radial.min() >= OPTIONS.bore_diameter_mm / 2 - 1e-3  # the whole line to the target is free
        assert not np.any((along < OPTIONS.standoff_mm - 0.01) & (radial < OPTIONS.incision_radius_mm - 0.3))
        end = entry + sleeve.length_mm * axis
        assert depth == pytest.approx(np.linalg.norm(end - target), abs=1e-6)
        # The tube ends flat where it says, all round the bore.
        rim = np.abs(radial - OPTIONS.bore_diameter_mm / 2) < 0.05
        assert along[rim].max() == pytest.approx(sleeve.length_mm, abs=0.01)


def test_it_is_put_on_from_outside_and_comes_off_freely(frame):
    out = -frame.insertion_direction_ras
    assert out @ [0, -1, 0] > 0.98
    for way in np.arange(0.0, 30.0, 1.0):
        assert body_distance(frame.mesh.vertices_ras + way * out).min() > OPTIONS.fit_clearance_mm - SKIN_ERROR


def test_what_cannot_stand_is_refused_in_words(skin, surface, ways):
    crossing = [ways[0], replace(ways[0], name="again", entry_ras=tuple(np.add(ways[0].entry_ras, [4.0, 0, 0])))]
    cases = [
        (([],), InputError, "at least one way"),
        (([ways[0], ways[0]],), InputError, "same name"),
        (([replace(ways[0], target_ras=ways[0].entry_ras)],), InputError, "two points apart"),
        ((crossing,), ProcessingError, "run into each other"),
        ((ways_to(skin, {"edge": (0, -30, 60)}, (0, -1, 0)),), ProcessingError, "no skin for a pad"),
    ]
    for arguments, kind, words in cases:
        with pytest.raises(kind, match=words):
            design_skin_frame(surface, *arguments, OPTIONS)
    with pytest.raises(GeometryError, match="not closed"):
        design_skin_frame(Mesh(surface.vertices_ras, surface.faces[1:]), ways, OPTIONS)
    with pytest.raises(MSKError, match="whole number"):
        SkinFrameOptions(pads=3.5)
