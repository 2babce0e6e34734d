"""The lower end of a forearm: its landmarks, the measures that fractures and their malunion are judged by, and how far they can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace

import numpy as np
from numpy.typing import ArrayLike

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import FloatArray, check_rigid, rigid, transform_points, unit

from .limb_landmarks import spoken
from .limb_measures import MeasureInfo
from .sensitivity import Sensitivity, sensitivity_of

#: The styloid lies this far from the ulnar corner of the joint surface, the corners from each other, and the two points of
#: the shaft, mm: children's bones included.
_STYLOID_MM, _CORNERS_MM, _SHAFT_MM = (12.0, 55.0), (5.0, 40.0), 8.0
#: The ulna's head lies within this of the radius' ulnar corner, mm.
_ULNA_MM = 50.0
_GARTLAND = "Gartland & Werley 1951, J Bone Joint Surg Am 33:895"
_NORMAL = (
    "range: mean and 2 SD of 74 radii in CT (Image-based comparison between the bilateral symmetry of the distal radii, J Hand "
    "Surg Am 2019, https://ir.lib.uwo.ca/boneandjointpub/178/)"
)


@dataclass(frozen=True, eq=False)
class ForearmLandmarks:
    """Points of one wrist in RAS mm, each of shape (3,); three NaN where a point is not known.

    Parameters
    ----------
    side
        "left" or "right".
    shaft_proximal, shaft_distal
        Middle of the radial shaft 50 and 30 mm above the middle of the joint surface: the radius' long axis.
    radial_styloid
        Its tip.
    volar_ulnar_corner, dorsal_ulnar_corner
        Corners of the radius' joint surface beside the ulna; the middle between them is the reference of height.
    volar_rim, dorsal_rim
        Rims of the joint surface in front of and behind the middle of the lunate's fossa.
    ulnar_head
        The most distal point of the joint surface of the ulna's head, not of its styloid.
    """

    side: str
    shaft_proximal: FloatArray
    shaft_distal: FloatArray
    radial_styloid: FloatArray
    volar_ulnar_corner: FloatArray
    dorsal_ulnar_corner: FloatArray
    volar_rim: FloatArray
    dorsal_rim: FloatArray
    ulnar_head: FloatArray

    def __post_init__(self) -> None:
        if self.side not in ("left", "right"):
            raise InputError(f"the side is {self.side!r}", "Say 'left' or 'right'.", where="forearm landmarks")
        for name in FOREARM_POINTS:
            p = np.asarray(getattr(self, name), dtype=np.float64)
            if p.shape != (3,) or not (np.all(np.isfinite(p)) or np.all(np.isnan(p))):
                raise GeometryError("three finite coordinates in mm are needed", where=spoken(name))
            object.__setattr__(self, name, p)

    @classmethod
    def of_points(cls, side: str, points: Mapping[str, ArrayLike]) -> ForearmLandmarks:
        """Return the landmarks of which some are known.

        Raises
        ------
        InputError
            When a name is no landmark.
        """
        unknown = [n for n in points if n not in FOREARM_POINTS]
        if unknown:
            raise InputError(
                f"there is no landmark '{unknown[0]}'",
                f"Name them {', '.join(map(spoken, FOREARM_POINTS))}.",
                where="forearm landmarks",
            )
        nowhere = np.full(3, np.nan)
        return cls(side, **{n: np.asarray(points.get(n, nowhere), dtype=np.float64) for n in FOREARM_POINTS})

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the points that are not known."""
        return tuple(n for n in FOREARM_POINTS if np.isnan(getattr(self, n)).any())

    @property
    def reference(self) -> FloatArray:
        """The middle between the ulnar corners of the joint surface."""
        return np.asarray(0.5 * (self.volar_ulnar_corner + self.dorsal_ulnar_corner))

    @property
    def radius_to_ras(self) -> FloatArray:
        """Rigid 4x4: origin in the reference, z along the shaft to the elbow, x to the radial side, y forward (palmar); on the left a frame whose y looks backward, so that it is right-handed. NaN where points are not known."""
        z, across = self.shaft_proximal - self.shaft_distal, self.radial_styloid - self.reference
        if not np.isfinite([z, across]).all():
            return np.full((4, 4), np.nan)
        z = unit(z)
        x = unit(across - (across @ z) * z)
        return rigid(np.column_stack([x, np.cross(z, x), z]), self.reference)

    def moved(self, matrix: ArrayLike) -> ForearmLandmarks:
        """Return all landmarks under a rigid 4x4 RAS transform."""
        m = check_rigid(matrix, "forearm landmarks")
        return ForearmLandmarks(self.side, **{n: transform_points(m, getattr(self, n)) for n in FOREARM_POINTS})


