"""The sections of the planner's panel: closed as long as nothing is in them, and then as the user leaves them. Knows no toolkit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .plan import Plan

#: Tells whether a plan has something to show in a section.
Filled = Callable[[Plan], bool]


class Sections:
    """Opens a section when the first thing comes into it. Otherwise nobody but the user opens or closes any.

    Parameters
    ----------
    filled
        By the section (ctk's collapsible button): whether a plan has something in it.
    """

    def __init__(self, filled: Mapping[Any, Filled]) -> None:
        self._filled = list(filled.items())
        self._before = [False] * len(self._filled)
        for section, _ in self._filled:
            section.collapsed = True

    def show(self, plan: Plan | None) -> None:
        """Open the sections that have just got something to show."""
        now = [plan is not None and holds(plan) for _, holds in self._filled]
        for (section, _), was, is_now in zip(self._filled, self._before, now, strict=True):
            if is_now and not was:
                section.collapsed = False
        self._before = now
