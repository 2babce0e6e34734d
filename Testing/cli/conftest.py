"""Running the command as a user does: in a process of its own."""

import os
import subprocess
import sys
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Run:
    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that says what is wrong."""
        lines = [line for line in self.err.splitlines() if line.startswith("mskplanner: ")]
        assert len(lines) == 1, self.err
        return lines[0]


@pytest.fixture(scope="session")
def mskplanner():
    def call(*arguments, timeout=300):
        done = subprocess.run(
            [sys.executable, "-m", "MSKPlannerLib.cli.main", *map(str, arguments)],
            capture_output=True, text=True, timeout=timeout, check=False, env=os.environ | {"MSK_DEBUG": "1"},
        )  # fmt: skip
        return Run(done.returncode, done.stdout, done.stderr)

    return call
