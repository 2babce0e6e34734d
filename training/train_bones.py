"""Train a bone network on generated patients and write it as a MONAI bundle."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bonetraining.card import Setting, write_bundle
from bonetraining.learn import learn
from bonetraining.patients import patient_maps, patient_options
from bonetraining.samples import batches
from bonetraining.scores import as_table, by_network, score_generated

from MSKFusionLib.networks import read_bundle
from MSKFusionLib.networks.weights import load_network
from MSKFusionLib.phantom import generate_patient
from MSKFusionLib.torch_device import NETWORKS, choose_device

#: Seeds of patients that are scored on begin here; training takes 1, 2, 3, ...
_HELD_OUT = 9001


def main() -> int:
    """Run a training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the bundle's folder")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--tiny", action="store_true", help="a minute of one core, to see that the loop works")
    size.add_argument("--small", action="store_true", help="for a CPU, hours of one core: voxels of 3 mm")
    parser.add_argument(
        "--start", type=Path, metavar="BUNDLE", help="go on from the weights of a bundle of the same setting"
    )
    parser.add_argument("--minutes", type=float, help="end after so many minutes of the clock instead of after --steps")
    parser.add_argument("--patients", type=int, help="generated patients to learn from")
    parser.add_argument("--steps", type=int, help="steps of the optimiser")
    parser.add_argument("--batch", type=int, help="windows a step")
    parser.add_argument("--held-out", type=int, default=1, help="generated patients to score on (default 1)")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where generated patients are kept")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda or cuda:1")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.out.exists() and any(args.out.iterdir()):
        parser.error(f"{args.out} is there already")
    given = {k: getattr(args, k) for k in ("patients", "steps", "batch") if getattr(args, k) is not None}
    chosen = Setting.tiny() if args.tiny else Setting.small_cpu() if args.small else Setting()
    setting = replace(chosen, **given)
    device = choose_device(args.device, NETWORKS)
    began = time.monotonic()

    def say(words: str) -> None:
        sys.stderr.write(f"{time.monotonic() - began:7.0f} s  {words}\n")

    start = None
    if args.start is not None:
        bundle = read_bundle(args.start)
        start = load_network(bundle.network, bundle.files, "cpu").state_dict()
    maps = []
    for seed in range(1, setting.patients + 1):
        maps.append(patient_maps(seed, setting.spacing_mm, small=setting.small, cache=args.cache))
        say(f"patient {seed} of {setting.patients}")
    every = max(1, setting.steps // 20)
    ready = time.monotonic()

    def report(step: int, loss: float) -> None:
        if step % every == 0 or step == setting.steps - 1:
            say(f"step {step + 1} of {setting.steps}, loss {loss:.3f}")

    def share_done(step: int) -> float:
        if args.minutes is None:
            return step / setting.steps
        return (time.monotonic() - ready) / (60.0 * args.minutes)

    def keep(step: int, weights: dict[str, Any]) -> None:
        write_bundle(args.out, replace(setting, steps=step), weights, "not scored yet")

    state, losses = learn(
        batches(maps, setting, args.seed),
        setting,
        device,
        args.seed,
        report,
        share_done=share_done,
        keep=keep,
        start=start,
    )
    setting = replace(setting, steps=len(losses))
    write_bundle(args.out, setting, state, "not scored yet")
    patients = (
        generate_patient(replace(patient_options(_HELD_OUT + n, 1.5, small=setting.small), ct_noise_hu=22.0))
        for n in range(args.held_out)
    )
    table = as_table(score_generated(by_network(read_bundle(args.out), device), patients))
    first, last = (sum(part) / len(part) for part in (losses[: every + 1], losses[-every - 1 :]))
    write_bundle(args.out, setting, state, f"{table}\n\nLoss {first:.3f} at first, {last:.3f} in the end.")
    say(f"loss {first:.3f} at first, {last:.3f} in the end; {args.out} is written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
