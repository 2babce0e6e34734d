"""Osteotomies in a scene: planes are handles, fragments and axes follow, undo goes back, and nothing is left behind."""

from dataclasses import replace

import numpy as np
import pytest
import vtk
from core.leg_case import FEMUR, LEG, LIMB, TIBIA, leg_case, leg_images

from MSKFusionLib.frames import rigid, rotation_about
from MSKFusionLib.mrml import segmentation_to_node, volume_to_node
from MSKPlannerLib.anatomy.limb_alignment import align
from MSKPlannerLib.editing import osteotomy_edits
from MSKPlannerLib.mrml import nodes_of_plan, scene_to_plan
from MSKPlannerLib.mrml.osteotomy_nodes import plane_frame
from MSKPlannerLib.mrml.plan_basis import Basis
from MSKPlannerLib.mrml.plan_session import PlanSession
from MSKPlannerLib.mrml.plan_shelf import PlanShelf
from MSKPlannerLib.mrml.updating import bring_up_to_date
from MSKPlannerLib.osteotomy.planned import asked_of
from MSKPlannerLib.osteotomy.target import Target, neutral_axis

NAME = "right tibia osteotomy"


@pytest.fixture
def session(scene):
    ct, bones = leg_images()
    ct_node, bones_node = volume_to_node(scene, ct), segmentation_to_node(scene, bones, "Bones")
    told = []
    made = PlanSession(scene, told.append)
    made.told = told
    case = leg_case(ct, bones)
    made.take("Start", case, Basis.of(ct_node, bones_node, case))
    made.edit("Add a cut", osteotomy_edits.added, "right tibia", neutral_axis())
    yield made
    made.close()


def cut(session, name=NAME):
    return osteotomy_edits.osteotomy_of(session.case, name)


def nodes(session, name=NAME):
    return session.cuts.shown.nodes[name]


def world(model):
    """Corners of a model where it is seen."""
    surface = vtk.vtkPolyData()
    surface.DeepCopy(model.GetPolyData())
    transform = vtk.vtkGeneralTransform()
    if model.GetParentTransformNode() is not None:
        model.GetParentTransformNode().GetTransformToWorld(transform)
    points = [transform.TransformPoint(surface.GetPoint(i)) for i in range(surface.GetNumberOfPoints())]
    return np.array(points)


def move(node, matrix, *, grasp=True):
    """Move a plane as its handles do."""
    if grasp:
        node.InvokeEvent(node.PointStartInteractionEvent)
    transform = vtk.vtkTransform()
    transform.SetMatrix(np.asarray(matrix).ravel())
    node.ApplyTransform(transform)
    if grasp:
        node.InvokeEvent(node.PointEndInteractionEvent)


def shift(x, y, z):
    return rigid(np.eye(3), [x, y, z])


def agree(session):
    """Whether scene, document and plan say the same."""
    plan = session.case.plan
    assert scene_to_plan(session.scene).osteotomies == plan.osteotomies
    assert set(session.cuts.shown.nodes) == {o.name for o in plan.osteotomies}
    for record in plan.osteotomies:
        shown = nodes(session, record.name)
        assert plane_frame(shown.plane) == pytest.approx(asked_of(record).shape.to_ras, abs=1e-6)
        for fragment in record.fragments:
            matrix = vtk.vtkMatrix4x4()
            shown.motions[fragment.name].GetMatrixTransformToParent(matrix)
            held = [[matrix.GetElement(r, c) for c in range(4)] for r in range(4)]
            assert np.array(held) == pytest.approx(np.array(fragment.image_to_planned_ras), abs=1e-12)
            model = shown.models[fragment.name]
            assert model.GetParentTransformNode() is shown.motions[fragment.name]


