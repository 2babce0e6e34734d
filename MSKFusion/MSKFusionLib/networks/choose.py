"""Which kind of network a user's word means: a MONAI bundle, a trained nnU-Net, or TotalSegmentator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..errors import InputError
from ..progress import Progress, no_progress
from ..segmentation.labels import Segmentation
from ..volume import Volume
from .nnunet import is_nnunet_folder, segment_with_nnunet
from .segment import segment_with_bundle
from .shipped import find_network, shipped_networks
from .totalsegmentator import segment_with_totalsegmentator

TOTALSEGMENTATOR = "totalsegmentator"
_ABOUT_SHIPPED = (
    "the network that comes with the planner has been trained too little to be relied on (its model card has its scores): use the"
    " planner's own methods"
)


def segment_with_network(
    image: Volume,
    network: str | Path,
    *,
    device: str = "auto",
    precision: str = "auto",
    progress: Progress = no_progress,
) -> Segmentation:
    """Find in an image what a network knows.

    Parameters
    ----------
    network
        A MONAI bundle (folder or zip), the folder of a trained nnU-Net, the name of a network that comes with the planner
        (`shipped_networks`), or ``totalsegmentator``.
    device, precision
        See `segment_with_bundle`; the other two decide on their precision themselves.

    Raises
    ------
    MissingComponentError
        When a package that it needs is not installed, or weights are not on this machine.
    InputError
        When the network cannot be used, or is not for this image.
    """
    word = str(network)
    if word.casefold() not in (TOTALSEGMENTATOR,) and not is_nnunet_folder(Path(word)):
        place = find_network(word)
        if not place.exists():
            raise InputError(
                "there is no such file or folder, and no network of that name comes with the planner",
                f"Give a MONAI bundle, or one of: {', '.join((*shipped_networks(), TOTALSEGMENTATOR))}.",
                where=word,
            )
        found = segment_with_bundle(image, place, device=device, precision=precision, progress=progress)
        return found if place == Path(word) else replace(found, notes=(*found.notes, _ABOUT_SHIPPED))
    if precision != "auto":
        raise InputError("the precision can be chosen for MONAI bundles only", "Leave it out.")
    if word.casefold() == TOTALSEGMENTATOR:
        return segment_with_totalsegmentator(image, device=device, progress=progress)
    return segment_with_nnunet(image, Path(word), device=device, progress=progress)
