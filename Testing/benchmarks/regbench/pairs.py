"""One pair of images to be registered: where its files are, how it starts, and what is true."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from MSKFusionLib.frames import FloatArray, invert_rigid, transform_points
from MSKFusionLib.volume import Modality, Volume, read_image

from .motions import with_moved_header

Points = Mapping[str, FloatArray]


@dataclass(frozen=True, eq=False)
class ImageFile:
    """An image on disk, and the rigid 4x4 (RAS) by which its header is moved when it is read."""

    path: Path
    modality: Modality
    moved_ras: FloatArray = field(default_factory=lambda: np.eye(4))

    def read(self) -> Volume:
        """Return the image where the pair has it."""
        return with_moved_header(read_image(self.path, self.modality), self.moved_ras)

    def as_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        return {"path": str(self.path), "modality": self.modality.value, "moved_ras": self.moved_ras.tolist()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ImageFile:
        """Read it back."""
        return cls(Path(values["path"]), Modality(values["modality"]), np.array(values["moved_ras"]))


@dataclass(frozen=True, eq=False)
class Pair:
    """Two images whose start is in their headers: every method is given them as they are, and begins at the identity.

    Parameters
    ----------
    fixed_points_ras, moving_points_ras
        By part of the body, points (N, 3) in the fixed image and where each truly is in the moving one; empty where the
        pair has no right answer.
    also
        Parts that are listed but not scored.
    labels, labels_moved_ras
        Segmentation of the CT, and what its header is moved by (as the CT's).
    facts
        What is known about the pair, for its record.
    """

    fixed: ImageFile
    moving: ImageFile
    fixed_points_ras: Points = field(default_factory=dict)
    moving_points_ras: Points = field(default_factory=dict)
    also: tuple[str, ...] = ()
    labels: Path | None = None
    labels_moved_ras: FloatArray = field(default_factory=lambda: np.eye(4))
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_answer(self) -> bool:
        """Whether any motion is right."""
        return bool(self.fixed_points_ras)

    def errors_mm(self, mapped_ras: Points) -> dict[str, FloatArray]:
        """Return by part how far points that a method took to the moving image are from their true places."""
        return {n: np.linalg.norm(mapped_ras[n] - true, axis=1) for n, true in self.moving_points_ras.items()}

    def start_error_mm(self) -> float | None:
        """Return the mean error of the identity over the scored parts."""
        return self.score_mm(self.errors_mm(self.fixed_points_ras)) if self.has_answer else None

    def score_mm(self, errors_mm: Points) -> float:
        """Return the mean error over the points of all scored parts."""
        return float(np.concatenate([e for n, e in errors_mm.items() if n not in self.also]).mean())


@dataclass(frozen=True)
class Recipe:
    """A pair that is only made when its turn comes."""

    set_name: str
    name: str
    category: str
    make: Callable[[], Pair]


def start_at(
    motion_ras: FloatArray, fixed_to_moving_ras: FloatArray, moving: ImageFile, fixed_points_ras: Points
) -> tuple[ImageFile, dict[str, FloatArray]]:
    """Place the moving image so that the identity is wrong by exactly a motion.

    Parameters
    ----------
    motion_ras
        4x4 that shall be the answer, fixed RAS to moving RAS.
    fixed_to_moving_ras
        4x4 that is the answer with the moving image where it is now.

    Returns
    -------
    The moving image with its header moved, and where `fixed_points_ras` truly are in it.
    """
    header = motion_ras @ invert_rigid(fixed_to_moving_ras)
    there = {n: transform_points(motion_ras, p) for n, p in fixed_points_ras.items()}
    return ImageFile(moving.path, moving.modality, header @ moving.moved_ras), there
