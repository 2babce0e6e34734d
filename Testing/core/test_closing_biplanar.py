"""Closing wedges with a tongue: volumes of the closed form, fragments that lie on each other once closed, measured by VTK."""

import numpy as np
import pytest
import vtk
from core.test_cut_forms import BAR, POSE, made, shape, volumes
from core.test_limb_form import BONES, LEG, documented
from vtk.util.numpy_support import numpy_to_vtk

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import rigid, transform_points
from MSKPlannerLib.guides.facets import facets_of
from MSKPlannerLib.guides.solid import to_manifold
from MSKPlannerLib.osteotomy.cut_shape import CutKind
from MSKPlannerLib.osteotomy.limb_cut import plan_limb_form
from MSKPlannerLib.osteotomy.limb_form import FormOptions
from MSKPlannerLib.osteotomy.limb_wedge import WedgeOptions, plan_limb_wedge
from MSKPlannerLib.osteotomy.saw_form import Tongue
from MSKPlannerLib.osteotomy.target import CutLevel, fujisawa, neutral_axis

#: The bar is 72 mm wide and 48 deep; the cut lies at z = 100, its hinge at x = -26, the tongue 15 mm thick.
ANGLE, DEPTH, BEHIND, THICK = 8.0, 62.0, 33.0, 15.0
WEDGE = 0.5 * DEPTH**2 * np.tan(np.radians(ANGLE)) * BEHIND
FORMS = [(front, rise, down) for front in (1, -1) for rise in (90.0, 104.0) for down in (False, True)]


def closing(front=1, rise=90.0, down=False, kerf=0.0, angle=ANGLE):
    return shape(CutKind.CLOSING, Tongue(9.0 * front, front, rise, down), angle, kerf, x=-26.0)


def gaps_mm(points, mesh):
    """Distance of points from a mesh, mm."""
    data, cells = vtk.vtkPolyData(), vtk.vtkCellArray()
    corners = vtk.vtkPoints()
    corners.SetData(numpy_to_vtk(np.ascontiguousarray(mesh.vertices_ras), deep=True))
    for face in mesh.faces:
        cells.InsertNextCell(3, [int(i) for i in face])
    data.SetPoints(corners)
    data.SetPolys(cells)
    distance = vtk.vtkImplicitPolyDataDistance()
    distance.SetInput(data)
    return np.array([abs(distance.EvaluateFunction(p)) for p in points])


@pytest.mark.parametrize(("front", "rise", "down"), FORMS)
def test_bone_is_fragments_and_wedge_and_the_fragments_close(front, rise, down):
    cut = made(closing(front, rise, down))
    assert cut.record.what == "biplanar closing wedge"
    assert cut.record.verdict == "accepted"
    assert cut.record.gap_mm == pytest.approx(2 * DEPTH * np.sin(np.radians(ANGLE / 2)), abs=1e-9)
    lean = np.radians(rise - 90)
    # Where the second plane leaves the front: the tongue's side view is a rectangle to the bar's end, or a triangle.
    side = THICK * (280 if down else 114) if rise == 90 else 0.5 * THICK**2 / np.tan(lean)
    staying = 72 * 48 * 114 + 72 * side * (1 if down else -1)
    assert volumes(cut)[0] == pytest.approx(staying, rel=1e-9)
    if rise == 90:
        assert cut.record.removed_mm3 == pytest.approx(WEDGE, rel=1e-6)
        assert not cut.record.notes
    else:
        assert cut.record.removed_mm3 > WEDGE
        assert "planed off" in cut.record.notes[0]
    # Points of the face of the part that stays, before the hinge, where both are bone: on the plane, and on the second plane.
    closed = cut.solids["moved"].transformed(np.array(cut.record.fragments[1].image_to_planned_ras))
    rng = np.random.default_rng(3)
    x, y = rng.uniform(-20, 33, 60), front * rng.uniform(-23.5, 8.8, 60)
    plane = np.column_stack([x, y, np.full(60, 100.0)])
    up = (-1.0 if not down else 1.0) * rng.uniform(0.5, 20, 60)
    second = np.column_stack([x, front * (9.0 + np.abs(up) * np.tan(lean)), 100.0 + up])
    points = np.concatenate([plane, second])
    assert gaps_mm(points, cut.solids["staying"]).max() < 1e-6
    assert gaps_mm(points, closed).max() < 0.01
    # And they do not lie in each other before the hinge: over thousands of mm2 booleans find a film of nanometres.
    ahead = [to_manifold(m, "part").trim_by_plane([1, 0, 0], -26.0) for m in (cut.solids["staying"], closed)]
    assert (ahead[0] ^ ahead[1]).volume() < 0.02


