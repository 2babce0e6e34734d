"""What a site is: a page of data in `Resources/Sites`, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path

import numpy as np

from MSKFusionLib.errors import InputError
from MSKFusionLib.resources import resource_path

from ...preset_files import read_preset

FOLDER = "Sites"
#: Families that are found in the anatomy, and the one whose regions the user marks.
SACRAL_FAMILIES = ("trans_sacral", "iliosacral")
HIP_FAMILY = "hip"
NECK_FAMILY = "femoral_neck"
SCAPHOID_FAMILY = "scaphoid"
#: Ends of a scaphoid.
POLES = ("proximal_pole", "distal_pole")
MARKED_FAMILY = "marked"
#: What the user places for it: under the cortex where the screw enters, and where it ends.
MARKS = ("entry", "target")
FREE_FAMILY = "free"
#: Places of the pelvis that the lines of a hip bone's site run between (see `anatomy.pelvis_landmarks`).
PLACES = (
    "asis", "aiis", "aiis_seen", "above_joint", "psis", "pubis", "iliac_dome", "iliac_bar", "sacral_dorsum", "ischium",
)  # fmt: skip


@dataclass(frozen=True)
class Site:
    """A place for a screw.

    Parameters
    ----------
    family
        Which rule turns the anatomy into a family of lines (see the files of this folder).
    level
        1 or 2: beside the first or the second sacral segment (of no meaning for the hip bones' sites).
    anterior_deg, cranial_deg
        Limits of the direction from entry to tip: in the sacrum's frame, angles from the transverse axis. In the hip bones
        the regions alone limit it.
    start_half_mm, end_half_mm
        Half sides of the regions that lines start and end in, anterior and cranial.
    start_inside_mm, end_inside_mm
        So far within the outer wall of the hip bone (or from its places, for a hip bone's site) the corridor is counted.
    start_place, end_place
        Of a hip bone's site: one of `PLACES`; of a scaphoid: its `POLES`.
    through_joint
        Of a hip bone's site: the screw begins in the sacrum and crosses the joint.
    past_midline_mm
        How far beyond the midline the corridor must reach.
    clearance_mm, nerve_distance_mm
        Bone all round the screw, and its distance from canal and foramina.
    joint_gap_mm
        A joint is crossed where its bones are no farther apart than this.
    diameters_mm, lengths_mm
        Usual screws; a site is possible where the thinnest of them fits.
    tip_margin_mm, least_apart_mm, most_tilt_deg
        Of the femoral neck and the scaphoid: bone between tips and the head's surface, or at both ends. Of the femoral neck: least distance of two axes, and by how much the line of
        the two upper screws may rise or fall. Its directions are counted from the neck's axis, its regions from the middle.
    bone
        The segment of a site whose ends the user places.
    source
        Where these numbers are from.
    """

    name: str
    title: str
    family: str
    level: int
    source: str
    anterior_deg: tuple[float, float]
    cranial_deg: tuple[float, float]
    start_half_mm: tuple[float, float]
    end_half_mm: tuple[float, float]
    diameters_mm: tuple[float, ...]
    lengths_mm: tuple[float, ...]
    start_inside_mm: float = 10.0
    past_midline_mm: float = 0.0
    clearance_mm: float = 1.0
    nerve_distance_mm: float = 1.5
    joint_gap_mm: float = 5.0
    start_place: str = ""
    end_place: str = ""
    end_inside_mm: float = 0.0
    through_joint: bool = False
    tip_margin_mm: float = 5.0
    least_apart_mm: float = 9.0
    most_tilt_deg: float = 20.0
    bone: str = ""

    def __post_init__(self) -> None:
        where = self.name
        known = (*SACRAL_FAMILIES, HIP_FAMILY, NECK_FAMILY, SCAPHOID_FAMILY, MARKED_FAMILY)
        if self.family not in (*known, FREE_FAMILY):
            raise InputError(f"there is no family '{self.family}'", f"There are: {', '.join(known)}.", where=where)
        if self.family == HIP_FAMILY and not (self.start_place in PLACES and self.end_place in PLACES):
            raise InputError("start_place or end_place is not known", f"There are: {', '.join(PLACES)}.", where=where)
        if self.family == SCAPHOID_FAMILY and {self.start_place, self.end_place} != set(POLES):
            raise InputError(
                "start_place and end_place are not both poles", f"Give {' and '.join(POLES)}.", where=where
            )
        if self.family == MARKED_FAMILY and not self.bone.strip():
            raise InputError("it does not say its bone", 'Write bone = "C2".', where=where)
        if not (0 <= self.start_inside_mm <= 60 and 0 <= self.end_inside_mm <= 60):
            raise InputError("a corridor is counted from 0 to 60 mm within its ends", where=where)
        if not (0 <= self.tip_margin_mm <= 20 and 4 <= self.least_apart_mm <= 40 and 0 <= self.most_tilt_deg <= 60):
            raise InputError("tip margin, distance and tilt of the screws do not go together", where=where)
        if self.level not in (1, 2):
            raise InputError(f"level = {self.level!r} is neither 1 nor 2", where=where)
        if not self.source.strip() or not self.title.strip():
            raise InputError("it does not say its title, or where its numbers are from", where=where)
        for key in ("anterior_deg", "cranial_deg"):
            low, high = getattr(self, key)
            if not -70 <= low < high <= 70:
                raise InputError(
                    f"{key} = {low}, {high} leaves no direction", "Give (low, high) in degrees.", where=where
                )
        for key in ("start_half_mm", "end_half_mm"):
            if not all(0.5 <= v <= 40 for v in getattr(self, key)):
                raise InputError(f"{key} is no region in bone", "Give 0.5 to 40 mm.", where=where)
        for key, most in (("diameters_mm", 15.0), ("lengths_mm", 250.0)):
            values = getattr(self, key)
            if not values or not all(1.0 <= v <= most for v in values) or list(values) != sorted(values):
                raise InputError(f"{key} is not a rising list of sizes in mm", where=where)
        if not 0 <= self.clearance_mm <= self.nerve_distance_mm <= 10 or not 0 <= self.joint_gap_mm <= 12:
            raise InputError("clearance, distance from nerves and joint gap do not go together", where=where)

    @property
    def needed_width_mm(self) -> float:
        """The corridor that the thinnest screw needs."""
        return self.diameters_mm[0] + 2 * self.clearance_mm


def site_names() -> tuple[str, ...]:
    """Return the names of the sites that come with the project."""
    return tuple(sorted(p.stem for p in resource_path(FOLDER).glob("*.toml")))


def load_site(preset: str | Path) -> Site:
    """Read a site by its name (in `Resources/Sites`) or from a TOML file.

    Raises
    ------
    InputError
        When there is no such site or file, or it holds a key or a value that is not known.
    """
    data, where = read_preset(preset, FOLDER)
    return _from_table(data, Path(preset).stem.lower(), where)


def _from_table(data: Mapping[str, object], name: str, where: str) -> Site:
    known = {f.name: f for f in fields(Site) if f.name != "name"}
    unknown = [key for key in data if key not in known]
    if unknown:
        raise InputError(f"unknown key {unknown[0]}", f"Known: {', '.join(known)}.", where=where)
    missing = [key for key, f in known.items() if f.default is MISSING and key not in data]
    if missing:
        raise InputError(f"{missing[0]} is missing", where=where)
    pairs = ("anterior_deg", "cranial_deg", "start_half_mm", "end_half_mm")
    values: dict[str, object] = {}
    for key, value in data.items():
        if key in ("title", "family", "source", "start_place", "end_place", "bone"):
            values[key] = str(value)
        elif key == "through_joint":
            values[key] = value is True
        elif key in pairs or key in ("diameters_mm", "lengths_mm"):
            numbers = value if isinstance(value, list) else [None]
            if (key in pairs and len(numbers) != 2) or not all(_is_number(v) for v in numbers):
                raise InputError(
                    f"{key} = {value!r} is not a list of {'two ' if key in pairs else ''}numbers", where=where
                )
            values[key] = tuple(float(v) for v in numbers if v is not None)
        elif not _is_number(value):
            raise InputError(f"{key} = {value!r} is not a number", where=where)
        else:
            values[key] = value
    return Site(name=name, **values)  # type: ignore[arg-type]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))
