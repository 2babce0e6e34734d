"""A scene with a plan in it, for pictures; skips where this machine cannot draw."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "mrml"))


@pytest.fixture
def scene() -> Iterator[Any]:
    from MSKFusionLib.mrml import headless_scene
    from MSKPlannerLib.mrml import can_render

    if not can_render():
        pytest.skip("neither EGL nor OSMesa here: nothing can be drawn")
    with headless_scene() as scene:
        yield scene


@pytest.fixture
def nodes(scene: Any) -> Any:
    from scene_objects import plan_parts

    from MSKPlannerLib.mrml import plan_to_scene

    return plan_to_scene(scene, **plan_parts())
