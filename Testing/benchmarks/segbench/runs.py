"""Run one case in a process of its own, and score what comes back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from worker_process import run_worker

from MSKFusionLib.volume import Modality, read_image

from .cases import Case, read_labels
from .scores import pieces_ml, scores, union_dice

Record = dict[str, Any]
#: Smaller fragments have no bar.
LEAST_ML = 5.0


def run_case(case: Case, folder: Path, timeout_s: float) -> Record:
    """Return the record of one case: what was found, its scores, whether every bar holds.

    Parameters
    ----------
    folder
        Where the labels that were found are left, to be looked at.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stem = "".join(c if c.isalnum() else "_" for c in case.name)
    labels, answer = folder / f"{stem}.nrrd", folder / f"{stem}.json"
    answer.unlink(missing_ok=True)
    record: Record = {"set": case.set_name, "case": case.name}
    arguments = [str(case.ct), str(labels), str(answer)]
    record |= run_worker("segbench.worker", arguments, answer, python=sys.executable, timeout_s=timeout_s)
    if record["status"] != "done":
        return record | {"failed": [record["status"]]}
    return record | scored(case, record, read_labels(labels))


def scored(case: Case, record: Record, found: np.ndarray) -> Record:
    """Return the scores of the labels that were found, and the bars that do not hold."""
    ct = read_image(case.ct, modality=Modality.CT)
    out: Record = {"vertebrae": sum(s["kind"] == "vertebra" for s in record["segments"])}
    failed = []
    if case.truth is not None:
        truth = read_labels(case.truth)
        if case.ignored is not None:
            metal = read_labels(case.ignored) > 0
            truth, found = np.where(metal, 0, truth), np.where(metal, 0, found)
        out |= _overlap(case, truth, found, ct.spacing_mm[::-1])
        failed += _overlap_failures(case, out)
    if case.vertebrae is not None and out["vertebrae"] != case.vertebrae:
        failed.append(f"{out['vertebrae']} vertebrae instead of {case.vertebrae}")
    for name, bar in (("seconds", case.seconds_bar), ("peak_mib", case.peak_bar_mib)):
        if bar is not None and record[name] > bar:
            failed.append(f"{name} {record[name]:.0f}")
    return out | {"failed": failed}


def _overlap(case: Case, truth: np.ndarray, found: np.ndarray, spacing_kji_mm: np.ndarray) -> Record:
    bones = scores(truth, found, spacing_kji_mm, list(case.bones))
    out: Record = {
        "bones": {case.bones[b.truth]: b.__dict__ for b in bones},
        "groups": _counts(case, truth, found, float(np.prod(spacing_kji_mm))),
    }
    if case.union_bar is not None or case.groups:
        out["union_dice"] = union_dice(truth, found)
    if case.ordered:
        values = [b.found for b in sorted(bones, key=lambda b: list(case.bones).index(b.truth))]
        out["in_order"] = 0 not in values and values == sorted(set(values))
    return out


def _counts(case: Case, truth: np.ndarray, found: np.ndarray, voxel_mm3: float) -> Record:
    """Return how many fragments of each bone there are and how many were found, of those above 5 ml."""
    sizes = pieces_ml(found, voxel_mm3)
    owner = {
        v: max(case.groups, key=lambda g: np.count_nonzero(np.isin(truth[found == v], case.groups[g])))
        for v, ml in sizes.items()
        if case.groups and ml >= LEAST_ML and np.count_nonzero(truth[found == v]) * voxel_mm3 > 0.5 * 1000.0 * ml
    }
    true_ml = pieces_ml(truth, voxel_mm3)
    return {
        name: {
            "there": sum(true_ml.get(v, 0.0) >= LEAST_ML for v in values),
            "found": sum(g == name for g in owner.values()),
        }
        for name, values in case.groups.items()
    }


def _overlap_failures(case: Case, out: Record) -> list[str]:
    failed = []
    for name, bone in out["bones"].items():
        if bone["dice"] < case.dice_bar and (not case.groups or bone["truth_ml"] >= LEAST_ML):
            failed.append(f"{name} Dice {bone['dice']:.3f}")
        if case.surface_bar_mm is not None and not (bone["surface_mm"] or np.inf) <= case.surface_bar_mm:
            failed.append(f"{name} surface {bone['surface_mm'] or np.inf:.2f} mm")
    if case.union_bar is not None and out["union_dice"] < case.union_bar:
        failed.append(f"union Dice {out['union_dice']:.3f}")
    if not out.get("in_order", True):
        failed.append("not in order")
    failed += [
        f"{n}: {c['found']} of {c['there']} fragments" for n, c in out["groups"].items() if c["found"] != c["there"]
    ]
    return failed
