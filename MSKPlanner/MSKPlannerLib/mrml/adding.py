"""Screws added to the plan in hand, or to a new one where there is none yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numpy.typing import ArrayLike

from MSKFusionLib.errors import InputError
from MSKFusionLib.mrml.placing import Later
from MSKFusionLib.progress import Progress, no_progress
from MSKFusionLib.segmentation import LevelHint
from MSKFusionLib.translation import tr as _

from ..editing.add_screws import new_screws, placed_between, planned_at
from ..editing.elsewhere import changed_elsewhere
from ..editing.screw_edits import with_risk
from ..pipeline import Case, CaseOptions, empty_case
from ..plan import Point
from ..screws.sites.request import SiteRequest
from .line_placing import LinePlacing
from .plan_basis import Basis, read_inputs
from .plan_session import PlanSession
from .site_points import begin_site_points, site_points

#: Runs a job of the panel: what is said where it fails, and the work, which is given a progress. None where it failed.
Run = Callable[[str, Callable[[Progress], Any]], Any]
#: CT, bones and the name of the lowest vertebra (empty: as they are named) that the panel shows.
Inputs = Callable[[], tuple[Any, Any, str]]


class Adding:
    """What the panel's part that adds screws does (`add_area`).

    Parameters
    ----------
    choose
        Told the name of the screw that was added.
    """

    def __init__(
        self, session: PlanSession, inputs: Inputs, run: Run, choose: Callable[[str], None], later: Later
    ) -> None:
        self._session, self._inputs, self._run, self._choose = session, inputs, run, choose
        #: Told when clicks are no longer waited for.
        self.ended: Callable[[], None] = lambda: None
        self._placing = LinePlacing(session.scene, self._on_placed, self._on_ended, later)

    def plan_at(
        self, site: str, level: str, sides: Sequence[str], trajectory: str = "", points: Any | None = None
    ) -> None:
        """Plan the screws of one site, from the points of a list where it takes any."""
        ct, bones, lowest = self._inputs()
        self._done(
            self._run(
                _("No screw could be added."),
                lambda report: add_at_site(
                    self._session,
                    (ct, bones),
                    site,
                    level,
                    sides,
                    trajectory=trajectory,
                    points=points,
                    lowest_level=lowest,
                    progress=report,
                ),
            )
        )

    def place_points(self, title: str, names: Sequence[str]) -> Any:
        """Begin a point list for a site's points, and return it."""
        return begin_site_points(self._session.scene, title, names, self._inputs()[0])

    def wait(self, wanted: bool) -> None:
        """Wait for two clicks in the views, or no longer."""
        if wanted:
            self._placing.start(self._inputs()[0])
        else:
            self._placing.stop()

    def _on_placed(self, entry: Point, tip: Point) -> None:
        ct, bones, lowest = self._inputs()
        self._done(
            self._run(
                _("No screw could be placed there."),
                lambda report: add_between(
                    self._session, (ct, bones), entry, tip, lowest_level=lowest, progress=report
                ),
            )
        )

    def _on_ended(self) -> None:
        self.ended()

    def _done(self, names: tuple[str, ...] | None) -> None:
        if names:
            self._choose(names[0])


def case_to_add_to(session: PlanSession, ct: Any, bones: Any, lowest_level: str = "") -> tuple[Case, Basis]:
    """Return the plan in hand, if it was made of these nodes as they are now; a new one without screws where there is none.

    Raises
    ------
    MSKError
        When the plan in hand is another's or out of date, or the nodes cannot be planned on.
    """
    basis = session.basis
    if basis is not None:
        case = session.current_case()
        if (basis.ct, basis.bones) != (ct, bones):
            raise InputError(
                "the plan in hand was made on other images", "Choose its CT and bones, or plan the screws again."
            )
        return case, basis
    volume, segmentation = read_inputs(ct, bones, lowest_level)
    hint = LevelHint(lowest_level, "lowest") if lowest_level else None
    case = empty_case(volume, segmentation, CaseOptions(level_hint=hint, want_guides=False))
    return case, Basis.of(ct, bones, case, lowest_level)


def add_at_site(
    session: PlanSession,
    nodes: tuple[Any, Any],
    site: str,
    level: str,
    sides: Sequence[str],
    *,
    trajectory: str = "",
    points: Any | None = None,
    lowest_level: str = "",
    progress: Progress = no_progress,
) -> tuple[str, ...]:
    """Plan the screws of a site (`add_screws.planned_at`), put them into the plan, and return their names.

    Parameters
    ----------
    nodes
        CT and bones.
    points
        Point list node with points of the site.
    """
    start, basis = case_to_add_to(session, *nodes, lowest_level)
    placed = site_points(points, nodes[0], SiteRequest(site).landmark_names())
    asked = (site, level, tuple(sides), trajectory, placed)
    case, _said = changed_elsewhere(session.call, _planned_at, start, *asked, progress=progress)
    return _take(
        session, start, case, basis, _("Add {names}").format(names=", ".join(new_screws(start, case))), progress
    )


def _planned_at(
    case: Case,
    site: str,
    level: str,
    sides: tuple[str, ...],
    trajectory: str,
    points: Mapping[str, Point],
    progress: Progress,
) -> Case:
    return planned_at(case, site, level, sides, progress, trajectory=trajectory, landmarks=points)


def add_between(
    session: PlanSession,
    nodes: tuple[Any, Any],
    entry_ras: ArrayLike,
    tip_ras: ArrayLike,
    *,
    lowest_level: str = "",
    progress: Progress = no_progress,
) -> tuple[str, ...]:
    """Put a screw from one marked point to the other (`add_screws.placed_between`) into the plan, and return its name.

    Parameters
    ----------
    entry_ras, tip_ras
        In the frame of the CT's node.
    """
    start, basis = case_to_add_to(session, *nodes, lowest_level)
    progress(0.1, _("Measuring the screw"))
    case = placed_between(start, entry_ras, tip_ras)
    for name in new_screws(start, case):
        progress(0.4, _("Counting the breach risk of {name}").format(name=name))
        case = with_risk(case, name)
    return _take(
        session, start, case, basis, _("Place {names}").format(names=", ".join(new_screws(start, case))), progress
    )


def _take(
    session: PlanSession, start: Case, case: Case, basis: Basis, label: str, progress: Progress
) -> tuple[str, ...]:
    progress(1.0, _("Updating the scene"))  # the last chance to cancel
    if session.case is not None and session.case is not start:
        raise InputError("a screw was changed meanwhile", "Try again.", where=start.plan.plan_id)
    session.take(label, case, basis)
    return new_screws(start, case)
