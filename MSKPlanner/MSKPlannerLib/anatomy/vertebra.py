"""The anatomical frame of one vertebra from its own shape: canal, symmetry plane, endplates, pedicles.

Nothing here assumes that the spine is parallel to the scanner; RAS only settles which end is up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage, optimize

from MSKFusionLib.boxes import mask_box, touches_border
from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import FloatArray, perpendicular_axes, rigid, rotation_about, transform_points, unit
from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.segmentation.labels import Segmentation

from ..bone.depth_field import DepthField
from ..bone.smooth_bone import smooth_bone
from .pedicle import Pedicle, find_pedicle

#: The canal is looked for along directions up to this far from the spine's course.
_TILT_LIMIT_DEG = 36.0
_PIXEL_MM = 1.5
#: Below this share of the bone that finds bone at its mirrored place, the symmetry plane means little.
_SYMMETRY_MINIMUM = 0.75
#: A canal narrower or wider than any adult's, with room on both sides (lumbar widths: Zhou et al. 2000, Eur Spine J 9:242).
_CANAL_WIDTH_MM = (8.0, 45.0)


@dataclass(frozen=True, eq=False)
class VertebraFrame:
    """Where a vertebra is and how it is turned.

    Parameters
    ----------
    centre_ras
        Middle of the vertebral body.
    right_ras, anterior_ras, superior_ras
        Unit axes, right-handed; right is the patient's.
    canal_centre_ras
        Middle of the spinal canal at the height of the body's middle.
    canal_width_mm, canal_depth_mm
        Free width (right-left) and depth (front-back) of the canal seen along it.
    body_width_mm, body_depth_mm, body_height_mm
        Size of the body through its centre.
    pedicles
        By side, ``left`` and ``right``; a side that was not found is missing.
    verdict, reasons
        Rejected where the evidence for the frame is poor.
    evidence
        The numbers behind the verdict.
    upper_endplate_deg
        How far the upper endplate rises forwards from the frame's axial plane, which halves the angle of the two endplates.
    """

    level: str
    centre_ras: FloatArray
    right_ras: FloatArray
    anterior_ras: FloatArray
    superior_ras: FloatArray
    canal_centre_ras: FloatArray
    canal_width_mm: float
    canal_depth_mm: float
    body_width_mm: float
    body_depth_mm: float
    body_height_mm: float
    pedicles: Mapping[str, Pedicle]
    verdict: Verdict = Verdict.ACCEPTED
    reasons: tuple[str, ...] = ()
    evidence: Mapping[str, float] = field(default_factory=dict)
    upper_endplate_deg: float = 0.0

    @property
    def axes_ras(self) -> FloatArray:
        """3x3, its columns are right, anterior and superior."""
        return np.stack([self.right_ras, self.anterior_ras, self.superior_ras], axis=1)

    @property
    def frame_to_ras(self) -> FloatArray:
        """4x4 from the vertebra's frame (x right, y anterior, z superior, mm from the body's centre) to RAS."""
        return rigid(self.axes_ras, self.centre_ras)

    def to_frame(self, points_ras: FloatArray) -> FloatArray:
        """Take RAS points (..., 3) into the vertebra's frame."""
        return np.asarray((np.asarray(points_ras) - self.centre_ras) @ self.axes_ras)

    def to_ras(self, points: FloatArray) -> FloatArray:
        """Take points (..., 3) of the vertebra's frame to RAS."""
        return np.asarray(transform_points(self.frame_to_ras, points))


