"""The skin around a place as a closed surface, finer than the mask of the body."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from MSKFusionLib.errors import InputError, ProcessingError
from MSKFusionLib.frames import FloatArray, rigid, transform_points, unit
from MSKFusionLib.interpolation import interpolate, sample_volume
from MSKFusionLib.isosurface import zero_surface
from MSKFusionLib.volume import Modality

from ..mesh import Mesh, split_bodies
from .skin import Skin

_STEP_MM = 1.0
#: Noise of the image is smoothed by this.
_SIGMA_MM = 0.7
#: The image tells where the skin lies within this of the border of the mask; deeper is body, farther out is air.
#: In MR the mask reaches farther out, and no blanket shows.
_TELLS_MM, _TELLS_IN_MR_MM = 3.0, 5.0
#: A line from a target to the skin is followed so far.
_FARTHEST_MM = 300.0


def skin_surface(skin: Skin, centre_ras: FloatArray, reach_mm: float) -> Mesh:
    """Return the body within a cube around a place as a closed surface, RAS mm.

    The skin lies where the image crosses its level; the cube's sides, and the image's, close it.

    Raises
    ------
    InputError
        When no skin is in the cube.
    """
    centre = np.asarray(centre_ras, dtype=np.float64)
    last = np.array(skin.image.shape_ijk) - 1.0
    ends = np.array([[a, b, c] for a in (0, last[0]) for b in (0, last[1]) for c in (0, last[2])])
    box = transform_points(skin.image.ijk_to_ras, ends)
    low = np.maximum(centre - reach_mm, box.min(axis=0))
    high = np.minimum(centre + reach_mm, box.max(axis=0))
    if (high - low < 4 * _STEP_MM).any():
        raise InputError("the place lies outside the image", where=skin.image.name)
    n = np.ceil((high - low) / _STEP_MM).astype(int) + 1
    k, j, i = np.meshgrid(*(np.arange(s) for s in n[::-1]), indexing="ij")
    points = low + _STEP_MM * np.stack([i, j, k], axis=-1)
    values = ndimage.gaussian_filter(sample_volume(skin.image, points), _SIGMA_MM / _STEP_MM)
    field = (skin.level - values).astype(np.float32)
    depth = _depth_of_mask(skin, points)
    scale = max(float(np.abs(field).max()), 1.0)
    tells = _TELLS_MM if skin.image.modality is Modality.CT else _TELLS_IN_MR_MM
    field = np.where(depth > tells, -scale, np.where(depth < -tells, scale, field))
    # Beyond an oblique image nobody knows: it is left out as air.
    ijk = transform_points(skin.image.ras_to_ijk, points)
    field[np.any((ijk < -0.5) | (ijk > last + 0.5), axis=-1)] = scale
    for axis in range(3):
        for side in (0, -1):
            border = np.moveaxis(field, axis, 0)[side]
            np.maximum(border, 0.01 * scale, out=border)
    vertices, faces = zero_surface(np.ascontiguousarray(field, dtype=np.float32))
    if not len(faces):
        raise InputError("no skin is near the entries", "Check the entries.", where=skin.image.name)
    mesh = Mesh(_STEP_MM * vertices, faces).transformed(rigid(translation=low))
    return split_bodies(mesh)[0]


def _depth_of_mask(skin: Skin, points: FloatArray) -> FloatArray:
    """Return the depth below the border of the mask (positive in the body, mm, at most some more than is asked for)."""
    q = transform_points(np.linalg.inv(skin.grid_to_ras), points[[0, -1]][:, [0, -1]][:, :, [0, -1]].reshape(-1, 3))
    size = np.array(skin.body.shape[::-1])
    low = np.clip(np.floor(q.min(axis=0)).astype(int) - 5, 0, size - 1)
    high = np.clip(np.ceil(q.max(axis=0)).astype(int) + 6, 1, size)
    part = skin.body[low[2] : high[2], low[1] : high[1], low[0] : high[0]]
    inside = ndimage.distance_transform_edt(np.pad(part, 1, mode="edge"), sampling=skin.step_mm)
    outside = ndimage.distance_transform_edt(np.pad(~part, 1, mode="edge"), sampling=skin.step_mm)
    depth = (inside - outside).astype(np.float32)
    index = transform_points(np.linalg.inv(skin.grid_to_ras), points) - low + 1
    return np.asarray(interpolate(depth, index), dtype=np.float64)


def skin_entry_ras(skin: Skin, target_ras: FloatArray, outward_ras: FloatArray) -> FloatArray:
    """Return where the line from a target outward leaves the body for good.

    Raises
    ------
    ProcessingError
        When the target lies outside the body, or the line does not leave it within the image.
    """
    outward = unit(np.asarray(outward_ras, dtype=np.float64))
    along = np.arange(0.0, _FARTHEST_MM, 0.5)
    line = np.asarray(target_ras, dtype=np.float64) + along[:, None] * outward
    inside = skin.sample(skin.body, line)
    if not inside[0]:
        raise ProcessingError("the target lies outside the body; check it.")
    place = line[int(np.flatnonzero(inside)[-1])]
    last = np.array(skin.image.shape_ijk) - 1
    beyond = transform_points(skin.image.ras_to_ijk, place + 3 * skin.step_mm * outward)
    if np.any((beyond < 0) | (beyond > last)):
        raise ProcessingError("the way out to the skin leaves the image; no skin is in view there.")
    return np.asarray(skin.crossing_ras(place[None], -outward[None])[0])
