"""The report of a leg: measures, pictures, and the planned correction, in one HTML file that opens without a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from typing import Any

import numpy as np

from MSKFusionLib.frames import FloatArray, invert_rigid, perpendicular_axes, transform_points

from ..anatomy.leg import LegPoints
from ..anatomy.limb_landmarks import POINTS, LimbLandmarks, spoken
from ..anatomy.limb_measures import MEASURES
from ..mesh import Mesh
from ..osteotomy.cut_shape import CutKind
from ..osteotomy.limb_cut import FORMS, LimbPlan
from ..osteotomy.limb_form import LimbForm
from ..osteotomy.limb_turn import LimbTurn
from ..osteotomy.plane_split import cut_face
from ..osteotomy.saw_form import line_in_bone
from ..osteotomy.target import CutLevel
from .bone_picture import Body, Line, bone_figure
from .html import bullets, page, table
from .limb_record import form_facts

_FEMUR, _TIBIA, _TARGET, _POINT = "#0072b2", "#009e73", "#d55e00", "#cc79a7"
_MOVED = (240, 180, 110)
#: Longer pictures than this many pixels help nobody.
_TALLEST = 760.0


def render_limb_report(
    leg: LegPoints,
    record: Mapping[str, Any],
    bones: Mapping[str, Mesh],
    plans: Sequence[LimbPlan] = (),
    plan_records: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Return the report as HTML.

    Parameters
    ----------
    record, plan_records
        As `limb_record.describe_leg` and `describe_wedge` or `describe_turn` give them.
    plans
        The correction; of two levels the femur's and then the tibia's, which was made where the first brings the tibia.
    bones
        Surfaces by "femur", "tibia", "fibula", "talus"; those that there are.
    """
    rejected = not all(p.accepted for p in plans)
    unmade = [m["title"] for m in record["measures"] if m["value"] is None]
    verdict = "Measured." if not unmade else f"Measured in part; cannot be made: {', '.join(unmade)}."
    if plans:
        verdict = "The planned correction was REJECTED by its own checks. Do not use it." if rejected else (
            "The planned correction agrees with its fragments, measured again. Look at the pictures before you rely on it."
        )  # fmt: skip
    remarks = [*record["not_found"], *record["notes"]]
    remarks += [r for p in plan_records for r in (*p["reasons"], *p["warnings"])]
    return page(
        "limb.html",
        side=leg.landmarks.side,
        verdict_class="rejected" if rejected else "accepted",
        verdict=escape(verdict),
        remarks=bullets(remarks),
        pictures=_pictures(leg.landmarks, bones, plans),
        measures=measure_table(record),
        correction="".join(_correction(p) for p in plan_records),
        landmarks=table(
            ["Landmark", "R", "A", "S", "From", "Placed beside the found one by, mm"],
            [[spoken(p["name"]), *p["position_ras"], p["origin"], p["placed_off_mm"]] for p in record["landmarks"]],
        ),
        definitions=table(
            ["Measure", "Definition", "Source"],
            [[m["title"], m["definition"], m["source"]] for m in record["measures"]],
        ),
    )


def measure_table(record: Mapping[str, Any]) -> str:
    """Return the measures of a leg as a table."""
    rows = []
    for m in record["measures"]:
        usual = "–" if m["usual"] is None else f"{m['usual'][0]:g} to {m['usual'][1]:g}"
        follows = "–"
        if m["per_mm"] is not None:
            follows = f"{m['per_mm']:.2f} for each mm of the {spoken(m['most_sensitive_to'])}"
        words = m["in_words"] + (
            " (a landmark of it is estimated)" if m["estimated"] and m["value"] is not None else ""
        )
        rows.append([m["title"], m["value"], m["unit"], usual, words, follows, m["standard_error_at_1_mm"]])
    return table(["Measure", "Value", "Unit", "Usual", "In words", "Follows", "Standard error"], rows)


