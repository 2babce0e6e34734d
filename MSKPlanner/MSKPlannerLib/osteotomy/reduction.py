"""A broken bone put together: each fragment into the mirrored healthy side, then to its neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import FloatArray, invert_rigid, rotation_angle_deg, transform_points
from MSKFusionLib.progress import Progress, no_progress

from ..bone.mesh_depth import depth_of_mesh
from ..mesh import Mesh
from .reduction_fit import Fit, SurfaceSample, fit_into, judged_at
from .reduction_joint import Placed
from .reduction_neighbours import put_together

_FIELD_STEP_MM = 1.5
_ROOM_MM = 25.0
#: What the fit of a fragment must show to be believed.
_LEAST_MATCHED, _WORST_RESIDUAL_MM = 0.3, 1.2
#: Of the turn, and of its place to the main fragment: twice that is still 1 mm.
_TURN_SD_DEG, _PLACE_SD_MM = 1.5, 0.5
_LEAST_VOLUME_MM3 = 300.0
#: Fragments that lie deeper than this in each other do not both lie right.
_OVERLAP_MM, _OVERLAP_POINTS = 1.5, 4000


@dataclass(frozen=True)
class ReductionOptions:
    """How far fragments may have moved.

    Parameters
    ----------
    widest_deg, farthest_mm
        Displacement that is looked for.
    template_widest_deg
        How far the mirrored side may be turned against the main fragment.
    """

    widest_deg: float = 30.0
    farthest_mm: float = 25.0
    template_widest_deg: float = 40.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not (0 < self.widest_deg <= 180 and 0 < self.farthest_mm <= 200 and 0 < self.template_widest_deg <= 180):
            raise InputError("fragments are looked for within 180 degrees and 200 mm", where="reduction")


@dataclass(frozen=True, eq=False)
class ReducedFragment:
    """Where one fragment belongs.

    Parameters
    ----------
    motion_ras
        Rigid 4x4 from where it is to where it belongs; the identity for the main fragment.
    turned_deg, moved_mm
        The motion: its angle, and how far the fragment's middle goes.
    turn_sd_deg, place_sd_mm
        Standard deviation of its turn and of its middle's place to the main fragment, about the weakest axis and in the weakest
        direction.
    doubts
        Why the pose is not to be trusted, in words; empty where it is.
    """

    name: str
    mesh: Mesh
    motion_ras: FloatArray
    fit: Fit
    turned_deg: float
    moved_mm: float
    turn_sd_deg: float = 0.0
    place_sd_mm: float = 0.0
    doubts: tuple[str, ...] = ()

    @property
    def reduced(self) -> Mesh:
        """The fragment where it belongs."""
        return self.mesh.transformed(self.motion_ras)


@dataclass(frozen=True, eq=False)
class Reduction:
    """All fragments of one bone.

    Parameters
    ----------
    fragments
        The main one first: it stays.
    template
        The mirrored healthy side, where the main fragment lies in it.
    """

    fragments: tuple[ReducedFragment, ...]
    template: Mesh
    notes: tuple[str, ...] = ()

    @property
    def trusted(self) -> bool:
        """Whether every fragment's place is to be trusted."""
        return not any(f.doubts for f in self.fragments)


def mirrored(healthy: Mesh, point_ras: FloatArray, normal_ras: FloatArray) -> Mesh:
    """Return a surface mirrored by a plane."""
    n = np.asarray(normal_ras, dtype=np.float64)
    n = n / np.linalg.norm(n)
    m = np.eye(4)
    m[:3, :3] -= 2 * np.outer(n, n)
    m[:3, 3] = 2 * (np.asarray(point_ras) @ n) * n
    return healthy.transformed(m)


