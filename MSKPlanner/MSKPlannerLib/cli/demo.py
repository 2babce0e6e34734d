"""`mskplanner demo`: a generated patient, the whole plan on it, and the plan against the truth."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict

import numpy as np

from MSKFusionLib.phantom import Patient, PatientOptions, generate_patient
from MSKFusionLib.progress import Progress, part
from MSKFusionLib.segmentation import LevelHint
from MSKFusionLib.segmentation.files import write_segmentation
from MSKFusionLib.volume import write_image

from ..export.report import summary
from ..output_folder import check_output, output_folder
from ..pipeline import Case, CaseOptions, plan_case
from ..truth import DICE, GUIDE_GAP_MM, GUIDE_OVERLAP_MM3, REGISTRATION_MEAN_MM, SCREW_CLEARANCE_MM, Comparison, compare
from .console import say, table
from .status import DONE, REJECTED
from .write_case import write_case


def demo(args: argparse.Namespace, progress: Progress) -> int:
    """Generate, plan, write, compare; exit status 3 when a bar is missed."""
    check_output(args.out, force=args.force)
    started = time.monotonic()
    patient, case = plan_generated(args.seed, part(progress, 0.0, 0.8))
    with output_folder(args.out, force=args.force) as folder:
        write_case(case, folder, progress=part(progress, 0.8, 0.95))
        images = folder / "patient"
        images.mkdir()
        for volume, name in ((patient.ct, "ct"), (patient.mr_t1, "mr_t1"), (patient.mr_t2, "mr_t2")):
            write_image(volume, images / f"{name}.nrrd")
        write_segmentation(patient.labels, images / "truth.seg.nrrd")
        progress(0.97, "Comparing with the truth")
        result = compare(case, patient)
        (folder / "truth.json").write_text(json.dumps(_plain(result), indent=2) + "\n", encoding="utf-8")
    progress(1.0, "Done")
    seconds = time.monotonic() - started
    text = "\n\n".join(
        [comparison_text(result), summary(case.plan), f"{seconds:.0f} s{_peak_memory()}. See {args.out}/report.html"]
    )
    say(text, _plain(result), as_json=args.json)
    return REJECTED if result.failures else DONE


def plan_generated(seed: int, progress: Progress) -> tuple[Patient, Case]:
    """Generate a patient and plan on its images as a user would: one level is named by a point in it."""
    patient = generate_patient(PatientOptions(seed=seed), progress=part(progress, 0.0, 0.2))
    named = "L3" if "L3" in patient.vertebrae else next(iter(patient.vertebrae))
    body = np.array(patient.vertebrae[named].frame_to_ras)[:3, 3]
    r, a, s = (float(round(v, 1)) for v in body)
    options = CaseOptions(level_hint=LevelHint(named, (r, a, s)))
    return patient, plan_case(patient.ct, patient.mr_t2, options=options, progress=part(progress, 0.2, 1.0))


def comparison_text(result: Comparison) -> str:
    """Return the comparison as the table that `demo` prints."""
    rows = []
    if result.registration_mean_mm is not None:
        words = f"mean {result.registration_mean_mm:.2f}, max {result.registration_max_mm:.2f} mm"
        if result.registration_expected_mm is not None:
            words += f" (expected {result.registration_expected_mm:.2f})"
        good = result.registration_mean_mm <= REGISTRATION_MEAN_MM and bool(result.registration_accepted)
        rows.append(["Registration error over the bones", words, f"<= {REGISTRATION_MEAN_MM} mm", _mark(good)])
    for level, value in result.dice.items():
        rows.append([f"{level} Dice", f"{value:.3f}", f">= {DICE}", _mark(value >= DICE)])
    for s in result.screws:
        bar = f"A, >= {SCREW_CLEARANCE_MM} mm" if s.clearance_possible else "A, or said too narrow"
        words = f"grade {s.grade}, clearance {s.clearance_mm:.2f} mm, pedicle {s.pedicle_width_mm:.1f} mm"
        rows.append([f"{s.name} screw", words + ("" if s.accepted else ", said too narrow"), bar, _mark(s.passed)])
    for g in result.guides:
        words = f"{'watertight' if g.watertight else 'OPEN'}, {g.bodies} body, gap {g.gap_mean_mm:.2f} mm, "
        words += f"overlap {g.overlap_mm3:.2f} mm3 (deepest {max(0.0, g.deepest_in_bone_mm):.2f} mm)"
        bar = f"gap {g.gap_asked_mm:.2f} +- {GUIDE_GAP_MM} mm, overlap <= {GUIDE_OVERLAP_MM3} mm3"
        rows.append([g.name, words, bar, _mark(g.passed)])
    end = "All bars held." if not result.failures else "Bars missed: " + "; ".join(result.failures) + "."
    return table(["In the true anatomy", "Found", "Bar", ""], rows) + f"\n{end}"


def _mark(good: bool) -> str:
    return "ok" if good else "MISSED"


def _plain(result: Comparison) -> dict[str, object]:
    return {**asdict(result), "failures": list(result.failures)}


def _peak_memory() -> str:
    try:
        import resource
    except ImportError:  # Windows
        return ""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return f", peak memory {peak / (1024**3 if sys.platform == 'darwin' else 1024**2):.1f} GB"
