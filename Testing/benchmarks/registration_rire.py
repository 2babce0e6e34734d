"""Rigid CT-MR registration on the RIRE pair, beside SimpleITK's usual recipe, in one run.

    python Testing/benchmarks/registration_rire.py [--starts 10] [--data ../shared/data]

Each start moves the MR's header by a seeded pose of up to 60 mm and 40 degrees; the first start is the given one.
Prints for each method the mean error over the head (mm), how many starts end within 2 mm, the seconds, and the ratios.
"""

import argparse
import importlib.util
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MSKFusionLib.frames import flip_transform_ras_lps, invert_rigid, rigid_about, rotation_about, transform_points
from MSKFusionLib.registration import register_rigid
from MSKFusionLib.volume import read_image


def moved(volume, pose_ras):
    """Return the volume with its header moved by a rigid 4x4."""
    return replace(
        volume,
        origin_ras=transform_points(pose_ras, volume.origin_ras),
        directions_ras=pose_ras[:3, :3] @ volume.directions_ras,
    )


def seeded_pose(centre_ras, seed):
    """Return a pose of up to 60 mm and 40 degrees about a point; seed 0 is the identity."""
    if seed == 0:
        return np.eye(4)
    rng = np.random.default_rng(seed)
    shift = rng.normal(size=3)
    shift *= rng.uniform(0, 60) / np.linalg.norm(shift)
    return rigid_about(centre_ras, rotation_about(rng.normal(size=3), rng.uniform(0, 40)), shift)


def by_simpleitk(fixed, moving):
    """Mattes mutual information, geometric start, gradient descent, three levels: the recipe of its documentation."""
    f, m = (sitk.Cast(v.to_sitk(), sitk.sitkFloat32) for v in (fixed, moving))
    start = sitk.CenteredTransformInitializer(
        f, m, sitk.Euler3DTransform(), sitk.CenteredTransformInitializerFilter.GEOMETRY
    )
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(50)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(0.05, 1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsGradientDescent(1.0, 200, 1e-6, 10)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([2, 1, 0])
    method.SetInitialTransform(start, inPlace=True)
    method.Execute(f, m)
    origin = np.array(start.TransformPoint((0.0, 0.0, 0.0)))
    matrix = np.eye(4)
    matrix[:3, 3] = origin
    for n, e in enumerate(np.eye(3)):
        matrix[:3, n] = np.array(start.TransformPoint(e.tolist())) - origin
    return matrix, ""


def by_us(fixed, moving):
    """Return our transform and verdict."""
    result = register_rigid(fixed, moving)
    return result.fixed_to_moving_lps, f"{result.verdict}, expected {result.expected_error_mm} mm"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--data", default=str(Path(__file__).resolve().parents[3] / "shared" / "data"))
    args = parser.parse_args()
    folder = Path(args.data) / "rire"
    spec = importlib.util.spec_from_file_location("tre_rire", folder / "tre_rire.py")
    truth = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(truth)
    ct, mr = read_image(folder / "training_001_ct_1.25mm.nii.gz"), read_image(folder / "training_001_mr_T1.mha")
    errors, seconds = {}, {}
    for seed in range(args.starts):
        pose = seeded_pose(mr.centre_ras, seed)
        for method in (by_us, by_simpleitk):
            began = time.perf_counter()
            matrix, words = method(ct, moved(mr, pose))
            took = time.perf_counter() - began
            error = truth.tre(flip_transform_ras_lps(invert_rigid(pose)) @ matrix).mean()
            errors.setdefault(method.__name__, []).append(error)
            seconds.setdefault(method.__name__, []).append(took)
            print(f"start {seed:2d} {method.__name__:14s} error {error:7.2f} mm {took:6.1f} s {words}", flush=True)
    for name, e in errors.items():
        good = sum(x <= 2.0 for x in e)
        print(
            f"{name:14s} median {np.median(e):.2f} mm, worst {max(e):.2f} mm, within 2 mm {good}/{len(e)}, {np.median(seconds[name]):.1f} s"
        )
    ratio = np.median(seconds["by_us"]) / np.median(seconds["by_simpleitk"])
    print(
        f"time ratio ours / SimpleITK {ratio:.2f}; error ratio {np.median(errors['by_us']) / np.median(errors['by_simpleitk']):.3f}"
    )


if __name__ == "__main__":
    main()
