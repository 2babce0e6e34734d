"""Ablation zones over a lesion: where balls or ellipsoids go so that the lesion and its margin are covered, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import FloatArray, perpendicular_axes, transform_points, unit
from MSKFusionLib.segmentation.labels import Segmentation

from ..bone.smooth_bone import SmoothBone

#: The volume is counted on a grid of this step, or of this share of the smallest half axis where that is finer.
_STEP_MM, _STEP_SHARE = 0.8, 0.12
_CANDIDATE_STEP_MM = 1.5
#: Of the map of distances from the lesion.
_FIELD_STEP_MM = 0.5
_MOST_ZONES = 12
_POLISH_MM = (0.8, 0.4, 0.2)


@dataclass(frozen=True)
class AblationRequest:
    """What is to be ablated, and with what.

    Parameters
    ----------
    margin_mm
        Round the lesion, to be covered as well.
    across_mm, along_mm
        Full width of one zone across the needle, and its length along it; equal for a ball. From the maker's table, for
        the tissue and time that are meant.
    coverage
        Share of lesion and margin that is wanted; zones are added until it is reached.
    most
        Number of zones at most.
    same_needle
        Whether all zones lie on one needle (drawn back between them) or parallel needles are allowed.
    """

    margin_mm: float = 3.0
    across_mm: float = 20.0
    along_mm: float = 20.0
    coverage: float = 0.99
    most: int = 4
    same_needle: bool = False

    def __post_init__(self) -> None:
        where = "ablation"
        if not (0 <= self.margin_mm <= 20 and 2 <= self.across_mm <= 80 and 2 <= self.along_mm <= 80):
            raise InputError("a margin of 0 to 20 mm and zones of 2 to 80 mm make sense", where=where)
        if not (0.5 <= self.coverage <= 1 and 1 <= self.most <= _MOST_ZONES):
            raise InputError(f"coverage is 0.5 to 1, and there are 1 to {_MOST_ZONES} zones", where=where)


@dataclass(frozen=True, eq=False)
class AblationPlan:
    """Zones, in the order in which each covers the most that is left.

    Parameters
    ----------
    centres_ras
        (N, 3).
    axis_ras
        Unit direction of the needle, along which the zones are longest.
    lesion_percent, target_percent
        Of the lesion, and of lesion and margin, that the zones cover.
    spill_percent
        Of the zones' volume that lies outside lesion and margin.
    lesion_mm3, target_mm3, zones_mm3
        Volumes; that of the zones together, overlap counted once.
    structures_mm
        Free distance from the zones to each structure that is kept away from; negative where it is ablated too.
    reached
        Whether the coverage that was asked for is reached.
    """

    centres_ras: FloatArray
    axis_ras: FloatArray
    across_mm: float
    along_mm: float
    lesion_percent: float
    target_percent: float
    spill_percent: float
    lesion_mm3: float
    target_mm3: float
    zones_mm3: float
    reached: bool
    structures_mm: dict[str, float]
    message: str


def plan_ablation(
    segmentation: Segmentation,
    lesion: str,
    axis_ras: ArrayLike,
    request: AblationRequest,
    *,
    through_ras: ArrayLike | None = None,
    avoid: Sequence[str] = (),
) -> AblationPlan:
    """Cover a lesion and its margin with as few zones as it takes, each placed where it covers most of what is left.

    Afterwards every zone is moved, in turn, to where the coverage is greatest and, of places that cover the same, to where
    the least healthy tissue is ablated.

    Parameters
    ----------
    lesion
        Name of its segment.
    axis_ras
        Direction of the needle.
    through_ras
        A point of the needle, where all zones lie on it (`AblationRequest.same_needle`); the lesion's middle otherwise.
    avoid
        Names of segments whose distance from the zones is to be said.

    Raises
    ------
    InputError
        When there is no such lesion, or a zone is too small against it to be planned.
    """
    axis = unit(axis_ras)
    step = min(_STEP_MM, _STEP_SHARE * min(request.across_mm, request.along_mm) / 2)
    points, in_lesion, in_target, cell = _grid(segmentation, lesion, request, step)
    frame = np.stack([*perpendicular_axes(axis), axis], axis=1)
    local = points @ frame
    half = np.array([request.across_mm / 2, request.across_mm / 2, request.along_mm / 2])
    wanted = local[in_target]
    middle = local[in_lesion].mean(axis=0)
    anchor = middle if through_ras is None else np.asarray(through_ras, dtype=np.float64) @ frame
    candidates = _candidates(wanted, anchor, request.same_needle)
    covered = np.zeros(len(wanted), dtype=bool)
    centres: list[FloatArray] = []
    while len(centres) < request.most and covered.mean() < request.coverage:
        gains = np.array([(_inside(wanted, c, half) & ~covered).sum() for c in candidates])
        if not gains.max():
            break
        # Of places that gain the same the one nearest to what is left is taken: it spills least.
        left = wanted[~covered].mean(axis=0)
        best = np.flatnonzero(gains == gains.max())
        at = candidates[best[int(np.linalg.norm(candidates[best] - left, axis=1).argmin())]]
        centres.append(at)
        covered |= _inside(wanted, at, half)
    placed = _polished(np.array(centres), local, in_target, half, request.same_needle)
    zones = _union(local, placed, half)
    lesion_share = float((zones & in_lesion).sum() / in_lesion.sum())
    target_share = float((zones & in_target).sum() / in_target.sum())
    spill = float((zones & ~in_target).sum() / max(zones.sum(), 1))
    reached = target_share >= request.coverage - 1e-9
    ras = placed @ frame.T
    structures = _from_zones(segmentation, avoid, ras, frame, half)
    return AblationPlan(
        ras, axis, request.across_mm, request.along_mm, 100 * lesion_share, 100 * target_share, 100 * spill,
        float(in_lesion.sum() * cell), float(in_target.sum() * cell), float(zones.sum() * cell), reached, structures,
        _words(len(placed), request, lesion_share, target_share, spill, reached, structures),
    )  # fmt: skip


def _grid(
    segmentation: Segmentation, lesion: str, request: AblationRequest, step: float
) -> tuple[FloatArray, NDArray[np.bool_], NDArray[np.bool_], float]:
    """Return grid points (N, 3) round a lesion, which lie in it, which in it or its margin, and the volume of each."""
    reach = request.margin_mm + max(request.across_mm, request.along_mm) + 2.0
    part = segmentation.around(lesion, reach)
    mask = part.voxels == segmentation[lesion].value
    kji = np.argwhere(mask)
    box = transform_points(part.ijk_to_ras, kji[:, ::-1])
    low, high = box.min(axis=0) - reach, box.max(axis=0) + reach
    count = np.prod((high - low) / step)
    if count > 2e7:
        raise InputError(
            "the lesion is too large for zones so small", "Give larger zones, or another lesion.", where=lesion
        )
    axes = [np.arange(a, b, step) for a, b in zip(low, high, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    # Beyond the field's own room its depth is a lower bound, which is all that is asked of it there.
    depth = SmoothBone.of_mask(part, mask, request.margin_mm + 3.0, lesion).field(_FIELD_STEP_MM).depth_mm(points)
    inside = depth > 0
    if not inside.any():
        raise InputError(f"'{lesion}' has no volume", "Segment it again.", where=lesion)
    return points, inside, depth > -request.margin_mm, step**3


def _candidates(wanted: FloatArray, anchor: FloatArray, same_needle: bool) -> FloatArray:
    low, high = wanted.min(axis=0), wanted.max(axis=0)
    along = np.arange(low[2], high[2] + _CANDIDATE_STEP_MM, _CANDIDATE_STEP_MM)
    if same_needle:
        return np.stack([np.full_like(along, anchor[0]), np.full_like(along, anchor[1]), along], axis=-1)
    axes = [np.arange(a, b + _CANDIDATE_STEP_MM, _CANDIDATE_STEP_MM) for a, b in zip(low[:2], high[:2], strict=True)]
    grid = np.stack(np.meshgrid(*axes, along, indexing="ij"), axis=-1).reshape(-1, 3)
    while len(grid) > 1500:
        grid = grid[::2]
    return np.concatenate([wanted.mean(axis=0)[None], grid])


def _inside(points: FloatArray, centre: FloatArray, half: FloatArray) -> NDArray[np.bool_]:
    return np.asarray((((points - centre) / half) ** 2).sum(axis=1) <= 1.0)


def _union(points: FloatArray, centres: FloatArray, half: FloatArray) -> NDArray[np.bool_]:
    out = np.zeros(len(points), dtype=bool)
    for centre in centres:
        out |= _inside(points, centre, half)
    return out


def _polished(
    centres: FloatArray, local: FloatArray, in_target: NDArray[np.bool_], half: FloatArray, same_needle: bool
) -> FloatArray:
    """Move each zone in turn to where the coverage is greatest, then the spill least; the zones' volume is fixed."""
    wanted = local[in_target]
    moves = np.eye(3)[2:] if same_needle else np.eye(3)
    moves = np.concatenate([moves, -moves])
    middle = wanted.mean(axis=0)
    for step in _POLISH_MM:
        for _ in range(20):
            moved = False
            for n in range(len(centres)):
                others = _union(wanted, np.delete(centres, n, axis=0), half)
                tries = np.concatenate([centres[n][None], centres[n] + step * moves])
                # Where nothing is gained, nearer to the middle is better balanced.
                gains = [
                    (int((others | _inside(wanted, t, half)).sum()), -float(np.linalg.norm(t - middle))) for t in tries
                ]
                best = max(range(len(tries)), key=lambda k: gains[k])
                if gains[best][0] > gains[0][0] or (
                    gains[best][0] == gains[0][0] and gains[best][1] > gains[0][1] + 1e-9
                ):
                    centres[n] = tries[best]
                    moved = True
            if not moved:
                break
    return centres


