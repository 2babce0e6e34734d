"""A displacement to start from that a network gives, at the control points of the deformable registration."""

from __future__ import annotations

import numpy as np

from ..frames import transform_points
from ..interpolation import interpolate
from ..networks.flow_bundle import FlowBundle, displacement_by_network
from ..progress import Progress
from ..torch_device import Tensor, load_torch
from ..volume import Modality
from .instance_optimisation import ControlField
from .soft_tissue_pair import SoftTissuePair

#: No tissue moves farther; a network that says so is not believed beyond it.
MOST_MM = 40.0


def learned_start(bundle: FlowBundle, pair: SoftTissuePair, device: str, progress: Progress) -> Tensor:
    """Return a network's displacement (1, 3, K, J, I) at the control points, in working voxels along k, j, i.

    The network sees what is compared afterwards too: the CT, soft tissue only (HU beyond -160 to 240 cut off), and the MR
    where the initial registration puts it, on the working grid.
    """
    ct = pair.grid.with_voxels(pair.ct, modality=Modality.CT, name="CT")
    mr = pair.grid.with_voxels(pair.mr, modality=Modality.MR, name="MR")
    moved_ras, ijk_to_ras = displacement_by_network(bundle, ct, mr, device, progress)
    nodes = np.stack(
        np.meshgrid(*[np.arange(0, n, ControlField.STEP) for n in pair.grid.voxels.shape], indexing="ij"), axis=-1
    )
    at_ras = transform_points(pair.grid.ijk_to_ras, nodes[..., ::-1].astype(np.float64))
    at_ijk = transform_points(np.linalg.inv(ijk_to_ras), at_ras)
    mm = np.stack([interpolate(np.ascontiguousarray(moved_ras[..., n]), at_ijk) for n in range(3)], axis=-1)
    length = np.linalg.norm(mm, axis=-1, keepdims=True)
    mm = mm * np.minimum(1.0, MOST_MM / np.maximum(length, 1e-6))
    along_kji = (mm @ pair.grid.directions_ras / pair.step_mm)[..., ::-1]
    out = np.ascontiguousarray(np.moveaxis(along_kji, -1, 0)[None], dtype=np.float32)
    return load_torch().from_numpy(out).to(device)
