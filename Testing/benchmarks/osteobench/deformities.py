"""Generated deformities with closed-form truth: what a plan recovers of them, and whether it mends them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from core.limb_shapes import leg

from MSKFusionLib.frames import (
    FloatArray,
    invert_rigid,
    rigid,
    rigid_about,
    rotation_about,
    rotation_angle_deg,
    transform_points,
    unit,
)
from MSKPlannerLib.mesh import Mesh
from MSKPlannerLib.osteotomy.cora import correct_at, find_cora
from MSKPlannerLib.osteotomy.cuts import PlaneCut
from MSKPlannerLib.osteotomy.fragments import cut_bone
from MSKPlannerLib.osteotomy.hinge import Hinge
from MSKPlannerLib.osteotomy.plane import Plane
from MSKPlannerLib.osteotomy.screw_motion import fragment_numbers, motion_of
from MSKPlannerLib.osteotomy.single_cut import single_oblique_cut
from MSKPlannerLib.osteotomy.target import CutLevel, Target, plan_turn
from MSKPlannerLib.osteotomy.wedge import wedge_of_turn


@dataclass(frozen=True)
class Miss:
    """By how much one plan misses the truth; NaN where the case has no such number."""

    kind: str
    angle_deg: float
    gap_mm: float
    axis_deg: float
    place_mm: float


def _bar(half: FloatArray) -> Mesh:
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float) * half
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return Mesh(corners, np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))]))


def _restored(healthy: Mesh, deform: FloatArray, plan: FloatArray) -> tuple[float, float]:
    """How far the fragment's corners lie from the healthy ones (mm), and its turn (degrees)."""
    back = transform_points(plan, transform_points(deform, healthy.vertices_ras))
    return float(np.linalg.norm(back - healthy.vertices_ras, axis=1).max()), rotation_angle_deg(plan @ deform)


def _pose(rng: np.random.Generator) -> FloatArray:
    return rigid(rotation_about(rng.normal(size=3), rng.uniform(-180, 180)), rng.uniform(-300, 300, 3))


def varus_or_valgus(rng: np.random.Generator, sign: float) -> Miss:
    """A tibia bent at a hinge in its head; the plan must bend it back, and open or close the gap by formula."""
    side, pose = str(rng.choice(["left", "right"])), _pose(rng)
    lateral = 1.0 if side == "right" else -1.0
    angle = sign * lateral * rng.uniform(3, 15)
    healthy = leg(side, varus=rng.uniform(-2, 2)).moved(pose)
    # A head of the tibia with straight sides, 70 x 45 mm, cut 35 mm below the knee centre.
    half, place = np.array([35.0, 22.5, 45.0]), rigid(None, [0, 0, -50.0])
    bone = _bar(half).transformed(pose @ place)
    short = rng.uniform(6, 14)
    hinge = Hinge([lateral * (35 - short), 0, -35], [0, 1, 0]).transformed(pose)
    plane = Plane([0, 0, -35], [0, 0, 1]).transformed(pose)
    deform = hinge.motion_ras(angle)
    bent = healthy.after_tibial_cut(deform)
    measure = str(rng.choice(["weight_bearing_share", "hka_deg", "mpta_deg"]))
    plan = plan_turn(bent, CutLevel.TIBIA, hinge, Target(measure, float(_measure(healthy, measure))))
    entry, ankle = transform_points(pose, [-lateral * 35, 0, -35]), bent.ankle_centre
    wedge = wedge_of_turn(bone, plane, hinge, entry, plan.angle_deg, ankle)
    truth = 2 * (70 - short) * np.sin(np.radians(abs(angle)) / 2)
    fragment = cut_bone(bone, [PlaneCut("head", plane)]).fragments[0]
    mm, deg = _restored(fragment, deform, wedge.moved_to_corrected_ras)
    ankle_mm = float(np.linalg.norm(plan.landmarks.ankle_centre - healthy.ankle_centre))
    kind = "varus" if sign * 1.0 < 0 else "valgus"
    return Miss(kind, abs(plan.angle_deg + angle), abs(wedge.gap_mm - truth), deg, max(mm, ankle_mm))


def _measure(points, name: str) -> float:
    from MSKPlannerLib.anatomy.limb_alignment import align

    return float(getattr(align(points), name))


