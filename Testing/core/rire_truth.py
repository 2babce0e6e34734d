"""The published marker truth of RIRE patient training_001."""

from pathlib import Path

import numpy as np

from MSKFusionLib.frames import FloatArray, fit_rigid, flip_transform_ras_lps, transform_points


def truth_lps(real_data: Path) -> FloatArray:
    """CT to MR, from the eight point pairs of ct_T1.standard."""
    rows = [line.split() for line in (real_data / "rire" / "ct_T1.standard").read_text().splitlines()]
    numbers = np.array([[float(x) for x in row] for row in rows if len(row) == 7 and row[0].isdigit()])
    return fit_rigid(numbers[:, 1:4], numbers[:, 4:7])


def mean_error_mm(real_data: Path, ct_to_mr_ras: FloatArray, moved_lps: FloatArray | None = None) -> float:
    """Mean over the 27 points of tre_rire.py; `moved_lps` is what the MR's header was moved by."""
    points = np.array([[x, y, z] for x in (80, 160, 240) for y in (80, 160, 240) for z in (28, 64, 100)], dtype=float)
    truth = truth_lps(real_data) if moved_lps is None else moved_lps @ truth_lps(real_data)
    found = flip_transform_ras_lps(ct_to_mr_ras)
    return float(np.linalg.norm(transform_points(found, points) - transform_points(truth, points), axis=1).mean())
