"""The network and its optimisation: Dice and cross entropy, AdamW, a rate that falls to nothing along a cosine."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from MSKFusionLib.networks.allowed import NETWORKS, allowed_call
from MSKFusionLib.networks.build import build_network

from .card import Setting, inference_config

_KEEP_EVERY = 100
#: How fast the mean over the weights of past steps follows.
_FOLLOW = 0.005


def learn(
    samples: Iterator[tuple[Any, Any]],
    setting: Setting,
    device: str,
    seed: int,
    report: Callable[[int, float], None],
    *,
    share_done: Callable[[int], float] | None = None,
    keep: Callable[[int, dict[str, Any]], None] | None = None,
    start: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], list[float]]:
    """Return weights on the CPU and the loss of every step.

    Parameters
    ----------
    report
        Called with the step's number and its loss.
    share_done
        What part of the training is over after a step's number of steps; it ends at 1 and the rate falls with it. By the
        setting's steps where it is left out.
    keep
        Called after every 100 steps with their number and the mean of the weights over the last of them, which is better
        than any of them while the rate is high.
    start
        Weights of the same setting to go on from.
    """
    import torch
    from monai.losses import DiceCELoss

    torch.manual_seed(seed)
    call = allowed_call(inference_config(setting)["network_def"], NETWORKS, "network_def", "training")
    network = build_network(call, "training").to(device, memory_format=torch.channels_last_3d).train()
    if start is not None:
        network.load_state_dict(start)
    mean = torch.optim.swa_utils.AveragedModel(
        network, avg_fn=lambda old, new, n: old + (new - old) * max(_FOLLOW, 1.0 / (1.0 + float(n) / 15))
    )
    loss_of = DiceCELoss(to_onehot_y=True, softmax=True, include_background=True)
    optimiser = torch.optim.AdamW(network.parameters(), lr=setting.rate, weight_decay=1e-4)
    kind = device.partition(":")[0]
    # bfloat16 is three times as fast on a CPU that has it and slower on others; unlike half floats it needs no scaling.
    mixed = setting.half and (kind == "cuda" or torch.backends.cpu.get_cpu_capability() == "AVX512")
    scaler = torch.amp.GradScaler(enabled=mixed and kind == "cuda")
    share_of = share_done or (lambda step: step / setting.steps)
    losses: list[float] = []
    while (share := share_of(len(losses))) < 1.0:
        for group in optimiser.param_groups:
            group["lr"] = setting.rate * 0.5 * (1.0 + math.cos(math.pi * share))
        image, target = (t.to(device) for t in next(samples))
        image = image.contiguous(memory_format=torch.channels_last_3d)
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(kind, torch.float16 if kind == "cuda" else torch.bfloat16, enabled=mixed):
            found = network(image)
        loss = loss_of(found.float(), target)
        scaler.scale(loss).backward()
        scaler.unscale_(optimiser)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        scaler.step(optimiser)
        scaler.update()
        mean.update_parameters(network)
        losses.append(float(loss.detach()))
        report(len(losses) - 1, losses[-1])
        if keep is not None and len(losses) % _KEEP_EVERY == 0:
            keep(len(losses), _weights(mean.module))
    # The rate has fallen to nothing: the last weights are at rest, and their mean would lag behind them.
    return _weights(network), losses


def _weights(network: Any) -> dict[str, Any]:
    return {k: v.detach().cpu().contiguous().clone() for k, v in network.state_dict().items()}
