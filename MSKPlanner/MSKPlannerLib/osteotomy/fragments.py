"""A bone cut into fragments: every one closed, and nothing lost but the saw dust."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from MSKFusionLib.errors import GeometryError, InputError, ProcessingError

from ..guides.solid import from_manifold, to_manifold
from ..mesh import Mesh
from .bodies import contains, joined, solid_bodies
from .cuts import Cut, PlaneCut, SheetCut
from .plane import point_of
from .plane_split import split_by_plane
from .sheet_solid import side_solid, slot_solid

#: What is smaller than this is a crumb between cuts, not a fragment that anybody could hold.
_CRUMB_MM3 = 1.0
#: Volumes add up to this share of the bone.
_VOLUME_SHARE = 1e-4


@dataclass(frozen=True, eq=False)
class CutBone:
    """A bone and what cuts make of it.

    Parameters
    ----------
    bone
        The bone as it was.
    cuts
        What was cut, in this order.
    fragments
        Closed, in the place where they were; the largest first.
    kerf
        What the saws took, one mesh a cut (empty for a saw without thickness), closed.
    crumb_count, crumbs_mm3
        Pieces below 1 mm3 that were left out of the fragments, and their volume.
    """

    bone: Mesh
    cuts: tuple[Cut, ...]
    fragments: tuple[Mesh, ...]
    kerf: tuple[Mesh, ...]
    crumb_count: int
    crumbs_mm3: float

    @property
    def kerf_mm3(self) -> float:
        """Bone lost to the saws, mm3."""
        return float(sum(k.volume_mm3 for k in self.kerf))

    @property
    def volume_error_share(self) -> float:
        """By how much fragments, kerf and crumbs miss the bone's volume, as a share of it."""
        parts = sum(f.volume_mm3 for f in self.fragments) + self.kerf_mm3 + self.crumbs_mm3
        return abs(parts - self.bone.volume_mm3) / self.bone.volume_mm3

    def rejoined(self) -> Mesh:
        """Return the bone as it was before the cuts, to the last bit."""
        return self.bone

    def fragment_at(self, point_ras: ArrayLike) -> int:
        """Return which fragment a point belongs to: the one round it, else the one whose surface is nearest."""
        point = point_of(point_ras, "point of a fragment")
        for n, fragment in enumerate(self.fragments):
            if contains(fragment, point):
                return n
        return int(np.argmin([np.linalg.norm(f.vertices_ras - point, axis=1).min() for f in self.fragments]))


def cut_bone(bone: Mesh, cuts: Sequence[Cut]) -> CutBone:
    """Return what is left of a bone after all cuts.

    Parameters
    ----------
    bone
        Closed and outward, RAS mm; it is not changed.
    cuts
        Carried out one after the other; the order does not change the fragments.

    Raises
    ------
    InputError
        Without cuts, or when the bone's surface is not closed or inside out.
    GeometryError
        When a cut misses the bone, or a plane takes nothing off it but a shaving.
    ProcessingError
        When a fragment does not close or the volumes do not add up; it names the cut.
    """
    if not cuts:
        raise InputError("no cut is given", "Add at least one plane.", where="osteotomy")
    if not bone.is_closed:
        raise InputError(
            "the surface of the bone is not closed", "Make it again from the segmentation.", where="osteotomy"
        )
    if bone.volume_mm3 <= 0:
        raise InputError("the surface of the bone is inside out", "Turn its faces over.", where="osteotomy")
    pieces, kerf = [bone], []
    for cut in cuts:
        pieces, lost = _plane(pieces, cut) if isinstance(cut, PlaneCut) else _sheet(pieces, cut)
        kerf.append(lost)
        _check_closed([*pieces, *([lost] if len(lost.faces) else [])], cut.name)
    bodies = [body for piece in pieces for body in solid_bodies(piece)]
    fragments = sorted((b for b in bodies if b.volume_mm3 >= _CRUMB_MM3), key=lambda b: -b.volume_mm3)
    crumbs = [b.volume_mm3 for b in bodies if b.volume_mm3 < _CRUMB_MM3]
    if not fragments:
        raise GeometryError("the saws leave nothing of the bone", "Use a thinner saw or fewer cuts.", where="osteotomy")
    result = CutBone(bone, tuple(cuts), tuple(fragments), tuple(kerf), len(crumbs), float(sum(crumbs)))
    if result.volume_error_share > _VOLUME_SHARE:
        names = ", ".join(c.name for c in cuts)
        raise ProcessingError(f"{names}: the volumes of the fragments do not add up to the bone's.")
    return result


def _plane(pieces: list[Mesh], cut: PlaneCut) -> tuple[list[Mesh], Mesh]:
    """Cut all pieces by one plane with its kerf."""
    kept: list[Mesh] = []
    lost: list[Mesh] = []
    sides = [0, 0]
    for piece in pieces:
        above, rest = split_by_plane(piece, cut.plane.shifted(cut.kerf_mm / 2))
        if cut.kerf_mm and len(rest.faces):
            dust, rest = split_by_plane(rest, cut.plane.shifted(-cut.kerf_mm / 2))
            lost += [dust] if len(dust.faces) else []
        kept += [half for half in (above, rest) if len(half.faces)]
        sides = [sides[0] + len(above.faces), sides[1] + len(rest.faces)]
    if not all(sides):
        gap = min(float(np.abs(cut.plane.height_mm(p.vertices_ras)).min()) for p in pieces)
        if lost or gap < 1e-3:
            raise GeometryError(
                "the plane runs along the surface of the bone and cuts nothing off it",
                "Move it into the bone.",
                cut.name,
            )
        raise GeometryError(f"the plane misses the bone by {gap:.1f} mm", "Move it into the bone.", cut.name)
    return kept, joined(lost)


def _sheet(pieces: list[Mesh], cut: SheetCut) -> tuple[list[Mesh], Mesh]:
    """Cut all pieces by a sheet, through exact booleans."""
    origin = cut.frame_to_ras[:3, 3]
    reach = 10.0 + 1.1 * max(float(np.linalg.norm(p.vertices_ras - origin, axis=1).max()) for p in pieces)
    solid = slot_solid(cut, reach) if cut.kerf_mm else side_solid(cut, reach)
    kept: list[Mesh] = []
    lost: list[Mesh] = []
    touched = False
    for piece in pieces:
        inside, outside = to_manifold(piece, f"{cut.name}: bone").split(solid)
        for part in (inside, outside):
            if part.status().name != "NoError":
                raise ProcessingError(f"{cut.name}: the cut bone does not close ({part.status().name}).")
        if inside.is_empty() or (outside.is_empty() and not cut.kerf_mm):
            kept.append(piece)
            continue
        touched = True
        (lost if cut.kerf_mm else kept).append(from_manifold(inside))
        if not outside.is_empty():
            kept.append(from_manifold(outside))
    if not touched:
        raise GeometryError("the cut misses the bone", "Move it into the bone, or let the saw reach farther.", cut.name)
    return kept, joined(lost)


def _check_closed(meshes: list[Mesh], name: str) -> None:
    for mesh in meshes:
        if not mesh.is_closed:
            place = mesh.edge_counts
            corner = next(
                (v for v in (place.open_vertex, place.crowded_vertex, place.same_way_vertex) if v is not None), None
            )
            at = "" if corner is None else " near ({:.1f}, {:.1f}, {:.1f}) RAS mm".format(*mesh.vertices_ras[corner])
            raise ProcessingError(f"{name}: the cut face does not close{at}.")
