"""What can be asked of a generated patient."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import InputError

#: Levels that can be generated, from head to foot; S1 is the whole sacrum.
LEVELS = ("T12", "L1", "L2", "L3", "L4", "L5", "S1")


@dataclass(frozen=True)
class PatientOptions:
    """A generated patient: what is None is drawn from the seed.

    Parameters
    ----------
    scale
        Size of the bones, 1 is an average adult (0.85 to 1.15).
    pedicle_width_min_mm
        True width of the narrowest pedicle (3 to 12 mm).
    scoliosis_deg
        Cobb angle (0 to 40 degrees), the vertebrae turned towards the convex side as well.
    wedge_fracture
        Level with a wedge fracture, or "none".
    low_density
        Osteoporotic bone.
    two_postures
        Every vertebra has a pose of its own in MR.
    soft_tissue_motion_mm
        How far soft tissue lies elsewhere in MR, at most (0 to 14 mm); the bones stay. Not with two postures.
    levels
        Neighbouring levels to generate, from head to foot.
    ct_spacing_mm, ct_margin_mm
        Voxels of the CT along right, back and up; what is imaged around the spine at the sides.
    mr_spacing_mm
        In-plane spacing and slice distance of the MR images.
    more_weightings
        MR images besides T1 and T2: "PD" (proton density), "FS" (fat-suppressed, STIR).
    screws_in_ct, screws_in_mr
        Levels, from head to foot, with a pair of titanium pedicle screws in the CT and in all MR images, and a rod along
        each side between them. Not in MR with two postures.
    """

    seed: int = 1
    scale: float | None = None
    pedicle_width_min_mm: float | None = None
    scoliosis_deg: float | None = None
    wedge_fracture: str | None = None
    low_density: bool | None = None
    two_postures: bool = False
    soft_tissue_motion_mm: float = 0.0
    levels: tuple[str, ...] = LEVELS
    ct_spacing_mm: tuple[float, float, float] = (0.7, 0.7, 1.0)
    ct_noise_hu: float = 22.0
    mr_spacing_mm: tuple[float, float] = (0.9, 3.5)
    mr_noise: float = 0.02
    more_weightings: tuple[str, ...] = ()
    screws_in_ct: tuple[str, ...] = ()
    screws_in_mr: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.seed, bool) or not isinstance(self.seed, int | np.integer) or self.seed < 0:
            raise InputError(f"the seed {self.seed!r} is not a whole number of 0 or more", where="patient")
        _check_range("scale", self.scale, 0.85, 1.15)
        _check_range("pedicle_width_min_mm", self.pedicle_width_min_mm, 3.0, 12.0)
        _check_range("scoliosis_deg", self.scoliosis_deg, 0.0, 40.0)
        _check_range("ct_noise_hu", self.ct_noise_hu, 0.0, 200.0)
        _check_range("mr_noise", self.mr_noise, 0.0, 0.5)
        _check_range("soft_tissue_motion_mm", self.soft_tissue_motion_mm, 0.0, 14.0)
        if self.two_postures and self.soft_tissue_motion_mm > 0:
            raise InputError(
                "what lies between bones that move has no known place of its own",
                "Ask for two postures or for soft_tissue_motion_mm.",
                where="patient",
            )
        for name, count in (("ct_spacing_mm", 3), ("mr_spacing_mm", 2)):
            if len(getattr(self, name)) != count:
                raise InputError(f"{name} {getattr(self, name)} are not {count} numbers", where="patient")
        for value in self.ct_spacing_mm:
            _check_range("ct_spacing_mm", value, 0.3, 5.0)
        for value in self.mr_spacing_mm:
            _check_range("mr_spacing_mm", value, 0.3, 8.0)
        positions = [LEVELS.index(n) if n in LEVELS else -9 for n in self.levels]
        if len(positions) < 2 or any(b - a != 1 for a, b in itertools.pairwise(positions)):
            raise InputError(
                f"levels {self.levels} are not two or more neighbours from head to foot",
                f"Choose from {', '.join(LEVELS)}.",
                where="patient",
            )
        self._check_additions()
        fracturable = [n for n in self.levels if n != "S1"]
        if self.wedge_fracture not in (None, "none", *fracturable):
            raise InputError(
                f"wedge_fracture {self.wedge_fracture!r} is not one of the generated vertebrae",
                f"Choose from {', '.join(fracturable)} or none.",
                where="patient",
            )

    def _check_additions(self) -> None:
        if len(set(self.more_weightings)) < len(self.more_weightings) or set(self.more_weightings) - {"PD", "FS"}:
            raise InputError(f"more_weightings {self.more_weightings} are not PD, FS or both", where="patient")
        for name in ("screws_in_ct", "screws_in_mr"):
            levels = getattr(self, name)
            if levels != tuple(n for n in self.levels if n in levels and n != "S1"):
                raise InputError(
                    f"{name} {levels} are not generated vertebrae from head to foot, each once",
                    f"Choose from {', '.join(n for n in self.levels if n != 'S1')}.",
                    where="patient",
                )
        if self.two_postures and self.screws_in_mr:
            raise InputError(
                "screws hold vertebrae together, and two postures move them apart",
                "Ask for two postures or for screws_in_mr.",
                where="patient",
            )

    @classmethod
    def small(cls, seed: int = 1, **changes: Any) -> PatientOptions:
        """Return a quick patient: L3 to the sacrum on coarser voxels."""
        quick = cls(seed, levels=("L3", "L4", "L5", "S1"), ct_spacing_mm=(1.0, 1.0, 1.5), mr_spacing_mm=(1.2, 4.0))
        return replace(quick, **changes)


def _check_range(name: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not low <= value <= high:
        raise InputError(f"{name} {value} is not between {low} and {high}", where="patient")
