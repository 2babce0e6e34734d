"""What is exported is sliced by PrusaSlicer as it is: nothing to mend, no warning, the size and volume that we say."""

import numpy as np
import pytest
from core.guide_shapes import box_mesh, joined, toy_vertebra
from guides import CASES
from prusa_slicer import SLICER, disagreements, look_at, slice_file

from MSKFusionLib.frames import rigid, rotation_about
from MSKPlannerLib.export.mesh_files import write_parts
from MSKPlannerLib.export.parts import FileNotes, Part
from MSKPlannerLib.export.plan_parts import screw_parts
from MSKPlannerLib.mesh import Mesh
from MSKPlannerLib.plan import Plan

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(SLICER is None, reason="PrusaSlicer is not installed: apt-get install prusa-slicer"),
]
NOTES = FileNotes("0123456789abcdef" * 4, ("REJECTED: a guide: <a & b>",))
#: Sizes and volumes must agree to these (issue: guides that fit and print).
SIZE_MM, VOLUME_SHARE = 0.1, 0.005


def bodies(kind):
    if kind in CASES:
        bone, _, design = CASES[kind](3)
        return [Part(f"{kind} guide", "guide", design().mesh)]
    vertebra = toy_vertebra(rigid(rotation_about([1, 2, 3], 70.0), [-120.0, 80.0, -900.0]))
    bone = Part("L3", "bone", vertebra.bone)
    screws = screw_parts(Plan("p", "now", {}, screws=vertebra.screws))
    return {"bone": [bone], "screw": screws[:1], "merged": [bone, *screws]}[kind]


@pytest.mark.parametrize("ending", [".stl", ".3mf"])
@pytest.mark.parametrize("kind", ["drill", "cut", "bone", "screw", "merged"])
def test_the_slicer_takes_it_as_it_is(tmp_path, kind, ending):
    parts = bodies(kind)
    path = tmp_path / f"{kind}{ending}"
    write_parts(parts, path, notes=NOTES)
    seen = look_at(path)
    assert seen.manifold
    assert seen.mended == {}
    # Each screw stands apart from the bone's surface as a body of its own.
    assert seen.parts == len(parts)
    corners = np.concatenate([p.placed.vertices_ras for p in parts])
    size, volume = disagreements(
        seen, np.array([corners.min(0), corners.max(0)]), sum(p.mesh.volume_mm3 for p in parts)
    )
    assert size < SIZE_MM
    assert volume < VOLUME_SHARE
    said, layers = slice_file(path, tmp_path)
    assert said == []
    assert layers > 5


def test_the_slicer_would_say_if_something_were_wrong(tmp_path):
    """The check can fail: a hole, faces turned over and a face without area are seen."""
    box = box_mesh((10, 20, 30), (100, -50, 20))
    broken = {
        "hole": Mesh(box.vertices_ras, box.faces[1:]),
        "inside_out": Mesh(box.vertices_ras, box.faces[:, ::-1]),
        "degenerate": Mesh(box.vertices_ras, np.vstack([box.faces, [[0, 1, 1]]])),
    }
    for name, mesh in broken.items():
        write_parts([Part("a", "guide", mesh)], tmp_path / f"{name}.stl")
        seen = look_at(tmp_path / f"{name}.stl")
        assert seen.mended or not seen.manifold, name
    write_parts([Part("a", "guide", joined(box, box))], tmp_path / "two.stl")
    assert look_at(tmp_path / "two.stl").parts == 2
