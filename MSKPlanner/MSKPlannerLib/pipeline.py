"""The whole path on one patient, step by step: images in, a checked plan with its solids out.

Nothing here knows of files, scenes or windows: the command line, the panels and a notebook call the same functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from MSKFusionLib.errors import InputError, ProcessingError
from MSKFusionLib.progress import Progress, no_progress, part
from MSKFusionLib.registration import register_rigid
from MSKFusionLib.registration.result import RegistrationResult, Verdict
from MSKFusionLib.segmentation import LevelHint, segment_bones_ct
from MSKFusionLib.segmentation.labels import Segmentation
from MSKFusionLib.volume import Volume

from .anatomy.vertebra import VertebraFrame, vertebra_frame
from .bone.smooth_bone import BoneFields
from .bone.surface import surface_of_depth
from .guides.drill_guide import GuideSolid, design_drill_guide
from .guides.options import GuideOptions
from .mesh import Mesh
from .plan import Guide, Plan, Point, Screw
from .plan_osteotomy import Osteotomy
from .plan_resection import ResectionRecord
from .records import (
    describe_guide,
    describe_input,
    describe_registration,
    describe_segmentation,
    guide_inputs,
    labels_sha256,
    missing_guide,
    new_plan,
    plan_id,
)
from .screws.beside import with_neighbours
from .screws.construct import constructs_of
from .screws.error_budget import load_error_budget
from .screws.facet import with_facet_joints
from .screws.implants import ImplantTable
from .screws.options import ScrewOptions
from .screws.pedicle import PedicleScrewPlan, Skipped, plan_levels
from .screws.sites.plan_sites import plan_sites
from .screws.sites.request import PEDICLE, SiteRequest
from .screws.sites.surroundings import surfaces_of_sites

#: Why a plan without any screw is rejected.
NO_SCREW_PLANNED = "no screw could be planned"


@dataclass(frozen=True)
class CaseOptions:
    """What is asked of a case; None takes the default that the step documents.

    Parameters
    ----------
    sites
        Where screws are asked for; empty for the pedicles alone.
    """

    level_hint: LevelHint | None = None
    levels: tuple[str, ...] | None = None
    screws: ScrewOptions = field(default_factory=ScrewOptions)
    guides: GuideOptions = field(default_factory=GuideOptions)
    seed: int = 0
    want_guides: bool = True
    sites: tuple[SiteRequest, ...] = ()

    @property
    def want_pedicles(self) -> bool:
        """Whether pedicle screws are asked for."""
        return not self.sites or any(s.site == PEDICLE for s in self.sites)


class PrintedSolid(Protocol):
    """What every designed guide has: its closed surface, RAS mm, and the options that it was asked for (`printer` among them)."""

    @property
    def mesh(self) -> Mesh:
        """The printable solid."""

    @property
    def options(self) -> Any:
        """What it was asked to be."""


@dataclass(frozen=True, eq=False)
class Case:
    """A patient's images and everything that was made of them. `plan` is the document; the rest is what it describes."""

    ct: Volume | None
    mr: Volume | None
    segmentation: Segmentation
    plan: Plan
    registration: RegistrationResult | None = None
    bones: Mapping[str, Mesh] = field(default_factory=dict)
    frames: Mapping[str, VertebraFrame] = field(default_factory=dict)
    guides: Mapping[str, PrintedSolid] = field(default_factory=dict)
    fields: BoneFields | None = field(default=None, repr=False)


def plan_case(
    ct: Volume,
    mr: Volume | None = None,
    bones: Segmentation | None = None,
    options: CaseOptions | None = None,
    *,
    implants: ImplantTable | None = None,
    progress: Progress = no_progress,
) -> Case:
    """Register, segment, plan screws and design guides.

    Parameters
    ----------
    bones
        A ready segmentation on the CT's grid; None segments the CT.

    Raises
    ------
    InputError
        When the images or what is asked of them cannot be planned on.
    """
    asked = options or CaseOptions()
    registration = None
    if mr is not None:
        registration = register_rigid(ct, mr, seed=asked.seed, progress=part(progress, 0.0, 0.3))
    if bones is None:
        bones = segment_bones_ct(
            ct,
            level_hint=asked.level_hint,
            spine_required=asked.want_pedicles,
            progress=part(progress, 0.3, 0.5),
        )
    fields = BoneFields(bones, ct)
    found = _plan_screws(ct, bones, fields, asked, implants, part(progress, 0.5, 0.65))
    screws = found.screws
    surfaces, frames = anatomy_of(fields, screws)
    plan = _document(asked, ct, mr, bones, registration, screws)
    case = Case(ct, mr, bones, judge(plan, registration, found.skipped), registration, surfaces, frames, fields=fields)
    if asked.want_guides:
        case = with_guides(case, asked.guides, progress=part(progress, 0.65, 1.0))
    progress(1.0, "Done")
    return case


