"""What real images hold besides a generated patient: ribs, femora, arms, gas, filled bowel, metal, small fields of view."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .patients import TISSUES, Maps

_BONE_SHARE, _BLOB_SHARE, _METAL_SHARE, _CROP_SHARE = 0.6, 0.4, 0.08, 0.45
_MOST_BONES, _MOST_BLOBS = 5, 4
_CORTEX_HU, _MARROW_HU, _GAS_HU, _FILLED_HU, _METAL_HU = 600.0, 120.0, -900.0, 350.0, 3000.0
_SMALLEST_CROP = 20
#: Where nothing that is not known may be drawn over: the targets' own tissues.
_FREE = tuple(TISSUES.index(t) for t in ("air", "fat", "soft", "vessel", "kidney"))


def add_distractors(maps: Maps, spacing_mm: float, rng: np.random.Generator) -> Maps:
    """Return a patient with structures that the network must leave alone; its targets are what they were.

    Parameters
    ----------
    maps
        A patient on cubes of `spacing_mm`.
    """
    tissue, hu = maps.tissue.copy(), maps.hu.copy()
    free = (maps.target == 0) & np.isin(maps.tissue, _FREE)
    if rng.random() < _BONE_SHARE:
        for _ in range(int(rng.integers(1, _MOST_BONES + 1))):
            thick = rng.uniform(3.0, 8.0) if rng.random() < 0.6 else rng.uniform(10.0, 26.0)
            where, depth = _capsule(maps.tissue.shape, spacing_mm, thick, rng)
            inside = free[where] & (depth > 0)
            shell = inside & (depth < rng.uniform(1.5, 4.5))
            tissue[where][inside], hu[where][inside] = TISSUES.index("marrow"), _MARROW_HU * rng.uniform(0.5, 2.5)
            tissue[where][shell], hu[where][shell] = TISSUES.index("cortex"), _CORTEX_HU * rng.uniform(0.5, 1.6)
    if rng.random() < _BLOB_SHARE:
        for _ in range(int(rng.integers(1, _MOST_BLOBS + 1))):
            where, depth = _capsule(maps.tissue.shape, spacing_mm, rng.uniform(4.0, 20.0), rng)
            inside = free[where] & (depth > 0)
            gas = rng.random() < 0.6
            tissue[where][inside] = TISSUES.index("air" if gas else "vessel")
            hu[where][inside] = _GAS_HU if gas else _FILLED_HU * rng.uniform(0.3, 1.5)
    if rng.random() < _METAL_SHARE:
        where, depth = _capsule(maps.tissue.shape, spacing_mm, rng.uniform(3.0, 8.0), rng)
        inside = depth > 0
        tissue[where][inside], hu[where][inside] = TISSUES.index("air"), _METAL_HU
    return Maps(tissue, maps.target, hu)


def small_field(maps: Maps, rng: np.random.Generator) -> Maps:
    """Return a part of a patient, as a scan of one vertebra shows it, in some of the draws; it holds a target's voxel."""
    if rng.random() > _CROP_SHARE:
        return maps
    wanted = np.argwhere(maps.target > 0)
    middle = wanted[int(rng.integers(len(wanted)))]
    cut = []
    for edge, m in zip(maps.target.shape, middle, strict=True):
        width = int(rng.integers(min(_SMALLEST_CROP, edge), edge + 1))
        low = int(np.clip(m - rng.integers(width), 0, edge - width))
        cut.append(slice(low, low + width))
    box = tuple(cut)
    return Maps(maps.tissue[box], maps.target[box], maps.hu[box])


def _capsule(
    shape: tuple[int, ...], spacing_mm: float, radius_mm: float, rng: np.random.Generator
) -> tuple[tuple[slice, ...], NDArray[np.float32]]:
    """Return a box, and the depth in mm of its voxels below the surface of a capsule that is drawn anywhere."""
    size = np.array(shape) * spacing_mm
    start = rng.uniform(0.0, 1.0, 3) * size
    along = rng.normal(size=3)
    end = start + along / max(1e-6, float(np.linalg.norm(along))) * radius_mm * rng.uniform(0.0, 12.0)
    low = np.clip(((np.minimum(start, end) - radius_mm) / spacing_mm).astype(int), 0, np.array(shape) - 1)
    high = np.clip(((np.maximum(start, end) + radius_mm) / spacing_mm).astype(int) + 2, low + 1, shape)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    axes = np.meshgrid(*(np.arange(a, b) * spacing_mm for a, b in zip(low, high, strict=True)), indexing="ij")
    at = np.stack(axes, axis=-1) - start
    line = end - start
    share = np.clip(at @ line / max(1e-6, float(line @ line)), 0.0, 1.0)
    return box, (radius_mm - np.linalg.norm(at - share[..., None] * line, axis=-1)).astype(np.float32)
