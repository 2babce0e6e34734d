"""Landmarks found on a generated tibia, in any pose, on both sides, with noise; and what a part of one cannot show."""

import os
from pathlib import Path

import numpy as np
import pytest
import vtk
from core.guide_shapes import box_mesh
from core.tibia_shapes import TibiaShape, fibula_mesh, talus_mesh, tibia_mesh

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import invert_rigid, rigid, rotation_about, transform_points
from MSKPlannerLib.anatomy.tibia import find_tibia_points
from MSKPlannerLib.mesh import Mesh, merge_vertices

DATA = Path(os.environ.get("MSK_TEST_DATA", Path(__file__).resolve().parents[3] / "shared/data")) / "meshes/knee_pymskt"
BARS = {
    "knee mm": 1, "ankle mm": 1, "malleolus mm": 1, "lateral malleolus mm": 1, "axis deg": 0.2, "mpta deg": 0.5,
    "slope deg": 0.8, "back deg": 1.5, "torsion deg": 1.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def bones():
    return {shape: (tibia_mesh(shape), fibula_mesh(shape), talus_mesh(shape)) for shape in (TibiaShape(),)}


def errors(bones, shape, side, noise_mm, seed, with_fibula=False):
    rng = np.random.default_rng(seed)
    pose = rigid(rotation_about(rng.normal(size=3), rng.uniform(-180, 180)), rng.uniform(-300, 300, 3))
    mirror = np.diag([1.0 if side == "right" else -1.0, 1, 1, 1])

    def placed(mesh):
        noisy = Mesh(mesh.vertices_ras + rng.normal(0, noise_mm, mesh.vertices_ras.shape), mesh.faces)
        return noisy.transformed(mirror).transformed(pose)

    tibia, fibula, _ = bones
    found = find_tibia_points(placed(tibia), fibula=placed(fibula) if with_fibula else None)
    assert found.not_found == ()
    assert found.side == side

    def local(points):
        return transform_points(invert_rigid(pose), points) * np.diag(mirror)[:3]

    knee, ankle = local(found.knee_centre), local(found.ankle_centre)
    joint, rims = local(found.joint_surfaces), local(found.front_rims)[0] - local(found.back_rims)[0]
    back = np.diff(local(found.posterior_condyles), axis=0)[0]
    malleoli = local(found.lateral_malleolus) - local(found.medial_malleolus)
    truth = shape.knee_centre - shape.ankle_centre
    axis = knee - ankle
    line = joint[1] - joint[0]
    return {
        "knee mm": np.linalg.norm(knee - shape.knee_centre),
        "ankle mm": np.linalg.norm(ankle - shape.ankle_centre),
        "malleolus mm": np.linalg.norm((local(found.medial_malleolus) - shape.medial_malleolus)[:2]),
        "lateral malleolus mm": np.linalg.norm((local(found.lateral_malleolus) - shape.lateral_malleolus)[:2]) if with_fibula else 0,
        "axis deg": np.degrees(np.linalg.norm(np.cross(axis, truth)) / np.linalg.norm(axis) / np.linalg.norm(truth)),
        "mpta deg": abs(90 - np.degrees(np.arctan2(line[2], line[0])) - shape.mpta_deg),
        "slope deg": abs(np.degrees(np.arctan2(rims[2], rims[1])) - shape.slope_deg),
        "back deg": abs(np.degrees(np.arctan2(back[1], back[0]))),
        "torsion deg": abs(np.degrees(np.arctan2(-malleoli[1], malleoli[0])) - shape.torsion_deg),
    }  # fmt: skip


@pytest.mark.parametrize(("side", "noise_mm", "seed"), [("right", 0.0, 1), ("left", 1.0, 3)])
def test_a_tibia_in_any_pose(bones, side, noise_mm, seed):
    for shape, meshes in bones.items():
        found = errors(meshes, shape, side, noise_mm, seed, with_fibula=seed == 1)
        for name, bar in BARS.items():
            assert found[name] <= bar, (name, found[name])


@pytest.mark.slow
def test_many_tibiae():
    rng, found = np.random.default_rng(5), []
    for n in range(48):
        shape = TibiaShape(
            rng.uniform(80, 94), rng.uniform(0, 14), rng.uniform(0, 45), rng.uniform(300, 400), rng.uniform(-4, 4)
        )
        meshes = tibia_mesh(shape), fibula_mesh(shape), None
        found.append(errors(meshes, shape, ("left", "right")[n % 2], (0.0, 0.5, 1.0)[n % 3], n, with_fibula=n % 4 < 2))
    for name, bar in BARS.items():
        values = [f[name] for f in found]
        print(f"{name}: median {np.median(values):.2f}, greatest {max(values):.2f}")
        assert max(values) <= bar, name


def test_with_a_talus_the_ankle_centre_is_the_middle_of_its_dome(bones):
    ((shape, (tibia, fibula, talus)),) = bones.items()
    found = find_tibia_points(tibia, fibula=fibula, talus=talus)
    assert np.linalg.norm((found.ankle_centre - shape.ankle_centre)[:2]) < 1
    assert found.ankle_centre[2] == pytest.approx(shape.ankle_centre[2] - 3, abs=1)
    assert found.notes == ()
    with pytest.raises(GeometryError, match="talus does not lie under the tibia"):
        find_tibia_points(tibia, talus=talus.transformed(rigid(translation=[0, 0, 200])))


def test_the_upper_part_shows_the_knee_and_says_what_is_missing(bones):
    ((shape, _),) = bones.items()
    part = tibia_mesh(shape, bottom=-90.0)
    with pytest.raises(GeometryError, match=r"its axis cannot be told\. Give the direction"):
        find_tibia_points(part)
    found = find_tibia_points(part, up_ras=[0.03, -0.02, 1])
    assert found.side is None
    assert found.ankle_centre is None
    assert "cut off" in found.not_found[0]
    assert np.linalg.norm(found.knee_centre - shape.knee_centre) < 1
    left = find_tibia_points(part, up_ras=[0, 0, 1], side="left")
    right = find_tibia_points(part, up_ras=[0, 0, 1], side="right")
    assert left.edges == pytest.approx(right.edges[::-1])


def test_the_lower_part_shows_the_ankle(bones):
    ((shape, _),) = bones.items()
    found = find_tibia_points(tibia_mesh(shape, top=-200.0))
    assert found.knee_centre is None
    assert np.linalg.norm(found.ankle_centre - shape.ankle_centre) < 1
    assert np.linalg.norm((found.medial_malleolus - shape.medial_malleolus)[:2]) < 1.5
    assert "knee centre" in found.not_found[0]


def test_a_shaft_alone_and_wrong_bones_are_said(bones):
    ((shape, (tibia, _, _)),) = bones.items()
    with pytest.raises(GeometryError, match="neither end of a tibia is seen"):
        find_tibia_points(tibia_mesh(shape, bottom=-300.0, top=-100.0))
    with pytest.raises(GeometryError, match="this is a right tibia, not a left one"):
        find_tibia_points(tibia, side="left")
    with pytest.raises(InputError, match="hardly any triangles"):
        find_tibia_points(box_mesh())
    with pytest.raises(InputError, match="Say 'left' or 'right'"):
        find_tibia_points(tibia, side="L")


@pytest.mark.realdata
@pytest.mark.skipif(not DATA.is_dir(), reason="needs MSK_TEST_DATA or ../shared/data")
def test_a_real_upper_tibia():
    """Its file is LPS; only the upper 8 cm are in view."""
    reader = vtk.vtkPolyDataReader()
    reader.SetFileName(str(DATA / "tibia_smoothed_image_10k_pts_thick_regions.vtk"))
    reader.Update()
    bone = merge_vertices(Mesh.from_polydata(reader.GetOutput())).transformed(np.diag([-1.0, -1, 1, 1]))
    found = find_tibia_points(bone, up_ras=[0, 0, 1], side="right")
    assert found.ankle_centre is None
    # Seen in the picture: the middle between the spines, the plateau's width, and both joint surfaces 10 mm below.
    width = np.linalg.norm(np.diff(found.edges, axis=0))
    assert 70 < width < 90
    share = (found.knee_centre - found.edges[0])[0] / np.diff(found.edges[:, 0])[0]
    assert 0.42 < share < 0.55
    assert 6 < found.knee_centre[2] - found.joint_surfaces[:, 2].mean() < 14
    assert found.front_rims[0][1] - found.back_rims[0][1] > 35
