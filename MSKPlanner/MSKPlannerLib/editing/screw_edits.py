"""What a user does to the screws of a case, each as a function from case to case; the plan's verdict and marks follow.

A guide is made for its screws as they are: whatever changes them marks it out of date.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import FloatArray, unit
from MSKFusionLib.registration.result import Verdict

from ..bone.smooth_bone import BoneFields
from ..pipeline import NO_SCREW_PLANNED, Case, anatomy_of, rejections
from ..plan import Guide, Plan, Screw
from ..plan_osteotomy import Osteotomy
from ..screws.beside import beside
from ..screws.construct import constructs_of
from ..screws.evaluate import evaluate_screw
from ..screws.free_hand import evaluate_free
from ..screws.measures import gap_mm
from ..screws.prepared import PreparedLevel, prepare_level
from ..screws.safety import DepthFunction
from ..screws.sites.request import FREE, PEDICLE
from .asked import budget_of, options_of
from .guide_marks import for_guides, marked_again, marked_for

OTHER_SIDE = {"left": "right", "right": "left"}
#: A mirrored screw's entry is looked for this far along its axis, either way.
_SEAT_REACH_MM = 12.0
_SEAT_STEP_MM = 0.25
_NO_SCREW = "the plan has no screw"


def screw_of(case: Case, name: str) -> Screw:
    """Return a screw by its name.

    Raises
    ------
    InputError
        When there is none of that name.
    """
    for screw in case.plan.screws:
        if screw.name == name:
            return screw
    raise InputError(f"there is no screw '{name}'", where=case.plan.plan_id)


def placed(
    case: Case,
    name: str,
    entry_ras: ArrayLike,
    tip_ras: ArrayLike,
    diameter_mm: float | None = None,
    *,
    risk: bool = False,
) -> Case:
    """Return the case with a screw at another place, or of another diameter.

    Parameters
    ----------
    risk
        Also count the breach risk; without it the screw has none until `with_risks` counts it.

    Raises
    ------
    MSKError
        When that is no screw, or its vertebra cannot be measured in.
    """
    screw = screw_of(case, name)
    diameter = screw.diameter_mm if diameter_mm is None else diameter_mm
    same = np.array_equal(screw.entry_ras, entry_ras) and np.array_equal(screw.tip_ras, tip_ras)
    if same and diameter == screw.diameter_mm:
        return case
    return with_screw(case, _evaluated(case, screw, entry_ras, tip_ras, diameter, screw.side, risk=risk))


def resized(case: Case, name: str, diameter_mm: float, length_mm: float) -> Case:
    """Return the case with a screw of another size, its entry and direction as they were.

    Raises
    ------
    MSKError
        When no screw has this size.
    """
    screw = screw_of(case, name)
    if abs(length_mm - screw.length_mm) < 1e-6:
        return placed(case, name, screw.entry_ras, screw.tip_ras, diameter_mm)
    entry = np.array(screw.entry_ras)
    return placed(case, name, entry, entry + length_mm * unit(np.subtract(screw.tip_ras, entry)), diameter_mm)


def copied_to_other_side(case: Case, name: str) -> Case:
    """Return the case with a mirrored copy of a screw on the other side, in place of what was there.

    It is mirrored at the vertebra's own plane of symmetry and moved along its axis until its entry is on the bone.

    Raises
    ------
    MSKError
        When the vertebra has no pedicle there.
    """
    return with_screw(case, _mirrored(case, _with_other_side(screw_of(case, name))))


def with_sides_swapped(case: Case, name: str) -> Case:
    """Return the case with a screw mirrored to the other side, and the one that was there mirrored to this.

    Raises
    ------
    MSKError
        When the vertebra has no pedicle there.
    """
    screw = _with_other_side(screw_of(case, name))
    there = [s for s in case.plan.screws if s.name == _name(screw.level, OTHER_SIDE[screw.side])]
    mirrored = [_mirrored(case, s) for s in (screw, *there)]
    out = case if there else removed(case, name)
    for new in mirrored:
        out = with_screw(out, new)
    return out


def removed(case: Case, name: str) -> Case:
    """Return the case without a screw."""
    screw = screw_of(case, name)
    kept = [s for s in case.plan.screws if s.name != name]
    return _with_screws(case, _beside_anew(kept, {name}), for_guides(screw, "was removed"))


def without_guide(case: Case, name: str) -> Case:
    """Return the case without a guide."""
    guides = tuple(g for g in case.plan.guides if g.name != name)
    solids = {n: s for n, s in case.guides.items() if n != name}
    return replace(case, plan=judged_again(case.plan, case.plan.screws, guides), guides=solids)


def reviewed(case: Case, name: str, mark: bool) -> Case:
    """Return the case with a screw marked as reviewed, or no longer."""
    screw_of(case, name)
    screws = tuple(replace(s, reviewed=mark) if s.name == name else s for s in case.plan.screws)
    return replace(case, plan=replace(case.plan, screws=screws))


def with_risk(case: Case, name: str) -> Case:
    """Return the case with the breach risk of one screw counted anew by the plan's error budget; nothing else changes."""
    screw, budget = screw_of(case, name), budget_of(case.plan)
    if budget is None:
        return case
    found = _evaluated(case, screw, screw.entry_ras, screw.tip_ras, screw.diameter_mm, screw.side, risk=True)
    screws = tuple(replace(s, risk=found.risk) if s.name == name else s for s in case.plan.screws)
    return replace(case, plan=replace(case.plan, screws=screws))