def _from_zones(
    segmentation: Segmentation, names: Sequence[str], centres: FloatArray, frame: FloatArray, half: FloatArray
) -> dict[str, float]:
    """Return the free distance from the zones to each structure within 30 mm, nearest first; below 0 where it is ablated."""
    labels = segmentation.labels
    ijk = transform_points(labels.ras_to_ijk, centres)
    room = (30.0 + half.max()) / labels.spacing_mm
    part = labels.cropped(np.floor(ijk.min(axis=0) - room), np.ceil(ijk.max(axis=0) + room) + 1)
    angle = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    height = np.linspace(-0.98, 0.98, 25)
    ring = np.sqrt(1 - height**2)
    ball = np.stack(
        [np.outer(ring, np.cos(angle)), np.outer(ring, np.sin(angle)), np.repeat(height[:, None], len(angle), axis=1)],
        -1,
    ).reshape(-1, 3)
    surface = (centres[:, None] + (half * ball) @ frame.T).reshape(-1, 3)
    out = {}
    for name in names:
        mask = part.voxels == segmentation[name].value
        if not mask.any():
            continue
        voxels = transform_points(part.ijk_to_ras, np.argwhere(mask)[:, ::-1])
        local = (voxels[:, None] - centres[None]) @ frame / half
        inside = (local**2).sum(axis=2) <= 1.0
        nearest = float(cKDTree(voxels).query(surface)[0].min()) - 0.5 * float(labels.spacing_mm.mean())
        depth = float(((1 - np.sqrt((local**2).sum(axis=2))) * half.min())[inside].max()) if inside.any() else 0.0
        mm = -depth if inside.any() else nearest
        if mm <= 30.0:
            out[name] = mm
    return dict(sorted(out.items(), key=lambda item: item[1]))


def _words(
    count: int,
    request: AblationRequest,
    lesion: float,
    target: float,
    spill: float,
    reached: bool,
    structures: dict[str, float],
) -> str:
    shape = f"{request.across_mm:g} mm" if request.across_mm == request.along_mm else (
        f"{request.across_mm:g} x {request.along_mm:g} mm"
    )  # fmt: skip
    words = (
        f"{count} zone{'s' if count > 1 else ''} of {shape} cover {100 * lesion:.1f} % of the lesion and {100 * target:.1f} % of it with "
        f"its margin of {request.margin_mm:g} mm; {100 * spill:.0f} % of the ablated volume lies outside"
    )
    if not reached:
        words += f"; NOT the {100 * request.coverage:.0f} % that were asked for"
    burnt = [name for name, mm in structures.items() if mm < 0]
    return words + (f"; it ablates {', '.join(burnt)} too" if burnt else "") + "."
