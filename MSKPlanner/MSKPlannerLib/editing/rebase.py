"""A plan taken over to other images or bones: every screw stays where it is and is measured anew in what is there now."""

from __future__ import annotations

from dataclasses import replace

from MSKFusionLib.errors import MSKError
from MSKFusionLib.progress import Progress, no_progress
from MSKFusionLib.segmentation.labels import Segmentation
from MSKFusionLib.volume import Volume

from ..pipeline import Case
from ..plan import Screw
from ..records import describe_input, describe_segmentation, plan_id
from ..screws.sites.request import FREE, PEDICLE
from .add_screws import planned_at
from .osteotomy_edits import on_other_bones
from .screw_edits import fields_of, judged_again, measured_again, with_screw

_NEW_IMAGES = "the images or the bones have changed after the guide was designed"


def taken_over(case: Case, ct: Volume, bones: Segmentation, progress: Progress = no_progress) -> Case:
    """Return the case on another CT and bones; guides and breach risks are out of date, marks of review are gone.

    A screw of a pedicle or a free one stays where it is; one of the pelvis' sites is planned again, because its rules hang
    on the bones. A cut lies where it
    was in the new surface of its bone. What cannot be is left out, and the plan is rejected for it, with the reason.

    Parameters
    ----------
    ct, bones
        In the same patient coordinates as those before.
    """
    inputs = (describe_input("ct", ct), *(i for i in case.plan.inputs if i.get("role") not in ("ct", "mr")))
    segmentation = describe_segmentation(bones)
    same_ct = any(i.get("role") == "ct" and i["voxels_sha256"] == inputs[0]["voxels_sha256"] for i in case.plan.inputs)
    if same_ct:
        inputs = case.plan.inputs
    bare = replace(
        judged_again(case.plan, (), (), ()),
        limb=None,
        plan_id=plan_id(inputs, segmentation),
        inputs=inputs,
        segmentation=segmentation,
        registration=case.plan.registration if same_ct else None,
    )
    out = fields_of(Case(ct, case.mr if same_ct else None, bones, bare, case.registration if same_ct else None))
    lost: list[str] = []
    for n, screw in enumerate(case.plan.screws):
        progress(n / len(case.plan.screws), f"Measuring {screw.name} on the new bones")
        try:
            out = _carried(out, screw)
        except MSKError as error:
            lost.append(f"no screw in {screw.level} {screw.side}".rstrip() + f": {screw.name} cannot be kept ({error})")
    out, cuts_lost = on_other_bones(out, case.plan.limb, case.plan.osteotomies)
    lost += cuts_lost
    guides = tuple(replace(g, out_of_date=_NEW_IMAGES) for g in case.plan.guides)
    plan = replace(out.plan, reasons=(*(r for r in out.plan.reasons if r not in lost), *lost))
    return replace(out, plan=judged_again(plan, plan.screws, guides), guides=dict(case.guides))


def _carried(case: Case, screw: Screw) -> Case:
    if screw.site in (PEDICLE, FREE):
        return with_screw(case, measured_again(case, screw))
    return planned_at(case, screw.site, sides=(screw.side,) if screw.side else ())
