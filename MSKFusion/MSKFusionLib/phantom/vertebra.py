"""One lumbar vertebra (or T12) as an implicit shape, in its own frame.

Frame: origin in the middle of the body, x right, y anterior, z superior, millimetres. Proportions after Panjabi et
al. 1992 (doi 10.1097/00007632-199203000-00010) and Zindrick et al. 1987 (doi 10.1097/00007632-198703000-00012).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..frames import FloatArray
from .shapes import CAP_MM, Array, Primitive, Shape, elliptic_capsule, smooth_intersection

#: Position of each level on the curves below.
_INDEX = {"T12": 0.0, "L1": 1.0, "L2": 2.0, "L3": 3.0, "L4": 4.0, "L5": 5.0}
_LEVELS = np.arange(6.0)


@dataclass(frozen=True)
class VertebraSize:
    """The measures of one vertebra in mm (half: from the middle outwards).

    Parameters
    ----------
    endplate_wedge_mm
        By how much the body is higher in front than behind.
    fracture_loss
        Share of the anterior height that a wedge fracture took.
    pedicle_width_mm, pedicle_height_mm
        Of the bar that makes the pedicle, before it is joined to its neighbours; left and right.
    facet_x_mm
        Distance from the midline of the joint with the vertebra below.
    facet_angle_deg
        Between that joint and the sagittal plane.
    facet_above_x_mm, facet_above_angle_deg
        The same of the joint with the vertebra above.
    """

    level: str
    half_width: float
    half_depth: float
    height: float
    endplate_wedge_mm: float
    endplate_concavity_mm: float
    waist: float
    canal_half_width: float
    canal_depth: float
    pedicle_width_mm: tuple[float, float]
    pedicle_height_mm: float
    pedicle_angle_deg: float
    facet_x_mm: float
    facet_angle_deg: float
    transverse_half_span: float
    spinous_length: float
    spinous_half_height: float
    spinous_lean_mm: float
    facet_above_x_mm: float = 10.8
    facet_above_angle_deg: float = 18.0
    fracture_loss: float = 0.0

    @property
    def canal_centre_y(self) -> float:
        """Where the middle of the canal lies behind the middle of the body."""
        return -(self.half_depth + 0.5 * self.canal_depth - 1.0)

    @property
    def pedicle_z(self) -> float:
        """Height of the pedicles' middle."""
        return 0.5 * self.height - 0.5 * self.pedicle_height_mm - 0.6

    def pedicle_x(self, side: int) -> float:
        """Distance from the midline of a pedicle's middle (side -1 left, +1 right)."""
        return self.canal_half_width + 0.5 * self.pedicle_width_mm[(side + 1) // 2]

    def top_z(self, y: Array | float) -> Array | float:
        """Height of the rim plane of the upper endplate at depth y."""
        front = (y + self.half_depth) / (2 * self.half_depth)
        tilt = 0.25 * self.endplate_wedge_mm * (y / self.half_depth)
        return 0.5 * self.height + tilt - self.fracture_loss * self.height * np.maximum(front, 0.0)

    def bottom_z(self, y: Array | float) -> Array | float:
        """Height of the rim plane of the lower endplate at depth y."""
        return -0.5 * self.height - 0.25 * self.endplate_wedge_mm * (y / self.half_depth)


def draw_size(level: str, scale: float, rng: np.random.Generator) -> VertebraSize:
    """Draw the measures of a level for a patient of a given size (1: average)."""
    at = _INDEX[level]

    def curve(values: list[float], spread: float, scaled: bool = True) -> float:
        return float(np.interp(at, _LEVELS, values) * (scale if scaled else 1.0) * (1 + spread * rng.standard_normal()))

    width = curve([7.6, 8.4, 8.8, 10.2, 12.4, 15.6], 0.05)
    asymmetry = 0.03 * rng.standard_normal()
    return VertebraSize(
        level=level,
        half_width=curve([20.5, 21.2, 22.0, 23.0, 24.2, 25.4], 0.02),
        half_depth=curve([15.2, 15.8, 16.3, 16.8, 17.2, 17.3], 0.02),
        height=curve([25.0, 26.0, 26.8, 27.2, 27.4, 27.2], 0.02),
        endplate_wedge_mm=curve([-1.2, -0.8, 0.2, 0.8, 1.6, 3.6], 0.15),
        endplate_concavity_mm=curve([1.6, 1.8, 2.0, 2.2, 2.2, 2.0], 0.15),
        waist=curve([0.10, 0.11, 0.12, 0.12, 0.11, 0.10], 0.08, scaled=False),
        canal_half_width=curve([10.6, 11.0, 11.3, 11.6, 12.2, 13.4], 0.025),
        canal_depth=curve([15.6, 15.8, 15.6, 15.4, 15.8, 16.6], 0.025),
        pedicle_width_mm=(width * (1 + asymmetry), width * (1 - asymmetry)),
        pedicle_height_mm=curve([15.4, 15.2, 15.0, 14.8, 14.4, 14.0], 0.03),
        pedicle_angle_deg=curve([4.0, 8.0, 10.0, 13.0, 17.0, 25.0], 0.08, scaled=False),
        facet_x_mm=curve([11.5, 13.2, 14.2, 16.0, 18.8, 22.0], 0.03),
        facet_angle_deg=curve([20.0, 26.0, 30.0, 37.0, 45.0, 52.0], 0.08, scaled=False),
        transverse_half_span=curve([27.0, 36.0, 42.0, 47.0, 45.0, 46.0], 0.03),
        spinous_length=curve([25.0, 28.0, 29.5, 30.0, 27.0, 21.0], 0.04),
        spinous_half_height=curve([8.0, 9.4, 10.0, 10.0, 8.8, 7.0], 0.04),
        spinous_lean_mm=curve([7.0, 4.0, 4.0, 4.0, 4.0, 4.5], 0.10),
    )


def with_pedicle_width(size: VertebraSize, left_mm: float, right_mm: float) -> VertebraSize:
    """Return the measures with other pedicle widths."""
    return replace(size, pedicle_width_mm=(left_mm, right_mm))


def body(size: VertebraSize) -> Primitive:
    """Return the vertebral body: waisted, a shallow groove behind, concave endplates, a rim of small radius."""
    a, b, h = size.half_width, size.half_depth, size.height

    def value(x: Array, y: Array, z: Array) -> Array:
        w = 1 - size.waist * (1 - np.clip(2 * z / h, -1, 1) ** 2)
        groove = 2.2 * np.exp(-((x / (0.45 * a)) ** 2)) * np.clip(-y / (0.5 * b), 0, 1)
        ax, ay = np.abs(x) / a, np.abs(y - groove) / b
        # Superellipse of power 2.5, without the slow general power on every term.
        q = (ax * ax * np.sqrt(ax) + ay * ay * np.sqrt(ay) + 1e-8) ** 0.4
        side = (w - q) * (b + (a - b) * ax / (ax + ay + 1e-3))
        dish = size.endplate_concavity_mm * np.exp(-1.7 * ((x / a) ** 2 + ((y + 1.5) / b) ** 2))
        caps = np.minimum(size.top_z(y) - dish - z, z - size.bottom_z(y) - dish)
        return smooth_intersection(side, caps, 2.2)

    reach = np.array([a, b + 2.5, 0.5 * h + 0.5 * abs(size.endplate_wedge_mm)]) + CAP_MM + 2.0
    return Primitive(value, -reach, reach, 2.5)


def canal(size: VertebraSize) -> Primitive:
    """Return the bony canal at this level: a rounded triangle, wide in front, cut out of everything."""
    w, d, yc = size.canal_half_width, 0.5 * size.canal_depth, size.canal_centre_y

    def value(x: Array, y: Array, z: Array) -> Array:
        v = (y - yc) / d
        half = w * (0.90 + 0.16 * np.clip(v, -1.2, 1.0))
        q = np.sqrt((x / half) ** 2 + v * v + 1e-6)
        g = np.sqrt((x / half**2) ** 2 + (v / d) ** 2 + 1e-6 / d**2)
        return (1 - q) * q / g

    reach = np.array([1.1 * w, d, 0.9 * size.height]) + [CAP_MM, CAP_MM, 0.0]
    centre = np.array([0.0, yc, -2.0])
    return Primitive(value, centre - reach, centre + reach, 1.5, cuts=True)


def pedicle_line(size: VertebraSize, side: int) -> tuple[FloatArray, FloatArray]:
    """Return the middle of the bar that makes a pedicle, and its direction (forwards and inwards)."""
    angle = np.radians(size.pedicle_angle_deg)
    middle = np.array([side * size.pedicle_x(side), -(size.half_depth + 3.5), size.pedicle_z])
    return middle, np.array([-side * np.sin(angle), np.cos(angle), 0.0])


def _facet_axes(side: int, angle_deg: float) -> tuple[FloatArray, FloatArray]:
    """Return the joint's normal (outwards and forwards) and its direction within the axial plane."""
    t = np.radians(angle_deg)
    return np.array([side * np.cos(t), np.sin(t), 0.0]), np.array([side * np.sin(t), -np.cos(t), 0.0])


def joint_centre(size: VertebraSize, side: int) -> FloatArray:
    """Return the middle of the joint with the vertebra below, in this vertebra's frame."""
    return np.array([side * size.facet_x_mm, -(size.half_depth + size.canal_depth - 1.0), -0.5 * size.height - 4.0])


def inferior_process(size: VertebraSize, side: int) -> Primitive:
    """Return one inferior articular process: the convex half of the joint with the vertebra below."""
    normal, tangent = _facet_axes(side, size.facet_angle_deg)
    low = joint_centre(size, side) - 4.4 * normal
    start = low + [0.0, 0.0, 0.40 * size.height + 4.0]
    return elliptic_capsule(start, low - [0.0, 0.0, 4.0], tangent, 4.4, 6.0, taper=-0.06, fillet_mm=3.0)


def superior_processes(size: VertebraSize) -> list[Primitive]:
    """Return both superior articular processes, before the vertebra above shapes the joint."""
    parts = []
    base_y = size.half_depth + size.canal_depth
    for side in (-1, 1):
        normal, tangent = _facet_axes(side, size.facet_above_angle_deg)
        joint = np.array([side * size.facet_above_x_mm, -(base_y - 1.0), 0.5 * size.height + 4.0])
        top = joint + 4.6 * normal + [0.0, -1.0, 0.0]
        middle, forward = pedicle_line(size, side)
        root = middle - 8.0 * forward - [0.0, 0.0, 4.0]
        root[0] = 0.5 * (root[0] + top[0])
        parts.append(elliptic_capsule(root, top, tangent, 5.0, 7.6, taper=-0.08))
    return parts


def transverse_line(size: VertebraSize, side: int) -> tuple[FloatArray, FloatArray]:
    """Return root and end of a transverse process's axis: swept back, except at L5, where it points to the sacrum."""
    sweep, rise = (5.0, 1.0) if size.level == "L5" else (9.0, 2.0)
    root = pedicle_line(size, side)[0]
    root = np.array([root[0] + side * 4.0, -(size.half_depth + 9.0), size.pedicle_z - 2.5])
    return root, np.array([side * (size.transverse_half_span - 3.0), root[1] - sweep, root[2] + rise])


def spinous_line(size: VertebraSize) -> tuple[FloatArray, FloatArray]:
    """Return root and end of the spinous process's axis."""
    base, z = size.half_depth + size.canal_depth, -0.34 * size.height
    stop = np.array([0.0, -(base + 1.0 + size.spinous_length), z - size.spinous_lean_mm])
    return np.array([0.0, -(base + 5.0), z]), stop


def lamina_line(size: VertebraSize) -> tuple[FloatArray, FloatArray, float]:
    """Return the outer and the inner end of the right lamina's axis, and how thick it is from there forwards (mm)."""
    b, d, h = size.half_depth, size.canal_depth, size.height
    outer = np.array([0.84 * size.facet_x_mm, -(b + d - 0.6), -0.10 * h])
    return outer, np.array([1.2, -(b + d + 7.0), -0.32 * h]), 3.3


def _side_parts(size: VertebraSize, side: int) -> list[Primitive]:
    b, h = size.half_depth, size.height
    d = size.canal_depth
    width = size.pedicle_width_mm[(side + 1) // 2]
    middle, forward = pedicle_line(size, side)
    pillar = middle - 9.0 * forward
    xp, zp = abs(float(pillar[0])), size.pedicle_z
    up = [0.0, 0.0, 1.0]
    bar = elliptic_capsule(
        middle - 8.0 * forward, middle + 7.0 * forward, up, 0.5 * width, 0.5 * size.pedicle_height_mm,
        waist=0.12, waist_at=8.0 / 15.0, fillet_mm=2.0,
    )  # fmt: skip
    pars = elliptic_capsule(
        [side * 0.97 * xp, -(b + 12.0), zp - 2.0], [side * (size.facet_x_mm - 2.0), -(b + d + 0.8), -0.32 * h],
        [side * 1.0, 0.7, 0.0], 4.2, 5.2, fillet_mm=3.0,
    )  # fmt: skip
    start, stop, radius = lamina_line(size)
    mirror = np.array([side, 1.0, 1.0])
    lamina = elliptic_capsule(
        mirror * start, mirror * stop, [0.0, 0.30, 1.0], radius, 0.34 * h, taper=-0.06, fillet_mm=3.0
    )
    thick, high = (4.6, 7.0) if size.level == "L5" else (3.6, 5.6)
    transverse = elliptic_capsule(*transverse_line(size, side), up, thick, high, taper=-0.30, fillet_mm=3.5)
    return [bar, pars, lamina, inferior_process(size, side), transverse]


def vertebra_shape(size: VertebraSize, frame_to_world: FloatArray) -> Shape:
    """Return the whole vertebra, its canal open; the joints are cut later, by the vertebra above."""
    sides = [p for side in (-1, 1) for p in _side_parts(size, side)]
    return Shape((body(size), *superior_processes(size), *sides, *_spinous(size), canal(size)), frame_to_world)


def _spinous(size: VertebraSize) -> tuple[Primitive, Primitive]:
    """Return the spinous process: a plate, and the swelling along its lower edge towards the tip."""
    start, stop = spinous_line(size)
    half, up = size.spinous_half_height, [0.0, 0.0, 1.0]
    plate = elliptic_capsule(start, stop, up, 3.0, half, taper=-0.08, fillet_mm=3.5)
    drop = np.array([0.0, -0.5, -0.55 * half])
    bulb = elliptic_capsule(0.5 * (start + stop) + drop, stop + drop, up, 2.8, 4.0, taper=0.5, fillet_mm=4.0)
    return plate, bulb
