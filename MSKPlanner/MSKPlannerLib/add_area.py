"""The part of the planner's panel that adds screws: planned at a site, or marked by two clicks. Knows no toolkit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from MSKFusionLib.translation import tr as _

from .anatomy.limb_landmarks import spoken
from .screws.pedicle_ways import TRADITIONAL, WAYS
from .screws.sites.description import load_site, site_names
from .screws.sites.request import PEDICLE, SiteRequest

#: In the order of the list of sides: both, left, right.
_SIDES: tuple[tuple[str, ...], ...] = ((), ("left",), ("right",))


class Adder(Protocol):
    """What adds the screws (`mrml.adding.Adding`)."""

    ended: Callable[[], None]

    def plan_at(self, site: str, level: str, sides: Sequence[str], trajectory: str, points: Any) -> None:
        """Plan the screws of one site; of pedicles by a way of `pedicle_ways.WAYS`, or by the plan's where it is empty.

        Parameters
        ----------
        points
            Point list with the points of a site that takes any; else None.
        """

    def place_points(self, title: str, names: Sequence[str]) -> Any:
        """Begin a point list for a site's points, and return it."""

    def wait(self, wanted: bool) -> None:
        """Wait for two clicks, or no longer."""


class AddArea:
    """Site, level and side of a screw to be planned, and the button that takes two clicks.

    Parameters
    ----------
    ui
        The widgets: `siteComboBox`, `newLevelComboBox`, `sideComboBox`, `addButton`, `placeButton`, `placeLabel`, `pointsButton`,
        `pointsWidget`.
    """

    def __init__(self, ui: Any, adder: Adder) -> None:
        self._ui, self._adder = ui, adder
        adder.ended = self.stop
        # The plain pedicle goes by what the plan was asked; the other ways through it stand beside it.
        ways = {name: _("Pedicle, {way}").format(way=way.title) for name, way in WAYS.items() if name != TRADITIONAL}
        pages = {name: load_site(name).title for name in site_names()}
        self._sites = ((PEDICLE, ""), *((PEDICLE, way) for way in ways), *((name, "") for name in pages))
        # Asked for while a screw is dragged: read once.
        self._points = {name: SiteRequest(name).landmark_names() for name in (PEDICLE, *pages)}
        self._ready = False
        for text in (_("Pedicle"), *ways.values(), *pages.values()):
            ui.siteComboBox.addItem(text)
        for text in (_("both sides"), _("left"), _("right")):
            ui.sideComboBox.addItem(text)
        ui.siteComboBox.connect("currentIndexChanged(int)", lambda index: self._show_level())
        ui.addButton.connect("clicked(bool)", self._on_add)
        ui.pointsButton.connect("clicked(bool)", self._on_points)
        ui.placeButton.connect("toggled(bool)", self._on_place)
        ui.placeLabel.text = _idle()

    def show(self, levels: Sequence[str], *, ready: bool) -> None:
        """Show the levels there are, the chosen one staying chosen, and whether anything can be added."""
        box = self._ui.newLevelComboBox
        if [box.itemText(n) for n in range(box.count)] != list(levels):
            chosen = box.currentText
            box.clear()
            for level in levels:
                box.addItem(level)
            if chosen in levels:
                box.currentIndex = list(levels).index(chosen)
        self._ui.placeButton.enabled = ready
        self._ready = ready
        if not ready:
            self.stop()
        self._show_level()

    def stop(self) -> None:
        """Wait for no clicks any more."""
        self._ui.placeButton.checked = False

    def _show_level(self) -> None:
        ui = self._ui
        site = self._sites[ui.siteComboBox.currentIndex][0]
        pedicle = site == PEDICLE
        names = self._points[site]
        for widget in (ui.pointsButton, ui.pointsWidget):
            widget.visible = bool(names)
        ui.pointsButton.enabled = self._ready and bool(names)
        ui.pointsButton.toolTip = _("Click in any view, in this order: {names}.").format(
            names=", ".join(spoken(n) for n in names)
        )
        ui.newLevelComboBox.enabled = pedicle
        ui.addButton.enabled = self._ready and (not pedicle or ui.newLevelComboBox.count > 0)

    def _on_add(self) -> None:
        ui = self._ui
        site, trajectory = self._sites[ui.siteComboBox.currentIndex]
        level = ui.newLevelComboBox.currentText if site == PEDICLE else ""
        points = ui.pointsWidget.currentNode() if self._points[site] else None
        self._adder.plan_at(site, level, _SIDES[ui.sideComboBox.currentIndex], trajectory, points)

    def _on_points(self) -> None:
        site = self._sites[self._ui.siteComboBox.currentIndex][0]
        node = self._adder.place_points(load_site(site).title, self._points[site])
        self._ui.pointsWidget.setCurrentNode(node)

    def _on_place(self, checked: bool) -> None:
        self._ui.placeLabel.text = (
            _("In the views: click the entry on a bone, then the tip within it. Escape gives up.")
            if checked
            else _idle()
        )
        self._adder.wait(checked)


def _idle() -> str:
    return _("A screw between two clicks snaps to the bone; level and side are found.")
