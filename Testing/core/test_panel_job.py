"""`MSKFusionLib.panel.JobArea` without any toolkit."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest

from MSKFusionLib.errors import InputError, ProcessingError
from MSKFusionLib.panel import JobArea


@pytest.fixture
def ui():
    return SimpleNamespace(
        workArea=SimpleNamespace(enabled=True),
        progressBar=SimpleNamespace(value=0),
        cancelButton=SimpleNamespace(enabled=False),
        statusLabel=SimpleNamespace(text="old"),
    )


def unlocked(ui):
    return ui.workArea.enabled and not ui.cancelButton.enabled and ui.progressBar.value == 0


def test_result_and_progress(ui):
    breaths = []
    job = JobArea(ui, lambda: breaths.append((ui.progressBar.value, ui.statusLabel.text, ui.workArea.enabled)))

    def work(report):
        report(0.42, "cutting")
        return "made"

    assert job.run(work, nullcontext()) == "made"
    assert breaths == [(42, "cutting", False)]
    assert unlocked(ui)


@pytest.mark.parametrize(("fraction", "shown"), [(-1.0, 0), (0.0, 0), (1.0, 100), (7.0, 100)])
def test_progress_stays_on_the_bar(ui, fraction, shown):
    seen = []
    job = JobArea(ui, lambda: seen.append(ui.progressBar.value))
    job.run(lambda report: report(fraction, ""), nullcontext())
    assert seen == [shown]


def test_events_are_handled_seldom_enough_not_to_slow_the_work(ui):
    breaths = []
    job = JobArea(ui, lambda: breaths.append(1))
    job.run(lambda report: [report(n / 10_000, "") for n in range(10_000)] and None, nullcontext())
    assert len(breaths) < 100


def test_cancel_is_no_error_and_never_missed(ui):
    job = JobArea(ui, lambda: None)

    def work(report):
        job.cancel()
        report(0.5, "more")
        pytest.fail("the work went on")

    assert job.run(work, nullcontext(), stopped="Stopped by you.") is None
    assert ui.statusLabel.text == "Stopped by you."
    assert unlocked(ui)
    assert job.run(lambda report: report(0.1, "again") or 5, nullcontext()) == 5, "the next job is not cancelled"


@pytest.mark.parametrize("error", [InputError("no bone here", "Choose a CT."), ProcessingError("it did not close")])
def test_an_expected_error_goes_through_the_guard_and_ends_in_words(ui, error):
    guarded = []

    @contextmanager
    def guard():
        try:
            yield
        except Exception as seen:
            guarded.append(seen)
            raise

    def work(report):
        raise error

    assert JobArea(ui, lambda: None).run(work, guard()) is None
    assert guarded == [error]
    assert ui.statusLabel.text == str(error)
    assert unlocked(ui)


def test_a_bug_is_named_and_raised(ui):
    def work(report):
        raise KeyError("x")

    with pytest.raises(KeyError):
        JobArea(ui, lambda: None).run(work, nullcontext())
    assert ui.statusLabel.text == "KeyError: 'x'"
    assert unlocked(ui)


def test_one_job_at_a_time(ui):
    job = JobArea(ui, lambda: None)
    inner = []
    job.run(lambda report: inner.append(job.run(lambda _: "second", nullcontext())), nullcontext())
    assert inner == [None]
    assert unlocked(ui)
