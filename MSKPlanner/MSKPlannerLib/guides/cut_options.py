"""What a cutting guide is asked to be."""

from __future__ import annotations

from dataclasses import dataclass

from MSKFusionLib.errors import InputError

from ..preset_files import require_within

#: No ledge but a slot, or the side of the plane that it stands on.
LEDGES = ("", "along", "against")
_LIMITS: dict[str, tuple[float, float]] = {
    "fit_clearance_mm": (0.0, 2.0),
    "neighbour_clearance_mm": (0.0, 10.0),
    "edge_margin_mm": (0.0, 5.0),
    "wrap_mm": (2.0, 25.0),
    "wall_mm": (1.5, 8.0),
    "blade_thickness_mm": (0.2, 3.0),
    "kerf_mm": (0.2, 4.0),
    "slot_clearance_mm": (0.0, 0.5),
    "slot_width_mm": (5.0, 90.0),
    "slot_height_mm": (4.0, 30.0),
    "slot_wall_mm": (1.8, 8.0),
    "slot_end_wall_mm": (2.0, 12.0),
    "wire_diameter_mm": (0.8, 4.0),
    "wire_clearance_mm": (0.0, 1.0),
    "wire_wall_mm": (1.6, 5.0),
    "wire_sleeve_mm": (4.0, 30.0),
    "wire_depth_mm": (5.0, 80.0),
    "wire_to_cut_mm": (1.0, 30.0),
    "text_height_mm": (3.0, 20.0),
    "text_stroke_mm": (0.4, 4.0),
    "text_relief_mm": (0.3, 3.0),
    "grid_mm": (0.2, 1.0),
}


@dataclass(frozen=True)
class CuttingGuideOptions:
    """Dimensions of a cutting guide, mm.

    Parameters
    ----------
    fit_clearance_mm, neighbour_clearance_mm, edge_margin_mm
        As for a drill guide (`options.GuideOptions`).
    wrap_mm
        Bone this far below the place where the saw enters still carries the guide.
    wall_mm
        Thickness of the contact shell.
    blade_thickness_mm, kerf_mm
        Of the saw: the blade, and the width that its teeth cut. The slot lets the wider one through; its middle is the
        planned plane.
    slot_clearance_mm
        Added to the wider of the two.
    slot_width_mm
        Across the saw's direction; it never reaches farther than the bone there is, plus 2 mm on each side.
    slot_height_mm
        How long the blade is guided, above the highest bone under the slot.
    slot_wall_mm, slot_end_wall_mm
        Material beside the slot and at its two ends.
    wire_diameter_mm, wire_clearance_mm, wire_wall_mm, wire_sleeve_mm
        K-wires that hold the guide: their holes (measured across the flats), the wall round them, their length.
    wire_depth_mm, wire_to_cut_mm
        As deep as this into the bone the wires keep this far from the cut.
    ledge
        Empty: the saw runs in a closed slot. ``along`` or ``against``: it lies on an open ledge, and the guide stands on that side
        of the cut alone, along or against the normal of its plane.
    printer
        The printer preset that the guide is checked for.
    """

    name: str = "standard"
    fit_clearance_mm: float = 0.25
    neighbour_clearance_mm: float = 1.0
    edge_margin_mm: float = 0.8
    wrap_mm: float = 8.0
    wall_mm: float = 3.0
    blade_thickness_mm: float = 0.9
    kerf_mm: float = 1.2
    slot_clearance_mm: float = 0.1
    slot_width_mm: float = 26.0
    slot_height_mm: float = 9.0
    slot_wall_mm: float = 3.0
    slot_end_wall_mm: float = 4.0
    wire_diameter_mm: float = 1.6
    wire_clearance_mm: float = 0.2
    wire_wall_mm: float = 2.0
    wire_sleeve_mm: float = 10.0
    wire_depth_mm: float = 30.0
    wire_to_cut_mm: float = 4.0
    text_height_mm: float = 5.0
    text_stroke_mm: float = 1.2
    text_relief_mm: float = 0.8
    grid_mm: float = 0.5
    ledge: str = ""
    printer: str = "sla"

    def __post_init__(self) -> None:
        require_within(self, _LIMITS, f"cutting guide options '{self.name}'")
        if self.ledge not in LEDGES:
            raise InputError(f"there is no ledge '{self.ledge}'", "Choose along or against.", where=self.name)

    @property
    def slot_thickness_mm(self) -> float:
        """Width of the slot across the plane; of an open ledge the blade alone, whose middle then runs in the plane."""
        if self.ledge:
            return self.blade_thickness_mm
        return max(self.blade_thickness_mm, self.kerf_mm) + self.slot_clearance_mm

    @property
    def wire_bore_mm(self) -> float:
        """Diameter of the holes for the wires."""
        return self.wire_diameter_mm + self.wire_clearance_mm

    @property
    def wire_sleeve_diameter_mm(self) -> float:
        """Outer diameter of the sleeves of the wires."""
        return self.wire_bore_mm + 2 * self.wire_wall_mm

    @property
    def ledge_mm(self) -> float:
        """Width of the block's top on the side of the name."""
        return max(self.slot_wall_mm, self.text_height_mm + 2.0)
