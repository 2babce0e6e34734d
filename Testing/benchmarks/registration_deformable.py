r"""Deformable CT-MR registration of generated patients with known soft-tissue motion, beside peers, in one run.

    OMP_NUM_THREADS=1 ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=1 \
        python Testing/benchmarks/registration_deformable.py [--seeds 1 2 3] [--motion 12] [--weighting T1] [--small] [--json FILE]

Every method starts from the same rigid registration. The peers get both images on the same cubes of 2 mm over the MR's
field of view: ConvexAdam (`pip install convexAdam`) with its own settings, and ANTs SyN (`pip install antspyx`) with
Mattes mutual information. What is not installed is said and left out. Errors in mm over points that the MR shows:
soft tissue (median, 95 %), bone (median, 95 %). Each method runs in a process of its own, for its peak memory;
seconds are of the processor, for a machine that does other work too.
"""

import argparse
import json
import multiprocessing
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from MSKFusionLib.frames import FloatArray, transform_points
from MSKFusionLib.interpolation import interpolate
from MSKFusionLib.phantom import PatientOptions, generate_patient
from MSKFusionLib.registration import register_deformable, register_rigid
from MSKFusionLib.registration.pair import Pair
from MSKFusionLib.registration.point_map import volume_change, voxel_points_ras
from MSKFusionLib.registration.soft_tissue_pair import SoftTissuePair
from MSKFusionLib.segmentation.labels import Segmentation
from MSKFusionLib.volume import Volume


@dataclass(frozen=True, eq=False)
class Case:
    """The CT, its labels and one MR of a patient, and where the CT's points (N, 3; RAS mm) truly are in the MR."""

    ct: Volume
    mr: Volume
    labels: Segmentation
    ct_to_mr: Callable[[FloatArray], FloatArray]


BONE_KINDS = ("vertebra", "sacrum", "bone")


def points_and_truth(case, count=20_000):
    """Return CT points of bone and of soft tissue that the MR shows, with their true places there."""
    labels, mr = case.labels.labels, case.mr
    bone = np.isin(labels.voxels, [s.value for s in case.labels.segments if s.kind in BONE_KINDS])
    rng = np.random.default_rng(0)
    out = {}
    for name, mask in (("bone", bone), ("soft", ~bone & (case.ct.voxels > -300))):
        flat = rng.choice(np.flatnonzero(mask), 4 * count)
        kji = np.stack(np.unravel_index(flat, mask.shape), axis=1)
        points = transform_points(case.ct.ijk_to_ras, kji[:, ::-1].astype(float))
        true = case.ct_to_mr(points)
        ijk = transform_points(mr.ras_to_ijk, true)
        seen = np.all((ijk >= 0) & (ijk <= np.array(mr.shape_ijk) - 1), axis=1)
        out[name] = points[seen][:count], true[seen][:count]
    return out


def by_rigid(case, rigid):
    """Take the rigid registration as it is."""
    return rigid.apply_to_points, 1.0, str(rigid.verdict), rigid.expected_error_mm


def by_us(case, rigid):
    """Return our map, the least Jacobian, the verdict and the expected error."""
    import torch

    torch.set_num_threads(1)
    found = register_deformable(case.ct, case.mr, initial=rigid, bones=case.labels, device="cpu")
    return found.apply_to_points, found.evidence["least_jacobian"], str(found.verdict), found.expected_error_mm


def by_convexadam(case, rigid):
    """Return ConvexAdam's map with the settings it comes with."""
    import torch
    from convexAdam.convex_adam_MIND import convex_adam_pt

    torch.set_num_threads(1)
    pair = prepared(case, rigid)
    found = convex_adam_pt(pair.ct, pair.mr, dtype=torch.float32, device=torch.device("cpu"))
    return on_grid(pair, rigid, np.asarray(found, dtype=np.float32)[..., ::-1] * pair.step_mm)


