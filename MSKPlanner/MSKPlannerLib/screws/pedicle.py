"""Pedicle screws: trajectory, diameter and length for every vertebra that is wholly in view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from MSKFusionLib.errors import GeometryError, InputError, ProcessingError
from MSKFusionLib.frames import transform_points
from MSKFusionLib.progress import Progress, no_progress
from MSKFusionLib.segmentation.labels import Segmentation
from MSKFusionLib.volume import Volume

from ..anatomy.pedicle import Pedicle
from ..anatomy.vertebra import VertebraFrame, require_complete
from ..bone.depth_field import DepthField
from ..bone.smooth_bone import BoneFields
from ..plan import Screw
from .beside import tips_apart, with_neighbours, with_structures
from .candidate_lines import Choice, DistanceFunction, TrajectoryLimits
from .corridor import LineFamily, widest_corridor
from .describe import CORRIDOR_BACK_MM, PedicleSide, described, of_less_risk
from .error_budget import load_error_budget
from .implants import ImplantTable
from .options import ScrewOptions
from .pedicle_ways import WAYS
from .prepared import prepare_level
from .trajectory import TrajectorySearch
from .way_limits import DirectionLimits, direction_limits, implants_for

#: Where the sides lie along the vertebra's x.
_SIDES = {"left": -1.0, "right": 1.0}
#: The certified corridor is what every screw passes: from where the pedicle begins (`CORRIDOR_BACK_MM`) to where the
#: shortest screw ends (`PedicleWay.least_tip_share`).
#: Half sides of the corridor's rectangles: lateral and vertical, behind the pedicle and in the body.
_HALF_START_MM = (7.0, 10.0)
_HALF_END_MM = (10.0, 12.0)
#: Proof wanted of the corridor's radius: the search about it finds what is left.
_CORRIDOR_GAP_MM = 0.2
_STEPS_FOR_A_JOINT = 4
#: The least depth of a screw's surface may be above the bound by so much: between the grid's points, and between those of the surface.
_BOUND_DOUBT_MM = 0.1


@dataclass(frozen=True)
class Skipped:
    """A vertebra that got no screws, or one side of it.

    Parameters
    ----------
    side
        None where neither side has one.
    whole
        Whether the vertebra is wholly in view, so that a screw was to be expected.
    """

    level: str
    side: str | None
    reason: str
    whole: bool

    def __str__(self) -> str:
        if self.side is None:
            return f"no screws in {self.level}: {self.reason}"
        return f"no screw in {self.level} {self.side}: {self.reason}"


@dataclass(frozen=True)
class PedicleScrewPlan:
    """The screws, and the vertebrae or sides that got none."""

    screws: tuple[Screw, ...]
    skipped: tuple[Skipped, ...] = ()


def plan_pedicle_screws(
    ct: Volume | None,
    segmentation: Segmentation,
    *,
    implants: ImplantTable | None = None,
    options: ScrewOptions | None = None,
    levels: Sequence[str] | None = None,
    progress: Progress = no_progress,
) -> tuple[Screw, ...]:
    """Plan a left and a right screw in every complete vertebra; see `plan_levels`, which also says what was left out."""
    return plan_levels(ct, segmentation, implants=implants, options=options, levels=levels, progress=progress).screws


def plan_levels(
    ct: Volume | None,
    segmentation: Segmentation,
    *,
    implants: ImplantTable | None = None,
    options: ScrewOptions | None = None,
    levels: Sequence[str] | None = None,
    fields: BoneFields | None = None,
    progress: Progress = no_progress,
) -> PedicleScrewPlan:
    """Plan a left and a right pedicle screw in every complete vertebra.

    For each side: the widest corridor through the pedicle by branch and bound (`corridor`); the largest diameter of
    the table that keeps the wished clearance; then, among the lines that keep it, the longest and densest path
    (`trajectory`). A pedicle too narrow for that gets the thinnest screw on the line with the most bone round it,
    and a verdict that says so.

    Parameters
    ----------
    ct
        For the density along the thread, in HU; without it the length alone decides.
    levels
        Names of vertebrae; None takes all that are wholly in view.
    fields
        The bones' fields, where the caller keeps them for other uses; they are made here otherwise.

    Raises
    ------
    InputError
        When a named level is missing or is not wholly in view, or no vertebra is.
    """
    wishes = options or ScrewOptions()
    table = implants_for(wishes.trajectory) if implants is None else implants
    skipped: list[Skipped] = []
    names = [s.name for s in segmentation.vertebrae] if levels is None else list(levels)
    wanted = []
    for name in names:
        try:
            require_complete(segmentation, name)
            wanted.append(name)
        except InputError as error:
            if levels is not None:
                raise
            skipped.append(Skipped(name, None, str(error).removeprefix(f"{name}: "), whole=False))
    if not wanted:
        raise InputError(
            "no vertebra is wholly in view", "Screws need whole vertebrae.", where=segmentation.labels.name
        )
    bones = fields or BoneFields(segmentation, ct)
    screws: list[Screw] = []
    for number, name in enumerate(wanted):
        progress(number / len(wanted), f"screws of {name}")
        try:
            planned = plan_vertebra(bones, name, table, wishes)
            screws += planned.screws
            skipped += planned.skipped
        except (GeometryError, ProcessingError) as error:
            skipped.append(Skipped(name, None, str(error).removeprefix(f"{name}: "), whole=True))
    screws = [with_structures(s, prepare_level(bones, s.level).structures) for s in with_neighbours(screws)]
    progress(1.0, "screws planned")
    return PedicleScrewPlan(tuple(screws), tuple(skipped))


def plan_vertebra(bones: BoneFields, level: str, implants: ImplantTable, options: ScrewOptions) -> PedicleScrewPlan:
    """Plan both screws of one vertebra; a side without a pedicle, or without a line through it, is among the skipped.

    Raises
    ------
    GeometryError
        When the vertebra's frame or its pedicles cannot be found, or the trajectory is not for this level.
    """
    way = WAYS[options.trajectory]
    if not level.startswith(way.levels):
        raise GeometryError(
            f"the {way.title} is described for {way.levels}1 to {way.levels}5",
            "Choose another trajectory here, or say which levels these are (--level).",
            where=level,
        )
    at = prepare_level(bones, level)
    screws: list[Screw] = []
    skipped: list[Skipped] = []

    def plan(side: str, table: ImplantTable) -> Screw:
        return _plan_side(at.side(side), at.coarse, at.neighbours, table, options)

    for side in _SIDES:
        if side not in at.frame.pedicles:
            skipped.append(Skipped(level, side, "the pedicle was not found: no bone joins arch and body", whole=True))
            continue
        try:
            screws.append(plan(side, implants))
        except ProcessingError as error:
            skipped.append(Skipped(level, side, str(error), whole=True))
    return PedicleScrewPlan(tuple(tips_apart(screws, implants, plan)), tuple(skipped))


def pedicle_lines(
    frame: VertebraFrame, pedicle: Pedicle, sign: float, limits: DirectionLimits, least_tip_share: float
) -> LineFamily:
    """Return the lines through a pedicle that keep the direction limits: u is lateral, v is cranial."""
    x, y, z = frame.to_frame(pedicle.centre_ras)
    back, front = float(y) - CORRIDOR_BACK_MM, -least_tip_share * frame.body_depth_mm
    front = max(front, float(y) + 5.0)  # a wedge-shaped or very small body
    distance = front - back
    # The rectangles are centred on a line through the pedicle in the middle of what is usual.
    inwards, upwards = (float(np.tan(np.radians(a))) for a in limits.usual_deg)
    start = np.array([x + sign * inwards * (y - back), back, z - upwards * (y - back)])
    end = np.array([x - sign * inwards * (front - y), front, z + upwards * (front - y)])
    in_, out = (float(np.tan(np.radians(a))) for a in (limits.convergence_deg[1], -limits.convergence_deg[0]))
    down, up = (float(np.tan(np.radians(a))) for a in limits.sagittal_deg)
    return LineFamily(
        transform_points(frame.frame_to_ras, start),
        transform_points(frame.frame_to_ras, end),
        sign * frame.right_ras,
        frame.superior_ras,
        _HALF_START_MM,
        _HALF_END_MM,
        (-in_ * distance, out * distance),
        (down * distance, up * distance),
    )


def _plan_side(
    place: PedicleSide,
    coarse: DepthField,
    neighbours: DistanceFunction | None,
    implants: ImplantTable,
    options: ScrewOptions,
) -> Screw:
    """Plan within the direction limits of the asked way, and within its wider ones where those hold no screw."""
    found: list[Screw] = []
    limits = direction_limits(options, place.frame, place.pedicle, place.fine)
    for n, within in enumerate(limits):
        try:
            screw = _plan_within(place, coarse, neighbours, implants, options, within)
        except ProcessingError:
            if n + 1 == len(limits) and not found:
                raise
            continue
        if screw.clearance_mm >= options.minimum_clearance_mm:
            note = "its direction lies outside the usual limits, within which no screw has the least clearance"
            return screw if n == 0 else replace(screw, notes=(*screw.notes, note))
        found.append(screw)
    return max(found, key=lambda s: s.clearance_mm)


def _plan_within(
    place: PedicleSide,
    coarse: DepthField,
    neighbours: DistanceFunction | None,
    implants: ImplantTable,
    options: ScrewOptions,
    within: DirectionLimits,
) -> Screw:
    frame, pedicle, fine, way = place.frame, place.pedicle, place.fine, WAYS[options.trajectory]
    family = pedicle_lines(frame, pedicle, _SIDES[place.side], within, way.least_tip_share)
    corridor = widest_corridor(fine, family, gap_mm=_CORRIDOR_GAP_MM)
    _, isthmus_y, isthmus_z = (float(c) for c in frame.to_frame(pedicle.centre_ras))
    limits = TrajectoryLimits(
        posterior_limit_y_mm=isthmus_y - 3.0,
        least_tip_y_mm=-way.least_tip_share * frame.body_depth_mm,
        deepest_tip_y_mm=(options.body_depth - 0.5) * frame.body_depth_mm,
        anterior_margin_mm=options.anterior_margin_mm,
        counted_y_mm=isthmus_y - CORRIDOR_BACK_MM,
        highest_entry_z_mm=np.inf if way.below_mm is None else isthmus_z - way.below_mm,
    )
    share = CORRIDOR_BACK_MM / float((family.end_ras - family.start_ras) @ frame.anterior_ras)
    diameters = implants.diameters_mm
    cap = max(options.pedicle_fill * pedicle.width_mm, diameters[0])
    fitting = [
        d for d in reversed(diameters) if d <= cap + 1e-9 and d / 2 + options.wished_clearance_mm <= corridor.bound_mm
    ]
    # First past the facet joints, then at least with a free way to the entry, then through what has to be taken down.
    tiers = [(neighbours, options.joint_margin_mm), (neighbours, 0.0), (None, 0.0)] if neighbours else [(None, 0.0)]
    searches = [
        TrajectorySearch(fine, coarse, frame.frame_to_ras, family, corridor, share, limits, obstacle, margin)
        for obstacle, margin in tiers
    ]
    choice, narrow, obstructed = _first_choice(searches, place.ct, fitting, corridor.bound_mm, implants, options)
    if choice is None:
        raise ProcessingError(
            f"no line through the {place.side} pedicle of {place.level} reaches the body within the direction limits"
        )

    def screw(chosen: Choice) -> Screw:
        return described(place, corridor, chosen, diameters, options, narrow=narrow, obstructed=obstructed)

    if options.objective != "risk":
        return screw(choice)
    search = next((s for s in searches if s.allows(choice)), searches[-1])
    safer = search.least_risk(choice, load_error_budget(options.error_budget))
    return of_less_risk(screw(choice), screw(safer))


def _first_choice(
    searches: Sequence[TrajectorySearch],
    ct: Volume | None,
    diameters: Sequence[float],
    bound_mm: float,
    implants: ImplantTable,
    options: ScrewOptions,
) -> tuple[Choice | None, bool, bool]:
    """Return the first screw that is found, whether it lacks the wished clearance, and whether a neighbour is in its way.

    Parameters
    ----------
    diameters
        Those that can have the wished clearance, thickest first.
    bound_mm
        No line's axis is deeper in the pedicle.
    """
    free = searches[:-1] if len(searches) > 1 else searches
    for search in free:
        # A joint spared is worth a screw that is thinner by some steps, not by any number; a free way is.
        for diameter in diameters if search is free[-1] else diameters[:_STEPS_FOR_A_JOINT]:
            choice = search.best(ct, diameter, implants.lengths_mm(diameter), options.wished_clearance_mm)
            if choice is not None:
                return choice, False, False
    thinnest = implants.diameters_mm[0]
    possible = bound_mm + _BOUND_DOUBT_MM - thinnest / 2 >= options.minimum_clearance_mm
    narrow: Choice | None = None
    # A free way with the least clearance is better than the wished one through another vertebra.
    for search in free:
        found = search.widest(thinnest, implants.lengths_mm(thinnest))
        if found is not None and found[1] >= options.minimum_clearance_mm:
            return found[0], True, False
        narrow = narrow or (found and found[0])
        if narrow is not None and not possible:
            return narrow, True, False
    if len(searches) > 1:
        for diameter in diameters:
            choice = searches[-1].best(ct, diameter, implants.lengths_mm(diameter), options.wished_clearance_mm)
            if choice is not None:
                return choice, False, True
        if narrow is None:
            found = searches[-1].widest(thinnest, implants.lengths_mm(thinnest))
            return found and found[0], True, found is not None
    return narrow, True, False
