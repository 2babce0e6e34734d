"""The long axis of a scaphoid and which of its ends is proximal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import FloatArray, transform_points
from MSKFusionLib.segmentation.labels import Segmentation

#: What a user may place: one is enough to tell the ends apart.
LANDMARKS = ("proximal_pole", "distal_pole")
#: Sizes of scaphoids, children's and large ones included: along, and along against across.
_LONG_MM, _SLENDER = (14.0, 42.0), 1.25
#: The end of the radius lies so near to the proximal pole, and nearer to it than to the other by so much.
_RADIUS_MM, _NEARER_MM = 9.0, 5.0
#: A placed pole lies no farther from the bone.
_OFF_MM = 6.0


@dataclass(frozen=True, eq=False)
class ScaphoidAxis:
    """Where a scaphoid's long axis meets its ends.

    Parameters
    ----------
    proximal_ras, distal_ras
        (3,) on the bone's ends, RAS mm, on the axis of its greatest extent through its middle.
    told_by
        What said which end is which.
    """

    proximal_ras: FloatArray
    distal_ras: FloatArray
    told_by: str

    @property
    def length_mm(self) -> float:
        """From end to end."""
        return float(np.linalg.norm(self.distal_ras - self.proximal_ras))


def scaphoid_axis(
    segmentation: Segmentation, name: str, placed: Mapping[str, FloatArray] | None = None
) -> ScaphoidAxis:
    """Find the long axis of a scaphoid: the principal one of its voxels. Its shape does not tell its ends apart: the radius beside
    it does where it is labelled (``radius`` in a segment's name), else a placed pole.

    Raises
    ------
    InputError
        When a landmark is not known.
    GeometryError
        When the bone is cut by the image, unlike a scaphoid, or its ends cannot be told.
    """
    given = dict(placed or {})
    unknown = [n for n in given if n not in LANDMARKS]
    if unknown:
        raise InputError(f"'{unknown[0]}' is no landmark of a scaphoid", f"There are: {', '.join(LANDMARKS)}.", name)
    labels = segmentation.labels
    kji = np.argwhere(segmentation.mask(name))
    if len(kji) < 60:
        raise GeometryError("the scaphoid has hardly any voxels", "Take thinner slices: 1 mm at most.", where=name)
    if (kji == 0).any() or (kji == np.array(labels.voxels.shape) - 1).any():
        raise GeometryError("the image's border cuts the scaphoid", "Take a wider image.", where=name)
    points = transform_points(labels.ijk_to_ras, kji[:, ::-1])
    middle = points.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov((points - middle).T))
    axis = vectors[:, 2]
    along = (points - middle) @ axis
    # Half a voxel is missing at either end.
    half = 0.5 * float(np.abs(axis @ labels.directions_ras) @ labels.spacing_mm)
    low, high = float(along.min()) - half, float(along.max()) + half
    slender = float(np.sqrt(values[2] / values[1]))
    if not _LONG_MM[0] <= high - low <= _LONG_MM[1] or slender < _SLENDER:
        raise GeometryError(
            f"this does not look like a scaphoid: {high - low:.0f} mm long, {slender:.1f} times as long as wide",
            "Check the label: one carpal bone alone, both fragments together.",
            where=name,
        )
    ends = [middle + low * axis, middle + high * axis]
    first, told = _proximal(segmentation, name, ends, points, given)
    return ScaphoidAxis(ends[first], ends[1 - first], told)


def _proximal(
    segmentation: Segmentation,
    name: str,
    ends: list[FloatArray],
    points: FloatArray,
    given: Mapping[str, FloatArray],
) -> tuple[int, str]:
    """Return which of the two ends is proximal, and what told it."""
    tree = cKDTree(points)
    votes = set()
    for mark, point in given.items():
        off = float(tree.query(point)[0])
        if off > _OFF_MM:
            raise GeometryError(f"'{mark}' lies {off:.0f} mm from the scaphoid", "Place it on its end.", where=name)
        nearer = int(np.linalg.norm(point - ends[1]) < np.linalg.norm(point - ends[0]))
        votes.add(nearer if mark == "proximal_pole" else 1 - nearer)
    if len(votes) == 2:
        raise GeometryError("both poles are placed at the same end", "Place them at the two ends.", where=name)
    if votes:
        return votes.pop(), f"placed by the user: {', '.join(sorted(given))}"
    for segment in segmentation.segments:
        if "radius" not in segment.name.lower().replace("_", " ").replace(",", " ").split():
            continue
        mask = segmentation.mask(segment.name)
        if not mask.any():
            continue
        tree = cKDTree(transform_points(segmentation.labels.ijk_to_ras, np.argwhere(mask)[:, ::-1]))
        away = [float(tree.query(end)[0]) for end in ends]
        if min(away) <= _RADIUS_MM and abs(away[0] - away[1]) >= _NEARER_MM:
            return int(np.argmin(away)), f"its proximal end is the one at the {segment.name}"
    raise GeometryError(
        "the scaphoid's shape does not say which end is proximal",
        "Label the radius, or place 'proximal_pole' or 'distal_pole' (--landmarks).",
        where=name,
    )
