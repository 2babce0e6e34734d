"""A cutting guide on a femur of known shape: slot, contact, wires and ways measured apart from how they were made."""

import numpy as np
import pytest
import vtk
from core.femur_shapes import femur_field, femur_mesh
from core.guide_shapes import box_mesh

from MSKFusionLib.errors import Cancelled, GeometryError, InputError, ProcessingError
from MSKFusionLib.frames import rigid, unit
from MSKPlannerLib.guides.checks import failed
from MSKPlannerLib.guides.cut_checks import way_of_saw
from MSKPlannerLib.guides.cut_options import CuttingGuideOptions
from MSKPlannerLib.guides.cutting_guide import design_cutting_guide, saw_stop
from MSKPlannerLib.guides.field import DepthDistance, MeshDistance
from MSKPlannerLib.guides.guide_checks import Bones
from MSKPlannerLib.guides.slot import Slot
from MSKPlannerLib.guides.solid import overlap_mm3
from MSKPlannerLib.guides.stability import stability
from MSKPlannerLib.mesh import body_labels
from MSKPlannerLib.plan import GuideCut, GuideScrew

#: A supracondylar plane, oblique, from the lateral side.
CUT = GuideCut("supracondylar", (0.0, 8.0, 55.0), (0.25, 0.05, 1.0))
APPROACH = np.array([1.0, 0.25, 0.1])
OPTIONS = CuttingGuideOptions(grid_mm=0.6)


@pytest.fixture(scope="module")
def bone():
    return femur_mesh(1.6, top=130.0)


@pytest.fixture(scope="module")
def guide(bone):
    return design_cutting_guide(bone, CUT, APPROACH, OPTIONS)


def heights(points):
    return (np.asarray(points) - CUT.point_ras) @ unit(CUT.normal_ras)


def test_one_closed_body_that_passes_its_checks(guide):
    assert guide.mesh.is_closed
    assert body_labels(guide.mesh)[1] == 1
    assert [c.message for c in failed(guide.checks)] == []


def test_the_slot_lies_in_the_plane_and_lets_the_blade_through(guide):
    """Rays across the plane: material begins at half the slot's thickness on both sides, wherever the slot is."""
    tree = vtk.vtkOBBTree()
    tree.SetDataSet(guide.mesh.to_polydata())
    tree.BuildLocator()
    n = unit(CUT.normal_ras)
    outward = unit(APPROACH - (APPROACH @ n) * n)
    entry = guide.slot.to_ras[:3, 3]
    assert abs(heights(entry)) < 1e-9
    half, found = OPTIONS.slot_thickness_mm / 2, []
    for across in np.linspace(-0.4, 0.4, 7) * guide.slot.width_mm:
        for out in np.linspace(2.0, guide.slot.top_mm - 1.0, 5):
            middle = entry + across * np.cross(n, outward) + out * outward
            hits = vtk.vtkPoints()
            tree.IntersectWithLine(middle - 2.5 * n, middle + 2.5 * n, hits, None)
            found += [float(heights(hits.GetPoint(k))) for k in range(hits.GetNumberOfPoints())]
    found = np.array(found)
    inner = found[np.abs(found) < half + 0.3]
    assert len(inner) == 70
    assert np.abs(np.abs(inner) - half).max() < 0.02
    # Nothing but the slot between the top and the far outside.
    tops = [guide.slot.to_ras[:3, 3] + (guide.slot.top_mm + k) * outward for k in (1.0, 20.0)]
    assert tree.IntersectWithLine(*tops, None, None) == 0


def test_contact_and_ways_against_the_bone_in_closed_form(guide, bone):
    assert overlap_mm3(guide.mesh, bone) == 0.0
    assert femur_field(guide.mesh.vertices_ras).min() > 0.0
    exact = vtk.vtkImplicitPolyDataDistance()
    exact.SetInput(bone.to_polydata())
    gap = np.array([exact.EvaluateFunction(p) for p in guide.fit.points_ras])
    assert np.abs(gap - OPTIONS.fit_clearance_mm).max() < 0.1
    assert guide.fit.area_mm2 > 200.0
    for way in (0.1, 0.3, 1.0, 4.0, 12.0):
        moved = guide.mesh.transformed(rigid(translation=-way * guide.insertion_direction_ras))
        assert overlap_mm3(moved, bone) == 0.0
    assert unit(APPROACH) @ guide.insertion_direction_ras < -0.8