def judged_again(
    plan: Plan, screws: Sequence[Screw], guides: Sequence[Guide], osteotomies: Sequence[Osteotomy] | None = None
) -> Plan:
    """Return a plan with other screws and guides (and osteotomies), its verdict and reasons brought up to them."""
    old = {*rejections(plan.screws), *rejections(plan.guides), *rejections(plan.osteotomies)}
    cuts = plan.osteotomies if osteotomies is None else tuple(osteotomies)
    levels = {s.level for s in screws}
    answered = (
        *(f"no screws in {level}: " for level in levels),
        *(f"no screw in {s.level} {s.side}: " for s in screws),
    )
    kept = [
        r
        for r in plan.reasons
        if r not in old and r not in (_NO_SCREW, NO_SCREW_PLANNED) and not r.startswith(answered)
    ]
    nothing = [] if screws or cuts else [_NO_SCREW]
    reasons = (*kept, *nothing, *rejections(screws), *rejections(guides), *rejections(cuts))
    verdict = Verdict.REJECTED if reasons else Verdict.ACCEPTED
    judged = replace(
        plan, screws=tuple(screws), guides=(), constructs=constructs_of(screws), osteotomies=cuts, verdict=verdict,
        reasons=reasons,
    )  # fmt: skip
    return replace(judged, guides=marked_again(guides, judged))


def measured_again(case: Case, screw: Screw) -> Screw:
    """Return a screw measured where it lies in the bones of a case; it counts as placed by hand there.

    Raises
    ------
    MSKError
        When it cannot be measured.
    """
    # What was said of its pedicle holds for the bones of then.
    bare = replace(screw, notes=(), largest_diameter_mm=None)
    return _evaluated(case, bare, screw.entry_ras, screw.tip_ras, screw.diameter_mm, screw.side)


# ---------------------------------------------------------------------------------------------------- in detail
def level_of(case: Case, level: str) -> PreparedLevel:
    """Return a vertebra of a case, ready to measure screws in.

    Raises
    ------
    MSKError
        When it cannot be measured in.
    """
    return prepare_level(bones_of(case), level)


def bones_of(case: Case) -> BoneFields:
    """Return the fields of a case's bones.

    Raises
    ------
    InputError
        When the case was made without.
    """
    if case.fields is None:
        raise InputError("the bones of this plan are not at hand", "Plan again.", where=case.plan.plan_id)
    return case.fields


def fields_of(case: Case) -> Case:
    """Return the case with its bones' fields ready to be made."""
    return case if case.fields is not None else replace(case, fields=BoneFields(case.segmentation, case.ct))


def with_anatomy(case: Case) -> Case:
    """Return the case with the surfaces and frames of its vertebrae, which a case that was loaded has not."""
    missing = [s for s in case.plan.screws if s.level not in case.bones]
    if not missing or case.fields is None:
        return case
    surfaces, frames = anatomy_of(case.fields, missing)
    return replace(case, bones={**case.bones, **surfaces}, frames={**case.frames, **frames})


def _evaluated(
    case: Case,
    screw: Screw,
    entry_ras: ArrayLike,
    tip_ras: ArrayLike,
    diameter_mm: float,
    side: str,
    *,
    risk: bool = False,
) -> Screw:
    if screw.site == FREE:
        return evaluate_free(
            bones_of(case),
            entry_ras,
            tip_ras,
            diameter_mm,
            screw.name,
            options=options_of(case.plan),
            others=case.plan.screws,
            budget=budget_of(case.plan) if risk else None,
        )
    if screw.site != PEDICLE:
        raise InputError(f"a {screw.site} screw cannot be moved by hand yet", "Plan it again.", where=screw.name)
    found = evaluate_screw(
        level_of(case, screw.level),
        entry_ras,
        tip_ras,
        diameter_mm,
        side,
        options=options_of(case.plan),
        others=case.plan.screws,
        before=screw,
        budget=budget_of(case.plan) if risk else None,
    )
    return replace(found, by_hand=True)


