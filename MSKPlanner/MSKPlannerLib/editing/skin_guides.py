"""A frame on the skin for screws of a plan: its tubes lie on their axes, its pads beside them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import as_point
from MSKFusionLib.progress import Progress, no_progress, part

from ..guides.levels_guide import joined_name
from ..guides.presets import load_printer, load_skin_options
from ..guides.skin_frame import Way, design_skin_frame
from ..guides.skin_layout import REACH_MM
from ..guides.skin_options import SkinFrameOptions
from ..percutaneous.bone_on_way import bone_on_way
from ..percutaneous.skin import Skin, find_skin
from ..percutaneous.skin_surface import skin_entry_ras, skin_surface
from ..pipeline import Case, PrintedSolid
from ..plan import Guide, Screw
from ..records import describe_skin_frame

#: The skin is looked at this far beyond where pads may stand.
_BEYOND_MM = 15.0


@dataclass(frozen=True)
class SkinRequest:
    """The screws that a frame leads, and what it is asked to be."""

    screws: tuple[Screw, ...]
    options: SkinFrameOptions


def skin_options_for(printer: str) -> SkinFrameOptions:
    """Return the options of a frame on the skin for a printer: no stroke and no bore finer than it makes."""
    options, limits = load_skin_options(), load_printer(printer)
    return replace(
        options,
        printer=printer,
        bore_clearance_mm=max(options.bore_clearance_mm, limits.min_hole_mm - options.drill_diameter_mm),
        text_stroke_mm=max(options.text_stroke_mm, limits.min_wall_mm),
    )


def skin_frame_for(case: Case, asked: SkinRequest, progress: Progress = no_progress) -> tuple[Guide, PrintedSolid]:
    """Return a frame on the skin of a case's CT.

    Raises
    ------
    MSKError
        When the CT shows no skin there, or no sound solid comes of it.
    """
    if case.ct is None:
        raise InputError("there is no CT that shows the skin", "Choose one.", where="frame on the skin")
    progress(0.0, "Looking for the skin")
    skin = find_skin(case.ct)
    ways = [_way(skin, s) for s in asked.screws]
    progress(0.2, "Surface of the skin")
    surface = skin_surface(skin, np.mean([w.entry_ras for w in ways], axis=0), REACH_MM + _BEYOND_MM)
    levels = tuple(dict.fromkeys(s.level for s in asked.screws))
    label = levels[0] if len(levels) == 1 else joined_name(levels)
    frame = design_skin_frame(surface, ways, asked.options, label=levels[0], progress=part(progress, 0.3, 1.0))
    found = [
        bone_on_way(case.segmentation, s, w.entry_ras, frame.options.drill_diameter_mm)
        for s, w in zip(asked.screws, frame.ways, strict=True)
    ]
    frame = replace(frame, checks=(*frame.checks, *found))
    inputs = {"image": case.ct.sha256()}
    return describe_skin_frame(f"{label} skin frame", label, frame, inputs, asked.screws), frame


def _way(skin: Skin, screw: Screw) -> Way:
    """Return the way along a screw's axis, with its entry on the skin."""
    tip = np.array(screw.tip_ras)
    return Way(screw.name, as_point(skin_entry_ras(skin, tip, np.array(screw.entry_ras) - tip)), as_point(tip))
