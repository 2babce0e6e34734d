"""What is known exactly about a generated patient: pedicles, landmarks, distances from the true bone surface."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..frames import FloatArray, transform_points
from .shapes import Shape
from .vertebra import VertebraSize, joint_centre, pedicle_line, spinous_line, transverse_line


@dataclass(frozen=True, eq=False)
class PedicleTruth:
    """One pedicle.

    Parameters
    ----------
    posterior_ras, anterior_ras
        Where the pedicle's axis leaves the bone behind and in front.
    width_mm, height_mm
        Narrowest width across the axis and height there, measured on the analytic surface.
    isthmus_ras
        The middle of the narrowest section.
    """

    posterior_ras: FloatArray
    anterior_ras: FloatArray
    width_mm: float
    height_mm: float
    isthmus_ras: FloatArray


@dataclass(frozen=True, eq=False)
class VertebraTruth:
    """One vertebra: its frame (x right, y anterior, z superior), pedicles and landmarks.

    Parameters
    ----------
    complete_in_ct
        The whole bone lies within the imaged box.
    landmarks
        RAS points by name.
    """

    level: str
    frame_to_ras: FloatArray
    complete_in_ct: bool
    pedicles: Mapping[str, PedicleTruth]
    landmarks: Mapping[str, FloatArray]


def _exits(
    shape: Shape, start: FloatArray, directions: FloatArray, reach_mm: float, step_mm: float = 0.4
) -> FloatArray:
    """Return for each ray (in the frame of the shape; shapes broadcast) how far from `start` it first leaves the bone."""
    start, directions = np.broadcast_arrays(start, directions)
    t = np.arange(0.0, reach_mm, step_mm)
    p = start[..., None, :] + directions[..., None, :] * t[:, None]
    values = shape.value_at(p)
    outside = values <= 0
    found = np.where(outside.any(-1), outside.argmax(-1), len(t) - 1)
    before = np.maximum(found - 1, 0)
    low, high = t[before], t[found]
    f_low = np.take_along_axis(values, before[..., None], -1)[..., 0]
    f_high = np.take_along_axis(values, found[..., None], -1)[..., 0]
    # False position: the implicit values are nearly distances, so that few steps are enough.
    for _ in range(5):
        mid = np.where(f_low > f_high, low + (high - low) * f_low / np.maximum(f_low - f_high, 1e-12), low)
        q = start + directions * mid[..., None]
        f = shape.value_at(q)
        inside = f > 0
        low, f_low = np.where(inside, mid, low), np.where(inside, f, f_low)
        high, f_high = np.where(inside, high, mid), np.where(inside, f_high, f)
    return np.where(np.abs(f_low) < np.abs(f_high), low, high)


def measure_pedicle(shape: Shape, size: VertebraSize, side: int) -> PedicleTruth:
    """Find the narrowest section along a pedicle's axis (side -1 left, +1 right).

    In every section across the axis the width is the shortest chord through the section's middle that lies within 30
    degrees of the axial plane; the height is the chord across it.
    """
    middle, forward = pedicle_line(size, side)
    across, up = np.cross(forward, [0.0, 0.0, 1.0]), np.array([0.0, 0.0, 1.0])
    centres = (middle + np.arange(-2.0, 3.51, 0.5)[:, None] * forward)[:, None, :]
    axes = np.stack([across, -across, up, -up])
    for _ in range(2):  # once from the bar's middle, once from the section's own
        a, b, c, d = np.moveaxis(_exits(shape, centres, axes, 14.0), -1, 0)
        centres = centres + (0.5 * (a - b))[:, None, None] * across + (0.5 * (c - d))[:, None, None] * up
    angles = np.radians(np.arange(-30.0, 31.0, 5.0))[:, None]
    rays = np.cos(angles) * across + np.sin(angles) * up
    chords = _exits(shape, centres, rays, 14.0) + _exits(shape, centres, -rays, 14.0)
    section, narrow = np.unravel_index(int(np.argmin(chords)), chords.shape)
    centre, tall = centres[section], np.cross(forward, rays[narrow])
    height = float(_exits(shape, centre, np.stack([tall, -tall]), 25.0).sum())
    back, front = _exits(shape, centre, np.stack([-forward, forward]), 80.0)
    m = shape.frame_to_world
    ends = transform_points(m, np.concatenate([centre - back * forward, centre + front * forward, centre]))
    return PedicleTruth(ends[0], ends[1], float(chords[section, narrow]), height, ends[2])


def landmarks(shape: Shape, size: VertebraSize) -> dict[str, FloatArray]:
    """Return named RAS points on the true surface of a vertebra."""
    a, b = size.half_width, size.half_depth
    out: dict[str, FloatArray] = {}
    rim = 0.86
    spots = {"anterior": (0.0, rim * b), "posterior": (0.0, -rim * b), "left": (-rim * a, 0.0), "right": (rim * a, 0.0)}
    for name, (x, y) in spots.items():
        up, down = _exits(
            shape, np.array([[x, y, 0.0]]), np.array([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]), 0.9 * size.height
        )
        out[f"superior_endplate_{name}"] = np.array([x, y, up])
        out[f"inferior_endplate_{name}"] = np.array([x, y, -down])
    lines = {"spinous_tip": spinous_line(size)}
    for name, side in (("left", -1), ("right", 1)):
        lines[f"transverse_tip_{name}"] = transverse_line(size, side)
        out[f"inferior_joint_{name}"] = joint_centre(size, side)
    for name, (root, end) in lines.items():
        ray = (end - root) / np.linalg.norm(end - root)
        out[name] = root + ray * float(_exits(shape, root[None], ray[None], 80.0)[0])
    return {n: transform_points(shape.frame_to_world, p) for n, p in out.items()}
