"""What is asked of one site: from a table of the case file, or from the command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import FloatArray

from ...anatomy import proximal_femur, scaphoid
from ...anatomy.pelvis_landmarks import PLACEABLE
from .description import (
    FREE_FAMILY,
    HIP_FAMILY,
    MARKED_FAMILY,
    MARKS,
    NECK_FAMILY,
    SCAPHOID_FAMILY,
    Site,
    load_site,
    site_names,
)
from .sacral import MOST_DISPLACED_MM

PEDICLE, FREE = "pedicle", "free"
_SIDES = ("left", "right")
_POINTS = ("entry_ras", "target_ras")
_LISTS = ("diameters_mm", "lengths_mm")
_TEXTS = ("bones", "sides")


@dataclass(frozen=True)
class SiteRequest:
    """One site that is asked for.

    Parameters
    ----------
    site
        ``pedicle``, a name of `Resources/Sites`, a TOML file of one's own, or ``free``.
    sides
        Where screws enter; empty takes both, of a trans-sacral screw the right one.
    most_displaced_mm
        Allows a displaced pelvis on purpose (see `sacral.sacral_anatomy`).
    name
        Of a free screw.
    bones, joints_crossed
        Segments that a free screw runs in, and whether it may cross the joints between them.
    entry_ras, target_ras, entry_radius_mm, target_radius_mm
        Its two regions, RAS mm; see `free.plan_free`.
    diameters_mm, lengths_mm, clearance_mm
        Screws that there are for a free one, and the bone wished round it.
    landmarks
        Points that the user placed, RAS mm by name: of a femoral neck and a scaphoid the `LANDMARKS` of `anatomy.proximal_femur` and
        `anatomy.scaphoid`, of the hip bone's sites `anatomy.pelvis_landmarks.PLACEABLE`,
        of those between placed points `description.MARKS`.
    """

    site: str
    sides: tuple[str, ...] = ()
    most_displaced_mm: float = MOST_DISPLACED_MM
    name: str = "Free"
    bones: tuple[str, ...] = ()
    joints_crossed: bool = False
    entry_ras: tuple[float, ...] | None = None
    target_ras: tuple[float, ...] | None = None
    entry_radius_mm: float = 3.0
    target_radius_mm: float = 3.0
    diameters_mm: tuple[float, ...] = (3.5, 4.5, 6.5, 7.3)
    lengths_mm: tuple[float, ...] = tuple(float(v) for v in range(20, 151, 5))
    clearance_mm: float = 1.0
    landmarks: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        where = f"site {self.site}"
        for side in self.sides:
            if side not in _SIDES:
                raise InputError(f"'{side}' is no side", "Give left, right or both.", where=where)
        if not (np.isfinite(self.most_displaced_mm) and 0 < self.most_displaced_mm <= 60):
            raise InputError("most_displaced_mm is not between 0 and 60", where=where)
        known = self.landmark_names()
        for name, point in self.landmarks.items():
            if name not in known:
                words = f"There are: {', '.join(known)}." if known else "It takes none."
                raise InputError(f"'{name}' is no landmark of this site", words, where=where)
            if len(point) != 3 or not np.isfinite(point).all():
                raise InputError(f"the landmark '{name}' is not a point", "Give three numbers, RAS mm.", where=where)
        if self.site != FREE:
            if self.site != PEDICLE:
                self.description()  # a site that is not there is said before any work
            return
        if not self.bones:
            raise InputError("it does not say which bones it runs in", 'Give bones = ["name"].', where=where)
        for key in _POINTS:
            value = getattr(self, key)
            if value is None or len(value) != 3 or not np.isfinite(value).all():
                raise InputError(f"{key} is not a point", "Give three numbers, RAS mm.", where=where)
        for key, most in (("diameters_mm", 15.0), ("lengths_mm", 250.0)):
            values = getattr(self, key)
            if not values or not all(1.0 <= v <= most for v in values):
                raise InputError(f"{key} holds no sizes of screws", "Give a list of mm.", where=where)

    @property
    def landmarks_ras(self) -> dict[str, FloatArray]:
        """The landmarks as arrays."""
        return {name: np.array(point, dtype=np.float64) for name, point in self.landmarks.items()}

    def landmark_names(self) -> tuple[str, ...]:
        """Return what a user may place for this site."""
        if self.site in (FREE, PEDICLE):
            return ()
        by_family = {
            NECK_FAMILY: proximal_femur.LANDMARKS,
            HIP_FAMILY: PLACEABLE,
            SCAPHOID_FAMILY: scaphoid.LANDMARKS,
            MARKED_FAMILY: MARKS,
        }
        return by_family.get(self.description().family, ())

    def description(self) -> Site:
        """Return the site's page of data."""
        if self.site == FREE:
            raise InputError("a free screw has no page", where="site free")
        site = load_site(self.site)
        if site.family == FREE_FAMILY:
            raise InputError("a free screw is asked for as 'free'", where=self.site)
        return site


def request_from_table(table: Mapping[str, Any], where: str) -> SiteRequest:
    """Return what a ``[[sites]]`` table asks for.

    Raises
    ------
    InputError
        For a key that nobody reads or a value of another kind.
    """
    known = {f.name: f for f in dataclasses.fields(SiteRequest)}
    unknown = [key for key in table if key not in known]
    if unknown:
        raise InputError(f"nobody reads the key '{unknown[0]}'", f"Known: {', '.join(known)}.", where=where)
    if "site" not in table:
        raise InputError("the key 'site' is missing", f"There are: {', '.join(all_sites())}.", where=where)
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key == "landmarks":
            values[key] = _landmarks(value, where)
        elif key in (*_TEXTS, *_POINTS, *_LISTS):
            kind = str if key in _TEXTS else (int, float)
            if not isinstance(value, list) or not all(isinstance(v, kind) and not isinstance(v, bool) for v in value):
                words = "texts" if key in _TEXTS else "numbers"
                raise InputError(f"'{key}' = {value!r} is not a list of {words}", where=where)
            values[key] = tuple(value) if key in _TEXTS else tuple(float(v) for v in value)
        else:
            wanted = known[key].default if key != "site" else ""
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not (isinstance(value, type(wanted)) or (number and isinstance(wanted, float))):
                raise InputError(f"'{key}' = {value!r} is not of the kind of {wanted!r}", where=where)
            values[key] = float(value) if isinstance(wanted, float) else value
    return SiteRequest(**values)


def _landmarks(value: object, where: str) -> dict[str, tuple[float, ...]]:
    if not isinstance(value, Mapping):
        raise InputError("'landmarks' is not a table of points", "Write name = [R, A, S].", where=where)
    out = {}
    for name, point in value.items():
        numbers = list(point) if isinstance(point, list | tuple) else []
        if not numbers or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in numbers):
            raise InputError(f"the landmark '{name}' is not a point", "Give three numbers, RAS mm.", where=where)
        # As a user may have written it in Slicer's point list.
        out[str(name).strip().lower().replace(" ", "_").replace("-", "_")] = tuple(float(v) for v in numbers)
    return out


def all_sites() -> tuple[str, ...]:
    """Return every name that a request may have besides a file's."""
    return (PEDICLE, *site_names(), FREE)
