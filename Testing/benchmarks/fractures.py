"""Generated fractures of hip bones and tibiae, put together again: turn and shift against the truth.

python Testing/benchmarks/fractures.py --fractures 40 --out fractures.jsonl
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np

_ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(_ROOT / "Testing"), str(_ROOT / "MSKFusion"), str(_ROOT / "MSKPlanner")]

from core.guide_shapes import bar, smooth_union  # noqa: E402

from MSKFusionLib.errors import MSKError  # noqa: E402
from MSKFusionLib.frames import (  # noqa: E402
    invert_rigid,
    rigid,
    rigid_about,
    rotation_about,
    rotation_angle_deg,
    transform_points,
    unit,
)
from MSKFusionLib.phantom.pelvis import PelvisOptions, generate_pelvis  # noqa: E402
from MSKPlannerLib.guides.field import Grid  # noqa: E402
from MSKPlannerLib.guides.solid import to_manifold  # noqa: E402
from MSKPlannerLib.mesh import Mesh, split_bodies  # noqa: E402
from MSKPlannerLib.osteotomy.bodies import solid_bodies  # noqa: E402
from MSKPlannerLib.osteotomy.plane import Plane  # noqa: E402
from MSKPlannerLib.osteotomy.plane_split import split_by_plane  # noqa: E402
from MSKPlannerLib.osteotomy.reduction import Reduction, mirrored, reduce_fracture  # noqa: E402
from MSKPlannerLib.osteotomy.reduction_path import in_order, reduction_paths  # noqa: E402

WORN_MM = 1.0
TURN_BAR_DEG, SHIFT_BAR_MM = 1.5, 1.0
_LEAST_SHARE = 0.03


@cache
def tibia() -> Mesh:
    """Return a right tibia of balls and bars: x lateral, y forward, z up."""

    def field(p: np.ndarray) -> np.ndarray:
        parts = [
            bar(p, [-20, -6, 360], [-20, 12, 362], 17, 15, [1, 0, 0]),
            bar(p, [20, -6, 361], [21, 9, 362], 16, 14, [1, 0, 0]),
            bar(p, [0, 18, 330], [0, 12, 300], 9, 12, [1, 0, 0]),
            bar(p, [0, 0, 345], [-4, 2, 250], 12, 17, [1, 0, 0]),
            bar(p, [-4, 2, 260], [-6, 0, 20], 11, 11, [1, 0, 0]),
            bar(p, [-2, 10, 290], [-5, 8, 60], 4, 5, [0, 1, 0]),
            bar(p, [-4, 0, 40], [-2, 0, 6], 14, 19, [1, 0, 0]),
            bar(p, [-20, 4, 15], [-21, 5, -8], 7, 9, [0, 1, 0]),
        ]
        d = parts[0]
        for part in parts[1:]:
            d = smooth_union(d, part, 4.0)
        return d

    low, high, step = np.array([-50.0, -40.0, -30.0]), np.array([50.0, 45.0, 395.0]), 1.6
    shape = tuple(int(n) for n in np.ceil((high - low) / step) + 1)
    grid = Grid(rigid(translation=low), step, shape)
    return split_bodies(grid.surface(field(grid.points_ras()).reshape(shape)))[0]


@cache
def hip(seed: int) -> Mesh:
    """Return a generated hip bone."""
    surface = generate_pelvis(PelvisOptions(seed)).surface("hip_left")
    return split_bodies(Mesh(surface.points_ras, surface.faces))[0]


def unlike(bone: Mesh, rng: np.random.Generator, size_mm: float) -> Mesh:
    """Return a bone bent smoothly by up to about so much: no one's two sides are the same."""
    shift = np.zeros_like(bone.vertices_ras)
    for _ in range(4):
        wave = rng.standard_normal(3) / 60.0
        shift += np.sin(bone.vertices_ras @ wave * 2 * np.pi / 2 + rng.uniform(0, 6))[:, None] * rng.standard_normal(3)
    shift *= size_mm / np.linalg.norm(shift, axis=1).max()
    return Mesh(bone.vertices_ras + shift, bone.faces)


def broken(bone: Mesh, count: int, rng: np.random.Generator) -> list[Mesh]:
    """Return so many pieces of a bone, cut by oblique planes, each fracture surface worn by 1 mm."""
    for _ in range(200):
        pieces = [bone]
        while len(pieces) < count:
            k = int(np.argmax([p.volume_mm3 * rng.uniform(0.4, 1.0) for p in pieces]))
            piece = pieces.pop(k)
            along = np.linalg.svd(piece.vertices_ras - piece.vertices_ras.mean(axis=0), full_matrices=False)[2][0]
            normal = unit(along + 0.7 * rng.standard_normal(3))
            height = piece.vertices_ras @ normal
            level = np.quantile(height, rng.uniform(0.25, 0.75))
            plane = Plane(level * normal, normal)
            above, rest = split_by_plane(piece, plane.shifted(WORN_MM))
            below = split_by_plane(rest, plane.shifted(-WORN_MM))[1]
            pieces += [b for half in (above, below) if len(half.faces) for b in solid_bodies(half)[:1]]
        if min(p.volume_mm3 for p in pieces) > _LEAST_SHARE * bone.volume_mm3 and len(pieces) == count:
            return sorted(pieces, key=lambda p: -p.volume_mm3)
    raise RuntimeError("no fracture was drawn")


