"""Where the outer surface of a cortex lies between the voxels: a model of what the scanner makes of a thin shell.

Along the normal of a bone's surface a CT shows marrow, a cortex of 0.3 to 2 mm and soft tissue, blurred by the scanner.
Neither the half of the peak nor any fixed threshold is the true edge of a wall that is thinner than the blur: the first
lies outside of it, the second on either side with the density. Fitting the blurred shell itself, with the cortex's
density nearly the same all over a bone, puts the edge right to about a tenth of a millimetre (Treece et al. 2010,
doi 10.1016/j.media.2010.01.003). That density is read off the bone's thickest walls: in a bone that has none thicker
than the blur it is taken too low, and the edge lies up to 0.15 mm too far out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ..errors import InputError
from ..frames import transform_points
from ..interpolation import sample_at_indices
from ..volume import Volume
from .bone_mask import METAL_HU

#: Single precision is enough for profiles of integers.
Floats = NDArray[np.floating[Any]]

#: The profile runs from so deep inside to so far outside.
_INSIDE_MM, _OUTSIDE_MM, _STEP_MM = 3.0, 2.0, 0.25
_T_MM = np.arange(-_INSIDE_MM, _OUTSIDE_MM + 1e-9, _STEP_MM, dtype=np.float32)
#: What is known before looking: the edge is near the label's, the wall is about so thick (its logarithm spreads by so
#: much; side walls of lumbar pedicles measure 1.0 +- 0.4 mm, Irie et al. 2021, doi 10.1371/journal.pone.0253019), and the
#: cortex is about as dense as elsewhere on the same bone.
_EDGE_SD_MM, _WALL_MM, _WALL_LOG_SD, _CORTEX_SHARE_SD = 0.8, 0.9, 0.5, 0.12
_TISSUE_SD_HU = 300.0
_CORTEX_RANGE_HU = (700.0, 1800.0)
#: Of the scanner's own blur (standard deviation), the values tried.
_BLURS_MM = (0.25, 0.35, 0.45, 0.55, 0.7, 0.9)
_SAMPLED_FOR_BLUR, _SAMPLED_FOR_CORTEX = 500, 4000
#: Walls thicker than this, where there are so many, tell the density of cortex; before that it may be off by this share.
_THICK_WALL_MM, _LEAST_THICK, _LOOSE_SHARE_SD = 1.6, 50, 0.5
#: Less than this above the tissue beside it is no cortex that could be placed.
_LEAST_CONTRAST_HU = 80.0
#: Misfit of a profile (root mean square) at which it counts half.
_MISFIT_HU = 60.0
_ITERATIONS = 7
#: So many profiles at once: the memory of a hip bone is bounded.
_CHUNK = 20_000
_ROOT_2PI = np.float32(np.sqrt(2 * np.pi))


@dataclass(frozen=True, eq=False)
class CorticalEdge:
    """The edge found on each of some profiles.

    Parameters
    ----------
    shift_mm
        (N,) how far outward of the given point the outer surface of the cortex lies.
    wall_mm
        (N,) thickness of the cortex: a measure of bone mass where the wall is thinner than the blur.
    sd_mm
        (N,) standard deviation of the shift by noise and misfit.
    weight
        (N,) 0 to 1: how well the model describes the profile.
    blur_mm, cortex_hu
        Of this image: the scanner's blur (standard deviation, without the voxels' own), and the density of cortex.
    """

    shift_mm: Floats
    wall_mm: Floats
    sd_mm: Floats
    weight: Floats
    blur_mm: float
    cortex_hu: float


def cortical_edge(ct: Volume, points_ras: Floats, outward_ras: Floats, free_mm: Floats | None = None) -> CorticalEdge:
    """Fit a blurred shell to the profile through each surface point.

    Parameters
    ----------
    points_ras, outward_ras
        (N, 3) points on the surface that a label has, in RAS mm, and the unit outward normals there.
    free_mm
        (N,) how far outward there is nothing of another bone; what lies behind is not looked at.

    Raises
    ------
    InputError
        When there is no point.
    """
    free = np.full(len(points_ras), np.inf) if free_mm is None else np.asarray(free_mm)
    if not len(points_ras):
        raise InputError("there is no surface to fit to the CT", where=ct.name)
    sample = np.random.default_rng(0).permutation(len(points_ras))[:_SAMPLED_FOR_CORTEX]
    blur_mm, cortex_hu = _of_image(_Profiles.read(ct, points_ras[sample], outward_ras[sample], free[sample]))
    found = []
    for n in range(0, len(points_ras), _CHUNK):
        part = slice(n, n + _CHUNK)
        profiles = _Profiles.read(ct, points_ras[part], outward_ras[part], free[part])
        found.append(_edges(profiles, blur_mm, cortex_hu))
    shift, wall, sd, weight = (np.concatenate(values) for values in zip(*found, strict=True))
    return CorticalEdge(shift, wall, sd, weight, blur_mm, cortex_hu)


@dataclass(frozen=True, eq=False)
class _Profiles:
    """CT values (N, T) along N normals, which of them count, and the variance (N,; mm2) that the voxels add to the blur."""

    hu: NDArray[np.float32]
    seen: NDArray[np.bool_]
    voxel_variance: Floats

    @classmethod
    def read(cls, ct: Volume, points_ras: Floats, outward_ras: Floats, free_mm: Floats) -> _Profiles:
        places = points_ras[:, None, :] + _T_MM[:, None] * outward_ras[:, None, :]
        ijk = transform_points(ct.ras_to_ijk, places)
        hu = sample_at_indices(ct, ijk)
        last = np.array(ct.shape_ijk) - 1
        seen = np.all((ijk > -0.5) & (ijk < last + 0.5), axis=-1) & (hu < METAL_HU)
        # A voxel's own width, and what linear interpolation between voxels adds.
        variance = ((outward_ras @ ct.directions_ras) ** 2) @ (ct.spacing_mm**2) * (1 / 12 + 1 / 8)
        return cls(hu, seen & (free_mm[:, None] > _T_MM), variance)

    def first(self, count: int) -> _Profiles:
        return _Profiles(self.hu[:count], self.seen[:count], self.voxel_variance[:count])


def _edges(profiles: _Profiles, blur_mm: float, cortex_hu: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Return shift, wall, standard deviation and weight (N,) of each profile's edge."""
    total_blur = np.sqrt(blur_mm**2 + profiles.voxel_variance)
    parameters, sd, misfit = _fit(profiles, blur_mm, cortex_hu)
    seen, wall = profiles.seen, np.exp(parameters[:, 1])
    enough = (seen & (_T_MM > 0.7)).any(axis=1) & (seen.sum(axis=1) >= 12)
    near = np.abs(parameters[:, 0]) < 0.6 * _OUTSIDE_MM
    # What of the cortex's density is left after the blur, or else the step from tissue to marrow, must be seen.
    tissue, marrow = parameters[:, 2], parameters[:, 3]
    share = 2 * special.ndtr(wall / 2 / total_blur) - 1
    shown_hu = np.maximum(share * (parameters[:, 4] - np.maximum(tissue, marrow)), marrow - tissue)
    weight = (enough & near & (shown_hu > _LEAST_CONTRAST_HU)) / (1.0 + (misfit / _MISFIT_HU) ** 2)
    return parameters[:, 0], wall, sd, weight


