"""The surfaces of a case's bones that are cut, and the leg that they belong to."""

from __future__ import annotations

from dataclasses import replace

from MSKFusionLib.errors import InputError
from MSKFusionLib.progress import Progress, no_progress

from ..anatomy.leg import find_leg
from ..bone.surface import surface_of_depth
from ..mesh import Mesh
from ..osteotomy.planned import limb_record
from ..pipeline import Case
from .screw_edits import fields_of

#: Grid of a surface that is cut, mm, as `mskplanner limb` makes it.
_SURFACE_STEP_MM = 1.2
LEG_BONES = ("femur", "tibia", "fibula", "talus")


def surface_of(case: Case, bone: str) -> Mesh:
    """Return the closed surface of a segment, made once for all cases of these bones."""
    fields = fields_of(case).fields
    assert fields is not None
    if bone not in [s.name for s in case.segmentation.segments]:
        raise InputError(f"there is no segment '{bone}'", "Choose one that there is.", where="osteotomy")
    return fields.kept(("cut surface", bone), lambda: surface_of_depth(fields.smooth(bone).field(_SURFACE_STEP_MM)))


def leg_segments(case: Case, side: str = "") -> dict[str, str]:
    """Return the segments that are called after the bones of a leg, by femur, tibia, fibula and talus; of a side where they name it."""
    found = {}
    for bone in LEG_BONES:
        names = [s.name for s in case.segmentation.segments if bone in _words(s.name)]
        sided = [n for n in names if side and side in _words(n)] or [n for n in names if not side_of(n) or not side]
        if len(sided) == 1:
            found[bone] = sided[0]
    return found


def with_leg(case: Case, bone: str, progress: Progress = no_progress) -> Case:
    """Return the case with the leg measured that a bone belongs to, where it is the femur or the tibia of one; else as it is.

    Raises
    ------
    GeometryError
        When the bones cannot be those of one leg.
    """
    side = side_of(bone)
    segments = leg_segments(case, side)
    if bone not in (segments.get("femur"), segments.get("tibia")):
        return case
    if case.plan.limb is not None and bone in case.plan.limb.bones.values():
        return case
    if any(o.role for o in case.plan.osteotomies):
        raise InputError("the plan cuts the other leg already", "Remove its cuts, or plan this leg apart.", where=bone)
    meshes = {}
    for n, (name, segment) in enumerate(segments.items()):
        progress(0.6 * n / len(segments), f"Surface of {segment}")
        meshes[name] = surface_of(case, segment)
    progress(0.6, "Looking for landmarks")
    leg = find_leg(
        meshes.get("femur"), meshes.get("tibia"), fibula=meshes.get("fibula"), talus=meshes.get("talus"),
        side=side or None,
    )  # fmt: skip
    limb = limb_record(leg.landmarks, segments, leg.origin, (*leg.not_found, *leg.notes))
    return replace(case, plan=replace(case.plan, limb=limb))


def role_of(case: Case, bone: str) -> str:
    """Return ``femur`` or ``tibia`` where a bone is that of the leg that is measured; else empty."""
    limb = case.plan.limb
    return next((r for r in ("femur", "tibia") if limb is not None and limb.bones.get(r) == bone), "")


def moved_by(case: Case, bone: str) -> tuple[str, str] | None:
    """Return which osteotomy moves a bone of the leg that is not cut itself, and with which fragment; None: it stays.

    What lies below a cut goes with the fragment that moves; the fibula beside a tibia that is cut stays with its upper part,
    because what becomes of the fibula is not planned.
    """
    limb = case.plan.limb
    cuts = {o.role: o.name for o in case.plan.osteotomies}
    role = next((r for r, name in limb.bones.items() if name == bone), "") if limb is not None else ""
    if role in ("fibula", "talus") and "tibia" in cuts:
        return cuts["tibia"], "staying" if role == "fibula" else "moved"
    return (cuts["femur"], "moved") if role in ("tibia", "fibula", "talus") and "femur" in cuts else None


def _words(name: str) -> list[str]:
    return name.lower().replace("_", " ").replace(",", " ").split()


def side_of(name: str) -> str:
    """Return ``left`` or ``right`` where a segment's name says it; else empty."""
    return next((s for s in ("left", "right") if s in _words(name)), "")
