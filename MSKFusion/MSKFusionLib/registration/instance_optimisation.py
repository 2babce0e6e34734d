"""The fine displacement: a smooth field on control points, moved until the descriptors of both images agree.

Adam steps (Kingma and Ba 2015, arXiv 1412.6980) on this one pair, from where the coupled convex search ends (Siebert et
al. 2024, doi 10.1109/TMI.2024.3436608). What is smoothed and compared is the field times the share that may move, so
that the stillness of bone is part of the problem and not put on afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..progress import Progress
from ..torch_device import Tensor, load_torch

_RATE = 0.5


@dataclass(frozen=True)
class Smoothness:
    """What an uneven displacement costs.

    Parameters
    ----------
    stretch
        Weight of squared first differences (mm per mm).
    bend
        Weight of squared second differences (per mm).
    """

    stretch: float = 0.03
    bend: float = 2.0

    def stronger(self, factor: float) -> Smoothness:
        """Return the same with both weights times a factor."""
        return Smoothness(self.stretch * factor, self.bend * factor)


class ControlField:
    """A displacement in voxels of the working grid, from control points every second voxel.

    Parameters
    ----------
    control
        (1, 3, K, J, I) at the control points; smoothed by a kernel like a B-spline's before it is used.
    free
        (1, 1, K, J, I) on the working grid: share of the displacement that is allowed.
    """

    STEP = 2

    def __init__(self, start: Tensor, free: Tensor) -> None:
        torch = load_torch()
        self.free = free
        self.control = start.clone().requires_grad_(True)
        self._torch = torch
        self._size = free.shape[2:]
        nodes = start.shape[2:]
        self._free_at_nodes = free[:, :, :: self.STEP, :: self.STEP, :: self.STEP][
            :, :, : nodes[0], : nodes[1], : nodes[2]
        ]

    def smoothed(self) -> Tensor:
        """Return the field at the control points."""
        pool = self._torch.nn.functional.avg_pool3d
        return pool(pool(self.control, 3, stride=1, padding=1), 3, stride=1, padding=1)

    def at_nodes(self) -> Tensor:
        """Return the displacement at the control points, bone still."""
        return self.smoothed() * self._free_at_nodes

    def at(self, voxels: Tensor, free: Tensor) -> Tensor:
        """Return the displacement (N, 3; k, j, i) at voxels (N, 3) with their shares (N,)."""
        return sample(self.smoothed(), voxels / self.STEP) * free[:, None]

    def on_grid(self) -> Tensor:
        """Return the displacement (3, K, J, I) at every voxel."""
        torch = self._torch
        with torch.no_grad():
            smoothed = self.smoothed()
            out = torch.empty(3, *self._size)
            j, i = (torch.arange(n, device=smoothed.device) for n in self._size[1:])
            for k in range(self._size[0]):
                layer = torch.stack(
                    torch.meshgrid(torch.tensor([k], device=smoothed.device), j, i, indexing="ij"), dim=-1
                ).reshape(-1, 3)
                moved = sample(smoothed, layer / self.STEP) * self.free[0, 0, k].reshape(-1, 1)
                out[:, k] = moved.T.reshape(3, *self._size[1:]).cpu()
        return out


def sample(field: Tensor, voxels: Tensor) -> Tensor:
    """Return trilinear values (N, C) of a field (1, C, K, J, I) at continuous voxels (N, 3; k, j, i), its edge beyond."""
    torch = load_torch()
    last = torch.tensor([max(n - 1, 1) for n in field.shape[2:]], dtype=torch.float32, device=field.device)
    where = (2.0 * voxels / last - 1.0).flip(-1)[None, None, None]
    values = torch.nn.functional.grid_sample(field, where, mode="bilinear", padding_mode="border", align_corners=True)
    return values[0, :, 0, 0].T


def refine(
    fixed: Tensor,
    moving: Tensor,
    seen: Tensor,
    field: ControlField,
    voxels: Tensor,
    smoothness: Smoothness,
    steps: int,
    progress: Progress,
    *,
    step_mm: float,
    scale: int = 1,
) -> None:
    """Move the control points of a field so that moving descriptors agree with the fixed ones.

    Parameters
    ----------
    fixed, moving, seen
        (1, C, K, J, I) descriptors, and (1, 1, K, J, I) 1 where the moving image shows the body; their voxels are
        `scale` working voxels wide.
    voxels
        (N, 3; k, j, i) where they are compared, on the working grid.
    step_mm
        Edge of a voxel of the working grid.
    """
    torch = load_torch()
    optimiser = torch.optim.Adam([field.control], lr=_RATE)
    cost = _cost(fixed, moving, seen, field, voxels, smoothness, step_mm, scale)
    for step in range(steps):
        if step % 5 == 0:
            progress(step / steps, "bringing soft tissue together")
        optimiser.zero_grad()
        cost().backward()
        optimiser.step()


def cost_of(
    fixed: Tensor,
    moving: Tensor,
    seen: Tensor,
    field: ControlField,
    voxels: Tensor,
    smoothness: Smoothness,
    step_mm: float,
) -> float:
    """Return what `refine` makes smaller: how unlike the descriptors are, and how uneven the field is."""
    with load_torch().no_grad():
        return float(_cost(fixed, moving, seen, field, voxels, smoothness, step_mm, 1)())


def _cost(
    fixed: Tensor,
    moving: Tensor,
    seen: Tensor,
    field: ControlField,
    voxels: Tensor,
    smoothness: Smoothness,
    step_mm: float,
    scale: int,
) -> Callable[[], Tensor]:
    """Return what computes the cost of a field as it is then; see `refine`."""
    torch = load_torch()
    free = sample(field.free, voxels)[:, 0]
    # Coarse voxels are means of blocks: their middles lie half a block in.
    offset = 0.5 * (scale - 1)
    wanted = sample(fixed, (voxels - offset) / scale)
    node_mm = field.STEP * step_mm

    def cost() -> Tensor:
        there = (voxels + field.at(voxels, free) - offset) / scale
        with torch.no_grad():
            shown = sample(seen, there)[:, 0]
        apart = ((sample(moving, there) - wanted) ** 2).mean(dim=1)
        unlike = (apart * shown).mean() / shown.mean().clamp(min=0.05)
        return unlike + _uneven(field.at_nodes() * step_mm, node_mm, smoothness)

    return cost


def _uneven(moved_mm: Tensor, node_mm: float, smoothness: Smoothness) -> Tensor:
    """Return the cost of unevenness of a displacement (1, 3, K, J, I)."""
    total = 0.0
    for axis in (2, 3, 4):
        first = moved_mm.diff(dim=axis) / node_mm
        total = total + smoothness.stretch * (first**2).mean() + smoothness.bend * (first.diff(dim=axis) ** 2).mean()
    return total
