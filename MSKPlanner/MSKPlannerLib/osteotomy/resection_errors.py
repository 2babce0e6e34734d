"""What is left of a margin when registration and saw err as they are known to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.stats import norm, qmc

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import FloatArray, perpendicular_axes

from ..guides.field import MeshDistance
from .plane import Plane
from .resection_margin import CutSurface

#: The mean length of a vector whose three components are normal with standard deviation 1.
_MEAN_LENGTH = 2 * np.sqrt(2 / np.pi)
_DRAWS = 512
_LARGEST_MM, _LARGEST_DEG = 20.0, 30.0
#: Places of each cut that are displaced: those of the least margins, and some spread over it.
_PLACES = 40
_SIGNED_MM = 3.0


@dataclass(frozen=True)
class SawBudget:
    """Standard deviations of a cut against its plan, and of the tumour in the bone's frame.

    Parameters
    ----------
    place_sd_mm
        Of a cut along its normal, at its middle.
    turn_sd_deg
        Of its direction, about each of two axes in the plane.
    registration_error_mm
        Expected mean error of where the tumour is (`expected_error_mm` of the registration); 0 where it was drawn in the
        bone's own image.
    tumour_sd_mm
        Of the tumour's border, the same all round: how sure its outline is.
    source
        Where the numbers are from.
    """

    place_sd_mm: float = 1.0
    turn_sd_deg: float = 2.0
    registration_error_mm: float = 0.0
    tumour_sd_mm: float = 0.0
    source: str = (
        "about the errors of printed guides in simulated and real bone tumour cuts (location 1 to 2 mm, some degrees): "
        "Cartiaux et al. 2014, doi 10.1007/s10439-013-0919-2; give your own where you have measured them"
    )

    def __post_init__(self) -> None:
        for name, largest in (
            ("place_sd_mm", _LARGEST_MM),
            ("turn_sd_deg", _LARGEST_DEG),
            ("registration_error_mm", _LARGEST_MM),
            ("tumour_sd_mm", _LARGEST_MM),
        ):
            value = getattr(self, name)
            if not (np.isfinite(value) and 0 <= value <= largest):
                raise InputError(f"{name} = {value!r} is no error of a cut", f"Give 0 to {largest:g}.", where="errors")


@dataclass(frozen=True)
class ErredMargin:
    """The least margin over draws of all errors.

    Parameters
    ----------
    median_mm, low_mm
        Half of the draws, and all but 5 % of them, have more.
    kept_probability
        Share of draws in which the wished margin is kept everywhere.
    breached_probability
        Share in which a cut goes through the tumour.
    """

    median_mm: float
    low_mm: float
    kept_probability: float
    breached_probability: float
    draws: int


def erred_margin(
    surfaces: Sequence[CutSurface],
    planes: Sequence[Plane],
    tumour: MeshDistance,
    tumour_points: FloatArray,
    margin_mm: float,
    budget: SawBudget,
    seed: int = 0,
) -> ErredMargin:
    """Return the least margin when the tumour and every cut are displaced by normal, independent errors.

    Parameters
    ----------
    tumour_points
        Points (N, 3) all over the tumour's surface.

    Notes
    -----
    Each cut moves along its normal and turns about its middle; the tumour moves as a whole, and its border grows or
    shrinks. Quasi-random (scrambled Sobol), the same for the same seed. The extent of a cut in the bone is taken to stay.
    """
    used = [(s, p) for s, p in zip(surfaces, planes, strict=True) if len(s.mesh.faces)]
    sobol = qmc.Sobol(4 + 3 * len(used), rng=np.random.default_rng(seed))
    drawn = norm.ppf(np.clip(sobol.random(_DRAWS), 1e-9, 1 - 1e-9))
    shift = drawn[:, :3] * (budget.registration_error_mm / _MEAN_LENGTH)
    least = np.full(_DRAWS, np.inf)
    near = cKDTree(tumour_points)
    for n, (surface, plane) in enumerate(used):
        own = drawn[:, 4 + 3 * n : 7 + 3 * n]
        rows = _worst_and_spread(surface.margins_mm)
        points = surface.mesh.vertices_ras[rows]
        u, v = perpendicular_axes(plane.normal_ras)
        arm = points - surface.mesh.vertices_ras.mean(axis=0)
        turn = np.radians(budget.turn_sd_deg) * own[:, 1:]
        height = budget.place_sd_mm * own[:, :1] + turn[:, :1] * (arm @ v) - turn[:, 1:] * (arm @ u)
        places = points[None] + height[..., None] * plane.normal_ras - shift[:, None]
        distance = _distances(tumour, near, places.reshape(-1, 3)).reshape(_DRAWS, -1)
        least = np.minimum(least, distance.min(axis=1))
    least = least - budget.tumour_sd_mm * drawn[:, 3]
    return ErredMargin(
        float(np.median(least)),
        float(np.quantile(least, 0.05)),
        float(np.mean(least >= margin_mm - 1e-6)),
        float(np.mean(least < 0)),
        _DRAWS,
    )


def _distances(tumour: MeshDistance, near: cKDTree, places: FloatArray) -> FloatArray:
    """Return distances from the tumour: exact and signed below some mm, beyond that from the nearest of its points."""
    found, _ = near.query(places)
    close = found < _SIGNED_MM
    if close.any():
        found[close] = tumour.distance_mm(places[close])
    return np.asarray(found)


def _worst_and_spread(margins_mm: FloatArray) -> NDArray[np.int64]:
    order = np.argsort(margins_mm, kind="stable")
    spread = np.linspace(0, len(order) - 1, _PLACES).astype(int)
    return np.unique(np.concatenate([order[:_PLACES], order[spread]]))
