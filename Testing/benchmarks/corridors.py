"""Pelvic corridors on generated pelves, against exhaustive search and against the closed-form anatomy.

    python Testing/benchmarks/corridors.py --pelves 10 [--first 1]

For each pelvis: the trans-sacral corridors beside S1 and S2 and the iliosacral ones of the right side are planned on the
labels. (1) Objective: the widest corridor found against an exhaustive search of the same lines in the same map (a grid of
2 mm over all four parameters, its best lines climbed from). (2) Possible or not: against an exhaustive search in the
closed-form anatomy, in the generator's own frame. (3) Every planned screw measured in the closed-form anatomy. Beside them the
supra-acetabular screws of both sides, measured in the closed form too.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np

from MSKFusionLib.errors import MSKError
from MSKFusionLib.frames import perpendicular_axes, transform_points, unit
from MSKFusionLib.phantom.grid import Grid, first_order_distance
from MSKFusionLib.phantom.pelvis import Pelvis, PelvisOptions, generate_pelvis
from MSKFusionLib.phantom.pelvis_sacrum import along_sacrum
from MSKFusionLib.phantom.shapes import Shape
from MSKFusionLib.segmentation.labels import Segmentation
from MSKPlannerLib.anatomy.pelvis import sacral_frame
from MSKPlannerLib.anatomy.pelvis_landmarks import pelvic_places
from MSKPlannerLib.bone.depth_field import DepthField, signed_distance
from MSKPlannerLib.bone.joined import join, kept_away
from MSKPlannerLib.bone.region import Region
from MSKPlannerLib.screws.candidate_lines import Choice
from MSKPlannerLib.screws.corridor import Corridor, LineFamily, line_clearance_mm, polished_corridor
from MSKPlannerLib.screws.safety import assess_screw, cylinder_points, entry_zone_mm
from MSKPlannerLib.screws.sites.description import Site, load_site
from MSKPlannerLib.screws.sites.hip import plan_hip
from MSKPlannerLib.screws.sites.plan_corridor import plan_corridor
from MSKPlannerLib.screws.sites.sacral import sacral_anatomy, sacral_problem

_STEP_MM = 0.6
_GRID_MM = 2.0
_CLIMBS = 24
SITES = ("trans_sacral_s1", "trans_sacral_s2", "iliosacral_s1", "iliosacral_s2")


def exhaustive_mm(field: DepthField, family: LineFamily) -> float:
    """Return the clearance of the best line by trying all of a grid, then climbing from the best of them."""
    half = np.array([*family.half_start_mm, *family.half_end_mm])
    axes = [np.linspace(-h, h, int(np.ceil(2 * h / _GRID_MM)) + 1) for h in half]
    x = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 4)
    x = x[family.outside_limits_mm(x) <= 1e-9]
    values = line_clearance_mm(field, family, x)
    best = -np.inf
    for n in np.argsort(values)[::-1][:_CLIMBS]:
        start, end = family.ends_ras(x[n : n + 1])
        top = polished_corridor(field, family, Corridor(start[0], end[0], x[n], float(values[n]), np.inf, 0), starts=0)
        best = max(best, top.clearance_mm)
    return best


def true_field(pelvis: Pelvis, extra_mm: float, joint_gap_mm: float) -> DepthField:
    """Return the depth in the true bones and joints, canal and foramina kept away from, in the sacrum's true frame."""
    size = pelvis.sacrum
    low = np.array([-size.wing_half_width - 50.0, -48.0, -size.foramina[1][0] - 16.0])
    high = np.array([size.wing_half_width + 50.0, 42.0, 0.5 * size.heights[0] + 12.0])
    region = Region(pelvis.sacrum_to_ras, low, high)
    i, j, k = (len(np.arange(a, b + _STEP_MM, _STEP_MM)) for a, b in zip(low, high, strict=True))
    m = pelvis.sacrum_to_ras @ np.diag([_STEP_MM] * 3 + [1.0])
    m[:3, 3] = transform_points(pelvis.sacrum_to_ras, low)
    grid = Grid((k, j, i), m)
    names = list(pelvis.bones)
    depths = [first_order_distance(pelvis.implicit(name, grid), grid) for name in names]
    level = join(depths, [(0, 1), (0, 2)], joint_gap_mm)
    solid = region.field(signed_distance(level, np.full(3, _STEP_MM)), _STEP_MM)
    sacrum = pelvis.bones["S1"]
    tunnels = Shape(tuple(replace(p, cuts=False) for p in sacrum.parts if p.cuts), sacrum.frame_to_world)
    gaps = first_order_distance(Pelvis.implicit(replace(pelvis, bones={"gaps": tunnels}), "gaps", grid), grid)
    return kept_away(solid, region.field(-gaps, _STEP_MM), extra_mm)


