"""The command `mskplanner`: arguments in, exit status out."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from MSKFusionLib.errors import Cancelled, InputError, MSKError

from .arguments import build_parser
from .console import console_progress
from .status import BUG, CANCELLED, WRONG_INPUT

#: Commands with a file of their own; the others are in `commands`.
_OWN_FILE = (
    "demo",
    "combine",
    "resect",
    "path",
    "limb",
    "mirror",
    "forearm",
    "spine",
    "export",
    "send",
    "check",
    "guide",
    "levelguide",
    "cutguide",
    "pinguide",
    "remake",
    "skinframe",
    "reduce",
    "segment-mr",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status (0 done, 1 a bug, 2 wrong input, 3 rejected)."""
    args = build_parser().parse_args(arguments)
    try:
        with _told_to_stop():
            return _command(args.command)(args, console_progress())
    except InputError as error:
        return _fail(str(error), WRONG_INPUT)
    except (Cancelled, KeyboardInterrupt):
        return _fail("stopped; nothing was written", CANCELLED)
    except MSKError as error:
        return _fail(str(error), WRONG_INPUT)
    except MemoryError:
        return _fail(
            "the memory does not suffice for images of this size. Crop them or use a larger machine.", WRONG_INPUT
        )
    except Exception as error:  # noqa: BLE001  the last door: a bug is reported as one, without patient data
        if os.environ.get("MSK_DEBUG"):
            traceback.print_exc()
        place = traceback.extract_tb(error.__traceback__)[-1]
        return _fail(
            f"this is a bug in MSK Planner ({type(error).__name__} at {os.path.basename(place.filename)}:{place.lineno}). "
            "Set MSK_DEBUG=1 to see all of it.",
            BUG,
        )


@contextmanager
def _told_to_stop() -> Iterator[None]:
    """Take the signal that a cluster ends a job with as Ctrl-C: the work ends, and nothing half-written stays."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _command(name: str) -> Callable[..., int]:
    # Each command brings its imports along only when it is called: --help stays quick.
    function = name.replace("-", "_")
    own_file = f".{function}" if name in _OWN_FILE else ".commands"
    found: Callable[..., int] = getattr(importlib.import_module(own_file, __package__), function)
    return found


def _fail(message: str, status: int) -> int:
    sys.stderr.write(f"\nmskplanner: {message}\n" if sys.stderr.isatty() else f"mskplanner: {message}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
