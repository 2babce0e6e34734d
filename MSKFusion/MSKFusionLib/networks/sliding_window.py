"""A network moved over an image window by window, in memory that does not grow with the image's length.

Windows, weights and sums are those of MONAI's `sliding_window_inference`, which a test compares; but only the layers that
windows still reach are kept for all channels, and of a finished layer the three likeliest labels and their probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, ProcessingError
from ..progress import Progress
from ..torch_device import NETWORKS as PURPOSE
from ..torch_device import Tensor, load_torch
from .bundle import Window

#: Bytes that the layers in work may take; half floats are taken above half of it.
MOST_BYTES = 2_400_000_000
_LAYER_BYTES = 100_000_000
#: Labels of a voxel that are kept: more than three hardly ever compete for one place.
KEPT = 3


@dataclass(frozen=True, eq=False)
class Likeliest:
    """The likeliest labels of every voxel, the likeliest first, and their probabilities.

    Parameters
    ----------
    labels
        (N, I, J, K), N of them (three, or two where there are no more).
    shares
        (N, I, J, K) from 0 to 1.
    """

    labels: NDArray[np.uint16]
    shares: NDArray[np.float16]


def window_starts(edge: int, size: int, overlap: float) -> list[int]:
    """Return where windows begin along an axis, so that the last one ends with the image."""
    if edge <= size:
        return [0]
    step = max(1, int(size * (1 - overlap)))
    starts = list(range(0, edge - size, step))
    return [*starts, edge - size]


def window_weight(size: Sequence[int], window: Window) -> Tensor:
    """Return how much each voxel of a window counts, as MONAI weighs it."""
    torch = load_torch(PURPOSE)
    weight = torch.ones(tuple(size))
    if window.gaussian:
        for axis, edge in enumerate(size):
            x = torch.arange(edge, dtype=torch.float32) - 0.5 * (edge - 1)
            along = torch.exp(-(x**2) / (2 * (window.sigma_scale * edge) ** 2))
            weight = weight * along.reshape([-1 if a == axis else 1 for a in range(3)])
    return weight.clamp(min=max(float(weight.min()), 1e-3))


def slide(
    image: Tensor,
    network: Callable[[Tensor], Any],
    window: Window,
    channels: int,
    device: str,
    shares: Callable[[Tensor], Tensor],
    progress: Progress,
) -> Likeliest:
    """Return the likeliest labels of every voxel.

    Parameters
    ----------
    image
        (1, I, J, K) on the network's grid.
    network
        Takes (1, 1, *window) on `device`, gives (1, channels, *window).
    shares
        Makes probabilities (labels, ...) of what the network gives (channels, ...).

    Raises
    ------
    InputError
        When the image is too large for this many labels, or the network gives another number of channels.
    """
    inner = tuple(image.shape[1:])
    size = inner if window.size is None else window.size
    image, before = _filled_up(image, size, window.padding)
    edges = tuple(image.shape[1:])
    size = tuple(min(s, e) for s, e in zip(size, edges, strict=True))
    along = int(np.argmax(edges))
    starts = [window_starts(e, s, window.overlap) for e, s in zip(edges, size, strict=True)]
    layers = _Layers(edges, size, along, channels, device)
    weight = window_weight(size, window).to(device)
    kept = min(KEPT, max(2, channels))
    found = Likeliest(np.zeros((kept, *edges), np.uint16), np.zeros((kept, *edges), np.float16))
    across = [s for axis, s in enumerate(starts) if axis != along]
    windows = len(starts[0]) * len(starts[1]) * len(starts[2])
    n = 0
    for position, here in enumerate(starts[along]):
        for other in product(*across):
            progress(n / windows, f"network, window {n + 1} of {windows}")
            n += 1
            start = list(other)
            start.insert(along, here)
            at = tuple(slice(a, a + s) for a, s in zip(start, size, strict=True))
            given = network(image[(None, slice(None), *at)].to(device))
            out = given[0] if isinstance(given, list | tuple) else given
            if tuple(out.shape) != (1, channels, *size):
                raise InputError(
                    f"the network gives {tuple(out.shape)} for a window of {size}, and {channels} channels are named",
                    "Get the bundle again.",
                )
            layers.add(out[0], weight, at, here)
        after = starts[along][position + 1] if position + 1 < len(starts[along]) else edges[along]
        for low, labels, values in layers.finished(after, shares, kept):
            place = tuple(slice(low, low + labels.shape[1 + along]) if a == along else slice(None) for a in range(3))
            found.labels[(slice(None), *place)], found.shares[(slice(None), *place)] = labels, values
    progress(1.0, "network done")
    cut = (slice(None), *(slice(b, b + n) for b, n in zip(before, inner, strict=True)))
    return Likeliest(np.ascontiguousarray(found.labels[cut]), np.ascontiguousarray(found.shares[cut]))


class _Layers:
    """Sums of what the windows gave, for the layers along one axis that windows still reach."""

    def __init__(self, edges: Sequence[int], size: Sequence[int], along: int, channels: int, device: str) -> None:
        torch = load_torch(PURPOSE)
        self._torch, self._along, self._low = torch, along, 0
        shape = [size[a] if a == along else edges[a] for a in range(3)]
        voxels = shape[0] * shape[1] * shape[2]
        half = 4 * voxels * channels > MOST_BYTES // 2
        if (2 if half else 4) * voxels * channels > MOST_BYTES:
            raise InputError(
                f"{channels} labels on {edges[0]}x{edges[1]}x{edges[2]} voxels take more than {MOST_BYTES / 1e9:.1f} GB",
                "Crop the image, or give a network for coarser voxels.",
            )
        self._sum = torch.zeros(channels, *shape, dtype=torch.float16 if half else torch.float32, device=device)
        self._weight = torch.zeros(shape, device=device)

    def add(self, given: Tensor, weight: Tensor, at: tuple[slice, ...], low: int) -> None:
        """Add what one window gave; `low` is the first layer in work."""
        assert low == self._low
        size = at[self._along].stop - at[self._along].start
        place = tuple(slice(0, size) if a == self._along else s for a, s in enumerate(at))
        self._sum[(slice(None), *place)] += given.float().mul_(weight).to(self._sum.dtype)
        self._weight[place] += weight

    def finished(
        self, after: int, shares: Callable[[Tensor], Tensor], kept: int
    ) -> list[tuple[int, NDArray[np.uint16], NDArray[np.float16]]]:
        """Return labels and probabilities of the layers before `after`, part by part with its first; go on from there."""
        torch, axis = self._torch, self._along
        count = min(after - self._low, self._sum.shape[1 + axis])
        a_layer = 4 * self._sum[0].numel() * self._sum.shape[0] // self._sum.shape[1 + axis]
        at_once = max(1, _LAYER_BYTES // max(1, a_layer))
        out = []
        for first in range(0, count, at_once):
            n = min(at_once, count - first)
            weight = self._weight.narrow(axis, first, n).clamp(min=1e-6)
            share = shares(self._sum.narrow(1 + axis, first, n).float() / weight)
            if not bool(torch.isfinite(share).all()):
                raise ProcessingError(
                    "the network gives values that are not numbers. Try full precision, or another network."
                )
            value, label = share.topk(kept, dim=0)
            labels = label.to(torch.int32).cpu().numpy().astype(np.uint16)
            out.append((self._low + first, labels, value.to(torch.float16).cpu().numpy()))
        keep = self._sum.shape[1 + axis] - count
        for buffer, along in ((self._sum, 1 + axis), (self._weight, axis)):
            if keep:
                buffer.narrow(along, 0, keep).copy_(buffer.narrow(along, count, keep).clone())
            buffer.narrow(along, keep, count).zero_()
        self._low = after
        return out


def _filled_up(image: Tensor, size: Sequence[int], padding: str) -> tuple[Tensor, list[int]]:
    """Return an image at least as large as a window, and what was put before it along each axis."""
    torch = load_torch(PURPOSE)
    before, pads = [], []
    for edge, wanted in zip(image.shape[1:], size, strict=True):
        lacking = max(0, wanted - edge)
        before.append(lacking // 2)
        pads.append((lacking // 2, lacking - lacking // 2))
    if not any(a or b for a, b in pads):
        return image, before
    if padding in ("reflect", "circular") and any(max(p) >= e for p, e in zip(pads, image.shape[1:], strict=True)):
        padding = "replicate"  # an image cannot be mirrored farther than it is wide
    flat = [n for pair in reversed(pads) for n in pair]
    return torch.nn.functional.pad(image[None], flat, mode=padding)[0], before
