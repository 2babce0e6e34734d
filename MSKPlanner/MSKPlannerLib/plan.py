"""The plan document: the single description of a plan, as dataclasses (reading and writing: `plan_file`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from MSKFusionLib.registration.result import Verdict

from .plan_osteotomy import Limb, Osteotomy
from .plan_resection import ResectionRecord

Point = tuple[float, float, float]


class _Judged:
    """A part of a plan with a verdict, why it has it, and what else to know of it."""

    reasons: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def remarks(self) -> str:
        """The reasons and the notes, in one line."""
        return "; ".join((*self.reasons, *self.notes))


@dataclass(frozen=True)
class BreachRisk:
    """What the errors between plan and patient do to one screw.

    Parameters
    ----------
    probability
        That its surface leaves the bone beyond its entry.
    grade_shares
        Share of each Gertzbein-Robbins grade, A to E.
    direction
        Where it breaches most often (as `Screw.breach_direction`); empty where that is not known.
    mean_clearance_mm
        Expected clearance, breaches counted as negative.
    standard_error
        Of `probability`, from independent repetitions of the sampling.
    samples
        How many displaced screws were measured.
    budget
        Name of the error budget.
    """

    probability: float
    grade_shares: Mapping[str, float]
    direction: str
    mean_clearance_mm: float
    standard_error: float
    samples: int
    budget: str


@dataclass(frozen=True)
class Screw(_Judged):
    """One planned screw with everything that was measured on it.

    Parameters
    ----------
    side
        ``left`` or ``right`` of the patient.
    trajectory
        Of a planned pedicle screw: the way that was asked for (`screws.pedicle_ways`); empty for any other.
    entry_ras, tip_ras
        Where the axis enters the bone's surface, and its end, RAS mm. `length_mm` is their distance.
    clearance_mm
        Least distance from the cylinder of `diameter_mm` to the cortical surface, all round, from the pedicle to
        the tip; negative outside bone (see `screws.safety` for where the entry ends).
    grade
        Gertzbein-Robbins A to E (Gertzbein & Robbins 1990, doi 10.1097/00007632-199001000-00004).
    breaches_mm
        How far the screw leaves the bone in each direction; empty where it does not.
    heary
        Grade I to V (Heary et al. 2004); empty where it does not apply.
    facet_grade
        0 to 3 of the joint with the vertebra above (Babu et al. 2012, see `screws.facet`); empty where it is not known.
    convergence_deg, sagittal_deg
        Towards the midline, and up from the plane of the endplates.
    structures_mm
        Free distance to each structure at risk within 30 mm (see `screws.structures`); negative within it.
    nearest_screw, nearest_screw_mm
        The other screw of the plan that comes nearest, and the free distance to it.
    hu_mean, hu_min
        CT values in the cylinder; None without a CT.
    body_hu
        Mean CT value of the trabecular bone of the vertebral body.
    risk
        None where no error budget was asked for, or the screw has changed since it was counted.
    by_hand
        Whether a user moved it, or gave it its size; the planner would not find it again.
    reviewed
        The reviewer's mark; it is gone as soon as the screw changes.
    """

    name: str
    site: str
    level: str
    side: str
    entry_ras: Point
    tip_ras: Point
    diameter_mm: float
    length_mm: float
    clearance_mm: float
    grade: str
    breach_mm: float = 0.0
    breach_direction: str = ""
    breaches_mm: Mapping[str, float] = field(default_factory=dict)
    heary: str = ""
    facet_grade: str = ""
    convergence_deg: float | None = None
    sagittal_deg: float | None = None
    structures_mm: Mapping[str, float] = field(default_factory=dict)
    nearest_screw: str = ""
    nearest_screw_mm: float | None = None
    hu_mean: float | None = None
    hu_min: float | None = None
    body_hu: float | None = None
    pedicle_width_mm: float | None = None
    largest_diameter_mm: float | None = None
    risk: BreachRisk | None = None
    trajectory: str = ""
    by_hand: bool = False
    reviewed: bool = False
    verdict: Verdict = Verdict.ACCEPTED
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Construct:
    """The pedicle screws of one side, in the order of their levels, and how a rod would run through their heads.

    Parameters
    ----------
    rod_length_mm
        From the first head to the last, head by head.
    rod_deviation_mm
        How far each head lies off the arc that fits all of them best, by the screw's name.
    largest_kink_deg
        The greatest change of direction from head to head.
    head_turn_deg
        How far each head has to turn to take the rod, by the screw's name.
    """

    side: str
    screws: tuple[str, ...]
    rod_length_mm: float
    rod_deviation_mm: Mapping[str, float]
    largest_kink_deg: float
    head_turn_deg: Mapping[str, float]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Check:
    """One check of a printed part: its name, the value found, the bar, and whether it passed."""

    name: str
    passed: bool
    value: float | None
    limit: float | None
    unit: str = ""
    message: str = ""
    place_ras: Point | None = None


@dataclass(frozen=True)
class GuideScrew:
    """A screw as a guide was made for it: its name, entry and tip, RAS mm."""

    name: str
    entry_ras: Point
    tip_ras: Point


@dataclass(frozen=True)
class GuideCut:
    """A plane of a saw as a guide was made for it: its name, a point, RAS mm, and the direction across it."""

    name: str
    point_ras: Point
    normal_ras: Point


@dataclass(frozen=True)
class GuideRecipe:
    """What a guide was made from: enough to make it again (`editing.made_again`).

    Parameters
    ----------
    kind
        ``drill``, ``levels``, ``cut``, ``facets``, ``dome``, ``resection``, ``pin``, ``reduction`` or ``skin``.
    screws, cuts
        What it guides, as it was then.
    options
        Every dimension that was asked for (`guides.options`).
    insertion_direction_ras
        The direction that was asked for; None: it was searched.
    inputs
        What it stands on: SHA-256 of the labels (``labels``), of the CT's voxels (``ct``) where the CT was used, and of
        a surface (``bone``) that came without labels, or of the image that shows the skin (``image``).
    """

    kind: str
    screws: tuple[GuideScrew, ...] = ()
    cuts: tuple[GuideCut, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    insertion_direction_ras: Point | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Guide(_Judged):
    """One guide as it was written: numbers of the solid, the files, the checks, and what it was made from.

    Parameters
    ----------
    recipe
        None where it is not known: such a guide counts as out of date.
    mesh_sha256
        Of its triangles in single precision (`guides.recipe.mesh_sha256`): tells whether a file is this guide.
    notes
        What was done in the design that one would want to know: an entry put on the bone, a piece dropped.
    out_of_date
        Why it no longer fits its screws; empty where it does.
    """

    name: str
    level: str
    screws: tuple[str, ...]
    file: str
    watertight: bool
    bodies: int
    volume_mm3: float
    min_wall_mm: float
    fit_clearance_mm: float
    fit_gap_mean_mm: float
    fit_gap_max_error_mm: float
    insertion_direction_ras: Point
    frame: str = "LPS"
    files: tuple[str, ...] = ()
    recipe: GuideRecipe | None = None
    mesh_sha256: str = ""
    checks: tuple[Check, ...] = ()
    out_of_date: str = ""
    verdict: Verdict = Verdict.ACCEPTED
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A whole plan. `inputs` and `parameters` say what was asked, the rest what came of it."""

    plan_id: str
    created: str
    software: Mapping[str, str]
    inputs: tuple[Mapping[str, Any], ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    registration: Mapping[str, Any] | None = None
    segmentation: Mapping[str, Any] | None = None
    screws: tuple[Screw, ...] = ()
    guides: tuple[Guide, ...] = ()
    constructs: tuple[Construct, ...] = ()
    osteotomies: tuple[Osteotomy, ...] = ()
    limb: Limb | None = None
    resections: tuple[ResectionRecord, ...] = ()
    verdict: Verdict = Verdict.ACCEPTED
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
