"""What metal does to a CT: rays through it are measured too weak, and the reconstruction spreads that over the slice.

Each slice with metal is projected (parallel rays, 180 degrees), the rays through metal are measured as a scanner does
(several energies at once, few photons behind much metal, a correction that is right for water alone), and the
difference from the body without that metal is reconstructed by filtered back-projection. Metal that is denser than the
scale ends, dark bands between two screws, and streaks all follow from that (De Man et al. 1999, doi 10.1109/23.775600).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, sparse

from ..frames import FloatArray
from ..progress import Progress, no_progress
from .grid import FloatImage, Grid
from .metal import coverage
from .shapes import Shape

#: Photon energies of a 120 kV tube as four lines (50, 60, 80, 100 keV): their shares, and the attenuation of water and
#: titanium there in 1/cm (NIST XCOM).
_SHARES = np.array([0.20, 0.30, 0.32, 0.18])
_WATER_PER_CM = np.array([0.2269, 0.2059, 0.1837, 0.1707])
_TITANIUM_PER_CM = 4.51 * np.array([1.213, 0.7661, 0.4052, 0.2721])
#: Photons of a ray before the patient, and the fewest that count behind. Only rays through metal are counted here; the
#: noise of all others is that of the CT.
_PHOTONS, _FEWEST = 2.0e5, 4.0
_VIEWS = 300
#: Water-equivalent cm at which the scanner's own correction is tabulated.
_TABLE_CM = np.linspace(0.0, 400.0, 4001)


def add_metal(
    image_hu: FloatImage, grid: Grid, shape: Shape, rng: np.random.Generator, progress: Progress = no_progress
) -> None:
    """Put metal into a CT (K, J, I; HU, before noise) in place, with what it does to the slices it is in.

    Parameters
    ----------
    shape
        The metal, in the grid's world.
    rng
        Of the photons that are counted behind metal.
    """
    found = coverage(shape, grid)
    if found is None:
        return
    share, box = found
    spacing = np.linalg.norm(grid.ijk_to_world[:3, :3], axis=0)
    slices = np.arange(box[0].start, box[0].stop)[share.any(axis=(1, 2))]
    metal = np.zeros((len(slices), *grid.shape[1:]), dtype=np.float32)
    metal[:, box[1], box[2]] = share[slices - box[0].start]
    # Water equivalents: 0 is air, 1 is water; the metal's place is empty until its rays are measured.
    tissue = np.maximum(image_hu[slices] / 1000.0 + 1.0, 0.0) * (1.0 - metal)
    rays = _Rays(grid.shape[1:], (float(spacing[1]), float(spacing[0])))
    added = np.zeros((rays.pixels, len(slices)), dtype=np.float32)
    tissue_columns = np.ascontiguousarray(tissue.reshape(len(slices), -1).T)
    metal_columns = np.ascontiguousarray(metal.reshape(len(slices), -1).T)
    for view in range(_VIEWS):
        if view % 20 == 0:
            progress(view / _VIEWS, "CT of metal")
        matrix = rays.matrix(np.pi * view / _VIEWS)
        through_cm = matrix @ metal_columns / 10.0
        body_cm = matrix @ tissue_columns / 10.0
        hit = through_cm > 1e-4
        change_cm = np.zeros_like(body_cm)
        change_cm[hit] = measured_cm(body_cm[hit], through_cm[hit], rng) - body_cm[hit]
        added += matrix.T @ rays.filtered(10.0 * change_cm)
    added *= np.pi / _VIEWS
    plane = added.T.reshape(len(slices), *grid.shape[1:])
    image_hu[slices] = 1000.0 * (tissue + plane - 1.0)


def measured_cm(water_cm: FloatArray, metal_cm: FloatArray, rng: np.random.Generator | None = None) -> FloatArray:
    """Return how many cm of water a scanner takes rays for that passed some water and some titanium.

    Parameters
    ----------
    water_cm, metal_cm
        (N,).
    rng
        Of the photons that are counted; None for as many as are expected.
    """
    reached = _reached(water_cm, metal_cm)
    if rng is not None:
        sd = np.sqrt(np.maximum(_PHOTONS * reached, 0.0))
        reached = reached + sd * rng.standard_normal(reached.shape) / _PHOTONS
    reached = np.maximum(reached, _FEWEST / _PHOTONS)
    water_only = _reached(_TABLE_CM, np.zeros_like(_TABLE_CM))
    return np.interp(-np.log(reached), -np.log(water_only), _TABLE_CM)


def _reached(water_cm: FloatArray, metal_cm: FloatArray) -> FloatArray:
    """Return the share of the energy that comes through."""
    lines = (
        share * np.exp(-water * water_cm - metal * metal_cm)
        for share, water, metal in zip(_SHARES, _WATER_PER_CM, _TITANIUM_PER_CM, strict=True)
    )
    return np.asarray(sum(lines), dtype=np.float64)


@dataclass(frozen=True)
class _Rays:
    """Parallel rays through a slice: one detector element for every voxel edge.

    Parameters
    ----------
    shape
        Rows and columns of the slice.
    spacing_mm
        Along rows' and columns' index.
    """

    shape: tuple[int, ...]
    spacing_mm: tuple[float, float]

    @property
    def pixels(self) -> int:
        return int(np.prod(self.shape))

    @property
    def width_mm(self) -> float:
        return min(self.spacing_mm)

    @property
    def count(self) -> int:
        diagonal_mm = float(np.linalg.norm(np.array(self.shape) * self.spacing_mm))
        return int(np.ceil(diagonal_mm / self.width_mm)) + 3

    def matrix(self, angle: float) -> sparse.csr_matrix:
        """Return (rays, pixels): the mm of each ray in each pixel; its transpose spreads rays over pixels, times an area."""
        rows, columns = ((np.arange(n) - (n - 1) / 2) * s for n, s in zip(self.shape, self.spacing_mm, strict=True))
        at = (np.sin(angle) * rows[:, None] + np.cos(angle) * columns).ravel() / self.width_mm + (self.count - 1) / 2
        lower = np.floor(at).astype(np.int32)
        upper_share = (at - lower).astype(np.float32)
        length = np.float32(np.prod(self.spacing_mm) / self.width_mm)
        weights = np.concatenate([(1 - upper_share) * length, upper_share * length])
        pixel = np.arange(self.pixels, dtype=np.int32)
        places = (np.concatenate([lower, lower + 1]), np.concatenate([pixel, pixel]))
        return sparse.csr_matrix((weights, places), shape=(self.count, self.pixels))

    def filtered(self, views_mm: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return views (rays, slices) after the ramp filter, per mm, so that `matrix.T` of it is a back-projection."""
        size = fft.next_fast_len(2 * self.count, real=True)
        n = np.minimum(np.arange(size), size - np.arange(size))
        # The ramp in space (Kak & Slaney 1988, chapter 3), smoothed as a soft kernel does.
        ramp = np.where(n % 2 == 1, -1.0 / (np.pi * np.maximum(n, 1)) ** 2, 0.0)
        ramp[0] = 0.25
        kernel = fft.rfft(ramp).real / self.width_mm
        kernel *= 0.5 * (1 + np.cos(np.pi * np.arange(len(kernel)) / len(kernel)))
        out = fft.irfft(fft.rfft(views_mm, size, axis=0) * kernel[:, None], size, axis=0)[: self.count]
        return np.asarray(out * self.width_mm / np.prod(self.spacing_mm), dtype=np.float32)
