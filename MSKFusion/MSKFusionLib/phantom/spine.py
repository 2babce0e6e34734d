"""The vertebrae put together: curves, discs, joints, and the pose that each takes on another day."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import ProcessingError
from ..frames import FloatArray, invert_rigid, rigid, rigid_about, rotation_about
from .hip import hip_shape
from .options import LEVELS, PatientOptions
from .sacrum import SacrumSize, draw_sacrum, sacrum_shape
from .shapes import Clearance, Shape
from .truth import measure_pedicle
from .vertebra import VertebraSize, draw_size, vertebra_shape, with_pedicle_width

#: Fill between neighbouring joint surfaces (cartilage), in mm.
JOINT_GAP_MM = 1.3


@dataclass(frozen=True)
class Spine:
    """The bones of the back in the patient's RAS (the CT posture).

    Parameters
    ----------
    sizes
        By level; S1 holds the first sacral vertebra.
    bones
        Implicit shapes by level, joints cut.
    hips
        Hip bones ("hip_left", "hip_right"), where the sacrum is there; they move with it.
    disc_mm
        Height of the disc below each vertebra.
    poses
        By level, a 4x4 in RAS: where the bone goes in the MR posture before the whole patient is moved.
    """

    sizes: dict[str, VertebraSize]
    sacrum: SacrumSize | None
    bones: dict[str, Shape]
    disc_mm: dict[str, float]
    poses: dict[str, FloatArray]
    cobb_deg: float = 0.0
    wedge_fracture: str = "none"
    low_density: bool = False
    frames: dict[str, FloatArray] = field(default_factory=dict)
    hips: dict[str, Shape] = field(default_factory=dict)

    @property
    def all_bones(self) -> dict[str, Shape]:
        """The vertebrae, the sacrum, then the hip bones."""
        return {**self.bones, **self.hips}

    def pose_of(self, name: str) -> FloatArray:
        """Return the pose of a bone in the MR posture; the hips move with the sacrum."""
        return self.poses[name] if name in self.poses else self.poses["S1"]


def _pedicle_factor(sizes: dict[str, VertebraSize], wished_mm: float | None) -> float:
    """Return by what all pedicle bars are scaled so that the narrowest has the wished width."""
    if wished_mm is None:
        return 1.0
    return wished_mm / min(min(s.pedicle_width_mm) for n, s in sizes.items() if n not in ("T12", "S1"))


def _draw_sizes(options: PatientOptions, rng: np.random.Generator) -> tuple[dict[str, VertebraSize], float, str]:
    """Draw all measures; every draw happens whatever was asked, so that one option does not change the others."""
    scale = float(np.clip(1 + 0.05 * rng.standard_normal(), 0.88, 1.12))
    scale = scale if options.scale is None else options.scale
    narrow = bool(rng.random() < 0.25)
    narrow_width = float(rng.uniform(4.0, 6.0))
    fracture = bool(rng.random() < 0.2)
    fracture_level = str(rng.choice(["L1", "L2", "L3"]))
    fracture_loss = float(rng.uniform(0.18, 0.38))
    sizes = {level: draw_size(level, scale, rng) for level in LEVELS if level != "S1"}
    factor = narrow_width / min(min(sizes["L1"].pedicle_width_mm), min(sizes["L2"].pedicle_width_mm)) if narrow else 1.0
    if options.pedicle_width_min_mm is not None:
        factor = _pedicle_factor({k: v for k, v in sizes.items() if k in options.levels}, options.pedicle_width_min_mm)
    wedge = options.wedge_fracture or (fracture_level if fracture and fracture_level in options.levels else "none")
    above: VertebraSize | None = None
    for level, size in sizes.items():
        width = [w * min(factor, 1.0) if factor < 1 else w * factor for w in size.pedicle_width_mm]
        size = with_pedicle_width(size, width[0], width[1])
        if above is not None:
            size = replace(size, facet_above_x_mm=above.facet_x_mm, facet_above_angle_deg=above.facet_angle_deg)
        if wedge == level:
            size = replace(size, fracture_loss=fracture_loss)
        sizes[level] = above = size
    return sizes, scale, wedge


def _sacral_top(last: VertebraSize) -> VertebraSize:
    return replace(
        last,
        level="S1",
        height=30.0 * last.height / 27.2,
        half_depth=0.96 * last.half_depth,
        endplate_wedge_mm=0.0,
        fracture_loss=0.0,
        canal_depth=0.92 * last.canal_depth,
        canal_half_width=1.08 * last.canal_half_width,
        facet_above_x_mm=last.facet_x_mm,
        facet_above_angle_deg=last.facet_angle_deg,
    )


def _tilts(
    options: PatientOptions, rng: np.random.Generator, wedge: str, sizes: dict[str, VertebraSize]
) -> tuple[FloatArray, float]:
    """Return (7, 3) rotations in degrees about right, anterior and superior by level, and the Cobb angle."""
    lordosis = float(np.clip(rng.normal(1.0, 0.12), 0.78, 1.22))
    sagittal = np.array([-13.0, -11.0, -7.0, -1.0, 7.0, 18.0, 36.0]) * lordosis + rng.normal(0, 0.7, 7)
    curved, steep, mild, side = (
        rng.random() < 0.3,
        rng.uniform(10.0, 25.0),
        rng.uniform(0.0, 5.0),
        rng.choice([-1.0, 1.0]),
    )
    cobb = float(steep if curved else mild) if options.scoliosis_deg is None else options.scoliosis_deg
    levels = [n for n in LEVELS[:-1] if n in options.levels]
    first, count = LEVELS.index(levels[0]), len(levels)
    phase = np.clip((np.arange(7) - first) / max(count - 1, 1), 0.0, 1.0)
    coronal = 0.5 * cobb * side * np.cos(np.pi * phase)
    # The sacrum stands level; the vertebrae turn to the convex side (Nash-Moe), most at the apex.
    coronal[6] = 0.0
    axial = 0.45 * cobb * side * np.sin(np.pi * phase)
    if wedge != "none":
        size = sizes[wedge]
        angle = np.degrees(np.arctan(size.fracture_loss * size.height / (2 * size.half_depth)))
        sagittal[: LEVELS.index(wedge)] += 0.6 * angle
    return np.stack([-sagittal, coronal, axial], axis=1), cobb


def _stack(
    sizes: dict[str, VertebraSize], rotations: dict[str, FloatArray], disc: dict[str, float]
) -> dict[str, FloatArray]:
    """Put the vertebrae on each other, the middle of the row at z = 0."""
    names = list(sizes)
    centre = np.zeros(3)
    frames = {names[0]: rigid(rotations[names[0]], centre)}
    for upper, lower in itertools.pairwise(names):
        down = [0.0, 0.0, float(sizes[upper].bottom_z(0.0)) - 0.5 * disc[upper]]
        up = [0.0, 0.0, float(sizes[lower].top_z(0.0)) + 0.5 * disc[upper]]
        centre = centre + rotations[upper] @ down - rotations[lower] @ up
        frames[lower] = rigid(rotations[lower], centre)
    origin = frames["L4" if "L4" in frames else names[len(names) // 2]][:3, 3] + [0.0, 0.0, 15.0]
    return {n: rigid(f[:3, :3], f[:3, 3] - origin) for n, f in frames.items()}


def _poses(options: PatientOptions, frames: dict[str, FloatArray], rng: np.random.Generator) -> dict[str, FloatArray]:
    """Bend the spine by 1 to 4 degrees at every disc; the sacrum stays."""
    names = list(frames)
    poses = {n: np.eye(4) for n in names}
    total = np.eye(4)
    for upper, lower in reversed(list(itertools.pairwise(names))):
        flexion = rng.uniform(1.0, 3.5) * rng.choice([-1.0, 1.0], p=[0.8, 0.2])
        side_bend, twist, shift = rng.normal(0, 0.7), rng.normal(0, 0.5), rng.normal(0, 0.3, 3)
        turn = (
            rotation_about([1, 0, 0], flexion) @ rotation_about([0, 1, 0], side_bend) @ rotation_about([0, 0, 1], twist)
        )
        middle = 0.5 * (frames[upper][:3, 3] + frames[lower][:3, 3])
        total = total @ rigid_about(middle, turn, shift)
        poses[upper] = total.copy()
    if not options.two_postures:
        return {n: np.eye(4) for n in names}
    reference = invert_rigid(poses[names[len(names) // 2]])
    return {n: reference @ p for n, p in poses.items()}


def build_spine(options: PatientOptions) -> Spine:
    """Draw a spine from the options' seed."""
    rng = np.random.default_rng([options.seed, 11])
    sizes, scale, wedge = _draw_sizes(options, rng)
    sizes["S1"] = _sacral_top(sizes["L5"])
    sacrum = draw_sacrum(sizes["S1"], scale, rng)
    disc_all = dict(
        zip(LEVELS[:-1], np.array([7.0, 8.2, 9.4, 10.4, 11.0, 10.2]) * scale + rng.normal(0, 0.5, 6), strict=True)
    )
    tilts, cobb = _tilts(options, rng, wedge, sizes)
    low_density = bool(rng.random() < 0.25) if options.low_density is None else options.low_density
    posture_rng = np.random.default_rng([options.seed, 12])

    rotations = {
        n: rotation_about([0, 1, 0], t[1]) @ rotation_about([1, 0, 0], t[0]) @ rotation_about([0, 0, 1], t[2])
        for n, t in zip(LEVELS, tilts, strict=True)
    }
    sizes = {n: s for n, s in sizes.items() if n in options.levels}
    frames = _stack(sizes, rotations, disc_all)
    fitted = {n: _fit_pedicles(s) if n != "S1" else s for n, s in sizes.items()}
    bones: dict[str, Shape] = {}
    previous: str | None = None
    for name in sizes:
        shape = sacrum_shape(sacrum, frames[name]) if name == "S1" else vertebra_shape(fitted[name], frames[name])
        if previous is not None:
            # What lies below keeps clear of the bone above: the joints' hollow halves take the form of the round ones.
            above = Shape(bones[previous].parts, frames[previous])
            shape = replace(shape, clearances=(Clearance(above, JOINT_GAP_MM),))
        bones[name] = shape
        previous = name
    hips = {}
    if "S1" in bones:
        last = tuple(bones[n] for n in bones if n in ("L4", "L5"))
        hips = {n: hip_shape(side, scale, bones["S1"], last) for n, side in (("hip_left", -1), ("hip_right", 1))}
    return Spine(
        sizes=fitted,
        sacrum=sacrum if "S1" in sizes else None,
        bones=bones,
        disc_mm={n: float(d) for n, d in disc_all.items() if n in sizes},
        poses=_poses(options, frames, posture_rng),
        cobb_deg=cobb,
        wedge_fracture=wedge,
        low_density=low_density,
        frames=frames,
        hips=hips,
    )


def _fit_pedicles(size: VertebraSize) -> VertebraSize:
    """Make the pedicles' bars so wide that the finished isthmus, fillets included, has the width that was drawn."""
    wished = np.array(size.pedicle_width_mm)
    bar = wished.copy()
    for _ in range(4):
        trial = with_pedicle_width(size, float(bar[0]), float(bar[1]))
        shape = vertebra_shape(trial, np.eye(4))
        made = np.array([measure_pedicle(shape, trial, side).width_mm for side in (-1, 1)])
        if np.abs(made - wished).max() < 0.02:
            return trial
        bar = np.maximum(bar + (wished - made), 1.5)
    if np.abs(made - wished).max() > 0.5:
        raise ProcessingError(f"{size.level}: no pedicle of {wished.round(1)} mm can be made (got {made.round(1)})")
    return trial
