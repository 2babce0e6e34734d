"""The plane facets of a cut that is made of several: a biplanar wedge, a step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MSKFusionLib.frames import FloatArray, rigid_about, rotation_about, transform_points, unit

from ..plan import GuideCut
from ..plan_osteotomy import Osteotomy

#: Cuts of plane facets; a dome has none.
FACETED = ("biplanar", "step")


@dataclass(frozen=True, eq=False)
class Facet:
    """One plane of such a cut.

    Parameters
    ----------
    cut
        The plane, its point amid the corners it ends at.
    limits
        Planes across it, through its corners: nothing of the facet lies above them.
    """

    cut: GuideCut
    limits: tuple[GuideCut, ...]


def facets_of(osteotomy: Osteotomy) -> tuple[Facet, ...]:
    """Return the facets of a cut in the order of its line; none for a cut of one plane, or a dome."""
    form = osteotomy.form
    if form is None or form.name not in FACETED:
        return ()
    corners, saw = np.array(form.corners_ras), unit(np.array(form.saw_direction_ras))
    hinge = hinge_of(osteotomy)
    found = []
    for k in range(len(corners) - 1):
        along = corners[k + 1] - corners[k]
        along = unit(along - (along @ saw) * saw)
        name = f"{osteotomy.name}, facet {k + 1}"
        limits = []
        if k > 0:
            limits.append(_cut(f"{name}, start", corners[k], -along))
        if k < len(corners) - 2:
            limits.append(_cut(f"{name}, end", corners[k + 1], along))
        # The plane of a biplanar wedge ends at its hinge; the ascending cut goes right through.
        if hinge is not None and k == 0:
            limits.append(hinge)
        # A facet that goes on beyond the bone is looked at near the corner where it begins.
        point = corners[1] if k == 0 else corners[k] if k == len(corners) - 2 else (corners[k] + corners[k + 1]) / 2
        found.append(Facet(_cut(name, point, np.cross(saw, along)), tuple(limits)))
    if len(osteotomy.planes) == 2:
        found = _closing(osteotomy, found)
    return tuple(found)


def led_together(osteotomy: Osteotomy) -> tuple[tuple[Facet, ...], ...]:
    """Return the facets that one guide leads a saw along, a guide each: the second face of a closing wedge has one of its own.

    The two faces lie millimetres apart at the cortex: there is no room for a wall between their slots.
    """
    facets = facets_of(osteotomy)
    if not facets or len(osteotomy.planes) == 1:
        return (facets,) if facets else ()
    return (facets[:2], facets[2:])


def _closing(osteotomy: Osteotomy, found: list[Facet]) -> list[Facet]:
    """Return the facets of a closing biplanar wedge: with the face of the part that moves, which ends where the first one does."""
    first, rising = found
    hinge, second = osteotomy.hinge, osteotomy.planes[1]
    turned = rigid_about(hinge.point_ras, rotation_about(hinge.axis_ras, osteotomy.angle_deg))
    name = f"{osteotomy.name}, facet 3"

    def moved(cut: GuideCut, title: str) -> GuideCut:
        return _cut(title, transform_points(turned, np.array(cut.point_ras)), turned[:3, :3] @ np.array(cut.normal_ras))

    other = Facet(
        GuideCut(name, moved(first.cut, name).point_ras, second.normal_ras),
        tuple(moved(c, c.name.replace("facet 1", "facet 3")) for c in first.limits),
    )
    form = osteotomy.form
    assert form is not None
    out = np.array(form.corners_ras[2]) - np.array(form.corners_ras[1])
    if out @ np.array(osteotomy.planes[0].normal_ras) > 0:
        return [first, rising, other]
    # An ascending plane begins at the face of the part that moves, on the other side of the wedge.
    limits = (GuideCut(f"{osteotomy.name}, facet 2, start", second.point_ras, second.normal_ras),)
    return [first, Facet(rising.cut, limits), other]


def hinge_of(osteotomy: Osteotomy) -> GuideCut | None:
    """Return where the saw of a wedge ends: a point of its hinge and the unit direction in the cut beyond it; None: nowhere."""
    if "wedge" not in osteotomy.kind:
        return None
    # The cut's frame is x from the hinge to where the saw enters, y against the hinge's axis, z the plane's normal.
    away = np.cross(np.array(osteotomy.hinge.axis_ras), np.array(osteotomy.planes[0].normal_ras))
    return _cut(f"{osteotomy.name}, hinge", np.array(osteotomy.hinge.point_ras), unit(away))


def names_of(osteotomy: Osteotomy) -> tuple[str, ...]:
    """Return all names that cuts of an osteotomy have in guides."""
    faces = (f"{osteotomy.name}, face {n}" for n in range(1, len(osteotomy.planes) + 1))
    return (osteotomy.name, *faces, *(f.cut.name for f in facets_of(osteotomy)))


def _cut(name: str, point: FloatArray, normal: FloatArray) -> GuideCut:
    a, b = ([float(x) for x in values] for values in (point, normal))
    return GuideCut(name, (a[0], a[1], a[2]), (b[0], b[1], b[2]))
