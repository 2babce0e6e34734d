"""`mskplanner register` stopped half-way: what was there stays, and nothing is half-written."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from core.body_pair import body_pair

from MSKFusionLib.errors import Cancelled
from MSKFusionLib.registration import RegistrationResult, Verdict
from MSKFusionLib.volume import write_image
from MSKPlannerLib.cli import commands
from MSKPlannerLib.cli.arguments import build_parser


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two images, and results of an earlier run."""
    pair = body_pair(0)
    write_image(pair.ct, tmp_path / "ct.nrrd")
    write_image(pair.mr, tmp_path / "mr.nrrd")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "registration.json").write_text(json.dumps({"verdict": "earlier"}))
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_stops_it(images: Path, number: signal.Signals):
    before = contents(images)
    # A test run in the background ignores Ctrl-C and would hand that down.
    script = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    script += "from MSKPlannerLib.cli.main import main; sys.exit(main(sys.argv[1:]))"
    call = [sys.executable, "-c", script, "register", images / "ct.nrrd", images / "mr.nrrd"]
    with subprocess.Popen(
        [*map(str, call), "--out", str(images / "out"), "--force"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stderr is not None
        for line in run.stderr:
            if "global search" in line or "comparing" in line:
                run.send_signal(number)
                break
        out, err = run.communicate(timeout=60)
    assert run.returncode == 130
    assert [line for line in err.splitlines() if line.startswith("mskplanner: ")] == [
        "mskplanner: stopped; nothing was written"
    ]
    assert out == ""
    assert contents(images) == before
    assert sorted(p.name for p in images.iterdir()) == ["ct.nrrd", "mr.nrrd", "out"]


@pytest.mark.parametrize("at", [0.93, *(pytest.param(a, marks=pytest.mark.slow) for a in (0.905, 0.97))])
def test_a_stop_while_the_results_are_written_leaves_none_of_them(images: Path, monkeypatch, at: float):
    found = RegistrationResult("known", body_pair(0).ct_to_mr_ras, Verdict.ACCEPTED, (), {"drift_mm": 0.1}, 0.2)
    monkeypatch.setattr(commands, "register_rigid", lambda *images, **options: found)
    before, heard = contents(images), []

    def stop(fraction: float, message: str) -> None:
        heard.append(fraction)
        if fraction >= at:
            raise Cancelled(message)

    call = ["register", images / "ct.nrrd", images / "mr.nrrd", "--fused", "--out", images / "out", "--force"]
    with pytest.raises(Cancelled):
        commands.register(build_parser().parse_args([str(a) for a in call]), stop)
    assert np.min(heard) < 0.91, "it was stopped while it wrote"
    assert contents(images) == before
    assert sorted(p.name for p in images.iterdir()) == ["ct.nrrd", "mr.nrrd", "out"]
