"""Windows for the network: an image of any contrast, turned, bent and disturbed, normalised as the bundle does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from MSKFusionLib.networks.allowed import INTENSITY, allowed_call
from MSKFusionLib.networks.build import build_transform

from .card import Setting, normalising
from .contrast import draw_image
from .distractors import add_distractors, small_field
from .patients import TARGETS, Maps

_WINDOWS_AN_IMAGE = 4
#: Batches' worth of windows to draw from, so that a batch is not of one image.
_MIXED = 6


def batches(maps: Sequence[Maps], setting: Setting, seed: int) -> Iterator[tuple[Any, Any]]:
    """Give batches without end: images (B, 1, I, J, K) and targets (B, 1, I, J, K), on the CPU."""
    import torch
    from monai.transforms import Compose

    rng = np.random.default_rng(seed)
    disturb = Compose(_disturbances()).set_random_state(seed=seed)
    cut = _windows(setting.window).set_random_state(seed=seed + 1)
    normalise = [build_transform(allowed_call(e, INTENSITY, "", "training"), "training") for e in normalising()]
    held: list[dict[str, Any]] = []
    while True:
        while len(held) < _MIXED * setting.batch:
            chosen = add_distractors(maps[int(rng.integers(len(maps)))], setting.spacing_mm, rng)
            chosen = small_field(chosen, rng)
            sample = {
                "image": torch.from_numpy(draw_image(chosen, rng).transpose(2, 1, 0).copy())[None],
                "target": torch.from_numpy(chosen.target.transpose(2, 1, 0).copy())[None].float(),
            }
            sample = disturb(sample)
            for step in normalise:
                sample["image"] = step(sample["image"])
            held += cut(sample)
        order = rng.permutation(len(held))
        taken, held = [held[n] for n in order[: setting.batch]], [held[n] for n in order[setting.batch :]]
        yield tuple(torch.stack([_plain(t[k]) for t in taken]) for k in ("image", "target"))  # type: ignore[misc]


def _plain(tensor: Any) -> Any:
    return tensor.as_tensor() if hasattr(tensor, "as_tensor") else tensor


def _disturbances() -> list[Any]:
    """Return what is drawn for every image: pose and shape with its labels, artefacts without."""
    from monai import transforms as t

    both = ["image", "target"]
    return [
        t.RandFlipd(both, prob=0.5, spatial_axis=0),  # left and right are not told apart
        t.RandAffined(
            both, prob=0.8, rotate_range=(0.35, 0.35, 0.35), scale_range=(0.15, 0.15, 0.15), shear_range=(0.08,) * 6,
            mode=("bilinear", "nearest"), padding_mode="border",
        ),
        t.RandGridDistortiond(
            both, prob=0.3, num_cells=4, distort_limit=0.12, mode=("bilinear", "nearest"), padding_mode="border"
        ),
        t.RandBiasFieldd("image", prob=0.4, degree=3, coeff_range=(0.0, 0.35)),
        t.RandAdjustContrastd("image", prob=0.4, gamma=(0.6, 1.7)),
        t.RandGibbsNoised("image", prob=0.2, alpha=(0.2, 0.7)),
        t.RandKSpaceSpikeNoised("image", prob=0.05),
        t.RandRicianNoised("image", prob=0.4, std=0.08, relative=True, sample_std=True),
    ]  # fmt: skip


def _windows(edge: int) -> Any:
    """Return what cuts windows whose middles are each target in turn."""
    from monai import transforms as t

    return t.Compose(
        [
            t.SpatialPadd(["image", "target"], (edge,) * 3, mode="edge"),
            t.RandCropByLabelClassesd(
                ["image", "target"], label_key="target", spatial_size=(edge,) * 3, num_classes=len(TARGETS),
                num_samples=_WINDOWS_AN_IMAGE, warn=False,
            ),
        ]
    )  # fmt: skip
