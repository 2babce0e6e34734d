"""Resections of generated tumours in generated long bones and pelves, judged by other means than they were planned by.

python Testing/benchmarks/resection.py                    # 100 tumours, 20 of them against an exhaustive search
python Testing/benchmarks/resection.py --tumours 12 --exhaustive 4 --out resection.json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

_ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(_ROOT / "Testing"), str(_ROOT / "MSKFusion"), str(_ROOT / "MSKPlanner")]

from core.femur_shapes import femur_mesh  # noqa: E402
from core.guide_shapes import sphere_mesh  # noqa: E402
from osteobench.cutters import long_bone  # noqa: E402

from MSKFusionLib.errors import MSKError  # noqa: E402
from MSKFusionLib.frames import FloatArray, unit  # noqa: E402
from MSKFusionLib.phantom.pelvis import PelvisOptions, generate_pelvis  # noqa: E402
from MSKPlannerLib.bone.mesh_depth import surface_points  # noqa: E402
from MSKPlannerLib.guides.field import MeshDistance  # noqa: E402
from MSKPlannerLib.mesh import Mesh, split_bodies  # noqa: E402
from MSKPlannerLib.osteotomy.resection import APPROACHES, Resection, ResectionOptions, plan_resection  # noqa: E402
from MSKPlannerLib.osteotomy.resection_search import direction_table, is_free, removed_mm3  # noqa: E402
from MSKPlannerLib.osteotomy.resection_site import resection_site  # noqa: E402

#: Spacing of the points by which margins are checked.
_CHECK_MM = 0.4
#: Sets of the exhaustive search that are looked at with the saw's way, the least bone first.
_LOOKED_AT = 400
#: Sets that differ by less than this from one that was looked at are passed over.
_ALIKE_DEG = 5.0


@dataclass(frozen=True)
class Case:
    """One tumour and what came of it."""

    number: int
    bone: str
    planes: int
    margin_mm: float
    approach: str
    short_mm: float = np.nan
    specimen_mm3: float = np.nan
    exhaustive_mm3: float = np.nan
    volume_error_share: float = np.nan
    seconds: float = np.nan
    used: int = 0
    kept_after_errors: float = np.nan
    error: str = ""


@cache
def bone_of(name: str) -> Mesh:
    """Return a generated bone."""
    kind, _, number = name.partition(" ")
    if kind == "femur":
        return femur_mesh(1.5)
    if kind == "shaft":
        return long_bone(30000)
    pelvis = generate_pelvis(PelvisOptions(int(number)))
    surface = pelvis.surface("hip_left" if int(number) % 2 else "hip_right")
    return split_bodies(Mesh(surface.points_ras, surface.faces))[0]


def tumour_in(bone: Mesh, rng: np.random.Generator) -> Mesh:
    """Return a lumpy body with its middle up to 8 mm below or 3 mm above a place of the bone's surface."""
    face = int(rng.choice(len(bone.faces), p=np.linalg.norm(bone.face_area_vectors, axis=1) / bone.area_mm2))
    middle = bone.triangles_ras[face].mean(axis=0) - rng.uniform(-3.0, 8.0) * unit(bone.face_area_vectors[face])
    ball = sphere_mesh(1.0, subdivisions=4)
    radius = rng.uniform(5.0, 16.0)
    lumps = sum(
        rng.uniform(0, 0.25) * np.exp(3.0 * (ball.vertices_ras @ unit(rng.standard_normal(3)) - 1)) for _ in range(5)
    )
    stretch = rng.uniform(0.7, 1.4, 3)
    return Mesh(middle + radius * ball.vertices_ras * (1 + lumps)[:, None] * stretch, ball.faces)


