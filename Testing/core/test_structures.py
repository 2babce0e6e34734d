"""Distances from a screw to structures at risk, in closed form."""

import numpy as np
import pytest
from core.bone_shapes import voxel_centres

from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKFusionLib.volume import Modality, Volume
from MSKPlannerLib.screws.structures import margin_mm, structure_distances

SEGMENTS = (
    Segment(1, "aorta", "vessel"),
    Segment(2, "spinal_canal", "canal"),
    Segment(3, "L3", "vertebra"),
    Segment(4, "muscle", "muscle"),
    Segment(5, "vena_cava", "vessel"),
)


@pytest.fixture(scope="module")
def labels() -> Segmentation:
    """A tube of radius 6 along z at x = 20, a slab from x = -30 to -12, muscle all round, and a cava far away."""
    grid = Volume(np.zeros((80, 80, 110), np.uint8), (-50, -20, -40), (1.0, 1.0, 1.0), np.eye(3), Modality.LABEL)
    p = voxel_centres(grid)
    out = np.full(grid.voxels.shape, 4, np.uint8)
    out[np.hypot(p[..., 0] - 20, p[..., 1] - 20) < 6] = 1
    out[(p[..., 0] < -12) & (p[..., 0] > -30)] = 2
    out[p[..., 0] > 55] = 5
    return Segmentation(grid.with_voxels(out), SEGMENTS)


def test_the_nearest_comes_first_and_is_measured_from_the_surface(labels: Segmentation):
    found = structure_distances(labels, (0, 0, 0), (0, 40, 0), 6.0)
    assert [f.name for f in found] == ["spinal_canal", "aorta"]
    assert found[0].distance_mm == pytest.approx(9.0, abs=0.6)
    assert found[1].distance_mm == pytest.approx(11.0, abs=0.6)
    assert found[1].margin_mm == 5.0


def test_a_screw_within_a_structure_has_a_negative_distance(labels: Segmentation):
    found = structure_distances(labels, (0, 20, 0), (22, 20, 0), 6.0)
    aorta = next(f for f in found if f.name == "aorta")
    # The tip's edge is 8 mm behind the wall, and its middle 4 mm from the far one.
    assert aorta.distance_mm == pytest.approx(-6.0, abs=1.2)


def test_only_what_is_at_risk_counts():
    assert margin_mm("L3", "vertebra") is None
    assert margin_mm("muscle", "muscle") is None
    assert margin_mm("nerve_root_L4", "nerve") == 1.0
    assert margin_mm("spinal cord") == 2.0
