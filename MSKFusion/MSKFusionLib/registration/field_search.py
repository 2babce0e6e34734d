"""From two prepared images to a displacement of soft tissue: descriptors, a wide search, a fine fit, no folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..frames import FloatArray
from ..progress import Progress, part
from ..torch_device import Tensor, load_torch
from .coupled_convex import MOST_COST_BYTES, search_shifts, shifts_within
from .instance_optimisation import ControlField, Smoothness, cost_of, refine, sample
from .mind import mind_ssc
from .soft_tissue_pair import SoftTissuePair

#: Coarse voxels are so many working voxels wide.
COARSE = 2
#: How far the first search looks.
REACH_MM = 16.0
_SAMPLES = 80_000
_COARSE_STEPS, _FINE_STEPS = 40, 50
SMOOTHNESS = Smoothness()


@dataclass(frozen=True, eq=False)
class Images:
    """Descriptors of two images on the working grid and on a coarser one, as tensors on the device.

    Parameters
    ----------
    ct, mr, coarse_ct, coarse_mr
        (1, 12, K, J, I) descriptors.
    seen, coarse_seen
        (1, 1, K, J, I) 1 where both show the body.
    wanted
        (1, 1, K, J, I), coarse: 1 where a displacement is looked for.
    free
        (1, 1, K, J, I) share of a displacement that is allowed.
    voxels
        (N, 3; k, j, i) of the working grid where descriptors are compared.
    """

    ct: Tensor
    mr: Tensor
    coarse_ct: Tensor
    coarse_mr: Tensor
    seen: Tensor
    coarse_seen: Tensor
    wanted: Tensor
    free: Tensor
    voxels: Tensor
    step_mm: float

    @classmethod
    def of(cls, pair: SoftTissuePair, device: str, seed: int) -> Images:
        """Compute the descriptors of a prepared pair and draw the voxels to compare."""
        torch = load_torch()

        def tensor(a: NDArray[np.generic]) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(a, dtype=np.float32))[None, None].to(device)

        def together(t: Tensor) -> Tensor:
            """Keep the channels of a voxel beside each other in memory: twice as fast to sample."""
            return t.contiguous(memory_format=torch.channels_last_3d)

        def coarse(t: Tensor) -> Tensor:
            return torch.nn.functional.avg_pool3d(t, COARSE, ceil_mode=True, count_include_pad=False)

        ct, mr = mind_ssc(tensor(pair.ct)), mind_ssc(tensor(pair.mr))
        seen, match, free = tensor(pair.seen), tensor(pair.to_match), tensor(pair.free)
        voxels = np.argwhere(pair.to_match)
        # In the order of memory: neighbours are read together, which is twice as fast.
        chosen = np.sort(np.random.default_rng(seed).permutation(len(voxels))[:_SAMPLES])
        return cls(
            together(ct),
            together(mr),
            together(coarse(ct)),
            together(coarse(mr)),
            seen,
            (coarse(seen) > 0.5).float(),
            (coarse(match) > 0.3).float(),
            free,
            torch.from_numpy(voxels[chosen].astype(np.float32)).to(device),
            pair.step_mm,
        )

    def turned(self) -> Images:
        """Return the same with the MR in the CT's place."""
        return Images(
            self.mr,
            self.ct,
            self.coarse_mr,
            self.coarse_ct,
            self.seen,
            self.coarse_seen,
            self.wanted,
            self.free,
            self.voxels,
            self.step_mm,
        )

    def search(self, progress: Progress) -> ControlField:
        """Return the field that the wide search finds, refined on the coarse descriptors."""
        free = load_torch().nn.functional.avg_pool3d(self.free, COARSE, ceil_mode=True, count_include_pad=False)
        reach = self._reach()
        shifts = search_shifts(
            self.coarse_ct, self.coarse_mr, self.wanted, self.coarse_seen, free, reach, part(progress, 0.0, 0.3)
        )
        return self.refined(COARSE * shifts, part(progress, 0.3, 1.0))

    def refined(self, start: Tensor, progress: Progress) -> ControlField:
        """Return the field that starts from a displacement at the control points, refined on the coarse descriptors."""
        field = ControlField(start, self.free)
        refine(
            self.coarse_ct,
            self.coarse_mr,
            self.coarse_seen,
            field,
            self.voxels[::2],
            SMOOTHNESS,
            _COARSE_STEPS,
            progress,
            step_mm=self.step_mm,
            scale=COARSE,
        )
        return field

    def refine(self, field: ControlField, smoothness: Smoothness, progress: Progress) -> None:
        """Move the field's control points by the descriptors of the working grid."""
        refine(self.ct, self.mr, self.seen, field, self.voxels, smoothness, _FINE_STEPS, progress, step_mm=self.step_mm)

    def cost(self, field: ControlField) -> float:
        """Return what a field costs on the working grid, the same for every field."""
        return cost_of(self.ct, self.mr, self.seen, field, self.voxels, SMOOTHNESS, self.step_mm)

    def _reach(self) -> int:
        """Return the farthest shift in coarse voxels that is looked at; less where the table of costs would not fit."""
        reach = max(1, round(REACH_MM / (COARSE * self.step_mm)))
        places = int(self.wanted.sum())
        while reach > 1 and 2 * places * len(shifts_within(reach)) > MOST_COST_BYTES:
            reach -= 1
        return reach


def disagreement_mm(forward: ControlField, backward: ControlField, voxels: Tensor, step_mm: float) -> FloatArray:
    """Return how far (N,) from where it started each voxel (N, 3) ends up, there by one field and back by the other."""
    with load_torch().no_grad():
        there = forward.at(voxels, sample(forward.free, voxels)[:, 0])
        place = voxels + there
        back = backward.at(place, sample(backward.free, place)[:, 0])
        apart = (there + back).norm(dim=1) * step_mm
    return np.asarray(apart.cpu().numpy(), dtype=np.float64)


def displacement_ras(field: ControlField, pair: SoftTissuePair) -> NDArray[np.float32]:
    """Return a field as displacements (K, J, I, 3; RAS mm) on the working grid."""
    # The fade is out of the MR's view and no part of the fit: held to 0 there, tissue at the edge would be held back.
    along_ijk = np.moveaxis(field.on_grid().numpy()[::-1] * pair.fade, 0, -1) * pair.step_mm
    return np.asarray(along_ijk @ pair.grid.directions_ras.T, dtype=np.float32)
