"""The chain of a plan, link by link: images and bones, screws, their breach risk, guides, files; each with its state."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from MSKFusionLib.translation import tr as _

from ..plan import Plan
from ..screws.sites.request import PEDICLE
from .asked import budget_of
from .up_to_date import out_of_date


class LinkState(Enum):
    """Whether a link fits what it hangs on."""

    MISSING = "–"
    CURRENT = "✓"
    STALE = "✗"


@dataclass(frozen=True)
class Link:
    """One link of the chain: its name, its state, and what there is to say of it."""

    name: str
    state: LinkState
    why: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.state.value}"


def chain_of(plan: Plan | None, images_problem: str = "", exported: Plan | None = None) -> tuple[Link, ...]:
    """Return the chain of a plan; what hangs on a link that is out of date is out of date too.

    Parameters
    ----------
    plan
        None where there is none yet.
    images_problem
        What is wrong with the images and bones that it was made on; empty where nothing is.
    exported
        The plan that was last written to files; None: none was.
    """
    if plan is None:
        return tuple(Link(name, LinkState.MISSING) for name in _names())
    stale = out_of_date(plan)
    images = Link(_("Images"), LinkState.STALE if images_problem else LinkState.CURRENT, images_problem)
    return (
        images,
        _screws(plan, images),
        _risk(plan, stale.risks, images),
        _guides(plan, stale.guides, images),
        _files(plan, exported, bool(stale or images_problem)),
    )


def _names() -> tuple[str, ...]:
    return _("Images"), _("Screws"), _("Risk"), _("Guides"), _("Files")


def _screws(plan: Plan, images: Link) -> Link:
    if not plan.screws:
        return Link(_("Screws"), LinkState.MISSING, _("there is none yet"))
    if images.state is LinkState.STALE:
        return Link(_("Screws"), LinkState.STALE, images.why)
    return Link(_("Screws"), LinkState.CURRENT, _("{count} of them").format(count=len(plan.screws)))


def _risk(plan: Plan, names: tuple[str, ...], images: Link) -> Link:
    if not plan.screws or budget_of(plan) is None:
        return Link(_("Risk"), LinkState.MISSING, _("no error budget was asked for") if plan.screws else "")
    if images.state is LinkState.STALE:
        return Link(_("Risk"), LinkState.STALE, images.why)
    if names:
        return Link(_("Risk"), LinkState.STALE, _("not counted yet: {names}").format(names=", ".join(names)))
    return Link(_("Risk"), LinkState.CURRENT)


def _guides(plan: Plan, stale: tuple[tuple[str, str], ...], images: Link) -> Link:
    if not plan.guides:
        wanted = any(s.site == PEDICLE for s in plan.screws)
        return Link(_("Guides"), LinkState.MISSING, _("none is designed yet") if wanted else "")
    if images.state is LinkState.STALE:
        return Link(_("Guides"), LinkState.STALE, images.why)
    if stale:
        return Link(_("Guides"), LinkState.STALE, "; ".join(f"{level}: {why}" for level, why in stale))
    return Link(_("Guides"), LinkState.CURRENT)


def _files(plan: Plan, exported: Plan | None, stale: bool) -> Link:
    if exported is None:
        return Link(_("Files"), LinkState.MISSING, _("nothing is exported yet"))
    if exported != plan or stale:
        return Link(_("Files"), LinkState.STALE, _("the plan has changed since it was exported"))
    return Link(_("Files"), LinkState.CURRENT)


def chain_in_words(links: tuple[Link, ...]) -> str:
    """Return the chain in one line."""
    return "  →  ".join(str(link) for link in links)
