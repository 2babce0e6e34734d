"""The self tests that run in the application (Reload and Test), here over the harness with the real algorithms."""

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MSKFusion", "MSKPlanner"])
def test_self_test_passes(session, name):
    getattr(session.load(name), f"{name}Test")().runTest()
