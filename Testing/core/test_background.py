"""Work in a process of its own: what comes back, what is heard meanwhile, and that Cancel ends it."""

from __future__ import annotations

import os
import pickle
import time

import pytest

from MSKFusionLib.background import in_background
from MSKFusionLib.errors import Cancelled, InputError, ProcessingError
from MSKFusionLib.phantom import PatientOptions, generate_patient


def test_the_answer_comes_from_another_process_and_progress_is_heard():
    heard = []
    pid, heard_there = in_background(_who_am_i, 3, progress=lambda f, m: heard.append((f, m)))
    assert pid != os.getpid()
    assert heard_there == 3
    assert (0.5, "half") in heard


def test_cancel_is_heard_at_once_although_the_work_reports_nothing():
    began = time.monotonic()

    def cancel(fraction, message):
        if message == "asleep":
            raise Cancelled("stopped by the user")

    with pytest.raises(Cancelled):
        in_background(_sleep, progress=cancel)
    assert time.monotonic() - began < 30.0


def test_errors_arrive_as_they_were_raised():
    with pytest.raises(InputError) as raised:
        in_background(_refuse, progress=lambda *_: None)
    assert (raised.value.what, raised.value.where) == ("too small", "CT of P")
    with pytest.raises(ProcessingError, match="exit status 3"):
        in_background(_die, progress=lambda *_: None)


def test_what_cannot_be_sent_is_said_and_not_waited_for():
    with pytest.raises((AttributeError, TypeError, pickle.PicklingError)):
        in_background(_who_am_i, lambda: 3, progress=lambda *_: None)


def test_what_has_no_name_is_worked_out_here():
    assert in_background(lambda progress: os.getpid(), progress=lambda *_: None) == os.getpid()


@pytest.mark.slow
def test_a_registration_there_is_the_one_here():
    import numpy as np

    from MSKFusionLib.registration import register_rigid

    patient = generate_patient(PatientOptions.small(seed=1))
    there = in_background(register_rigid, patient.ct, patient.mr_t1, progress=lambda *_: None)
    here = register_rigid(patient.ct, patient.mr_t1)
    assert np.array_equal(there.fixed_to_moving_ras, here.fixed_to_moving_ras)
    assert there.reasons == here.reasons
    assert np.array_equal(there.error_map(patient.ct).voxels, here.error_map(patient.ct).voxels)


def _who_am_i(number, progress):
    print("not among the answers")
    progress(0.5, "half")
    return os.getpid(), number


def _sleep(progress):
    progress(0.1, "asleep")
    time.sleep(60)


def _refuse(progress):
    raise InputError("too small", "Give a larger one.", where="CT of P")


def _die(progress):
    os._exit(3)
