"""A whole hip bone of a generated pelvis: wing, sciatic buttress, acetabulum, rami, ischium.

Built in the pelvis's own frame (x right, y anterior, z superior, origin in the middle of the S1 body, the anterior pelvic
plane upright) on landmarks of an adult; the left one is the mirror image with its own small deviations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..frames import FloatArray, unit
from .shapes import CAP_MM, Array, Clearance, Primitive, Shape, ellipsoid, elliptic_capsule, smooth_intersection, tube

#: Landmarks (lateral, anterior, superior) in mm. Distance of the hip centres 176 mm, of the ASIS 236 mm, of the PSIS 84 mm;
#: hip axis 35 mm before and 96 mm below the S1 body (pelvic tilt 13 degrees, radius 110 mm: Legaye et al. 1998,
#: doi 10.1007/s005860050038); symphysis and ASIS in one coronal plane (anterior pelvic plane).
LANDMARKS: dict[str, tuple[float, float, float]] = {
    "hip_centre": (88.0, 35.0, -96.0),
    "asis": (118.0, 70.0, -20.0),
    "aiis": (101.0, 60.0, -55.0),
    "psis": (42.0, -52.0, -10.0),
    "symphysis": (9.0, 70.0, -112.0),
    "tuberosity": (64.0, 2.0, -145.0),
}
_OPENING = (0.75, 0.30, -0.55)
_JOINT_GAP_MM = 2.2


@dataclass(frozen=True)
class HipBoneSize:
    """Measures of one hip bone in mm.

    Parameters
    ----------
    side
        -1 left, 1 right.
    landmarks
        (3,) each in the pelvis's frame, lateral positive on either side.
    buttress
        Half thickness and half height of the bar from AIIS to PSIS.
    ramus
        Half width of the superior ramus at its narrowest.
    head_radius
        Of the joint's hollow.
    wing
        Half thickness of the wing's middle.
    """

    side: int
    scale: float
    landmarks: dict[str, FloatArray]
    buttress: tuple[float, float]
    ramus: float
    head_radius: float
    wing: float


def draw_hip_bones(scale: float, rng: np.random.Generator) -> tuple[HipBoneSize, HipBoneSize]:
    """Draw a left and a right hip bone: alike but for a millimetre or so."""
    shifts = {name: rng.normal(0, 2.0, 3) for name in LANDMARKS}
    thick, high, ramus = 8.0 * (1 + 0.10 * rng.standard_normal()), 12.5 * (1 + 0.06 * rng.standard_normal()), 6.6
    ramus *= 1 + 0.12 * rng.standard_normal()
    head, wing = 25.5 * (1 + 0.04 * rng.standard_normal()), 2.8 * (1 + 0.1 * rng.standard_normal())
    found = []
    for side in (-1, 1):
        marks = {n: scale * (np.array(p) + shifts[n] + rng.normal(0, 0.7, 3)) for n, p in LANDMARKS.items()}
        own = 1 + 0.03 * rng.standard_normal()
        found.append(
            HipBoneSize(side, scale, marks, (scale * thick * own, scale * high * own), scale * ramus * own, scale * head, scale * wing)
        )  # fmt: skip
    return found[0], found[1]


def _wing(size: HipBoneSize) -> Primitive:
    """The iliac wing: a curved sheet over (y, z), thicker at its crest, bounded by crest, notch and front edge."""
    k = size.scale
    side = float(size.side)
    thin = size.wing / k
    psis, aiis, asis = (size.landmarks[n] / k for n in ("psis", "aiis", "asis"))
    # The sheet follows the straight line from PSIS to AIIS; above it flares outwards to the crest.
    slope = (aiis[0] - psis[0]) / (aiis[1] - psis[1])

    def sheet(y: Array, z: Array) -> Array:
        flare = np.clip((y + 20.0) / 60.0, 0.0, 1.0)
        flare = flare * flare * (3 - 2 * flare)
        rise = np.sqrt((z + 25.0) ** 2 + 100.0) * 0.5 + 0.5 * (z + 25.0)  # z + 25 above, 0 below, without an edge
        return np.asarray(psis[0] + slope * (y - psis[1]) + 0.52 * flare * rise)

    crest_y = np.array([-75.0, -58.0, -45.0, -20.0, 0.0, 20.0, 45.0, asis[1], 90.0])
    crest_z = np.array([-40.0, -2.0, 14.0, 33.0, 43.0, 44.0, 28.0, asis[2] + 6.0, -60.0])
    lower_y = np.array([-75.0, -58.0, -45.0, -22.0, -8.0, 10.0, 40.0, 65.0, 90.0])
    lower_z = np.array([10.0, -18.0, -36.0, -42.0, -46.0, -72.0, -72.0, -58.0, -20.0])

    def value(x: Array, y: Array, z: Array) -> Array:
        u, v, w = x * side / k, y / k, z / k
        h = 0.5
        fy = (sheet(v + h, w) - sheet(v - h, w)) / (2 * h)
        fz = (sheet(v, w + h) - sheet(v, w - h)) / (2 * h)
        above = np.interp(v, crest_y, crest_z) - w
        half = thin + 3.5 * np.exp(-((above / 9.0) ** 2)) + 3.5 * np.exp(-(((v + 30.0) / 22.0) ** 2))
        f = half - np.abs(u - sheet(v, w)) / np.sqrt(1 + fy * fy + fz * fz)
        f = smooth_intersection(f, 0.75 * above, 3.0)
        f = smooth_intersection(f, 0.75 * (w - np.interp(v, lower_y, lower_z)), 3.0)
        # The front edge runs from ASIS to AIIS.
        f = smooth_intersection(f, asis[1] + 2.0 - (asis[2] - w) * 0.25 - v, 3.0)
        f = smooth_intersection(f, v - psis[1] + 8.0, 3.0)
        return (k * f).astype(x.dtype)

    low = np.array([20.0, -80.0, -85.0]) * k - CAP_MM
    high = np.array([150.0, 85.0, 55.0]) * k + CAP_MM
    if side < 0:
        low[0], high[0] = -high[0], -low[0]
    return Primitive(value, low, high, 3.0)


def _cut(part: Primitive, radius_mm: float) -> Primitive:
    return Primitive(part.value, part.lower, part.upper, radius_mm, True, part.from_shape)


def hip_bone_shape(size: HipBoneSize, sacrum: Shape, frame_to_world: FloatArray) -> Shape:
    """Return one hip bone; its joint surface follows the sacrum, a joint's width away.

    Parameters
    ----------
    sacrum
        In the same world.
    """
    k, marks = size.scale, size.landmarks

    def at(lateral: float, anterior: float, superior: float) -> FloatArray:
        return np.array([size.side * lateral, anterior, superior]) * k

    def mirrored(point: FloatArray) -> FloatArray:
        return np.asarray(point) * [size.side, 1.0, 1.0]

    hip, aiis, psis, pubis, tuber = (
        mirrored(marks[n]) for n in ("hip_centre", "aiis", "psis", "symphysis", "tuberosity")
    )
    opening = unit(mirrored(np.array(_OPENING)))
    thick, high = size.buttress
    up = np.array([0.0, 0.35, 1.0])
    buttress = elliptic_capsule(aiis, psis, up, thick, high, waist=0.25, waist_at=0.45, fillet_mm=6.0)
    joint = elliptic_capsule(at(61, -1, 4), at(57, -32, -28), [0.0, 0.64, -0.77], 12.5 * k, 14.0 * k, fillet_mm=7.5)
    block = ellipsoid(hip + at(-5, 0, 6), np.array([29.0, 36.0, 40.0]) * k, 8.0)
    brow = hip + at(-18, 25, 19)
    ramus = tube(
        [pubis + at(2, 1, 6), brow, aiis + at(-4, -3, -4)], [size.ramus, 1.12 * size.ramus, 1.35 * size.ramus], 5.0
    )
    column = tube([at(64, 2, -45), hip + at(-17, -33, -4), tuber + at(1, 0, 6)], np.array([11.0, 11.0, 13.0]) * k, 6.0)
    inferior = tube([tuber + at(-4, 13, -4), pubis + at(5, -7, -10)], np.array([7.5, 6.5]) * k, 4.0)
    spine = tube([hip + at(-26, -38, 0), hip + at(-38, -46, -5)], np.array([5.0, 3.0]) * k, 3.0)
    hollow = (
        _cut(elliptic_capsule(hip, hip + 45.0 * k * opening, [0.1, 0.9, 0.2], size.head_radius, size.head_radius), 2.0),
    )
    parts = (
        _wing(size), buttress, joint, block, *ramus, *column, *inferior, *spine,
        ellipsoid(tuber, np.array([12.0, 18.0, 18.0]) * k, 6.0),
        ellipsoid(pubis, np.array([6.5, 8.0, 15.0]) * k, 4.0),
        *hollow,
    )  # fmt: skip
    return Shape(parts, frame_to_world, (Clearance(sacrum, _JOINT_GAP_MM, 1.5),))


def landmark_ras(size: HipBoneSize, name: str, frame_to_world: ArrayLike) -> FloatArray:
    """Return a landmark (3,) in RAS mm."""
    m = np.asarray(frame_to_world, dtype=float)
    return np.asarray(m[:3, :3] @ (size.landmarks[name] * [size.side, 1.0, 1.0]) + m[:3, 3])
