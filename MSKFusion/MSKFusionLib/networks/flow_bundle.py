"""A registration network as a MONAI bundle describes it: two images in, a displacement of the fixed one's points out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, ProcessingError
from ..frames import FloatArray
from ..progress import Progress
from ..torch_device import NETWORKS as PURPOSE
from ..torch_device import load_torch
from ..volume import Volume
from .allowed import FLOW_NETWORKS, Call
from .build import reason
from .bundle import names, network_call, network_count
from .bundle_files import INFERENCE, METADATA, BundleFiles
from .prepare import prepare
from .segment import is_memory
from .steps import Step, read_steps
from .weights import load_network

#: The keys of its two images. A point x of the fixed image lies at x + displacement in the moving one.
IMAGES = ("fixed", "moving")
_MADE_FOR = {"fixed": ("ct", "", "n/a"), "moving": ("mr", "mri", "", "n/a")}
#: Edges are filled up to a multiple of this: networks halve an image up to five times.
_MULTIPLE = 32


@dataclass(frozen=True)
class FlowBundle:
    """A network of VoxelMorph's kind that brings an MR onto a CT.

    Parameters
    ----------
    files
        Where its weights lie.
    steps
        What is done to the images before it.
    """

    name: str
    version: str
    files: BundleFiles
    network: Call
    steps: tuple[Step, ...]


def read_flow_bundle(path: str | Path) -> FlowBundle:
    """Read and check the description of a registration network; nothing of it is run.

    Parameters
    ----------
    path
        A MONAI bundle, a folder or a zip, whose network is a VoxelMorph of the images ``fixed`` (CT) and ``moving`` (MR).

    Raises
    ------
    InputError
        When something is missing or not among what a bundle may ask for.
    """
    files = BundleFiles.find(path)
    metadata, config = files.config(METADATA), files.config(INFERENCE)
    for image in IMAGES:
        given = metadata.part(f"network_data_format::inputs::{image}", ("modality", "num_channels"))
        modality = str(given.get("modality", "")).casefold()
        if modality not in _MADE_FOR[image] or given.get("num_channels", 1) != 1:
            raise InputError(
                f"its {image} image is {modality}, not one CT (fixed) and one MR (moving)", where=metadata.where
            )
    network = network_call(config, FLOW_NETWORKS)
    backbone = network.arguments.get("backbone")
    if network.name != "VoxelMorph" or not isinstance(backbone, Call) or backbone.name != "VoxelMorphUNet":
        raise InputError("its network is no VoxelMorph with a VoxelMorphUNet in it", where=config.where)
    if network_count(backbone, "in_channels", config) != 2 or network_count(backbone, "spatial_dims", config) != 3:
        raise InputError("its network is not one for two images in three dimensions", where=config.where)
    name, version = names(metadata, files)
    return FlowBundle(name, version, files, network, read_steps(config, IMAGES))


def displacement_by_network(
    bundle: FlowBundle, fixed: Volume, moving: Volume, device: str, progress: Progress
) -> tuple[NDArray[np.float32], FloatArray]:
    """Return the displacement that a network gives for two images on one grid.

    Returns
    -------
    displacement_ras, ijk_to_ras
        (K, J, I, 3) mm, of points of the fixed image, and the 4x4 of its grid.

    Raises
    ------
    InputError, ProcessingError
        When the network cannot be used on these images, or the memory does not suffice.
    """
    torch = load_torch(PURPOSE)
    where = bundle.files.path.name
    progress(0.0, "reading the network")
    network = load_network(bundle.network, bundle.files, device)
    ready = prepare({"fixed": fixed, "moving": moving}, bundle.steps, where, progress)
    edges = ready.images["fixed"].shape[1:]
    fill = [n for edge in reversed(edges) for n in (0, -edge % _MULTIPLE)]
    pair = [
        torch.nn.functional.pad(ready.images[k][None], fill, mode="replicate").to(device) for k in ("moving", "fixed")
    ]
    try:
        with torch.inference_mode():
            flow = network(*pair)[1][0].float().cpu().numpy()
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        if is_memory(error):
            raise ProcessingError(
                f"the memory of {device} does not suffice for '{bundle.name}'. Choose the cpu."
            ) from error
        raise InputError(f"the network cannot be run on these images ({reason(error)})", where=where) from error
    finally:
        if device.startswith("cuda"):
            torch.cuda.empty_cache()
    flow = flow[:, : edges[0], : edges[1], : edges[2]]
    if not np.isfinite(flow).all():
        raise InputError("the network gives displacements that are not numbers", where=where)
    along_ras = np.einsum("rc,cijk->kjir", ready.ijk_to_ras[:3, :3], flow)
    return np.ascontiguousarray(along_ras, dtype=np.float32), ready.ijk_to_ras
