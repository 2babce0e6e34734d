"""`mskplanner limb` on bones whose measures are known: tables, files and pictures; and what it refuses."""

import json

import numpy as np
import pytest
import vtk
from core.femur_shapes import femur_mesh
from core.leg_shapes import LegShape
from core.tibia_shapes import fibula_mesh, tibia_mesh
from vtk.util.numpy_support import vtk_to_numpy

from MSKFusionLib.frames import flip_ras_lps
from MSKFusionLib.segmentation import Segment, Segmentation
from MSKFusionLib.segmentation.files import write_segmentation
from MSKFusionLib.volume import Modality, Volume
from MSKPlannerLib.anatomy.limb_alignment import align
from MSKPlannerLib.cli.main import main
from MSKPlannerLib.export.mesh_files import read_mesh, write_stl
from MSKPlannerLib.guides.recipe import is_current
from MSKPlannerLib.plan_file import read_plan

SHAPE = LegShape(valgus_deg=-4.0)


@pytest.fixture(scope="module")
def bones(tmp_path_factory):
    folder = tmp_path_factory.mktemp("leg")
    under = SHAPE.tibia_to_leg
    write_stl(femur_mesh(3.0), folder / "femur.stl")
    write_stl(tibia_mesh(SHAPE.tibia).transformed(under), folder / "tibia.stl")
    write_stl(fibula_mesh(SHAPE.tibia).transformed(under), folder / "fibula.stl")
    write_stl(tibia_mesh(SHAPE.tibia, bottom=-80.0).transformed(under), folder / "upper_tibia.stl")
    points = [("Ankle centre", SHAPE.landmarks.ankle_centre + [0, 7.0, 0])]
    (folder / "placed.mrk.json").write_text(_markups(points))
    (folder / "unknown.mrk.json").write_text(_markups([("Elbow", np.zeros(3))]))
    return folder


def _markups(points):
    controls = [
        {"label": n, "position": list(map(float, flip_ras_lps(p))), "positionStatus": "defined"} for n, p in points
    ]
    return json.dumps({"markups": [{"type": "Fiducial", "coordinateSystem": "LPS", "controlPoints": controls}]})


def test_a_leg_is_measured_and_corrected(mskplanner, bones, tmp_path, capsys):
    out = tmp_path / "plan"
    run = mskplanner(
        "limb", "--femur", bones / "femur.stl", "--tibia", bones / "tibia.stl", "--fibula", bones / "fibula.stl",
        "--target", "fujisawa:62", "--out", out,
    )  # fmt: skip
    assert run.status == 0, run.err
    assert "below the usual range: varus" in run.out
    assert "Opening wedge of the tibia from the medial side" in run.out
    record = json.loads((out / "limb.json").read_text())
    values = {m["name"]: m["value"] for m in record["measures"]}
    truth = align(SHAPE.landmarks)
    assert values["hka_deg"] == pytest.approx(truth.hka_deg, abs=0.3)
    assert all(m["definition"] and m["source"] and m["per_mm"] for m in record["measures"])
    plan = record["correction"]
    assert plan["verdict"] == "accepted"
    assert plan["measured_again"]["weight_bearing_share"] == pytest.approx(0.62, abs=1e-6)
    assert plan["gap_mm"] > 5
    parts = [read_mesh(out / f"tibia_{n}.stl") for n in ("staying", "moved_before", "moved_after")]
    assert all(p.is_closed for p in parts)
    whole = read_mesh(bones / "tibia.stl")
    assert parts[0].volume_mm3 + parts[1].volume_mm3 == pytest.approx(whole.volume_mm3, rel=1e-4)
    moved = np.array(plan["moved_to_corrected_ras"])
    assert parts[1].transformed(moved).vertices_ras == pytest.approx(parts[2].vertices_ras, abs=1e-3)
    document = read_plan(out)
    cut = document.osteotomies[0]
    assert (cut.kind, cut.target.measure, document.limb.side) == ("opening wedge", "weight_bearing_share", "right")
    assert cut.angle_deg == pytest.approx(plan["angle_deg"], abs=1e-9)
    assert cut.gap_mm == pytest.approx(plan["gap_mm"], abs=1e-9)
    assert len(document.limb.landmarks_ras) == 19
    assert main(["export", str(out), "--what", "fragments,fragments-before", "--out", str(tmp_path / "e")]) == 0
    exported = read_mesh(tmp_path / "e" / "tibia_moved_planned_fragment.stl")
    assert exported.vertices_ras.mean(axis=0) == pytest.approx(parts[2].vertices_ras.mean(axis=0), abs=1e-3)
    assert read_mesh(tmp_path / "e" / "tibia_moved_fragment.stl").volume_mm3 == pytest.approx(
        parts[1].volume_mm3, rel=1e-6
    )
    plane = ["--plan", str(out), "--approach", "1", "0", "0", "--out", str(tmp_path / "g")]
    assert main(["cutguide", str(bones / "femur.stl"), *plane]) == 2
    assert "not the surface of the tibia" in capsys.readouterr().err
    page = (out / "limb.html").read_text()
    assert page.count("<svg") == 4
    assert "Before and after" in page
    points = json.loads((out / "landmarks.mrk.json").read_text())["markups"][0]["controlPoints"]
    assert len(points) == 19
    assert main(["limb", "--femur", str(bones / "femur.stl"), "--out", str(out)]) == 2
    assert "results in this folder already" in capsys.readouterr().err


