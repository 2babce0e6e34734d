"""Pelvic incidence, sacral slope and pelvic tilt: from the sacrum's endplate and the hip joints' centres."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import FloatArray, transform_points, unit
from MSKFusionLib.segmentation.labels import Segmentation

from ..bone.smooth_bone import SmoothBone
from ..bone.surface import surface_of_depth
from .pelvis import HIPS, SACRUM, SacralFrame, displacement_mm, sacral_frame, symmetry_plane
from .sphere_fit import find_ball
from .spine_angles import SpineAngle

#: What a user may place instead of what is found.
PLACEABLE = ("left hip centre", "right hip centre", "endplate front", "endplate back")
_HIP_STEP_MM, _ENDPLATE_STEP_MM = 1.5, 1.0
#: The hollow of a hip joint in bone, cartilage included, and how well it has to be one.
_HOLLOW_RADIUS_MM = (18.0, 34.0)
_LEAST_SEEN, _MOST_RMS_MM = 0.3, 2.0
#: Radii of one person's two hip joints differ by less.
_RADII_DIFFER_MM = 3.0
#: Where the endplate of S1 is looked for: beside the midline, behind the canal's front (its back edge), before the body found,
#: below its top. The plane is fitted to what lies a little before the canal's front.
_ENDPLATE_HALF_MM, _ENDPLATE_BEHIND_MM, _ENDPLATE_BEFORE_MM, _ENDPLATE_BELOW_MM = 16.0, 6.0, 15.0, 25.0
_FITTED_BEFORE_CANAL_MM = 1.0
#: Passes of the plane fit: triangles that face it within this cosine, and lie within this of it, mm.
_PASSES = ((0.6, 8.0), (0.7, 5.0), (0.8, 3.0), (0.85, 2.5), (0.85, 2.5), (0.85, 2.5))
#: Its front and back edges are taken in a strip of this half width.
_EDGE_STRIP_MM = 6.0
_LEAST_ENDPLATE_MM2 = 250.0
_MOST_ENDPLATE_RMS_MM = 1.3
#: Above this the pelvis does not hold together as it did before an injury (see `pelvis.displacement_mm`).
_MOST_DISPLACED_MM = 5.0
#: A placed point farther from its bone than this belongs elsewhere.
_FARTHEST_PLACED_MM = 45.0
_LEGAYE = "Legaye et al. 1998, doi 10.1007/s005860050038"
_VIALLE = "standing adults: Vialle et al. 2005, doi 10.2106/JBJS.D.02043"


@dataclass(frozen=True, eq=False)
class Endplate:
    """The upper endplate of the sacrum as a plane.

    Parameters
    ----------
    middle_ras, normal_ras
        (3,) middle between its front and back edge in the midline, mm, and unit normal upwards.
    depth_mm
        From its front to its back edge.
    rms_mm
        Of the bone's surface from the plane; NaN where its edges were placed.
    """

    middle_ras: FloatArray
    normal_ras: FloatArray
    depth_mm: float
    rms_mm: float


@dataclass(frozen=True, eq=False)
class Spinopelvic:
    """How the sacrum sits between the hips.

    Parameters
    ----------
    endplate
        Of S1.
    hip_centres_ras
        (3,) each, ``left`` and ``right``.
    right_ras
        Unit normal of the pelvis's sagittal plane, in which all angles are measured.
    incidence_deg, slope_deg, tilt_deg
        Incidence is slope and tilt together; slope and tilt are against the scanner's long axis.
    doubts
        Why they may be wrong; empty where nothing speaks against them.
    """

    endplate: Endplate
    hip_centres_ras: Mapping[str, FloatArray]
    right_ras: FloatArray
    incidence_deg: float
    slope_deg: float
    tilt_deg: float
    doubts: tuple[str, ...] = ()

    @property
    def angles(self) -> tuple[SpineAngle, ...]:
        """The three as they are told."""
        axis = 0.5 * (self.hip_centres_ras["left"] + self.hip_centres_ras["right"])
        per_mm = float(np.degrees(1.0 / np.linalg.norm(axis - self.endplate.middle_ras)))
        doubt = "; ".join(self.doubts)
        incidence = f"usually 44 to 65 ({_VIALLE}); 1 mm at the hip axis is {per_mm:.1f} deg"
        plane = "in the pelvis's sagittal plane"
        return (
            SpineAngle(
                "Pelvic incidence", self.incidence_deg, SACRUM, "hip axis",
                f"Between the normal of the S1 endplate and the line from its middle to the middle of the hip centres, {plane}.",
                _LEGAYE, f"{incidence}; {doubt}" if doubt else incidence,
            ),
            SpineAngle(
                "Sacral slope", self.slope_deg, SACRUM, "scanner",
                f"Of the S1 endplate against the scanner's cross-section, {plane}.", _LEGAYE,
                "lying; standing it differs",
            ),
            SpineAngle(
                "Pelvic tilt", self.tilt_deg, SACRUM, "hip axis",
                f"Of the line from the hip axis to the middle of the S1 endplate against the scanner's long axis, {plane}; "
                "positive with the hips in front.",
                _LEGAYE, "lying; standing it differs",
            ),
        )  # fmt: skip


def measure_pelvis(segmentation: Segmentation, placed_ras: Mapping[str, FloatArray] | None = None) -> Spinopelvic:
    """Measure how the sacrum sits between the hips.

    The endplate is a plane fitted to the upper surface of the S1 body; the hip centres are the balls of which the hollows of
    the hip bones show most. Angles are those of Legaye et al. 1998, in the plane that mirrors one hip bone onto the other.

    Parameters
    ----------
    segmentation
        With ``S1``, ``hip_left`` and ``hip_right`` (see `pelvic_bones.pelvic_bones`).
    placed_ras
        Points (3,), mm, that a user placed, by the names in `PLACEABLE`; they count instead of what would be found.

    Raises
    ------
    GeometryError
        When a bone is missing, left and right are swapped, or endplate or a hip joint cannot be told.
    InputError
        When a placed point has another name, only one edge of the endplate is given, or one lies far from its bone.
    """
    placed = dict(placed_ras or {})
    _check_placed(segmentation, placed)
    edges = [placed.get(name) for name in PLACEABLE[2:]]
    if edges[0] is not None and edges[1] is not None:
        right = symmetry_plane(segmentation)[1]
        plate = _placed_endplate(edges[0], edges[1], right)
    else:
        frame = sacral_frame(segmentation)
        right = np.asarray(frame.axes_ras[:, 0])
        plate = find_endplate(segmentation, frame)
    centres, doubts, radii = {}, [], {}
    for side in HIPS:
        given = placed.get(f"{side} hip centre")
        if given is None:
            centres[side], radii[side] = find_hip_centre(segmentation, side)
        else:
            centres[side] = np.asarray(given, dtype=np.float64)
    if len(radii) == 2 and abs(radii["left"] - radii["right"]) > _RADII_DIFFER_MM:
        doubts.append(f"the hip joints have radii of {radii['left']:.0f} and {radii['right']:.0f} mm")
    displaced = displacement_mm(segmentation)
    if displaced > _MOST_DISPLACED_MM:
        doubts.append(f"the pelvis's bones are displaced by about {displaced:.0f} mm")
    if plate.rms_mm > _MOST_ENDPLATE_RMS_MM:
        doubts.append(f"the S1 endplate is uneven by {plate.rms_mm:.1f} mm")
    return _measured(plate, centres, right, tuple(doubts))


def _measured(
    plate: Endplate, centres: Mapping[str, FloatArray], right: FloatArray, doubts: tuple[str, ...]
) -> Spinopelvic:
    up = unit(np.array([0.0, 0.0, 1.0]) - right[2] * right)
    front = np.cross(up, right)
    to_axis = 0.5 * (centres["left"] + centres["right"]) - plate.middle_ras
    slope = float(np.degrees(np.arctan2(plate.normal_ras @ front, plate.normal_ras @ up)))
    tilt = float(np.degrees(np.arctan2(to_axis @ front, -(to_axis @ up))))
    return Spinopelvic(plate, centres, right, slope + tilt, slope, tilt, doubts)


def find_endplate(segmentation: Segmentation, frame: SacralFrame) -> Endplate:
    """Fit a plane to the upper surface of the S1 body.

    Raises
    ------
    GeometryError
        When there is no even surface above the S1 body.
    """
    field = SmoothBone.of_mask(segmentation.labels, segmentation.mask(SACRUM), where=SACRUM).field(_ENDPLATE_STEP_MM)
    mesh = surface_of_depth(field)
    area = np.linalg.norm(mesh.face_area_vectors, axis=1)
    facing = mesh.face_area_vectors / np.maximum(area, 1e-12)[:, None] @ frame.axes_ras
    places = transform_points(np.linalg.inv(frame.frame_to_ras), mesh.triangles_ras.mean(axis=1))
    back, front = frame.body_y_mm[0]
    near = (
        (np.abs(places[:, 0]) < _ENDPLATE_HALF_MM)
        & (places[:, 1] > back - _ENDPLATE_BEHIND_MM)
        & (places[:, 1] < front + _ENDPLATE_BEFORE_MM)
        & (places[:, 2] > frame.endplate_z_mm - _ENDPLATE_BELOW_MM)
    )
    places, facing, area = places[near], facing[near], area[near]
    body = places[:, 1] > back + _FITTED_BEFORE_CANAL_MM
    normal, level, chosen = np.array([0.0, 0.0, 1.0]), None, np.zeros(len(places), dtype=bool)
    for least_cosine, band in _PASSES:
        up, height = body & (facing @ normal > least_cosine), places @ normal
        if not up.any():
            break
        chosen = up & (np.abs(height - (np.quantile(height[up], 0.9) if level is None else level)) < band)
        if float(area[chosen].sum()) < _LEAST_ENDPLATE_MM2:
            break
        weight = np.sqrt(area[chosen])
        rows = np.column_stack([places[chosen, :2], np.ones(int(chosen.sum()))])
        slope_x, slope_y, _ = np.linalg.lstsq(rows * weight[:, None], places[chosen, 2] * weight, rcond=None)[0]
        normal = unit(np.array([-slope_x, -slope_y, 1.0]))
        level = float(np.average(places[chosen] @ normal, weights=area[chosen]))
    if level is None or float(area[chosen].sum()) < _LEAST_ENDPLATE_MM2:
        raise GeometryError(
            "no endplate of S1 can be told from the sacrum's label",
            "Segment it again, or place the endplate's front and back edge.",
            where=SACRUM,
        )
    least_cosine, band = _PASSES[-1]
    strip = (facing @ normal > least_cosine) & (np.abs(places @ normal - level) < band)
    strip &= np.abs(places[:, 0]) < _EDGE_STRIP_MM
    along = unit(np.cross(normal, [1.0, 0.0, 0.0]))
    ends = np.quantile(places[strip] @ along, [0.02, 0.98])
    middle = level * normal + ends.mean() * along
    rms = float(np.sqrt(np.average((places[chosen] @ normal - level) ** 2, weights=area[chosen])))
    return Endplate(
        np.asarray(transform_points(frame.frame_to_ras, middle)),
        np.asarray(frame.axes_ras @ normal),
        float(ends[1] - ends[0]),
        rms,
    )


def find_hip_centre(segmentation: Segmentation, side: str) -> tuple[FloatArray, float]:
    """Return the centre (3,) RAS and the radius, mm, of a hip bone's hollow.

    Raises
    ------
    GeometryError
        When the bone shows no such hollow.
    """
    name = HIPS[side]
    field = SmoothBone.of_mask(segmentation.labels, segmentation.mask(name), where=name).field(_HIP_STEP_MM)
    mesh = surface_of_depth(field)
    area = np.linalg.norm(mesh.face_area_vectors, axis=1)
    used = area > 0
    outward = mesh.face_area_vectors[used] / area[used][:, None]
    ball = find_ball(mesh.triangles_ras[used].mean(axis=1), area[used], _HOLLOW_RADIUS_MM, to_centre_ras=outward)
    if ball is None or ball.seen_share < _LEAST_SEEN or ball.rms_mm > _MOST_RMS_MM:
        raise GeometryError(
            f"the {side} hip bone shows no hollow of a joint",
            f"Segment the whole bone without the femur, or place the {side} hip centre.",
            where=name,
        )
    return ball.centre_ras, ball.radius_mm


def _placed_endplate(front: FloatArray, back: FloatArray, right: FloatArray) -> Endplate:
    along = np.asarray(front, dtype=np.float64) - back
    length = float(np.linalg.norm(along))
    if length < 15.0 or along[1] <= 0:
        raise InputError(
            f"the placed edges of the endplate lie {length:.0f} mm apart"
            + (", the front one behind the other" if along[1] <= 0 else ""),
            "Place the front and the back edge of the S1 endplate in the midline.",
            where="endplate",
        )
    return Endplate(0.5 * (np.asarray(front) + back), unit(np.cross(right, along)), length, float("nan"))


def _check_placed(segmentation: Segmentation, placed: Mapping[str, FloatArray]) -> None:
    strange = sorted(set(placed) - set(PLACEABLE))
    if strange:
        raise InputError(
            f"'{strange[0]}' is no point of the pelvis", f"There are: {', '.join(PLACEABLE)}.", where="landmarks"
        )
    if ("endplate front" in placed) != ("endplate back" in placed):
        raise InputError("only one edge of the endplate is placed", "Place both.", where="landmarks")
    bones = {PLACEABLE[0]: HIPS["left"], PLACEABLE[1]: HIPS["right"], PLACEABLE[2]: SACRUM, PLACEABLE[3]: SACRUM}
    for name, point in placed.items():
        mask = segmentation.mask(bones[name])
        kji = np.argwhere(mask[::2, ::2, ::2]) * 2
        if not len(kji):
            raise GeometryError(
                f"there is no '{bones[name]}'", "Segment the sacrum and both hip bones.", where="pelvis"
            )
        away = transform_points(segmentation.labels.ijk_to_ras, kji[:, ::-1]) - np.asarray(point)
        nearest = float(np.sqrt((away**2).sum(axis=1).min()))
        if not nearest <= _FARTHEST_PLACED_MM:
            raise InputError(
                f"'{name}' lies {nearest:.0f} mm from its bone", "Check the side and the point.", where="landmarks"
            )