def true_family(pelvis: Pelvis, site: Site, field: DepthField) -> LineFamily:
    """Return the trans-sacral lines of a site in the generator's own frame."""
    size = pelvis.sacrum
    middle = 0.0 if site.level == 1 else 0.5 * (size.heights[0] + size.heights[1])
    centre = along_sacrum(size, middle, -1.0)
    walls = []
    for sign in (-1.0, 1.0):
        x = np.arange(25.0, 115.0, 0.25)
        line = np.stack([sign * x, np.full_like(x, centre[1]), np.full_like(x, centre[2])], axis=-1)
        inside = field.depth_mm(transform_points(pelvis.sacrum_to_ras, line)) > 0
        walls.append(sign * (float(x[np.flatnonzero(inside)[-1]]) - site.start_inside_mm))
    start, end = (np.array([w, centre[1], centre[2]]) for w in (walls[1], walls[0]))
    across = abs(walls[1] - walls[0])
    shifts = [tuple(across * np.tan(np.radians(limits))) for limits in (site.anterior_deg, site.cranial_deg)]
    axes = pelvis.sacrum_to_ras[:3, :3]
    ends = transform_points(pelvis.sacrum_to_ras, np.stack([start, end]))
    return LineFamily(
        ends[0], ends[1], axes[:, 1], axes[:, 2], site.start_half_mm, site.end_half_mm, shifts[0], shifts[1]
    )


def true_clearance_mm(pelvis: Pelvis, bone: str, screw: Choice, *, most_mm: float = 8.0) -> float:
    """Return by how much a screw may grow all round, behind its entry zone, before it leaves a closed-form bone; -1 where it has."""
    shape = pelvis.bones[bone]
    to_shape = np.linalg.inv(shape.frame_to_world)
    axis = unit(screw.tip_ras - screw.entry_ras)
    turn = np.stack([*perpendicular_axes(axis), axis])
    for more in np.arange(0.0, most_mm, 0.1):
        points, caps = cylinder_points(screw.length_mm, screw.diameter_mm + 2 * more, entry_zone_mm(screw.diameter_mm))
        wall = screw.entry_ras + points[: len(points) - caps] @ turn
        if (shape.value_at(transform_points(to_shape, wall)) <= 0).any():
            return float(more - 0.1) if more > 0 else -1.0
    return most_mm


def supra_acetabular(pelvis: Pelvis, labels: Segmentation, seed: int) -> list[tuple[bool, float]]:
    """Plan the supra-acetabular screws of a pelvis; for each, whether there is one and its true clearance."""
    out = []
    places = pelvic_places(labels)
    for side in ("left", "right"):
        began = time.process_time()
        try:
            plan = plan_hip("supra_acetabular", labels, places, side)
        except MSKError as error:
            print(f"{seed:4d} supra_acetabular {side}: {error}", flush=True)
            out.append((False, np.nan))
            continue
        mm = np.nan if plan.screw is None else true_clearance_mm(pelvis, f"hip_{side}", plan.screw)
        what = "none" if plan.screw is None else f"{plan.screw.diameter_mm:g}x{plan.screw.length_mm:g}"
        print(
            f"{seed:4d} supra_acetabular {side} width {plan.width_mm:5.1f} (bound {plan.bound_width_mm:5.1f}) {what} "
            f"clearance {plan.clearance_mm or np.nan:.2f} true {mm:.2f} {time.process_time() - began:.2f} s",
            flush=True,
        )
        out.append((plan.screw is not None, mm))
    return out


