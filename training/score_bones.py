"""Score a bone bundle: Dice on generated patients that it has not seen, and on real labelled images, CT and MR apart.

Beside it stands the planner's own method (`rules`) on the same images with --beside.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from bonetraining.card import write_scores
from bonetraining.patients import patient_options
from bonetraining.scores import as_table, by_network, by_rules, score_generated, score_real

from MSKFusionLib.networks import read_bundle
from MSKFusionLib.phantom import generate_patient


def main() -> int:
    """Print the scores as a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--held-out", type=int, default=2, help="generated patients (default 2)")
    parser.add_argument("--data", type=Path, help="the folder of real images, see docs/developer.md")
    parser.add_argument("--beside", action="store_true", help="also the planner's own method on the same images")
    parser.add_argument("--write", action="store_true", help="put the table into the bundle's model card")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    options = (replace(patient_options(9001 + n, 1.5, small=False), ct_noise_hu=22.0) for n in range(args.held_out))
    patients = [generate_patient(o) for o in options]
    finders = [("network", by_network(read_bundle(args.bundle), args.device))]
    if args.beside:
        finders.append(("rules", by_rules))
    scores = []
    for by, find in finders:
        scores += score_generated(find, patients, by)
        if args.data is not None:
            scores += score_real(find, args.data, by)
    scores.sort(key=lambda s: (s.modality.value, s.image))
    table = as_table(scores)
    if args.write:
        write_scores(args.bundle, table)
    sys.stdout.write(table + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
