"""Mesh files: what is written is read back at its place, the same bytes every time, whole or not at all."""

import zipfile
from xml.etree import ElementTree

import numpy as np
import pytest
import vtk
from core.guide_shapes import box_mesh, sphere_mesh

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import flip_ras_lps
from MSKPlannerLib.export.mesh_files import read_mesh, write_3mf, write_stl
from MSKPlannerLib.mesh import Mesh

FAR = (412.345678, -703.1234, 1650.98765)


@pytest.mark.parametrize(("write", "ending"), [(write_stl, "stl"), (write_3mf, "3mf")])
def test_round_trip_to_a_thousandth_anywhere(tmp_path, write, ending):
    mesh = sphere_mesh(21.0, FAR)
    write(mesh, tmp_path / f"a.{ending}")
    back = read_mesh(tmp_path / f"a.{ending}")
    assert back.is_closed
    assert len(back.faces) == len(mesh.faces)
    assert np.abs(back.triangles_ras - mesh.triangles_ras).max() < 1e-3
    assert back.volume_mm3 == pytest.approx(mesh.volume_mm3, rel=1e-4)


@pytest.mark.parametrize(("write", "ending"), [(write_stl, "stl"), (write_3mf, "3mf")])
def test_same_mesh_same_bytes(tmp_path, write, ending):
    write(box_mesh(), tmp_path / f"a.{ending}")
    write(box_mesh(), tmp_path / f"b.{ending}")
    assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()


def test_stl_says_lps_and_holds_lps(tmp_path):
    mesh = box_mesh((2, 4, 6), (10, 20, 30))
    write_stl(mesh, tmp_path / "a.stl")
    assert b"SPACE=LPS" in (tmp_path / "a.stl").read_bytes()[:80]
    reader = vtk.vtkSTLReader()
    reader.SetFileName(str(tmp_path / "a.stl"))
    reader.Update()
    assert reader.GetOutput().GetBounds() == pytest.approx((-11, -9, -22, -18, 27, 33))


def test_header_decides_the_frame_on_reading(tmp_path):
    mesh = box_mesh((2, 4, 6), (10, 20, 30))
    write_stl(mesh, tmp_path / "ras.stl", frame="RAS")
    assert read_mesh(tmp_path / "ras.stl").bounds_ras == pytest.approx(mesh.bounds_ras)
    assert read_mesh(tmp_path / "ras.stl", frame="LPS").bounds_ras[0, 0] == pytest.approx(-11)


def test_3mf_is_a_package_in_millimetres(tmp_path):
    write_3mf(box_mesh(), tmp_path / "a.3mf", name='L4 <"&')
    with zipfile.ZipFile(tmp_path / "a.3mf") as package:
        assert package.testzip() is None
        assert package.namelist()[0] == "[Content_Types].xml"
        model = ElementTree.fromstring(package.read("3D/3dmodel.model"))
        ElementTree.fromstring(package.read("_rels/.rels"))
    assert model.get("unit") == "millimeter"
    assert "e" not in "".join(v.get("x") for v in model.iter() if v.tag.endswith("}vertex"))


def test_3mf_units_transforms_and_components_are_obeyed(tmp_path):
    space = 'xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02"'
    corners = "".join(f'<vertex x="{x}" y="{y}" z="{z}"/>' for x, y, z in box_mesh((1, 1, 1)).vertices_ras)
    faces = "".join(f'<triangle v1="{a}" v2="{b}" v3="{c}"/>' for a, b, c in box_mesh().faces)
    model = (
        f'<model unit="centimeter" {space}><resources><object id="1"><mesh><vertices>{corners}</vertices>'
        f'<triangles>{faces}</triangles></mesh></object><object id="2"><components>'
        '<component objectid="1" transform="2 0 0 0 2 0 0 0 2 5 0 0"/></components></object></resources>'
        '<build><item objectid="2" transform="1 0 0 0 1 0 0 0 1 0 7 0"/></build></model>'
    )
    relations = (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship '
        'Target="/m.model" Id="r" Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/></Relationships>'
    )
    with zipfile.ZipFile(tmp_path / "a.3mf", "w") as package:
        package.writestr("_rels/.rels", relations)
        package.writestr("m.model", model)
    mesh = read_mesh(tmp_path / "a.3mf", frame="RAS")
    assert mesh.bounds_ras == pytest.approx(np.array([[40, 60, -10], [60, 80, 10]]))


@pytest.mark.parametrize(
    ("writer", "ending"),
    [
        (vtk.vtkPLYWriter, "ply"),
        (vtk.vtkOBJWriter, "obj"),
        (vtk.vtkPolyDataWriter, "vtk"),
        (vtk.vtkXMLPolyDataWriter, "vtp"),
        (vtk.vtkSTLWriter, "stl"),
    ],
)
def test_files_of_others_are_read(tmp_path, writer, ending):
    mesh = sphere_mesh(8.0, (50, 60, 70), 3)
    w = writer()
    w.SetFileName(str(tmp_path / f"a.{ending}"))
    w.SetInputData(Mesh(flip_ras_lps(mesh.vertices_ras), mesh.faces).to_polydata())
    w.Write()
    back = read_mesh(tmp_path / f"a.{ending}")
    assert back.is_closed
    assert back.bounds_ras == pytest.approx(mesh.bounds_ras, abs=1e-3)


def test_text_stl(tmp_path):
    box = box_mesh((2, 2, 2), (1, 1, 1))
    facets = "".join(
        "facet normal 0 0 0\nouter loop\n" + "".join(f"vertex {x:e} {y} {z}\n" for x, y, z in t) + "endloop\nendfacet\n"
        for t in box.triangles_ras
    )
    (tmp_path / "a.stl").write_text(f"solid part\n{facets}endsolid part\n")
    assert read_mesh(tmp_path / "a.stl", frame="RAS").volume_mm3 == pytest.approx(8.0)


@pytest.mark.parametrize("ending", ["stl", "3mf", "ply", "obj", "vtk"])
@pytest.mark.parametrize("content", [b"", b"solid x\nfacet", b"nonsense" * 40])
def test_broken_files_are_refused_in_words(tmp_path, ending, content, capfd):
    path = tmp_path / f"broken.{ending}"
    path.write_bytes(content)
    with pytest.raises(InputError, match="broken"):
        read_mesh(path)


def test_a_file_cut_short_is_refused(tmp_path):
    for write, name in ((write_stl, "a.stl"), (write_3mf, "a.3mf")):
        write(sphere_mesh(), tmp_path / name)
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) * 2 // 3])
        with pytest.raises(InputError, match="cut short"):
            read_mesh(tmp_path / name)


def test_missing_and_unknown_files(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_mesh(tmp_path / "a.stl")
    with pytest.raises(InputError, match="not a mesh format"):
        read_mesh(tmp_path / "a.docx")


def test_nothing_half_written(tmp_path):
    old = tmp_path / "a.stl"
    write_stl(box_mesh(), old)
    before = old.read_bytes()
    nan = Mesh(np.full((8, 3), np.nan), box_mesh().faces)
    for bad in (nan, Mesh(np.empty((0, 3)), np.empty((0, 3)))):
        with pytest.raises(InputError):
            write_stl(bad, old)
        with pytest.raises(InputError):
            write_3mf(bad, tmp_path / "a.3mf")
    with pytest.raises(InputError, match="cannot be written"):
        write_stl(box_mesh(), tmp_path / "missing" / "a.stl")
    assert old.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.stl"]