def test_fragments_lie_where_the_plan_puts_them_and_the_axes_go_with_them(session):
    record = cut(session)
    agree(session)
    assert record.verdict == "accepted"
    moved = world(nodes(session).models["moved"])
    # The lowest face of the tibia's bar: its middle stands under the knee after a neutral correction.
    motion = np.array(record.fragments[1].image_to_planned_ras)
    foot = TIBIA.vertices_ras[TIBIA.vertices_ras[:, 2] < TIBIA.vertices_ras[:, 2].mean()]
    expected = foot @ motion[:3, :3].T + motion[:3, 3]
    for corner in expected:
        assert np.linalg.norm(moved - corner, axis=1).min() < 1e-6
    marks = {n.GetAttribute("MSKPlanner.Item"): n for n in nodes_of_plan(session.scene, role="limb-axis")}
    line = marks["weight-bearing line"]
    ankle = motion @ [*LEG.ankle_centre, 1]
    assert line.GetNthControlPointPosition(0) == pytest.approx(tuple(LEG.hip_centre), abs=1e-9)
    assert line.GetNthControlPointPosition(1) == pytest.approx(tuple(ankle[:3]), abs=1e-6)
    before = marks["weight-bearing line before"]
    assert before.GetNthControlPointPosition(1) == pytest.approx(tuple(LEG.ankle_centre), abs=1e-9)
    angle = marks["hip-knee-ankle angle"]
    assert angle.GetName() == "HKA 180.0°"
    # Slicer draws arc and label as far out as the legs of the angle are long: they are short, on the leg's own rays.
    hip, knee, foot = (np.array(angle.GetNthControlPointPosition(n)) for n in range(3))
    for end, whole in ((hip, LEG.hip_centre), (foot, ankle[:3])):
        assert np.linalg.norm(np.cross(end - knee, whole - knee)) < 1e-6 * np.linalg.norm(whole - knee) ** 2
        assert 50.0 < np.linalg.norm(end - knee) < 150.0
    table = nodes_of_plan(session.scene, role="limb-measures")[0].GetTable()
    assert table.GetValueByName(0, "Measure").ToString() == "HKA"
    assert [table.GetValueByName(0, c).ToDouble() for c in ("Before", "After")] == pytest.approx(
        [172.0, 180.0], abs=1e-6
    )


def test_a_dragged_plane_keeps_its_target_and_is_one_step(session):
    first = cut(session)
    node = nodes(session).plane
    steps = session.history.undo_label
    node.InvokeEvent(node.PointStartInteractionEvent)
    seen = []
    for _ in range(3):
        move(node, shift(-3.0, 0, -2.0), grasp=False)
        record = cut(session)
        seen.append(record.angle_deg)
        assert {m.name: m.after for m in record.measures}["hka_deg"] == pytest.approx(180.0, abs=1e-6)
        assert np.array(record.planes[0].point_ras) != pytest.approx(np.array(first.planes[0].point_ras))
    assert session.history.undo_label == steps  # nothing yet
    node.InvokeEvent(node.PointEndInteractionEvent)
    assert len(set(seen)) == 3  # the angle follows while it is dragged
    assert session.history.undo_label == f"Move {NAME}"
    record = cut(session)
    volumes = sum(f.volume_mm3 for f in record.fragments)
    assert volumes == pytest.approx(TIBIA.volume_mm3, rel=1e-6)
    assert np.subtract(record.planes[0].point_ras, first.planes[0].point_ras) == pytest.approx([-9, 0, -6], abs=1e-6)
    agree(session)
    assert NAME in session.told
    session.undo()
    assert cut(session) == first
    agree(session)
    session.redo()
    assert cut(session) == record
    agree(session)


def test_turned_by_its_handles_the_cut_turns(session):
    session.edit("Angle", osteotomy_edits.with_angle, NAME, 6.0)
    node = nodes(session).plane
    frame = plane_frame(node)
    about = frame @ rigid(rotation_about([0, 1, 0], 7.0)) @ np.linalg.inv(frame)
    move(node, about)
    normal, before = np.array(cut(session).planes[0].normal_ras), frame[:3, 2]
    assert np.degrees(np.arccos(normal @ before)) == pytest.approx(7.0, abs=1e-5)
    assert cut(session).angle_deg == 6.0
    assert cut(session).hinge.point_ras == pytest.approx(tuple(frame[:3, 3]), abs=1e-6)
    agree(session)


def test_a_plane_that_leaves_the_bone_is_put_back_and_said(session):
    before = cut(session)
    move(nodes(session).plane, shift(0, 0, 600.0), grasp=False)
    assert "misses the bone" in session.problem
    assert cut(session) == before
    agree(session)
    move(nodes(session).plane, shift(0, 0, 600.0))
    assert cut(session) == before
    agree(session)


