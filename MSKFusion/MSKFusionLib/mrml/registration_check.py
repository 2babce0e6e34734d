"""The registration in hand: looked at, moved by hand, accepted or rejected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import vtk

from ..check_area import Look
from ..errors import GeometryError
from ..registration.result import RegistrationResult
from ..translation import tr as _
from ..volume import Volume
from .fusion_views import FusionViews
from .nudge import nudge_amount, nudge_of, remove_idle_nudges, remove_nudge, start_nudge, stop_nudge
from .place_pair import registration_of, take_back
from .registrations import REVIEW_ATTRIBUTE, VERDICT_ATTRIBUTE
from .tied_nodes import put_volume_under
from .volumes import node_to_volume


class RegistrationCheck:
    """What `check_area.CheckArea` shows and does, in the scene.

    Parameters
    ----------
    inputs
        Gives the CT's, the MR's and the bones' nodes that the panel shows, each None where none is chosen.
    moved
        Called when the MR is moved by hand.
    """

    def __init__(self, scene: Any, inputs: Callable[[], tuple[Any, Any, Any]], moved: Callable[[], None]) -> None:
        self._inputs, self._moved = inputs, moved
        self._scene, self._views = scene, FusionViews(scene)
        self._result: tuple[Any, Any, RegistrationResult] | None = None
        self._watched: tuple[Any, int] | None = None

    def hold(self, fixed: Any, moving: Any, result: RegistrationResult) -> None:
        """Remember what the expected error over the image is counted from; a saved scene does not keep it."""
        self._result = (fixed, moving, result)

    def ready(self) -> bool:
        """Whether two images are chosen."""
        fixed, moving, _bones = self._inputs()
        return fixed is not None and moving is not None and fixed is not moving

    def missing(self, look: Look) -> str:
        """Return what is missing to look at them so, in words."""
        if not self.ready():
            return _("Choose a CT and an MR first.")
        if look is Look.OUTLINES and self._inputs()[2] is None:
            return _("Choose the bones of the CT, or segment them below.")
        if look is Look.ERROR and self._error_map() is None:
            return _(
                "There is an expected error only over a rigid registration that was accepted by its own check, "
                "made since the scene was opened and not moved by hand."
            )
        return ""

    def show(self, look: Look, value: float) -> str:
        """Show the images; see `CheckArea`."""
        fixed, moving, bones = self._inputs()
        if look is Look.BLEND:
            self._views.blend(fixed, moving, value)
        elif look is Look.CHECKERBOARD:
            self._views.checkerboard(fixed, moving, value)
        elif look is Look.OUTLINES:
            self._views.outlines(moving, bones)
        else:
            error = self._error_map()
            if error is not None:
                low, high = self._views.error_map(fixed, error, value)
                return _("Expected error from {low:.1f} (dark) to {high:.1f} mm (bright).").format(low=low, high=high)
        return ""

    def placed(self) -> bool:
        """Whether there is a registration, or a move by hand, to decide on."""
        fixed, moving, _bones = self._inputs()
        return self.ready() and (registration_of(fixed, moving) is not None or nudge_of(moving) is not None)

    def decision(self) -> str:
        """Return what was decided, in words."""
        fixed, moving, _bones = self._inputs()
        node = nudge_of(moving) or registration_of(fixed, moving)
        if node is None:
            return ""
        said = node.GetAttribute(REVIEW_ATTRIBUTE)
        if said == "rejected":
            return _("You rejected it: the MR is back where it was.")
        if said == "accepted" and node.GetAttribute(VERDICT_ATTRIBUTE) == "rejected":
            return _("You accepted it, against its own check.")
        return _("You accepted it.") if said == "accepted" else ""

    def decide(self, accepted: bool) -> None:
        """Keep the MR where it is (of a rejected registration: put it there), or put it back."""
        fixed, moving, _bones = self._inputs()
        node, hand = registration_of(fixed, moving), nudge_of(moving)
        if not accepted:
            self._unwatch()
            remove_nudge(moving)
            take_back(fixed, moving)
        elif node is not None and hand is None and moving.GetParentTransformNode() is not node:
            put_volume_under(moving, node)
        for item in (node, hand if accepted else None):
            if item is not None:
                item.SetAttribute(REVIEW_ATTRIBUTE, "accepted" if accepted else "rejected")

    def nudge(self, on: bool) -> None:
        """Show or hide the handles; what is moved is to be decided on anew."""
        fixed, moving, _bones = self._inputs()
        if on:
            node = start_nudge(fixed, moving)
            self._unwatch()
            self._watched = (node, node.AddObserver(node.TransformModifiedEvent, self._on_moved))
        elif moving is not None:
            stop_nudge(moving)
            if nudge_of(moving) is not None and max(nudge_amount(moving)) < 1e-6:
                self._unwatch()
                remove_nudge(moving)

    def nudging(self) -> bool:
        """Whether there is a transform that handles move."""
        return nudge_of(self._inputs()[1]) is not None

    def nudged(self) -> tuple[float, float]:
        """Return how far the MR was moved by hand, mm and degrees."""
        return nudge_amount(self._inputs()[1])

    def put_back(self) -> None:
        """Take back what was moved by hand."""
        self._unwatch()
        remove_nudge(self._inputs()[1])

    def tidy(self) -> None:
        """Take away what belongs to images that were deleted or put elsewhere."""
        if self._watched is not None and (
            self._watched[0].GetScene() is None
            or nudge_of(self._inputs()[1] or self._watched[0]) is not self._watched[0]
        ):
            self._unwatch()
        remove_idle_nudges(self._scene)

    def stop(self) -> None:
        """Let go of the scene."""
        self._unwatch()
        self._views.stop()
        self._result = None

    def _on_moved(self, caller: Any, *_event: Any) -> None:
        for node in (caller, registration_of(*self._inputs()[:2]) if self.ready() else None):
            if node is not None and node.GetAttribute(REVIEW_ATTRIBUTE):
                node.RemoveAttribute(REVIEW_ATTRIBUTE)
        self._moved()

    def _unwatch(self) -> None:
        watched, self._watched = self._watched, None
        if watched is not None:
            vtk.vtkObject.RemoveObserver(*watched)

    def trusted(self) -> RegistrationResult | None:
        """Return the registration that the pair lies by, made since the scene was opened, accepted and not moved by hand."""
        fixed, moving, _bones = self._inputs()
        held = self._result
        if held is None or held[:2] != (fixed, moving) or nudge_of(moving) is not None:
            return None
        node = registration_of(fixed, moving)
        if node is None or moving.GetParentTransformNode() is not node:
            return None
        return held[2] if node.GetAttribute(VERDICT_ATTRIBUTE) == "accepted" else None

    def _error_map(self) -> Volume | None:
        held = self.trusted()
        try:
            return None if held is None else held.error_map(node_to_volume(self._inputs()[0]))
        except GeometryError:  # the volume was emptied meanwhile
            return None