def vertebra_frame(segmentation: Segmentation, level: str, *, depth: DepthField | None = None) -> VertebraFrame:
    """Return the frame of one labelled vertebra.

    The canal is the hole that the bone leaves open when it is looked at along the spine; the direction with the widest
    hole is the canal's. Front is where the thickest part, the body, lies. The symmetry plane is the one that mirrors
    the bone best onto itself, and the two endplates of the body share the tilt about the right axis.

    Parameters
    ----------
    depth
        The vertebra's depth field, where the caller has it already.

    Raises
    ------
    InputError
        When there is no such vertebra, or it is not wholly in view.
    GeometryError
        When no canal or no body can be found in the shape.
    """
    require_complete(segmentation, level)
    bone = smooth_bone(segmentation, level).field() if depth is None else depth
    points = _bone_points(bone)
    course = spine_course_ras(segmentation, level)
    canal = _find_canal(points, course, level)
    core = _body_core(bone)
    superior = canal.direction_ras
    anterior = unit(core - canal.centre_ras - ((core - canal.centre_ras) @ superior) * superior)
    axes = np.stack([np.cross(anterior, superior), anterior, superior], axis=1)
    axes, origin, symmetry = _mirror(bone, points, axes, canal.centre_ras)
    axes, body = _level_with_endplates(bone, axes, origin, core, level)
    centre = origin + axes @ np.array([0.0, 0.5 * (body.back + body.front), 0.5 * (body.bottom + body.top)])
    window = canal.window(axes, origin)
    canal_centre = origin + axes @ np.array(
        [window.mean(axis=0)[0], window.mean(axis=0)[1], 0.5 * (body.bottom + body.top)]
    )
    canal_width, canal_depth = (window[1] - window[0]).tolist()
    local = rigid(axes, centre)
    front_of_canal = float(body.back - 0.5 * (body.back + body.front))
    pedicles = {
        side: found
        for side, sign in (("right", 1.0), ("left", -1.0))
        if (found := find_pedicle(bone, local, sign, front_of_canal, canal_width, canal_depth)) is not None
    }
    evidence = {
        "symmetry": symmetry,
        "canal_width_mm": canal_width,
        "canal_area_mm2": canal.area_mm2,
        "canal_to_course_deg": float(np.degrees(np.arccos(np.clip(axes[:, 2] @ course, -1, 1)))),
    }
    reasons = _doubts(level, symmetry, canal_width, pedicles)
    return VertebraFrame(
        level,
        centre,
        axes[:, 0],
        axes[:, 1],
        axes[:, 2],
        canal_centre,
        canal_width,
        canal_depth,
        body.width,
        body.front - body.back,
        body.top - body.bottom,
        pedicles,
        Verdict.REJECTED if reasons else Verdict.ACCEPTED,
        reasons,
        evidence,
        body.upper_endplate_deg,
    )


def require_complete(segmentation: Segmentation, level: str) -> None:
    """Raise `InputError` for a vertebra that is not there or not wholly in view."""
    found = {s.name: s for s in segmentation.vertebrae}
    if level not in found:
        raise InputError(
            f"there is no vertebra {level}",
            f"There are: {', '.join(found) or 'none'}.",
            where=segmentation.labels.name,
        )
    mask = segmentation.mask(level)
    if not mask.any():
        raise InputError("the segment has no voxels", "Segment it again.", where=level)
    if not found[level].complete or touches_border(mask_box(mask), mask.shape):
        raise InputError(
            "the vertebra is not wholly in view", "Plan on a scan that shows all of it, or leave it out.", where=level
        )


def spine_course_ras(segmentation: Segmentation, level: str) -> FloatArray:
    """Return the unit direction of the spine (upwards) at a vertebra: from the neighbours' centres, else RAS superior."""
    chain = [s for s in segmentation.segments if s.kind in ("vertebra", "sacrum")]
    # Every third voxel or so: a course does not need more.
    stride = np.maximum(1, np.round(3.0 / segmentation.labels.spacing_mm)).astype(int)
    voxels = segmentation.labels.voxels[:: stride[2], :: stride[1], :: stride[0]]
    centres = ndimage.center_of_mass(voxels > 0, voxels, [s.value for s in chain])
    ijk_to_ras = segmentation.labels.ijk_to_ras @ np.diag([*stride, 1.0])
    places = {
        s.name: transform_points(ijk_to_ras, c[::-1])
        for s, c in zip(chain, centres, strict=True)
        if np.all(np.isfinite(c))
    }
    here = places[level]
    up = np.array([0.0, 0.0, 1.0])
    others = sorted((p for n, p in places.items() if n != level), key=lambda p: float(np.linalg.norm(p - here)))
    above = next((p for p in others if p[2] > here[2]), here)
    below = next((p for p in others if p[2] < here[2]), here)
    if np.linalg.norm(above - below) < 15.0:
        return up
    course = unit(above - below)
    # Centroids of vertebrae that are cut off mislead; a course far from upright is not believed.
    return course if course @ up > 0.5 else up


def _bone_points(bone: DepthField) -> FloatArray:
    """Return RAS points (N, 3) of the bone's inside on a grid of about 1 mm."""
    stride = max(1, round(1.25 / bone.step_mm))
    kji = np.argwhere(bone.depth[::stride, ::stride, ::stride] > 0) * stride
    return np.asarray(transform_points(bone.ijk_to_ras, kji[:, ::-1]))


def _body_core(bone: DepthField) -> FloatArray:
    """Return the middle of the thickest part: the inside of the body.

    In small bodies of the upper thoracic spine the articular pillars are more than half as thick, and the middle of it all lies in
    the canal: then it is the middle of the piece with the deepest point.
    """
    thick = bone.depth > 0.6 * bone.depth.max()
    middle = np.asarray(transform_points(bone.ijk_to_ras, np.argwhere(thick).mean(axis=0)[::-1]))
    if float(bone.depth_mm(middle)) > 0.6 * float(bone.depth.max()):
        return middle
    parts, _ = ndimage.label(thick)
    kji = np.argwhere(parts == parts.ravel()[int(bone.depth.argmax())])
    return np.asarray(transform_points(bone.ijk_to_ras, kji.mean(axis=0)[::-1]))


