"""K-wires that a guide leads: given one by one, or as a row of parallel or converging ones on the surface of a bone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import FloatArray, as_point, rotation_about, unit

from ..plan import Check, GuideScrew
from .checks import point
from .field import Distance
from .options import GuideOptions
from .sleeve import Sleeve, require_apart

#: A wire's way into the bone is looked for this far on both sides of where it is asked for, in such steps.
_LOOK_MM, _STEP_MM = 80.0, 0.25
#: Wires turned against each other by less than this are parallel: the guide comes off over them.
PARALLEL_DEG = 0.5
#: More wires, or longer ones, are wrong numbers.
MOST_PINS, LONGEST_MM = 20, 500.0
#: A point that is marked for a wire lies no farther off the bone's surface than this.
MARKED_OFF_MM = 5.0
#: The bone's surface is asked for its direction at so many places of a row; its mean is no direction where they agree less.
_NORMALS, _LEAST_AGREEMENT = 9, 0.5
#: So much room two wires keep in the bone, and a wire to a bone that it is not for.
APART_MM = 1.0


def row_of_pins(
    bone: Distance,
    at_ras: Sequence[float] | FloatArray,
    outward_ras: Sequence[float] | FloatArray,
    along_ras: Sequence[float] | FloatArray,
    *,
    count: int = 2,
    spacing_mm: float = 15.0,
    converge_deg: float = 0.0,
    depth_mm: float = 30.0,
) -> tuple[GuideScrew, ...]:
    """Return wires in a row, each turned against the one before it by the same angle.

    Parameters
    ----------
    at_ras
        The middle of the row, RAS mm: all wires cross the plane through it across `outward_ras`, `spacing_mm` apart.
    outward_ras
        From the bone to the surgeon; the wires' axes lie about it.
    along_ras
        The way the row runs; what of it lies along `outward_ras` does not count.
    converge_deg
        Angle from wire to wire: positive brings their tips together, 0 leaves them parallel.
    depth_mm
        From each wire's entry in the bone to its tip.

    Raises
    ------
    InputError
        For a number that makes no row.
    GeometryError
        When a wire misses the bone.
    """
    at, out, along = (np.asarray(x, dtype=np.float64) for x in (at_ras, outward_ras, along_ras))
    if not np.isfinite([*at, *out, *along, spacing_mm, converge_deg, depth_mm]).all():
        raise InputError("a place, direction or length of the wires is not a number", where="pin guide")
    if not 1 <= count <= MOST_PINS or spacing_mm <= 0 or not 0 < depth_mm <= LONGEST_MM or abs(converge_deg) > 60:
        raise InputError(
            "these are no wires",
            f"Give 1 to {MOST_PINS}, a spacing above 0, a depth up to {LONGEST_MM:.0f} mm, and an angle of at most 60 degrees.",
            where="pin guide",
        )
    across = np.cross(out, along)
    if np.linalg.norm(out) < 1e-9 or np.linalg.norm(across) < 1e-6 * np.linalg.norm(along) or not along.any():
        raise InputError("the row runs along the wires themselves", "Give another direction.", where="pin guide")
    w, n = unit(out), unit(across)
    u = np.cross(n, w)
    found = []
    for k in range(count):
        step = k - (count - 1) / 2
        # About n a positive turn takes w towards u: the outer ends go apart, the tips come together.
        axis = rotation_about(n, step * converge_deg) @ w
        place = at + step * spacing_mm * u
        found.append(pin_through(bone, f"wire {k + 1}", place, place - axis, depth_mm))
    return tuple(found)


def row_between(
    bone: Distance,
    first_ras: Sequence[float] | FloatArray,
    last_ras: Sequence[float] | FloatArray,
    *,
    count: int = 2,
    converge_deg: float = 0.0,
    depth_mm: float = 30.0,
    outward_ras: Sequence[float] | FloatArray | None = None,
) -> tuple[GuideScrew, ...]:
    """Return a row of wires (`row_of_pins`) whose first and last one enter where two points were marked on a bone.

    Parameters
    ----------
    first_ras, last_ras
        On the bone's surface or near it, RAS mm; a single wire goes in midway.
    outward_ras
        From the bone to the surgeon; None: square to the bone, by the mean of its surface's directions at the wires.

    Raises
    ------
    InputError
        For a number that makes no row, or where the row runs along the wires.
    GeometryError
        When a point lies off the bone, the bone turns away between them, or a wire misses it.
    """
    ends = np.array([first_ras, last_ras], dtype=np.float64)
    if not np.isfinite(ends).all() or ends.shape != (2, 3):
        raise InputError("the row does not run between two points", where="pin guide")
    off = np.abs(bone.distance_mm(ends))
    if off.max() > MARKED_OFF_MM:
        raise GeometryError(
            f"the {('first', 'last')[int(off.argmax())]} point lies {off.max():.1f} mm off the bone's surface",
            "Put it on the bone, or choose the bone that it is on.",
            where="pin guide",
        )
    along = ends[1] - ends[0]
    length = float(np.linalg.norm(along))
    if length < 1.0:
        raise InputError(
            "the two points are the same", "Put them where the first and the last wire go in.", "pin guide"
        )
    if outward_ras is None:
        normals = bone.distance_and_gradient(ends[0] + np.linspace(0.0, 1.0, _NORMALS)[:, None] * along)[1]
        mean = normals.mean(axis=0)
        if np.linalg.norm(mean) < _LEAST_AGREEMENT:
            raise GeometryError(
                "the bone faces several ways between the two points", "Say from where the wires come.", "pin guide"
            )
        outward_ras = mean - (mean @ along) / length**2 * along
    out = np.asarray(outward_ras, dtype=np.float64)
    # Wires that come aslant of the row pass both points, too: their distances are counted across them.
    across = along - (along @ out) / max(float(out @ out), 1e-12) * out
    spacing = float(np.linalg.norm(across)) / max(count - 1, 1)
    middle = ends.mean(axis=0)
    return row_of_pins(
        bone, middle, out, along, count=count, spacing_mm=spacing, converge_deg=converge_deg, depth_mm=depth_mm
    )


def pin_through(
    bone: Distance,
    name: str,
    outer_ras: Sequence[float] | FloatArray,
    inner_ras: Sequence[float] | FloatArray,
    depth_mm: float | None = None,
) -> GuideScrew:
    """Return a wire on the line from an outer to an inner point, its entry where the line leaves the bone outward.

    Parameters
    ----------
    depth_mm
        From the entry to the tip; None: the tip is the inner point.

    Raises
    ------
    GeometryError
        When the line misses the bone, or the bone's surface is not met before the tip.
    """
    outer, inner = np.asarray(outer_ras, dtype=np.float64), np.asarray(inner_ras, dtype=np.float64)
    if not np.isfinite([*outer, *inner]).all() or np.linalg.norm(outer - inner) < 1e-6:
        raise GeometryError("the wire is not two points apart", where=name)
    axis = unit(outer - inner)
    along = np.arange(-_LOOK_MM, _LOOK_MM, _STEP_MM)
    d = bone.distance_mm(outer + along[:, None] * axis)
    leaves = np.flatnonzero((d[:-1] < 0) & (d[1:] >= 0))
    if not len(leaves):
        raise GeometryError(
            f"the wire misses the bone by {max(0.0, float(d.min())):.1f} mm", "Move it, or turn it.", where=name
        )
    # A line may leave a bone more than once: the place nearest to the outer point is meant.
    k = int(leaves[np.abs(along[leaves]).argmin()])
    low, high = along[k], along[k + 1]
    for _ in range(30):
        middle = (low + high) / 2
        inside = bone.distance_mm((outer + middle * axis)[None])[0] < 0
        low, high = (middle, high) if inside else (low, middle)
    entry = outer + (low + high) / 2 * axis
    tip = inner if depth_mm is None else entry - depth_mm * axis
    if (entry - tip) @ axis < 1.0:
        raise GeometryError("the wire ends before it is in the bone", "Give a deeper inner point.", where=name)
    return GuideScrew(name, as_point(entry), as_point(tip))


def sleeves_of_pins(pins: Sequence[GuideScrew], options: GuideOptions) -> tuple[Sleeve, ...]:
    """Return the sleeves of wires.

    Raises
    ------
    InputError
        For no wires, two of one name, or one without a length.
    ProcessingError
        When two sleeves run into each other.
    """
    if not 1 <= len(pins) <= MOST_PINS:
        raise InputError(
            f"a pin guide needs at least one wire, and takes {MOST_PINS}", "Give so many.", where="pin guide"
        )
    if len({p.name for p in pins}) < len(pins):
        raise InputError("two wires have the same name", where="pin guide")
    for pin in pins:
        ends = np.array([pin.entry_ras, pin.tip_ras], dtype=np.float64)
        if not np.isfinite(ends).all() or not 1.0 <= np.linalg.norm(ends[0] - ends[1]) <= LONGEST_MM:
            raise InputError(f"entry and tip are not 1 to {LONGEST_MM:.0f} mm apart", where=pin.name)
    sleeves = tuple(
        Sleeve.on_axis(
            p.name,
            p.name,
            p.entry_ras,
            p.tip_ras,
            options.bore_diameter_mm,
            options.sleeve_diameter_mm,
            options.sleeve_length_mm,
        )
        for p in pins
    )
    require_apart(sleeves)
    return sleeves


def widest_angle_deg(pins: Sequence[GuideScrew]) -> float:
    """Return the greatest angle between the axes of two wires."""
    axes = np.array([unit(np.subtract(p.entry_ras, p.tip_ras)) for p in pins])
    return float(np.degrees(np.arccos(np.clip(axes @ axes.T, -1.0, 1.0)).max()))


def pin_checks(pins: Sequence[GuideScrew], neighbours: Sequence[Distance], diameter_mm: float) -> tuple[Check, ...]:
    """Return whether the wires keep off each other in the bone, and off bones that they are not for."""
    lines = [_line(p) for p in pins]
    checks = []
    least, at, who = np.inf, None, ""
    for n, one in enumerate(lines):
        for m in range(n + 1, len(lines)):
            away = np.linalg.norm(one[:, None] - lines[m][None], axis=2)
            room = float(away.min()) - diameter_mm
            if room < least:
                least, at, who = room, one[int(away.min(axis=1).argmin())], f"{pins[n].name} and {pins[m].name}"
    if at is not None:
        good = least >= APART_MM
        words = f"{who} keep {least:.1f} mm apart in the bone"
        if least < 0:
            words = f"{who} meet in the bone"
        checks.append(Check("wires apart", good, least, APART_MM, "mm", words, point(at)))
    for pin, line in zip(pins, lines, strict=True):
        for other in neighbours:
            d = other.distance_mm(line) - diameter_mm / 2
            k = int(d.argmin())
            good = bool(d[k] >= APART_MM)
            words = f"{pin.name}: {d[k]:.1f} mm from a neighbouring bone, down to its tip"
            checks.append(
                Check(f"wire to neighbour {pin.name}", good, float(d[k]), APART_MM, "mm", words, point(line[k]))
            )
    return tuple(checks)


def out_of_bone(pin: GuideScrew, bone: Distance) -> str:
    """Return words where a wire's tip stands out of the bone, or it leaves the bone on its way; empty where neither."""
    line = _line(pin)
    d = bone.distance_mm(line)
    inside = d < 0
    if inside[1:].all():
        return ""
    depth = np.linalg.norm(line - line[0], axis=1)
    if not inside[-1]:
        k = int(np.flatnonzero(inside).max(initial=0))
        far = float(depth[k] + (depth[k + 1] - depth[k]) * np.clip(d[k] / (d[k] - d[k + 1] - 1e-12), 0.0, 1.0))
        return f"{pin.name} leaves the bone {far:.1f} mm deep; its tip stands {depth[-1] - far:.1f} mm out of it"
    return f"{pin.name} leaves the bone and enters it again on its way"


def _line(pin: GuideScrew) -> FloatArray:
    entry, tip = np.asarray(pin.entry_ras, dtype=np.float64), np.asarray(pin.tip_ras, dtype=np.float64)
    n = max(2, int(np.linalg.norm(tip - entry) / 0.25) + 1)
    return np.asarray(entry + np.linspace(0.0, 1.0, n)[:, None] * (tip - entry))
