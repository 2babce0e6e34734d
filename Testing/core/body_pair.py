"""A CT and an MR image of one made-up body, both from the same closed-form geometry."""

from dataclasses import dataclass

import numpy as np

from MSKFusionLib.frames import FloatArray, rigid_about, rotation_about, transform_points
from MSKFusionLib.volume import Modality, Volume

# centre (RAS mm), half axes (mm), HU, MR signal; later ones lie over earlier ones
_BODY = [
    ((0, 0, 0), (75, 55, 90), -90.0, 1000.0),  # fat under the skin
    ((0, 0, 0), (68, 48, 86), 55.0, 420.0),  # muscle
    ((25, 18, 10), (22, 14, 40), 10.0, 180.0),  # fluid
    ((-28, 20, -15), (16, 12, 30), 130.0, 600.0),
]
_BONES = [
    ((0, -15, 55), (20, 15, 14)),
    ((4, -14, 20), (21, 16, 13)),
    ((6, -12, -16), (23, 17, 14)),
    ((2, -10, -55), (26, 18, 15)),
    ((-38, -14, 30), (7, 22, 8)),
    ((42, -10, -35), (8, 7, 26)),
]
_CANAL = ((4, -36, 0), (8, 6, 85))


@dataclass(frozen=True, eq=False)
class BodyPair:
    ct: Volume
    mr: Volume
    ct_to_mr_ras: FloatArray

    def bone_points_ras(self) -> FloatArray:
        offsets = np.array([[i, j, k] for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)]) * 0.7
        return np.concatenate([np.array(c) + offsets * np.array(a) for c, a in _BONES]).astype(float)

    def error_mm(self, ct_to_mr_ras: FloatArray) -> float:
        points = self.bone_points_ras()
        apart = transform_points(ct_to_mr_ras, points) - transform_points(self.ct_to_mr_ras, points)
        return float(np.linalg.norm(apart, axis=1).mean())


def _radius(points: FloatArray, centre, axes) -> FloatArray:
    return np.linalg.norm((points - np.array(centre, dtype=float)) / np.array(axes, dtype=float), axis=-1)


#: The same skin, other bones in it.
_OTHER_BONES = [
    ((-20, 10, 60), (12, 25, 12)),
    ((18, -20, 42), (30, 9, 11)),
    ((-6, 12, 2), (14, 24, 16)),
    ((14, -18, -30), (12, 10, 20)),
    ((-30, -12, -40), (10, 20, 9)),
    ((36, 10, -58), (18, 8, 10)),
]


def _paint(points: FloatArray, another_body: bool) -> tuple[FloatArray, FloatArray]:
    hu, signal = np.full(points.shape[:-1], -1000.0), np.zeros(points.shape[:-1])
    for centre, axes, value, mr in _BODY:
        inside = _radius(points, centre, axes) < 1
        hu[inside], signal[inside] = value, mr
    for centre, axes in _OTHER_BONES if another_body else _BONES:
        r = _radius(points, centre, axes)
        hu[r < 1], signal[r < 1] = 700.0, 60.0
        inner = r < 0.82
        hu[inner], signal[inner] = 220.0, 760.0
    inside = _radius(points, *_CANAL) < 1
    hu[inside], signal[inside] = 15.0, 150.0
    return hu, signal


def _grid(shape_ijk, spacing, directions, centre) -> Volume:
    spacing = np.array(spacing, dtype=float)
    origin = np.array(centre, dtype=float) - directions @ ((np.array(shape_ijk) - 1) / 2 * spacing)
    return Volume(np.zeros(shape_ijk[::-1], dtype=np.float32), origin, spacing, directions)


def _points(volume: Volume) -> FloatArray:
    kji = np.stack(np.meshgrid(*[np.arange(n) for n in volume.voxels.shape], indexing="ij"), -1)
    return transform_points(volume.ijk_to_ras, kji[..., ::-1])


def body_pair(
    seed: int = 0, *, shift_mm=(30.0, -22.0, 18.0), turn_deg: float = 25.0, another_body: bool = False
) -> BodyPair:
    """Make the pair; `another_body` puts other bones into the MR."""
    rng = np.random.default_rng(seed)
    ct_grid = _grid((84, 66, 70), (2.0, 2.0, 2.6), rotation_about((0, 0, 1), 4.0), (3, -2, 4))
    axis = rng.normal(size=3)
    misplaced = rigid_about(np.zeros(3), rotation_about(axis, turn_deg), shift_mm)
    # The MR's own axes: sagittal, thick slices; its grid is set around the body, then body and grid are moved together.
    sagittal = np.array([[0, 0, 1.0], [1, 0, 0], [0, 1, 0]]) @ rotation_about((0, 0, 1), 5.0)
    still = _grid((80, 92, 36), (1.8, 1.9, 4.0), sagittal, (-2, 3, 1))
    hu, _ = _paint(_points(ct_grid), False)
    points = _points(still)
    # Partial volume along the slice: mean of a few planes.
    signal = np.mean([_paint(points + sagittal[:, 2] * offset, another_body)[1] for offset in (-1.5, 0.0, 1.5)], axis=0)
    signal = signal * np.exp(0.004 * points[..., 0] - 0.003 * points[..., 2])
    noisy = np.hypot(signal + rng.normal(0, 18, signal.shape), rng.normal(0, 18, signal.shape))
    ct = Volume(
        (hu + rng.normal(0, 15, hu.shape)).astype(np.float32), ct_grid.origin_ras, ct_grid.spacing_mm,
        ct_grid.directions_ras, Modality.CT, "body ct",
    )  # fmt: skip
    mr = Volume(
        noisy.astype(np.float32), transform_points(misplaced, still.origin_ras), still.spacing_mm,
        misplaced[:3, :3] @ still.directions_ras, Modality.MR, "body mr",
    )  # fmt: skip
    return BodyPair(ct, mr, misplaced)
