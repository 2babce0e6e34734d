"""Holes drilled before the cut: after the planned correction they are where the reduction guide has them."""

import numpy as np
import pytest
from core.femur_shapes import femur_mesh

from MSKFusionLib.errors import GeometryError
from MSKFusionLib.frames import rigid, rotation_about, transform_points, unit
from MSKPlannerLib.guides.checks import failed
from MSKPlannerLib.guides.cut_options import CuttingGuideOptions
from MSKPlannerLib.guides.cutting_guide import design_cutting_guide
from MSKPlannerLib.guides.field import distance_to
from MSKPlannerLib.osteotomy.cut_shape import CutKind, CutShape
from MSKPlannerLib.osteotomy.drill_first import (
    as_in_image,
    corrected_bone,
    design_reduction_guide,
    holes_beside,
    holes_through,
    place_of,
    reduction_options,
)
from MSKPlannerLib.osteotomy.planned import AskedCut, plan_cuts
from MSKPlannerLib.plan import GuideCut

APPROACH = np.array([1.0, 0.1, 0.0])
OPTIONS = CuttingGuideOptions(grid_mm=0.6)
#: Kind, angle, kerf, and the tilt of the cut about the hinge.
CASES = [(CutKind.OPENING, 15.0, 1.0, 0.0), (CutKind.CLOSING, 8.0, 0.0, 5.0), (CutKind.TURN, 20.0, 1.0, 8.0)]


def planned(bone, kind, angle, kerf, tilt):
    hinge = [0.0, 5.0, 85.0] if kind is CutKind.TURN else [-7.0, 5.0, 85.0]
    shape = CutShape(kind, rigid(rotation_about([0, 1, 0], tilt), hinge), angle, kerf)
    return plan_cuts([AskedCut("shaft", "femur", shape)], {"femur": bone})[0].record


@pytest.fixture(scope="module")
def bone():
    return femur_mesh(2.0, top=150.0)


@pytest.mark.parametrize(("kind", "angle", "kerf", "tilt"), CASES)
def test_holes_are_parallel_after_the_correction_and_each_in_its_fragment(bone, kind, angle, kerf, tilt):
    osteotomy = planned(bone, kind, angle, kerf, tilt)
    corrected = corrected_bone(bone, osteotomy)
    holes = holes_beside(corrected, osteotomy, APPROACH, first_mm=12.0, count=2, spacing_mm=11.0, depth_mm=15.0)
    assert [h.fragment for h in holes] == ["staying"] * 2 + ["moved"] * 2
    axes = np.array([unit(np.subtract(h.planned.entry_ras, h.planned.tip_ras)) for h in holes])
    assert np.allclose(axes, axes[0], atol=1e-9)
    drilled = as_in_image(holes, osteotomy)
    normal, point = unit(np.array(osteotomy.planes[0].normal_ras)), np.array(osteotomy.planes[0].point_ras)
    image = distance_to(bone)
    for hole, pin in zip(holes, drilled, strict=True):
        ends = np.array([pin.entry_ras, pin.tip_ras])
        # The bone as it lies in the image has the entry in its surface, and the hole on its own side of the cut.
        assert abs(image.distance_mm(ends[:1])[0]) < 1e-3
        side = -1.0 if hole.fragment == "staying" else 1.0
        assert (side * ((ends - point) @ normal)).min() > 5.0
        back = transform_points(place_of(osteotomy, hole.fragment), ends)
        assert np.allclose(back, [hole.planned.entry_ras, hole.planned.tip_ras], atol=1e-9)
    # What turns between the fragments is the angle of the correction, less what lies about the holes' own axis.
    turned = [unit(np.subtract(p.entry_ras, p.tip_ras)) for p in (drilled[0], drilled[-1])]
    about = unit(np.array(osteotomy.hinge.axis_ras)) @ axes[0]
    expected = np.degrees(2 * np.arcsin(np.sin(np.radians(angle / 2)) * np.sqrt(1 - about**2)))
    assert np.degrees(np.arccos(turned[0] @ turned[1])) == pytest.approx(expected, abs=1e-6)