def test_a_landmark_is_dragged_and_every_measure_follows(session):
    first = cut(session)
    session.edit("Seen", osteotomy_edits.reviewed, NAME, True)
    node = session.cuts.shown.landmarks
    names = [node.GetNthControlPointDescription(n) for n in range(node.GetNumberOfControlPoints())]
    at = names.index("ankle_centre")
    start = np.array(node.GetNthControlPointPosition(at))
    assert start == pytest.approx(LEG.ankle_centre, abs=1e-12)
    node.InvokeEvent(node.PointStartInteractionEvent)
    for share in (0.5, 1.0):
        node.SetNthControlPointPosition(at, *(start + share * np.array([-5.0, 0, 0])))
    held = cut(session)
    node.InvokeEvent(node.PointEndInteractionEvent)
    record = cut(session)
    rows = {m.name: m for m in record.measures}
    leg = replace(LEG, ankle_centre=LEG.ankle_centre + [-5.0, 0, 0])
    assert rows["hka_deg"].before == pytest.approx(align(leg).hka_deg, abs=1e-9)
    assert rows["hka_deg"].after == pytest.approx(180.0, abs=1e-6)
    assert held.angle_deg == record.angle_deg > first.angle_deg
    assert session.case.plan.limb.origin["ankle_centre"] == "placed"
    assert not record.reviewed
    assert session.history.undo_label == "Place ankle centre"
    agree(session)
    session.undo()
    assert node.GetNthControlPointPosition(at) == pytest.approx(tuple(start), abs=1e-9)
    assert cut(session).reviewed
    # Nonsense is refused and put back, and so is a point too many or too few.
    node.SetNthControlPointPosition(names.index("hip_centre"), 0, 0, -900.0)
    assert session.problem
    node.AddControlPoint(vtk.vtkVector3d(1, 2, 3))
    assert "moved, not added" in session.problem
    node.RemoveNthControlPoint(0)
    assert [node.GetNthControlPointDescription(n) for n in range(node.GetNumberOfControlPoints())] == names
    assert node.GetNthControlPointPosition(at) == pytest.approx(tuple(start), abs=1e-9)
    agree(session)
    session.scene.RemoveNode(node)
    assert session.incomplete
    session.write_document()
    assert session.cuts.shown.landmarks.GetNumberOfControlPoints() == len(names)


def test_two_bones_the_tibia_goes_with_the_femur(session):
    session.edit("Add", osteotomy_edits.added, "right femur", Target("ldfa_deg", 88.0))
    femur = cut(session, "right femur osteotomy")
    tibia = cut(session)
    assert np.array(tibia.fragments[0].image_to_planned_ras) == pytest.approx(
        np.array(femur.fragments[1].image_to_planned_ras), abs=1e-9
    )
    after = {m.name: m.after for m in tibia.measures}
    assert after["ldfa_deg"] == pytest.approx(88.0, abs=1e-6)
    assert after["hka_deg"] == pytest.approx(180.0, abs=1e-6)
    agree(session)
    # The tibia's plane is seen where its upper part is, and dragged there.
    before = tibia.planes[0].point_ras
    seen = np.array(nodes(session).plane.GetOriginWorld())
    assert seen == pytest.approx(np.array(femur.fragments[1].image_to_planned_ras)[:3] @ [*before, 1], abs=1e-6)
    nodes(session).plane.SetOrigin(*np.add(before, [0, 0, -1.0]))
    assert np.subtract(cut(session).planes[0].point_ras, before) == pytest.approx([0, 0, -1.0], abs=1e-9)
    agree(session)
    session.undo()
    session.scene.RemoveNode(nodes(session, "right femur osteotomy").models["moved"])
    assert [o.name for o in session.case.plan.osteotomies] == [NAME]
    assert np.array_equal(cut(session).fragments[0].image_to_planned_ras, np.eye(4))
    assert {m.name: m.after for m in cut(session).measures}["hka_deg"] == pytest.approx(180.0, abs=1e-6)
    session.undo()
    agree(session)
    assert sum(f.volume_mm3 for f in cut(session, "right femur osteotomy").fragments) <= FEMUR.volume_mm3 + 1e-6


@pytest.mark.parametrize("what", ["plane", "model", "motion", "mark", "table", "document", "ct"])
def test_deleted_nodes_are_no_trouble(session, what):
    shown = nodes(session)
    node = {
        "plane": shown.plane,
        "model": shown.models["staying"],
        "motion": shown.motions["moved"],
        "mark": nodes_of_plan(session.scene, role="limb-axis")[0],
        "table": nodes_of_plan(session.scene, role="limb-measures")[0],
        "document": session.nodes.plan,
        "ct": session.basis.ct,
    }[what]
    session.scene.RemoveNode(node)
    if what in ("plane", "model", "motion"):
        assert session.case.plan.osteotomies == ()
        assert nodes_of_plan(session.scene, role="limb-axis") == ()
        session.undo()
    elif what != "ct":
        assert session.incomplete
        session.write_document()
    if what != "ct":
        agree(session)
        assert len(nodes_of_plan(session.scene, role="limb-axis")) == 5
    else:
        move(nodes(session).plane, shift(1, 0, 0))
        assert "no longer in the scene" in session.problem
        assert cut(session).planes[0].point_ras == pytest.approx(
            tuple(plane_frame(nodes(session).plane)[:3, 3]), abs=1e-6
        )


