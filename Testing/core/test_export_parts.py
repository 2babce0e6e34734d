"""Parts in files: every format holds the same bodies at the same place, names, colours, the plan's hash, the same bytes."""

import zipfile

import numpy as np
import pytest
import vtk
from core.guide_shapes import box_mesh, sphere_mesh

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import rigid, rotation_about
from MSKPlannerLib.export.mesh_files import WRITABLE, read_mesh, write_parts
from MSKPlannerLib.export.parts import FileNotes, Part
from MSKPlannerLib.export.plan_parts import fragment_parts

TURN = rigid(rotation_about([0, 0, 1], 90.0), [100.0, 0.0, 0.0])
PARTS = (
    Part("L4 guide", "guide", sphere_mesh(8.0, (10, 20, 30)), (0.0, 0.5, 1.0)),
    Part('L4 <left> & "co"', "screw", box_mesh((2, 4, 6), (40, 0, 1e-5)), (1.0, 0.0, 0.0)),
    Part("fragment 1", "fragment", box_mesh((2, 4, 6), (10, 0, 0)), (0.2, 0.4, 0.6), TURN),
)
NOTES = FileNotes("0123456789abcdef" * 4, ("OUT OF DATE: L4 guide: screw L4 left was moved by 0.50 mm",))
#: The bodies' volumes and boxes in RAS, from their construction; the fragment is turned onto (100, 10, 0).
BOXES = ([[2, 12, 22], [18, 28, 38]], [[39, -2, -3], [41, 2, 3]], [[98, 9, -3], [102, 11, 3]])


@pytest.mark.parametrize("frame", ["LPS", "RAS"])
@pytest.mark.parametrize("ending", WRITABLE)
def test_bodies_lie_where_they_should_in_every_format(tmp_path, ending, frame):
    for part, box in zip(PARTS, BOXES, strict=True):
        write_parts([part], tmp_path / f"a{ending}", frame=frame, notes=NOTES)
        back = read_mesh(tmp_path / f"a{ending}")
        assert back.is_closed
        assert back.volume_mm3 == pytest.approx(part.mesh.volume_mm3, rel=1e-5)
        assert back.bounds_ras == pytest.approx(np.array(box, dtype=float), abs=1e-4)
    write_parts(PARTS, tmp_path / f"all{ending}", frame=frame)
    whole = read_mesh(tmp_path / f"all{ending}")
    assert whole.volume_mm3 == pytest.approx(sum(p.mesh.volume_mm3 for p in PARTS), rel=1e-5)


@pytest.mark.parametrize("ending", WRITABLE)
def test_the_same_parts_give_the_same_bytes_and_another_hash_others(tmp_path, ending):
    for name, notes in (("a", NOTES), ("b", NOTES), ("c", FileNotes("f" * 64))):
        (tmp_path / name).mkdir()
        write_parts(PARTS, tmp_path / name / f"x{ending}", notes=notes)
    files = [(tmp_path / name / f"x{ending}").read_bytes() for name in "abc"]
    assert files[0] == files[1] != files[2]


@pytest.mark.parametrize("ending", WRITABLE)
def test_what_is_out_of_date_says_so(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    write_parts(PARTS[:1], path, notes=NOTES)
    content = path.read_bytes() if ending != ".3mf" else zipfile.ZipFile(path).read("3D/3dmodel.model")
    head = content[: 80 if ending == ".stl" else 1500]
    assert b"OUT OF DATE" in head
    assert b"SPACE=LPS" in head
    if ending != ".stl":
        assert NOTES.plan_sha256.encode() in head


def test_other_readers_see_the_same_surface_and_colours(tmp_path):
    import trimesh

    write_parts(PARTS, tmp_path / "a.ply", frame="RAS")
    write_parts(PARTS, tmp_path / "a.obj", frame="RAS")
    total = sum(p.mesh.volume_mm3 for p in PARTS)
    loaded = trimesh.load(tmp_path / "a.ply", process=False)
    assert loaded.volume == pytest.approx(total, rel=1e-5)
    assert loaded.visual.vertex_colors[0].tolist() == [0, 128, 255, 255]
    assert loaded.visual.vertex_colors[-1].tolist() == [51, 102, 153, 255]
    scene = trimesh.load_scene(tmp_path / "a.obj", process=False)
    assert sum(g.volume for g in scene.geometry.values()) == pytest.approx(total, rel=1e-5)
    assert "Kd 0.200000 0.400000 0.600000" in (tmp_path / "a.mtl").read_text()
    reader = vtk.vtkPLYReader()
    reader.SetFileName(str(tmp_path / "a.ply"))
    reader.Update()
    assert reader.GetOutput().GetNumberOfPolys() == sum(len(p.mesh.faces) for p in PARTS)
    assert reader.GetOutput().GetPointData().GetScalars().GetTuple3(0) == (0, 128, 255)


def test_3mf_is_read_by_the_consortiums_own_library_without_a_warning(tmp_path):
    lib3mf = pytest.importorskip("lib3mf", reason="pip install lib3mf")
    write_parts(PARTS, tmp_path / "a.3mf", notes=NOTES)
    wrapper = lib3mf.get_wrapper() if hasattr(lib3mf, "get_wrapper") else lib3mf.Wrapper()
    model = wrapper.CreateModel()
    reader = model.QueryReader("3mf")
    reader.SetStrictModeActive(True)
    reader.ReadFromFile(str(tmp_path / "a.3mf"))
    assert reader.GetWarningCount() == 0
    metadata = model.GetMetaDataGroup()
    found = {
        metadata.GetMetaData(n).GetName(): metadata.GetMetaData(n).GetValue()
        for n in range(metadata.GetMetaDataCount())
    }
    assert found["PlanSHA256"] == NOTES.plan_sha256
    assert "OUT OF DATE" in found["Warning"]
    items, objects = model.GetBuildItems(), []
    while items.MoveNext():
        objects.append(items.GetCurrent().GetObjectResource())
    assert [o.GetName() for o in objects] == [p.name for p in PARTS]
    for thing, part in zip(objects, PARTS, strict=True):
        assert thing.IsManifoldAndOriented()
        assert thing.GetTriangleCount() == len(part.mesh.faces)
        group = model.GetBaseMaterialGroupByID(thing.GetObjectLevelProperty()[0])
        colour = group.GetDisplayColor(thing.GetObjectLevelProperty()[1])
        assert [colour.Red, colour.Green, colour.Blue] == [round(255 * c) for c in part.colour]


def test_fragments_are_exported_where_they_are_planned():
    parts = fragment_parts([box_mesh(), box_mesh()], [None, TURN], "tibia")
    assert [p.name for p in parts] == ["tibia 1", "tibia 2"]
    assert parts[1].placed.bounds_ras.mean(axis=0) == pytest.approx([100, 0, 0])
    with pytest.raises(InputError, match="2 fragments and 1 motions"):
        fragment_parts([box_mesh(), box_mesh()], [None])


def test_what_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(InputError, match="nothing to write"):
        write_parts([], tmp_path / "a.stl")
    with pytest.raises(InputError, match="not a format"):
        write_parts(PARTS, tmp_path / "a.docx")
    with pytest.raises(InputError, match="neither LPS nor RAS"):
        write_parts(PARTS, tmp_path / "a.ply", frame="LAS")
    with pytest.raises(InputError, match="no kind"):
        Part("x", "hat", box_mesh())
    assert list(tmp_path.iterdir()) == []
