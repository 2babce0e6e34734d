"""A scene for each test of the scene layer."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# The objects that the scene and the render tests share lie beside this file; tests are imported by path, not as a package.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def scene() -> Iterator[Any]:
    from MSKFusionLib.mrml import headless_scene

    with headless_scene() as scene:
        yield scene
