"""Shapes with closed-form depth, and a schematic vertebra, for the tests of screws."""

from collections.abc import Callable

import numpy as np

from MSKFusionLib.frames import rigid, rotation_about, transform_points
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKFusionLib.volume import Modality, Volume

Depth = Callable[[np.ndarray], np.ndarray]


def sphere(radius_mm: float) -> Depth:
    return lambda p: radius_mm - np.linalg.norm(p, axis=-1)


def capsule(start, end, radius_mm: float) -> Depth:
    """A cylinder with round ends."""
    a, b = np.asarray(start, float), np.asarray(end, float)

    def depth(p: np.ndarray) -> np.ndarray:
        t = np.clip((p - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
        return radius_mm - np.linalg.norm(p - a - t[..., None] * (b - a), axis=-1)

    return depth


def box(half) -> Depth:
    def depth(p: np.ndarray) -> np.ndarray:
        q = np.abs(p) - np.asarray(half, float)
        return -(np.linalg.norm(np.maximum(q, 0), axis=-1) + np.minimum(q.max(axis=-1), 0))

    return depth


def union(*parts: Depth) -> Depth:
    return lambda p: np.max([d(p) for d in parts], axis=0)


def grid(half_mm, spacing_mm=(0.7, 0.7, 1.0), rotation=None, centre=(3.0, -20.0, 150.0)) -> Volume:
    """An empty label volume about `centre`, its axes turned by a 3x3."""
    spacing = np.asarray(spacing_mm, float)
    n = np.ceil(2 * np.asarray(half_mm, float) / spacing).astype(int) + 1
    axes = np.eye(3) if rotation is None else np.asarray(rotation)
    origin = np.asarray(centre, float) - axes @ ((n - 1) / 2 * spacing)
    return Volume(np.zeros(n[::-1], np.uint8), origin, spacing, axes, modality=Modality.LABEL)


def voxel_centres(volume: Volume) -> np.ndarray:
    k, j, i = np.meshgrid(*[np.arange(n) for n in volume.voxels.shape], indexing="ij")
    return transform_points(volume.ijk_to_ras, np.stack([i, j, k], axis=-1).astype(float))


def rasterise(depth_ras: Depth, volume: Volume, block: int = 5) -> np.ndarray:
    """The voxels whose centre is inside. Blocks that are wholly in or out are not looked into (depth is 1-Lipschitz)."""
    shape = np.array(volume.voxels.shape)
    counts = -(-shape // block)
    padded = np.zeros(counts * block, dtype=bool)
    starts = np.stack(np.meshgrid(*[np.arange(n) * block for n in counts], indexing="ij"), axis=-1).reshape(-1, 3)
    offsets = np.stack(np.meshgrid(*[np.arange(block)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    middle = depth_ras(transform_points(volume.ijk_to_ras, (starts + (block - 1) / 2)[:, ::-1]))
    radius = np.linalg.norm(volume.spacing_mm) * (block - 1) / 2
    for start in starts[middle > radius]:
        padded[tuple(slice(s, s + block) for s in start)] = True
    voxels = (starts[np.abs(middle) <= radius][:, None] + offsets).reshape(-1, 3)
    padded[tuple(voxels.T)] = depth_ras(transform_points(volume.ijk_to_ras, voxels[:, ::-1])) > 0
    return padded[tuple(slice(0, n) for n in shape)]


def moved(depth: Depth, local_to_ras: np.ndarray) -> Depth:
    inverse = np.linalg.inv(local_to_ras)
    return lambda p: depth(transform_points(inverse, p))


def schematic_vertebra(left_pedicle_mm: float = 8.0, right_pedicle_mm: float = 8.0) -> Depth:
    """A vertebra of capsules and a box, in its frame (x right, y anterior, z superior, from the body's centre).

    The pedicles are round bars of the given diameters, at 15 mm from the midline, converging by 10 degrees.
    """
    parts: list[Depth] = []

    def body(p: np.ndarray) -> np.ndarray:
        # An elliptic cylinder (half width 23, half depth 17, height 28), scaled distance.
        q = np.sqrt((p[..., 0] / 23) ** 2 + (p[..., 1] / 17) ** 2)
        return np.minimum((1 - q) * 17, 14 - np.abs(p[..., 2]))

    parts.append(body)
    slope = np.tan(np.radians(10))
    for sign, diameter in ((-1, left_pedicle_mm), (1, right_pedicle_mm)):
        front, back = (sign * (15 - 12 * slope), -10, 5), (sign * (15 + 13 * slope), -34, 5)
        pillar = (sign * 18, -38, 5)
        parts.append(capsule(front, back, diameter / 2))
        parts.append(capsule((sign * 18, -36, -12), (sign * 18, -36, 12), 7.5))
        parts.append(capsule(pillar, (sign * 38, -40, 5), 4.0))
        parts.append(capsule((sign * 16, -40, 0), (0, -46, -4), 4.5))
    parts.append(capsule((0, -46, -5), (0, -66, -8), 4.0))
    return union(*parts)


def pose(
    yaw_deg: float = 0.0, roll_deg: float = 0.0, pitch_deg: float = 0.0, centre=(12.0, -31.0, 240.0)
) -> np.ndarray:
    """4x4 of a vertebra turned about superior (yaw), anterior (roll, as in scoliosis) and right (pitch, lordosis)."""
    r = rotation_about([0, 0, 1], yaw_deg) @ rotation_about([0, 1, 0], roll_deg) @ rotation_about([1, 0, 0], pitch_deg)
    return rigid(r, centre)


def vertebra_segmentation(
    depth_ras: Depth, centre_ras, spacing_mm=(0.7, 0.7, 1.0), rotation=None, name: str = "L3"
) -> Segmentation:
    volume = grid((54.0, 60.0, 50.0), spacing_mm, rotation, np.asarray(centre_ras, float) + (0, -20.0, 0))
    labels = rasterise(depth_ras, volume).astype(np.uint8) * 22
    return Segmentation(volume.with_voxels(labels), (Segment(22, name, "vertebra"),))