def by_syn(case, rigid):
    """Return ANTs' map by symmetric normalisation with mutual information."""
    import ants
    import pandas

    pair = prepared(case, rigid)
    fixed, moving = (
        ants.from_numpy(np.ascontiguousarray(a.T), spacing=(pair.step_mm,) * 3) for a in (pair.ct, pair.mr)
    )
    found = ants.registration(fixed, moving, "SyNOnly", syn_metric="mattes", random_seed=1)
    k, j, i = np.meshgrid(*[np.arange(n) for n in pair.ct.shape], indexing="ij")
    at = np.stack([i, j, k], axis=-1) * pair.step_mm
    table = pandas.DataFrame(at.reshape(-1, 3), columns=["x", "y", "z"])
    there = ants.apply_transforms_to_points(3, table, found["fwdtransforms"])[["x", "y", "z"]].to_numpy()
    return on_grid(pair, rigid, (there.reshape(at.shape) - at).astype(np.float32))


METHODS = {"rigid": by_rigid, "ours": by_us, "ConvexAdam": by_convexadam, "ANTs SyN": by_syn}


def prepared(case, rigid):
    """Return both images on cubes of 2 mm, as the rigid registration puts them."""
    return SoftTissuePair.prepare(Pair.prepare(case.ct, case.mr), case.labels, rigid.fixed_to_moving_ras, None)


def on_grid(pair, rigid, along_ijk_mm):
    """Return the map of displacements (K, J, I, 3) along the grid's axes, and its least Jacobian."""
    grid = pair.grid
    moved = (along_ijk_mm @ grid.directions_ras.T).astype(np.float32)
    parts = [np.ascontiguousarray(moved[..., n]) for n in range(3)]

    def take(points):
        ijk = transform_points(grid.ras_to_ijk, points)
        return transform_points(
            rigid.fixed_to_moving_ras, points + np.stack([interpolate(p, ijk) for p in parts], axis=-1)
        )

    change = volume_change(voxel_points_ras(grid) + moved, pair.step_mm, grid.directions_ras)
    return take, float(change[pair.seen].min()), "", None


def measured(name, case, rigid, truth, queue):
    """Run one method and put its row into a queue."""
    began = time.process_time()
    try:
        take, least, verdict, expected = METHODS[name](case, rigid)
    except ImportError as error:
        queue.put({"method": name, "missing": str(error)})
        return
    row = {"method": name, "seconds": time.process_time() - began, "least_jacobian": least, "verdict": verdict}
    for tissue, (points, true) in truth.items():
        error = np.linalg.norm(take(points) - true, axis=1)
        row[f"{tissue}_median_mm"], row[f"{tissue}_95_mm"] = float(np.median(error)), float(np.percentile(error, 95))
    row["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    row["expected_error_mm"] = expected
    queue.put(row)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--motion", type=float, default=12.0, help="longest displacement in mm")
    parser.add_argument("--weighting", choices=["T1", "T2"], default="T2", help="of the MR")
    parser.add_argument("--small", action="store_true", help="quick patients (L3 to the sacrum, coarser voxels)")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--json", help="write the rows to this file as well")
    args = parser.parse_args()
    rows = []
    head = "seed method       soft median  95 %   bone median  95 %   least Jacobian   CPU s   peak GB"
    print(head, flush=True)
    for seed in args.seeds:
        make = PatientOptions.small if args.small else PatientOptions
        patient = generate_patient(make(seed=seed, soft_tissue_motion_mm=args.motion))
        mr = patient.mr_t1 if args.weighting == "T1" else patient.mr_t2
        case = Case(patient.ct, mr, patient.labels, patient.ct_to_mr)
        rigid = register_rigid(case.ct, case.mr)
        truth = points_and_truth(case)
        for name in args.methods:
            context = multiprocessing.get_context("fork")
            queue = context.Queue()
            child = context.Process(target=measured, args=(name, case, rigid, truth, queue))
            child.start()
            row = queue.get()
            child.join()
            rows.append({"seed": seed, **row})
            if "missing" in row:
                print(f"{seed:4d} {name:12s} not installed: {row['missing']}", flush=True)
                continue
            print(
                f"{seed:4d} {name:12s} {row['soft_median_mm']:11.2f} {row['soft_95_mm']:5.2f} "
                f"{row['bone_median_mm']:13.2f} {row['bone_95_mm']:5.2f} {row['least_jacobian']:16.2f} "
                f"{row['seconds']:7.0f} {row['peak_gb']:9.2f}",
                flush=True,
            )
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(
                {"motion_mm": args.motion, "small": args.small, "weighting": args.weighting, "rows": rows},
                file,
                indent=2,
            )


if __name__ == "__main__":
    main()
