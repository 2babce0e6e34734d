"""Registration bundles whose displacement is known: the same everywhere, by the bias of the last convolution."""

from __future__ import annotations

from pathlib import Path

from core.bundle_maker import write_texts

STEPS = [
    {"_target_": "Orientationd", "keys": ["fixed", "moving"], "axcodes": "RAS"},
    {"_target_": "Spacingd", "keys": ["fixed", "moving"], "pixdim": [4.0, 4.0, 4.0]},
    {"_target_": "ScaleIntensityRanged", "keys": "fixed", "a_min": -160, "a_max": 240, "b_min": 0, "b_max": 1},
    {"_target_": "NormalizeIntensityd", "keys": "moving"},
]


def flow_metadata() -> dict:
    inputs = {name: {"num_channels": 1, "modality": kind} for name, kind in (("fixed", "CT"), ("moving", "MR"))}
    return {"name": "Constant", "version": "0.1", "network_data_format": {"inputs": inputs, "outputs": {"pred": {}}}}


def flow_inference(integration_steps: int = 0) -> dict:
    backbone = {
        "_target_": "VoxelMorphUNet", "spatial_dims": 3, "in_channels": 2, "unet_out_channels": 2, "channels": [2, 2, 2, 2],
        "final_conv_channels": [2],
    }  # fmt: skip
    return {
        "network_def": {"_target_": "VoxelMorph", "backbone": backbone, "integration_steps": integration_steps},
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [{"_target_": "LoadImaged", "keys": ["fixed", "moving"]}, *STEPS],
        },
    }


def write_flow_bundle(folder: Path, voxels=(0.0, 0.0, 0.0), integration_steps: int = 0) -> Path:
    """Write a VoxelMorph whose last weights are 0 and whose last bias is the displacement in voxels along i, j, k."""
    import torch

    from MSKFusionLib.networks import read_flow_bundle
    from MSKFusionLib.networks.build import build_network

    write_texts(folder, flow_metadata(), flow_inference(integration_steps))
    torch.manual_seed(1)
    state = build_network(read_flow_bundle(folder).network, "").state_dict()
    last = next(k for k in state if "final_conv_out" in k and k.endswith("weight"))
    state[last] = torch.zeros_like(state[last])
    state[last.replace("weight", "bias")] = torch.tensor(voxels, dtype=torch.float32)
    torch.save(state, folder / "models/model.pt")
    return folder
