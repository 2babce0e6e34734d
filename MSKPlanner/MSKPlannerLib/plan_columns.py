"""What is told of a screw and of a guide, column by column: for the report, the scene's tables and the panel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .plan import BreachRisk, Screw
from .plan_osteotomy import Osteotomy

_UNKNOWN = "–"


@dataclass(frozen=True)
class Column:
    """One column of a table of screws or guides.

    Parameters
    ----------
    meaning
        What the value says, in a few words.
    value
        Takes it from the row's object; None where it is not known.
    digits
        Decimals of a number when it is shown; None where the values are texts.
    """

    heading: str
    meaning: str
    value: Callable[[Any], float | str | None]
    unit: str = ""
    digits: int | None = None

    @property
    def title(self) -> str:
        """The heading with the unit, ``Length (mm)``."""
        return f"{self.heading} ({self.unit})" if self.unit else self.heading

    @property
    def is_number(self) -> bool:
        """Whether the values are numbers."""
        return self.digits is not None

    def text(self, row: Any) -> str:
        """Return the value of a screw or guide as it is shown."""
        value = self.value(row)
        if value is None:
            return _UNKNOWN
        return str(value) if self.digits is None else f"{value:z.{self.digits}f}"


def pick(columns: Sequence[Column], *headings: str) -> tuple[Column, ...]:
    """Return the columns with these headings, in this order."""
    by_heading = {c.heading: c for c in columns}
    return tuple(by_heading[heading] for heading in headings)


def _point(point_ras: Sequence[float]) -> str:
    return " ".join(f"{v:z.1f}" for v in point_ras)


def _grades(risk: BreachRisk | None) -> str | None:
    if risk is None:
        return None
    return ", ".join(f"{grade} {share:.0%}" for grade, share in risk.grade_shares.items() if share >= 0.005)


def _nearest(part: Screw | Osteotomy) -> str:
    return ", ".join(f"{name} {mm:z.1f}" for name, mm in list(part.structures_mm.items())[:3])


SCREW_COLUMNS = (
    Column("Screw", "Name in the plan document", lambda s: s.name),
    Column("Site", "Where screws of its kind run", lambda s: s.site),
    Column("Trajectory", "Which way through the pedicle was asked for", lambda s: s.trajectory.replace("_", "-")),
    Column("Level", "Vertebra, or the bone it runs in", lambda s: s.level),
    Column("Side", "Of the patient", lambda s: s.side),
    Column("Diameter", "Outer diameter of the thread", lambda s: s.diameter_mm, "mm", 1),
    Column("Length", "From the entry to the tip", lambda s: s.length_mm, "mm", 0),
    Column("Clearance", "Least distance of the screw to the cortex, all round", lambda s: s.clearance_mm, "mm", 2),
    Column("Grade", "Gertzbein-Robbins, A to E", lambda s: s.grade),
    Column("Breach", "How far the screw leaves the bone", lambda s: s.breach_mm, "mm", 1),
    Column("Breach direction", "Where it leaves the bone", lambda s: s.breach_direction),
    Column(
        "Breach risk",
        "How often the screw leaves the bone, by the error budget",
        lambda s: None if s.risk is None else 100 * s.risk.probability,
        "%",
        0,
    ),
    Column("Grades to expect", "Share of each grade, by the error budget", lambda s: _grades(s.risk)),
    Column("Heary", "Grade of a thoracic screw, I to V", lambda s: s.heary),
    Column("Facet joint", "Grade of the joint above, 0 to 3 (Babu)", lambda s: s.facet_grade),
    Column("Convergence", "Towards the midline", lambda s: s.convergence_deg, "degrees", 0),
    Column("Rise", "Up from the plane of the endplates", lambda s: s.sagittal_deg, "degrees", 0),
    Column("Nearest screw", "Free distance to the nearest other screw", lambda s: s.nearest_screw_mm, "mm", 1),
    Column("Nearest structures", "Free distance to canal, nerves and vessels that the labels hold", _nearest, "mm"),
    Column("Pedicle width", "At the isthmus", lambda s: s.pedicle_width_mm, "mm", 1),
    Column("Mean", "Mean CT value in the screw's cylinder", lambda s: s.hu_mean, "HU", 0),
    Column("Minimum", "Lowest CT value in the screw's cylinder", lambda s: s.hu_min, "HU", 0),
    Column("Body", "Mean CT value of the vertebral body's trabecular bone", lambda s: s.body_hu, "HU", 0),
    Column("Entry", "Where the axis meets the bone's surface", lambda s: _point(s.entry_ras), "RAS mm"),
    Column("Tip", "Where the axis ends", lambda s: _point(s.tip_ras), "RAS mm"),
    Column("Placed", "By the planner or by hand", lambda s: "by hand" if s.by_hand else "planned"),
    Column("Reviewed", "The reviewer's mark", lambda s: "yes" if s.reviewed else "no"),
    Column("Verdict", "Whether the screw passed its own check", lambda s: s.verdict.value),
    Column("Remarks", "Why, and what to know", lambda s: s.remarks),
)
GUIDE_COLUMNS = (
    Column("Guide", "Name in the plan document", lambda g: g.name),
    Column("Level", "Vertebra", lambda g: g.level),
    Column("File", "In the output folder", lambda g: g.file or "none"),
    Column("Watertight", "Whether the mesh is closed", lambda g: "yes" if g.watertight else "no"),
    Column("Bodies", "Separate parts", lambda g: g.bodies, "", 0),
    Column("Volume", "Material", lambda g: g.volume_mm3, "mm3", 0),
    Column("Thinnest wall", "Least thickness of any wall", lambda g: g.min_wall_mm, "mm", 2),
    Column("Asked gap", "Fit clearance to the bone that was asked for", lambda g: g.fit_clearance_mm, "mm", 2),
    Column("Mean gap", "Fit clearance as designed", lambda g: g.fit_gap_mean_mm, "mm", 2),
    Column("Largest gap error", "Farthest from what was asked", lambda g: g.fit_gap_max_error_mm, "mm", 2),
    Column("Frame", "Of the coordinates in the file", lambda g: g.frame),
    Column("Up to date", "Whether it still fits its screws", lambda g: g.out_of_date or "yes"),
    Column("Verdict", "Whether the guide passed its own checks", lambda g: g.verdict.value),
    Column("Remarks", "Why, and what to know", lambda g: g.remarks),
)
OSTEOTOMY_COLUMNS = (
    Column("Osteotomy", "Name in the plan document", lambda o: o.name),
    Column("Cut", "What is done at the plane", lambda o: o.what),
    Column("Angle", "Of the wedge, or of the turn", lambda o: o.angle_deg, "degrees", 2),
    Column("Gap", "Height of the wedge at the cortex where it is widest", lambda o: o.gap_mm, "mm", 2),
    Column("Bone behind the hinge", "Where that is most", lambda o: o.hinge.bone_left_mm, "mm", 1),
    Column("Saw", "Thickness of the slot", lambda o: o.planes[0].kerf_mm, "mm", 2),
    Column("Bone lost", "The wedge, or what the saw takes", lambda o: o.removed_mm3, "mm3", 0),
    Column(
        "Nearest structures",
        "Free distance of the cut to canal, nerves and vessels that the labels hold",
        _nearest,
        "mm",
    ),
    Column("Plane", "A point of the cut, on its hinge", lambda o: _point(o.planes[0].point_ras), "RAS mm"),
    Column(
        "Normal",
        "Across the cut, to the part that moves",
        lambda o: " ".join(f"{v:z.3f}" for v in o.planes[0].normal_ras),
        "RAS",
    ),
    Column("Reviewed", "The reviewer's mark", lambda o: "yes" if o.reviewed else "no"),
    Column("Verdict", "Whether the fragments do what the plan says", lambda o: o.verdict.value),
    Column("Remarks", "Why, and what to know", lambda o: o.remarks),
)
