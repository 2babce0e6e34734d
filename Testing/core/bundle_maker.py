"""MONAI bundles whose answer is known: every voxel gets the label whose grey level is nearest."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

#: Grey levels of background, L3, its disc and the left femur in the images below, after scaling to 0..1.
LEVELS = (0.0, 0.4, 0.7, 1.0)
NAMES = ("background", "vertebrae_L3", "disc L3/L4", "femur_left")


def metadata(names=NAMES, **changes: Any) -> dict:
    return {
        "version": "1.2.0",
        "name": "Nearest level",
        "network_data_format": {
            "inputs": {"image": {"type": "image", "modality": "CT", "num_channels": 1}},
            "outputs": {"pred": {"num_channels": len(names), "channel_def": {str(n): v for n, v in enumerate(names)}}},
        },
        **changes,
    }


def inference(classes=4, window=24, steps=None, overlap=0.5) -> dict:
    """As the bundles of MONAI's model zoo write it, expressions in unused places included."""
    if steps is None:
        steps = [
            {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
            {"_target_": "Spacingd", "keys": "image", "pixdim": "@pixdim", "mode": "bilinear"},
            scale_step(),
        ]
    return {
        "imports": ["$import os"],
        "bundle_root": ".",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "pixdim": [2.0, 2.0, 2.0],
        "displayable_configs": {"sw_overlap": overlap},
        "network_def": {
            "_target_": "UNet", "spatial_dims": 3, "in_channels": 1, "out_channels": classes, "channels": [2, 2],
            "strides": [1], "kernel_size": 1, "up_kernel_size": 1, "act": "relu", "norm": None,
        },
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image"},
                {"_target_": "EnsureChannelFirstd", "keys": "image"},
                *steps,
                {"_target_": "EnsureTyped", "keys": "image", "device": "@device"},
            ],
        },
        "inferer": {
            "_target_": "SlidingWindowInferer", "roi_size": [window] * 3, "sw_batch_size": 4, "mode": "gaussian",
            "overlap": "@displayable_configs#sw_overlap", "device": "$torch.device('cpu')",
        },
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Activationsd", "keys": "pred", "softmax": True},
                {"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing", "orig_keys": "image"},
                {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
                {"_target_": "SaveImaged", "keys": "pred", "output_dir": "$@bundle_root + '/eval'"},
            ],
        },
        "evaluator": {"_target_": "SupervisedEvaluator", "network": "@network"},
        "run": ["$@evaluator.run()"],
    }  # fmt: skip


def scale_step() -> dict:
    """HU from 0 to 1000 to 0..1."""
    return {
        "_target_": "ScaleIntensityRanged", "keys": "image", "a_min": 0, "a_max": 1000, "b_min": 0.0, "b_max": 1.0,
        "clip": True,
    }  # fmt: skip


def changed(content: dict, key: str, value: Any) -> dict:
    """Return a copy with another value under a key like ``network_def::channels``."""
    out = deepcopy(content)
    *way, last = key.split("::")
    here = out
    for step in way:
        here = here[int(step)] if isinstance(here, list) else here[step]
    if value is ...:
        del here[last]
    elif isinstance(here, list):
        here[int(last)] = value
    else:
        here[last] = value
    return out


def write_texts(folder: Path, meta: dict | None = None, config: dict | None = None) -> Path:
    """Write the two configurations; no weights."""
    (folder / "configs").mkdir(parents=True, exist_ok=True)
    (folder / "models").mkdir(exist_ok=True)
    (folder / "configs/metadata.json").write_text(json.dumps(metadata() if meta is None else meta))
    (folder / "configs/inference.json").write_text(json.dumps(inference() if config is None else config))
    return folder


def nearest_level_state(levels=LEVELS, sharpness=400.0) -> dict:
    """Weights by hand: of the logits s (t x - t^2 / 2) the largest is that of the level t nearest to x."""
    import torch

    from MSKFusionLib.networks.allowed import NETWORKS, allowed_call
    from MSKFusionLib.networks.build import build_network

    network = build_network(allowed_call(inference(len(levels))["network_def"], NETWORKS, "network_def", ""), "")
    state = {k: torch.zeros_like(v) for k, v in network.state_dict().items()}
    first, last = (next(k for k in state if k.startswith(p) and k.endswith("weight")) for p in ("model.0", "model.2"))
    assert state[first].shape[:2] == (2, 1)
    state[first][0] = 1.0  # relu(x): x is not negative
    t = torch.tensor(levels)
    state[last][0, :, 0, 0, 0] = sharpness * t
    state[last.replace("weight", "bias")][:] = -0.5 * sharpness * t**2
    return state


def write_bundle(folder: Path, meta: dict | None = None, config: dict | None = None, **of_weights: Any) -> Path:
    """Write a whole bundle with the weights of `nearest_level_state`."""
    import torch

    write_texts(folder, meta, config)
    torch.save(nearest_level_state(**of_weights), folder / "models/model.pt")
    return folder
