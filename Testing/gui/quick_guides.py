"""Stand-ins for what designs guides that are no drill guides of one vertebra: their records are right, their solids are a tetrahedron."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

from quick_planner import TETRAHEDRON, guide

from MSKFusionLib.errors import InputError
from MSKFusionLib.registration.result import Verdict
from MSKPlannerLib.editing import guide_edits
from MSKPlannerLib.guides.recipe import moved_by
from MSKPlannerLib.plan import GuideCut, GuideRecipe, GuideScrew


def stand_in_guides(monkeypatch) -> list:
    """Put stand-ins in place of what designs guides that are no drill guides of one vertebra; return what they are asked for."""
    asked = []

    def entry(name, level, recipe):
        return replace(guide("L3"), name=name, level=level, screws=(), file=f"guides/{name}.stl", recipe=recipe)

    def solid(printer="sla"):
        return SimpleNamespace(mesh=replace(TETRAHEDRON), options=SimpleNamespace(printer=printer))

    def cut_guides_for(case, osteotomy, request, progress):
        if osteotomy.form is not None and request.holes:
            raise InputError("holes are brought together after a cut of one plane", where=osteotomy.name)
        asked.append(request)
        holes = [
            {
                "name": f"staying {n}",
                "fragment": "staying",
                "entry_ras": [12.0 * n, 0, 0],
                "tip_ras": [12.0 * n, 0, -20.0],
            }
            for n in range(request.holes)
        ]
        options = {"printer": request.printer, "approach_ras": [0.0, 1.0, 0.0]}
        options |= {"holes": holes, "moved_by": moved_by(osteotomy)} if holes else {}
        plane = osteotomy.planes[0]
        name = osteotomy.name if len(osteotomy.planes) == 1 else f"{osteotomy.name}, face 1"
        cuts = (GuideCut(name, plane.point_ras, plane.normal_ras),)
        inputs = {"bone": osteotomy.bone_sha256}
        kinds = ("cut", "reduction") if holes else ("cut",)
        words = {"cut": "cutting", "reduction": "reduction"}
        return tuple(
            (
                entry(
                    f"{osteotomy.bone} {words[k]} guide",
                    osteotomy.bone,
                    GuideRecipe(k, (), cuts, options, None, inputs),
                ),
                solid(),
            )
            for k in kinds
        )

    def levels_guide_for(case, names, options, *, fixed, progress):
        asked.append(("levels", tuple(names), fixed))
        made_for = tuple(GuideScrew(s.name, s.entry_ras, s.tip_ras) for s in case.plan.screws if s.level in names)
        recipe = GuideRecipe("levels", made_for, options={"levels": list(names), "fixed": fixed})
        return entry(f"{'-'.join(names)} guide", "-".join(names), recipe), solid()

    def skin_frame_for(case, request, progress):
        asked.append(("skin", tuple(s.name for s in request.screws)))
        made_for = tuple(GuideScrew(s.name, s.entry_ras, s.tip_ras) for s in request.screws)
        level = request.screws[0].level
        return entry(f"{level} skin frame", level, GuideRecipe("skin", made_for)), solid()

    def pin_guide_for(case, request, printer, progress):
        if not request.of_screws and None in (request.first_ras, request.last_ras):
            return real_pins(case, request, printer, progress)  # which refuses it
        asked.append(request)
        screws = [s for s in case.plan.screws if request.of_screws and s.level == request.bone]
        ends = {"entry_ras": list(request.first_ras or ()), "tip_ras": list(request.last_ras or ())}
        pins = [{"name": "wire 1", **ends}]
        made_for = tuple(GuideScrew(s.name, s.entry_ras, s.tip_ras) for s in screws)
        recipe = GuideRecipe("pin", made_for, options={"printer": printer} if screws else {"pins": pins})
        return entry(f"{request.bone} pin guide", request.bone, recipe), solid(printer)

    def pin_guide_again(case, guide, progress):
        named = {s.name for s in guide.recipe.screws}
        screws = tuple(s for s in case.plan.screws if s.name in named and s.verdict is Verdict.ACCEPTED)
        if named and not screws:
            return None
        asked.append(("again", guide.name))
        made_for = tuple(GuideScrew(s.name, s.entry_ras, s.tip_ras) for s in screws)
        return replace(guide, recipe=replace(guide.recipe, screws=made_for), out_of_date=""), solid()

    real, real_pins = guide_edits.levels_guide_for, guide_edits.pin_guide_for

    def levels_guide(case, names, options, *, fixed, progress):
        if len(names) < 2 or any(n not in {s.level for s in case.plan.screws} for n in names):
            return real(case, names, options, fixed=fixed, progress=progress)  # which refuses it
        return levels_guide_for(case, names, options, fixed=fixed, progress=progress)

    for name, stand_in in (
        ("cut_guides_for", cut_guides_for),
        ("levels_guide_for", levels_guide),
        ("skin_frame_for", skin_frame_for),
        ("pin_guide_for", pin_guide_for),
        ("pin_guide_again", pin_guide_again),
    ):
        monkeypatch.setattr(guide_edits, name, stand_in)
    return asked
