"""The vertebral bodies of a spine in MR, one after another: from a body that is known to its neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...frames import FloatArray
from .body import DIRECTIONS, Block, fit_block
from .prepare import PreparedMR
from .surfaces import STEP_MM, first_leave_mm, unlike

#: How far apart two facing endplates may be: a disc worn to the bone, and a high one.
DISC_MM = (1.0, 19.0)
_DISC_TRIES_MM = (5.0, 8.0, 11.0, 15.0)
#: By what neighbours may differ: height (a fracture takes half of it), depth, width, marrow; and by how much they tilt.
_HEIGHT_RATIO, _DEPTH_RATIO, _WIDTH_RATIO, _MARROW_RATIO = (0.5, 1.8), (0.68, 1.45), (0.6, 1.6), (0.68, 1.45)
_MOST_TILT_DEG = 38.0
_SHORTEST_CUT_MM = 4.0
#: Marrow across a disc may be darker or brighter (the coil's shading, a sacrum): shares of the neighbour's that are tried.
_BEYOND_LEVELS = (1.0, 0.85, 0.72, 1.2)
#: Candidates for a body on this raster, and so many of the best are looked at.
_RASTER_MM, _MOST_CANDIDATES, _MOST_STARTS = (8.0, 5.0, 5.0), 60, 5


@dataclass(frozen=True, eq=False)
class Plate:
    """The facing endplate of a body that is not seen as a whole (the sacrum's): a plane in its neighbour's frame.

    Parameters
    ----------
    coefficients
        Height over (x, y) of the neighbour's frame: a x + b y + c in mm, the head positive.
    seen
        Share of the rays that agree.
    """

    coefficients: FloatArray
    seen: float


@dataclass(frozen=True, eq=False)
class Chain:
    """Bodies from head to foot, and why it ends where it does.

    Parameters
    ----------
    above, below
        The endplate that faces the first and the last body, where only that is seen.
    reasons
        Why there is no further body above and below.
    """

    blocks: tuple[Block, ...]
    above: Plate | None
    below: Plate | None
    reasons: tuple[str, str]

    @property
    def score(self) -> float:
        """How much of a spine it is: a body that is wholly seen counts 1 at most, a cut one half."""
        return float(sum(b.seen[:4].mean() * (0.5 if any(b.cut) else 1.0) for b in self.blocks))


def follow(image: PreparedMR, first: Block) -> Chain:
    """Return the chain of bodies that a body belongs to."""
    blocks, plates, reasons = [first], [], []
    for sign in (1, -1):
        while True:
            last = blocks[0] if sign > 0 else blocks[-1]
            if last.cut[0 if sign > 0 else 1]:
                plate, reason = None, "the image ends there"
                break
            found = _neighbour(image, last, sign)
            if isinstance(found, str):
                plate, reason = _facing_plate(image, last, sign), found
                break
            if sign > 0:
                blocks.insert(0, found)
            else:
                blocks.append(found)
        plates.append(plate)
        reasons.append(reason)
    return Chain(tuple(blocks), plates[0], plates[1], (reasons[0], reasons[1]))


def _neighbour(image: PreparedMR, last: Block, sign: int) -> Block | str:
    """Return the body above (+1) or below (-1) another, or why there is none."""
    plate = float(last.sides_mm[0 if sign > 0 else 1])
    size = np.array([last.height_mm, last.depth_mm, last.width_mm])
    best: tuple[float, Block] | None = None
    reason = "the image ends there"
    for gap in _DISC_TRIES_MM:
        for share in (0.5, 0.22):
            to = last.to_image(np.array([0.0, 0.0, sign * (plate + gap + share * last.height_mm)]))
            if np.any(to < 0) or np.any(to > image.size_mm):
                continue
            prior = size * np.array([min(1.0, 2 * share), 1.0, 1.0])
            found = fit_block(image, to, last.axes, prior)
            why = found if isinstance(found, str) else found.wrong() or _not_next(last, found, sign)
            if isinstance(found, str) or why:
                reason = why
                continue
            # A disc may be alike all over too: a body is rather as high and as bright as its neighbour.
            unlike_last = 0.5 * abs(np.log(found.height_mm / last.height_mm)) + abs(np.log(found.marrow / last.marrow))
            score = float(found.seen[:4].sum()) - unlike_last
            if best is None or score > best[0]:
                best = score, found
    return best[1] if best is not None else reason


def _not_next(last: Block, found: Block, sign: int) -> str:
    """Return why a body is not the neighbour of another; nothing where it may be."""
    here, there = (0, 1) if sign > 0 else (1, 0)
    if found.cut[there]:
        return "the endplate that faces it is not seen"
    offset = last.to_local(found.centre_mm)
    gap = sign * float(offset[2]) - float(last.sides_mm[here] + found.sides_mm[there])
    if not DISC_MM[0] <= gap <= DISC_MM[1]:
        return f"what lies beyond is {max(gap, 0):.0f} mm away, a disc is {DISC_MM[0]:.0f} to {DISC_MM[1]:.0f} mm high"
    tilt = np.degrees(np.arccos(np.clip(last.axes[:, 2] @ found.axes[:, 2], -1, 1)))
    if tilt > _MOST_TILT_DEG:
        return f"what lies beyond is tilted by {tilt:.0f} degrees against it"
    if float(np.hypot(offset[0], offset[1])) > 0.5 * last.depth_mm:
        return "what lies beyond is not in line with it"
    cut_high = found.cut[0] or found.cut[1]
    if cut_high and found.height_mm < _SHORTEST_CUT_MM:
        return "the image ends there"
    checks = (
        ("high", found.height_mm / last.height_mm, _HEIGHT_RATIO, cut_high or last.cut[0] or last.cut[1]),
        ("deep", found.depth_mm / last.depth_mm, _DEPTH_RATIO, any(found.cut[2:4]) or any(last.cut[2:4])),
        ("wide", found.width_mm / last.width_mm, _WIDTH_RATIO, any(found.cut[4:]) or any(last.cut[4:])),
        ("bright", found.marrow / last.marrow, _MARROW_RATIO, False),
    )
    for word, ratio, (low, high), unknown in checks:
        if not unknown and not low <= ratio <= high:
            return f"what lies beyond is {ratio:.1f} times as {word}"
    return ""


def _facing_plate(image: PreparedMR, last: Block, sign: int) -> Plate | None:
    """Return the endplate across the disc, where marrow like the body's begins again behind it."""
    side = 0 if sign > 0 else 1
    a = np.linspace(-0.6, 0.6, 9) * 0.5 * min(last.width_mm, 44.0)
    b = np.linspace(-0.6, 0.6, 9) * 0.5 * last.depth_mm
    gx, gy = (g.ravel() for g in np.meshgrid(a, b, indexing="ij"))
    t = np.arange(0.0, DISC_MM[1] + 14.0, STEP_MM)
    start = float(last.sides_mm[side])
    points = np.stack(np.broadcast_arrays(gx[:, None], gy[:, None], sign * (start + t)), axis=-1)
    values = last.values(image, points)
    best: tuple[float, FloatArray, NDArray[np.bool_]] | None = None
    for level in _BEYOND_LEVELS:
        begins, hit = _marrow_again(values / level, t)
        if best is None or hit.mean() > best[0]:
            best = float(hit.mean()), begins, hit
    assert best is not None
    share, begins, hit = best
    if share < 0.6:
        return None
    at = sign * (start + begins)
    design = np.column_stack([gx, gy, np.ones(len(gx))])
    fit = np.array([0.0, 0.0, np.median(at[hit])])
    for limit in (6.0, 3.5, 2.5):
        use = hit & (np.abs(at - design @ fit) < limit)
        if use.mean() < 0.4:
            return None
        fit = np.linalg.lstsq(design[use], at[use], rcond=None)[0]
    seen = float((hit & (np.abs(at - design @ fit) < 2.5)).mean())
    high = sign * float(fit[2]) - start
    steep = np.degrees(np.arctan(np.hypot(fit[0], fit[1])))
    return Plate(fit, seen) if seen >= 0.5 and DISC_MM[0] <= high <= DISC_MM[1] and steep < 35 else None


def _marrow_again(values: NDArray[np.float32], t: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return where along rays (N, T) through a disc marrow begins again, and on which it does.

    It goes on for 4 mm, or to the image's end. A bright nucleus is like marrow too: the last border within the height of
    a disc counts.
    """
    apart = unlike(values, 1.0)
    known = np.isfinite(values)
    like = known & (apart < 0.45)
    # Outside the image nothing speaks against marrow, but 1.5 mm of it must be seen.
    open_end = like | ~known
    run, least = open_end.copy(), like.copy()
    for n in range(1, round(4.0 / STEP_MM)):
        run[:, :-n] &= open_end[:, n:]
    for n in range(1, round(1.5 / STEP_MM)):
        least[:, :-n] &= like[:, n:]
        least[:, -n:] = False
    off_before = np.zeros_like(like)
    off_before[:, 1:] = ~like[:, :-1] & known[:, :-1]
    starts = run & least & off_before & (t >= DISC_MM[0]) & (t <= DISC_MM[1])
    last = starts.shape[1] - 1 - starts[:, ::-1].argmax(axis=1)
    begun: NDArray[np.bool_] = np.any(starts, axis=1)
    return np.asarray(t[last]), begun


def find_chain(image: PreparedMR) -> tuple[Chain | None, tuple[Chain, ...]]:
    """Return the best chain that is found without a click (None: nothing like a body), and the others that were followed."""
    chains: list[Chain] = []
    for start in _starts(image):
        if len(chains) >= _MOST_STARTS:
            break
        if any(np.linalg.norm(b.centre_mm - start.centre_mm) < 15.0 for c in chains for b in c.blocks):
            continue
        chains.append(follow(image, start))
    if not chains:
        return None, ()
    chains.sort(key=lambda c: -c.score)
    # Two that share bodies are one spine, followed once better and once worse.
    kept: list[Chain] = []
    for chain in chains:
        if not any(_share_bodies(chain, other) for other in kept):
            kept.append(chain)
    return kept[0], tuple(kept[1:])


def _share_bodies(a: Chain, b: Chain) -> bool:
    return any(np.linalg.norm(p.centre_mm - q.centre_mm) < 15.0 for p in a.blocks for q in b.blocks)


def _starts(image: PreparedMR) -> list[Block]:
    """Return blocks that look like vertebral bodies, the clearest first."""
    blocks: list[tuple[float, Block]] = []
    for point in _candidates(image):
        if any(np.linalg.norm(b.centre_mm - point) < 7.0 for _, b in blocks):
            continue
        block = fit_block(image, point)
        if isinstance(block, str) or block.wrong() or any(block.cut[:4]):
            continue
        if any(np.linalg.norm(b.centre_mm - block.centre_mm) < 10.0 for _, b in blocks):
            continue
        blocks.append((float(block.seen.sum()) - 4.0 * block.spread, block))
    return [b for _, b in sorted(blocks, key=lambda pair: -pair[0])]


def _candidates(image: PreparedMR) -> list[FloatArray]:
    """Return places (3,) that may be the middle of a body, the likeliest first: bounded on four sides at fitting distances."""
    smooth = ndimage.gaussian_filter(image.volume.voxels, 1.5)
    axes = [
        np.arange(0.5 * (size % step), size + 1e-6, step) for size, step in zip(image.size_mm, _RASTER_MM, strict=True)
    ]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    index = np.round(points / image.volume.spacing_mm).astype(int)
    tissue = smooth[index[:, 2], index[:, 1], index[:, 0]]
    some = tissue > 0.3
    points, tissue = points[some], tissue[some]
    t = np.arange(0.0, 46.0, 1.0)
    extents = np.zeros((4, len(points)))
    scatter = np.zeros(len(points))
    for side in range(4):
        ends = _bundle(image, points, side, t, tissue)
        missing = np.isnan(ends).sum(axis=0)
        ends = np.where(np.isnan(ends), 99.0, ends)
        extents[side] = np.median(ends, axis=0)
        scatter += np.median(np.abs(ends - extents[side]), axis=0) + 2.0 * missing
        along, low, high = (0, 10.0, 44.0) if side < 2 else (2, 14.0, 50.0)
        fits = extents[side] < high
        if side % 2:
            both = extents[along : along + 2]
            fits &= (both.sum(axis=0) > low) & (both.sum(axis=0) < high) & (both.min(axis=0) > 1.5)
        points, tissue, scatter, extents = points[fits], tissue[fits], scatter[fits], extents[:, fits]
    up, down, front, back = extents
    middles = points + np.stack([np.zeros(len(points)), (front - back) / 2, (up - down) / 2], axis=-1)
    chosen: list[FloatArray] = []
    for n in np.argsort(scatter, kind="stable"):
        if all(np.linalg.norm(middles[n] - c) > 6.0 for c in chosen):
            chosen.append(middles[n])
        if len(chosen) >= _MOST_CANDIDATES:
            break
    return chosen


def _bundle(image: PreparedMR, points: FloatArray, side: int, t: FloatArray, tissue: NDArray[np.float32]) -> FloatArray:
    """Return where six rays beside each point (N, 3) leave its tissue on one side (6, N); NaN where they do not."""
    other = 1 if side < 2 else 2
    ends = []
    for shift in (-4.0, 0.0, 4.0):
        for aside in (-4.0, 4.0):
            starts = points.copy()
            starts[:, other] += shift
            starts[:, 0] += aside
            values = image.values(starts[:, None] + t[:, None] * DIRECTIONS[side]) / tissue[:, None]
            fine = np.repeat(values, round(1.0 / STEP_MM), axis=1)  # samples of 1 mm as of half a mm
            at, out = first_leave_mm(fine.astype(np.float32), 1.0)
            ends.append(np.where(out, np.nan, at))
    return np.array(ends)