#: Names of all points.
FOREARM_POINTS = tuple(f.name for f in fields(ForearmLandmarks) if f.name != "side")


@dataclass(frozen=True)
class WristMeasures:
    """Measures of one wrist; angles in degrees, lengths in mm; NaN where a point that it needs is not known."""

    radial_inclination_deg: float
    volar_tilt_deg: float
    radial_height_mm: float
    ulnar_variance_mm: float


WRIST_MEASURES: Mapping[str, MeasureInfo] = {
    "radial_inclination_deg": MeasureInfo(
        "Radial inclination",
        "deg",
        "Angle between the line from the middle of the ulnar corners of the joint surface to the tip of the radial styloid and "
        "the normal of the radius' long axis, in the plane of that axis and the styloid.",
        f"{_GARTLAND}; {_NORMAL}",
        (18.0, 30.0),
    ),
    "volar_tilt_deg": MeasureInfo(
        "Volar tilt",
        "deg",
        "Angle between the line from the dorsal to the volar rim of the lunate's fossa and the normal of the radius' long axis, in "
        "the plane across that of the inclination; positive where the volar rim lies nearer to the elbow, negative: dorsal.",
        f"{_GARTLAND}; {_NORMAL}",
        (4.0, 18.0),
    ),
    "radial_height_mm": MeasureInfo(
        "Radial height",
        "mm",
        "How far the tip of the radial styloid reaches beyond the middle of the ulnar corners, along the radius' long axis.",
        f"{_GARTLAND}; {_NORMAL}",
        (9.4, 16.3),
    ),
    "ulnar_variance_mm": MeasureInfo(
        "Ulnar variance",
        "mm",
        "How far the ulna's head reaches beyond the middle of the radius' ulnar corners, along the radius' long axis; positive "
        "where the ulna is longer. It changes with the forearm's rotation and a fist: compare with the other side.",
        "Method of perpendiculars, Palmer, Glisson & Werner 1982, J Hand Surg Am 7:376; no range of its own: see the definition",
        None,
    ),
}
_AXIS = ("shaft_proximal", "shaft_distal", "radial_styloid", "volar_ulnar_corner", "dorsal_ulnar_corner")
#: The landmarks that each measure rests on.
WRIST_NEEDS: Mapping[str, tuple[str, ...]] = {
    "radial_inclination_deg": _AXIS,
    "volar_tilt_deg": (*_AXIS, "volar_rim", "dorsal_rim"),
    "radial_height_mm": _AXIS,
    "ulnar_variance_mm": (*_AXIS, "ulnar_head"),
}
_WORDS: Mapping[str, tuple[str, str]] = {
    "radial_inclination_deg": ("flattened", "steep"),
    "volar_tilt_deg": ("tilted dorsally", "tilted far to the palm"),
    "radial_height_mm": ("shortened", "long"),
}


def measure_wrist(points: ForearmLandmarks) -> WristMeasures:
    """Return the measures of a wrist in any pose.

    Raises
    ------
    GeometryError
        When the points cannot be those of one forearm of that side.
    """
    return wrist_measures_of(check_forearm(points))


