"""What all layers of tests share."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images (`MSK_TEST_DATA`, or ../shared/data beside the project); skips where neither exists."""
    folder = Path(os.environ.get("MSK_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real images: set MSK_TEST_DATA, or put them in {folder}")
    return folder


@pytest.fixture(scope="session")
def small_patient():
    """A generated patient (seed 1) that all layers share; made once a session."""
    from MSKFusionLib.phantom import PatientOptions, generate_patient

    return generate_patient(PatientOptions.small(seed=1))
