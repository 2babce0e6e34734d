"""Drill sleeves on the planned axes: their place, their body as a field, their bores and flat ends as exact solids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MSKFusionLib.errors import InputError, ProcessingError
from MSKFusionLib.frames import FloatArray, perpendicular_axes, unit

from ..plan import Point, Screw
from .field import Distance
from .options import GuideOptions
from .solid import cylinder

#: The bore starts this far inside the bone's surface, so that the foot of the sleeve is open on a slanted surface too.
_BORE_INSIDE_MM = 10.0
#: The way of the drill above the sleeve is kept free as far as this.
_FREE_ABOVE_MM = 60.0
#: The body of a sleeve is made this much too long on the grid and then cut flat.
_OVERLENGTH_MM = 1.0


#: A planned entry may be this far from the surface along its axis; more than the second is said.
_ENTRY_SEARCH_MM = 4.0
_ENTRY_SAID_MM = 0.5


@dataclass(frozen=True, eq=False)
class Sleeve:
    """A sleeve on a screw's axis.

    Parameters
    ----------
    entry_ras
        Where the axis meets the bone, mm.
    outward_ras
        Unit direction of the axis out of the bone.
    bore_radius_mm, radius_mm, length_mm
        Bore, outer radius, and length from the entry to the flat end.
    """

    screw: str
    side: str
    entry_ras: FloatArray
    outward_ras: FloatArray
    bore_radius_mm: float
    radius_mm: float
    length_mm: float

    @classmethod
    def on_axis(
        cls,
        name: str,
        side: str,
        entry_ras: Point,
        tip_ras: Point,
        bore_mm: float,
        diameter_mm: float,
        length_mm: float,
    ) -> Sleeve:
        """Return the sleeve over the axis from an entry to a tip (RAS mm), of a bore, an outer diameter and a length in mm."""
        outward = unit(np.subtract(entry_ras, tip_ras))
        return cls(
            name, side, np.asarray(entry_ras, dtype=np.float64), outward, bore_mm / 2, diameter_mm / 2, length_mm
        )

    @property
    def end_ras(self) -> FloatArray:
        """Centre of the flat end, mm."""
        return self.entry_ras + self.length_mm * self.outward_ras

    def at(self, along_mm: float) -> FloatArray:
        """Return the point of the axis `along_mm` outside the entry."""
        return self.entry_ras + along_mm * self.outward_ras

    def wall_ring(self, share: float) -> FloatArray:
        """Return points (8, 3) in the middle of its wall, all round, at a share of its length."""
        turn = np.linspace(0.0, 2 * np.pi, 8, endpoint=False)[:, None]
        u, v = perpendicular_axes(self.outward_ras)
        middle = (self.bore_radius_mm + self.radius_mm) / 2
        return np.asarray(self.at(share * self.length_mm) + middle * (np.cos(turn) * u + np.sin(turn) * v))

    def bore(self) -> Any:
        """Return the way of the drill as a solid; its facets lie around the circle, never inside it."""
        return cylinder(
            self.at(-_BORE_INSIDE_MM), self.at(self.length_mm + _FREE_ABOVE_MM), self.bore_radius_mm, around=True
        )

    def above_end(self) -> Any:
        """Return what is cut off so that the sleeve ends flat."""
        return cylinder(self.at(self.length_mm), self.at(self.length_mm + 4.0), self.radius_mm + 0.75, around=True)


def on_surface(sleeve: Sleeve, bone: Distance) -> tuple[Sleeve, str]:
    """Return the sleeve with its entry where the axis leaves the bone, and a word where that is not as planned.

    Bone that comes again further out is left to the checks: it stands in the way of the drill.
    """
    along = np.arange(-_ENTRY_SEARCH_MM, _ENTRY_SEARCH_MM + 1e-6, 0.1)
    distance = bone.distance_mm(sleeve.at(0.0) + along[:, None] * sleeve.outward_ras)
    leaves = np.flatnonzero((distance[:-1] <= 0) & (distance[1:] > 0))
    if not len(leaves):
        return (
            sleeve,
            f"the planned entry of {sleeve.screw} is {abs(float(distance[len(along) // 2])):.1f} mm off the bone",
        )
    k = int(leaves[-1])
    at = float(along[k] + 0.1 * distance[k] / (distance[k] - distance[k + 1]))
    word = f"the axis of {sleeve.screw} leaves the bone {abs(at):.1f} mm {'behind' if at > 0 else 'before'} its entry"
    return replace(sleeve, entry_ras=sleeve.at(at)), word if abs(at) > _ENTRY_SAID_MM else ""


def sleeves_of(screws: Sequence[Screw], options: GuideOptions) -> tuple[Sleeve, ...]:
    """Return the sleeves of one level's screws.

    Raises
    ------
    InputError
        For no screws, or screws of several levels.
    ProcessingError
        When two sleeves run into each other.
    """
    if not screws:
        raise InputError("a drill guide needs at least one screw", "Plan screws first.")
    if len({s.level for s in screws}) > 1:
        names = ", ".join(s.name for s in screws)
        raise InputError(f"one guide serves one level, not the screws {names}", "Design a guide a level.")
    sleeves = tuple(
        Sleeve.on_axis(
            s.name,
            s.side,
            s.entry_ras,
            s.tip_ras,
            options.bore_diameter_mm,
            options.sleeve_diameter_mm,
            options.sleeve_length_mm,
        )
        for s in screws
    )
    require_apart(sleeves)
    return sleeves


def require_apart(sleeves: Sequence[Sleeve]) -> None:
    """Raise a ProcessingError where two sleeves run into each other."""
    for n, one in enumerate(sleeves):
        for other in sleeves[n + 1 :]:
            gap = _axis_distance(one, other) - one.radius_mm - other.bore_radius_mm
            if gap < 0:
                raise ProcessingError(
                    f"The sleeves of {one.screw} and {other.screw} run into each other by {-gap:.1f} mm; "
                    "make the sleeves shorter or thinner, or move an entry."
                )


def bore_field(sleeve: Sleeve, grid_points: FloatArray) -> NDArray[np.float32]:
    """Return the field of the way of the drill, negative inside."""
    offset = grid_points - sleeve.entry_ras
    along = offset @ sleeve.outward_ras
    squared = np.einsum("...i,...i->...", offset, offset) - along**2
    radial = np.sqrt(np.maximum(squared, 0.0)) - sleeve.bore_radius_mm
    return np.maximum(radial, -_BORE_INSIDE_MM - along).astype(np.float32)


def sleeve_field(sleeve: Sleeve, grid_points: FloatArray, start_mm: float) -> NDArray[np.float32]:
    """Return the distance-like field of a sleeve's body from `start_mm` along its axis to a little over its end."""
    offset = grid_points - sleeve.entry_ras.astype(grid_points.dtype)
    axis = sleeve.outward_ras.astype(grid_points.dtype)
    along = offset @ axis
    radial = np.sqrt(np.maximum(np.einsum("...i,...i->...", offset, offset) - along**2, 0.0)) - sleeve.radius_mm
    ends = np.maximum(start_mm - along, along - (sleeve.length_mm + _OVERLENGTH_MM))
    return np.maximum(radial, ends).astype(np.float32)


def _axis_distance(one: Sleeve, other: Sleeve) -> float:
    """Return the least distance between the axes of two sleeves, from the bone to their ends."""
    t = np.linspace(0.0, one.length_mm, 200)[:, None]
    s = np.linspace(0.0, other.length_mm, 200)[:, None]
    p, q = one.entry_ras + t * one.outward_ras, other.entry_ras + s * other.outward_ras
    return float(np.linalg.norm(p[:, None] - q[None], axis=2).min())