def wrist_measures_of(points: ForearmLandmarks) -> WristMeasures:
    """Return the measures of landmarks that have been checked."""
    frame = points.radius_to_ras
    palmar = frame[:3, 1] if points.side == "right" else -frame[:3, 1]
    x, z, origin = frame[:3, 0], frame[:3, 2], points.reference
    styloid, rim = points.radial_styloid - origin, points.volar_rim - points.dorsal_rim
    return WristMeasures(
        radial_inclination_deg=float(np.degrees(np.arctan2(-styloid @ z, styloid @ x))),
        volar_tilt_deg=float(np.degrees(np.arctan2(rim @ z, rim @ palmar))),
        radial_height_mm=float(-styloid @ z),
        ulnar_variance_mm=float((origin - points.ulnar_head) @ z),
    )


def check_forearm(points: ForearmLandmarks) -> ForearmLandmarks:
    """Return the landmarks when they can be those of one forearm of that side; what is not known is not looked at.

    Raises
    ------
    GeometryError
        When points lie too near to each other or too far apart, the shaft lies beyond the joint, or volar and dorsal are swapped
        (which is what the other side's points look like).
    """
    across = float(np.linalg.norm(points.radial_styloid - points.reference))
    corners = float(np.linalg.norm(points.volar_ulnar_corner - points.dorsal_ulnar_corner))
    for distance, (low, high), what in (
        (across, _STYLOID_MM, "radial styloid and ulnar corners"),
        (corners, _CORNERS_MM, "volar and dorsal ulnar corner"),
        (float(np.linalg.norm(points.volar_rim - points.dorsal_rim)), _CORNERS_MM, "volar and dorsal rim"),
    ):
        if distance < low or distance > high:
            raise GeometryError(f"{distance:.0f} mm apart", "Place them again.", what)
    shaft = points.shaft_proximal - points.shaft_distal
    if np.linalg.norm(shaft) < _SHAFT_MM:
        raise GeometryError("both points lie in one place", "Place them 20 mm apart.", "radial shaft")
    if (points.shaft_distal - points.reference) @ shaft < _SHAFT_MM * float(np.linalg.norm(shaft)):
        raise GeometryError(
            "the shaft does not lie above the joint surface",
            "Check whether its two points are swapped.",
            "radial shaft",
        )
    frame = points.radius_to_ras
    palmar = frame[:3, 1] if points.side == "right" else -frame[:3, 1]
    for pair in (("volar_ulnar_corner", "dorsal_ulnar_corner"), ("volar_rim", "dorsal_rim")):
        if (getattr(points, pair[0]) - getattr(points, pair[1])) @ palmar <= 0:
            other = "left" if points.side == "right" else "right"
            raise GeometryError(
                f"volar and dorsal are swapped, or this is a {other} forearm", "Check them and the side.",
                f"{spoken(pair[0])} and {spoken(pair[1])}",
            )  # fmt: skip
    if np.linalg.norm(points.ulnar_head - points.reference) > _ULNA_MM:
        raise GeometryError("lies far from the radius", "Check whether it is the wrist's end.", "ulnar head")
    if (points.ulnar_head - points.reference) @ frame[:3, 0] > 0:
        raise GeometryError("lies on the side of the radial styloid", "Place both again.", "ulnar head")
    return points


def wrist_in_words(measure: str, value: float) -> str:
    """Return what a value of a measure means, in words."""
    usual = WRIST_MEASURES[measure].usual
    if np.isnan(value):
        return "cannot be made"
    if usual is None:
        return "the ulna is longer" if value > 0.5 else "the ulna is shorter" if value < -0.5 else "level"
    low, high = usual
    below, above = _WORDS[measure]
    if low <= value <= high:
        return "usual"
    return f"below the usual range: {below}" if value < low else f"above the usual range: {above}"


def wrist_sensitivity(points: ForearmLandmarks) -> Sensitivity:
    """Return how the measures of a wrist follow errors of its landmarks."""
    return sensitivity_of(
        lambda name, step: asdict(wrist_measures_of(replace(points, **{name: getattr(points, name) + step}))),
        FOREARM_POINTS,
        WRIST_MEASURES,
    )
