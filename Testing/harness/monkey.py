"""Who does anything in a panel in any order: the panels' random tests say what there is to do, and what must hold after it."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any


class Monkey(ABC):
    """Acts at random (seeded), and looks after every action whether all is well.

    Parameters
    ----------
    session, panel
        The harness' session and the panel that is open in it.
    """

    def __init__(self, session: Any, panel: Any, seed: int) -> None:
        self.session, self.panel, self.random = session, panel, random.Random(seed)
        #: Names of what was done, in order.
        self.done: list[str] = []

    @abstractmethod
    def chances(self) -> Mapping[Callable[[], None], float]:
        """What there is to do, and how often it is done."""

    @abstractmethod
    def check(self) -> None:
        """Assert what must hold after every action."""

    def act(self) -> None:
        """Do one thing and look after it."""
        chances = self.chances()
        action = self.random.choices(list(chances), list(chances.values()))[0]
        self.done.append(action.__name__)
        action()
        self.session.application.processEvents()
        self.check()
