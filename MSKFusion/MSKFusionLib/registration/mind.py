"""Descriptors of an image's local self-similarity that CT and MR have in common (MIND-SSC).

Heinrich, Jenkinson, Papiez, Brady and Schnabel 2013 (doi 10.1007/978-3-642-40811-3_24): how alike the patches around a
voxel are among each other, not what their values are. A monotone linear change of the values changes nothing, an inverted
one neither.
"""

from __future__ import annotations

import itertools

from ..torch_device import Tensor, load_torch

CHANNELS = 12
#: The six neighbours of a voxel; descriptors compare those that are not opposite each other.
_NEIGHBOURS = ((0, 0, 1), (0, 0, -1), (0, 1, 0), (0, -1, 0), (1, 0, 0), (-1, 0, 0))
_PAIRS = tuple((a, b) for a, b in itertools.combinations(_NEIGHBOURS, 2) if tuple(-x for x in a) != b)
#: Noise estimates are kept within this factor of their mean.
_NOISE_RANGE = 1e3


def mind_ssc(image: Tensor, *, radius: int = 1, dilation: int = 2) -> Tensor:
    """Return the descriptors (1, 12, K, J, I; 0 to 1) of an image (1, 1, K, J, I).

    Parameters
    ----------
    radius
        Of the patches that are compared, in voxels.
    dilation
        How far from the voxel their middles lie, in voxels.
    """
    torch = load_torch()
    pool = torch.nn.functional.avg_pool3d
    pad = torch.nn.functional.pad
    wide = pad(image, (dilation,) * 6, mode="replicate")
    size = image.shape[2:]

    def shifted(offset: tuple[int, int, int]) -> Tensor:
        k, j, i = (dilation * (1 + o) for o in offset)
        return wide[:, :, k : k + size[0], j : j + size[1], i : i + size[2]]

    patches = [
        pool(pad((shifted(a) - shifted(b)) ** 2, (radius,) * 6, mode="replicate"), 2 * radius + 1, stride=1)
        for a, b in _PAIRS
    ]
    distance = torch.cat(patches, dim=1)
    del patches
    distance -= distance.amin(dim=1, keepdim=True)
    noise = distance.mean(dim=1, keepdim=True)
    mean = noise.mean()
    noise = torch.clamp(noise, mean / _NOISE_RANGE, mean * _NOISE_RANGE)
    return torch.exp_(-distance.div_(torch.clamp(noise, min=1e-12)))