@pytest.mark.slow
def test_two_levels_are_planned_and_a_guide_takes_its_plane_from_the_plan(bones, tmp_path, capsys):
    out = tmp_path / "plan"
    names = ("--femur", bones / "femur.stl", "--tibia", bones / "tibia.stl", "--kerf-mm", 1.0)
    call = ["limb", *names, "--femoral-target", "ldfa:92", "--target", "hka:0", "--out", out]
    assert main(list(map(str, call))) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert "wedge of the femur" in said
    assert "wedge of the tibia" in said
    femur, tibia = read_plan(out).osteotomies
    assert {m.name: m.after for m in tibia.measures}["ldfa_deg"] == pytest.approx(92.0, abs=0.01)
    assert {m.name: m.after for m in tibia.measures}["hka_deg"] == pytest.approx(180.0, abs=0.01)
    assert femur.planes[0].kerf_mm == 1.0
    for name in ("femur_staying", "femur_moved_after", "tibia_staying_after", "tibia_moved_after"):
        assert read_mesh(out / f"{name}.stl").is_closed
    assert (out / "limb.html").read_text().count("<h2>Planned correction") == 2
    preset = tmp_path / "coarse.toml"
    preset.write_text("[body]\ngrid_mm = 0.8\n")
    guide = ["cutguide", bones / "femur.stl", "--plan", out, "--cut", femur.name, "--approach", 1, 0, 0]
    status = main(list(map(str, [*guide, "--preset", preset, "--out", tmp_path / "guide"])))
    assert status in (0, 3), capsys.readouterr().err
    made = read_plan(tmp_path / "guide")
    assert made.guides[0].recipe.cuts[0].point_ras == femur.planes[0].point_ras
    assert made.guides[0].recipe.options["kerf_mm"] == 1.0
    assert is_current(made.guides[0], made)


