"""Pedicle screws in generated thoracic vertebrae, planned on our segmentation of a noisy CT and measured in the closed form.

    python Testing/benchmarks/thoracic_ct.py --each 1 [--first 1] [--together 1] [--levels T1,T2] [--true-labels]

The vertebrae of `thoracic.py`, alone or some neighbours together (their joints cut as the generator does), in the generator's soft tissue
(0.7 x 0.7 x 1 mm, noise of 22 HU, every fourth of low density). That soft tissue knows lumbar levels only, so they bear the names of L1 to L3
in it; nothing that is measured here goes by the name. What they do not have: ribs and their joints, lungs. Arch and joints are of lumbar make:
together, their laminae and processes lie in each other's way more than real ones do.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from thoracic import LEVELS, measured, summed, thoracic_size

from MSKFusionLib.errors import MSKError
from MSKFusionLib.frames import rigid, rotation_about
from MSKFusionLib.phantom.ct import ct_grid, ct_volume, render_ct
from MSKFusionLib.phantom.options import PatientOptions
from MSKFusionLib.phantom.render import make_body
from MSKFusionLib.phantom.shapes import Clearance, Shape
from MSKFusionLib.phantom.spine import JOINT_GAP_MM, Spine
from MSKFusionLib.phantom.vertebra import VertebraSize, vertebra_shape
from MSKFusionLib.segmentation import LevelHint, segment_bones_ct
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKFusionLib.volume import Modality
from MSKPlannerLib.bone.smooth_bone import BoneFields
from MSKPlannerLib.screws.implants import load_implants
from MSKPlannerLib.screws.options import ScrewOptions
from MSKPlannerLib.screws.pedicle import PedicleScrewPlan, Skipped, plan_vertebra

_NAMES = ("L1", "L2", "L3")
_DISC_MM = 5.0


def stacked(levels: Sequence[str], seed: int) -> Spine:
    """Return one to three thoracic vertebrae from head to foot, kyphotic, under the names of L1 to L3."""
    rng = np.random.default_rng([seed, LEVELS.index(levels[0]), 7])
    names = _NAMES[: len(levels)]
    sizes: dict[str, VertebraSize] = {}
    frames: dict[str, np.ndarray] = {}
    centre = np.zeros(3)
    for n, (name, level) in enumerate(zip(names, levels, strict=True)):
        size = thoracic_size(level, np.random.default_rng([seed, LEVELS.index(level)]))
        turn = rotation_about([1, 0, 0], -4.0 * (n - 1) + rng.normal(0, 2)) @ rotation_about(
            [0, 1, 0], rng.normal(0, 3)
        )
        turn = turn @ rotation_about([0, 0, 1], rng.normal(0, 3))
        if n:
            above, before = sizes[names[n - 1]], frames[names[n - 1]][:3, :3]
            size = replace(size, facet_above_x_mm=above.facet_x_mm, facet_above_angle_deg=above.facet_angle_deg)
            down, up = float(above.bottom_z(0.0)) - _DISC_MM / 2, float(size.top_z(0.0)) + _DISC_MM / 2
            centre = centre + before @ [0.0, 0.0, down] - turn @ [0.0, 0.0, up]
        sizes[name], frames[name] = size, rigid(turn, centre)
    middle = frames[names[len(names) // 2]][:3, 3].copy()
    frames = {n: rigid(f[:3, :3], f[:3, 3] - middle) for n, f in frames.items()}
    bones: dict[str, Shape] = {n: vertebra_shape(sizes[n], frames[n]) for n in names}
    for upper, lower in itertools.pairwise(names):
        gap = Clearance(Shape(bones[upper].parts, frames[upper]), JOINT_GAP_MM)
        bones[lower] = replace(bones[lower], clearances=(gap,))
    poses = {n: np.eye(4) for n in names}
    discs = dict.fromkeys(names, _DISC_MM)
    return Spine(sizes, None, bones, discs, poses, low_density=seed % 4 == 0, frames=frames)


def run(levels: Sequence[str], seed: int, true_labels: bool) -> list[dict[str, Any]]:
    """Return a record a side of each vertebra."""
    spine = stacked(levels, seed)
    names, options = list(spine.bones), PatientOptions(seed)
    grid = ct_grid(spine, options)
    voxels, _, numbers = render_ct(make_body(spine, seed, posed=False), grid, options)
    ct, table = ct_volume(voxels, grid.ijk_to_world, seed), load_implants()
    middle = names[len(names) // 2]
    x, y, z = (float(c) for c in spine.frames[middle][:3, 3])
    try:
        if true_labels:
            volume = ct.with_voxels(numbers, modality=Modality.LABEL, name="truth", step="analytic labels")
            bones = Segmentation(volume, tuple(Segment(n, name, "vertebra") for n, name in enumerate(names, 1)))
        else:
            bones = segment_bones_ct(ct, level_hint=LevelHint(middle, (x, y, z)))
    except MSKError as error:
        return [{"level": level, "side": s, "error": str(error)} for level in levels for s in ("left", "right")]
    fields, out = BoneFields(bones, ct), []
    for n, (name, level) in enumerate(zip(names, levels, strict=True), 1):
        began = time.process_time()
        try:
            plan = plan_vertebra(fields, name, table, ScrewOptions(error_budget=""))
        except MSKError as error:
            plan = PedicleScrewPlan((), tuple(Skipped(name, s, str(error), True) for s in ("left", "right")))
        seconds = time.process_time() - began
        found, true = bones.mask(name) if name in [s.name for s in bones.segments] else numbers < 0, numbers == n
        dice = float(2 * (found & true).sum() / max(found.sum() + true.sum(), 1))
        records = measured(plan, level, spine.bones[name], spine.sizes[name], table)
        out += [record | {"dice": dice, "vertebra_s": seconds} for record in records]
    return out


def main() -> None:
    """Run, print a line a pedicle, then the sums."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=1, help="vertebrae a level")
    parser.add_argument("--first", type=int, default=1, help="first seed")
    parser.add_argument("--together", type=int, default=1, choices=(1, 2, 3), help="neighbours in one CT")
    parser.add_argument("--levels", default=",".join(LEVELS))
    parser.add_argument(
        "--true-labels", action="store_true", help="do not segment: only the surface is found in the CT"
    )
    given = parser.parse_args()
    records, wanted = [], given.levels.split(",")
    groups = [wanted[n : n + given.together] for n in range(0, len(wanted), given.together)]
    for seed in range(given.first, given.first + given.each):
        for levels in groups:
            for record in run(levels, seed, given.true_labels):
                records.append(record)
                print(seed, record, flush=True)
    print(summed(records))


if __name__ == "__main__":
    main()
