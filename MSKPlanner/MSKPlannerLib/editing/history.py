"""Undo and redo over states that never change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

State = TypeVar("State")
#: So many steps can be taken back; older ones are forgotten.
MOST_STEPS = 200


@dataclass(frozen=True)
class Step(Generic[State]):
    """A state and what was done to come to it, in words."""

    label: str
    state: State


class History(Generic[State]):
    """The states that were gone through, and which of them holds. States are shared, never copied: they must be immutable."""

    def __init__(self, most_steps: int = MOST_STEPS) -> None:
        self._steps: list[Step[State]] = []
        self._at = -1
        self._most = most_steps + 1  # the state before the first step counts too

    @property
    def state(self) -> State | None:
        """The state that holds; None before the first."""
        return self._steps[self._at].state if self._steps else None

    @property
    def undo_label(self) -> str:
        """What would be undone; empty where nothing can be."""
        return self._steps[self._at].label if self._at > 0 else ""

    @property
    def redo_label(self) -> str:
        """What would be done again; empty where nothing can be."""
        return self._steps[self._at + 1].label if self._at + 1 < len(self._steps) else ""

    def push(self, label: str, state: State) -> None:
        """Go on to a new state; what had been undone is forgotten."""
        del self._steps[self._at + 1 :]
        self._steps.append(Step(label, state))
        del self._steps[: -self._most]
        self._at = len(self._steps) - 1

    def amend(self, state: State) -> None:
        """Put a state in the place of the one that holds, where no step of the user's lies between the two."""
        if self._steps:
            self._steps[self._at] = Step(self._steps[self._at].label, state)

    def undo(self) -> State | None:
        """Go one step back and return the state there; None where there is none."""
        if self._at < 1:
            return None
        self._at -= 1
        return self.state

    def redo(self) -> State | None:
        """Go one step forward again; None where there is none."""
        if self._at + 1 >= len(self._steps):
            return None
        self._at += 1
        return self.state

    def clear(self) -> None:
        """Forget everything."""
        self._steps, self._at = [], -1
