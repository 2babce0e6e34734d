"""The upper end of a femur of balls and bars with known neck, head and trochanters, in the patient's RAS."""

from dataclasses import dataclass, field

import numpy as np
from core.bone_shapes import capsule, grid, rasterise, sphere

from MSKFusionLib.frames import unit
from MSKFusionLib.segmentation.labels import Segment, Segmentation


@dataclass(frozen=True)
class Femur:
    """Right femur, mirrored for the left. The head's centre is `head`; the shaft runs down z."""

    neck_shaft_deg: float = 128.0
    anteversion_deg: float = 12.0
    head_radius: float = 24.0
    neck_radius: float = 16.0
    shaft_radius: float = 15.5
    trochanter_radius: float = 21.0
    neck_mm: float = 55.0  # from the head's centre to the shaft's axis
    lesser_below_mm: float = 34.0  # its tip under where the neck meets the shaft
    shaft_mm: float = 105.0
    side: str = "right"
    head: np.ndarray = field(default_factory=lambda: np.array([80.0, 10.0, 300.0]))

    @property
    def sign(self):
        return 1.0 if self.side == "right" else -1.0

    @property
    def medial(self):
        a = np.radians(self.anteversion_deg)
        return np.array([-self.sign * np.cos(a), np.sin(a), 0.0])

    @property
    def axis(self):
        """The neck's axis, into the head."""
        a = np.radians(180.0 - self.neck_shaft_deg)
        return np.sin(a) * self.medial + np.cos(a) * np.array([0, 0, 1.0])

    @property
    def centre(self):
        return self.head * [self.sign, 1, 1]

    @property
    def junction(self):
        """Where the axes of neck and shaft meet."""
        return self.centre - self.neck_mm * self.axis

    @property
    def lesser(self):
        """Tip of the lesser trochanter: behind and medially."""
        out = unit(self.medial + np.array([0, -1.2, 0]))
        return self.junction + (self.shaft_radius + 7.0) * out - [0, 0, self.lesser_below_mm]

    @property
    def neck_middle(self):
        return self.centre - 0.56 * self.neck_mm * self.axis

    def depth(self, points):
        """Positive inside; exact in sign."""
        up = np.array([0, 0, 1.0])
        j, lateral = self.junction, -self.medial
        out = unit(self.lesser - (self.junction - [0, 0, self.lesser_below_mm]))
        parts = [
            lambda p: sphere(self.head_radius)(p - self.centre),
            capsule(self.centre, j - 4.0 * self.axis, self.neck_radius),
            capsule(j + 4 * up, j - self.shaft_mm * up, self.shaft_radius),
            capsule(j - 8 * up, j + 24 * up + 3 * lateral, self.trochanter_radius),
            capsule(self.lesser - 14 * out, self.lesser - 7 * out, 7.0),
        ]
        depth = parts[0](points)
        for part in parts[1:]:  # creases are filled, as in bone
            other = part(points)
            depth = np.maximum(depth, other) + np.maximum(5.0 - np.abs(depth - other), 0) ** 2 / 20.0
        return depth

    def segmentation(self, spacing=(1.0, 1.0, 1.0), name=None):
        low = self.junction - [45, 45, 90]
        high = self.centre + [45, 45, 32]
        centre = 0.5 * (low + high)
        half = 0.5 * (high - low) + [40, 10, 0]
        volume = grid(half, spacing, centre=centre)
        inside = rasterise(self.depth, volume)
        label = name or f"{self.side} femur"
        return Segmentation(volume.with_voxels(inside.astype(np.uint8)), (Segment(1, label, kind="bone"),))
