"""What a drill guide is asked to be."""

from __future__ import annotations

from dataclasses import dataclass

from ..preset_files import require_within

_LIMITS: dict[str, tuple[float, float]] = {
    "fit_clearance_mm": (0.0, 2.0),
    "neighbour_clearance_mm": (0.0, 10.0),
    "edge_margin_mm": (0.0, 5.0),
    "ligament_relief_mm": (0.0, 10.0),
    "wall_mm": (1.5, 8.0),
    "arm_width_mm": (6.0, 40.0),
    "drill_diameter_mm": (0.5, 12.0),
    "bore_clearance_mm": (0.0, 2.0),
    "sleeve_wall_mm": (1.0, 8.0),
    "sleeve_length_mm": (5.0, 60.0),
    "text_height_mm": (3.0, 20.0),
    "text_stroke_mm": (0.4, 4.0),
    "text_relief_mm": (0.3, 3.0),
    "grid_mm": (0.2, 1.0),
}


@dataclass(frozen=True)
class GuideOptions:
    """Dimensions of a drill guide, mm.

    Parameters
    ----------
    fit_clearance_mm
        Gap between guide and bone over the contact surface.
    neighbour_clearance_mm
        Least distance to the neighbouring bones, along the whole way of insertion.
    edge_margin_mm
        The contact ends this far inside the edges of the bone, clear of what is attached there.
    ligament_relief_mm
        Additional room over the crest of the spinous process.
    wall_mm, arm_width_mm
        Thickness of the contact shell and width of the bridge.
    drill_diameter_mm, bore_clearance_mm
        The bore's diameter is their sum, measured across the flats of its facets (it is never smaller).
    sleeve_wall_mm, sleeve_length_mm
        Wall of the sleeves, and their length from the entry in the bone to the flat end.
    text_height_mm, text_stroke_mm, text_relief_mm
        The embossed level name.
    grid_mm
        Step of the distance grid that the outer shape is made on; contact and bores do not depend on it.
    printer
        The printer preset that the finished guide is checked for (`presets.load_printer`).
    """

    name: str = "standard"
    fit_clearance_mm: float = 0.25
    neighbour_clearance_mm: float = 1.0
    edge_margin_mm: float = 0.8
    ligament_relief_mm: float = 1.5
    wall_mm: float = 3.0
    arm_width_mm: float = 13.0
    drill_diameter_mm: float = 3.2
    bore_clearance_mm: float = 0.2
    sleeve_wall_mm: float = 2.4
    sleeve_length_mm: float = 18.0
    text_height_mm: float = 5.5
    text_stroke_mm: float = 1.2
    text_relief_mm: float = 0.8
    grid_mm: float = 0.5
    printer: str = "sla"

    def __post_init__(self) -> None:
        require_within(self, _LIMITS, f"guide options '{self.name}'")

    @property
    def bore_diameter_mm(self) -> float:
        """Diameter of the bore: drill and clearance."""
        return self.drill_diameter_mm + self.bore_clearance_mm

    @property
    def sleeve_diameter_mm(self) -> float:
        """Outer diameter of a sleeve."""
        return self.bore_diameter_mm + 2 * self.sleeve_wall_mm