def test_given_lines_find_their_fragment_or_are_refused(bone):
    osteotomy = planned(bone, *CASES[0])
    corrected = corrected_bone(bone, osteotomy)
    lines = [("a", (60.0, 5.0, 65.0), (0.0, 5.0, 65.0)), ("b", (60.0, 5.0, 110.0), (0.0, 5.0, 110.0))]
    assert [h.fragment for h in holes_through(corrected, osteotomy, lines)] == ["staying", "moved"]
    with pytest.raises(GeometryError, match="misses both fragments"):
        holes_through(corrected, osteotomy, [("far", (60.0, 90.0, 65.0), (0.0, 90.0, 65.0))])
    with pytest.raises(GeometryError, match="does not run along the plane"):
        holes_beside(corrected, osteotomy, [0.0, 0.0, 1.0], first_mm=12.0)
    cut = GuideCut("shaft", osteotomy.planes[0].point_ras, osteotomy.planes[0].normal_ras)
    near = holes_beside(corrected, osteotomy, APPROACH, first_mm=2.0)
    with pytest.raises(GeometryError, match="from the cut; its sleeve needs"):
        design_cutting_guide(bone, cut, APPROACH, OPTIONS, holes=as_in_image(near, osteotomy))


def bore_axis(mesh, pin, radius, length):
    """Point and direction of a bore from its facets: across all their normals; the point from the ring of its flat end."""
    entry, axis = np.array(pin.entry_ras), unit(np.subtract(pin.entry_ras, pin.tip_ras))
    offset = mesh.triangles_ras - entry
    along = offset @ axis
    radial = np.linalg.norm(offset - along[..., None] * axis, axis=2)
    on_bore = (
        (np.abs(radial - radius) < 0.05).all(axis=1) & (along > 0).all(axis=1) & (along < length + 0.1).all(axis=1)
    )
    normals = mesh.face_area_vectors[on_bore]
    assert len(normals) > 50
    found = np.linalg.svd(normals, full_matrices=False)[2][2]
    corners = mesh.triangles_ras[on_bore].reshape(-1, 3)
    ring = np.unique(corners[(corners - entry) @ axis > length - 0.02].round(6), axis=0)
    u = unit(np.cross(axis, [0.3, 0.5, 0.8]))
    v = np.cross(axis, u)
    x, y = (ring - entry) @ u, (ring - entry) @ v
    a = np.column_stack([2 * x, 2 * y, np.ones(len(x))])
    cx, cy, _ = np.linalg.lstsq(a, x**2 + y**2, rcond=None)[0]
    return entry + length * axis + cx * u + cy * v, found * np.sign(found @ axis)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "angle", "kerf", "tilt"), CASES)
def test_bores_of_both_guides_coincide_after_the_correction(bone, kind, angle, kerf, tilt):
    osteotomy = planned(bone, kind, angle, kerf, tilt)
    corrected = corrected_bone(bone, osteotomy)
    holes = holes_beside(corrected, osteotomy, APPROACH, first_mm=12.5, count=2, spacing_mm=11.0, depth_mm=15.0)
    drilled = as_in_image(holes, osteotomy)
    cut = GuideCut("shaft", osteotomy.planes[0].point_ras, osteotomy.planes[0].normal_ras)
    cutting = design_cutting_guide(bone, cut, APPROACH, OPTIONS, holes=drilled)
    options = reduction_options(OPTIONS)
    reduction = design_reduction_guide(corrected, holes, options)
    assert [c.message for c in (*failed(cutting.checks), *failed(reduction.solid.checks))] == []
    for hole, pin in zip(holes, drilled, strict=True):
        place = place_of(osteotomy, hole.fragment)
        p, axis = bore_axis(cutting.mesh, pin, OPTIONS.wire_bore_mm / 2, OPTIONS.wire_sleeve_mm)
        p, axis = transform_points(place, p), place[:3, :3] @ axis
        q, other = bore_axis(reduction.solid.mesh, hole.planned, options.bore_diameter_mm / 2, options.sleeve_length_mm)
        for depth in (0.0, 15.0):
            at = np.array(hole.planned.entry_ras) - depth * unit(
                np.subtract(hole.planned.entry_ras, hole.planned.tip_ras)
            )
            one, two = (s + ((at - s) @ d) * d for s, d in ((p, axis), (q, other)))
            assert np.linalg.norm(one - two) < 0.02
