"""Landmarks of a tibia found on its surface, in any pose, whole or only one of its ends; and the side it belongs to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import ConvexHull

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import FloatArray, perpendicular_axes, unit

from ..mesh import Mesh
from .bone_end import cut_off_share, principal_axis, smoothed, surface_points
from .tibia_plafond import Plafond, find_plafond, lateral_malleolus, talar_dome
from .tibia_plateau import Plateau, find_plateau

#: Shorter pieces are not whole, and their longest direction may not be their axis, mm.
_WHOLE_MM = 150.0
#: An end that is one plane for this share of its slice was cut off by the image or a saw.
_CUT_OFF = 0.5
#: A joint's end is so much wider than the slice on the bone's other side of it.
_FLARE = 1.15
#: The bone's slices, mm.
_SLICE_MM = 10.0
#: Normals want more smoothing than outlines: pass bands.
_OUTLINE_BAND, _NORMAL_BAND = 0.05, 0.02


@dataclass(frozen=True, eq=False)
class TibiaPoints:
    """What was found on a tibia, RAS mm; None where the surface does not show it.

    Parameters
    ----------
    side
        "left" or "right", from where the medial malleolus or the fibula lies; None where neither is in view.
    up
        Unit direction from ankle to knee: the mechanical axis where both ends are in view.
    knee_centre
        In the middle between the walls of the eminence, at the height of the spines.
    joint_surfaces
        (2, 3) middles of the joint surfaces.
    front_rims, back_rims
        (2, 3) ends of the line that fits each joint surface from front to back.
    edges
        (2, 3) outermost points of the plateau.
    posterior_condyles
        (2, 3) where the line over the back touches.
    ankle_centre
        Middle of the talar dome, or of the plafond where there is no talus.
    medial_malleolus, lateral_malleolus
        Their middles at the height of the plafond. Without a fibula the lateral one is a point on the line from the
        medial one through the middle of the plafond, and `notes` say so.
    not_found
        What is missing, and why.
    notes
        What was assumed.

    Pairs have medial first and lateral second; where the side is not known, they run from left to right.
    """

    side: str | None
    up: FloatArray
    knee_centre: FloatArray | None
    joint_surfaces: FloatArray | None
    front_rims: FloatArray | None
    back_rims: FloatArray | None
    edges: FloatArray | None
    posterior_condyles: FloatArray | None
    ankle_centre: FloatArray | None
    medial_malleolus: FloatArray | None
    lateral_malleolus: FloatArray | None
    not_found: tuple[str, ...]
    notes: tuple[str, ...]


def find_tibia_points(
    tibia: Mesh,
    *,
    fibula: Mesh | None = None,
    talus: Mesh | None = None,
    up_ras: ArrayLike | None = None,
    side: str | None = None,
) -> TibiaPoints:
    """Return the landmarks that the surface of a tibia shows.

    Parameters
    ----------
    tibia
        Closed surface, RAS mm, in any pose, about 0.5 to 3 mm between its corners; whole or in part.
    fibula, talus
        Where they are segmented: for the lateral malleolus and the talar dome.
    up_ras
        Rough direction from ankle to knee: needed where only a short part is in view, not used where both ends are.
    side
        "left" or "right" where only the upper end is in view.

    Raises
    ------
    InputError
        When the mesh is empty, or the side is no side.
    GeometryError
        When the axis cannot be told, or the bone is that of the other side.
    """
    if len(tibia.faces) < 100:
        raise InputError("the surface has hardly any triangles", "Make it again.", where="tibia")
    if side not in (None, "left", "right"):
        raise InputError(f"the side is {side!r}", "Say 'left' or 'right'.", where="tibia")
    outline, normals = smoothed(tibia, _OUTLINE_BAND), smoothed(tibia, _NORMAL_BAND)
    # A plateau is told from a plafond by its hollow and its eminence, so the plateau says which way is up.
    plateau, plafond, up = max(
        ((*_ends(normals, way), way) for way in _first_axes(outline, up_ras)),
        key=lambda e: (isinstance(e[0], Plateau), isinstance(e[1], Plafond)),
    )
    for _ in range(3):
        if not isinstance(plateau, Plateau) or not isinstance(plafond, Plafond):
            break
        # The mechanical axis from what was found takes the place of the long axis.
        up = unit(plateau.knee_centre - plafond.ankle_centre)
        plateau, plafond = find_plateau(normals, up), find_plafond(normals, up)
    missing = [
        f"{what}: {why}"
        for what, why in (("knee centre and plateau", plateau), ("ankle centre", plafond))
        if isinstance(why, str)
    ]
    if len(missing) == 2:
        raise GeometryError(
            f"neither end of a tibia is seen ({'; '.join(missing)})", "Check which bone this is.", "tibia"
        )
    if isinstance(plateau, str) and isinstance(plafond, Plafond) and plafond.medial_malleolus is None:
        raise GeometryError(
            f"the bone shows no plateau ({plateau}) and no malleolus",
            "Check which bone this is, and whether femur and tibia are swapped.",
            "tibia",
        )
    return _named(plateau, plafond, up, fibula, talus, side, missing)


def _named(
    plateau: Plateau | str, plafond: Plafond | str, up: FloatArray,
    fibula: Mesh | None, talus: Mesh | None, side: str | None, missing: list[str],
) -> TibiaPoints:  # fmt: skip
    """Put names to what both ends show."""
    notes: list[str] = []
    ankle = medial = lateral = None
    if isinstance(plafond, Plafond):
        ankle, medial = plafond.ankle_centre, plafond.medial_malleolus
        if medial is None:
            missing.append("medial malleolus: nothing reaches below the plafond")
        if fibula is not None:
            found = lateral_malleolus(fibula, up, ankle)
            lateral = None if isinstance(found, str) else found
            if isinstance(found, str):
                missing.append(f"lateral malleolus: {found}")
        elif medial is not None:
            lateral = ankle + (ankle - medial)
            notes.append(
                "no fibula: the malleolar axis runs from the medial malleolus through the middle of the plafond"
            )
        if talus is not None:
            dome = talar_dome(talus, up, ankle)
            if isinstance(dome, str):
                raise GeometryError(dome, "Check which bones these are.", "talus")
            ankle = dome
        else:
            notes.append("no talus: the ankle centre is the middle of the plafond")
    own = _side(plateau, medial, lateral, ankle)
    if own is not None and side is not None and own != side:
        raise GeometryError(
            f"this is a {own} tibia, not a {side} one",
            "Choose the other side, or check whether the image is mirrored.",
            "tibia",
        )
    side = side or own
    if isinstance(plateau, str):
        return TibiaPoints(
            side, up, None, None, None, None, None, None, ankle, medial, lateral, tuple(missing), tuple(notes)
        )
    if side is None:
        missing.append("side: neither malleolus is in view")
    turn = slice(None, None, -1 if side == "left" else 1)
    # From left to right is from medial to lateral on the right side.
    return TibiaPoints(
        side, up, plateau.knee_centre, plateau.joint_surfaces[turn], plateau.front_rims[turn], plateau.back_rims[turn],
        plateau.edges[turn], plateau.posterior_condyles[turn], ankle, medial, lateral, tuple(missing), tuple(notes),
    )  # fmt: skip


def _side(
    plateau: Plateau | str, medial: FloatArray | None, lateral: FloatArray | None, ankle: FloatArray | None
) -> str | None:
    """Return the side: medial is to the left of a right knee."""
    if isinstance(plateau, str) or medial is None or ankle is None:
        return None
    out = (ankle if lateral is None else lateral) - medial
    return "right" if out @ plateau.right > 0 else "left"


def _first_axes(bone: Mesh, up_ras: ArrayLike | None) -> tuple[FloatArray, ...]:
    """Return roughly the direction from ankle to knee, or two opposite ones of which one is it."""
    points, area = surface_points(bone)
    axis = principal_axis(points, area)
    length = float(np.ptp(points @ axis))
    if up_ras is not None:
        hint = unit(np.asarray(up_ras, dtype=np.float64))
        if length < _WHOLE_MM:
            return (hint,)
        return (axis if axis @ hint > 0 else -axis,)
    if length < _WHOLE_MM:
        raise GeometryError(
            f"only {length:.0f} mm of the bone are in view, so its axis cannot be told",
            "Give the direction from ankle to knee.",
            "tibia",
        )
    return (axis, -axis)


def _slice_areas(points: FloatArray, axis: FloatArray) -> FloatArray:
    """Return the area of the hull of each slice along an axis, upwards, mm2."""
    u, v = perpendicular_axes(axis)
    h = points @ axis
    bins = np.floor((h - h.min()) / _SLICE_MM).astype(int)
    areas = []
    for b in range(int(np.ptp(h) / _SLICE_MM) + 1):
        near = points[bins == b]
        areas.append(ConvexHull(near @ np.column_stack([u, v])).volume if len(near) > 8 else 0.0)
    return np.array(areas)


def _ends(bone: Mesh, up: FloatArray) -> tuple[Plateau | str, Plafond | str]:
    """Return what both ends show; an end that was cut off is no joint."""
    areas = _slice_areas(bone.vertices_ras, up)
    waist = 1 + int(np.argmin(areas[1:-1])) if len(areas) > 3 else 0
    cut = "the bone is cut off there"
    plateau: Plateau | str = cut
    plafond: Plafond | str = cut
    if cut_off_share(bone, up) < _CUT_OFF and areas[waist:].max() > _FLARE * areas[waist]:
        plateau = find_plateau(bone, up)
    if cut_off_share(bone, -up) < _CUT_OFF and areas[: waist + 1].max() > _FLARE * areas[waist]:
        plafond = find_plafond(bone, up)
    return plateau, plafond