def _with_other_side(screw: Screw) -> Screw:
    if screw.site != PEDICLE:
        raise InputError(
            "only a pedicle screw is mirrored: of other places it is not known what the other side is",
            "Add a screw there.",
            where=screw.name,
        )
    return screw


def _mirrored(case: Case, screw: Screw) -> Screw:
    side = OTHER_SIDE[screw.side]
    at = level_of(case, screw.level)
    at.side(side)  # refused here, before anything is measured, where there is no pedicle
    flip = np.array([-1.0, 1.0, 1.0])
    ends = at.frame.to_ras(flip * at.frame.to_frame(np.array([screw.entry_ras, screw.tip_ras])))
    entry, tip = seated(at, ends[0], ends[1])
    there = next((s for s in case.plan.screws if s.name == _name(screw.level, side)), None)
    before = there or replace(screw, name=_name(screw.level, side), notes=())
    return _evaluated(case, before, entry, tip, screw.diameter_mm, side)


def seated(at: PreparedLevel, entry: FloatArray, tip: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return a screw moved along its axis to where that enters the bone; as it is where it does not nearby."""
    axis = unit(tip - entry)
    shift = way_to_surface_mm(at.fine.depth_mm, entry, axis, (-_SEAT_REACH_MM, _SEAT_REACH_MM))
    return (entry, tip) if shift is None else (entry + shift * axis, tip + shift * axis)


def way_to_surface_mm(
    depth_mm: DepthFunction, point_ras: FloatArray, axis_ras: FloatArray, reach_mm: tuple[float, float]
) -> float | None:
    """Return how far along an axis, from a point on, bone is entered nearest to the point; None where it is not in reach."""
    along = np.arange(*reach_mm, _SEAT_STEP_MM)
    depth = np.asarray(depth_mm(point_ras + along[:, None] * axis_ras))
    enters = np.flatnonzero((depth[:-1] <= 0) & (depth[1:] > 0))
    if len(enters) == 0:
        return None
    n = enters[np.abs(along[enters]).argmin()]
    return float(along[n] + _SEAT_STEP_MM * -depth[n] / (depth[n + 1] - depth[n]))


def with_screw(case: Case, new: Screw) -> Case:
    """Return the case with a screw in place of the one of its name, or beside those of its level."""
    screws = [*case.plan.screws]
    at = next((n for n, s in enumerate(screws) if s.name == new.name), None)
    if at is None:
        # Beside those of its level, left before right, as the planner orders them; others at the end.
        after = [n for n, s in enumerate(screws) if (s.level, s.site, new.site) == (new.level, PEDICLE, PEDICLE)]
        at = len(screws) if not after else after[0] + (new.side != "left")
        screws.insert(at, new)
        what = "was added"
    else:
        screws[at] = new
        what = "was changed"
    return _with_screws(case, _beside_anew(screws, {new.name}), for_guides(new, what))


def _with_screws(case: Case, screws: Sequence[Screw], changed: Mapping[str, str]) -> Case:
    guides = tuple(marked_for(g, changed) for g in case.plan.guides)
    return replace(case, plan=judged_again(case.plan, screws, guides))


def _beside_anew(screws: Sequence[Screw], changed: set[str]) -> list[Screw]:
    """Return screws with their nearest neighbours, looked for anew where a change can have changed them."""
    ends = {s.name: (s.entry_ras, s.tip_ras, s.diameter_mm) for s in screws}

    def gaps(screw: Screw, others: Sequence[str]) -> dict[str, float]:
        return {name: gap_mm(ends[screw.name], ends[name]) for name in others if name != screw.name}

    out = []
    for screw in screws:
        near = gaps(screw, [name for name in changed if name in ends])
        had = screw.nearest_screw_mm
        same = screw.name not in changed and screw.nearest_screw not in changed
        if same and (had is not None or not near) and all(mm >= (had or 0.0) for mm in near.values()):
            out.append(screw)
        else:
            out.append(beside(screw, gaps(screw, list(ends))))
    return out


def _name(level: str, side: str) -> str:
    return f"{level} {side}"