def torsion(rng: np.random.Generator) -> Miss:
    """A tibia or femur twisted about its mechanical axis."""
    side, pose, angle = str(rng.choice(["left", "right"])), _pose(rng), rng.uniform(10, 35) * rng.choice([-1, 1])
    healthy = leg(side, varus=rng.uniform(-3, 3)).moved(pose)
    bone, measure = (
        (CutLevel.TIBIA, "tibial_torsion_deg") if rng.random() < 0.5 else (CutLevel.FEMUR, "femoral_torsion_deg")
    )
    frame = healthy.tibia_to_ras if bone is CutLevel.TIBIA else healthy.femur_to_ras
    hinge = Hinge(frame[:3, 3], frame[:3, 2])
    deform = hinge.motion_ras(angle)
    twisted = healthy.after_tibial_cut(deform) if bone is CutLevel.TIBIA else healthy.after_femoral_cut(deform)
    plan = plan_turn(twisted, bone, hinge, Target(measure, _measure(healthy, measure)))
    mm = max(
        float(np.linalg.norm(getattr(plan.landmarks, n) - getattr(healthy, n)))
        for n in ("ankle_centre", "lateral_malleolus")
    )
    return Miss("torsion", abs(plan.angle_deg + angle), np.nan, rotation_angle_deg(plan.motion_ras @ deform), mm)


def oblique_plane(rng: np.random.Generator) -> Miss:
    """A shaft bent in any plane; from its two axes back to straight."""
    pose, angle, apex = _pose(rng), rng.uniform(3, 40), rng.uniform(-80, 80)
    across = rotation_about([0, 0, 1], rng.uniform(0, 360)) @ [1.0, 0, 0]
    down = np.array([0.0, 0, -1])
    hinge = Hinge([0, 0, apex], across).transformed(pose)
    deform = hinge.motion_ras(angle)
    fragment = _bar(np.array([12.0, 12, 60])).transformed(pose @ rigid(None, [0, 0, apex - 60]))
    p, d = transform_points(pose, [0, 0, 150.0]), pose[:3, :3] @ down
    q = transform_points(deform @ pose, [0, 0, apex - rng.uniform(20, 150)])
    cora = find_cora(p, d, q, deform[:3, :3] @ d)
    plan = correct_at(cora, cora.point_ras, Plane(cora.point_ras, d))
    mm, deg = _restored(fragment, deform, plan.motion_ras)
    place = float(np.linalg.norm(cora.point_ras - hinge.point_ras))
    return Miss("oblique plane", abs(cora.angle_deg - angle), np.nan, deg, max(mm, place))


def malunited_radius(rng: np.random.Generator) -> Miss:
    """A distal radius out of place in all six degrees of freedom; one oblique cut, and numbers there and back."""
    pose, side = _pose(rng), str(rng.choice(["left", "right"]))
    angle, axis = rng.uniform(5, 35), unit(rng.normal(size=3))
    along, point = rng.uniform(-6, 6), rng.uniform(-10, 10, 3)
    turn = rigid_about(point, rotation_about(axis, angle), along * axis)
    correction = pose @ turn @ invert_rigid(pose)
    healthy = _bar(np.array([14.0, 9, 15])).transformed(pose @ rigid(None, [0, 0, -20]))
    deform = invert_rigid(correction)
    # As a planner gets it: from the numbers of the moved fragment.
    numbers = fragment_numbers(correction, pose, side, transform_points(pose, [0, 0, -5.0]))
    motion = motion_of(numbers, pose, side, transform_points(pose, [0, 0, -5.0]))
    cut = single_oblique_cut(motion, transform_points(pose, [0, 0, -5.0]), pose[:3, :3] @ [0, 0, -1.0])
    mm, deg = _restored(healthy, deform, cut.screw.matrix_ras)
    sign = np.sign(cut.plane.normal_ras @ (pose[:3, :3] @ axis))
    return Miss("malunited radius", abs(abs(cut.turn_deg) - angle), abs(cut.gap_mm - sign * along), deg, mm)


KINDS: tuple[Callable[[np.random.Generator], Miss], ...] = (
    lambda rng: varus_or_valgus(rng, -1.0), lambda rng: varus_or_valgus(rng, 1.0), torsion, oblique_plane, malunited_radius,
)  # fmt: skip


def misses(count: int) -> Iterator[Miss]:
    """Yield `count` cases, all kinds in turn."""
    for seed in range(count):
        yield KINDS[seed % len(KINDS)](np.random.default_rng(seed))
