"""Generated legs whose landmarks are known in closed form: what their surfaces give, and where a plan made on it ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
from core.femur_shapes import femur_mesh
from core.leg_shapes import LegShape
from core.tibia_shapes import TibiaShape, fibula_mesh, tibia_mesh

from MSKFusionLib.errors import MSKError
from MSKFusionLib.frames import invert_rigid, rigid, rotation_about, transform_points
from MSKPlannerLib.anatomy.leg import find_leg
from MSKPlannerLib.anatomy.limb_alignment import align, measures_of
from MSKPlannerLib.mesh import Mesh
from MSKPlannerLib.osteotomy.limb_wedge import WedgeOptions, plan_limb_wedge
from MSKPlannerLib.osteotomy.target import CutLevel, corrected, fujisawa, neutral_axis

CENTRES = ("hip_centre", "femoral_knee_centre", "tibial_knee_centre", "ankle_centre")


@dataclass(frozen=True)
class LegRun:
    """One leg: what was found of it and what a plan on that does to the true leg.

    Parameters
    ----------
    centres_mm
        Distance of each joint centre from the truth; for the femoral knee centre across the frontal plane's depth
        does not count, as its definition leaves that open.
    measures
        Error of each measure, in its own unit.
    planned
        Miss of the plan on its own fragments: target (degrees, or mm on the plateau) and gap (mm).
    true_miss
        The target's measure of the true leg after the plan was carried out exactly, less the target.
    """

    seed: int
    noise_mm: float
    side: str
    kind: str
    error: str
    centres_mm: dict[str, float]
    measures: dict[str, float]
    planned: dict[str, float]
    true_miss: float


def runs(count: int) -> Iterator[LegRun]:
    """Yield legs of all kinds, both sides, noise of 0, 0.5 and 1 mm in turn, each in a pose of its own."""
    femur = femur_mesh()
    for seed in range(count):
        yield _run(seed, femur)


def _run(seed: int, femur: Mesh) -> LegRun:
    rng = np.random.default_rng(seed)
    side, noise = ("left", "right")[seed % 2], (0.0, 0.5, 1.0)[seed % 3]
    tibia = TibiaShape(
        rng.uniform(80, 94), rng.uniform(0, 14), rng.uniform(5, 45), rng.uniform(300, 400), rng.uniform(-4, 4)
    )
    shape = LegShape(tibia, rng.uniform(-10, 14), rng.uniform(-3, 5), rng.uniform(-5, 10))
    pose = rigid(rotation_about(rng.normal(size=3), rng.uniform(-180, 180)), rng.uniform(-300, 300, 3))
    mirror = np.diag([1.0 if side == "right" else -1.0, 1, 1, 1])
    clean = {
        "femur": femur.transformed(mirror).transformed(pose),
        "tibia": tibia_mesh(tibia).transformed(shape.tibia_to_leg).transformed(mirror).transformed(pose),
        "fibula": fibula_mesh(tibia).transformed(shape.tibia_to_leg).transformed(mirror).transformed(pose),
    }
    seen = {n: Mesh(m.vertices_ras + rng.normal(0, noise, m.vertices_ras.shape), m.faces) for n, m in clean.items()}
    truth = _mirrored(shape, side, pose)
    before = align(truth)
    kind = "varus" if before.hka_deg < 180 else "valgus"
    try:
        leg = find_leg(seen["femur"], seen["tibia"], fibula=seen["fibula"])
        found = asdict(leg.measures)
        errors = {n: found[n] - v for n, v in asdict(before).items()}
        centres = {n: _off(leg.landmarks, truth, n) for n in CENTRES}
        bone = (CutLevel.TIBIA, CutLevel.FEMUR)[seed // 6 % 2]
        target = fujisawa() if kind == "varus" and seed // 12 % 2 else neutral_axis()
        body = clean["tibia" if bone is CutLevel.TIBIA else "femur"]
        plan = plan_limb_wedge(leg.landmarks, body, target, WedgeOptions(bone, seed // 3 % 2 == 0))
        width = np.linalg.norm(truth.lateral_plateau_edge - truth.medial_plateau_edge)
        scale = width if target.measure == "weight_bearing_share" else 1.0
        after = measures_of(corrected(truth, bone, plan.correction.motion_ras))
        planned = {"target": abs(plan.miss) * scale, "gap_mm": plan.gap_miss_mm, "rejected": float(not plan.accepted)}
        miss = float(after.hka_deg - plan.measured_again.hka_deg)
        return LegRun(seed, noise, side, kind, "", centres, errors, planned, miss)
    except MSKError as error:
        return LegRun(seed, noise, side, kind, str(error), {}, {}, {}, np.nan)


def _mirrored(shape, side, pose):  # type: ignore[no-untyped-def]
    points = shape.landmarks
    sign = np.array([1.0 if side == "right" else -1.0, 1, 1])
    named = {n: transform_points(pose, getattr(points, n) * sign) for n in asdict(points) if n != "side"}
    return type(points)(side, **named)


def _off(found, truth, name: str) -> float:  # type: ignore[no-untyped-def]
    d = getattr(found, name) - getattr(truth, name)
    if name == "femoral_knee_centre":
        d = (invert_rigid(truth.femur_to_ras)[:3, :3] @ d)[[0, 2]]
    return float(np.linalg.norm(d))
