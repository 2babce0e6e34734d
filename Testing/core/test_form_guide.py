"""Guides for biplanar, step and dome cuts of a bar: facets and holes against the closed form, solids measured on the mesh."""

from dataclasses import replace

import numpy as np
import pytest
import vtk
from core.femur_shapes import femur_mesh
from core.guide_shapes import rounded_box, rounded_box_field

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import rigid, unit
from MSKPlannerLib.guides.checks import failed
from MSKPlannerLib.guides.cut_options import CuttingGuideOptions
from MSKPlannerLib.guides.facets import facets_of
from MSKPlannerLib.guides.presets import load_cutting_options, load_guide_options
from MSKPlannerLib.guides.recipe import inputs_of, planes_by_name, why_outdated
from MSKPlannerLib.mesh import body_labels
from MSKPlannerLib.osteotomy.cut_shape import CutKind, CutShape
from MSKPlannerLib.osteotomy.form_guide import design_dome_guide, design_facets_guide, holes_on_dome, saw_of
from MSKPlannerLib.osteotomy.planned import AskedCut, plan_cuts
from MSKPlannerLib.osteotomy.saw_form import Dome, Step, Tongue
from MSKPlannerLib.plan import Plan
from MSKPlannerLib.remake_guides import remake
from MSKPlannerLib.slot_records import describe_dome_guide, describe_facets_guide

#: An upright bar of 72 x 48 mm from z = 0 to 200 with rounded edges.
HALF = (36.0, 24.0, 100.0)
BAR = rounded_box(HALF).transformed(rigid(translation=[0.0, 0.0, 100.0]))
STEPS = ((-30.0, 15.0), (0.0, 15.0), (0.0, -15.0), (30.0, -15.0))
DRILL = load_guide_options("dome")
OPTIONS = CuttingGuideOptions(grid_mm=0.7)


def planned(kind, form, angle=0.0, x=0.0, bone=BAR):
    shape = CutShape(kind, rigid(translation=[x, 0.0, 100.0]), angle, 1.0, form)
    return plan_cuts([AskedCut("c", "bone", shape)], {"bone": bone}, solids=False)[0].record


@pytest.fixture(scope="module")
def step():
    return planned(CutKind.STEP, Step(STEPS, 10.0))


@pytest.fixture(scope="module")
def dome():
    return planned(CutKind.DOME, Dome(45.0), 8.0)


@pytest.fixture(scope="module")
def biplanar():
    return planned(CutKind.OPENING, Tongue(9.0, 1, 110.0), 8.0, x=-26.0)


def test_the_facets_of_a_step_are_its_planes_between_their_corners(step):
    places = [((-15.0, 0, 115.0), True), ((15.0, 0, 115.0), False), ((0.0, 0, 100.0), True), ((0.0, 0, 130.0), False)]
    first, middle, last = facets_of(step)
    for facet, normal, height in ((first, [0, 0, 1.0], 115.0), (middle, [1.0, 0, 0], 0.0), (last, [0, 0, 1.0], 85.0)):
        n = np.array(facet.cut.normal_ras)
        assert np.abs(n) == pytest.approx(np.array(normal), abs=1e-12)
        assert abs(float(n @ facet.cut.point_ras)) == pytest.approx(height, abs=1e-9)
    for facet, part in ((first, places[:2]), (middle, places[2:])):
        for place, wanted in part:
            below = all(np.subtract(place, c.point_ras) @ np.array(c.normal_ras) <= 0 for c in facet.limits)
            assert below == wanted
    assert set(planes_by_name(Plan("p", "now", {}, osteotomies=(step,)))) >= {"c, facet 1", "c, facet 2", "c, facet 3"}


def test_the_plane_of_a_biplanar_wedge_ends_at_its_corner_and_its_hinge(biplanar):
    plane, rising = facets_of(biplanar)
    assert np.abs(plane.cut.normal_ras) == pytest.approx([0, 0, 1], abs=1e-12)
    assert len(plane.limits) == 2
    assert len(rising.limits) == 1

    def sawn(facet, place):
        return all(np.subtract(place, c.point_ras) @ np.array(c.normal_ras) <= 0 for c in facet.limits)

    # The hinge runs at x = -26, the corner at y = 9; the saw comes from x.
    assert [sawn(plane, (x, y, 100.0)) for x, y in ((0, 0), (-30, 0), (0, 12))] == [True, False, False]
    # The ascending cut leaves the plane at 110 degrees and goes right through.
    up = np.array([0.0, -np.cos(np.radians(110.0)), -np.sin(np.radians(110.0))])
    assert abs(unit(np.array(rising.cut.normal_ras)) @ up) < 1e-12
    assert sawn(rising, (-30.0, 9.0, 100.0) + 5 * up)
    assert not sawn(rising, (0.0, 9.0, 100.0) - 5 * up)


def test_holes_lie_on_the_arc_of_a_dome_through_the_bone(dome):
    holes = holes_on_dome(dome, BAR, (0.1, 1.0, 0.0), DRILL)
    assert len(holes) >= 9
    centre = np.array([0.0, 145.0])
    entries, tips = (np.array([getattr(h, a) for h in holes]) for a in ("entry_ras", "tip_ras"))
    assert np.linalg.norm(entries[:, [0, 2]] - centre, axis=1) == pytest.approx(np.full(len(holes), 45.0), abs=1e-6)
    for ends, side in ((entries, 1), (tips, -1)):
        assert np.abs(rounded_box_field(ends - [0.0, 0.0, 100.0], HALF)).max() < 0.2
        assert (np.sign(ends[:, 1]) == side).all()
    apart = np.linalg.norm(np.diff(entries, axis=0), axis=1)
    least = DRILL.sleeve_diameter_mm
    assert apart.min() > least
    assert apart.max() < least + 2.0
    # As far as the bar is wide, symmetric to its middle.
    assert entries[:, 0].max() > 36.0 - least
    assert entries[:, 0].sum() == pytest.approx(0.0, abs=1.0)
    with pytest.raises(GeometryError, match="cut through"):
        holes_on_dome(dome, BAR, (1.0, 0.0, 0.0), DRILL)
    with pytest.raises(InputError, match="no dome"):
        holes_on_dome(replace(dome, form=None), BAR, (0.0, 1.0, 0.0), DRILL)


