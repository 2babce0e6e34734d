"""A bone bent and shifted by a known motion is brought back by its mirrored healthy side; what fixes nothing is said."""

import json

import numpy as np
import pytest
from core.femur_shapes import femur_mesh
from core.guide_shapes import bar, box_mesh

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import (
    invert_rigid,
    rigid,
    rigid_about,
    rotation_about,
    rotation_angle_deg,
    transform_points,
)
from MSKPlannerLib.cli.main import main
from MSKPlannerLib.export.mesh_files import read_mesh, write_stl
from MSKPlannerLib.guides.field import Grid
from MSKPlannerLib.mesh import Mesh
from MSKPlannerLib.osteotomy.healthy_side import compare_with_healthy
from MSKPlannerLib.plan_file import read_plan

LEVEL = np.array([1.0, 3.0, 170.0])
KNEE = np.zeros(3)


@pytest.fixture(scope="module")
def femora():
    """The same bone in two meshes, so that no corner of one lies on a corner of the other."""
    return femur_mesh(2.5), femur_mesh(3.1)


def any_pose(rng):
    return rigid(rotation_about(rng.normal(size=3), rng.uniform(-180, 180)), rng.uniform(-200, 200, 3))


def deformed(mesh, motion, noise_mm, rng):
    """The part below the level moved; the triangles between both parts stretch, as callus bridges a malunion."""
    v = mesh.vertices_ras + rng.normal(0, noise_mm, mesh.vertices_ras.shape)
    low = v[:, 2] < LEVEL[2]
    v[low] = transform_points(motion, v[low])
    return Mesh(v, mesh.faces)


def case(femora, seed, noise_mm):
    rng = np.random.default_rng(seed)
    motion = rigid_about(LEVEL, rotation_about(rng.normal(size=3), rng.uniform(5, 25)), rng.uniform(-6, 6, 3))
    pose, other = any_pose(rng), any_pose(rng)
    bone = deformed(femora[0], motion, noise_mm, rng).transformed(pose)
    noisy = femora[1].vertices_ras + rng.normal(0, noise_mm, femora[1].vertices_ras.shape)
    healthy = Mesh(noisy, femora[1].faces).transformed(np.diag([-1.0, 1, 1, 1])).transformed(other)
    level, knee = transform_points(pose, LEVEL), transform_points(pose @ motion, KNEE)
    return bone, healthy, level, knee, pose @ invert_rigid(motion) @ invert_rigid(pose)


def misses(femora, seed, noise_mm):
    bone, healthy, level, knee, truth = case(femora, seed, noise_mm)
    found = compare_with_healthy(bone, healthy, level, knee, "right")
    assert found.accepted, found.reasons
    assert found.screw.matrix_ras == pytest.approx(found.motion_ras, abs=1e-6)
    turn = rotation_angle_deg(found.motion_ras @ invert_rigid(truth))
    return turn, float(np.linalg.norm(transform_points(found.motion_ras, knee) - transform_points(truth, knee))), found


@pytest.mark.parametrize(("seed", "noise_mm"), [(1, 0.0), (2, 0.5)])
def test_the_correction_undoes_the_deformity(femora, seed, noise_mm):
    turn, mm, found = misses(femora, seed, noise_mm)
    assert turn < (0.05 if noise_mm == 0 else 0.4)
    assert mm < (0.1 if noise_mm == 0 else 0.7)
    assert found.staying.rotation_sd_deg.max() < 0.3


@pytest.mark.slow
def test_many_deformities(femora):
    found = [misses(femora, 50 + n, (0.0, 0.5, 1.0)[n % 3])[:2] for n in range(30)]
    for noise in range(3):
        turns, mms = np.array(found[noise::3]).T
        print(f"noise {noise / 2}: turn median {np.median(turns):.2f}, greatest {turns.max():.2f} degrees; ", end="")
        print(f"knee median {np.median(mms):.2f}, greatest {mms.max():.2f} mm")
    assert max(t for t, _ in found) < 0.8
    assert max(m for _, m in found) < 1.2


