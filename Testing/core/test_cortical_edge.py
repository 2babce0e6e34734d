"""The edge of a cortex thinner than the scanner's blur, against shapes of known size."""

import numpy as np
import pytest
from core.bone_shapes import grid, moved, sphere, voxel_centres
from scipy import ndimage

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import rigid, rotation_about
from MSKFusionLib.segmentation.cortical_edge import cortical_edge
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKFusionLib.volume import Modality, Volume
from MSKPlannerLib.bone.smooth_bone import smooth_bone

CENTRE = np.array([3.0, -20.0, 150.0])
RADIUS_MM, BLUR_MM, FINE_MM = 12.0, 0.45, 0.2
OBLIQUE = rotation_about([1, 2, 3], 35)


def ball_ct(wall_mm, cortex_hu=950.0, marrow_hu=170.0, tissue_hu=50.0, spacing=(0.7, 0.7, 1.0), noise_hu=15.0):
    """A CT of a ball with a shell: rendered finely, blurred by the scanner, averaged over each voxel, with noise."""
    fine = grid((17, 17, 17), (FINE_MM,) * 3, OBLIQUE, CENTRE)
    depth = moved(sphere(RADIUS_MM), rigid(None, CENTRE))(voxel_centres(fine)).astype(np.float32)
    hu = np.where(depth > wall_mm, marrow_hu, np.where(depth > 0, cortex_hu, tissue_hu)).astype(np.float32)
    hu = ndimage.gaussian_filter(hu, BLUR_MM / FINE_MM)
    # The mean over a voxel (a box of its size), then the voxels' centres.
    hu = ndimage.uniform_filter(hu, np.round(np.array(spacing)[::-1] / FINE_MM).astype(int).tolist())
    coarse = grid((15, 15, 15), spacing, OBLIQUE, CENTRE + 0.1)
    ijk = voxel_centres(coarse).reshape(-1, 3) @ fine.ras_to_ijk[:3, :3].T + fine.ras_to_ijk[:3, 3]
    voxels = ndimage.map_coordinates(hu, ijk[:, ::-1].T, order=1).reshape(coarse.voxels.shape)
    voxels += np.random.default_rng(1).normal(0, noise_hu, voxels.shape)
    return coarse.with_voxels(voxels.astype(np.float32), modality=Modality.CT)


def directions(count=2000):
    d = np.random.default_rng(2).normal(size=(count, 3))
    return d / np.linalg.norm(d, axis=1, keepdims=True)


# Where no wall is thick the cortex's density cannot be told from the walls' thickness: see the module.
@pytest.mark.parametrize(("wall_mm", "bias_mm"), [(0.6, 0.15), (0.9, 0.2), (1.5, 0.05)])
@pytest.mark.parametrize("off_mm", [-0.5, 0.0, 0.5])
def test_the_edge_of_a_thin_wall_is_found_from_either_side(wall_mm, bias_mm, off_mm):
    d = directions()
    edge = cortical_edge(ball_ct(wall_mm), CENTRE + (RADIUS_MM + off_mm) * d, d)
    error = edge.shift_mm + off_mm
    assert abs(error.mean()) < bias_mm
    assert error.std() < 0.1
    assert edge.weight.mean() > 0.5
    # What is said of the doubt is of the size of the error.
    assert 0.3 < error.std() / np.median(edge.sd_mm) < 2.0


def test_of_several_blurs_the_scanners_own_is_found():
    d = directions()
    edge = cortical_edge(ball_ct(1.5), CENTRE + RADIUS_MM * d, d)
    assert edge.blur_mm == pytest.approx(BLUR_MM, abs=0.11)
    assert edge.cortex_hu == pytest.approx(950, rel=0.15)


def test_where_there_is_no_cortex_or_no_room_nothing_is_claimed():
    d = directions(200)
    plain = ball_ct(0.9)
    flat = plain.with_voxels(np.full(plain.voxels.shape, 40.0, np.float32))
    assert cortical_edge(flat, CENTRE + RADIUS_MM * d, d).weight.max() < 0.01
    crowded = cortical_edge(plain, CENTRE + RADIUS_MM * d, d, np.full(len(d), 0.5))
    assert crowded.weight.max() == 0
    metal = plain.with_voxels(np.where(voxel_centres(plain)[..., 0] > CENTRE[0], 3000.0, plain.voxels))
    assert cortical_edge(metal, CENTRE + RADIUS_MM * d, d).weight[d[:, 0] > 0.4].max() == 0


def label_of(ct: Volume, radius_mm: float, other: np.ndarray | None = None) -> Segmentation:
    inside = np.linalg.norm(voxel_centres(ct) - CENTRE, axis=-1) < radius_mm
    values = np.where(inside, 20, 0 if other is None else np.where(other, 21, 0)).astype(np.uint8)
    return Segmentation(
        ct.with_voxels(values, modality=Modality.LABEL),
        (Segment(20, "L1", "vertebra"), Segment(21, "L2", "vertebra")),
    )


@pytest.mark.parametrize("radius_mm", [RADIUS_MM - 0.5, RADIUS_MM, RADIUS_MM + 0.7])
def test_a_label_that_is_too_small_or_too_large_ends_on_the_cortex(radius_mm):
    ct = ball_ct(1.4)
    field = smooth_bone(label_of(ct, radius_mm), "L1", ct).field()
    depth = field.depth_mm(CENTRE + RADIUS_MM * directions())
    assert abs(depth.mean()) < 0.1
    assert depth.std() < 0.1


def test_bone_of_a_neighbour_does_not_pull_the_surface():
    """A second bone 1 mm away on one side: there the label's own surface stays."""
    ct = ball_ct(1.4)
    side = voxel_centres(ct)[..., 0] > CENTRE[0] + RADIUS_MM + 0.7
    crowded = ct.with_voxels(np.where(side, 900.0, ct.voxels).astype(np.float32))
    field = smooth_bone(label_of(ct, RADIUS_MM, side), "L1", crowded).field()
    d = directions(4000)
    depth = field.depth_mm(CENTRE + RADIUS_MM * d)
    assert np.abs(depth[d[:, 0] > 0.97]).max() < 0.45
    assert np.abs(depth[d[:, 0] < 0.5]).mean() < 0.1


def test_a_large_bone_is_fitted_in_parts_with_the_same_result(monkeypatch):
    d = directions(300)
    ct, points = ball_ct(1.2), CENTRE + RADIUS_MM * d
    whole = cortical_edge(ct, points, d)
    monkeypatch.setattr("MSKFusionLib.segmentation.cortical_edge._CHUNK", 70)
    parts = cortical_edge(ct, points, d)
    assert np.allclose(parts.shift_mm, whole.shift_mm, atol=1e-4)
    with pytest.raises(InputError, match="no surface"):
        cortical_edge(ct, points[:0], d[:0])