def reduce_fracture(
    fragments: Mapping[str, Mesh],
    template: Mesh,
    options: ReductionOptions | None = None,
    *,
    main: str | None = None,
    progress: Progress = no_progress,
) -> Reduction:
    """Find where the fragments of a bone belong.

    The mirrored healthy side is fitted to the main fragment, which stays; the others are fitted into it, one by one; then all are
    placed at once, their fracture surfaces against each other's (`reduction_neighbours`, `reduction_joint`).

    Parameters
    ----------
    fragments
        Closed surfaces by name, where they are.
    template
        The whole bone: the healthy side, mirrored (`mirrored`), anywhere.
    main
        The fragment that stays; the largest where None.

    Raises
    ------
    InputError
        When a surface is not closed, a fragment is a crumb, or the main fragment is not there.
    GeometryError
        When the main fragment does not fit the mirrored side.
    """
    wish = options or ReductionOptions()
    if not fragments:
        raise InputError("there is no fragment", "Segment the broken bone.", where="reduction")
    for name, mesh in fragments.items():
        if not len(mesh.faces) or not mesh.is_closed or mesh.volume_mm3 <= 0:
            raise InputError("the surface is not closed or inside out", "Segment it again.", where=name)
        if mesh.volume_mm3 < _LEAST_VOLUME_MM3:
            raise InputError(
                f"this fragment of {mesh.volume_mm3:.0f} mm3 is too small to be placed by its shape",
                "Leave it out.",
                name,
            )
    chosen = main if main is not None else max(fragments, key=lambda n: fragments[n].volume_mm3)
    if chosen not in fragments:
        raise InputError(f"there is no fragment '{chosen}'", f"There are: {', '.join(fragments)}.", where="reduction")
    total = sum(m.volume_mm3 for m in fragments.values())
    if not 0.5 < total / template.volume_mm3 < 2.0:
        raise GeometryError(
            f"all fragments are {total / 1000:.0f} cm3, the healthy side is {template.volume_mm3 / 1000:.0f} cm3",
            "Check that these are the two sides of one bone.",
            where="reduction",
        )
    progress(0.0, "Fitting the mirrored side to the main fragment")
    whole = depth_of_mesh(template, _FIELD_STEP_MM, _ROOM_MM, "healthy side")
    start = np.eye(4)
    everything = np.concatenate([m.vertices_ras for m in fragments.values()])
    start[:3, 3] = 0.5 * (template.bounds_ras.sum(axis=0) - everything.min(axis=0) - everything.max(axis=0))
    into = fit_into(fragments[chosen], whole, start, wish.template_widest_deg, 2 * wish.farthest_mm, wish.seed)
    if into.matched_share < _LEAST_MATCHED:
        raise GeometryError(
            f"only {100 * into.matched_share:.0f} % of {chosen} fit the mirrored healthy side",
            "Check the sides, mirror, and which fragment stays.",
            where="reduction",
        )
    fits: dict[str, Fit] = {chosen: into}
    others = [n for n in fragments if n != chosen]
    for k, name in enumerate(others):
        progress(0.1 + 0.7 * k / len(others), f"Fitting {name}")
        seed = wish.seed + 7 * (k + 1)
        fits[name] = fit_into(fragments[name], whole, into.motion_ras, wish.widest_deg, wish.farthest_mm, seed)
    progress(0.8, "Fracture surfaces to each other")
    placed = put_together(fragments, fits, whole, chosen, 1.5 * wish.farthest_mm)
    fits = {n: judged_at(fits[n], fragments[n], whole, p.motion_ras) for n, p in placed.items()}
    back = invert_rigid(placed[chosen].motion_ras)
    done = [
        _described(name, fragments[name], fits[name], placed[name], back, is_main=name == chosen)
        for name in (chosen, *others)
    ]
    done = _without_overlap(done)
    progress(1.0, "Done")
    return Reduction(tuple(done), template.transformed(back))


def _without_overlap(fragments: list[ReducedFragment]) -> list[ReducedFragment]:
    """Say of fragments that lie in others where they are put."""
    fields = [depth_of_mesh(f.mesh, _FIELD_STEP_MM, 6.0, f.name) for f in fragments]
    out = [fragments[0]]
    for n, fragment in enumerate(fragments[1:], start=1):
        places = transform_points(fragment.motion_ras, SurfaceSample.of(fragment.mesh, _OVERLAP_POINTS, 4).points_ras)
        deepest, other = max(
            (float(field.depth_mm(transform_points(invert_rigid(f.motion_ras), places)).max()), f.name)
            for k, (f, field) in enumerate(zip(fragments, fields, strict=True))
            if k != n
        )
        if deepest > _OVERLAP_MM:
            words = f"in place it reaches {deepest:.1f} mm into {other}"
            fragment = replace(fragment, doubts=(*fragment.doubts, words))
        out.append(fragment)
    return out


def _described(name: str, mesh: Mesh, fit: Fit, placed: Placed, back: FloatArray, *, is_main: bool) -> ReducedFragment:
    motion = np.eye(4) if is_main else back @ placed.motion_ras
    middle = mesh.vertices_ras.mean(axis=0)
    turn_sd, place_sd = (0.0, 0.0) if is_main else (placed.turn_sd_deg, placed.place_sd_mm)
    doubts = []
    if fit.matched_share < _LEAST_MATCHED:
        doubts.append(f"only {100 * fit.matched_share:.0f} % of its surface fit the healthy side")
    if fit.residual_mm > _WORST_RESIDUAL_MM:
        doubts.append(f"what fits does so only to {fit.residual_mm:.1f} mm")
    if placed.has_rival:
        doubts.append("another place fits about as well")
    if turn_sd > _TURN_SD_DEG or place_sd > _PLACE_SD_MM:
        doubts.append(
            f"shapes leave it free by {2 * turn_sd:.1f} degrees or {2 * place_sd:.1f} mm to the main fragment (95 %; a smooth shaft, "
            "a flat piece, or far away)"
        )
    moved = float(np.linalg.norm(transform_points(motion, middle) - middle))
    turned = rotation_angle_deg(motion[:3, :3])
    return ReducedFragment(name, mesh, motion, fit, turned, moved, turn_sd, place_sd, doubts=tuple(doubts))
