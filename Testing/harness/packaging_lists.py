"""The file lists of the CMake scripts: read, compare with the tree, and write anew.

    python Testing/harness/packaging_lists.py

brings every list up to date after files were added or removed.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Folder with a CMakeLists.txt, name of the list of scripts, name of the list of resources, and what both are made of.
LISTS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("MSKFusion", "MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES", ("MSKFusion.py", "MSKFusionLib", "Resources")),
    ("MSKPlanner", "MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES", ("MSKPlanner.py", "MSKPlannerLib", "Resources")),
    (".", "SHARED_PYTHON_SCRIPTS", "SHARED_PYTHON_RESOURCES", ("Resources",)),
)


def files_in_tree(folder: str, parts: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Return the scripts and the resources under the named parts of a folder, relative to it."""
    base = ROOT / folder
    found = [
        path for part in parts for path in ([base / part] if (base / part).is_file() else (base / part).rglob("*"))
    ]
    names = sorted(
        path.relative_to(base).as_posix()
        for path in found
        if path.is_file() and not any(p == "__pycache__" or p.startswith(".") for p in path.relative_to(base).parts)
    )
    return [n for n in names if n.endswith(".py")], [n for n in names if not n.endswith(".py")]


def files_in_list(folder: str, name: str) -> list[str]:
    """Return what a list in a folder's CMakeLists.txt holds."""
    match = _pattern(name).search((ROOT / folder / "CMakeLists.txt").read_text(encoding="utf-8"))
    if match is None:
        raise ValueError(f"{folder}/CMakeLists.txt has no set({name} ...)")
    return match["content"].split()


def write_list(folder: str, name: str, files: list[str]) -> None:
    """Replace a list in a folder's CMakeLists.txt."""
    path = ROOT / folder / "CMakeLists.txt"
    lines = "".join(f"  {file}\n" for file in files)
    text = path.read_text(encoding="utf-8")
    path.write_text(_pattern(name).sub(f"set({name}\n{lines}  )", text), encoding="utf-8")


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(rf"set\({name}\b(?P<content>[^)]*)\)")


if __name__ == "__main__":
    for folder, scripts, resources, parts in LISTS:
        for name, files in zip((scripts, resources), files_in_tree(folder, parts), strict=True):
            write_list(folder, name, files)
