"""The report of a registration: verdict, evidence and pictures in one HTML file that opens without a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from MSKFusionLib import fusion
from MSKFusionLib.progress import Progress, no_progress
from MSKFusionLib.registration.result import RegistrationResult, Verdict
from MSKFusionLib.volume import Volume

from .html import bullets, figures, page, png_bytes, table

#: What the evidence is called for its reader; what is not here is shown by its name.
_EVIDENCE_WORDS = {
    "return_share": "Tries moved 7 mm and 5 degrees away that came back, share",
    "drift_mm": "Drift of the result in a coarse fit, mm",
    "gap_share": "Lead over the second-best place, share",
    "overlap_share": "Compared part of the CT that the MR shows, share",
    "bone_information_nats": "What the CT says of the MR around bone, nats",
    "block_agreement_share": "Parts of the anatomy whose own best place is this one, share",
    "block_gain_share": "What the parts' own best places would give that is there already, share",
    "block_count": "Parts compared",
    "split_half_mm": "Two halves fitted apart differ by, mm",
    "selection_mm": "A fit of the whole body differs by, mm",
    "bend_mm": "Parts of the anatomy fitted apart differ from the result by, mm",
    "mirror_share": "What the CT mirrored left to right says, as a share of what it says (1 and more: side not certain)",
    "mr_voxel_mm": "Longest edge of the MR's voxels, mm",
}
_TWO_MR = "<p>Two MR images: where this page says CT it is the fixed one, and what is bright in that one is drawn as bone.</p>"


def registration_table(entry: Mapping[str, Any]) -> str:
    """Return what the plan document says of a registration as a table."""
    error = entry.get("expected_error_mm")
    rows = [
        ["Method", entry["method"]],
        ["Verdict", entry["verdict"]],
        ["Expected error over the bones, mm", None if error is None else float(error)],
        ["Seconds", entry["seconds"]],
        *[[_EVIDENCE_WORDS.get(k, k.replace("_", " ")), f"{v:.3g}"] for k, v in entry["evidence"].items()],
    ]
    return table(["What", "Value"], rows)


def input_table(inputs: Sequence[Mapping[str, Any]]) -> str:
    """Return the images as a table; see `records.describe_input`."""
    rows = [
        [i["role"], i["modality"], " x ".join(map(str, i["size_ijk"])), " x ".join(f"{v:.3g}" for v in i["spacing_mm"]),
         i["voxels_sha256"][:16], "; ".join(i["steps"])]
        for i in inputs
    ]  # fmt: skip
    return table(["Image", "Modality", "Voxels", "Spacing mm", "SHA-256 (first 16)", "Put right on reading"], rows)


def render_registration_report(
    entry: Mapping[str, Any],
    inputs: Sequence[Mapping[str, Any]],
    result: RegistrationResult,
    fixed: Volume,
    moving: Volume,
    progress: Progress = no_progress,
) -> str:
    """Return the report as HTML.

    Parameters
    ----------
    entry, inputs
        As `records.describe_registration` and `records.describe_input` give them.

    Raises
    ------
    InputError
        When the images are neither one CT and one MR nor two MR.
    """
    accepted = result.verdict is Verdict.ACCEPTED
    error = result.expected_error_mm
    words = (
        f"Accepted by its own checks{'' if error is None else f', expected error {error:.1f} mm over the bones'}."
        " Look at the pictures before you rely on it."
        if accepted
        else "REJECTED by its own checks. Do not use it."
    )
    found = fusion.overlap_centre_ras(fixed, moving, result)
    centre = fixed.centre_ras if found is None else found
    planes = fusion.anatomical_planes(fixed, centre)
    progress(0.1, "drawing both images")
    slices = fusion.fused_slices(fixed, moving, result, planes)
    drawn = {
        "outlines": [fusion.bone_outlined(s) for s in slices],
        "checkerboard": [fusion.checkerboard(s) for s in slices],
        "blended": [fusion.blended(s) for s in slices],
        "colour": [fusion.in_colour(s) for s in slices],
    }
    shown = {
        name: figures((png_bytes(picture), plane.name) for plane, picture in zip(planes, pictures, strict=True))
        for name, pictures in drawn.items()
    }
    progress(1.0, "report drawn")
    return page(
        "registration.html",
        verdict_class=str(result.verdict),
        verdict=escape(words),
        reasons=bullets((*result.reasons, *result.warnings)),
        evidence=registration_table(entry),
        bones=_bone_table(entry) + _landmark_table(entry),
        inputs=input_table(inputs),
        note=_TWO_MR if fixed.modality is moving.modality else "",
        place=escape(", ".join(f"{c:.0f}" for c in centre)),
        errors=_errors(result, planes, slices),
        **shown,
    )


def _errors(
    result: RegistrationResult, planes: Sequence[fusion.SlicePlane], slices: Sequence[fusion.FusedSlice]
) -> str:
    """Return the pictures of the expected error, or why there are none."""
    if result.refits is None or result.verdict is Verdict.REJECTED:
        return "<p>No map: this registration was rejected, or moves more than one rigid motion does.</p>"
    errors = [result.refits.error_mm(p.points_ras()) for p in planes]
    common = [e[s.in_ct & s.in_mr] for e, s in zip(errors, slices, strict=True)]
    scale_mm = max(fusion.LEAST_SCALE_MM, *(float(np.ceil(e.max(initial=0.0))) for e in common))
    captions = [
        f"{plane.name}: {e.min():.2f} to {e.max():.2f} mm" if e.size else plane.name
        for plane, e in zip(planes, common, strict=True)
    ]
    pictures = [png_bytes(fusion.with_error(s, e, scale_mm)) for s, e in zip(slices, errors, strict=True)]
    return f"<p>From dark blue (none) to yellow ({scale_mm:.0f} mm).</p>" + figures(
        zip(pictures, captions, strict=True)
    )


def _bone_table(entry: Mapping[str, Any]) -> str:
    bones = entry.get("bones", [])
    if not bones:
        return ""
    rows = [[b["name"], b["verdict"], b["expected_error_mm"], "; ".join(b["reasons"])] for b in bones]
    return "<h2>Bones</h2>" + table(
        ["Bone", "Verdict", "Expected error, mm", "Why"], rows, [str(b["verdict"]) for b in bones]
    )


def _landmark_table(entry: Mapping[str, Any]) -> str:
    missed = entry.get("landmark_tre_mm", {})
    if not missed:
        return ""
    note = "<p>Placed by the user and not used in the registration. How exactly they were placed is part of the distance.</p>"
    return f"<h2>Landmarks</h2>{note}" + table(["Landmark", "Misses its place by, mm"], missed.items())
