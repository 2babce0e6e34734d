"""From shapes to signals on one scanner's grid: soft tissue, bone with its shell, and which label each voxel has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..frames import FloatArray, invert_rigid
from ..progress import Progress, no_progress
from .grid import FloatImage, Grid, Lattice, evaluate, first_order_distance
from .spine import JOINT_GAP_MM, Spine
from .tissue import SoftTissue, Tissue


@dataclass(frozen=True)
class Signals:
    """What a scanner shows of each tissue.

    Parameters
    ----------
    mean, spread
        One value for every member of `Tissue`.
    cortex, cancellous
        Of bone; `arch_gain` is added to the cancellous bone behind the body.
    """

    mean: tuple[float, ...]
    spread: tuple[float, ...]
    cortex_body: float
    cortex_arch: float
    cancellous: float
    arch_gain: float
    texture_fine: float
    texture_coarse: float


@dataclass(frozen=True, eq=False)
class Body:
    """Everything that is in one scanner, in the frame of its posture."""

    spine: Spine
    soft: SoftTissue
    frames: Mapping[str, FloatArray]
    bone_fine: Lattice
    bone_coarse: Lattice
    posed: bool


def make_body(spine: Spine, seed: int, posed: bool) -> Body:
    """Put the patient together, in the CT posture or in the MR posture."""
    frames = {n: (spine.poses[n] @ f if posed else f) for n, f in spine.frames.items()}
    rng = np.random.default_rng([seed, 31])
    box = np.array([-90.0, -110.0, -150.0]), np.array([90.0, 90.0, 60.0])
    return Body(
        spine,
        SoftTissue(spine, frames, seed),
        frames,
        Lattice.random(rng, *box, 2.4),
        Lattice.random(rng, *box, 9.0),
        posed,
    )


def render(
    body: Body, grid: Grid, signals: Signals, *, slab: int = 16, progress: Progress = no_progress
) -> tuple[FloatImage, NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the signal, the tissue class (bone is not one) and the number of the bone (1, 2, ... by level; 0: none)."""
    image = np.empty(grid.shape, dtype=np.float32)
    tissue = np.empty(grid.shape, dtype=np.uint8)
    mean, spread = np.array(signals.mean, dtype=np.float32), np.array(signals.spread, dtype=np.float32)
    for where, piece in grid.slabs(slab):
        progress(0.7 * where.start / grid.shape[0], "soft tissue")
        classes, texture = body.soft.classes(piece)
        tissue[where] = classes
        image[where] = mean[classes] + spread[classes] * texture
    bones = np.zeros(grid.shape, dtype=np.uint8)
    closest = np.full(grid.shape, -JOINT_GAP_MM - 0.3, dtype=np.float32)
    for number, (level, shape) in enumerate(body.spine.all_bones.items(), start=1):
        progress(0.7 + 0.3 * number / len(body.spine.all_bones), f"bone {level}")
        posed = shape.moved(body.spine.pose_of(level)) if body.posed else shape
        found = evaluate(posed, grid)
        if found is None:
            continue
        value, box = found
        block = grid.block([s.start for s in box], [s.stop for s in box])
        depth = first_order_distance(value, block)
        near = closest[box]
        joint = (depth > -JOINT_GAP_MM - 0.2) & (near > -JOINT_GAP_MM - 0.2) & (depth <= 0) & (near <= 0)
        image[box][joint] = mean[Tissue.CARTILAGE]
        tissue[box][joint] = Tissue.CARTILAGE
        take = (value > 0) & (depth > near)
        bones[box][take] = number
        np.maximum(near, depth, out=near)
        _paint_bone(image[box], depth, body, level, posed.frame_to_world, block, signals)
    return image, tissue, bones


def _paint_bone(
    image: FloatImage, depth: FloatImage, body: Body, level: str, frame: FloatArray, block: Grid, signals: Signals
) -> None:
    """Blend a bone into the image in place: shell and inside as functions of the distance from the surface."""
    edge = 0.35  # half width in mm of the partial-volume ramp at the outer surface
    where = depth > -edge
    if not where.any():
        return
    world_to_frame = invert_rigid(frame)
    d = depth[where]
    _, y, _ = (c[where] for c in block.coordinates(world_to_frame))
    fine = body.bone_fine.on(block, world_to_frame)[where]
    coarse = body.bone_coarse.on(block, world_to_frame)[where]
    arch = np.full_like(y, 0.35)  # the sacrum and the hips have a shell between that of a body and that of an arch
    if level in body.spine.sizes and level != "S1":
        arch = np.clip((-y - body.spine.sizes[level].half_depth + 2.0) / 4.0, 0.0, 1.0)
    shell = (0.75 + 0.65 * arch) * (1 + 0.2 * np.clip(coarse, -1.5, 1.5))
    cortex = signals.cortex_body + (signals.cortex_arch - signals.cortex_body) * arch
    inside = (
        signals.cancellous * (1 + signals.texture_fine * fine + signals.texture_coarse * coarse)
        + signals.arch_gain * arch
    )
    blend = 1.0 / (1.0 + np.exp(-np.clip((d - shell) / 0.22, -20, 20)))
    bone = cortex + (inside - cortex) * blend
    cover = np.clip(0.5 + d / (2 * edge), 0.0, 1.0)
    image[where] += (bone - image[where]) * cover
