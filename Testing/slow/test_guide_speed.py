"""The time of a drill guide goes with its contact, not with the triangles of its bone."""

import time
from dataclasses import replace

import pytest
from core.guide_shapes import toy_vertebra

from MSKPlannerLib.guides.checks import failed
from MSKPlannerLib.guides.drill_guide import design_drill_guide
from MSKPlannerLib.mesh import Mesh

pytestmark = pytest.mark.slow


def test_a_bone_of_sixteen_times_the_triangles_takes_little_longer():
    """CPU seconds of one process, the finer bone after the coarser one: the same shape, each triangle in sixteen."""
    import trimesh

    v = toy_vertebra(spacing_mm=0.92)
    points, faces = v.bone.vertices_ras, v.bone.faces
    seconds, volumes = [], []
    for times in (0, 2):
        for _ in range(times):
            points, faces = trimesh.remesh.subdivide(points, faces)
        bone = replace(v, bone=Mesh(points, faces)).bone
        started = time.process_time()
        guide = design_drill_guide(bone, v.frame, v.screws)
        seconds.append(time.process_time() - started)
        volumes.append(guide.mesh.volume_mm3)
        assert not failed(guide.checks)
    assert len(faces) > 600_000
    assert seconds[1] < 3 * seconds[0]
    assert volumes[1] == pytest.approx(volumes[0], rel=1e-3)
