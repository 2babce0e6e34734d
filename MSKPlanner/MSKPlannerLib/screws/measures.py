"""What else a surgeon asks of a pedicle screw: breaches wall by wall, Heary's grade, angles, room to other screws, the rod."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from MSKFusionLib.errors import GeometryError
from MSKFusionLib.frames import FloatArray, unit
from MSKFusionLib.interpolation import sample_volume
from MSKFusionLib.volume import Volume

from ..anatomy.vertebra import VertebraFrame
from .safety import ScrewSurface

DIRECTIONS = ("medial", "lateral", "cranial", "caudal", "anterior")
#: Trabecular bone of less than this in CT without contrast speaks for osteoporosis (Pickhardt et al. 2013, doi
#: 10.7326/0003-4819-158-8-201304160-00003: L1, 120 kV; 110 HU is more than 90 % specific).
LOW_DENSITY_HU = 110.0
#: The sample of the body: an ellipsoid of these shares of its width, depth and height, clear of cortex, endplates and vein.
_SAMPLE_SHARES = (0.5, 0.45, 0.45)
_SAMPLE_CENTRE_Y_SHARE = 0.1


@dataclass(frozen=True)
class WallBreaches:
    """How far a screw leaves the bone through each wall, mm; a wall that holds is missing.

    Parameters
    ----------
    pedicle, body
        Behind the body's back wall, and from there on.
    """

    pedicle: Mapping[str, float]
    body: Mapping[str, float]

    @property
    def deepest(self) -> dict[str, float]:
        """The deepest breach of each direction."""
        return {
            d: max(self.pedicle.get(d, 0.0), self.body.get(d, 0.0))
            for d in DIRECTIONS
            if d in self.pedicle or d in self.body
        }


def wall_breaches(surface: ScrewSurface, axes_ras: FloatArray, side: str, body_from_mm: float) -> WallBreaches:
    """Return the breaches of a screw by wall.

    Parameters
    ----------
    surface
        Of `safety.screw_surface`.
    axes_ras
        3x3, right, anterior and superior as columns.
    body_from_mm
        Where along the screw the vertebral body begins.
    """
    along = (surface.points_ras - surface.entry_ras) @ surface.axis_ras
    found: tuple[dict[str, float], dict[str, float]] = ({}, {})
    for n in np.flatnonzero(surface.depths_mm < 0):
        direction = surface.direction_at(int(n), axes_ras, side)
        part = found[int(along[n] >= body_from_mm)]
        part[direction] = max(part.get(direction, 0.0), -float(surface.depths_mm[n]))
    return WallBreaches(*found)


def heary_grade(breaches: WallBreaches, *, endangers: bool = False) -> str:
    """Return the grade of a thoracic pedicle screw, I to V.

    I: contained. II: through the lateral wall of the pedicle, the tip within the body. III: out of the body in front or
    laterally. IV: through the medial or the caudal wall of the pedicle. V: as IV, and a structure is endangered so that it has to be
    revised at once. A breach upwards in the pedicle, which the scheme does not name, counts as II. Source: Heary et al. 2004,
    J Neurosurg Spine 100:325 (doi 10.3171/spi.2004.100.4.0325).
    """
    if any(d in breaches.pedicle for d in ("medial", "caudal")):
        return "V" if endangers else "IV"
    if breaches.body:
        return "III"
    return "II" if breaches.pedicle else "I"


def screw_angles_deg(entry_ras: ArrayLike, tip_ras: ArrayLike, axes_ras: FloatArray, side: str) -> tuple[float, float]:
    """Return a screw's convergence (towards the midline) and its rise over the plane of the endplates, degrees."""
    lateral, forward, up = unit(np.subtract(tip_ras, entry_ras)) @ axes_ras
    inwards = -lateral if side == "right" else lateral
    return float(np.degrees(np.arctan2(inwards, forward))), float(
        np.degrees(np.arctan2(up, np.hypot(forward, lateral)))
    )


def gap_mm(first: tuple[ArrayLike, ArrayLike, float], second: tuple[ArrayLike, ArrayLike, float]) -> float:
    """Return the free distance of two screws (entry, tip, diameter), negative where their cylinders meet."""
    (a, b, d), (e, f, g) = ((np.asarray(s[0], float), np.asarray(s[1], float), s[2]) for s in (first, second))
    return _segment_distance(a, b, e, f) - d / 2 - g / 2


def _segment_distance(a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray) -> float:
    """Return the least distance of two segments (Ericson, Real-Time Collision Detection, 2005, 5.1.9)."""
    u, v, w = b - a, d - c, a - c
    uu, uv, vv, uw, vw = u @ u, u @ v, v @ v, u @ w, v @ w
    free = uu * vv - uv * uv
    s = np.clip((uv * vw - vv * uw) / free, 0, 1) if free > 1e-9 * uu * vv else 0.0
    t = np.clip((uv * s + vw) / vv, 0, 1)
    s = np.clip((uv * t - uw) / uu, 0, 1)
    return float(np.linalg.norm(w + s * u - t * v))


def rod_deviation_mm(heads_ras: ArrayLike) -> FloatArray:
    """Return how far (N,) each head of one side lies from the arc that fits all of them best: what a rod must be bent for.

    The arc is of second order along the line from the first head to the last, in both directions across it.

    Raises
    ------
    GeometryError
        For fewer than two heads, or two in one place.
    """
    heads = np.asarray(heads_ras, dtype=np.float64)
    if len(heads) < 2 or np.linalg.norm(heads[-1] - heads[0]) < 1.0:
        raise GeometryError("a rod needs two screw heads that are apart", where="rod")
    along = (heads - heads[0]) @ unit(heads[-1] - heads[0])
    terms = np.vander(along / np.ptp(along), min(3, len(heads)))
    fitted = terms @ np.linalg.lstsq(terms, heads, rcond=None)[0]
    return np.asarray(np.linalg.norm(heads - fitted, axis=1))


def body_density_hu(ct: Volume, frame: VertebraFrame) -> float:
    """Return the mean CT value of the trabecular bone in a vertebral body, the basivertebral vein left out behind."""
    steps = np.linspace(-1, 1, 13)
    ball = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    ball = ball[np.linalg.norm(ball, axis=1) <= 1]
    size = np.array([frame.body_width_mm, frame.body_depth_mm, frame.body_height_mm])
    local = 0.5 * np.array(_SAMPLE_SHARES) * size * ball + [0.0, _SAMPLE_CENTRE_Y_SHARE * frame.body_depth_mm, 0.0]
    return float(sample_volume(ct, frame.to_ras(local)).mean())
