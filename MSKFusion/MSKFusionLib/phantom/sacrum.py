"""The sacrum and the hip bones beside it, as implicit shapes.

The sacrum's frame: origin in the middle of the S1 body, x right, y anterior, z along the normal of its endplate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..frames import FloatArray
from .shapes import CAP_MM, Array, Primitive, Shape, elliptic_capsule, smooth_intersection
from .vertebra import VertebraSize, superior_processes


@dataclass(frozen=True)
class SacrumSize:
    """The measures of the sacrum in mm; `top` holds those of its first vertebra."""

    top: VertebraSize
    wing_half_width: float
    length: float
    bend_radius: float


def draw_sacrum(top: VertebraSize, scale: float, rng: np.random.Generator) -> SacrumSize:
    """Draw the measures of a sacrum that fits the last lumbar vertebra."""
    return SacrumSize(
        top,
        54.0 * scale * (1 + 0.03 * rng.standard_normal()),
        104.0 * scale * (1 + 0.04 * rng.standard_normal()),
        92.0 * scale * (1 + 0.06 * rng.standard_normal()),
    )


def _bent(size: SacrumSize, y: Array, z: Array) -> tuple[Array, Array]:
    """Return (depth, length) along the curve of the sacrum: depth grows forwards, length downwards from S1."""
    r = size.bend_radius
    angle = np.arctan2(-z, r - y)
    return r - np.sqrt((r - y) ** 2 + z * z), r * angle


def _along(size: SacrumSize, length: float, depth: float = 0.0, x: float = 0.0) -> FloatArray:
    """Return the point of the frame at a bent position."""
    r = size.bend_radius
    t = length / r
    return np.array([x, r - (r - depth) * np.cos(t), -(r - depth) * np.sin(t)])


def _plate(size: SacrumSize) -> Primitive:
    a, b, h = size.top.half_width, size.top.half_depth, size.top.height
    low = size.length - 0.5 * h
    stations = [-20.0, 0.0, 0.30 * low, 0.50 * low, 0.75 * low, low]
    wing = [0.97, 1.0, 0.92, 0.76, 0.42, 0.22]
    front = [b, b, 0.66 * b, 0.50 * b, 0.36 * b, 0.25 * b]
    back = [b + 20.0, b + 20.0, 0.8 * b + 17.0, 0.7 * b + 14.0, 0.5 * b + 9.0, 0.3 * b + 5.0]

    def value(x: Array, y: Array, z: Array) -> Array:
        depth, s = _bent(size, y, z)
        ax = np.abs(x)
        half = size.wing_half_width * np.interp(s, stations, wing).astype(x.dtype)
        out = np.clip((ax - 0.75 * a) / 14.0, 0.0, 1.0)  # 0 at the bodies, 1 in the wings
        out = out * out * (3 - 2 * out)
        fade = np.clip(1.0 - s / (0.6 * low), 0.0, 1.0)
        side = half - ax
        fore = np.interp(s, stations, front).astype(x.dtype) - (9.0 * out + 0.10 * np.maximum(ax - a, 0)) * fade - depth
        aft = depth + np.interp(s, stations, back).astype(x.dtype) - 0.16 * ax - 3.0 * out
        behind = np.clip((-y - b - 1.0) / 6.0, 0.0, 1.0)
        top = (
            size.top.top_z(np.clip(y, -b, b))
            - 5.0 * out
            - 0.10 * np.maximum(ax - a, 0.0)
            - 13.0 * behind * (1 - out)
            - z
        )
        f = smooth_intersection(smooth_intersection(side, fore, 8.0), aft, 6.0)
        return smooth_intersection(smooth_intersection(f, top, 2.5), low - s, 4.0)

    tip = _along(size, low, 0.0)
    lower = np.array([-size.wing_half_width, -(b + 24.0), tip[2] - 6.0]) - CAP_MM
    upper = np.array([size.wing_half_width, max(b, tip[1] + 0.3 * b) + 2.0, 0.5 * h + 3.0]) + CAP_MM
    return Primitive(value, lower, upper)


def sacral_canal(size: SacrumSize) -> Primitive:
    """Return the canal that is cut out of the sacrum, in its frame."""
    low = size.length - 0.5 * size.top.height
    stations = [-20.0, 0.0, 0.5 * low, 0.85 * low, low]
    w0, d0 = size.top.canal_half_width, 0.5 * size.top.canal_depth
    y0 = size.top.canal_centre_y

    def value(x: Array, y: Array, z: Array) -> Array:
        depth, s = _bent(size, y, z)
        w = np.interp(s, stations, [w0, w0, 0.62 * w0, 0.35 * w0, 0.30 * w0]).astype(x.dtype)
        d = np.interp(s, stations, [d0, 0.95 * d0, 0.50 * d0, 0.32 * d0, 0.30 * d0]).astype(x.dtype)
        c = np.interp(s, stations, [y0, y0, 0.62 * y0, 0.40 * y0, 0.34 * y0]).astype(x.dtype)
        v = (depth - c) / d
        q = np.sqrt((x / w) ** 2 + v * v + 1e-6)
        return (1 - q) * q / np.sqrt((x / w**2) ** 2 + (v / d) ** 2 + 1e-4)

    lower = np.array([-w0 - CAP_MM, 1.6 * y0 - 20.0, -size.length])
    return Primitive(value, lower, np.array([w0 + CAP_MM, size.length * 0.4, 40.0]), 1.5, cuts=True)


def foramen_positions(size: SacrumSize) -> list[tuple[float, float, float]]:
    """Return (length along the sacrum, distance from the midline, radius) of its four pairs of openings."""
    low = size.length - 0.5 * size.top.height
    a = size.top.half_width
    return [
        (f * low, g * a, r) for f, g, r in ((0.19, 0.90, 5.2), (0.42, 0.76, 4.6), (0.62, 0.64, 3.8), (0.80, 0.52, 2.8))
    ]


def _foramina(size: SacrumSize) -> list[Primitive]:
    parts = []
    for length, across, radius in foramen_positions(size):
        centre = _along(size, length)

        def value(
            x: Array, y: Array, z: Array, length: float = length, across: float = across, radius: float = radius
        ) -> Array:
            _, s = _bent(size, y, z)
            return radius - np.sqrt((np.abs(x) - across) ** 2 + (s - length) ** 2 + 1e-6)

        reach = np.array([across + radius + CAP_MM, 45.0, radius + 32.0])
        parts.append(Primitive(value, centre - reach, centre + reach, 2.0, cuts=True))
    return parts


def sacrum_shape(size: SacrumSize, frame_to_world: FloatArray) -> Shape:
    """Return the sacrum with its canal, its openings and the joints' halves for L5."""
    low = size.length - 0.5 * size.top.height
    crest = elliptic_capsule(
        _along(size, 0.10 * low, -(size.top.half_depth + 20.0)), _along(size, 0.62 * low, -(0.6 * size.top.half_depth + 15.0)),
        [0.0, 1.0, 0.0], 2.8, 6.0, fillet_mm=4.0,
    )  # fmt: skip
    parts = (_plate(size), *superior_processes(size.top), crest, sacral_canal(size), *_foramina(size))
    return Shape(parts, frame_to_world)