def empty_case(ct: Volume, bones: Segmentation, options: CaseOptions | None = None) -> Case:
    """Return a case without screws, which is rejected as long as it has none: what a user adds screws to."""
    plan = _document(options or CaseOptions(), ct, None, bones, None, ())
    return Case(ct, None, bones, judge(plan, None), fields=BoneFields(bones, ct))


def _document(
    asked: CaseOptions,
    ct: Volume,
    mr: Volume | None,
    bones: Segmentation,
    registration: RegistrationResult | None,
    screws: tuple[Screw, ...],
) -> Plan:
    inputs = tuple(describe_input(role, v) for role, v in (("ct", ct), ("mr", mr)) if v is not None)
    segmentation = describe_segmentation(bones)
    return replace(
        new_plan(plan_id(inputs, segmentation), inputs, describe_options(asked)),
        registration=None if registration is None else describe_registration(registration),
        segmentation=segmentation,
        screws=screws,
        constructs=constructs_of(screws),
    )


def _plan_screws(
    ct: Volume,
    bones: Segmentation,
    fields: BoneFields,
    asked: CaseOptions,
    implants: ImplantTable | None,
    progress: Progress,
) -> PedicleScrewPlan:
    """Plan pedicle screws and those of the other sites, and look for screws that meet."""
    at_pedicles = PedicleScrewPlan(())
    if asked.want_pedicles:
        at_pedicles = plan_levels(
            ct,
            bones,
            implants=implants,
            options=asked.screws,
            levels=asked.levels,
            fields=fields,
            progress=part(progress, 0.0, 0.5 if asked.sites else 1.0),
        )
        graded = tuple(with_facet_joints(at_pedicles.screws, bones))
        at_pedicles = replace(at_pedicles, screws=graded)
    if not any(s.site != PEDICLE for s in asked.sites):
        return at_pedicles
    at_sites = plan_sites(ct, bones, asked.sites, options=asked.screws, progress=part(progress, 0.5, 1.0))
    screws = tuple(with_neighbours([*at_pedicles.screws, *at_sites.screws]))
    return PedicleScrewPlan(screws, (*at_pedicles.skipped, *at_sites.skipped))


def with_guides(
    case: Case, options: GuideOptions, *, levels: Sequence[str] | None = None, progress: Progress = no_progress
) -> Case:
    """Return a case with drill guides for its accepted screws in place of those it had; its verdict counts them.

    Guides of other kinds stay as they are.

    Parameters
    ----------
    levels
        Only these; None designs a guide for every level with screws.
    """
    chosen = {level: mesh for level, mesh in case.bones.items() if levels is None or level in levels}
    fields = case.fields or BoneFields(case.segmentation, case.ct)
    guides, solids = design_guides(fields, case.plan.screws, chosen, case.frames, options, progress=progress)
    others = [g for g in case.plan.guides if not is_drill_guide(g)]
    order = {g.name: n for n, g in enumerate(case.plan.guides)}
    entries = sorted([*guides, *others], key=lambda g: order.get(g.name, len(order)))
    kept = {g.name: case.guides[g.name] for g in others if g.name in case.guides}
    plan = _with_guide_records(case.plan, entries)
    parameters = {**plan.parameters, "guides": dict(vars(options))}
    return replace(case, plan=replace(plan, parameters=parameters), guides={**kept, **solids})


