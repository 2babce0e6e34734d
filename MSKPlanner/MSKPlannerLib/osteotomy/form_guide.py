"""Guides for cuts that are no single plane: a slot a facet of a biplanar wedge or a step, a row of holes along a dome's arc.

A dome has no flat face for a saw: holes are drilled side by side along its arc through a template, and joined with an
osteotome, as its usual technique is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import ndimage

from MSKFusionLib.errors import GeometryError, InputError, ProcessingError
from MSKFusionLib.frames import FloatArray, as_point, rotation_about, unit
from MSKFusionLib.progress import Progress, no_progress

from ..bone.region import Region
from ..guides.cut_options import CuttingGuideOptions
from ..guides.facets import Facet, led_together
from ..guides.field import Distance, distance_to
from ..guides.options import GuideOptions
from ..guides.pin_guide import PinGuide, design_pin_guide
from ..guides.pins import MOST_PINS
from ..guides.sawn_face import SawnFace
from ..guides.slots_guide import SlotsGuide, design_slots_guide
from ..mesh import Mesh
from ..plan import GuideScrew, Point
from ..plan_osteotomy import Osteotomy
from .plane import direction_of

#: An approach farther off the way that the saw goes through than this comes from another side.
_OFF_SAW_DEG = 50.0
#: A facet is looked at this far round its point, in such steps.
_REACH_MM, _STEP_MM = 80.0, 1.5
#: Steps along an arc; bone under a hole is at least so thick, and looks at the drill to within this cosine.
_ARC_STEP_MM, _THICK_MM, _SQUARE = 0.5, 3.0, 0.5
_LOOK_MM, _LOOK_STEP_MM = 120.0, 0.25
#: Sleeves stand clear of each other, and of what is cut flat round their ends: else slivers stand between them.
_APART_MM = 1.6


def design_facets_guide(
    osteotomy: Osteotomy,
    bone: Mesh,
    approach_ras: Point,
    options: CuttingGuideOptions | None = None,
    *,
    face: int = 1,
    label: str = "C1",
    neighbours: Sequence[Mesh] = (),
    insertion_direction_ras: Point | None = None,
    progress: Progress = no_progress,
) -> SlotsGuide:
    """Design the guide of a biplanar wedge or a step: a slot a facet, wires on both sides of the cut.

    Parameters
    ----------
    bone
        The surface that is cut.
    approach_ras
        From the bone to the surgeon: it tells from which side the saw comes, which goes along the cut's own direction.
    face
        Of a closing wedge: 1 leads the saw along its plane and the second plane, 2 along the face of the part that moves.

    Raises
    ------
    InputError
        For a cut that has no facets, or not this face.
    GeometryError
        When the approach is another side's, or a facet misses the bone.
    ProcessingError
        When no sound solid comes of it; the message names the operation and the place.
    """
    guides = led_together(osteotomy)
    if not guides:
        raise InputError(f"a {osteotomy.what} has no facets", "Give a biplanar wedge or a step.", where=osteotomy.name)
    if not 1 <= face <= len(guides):
        raise InputError(f"a {osteotomy.what} has no face {face}", "Leave the face out.", where=osteotomy.name)
    facets = guides[face - 1]
    outward = _outward(osteotomy, approach_ras)
    amid = np.mean([f.cut.point_ras for f in facets], axis=0)
    exact = distance_to(bone, Region.around(amid, _REACH_MM + 30.0))
    faces = [SawnFace(f.cut, (way := _within(outward, f)), _points(f, way, exact), f.limits) for f in facets]
    wish = CuttingGuideOptions() if options is None else options
    return design_slots_guide(
        bone,
        faces,
        wish,
        label=label,
        neighbours=neighbours,
        wire_sides=(1, -1),
        insertion_direction_ras=insertion_direction_ras,
        progress=progress,
    )


def saw_of(options: CuttingGuideOptions, osteotomy: Osteotomy) -> CuttingGuideOptions:
    """Return options with the kerf that an osteotomy is planned for."""
    kerf = osteotomy.planes[0].kerf_mm
    return replace(options, kerf_mm=kerf) if kerf else options


def design_dome_guide(
    osteotomy: Osteotomy,
    bone: Mesh,
    approach_ras: Point,
    options: GuideOptions,
    *,
    label: str = "C1",
    neighbours: Sequence[Mesh] = (),
    insertion_direction_ras: Point | None = None,
    progress: Progress = no_progress,
) -> PinGuide:
    """Design the template of holes along a dome's arc, all parallel to its axis; parameters as `design_facets_guide`.

    Raises
    ------
    InputError
        For a cut that is no dome.
    GeometryError
        When the approach is another side's.
    ProcessingError
        When bone under the arc gives no place for three holes, or needs too many.
    """
    holes = holes_on_dome(osteotomy, bone, approach_ras, options)
    return design_pin_guide(
        bone,
        holes,
        options,
        label=label,
        neighbours=neighbours,
        insertion_direction_ras=insertion_direction_ras,
        bars=True,
        progress=progress,
    )


def holes_on_dome(
    osteotomy: Osteotomy, bone: Mesh, approach_ras: Point, options: GuideOptions
) -> tuple[GuideScrew, ...]:
    """Return the holes along a dome's arc, as near to each other as their sleeves can stand, through the whole bone."""
    if osteotomy.form is None or osteotomy.form.name != "dome":
        raise InputError(f"a {osteotomy.what} is no dome", where=osteotomy.name)
    outward = _outward(osteotomy, approach_ras)
    apex, axis_point = np.array(osteotomy.planes[0].point_ras), np.array(osteotomy.hinge.point_ras)
    axis = unit(np.array(osteotomy.hinge.axis_ras))
    centre = axis_point + ((apex - axis_point) @ axis) * axis
    radius = float(np.linalg.norm(apex - centre))
    exact = distance_to(bone, Region.around(apex, _LOOK_MM))
    half = int(np.pi / 2 * radius / _ARC_STEP_MM)
    places = np.arange(-half, half + 1) * _ARC_STEP_MM
    ways = [
        _through(centre + rotation_about(axis, np.degrees(s / radius)) @ (apex - centre), outward, exact)
        for s in places
    ]
    good = np.array([w is not None for w in ways])
    if not good[half]:
        raise GeometryError("the apex of the dome lies beside the bone, or where a drill slips", where=osteotomy.name)
    low = high = half
    while low > 0 and good[low - 1]:
        low -= 1
    while high < len(good) - 1 and good[high + 1]:
        high += 1
    # A chord is shorter than its arc.
    apart = options.sleeve_diameter_mm + _APART_MM
    arc = 2 * radius * float(np.arcsin(min(1.0, apart / (2 * radius))))
    length = float(places[high] - places[low])
    count = int(length // arc) + 1
    if not 3 <= count <= MOST_PINS:
        raise ProcessingError(
            f"{osteotomy.name}: {count} holes fit on the {length:.0f} mm of its arc that a drill can enter, 3 to {MOST_PINS} make a "
            "guide; use a thinner or a thicker drill."
        )
    first = (places[low] + places[high] - (count - 1) * arc) / 2
    found = []
    for n in range(count):
        k = int(np.clip(round((first + n * arc - places[0]) / _ARC_STEP_MM), low, high))
        turned = rotation_about(axis, np.degrees((first + n * arc) / radius)) @ (apex - centre)
        way = _through(centre + turned, outward, exact) or ways[k]
        assert way is not None
        found.append(GuideScrew(f"hole {n + 1}", as_point(way[0]), as_point(way[1])))
    return tuple(found)


def _through(place: FloatArray, outward: FloatArray, bone: Distance) -> tuple[FloatArray, FloatArray] | None:
    """Return where a line through a place enters the bone from outside and leaves it for good; None where a drill slips."""
    along = np.arange(_LOOK_MM, -_LOOK_MM, -_LOOK_STEP_MM)
    d = bone.distance_mm(place + along[:, None] * outward)
    inside = np.flatnonzero(d < 0)
    if not len(inside) or inside[0] == 0 or inside[-1] == len(along) - 1:
        return None
    first, last = int(inside[0]), int(inside[-1])
    if (last - first) * _LOOK_STEP_MM < _THICK_MM:
        return None
    enters = along[first] + _LOOK_STEP_MM * -d[first] / (d[first - 1] - d[first])
    leaves = along[last] - _LOOK_STEP_MM * -d[last] / (d[last + 1] - d[last])
    entry = place + enters * outward
    if bone.distance_and_gradient(entry[None])[1][0] @ outward < _SQUARE:
        return None
    return np.asarray(entry), np.asarray(place + leaves * outward)


def _outward(osteotomy: Osteotomy, approach_ras: Point) -> FloatArray:
    """Return the way against the saw: the cut's own direction, to the side of the approach."""
    assert osteotomy.form is not None
    saw, approach = unit(np.array(osteotomy.form.saw_direction_ras)), direction_of(approach_ras, "--approach")
    off = float(np.degrees(np.arccos(np.clip(abs(saw @ approach), 0.0, 1.0))))
    if off > _OFF_SAW_DEG:
        way = " ".join(f"{x:.2f}" for x in saw)
        raise GeometryError(
            f"the approach stands {off:.0f} degrees off the way that this {osteotomy.what} is cut through",
            f"Come along it, or against it: {way} RAS.",
            where=osteotomy.name,
        )
    return saw * np.sign(saw @ approach)


def _within(outward: FloatArray, facet: Facet) -> FloatArray:
    """Return the way against the saw in a facet's plane: of the second face of a closing wedge it is turned by the wedge's angle."""
    normal = unit(np.array(facet.cut.normal_ras))
    return unit(outward - (outward @ normal) * normal)


def _points(facet: Facet, outward: FloatArray, bone: Distance) -> FloatArray:
    """Return points (N, 3) of the bone that a facet cuts: in its plane, below its limits, and in one piece with its point."""
    normal, point = unit(np.array(facet.cut.normal_ras)), np.array(facet.cut.point_ras)
    steps = np.arange(-_REACH_MM, _REACH_MM + 0.1, _STEP_MM)
    a, b = (g.reshape(-1, 1) for g in np.meshgrid(steps, steps, indexing="ij"))
    places = point + a * outward + b * np.cross(normal, outward)
    cut = bone.distance_mm(places) < 0
    for limit in facet.limits:
        cut &= (places - np.array(limit.point_ras)) @ np.array(limit.normal_ras) <= 0
    if not cut.any():
        raise GeometryError("the facet misses the bone", "Check bone and plan.", where=facet.cut.name)
    labels, _ = ndimage.label(cut.reshape(len(steps), len(steps)))
    found = np.flatnonzero(cut)
    nearest = found[int(np.linalg.norm(places[found] - point, axis=1).argmin())]
    return np.asarray(places[labels.ravel() == labels.ravel()[nearest]])