def _correction(record: Mapping[str, Any]) -> str:
    missed = ["Target missed by, measured again on the fragments", f"{abs(record['target_missed_by']):.1e}"]
    facts: list[list[Any]] = []
    for target in (record["target"], record.get("second_target")):
        if target is not None:
            info = MEASURES[target["measure"]]
            facts.append(["Target", f"{info.title} {target['value']:g} {info.unit}".strip()])
    if record["kind"] in FORMS:
        facts += form_facts(record) + ([missed] if facts else [])
    elif record["kind"] == "derotation":
        facts += [
            ["Cut", f"across the {record['bone']}, at right angles to its mechanical axis"],
            ["Turn of the part below, deg", record["angle_deg"]],
            ["Direction", record["direction"]],
            missed,
        ]
    else:
        what = "Gap at the cortex, mm" if record["kind"] == "opening" else "Base taken out at the cortex, mm"
        facts += [
            ["Wedge", f"{record['kind']} wedge of the {record['bone']}, from the {record['from']} side"],
            ["Angle, deg", record["angle_deg"]],
            [what, record["gap_mm"]],
            ["Depth of the cut to the hinge, mm", record["depth_mm"]],
            ["Bone left behind the hinge, mm", record["hinge"]["bone_left_mm"]],
            ["Bone taken out, mm3", record["removed_mm3"]],
            missed,
            ["Gap missed by, mm", f"{record['gap_missed_by_mm']:.1e}"],
        ]
    before, after = record["before"], record["measured_again"]
    rows = [
        [
            info.title,
            before[n],
            after[n],
            None if before[n] is None or after[n] is None else after[n] - before[n],
            info.unit,
        ]
        for n, info in MEASURES.items()
    ]
    return (
        "<h2>Planned correction</h2>" + table(["What", "Value"], facts)
        + "<h2>Before and after</h2><p class='soft'>What the correction costs besides what it is meant for: length, slope, joint line.</p>"
        + table(["Measure", "Before", "After", "Change", "Unit"], rows)
    )  # fmt: skip


# --------------------------------------------------------------------------------------------------------------- pictures
def _pictures(points: LimbLandmarks, bones: Mapping[str, Mesh], plans: Sequence[LimbPlan]) -> str:
    if not bones:
        return ""
    right, up, front = _view(points, bones)
    drawn = [
        _whole(
            points,
            [Body(m) for m in bones.values()],
            right,
            up,
            "Before, from the front" if plans else "From the front",
        )
    ]
    if plans:
        after = plans[-1].correction.landmarks
        drawn.append(_whole(after, _corrected(bones, plans), right, up, "After the planned correction"))
    knee = _known(points, [n for n in POINTS if "condyle" in n or "plateau" in n or "knee" in n])
    marks = [Line(getattr(points, n), _POINT) for n in POINTS if n not in points.missing]
    if len(knee):
        bodies = [Body(m) for m in bones.values()]
        about = np.concatenate([knee + 45 * d for d in (up, -up, right, -right, front, -front)])
        lines = [*marks, *_joint_lines(points)]
        for n, plan in enumerate(plans):
            back = invert_rigid(plans[0].motion_ras) if n else np.eye(4)
            lines += [replace(line, points_ras=transform_points(back, line.points_ras)) for line in _cut_lines(plan)]
        drawn.append(
            bone_figure(bodies, lines, right, up, "The knee from the front", mm_per_pixel=0.35, within_ras=about)
        )
        medial = -front if points.side == "right" else front
        drawn.append(
            bone_figure(bodies, lines, medial, up, "The knee from the medial side", mm_per_pixel=0.35, within_ras=about)
        )
    return "".join(drawn)