def short_mm(plan: Resection) -> float:
    """Return by how much bone that is sawn or stays is nearer to the tumour than wished, from dense points alone."""
    mine = cKDTree(surface_points(plan.tumour, _CHECK_MM))
    least = np.inf
    for part in (plan.solids.remaining, plan.solids.kerf):
        if not len(part.faces):
            continue
        low, high = plan.tumour.bounds_ras
        t = part.triangles_ras
        near = ((t.max(axis=1) >= low - 30) & (t.min(axis=1) <= high + 30)).all(axis=1)
        points = surface_points(Mesh(part.vertices_ras, part.faces[near]), _CHECK_MM)
        least = min(least, float(mine.query(points)[0].min()))
        inside = MeshDistance(plan.tumour).distance_mm(points[:: max(1, len(points) // 20000)])
        least = min(least, float(inside.min()))
    return plan.options.margin_mm - least


def exhaustive_mm3(bone: Mesh, tumour: Mesh, wish: ResectionOptions) -> float:
    """Return the least specimen of all sets of directions of a table; two planes in steps of 4, three of 12 degrees."""
    site = resection_site(bone, tumour, wish.margin_mm)
    step, rings = (4.0, 7) if wish.most_planes <= 2 else (12.0, 2)
    table = direction_table(wish.travel_ras, wish.widest_deg, step, rings)
    level = site.support_mm(table)
    solid = site.cell_bone > 0.5
    kept = np.packbits((site.cells_ras @ table.T <= level)[solid].T, axis=1)
    most = 0.98 * solid.sum()
    found: list[tuple[int, tuple[int, ...]]] = []
    firsts: Sequence[tuple[int, ...]] = (
        [(i,) for i in range(len(table))] if wish.most_planes == 2 else list(combinations(range(len(table)), 2))
    )
    if wish.most_planes == 1:
        firsts = [()]
    for first in firsts:
        rest = np.arange(first[-1] + 1 if first else 0, len(table))
        mask = np.bitwise_and.reduce(kept[list(first)], axis=0) if first else np.full(kept.shape[1], 255, np.uint8)
        volume = np.bitwise_count(mask & kept[rest]).sum(axis=1, dtype=np.int64)
        for at in np.argsort(volume, kind="stable")[:40]:
            if volume[at] <= most:
                found.append((int(volume[at]), (*first, int(rest[at]))))
        if len(found) > 200_000:
            found = sorted(found)[:20_000]
    best, looked = np.inf, []
    for _, chosen in sorted(found):
        normals = table[list(chosen)]
        if any((normals @ o.T).max(axis=1).min() > np.cos(np.radians(_ALIKE_DEG)) for o in looked):
            continue
        looked.append(normals)
        if len(looked) > _LOOKED_AT:
            break
        volume = removed_mm3(site, normals)
        if volume < best and is_free(site, normals, wish.travel_ras, wish.widest_deg):
            best = volume
    return best


def run(number: int, exhaustive: bool) -> Case:
    """Plan one tumour and judge it."""
    rng = np.random.default_rng([number, 2026])
    names = ["femur", f"pelvis {number % 4}", "shaft", f"pelvis {number % 4}"]
    name = names[number % 4]
    bone = bone_of(name)
    tumour = tumour_in(bone, rng)
    planes = int(rng.integers(1, 6))
    margin, approach = float(rng.choice([3.0, 5.0, 10.0, 15.0])), str(rng.choice(list(APPROACHES)[:4]))
    if exhaustive:
        planes = 1 + number % 3
    wish = ResectionOptions(margin_mm=margin, most_planes=planes, approach=approach)
    case = {"number": number, "bone": name, "planes": planes, "margin_mm": margin, "approach": approach}
    begun = time.process_time()
    try:
        plan = plan_resection(bone, tumour, wish)
    except MSKError as error:
        return Case(**case, error=str(error), seconds=time.process_time() - begun)
    seconds = time.process_time() - begun
    by_cells = plan.by_planes[-1][1]
    return Case(
        **case,
        short_mm=short_mm(plan),
        specimen_mm3=by_cells,
        exhaustive_mm3=exhaustive_mm3(bone, tumour, wish) if exhaustive else np.nan,
        volume_error_share=plan.solids.volume_error_share(bone),
        seconds=seconds,
        used=len(plan.cuts),
        kept_after_errors=plan.after_errors.kept_probability,
    )


def worst(values: FloatArray) -> str:
    """Return median and worst of numbers, without those that are none."""
    v = values[np.isfinite(values)]
    return "none" if not len(v) else f"median {np.median(v):.4g}, worst {v.max():.4g} of {len(v)}"


def main() -> None:
    """Run all cases and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tumours", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="number of the first one, to go on after a stop")
    parser.add_argument("--exhaustive", type=int, default=20, help="so many of them against an exhaustive search")
    parser.add_argument("--out", type=Path, help="all cases as JSON lines")
    args = parser.parse_args()
    every = max(1, args.tumours // max(1, args.exhaustive))
    cases = []
    for number in range(args.first, args.tumours):
        case = run(number, args.exhaustive > 0 and number % every == every - 1)
        cases.append(case)
        print(json.dumps(asdict(case)), flush=True)
        if args.out:
            with args.out.open("a") as file:
                file.write(json.dumps(asdict(case)) + "\n")
    done = [c for c in cases if not c.error]
    print(f"\n{len(done)} of {len(cases)} planned")
    print("margin short of the wish, mm:   ", worst(np.array([c.short_mm for c in done])))
    print("volumes miss each other, share: ", worst(np.array([c.volume_error_share for c in done])))
    print("specimen / exhaustive search:   ", worst(np.array([c.specimen_mm3 / c.exhaustive_mm3 for c in done])))
    print("CPU seconds:                    ", worst(np.array([c.seconds for c in done])))
    for error in sorted({c.error for c in cases if c.error}):
        print("not planned:", error)


if __name__ == "__main__":
    main()