def sound(solid):
    assert solid.mesh.is_closed
    assert body_labels(solid.mesh)[1] == 1
    assert [c.message for c in failed(solid.checks)] == []


@pytest.mark.slow
def test_a_guide_has_a_slot_on_every_facet_of_a_step():
    """On the shaft of a femur, which is round: 26 mm wide."""
    bone = femur_mesh(2.0, top=170.0)
    step = planned(CutKind.STEP, Step(STEPS, 10.0), bone=bone)
    made = design_facets_guide(step, bone, (0.0, 1.0, 0.0), OPTIONS)
    sound(made)
    tree = vtk.vtkOBBTree()
    tree.SetDataSet(made.mesh.to_polydata())
    tree.BuildLocator()
    # Facets in closed form: the plane's axis and height, and the stretch of the other axis that it lies on.
    for slot, (axis, height) in zip(made.slots, ((2, 115.0), (0, 0.0), (2, 85.0)), strict=True):
        way = np.eye(3)[axis]
        for across in np.linspace(-0.4, 0.4, 5) * slot.width_mm:
            place = slot.to_ras[:3, 3] + across * slot.to_ras[:3, 0] + (slot.top_mm - 3.0) * slot.outward_ras
            assert place[axis] == pytest.approx(height, abs=1e-6)
            hits = vtk.vtkPoints()
            tree.IntersectWithLine(place - 1.5 * way, place + 1.5 * way, hits, None)
            off = [hits.GetPoint(k)[axis] - height for k in range(hits.GetNumberOfPoints())]
            assert np.sort(off) == pytest.approx(np.array([-0.5, 0.5]) * OPTIONS.slot_thickness_mm, abs=0.02)
    assert {np.sign(w.entry_ras[2] - 100.0) for w in made.wires} == {-1.0, 1.0}
    guide = describe_facets_guide("g", "bone", made, {}, step, (0.0, 1.0, 0.0))
    plan = Plan("p", "now", {}, osteotomies=(step,))
    assert why_outdated(guide, plan) == ()
    longer = planned(CutKind.STEP, Step(tuple((x, 1.1 * z) for x, z in STEPS), 10.0), bone=bone)
    assert "was moved" in why_outdated(guide, replace(plan, osteotomies=(longer,)))[0]


@pytest.mark.slow
def test_a_guide_for_a_biplanar_wedge_stops_the_saw_at_the_hinge(biplanar):
    made = design_facets_guide(biplanar, BAR, (1.0, 0.0, 0.0), OPTIONS)
    sound(made)
    # From the bar's side at x = 36 to the hinge at x = -26.
    assert made.stops[0].shallowest_mm == pytest.approx(made.slots[0].top_mm + 62.0, abs=1.0)
    assert made.stops[1].shallowest_mm is None
    assert made.stops[1].deepest_mm == pytest.approx(made.slots[1].top_mm + 72.0, abs=1.0)


@pytest.mark.slow
def test_a_closing_biplanar_wedge_has_a_guide_a_face_and_each_is_made_again():
    cut = planned(CutKind.CLOSING, Tongue(9.0, 1, 95.0), 4.0, x=-26.0)
    plan = Plan("p", "now", {}, osteotomies=(cut,))
    for face, names in ((1, ["c, facet 1", "c, facet 2"]), (2, ["c, facet 3"])):
        made = design_facets_guide(cut, BAR, (1.0, 0.0, 0.0), saw_of(load_cutting_options("saw"), cut), face=face)
        sound(made)
        assert [f.name for f in made.faces] == names
        # To the hinge at x = -26 from the bar's side at x = 36, along each face's own direction.
        long = 62.0 / np.cos(np.radians(4.0 if face == 2 else 0.0))
        assert made.stops[0].shallowest_mm == pytest.approx(made.slots[0].top_mm + long, abs=1.0)
        guide = describe_facets_guide("g", "bone", made, inputs_of(BAR, ()), cut, (1.0, 0.0, 0.0))
        assert why_outdated(guide, plan) == ()
        again, mesh, _ = remake(guide, plan, BAR)
        assert [c.name for c in again.recipe.cuts] == names
        assert mesh.vertices_ras == pytest.approx(made.mesh.vertices_ras)
    with pytest.raises(InputError, match="no face 2"):
        design_facets_guide(planned(CutKind.OPENING, Tongue(9.0, 1), 8.0, x=-26.0), BAR, (1.0, 0.0, 0.0), face=2)


@pytest.mark.slow
def test_a_template_for_a_dome_has_its_bores_on_the_arc(dome):
    made = design_dome_guide(dome, BAR, (0.0, 1.0, 0.0), DRILL)
    sound(made.solid)
    off = [c.value for c in made.solid.checks if c.name.startswith("sleeve axis")]
    assert len(off) == len(made.pins)
    assert max(off) < 0.01
    guide = describe_dome_guide("g", "bone", "C1", made, {}, dome, (0.0, 1.0, 0.0))
    plan = Plan("p", "now", {}, osteotomies=(dome,))
    assert why_outdated(guide, plan) == ()
    wider = planned(CutKind.DOME, Dome(50.0), 8.0)
    assert "the dome of 'c' was moved" in why_outdated(guide, replace(plan, osteotomies=(wider,)))