def test_wires_hold_on_both_sides_of_the_cut_and_keep_off_it(guide):
    sides = [np.sign(heights(w.entry_ras)) for w in guide.wires]
    assert set(sides) == {-1.0, 1.0}
    for wire in guide.wires:
        way = wire.entry_ras - np.linspace(0, OPTIONS.wire_depth_mm, 40)[:, None] * wire.outward_ras
        assert np.abs(heights(way)).min() >= OPTIONS.wire_to_cut_mm - 1e-6
        assert femur_field(wire.entry_ras[None])[0] == pytest.approx(0.0, abs=0.4)
        assert wire.outward_ras @ guide.insertion_direction_ras == pytest.approx(-1.0)


def test_what_is_said_of_the_saw(guide):
    # The far cortex from the block's top, in closed form along the middle of the slot.
    out = guide.slot.outward_ras
    line = guide.slot.to_ras[:3, 3] + np.arange(-80, 0, 0.1)[:, None] * out
    depth = -np.arange(-80, 0, 0.1)[np.flatnonzero(femur_field(line) < 0)[0]]
    assert guide.stop_mm == pytest.approx(guide.slot.top_mm + depth, abs=3.0)
    assert guide.stop_mm >= guide.slot.top_mm + depth - 0.6
    assert guide.tilt_deg == pytest.approx(np.degrees(np.arctan(0.4 / 9.0)))


def test_the_saw_stops_at_the_hinge_of_a_wedge():
    """A bar of 30 x 40 x 100 mm sawn across from x: right through it is 30 mm deep, to a hinge 8 mm before its far side 22."""
    bar = MeshDistance(box_mesh((30.0, 40.0, 100.0)))
    # x across the saw, y the plane's normal, z against the saw; its top 10 mm above the bone.
    frame = rigid(np.column_stack([[0, 1.0, 0], [0, 0, 1.0], [1.0, 0, 0]]), [15.0, 0, 0])
    slot = Slot("cut", frame, 20.0, 1.3, 10.0, -8.0, 4.0, 3.0, 7.0)
    assert saw_stop(bar, slot, None) == (pytest.approx(40.0, abs=0.6), None)
    square = GuideCut("hinge", (-7.0, 3.0, 0.0), (-1.0, 0.0, 0.0))
    nearest, farthest = saw_stop(bar, slot, square)
    assert nearest == pytest.approx(32.0, abs=0.6)
    assert farthest == pytest.approx(nearest)
    # A hinge turned by 10 degrees: nearer on one side of the slot, farther on the other, by the tangent.
    turned = GuideCut("hinge", (-7.0, 0.0, 0.0), (-np.cos(np.radians(10)), np.sin(np.radians(10)), 0.0))
    nearest, farthest = saw_stop(bar, slot, turned)
    assert nearest == pytest.approx(32.0 - 10 * np.tan(np.radians(10)), abs=0.6)
    assert farthest == pytest.approx(32.0 + 10 * np.tan(np.radians(10)), abs=0.6)


def test_what_seems_to_lie_in_the_way_of_the_saw_is_asked_once_more_exactly():
    """Amid a slot both faces are as near: the quick distance may take a farther triangle, from behind (found in a step's guide)."""

    class Hasty:
        def __init__(self, exact_mm):
            self.exact_mm = exact_mm

        def distance_mm(self, points):
            return np.where(np.arange(len(points)) == 7, -0.65, 0.65)

        def distance_and_gradient(self, points):
            return np.full(len(points), self.exact_mm), np.zeros((len(points), 3))

    slot = Slot("cut", rigid(), 20.0, 1.3, 10.0, -8.0, 4.0, 3.0, 7.0)
    bones = Bones(DepthDistance(lambda p: np.full(len(p), -5.0)), (), None)
    free, blocked = (way_of_saw(Hasty(mm), slot, bones, CuttingGuideOptions()) for mm in (0.65, -0.1))
    assert free.passed
    assert free.value == pytest.approx(0.2)
    assert not blocked.passed
    assert "rubs on the guide" in blocked.message


@pytest.mark.slow
def test_same_input_same_guide(guide, bone):
    again = design_cutting_guide(bone, CUT, APPROACH, OPTIONS)
    assert np.array_equal(again.mesh.vertices_ras, guide.mesh.vertices_ras)
    assert np.array_equal(again.mesh.faces, guide.mesh.faces)