def main() -> None:
    """Run and print a line a corridor, then the sums."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pelves", type=int, default=3, help="how many (the issue asks for 100)")
    parser.add_argument("--first", type=int, default=1, help="first seed")
    given = parser.parse_args()
    short, decisions, clearances, seconds, maps, widths, refused = [], [], [], [], [], [], 0
    supra: list[tuple[bool, float]] = []
    for seed in range(given.first, given.first + given.pelves):
        pelvis = generate_pelvis(PelvisOptions(seed))
        labels = pelvis.labels()
        began = time.process_time()
        try:
            anatomy = sacral_anatomy(labels, sacral_frame(labels))
        except MSKError as error:
            refused += 1
            print(f"{seed:4d} refused: {error}", flush=True)
            continue
        maps.append(time.process_time() - began)
        supra += supra_acetabular(pelvis, labels, seed)
        truth: dict[tuple[float, float], DepthField] = {}
        for name in SITES:
            site = load_site(name)
            extra = site.nerve_distance_mm - site.clearance_mm
            key = (extra, site.joint_gap_mm)
            if key not in truth:
                truth[key] = true_field(pelvis, *key)
            field = truth[key]
            plan = plan_corridor(site, anatomy, "right")
            problem = sacral_problem(site, "right", anatomy)
            best = exhaustive_mm(problem.field, problem.family)
            short.append((best - plan.corridor.clearance_mm) / max(abs(best), 1e-6))
            bound_holds = plan.corridor.bound_mm >= best - 1e-6
            seconds.append(plan.seconds)
            words = f"width {plan.width_mm:5.1f} (bound {plan.bound_width_mm:5.1f}) exhaustive {2 * best:5.1f}"
            if site.family == "trans_sacral":
                true_width = 2 * exhaustive_mm(field, true_family(pelvis, site, field))
                right = plan.possible == (true_width >= site.needed_width_mm)
                decisions.append((name, true_width >= site.needed_width_mm, right))
                widths.append(plan.width_mm - true_width)
                words += f" true {true_width:5.1f} {'possible' if plan.possible else 'not'}{'' if right else ' WRONG'}"
            if plan.screw is not None:
                s = plan.screw
                measured = assess_screw(field.depth_mm, s.entry_ras, s.tip_ras, s.diameter_mm).clearance_mm
                clearances.append(measured)
                words += (
                    f" screw {s.diameter_mm:g}x{s.length_mm:g} clearance {plan.clearance_mm:.2f} true {measured:.2f}"
                )
            print(
                f"{seed:4d} {name:16s} dysmorphism {pelvis.sacrum.dysmorphism:.2f} {words}"
                f"{'' if bound_holds else ' BOUND BROKEN'} {plan.seconds:.2f} s",
                flush=True,
            )
    lack = np.array(short)
    print(
        f"objective: worst {100 * lack.max():.2f} % below exhaustive, within 1 % in {np.mean(lack <= 0.01):.1%} of {len(lack)}"
    )
    for name in SITES[:2]:
        some = [d for d in decisions if d[0] == name]
        print(
            f"{name}: truly possible {sum(d[1] for d in some)} of {len(some)}, decided right {sum(d[2] for d in some)}"
        )
    print(
        f"width against truth: mean {np.mean(widths):+.2f}, sd {np.std(widths):.2f}, worst {np.abs(widths).max():.2f} mm"
    )
    print(
        f"screws in the true anatomy: {len(clearances)}, least clearance {min(clearances, default=np.nan):.2f} mm, {sum(c < 0 for c in clearances)} breach"
    )
    held = [mm for found, mm in supra if found]
    print(
        f"supra-acetabular: {len(held)} of {len(supra)} planned, least true clearance {min(held, default=np.nan):.1f} mm"
    )
    print(
        f"seconds a corridor: median {np.median(seconds):.2f}, worst {max(seconds):.2f}; map median {np.median(maps):.1f}; refused {refused}"
    )


if __name__ == "__main__":
    main()
