"""The network and its optimisation: Dice and cross entropy, AdamW, a rate that falls to nothing along a cosine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from MSKFusionLib.networks.allowed import NETWORKS, allowed_call
from MSKFusionLib.networks.build import build_network

from .card import Setting, inference_config


def learn(
    samples: Iterator[tuple[Any, Any]], setting: Setting, device: str, seed: int, report: Callable[[int, float], None]
) -> tuple[dict[str, Any], list[float]]:
    """Return weights on the CPU and the loss of every step.

    Parameters
    ----------
    report
        Called with the step's number and its loss.
    """
    import torch
    from monai.losses import DiceCELoss

    torch.manual_seed(seed)
    call = allowed_call(inference_config(setting)["network_def"], NETWORKS, "network_def", "training")
    network = build_network(call, "training").to(device).train()
    loss_of = DiceCELoss(to_onehot_y=True, softmax=True, include_background=True)
    optimiser = torch.optim.AdamW(network.parameters(), lr=setting.rate, weight_decay=1e-4)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, setting.steps)
    mixed = device.startswith("cuda")
    scaler = torch.amp.GradScaler(enabled=mixed)
    losses = []
    for step in range(setting.steps):
        image, target = (t.to(device) for t in next(samples))
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(device.partition(":")[0], torch.float16, enabled=mixed):
            loss = loss_of(network(image), target)
        scaler.scale(loss).backward()
        scaler.unscale_(optimiser)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        scaler.step(optimiser)
        scaler.update()
        falling.step()
        losses.append(float(loss))
        report(step, losses[-1])
    return {k: v.detach().cpu() for k, v in network.state_dict().items()}, losses
