"""Screws of one side as a construct: how a rod would run through their heads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from MSKFusionLib.frames import FloatArray, unit, unit_rows

from ..plan import Construct, Screw
from .measures import rod_deviation_mm

#: The rod lies so far behind the entry, in the screw's head.
ROD_SEAT_MM = 8.0
#: Polyaxial heads turn by about this much to every side; a rod that asks for more has to be bent. Ours.
HEAD_TURN_DEG = 25.0
#: A head so far off the arc of the others makes the rod be bent twice. Ours.
OFF_THE_ROD_MM = 4.0


def head_ras(screw: Screw) -> FloatArray:
    """Return where the rod lies in a screw's head, RAS mm."""
    entry, tip = np.array(screw.entry_ras), np.array(screw.tip_ras)
    return np.asarray(entry - ROD_SEAT_MM * unit(tip - entry))


def constructs_of(screws: Sequence[Screw]) -> tuple[Construct, ...]:
    """Return one construct for each side that has two or more pedicle screws, their heads in the order of the screws."""
    out = []
    for side in ("left", "right"):
        some = [s for s in screws if s.site == "pedicle" and s.side == side]
        if len(some) >= 2:
            out.append(_construct(side, some))
    return tuple(out)


def _construct(side: str, screws: Sequence[Screw]) -> Construct:
    heads = np.array([head_ras(s) for s in screws])
    heads_apart = np.linalg.norm(np.diff(heads, axis=0), axis=1)
    ways = unit_rows(np.diff(heads, axis=0))
    deviation = rod_deviation_mm(heads)
    kinks = np.degrees(np.arccos(np.clip((ways[1:] * ways[:-1]).sum(axis=1), -1, 1)))
    # The rod's direction at a head: along the neighbours on both sides, at the ends along the only one.
    tangents = np.vstack([ways[:1], unit_rows(ways[1:] + ways[:-1]), ways[-1:]])
    axes = unit_rows(np.array([np.subtract(s.tip_ras, s.entry_ras) for s in screws]))
    turns = np.degrees(np.arcsin(np.clip(np.abs((axes * tangents).sum(axis=1)), 0, 1)))
    notes = []
    worst, steepest = int(deviation.argmax()), int(turns.argmax())
    if deviation[worst] > OFF_THE_ROD_MM:
        notes.append(f"the head of {screws[worst].name} lies {deviation[worst]:.1f} mm off the arc of the others")
    if turns[steepest] > HEAD_TURN_DEG:
        notes.append(
            f"the head of {screws[steepest].name} has to turn by {turns[steepest]:.0f} degrees to take the rod"
        )
    return Construct(
        side=side,
        screws=tuple(s.name for s in screws),
        rod_length_mm=float(heads_apart.sum()),
        rod_deviation_mm={s.name: float(d) for s, d in zip(screws, deviation, strict=True)},
        largest_kink_deg=float(kinks.max()) if len(kinks) else 0.0,
        head_turn_deg={s.name: float(t) for s, t in zip(screws, turns, strict=True)},
        notes=tuple(notes),
    )
