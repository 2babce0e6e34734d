"""Seeded motions, and images whose header is moved by one: how a pair gets its wrong start."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from MSKFusionLib.frames import FloatArray, rigid_about, rotation_about
from MSKFusionLib.volume import Volume


def draw_motion(
    rng: np.random.Generator, centre_ras: FloatArray, most_mm: float, most_deg: float, least_deg: float = 0.0
) -> FloatArray:
    """Draw a rigid motion about a point: direction and axis uniform on the sphere, length and angle uniform.

    Parameters
    ----------
    centre_ras
        What is turned about; it is itself shifted by up to `most_mm`.
    most_mm, most_deg, least_deg
        The limits.

    Returns
    -------
    4x4 between RAS frames.
    """
    direction, axis = rng.normal(size=3), rng.normal(size=3)
    shift = direction / np.linalg.norm(direction) * rng.uniform(0.0, most_mm)
    return rigid_about(centre_ras, rotation_about(axis, rng.uniform(least_deg, most_deg)), shift)


def with_moved_header(volume: Volume, motion_ras: FloatArray) -> Volume:
    """Return the same voxels at places moved by a rigid 4x4 (RAS); no voxel is resampled."""
    moved = motion_ras @ volume.ijk_to_ras
    return replace(volume, origin_ras=moved[:3, 3], directions_ras=motion_ras[:3, :3] @ volume.directions_ras)