def design_guides(
    fields: BoneFields,
    screws: Sequence[Screw],
    surfaces: Mapping[str, Mesh],
    frames: Mapping[str, VertebraFrame],
    options: GuideOptions,
    *,
    insertion_direction_ras: Point | None = None,
    progress: Progress = no_progress,
) -> tuple[list[Guide], dict[str, GuideSolid]]:
    """Design one drill guide a vertebra for the accepted screws; what cannot be designed is listed as rejected.

    Parameters
    ----------
    insertion_direction_ras
        The direction to put them on along, towards the bone; None: each one's own is searched.
    """
    inputs = guide_inputs(fields.segmentation, fields.ct)
    guides: list[Guide] = []
    solids: dict[str, GuideSolid] = {}
    levels = [level for level in surfaces if level in frames]
    spine = [s.name for s in fields.segmentation.segments if s.kind in ("vertebra", "sacrum")]
    for n, level in enumerate(levels):
        wanted = [s for s in screws if (s.level, s.site) == (level, PEDICLE) and s.verdict is Verdict.ACCEPTED]
        name = f"{level} guide"
        if not wanted:
            continue
        progress(n / len(levels), f"Designing the guide of {level}")
        at = spine.index(level)
        neighbours = [fields.depth(other) for other in spine[max(0, at - 1) : at + 2] if other != level]
        try:
            solid = design_drill_guide(
                surfaces[level],
                frames[level],
                wanted,
                options,
                neighbours=neighbours,
                insertion_direction_ras=insertion_direction_ras,
                progress=part(progress, n / len(levels), (n + 1) / len(levels)),
            )
        except ProcessingError as error:
            guides.append(missing_guide(name, level, wanted, options, inputs, str(error), insertion_direction_ras))
            continue
        solids[name] = solid
        guides.append(describe_guide(name, level, wanted, solid, options, inputs))
    return guides, solids


def regenerate_guides(case: Case, names: Sequence[str] | None = None, *, progress: Progress = no_progress) -> Case:
    """Return a case whose guides are made again from their recipes, for the screws as they are now.

    The same plan gives the same bytes. A guide whose screws have all been rejected or removed goes.

    Parameters
    ----------
    names
        Only these; None: every drill guide of the plan. The others stay as they are (`editing.made_again` makes every kind).

    Raises
    ------
    InputError
        When a guide is not there, was written without a recipe, or was made with a CT that is not given.
    """
    fields = case.fields or BoneFields(case.segmentation, case.ct)
    known = {g.name: g for g in case.plan.guides}
    chosen = [n for n, g in known.items() if is_drill_guide(g)] if names is None else list(names)
    for name in chosen:
        if name not in known:
            raise InputError(f"the plan has no guide '{name}'", f"It has: {', '.join(known)}.", case.plan.plan_id)
        _check_recipe(known[name], case)
    made: dict[str, Guide | None] = {}
    solids = dict(case.guides)
    for n, name in enumerate(chosen):
        recipe = known[name].recipe
        assert recipe is not None
        level = known[name].level
        for_screws = {s.name for s in recipe.screws}
        found, drawn = design_guides(
            fields,
            [s for s in case.plan.screws if s.name in for_screws],
            {level: case.bones[level]} if level in case.bones else {},
            case.frames,
            guide_options_of(recipe.options),
            insertion_direction_ras=recipe.insertion_direction_ras,
            progress=part(progress, n / len(chosen), (n + 1) / len(chosen)),
        )
        made[name] = found[0] if found else None
        solids.pop(name, None)
        solids.update(drawn)
    progress(1.0, "Done")
    entries = [made.get(name, guide) for name, guide in known.items()]
    return replace(case, plan=_with_guide_records(case.plan, [g for g in entries if g is not None]), guides=solids)


def guide_options_of(options: Mapping[str, Any]) -> GuideOptions:
    """Return the options that a recipe holds.

    Raises
    ------
    InputError
        When a key or a value is not one of theirs: the plan was written by another release, or by hand.
    """
    try:
        return GuideOptions(**options)
    except TypeError as error:
        raise InputError(f"the recipe of a guide cannot be read ({error})", "Design the guide anew.") from error


def is_drill_guide(guide: Guide) -> bool:
    """Tell whether a guide is one for the screws of one vertebra; one without a recipe is."""
    return guide.recipe is None or guide.recipe.kind == "drill"


def _check_recipe(guide: Guide, case: Case) -> None:
    if guide.recipe is not None and not is_drill_guide(guide):
        raise InputError(f"this is no drill guide of one level ({guide.recipe.kind})", "Design it anew.", guide.name)
    if guide.recipe is None:
        raise InputError("it is not written down what this guide was made from", "Design it anew.", where=guide.name)
    if "ct" in guide.recipe.inputs and case.ct is None:
        raise InputError("this guide was made with the CT, and no CT is given", "Give the CT.", where=guide.name)


def _with_guide_records(plan: Plan, guides: Sequence[Guide]) -> Plan:
    """Return the plan with other guides, its verdict counting them."""
    # What was wrong before still is, but for the guides that are replaced.
    replaced = set(rejections(plan.guides))
    reasons = (*(r for r in plan.reasons if r not in replaced), *rejections(guides))
    verdict = Verdict.REJECTED if reasons else Verdict.ACCEPTED
    return replace(plan, guides=tuple(guides), verdict=verdict, reasons=reasons)


