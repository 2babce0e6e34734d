"""The patient's skin in CT or MR: the border of the body to the air around it, table and other things left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import FloatArray, transform_points, unit_rows
from MSKFusionLib.interpolation import sample_volume
from MSKFusionLib.segmentation.marrow import filled_plane
from MSKFusionLib.volume import Modality, Volume

_STEP_MM = 2.0
#: Between air and fat in CT.
AIR_HU = -400.0
#: Gas within the body, in HU.
_GAS_HU = -600.0
#: Lung is denser than this, air around the patient is not; and there is so much of that at least.
_OUTER_AIR_HU, _LEAST_OUTSIDE_MM3 = -905.0, 30e3
#: In MR, the share of the image's bright values below which there is nothing: noise of air is lower, fat and muscle higher.
_MR_SHARE = 0.12
#: What no ball of this radius fits into is no body: table, mattress, tubes.
_BALL_MM = 5.0
#: Entries are so far apart on the skin.
_ENTRY_MM = 4.0
_NORMAL_MM = 5.0
#: The skin is looked for along a needle so far to both sides of the mask's border.
_SEARCH_MM = np.arange(-8.0, 8.01, 0.25)


@dataclass(frozen=True, eq=False)
class Skin:
    """The body and its skin.

    Parameters
    ----------
    body
        Boolean (K, J, I) on a grid of 2 mm along the axes of RAS, cavities filled.
    gas
        Gas within it (CT), on the same grid.
    grid_to_ras
        4x4 of that grid.
    points_ras, normals_ras
        (N, 3) places on the skin about 4 mm apart and unit normals outwards; none where the image cuts the body.
    level
        The image's value at the skin.
    """

    image: Volume
    body: NDArray[np.bool_]
    gas: NDArray[np.bool_]
    grid_to_ras: FloatArray
    points_ras: FloatArray
    normals_ras: FloatArray
    level: float

    @property
    def step_mm(self) -> float:
        """Of the grid."""
        return _STEP_MM

    def sample(self, mask: NDArray[np.bool_], points_ras: FloatArray) -> NDArray[np.bool_]:
        """Return the values (...,) of a mask on the grid at points (..., 3), False outside it."""
        ijk = np.rint(transform_points(np.linalg.inv(self.grid_to_ras), points_ras)).astype(int)
        last = np.array(mask.shape[::-1]) - 1
        inside = np.all((ijk >= 0) & (ijk <= last), axis=-1)
        i, j, k = np.moveaxis(np.clip(ijk, 0, last), -1, 0)
        return np.asarray(mask[k, j, i] & inside)

    def crossing_ras(self, near_ras: FloatArray, direction_ras: FloatArray) -> FloatArray:
        """Return where lines (N, 3) that run inwards cross the skin within 8 mm of places on it, to a part of a voxel.

        Where the image shows no such step the place itself is returned.
        """
        points = near_ras[:, None] + _SEARCH_MM[:, None] * direction_ras[:, None]
        above = sample_volume(self.image, points) - self.level
        rises = (above[:, :-1] < 0) & (above[:, 1:] >= 0)
        # The step nearest to the mask's border: farther in, gas below the skin rises as well.
        middle = 0.5 * (_SEARCH_MM[1:] + _SEARCH_MM[:-1])
        n = np.where(rises, np.abs(middle), np.inf).argmin(axis=1)
        rows = np.arange(len(points))
        low, high = above[rows, n], above[rows, n + 1]
        at = _SEARCH_MM[n] + np.where(high > low, -low / np.maximum(high - low, 1e-6), 0.5) * 0.25
        return np.asarray(near_ras + np.where(rises.any(axis=1), at, 0.0)[:, None] * direction_ras)


def find_skin(image: Volume) -> Skin:
    """Find the body in a CT or MR.

    Raises
    ------
    InputError
        When there is no body in the image, or no air beside it: then no skin is in view.
    """
    values, grid_to_ras = _on_ras_grid(image)
    is_ct = image.modality is Modality.CT
    level = AIR_HU if is_ct else _MR_SHARE * float(np.quantile(values, 0.98))
    smooth = values if is_ct else ndimage.gaussian_filter(values, 1.0)
    solid = smooth > level
    core = ndimage.distance_transform_edt(np.pad(solid, 1, mode="edge"), sampling=_STEP_MM)[1:-1, 1:-1, 1:-1]
    numbered, count = ndimage.label(core > _BALL_MM)
    if not count:
        raise InputError("there is no body in this image", "Give a CT or MR of a patient.", where=image.name)
    sizes = np.bincount(numbered.ravel())
    sizes[0] = 0
    largest = numbered == int(sizes.argmax())
    body = ndimage.distance_transform_edt(~largest, sampling=_STEP_MM) <= _BALL_MM + 0.5 * _STEP_MM
    cavities = _cavities(~solid, values, is_ct)
    # The wall of a lung is thin: no ball fits into it where it lies against the air.
    body |= cavities | (solid & ndimage.binary_dilation(cavities, iterations=3))
    # Axial slices: what is enclosed in one is inside, though it is open at the ends of the image.
    filled = np.stack([filled_plane(s) for s in body])
    gas = filled & (values < _GAS_HU) if is_ct else np.zeros_like(filled)
    gas &= ~ndimage.binary_dilation(~filled, iterations=2)
    points, normals = _entries(filled, grid_to_ras)
    if not len(points):
        raise InputError(
            "no skin is in view: the body fills the image", "Give an image with air around it.", where=image.name
        )
    return Skin(image, filled, gas, grid_to_ras, points, normals, level)


def _cavities(empty: NDArray[np.bool_], values: NDArray[np.float32], is_ct: bool) -> NDArray[np.bool_]:
    """Return what of the empty space is no air around the patient though the image's border cuts it: lung, bowel.

    Lung holds tissue, and in a CT is denser than air; bowel is small.
    """
    numbered, count = ndimage.label(empty)
    if not count:
        return np.zeros_like(empty)
    index = np.arange(1, count + 1)
    volume = np.bincount(numbered.ravel(), minlength=count + 1)[1:] * _STEP_MM**3
    outside = volume >= _LEAST_OUTSIDE_MM3
    if is_ct:
        # What lies close to tissue is a mean of both: the middle of the space tells.
        core = ndimage.binary_erosion(empty, iterations=2, border_value=1)
        there = np.bincount(numbered[core], minlength=count + 1)[1:]
        medians = ndimage.median(values, np.where(core, numbered, 0), index)
        outside &= np.where(there > 0, medians, 0.0) < _OUTER_AIR_HU
    return np.asarray(empty & ~np.isin(numbered, index[outside]))


def _on_ras_grid(image: Volume) -> tuple[NDArray[np.float32], FloatArray]:
    """Return the image on a grid of 2 mm along RAS, what lies outside it taken from its border, and the grid's 4x4."""
    last = np.array(image.shape_ijk) - 1.0
    corners = np.array([[a, b, c] for a in (0, last[0]) for b in (0, last[1]) for c in (0, last[2])])
    box = transform_points(image.ijk_to_ras, corners)
    low, high = box.min(axis=0), box.max(axis=0)
    size = np.floor((high - low) / _STEP_MM).astype(int) + 1
    grid = np.diag([_STEP_MM] * 3 + [1.0])
    grid[:3, 3] = low
    out = np.empty(size[::-1], dtype=np.float32)
    j, i = np.meshgrid(np.arange(size[1]), np.arange(size[0]), indexing="ij")
    sigma = 0.4 * _STEP_MM / image.spacing_mm[::-1]
    blurred = image.with_voxels(ndimage.gaussian_filter(image.voxels.astype(np.float32), sigma))
    for k in range(size[2]):
        points = transform_points(grid, np.stack([i, j, np.full_like(i, k)], axis=-1))
        out[k] = sample_volume(blurred, points)
    return out, grid


