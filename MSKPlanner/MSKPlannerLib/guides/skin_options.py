"""What a frame on the skin is asked to be."""

from __future__ import annotations

from dataclasses import dataclass

from MSKFusionLib.errors import InputError

from ..preset_files import require_within

_LIMITS: dict[str, tuple[float, float]] = {
    "fit_clearance_mm": (0.0, 2.0),
    "pads": (3, 8),
    "pad_diameter_mm": (12.0, 50.0),
    "pad_thickness_mm": (2.0, 10.0),
    "bar_diameter_mm": (4.0, 16.0),
    "bar_above_mm": (1.0, 30.0),
    "incision_radius_mm": (3.0, 60.0),
    "standoff_mm": (2.0, 60.0),
    "drill_diameter_mm": (0.5, 14.0),
    "bore_clearance_mm": (0.0, 2.0),
    "tube_wall_mm": (1.5, 8.0),
    "tube_length_mm": (10.0, 80.0),
    "text_height_mm": (3.0, 20.0),
    "text_stroke_mm": (0.4, 4.0),
    "text_relief_mm": (0.3, 3.0),
    "grid_mm": (0.3, 0.8),
}


@dataclass(frozen=True)
class SkinFrameOptions:
    """Dimensions of a frame on the skin, mm.

    Parameters
    ----------
    fit_clearance_mm
        Gap between the pads and the skin of the image.
    pads, pad_diameter_mm, pad_thickness_mm
        How many pads stand round the entries, and their size.
    bar_diameter_mm, bar_above_mm
        Bars of the frame, and how far above the skin they stay.
    incision_radius_mm, standoff_mm
        Round each entry nothing of the frame is within this radius of the axis up to this height above the skin.
    drill_diameter_mm, bore_clearance_mm
        Of the instrument that is led; the bore's diameter is their sum, measured across the flats of its facets.
    tube_wall_mm, tube_length_mm
        Wall and length of the tubes, which begin at the incision's height.
    text_height_mm, text_stroke_mm, text_relief_mm
        The embossed name.
    grid_mm
        Step of the distance grid that the outer shape is made on; contact and bores do not depend on it.
    printer
        The printer preset that the frame is checked for.
    """

    name: str = "skin"
    fit_clearance_mm: float = 0.3
    pads: float = 4
    pad_diameter_mm: float = 22.0
    pad_thickness_mm: float = 4.0
    bar_diameter_mm: float = 8.0
    bar_above_mm: float = 3.0
    incision_radius_mm: float = 12.0
    standoff_mm: float = 12.0
    drill_diameter_mm: float = 3.2
    bore_clearance_mm: float = 0.2
    tube_wall_mm: float = 3.0
    tube_length_mm: float = 30.0
    text_height_mm: float = 6.0
    text_stroke_mm: float = 1.2
    text_relief_mm: float = 0.8
    grid_mm: float = 0.8
    printer: str = "sla"

    #: A frame stands on skin alone.
    neighbour_clearance_mm: float = 0.0

    def __post_init__(self) -> None:
        require_within(self, _LIMITS, f"skin frame options '{self.name}'")
        if self.pads != int(self.pads):
            raise InputError(f"pads = {self.pads} is no whole number", where=f"skin frame options '{self.name}'")

    @property
    def bore_diameter_mm(self) -> float:
        """Diameter of the bore: instrument and clearance."""
        return self.drill_diameter_mm + self.bore_clearance_mm

    @property
    def tube_diameter_mm(self) -> float:
        """Outer diameter of a tube."""
        return self.bore_diameter_mm + 2 * self.tube_wall_mm
