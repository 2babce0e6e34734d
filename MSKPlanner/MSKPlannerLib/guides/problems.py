"""What is wrong with the guides of a plan, and where: the list that somebody goes through before printing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..plan import Check, Guide, Point


@dataclass(frozen=True)
class Finding:
    """One thing to look at on one guide.

    Parameters
    ----------
    words
        What was found, with its number and its bar.
    place_ras
        Where, RAS mm; None where it concerns the whole guide.
    bad
        Whether it rejects the guide, or puts it out of date; otherwise it is the tightest place of a check that passed.
    """

    guide: str
    words: str
    place_ras: Point | None
    bad: bool


def findings(guides: Sequence[Guide]) -> tuple[Finding, ...]:
    """Return what is wrong with guides, all of that first, and then the tightest places of the checks that passed."""
    bad, tight = [], []
    for guide in guides:
        if guide.out_of_date:
            bad.append(Finding(guide.name, f"out of date: {guide.out_of_date}", None, True))
        said = [c for c in guide.checks if not c.passed]
        bad += [Finding(guide.name, _words(c), c.place_ras, True) for c in said]
        told = {c.message for c in said}
        bad += [Finding(guide.name, reason, None, True) for reason in guide.reasons if reason not in told]
        tight += [Finding(guide.name, _words(c), c.place_ras, False) for c in guide.checks if c.passed and c.place_ras]
    return (*bad, *tight)


def _words(check: Check) -> str:
    words = f"{check.name}: {check.message}" if check.message else check.name
    return words if check.limit is None else f"{words} (bar {check.limit:.3g} {check.unit})"