@pytest.mark.slow
@pytest.mark.parametrize(("ledge", "sign"), [("along", 1.0), ("against", -1.0)])
def test_an_open_ledge_stands_on_one_side_of_the_cut(bone, ledge, sign):
    """Everything of it lies behind the plane by half the blade, and its face exactly there."""
    options = CuttingGuideOptions(grid_mm=0.6, ledge=ledge)
    guide = design_cutting_guide(bone, CUT, APPROACH, options)
    assert guide.mesh.is_closed
    assert body_labels(guide.mesh)[1] == 1
    assert [c.message for c in failed(guide.checks)] == []
    half = options.blade_thickness_mm / 2
    above = sign * heights(guide.mesh.vertices_ras)
    assert above.min() == pytest.approx(half, abs=1e-3)
    assert {np.sign(heights(w.entry_ras)) for w in guide.wires} == {sign}
    assert len(guide.wires) == 2
    # A flat face as wide as the blade is led, from the top down to the bone; rays across the plane end on it.
    tree = vtk.vtkOBBTree()
    tree.SetDataSet(guide.mesh.to_polydata())
    tree.BuildLocator()
    n = sign * unit(CUT.normal_ras)
    outward = unit(APPROACH - (APPROACH @ n) * n)
    for across in np.linspace(-0.45, 0.45, 7) * guide.slot.width_mm:
        for out in np.linspace(2.0, guide.slot.top_mm - 0.5, 5):
            place = guide.slot.to_ras[:3, 3] + across * np.cross(n, outward) + out * outward
            hits = vtk.vtkPoints()
            assert tree.IntersectWithLine(place - 40.0 * n, place + 2.5 * n, hits, None)
            assert sign * heights(hits.GetPoint(0)) == pytest.approx(half, abs=0.02)
    assert overlap_mm3(guide.mesh, bone) == 0.0
    assert guide.slot.top_mm > options.slot_height_mm
    assert guide.tilt_deg is None


def test_what_cannot_be_guided_is_refused_in_words(bone):
    far = GuideCut("far", (0.0, 90.0, 55.0), (0, 0, 1))
    with pytest.raises(GeometryError, match="misses the bone"):
        design_cutting_guide(bone, far, APPROACH, OPTIONS)
    with pytest.raises(GeometryError, match="out of the plane"):
        design_cutting_guide(bone, CUT, (0, 0, 1), OPTIONS)
    with pytest.raises(GeometryError, match="three numbers"):
        design_cutting_guide(bone, CUT, (0, 0, np.nan), OPTIONS)
    with pytest.raises(GeometryError, match="side of the approach"):
        design_cutting_guide(bone, CUT, APPROACH, OPTIONS, insertion_direction_ras=(1, 0, 0))
    with pytest.raises(GeometryError, match="not closed"):
        design_cutting_guide(type(bone)(bone.vertices_ras, bone.faces[1:]), CUT, APPROACH, OPTIONS)
    with pytest.raises(ProcessingError, match="K-wire"):
        design_cutting_guide(bone, CUT, APPROACH, CuttingGuideOptions(wire_depth_mm=80.0, wire_to_cut_mm=30.0))
    with pytest.raises(InputError, match="kerf_mm"):
        CuttingGuideOptions(kerf_mm=9.0)
    with pytest.raises(InputError, match="along or against"):
        CuttingGuideOptions(ledge="up")
    hole = GuideScrew("h", (20.0, 8.0, 30.0), (-10.0, 8.0, 30.0))
    with pytest.raises(GeometryError, match="open side of the ledge"):
        design_cutting_guide(bone, CUT, APPROACH, CuttingGuideOptions(ledge="along"), holes=[hole])

    def stop(fraction, message):
        if fraction > 0.1:
            raise Cancelled

    with pytest.raises(Cancelled):
        design_cutting_guide(bone, CUT, APPROACH, OPTIONS, progress=stop)


def contact(shape, count=600):
    rng = np.random.default_rng(2)
    a, b = rng.uniform(-10, 10, (2, count))
    if shape == "plane":
        return np.stack([a, b, 0 * a], 1), np.tile([0.0, 0, 1], (count, 1))
    if shape == "cylinder":  # along y, radius 15
        turn = a / 15
        n = np.stack([np.sin(turn), 0 * a, np.cos(turn)], 1)
        return 15 * n + np.stack([0 * a, b, 0 * a], 1), n
    faces = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])[rng.integers(0, 3, count)]  # a corner of three faces
    return np.stack([a, b, rng.uniform(-10, 10, count)], 1) * (1 - faces), faces


def test_stability_knows_what_a_shape_holds():
    down = np.array([0, 0, -1.0])
    plane, cylinder, corner = (stability(*contact(s), down) for s in ("plane", "cylinder", "corner"))
    assert plane.slide_mm == pytest.approx(10.0 * np.sqrt(2), rel=0.1)  # as far as is looked
    assert plane.turn_deg > 40
    # Over 20 mm of width 0.1 mm at both rims: 0.01 rad.
    assert plane.rock_deg == pytest.approx(np.degrees(0.1 / 10), rel=0.1)
    assert cylinder.slide_mm > 9.0  # along its axis
    assert cylinder.turn_deg < 3.0
    assert corner.slide_mm < 0.4
    assert max(corner.turn_deg, corner.rock_deg) < 3.0
