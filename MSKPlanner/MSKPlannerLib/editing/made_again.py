"""Every guide of a plan made again, each by its own recipe; what cannot be made again stays, and it is said why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from MSKFusionLib.errors import GeometryError, InputError, ProcessingError
from MSKFusionLib.progress import Progress, no_progress, part

from ..guides.recipe import mesh_sha256, osteotomy_of
from ..mesh import Mesh
from ..pipeline import Case, is_drill_guide, regenerate_guides
from ..plan import Guide, GuideRecipe
from ..remake_guides import KINDS, remake
from .cut_bones import surface_of
from .cut_guides import bones_near
from .guide_edits import LEVELS, PIN, SKIN, Made, not_designed, screw_guide_again, with_made
from .guide_marks import kind_of
from .kept_solids import kept_solid
from .pin_guides import pin_guide_again
from .screw_edits import fields_of, without_guide

_GIVE_SURFACE = "Give its file by --surface, or make that guide again by mskplanner remake PLAN BONE."


def all_made_again(
    case: Case, surfaces: Sequence[Mesh] = (), progress: Progress = no_progress
) -> tuple[Case, tuple[str, ...]]:
    """Return a case with every guide made again for the plan as it is now, and what is to be said of those that were not.

    A guide whose screws have all been rejected or removed goes; one that can no longer be designed is rejected with the reason.

    Parameters
    ----------
    surfaces
        What guides stand on that are no labels of the case: bones, their neighbours, tumours; told apart by their hashes.

    Raises
    ------
    InputError
        When none of its guides can be made again.
    """
    given = {mesh_sha256(m): m for m in surfaces}
    out, told, made = case, list[str](), 0
    for n, guide in enumerate(case.plan.guides):
        step = part(progress, n / len(case.plan.guides), (n + 1) / len(case.plan.guides))
        step(0.0, f"Making {guide.name} again")
        try:
            out = _with_one_again(out, guide, given, step)
            made += 1
        except (GeometryError, ProcessingError) as error:
            out = with_made(without_guide(out, guide.name), [(not_designed(guide, str(error)), None)])
            made += 1
        except InputError as error:
            told.append(f"{guide.name} was not made again: {error.what}. {error.way_out}".strip())
            continue
        if guide.name not in {g.name for g in out.plan.guides}:
            told.append(f"{guide.name} is left out: no screw of it is planned any more.")
    if told and not made:
        raise InputError(" ".join(told).rstrip("."), where=case.plan.plan_id)
    order = {g.name: n for n, g in enumerate(case.plan.guides)}
    guides = tuple(sorted(out.plan.guides, key=lambda g: order.get(g.name, len(order))))
    progress(1.0, "Done")
    return replace(out, plan=replace(out.plan, guides=guides)), tuple(told)


# ---------------------------------------------------------------------------------------------------- in detail
def _with_one_again(case: Case, guide: Guide, given: Mapping[str, Mesh], progress: Progress) -> Case:
    """Return the case with one guide made again; raises what `all_made_again` says of it."""
    if is_drill_guide(guide):
        return regenerate_guides(case, [guide.name], progress=progress)
    recipe = guide.recipe
    assert recipe is not None
    if "ct" in recipe.inputs and case.ct is None:
        raise InputError("it was made with the CT, and no CT is given", "Give the CT.", where=guide.name)
    made: list[Made]
    if kind_of(guide) == LEVELS:
        made = screw_guide_again(case, guide, progress)
    elif kind_of(guide) == SKIN:
        _check_skin(case, recipe, guide.name)
        made = screw_guide_again(case, guide, progress)
    elif (
        recipe.kind == PIN and "labels" in recipe.inputs
    ):  # on bones of the case, whose surfaces follow from the labels
        again = pin_guide_again(case, guide, progress)
        made = [] if again is None else [again]
    elif recipe.kind in KINDS:
        made = [_on_surface(case, guide, given, progress)]
    else:
        raise InputError(f"a {recipe.kind} guide cannot be made again here", "Design it anew.", where=guide.name)
    return with_made(without_guide(case, guide.name), made)


def _check_skin(case: Case, recipe: GuideRecipe, name: str) -> None:
    if not recipe.screws:
        raise InputError("its ways are no screws of the plan", "Design it anew: mskplanner skinframe IMAGE.", name)
    if case.ct is None or case.ct.sha256() != recipe.inputs.get("image"):
        raise InputError("the image that shows its skin is not given", "Give that CT by --ct.", where=name)


def _on_surface(case: Case, guide: Guide, given: Mapping[str, Mesh], progress: Progress) -> Made:
    """Return a guide on the surface of a bone, made again by its recipe: of a label of the case, or of a file that is given."""
    recipe = guide.recipe
    assert recipe is not None
    roles = {k: v for k, v in recipe.inputs.items() if k in ("bone", "tumour") or k.startswith("neighbour ")}
    if "bone" not in roles:
        raise InputError("its recipe names no surface", "Design it anew.", where=guide.name)
    found = _surfaces_of(case, guide, recipe, set(roles.values()), given)
    for role, sha in roles.items():
        if sha not in found:
            what = "bone" if role == "bone" else role.rstrip("0123456789 ")
            raise InputError(f"the surface of the {what} that it was made on is not there", _GIVE_SURFACE, guide.name)
    neighbours = [found[sha] for role, sha in roles.items() if role.startswith("neighbour ")]
    tumour = found.get(roles["tumour"]) if "tumour" in roles else None
    entry, mesh, _ = remake(guide, case.plan, found[roles["bone"]], neighbours, tumour=tumour, progress=progress)
    return entry, kept_solid(entry, mesh)


def _surfaces_of(
    case: Case, guide: Guide, recipe: GuideRecipe, wanted: set[str], given: Mapping[str, Mesh]
) -> dict[str, Mesh]:
    """Return surfaces by their hashes: those that are given, and those of labels as long as one that is wanted is missing."""
    found = dict(given)
    names = [guide.level]
    of = osteotomy_of(recipe.cuts[0].name if recipe.cuts else str(recipe.options.get("dome_of", "")), case.plan)
    if of is not None:
        names += [of.bone, *bones_near(case, of)]
    there = {s.name for s in case.segmentation.segments}
    for name in dict.fromkeys(n for n in names if n in there):
        if wanted <= set(found):
            break
        mesh = surface_of(fields_of(case), name)
        found[mesh_sha256(mesh)] = mesh
    return found
