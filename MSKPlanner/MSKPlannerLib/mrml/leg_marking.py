"""Landmarks of a leg that are clicked in the views and put into the plan in hand, or into a new one where there is none yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from MSKFusionLib.errors import MSKError
from MSKFusionLib.frames import FloatArray
from MSKFusionLib.mrml.placing import Later
from MSKFusionLib.mrml.point_placing import PointPlacing
from MSKFusionLib.translation import tr as _

from ..anatomy.limb_landmarks import spoken
from ..editing.leg_marks import forgotten, leg_bone_of, marked, marks_of, still_wanted
from ..pipeline import Case
from ..plan import Point
from .adding import Inputs, case_to_add_to
from .plan_session import PlanSession

#: Where a landmark that was clicked comes from as long as others are wanted before the leg can be measured.
CLICKED = "clicked"


class LegMarking:
    """What the panel's part with the landmarks does (`landmark_area`).

    Parameters
    ----------
    bone
        Gives the segment that is chosen to be cut.
    """

    def __init__(self, session: PlanSession, inputs: Inputs, bone: Callable[[], str], later: Later) -> None:
        self._session, self._inputs, self._bone = session, inputs, bone
        #: Told when the points or what is waited for have changed.
        self.changed: Callable[[], None] = lambda: None
        self._placing = PointPlacing(session.scene, lambda: self.changed(), later)
        # Clicked before the leg can be measured: of which CT and bones, of which segment, where.
        self._kept: tuple[tuple[Any, Any], str, dict[str, Point]] | None = None

    @property
    def active(self) -> bool:
        """Whether a click is waited for."""
        return self._placing.active

    def origins(self) -> dict[str, str]:
        """Return where each landmark that there is comes from."""
        kept = dict.fromkeys(self._clicked(), CLICKED)
        return marks_of(self._session.case) | kept

    def wanted(self) -> tuple[str, ...]:
        """Return what must be clicked yet before the leg is measured; nothing where nothing was begun."""
        kept, case = self._clicked(), self._session.case
        return () if not kept or case is None else still_wanted(case, self._bone(), kept)

    def possible(self) -> bool:
        """Whether the chosen segment is a bone of a leg, and nothing else is to be marked first."""
        ct, bones, _lowest = self._inputs()
        case = self._session.case
        if ct is None or bones is None or not self._bone():
            return False
        if case is None:
            return any(word in self._bone().lower() for word in ("femur", "tibia"))
        return bool(leg_bone_of(case, self._bone()))

    def wait(self, name: str) -> None:
        """Wait for a click on a landmark."""
        self._placing.start(spoken(name), lambda point: self._on_placed(name, point), self._inputs()[0])
        self.changed()

    def stop(self) -> None:
        """Wait no longer."""
        self._placing.stop()

    def forget(self, name: str) -> None:
        """Take a landmark away."""
        kept = self._clicked()
        if name in kept:
            del kept[name]
        else:
            self._session.edit(_("Forget {name}").format(name=spoken(name)), forgotten, name)
        self.changed()

    def _clicked(self) -> dict[str, Point]:
        ct, bones, _lowest = self._inputs()
        if self._kept is None or self._kept[0] != (ct, bones) or self._kept[1] != self._bone():
            return {}
        return self._kept[2]

    def _on_placed(self, name: str, point: FloatArray) -> None:
        ct, bones, lowest = self._inputs()
        bone = self._bone()
        clicked = self._clicked() | {name: (float(point[0]), float(point[1]), float(point[2]))}
        try:
            case, basis = case_to_add_to(self._session, ct, bones, lowest)
            if still_wanted(case, bone, clicked):
                self._kept = ((ct, bones), bone, clicked)
                if self._session.case is None:  # so that the rest of the panel knows the bones
                    self._session.take(_("New plan"), case, basis)
                self._session.problem = ""
            else:
                after: Case = marked(case, bone, clicked)
                self._kept = None
                self._session.take(_("Mark {name}").format(name=spoken(name)), after, basis)
        except MSKError as error:
            self._session.problem = str(error)
        self._session.tell(None)
        self.changed()
