"""Where a row of wires begins and ends: two points that the user places on a bone, in a list of his own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from MSKFusionLib.translation import tr as _

from ..plan import Point
from .plan_session import PlanSession
from .site_points import begin_site_points, site_points

#: The points of a row, as they are named in its list.
FIRST, LAST = "first_wire", "last_wire"


class PinMarking:
    """What the panel's part for wires does in the scene (`pin_area`).

    Parameters
    ----------
    inputs
        CT, bones and the name of the lowest vertebra that the panel shows.
    """

    def __init__(self, session: PlanSession, inputs: Callable[[], tuple[Any, Any, str]]) -> None:
        self._session, self._inputs = session, inputs

    def begin(self, bone: str) -> Any:
        """Begin a point list that waits for the first and the last wire, and return it."""
        title = _("Wires of {bone}").format(bone=bone)
        return begin_site_points(self._session.scene, title, (FIRST, LAST), self._inputs()[0])

    def ends(self, node: Any) -> tuple[Point | None, Point | None]:
        """Return where the first and the last wire of a list go in, in the CT's own frame; None for one that is not placed.

        Raises
        ------
        InputError
            When both have one name.
        """
        found = site_points(node, self._inputs()[0], (FIRST, LAST))
        return found.get(FIRST), found.get(LAST)
