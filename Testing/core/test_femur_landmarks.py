"""Landmarks found on a generated femur, in any pose, on both sides, with noise; and what a part of one cannot show."""

import os
from pathlib import Path

import numpy as np
import pytest
import vtk
from core.femur_shapes import HEAD, HEAD_RADIUS, LATERAL, MEDIAL, NECK_ROOT, femur_mesh
from core.guide_shapes import box_mesh

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import invert_rigid, rigid, rotation_about, transform_points
from MSKPlannerLib.anatomy.femur import find_femur_points
from MSKPlannerLib.mesh import Mesh, merge_vertices

DATA = Path(os.environ.get("MSK_TEST_DATA", Path(__file__).resolve().parents[3] / "shared/data")) / "meshes/knee_pymskt"
#: Middle between the walls of the notch at half its depth (12 mm above the lowest points), from the circles of the
#: condyles where they come nearest to each other, at the back.
NOTCH_X = 0.5 * ((-24 + np.sqrt(20**2 - 7**2)) + (24 - np.sqrt(19**2 - 8**2)))
#: Both circles' centre line rises by 1 mm over 48, and so does the difference of their radii.
TILT_DEG = 2 * np.degrees(np.arcsin(1 / 48))


@pytest.fixture(scope="module")
def femora():
    right = femur_mesh()
    return {"right": right, "left": right.transformed(np.diag([-1.0, 1, 1, 1]))}


def errors(femora, side, noise_mm, seed):
    rng = np.random.default_rng(seed)
    pose = rigid(rotation_about(rng.normal(size=3), rng.uniform(-180, 180)), rng.uniform(-300, 300, 3))
    noisy = femora[side].vertices_ras + rng.normal(0, noise_mm, femora[side].vertices_ras.shape)
    found = find_femur_points(Mesh(noisy, femora[side].faces).transformed(pose))
    assert found.not_found == ()
    assert found.side == side
    inverse, mirror = invert_rigid(pose), np.array([1.0 if side == "right" else -1.0, 1, 1])

    def local(points):
        return transform_points(inverse, points) * mirror

    neck = (NECK_ROOT - HEAD) / np.linalg.norm(NECK_ROOT - HEAD)
    off = local(found.neck_centre) - HEAD
    knee, hip = local(found.femoral_knee_centre), local(found.head.centre_ras)
    distal, posterior = (np.diff(local(p), axis=0)[0] for p in (found.distal_condyles, found.posterior_condyles))
    true_axis = np.degrees(np.arctan2(HEAD[0] - NOTCH_X, HEAD[2] - 8))
    return {
        "head mm": np.linalg.norm(hip - HEAD),
        "radius mm": abs(found.head.radius_mm - HEAD_RADIUS),
        "neck mm": np.linalg.norm(off - off @ neck * neck),
        "knee mm": abs(knee[0] - NOTCH_X),
        "axis deg": abs(np.degrees(np.arctan2((hip - knee)[0], (hip - knee)[2])) - true_axis),
        "joint line deg": abs(np.degrees(np.arctan2(distal[2], distal[0])) - TILT_DEG),
        "back deg": abs(np.degrees(np.arctan2(posterior[1], posterior[0])) - TILT_DEG),
        "medial mm": np.linalg.norm(local(found.posterior_condyles)[0][:2] - (MEDIAL[:2] - [0, 20])),
        "lateral mm": np.linalg.norm(local(found.posterior_condyles)[1][:2] - (LATERAL[:2] - [0, 19])),
    }


BARS = {"head mm": 1, "radius mm": 0.6, "neck mm": 1, "knee mm": 1, "axis deg": 0.3, "joint line deg": 1, "back deg": 1}


@pytest.mark.parametrize(("side", "noise_mm", "seed"), [("right", 0.0, 1), ("left", 0.5, 2), ("left", 1.0, 3)])
def test_a_femur_in_any_pose(femora, side, noise_mm, seed):
    found = errors(femora, side, noise_mm, seed)
    for name, bar in BARS.items():
        assert found[name] <= bar, name
    if noise_mm == 0:
        assert found["head mm"] < 0.05
        assert found["neck mm"] < 0.05
        # The circles touch their tangent a little beside their lowest points.
        assert max(found["medial mm"], found["lateral mm"]) < 2.5


@pytest.mark.slow
def test_many_femora(femora):
    found = [errors(femora, ("left", "right")[n % 2], (0.0, 0.5, 1.0)[n % 3], 100 + n) for n in range(48)]
    for name, bar in BARS.items():
        values = [f[name] for f in found]
        print(f"{name}: median {np.median(values):.2f}, greatest {max(values):.2f}")
        assert max(values) <= bar, name


def test_the_lower_half_of_a_femur_has_no_head(femora):
    half = femur_mesh(3.0, top=190.0)
    with pytest.raises(GeometryError, match="no femoral head can be told"):
        find_femur_points(half)
    found = find_femur_points(half, up_ras=[0.05, 0, 1])
    assert found.head is None
    assert found.side is None
    assert "hip centre" in found.not_found[0]
    assert np.ptp(found.posterior_condyles[:, 0]) == pytest.approx(48, abs=3)


def test_what_is_no_femur_is_said():
    with pytest.raises(GeometryError, match="shorter than 150 mm"):
        find_femur_points(femur_mesh(4.0, top=60.0))
    with pytest.raises(InputError, match="hardly any triangles"):
        find_femur_points(box_mesh())


@pytest.mark.realdata
@pytest.mark.skipif(not DATA.is_dir(), reason="needs MSK_TEST_DATA or ../shared/data")
@pytest.mark.parametrize("name", ["1_RIGHT_femur_Nov_02_2021", "2_RIGHT_femur_Nov_02_2021", "femur_mesh_10k_pts"])
def test_real_distal_femora(name):
    """Their long axis runs along z; no head is in view."""
    reader = vtk.vtkPolyDataReader()
    reader.SetFileName(str(DATA / f"{name}.vtk"))
    reader.Update()
    bone = merge_vertices(Mesh.from_polydata(reader.GetOutput()))
    with pytest.raises(GeometryError, match="shorter than 150 mm"):
        find_femur_points(bone)
    found = find_femur_points(bone, up_ras=[0, 0, 1])
    assert found.side is None
    # Condyles of grown-ups touch a plane 40 to 60 mm apart, and the notch lies between them.
    for pair in (found.distal_condyles, found.posterior_condyles):
        assert 40 < np.linalg.norm(pair[0] - pair[1]) < 62
    along = found.posterior_condyles[1] - found.posterior_condyles[0]
    share = (found.femoral_knee_centre - found.posterior_condyles[0]) @ along / (along @ along)
    assert 0.3 < share < 0.7
