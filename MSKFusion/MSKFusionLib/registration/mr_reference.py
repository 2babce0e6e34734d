"""An MR image in the CT's place, so that two MR images are registered as CT and MR are."""

from __future__ import annotations

import numpy as np

from ..volume import Modality, Volume
from .preprocess import CT_EDGES_HU, even_out_mr

_AIR_HU = -1000.0


def mr_as_reference(mr: Volume) -> Volume:
    """Return an MR image with its values spread over the CT's scale.

    The background becomes air, and the values of what gives signal are spread over the tissue classes of CT so that each
    has as many voxels: mutual information asks only that like tissue falls into like classes. Where it says bone there
    need be none.
    """
    evened, signal = even_out_mr(mr)
    foreground = signal.voxels > 0
    values = evened.voxels[foreground]
    # The classes above lung and foam, each with its lower edge; the last has no upper one.
    edges = np.r_[CT_EDGES_HU[1:], 2 * CT_EDGES_HU[-1] - CT_EDGES_HU[-2]]
    ranks = np.linspace(0, 1, len(edges))
    knots = (
        np.quantile(values[:: max(1, values.size // 500_000)], ranks) if values.size else np.arange(float(len(edges)))
    )
    # Equal knots (an image of few grey values) would leave the interpolation without a direction.
    knots = knots + 1e-6 * np.arange(len(knots))
    hu = np.where(foreground, np.interp(evened.voxels, knots, edges), _AIR_HU).astype(np.float32)
    return mr.with_voxels(hu, modality=Modality.CT)