# ---------------------------------------------------------------------------------------------------------- canal
@dataclass(frozen=True, eq=False)
class _Canal:
    direction_ras: FloatArray
    centre_ras: FloatArray
    outline_ras: FloatArray
    area_mm2: float

    def window(self, axes: FloatArray, origin: FloatArray) -> FloatArray:
        """Return lower and upper bounds (2, 2) of the open canal along right and anterior from `origin`."""
        local = (self.outline_ras - origin) @ axes[:, :2]
        return np.stack([local.min(axis=0) - _PIXEL_MM / 2, local.max(axis=0) + _PIXEL_MM / 2])


def _find_canal(points_ras: FloatArray, course: FloatArray, level: str) -> _Canal:
    """Look along the spine, turn until the hole is widest."""
    middle = points_ras.mean(axis=0)
    u, v = perpendicular_axes(course)

    def look(tilt_u: float, tilt_v: float, closing: int) -> _Canal | None:
        direction = rotation_about(u, tilt_u) @ rotation_about(v, tilt_v) @ course
        return _hole_along(points_ras, middle, direction, closing)

    for closing in (1, 2, 3):
        best, at = None, (0.0, 0.0)
        step = 12.0
        tilts = np.arange(-_TILT_LIMIT_DEG, _TILT_LIMIT_DEG + 1, step)
        candidates = [(float(a), float(b)) for a in tilts for b in tilts if np.hypot(a, b) <= _TILT_LIMIT_DEG]
        while step > 1.0:
            for a, b in candidates:
                found = look(a, b, closing)
                if found is not None and (best is None or found.area_mm2 > best.area_mm2 + 1e-9):
                    best, at = found, (a, b)
            step /= 2
            candidates = [(at[0] + i * step, at[1] + j * step) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        if best is not None and best.area_mm2 >= 25.0:
            return best
    raise GeometryError(
        "no spinal canal was found in the shape: the arch is open or this is not a whole vertebra",
        "Check the segmentation of this vertebra.",
        where=level,
    )


def _hole_along(points_ras: FloatArray, middle: FloatArray, direction: FloatArray, closing: int) -> _Canal | None:
    """Return the largest hole in the shadow of the bone along a direction."""
    u, v = perpendicular_axes(direction)
    plane = np.stack([u, v], axis=1)
    flat = (points_ras - middle) @ plane
    low = flat.min(axis=0) - 6 * _PIXEL_MM
    pixel = ((flat - low) / _PIXEL_MM).astype(np.int64)
    shape = pixel.max(axis=0) + 7
    shadow = np.zeros(shape, dtype=bool)
    shadow[pixel[:, 0], pixel[:, 1]] = True
    shadow = ndimage.binary_closing(shadow, iterations=closing)
    labels, count = ndimage.label(ndimage.binary_fill_holes(shadow) & ~shadow)
    if count == 0:
        return None
    sizes = np.bincount(labels.ravel())[1:]
    inside = np.argwhere(labels == int(sizes.argmax()) + 1)
    outline = middle + ((inside + 0.5) * _PIXEL_MM + low) @ plane.T
    return _Canal(direction, outline.mean(axis=0), outline, float(sizes.max() * _PIXEL_MM**2))


# ---------------------------------------------------------------------------------------------------------- symmetry
def _mirror(
    bone: DepthField, points_ras: FloatArray, axes: FloatArray, origin: FloatArray
) -> tuple[FloatArray, FloatArray, float]:
    """Turn the axes and shift the origin until mirroring along the right axis maps the bone onto itself best."""
    sample = points_ras[:: max(1, len(points_ras) // 2000)]

    def placed(x: FloatArray) -> tuple[FloatArray, FloatArray]:
        turn = rotation_about(axes[:, 2], x[0]) @ rotation_about(axes[:, 1], x[1])
        return turn @ axes, origin + x[2] * axes[:, 0]

    def mirrored_depth(x: FloatArray) -> FloatArray:
        turned, at = placed(x)
        right = turned[:, 0]
        return bone.depth_mm(sample - 2 * ((sample - at) @ right)[:, None] * right)

    def cost(x: FloatArray) -> float:
        # A clipped depth rewards every point that stays in the bone, whatever the part's size, and has a slope.
        return float(-np.clip(mirrored_depth(x), -3.0, 1.0).mean())

    starts = [np.array([yaw, 0.0, 0.0]) for yaw in (0.0, -15.0, 15.0)]
    start = min(starts, key=cost)
    simplex = np.vstack([start, start + np.diag([6.0, 6.0, 2.0])])
    options = {"initial_simplex": simplex, "xatol": 0.1, "fatol": 1e-4, "maxfev": 200}
    best = optimize.minimize(cost, start, method="Nelder-Mead", options=options).x
    turned, at = placed(best)
    return turned, at, float((mirrored_depth(best) > -0.5).mean())


# ---------------------------------------------------------------------------------------------------------- body
@dataclass(frozen=True)
class _Body:
    """Extent of the body along the frame's axes, mm from the frame's origin, and how its upper endplate rises forwards."""

    back: float
    front: float
    bottom: float
    top: float
    width: float
    upper_endplate_deg: float


def _level_with_endplates(
    bone: DepthField, axes: FloatArray, origin: FloatArray, core: FloatArray, level: str
) -> tuple[FloatArray, _Body]:
    """Turn about the right axis until the endplates' mean tilt is nil; return the axes and the body's extent."""
    for _ in range(3):
        local = (core - origin) @ axes
        local[0] = 0.0
        back, front = _run(bone, axes, origin, local, 1)
        ys = np.linspace(back + 0.2 * (front - back), front - 0.12 * (front - back), 9)
        ends = [
            (y, *_run(bone, axes, origin, np.array([x, y, local[2]]), 2))
            for y in ys
            for x in (-8.0, -4.0, 0.0, 4.0, 8.0)
        ]
        table = np.array([e for e in ends if np.isfinite(e[1])])
        if len(table) < 15:
            raise GeometryError(
                "no vertebral body was found in front of the canal",
                "Check the segmentation of this vertebra.",
                where=level,
            )
        slopes = [_robust_slope(table[:, 0], table[:, column]) for column in (1, 2)]
        tilt = float(np.degrees(np.mean(np.arctan(slopes))))
        axes = rotation_about(axes[:, 0], tilt) @ axes
        if abs(tilt) < 0.2:
            break
    bottom, top = float(np.median(table[:, 1])), float(np.median(table[:, 2]))
    middle = np.array([0.0, 0.5 * (back + front), 0.5 * (bottom + top)])
    back, front = _run(bone, axes, origin, middle, 1)
    left, right = _run(bone, axes, origin, middle, 0)
    if not np.isfinite([back, front, left, right]).all():
        raise GeometryError("the vertebral body is hollow", "Check the segmentation of this vertebra.", where=level)
    upper_deg = float(np.degrees(np.arctan(slopes[1]))) - tilt  # it was measured before the last turn
    return axes, _Body(back, front, bottom, top, right - left, upper_deg)


def _run(bone: DepthField, axes: FloatArray, origin: FloatArray, start: FloatArray, axis: int) -> tuple[float, float]:
    """Return where the bone ends along a frame axis on both sides of a local start point (NaN when outside)."""
    t = np.arange(0.0, 45.0, 0.5)
    ends = []
    for sign in (-1.0, 1.0):
        line = start + (sign * t)[:, None] * np.eye(3)[axis]
        depth = bone.depth_mm(origin + line @ axes.T)
        outside = np.flatnonzero(depth < 0)
        if len(outside) == 0 or outside[0] == 0:
            return float("nan"), float("nan")
        i = int(outside[0])
        ends.append(start[axis] + sign * (t[i - 1] + 0.5 * depth[i - 1] / (depth[i - 1] - depth[i])))
    return float(ends[0]), float(ends[1])


def _robust_slope(x: FloatArray, y: FloatArray) -> float:
    """Return the median slope between pairs of points (Theil 1950, Sen 1968, doi 10.1080/01621459.1968.10480934)."""
    i, j = np.triu_indices(len(x), 1)
    apart = np.abs(x[i] - x[j]) > 3.0
    return float(np.median((y[i] - y[j])[apart] / (x[i] - x[j])[apart]))


def _doubts(level: str, symmetry: float, canal_width: float, pedicles: Mapping[str, Pedicle]) -> tuple[str, ...]:
    reasons = []
    if symmetry < _SYMMETRY_MINIMUM:
        reasons.append(f"{level} is not symmetric: only {100 * symmetry:.0f} % of it has bone at the mirrored place")
    if not _CANAL_WIDTH_MM[0] <= canal_width <= _CANAL_WIDTH_MM[1]:
        reasons.append(f"the canal of {level} would be {canal_width:.0f} mm wide, which no canal is")
    reasons += [f"the {side} pedicle of {level} was not found" for side in ("left", "right") if side not in pedicles]
    return tuple(reasons)
