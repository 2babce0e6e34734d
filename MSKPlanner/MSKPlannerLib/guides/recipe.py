"""Whether a guide still follows its plan: its recipe against the screws and the bones as they are now."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from MSKFusionLib.frames import flip_ras_lps, invert_rigid
from MSKFusionLib.registration.result import Verdict

from ..mesh import Mesh
from ..plan import Guide, GuideCut, GuideRecipe, GuideScrew, Plan, Point, Screw
from ..plan_osteotomy import CutPlane, Osteotomy
from ..plan_resection import ResectionCut, ResectionRecord
from .facets import facets_of, hinge_of, names_of

#: A screw that moved by less than this was only written and read.
_SAME_PLACE_MM = 1e-6


#: The name of a plane that was given itself, and not taken from an osteotomy.
GIVEN_CUT = "cut"


def inputs_of(bone: Mesh, neighbours: Sequence[Mesh]) -> dict[str, str]:
    """Return what a guide on a surface stands on, for its recipe."""
    found = {"bone": mesh_sha256(bone)}
    return found | {f"neighbour {n}": mesh_sha256(m) for n, m in enumerate(neighbours, 1)}


def recipe_of(
    kind: str,
    options: Mapping[str, Any],
    inputs: Mapping[str, str],
    *,
    screws: Sequence[Screw] = (),
    cuts: Sequence[GuideCut] = (),
    insertion_direction_ras: Point | None = None,
) -> GuideRecipe:
    """Return the recipe of a guide; see `plan.GuideRecipe`."""
    return GuideRecipe(
        kind,
        tuple(GuideScrew(s.name, s.entry_ras, s.tip_ras) for s in screws),
        tuple(cuts),
        dict(options),
        insertion_direction_ras,
        dict(inputs),
    )


def is_current(guide: Guide, plan: Plan) -> bool:
    """Tell whether a guide fits the plan as it is now; `why_outdated` says why not."""
    return not why_outdated(guide, plan)


def why_outdated(guide: Guide, plan: Plan) -> tuple[str, ...]:
    """Return what has changed since a guide was made, in words; empty for a guide that fits the plan.

    A screw that was moved, rejected or removed counts, and so do other bones or another CT. What the guide does not
    rest on (a screw's diameter, another level) does not.
    """
    recipe = guide.recipe
    if recipe is None:
        return (guide.out_of_date or "it is not written down what it was made from",)
    # What an edit has marked counts as well, even where the numbers have come back since.
    words = [guide.out_of_date] if guide.out_of_date else []
    planned = {s.name: s for s in plan.screws}
    for made_for in recipe.screws:
        now = planned.get(made_for.name)
        if now is None:
            words.append(f"the plan has no screw {made_for.name} any more")
            continue
        moved = max(
            float(np.linalg.norm(np.subtract(a, b)))
            for a, b in ((now.entry_ras, made_for.entry_ras), (now.tip_ras, made_for.tip_ras))
        )
        if moved > _SAME_PLACE_MM:
            words.append(f"screw {now.name} was moved by {moved:.2f} mm")
        if now.verdict is Verdict.REJECTED:
            words.append(f"screw {now.name} is rejected")
    words += changes_of_cuts(recipe, plan)
    if recipe.inputs.get("labels", "") != _labels(plan) and "labels" in recipe.inputs:
        words.append("the bones are others")
    if "ct" in recipe.inputs and recipe.inputs["ct"] not in _voxels(plan):
        words.append("the CT is another")
    if "image" in recipe.inputs and recipe.inputs["image"] not in _voxels(plan):
        words.append("the image that shows the skin is another")
    surfaces = {str(i.get("mesh_sha256", "")) for i in plan.inputs} | {o.bone_sha256 for o in plan.osteotomies}
    # The surface of a segment follows from the labels, and of one that gets wires it is written down nowhere else.
    of_labels = recipe.kind == "pin" and "labels" in recipe.inputs
    if "bone" in recipe.inputs and recipe.inputs["bone"] not in surfaces and not of_labels:
        words.append("the surface of the bone is another")
    return tuple(words)


def changes_of_cuts(recipe: GuideRecipe, plan: Plan) -> list[str]:
    """Return what has become of the planes that a guide leads the saw along, and of the correction that its holes belong to."""
    words = [w for cut in recipe.cuts for w in _cut_changes(cut, plan)]
    if "moved_by" in recipe.options:
        words += [w for cut in recipe.cuts for w in _motion_changes(cut, recipe.options["moved_by"], plan)]
    if recipe.options.get("hinge"):
        words += _hinge_changes(recipe.options["hinge"], recipe.cuts, plan)
    if recipe.kind == "dome":
        words += _dome_changes(recipe, plan)
    if recipe.kind == "resection":
        words += _resection_changes(recipe, plan)
    return list(dict.fromkeys(words))


def _cut_changes(made_for: GuideCut, plan: Plan) -> list[str]:
    """Return how the plane of a saw has changed in the plan; one that was given itself belongs to no cut of it."""
    if made_for.name == GIVEN_CUT and not plan.osteotomies and not plan.resections:
        return []
    now = planes_by_name(plan).get(made_for.name)
    if now is None:
        return [f"the plan has no cut '{made_for.name}' any more"]
    step = np.subtract(now.point_ras, made_for.point_ras)
    moved = max(
        float(abs(step @ np.array(made_for.normal_ras))) / float(np.linalg.norm(made_for.normal_ras)),
        # A turned plane leaves the guide by this much a centimetre and more from its middle.
        100.0 * float(np.linalg.norm(np.cross(now.normal_ras, made_for.normal_ras))),
    )
    return [f"the plane of '{made_for.name}' was moved"] if moved > _SAME_PLACE_MM else []


def _hinge_changes(was: Mapping[str, Any], cuts: Sequence[GuideCut], plan: Plan) -> list[str]:
    """Return whether the hinge that the depth stop is set for was moved across the cut."""
    for cut in cuts:
        osteotomy = osteotomy_of(cut.name, plan)
        now = None if osteotomy is None else hinge_of(osteotomy)
        if osteotomy is None or now is None:
            continue
        off = abs(float(np.subtract(now.point_ras, was["point_ras"]) @ np.array(now.normal_ras)))
        turned = 100.0 * float(np.linalg.norm(np.subtract(now.normal_ras, was["beyond_ras"])))
        if max(off, turned) > _SAME_PLACE_MM:
            return [f"the hinge of '{osteotomy.name}' was moved"]
    return []


def osteotomy_of(cut_name: str, plan: Plan) -> Osteotomy | None:
    """Return the osteotomy of a plan that a guide's cut belongs to; None: the plan has none of it."""
    return next((o for o in plan.osteotomies if cut_name in names_of(o)), None)


def _resection_changes(recipe: GuideRecipe, plan: Plan) -> list[str]:
    """Return what of a resection has changed besides the planes that a guide leads its saws along."""
    name = str(recipe.options.get("resection", ""))
    now = next((r for r in plan.resections if r.name == name), None)
    if now is None:
        return [f"the plan has no resection '{name}' any more"]
    words = []
    if recipe.inputs.get("tumour") != now.tumour_sha256:
        words.append(f"the tumour of '{name}' is another")
    if any(abs(c.kerf_mm - float(recipe.options.get("planned_kerf_mm", c.kerf_mm))) > _SAME_PLACE_MM for c in now.cuts):
        words.append(f"the saw of '{name}' is another")
    if not recipe.options.get("cuts") and {cut_name(now, c) for c in now.cuts} - {c.name for c in recipe.cuts}:
        words.append(f"'{name}' has another plane")
    return words


def _dome_changes(recipe: GuideRecipe, plan: Plan) -> list[str]:
    """Return whether the arc that holes were laid on has changed."""
    name = str(recipe.options.get("dome_of", ""))
    now = next((o for o in plan.osteotomies if o.name == name and o.form is not None), None)
    if now is None:
        return [f"the plan has no dome '{name}' any more"]
    off = np.abs(np.subtract(dome_line(now), recipe.options["dome"])).max()
    return [f"the dome of '{name}' was moved"] if off > _SAME_PLACE_MM else []


def dome_line(osteotomy: Osteotomy) -> list[float]:
    """Return what a dome's holes rest on: its apex, a point of its axis and the axis' direction, RAS, in a row."""
    return [
        *(float(x) for x in osteotomy.planes[0].point_ras),
        *(float(x) for x in osteotomy.hinge.point_ras),
        *(float(x) for x in osteotomy.hinge.axis_ras),
    ]


def moved_by(osteotomy: Osteotomy) -> list[list[float]]:
    """Return the rigid 4x4, row by row, of the fragment that moves against the one that stays (as that lies in the image)."""
    places = {f.name: np.array(f.image_to_planned_ras) for f in osteotomy.fragments}
    motion = invert_rigid(places["staying"]) @ places["moved"]
    return [[float(x) for x in row] for row in motion]


def _motion_changes(made_for: GuideCut, was: Any, plan: Plan) -> list[str]:
    """Return whether the correction that brings a guide's holes together has changed."""
    o = osteotomy_of(made_for.name, plan)
    if o is None:
        return []
    # Turned parts count at a decimetre from the frame's origin.
    off = np.abs(np.subtract(moved_by(o), was)) * [100.0, 100.0, 100.0, 1.0]
    return [f"the correction of '{o.name}' was changed"] if off.max() > 1e-4 else []


def planes_by_name(plan: Plan) -> dict[str, CutPlane | GuideCut | ResectionCut]:
    """Return the planes of a plan's cuts by the names that their guides have; of a wedge's two faces and of facets one each."""
    sawn: dict[str, CutPlane | GuideCut | ResectionCut] = {
        o.name if len(o.planes) == 1 else f"{o.name}, face {n}": p
        for o in plan.osteotomies
        for n, p in enumerate(o.planes, 1)
    }
    faceted = {f.cut.name: f.cut for o in plan.osteotomies for f in facets_of(o)}
    return sawn | faceted | {cut_name(r, c): c for r in plan.resections for c in r.cuts}


def cut_name(resection: ResectionRecord, cut: ResectionCut) -> str:
    """Return the name that a resection's plane has in a guide."""
    return f"{resection.name}, {cut.name}"


def _labels(plan: Plan) -> str:
    return str((plan.segmentation or {}).get("labels_sha256", ""))


def _voxels(plan: Plan) -> set[str]:
    return {str(i.get("voxels_sha256", "")) for i in plan.inputs}


def mesh_sha256(mesh: Mesh) -> str:
    """Return the hash of a mesh's triangles: their corners in single precision, LPS mm, in the order of a file.

    It is the same for the mesh and for an STL or 3MF of it, whatever else the file's header says.
    """
    # Adding zero makes -0.0 and 0.0 the same.
    points = flip_ras_lps(mesh.vertices_ras).astype("<f4") + np.float32(0.0)
    return hashlib.sha256(points[mesh.faces].tobytes()).hexdigest()
