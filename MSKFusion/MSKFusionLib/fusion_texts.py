"""What MSK Fusion's panel says of a result, in words."""

from __future__ import annotations

from .label_fusion import CombinedLabels
from .registration.landmarks import LandmarkPairs
from .registration.result import RegistrationResult, Verdict
from .segmentation.labels import Segmentation
from .translation import tr as _


def registration_in_words(result: RegistrationResult) -> str:
    """Return the verdict on a registration."""
    reasons = "; ".join((*result.reasons, *result.warnings))
    if result.verdict is Verdict.REJECTED:
        return _("Rejected: {reasons}. The MR was not moved.").format(reasons=reasons)
    left = [b.name for b in result.bones if b.verdict is Verdict.REJECTED]
    if left:
        reasons = "; ".join(filter(None, (reasons, _("not placed: {names}").format(names=", ".join(left)))))
    error = result.expected_error_mm
    text = _("Accepted.") if error is None else _("Accepted, expected error {error:.1f} mm.").format(error=error)
    return f"{text} {reasons}".strip()


def landmarks_in_words(result: RegistrationResult, marks: LandmarkPairs | None) -> str:
    """Return how far the landmarks lie from each other; empty without any."""
    if marks is None:
        return ""
    apart_mm = marks.distances_mm(result.apply_to_points(marks.fixed_ras))
    worst = marks.names[int(apart_mm.argmax())]
    return _("{count} landmarks: {mean:.1f} mm apart on average, '{name}' {most:.1f} mm.").format(
        count=len(apart_mm), mean=float(apart_mm.mean()), name=worst, most=float(apart_mm.max())
    )


def bones_in_words(segmentation: Segmentation) -> str:
    """Return what was found in a CT."""
    whole = [s.name for s in segmentation.vertebrae if s.complete]
    part = [s.name for s in segmentation.vertebrae if not s.complete]
    lines = [_("{count} vertebrae wholly in view: {names}.").format(count=len(whole), names=", ".join(whole) or "-")]
    if part:
        lines.append(_("Partly in view: {names}.").format(names=", ".join(part)))
    return " ".join([*lines, *segmentation.notes])


def found_in_words(segmentation: Segmentation) -> str:
    """Return what was found in an MR, or by a network."""
    names = ", ".join(s.name for s in segmentation.segments)
    return " ".join([_("Found: {names}.").format(names=names), *(f"{note}." for note in segmentation.notes)])


def joined_in_words(joined: CombinedLabels) -> str:
    """Return what the bones of a CT and the labels of an MR have become, and where the two disagree."""
    told = [str(d) for d in joined.disagreements]
    lines = [_("In one: {names}.").format(names=", ".join(s.name for s in joined.segmentation.segments))]
    lines += [f"{note}." for note in joined.segmentation.notes if note not in told]
    if told:
        lines.append(_("The two images disagree: {places}.").format(places="; ".join(told)))
    return " ".join(lines)
