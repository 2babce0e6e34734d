"""What is shipped is what is there: CMake lists, package lists, versions, licence."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from harness.packaging_lists import LISTS, files_in_list, files_in_tree

ROOT = Path(__file__).resolve().parents[2]
REFRESH = "bring the lists up to date with: python Testing/harness/packaging_lists.py"


@pytest.fixture(scope="module")
def pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("folder", "scripts", "resources", "parts"), LISTS, ids=[entry[0] for entry in LISTS])
def test_cmake_lists_name_every_file(folder, scripts, resources, parts):
    for name, tree in zip((scripts, resources), files_in_tree(folder, parts), strict=True):
        listed = files_in_list(folder, name)
        assert listed == sorted(set(listed)), f"{folder}: {name} is not sorted, or names a file twice"
        assert not set(tree) - set(listed), f"{folder}: files that {name} lacks; {REFRESH}"
        assert not set(listed) - set(tree), f"{folder}: {name} names files that are not there; {REFRESH}"


def test_no_two_installed_files_share_a_place():
    """Both modules and the shared resources are installed into one folder of the extension."""
    places = [file for folder, *names, _parts in LISTS for name in names for file in files_in_list(folder, name)]
    twice = {place for place in places if places.count(place) > 1}
    assert not twice


def test_packages_of_the_wheel_are_those_of_the_tree(pyproject):
    listed = set(pyproject["tool"]["setuptools"]["packages"]) - {"MSKPlannerResources"}
    tree = {
        init.parent.relative_to(ROOT / module).as_posix().replace("/", ".")
        for module in ("MSKFusion", "MSKPlanner")
        for init in (ROOT / module).rglob("__init__.py")
    }
    assert listed == tree


def test_every_library_folder_with_python_files_is_a_package():
    for module in ("MSKFusion", "MSKPlanner"):
        folders = {path.parent for path in (ROOT / module / f"{module}Lib").rglob("*.py")}
        assert [f for f in folders if not (f / "__init__.py").exists()] == []


def test_version_is_the_same_everywhere(pyproject):
    version = pyproject["project"]["version"]
    found = {
        "MSKFusionLib": _first(r'^__version__ = "(.+)"', "MSKFusion/MSKFusionLib/__init__.py"),
        "CITATION.cff": _first(r"^version: (.+)$", "CITATION.cff"),
        "CMakeLists.txt": _first(r"^project\(MSKPlanner VERSION ([\d.]+)", "CMakeLists.txt"),
        "CHANGELOG.md": _first(r"^## (\S+)", "CHANGELOG.md"),
    }
    assert found == dict.fromkeys(found, version)


def test_slicer_installs_the_versions_that_are_tested(pyproject):
    pinned = set(pyproject["project"]["dependencies"])
    lines = (ROOT / "MSKPlanner/Resources/requirements.txt").read_text(encoding="utf-8").splitlines()
    assert {line for line in lines if line and not line.startswith("#")} <= pinned


def test_licence_is_whole_and_named(pyproject):
    text = (ROOT / "LICENSE.txt").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert pyproject["project"]["license"] == "Apache-2.0"


#: Of Slicer's schema for entries of its extensions catalog, version 1.0.2: what there may be, and what there must be.
_CATALOG_KEYS = {
    "$schema", "category", "scm_url", "scm_revision", "scm_type", "build_dependencies", "dicom_support_rule",
    "build_subdirectory", "enabled", "tier",
}  # fmt: skip
_CATALOG_REQUIRED = {"$schema", "category", "scm_url"}


def test_entry_of_the_extensions_catalog():
    entry = json.loads((ROOT / "MSKPlanner.json").read_text(encoding="utf-8"))
    assert set(entry) >= _CATALOG_REQUIRED
    assert set(entry) <= _CATALOG_KEYS
    assert entry["$schema"].endswith("slicer-extension-catalog-entry-schema-v1.0.2.json#")
    assert entry.get("scm_type", "git") in ("git", "local")
    assert entry["tier"] in range(1, 6)
    assert entry["category"] == _first(r'^set\(EXTENSION_CATEGORY "(.+)"\)', "CMakeLists.txt")
    depends = _first(r'^set\(EXTENSION_DEPENDS "(.+)"\)', "CMakeLists.txt")
    assert entry.get("build_dependencies", []) == ([] if depends == "NA" else depends.split())


def test_every_part_of_the_catalogs_checklist_that_a_repository_can_hold():
    description = _first(r'^set\(EXTENSION_DESCRIPTION "(.+)"\)', "CMakeLists.txt")
    assert 0 < description.count(".") <= 2 or "." not in description, "one or two sentences"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for wanted in ("MSK Planner", "MSK Fusion", "Apache", "docs/tutorial.md", ".png)"):
        assert wanted in readme, wanted
    for module in ("MSKFusion", "MSKPlanner"):
        script = (ROOT / module / f"{module}.py").read_text(encoding="utf-8")
        assert f"class {module}Test(ScriptedLoadableModuleTest)" in script
        cmake = (ROOT / module / "CMakeLists.txt").read_text(encoding="utf-8")
        assert "WITH_GENERIC_TESTS" in cmake
        assert "slicer_add_python_unittest(SCRIPT ${MODULE_NAME}.py)" in cmake
        assert f"Resources/Icons/{module}.png" in cmake


def test_icons_are_small():
    icons = [p for module in ("MSKFusion", "MSKPlanner") for p in (ROOT / module / "Resources/Icons").iterdir()]
    assert len(icons) >= 2
    assert [icon for icon in icons if icon.stat().st_size > 10_000] == []


@pytest.mark.skipif(not all(map(shutil.which, ("cmake", "cc", "c++"))), reason="needs cmake and a compiler")
def test_cmake_scripts_configure(tmp_path):
    """CMake runs through the scripts with stand-ins for Slicer's macros, which refuse what Slicer's refuse."""
    (tmp_path / "slicer").mkdir()
    (tmp_path / "slicer/SlicerConfig.cmake").write_text(_SLICER_CONFIG)
    (tmp_path / "slicer/empty.cmake").touch()
    build = ["cmake", "-S", str(ROOT), "-B", str(tmp_path / "build"), f"-DSlicer_DIR={tmp_path / 'slicer'}"]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "built MSKFusion, MSKPlanner, MSKPlannerResources" in done.stdout


_SLICER_CONFIG = r"""
set(Slicer_USE_FILE ${CMAKE_CURRENT_LIST_DIR}/empty.cmake)
set(Slicer_EXTENSION_GENERATE_CONFIG ${CMAKE_CURRENT_LIST_DIR}/empty.cmake)
set(Slicer_EXTENSION_CPACK ${CMAKE_CURRENT_LIST_DIR}/empty.cmake)
set(BUILD_TESTING ON)
macro(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MY "WITH_GENERIC_TESTS" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(MY_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "unknown keywords ${MY_UNPARSED_ARGUMENTS}")
  endif()
  foreach(file ${MY_SCRIPTS} ${MY_RESOURCES})
    if(NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${file})
      message(FATAL_ERROR "${MY_NAME}: ${file} does not exist")
    endif()
  endforeach()
  set_property(GLOBAL APPEND PROPERTY BUILT ${MY_NAME})
  get_property(built GLOBAL PROPERTY BUILT)
  list(JOIN built ", " built)
  message(STATUS "built ${built}")
endmacro()
macro(slicer_add_python_unittest)
endmacro()
"""


def _first(pattern: str, file: str) -> str:
    found = re.search(pattern, (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None, f"{file} has no version"
    return found[1]
