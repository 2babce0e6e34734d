"""Progress and cancelling of long work, by one callback."""

from collections.abc import Callable

#: Called with the fraction done (0 to 1) and what is being done. It cancels by raising `errors.Cancelled`.
Progress = Callable[[float, str], None]


def no_progress(fraction: float, message: str) -> None:
    """Report nothing."""


def part(progress: Progress, start: float, stop: float) -> Progress:
    """Return a callback that maps 0..1 of a sub-task onto `start`..`stop` of `progress`."""

    def report(fraction: float, message: str) -> None:
        progress(start + (stop - start) * min(max(fraction, 0.0), 1.0), message)

    return report
