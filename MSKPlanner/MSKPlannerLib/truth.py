"""A plan against the known truth of a generated patient: what `mskplanner demo` prints and the slow tests assert."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from MSKFusionLib.frames import FloatArray, perpendicular_axes, transform_points
from MSKFusionLib.phantom import Patient
from MSKFusionLib.registration.result import RegistrationResult, Verdict
from MSKFusionLib.segmentation.labels import Segmentation

from .guides.drill_guide import GuideSolid
from .pipeline import Case
from .plan import Screw
from .screws.implants import ImplantTable, load_implants
from .screws.safety import gertzbein_robbins_grade, screw_clearance_mm

#: The bars of the project: what `mskplanner demo` must show on every generated patient.
REGISTRATION_MEAN_MM, DICE, SCREW_CLEARANCE_MM, GUIDE_GAP_MM = 0.5, 0.92, 0.5, 0.15
#: A pedicle that allows the clearance by less than this may be called too narrow: twice the standard deviation with which
#: the surface is found in a CT of 0.7 mm.
REJECTION_DOUBT_MM = 0.1
#: Less than this is below what a printer or a measurement of a printed guide could tell (a cube of half a millimetre).
GUIDE_OVERLAP_MM3 = 0.1
_POINTS_PER_BONE = 400


@dataclass(frozen=True)
class TrueScrew:
    """A planned screw measured in the true anatomy."""

    name: str
    accepted: bool
    clearance_mm: float
    grade: str
    pedicle_width_mm: float
    best_clearance_mm: float

    @property
    def clearance_possible(self) -> bool:
        """Whether any line of this pedicle has the wished clearance."""
        return self.best_clearance_mm >= SCREW_CLEARANCE_MM

    @property
    def passed(self) -> bool:
        """Grade A, with the clearance where the pedicle allows it; rejected only where it does not, or only just."""
        if not self.accepted and not self.clearance_possible:
            return True
        if not self.accepted and self.best_clearance_mm >= SCREW_CLEARANCE_MM + REJECTION_DOUBT_MM:
            return False
        return self.grade == "A" and (self.clearance_mm >= SCREW_CLEARANCE_MM or not self.clearance_possible)


@dataclass(frozen=True)
class TrueGuide:
    """A guide measured against the true bone."""

    name: str
    watertight: bool
    bodies: int
    overlap_mm3: float
    deepest_in_bone_mm: float
    gap_asked_mm: float
    gap_mean_mm: float

    @property
    def passed(self) -> bool:
        """Closed, one body, no overlap with bone that could be measured, fit as asked."""
        fits = abs(self.gap_mean_mm - self.gap_asked_mm) <= GUIDE_GAP_MM
        return self.watertight and self.bodies == 1 and self.overlap_mm3 <= GUIDE_OVERLAP_MM3 and fits


@dataclass(frozen=True)
class Comparison:
    """All of a case against the truth."""

    registration_mean_mm: float | None
    registration_max_mm: float | None
    registration_expected_mm: float | None
    registration_accepted: bool | None
    dice: dict[str, float]
    screws: tuple[TrueScrew, ...]
    guides: tuple[TrueGuide, ...]
    missing: tuple[str, ...]

    @property
    def failures(self) -> tuple[str, ...]:
        """What misses its bar, in words."""
        found = list(self.missing)
        if self.registration_mean_mm is not None and self.registration_mean_mm > REGISTRATION_MEAN_MM:
            found.append(f"registration error {self.registration_mean_mm:.2f} mm (bar {REGISTRATION_MEAN_MM})")
        if self.registration_accepted is False:
            found.append("the registration rejected itself")
        found += [f"{level}: Dice {d:.3f} (bar {DICE})" for level, d in self.dice.items() if d < DICE]
        found += [
            f"{s.name}: grade {s.grade}, clearance {s.clearance_mm:.2f} mm in the true anatomy"
            + ("" if s.accepted else f", rejected although the pedicle is {s.pedicle_width_mm:.1f} mm wide")
            for s in self.screws
            if not s.passed
        ]
        found += [
            f"{g.name}: gap {g.gap_mean_mm:.2f} mm (asked {g.gap_asked_mm:.2f}), "
            f"overlap {g.overlap_mm3:.2f} mm3, up to {g.deepest_in_bone_mm:.2f} mm in bone, {g.bodies} bodies, {'' if g.watertight else 'not '}watertight"
            for g in self.guides
            if not g.passed
        ]
        return tuple(found)


def compare(case: Case, patient: Patient, implants: ImplantTable | None = None) -> Comparison:
    """Measure every result of a case in the true anatomy of the generated patient it was planned on."""
    table = implants or load_implants()
    kinds = {s.name: s.kind for s in patient.labels.segments}
    wanted = [n for n, v in patient.vertebrae.items() if v.complete_in_ct and kinds[n] == "vertebra"]
    errors = None if case.registration is None else registration_errors_mm(case.registration, patient)
    screws = tuple(_true_screw(s, patient, min(table.diameters_mm)) for s in case.plan.screws if s.level in wanted)
    guides = tuple(
        _true_guide(g.name, solid, patient, g.level, g.fit_clearance_mm)
        for g in case.plan.guides
        if isinstance(solid := case.guides.get(g.name), GuideSolid) and g.level in wanted
    )
    expected = [f"{level} {side}" for level in wanted for side in ("left", "right")]
    missing = [f"no screw {name}" for name in expected if name not in {s.name for s in case.plan.screws}]
    accepted = {s.level for s in case.plan.screws if s.verdict is Verdict.ACCEPTED}
    built = {g.level for g in case.plan.guides if g.name in case.guides}
    missing += [f"no guide for {level}" for level in wanted if level in accepted and level not in built]
    return Comparison(
        registration_mean_mm=None if errors is None else float(errors.mean()),
        registration_max_mm=None if errors is None else float(errors.max()),
        registration_expected_mm=None if case.registration is None else case.registration.expected_error_mm,
        registration_accepted=None if case.registration is None else case.registration.verdict is Verdict.ACCEPTED,
        dice={level: dice(case.segmentation, patient.labels, level) for level in wanted},
        screws=screws,
        guides=guides,
        missing=tuple(missing),
    )


def registration_errors_mm(result: RegistrationResult, patient: Patient, levels: Sequence[str] = ()) -> FloatArray:
    """Return the distances in mm by which points of the bones miss their true places in the MR."""
    found = []
    for level in levels or patient.vertebrae:
        points = patient.bone_points_ras(level, _POINTS_PER_BONE, 0)
        true = transform_points(patient.ct_to_mr_ras @ patient.vertebra_poses_ras.get(level, np.eye(4)), points)
        found.append(np.linalg.norm(result.apply_to_points(points) - true, axis=1))
    return np.concatenate(found)


def dice(found: Segmentation, true: Segmentation, name: str) -> float:
    """Return the Dice overlap of a segment, 0 where it was not found."""
    if name not in [s.name for s in found.segments]:
        return 0.0
    a, b = found.mask(name), true.mask(name)
    return 2 * int(np.count_nonzero(a & b)) / max(1, int(np.count_nonzero(a)) + int(np.count_nonzero(b)))


def _true_screw(screw: Screw, patient: Patient, thinnest_mm: float) -> TrueScrew:
    def depth(points_ras: FloatArray) -> FloatArray:
        return patient.bone_depth_mm(screw.level, points_ras)

    clearance = screw_clearance_mm(depth, np.array(screw.entry_ras), np.array(screw.tip_ras), screw.diameter_mm)
    width = patient.vertebrae[screw.level].pedicles[screw.side].width_mm
    return TrueScrew(
        name=screw.name,
        accepted=screw.verdict is Verdict.ACCEPTED,
        clearance_mm=float(clearance),
        grade=gertzbein_robbins_grade(max(0.0, -float(clearance))),
        pedicle_width_mm=width,
        best_clearance_mm=_best_clearance_mm(screw, depth, float(clearance), width, thinnest_mm),
    )


def _best_clearance_mm(
    screw: Screw, depth: Callable[[FloatArray], FloatArray], clearance_mm: float, width_mm: float, thinnest_mm: float
) -> float:
    """Return the clearance of the thinnest screw in the true anatomy on the best line near the plan, or a bound that settles it.

    The pedicle's width bounds it from above, a screw that has the wished clearance from below.
    """
    bound = (width_mm - thinnest_mm) / 2
    if bound < SCREW_CLEARANCE_MM:
        return bound
    if clearance_mm >= SCREW_CLEARANCE_MM + REJECTION_DOUBT_MM:
        return clearance_mm
    entry, tip = np.array(screw.entry_ras), np.array(screw.tip_ras)
    u, v = perpendicular_axes(tip - entry)

    def negative_clearance(x: FloatArray) -> float:
        return -float(screw_clearance_mm(depth, entry + x[0] * u + x[1] * v, tip + x[2] * u + x[3] * v, thinnest_mm))

    simplex = np.vstack([np.zeros(4), 1.5 * np.eye(4)])
    found = optimize.minimize(
        negative_clearance, np.zeros(4), method="Nelder-Mead", options={"maxfev": 160, "initial_simplex": simplex}
    )
    return max(clearance_mm, -float(found.fun))


def _true_guide(name: str, solid: GuideSolid, patient: Patient, level: str, asked_mm: float) -> TrueGuide:
    depth = np.max([patient.bone_depth_mm(other, solid.mesh.vertices_ras) for other in _near(patient, level)], axis=0)
    # A thin overlap's volume: the guide's surface in bone times its depth there.
    faces = solid.mesh.faces
    overlap = (np.linalg.norm(solid.mesh.face_area_vectors, axis=1) * np.maximum(depth, 0.0)[faces].mean(axis=1)).sum()
    gaps = -patient.bone_depth_mm(level, solid.fit.points_ras)
    return TrueGuide(
        name=name,
        watertight=solid.mesh.is_closed,
        bodies=solid.bodies,
        overlap_mm3=float(overlap),
        deepest_in_bone_mm=float(depth.max()),
        gap_asked_mm=asked_mm,
        gap_mean_mm=float(np.average(gaps, weights=solid.fit.weights)),
    )


def _near(patient: Patient, level: str) -> list[str]:
    levels = list(patient.vertebrae)
    at = levels.index(level)
    return levels[max(0, at - 1) : at + 2]
