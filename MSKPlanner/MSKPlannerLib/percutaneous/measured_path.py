"""One way of a needle with all its measures, taken finely."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from MSKFusionLib.frames import FloatArray, transform_points
from MSKFusionLib.interpolation import interpolate
from MSKFusionLib.segmentation.labels import Segmentation

from .needle_path import NeedlePath
from .obstacles import Obstacles, labels_at
from .request import GAS, GAS_MARGIN_MM, PathRequest
from .skin import Skin

_FINE_MM = 0.5
#: A needle that meets the cortex flatter than this off its normal may slip along it.
_SLIPS_DEG = 60.0


def measured_path(
    skin: Skin,
    obstacles: Obstacles,
    request: PathRequest,
    entry: FloatArray,
    target: FloatArray,
    skin_deg: float,
    cost: float,
) -> NeedlePath | None:
    """Return a way with all its measures, None where it does not keep its room when it is measured finely."""
    length = float(np.linalg.norm(target - entry))
    axis = (target - entry) / length
    points = entry + np.arange(0.0, length + 0.5 * _FINE_MM, _FINE_MM)[:, None] * axis
    found = _free_distances_mm(skin, obstacles, points, request)
    rooms = dict(obstacles.margins_mm)
    rooms[GAS] = request.avoid_mm.get(GAS, GAS_MARGIN_MM)
    if any(mm < rooms.get(name, request.bone_margin_mm) for name, mm in found.items()):
        return None
    bone_mm: dict[str, float] = {}
    bone_deg, notes = None, []
    if obstacles.segmentation is not None:
        there = labels_at(obstacles.segmentation, points)
        for bone in obstacles.bones:
            at = np.flatnonzero(there == obstacles.segmentation[bone].value)
            if len(at):
                bone_mm[bone] = float(len(at) * _FINE_MM)
        if bone_mm:
            values = [obstacles.segmentation[b].value for b in bone_mm]
            bone_deg = _bone_angle_deg(obstacles.segmentation, values, points, there, axis)
            if bone_deg is not None and bone_deg > _SLIPS_DEG:
                notes.append(f"meets the bone {bone_deg:.0f} degrees off its normal: the needle may slip")
    outer = -axis
    # The table lies under the patient: across A for one who lies on back or belly, across R for one on the side.
    upright, aside = (0, 1) if request.position.endswith("side") else (1, 0)
    (er, ea, es), (tr, ta, ts) = (tuple(float(c) for c in p) for p in (entry, target))
    return NeedlePath(
        (er, ea, es),
        (tr, ta, ts),
        length,
        float(np.degrees(np.arcsin(np.clip(abs(axis[upright]), 0, 1)))),
        float(np.degrees(np.arctan2((1 if aside else -1) * outer[aside], abs(outer[upright])))),
        float(np.degrees(np.arcsin(np.clip(outer[2], -1, 1)))),
        skin_deg,
        bone_mm,
        bone_deg,
        found,
        cost,
        tuple(notes),
    )


def _free_distances_mm(skin: Skin, obstacles: Obstacles, points: FloatArray, request: PathRequest) -> dict[str, float]:
    """Return the free distance of a needle along points (N, 3), half a millimetre apart, to every structure within 40 mm.

    To the border of the label's outermost voxels, true to about half a voxel.
    """
    radius = request.needle_mm / 2
    out: dict[str, float] = {}
    if skin.gas.any():
        kji = np.argwhere(skin.gas & ~ndimage.binary_erosion(skin.gas))
        mm = float(cKDTree(transform_points(skin.grid_to_ras, kji[:, ::-1])).query(points)[0].min())
        out[GAS] = mm - 0.5 * skin.step_mm - radius
    segmentation = obstacles.segmentation
    if segmentation is not None:
        labels = segmentation.labels
        ijk = transform_points(labels.ras_to_ijk, points)
        room = 40.0 / labels.spacing_mm
        part = labels.cropped(np.floor(ijk.min(axis=0) - room), np.ceil(ijk.max(axis=0) + room) + 1)
        half = 0.5 * float(labels.spacing_mm.mean())
        wanted = {name: [name] for name in obstacles.margins_mm}
        blocking = obstacles.blocking_bones(request.bone)
        wanted |= {"bone": list(blocking)} if blocking else {}
        for name, members in wanted.items():
            mask = np.isin(part.voxels, [segmentation[m].value for m in members])
            if not mask.any():
                continue
            kji = np.argwhere(mask & ~ndimage.binary_erosion(mask))
            distance = cKDTree(transform_points(part.ijk_to_ras, kji[:, ::-1])).query(points)[0]
            within = np.isin(labels_at(segmentation, points), [segmentation[m].value for m in members])
            out[name] = float(np.where(within, -distance, distance - half).min()) - radius
    return dict(sorted(((n, v) for n, v in out.items() if v <= 40.0), key=lambda item: item[1]))


def _bone_angle_deg(
    segmentation: Segmentation, values: list[int], points: FloatArray, there: NDArray[np.int_], axis: FloatArray
) -> float | None:
    """Return the angle between a needle and the normal of the bone's surface where it first enters."""
    first = points[int(np.flatnonzero(np.isin(there, values))[0])]
    labels = segmentation.labels
    ijk = transform_points(labels.ras_to_ijk, first)
    room = 8.0 / labels.spacing_mm
    part = labels.cropped(np.floor(ijk - room), np.ceil(ijk + room) + 1)
    smooth = ndimage.gaussian_filter(np.isin(part.voxels, values).astype(np.float32), 2.0 / part.spacing_mm[::-1])

    def at(p: FloatArray) -> float:
        return float(interpolate(smooth, transform_points(part.ras_to_ijk, p)))

    rise = np.array([at(first + e) - at(first - e) for e in np.eye(3)])
    steep = float(np.linalg.norm(rise))
    return float(np.degrees(np.arccos(np.clip(rise @ axis / steep, -1, 1)))) if steep > 1e-6 else None
