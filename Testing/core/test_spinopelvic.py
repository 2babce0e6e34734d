"""Pelvic incidence, slope and tilt of generated pelves, whose endplate and hip centres are known in closed form."""

import json
from dataclasses import replace

import numpy as np
import pytest

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import transform_points, unit
from MSKFusionLib.phantom.pelvis import PelvisOptions, generate_pelvis
from MSKFusionLib.segmentation.files import write_segmentation
from MSKPlannerLib.anatomy.pelvis import sacral_frame
from MSKPlannerLib.anatomy.spinopelvic import find_endplate, measure_pelvis
from MSKPlannerLib.cli.main import main

COARSE_MM = (1.5, 1.5, 2.0)


def endplate_middle(pelvis):
    """Half way between the front and the back edge of the true bone, half a millimetre below the plane of its endplate."""
    top = 0.5 * pelvis.sacrum.heights[0]
    y = np.arange(-30.0, 30.0, 0.02)
    line = np.column_stack([np.zeros_like(y), y, np.full_like(y, top - 0.5)])
    inside = pelvis.bone_depth_mm("S1", transform_points(pelvis.sacrum_to_ras, line)) > 0
    # The bone behind the canal is another run.
    runs = np.split(y, np.flatnonzero(np.diff(inside)) + 1)
    front, back = next((r[-1], r[0]) for r in runs if r[0] <= 0 <= r[-1])
    return transform_points(pelvis.sacrum_to_ras, [0, 0.5 * (front + back), top])


def truth(pelvis):
    """Middle and normal of the endplate, hip centres, and incidence, slope and tilt in degrees."""
    middle = endplate_middle(pelvis)
    normal, right = pelvis.sacrum_to_ras[:3, 2], pelvis.pelvis_to_ras[:3, 0]
    centres = [
        transform_points(pelvis.pelvis_to_ras, s.landmarks["hip_centre"] * [s.side, 1.0, 1.0]) for s in pelvis.hips
    ]
    up = unit(np.array([0, 0, 1.0]) - right[2] * right)
    to_axis = np.mean(centres, axis=0) - middle
    to_axis = unit(to_axis - (to_axis @ right) * right)
    incidence = np.degrees(np.arccos(-to_axis @ normal))
    slope = np.degrees(np.arccos(normal @ up))
    return middle, normal, centres, incidence, slope, incidence - slope


@pytest.fixture(scope="module")
def pelvis():
    return generate_pelvis(PelvisOptions(5, spacing_mm=COARSE_MM))


@pytest.fixture(scope="module")
def labels(pelvis):
    return pelvis.labels()


def check(pelvis, found, turn_deg, shift_mm):
    middle, _, centres, incidence, slope, tilt = truth(pelvis)
    assert found.incidence_deg == pytest.approx(incidence, abs=turn_deg)
    assert found.slope_deg == pytest.approx(slope, abs=turn_deg)
    assert found.tilt_deg == pytest.approx(tilt, abs=turn_deg)
    assert np.linalg.norm(found.endplate.middle_ras - middle) < shift_mm
    for side, centre in zip(("left", "right"), centres, strict=True):
        assert np.linalg.norm(found.hip_centres_ras[side] - centre) < shift_mm
    assert found.doubts == ()


def test_the_endplate_on_coarse_voxels(pelvis, labels):
    found = find_endplate(labels, sacral_frame(labels))
    middle, normal, *_ = truth(pelvis)
    assert np.degrees(np.arccos(found.normal_ras @ normal)) < 0.7
    assert np.linalg.norm(found.middle_ras - middle) < 1.0


@pytest.mark.slow
def test_a_generated_pelvis_on_coarse_voxels_by_the_command(pelvis, labels, tmp_path, capsys):
    path = tmp_path / "bones.seg.nrrd"
    write_segmentation(labels, path)
    assert main(["spine", str(path), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    _, _, _, incidence, slope, tilt = truth(pelvis)
    angles = {a["name"]: a for a in record["angles"]}
    assert angles["Pelvic incidence"]["value_deg"] == pytest.approx(incidence, abs=1.0)
    assert angles["Sacral slope"]["value_deg"] == pytest.approx(slope, abs=1.0)
    assert angles["Pelvic tilt"]["value_deg"] == pytest.approx(tilt, abs=1.0)
    assert "1 mm at the hip axis is 0." in angles["Pelvic incidence"]["words"]
    assert record["pelvis"]["doubts"] == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
def test_generated_pelves(seed):
    pelvis = generate_pelvis(PelvisOptions(seed, spacing_mm=(0.8, 0.8, 1.0) if seed % 2 else (1.0, 1.0, 1.5)))
    check(pelvis, measure_pelvis(pelvis.labels()), 0.5, 1.0)


def test_placed_points_count(pelvis, labels):
    middle, normal, centres, incidence, slope, tilt = truth(pelvis)
    front = np.cross(normal, pelvis.pelvis_to_ras[:3, 0])
    placed = {
        "left hip centre": centres[0],
        "right hip centre": centres[1],
        "endplate front": middle + 16 * front,
        "endplate back": middle - 16 * front,
    }
    found = measure_pelvis(labels, placed)
    assert (found.incidence_deg, found.slope_deg, found.tilt_deg) == pytest.approx((incidence, slope, tilt), abs=0.2)
    with pytest.raises(InputError, match="only one edge"):
        measure_pelvis(labels, {"endplate front": placed["endplate front"]})
    with pytest.raises(InputError, match="the front one behind the other"):
        measure_pelvis(labels, {"endplate front": placed["endplate back"], "endplate back": placed["endplate front"]})
    with pytest.raises(InputError, match=r"'left hip centre' lies \d+ mm"):
        measure_pelvis(labels, {"left hip centre": centres[1]})
    with pytest.raises(InputError, match="no point of the pelvis"):
        measure_pelvis(labels, {"hip": centres[0]})
    with pytest.raises(InputError, match="'left hip centre' lies"):
        measure_pelvis(labels, {"left hip centre": np.full(3, np.nan)})


def test_a_missing_bone_is_said(labels):
    alone = replace(labels, segments=tuple(s for s in labels.segments if s.name != "hip_left"))
    with pytest.raises(GeometryError, match="there is no 'hip_left'"):
        measure_pelvis(alone)


@pytest.mark.slow
def test_a_hip_bone_without_its_joint(labels):
    voxels = np.array(labels.labels.voxels)
    hip = voxels == labels["hip_left"].value
    hip[int(np.quantile(np.argwhere(hip)[:, 0], 0.6)) :] = False
    voxels[hip] = 0
    with pytest.raises(GeometryError, match="shows no hollow of a joint"):
        measure_pelvis(replace(labels, labels=labels.labels.with_voxels(voxels)))


def test_sides_swapped_are_refused(labels):
    other = {"hip_left": "hip_right", "hip_right": "hip_left"}
    swapped = replace(labels, segments=tuple(replace(s, name=other.get(s.name, s.name)) for s in labels.segments))
    with pytest.raises(GeometryError, match="swapped"):
        measure_pelvis(swapped)
