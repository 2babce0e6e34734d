"""Implicit primitives and how they are joined: every anatomical shape of the generated patient is made of these.

A shape is a function of three coordinate arrays that is positive inside and close to the distance in mm from its
surface. `CAP_MM` is how far outside a primitive is followed: outside its bounding box a primitive counts as -CAP_MM,
so that it is evaluated only where it matters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..frames import FloatArray, invert_rigid, rigid, transform_points, unit

Array = NDArray[np.floating]
#: How far outside its surface a primitive is evaluated; larger than every smoothing radius and gap in use.
CAP_MM = 8.0


def smooth_union(a: Array, b: Array, radius_mm: float) -> Array:
    """Return the union of two shapes with a fillet (polynomial smooth maximum, Quilez 2013)."""
    h = np.maximum(radius_mm - np.abs(a - b), 0.0)
    return np.maximum(a, b) + h * h * (0.25 / radius_mm)


def smooth_intersection(a: Array, b: Array, radius_mm: float) -> Array:
    """Return the intersection of two shapes with a rounded edge."""
    h = np.maximum(radius_mm - np.abs(a - b), 0.0)
    return np.minimum(a, b) - h * h * (0.25 / radius_mm)


@dataclass(frozen=True)
class Primitive:
    """One shape with the box outside of which it counts as -CAP_MM.

    Parameters
    ----------
    value
        Function of (x, y, z) arrays in the frame of the primitive.
    lower, upper
        Corners, in the frame of the shape, of the box that holds all points with a value above -CAP_MM.
    radius_mm
        Fillet with which it is joined to (or cut out of) what is there before it.
    cuts
        True: it is taken away instead of added.
    from_shape
        4x4 from the frame of the shape to that of the primitive; None where they are the same.
    """

    value: Callable[[Array, Array, Array], Array]
    lower: FloatArray
    upper: FloatArray
    radius_mm: float = 2.5
    cuts: bool = False
    from_shape: FloatArray | None = None

    def at(self, x: Array, y: Array, z: Array) -> Array:
        """Return the value at coordinates in the frame of the shape."""
        m = self.from_shape
        if m is None:
            return self.value(x, y, z)
        return self.value(*(r[0] * x + r[1] * y + r[2] * z + r[3] for r in m[:3]))


def elliptic_capsule(
    start: ArrayLike,
    stop: ArrayLike,
    up: ArrayLike,
    radius_mm: float,
    radius_up_mm: float,
    *,
    waist: float = 0.0,
    waist_at: float = 0.5,
    taper: float = 0.0,
    fillet_mm: float = 2.5,
) -> Primitive:
    """Return a rounded bar of elliptic section from `start` to `stop`.

    Parameters
    ----------
    up
        Direction of the section's second axis, made perpendicular to the bar.
    radius_mm, radius_up_mm
        Half widths across and along `up`.
    waist
        By which share the section grows from `waist_at` (0 to 1 along the bar) to a half length away from it.
    taper
        By which share the section grows from start to stop.
    """
    a, b = np.asarray(start, dtype=float), np.asarray(stop, dtype=float)
    ab = b - a
    length2 = float(ab @ ab)
    u = unit(np.asarray(up, dtype=float) - (np.asarray(up, dtype=float) @ ab) / length2 * ab)
    r2, ru2 = radius_mm**2, radius_up_mm**2
    small = min(r2, ru2)
    growth = 1 + 4 * waist * max(waist_at, 1 - waist_at) ** 2 + max(taper, 0.0)

    length = float(np.sqrt(length2))
    # The frame of the bar: s along it from its start, v along u, w across both.
    axes = np.stack([ab / length, u, np.cross(ab / length, u)])
    from_shape = rigid(axes, -axes @ a)

    def value(s: Array, v: Array, w: Array) -> Array:
        end = np.clip(s, 0.0, length)
        beyond = s - end
        across2 = w * w + beyond * beyond
        along2 = v * v
        q = np.sqrt(across2 * (1 / r2) + along2 * (1 / ru2) + 1e-6)
        gradient = np.sqrt(across2 * (1 / r2**2) + along2 * (1 / ru2**2) + 1e-6 / small)
        if waist or taper:
            t = end * (1 / length)
            scale = 1 + taper * t
            if waist:
                scale += (4 * waist) * (t - waist_at) ** 2
            return (scale - q) * q / gradient
        return (1 - q) * q / gradient

    # The rounded ends are ellipsoids with `radius_up_mm` along u and `radius_mm` across it.
    reach = np.sqrt(r2 * (1 - u * u) + ru2 * u * u) * growth + CAP_MM
    return Primitive(value, np.minimum(a, b) - reach, np.maximum(a, b) + reach, fillet_mm, from_shape=from_shape)


def ellipsoid(centre: ArrayLike, radii: ArrayLike, fillet_mm: float = 2.5) -> Primitive:
    """Return an axis-aligned ellipsoid."""
    c, r = np.asarray(centre, dtype=float), np.asarray(radii, dtype=float)

    def value(x: Array, y: Array, z: Array) -> Array:
        dx, dy, dz = (x - c[0]) ** 2, (y - c[1]) ** 2, (z - c[2]) ** 2
        q = np.sqrt(dx / r[0] ** 2 + dy / r[1] ** 2 + dz / r[2] ** 2 + 1e-6)
        g = np.sqrt(dx / r[0] ** 4 + dy / r[1] ** 4 + dz / r[2] ** 4 + 1e-6 / float(r.min()) ** 2)
        return (1 - q) * q / g

    return Primitive(value, c - r - 2 * CAP_MM, c + r + 2 * CAP_MM, fillet_mm)


def tube(points: ArrayLike, radii: ArrayLike, fillet_mm: float = 2.0) -> tuple[Primitive, ...]:
    """Return round bars along a polyline (N, 3) with a radius at each of its points."""
    p, r = np.asarray(points, dtype=float), np.asarray(radii, dtype=float)
    helper = np.array([0.31, 0.95, 0.07])
    return tuple(
        elliptic_capsule(p[i], p[i + 1], helper, r[i], r[i], taper=r[i + 1] / r[i] - 1, fillet_mm=fillet_mm)
        for i in range(len(p) - 1)
    )


@dataclass(frozen=True)
class Clearance:
    """A neighbour that a shape stays away from.

    Parameters
    ----------
    neighbour
        In the same world as the shape.
    gap_mm
        Space between the two.
    radius_mm
        Rounding of the edges that it makes.
    """

    neighbour: Shape
    gap_mm: float
    radius_mm: float = 1.0


@dataclass(frozen=True)
class Shape:
    """Primitives joined in order, in a frame of their own, less the neighbours it stays away from.

    Parameters
    ----------
    frame_to_world
        Rigid 4x4 from the frame of the shape to the patient's RAS.
    """

    parts: tuple[Primitive, ...]
    frame_to_world: FloatArray = field(default_factory=lambda: np.eye(4))
    clearances: tuple[Clearance, ...] = ()

    def moved(self, transform: ArrayLike) -> Shape:
        """Return the same shape, and the hollows its neighbours made, after a rigid 4x4 of the world."""
        m = np.asarray(transform, dtype=float)
        clearances = tuple(replace(c, neighbour=c.neighbour.moved(m)) for c in self.clearances)
        return Shape(self.parts, m @ self.frame_to_world, clearances)

    def value_at(self, points: ArrayLike) -> FloatArray:
        """Return the implicit value at points (..., 3) in the frame of the shape, each part only where it reaches."""
        given = np.asarray(points, dtype=np.float64)
        p = given.reshape(-1, 3)
        out = np.full(len(p), -CAP_MM)
        for part in self.parts:
            near = np.flatnonzero(np.all((p > part.lower) & (p < part.upper), axis=1))
            if not len(near):
                continue
            v = part.at(p[near, 0], p[near, 1], p[near, 2])
            if part.cuts:
                out[near] = smooth_intersection(out[near], -v, part.radius_mm)
            else:
                out[near] = smooth_union(out[near], np.maximum(v, -CAP_MM), part.radius_mm)
        for c in self.clearances:
            near = np.flatnonzero(out > -CAP_MM)
            to_neighbour = invert_rigid(c.neighbour.frame_to_world) @ self.frame_to_world
            v = c.neighbour.value_at(transform_points(to_neighbour, p[near]))
            out[near] = smooth_intersection(out[near], -(v + c.gap_mm), c.radius_mm)
        return out.reshape(given.shape[:-1])

    @property
    def bounds(self) -> tuple[FloatArray, FloatArray]:
        """Corners of the box around all added parts, in the frame of the shape, CAP_MM included."""
        solid = [p for p in self.parts if not p.cuts]
        return np.min([p.lower for p in solid], axis=0), np.max([p.upper for p in solid], axis=0)