def test_a_closed_scene_and_a_loaded_one(session, tmp_path):
    from MSKFusionLib.mrml import save_scene

    plan = session.case.plan
    node = nodes(session).plane
    save_scene(session.scene, tmp_path / "plan.mrb")
    session.scene.Clear(0)
    assert session.case is None
    assert len(session.cuts) == 0
    assert not node.HasObserver(node.PointModifiedEvent)
    session.scene.ReadFromMRB(str(tmp_path / "plan.mrb"))
    session.renew()
    assert session.problem == ""
    assert session.case.plan.osteotomies == plan.osteotomies
    session.case.fields.kept(("cut surface", "right tibia"), lambda: TIBIA)
    agree(session)
    session.edit("Angle", osteotomy_edits.with_angle, NAME, 5.0)
    assert cut(session).angle_deg == 5.0
    assert len(nodes_of_plan(session.scene, role="fragment")) == 2
    agree(session)
    session.close()
    assert len(session.cuts) == 0


def test_the_ct_under_a_transform_takes_all_along(session):
    transform = session.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 50.0)
    transform.SetMatrixTransformToParent(matrix)
    before = world(nodes(session).models["moved"])
    session.basis.ct.SetAndObserveTransformNodeID(transform.GetID())
    session.basis.bones.SetAndObserveTransformNodeID(transform.GetID())
    assert world(nodes(session).models["moved"]) == pytest.approx(before + [50, 0, 0], abs=1e-6)
    record = cut(session)
    move(nodes(session).plane, shift(0, 0, -2.0))
    assert np.subtract(cut(session).planes[0].point_ras, record.planes[0].point_ras) == pytest.approx(
        [0, 0, -2], abs=1e-6
    )


def test_on_bones_that_have_changed_a_cut_stays_where_it_is(session, monkeypatch):
    """Brought up to date: the same plane in another surface, the leg measured anew, placed landmarks kept."""
    ankle = LEG.ankle_centre + [-3.0, 0, 0]
    session.edit("Place", osteotomy_edits.landmarks_placed, {"ankle_centre": ankle})
    before = cut(session)
    longer = TIBIA.transformed(np.diag([1.1, 1.1, 1.0, 1.0]))
    surfaces = {"right femur": FEMUR, "right tibia": longer}

    def with_leg(case, bone, progress=None):
        return replace(case, plan=replace(case.plan, limb=LIMB))

    for place in ("MSKPlannerLib.editing.osteotomy_edits", "MSKPlannerLib.mrml.shown_osteotomies"):
        monkeypatch.setattr(f"{place}.surface_of", lambda case, bone: surfaces[bone])
    monkeypatch.setattr("MSKPlannerLib.editing.osteotomy_edits.with_leg", with_leg)
    labels = session.basis.bones.GetSegmentation().GetNthSegment(1).GetRepresentation("Binary labelmap")
    labels.GetPointData().GetScalars().SetTuple1(0, 0)
    labels.Modified()
    assert session.basis.problem
    bring_up_to_date(session, session.basis.ct, session.basis.bones)
    after = cut(session)
    assert after.planes[0].point_ras == pytest.approx(before.planes[0].point_ras, abs=1e-9)
    assert after.bone_sha256 != before.bone_sha256
    assert sum(f.volume_mm3 for f in after.fragments) == pytest.approx(longer.volume_mm3, rel=1e-6)
    assert session.case.plan.limb.landmarks_ras["ankle_centre"] == pytest.approx(tuple(ankle))
    assert {m.name: m.after for m in after.measures}["hka_deg"] == pytest.approx(180.0, abs=1e-6)
    session.undo()
    assert cut(session) == before
    # Where the bone is no more where the plane lies, it is said, and the plan is rejected.
    surfaces["right tibia"] = TIBIA.transformed(shift(0, 0, 900.0))
    bring_up_to_date(session, session.basis.ct, session.basis.bones)
    assert session.case.plan.osteotomies == ()
    assert "cannot be kept" in "; ".join(session.case.plan.reasons)
    assert session.case.plan.verdict == "rejected"


def test_a_copied_plan_has_cuts_of_its_own(session):
    shelf = PlanShelf(session)
    first, steps = session.case.plan, session.history.undo_label
    shelf.copy()
    assert session.case.plan.osteotomies == first.osteotomies
    session.edit("Angle", osteotomy_edits.with_angle, NAME, 4.0)
    second = session.case.plan
    assert len(nodes_of_plan(session.scene, role="cut-plane")) == 2
    shelf.open(first.plan_id)
    assert session.case.plan.osteotomies == first.osteotomies
    assert session.history.undo_label == steps
    move(nodes(session).plane, shift(0, 0, -1.0))
    assert cut(session).angle_deg != 4.0
    shelf.open(second.plan_id)
    assert cut(session).angle_deg == 4.0
    assert all(n.GetAttribute("MSKPlanner.PlanID") == second.plan_id for n in nodes(session).all)
    assert plane_frame(nodes(session).plane) == pytest.approx(asked_of(cut(session)).shape.to_ras, abs=1e-6)
    assert len(nodes_of_plan(session.scene, role="fragment")) == 4
