"""A guide for all planes of a resection on a femur of known shape: slots, wires, contact and ways measured on the STL."""

import numpy as np
import pytest
import vtk
from core.femur_shapes import femur_field, femur_mesh
from core.guide_shapes import rounded_box, rounded_box_field
from core.resection_shapes import APPROACH, PLANES, height, sawn_face
from core.resection_shapes import KERF_MM as KERF

from MSKFusionLib.errors import GeometryError, InputError, ProcessingError
from MSKFusionLib.frames import rigid, unit
from MSKPlannerLib.export.mesh_files import read_mesh, write_stl
from MSKPlannerLib.guides.checks import failed
from MSKPlannerLib.guides.cut_options import CuttingGuideOptions
from MSKPlannerLib.guides.field import MeshDistance
from MSKPlannerLib.guides.sawn_face import SawnFace, trace_of
from MSKPlannerLib.guides.slots_guide import design_slots_guide
from MSKPlannerLib.guides.solid import overlap_mm3
from MSKPlannerLib.mesh import body_labels
from MSKPlannerLib.plan import GuideCut

OPTIONS = CuttingGuideOptions(grid_mm=0.7, kerf_mm=KERF, wrap_mm=12.0, slot_width_mm=70.0)


@pytest.fixture(scope="module")
def bone():
    return femur_mesh(2.0, top=110.0)


@pytest.fixture(scope="module")
def guide(bone):
    return design_slots_guide(bone, [sawn_face(p) for p in PLANES], OPTIONS, leaves=PLANES)


@pytest.fixture(scope="module")
def printed(guide, tmp_path_factory):
    """The solid as it is in its STL."""
    path = tmp_path_factory.mktemp("print") / "guide.stl"
    write_stl(guide.mesh, path)
    return read_mesh(path)


@pytest.mark.slow
def test_one_closed_body_that_passes_its_checks(guide):
    assert guide.mesh.is_closed
    assert body_labels(guide.mesh)[1] == 1
    assert len(guide.slots) == 3
    assert [c.message for c in failed(guide.checks)] == []


@pytest.mark.slow
def test_every_slot_lies_beside_its_plane_and_lets_the_blade_through(guide, printed):
    """Rays across each plane: material begins half the slot's thickness off the middle of the saw, which is beside the plane."""
    tree = vtk.vtkOBBTree()
    tree.SetDataSet(printed.to_polydata())
    tree.BuildLocator()
    half = OPTIONS.slot_thickness_mm / 2
    for plane, slot in zip(PLANES, guide.slots, strict=True):
        n = unit(np.array(plane.normal_ras))
        found = []
        for across in np.linspace(-0.4, 0.4, 7) * slot.width_mm:
            for up in np.linspace(slot.top_mm - 6.0, slot.top_mm - 0.8, 4):
                place = slot.to_ras[:3, 3] + across * slot.to_ras[:3, 0] + up * slot.outward_ras
                middle = place - (height(plane, place) - KERF / 2) * n
                hits = vtk.vtkPoints()
                tree.IntersectWithLine(middle - 1.5 * n, middle + 1.5 * n, hits, None)
                found += [float(height(plane, hits.GetPoint(k))) - KERF / 2 for k in range(hits.GetNumberOfPoints())]
        assert len(found) == 2 * 7 * 4
        assert np.abs(np.abs(found) - half).max() < 0.02
        # Nothing but the slot from far outside down to the bone.
        way = [slot.to_ras[:3, 3] + k * slot.outward_ras for k in (1.0, 60.0)]
        assert tree.IntersectWithLine(*way, None, None) == 0


@pytest.mark.slow
def test_slots_end_a_wall_apart_where_planes_meet(guide):
    corners = []
    for slot in guide.slots:
        x, y = slot.width_mm / 2, slot.thickness_mm / 2
        z = np.arange(0.0, slot.top_mm, 0.5)
        grid = np.stack(np.meshgrid(np.linspace(-x, x, 200), [-y, y], z, indexing="ij"), axis=-1).reshape(-1, 3)
        corners.append(grid @ slot.to_ras[:3, :3].T + slot.to_ras[:3, 3])
    for k, one in enumerate(corners):
        for other in corners[k + 1 :]:
            apart = np.linalg.norm(one[:, None, :] - other[None, ::7], axis=2).min()
            assert apart > 2.7


@pytest.mark.slow
def test_contact_and_way_off_against_the_bone(guide, bone, printed):
    assert overlap_mm3(printed, bone) == 0.0
    exact = vtk.vtkImplicitPolyDataDistance()
    exact.SetInput(bone.to_polydata())
    gap = np.array([exact.EvaluateFunction(p) for p in guide.fit.points_ras[::5]])
    assert np.abs(gap - OPTIONS.fit_clearance_mm).max() < 0.1
    assert guide.fit.area_mm2 > 500.0
    for way in (0.1, 0.3, 1.0, 4.0, 12.0):
        moved = printed.transformed(rigid(translation=-way * guide.insertion_direction_ras))
        assert overlap_mm3(moved, bone) == 0.0


@pytest.mark.slow
def test_wires_stand_in_bone_that_stays(guide):
    assert len(guide.wires) >= 2
    for wire in guide.wires:
        way = wire.entry_ras - np.linspace(0, OPTIONS.wire_depth_mm, 40)[:, None] * wire.outward_ras
        # What is taken out lies below all planes.
        assert np.max([height(p, way) for p in PLANES], axis=0).min() >= OPTIONS.wire_to_cut_mm - 0.01
        assert femur_field(wire.entry_ras[None])[0] == pytest.approx(0.0, abs=0.5)
        assert wire.outward_ras @ guide.insertion_direction_ras == pytest.approx(-1.0)


