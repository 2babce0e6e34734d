"""An image as a bundle's network wants it: its transforms, and where the voxels are then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..frames import FloatArray
from ..progress import Progress
from ..torch_device import NETWORKS as PURPOSE
from ..torch_device import Tensor, load_torch
from ..volume import Volume
from .build import build_transform, load_monai, reason
from .steps import Step

#: Voxels of the network's grid: 4 bytes each for the image, 12 for what is found.
MOST_VOXELS = 150_000_000


@dataclass(frozen=True, eq=False)
class Prepared:
    """Images on the network's grid.

    Parameters
    ----------
    images
        (1, I, J, K) values of each, by its key.
    ijk_to_ras
        4x4 of the grid that all of them share.
    """

    images: Mapping[str, Tensor]
    ijk_to_ras: FloatArray


def prepare(images: Mapping[str, Volume], steps: Sequence[Step], where: str, progress: Progress) -> Prepared:
    """Apply a bundle's transforms to images on one grid.

    Raises
    ------
    InputError
        When its grid would be too large, or it makes something of an image that is not a number.
    """
    torch, monai = load_torch(PURPOSE), load_monai()
    refuse_large(next(iter(images.values())), steps, where)
    made = {}
    for key, image in images.items():
        values = np.ascontiguousarray(image.voxels.transpose(2, 1, 0), dtype=np.float32)[None]
        made[key] = monai.data.MetaTensor(torch.from_numpy(values), affine=torch.from_numpy(image.ijk_to_ras))
    for n, step in enumerate(steps):
        progress(n / len(steps), "preparing the image for the network")
        # The same for all images: one that looks at values (CropForeground) must not cut each elsewhere.
        apply = build_transform(step.call, where)
        for key in step.images:
            try:
                made[key] = apply(made[key])
            except MemoryError:
                raise
            except Exception as error:
                words = f"{step.call.name} cannot be done to this image ({reason(error)})"
                raise InputError(words, where=where) from error
    grids = [np.asarray(m.affine, dtype=np.float64) for m in made.values()]
    sizes = [tuple(m.shape) for m in made.values()]
    if any(s != sizes[0] for s in sizes) or any(np.abs(g - grids[0]).max() > 1e-3 for g in grids):
        raise InputError("its transforms put the images on different grids", where=where)
    plain = {key: m.as_tensor().to(torch.float32).contiguous() for key, m in made.items()}
    if any(t.ndim != 4 or t.shape[0] != 1 or min(t.shape) < 1 for t in plain.values()):
        raise InputError("its transforms leave nothing of the image", where=where)
    for tensor in plain.values():
        if not bool(torch.isfinite(tensor).all()):
            raise InputError("its transforms make values of this image that are not numbers", where=where)
    return Prepared(plain, grids[0])


def refuse_large(image: Volume, steps: Sequence[Step], where: str) -> None:
    """Count the voxels that the transforms would make, before they do; an image itself may be as large as it is."""
    extent, edges = image.extent_mm, np.array(image.shape_ijk, dtype=float)
    most = max(MOST_VOXELS, image.voxels.size)
    for step in steps:
        given = step.call.arguments
        if step.call.name == "Spacing":
            # Axes may be in another order by now: the finest step along all of them; one that is not given stays.
            steps_mm = np.atleast_1d(np.array(given["pixdim"], dtype=float))
            finest = float(steps_mm.min()) if len(steps_mm) != 2 else float(min(steps_mm.min(), image.spacing_mm.min()))
            edges = np.ceil(extent / finest)
        elif step.call.name in ("SpatialPad", "DivisiblePad", "CropForeground"):
            least = given.get("spatial_size", given.get("k", given.get("k_divisible", 1)))
            edges = edges + float(np.max(np.atleast_1d(np.array(least, dtype=float))))
        if np.prod(edges) > most:
            raise _too_large(step.call.name, float(np.prod(edges)), where)
    if np.prod(edges) > MOST_VOXELS:
        raise _too_large("the network", float(np.prod(edges)), where)


def _too_large(what: str, voxels: float, where: str) -> InputError:
    return InputError(
        f"{what} would work on {voxels / 1e6:.0f} million voxels of this image",
        "Crop the image, or give a network for coarser voxels.",
        where=where,
    )
