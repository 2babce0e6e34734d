"""The sacrum of a generated pelvis: bodies, wings, canal, and the four pairs of foramina with the roots' tunnels to them.

Its frame: origin in the middle of the S1 body, x right, y anterior, z along the normal of the S1 endplate. Positions along
it are given as lengths from the S1 middle downwards (s) and depths forwards of the curved midline.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..frames import FloatArray
from .shapes import CAP_MM, Array, Primitive, Shape, elliptic_capsule, smooth_intersection

#: Usual measures of an adult in mm: heights of S1 to S5, half width and half depth of the S1 body, half width over the wings
#: (breadth 105 to 115 mm, length 100 to 120 mm: Gray's Anatomy; the S1 corridor 18 mm high and 17 mm deep, the S2 corridor
#: smaller: Chaudhary et al. 2024, Anat Cell Biol).
_HEIGHTS = np.array([30.0, 25.0, 20.0, 17.0, 14.0])
#: Foramina: distance from the midline as a share of the body's half width, and radius in mm.
_FORAMINA = ((0.88, 6.1), (0.78, 6.0), (0.66, 5.0), (0.56, 3.8))
#: The root leaves the canal so far above its foramen.
_ROOT_RISE_MM = 11.0


@dataclass(frozen=True)
class PelvicSacrumSize:
    """Measures in mm.

    Parameters
    ----------
    heights
        Of the five segments.
    alar_drop
        How far the wing's top lies below the S1 endplate at its root, beside the body.
    alar_slope
        Fall of the wing's top for each millimetre farther out.
    foramina
        (length s, distance from the midline, radius) of the four pairs.
    dysmorphism
        0 a usual upper sacrum, 1 a fully dysmorphic one: steep wings, large high foramina.
    """

    half_width: float
    half_depth: float
    heights: tuple[float, ...]
    wing_half_width: float
    bend_radius: float
    canal_half_width: float
    canal_half_depth: float
    alar_drop: float
    alar_slope: float
    foramina: tuple[tuple[float, float, float], ...]
    dysmorphism: float

    @property
    def length(self) -> float:
        """From the S1 middle to the tip, along the curve."""
        return float(sum(self.heights) - 0.5 * self.heights[0])

    @property
    def canal_depth(self) -> float:
        """Depth of the canal's middle at S1 (negative: behind the bodies)."""
        return -(self.half_depth + self.canal_half_depth + 0.5)


def draw_pelvic_sacrum(scale: float, dysmorphism: float, rng: np.random.Generator) -> PelvicSacrumSize:
    """Draw the measures of a sacrum."""
    heights = _HEIGHTS * scale * (1 + 0.04 * rng.standard_normal(5))
    half_width = 25.0 * scale * (1 + 0.04 * rng.standard_normal())
    junctions = np.cumsum(heights)[:4] - 0.5 * heights[0]
    # A dysmorphic sacrum has larger first foramina, set higher.
    rise = np.array([4.0, 0.0, 0.0, 0.0]) * dysmorphism
    swell = 1.0 + np.array([0.25, 0.0, 0.0, 0.0]) * dysmorphism
    foramina = tuple(
        (
            float(junctions[n] - rise[n] + rng.normal(0, 0.6)),
            float(share * half_width * (1 + 0.03 * rng.standard_normal())),
            float(radius * scale * swell[n] * (1 + 0.05 * rng.standard_normal())),
        )
        for n, (share, radius) in enumerate(_FORAMINA)
    )
    return PelvicSacrumSize(
        half_width=float(half_width),
        half_depth=float(16.5 * scale * (1 + 0.04 * rng.standard_normal())),
        heights=tuple(float(h) for h in heights),
        wing_half_width=float(55.0 * scale * (1 + 0.03 * rng.standard_normal())),
        bend_radius=float(95.0 * scale * (1 + 0.06 * rng.standard_normal())),
        canal_half_width=float(14.0 * scale * (1 + 0.06 * rng.standard_normal())),
        canal_half_depth=float(7.5 * scale * (1 + 0.06 * rng.standard_normal())),
        alar_drop=float(3.5 + 8.5 * dysmorphism + abs(rng.normal(0, 1.0))),
        alar_slope=float(np.clip(0.10 + 0.45 * dysmorphism + rng.normal(0, 0.03), 0.02, 0.7)),
        foramina=foramina,
        dysmorphism=float(dysmorphism),
    )


def along_sacrum(size: PelvicSacrumSize, length: float, depth: float = 0.0, x: float = 0.0) -> FloatArray:
    """Return the point of the frame (3,) at a length along the curved sacrum, a depth, and a distance to the right."""
    r, t = size.bend_radius, length / size.bend_radius
    return np.array([x, r - (r - depth) * np.cos(t), -(r - depth) * np.sin(t)])


def _bent(size: PelvicSacrumSize, y: Array, z: Array) -> tuple[Array, Array]:
    r = size.bend_radius
    return r - np.sqrt((r - y) ** 2 + z * z), r * np.arctan2(-z, r - y)