@pytest.mark.slow
def test_the_depth_stop_ends_at_the_end_of_the_cut(guide):
    """Bone along the saw from the formula: the deepest of all columns of the slot that are below the other planes."""
    for plane, slot, stop in zip(PLANES, guide.slots, guide.stops, strict=True):
        across = np.arange(-slot.width_mm / 2 + 2.1, slot.width_mm / 2 - 2.0, 0.5)
        deep = np.arange(-100.0, slot.top_mm, 0.25)
        grid = np.stack(np.meshgrid(across, [0.0], deep, indexing="ij"), axis=-1).reshape(-1, 3)
        p = grid @ slot.to_ras[:3, :3].T + slot.to_ras[:3, 3]
        cut = femur_field(p) < 0
        for other in PLANES:
            cut &= (other is plane) | (height(other, p) <= 0)
        lowest = grid[cut, 2].min()
        assert stop.deepest_mm == pytest.approx(slot.top_mm - lowest, abs=2.0)


@pytest.mark.slow
def test_the_same_again(guide, bone):
    again = design_slots_guide(bone, [sawn_face(p) for p in PLANES], OPTIONS, leaves=PLANES)
    assert np.array_equal(again.mesh.vertices_ras, guide.mesh.vertices_ras)
    assert np.array_equal(again.mesh.faces, guide.mesh.faces)


#: A bar of 30 x 30 x 120 mm with rounded edges, and two planes across it.
BAR = rounded_box((15.0, 15.0, 60.0))
ACROSS = (GuideCut("upper", (0.0, 0.0, 15.0), (0.0, 0.0, 1.0)), GuideCut("lower", (0.0, 0.0, -15.0), (0.0, 0.0, -1.0)))


def bar_field(p):
    return rounded_box_field(p, (15.0, 15.0, 60.0))


def test_a_trace_is_the_width_and_the_depth_of_the_bone():
    exact = MeshDistance(BAR)
    trace = trace_of(sawn_face(ACROSS[0], ACROSS, field=bar_field), exact, 10.0)
    assert np.ptp(trace.x_mm) == pytest.approx(30.0, abs=1.0)
    assert np.median(trace.top_mm - trace.bottom_mm) == pytest.approx(30.0, abs=1.0)
    assert not trace.blind.any()
    assert trace.cornered == (False, False)
    # Another plane along the saw ends it inside the bone.
    side = GuideCut("side", (0.0, 5.0, 0.0), (0.0, 1.0, 0.0))
    ended = trace_of(sawn_face(ACROSS[0], (*ACROSS, side), field=bar_field), exact, 10.0)
    assert np.ptp(ended.x_mm) == pytest.approx(20.0, abs=1.0)
    assert sum(ended.cornered) == 1
    # One across the saw ends it before the far side.
    end = GuideCut("end", (-5.0, 0.0, 0.0), (-1.0, 0.0, 0.0))
    short = trace_of(sawn_face(ACROSS[0], (*ACROSS, end), field=bar_field), exact, 10.0)
    assert np.median(short.top_mm - short.bottom_mm) == pytest.approx(20.0, abs=1.0)
    assert short.blind.all()


def test_what_cannot_be_guided_is_refused_in_words():
    faces = [sawn_face(p, ACROSS, field=bar_field) for p in ACROSS]
    with pytest.raises(InputError, match="no plane"):
        design_slots_guide(BAR, [])
    from_behind = [faces[0], sawn_face(ACROSS[1], ACROSS, -APPROACH + [0.0, 0.2, 0.0], bar_field)]
    with pytest.raises((GeometryError, ProcessingError), match="cannot be reached from one side"):
        design_slots_guide(BAR, from_behind, OPTIONS)
    far = SawnFace(GuideCut("far", (0.0, 0.0, 300.0), (0.0, 0.0, 1.0)), APPROACH, faces[0].points_ras + [0, 0, 285.0])
    with pytest.raises(GeometryError, match="misses the bone"):
        design_slots_guide(BAR, [far], OPTIONS)
    with pytest.raises(ProcessingError, match="longer than every slot"):
        design_slots_guide(BAR, faces, OPTIONS, label="RESECTIN 123456789")
    close = [GuideCut(n, (0.0, 0.0, s * 0.5), (0.0, 0.0, s)) for n, s in (("upper", 1.0), ("lower", -1.0))]
    with pytest.raises(ProcessingError, match="shorter than 8 mm"):
        design_slots_guide(BAR, [sawn_face(p, close, field=bar_field) for p in close], OPTIONS)
    with pytest.raises(ProcessingError, match="K-wire"):
        design_slots_guide(BAR, faces, CuttingGuideOptions(wire_to_cut_mm=30.0, wire_depth_mm=80.0), leaves=ACROSS)


@pytest.mark.slow
def test_planes_that_stand_apart_are_joined_by_a_rib():
    """A piece of 40 mm out of the shaft of a femur."""
    planes = [
        GuideCut(n, (0.0, 4.0, z), (0.0, 0.0, way)) for n, z, way in (("upper", 140.0, 1.0), ("lower", 100.0, -1.0))
    ]
    faces = [sawn_face(p, planes) for p in planes]
    made = design_slots_guide(femur_mesh(2.0, top=210.0), faces, OPTIONS, leaves=planes)
    assert body_labels(made.mesh)[1] == 1
    assert [c.message for c in failed(made.checks)] == []
    # The shaft is 26 mm wide along the saw.
    assert made.stops[0].deepest_mm == pytest.approx(26.0 + made.slots[0].top_mm, abs=1.5)
    assert made.stops[0].shallowest_mm is None