def redesign_guides(
    plan: Plan,
    bones: Segmentation,
    ct: Volume | None,
    options: GuideOptions,
    *,
    levels: Sequence[str] | None = None,
    progress: Progress = no_progress,
) -> Case:
    """Design the guides of a plan anew on the bones it was made on.

    Raises
    ------
    InputError
        When the bones or the CT are not those of the plan, or a level has no screw.
    """
    case = case_of_plan(plan, bones, ct)
    planned = tuple(dict.fromkeys(s.level for s in plan.screws if s.site == PEDICLE))
    missing = [level for level in levels or () if level not in planned]
    if missing:
        raise InputError(f"the plan has no screw in {missing[0]}", f"It has: {', '.join(planned)}.", where=plan.plan_id)
    return with_guides(case, options, levels=levels, progress=progress)


def case_of_plan(plan: Plan, bones: Segmentation, ct: Volume | None) -> Case:
    """Return the case of a plan that was read, on the bones it was made on; its guides are not designed again.

    Raises
    ------
    InputError
        When the bones or the CT are not those of the plan.
    """
    if (plan.segmentation or {}).get("labels_sha256") != labels_sha256(bones):
        raise InputError("the bones are not those that this plan was made on", "Plan again.", where=plan.plan_id)
    hashes = {i["role"]: i["voxels_sha256"] for i in plan.inputs}
    if ct is not None and hashes.get("ct") != ct.sha256():
        raise InputError("the CT is not the one that this plan was made on", "Plan again.", where=plan.plan_id)
    fields = BoneFields(bones, ct)
    surfaces, frames = anatomy_of(fields, plan.screws)
    return Case(ct, None, bones, plan, None, surfaces, frames, fields=fields)


def judge(plan: Plan, registration: RegistrationResult | None, skipped: Sequence[Skipped] = ()) -> Plan:
    """Return the plan with its verdict: rejected when a screw, a level or the registration failed its own check.

    A vertebra that the image cuts off is not planned on, which is said and is no failure; any other level or
    side without a screw is one.
    """
    reasons = [str(s) for s in skipped if s.whole]
    notes = [str(s) for s in skipped if not s.whole]
    if registration is not None and registration.verdict is Verdict.REJECTED:
        reasons.append(f"registration: {'; '.join(registration.reasons)}")
    if registration is not None:
        notes += [f"registration: {w}" for w in registration.warnings]
    reasons += rejections(plan.screws)
    if not plan.screws:
        reasons.append(NO_SCREW_PLANNED)
    verdict = Verdict.REJECTED if reasons else Verdict.ACCEPTED
    return replace(plan, verdict=verdict, reasons=tuple(reasons), notes=(*plan.notes, *notes))


def rejections(
    parts: Sequence[Screw] | Sequence[Guide] | Sequence[Osteotomy] | Sequence[ResectionRecord],
) -> list[str]:
    """Return why the rejected ones of some screws, guides, osteotomies or resections are, one line each."""
    return [f"{p.name}: {'; '.join(p.reasons)}" for p in parts if p.verdict is Verdict.REJECTED]


def anatomy_of(fields: BoneFields, screws: Sequence[Screw]) -> tuple[dict[str, Mesh], dict[str, VertebraFrame]]:
    """Return the surface and the frame of each vertebra that has a screw: what guides are designed on."""
    surfaces, frames = {}, {}
    for level in dict.fromkeys(s.level for s in screws if s.site == PEDICLE):
        depth = fields.depth(level)
        surfaces[level] = surface_of_depth(depth)
        frames[level] = vertebra_frame(fields.segmentation, level, depth=depth)
    at_sites = [s for s in screws if s.site != PEDICLE]
    surfaces |= {n: m for n, m in surfaces_of_sites(fields.segmentation, at_sites).items() if n not in surfaces}
    return surfaces, frames


def describe_options(options: CaseOptions) -> dict[str, Any]:
    """Return what was asked, every default spelled out, so that the plan can be run again."""
    hint = options.level_hint
    return {
        "level_hint": None if hint is None else str(hint),
        "levels": None if options.levels is None else list(options.levels),
        "sites": [asdict(s) for s in options.sites],
        "seed": options.seed,
        "screws": dict(vars(options.screws)),
        "error_budget": dict(vars(load_error_budget(budget))) if (budget := options.screws.error_budget) else None,
        "guides": dict(vars(options.guides)),
    }