@pytest.mark.slow
def test_a_part_of_a_leg_says_what_it_lacks(bones, tmp_path, capsys):
    def call(*arguments):
        names = ("--femur", bones / "femur.stl", "--tibia", bones / "upper_tibia.stl", *arguments)
        return main(["limb", *map(str, names)]), capsys.readouterr()

    status, said = call("--json", "--out", tmp_path / "part")
    assert status == 0, said.err
    words = {m["title"]: m["in_words"] for m in json.loads(said.out)["measures"]}
    assert "cannot be made: no ankle centre" in words["HKA"]
    assert "cannot" not in words["mLDFA"]
    status, said = call("--landmarks", bones / "placed.mrk.json", "--json", "--out", tmp_path / "placed")
    assert status == 0, said.err
    values = {m["title"]: m["value"] for m in json.loads(said.out)["measures"]}
    assert values["HKA"] == pytest.approx(align(SHAPE.landmarks).hka_deg, abs=0.5)
    status, said = call("--target", "hka:0", "--out", tmp_path / "no")
    assert status == 2
    assert "not known" in said.err
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--femur", "femur.stl", "--side", "left"], "this is a right femur, not a left one"),
        (["--femur", "tibia.stl", "--tibia", "femur.stl"], "whether femur and tibia are swapped"),
        (["--tibia", "upper_tibia.stl"], "Give the direction from ankle to knee"),
        (["--tibia", "tibia.stl", "--target", "fuji:3"], "there is no target 'fuji'"),
        (["--tibia", "tibia.stl", "--target", "mpta:300"], "Give 60 to 120"),
        (["--tibia", "tibia.stl", "--target", "ldfa:88", "--cut", "femur"], "the surface of the femur is needed"),
        (["--femur", "absent.stl"], "no such file"),
        (["--femur", "femur.stl", "--landmarks", "unknown.mrk.json"], "'Elbow' is no landmark of a leg"),
        (["--tibia", "tibia.stl", "--up", "north"], "'north' is not a direction"),
        (["--femur", "femur.stl", "--femoral-target", "ldfa:87"], "Give --target for the tibia as well"),
        ([], "no bone and no landmark is given"),
    ],
)
def test_wrong_calls_are_said(bones, tmp_path, capsys, monkeypatch, arguments, says):
    """In this process: the same door, without starting Python anew."""
    monkeypatch.chdir(bones)
    assert main(["limb", *arguments, "--out", str(tmp_path / "no")]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


@pytest.mark.slow
def test_bones_from_a_labelmap(bones, tmp_path, capsys):
    """Segments called after their bones are taken; the measures stay within the voxels' blur."""
    meshes = [read_mesh(bones / f"{n}.stl") for n in ("femur", "tibia")]
    low = np.min([m.bounds_ras[0] for m in meshes], axis=0) - 6
    count = np.ceil((np.max([m.bounds_ras[1] for m in meshes], axis=0) + 6 - low) / 2.0).astype(int)
    labels = np.zeros(count[::-1], dtype=np.int16)
    for value, mesh in enumerate(meshes, start=1):
        image = vtk.vtkImageData()
        image.SetOrigin(*low)
        image.SetSpacing(2.0, 2.0, 2.0)
        image.SetDimensions(*map(int, count))
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
        image.GetPointData().GetScalars().Fill(1)
        stencil = vtk.vtkPolyDataToImageStencil()
        stencil.SetInputData(mesh.to_polydata())
        stencil.SetOutputOrigin(*low)
        stencil.SetOutputSpacing(2.0, 2.0, 2.0)
        stencil.SetOutputWholeExtent(image.GetExtent())
        cut = vtk.vtkImageStencil()
        cut.SetInputData(image)
        cut.SetStencilConnection(stencil.GetOutputPort())
        cut.SetBackgroundValue(0)
        cut.Update()
        labels[vtk_to_numpy(cut.GetOutput().GetPointData().GetScalars()).reshape(labels.shape) > 0] = value
    volume = Volume(labels, low, np.full(3, 2.0), np.eye(3), modality=Modality.LABEL)
    segments = (Segment(1, "right femur"), Segment(2, "right tibia"))
    write_segmentation(Segmentation(volume, segments), tmp_path / "leg.seg.nrrd")
    assert main(["limb", "--bones", str(tmp_path / "leg.seg.nrrd"), "--json", "--out", str(tmp_path / "out")]) == 0
    record = json.loads(capsys.readouterr().out)
    values = {m["title"]: m["value"] for m in record["measures"]}
    truth = align(SHAPE.landmarks)
    assert record["side"] == "right"
    assert values["HKA"] == pytest.approx(truth.hka_deg, abs=0.3)
    assert values["MPTA"] == pytest.approx(truth.mpta_deg, abs=0.6)
    # A vessel behind the upper tibia: how near the cut comes to it is said, and stands in the plan.
    behind = np.array([[-4.0, low[1], -75], [4.0, low[1] + 4, -35]])
    low_voxel, high_voxel = np.round((behind - low) / 2.0).astype(int)
    box = tuple(slice(a, b) for a, b in zip(low_voxel[::-1], high_voxel[::-1], strict=True))
    assert not labels[box].any()
    labels[box] = 3
    segments = (*segments, Segment(3, "popliteal artery", "vessel"))
    write_segmentation(Segmentation(volume.with_voxels(labels), segments), tmp_path / "with_vessel.seg.nrrd")
    call = ["--bones", tmp_path / "with_vessel.seg.nrrd", "--target", "hka:0", "--out", tmp_path / "near"]
    assert main(["limb", *map(str, call)]) == 0
    assert "Structures by the cuts: popliteal artery" in capsys.readouterr().out
    cut = read_plan(tmp_path / "near").osteotomies[0]
    # The truth from the fragment: its sawn corners ahead of the hinge, and the box of the vessel's voxels.
    corners = read_mesh(tmp_path / "near" / "tibia_staying.stl").vertices_ras
    hinge, normal = np.array(cut.hinge.point_ras), np.array(cut.planes[0].normal_ras)
    ahead = (corners - hinge) @ np.cross(-np.array(cut.hinge.axis_ras), normal) >= 0
    sawn = corners[(np.abs((corners - hinge) @ normal) < 1e-3) & ahead]
    vessel = low + 2.0 * (np.array([low_voxel, high_voxel]) - 0.5)
    off = np.linalg.norm(np.maximum(0, np.maximum(vessel[0] - sawn, sawn - vessel[1])), axis=1)
    assert cut.structures_mm["popliteal artery"] == pytest.approx(off.min(), abs=1.0)


@pytest.mark.slow
def test_other_kinds_of_cut(bones, tmp_path, capsys):
    names = ("--femur", bones / "femur.stl", "--tibia", bones / "tibia.stl", "--fibula", bones / "fibula.stl")
    calls = {
        "biplanar": ("--target", "fujisawa:62", "--kerf-mm", 1),
        "biplanar-femur": ("--cut", "femur", "--wedge", "closing", "--target", "hka:0", "--kerf-mm", 1),
        "biplanar-down": ("--wedge", "closing", "--second-plane", "descending", "--target", "hka:0"),
        "dome": ("--target", "hka:0"),
        "oblique": ("--target", "hka:0", "--torsion-target", "tibial-torsion:5"),
        "step": ("--cut", "femur", "--lengthen-mm", 10, "--slant-deg", 10),
    }
    for kind, options in calls.items():
        out = tmp_path / kind
        status = main(list(map(str, ("limb", *names, "--kind", kind.split("-")[0], *options, "--out", out))))
        assert status == 0, capsys.readouterr()
        document = read_plan(out)
        cut = document.osteotomies[0]
        after = {m.name: m.after for m in cut.measures}
        if kind == "biplanar":
            assert after["weight_bearing_share"] == pytest.approx(0.62, abs=1e-6)
            assert cut.form.name == "biplanar"
        elif kind.startswith("biplanar-"):
            assert cut.what == "biplanar closing wedge"
            assert after["hka_deg"] == pytest.approx(180.0, abs=1e-6)
        elif kind == "step":
            before = {m.name: m.before for m in cut.measures}
            assert after["femur_length_mm"] - before["femur_length_mm"] == pytest.approx(10.0, abs=1e-6)
            assert cut.gap_mm == 10.0
        else:
            assert after["hka_deg"] == pytest.approx(180.0, abs=1e-6)
        if kind == "oblique":
            assert after["tibial_torsion_deg"] == pytest.approx(5.0, abs=1e-6)
        whole = read_mesh(bones / f"{cut.bone}.stl").volume_mm3
        parts = [read_mesh(out / f.file) for f in cut.fragments if f.name != "wedge"]
        assert all(p.is_closed for p in parts)
        assert sum(p.volume_mm3 for p in parts) + cut.removed_mm3 == pytest.approx(whole, rel=1e-4)
        assert (out / "limb.html").read_text().count("<svg") == 4
        assert main(["export", str(out), "--what", "fragments", "--out", str(tmp_path / f"{kind}-e")]) == 0
    capsys.readouterr()
    guide = [
        "cutguide",
        bones / "tibia.stl",
        "--plan",
        tmp_path / "dome",
        "--approach",
        1,
        0,
        0,
        "--out",
        tmp_path / "g",
    ]
    assert main(list(map(str, guide))) == 2
    assert "is cut through" in capsys.readouterr().err
    assert (
        main(list(map(str, ("limb", *names, "--target", "hka:0", "--lengthen-mm", 5, "--out", tmp_path / "no")))) == 2
    )
    assert "belongs to --kind step" in capsys.readouterr().err
