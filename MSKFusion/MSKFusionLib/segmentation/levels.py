"""Vertebrae in order from head to foot, and their names from the one level that the user knows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from ..frames import transform_points
from .labels import LEVELS_CRANIAL_TO_CAUDAL, UNNAMED_FIRST_VALUE, VERTEBRA_VALUES, Segment, Segmentation

#: How far from a vertebra a hint's point may lie and still mean it: a click beside the edge.
_HINT_REACH_MM = 8.0


@dataclass(frozen=True)
class LevelHint:
    """The one level that the user knows.

    Parameters
    ----------
    level
        ``T12``, ``L3`` and so on.
    where
        A point (x, y, z) in RAS mm in that vertebra, or ``lowest`` or ``highest``: that vertebra of those wholly in view.
    """

    level: str
    where: ArrayLike | str = "lowest"

    def __post_init__(self) -> None:
        level = self.level.strip().upper()
        if level not in VERTEBRA_VALUES:
            raise InputError(f"'{self.level}' is not a vertebral level", "Give C1 to C7, T1 to T12, L1 to L5 or S1.")
        object.__setattr__(self, "level", level)
        if isinstance(self.where, str):
            if self.where not in ("lowest", "highest"):
                raise InputError(f"'{self.where}' is no place for a level hint", "Give 'lowest', 'highest' or a point.")
            return
        point = np.asarray(self.where, dtype=float)
        if point.shape != (3,) or not np.all(np.isfinite(point)):
            raise InputError("the point of the level hint is not three finite numbers", "Give x, y, z in RAS mm.")
        object.__setattr__(self, "where", tuple(point.tolist()))


def name_levels(segmentation: Segmentation, hint: LevelHint | None) -> Segmentation:
    """Return the segmentation with its vertebrae named from one known level, or numbered V1, V2 ... where none is given.

    The vertebrae must be in order from head to foot, as every segmentation here has them. A sacrum takes part: when
    the hint's point lies in it, the vertebra above it is L5.

    Raises
    ------
    InputError
        When the hint's point lies in no vertebra, or the names would run beyond C1 or L5/L6.
    """
    chain = [s for s in segmentation.segments if s.kind in ("vertebra", "sacrum")]
    vertebrae = [s for s in chain if s.kind == "vertebra"]
    if hint is None:
        names = [f"V{n}" for n in range(1, len(vertebrae) + 1)]
        values = [UNNAMED_FIRST_VALUE + n for n in range(len(vertebrae))]
        return _renamed(segmentation, vertebrae, names, values, None)
    anchor = chain.index(_hinted(segmentation, chain, hint))
    names = _names_around(chain, anchor, hint.level)
    values = [VERTEBRA_VALUES[name] for name in names]
    return _renamed(segmentation, vertebrae, names, values, hint)


def _hinted(segmentation: Segmentation, chain: list[Segment], hint: LevelHint) -> Segment:
    if not chain:
        raise InputError("there is no vertebra to name")
    if isinstance(hint.where, str):
        if hint.level == "S1":
            sacra = [s for s in chain if s.kind == "sacrum"]
            if not sacra:
                raise InputError("S1 is named, but no sacrum is in view", "Name a vertebra instead.")
            return sacra[0]
        whole = [s for s in chain if s.kind == "vertebra" and s.complete] or [s for s in chain if s.kind == "vertebra"]
        if not whole:
            raise InputError("there is no vertebra to name")
        return whole[-1] if hint.where == "lowest" else whole[0]
    labels = segmentation.labels
    point = np.asarray(hint.where, dtype=float)
    ijk = np.round(transform_points(labels.ras_to_ijk, point)).astype(int)
    wanted = {s.value: s for s in chain}
    reach = np.ceil(_HINT_REACH_MM / labels.spacing_mm).astype(int)
    low, high = np.maximum(ijk - reach, 0), np.minimum(ijk + reach + 1, labels.shape_ijk)
    best: tuple[float, Segment] | None = None
    if np.all(high > low):
        block = labels.voxels[low[2] : high[2], low[1] : high[1], low[0] : high[0]]
        where = np.argwhere(np.isin(block, list(wanted)))
        if len(where):
            ras = transform_points(labels.ijk_to_ras, where[:, ::-1] + low)
            distance = np.linalg.norm(ras - point, axis=1)
            nearest = int(distance.argmin())
            if distance[nearest] <= _HINT_REACH_MM:
                best = (float(distance[nearest]), wanted[int(block[tuple(where[nearest])])])
    if best is None:
        raise InputError(
            f"the point given for {hint.level} ({', '.join(f'{c:.1f}' for c in point)} RAS mm) lies in no vertebra",
            "Put it into the vertebral body of that level.",
        )
    return best[1]


def _names_around(chain: list[Segment], anchor: int, level: str) -> list[str]:
    """Return the names of the vertebrae (the sacrum not among them) when chain[anchor] is `level`."""
    order = list(LEVELS_CRANIAL_TO_CAUDAL)
    if (chain[anchor].kind == "sacrum") != (level == "S1"):
        raise InputError(
            f"the hint names {level}, but what lies there is {'the sacrum' if chain[anchor].kind == 'sacrum' else 'a vertebra'}"
        )
    if level == "L6" or (chain[-1].kind == "sacrum" and level == "L5" and anchor == len(chain) - 3):
        order.insert(order.index("S1"), "L6")
    start = order.index(level) - anchor
    names = []
    for n, segment in enumerate(chain):
        if segment.kind == "sacrum":
            continue
        if not 0 <= start + n < order.index("S1"):
            raise InputError(
                f"with {level} at that place the {'uppermost' if start + n < 0 else 'lowest'} vertebra in view would have no name",
                "Check the level hint.",
            )
        names.append(order[start + n])
    return names


def _renamed(
    segmentation: Segmentation, vertebrae: list[Segment], names: list[str], values: list[int], hint: LevelHint | None
) -> Segmentation:
    old = segmentation.labels.voxels
    table = np.arange(max(int(old.max()), 255) + 1, dtype=np.uint16)
    renamed: dict[int, Segment] = {}
    for segment, name, value in zip(vertebrae, names, values, strict=True):
        table[segment.value] = value
        renamed[segment.value] = replace(segment, name=name, value=value)
    voxels = table[old]
    if voxels.max() < 256:
        voxels = voxels.astype(np.uint8)
    segments = tuple(renamed.get(s.value, s) if s.kind == "vertebra" else s for s in segmentation.segments)
    notes = segmentation.notes
    if hint is not None:
        last = names[-1] if names else ""
        if any(s.kind == "sacrum" for s in segments) and last not in ("L5", ""):
            notes = (
                *notes,
                f"the vertebra above the sacrum is named {last}: a transitional vertebra, or a wrong level hint",
            )
    return replace(segmentation, labels=segmentation.labels.with_voxels(voxels), segments=segments, notes=notes)
