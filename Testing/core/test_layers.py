"""The three layers: algorithms know no scene, the scene knows no widgets, nothing imports upwards."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    name: ROOT / folder / name for folder, name in (("MSKFusion", "MSKFusionLib"), ("MSKPlanner", "MSKPlannerLib"))
}
MODULE_FILES = (ROOT / "MSKFusion" / "MSKFusion.py", ROOT / "MSKPlanner" / "MSKPlanner.py")
#: Packages above the algorithms: the scene, the command line.
ABOVE = ("mrml", "cli")
#: What an algorithm module must not bring in when it is imported.
FORBIDDEN = (
    "slicer",
    "slicer_core",
    "qt",
    "ctk",
    "PySide6",
    "torch",
    "monai",
    "trimesh",
    "manifold3d",
    "highdicom",
    "pyigtl",
)

_IMPORT_ALL = """
import importlib, sys
for name in sys.argv[2:]:
    importlib.import_module(name)
    found = sorted(set(sys.argv[1].split(",")) & set(sys.modules))
    if found:
        raise SystemExit(f"{name} brings in {', '.join(found)}")
"""


def _modules() -> Iterator[tuple[str, Path]]:
    """Every module of both libraries by its dotted name."""
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            yield ".".join((package, *(p for p in parts if p != "__init__"))), path


def _is_algorithm(name: str) -> bool:
    return not set(name.split(".")[1:]) & set(ABOVE)


def _imports(name: str, path: Path, *, top_only: bool = False) -> set[str]:
    """Dotted names that a file imports, relative ones resolved; at file scope only where asked."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = set()
    if top_only:
        functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
        inside = {id(n) for f in ast.walk(tree) if isinstance(f, functions) for n in ast.walk(f)}
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(tree):
        if id(node) in inside:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                base = ".".join([*parts[: len(parts) - node.level + 1], *([base] if base else [])])
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return found


def _brings(imports: set[str], package: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for name in imports)


MODULES = dict(_modules())


def test_importing_every_algorithm_brings_in_no_scene_and_no_network():
    names = [name for name in MODULES if _is_algorithm(name)]
    assert len(names) > 20
    result = subprocess.run(
        [sys.executable, "-c", _IMPORT_ALL, ",".join(FORBIDDEN), *names],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr.splitlines()[-1:]


@pytest.mark.parametrize("name", [n for n in MODULES if n.startswith("MSKFusionLib")])
def test_fusion_knows_no_planner(name):
    assert not _brings(_imports(name, MODULES[name]), "MSKPlannerLib")


@pytest.mark.parametrize("name", [n for n in MODULES if _is_algorithm(n)])
def test_algorithms_import_nothing_above_them(name):
    imports = _imports(name, MODULES[name])
    for package in PACKAGES:
        for above in ABOVE:
            assert not _brings(imports, f"{package}.{above}"), above
    assert not _brings(imports, "slicer")


@pytest.mark.parametrize("name", MODULES)
def test_no_library_file_knows_widgets(name):
    imports = _imports(name, MODULES[name])
    for package in ("qt", "ctk", "PySide6", "PythonQt", "slicer.ScriptedLoadableModule", "slicer.parameterNodeWrapper"):
        assert not _brings(imports, package), package


@pytest.mark.parametrize("name", [n for n in MODULES if "mrml" in n.split(".")])
def test_the_scene_layer_knows_no_command_line(name):
    assert not _brings(_imports(name, MODULES[name]), "MSKPlannerLib.cli")


@pytest.mark.parametrize("name", [n for n in MODULES if "cli" in n.split(".")])
def test_the_command_line_loads_the_scene_late(name):
    """`mskplanner --help` and the commands without a scene must not pay for importing Slicer."""
    assert not _brings(_imports(name, MODULES[name], top_only=True), "slicer")


def test_asking_for_help_brings_in_no_scene():
    script = "import sys, MSKPlannerLib.cli\nraise SystemExit(bool({'slicer', 'torch', 'monai'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 0


def test_only_the_module_files_import_qt():
    for path in (*PACKAGES["MSKFusionLib"].parent.glob("*.py"), *PACKAGES["MSKPlannerLib"].parent.glob("*.py")):
        imports = _imports(path.stem, path)
        assert path in MODULE_FILES or not (_brings(imports, "qt") or _brings(imports, "ctk")), path.name


def test_the_command_line_starts_without_what_only_its_commands_need():
    """The parser of every command, which each call builds, brings in no image, mesh or array package."""
    code = (
        "import sys; from MSKPlannerLib.cli.arguments import build_parser; build_parser(); "
        "print(*sorted({'numpy', 'scipy', 'SimpleITK', 'vtk', 'vtkmodules'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_surface_is_read_without_what_draws_or_registers():
    """All of VTK, and every way of registering, would cost each command on surfaces a second."""
    heavy = ("vtk", "vtkmodules.vtkRenderingCore", "MSKFusionLib.registration.rigid", "MSKFusionLib.networks")
    code = f"import sys, MSKPlannerLib.cli.check; print(*sorted(set({heavy}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
