"""The plan document of a correction to the mirrored healthy side by its single oblique cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from MSKFusionLib.frames import rigid
from MSKFusionLib.registration.result import Verdict

from ..mesh import Mesh
from ..osteotomy.cut_shape import CutKind, CutShape
from ..osteotomy.healthy_side import OBLIQUE_DEG, HealthySide
from ..osteotomy.planned import AskedCut, plan_cuts, with_files
from ..plan import Plan
from ..records import describe_surface, new_plan

#: What one cut cannot mend is said from here on, mm.
_GAP_MM = 0.5


def mirror_plan(
    result: HealthySide, bone: Mesh, kerf_mm: float, files: dict[str, str]
) -> tuple[Plan, dict[str, Mesh]] | None:
    """Return the document and its fragments by their names; None where there is no single oblique cut that a saw can follow.

    The fragment turns about the axis of the correction in the plane of the cut; the shift along that axis, which opens the
    cut or lets its faces overlap, is left out and said.

    Parameters
    ----------
    files
        Of the fragments, by ``staying`` and ``moved``.
    """
    cut = result.cut
    if cut is None or cut.obliquity_deg > OBLIQUE_DEG:
        return None
    frame = cut.plane.to_ras
    shape = CutShape(
        CutKind.TURN, rigid(frame[:3, :3], cut.plane.projected(cut.screw.point_ras)), cut.turn_deg, kerf_mm
    )
    made = plan_cuts([AskedCut("single oblique cut", "bone", shape)], {"bone": bone})[0]
    assert made.solids is not None
    notes = [*made.record.notes, *result.warnings]
    if abs(cut.gap_mm) >= _GAP_MM:
        what = "come apart" if cut.gap_mm > 0 else "overlap"
        notes.append(
            f"for the whole correction the faces would {what} by {abs(cut.gap_mm):.1f} mm: this plan leaves that out"
        )
    reasons = (*made.record.reasons, *result.reasons)
    verdict = Verdict.REJECTED if reasons else Verdict.ACCEPTED
    record = replace(with_files(made.record, files), notes=tuple(notes), reasons=reasons, verdict=verdict)
    described = describe_surface("bone", bone)
    asked = {"level_ras": np.asarray(result.level_ras).tolist(), "kerf_mm": kerf_mm}
    plan = replace(
        new_plan(f"plan-{described['mesh_sha256'][:12]}", [described], {"mirror": asked}),
        osteotomies=(record,),
        verdict=verdict,
        reasons=tuple(f"{record.name}: {r}" for r in reasons),
    )
    return plan, dict(made.solids)
