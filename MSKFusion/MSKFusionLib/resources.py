"""Where the data files of both modules lie, in a checkout, in a wheel and inside Slicer."""

import importlib.util
from pathlib import Path

from .errors import MissingComponentError


def resource_path(*parts: str) -> Path:
    """Return the path of a file under the shared `Resources` folder.

    Raises
    ------
    MissingComponentError
        When the installation lacks it.
    """
    for folder in _folders():
        candidate = folder.joinpath(*parts)
        if candidate.exists():
            return candidate
    raise MissingComponentError(f"Resources/{'/'.join(parts)} is missing: install MSK Planner again.")


def _folders() -> list[Path]:
    here = Path(__file__).resolve().parent
    # The installed extension puts the folder beside the modules; a checkout has it at the root.
    found = [parent / name for parent in here.parents[:4] for name in ("MSKPlannerResources", "Resources")]
    spec = importlib.util.find_spec("MSKPlannerResources")
    if spec is not None and spec.origin:
        found.insert(0, Path(spec.origin).parent)
    return [f for f in found if (f / "__init__.py").exists()]
