"""Score a bone bundle: Dice on generated patients that it has not seen, and on real labelled images, CT and MR apart."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from bonetraining.patients import patient_options
from bonetraining.scores import as_table, score_generated, score_real

from MSKFusionLib.networks import read_bundle
from MSKFusionLib.phantom import generate_patient


def main() -> int:
    """Print the scores as a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--held-out", type=int, default=2, help="generated patients (default 2)")
    parser.add_argument("--data", type=Path, help="the folder of real images, see docs/developer.md")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    bundle = read_bundle(args.bundle)
    options = (replace(patient_options(9001 + n, 1.5, small=False), ct_noise_hu=22.0) for n in range(args.held_out))
    scores = score_generated(bundle, (generate_patient(o) for o in options), args.device)
    if args.data is not None:
        scores += score_real(bundle, args.data, args.device)
    sys.stdout.write(as_table(scores) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