def rod(spacing_mm=3.0):
    """A round shaft: nothing tells how it is turned about itself."""
    low, high = np.array([-20.0, -20, -10]), np.array([20.0, 20, 310])
    count = tuple(int(n) for n in np.ceil((high - low) / spacing_mm) + 1)
    grid = Grid(rigid(translation=low), spacing_mm, count)
    return grid.surface(bar(grid.points_ras(), [0, 0, 10], [0, 0, 290], 12, 12, [1, 0, 0]).reshape(count))


def test_a_round_shaft_does_not_fix_the_turn():
    shaft = rod()
    rng = np.random.default_rng(0)
    noisy = Mesh(shaft.vertices_ras + rng.normal(0, 0.5, shaft.vertices_ras.shape), shaft.faces)
    found = compare_with_healthy(noisy, shaft, [0, 0, 150.0], [0, 0, 10.0], "left")
    assert not found.accepted
    assert "does not fix the turn about its axis" in " ".join(found.reasons)


def test_another_bone_and_wrong_levels_are_said(femora):
    bone, healthy, level, knee, _ = case(femora, 3, 0.0)
    found = compare_with_healthy(bone, rod(), level, knee, "right")
    assert not found.accepted
    assert "is it the same bone" in " ".join(found.reasons)
    same_side = compare_with_healthy(bone, healthy.transformed(np.diag([-1.0, 1, 1, 1])), level, knee, "right")
    assert not same_side.accepted
    assert "its other side" in " ".join(same_side.reasons)
    with pytest.raises(GeometryError, match="too little of the part that moves is in view"):
        compare_with_healthy(bone, healthy, level + 1.3 * (knee - level), knee + 2 * (knee - level), "right")
    with pytest.raises(GeometryError, match="lies beside the level"):
        compare_with_healthy(bone, healthy, level, level, "right")
    with pytest.raises(InputError, match="hardly any triangles"):
        compare_with_healthy(bone, box_mesh(), level, knee, "right")


def test_the_command(femora, tmp_path, capsys):
    bone, healthy, level, knee, truth = case(femora, 4, 0.0)
    write_stl(bone, tmp_path / "bone.stl")
    write_stl(healthy, tmp_path / "healthy.stl")
    call = [
        "mirror",
        "--bone",
        str(tmp_path / "bone.stl"),
        "--healthy",
        str(tmp_path / "healthy.stl"),
        "--side",
        "right",
    ]
    call += [f"--level={','.join(map(str, level))}", f"--moves={','.join(map(str, knee))}"]
    assert main([*call, "--json", "--out", str(tmp_path / "out")]) == 0
    record = json.loads(capsys.readouterr().out)
    motion = np.array(record["motion_ras"])
    assert rotation_angle_deg(motion @ invert_rigid(truth)) < 0.05
    assert record["single_cut"]["obliquity_deg"] > 0
    (stays,), (moves,), (after,) = (
        [read_mesh(f) for f in (tmp_path / "out").glob(f"part_?_{n}.stl")] for n in ("stays", "moves", "corrected")
    )
    assert stays.is_closed
    assert moves.is_closed
    assert (tmp_path / "out/mirror.html").read_text().count("<svg") == 4
    # The plan's cut turns as the correction does, and leaves out what a single cut cannot mend: the shift across it.
    cut = read_plan(tmp_path / "out").osteotomies[0]
    planned, normal = np.array(cut.fragments[1].image_to_planned_ras), np.array(cut.planes[0].normal_ras)
    left = motion @ invert_rigid(planned)
    assert left[:3, :3] == pytest.approx(np.eye(3), abs=1e-9)
    assert left[:3, 3] == pytest.approx(record["single_cut"]["gap_mm"] * normal, abs=1e-6)
    assert read_mesh(tmp_path / "out" / cut.fragments[1].file).volume_mm3 == pytest.approx(
        cut.fragments[1].volume_mm3, rel=1e-4
    )
    # The corrected part lies on the mirrored healthy bone.
    shown = read_mesh(tmp_path / "out/healthy_mirrored.stl")
    assert after.bounds_ras == pytest.approx(moves.transformed(motion).bounds_ras, abs=1e-3)
    assert np.abs(shown.volume_mm3 / bone.volume_mm3 - 1) < 0.05
    assert main([*call[:-2], "--level=here", "--moves=0,0,0", "--out", str(tmp_path / "no")]) == 2
    assert "'here' is not a RAS point" in capsys.readouterr().err
