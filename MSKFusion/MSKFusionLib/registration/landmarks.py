"""Pairs of landmarks that a user has placed: as a start and a pull for a registration, or as a check of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from ..frames import FloatArray, fit_rigid, transform_points

LEAST_PAIRS = 3
#: Landmarks nearer to one line than this leave the turn about it open.
_LEAST_SPREAD_MM = 5.0
#: Two sets that fit each other no better than this have pairs swapped, or one side of the body for the other.
_MOST_MISFIT_MM = 15.0
#: How many independent samples the information of the images is worth: landmarks count against that.
_IMAGE_SAMPLES = 2000.0


@dataclass(frozen=True, eq=False)
class LandmarkPairs:
    """The same anatomical points in both images.

    Parameters
    ----------
    names
        (N,) labels.
    fixed_ras, moving_ras
        (N, 3) mm.
    sd_mm
        How exactly they were placed, along each axis (standard deviation).

    Raises
    ------
    InputError
        When numbers are missing or not finite, or the pairs and names do not match in number.
    """

    names: tuple[str, ...]
    fixed_ras: FloatArray
    moving_ras: FloatArray
    sd_mm: float = 2.0

    def __post_init__(self) -> None:
        for name in ("fixed_ras", "moving_ras"):
            points = np.asarray(getattr(self, name), dtype=np.float64)
            if points.shape != (len(self.names), 3) or not np.isfinite(points).all():
                raise InputError(f"{len(self.names)} landmarks need as many finite points", where=name)
            object.__setattr__(self, name, points)
        if not (np.isfinite(self.sd_mm) and 0.05 <= self.sd_mm <= 50):
            raise InputError(
                f"landmarks cannot have a standard deviation of {self.sd_mm} mm",
                "Give 0.05 to 50 mm.",
                where="landmarks",
            )

    @classmethod
    def by_name(
        cls, fixed: Mapping[str, ArrayLike], moving: Mapping[str, ArrayLike], sd_mm: float = 2.0
    ) -> LandmarkPairs:
        """Pair the landmarks (RAS mm) of two images by their labels.

        Raises
        ------
        InputError
            When a label is in one image only.
        """
        alone = sorted(set(fixed) ^ set(moving))
        if alone:
            raise InputError(
                f"{', '.join(repr(n) for n in alone)} stands in one image only",
                "Label each landmark the same in both.",
                where="landmarks",
            )
        names = tuple(fixed)
        points = [np.array([np.asarray(side[n], dtype=np.float64) for n in names]) for side in (fixed, moving)]
        return cls(names, points[0], points[1], sd_mm)

    def rigid_fit(self) -> FloatArray:
        """Return the 4x4 from fixed to moving RAS with the least squared distance.

        Raises
        ------
        InputError
            When there are fewer than three, all lie on one line, or they do not fit each other.
        """
        if len(self.names) < LEAST_PAIRS:
            raise InputError(
                f"{len(self.names)} landmarks do not fix a position", "Place at least 3.", where="landmarks"
            )
        for side, points in (("fixed", self.fixed_ras), ("moving", self.moving_ras)):
            spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)[1] / np.sqrt(len(points))
            if spread < _LEAST_SPREAD_MM:
                raise InputError(
                    f"the landmarks of the {side} image lie within {spread:.1f} mm of one line",
                    "Place one off that line.",
                    where="landmarks",
                )
        pose = fit_rigid(self.fixed_ras, self.moving_ras)
        misfit = np.linalg.norm(transform_points(pose, self.fixed_ras) - self.moving_ras, axis=1)
        if misfit.max() > _MOST_MISFIT_MM:
            raise InputError(
                f"the landmarks of the two images do not fit each other: '{self.names[int(misfit.argmax())]}' is "
                f"{misfit.max():.0f} mm off",
                "Look for two that are swapped, and for left and right.",
                where="landmarks",
            )
        return pose

    def inverted(self) -> LandmarkPairs:
        """Return the pairs with fixed and moving exchanged."""
        return LandmarkPairs(self.names, self.moving_ras, self.fixed_ras, self.sd_mm)

    def distances_mm(self, moved_ras: ArrayLike) -> FloatArray:
        """Return how far (N,) the fixed landmarks, taken to the moving image as `moved_ras`, lie from those there."""
        return np.asarray(np.linalg.norm(np.asarray(moved_ras) - self.moving_ras, axis=1))

    def distances_by_name(self, moved_ras: ArrayLike) -> dict[str, float]:
        """Return `distances_mm` by the landmarks' names."""
        return dict(zip(self.names, self.distances_mm(moved_ras).tolist(), strict=True))

    def price(self, fixed_to_moving_ras: FloatArray, centre_ras: FloatArray) -> tuple[float, FloatArray]:
        """Return what a pose costs in nats a sample, and its gradient (6,).

        The landmarks' negative log likelihood, shared out over as many samples as the images' information is worth. The
        gradient is over a small motion put after the pose: a rotation vector about `centre_ras` (RAS of the moving
        image), then a shift in mm.
        """
        moved = transform_points(fixed_to_moving_ras, self.fixed_ras)
        pull = (moved - self.moving_ras) / (self.sd_mm**2 * _IMAGE_SAMPLES)
        value = 0.5 * float((pull * (moved - self.moving_ras)).sum())
        return value, np.r_[np.cross(moved - centre_ras, pull).sum(axis=0), pull.sum(axis=0)]
