"""Pedicle screws: trajectory, diameter and length for every vertebra that is wholly in view."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from MSKFusionLib.distance_map import signed_distance_mm
from MSKFusionLib.errors import GeometryError, InputError, ProcessingError
from MSKFusionLib.frames import FloatArray, transform_points, unit
from MSKFusionLib.interpolation import interpolate
from MSKFusionLib.progress import Progress, no_progress
from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.segmentation.labels import Segmentation
from MSKFusionLib.volume import Volume

from ..anatomy.pedicle import Pedicle
from ..anatomy.vertebra import VertebraFrame, require_complete, vertebra_frame
from ..bone.depth_field import DepthField
from ..bone.smooth_bone import BoneFields, SmoothBone
from ..plan import Screw
from .breach_risk import PlannedCylinder, breach_risk
from .corridor import Corridor, LineFamily, widest_corridor
from .error_budget import DEFAULT_BUDGET, load_error_budget
from .implants import ImplantTable, load_implants
from .measures import (
    LOW_DENSITY_HU,
    body_density_hu,
    gap_mm,
    heary_grade,
    screw_angles_deg,
    wall_breaches,
)
from .safety import assess_screw, path_density, screw_surface
from .structures import structure_distances
from .trajectory import Choice, DistanceFunction, TrajectoryLimits, TrajectorySearch

SIDES: tuple[tuple[str, float], ...] = (("left", -1.0), ("right", 1.0))
#: The certified corridor is what every screw passes: from so far behind the isthmus (farther back the entry's own cortex
#: comes near) to where the shortest screw ends, at this share of the body's depth behind its middle.
_CORRIDOR_BACK_MM = 2.0
_LEAST_TIP_SHARE = 0.2
#: Half sides of the corridor's rectangles: lateral and vertical, behind the pedicle and in the body.
_HALF_START_MM = (7.0, 10.0)
_HALF_END_MM = (10.0, 12.0)
#: Proof wanted of the corridor's radius: the search about it finds what is left.
_CORRIDOR_GAP_MM = 0.2
_STEPS_FOR_A_JOINT = 4
#: Left between the two screws of a vertebra, whose tips converge.
_BETWEEN_SCREWS_MM = 1.0


@dataclass(frozen=True)
class ScrewOptions:
    """What a pedicle screw is asked to keep to. Lengths in mm, angles in degrees in the vertebra's frame.

    Parameters
    ----------
    wished_clearance_mm
        Bone all round the screw. The default covers 0.5 mm of true bone and 0.5 mm of doubt about where the
        segmentation's surface is (about a voxel of a planning CT).
    minimum_clearance_mm
        Where even the thinnest screw of the table has less, the pedicle is called too narrow and the screw rejected.
    pedicle_fill
        The largest diameter as a share of the pedicle's width; thicker screws break pedicles
        (beyond 80 % of the outer diameter: Misenhimer et al. 1989, doi 10.1097/00007632-198904000-00004). It does not
        go below the table's thinnest screw.
    joint_margin_mm
        Kept from neighbouring vertebrae beside the entry where it can be: it spares the facet joints, and a
        segmentation is less sure where one vertebra ends and the next begins than where bone ends.
    anterior_margin_mm
        Bone left in front of the tip, along the axis.
    body_depth
        The tip goes no deeper than this share of the body's depth: 80 % holds nearly as well as through the front
        cortex without its danger to the vessels (Krag et al. 1988, J Spinal Disord 1:287).
    convergence_deg, sagittal_deg
        Limits of the direction: towards the midline, and up from the plane of the endplates.
    error_budget
        Name or TOML file of the errors between plan and patient that a screw's risk is counted with; empty for none.
    objective
        ``hold``: the longest and densest path among those with the wished clearance. ``risk``: the screw of that size
        is then moved to where it is least likely to breach by the error budget.
    """

    wished_clearance_mm: float = 1.0
    minimum_clearance_mm: float = 0.5
    pedicle_fill: float = 0.8
    joint_margin_mm: float = 2.0
    anterior_margin_mm: float = 5.0
    body_depth: float = 0.8
    convergence_deg: tuple[float, float] = (-5.0, 35.0)
    sagittal_deg: tuple[float, float] = (-20.0, 20.0)
    error_budget: str = DEFAULT_BUDGET
    objective: str = "hold"

    def __post_init__(self) -> None:
        if not 0 <= self.minimum_clearance_mm <= self.wished_clearance_mm <= 5:
            raise InputError(
                f"the wished clearance {self.wished_clearance_mm} mm and the least {self.minimum_clearance_mm} mm do not go together",
                "Ask for 0 <= least <= wished <= 5 mm.",
            )
        if not (
            0.1 <= self.pedicle_fill <= 1
            and 0.3 <= self.body_depth <= 1
            and 0 <= self.anterior_margin_mm <= 20
            and 0 <= self.joint_margin_mm <= 10
        ):
            raise InputError("pedicle fill, body depth, anterior or joint margin are outside what makes sense")
        if self.objective not in ("hold", "risk") or (self.objective == "risk" and not self.error_budget):
            raise InputError(f"'{self.objective}' is no objective here", "Give hold, or risk with an error budget.")
        if self.error_budget:
            load_error_budget(self.error_budget)  # a name or file that is not there is said before any work
        for low, high in (self.convergence_deg, self.sagittal_deg):
            if not -60 <= low < high <= 60:
                raise InputError(f"direction limits of {low} to {high} degrees leave no screw", "Give (low, high).")


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
    table = load_implants() if implants is None else implants
    wishes = options or ScrewOptions()
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
    screws = [_beside_structures(s, segmentation) for s in with_neighbours(screws)]
    progress(1.0, "screws planned")
    return PedicleScrewPlan(tuple(screws), tuple(skipped))


def _beside_structures(screw: Screw, segmentation: Segmentation) -> Screw:
    """Return a screw with its distances to the structures at risk; one that runs into any is rejected."""
    found = structure_distances(segmentation, screw.entry_ras, screw.tip_ras, screw.diameter_mm)
    into = [f"it runs into {s.name} by {-s.distance_mm:.1f} mm" for s in found if s.distance_mm < 0]
    close = [
        f"{s.name} is {s.distance_mm:.1f} mm away, less than {s.margin_mm:g} mm"
        for s in found
        if 0 <= s.distance_mm < s.margin_mm
    ]
    return replace(
        screw,
        structures_mm={s.name: s.distance_mm for s in found},
        # The canal lies against the pedicle: to be in it is what the fifth of Heary's grades is about.
        heary="V" if screw.heary == "IV" and into else screw.heary,
        verdict=Verdict.REJECTED if into else screw.verdict,
        reasons=(*screw.reasons, *into),
        notes=(*screw.notes, *close),
    )


def with_neighbours(screws: Sequence[Screw]) -> list[Screw]:
    """Return screws with the nearest other one of each; two that meet are rejected."""
    cylinders = [(s.entry_ras, s.tip_ras, s.diameter_mm) for s in screws]
    out = []
    for n, screw in enumerate(screws):
        gaps = [(gap_mm(cylinders[n], other), m) for m, other in enumerate(cylinders) if m != n]
        if not gaps:
            out.append(screw)
            continue
        nearest_mm, m = min(gaps)
        screw = replace(screw, nearest_screw=screws[m].name, nearest_screw_mm=nearest_mm)
        if nearest_mm < 0:
            meets = f"it meets the screw {screws[m].name} by {-nearest_mm:.1f} mm"
            screw = replace(screw, verdict=Verdict.REJECTED, reasons=(*screw.reasons, meets))
        out.append(screw)
    return out


def plan_vertebra(bones: BoneFields, level: str, implants: ImplantTable, options: ScrewOptions) -> PedicleScrewPlan:
    """Plan both screws of one vertebra; a side without a pedicle, or without a line through it, is among the skipped.

    Raises
    ------
    GeometryError
        When the vertebra's frame or its pedicles cannot be found.
    """
    ct, segmentation = bones.ct, bones.segmentation
    smooth = bones.smooth(level)
    coarse = smooth.field(1.0)
    frame = vertebra_frame(segmentation, level, depth=coarse)
    if not frame.pedicles:
        raise GeometryError("; ".join(frame.reasons), "Check the segmentation of this vertebra.", where=level)
    fine = _screw_region(smooth, frame)
    neighbours = _neighbours(segmentation, level, frame)
    screws: list[Screw] = []
    skipped: list[Skipped] = []

    def plan(side: str, sign: float, table: ImplantTable) -> Screw:
        return _plan_side(ct, level, side, sign, frame, fine, coarse, neighbours, table, options)

    for side, sign in SIDES:
        if side not in frame.pedicles:
            skipped.append(Skipped(level, side, "the pedicle was not found: no bone joins arch and body", whole=True))
            continue
        try:
            screws.append(plan(side, sign, implants))
        except ProcessingError as error:
            skipped.append(Skipped(level, side, str(error), whole=True))
    return PedicleScrewPlan(tuple(_apart(screws, implants, plan)), tuple(skipped))


def _apart(
    screws: list[Screw], implants: ImplantTable, plan: Callable[[str, float, ImplantTable], Screw]
) -> list[Screw]:
    """Return the screws of one vertebra so that their tips do not meet: the longer one is planned anew, shorter, until they do not."""
    signs = dict(SIDES)
    while len(screws) == 2:
        ends = [(s.entry_ras, s.tip_ras, s.diameter_mm) for s in screws]
        longest = max(s.length_mm for s in screws)
        shorter = tuple(size for size in implants.sizes_mm if size[1] < longest - 1e-6)
        if gap_mm(ends[0], ends[1]) >= _BETWEEN_SCREWS_MM or not shorter:
            break
        table = ImplantTable(implants.name, shorter)
        try:
            screws = [plan(s.side, signs[s.side], table) if s.length_mm >= longest - 1e-6 else s for s in screws]
        except ProcessingError:
            break  # none so short reaches the body: that they meet is said
    return screws


def _screw_region(smooth: SmoothBone, frame: VertebraFrame) -> DepthField:
    """Return the fine field of the part of a vertebra where screws run: body, pedicles and the arch behind them."""
    places = np.array([frame.to_frame(p.centre_ras) for p in frame.pedicles.values()])
    side = max(np.abs(places[:, 0]).max() + 18.0, frame.body_width_mm / 2 + 4.0)
    low = [-side, places[:, 1].min() - 32.0, -frame.body_height_mm / 2 - 6.0]
    high = [side, frame.body_depth_mm / 2 + 6.0, frame.body_height_mm / 2 + 12.0]
    corners = np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
    return smooth.field(region_ras=frame.to_ras(corners))


def _neighbours(segmentation: Segmentation, level: str, frame: VertebraFrame) -> DistanceFunction | None:
    """Return the distance from every other vertebra and the sacrum, within the region of the screws and their approach."""
    values = [s.value for s in segmentation.segments if s.kind in ("vertebra", "sacrum") and s.name != level]
    reach = np.array([0.5 * frame.body_width_mm + 25.0, 70.0, 45.0])
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 0.6) for z in (-1, 1)]) * reach
    ijk = transform_points(segmentation.labels.ras_to_ijk, frame.to_ras(corners))
    part = segmentation.labels.cropped(np.floor(ijk.min(axis=0)), np.ceil(ijk.max(axis=0)) + 1)
    other = np.isin(part.voxels, values)
    if not other.any():
        return None
    distance = signed_distance_mm(other, part.spacing_mm[::-1])
    to_ijk = part.ras_to_ijk

    def distance_mm(points_ras: FloatArray) -> FloatArray:
        return np.asarray(interpolate(distance, transform_points(to_ijk, points_ras)))

    return distance_mm


def pedicle_lines(frame: VertebraFrame, pedicle: Pedicle, sign: float, options: ScrewOptions) -> LineFamily:
    """Return the lines through a pedicle that keep the direction limits: u is lateral, v is cranial."""
    x, y, z = frame.to_frame(pedicle.centre_ras)
    back, front = float(y) - _CORRIDOR_BACK_MM, -_LEAST_TIP_SHARE * frame.body_depth_mm
    front = max(front, float(y) + 5.0)  # a wedge-shaped or very small body
    distance = front - back
    # The rectangles are centred on a line that converges by 12 degrees, the middle of what lumbar pedicles do.
    slope = np.tan(np.radians(12.0))
    start = np.array([x + sign * slope * (y - back), back, z])
    end = np.array([x - sign * slope * (front - y), front, z])
    in_, out = (float(np.tan(np.radians(a))) for a in (options.convergence_deg[1], -options.convergence_deg[0]))
    down, up = (float(np.tan(np.radians(a))) for a in options.sagittal_deg)
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
    ct: Volume | None,
    level: str,
    side: str,
    sign: float,
    frame: VertebraFrame,
    fine: DepthField,
    coarse: DepthField,
    neighbours: DistanceFunction | None,
    implants: ImplantTable,
    options: ScrewOptions,
) -> Screw:
    pedicle = frame.pedicles[side]
    family = pedicle_lines(frame, pedicle, sign, options)
    corridor = widest_corridor(fine, family, gap_mm=_CORRIDOR_GAP_MM)
    isthmus_y = float(frame.to_frame(pedicle.centre_ras)[1])
    limits = TrajectoryLimits(
        posterior_limit_y_mm=isthmus_y - 3.0,
        least_tip_y_mm=-_LEAST_TIP_SHARE * frame.body_depth_mm,
        deepest_tip_y_mm=(options.body_depth - 0.5) * frame.body_depth_mm,
        anterior_margin_mm=options.anterior_margin_mm,
        counted_y_mm=isthmus_y - _CORRIDOR_BACK_MM,
    )
    share = _CORRIDOR_BACK_MM / float((family.end_ras - family.start_ras) @ frame.anterior_ras)
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
    choice, narrow, obstructed = _first_choice(searches, ct, fitting, implants, options)
    if choice is None:
        raise ProcessingError(
            f"no line through the {side} pedicle of {level} reaches the body within the direction limits"
        )
    described = _describe(ct, level, side, frame, fine, corridor, choice, narrow, obstructed, diameters, options)
    if options.objective != "risk":
        return described
    search = next((s for s in searches if s.allows(choice)), searches[-1])
    moved = search.least_risk(choice, load_error_budget(options.error_budget))
    safer = _describe(ct, level, side, frame, fine, corridor, moved, narrow, obstructed, diameters, options)
    return _of_less_risk(described, safer)


def _of_less_risk(held: Screw, safer: Screw) -> Screw:
    """Return the screw that breaches less often, of the one with most hold and the one moved for its risk, and say so."""
    if held.risk is None or safer.risk is None or safer.risk.probability >= held.risk.probability:
        note = "the path with most hold is also the one of least risk"
        return replace(held, notes=(*held.notes, note))
    apart_mm = float(np.linalg.norm(np.subtract(held.entry_ras, safer.entry_ras)))
    ways = [unit(np.subtract(s.tip_ras, s.entry_ras)) for s in (held, safer)]
    turned_deg = float(np.degrees(np.arccos(np.clip(ways[0] @ ways[1], -1, 1))))
    note = (
        f"least risk: breaches in {safer.risk.probability:.0%} instead of {held.risk.probability:.0%} of cases by the error "
        f"budget; the path with most hold enters {apart_mm:.1f} mm and {turned_deg:.0f} degrees off this one"
    )
    return replace(safer, notes=(*safer.notes, note))


def _first_choice(
    searches: Sequence[TrajectorySearch],
    ct: Volume | None,
    diameters: Sequence[float],
    implants: ImplantTable,
    options: ScrewOptions,
) -> tuple[Choice | None, bool, bool]:
    """Return the first screw that is found, whether it lacks the wished clearance, and whether a neighbour is in its way."""
    free = searches[:-1] if len(searches) > 1 else searches
    for search in free:
        # A joint spared is worth a screw that is thinner by some steps, not by any number; a free way is.
        for diameter in diameters if search is free[-1] else diameters[:_STEPS_FOR_A_JOINT]:
            choice = search.best(ct, diameter, implants.lengths_mm(diameter), options.wished_clearance_mm)
            if choice is not None:
                return choice, False, False
    thinnest = implants.diameters_mm[0]
    narrow = [search.widest(thinnest, implants.lengths_mm(thinnest)) for search in free]
    # A free way with the least clearance is better than the wished one through another vertebra.
    for found in narrow:
        if found is not None and found[1] >= options.minimum_clearance_mm:
            return found[0], True, False
    if len(searches) > 1:
        for diameter in diameters:
            choice = searches[-1].best(ct, diameter, implants.lengths_mm(diameter), options.wished_clearance_mm)
            if choice is not None:
                return choice, False, True
        narrow.append(searches[-1].widest(thinnest, implants.lengths_mm(thinnest)))
    for n, found in enumerate(narrow):
        if found is not None:
            return found[0], True, n == len(free)
    return None, True, False


def _describe(
    ct: Volume | None,
    level: str,
    side: str,
    frame: VertebraFrame,
    fine: DepthField,
    corridor: Corridor,
    choice: Choice,
    narrow: bool,
    obstructed: bool,
    diameters: Sequence[float],
    options: ScrewOptions,
) -> Screw:
    """Measure the chosen screw anew on its surface, and say what holds and what does not."""
    pedicle = frame.pedicles[side]
    axis = (choice.tip_ras - choice.entry_ras) / choice.length_mm
    to_isthmus = float((pedicle.centre_ras - choice.entry_ras) @ frame.anterior_ras / (axis @ frame.anterior_ras))
    planned = PlannedCylinder(
        choice.entry_ras,
        choice.tip_ras,
        choice.diameter_mm,
        counted_from_mm=to_isthmus - _CORRIDOR_BACK_MM / float(axis @ frame.anterior_ras),
        axes_ras=frame.axes_ras,
        side=side,
    )
    safety = assess_screw(
        fine.depth_mm,
        planned.entry_ras,
        planned.tip_ras,
        planned.diameter_mm,
        axes_ras=planned.axes_ras,
        side=side,
        counted_from_mm=planned.counted_from_mm,
    )
    surface = screw_surface(
        fine.depth_mm, choice.entry_ras, choice.tip_ras, choice.diameter_mm, counted_from_mm=planned.counted_from_mm
    )
    to_body_mm = float(
        (frame.to_ras(np.array([0, -0.5 * frame.body_depth_mm, 0])) - choice.entry_ras)
        @ frame.anterior_ras
        / (axis @ frame.anterior_ras)
    )
    walls = wall_breaches(surface, choice.entry_ras, frame.axes_ras, side, to_body_mm)
    convergence_deg, sagittal_deg = screw_angles_deg(choice.entry_ras, choice.tip_ras, frame.axes_ras, side)
    budget = load_error_budget(options.error_budget) if options.error_budget else None
    risk = None if budget is None else breach_risk(fine.depth_mm, planned, budget)
    density = None if ct is None else path_density(ct, choice.entry_ras, choice.tip_ras, choice.diameter_mm)
    room = max(corridor.clearance_mm, choice.diameter_mm / 2 + safety.clearance_mm)
    fitting = [d for d in diameters if d / 2 <= room]
    largest = fitting[-1] if fitting else None
    reasons: list[str] = list(frame.reasons)
    notes: list[str] = [
        f"widest corridor: {2 * corridor.clearance_mm:.1f} mm through the pedicle "
        f"(no other is wider than {2 * corridor.bound_mm:.1f} mm)"
    ]
    body_hu = None if ct is None else body_density_hu(ct, frame)
    if body_hu is not None and body_hu < LOW_DENSITY_HU:
        notes.append(
            f"low density: {body_hu:.0f} HU in the body of {level}, below {LOW_DENSITY_HU:.0f} (Pickhardt 2013; holds for CT "
            "at 120 kV without contrast medium)"
        )
    if obstructed:
        notes.append("another vertebra lies in the straight way to the entry: it has to be passed or taken down")
    if narrow and safety.clearance_mm < options.wished_clearance_mm:
        fits = (
            f"the largest screw that fits is {largest:g} mm"
            if largest
            else f"no screw fits, not even {diameters[0]:g} mm"
        )
        text = f"the {side} pedicle of {level} is {pedicle.width_mm:.1f} mm wide; {fits}"
        if safety.clearance_mm < options.minimum_clearance_mm:
            reasons.append(f"{text}, with {safety.clearance_mm:.1f} mm of bone round {choice.diameter_mm:g} mm")
        else:
            notes.append(f"{text}; less than the wished {options.wished_clearance_mm:g} mm of bone round it")
    elif safety.breach_mm > 0:
        reasons.append(f"the screw leaves the bone by {safety.breach_mm:.1f} mm {safety.breach_direction}")
    entry, tip = (tuple(float(c) for c in p) for p in (choice.entry_ras, choice.tip_ras))
    return Screw(
        name=f"{level} {side}",
        site="pedicle",
        level=level,
        side=side,
        entry_ras=(entry[0], entry[1], entry[2]),
        tip_ras=(tip[0], tip[1], tip[2]),
        diameter_mm=choice.diameter_mm,
        length_mm=choice.length_mm,
        clearance_mm=safety.clearance_mm,
        grade=safety.grade,
        breach_mm=safety.breach_mm,
        breach_direction=safety.breach_direction,
        breaches_mm=walls.deepest,
        heary=heary_grade(walls) if level.startswith("T") else "",
        convergence_deg=convergence_deg,
        sagittal_deg=sagittal_deg,
        hu_mean=None if density is None else density.hu_mean,
        hu_min=None if density is None else density.hu_min,
        body_hu=body_hu,
        pedicle_width_mm=pedicle.width_mm,
        largest_diameter_mm=largest,
        risk=risk,
        verdict=Verdict.REJECTED if reasons else Verdict.ACCEPTED,
        reasons=tuple(reasons),
        notes=tuple(notes),
    )