def _plate(size: PelvicSacrumSize) -> Primitive:
    """Bodies and wings: a curved plate, thick at the bodies, cut above by endplate and wings' tops."""
    a, b, h, low = size.half_width, size.half_depth, size.heights[0], size.length
    stations = np.array([-25.0, 0.0, 0.30, 0.50, 0.75, 1.0]) * np.array([1, 1, low, low, low, low])
    wing = np.array([1.0, 1.0, 0.93, 0.76, 0.42, 0.22]) * size.wing_half_width
    front = np.array([b, b, 0.80 * b, 0.60 * b, 0.40 * b, 0.25 * b])
    back = np.array([b + 21.0, b + 21.0, 0.85 * b + 18.0, 0.7 * b + 14.0, 0.5 * b + 9.0, 0.3 * b + 5.0])

    def value(x: Array, y: Array, z: Array) -> Array:
        depth, s = _bent(size, y, z)
        ax = np.abs(x)
        out = np.clip((ax - 0.70 * a) / 12.0, 0.0, 1.0)  # 0 at the bodies, 1 in the wings
        out = out * out * (3 - 2 * out)
        beyond = np.maximum(ax - a, 0.0)
        fade = np.clip(1.0 - s / (0.6 * low), 0.0, 1.0)
        # The joints lie oblique: the wing is narrower at its back.
        side = (np.interp(s, stations, wing) + 0.28 * np.clip(depth, -40.0, 6.0) - ax) * 0.963
        fore = np.interp(s, stations, front) - (6.0 * out + 0.12 * beyond) * fade - depth
        aft = depth + np.interp(s, stations, back) - 0.16 * ax - 3.0 * out
        behind = np.clip((-y - b - 1.0) / 6.0, 0.0, 1.0)
        top = (0.5 * h - size.alar_drop * out - size.alar_slope * beyond - 13.0 * behind * (1 - out) - z) / np.sqrt(
            1 + (size.alar_slope * out) ** 2
        )
        f = smooth_intersection(smooth_intersection(side, fore, 8.0), aft, 6.0)
        f = smooth_intersection(smooth_intersection(f, top, 2.5), low - s, 4.0)
        return f.astype(x.dtype)

    tip = along_sacrum(size, low)
    lower = np.array([-size.wing_half_width - 2.0, -(b + 26.0), tip[2] - 6.0]) - CAP_MM
    upper = np.array([size.wing_half_width + 2.0, max(b, tip[1] + 0.3 * b) + 2.0, 0.5 * h + 3.0]) + CAP_MM
    return Primitive(value, lower, upper)


def _canal(size: PelvicSacrumSize) -> Primitive:
    low, w0, d0, y0 = size.length, size.canal_half_width, size.canal_half_depth, size.canal_depth
    stations = np.array([-25.0, 0.0, 0.5 * low, 0.85 * low, low])
    widths = w0 * np.array([1.0, 1.0, 0.62, 0.35, 0.30])
    depths = d0 * np.array([1.0, 0.95, 0.55, 0.36, 0.32])
    middles = y0 * np.array([1.0, 1.0, 0.72, 0.46, 0.36])

    def value(x: Array, y: Array, z: Array) -> Array:
        depth, s = _bent(size, y, z)
        w, d = np.interp(s, stations, widths), np.interp(s, stations, depths)
        v = (depth - np.interp(s, stations, middles)) / d
        q = np.sqrt((x / w) ** 2 + v * v + 1e-6)
        return ((1 - q) * q / np.sqrt((x / w**2) ** 2 + (v / d) ** 2 + 1e-4)).astype(x.dtype)

    lower = np.array([-w0 - CAP_MM, 1.6 * y0 - 20.0, -low - 10.0])
    return Primitive(value, lower, np.array([w0 + CAP_MM, 0.4 * low, 40.0]), 1.5, cuts=True)


def _tunnels(size: PelvicSacrumSize) -> list[Primitive]:
    """Each root's way from the canal, downwards, forwards and outwards through its foramen, and the opening behind."""
    parts, low = [], size.length
    for length, across, radius in size.foramina:
        share = np.interp(length, [0.0, 0.5 * low, 0.85 * low], [1.0, 0.72, 0.46])
        canal = size.canal_depth * share
        front = size.half_depth * np.interp(length, [0.0, 0.3 * low, 0.5 * low, low], [1.0, 0.8, 0.6, 0.25])
        for side in (-1.0, 1.0):
            leaves = along_sacrum(size, length - _ROOT_RISE_MM, canal, side * 0.55 * across)
            bends = along_sacrum(size, length - 2.0, 0.35 * canal, side * 0.95 * across)
            opens = along_sacrum(size, length, front + 8.0, side * (across + 2.0))
            behind = along_sacrum(size, length + 2.0, canal - 28.0, side * across)
            for start, stop, r0, r1 in (
                (leaves, bends, 0.6 * radius, 0.8 * radius),
                (bends, opens, 0.8 * radius, 1.15 * radius),
                (bends, behind, 0.7 * radius, 0.6 * radius),
            ):
                bar = elliptic_capsule(start, stop, [0.31, 0.2, 0.95], r0, r0, taper=r1 / r0 - 1)
                parts.append(Primitive(bar.value, bar.lower, bar.upper, 1.5, True, bar.from_shape))
    return parts


def pelvic_sacrum_shape(size: PelvicSacrumSize, frame_to_world: FloatArray) -> Shape:
    """Return the sacrum with its crest, canal and foramina."""
    low, b = size.length, size.half_depth
    crest = elliptic_capsule(
        along_sacrum(size, 0.08 * low, -(b + 20.0)), along_sacrum(size, 0.60 * low, -(0.6 * b + 15.0)),
        [0.0, 1.0, 0.0], 2.8, 6.0, fillet_mm=4.0,
    )  # fmt: skip
    return Shape((_plate(size), crest, _canal(size), *_tunnels(size)), frame_to_world)