def _of_image(profiles: _Profiles) -> tuple[float, float]:
    """Return the scanner's blur (mm) and the density of cortex (HU), from a sample of the profiles.

    A wall thicker than the blur shows its density as it is; of a thinner one only thickness times density can be told.
    """
    few = profiles.first(_SAMPLED_FOR_BLUR)
    peaks = np.where(profiles.seen, profiles.hu, -1000).max(axis=1)
    cortex_hu = float(np.clip(1.1 * np.percentile(peaks, 95), *_CORTEX_RANGE_HU))
    blur_mm = 0.0
    for _ in range(2):
        misfits = []
        for blur in _BLURS_MM:
            *_, misfit = _fit(few, blur, cortex_hu)
            # The worst fifth are joints and ridges, which no blur explains.
            misfits.append(float(np.mean(np.sort(misfit)[: max(1, 4 * len(misfit) // 5)] ** 2)))
        blur_mm = _lowest(_BLURS_MM, misfits)
        found, _, misfit = _fit(profiles, blur_mm, cortex_hu, _LOOSE_SHARE_SD)
        thick = (np.exp(found[:, 1]) > _THICK_WALL_MM) & (misfit < _MISFIT_HU) & (np.abs(found[:, 0]) < 1.0)
        if int(thick.sum()) < _LEAST_THICK:
            break
        cortex_hu = float(np.clip(np.median(found[thick, 4]), *_CORTEX_RANGE_HU))
    return blur_mm, cortex_hu


def _lowest(at: Sequence[float], values: Sequence[float]) -> float:
    """Return where the parabola through the lowest of some values and its neighbours is lowest."""
    n = int(np.clip(np.argmin(values), 1, len(at) - 2))
    square, linear, _ = np.polyfit(at[n - 1 : n + 2], values[n - 1 : n + 2], 2)
    return float(np.clip(-linear / (2 * square) if square > 0 else at[int(np.argmin(values))], at[0], at[-1]))


def _fit(
    profiles: _Profiles, scanner_blur_mm: float, cortex_hu: float, share_sd: float = _CORTEX_SHARE_SD
) -> tuple[Floats, Floats, Floats]:
    """Return (N, 5) edge (mm), log wall, tissue outside and inside, cortex (HU); the edge's SD (mm), the misfit (HU)."""
    t, hu, seen = _T_MM, profiles.hu, profiles.seen
    blur_mm = np.sqrt(scanner_blur_mm**2 + profiles.voxel_variance)
    mask = seen.astype(np.float32)
    outside = _mean(hu, mask * (t > 0.9), 40.0)
    inside = _mean(hu, mask * (t < -1.8), 200.0)
    n = len(hu)
    prior = np.stack([np.zeros(n), np.full(n, np.log(_WALL_MM)), outside, inside, np.full(n, cortex_hu)], axis=1)
    noise = 30.0
    precision = (
        np.array([_EDGE_SD_MM, _WALL_LOG_SD, _TISSUE_SD_HU, _TISSUE_SD_HU, share_sd * cortex_hu]) ** -2.0 * noise**2
    )
    p = prior.copy()
    for _ in range(_ITERATIONS):
        model, slope = _model(t, p, blur_mm)
        slope *= mask[:, None, :]
        normal = slope @ slope.swapaxes(1, 2) + np.diag(precision)
        right = (slope @ (hu - model)[:, :, None])[:, :, 0] + precision * (prior - p)
        step = np.linalg.solve(normal, right[:, :, None])[:, :, 0]
        p += np.clip(step, [-0.4, -0.5, -300, -300, -300], [0.4, 0.5, 300, 300, 300])
    model, _ = _model(t, p, blur_mm)
    misfit = np.sqrt((mask * (hu - model) ** 2).sum(axis=1) / np.maximum(mask.sum(axis=1), 1))
    sd = np.sqrt(np.linalg.inv(normal)[:, 0, 0]) * np.maximum(noise, misfit)
    return p, sd, misfit


def _model(t: Floats, p: Floats, blur_mm: Floats) -> tuple[Floats, Floats]:
    """Return the blurred shell (N, T) and its derivatives (N, 5, T)."""
    p = p.astype(np.float32)
    edge, wall = p[:, :1], np.exp(p[:, 1:2])
    outside, inside, cortex = p[:, 2:3], p[:, 3:4], p[:, 4:5]
    s = blur_mm[:, None].astype(np.float32)
    outer, inner = (t - edge) / s, (t - edge + wall) / s
    past_outer, past_inner = special.ndtr(outer), special.ndtr(inner)
    model = inside + (cortex - inside) * past_inner + (outside - cortex) * past_outer
    rise = (cortex - inside) * np.exp(-0.5 * inner**2) / (_ROOT_2PI * s)
    slope = np.empty((len(p), 5, t.shape[-1]), dtype=np.float32)
    slope[:, 0] = (cortex - outside) * np.exp(-0.5 * outer**2) / (_ROOT_2PI * s) - rise
    slope[:, 1] = rise * wall
    slope[:, 2] = past_outer
    slope[:, 3] = 1 - past_inner
    slope[:, 4] = past_inner - past_outer
    return model, slope


def _mean(values: NDArray[np.float32], weight: Floats, empty: float) -> Floats:
    total = weight.sum(axis=1)
    return np.asarray(np.where(total > 0, (values * weight).sum(axis=1) / np.maximum(total, 1e-9), empty))
