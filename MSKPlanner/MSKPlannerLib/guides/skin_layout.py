"""Where the pads and bars of a frame on the skin stand: round the incisions, on skin that the frame can be put on from above."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from MSKFusionLib.errors import ProcessingError
from MSKFusionLib.frames import FloatArray, transform_points, unit

from ..mesh import Mesh
from .field import Distance
from .insertion import local_of
from .skin_options import SkinFrameOptions
from .sleeve import Sleeve

_STEP_MM = 2.0
#: Pads stand at most this far from the middle of the entries.
REACH_MM = 90.0
#: Skin steeper than this against the way off carries no pad.
_STEEPEST_DEG = 45.0
#: Between a pad and what it must keep off, seen from above.
_BETWEEN_MM = 3.0
#: A pad may stand this much to the side of its direction, and each degree counts as this much farther out.
_ASIDE_DEG, _ASIDE_COSTS_MM = (0.0, 8.0, -8.0, 16.0, -16.0), 1.5
#: The frame's plane is raised by such steps until its bars are off the skin, at most so far.
_RAISE_MM, _HIGHEST_MM = 2.0, 50.0
_ASKEW_COSTS_MM = 20.0
#: Every tube stands on so many bars to posts.
_LEGS = 2
#: Skin around an entry whose normals make the way off.
_AROUND_MM = 45.0


@dataclass(frozen=True, eq=False)
class Layout:
    """The parts of a frame in its own axes: u, v along the skin, w off it, origin amid the entries.

    Parameters
    ----------
    frame_to_ras
        Rigid 4x4.
    pads_uvw
        (P, 3) places on the skin, in order round the entries.
    posts_uvw
        (P, 3) the bars' corners above them, all at one height.
    bars_uvw
        (B, 2, 3) ends of all bars: round, to the tubes, and from tube to tube.
    plate_uv
        Where the name stands.
    """

    frame_to_ras: FloatArray
    pads_uvw: FloatArray
    posts_uvw: FloatArray
    bars_uvw: FloatArray
    plate_uv: FloatArray


def skin_frame_axes(surface: Mesh, sleeves: Sequence[Sleeve]) -> FloatArray:
    """Return the 4x4 of a frame: its z is the mean normal of the skin round the entries, its x points to the right.

    Raises
    ------
    ProcessingError
        When the skin there looks every way: no frame can be put on it from one side.
    """
    entries = np.array([s.entry_ras for s in sleeves])
    centre = entries.mean(axis=0)
    outward = unit(np.sum([s.outward_ras for s in sleeves], axis=0))
    vectors = surface.face_area_vectors
    near = np.linalg.norm(surface.triangles_ras.mean(axis=1) - centre, axis=1) < _AROUND_MM
    near &= vectors @ outward > 0
    total = vectors[near].sum(axis=0)
    area = float(np.linalg.norm(vectors[near], axis=1).sum())
    if area <= 0 or np.linalg.norm(total) < 0.5 * area:
        raise ProcessingError("The skin round the entries bends too much for a frame; plan the ways from one side.")
    w = unit(total)
    # As the one who stands before it reads: right on the right hand where the skin looks back, up is towards the head.
    head = np.array([0.0, 0.0, 1.0]) if abs(w[2]) < 0.9 else np.array([0.0, 1.0, 0.0])
    u = unit(np.cross(head, w))
    return np.vstack([np.column_stack([u, np.cross(w, u), w, centre]), [0, 0, 0, 1]])


def plan_layout(
    skin: Distance,
    surface: Mesh,
    sleeves: Sequence[Sleeve],
    frame: FloatArray,
    options: SkinFrameOptions,
    plate_half_uv: FloatArray,
) -> Layout:
    """Place the pads round the entries, each as near as incisions and tubes allow, and the bars between them.

    Parameters
    ----------
    frame
        The frame's axes (`skin_frame_axes`).
    plate_half_uv
        Half size of the plate with the name.

    Raises
    ------
    ProcessingError
        When there is no skin for a pad in some direction, or the bars cannot keep off the skin.
    """
    # Off any round number: a line through an edge of the surface may miss both of its triangles.
    axis = np.arange(-REACH_MM, REACH_MM + 1e-6, _STEP_MM) + 0.1371
    top = heights_of(surface, frame, axis)
    steep = _steepness(top)
    entries = local_of(np.array([s.entry_ras for s in sleeves]), frame)
    ends = local_of(np.array([s.end_ras for s in sleeves]), frame)
    count = int(options.pads)
    pads = np.array(
        [_pad(360.0 / count * (n + 0.5), axis, top, steep, entries, ends, options, frame) for n in range(count)]
    )
    tubes = local_of(np.array([s.at(options.standoff_mm + options.tube_length_mm / 2) for s in sleeves]), frame)
    lowest = float(pads[:, 2].max()) + options.pad_thickness_mm + options.bar_diameter_mm / 2
    share = np.linspace(0.0, 1.0, 15)[:, None, None]
    beside = (
        (tubes + 2 * (share - 0.5) * (ends - tubes)).reshape(-1, 3)[:, :2],
        options.tube_diameter_mm / 2 + _BETWEEN_MM,
    )
    best: Layout | None = None
    most = -1
    for height in np.arange(lowest, lowest + _HIGHEST_MM, _RAISE_MM):
        posts = np.column_stack([pads[:, :2], np.full(count, height)])
        joints = np.concatenate([posts, tubes])
        pairs = _chosen(
            joints,
            count,
            lambda some: _clear(joints[some], skin, sleeves, frame, options),  # noqa: B023  used at once
        )
        # As many bars round the posts as there can be make it stiff, and give the name a place.
        level = -1 if pairs is None else int((pairs < count).all(axis=1).sum())
        if pairs is not None and level > most:
            most = level
            place = _plate_place(joints[pairs], pairs, count, plate_half_uv, options.bar_diameter_mm / 2, beside)
            best = Layout(frame, pads, posts, joints[pairs], place)
        if most == count:
            break
    if best is not None and most > 0:
        return best
    raise ProcessingError(
        f"The bars of the frame do not keep {options.bar_above_mm:g} mm off the skin and out of the incisions; make the "
        "tubes longer, or the incisions smaller."
    )


def _plate_place(
    bars: FloatArray,
    pairs: NDArray[np.int64],
    count: int,
    half_uv: FloatArray,
    radius: float,
    beside: tuple[FloatArray, float],
) -> FloatArray:
    """Return where the name stands: outside a bar between two posts, the one that leaves most room beside its posts.

    The bars to the tubes rise inwards from the posts: outside nothing but a leaning tube stands in the way of the plate's
    flat top.

    Parameters
    ----------
    beside
        Places (N, 2) on the tubes' axes, and how far from them the plate stays.
    """
    best: FloatArray = np.zeros(2)
    most = -np.inf
    for a, b in bars[np.flatnonzero(np.all(pairs < count, axis=1))]:
        along, middle = unit((b - a)[:2]), (a + b)[:2] / 2
        out = np.array([along[1], -along[0]])
        out = out if out @ middle > 0 else -out
        room = float(np.linalg.norm(b - a) / 2 - np.abs(along) @ half_uv) - radius
        # A plate that stands askew to its bar hangs on a corner.
        room -= _ASKEW_COSTS_MM * float(np.abs(along).min())
        place = middle + (np.abs(out) @ half_uv - radius) * out
        off = np.maximum(np.abs(beside[0] - place) - half_uv, 0.0)
        room = min(room, 4.0 * (float(np.linalg.norm(off, axis=1).min()) - beside[1]))
        if room > most:
            most, best = room, np.asarray(place)
    return best


def heights_of(surface: Mesh, frame: FloatArray, axis: FloatArray) -> FloatArray:
    """Return the height (N, N) of the skin over a square of columns, NaN where there is none: the highest first met."""
    import vtk

    locator = vtk.vtkStaticCellLocator()
    locator.SetDataSet(surface.to_polydata())
    locator.BuildLocator()
    out = np.full((len(axis), len(axis)), np.nan)
    t, x, coords, sub, cell = vtk.mutable(0.0), [0.0] * 3, [0.0] * 3, vtk.mutable(0), vtk.mutable(0)
    far = 2 * REACH_MM
    starts = transform_points(frame, np.stack(np.meshgrid(axis, axis, [far], indexing="ij"), axis=-1)[:, :, 0])
    for n, row in enumerate(starts):
        for m, start in enumerate(row):
            if locator.IntersectWithLine(start, start - 2 * far * frame[:3, 2], 1e-4, t, x, coords, sub, cell):
                out[n, m] = far * (1 - 2 * float(t))
    return out


def _steepness(top: FloatArray) -> NDArray[np.bool_]:
    """Return where no pad may rest: no skin, or skin steeper than the limit."""
    rise = np.hypot(*np.gradient(np.where(np.isfinite(top), top, 0.0), _STEP_MM))
    hole = ndimage.binary_dilation(~np.isfinite(top), iterations=2)
    return np.asarray(hole | (rise > np.tan(np.radians(_STEEPEST_DEG))))


def _pad(
    angle_deg: float,
    axis: FloatArray,
    top: FloatArray,
    steep: NDArray[np.bool_],
    entries: FloatArray,
    ends: FloatArray,
    options: SkinFrameOptions,
    frame: FloatArray,
) -> FloatArray:
    """Return the place (u, v, w) of the pad in a direction."""
    radius = options.pad_diameter_mm / 2
    best, cost = None, np.inf
    for aside in _ASIDE_DEG:
        way = np.array([np.cos(np.radians(angle_deg + aside)), np.sin(np.radians(angle_deg + aside))])
        # Outside all entries, so that the frame stands round them.
        first = float((entries[:, :2] @ way).max()) + options.incision_radius_mm + radius
        for r in np.arange(first, REACH_MM - radius - 2 * _STEP_MM, _STEP_MM):
            if r + _ASIDE_COSTS_MM * abs(aside) >= cost:
                break
            place = r * way
            if _free(place, radius, axis, steep, entries, ends, options):
                best, cost = place, r + _ASIDE_COSTS_MM * abs(aside)
                break
    if best is None:
        towards = frame[:3, :2] @ [np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))]
        raise ProcessingError(
            f"There is no skin for a pad towards {' '.join(f'{x:+.2f}' for x in towards)} RAS of the entries: it is steep, or "
            "outside the image; make the pads smaller or fewer, or give an image that shows more."
        )
    index = np.rint((best - axis[0]) / _STEP_MM).astype(int)
    return np.array([*best, top[index[0], index[1]]])


def _free(
    place: FloatArray,
    radius: float,
    axis: FloatArray,
    steep: NDArray[np.bool_],
    entries: FloatArray,
    ends: FloatArray,
    options: SkinFrameOptions,
) -> bool:
    """Tell whether a pad finds skin all over and keeps off incisions and tubes, seen from above."""
    a, b = entries[:, :2], ends[:, :2]
    t = np.clip(((place - a) * (b - a)).sum(axis=1) / np.maximum(((b - a) ** 2).sum(axis=1), 1e-9), 0, 1)
    to_tube = np.linalg.norm(place - a - t[:, None] * (b - a), axis=1).min() - options.tube_diameter_mm / 2
    to_entry = np.linalg.norm(place - a, axis=1).min() - options.incision_radius_mm
    if min(to_tube, to_entry) < radius + _BETWEEN_MM:
        return False
    disc = np.hypot(axis[:, None] - place[0], axis[None, :] - place[1]) <= radius + _STEP_MM
    return not bool(steep[disc].any())


def _chosen(
    joints: FloatArray, posts: int, clear: Callable[[NDArray[np.int64]], NDArray[np.bool_]]
) -> NDArray[np.int64] | None:
    """Return the bars (B, 2) as pairs of joints: round the posts, from every tube to two posts, from tube to tube.

    Of those that are clear; a tube's posts are the nearest that it has a clear bar to. None where they do not hang together.
    """
    tubes = np.arange(posts, len(joints))
    round_ = np.array([[n, (n + 1) % posts] for n in range(posts)])
    between = np.array(list(pairwise(tubes)), dtype=np.int64).reshape(-1, 2)
    legs = [np.array([[t, n] for n in np.argsort(np.linalg.norm(joints[:posts] - joints[t], axis=1))]) for t in tubes]
    kept = [some[clear(some)] for some in (round_, between) if len(some)]
    kept += [leg[clear(leg)][:_LEGS] for leg in legs]
    pairs = np.concatenate(kept)
    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(joints),) * 2)
    stiff = all(len(leg) == _LEGS for leg in kept[-len(tubes) :])
    return pairs if stiff and connected_components(graph, directed=False)[0] == 1 else None


def _clear(
    bars: FloatArray, skin: Distance, sleeves: Sequence[Sleeve], frame: FloatArray, options: SkinFrameOptions
) -> NDArray[np.bool_]:
    """Return which bars (B, 2, 3) keep off the skin and out of the incisions' zones."""
    share = np.linspace(0.0, 1.0, 61)[None, :, None]
    points = transform_points(frame, bars[:, :1] * (1 - share) + bars[:, 1:] * share)
    radius = options.bar_diameter_mm / 2
    off = skin.distance_mm(points.reshape(-1, 3)).reshape(points.shape[:2])
    good = off.min(axis=1) >= radius + options.bar_above_mm
    for s in sleeves:
        offset = points - s.entry_ras
        along = offset @ s.outward_ras
        radial = np.sqrt(np.maximum((offset**2).sum(axis=2) - along**2, 0.0))
        zone = np.maximum(radial - options.incision_radius_mm, along - options.standoff_mm)
        good &= zone.min(axis=1) >= radius
    return np.asarray(good)