def test_what_the_saw_takes_of_the_second_plane():
    kerf = 1.2
    cut = made(closing(kerf=kerf))
    # Its slot goes through the whole width and up to the bar's end, and half a blade beyond the wedge's lower face.
    wide, high = 72.0, 114.0
    below = 0.5 * DEPTH**2 * np.tan(np.radians(ANGLE)) + 0.5 * kerf * wide
    dust = kerf * (wide * high + below)
    # Of the wedge half a blade's thickness is dust.
    counted = WEDGE + dust - 0.5 * kerf * 0.5 * DEPTH**2 * np.tan(np.radians(ANGLE))
    assert cut.record.removed_mm3 == pytest.approx(counted, rel=1e-6)
    assert cut.solids["wedge"].volume_mm3 == pytest.approx(WEDGE * (1 - 0.5 * kerf / BEHIND), rel=1e-6)
    assert "stays open by up to the saw's 1.2 mm" in cut.record.notes[-1]
    closed = cut.solids["moved"].transformed(np.array(cut.record.fragments[1].image_to_planned_ras))
    rng = np.random.default_rng(5)
    points = np.column_stack([rng.uniform(-20, 33, 40), np.full(40, 9.0 - kerf / 2), rng.uniform(70, 98, 40)])
    assert gaps_mm(points, closed) == pytest.approx(np.full(40, kerf), abs=1e-6)


def test_in_another_pose_and_back_to_an_opening_one():
    bone = BAR.transformed(POSE)
    for down in (False, True):
        asked = closing(rise=104.0, down=down, kerf=1.0)
        here, there = made(asked), made(asked.transformed(POSE), bone)
        assert volumes(there) == pytest.approx(volumes(here), rel=1e-7)
        assert there.solids["wedge"].volume_mm3 == pytest.approx(here.solids["wedge"].volume_mm3, rel=1e-6)
        opened = asked.turned_by(5.0)
        assert (opened.kind, opened.form) == (CutKind.OPENING, asked.form)
        assert made(opened).record.what == "biplanar opening wedge"
    assert made(closing(angle=0.0)).record.removed_mm3 == 0


def test_a_wedge_that_is_too_large_is_refused():
    with pytest.raises(GeometryError, match="larger than the bone"):
        made(closing(angle=58.0).transformed(rigid(translation=[0, 0, 250.0])))
    with pytest.raises(InputError, match="up to 60"):
        made(closing(angle=70.0))


@pytest.mark.parametrize(("bone", "down"), [(CutLevel.TIBIA, True), (CutLevel.FEMUR, False)])
def test_a_leg_is_brought_to_its_target(bone, down):
    target = neutral_axis() if bone is CutLevel.FEMUR else fujisawa()
    options = WedgeOptions(bone, opening=False)
    plan = plan_limb_form("biplanar", LEG, BONES, target, options, FormOptions(descends=down), kerf_mm=1.0)
    assert plan.accepted, plan.reasons
    assert plan.motion_ras == pytest.approx(
        plan_limb_wedge(LEG, BONES[bone.value], target, options).motion_ras, abs=1e-9
    )
    assert getattr(plan.measured_again, target.measure) == pytest.approx(target.value, abs=1e-9)
    record = documented(plan, 1.0)
    assert record.kind == "closing wedge"
    back, corner, second = np.array(record.form.corners_ras)
    frame = LEG.tibia_to_ras if bone is CutLevel.TIBIA else LEG.femur_to_ras
    assert (corner - back) @ frame[:3, 1] > 0
    assert ((second - corner) @ frame[:3, 2] < 0) == down
    # A bar is as thick all along: the tongue leans as little as lets it end within 60 mm.
    assert 90 < plan.shape.form.rise_deg <= 115
    tongue = plan.parts.staying if down else plan.parts.moved
    beyond = (tongue.vertices_ras - corner) @ plan.shape.to_ras[:3, 2] * (1 if down else -1)
    assert 30 < beyond.max() <= 60


def test_the_facets_of_its_guide():
    """Three planes; the ascending one begins at the lower face of the wedge, both faces end at hinge and corner."""
    for down in (False, True):
        facets = facets_of(made(closing(down=down)).record)
        assert [len(f.limits) for f in facets] == [2, 1, 2]
        tan = np.tan(np.radians(ANGLE))
        places = {
            (0.0, 0.0, 100.0): (0, True), (-30.0, 0.0, 100.0): (0, False), (0.0, 12.0, 100.0): (0, False),
            (0.0, 9.0, 100.0 + 26 * tan - 0.5): (1, True), (0.0, 9.0, 100.0 + 26 * tan + 0.5): (1, down),
            (0.0, 9.0, 99.0): (1, not down),
            (0.0, 0.0, 100.0 + 26 * tan): (2, True), (-30.0, 0.0, 100.0 - 4 * tan): (2, False),
            (0.0, 12.0, 100.0 + 26 * tan): (2, False),
        }  # fmt: skip
        for place, (number, wanted) in places.items():
            facet = facets[number]
            normal = np.array(facet.cut.normal_ras)
            assert abs(np.subtract(place, facet.cut.point_ras) @ normal) < 1e-9
            assert all(np.subtract(place, c.point_ras) @ np.array(c.normal_ras) <= 0 for c in facet.limits) == wanted


def test_the_plan_keeps_the_motion():
    record = made(closing()).record
    hinge = np.array([-26.0, 7.0, 100.0])
    motion = np.array(record.fragments[1].image_to_planned_ras)
    assert transform_points(motion, hinge) == pytest.approx(hinge, abs=1e-9)
    # The lower face of the wedge comes onto the plane.
    rim = np.array([36.0, 0.0, 100.0 + DEPTH * np.tan(np.radians(ANGLE))])
    assert transform_points(motion, rim)[2] == pytest.approx(100.0, abs=1e-9)
