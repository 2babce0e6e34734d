"""One long job in a process of its own, so that the application stays alive and Cancel is heard at once."""

from __future__ import annotations

import os
import pickle
import queue
import shutil
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import IO, Any, TypeVar

from .errors import MSKError, ProcessingError
from .progress import Progress

Result = TypeVar("Result")
#: Does long work: `here`, or `in_background`.
Call = Callable[..., Any]
#: The caller is told at least this often that the work goes on, so that it can look after its window and hear Cancel.
_BREATH_SECONDS = 0.05
_SERVE = "from MSKFusionLib.background import serve; serve()"


def here(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """Call a function in this process."""
    return function(*arguments, **keywords)


def in_background(function: Callable[..., Result], *arguments: Any, progress: Progress, **keywords: Any) -> Result:
    """Return what `function(*arguments, progress=..., **keywords)` returns, worked out in another process.

    A function that another process cannot import by its name is called here.

    Parameters
    ----------
    progress
        Called with what the function reports, and with its last report again while it works. Whatever this raises (`Cancelled`) ends the
        other process at once.

    Raises
    ------
    MSKError
        What the function raised.
    ProcessingError
        When the other process ended without an answer.
    """
    if not _can_be_sent(function):
        return function(*arguments, progress=progress, **keywords)
    process = _start()
    try:
        answers = _answers(process, (function.__module__, function.__qualname__, arguments, keywords))
        last = (0.0, "")
        while True:
            try:
                kind, content = answers.get(timeout=_BREATH_SECONDS)
            except queue.Empty:
                kind, content = "progress", last
            if kind == "result":
                return content
            if kind == "error":
                raise content
            if kind == "ended":
                raise ProcessingError(
                    f"the work ended without a result (exit status {process.wait()}): perhaps the memory did not suffice"
                )
            last = content
            progress(*content)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def serve() -> None:
    """Do the one job that standard input asks for, and answer on standard output."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not lie among the answers
    module, name, arguments, keywords = pickle.load(sys.stdin.buffer)

    def report(fraction: float, message: str) -> None:
        _send(out, ("progress", (fraction, message)))

    try:
        answer = ("result", _named(module, name)(*arguments, progress=report, **keywords))
    except Exception as error:  # noqa: BLE001  whatever it is, the caller must hear of it
        answer = ("error", _sendable(error))
    _send(out, answer)


def _send(stream: IO[bytes], content: Any) -> None:
    pickle.dump(content, stream, protocol=pickle.HIGHEST_PROTOCOL)
    stream.flush()


def _sendable(error: Exception) -> Exception:
    """Return an error that arrives as it was: some classes cannot be made again from their text."""
    try:
        if type(pickle.loads(pickle.dumps(error))) is type(error) and isinstance(error, MSKError):
            return error
    except (TypeError, AttributeError, pickle.PicklingError) as unsendable:
        error.__context__ = unsendable
    return RuntimeError("".join(traceback.format_exception(error)))


def _named(module: str, name: str) -> Any:
    found: Any = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _can_be_sent(function: Callable[..., Any]) -> bool:
    try:
        return _named(function.__module__, function.__qualname__) is function
    except (AttributeError, ImportError):
        return False


def _start() -> subprocess.Popen[bytes]:
    # In Slicer's own process sys.executable may be the application; this is its Python.
    python = shutil.which("PythonSlicer") or sys.executable
    paths = os.pathsep.join(dict.fromkeys(p for p in sys.path if p))
    return subprocess.Popen(
        [python, "-c", _SERVE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": paths},
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )


def _answers(process: subprocess.Popen[bytes], question: Any) -> queue.SimpleQueue[tuple[str, Any]]:
    """Ask, and return the queue that the answers come in."""
    answers: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()

    def talk() -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with suppress(OSError):  # it has ended, or was ended: whether it had an answer shows below
                _send(process.stdin, question)
            while True:
                answers.put(pickle.load(process.stdout))
        except (EOFError, OSError):
            answers.put(("ended", None))
        except Exception as unsendable:  # noqa: BLE001  the question or the answer cannot be sent: nobody else would say so
            answers.put(("error", unsendable))

    threading.Thread(target=talk, daemon=True).start()
    return answers
