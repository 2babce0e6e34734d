"""Guide and printer presets: small TOML files in `Resources` that an engineer can read and change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from MSKFusionLib.errors import InputError

from ..preset_files import number, read_preset
from .cut_options import CuttingGuideOptions
from .options import GuideOptions
from .skin_options import SkinFrameOptions


@dataclass(frozen=True)
class PrinterPreset:
    """What a printing process can make, mm.

    Parameters
    ----------
    min_wall_mm, min_gap_mm, min_hole_mm
        What is thinner or narrower breaks, or closes in printing.
    clearance_mm
        The fit that the process holds.
    self_supporting_deg
        Downward surface at least this steep (angle to the bed) builds without support; 0: all does, in powder.
    bed_mm
        Width, depth and height that fit.
    """

    name: str = "sla"
    description: str = ""
    min_wall_mm: float = 1.0
    min_gap_mm: float = 0.15
    min_hole_mm: float = 0.8
    clearance_mm: float = 0.25
    self_supporting_deg: float = 30.0
    bed_mm: tuple[float, float, float] = (145.0, 145.0, 185.0)


#: Table and key of a guide preset, and the option that it sets.
_GUIDE_KEYS = {
    ("fit", "clearance_mm"): "fit_clearance_mm",
    ("fit", "neighbour_clearance_mm"): "neighbour_clearance_mm",
    ("fit", "edge_margin_mm"): "edge_margin_mm",
    ("fit", "ligament_relief_mm"): "ligament_relief_mm",
    ("body", "wall_mm"): "wall_mm",
    ("body", "arm_width_mm"): "arm_width_mm",
    ("body", "grid_mm"): "grid_mm",
    ("sleeve", "drill_diameter_mm"): "drill_diameter_mm",
    ("sleeve", "bore_clearance_mm"): "bore_clearance_mm",
    ("sleeve", "wall_mm"): "sleeve_wall_mm",
    ("sleeve", "length_mm"): "sleeve_length_mm",
    ("lettering", "height_mm"): "text_height_mm",
    ("lettering", "stroke_mm"): "text_stroke_mm",
    ("lettering", "relief_mm"): "text_relief_mm",
}


#: The same for a cutting guide.
_CUTTING_KEYS = {
    ("fit", "clearance_mm"): "fit_clearance_mm",
    ("fit", "neighbour_clearance_mm"): "neighbour_clearance_mm",
    ("fit", "edge_margin_mm"): "edge_margin_mm",
    ("fit", "wrap_mm"): "wrap_mm",
    ("body", "wall_mm"): "wall_mm",
    ("body", "grid_mm"): "grid_mm",
    ("saw", "blade_thickness_mm"): "blade_thickness_mm",
    ("saw", "kerf_mm"): "kerf_mm",
    ("slot", "clearance_mm"): "slot_clearance_mm",
    ("slot", "width_mm"): "slot_width_mm",
    ("slot", "height_mm"): "slot_height_mm",
    ("slot", "wall_mm"): "slot_wall_mm",
    ("slot", "end_wall_mm"): "slot_end_wall_mm",
    ("wire", "diameter_mm"): "wire_diameter_mm",
    ("wire", "clearance_mm"): "wire_clearance_mm",
    ("wire", "wall_mm"): "wire_wall_mm",
    ("wire", "sleeve_mm"): "wire_sleeve_mm",
    ("wire", "depth_mm"): "wire_depth_mm",
    ("wire", "to_cut_mm"): "wire_to_cut_mm",
    ("lettering", "height_mm"): "text_height_mm",
    ("lettering", "stroke_mm"): "text_stroke_mm",
    ("lettering", "relief_mm"): "text_relief_mm",
}


#: The same for a frame on the skin.
_SKIN_KEYS = {
    ("fit", "clearance_mm"): "fit_clearance_mm",
    ("pads", "count"): "pads",
    ("pads", "diameter_mm"): "pad_diameter_mm",
    ("pads", "thickness_mm"): "pad_thickness_mm",
    ("frame", "bar_diameter_mm"): "bar_diameter_mm",
    ("frame", "above_skin_mm"): "bar_above_mm",
    ("frame", "grid_mm"): "grid_mm",
    ("incision", "radius_mm"): "incision_radius_mm",
    ("incision", "height_mm"): "standoff_mm",
    ("tube", "instrument_diameter_mm"): "drill_diameter_mm",
    ("tube", "bore_clearance_mm"): "bore_clearance_mm",
    ("tube", "wall_mm"): "tube_wall_mm",
    ("tube", "length_mm"): "tube_length_mm",
    ("lettering", "height_mm"): "text_height_mm",
    ("lettering", "stroke_mm"): "text_stroke_mm",
    ("lettering", "relief_mm"): "text_relief_mm",
}


def load_guide_options(preset: str | Path = "standard") -> GuideOptions:
    """Read the options of a drill guide from a preset's name or from a TOML file.

    Raises
    ------
    InputError
        When there is no such preset or file, or it holds a key or a value that is not known.
    """
    return GuideOptions(**_chosen(preset, _GUIDE_KEYS))


def options_for_printer(preset: str | Path, printer: str | Path) -> GuideOptions:
    """Return the options of a drill guide of a preset for a printer: no gap and no stroke finer than it makes.

    Raises
    ------
    InputError
        When there is no such preset or printer.
    """
    options, limits = load_guide_options(preset), load_printer(printer)
    return replace(
        options,
        printer=str(printer),
        fit_clearance_mm=max(options.fit_clearance_mm, limits.clearance_mm),
        bore_clearance_mm=max(options.bore_clearance_mm, limits.min_hole_mm - options.drill_diameter_mm),
        text_stroke_mm=max(options.text_stroke_mm, limits.min_wall_mm),
    )


def load_cutting_options(preset: str | Path = "saw") -> CuttingGuideOptions:
    """Read the options of a cutting guide; as `load_guide_options`."""
    return CuttingGuideOptions(**_chosen(preset, _CUTTING_KEYS))


def cutting_options_for_printer(preset: str | Path, printer: str | Path) -> CuttingGuideOptions:
    """Return the options of a cutting guide of a preset for a printer; as `options_for_printer`."""
    options, limits = load_cutting_options(preset), load_printer(printer)
    return replace(
        options,
        printer=str(printer),
        fit_clearance_mm=max(options.fit_clearance_mm, limits.clearance_mm),
        wire_clearance_mm=max(options.wire_clearance_mm, limits.min_hole_mm - options.wire_diameter_mm),
        text_stroke_mm=max(options.text_stroke_mm, limits.min_wall_mm),
    )


def load_skin_options(preset: str | Path = "skin") -> SkinFrameOptions:
    """Read the options of a frame on the skin; as `load_guide_options`."""
    return SkinFrameOptions(**_chosen(preset, _SKIN_KEYS))


def _chosen(preset: str | Path, keys: Mapping[tuple[str, str], str]) -> dict[str, Any]:
    """Return the options that a preset sets, by their names in the options' dataclass."""
    data, where = read_preset(preset, "Guides")
    chosen: dict[str, Any] = {"name": str(data.get("name", Path(preset).stem))}
    for table, content in data.items():
        if table in ("name", "description"):
            continue
        if table == "printer":
            chosen["printer"] = str(content)
            continue
        if not isinstance(content, Mapping):
            raise InputError(f"'{table}' is not a table of a guide preset", where=where)
        for key, value in content.items():
            if (table, key) not in keys:
                known = ", ".join(k for t, k in keys if t == table)
                raise InputError(f"unknown key {table}.{key}", f"Known in [{table}]: {known}.", where=where)
            chosen[keys[table, key]] = number(value, f"{table}.{key}", where)
    return chosen


def load_printer(preset: str | Path | None = None) -> PrinterPreset:
    """Read what a printer can make from a preset's name (sla, sls, fdm; None: sla) or from a TOML file.

    Raises
    ------
    InputError
        When there is no such preset or file, or it holds a key or a value that is not known.
    """
    preset = "sla" if preset is None else preset
    data, where = read_preset(preset, "Printers")
    printer = PrinterPreset(name=str(data.get("name", Path(preset).stem)), description=str(data.get("description", "")))
    known = [f.name for f in fields(PrinterPreset)]
    changes: dict[str, Any] = {}
    for key, value in data.items():
        if key not in known:
            raise InputError(f"unknown key {key}", f"Known: {', '.join(known)}.", where=where)
        if key == "bed_mm":
            if not isinstance(value, list) or len(value) != 3:
                raise InputError("bed_mm is not three lengths", where=where)
            changes[key] = tuple(number(v, key, where) for v in value)
        elif key not in ("name", "description"):
            changes[key] = number(value, key, where)
    return replace(printer, **changes)
