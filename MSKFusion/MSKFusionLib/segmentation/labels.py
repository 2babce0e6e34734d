"""Named structures on a label grid: what every segmentation here returns and accepts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..boxes import mask_box
from ..errors import InputError
from ..volume import Modality, Volume

#: Label values of the vertebrae, the public VerSe convention (Sekuboyina et al. 2021, doi 10.1016/j.media.2021.102166).
VERTEBRA_VALUES: dict[str, int] = {
    **{f"C{n}": n for n in range(1, 8)},
    **{f"T{n}": n + 7 for n in range(1, 13)},
    **{f"L{n}": n + 19 for n in range(1, 7)},
    "S1": 26,
}
#: The levels from head to foot, without the rare L6 that only a user can assert.
LEVELS_CRANIAL_TO_CAUDAL: tuple[str, ...] = tuple(n for n in VERTEBRA_VALUES if n != "L6")
#: Vertebrae that nobody named are numbered from head to foot: V1 is 101.
UNNAMED_FIRST_VALUE = 101
BONE_KINDS = ("vertebra", "sacrum", "bone")


@dataclass(frozen=True)
class Segment:
    """One structure of a segmentation.

    Parameters
    ----------
    value
        Its label value in the volume.
    name
        ``L3``, ``S1`` (the whole sacrum), ``V2`` (numbered, not named), ``aorta`` and so on.
    kind
        ``vertebra``, ``sacrum``, ``bone`` (other), or the tissue's name.
    complete
        Wholly in view. Only complete vertebrae are planned on.
    confidence
        0 to 1; what it rests on is said in `notes`.
    source
        The method and the image that it comes from.
    """

    value: int
    name: str
    kind: str = "bone"
    complete: bool = True
    confidence: float = 1.0
    source: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Segmentation:
    """A label volume and the table of what its values mean.

    Raises
    ------
    InputError
        When a segment's value or name occurs twice.
    """

    labels: Volume
    segments: tuple[Segment, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for what in ("value", "name"):
            values = [getattr(s, what) for s in self.segments]
            if len(set(values)) != len(values):
                raise InputError(f"a segment {what} occurs twice: {sorted(values)}", where=self.labels.name)
        if self.labels.modality is not Modality.LABEL:
            object.__setattr__(self, "labels", replace(self.labels, modality=Modality.LABEL))

    def __getitem__(self, name: str) -> Segment:
        for segment in self.segments:
            if segment.name == name:
                return segment
        raise InputError(f"there is no segment '{name}'", f"There are: {', '.join(s.name for s in self.segments)}.")

    def mask(self, name: str) -> NDArray[np.bool_]:
        """Return where a segment is, as a boolean array on the label grid (K, J, I)."""
        return self.labels.voxels == self[name].value

    def around(self, name: str, margin_mm: float) -> Volume:
        """Return the labels in the box that holds a segment and so much on every side, as far as the grid goes.

        Raises
        ------
        InputError
            When the segment has no voxels.
        """
        mask = self.mask(name)
        if not mask.any():
            raise InputError(f"'{name}' has no voxels", "Segment it again.", where=self.labels.name)
        return self.labels.within(mask_box(mask, np.ceil(margin_mm / self.labels.spacing_mm[::-1]).astype(int)))

    @property
    def bones(self) -> tuple[Segment, ...]:
        """All that is bone: vertebrae, sacrum and the others; no disc, canal or soft tissue."""
        return tuple(s for s in self.segments if s.kind in BONE_KINDS)

    @property
    def vertebrae(self) -> tuple[Segment, ...]:
        """The vertebrae from head to foot, the sacrum not among them."""
        return tuple(s for s in self.segments if s.kind == "vertebra")
