"""The bundle that a training writes, as `MSKFusionLib.networks` reads it, and its model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from MSKFusionLib import __version__

from .patients import TARGETS

#: Where the axes of what is learnt run to, and so those of what the bundle is given: those of a generated CT, left, back, up.
AXES = "LPS"
_AIR_HU = -250.0


@dataclass(frozen=True)
class Setting:
    """What is trained.

    Parameters
    ----------
    spacing_mm
        Edge of a voxel.
    window
        Edge of a window in voxels.
    channels, strides
        Of the U-Net's levels, and from each to the next.
    patients, steps, batch
        Generated patients, steps of the optimiser, windows a step.
    rate
        Its first step's size.
    half
        Half precision where the device is faster with it.
    small
        Patients from L3 to the sacrum only, quick to generate.
    """

    spacing_mm: float = 2.0
    window: int = 96
    channels: tuple[int, ...] = (16, 32, 64, 128)
    strides: tuple[int, ...] = (2, 2, 2)
    patients: int = 60
    steps: int = 40_000
    batch: int = 4
    rate: float = 1e-3
    half: bool = True
    small: bool = False

    @classmethod
    def small_cpu(cls) -> Setting:
        """Return a setting for hours of one core: voxels of 3 mm, 1.2 million weights, 40 patients."""
        return cls(
            spacing_mm=3.0,
            window=48,
            channels=(8, 16, 32, 64, 128),
            strides=(1, 2, 2, 2),
            patients=40,
            steps=5000,
            batch=2,
            rate=2e-3,
        )

    @classmethod
    def tiny(cls) -> Setting:
        """Return a setting for a minute of one core: it shows that the loop works, and its network is of no use."""
        return cls(
            spacing_mm=4.0,
            window=32,
            channels=(8, 16, 32),
            strides=(2, 2),
            patients=1,
            steps=200,
            batch=2,
            rate=4e-3,
            half=False,
            small=True,
        )


def inference_config(setting: Setting) -> dict[str, Any]:
    """Return ``configs/inference.json``, plain values throughout."""
    return {
        "network_def": {
            "_target_": "UNet", "spatial_dims": 3, "in_channels": 1, "out_channels": len(TARGETS),
            "channels": list(setting.channels), "strides": list(setting.strides), "num_res_units": 2, "norm": "instance",
        },
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image"},
                {"_target_": "EnsureChannelFirstd", "keys": "image"},
                {"_target_": "Orientationd", "keys": "image", "axcodes": AXES},
                {"_target_": "Spacingd", "keys": "image", "pixdim": [setting.spacing_mm] * 3, "mode": "bilinear"},
                *normalising(),
            ],
        },
        "inferer": {
            "_target_": "SlidingWindowInferer", "roi_size": [setting.window] * 3, "sw_batch_size": 1, "overlap": 0.5,
            "mode": "gaussian", "padding_mode": "replicate",
        },
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Activationsd", "keys": "pred", "softmax": True},
                {"_target_": "Invertd", "keys": "pred", "orig_keys": "image"},
                {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
            ],
        },
    }  # fmt: skip


def normalising() -> list[dict[str, Any]]:
    """Return the transforms of values: the same for CT and MR, and in training."""
    return [
        # Air in CT: how much of it is in view must not decide on the scale. MR has nothing below 0.
        {"_target_": "ThresholdIntensityd", "keys": "image", "threshold": _AIR_HU, "above": True, "cval": _AIR_HU},
        {
            "_target_": "ScaleIntensityRangePercentilesd", "keys": "image", "lower": 1, "upper": 99, "b_min": 0.0,
            "b_max": 1.0, "clip": True,
        },
        {"_target_": "NormalizeIntensityd", "keys": "image"},
    ]  # fmt: skip


def metadata(setting: Setting) -> dict[str, Any]:
    """Return ``configs/metadata.json``."""
    return {
        "schema": "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json",
        "name": "MSK Planner bones",
        "version": __version__,
        "changelog": {__version__: "trained on generated patients"},
        "monai_version": "1.6.1",
        "pytorch_version": "2.13.0",
        "numpy_version": "2.4.6",
        "task": "bones of the spine and pelvis in CT and MR",
        "description": "U-Net trained on generated patients with domain randomisation",
        "authors": "MSK Planner",
        "copyright": "Apache-2.0",
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image", "format": "magnitude", "modality": "n/a", "num_channels": 1,
                    "spatial_shape": [setting.window] * 3, "dtype": "float32", "value_range": [], "is_patch_data": True,
                    "channel_def": {"0": "image"},
                }
            },
            "outputs": {
                "pred": {
                    "type": "image", "format": "segmentation", "num_channels": len(TARGETS),
                    "spatial_shape": [setting.window] * 3, "dtype": "float32", "value_range": [0, 1],
                    "is_patch_data": True, "channel_def": {str(n): name for n, name in enumerate(TARGETS)},
                }
            },
        },
    }  # fmt: skip


def write_bundle(folder: Path, setting: Setting, state: Mapping[str, Any], scores: str) -> None:
    """Write a bundle: configurations, weights, model card.

    Parameters
    ----------
    state
        The network's weights.
    scores
        What was measured, for the card.
    """
    import torch

    for name in ("configs", "models", "docs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name, content in (("metadata", metadata(setting)), ("inference", inference_config(setting))):
        (folder / f"configs/{name}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    torch.save({k: v.half() if v.is_floating_point() else v for k, v in state.items()}, folder / "models/model.pt")
    (folder / "docs/README.md").write_text(_card(setting, scores), encoding="utf-8")


_SCORES, _AFTER = "## Scores (Dice)\n\n", "\n\n## What follows from them"


def write_scores(folder: Path, scores: str) -> None:
    """Put scores into the model card of a bundle that is there, in place of those that it has; what is said under them stays."""
    path = folder / "docs/README.md"
    before, _, rest = path.read_text(encoding="utf-8").partition(_SCORES)
    old, _, after = rest.partition(_AFTER)
    _, gap, said = old.partition("\n\n")
    path.write_text(before + _SCORES + scores + gap + said + _AFTER + after, encoding="utf-8")


def _card(setting: Setting, scores: str) -> str:
    return f"""# MSK Planner bones

A 3D U-Net that tells {", ".join(TARGETS[1:])} apart in CT and MR, on voxels of {setting.spacing_mm:g} mm.

**Trained on** {setting.patients} generated patients ({setting.steps} steps of {setting.batch} windows of {setting.window} voxels),
contrast, resolution, noise, artefact, pose and shape drawn anew for every sample. It has seen no real image.

**Meant for** a first look where the scores below are good, and as a start for the planner's own methods. **Not for** planning on its own:
vertebrae are one label, what generated patients lack (implants, tumours, fractures of the pelvis, children, limbs, neck and chest) it has never
seen, its border is as coarse as its voxels, and its confidence is not calibrated.

{_SCORES}{scores}{_AFTER}

Where it loses to the planner's own method (`rules`), that one is the default. Nothing chooses this network by itself:
it runs when it is asked for by name.

Apache-2.0. Not for clinical use without review by a qualified surgeon.
"""