def _view(points: LimbLandmarks, bones: Mapping[str, Mesh]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return what runs to the right and upwards in a picture from the front, and the direction to the front."""
    for frame in (points.femur_to_ras, points.tibia_to_ras):
        if np.isfinite(frame).all():
            return -frame[:3, 0], frame[:3, 2], frame[:3, 1]
    pair = points.lateral_posterior_condyle - points.medial_posterior_condyle
    if np.isnan(pair).any():
        pair = points.lateral_posterior_tibia - points.medial_posterior_tibia
    meshes = list(bones.values())
    up = np.array([0, 0, 1.0])
    if len(meshes) > 1:
        up = meshes[0].vertices_ras.mean(axis=0) - meshes[-1].vertices_ras.mean(axis=0)
    up = up / np.linalg.norm(up)
    if np.isnan(pair).any():
        right, front = perpendicular_axes(up)
        return right, up, front
    right = -points.lateral_sign * (pair - (pair @ up) * up)
    right = right / np.linalg.norm(right)
    return right, up, np.cross(right, up)


def _whole(points: LimbLandmarks, bodies: Sequence[Body], right: FloatArray, up: FloatArray, caption: str) -> str:
    tall = float(np.ptp(np.concatenate([b.mesh.vertices_ras for b in bodies]) @ up))
    lines = [
        Line(_known(points, ["hip_centre", "femoral_knee_centre"]), _FEMUR),
        Line(_known(points, ["tibial_knee_centre", "ankle_centre"]), _TIBIA),
        Line(_known(points, ["hip_centre", "ankle_centre"]), _TARGET, dashed=True),
    ]
    return bone_figure(
        bodies, [line for line in lines if len(line.points_ras) == 2] + _joint_lines(points), right, up, caption,
        mm_per_pixel=max(0.3, tall / _TALLEST),
    )  # fmt: skip


def _corrected(bones: Mapping[str, Mesh], plans: Sequence[LimbPlan]) -> list[Body]:
    """Return the bones as they lie after the correction; what moves is coloured."""
    cut = {p.bone.value for p in plans}
    bodies = [b for p in plans for b in (Body(p.fragments_after[0]), Body(p.fragments_after[1], _MOVED))]
    for name, mesh in bones.items():
        if name in cut or (name == "fibula" and "tibia" in cut):
            continue  # where a fibula goes beside a cut tibia depends on whether it is cut
        motion = np.eye(4)
        for plan in plans:
            if plan.bone is CutLevel.FEMUR or name == "talus":
                motion = plan.motion_ras @ motion
        follows = name != "femur"
        bodies.append(Body(mesh.transformed(motion), _MOVED) if follows else Body(mesh))
    return bodies


def _joint_lines(points: LimbLandmarks) -> list[Line]:
    lines = []
    for pair, colour in (("distal_condyle", _FEMUR), ("plateau", _TIBIA)):
        ends = _known(points, [f"medial_{pair}", f"lateral_{pair}"])
        if len(ends) == 2:
            reach = 0.35 * (ends[1] - ends[0])
            lines.append(Line(np.array([ends[0] - reach, ends[1] + reach]), colour))
    return lines


def _cut_lines(plan: LimbPlan) -> list[Line]:
    if isinstance(plan, LimbForm):
        return _form_lines(plan)
    if isinstance(plan, LimbTurn):
        face = cut_face(plan.cut.bone, plan.plane).vertices_ras
        ends = face[[int((face @ d).argmax()) for d in (_across(plan), -_across(plan))]]
        return [Line(ends, _TARGET, "cut")]
    section = plan.wedge.section
    origin, ahead = section.hinge.point_ras, section.to_ras[:3, 0]
    lines = [Line(origin, _TARGET, "hinge"), Line(np.array([origin, origin + section.depth_mm * ahead]), _TARGET)]
    if len(plan.wedge.planes) == 2:
        other = np.cross(section.to_ras[:3, 1], plan.wedge.planes[1].normal_ras)
        lines.append(Line(np.array([origin, origin + section.depth_mm * other]), _TARGET, dashed=True))
    return lines


def _form_lines(plan: LimbForm) -> list[Line]:
    """Return the line of the cut, and its hinge or axis where that is near."""
    shape = plan.shape
    if shape.form is not None:
        lines = [Line(line_in_bone(plan.parts.staying, shape.form, shape.to_ras), _TARGET, "cut")]
        if shape.kind is CutKind.STEP:
            return lines
        return [*lines, Line(shape.hinge.point_ras, _TARGET, "axis" if shape.kind is CutKind.DOME else "hinge")]
    face = cut_face(plan.surface, shape.plane).vertices_ras
    return [Line(face[[int((face @ d).argmax()) for d in (_across(plan), -_across(plan))]], _TARGET, "cut")]


def _across(plan: LimbTurn | LimbForm) -> FloatArray:
    """Return a direction in the plane of a cut that the frontal view shows."""
    points = plan.correction.landmarks
    frame = points.tibia_to_ras if plan.bone is CutLevel.TIBIA else points.femur_to_ras
    return frame[:3, 0]


def _known(points: LimbLandmarks, names: Sequence[str]) -> FloatArray:
    return np.array([getattr(points, n) for n in names if n not in points.missing]).reshape(-1, 3)