def ways(found: Reduction) -> dict[str, object]:
    """Find the ways of all fragments; judge each by the volume that it shares with the others at each pose, and at its ends."""
    begun = time.process_time()
    paths = reduction_paths(found)
    seconds = time.process_time() - begun
    order = in_order(found)
    placed = [found.fragments[0].reduced]
    rows = []
    for n, fragment in enumerate(order):
        path = paths[fragment.name]
        others = [to_manifold(m, "other") for m in (*placed, *(f.mesh for f in order[n + 1 :]))]
        placed.append(fragment.reduced)
        if isinstance(path, str):
            rows.append({"name": fragment.name, "why": path})
            continue
        solid = to_manifold(fragment.mesh, "fragment")
        shared = np.array([sum((solid.transform(m[:3]) ^ o).volume() for o in others) for m in path.motions_ras])
        rows.append(
            {
                "name": fragment.name,
                "longest_mm": path.longest_mm,
                "straight_mm": path.straight_mm,
                "least_mm": path.least_mm,
                "ends_mm": [float(path.clearance_mm[0]), float(path.clearance_mm[-1])],
                "shared_mm3": float(shared.max()),
                "shared_at_ends_mm3": [float(shared[0]), float(shared[-1])],
                "poses": len(shared),
            }
        )
    return {"path_seconds": seconds, "paths": rows}


def run(number: int, *, paths: bool = False) -> dict[str, object]:
    """Break, displace, put together, compare."""
    rng = np.random.default_rng([number, 606])
    kind = "tibia" if number % 2 else "hip"
    bone = tibia() if kind == "tibia" else hip(number % 6)
    pieces = broken(bone, 2 + number // 2 % 5, rng)
    truth, meshes = {}, {}
    for n, piece in enumerate(pieces):
        moved = np.eye(4)
        if n:
            turn = rotation_about(rng.standard_normal(3), rng.uniform(0, 30))
            moved = rigid_about(
                piece.vertices_ras.mean(axis=0), turn, rng.uniform(0, 25) * unit(rng.standard_normal(3))
            )
        meshes[f"fragment {n + 1}"] = piece.transformed(moved)
        truth[f"fragment {n + 1}"] = invert_rigid(moved)
    healthy = mirrored(unlike(bone, rng, 0.5), np.zeros(3), np.array([1.0, 0, 0])).transformed(
        rigid(rotation_about(rng.standard_normal(3), rng.uniform(0, 10)), rng.uniform(-20, 20, 3))
    )
    template = mirrored(healthy, np.zeros(3), np.array([1.0, 0, 0]))
    begun = time.process_time()
    out: dict[str, object] = {"number": number, "kind": kind, "count": len(pieces), "fragments": []}
    try:
        found = reduce_fracture(meshes, template)
    except MSKError as error:
        return out | {"error": str(error)}
    rows = []
    for f in found.fragments[1:]:
        off = f.motion_ras @ invert_rigid(truth[f.name])
        middle = transform_points(truth[f.name], f.mesh.vertices_ras.mean(axis=0))
        rows.append(
            {
                "name": f.name,
                "turn_deg": rotation_angle_deg(off[:3, :3]),
                "shift_mm": float(np.linalg.norm(transform_points(off, middle) - middle)),
                "trusted": not f.doubts,
                "doubts": list(f.doubts),
                "residual_mm": f.fit.residual_mm,
                "volume_share": f.mesh.volume_mm3 / bone.volume_mm3,
            }
        )
    out |= {"fragments": rows, "seconds": time.process_time() - begun}
    return out | ways(found) if paths else out


def main() -> None:
    """Run the fractures and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fractures", type=int, default=40)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--paths", action="store_true", help="also look for ways, and check them by exact booleans")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    cases = []
    for number in range(args.first, args.first + args.fractures):
        cases.append(run(number, paths=args.paths))
        print(json.dumps(cases[-1]), flush=True)
        if args.out:
            with args.out.open("a") as file:
                file.write(json.dumps(cases[-1]) + "\n")
    for kind in ("hip", "tibia"):
        rows = [r for c in cases if c["kind"] == kind for r in c["fragments"]]
        good = [r["turn_deg"] <= TURN_BAR_DEG and r["shift_mm"] <= SHIFT_BAR_MM for r in rows]
        trusted = [r["trusted"] for r in rows]
        wrong = sum(t and not g for t, g in zip(trusted, good, strict=True))
        print(
            f"{kind}: {len(rows)} fragments, {sum(good)} within {TURN_BAR_DEG} degrees and {SHIFT_BAR_MM} mm; "
            f"{sum(trusted)} trusted, {wrong} of these wrongly"
        )


if __name__ == "__main__":
    main()