def _entries(body: NDArray[np.bool_], grid_to_ras: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return places on the border of the body and their outward normals; not where the image ends."""
    inner = body.copy()
    for axis in range(3):
        for step in (-1, 1):
            there = np.roll(body, step, axis=axis)
            edge: list[slice] = [slice(None)] * 3
            edge[axis] = slice(0, 1) if step == 1 else slice(-1, None)
            there[tuple(edge)] = True  # beyond the image nobody knows
            inner &= there
    border = body & ~inner
    smooth = ndimage.gaussian_filter(body.astype(np.float32), _NORMAL_MM / _STEP_MM, mode="nearest")
    kji = np.argwhere(border)
    if not len(kji):
        return np.zeros((0, 3)), np.zeros((0, 3))
    # One place a cube of 4 mm, the one that comes first.
    _, first = np.unique(kji // round(_ENTRY_MM / _STEP_MM), axis=0, return_index=True)
    kji = kji[first]
    last = np.array(body.shape) - 1
    rise = np.stack(
        [
            smooth[tuple(np.clip(kji + e, 0, last).T)] - smooth[tuple(np.clip(kji - e, 0, last).T)]
            for e in np.eye(3, dtype=int)[::-1]
        ],
        axis=-1,
    ).astype(np.float64)
    steep = np.linalg.norm(rise, axis=1) > 1e-3
    kji, rise = kji[steep], rise[steep]
    return transform_points(grid_to_ras, kji[:, ::-1]), -unit_rows(rise)
