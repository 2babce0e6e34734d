"""The first displacement: every place looks at all shifts at once, and neighbours are made to agree step by step.

Coupled convex optimisation (Heinrich, Papiez, Schnabel and Handels 2014, doi 10.1007/978-3-319-08554-8_20; with
descriptors: Siebert et al. 2024, doi 10.1109/TMI.2024.3436608). Large motion is found without a start, to the step of
the search.
"""

from __future__ import annotations

from ..progress import Progress
from ..torch_device import Tensor, load_torch

#: How strongly a place is held to its neighbours' mean, from free to bound.
_COUPLING = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
#: The table of costs may take so much memory; a larger one is refused by the caller's choice of grid.
MOST_COST_BYTES = 600_000_000
_CHUNK_BYTES = 60_000_000


def shifts_within(reach: int) -> Tensor:
    """Return all whole shifts (N, 3; k, j, i) in the ball of `reach` voxels."""
    torch = load_torch()
    steps = torch.arange(-reach, reach + 1)
    every = torch.stack(torch.meshgrid(steps, steps, steps, indexing="ij"), dim=-1).reshape(-1, 3)
    return every[(every**2).sum(1) <= reach**2]


def search_shifts(
    fixed: Tensor, moving: Tensor, wanted: Tensor, shown: Tensor, free: Tensor, reach: int, progress: Progress
) -> Tensor:
    """Return a displacement of every voxel that brings the moving descriptors onto the fixed ones.

    Parameters
    ----------
    fixed, moving
        (1, C, K, J, I) descriptors.
    wanted, shown
        (1, 1, K, J, I) 1 where a displacement is looked for, and where the moving image shows the body.
    free
        (1, 1, K, J, I) share of a displacement that is allowed, 0 on bone.
    reach
        Farthest shift in voxels.

    Returns
    -------
    Tensor
        (1, 3, K, J, I) displacement in voxels along k, j, i, before it is multiplied by `free`.
    """
    torch = load_torch()
    shifts = shifts_within(reach).to(fixed.device)
    at = wanted.flatten().nonzero()[:, 0]
    cost = _cost_table(fixed, moving, wanted, shown, at, shifts, progress)
    size = fixed.shape[2:]
    allowed = free.flatten()[at]
    vectors = shifts.to(torch.float32)

    def on_grid(values: Tensor) -> Tensor:
        field = torch.zeros(3, wanted.numel(), device=fixed.device)
        field[:, at] = values.T
        return field.reshape(1, 3, *size)

    # Places that may hardly move say nothing of where their neighbours go.
    weight = on_grid(allowed[:, None].expand(-1, 3)).clamp(min=1e-3)
    mean: Tensor | None = None
    for coupling in (0.0, *_COUPLING):
        best = torch.empty(len(at), dtype=torch.long, device=fixed.device)
        rows = max(1, _CHUNK_BYTES // (4 * len(shifts)))
        for first in range(0, len(at), rows):
            part = slice(first, first + rows)
            table = cost[part].to(torch.float32)
            if mean is not None:
                here = (mean[0].reshape(3, -1)[:, at[part]] * allowed[part]).T
                table += coupling * torch.cdist(here, vectors) ** 2
            best[part] = table.argmin(dim=1)
        mean = _smooth(on_grid(vectors[best]) * weight) / _smooth(weight).clamp(min=1e-6)
    return mean


def _cost_table(
    fixed: Tensor, moving: Tensor, wanted: Tensor, shown: Tensor, at: Tensor, shifts: Tensor, progress: Progress
) -> Tensor:
    """Return the cost (places, shifts) as half floats in units of its own spread; out of view costs the mean."""
    torch = load_torch()
    reach = int(shifts.abs().max())
    pad = torch.nn.functional.pad
    wide, wide_shown = pad(moving, (reach,) * 6), pad(shown, (reach,) * 6)
    k, j, i = fixed.shape[2:]
    cost = torch.empty(len(at), len(shifts), dtype=torch.float16, device=fixed.device)
    pool = torch.nn.functional.avg_pool3d
    for n, shift in enumerate(shifts.tolist()):
        if n % 20 == 0:
            progress(n / len(shifts), "comparing every place with all shifts")
        a, b, c = (reach + s for s in shift)
        box = (slice(None), slice(None), slice(a, a + k), slice(b, b + j), slice(c, c + i))
        both = wide_shown[box] * wanted
        apart = ((wide[box] - fixed) ** 2).mean(dim=1, keepdim=True) * both
        # A patch of 3 voxels; what is out of view there does not count.
        covered = pool(both, 3, stride=1, padding=1)
        value = pool(apart, 3, stride=1, padding=1) / covered.clamp(min=1e-6)
        value[covered < 0.3] = float("nan")
        cost[:, n] = (100.0 * value.flatten()[at]).to(torch.float16)
    rows = max(1, _CHUNK_BYTES // (4 * len(shifts)))
    spreads = []
    for first in range(0, len(at), rows):
        table = cost[first : first + rows].to(torch.float32)
        mean = table.nanmean(dim=1, keepdim=True).nan_to_num()
        table = torch.where(table.isnan(), mean, table)
        spreads.append((table - mean).square().mean(dim=1))
        cost[first : first + rows] = (table - table.amin(dim=1, keepdim=True)).to(torch.float16)
    spread = float(torch.cat(spreads).mean().sqrt().clamp(min=1e-6))
    for first in range(0, len(at), rows):
        cost[first : first + rows] /= spread
    return cost


def _smooth(field: Tensor) -> Tensor:
    """Return a field after three box filters of 3 voxels, nearly a Gaussian of 1.4."""
    pool = load_torch().nn.functional.avg_pool3d
    for _ in range(3):
        field = pool(field, 3, stride=1, padding=1)
    return field
