"""What a user reads in the panels: all of it can be translated, tool tips are short, every button is reached by the keyboard."""

from __future__ import annotations

import ast
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from MSKFusionLib.translation import tr

ROOT = Path(__file__).resolve().parents[2]
FUSION, PLANNER = ROOT / "MSKFusion", ROOT / "MSKPlanner"
#: Files whose text ends up in a panel. What an error says comes from the libraries, which know no language but one.
PANEL_FILES = sorted(
    [
        FUSION / "MSKFusion.py",
        PLANNER / "MSKPlanner.py",
        FUSION / "MSKFusionLib" / "fusion_texts.py",
        FUSION / "MSKFusionLib" / "mrml" / "registration_check.py",
        PLANNER / "MSKPlannerLib" / "cut_texts.py",
        PLANNER / "MSKPlannerLib" / "editing" / "chain.py",
        PLANNER / "MSKPlannerLib" / "editing" / "up_to_date.py",
        PLANNER / "MSKPlannerLib" / "mrml" / "adding.py",
        PLANNER / "MSKPlannerLib" / "mrml" / "before_after.py",
        PLANNER / "MSKPlannerLib" / "mrml" / "leg_marking.py",
        PLANNER / "MSKPlannerLib" / "mrml" / "planning.py",
        FUSION / "MSKFusionLib" / "mrml" / "fusing.py",
        PLANNER / "MSKPlannerLib" / "mrml" / "updating.py",
        *FUSION.glob("MSKFusionLib/*_area.py"),
        *PLANNER.glob("MSKPlannerLib/*_area.py"),
    ]
)
UI_FILES = sorted([*FUSION.glob("Resources/UI/*.ui"), *PLANNER.glob("Resources/UI/*.ui")])
#: Of a line of a tool tip, as Slicer wraps them.
_TOOL_TIP_CHARACTERS = 70
#: Buttons that the work goes through from the images to the files.
_STEPS = {
    "registerButton", "nudgeButton", "againButton", "acceptButton", "rejectButton", "segmentButton", "clickLevelButton",
    "planButton", "addButton", "placeButton", "addCutButton", "guidesButton", "undoButton", "redoButton", "updateButton",
    "copyPlanButton", "exportButton", "exportBodiesButton", "alignButton",
}  # fmt: skip
#: Two words, or one as a sentence begins: what a reader would take for language.
_WORDS = re.compile(r"[A-Za-zµ]{2,}[ ,:][ ]?[A-Za-z{<(]|^[A-Z][a-z]+[ .]?$|[a-z]{3,}\.$")
#: Calls whose text nobody reads in a panel, or that is an error's.
_NOT_READ = {
    "connect", "resourcePath", "SetAttribute", "GetAttribute", "getattr", "setattr", "endswith", "startswith", "join_path",
    "InputError", "GeometryError", "ProcessingError", "MissingComponentError", "Cancelled", "RuntimeError", "Literal",
    "TypeVar", "Choice", "property", "GetNthNodeByClass", "GetNumberOfNodesByClass", "AddNewNodeByClass",
    "pick",
}  # fmt: skip


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _untranslated(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Give the literals that look like language and are in no `_()`."""
    skipped: set[int] = set()
    for node in ast.walk(tree):
        inside: list[ast.AST] = []
        if isinstance(node, ast.Call) and _name(node.func) in {"_", *_NOT_READ}:
            inside = [*node.args, *(k.value for k in node.keywords)]
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            inside = [node.value]  # a docstring
        elif isinstance(node, (ast.AnnAssign, ast.arg)) and node.annotation is not None:
            inside = [node.annotation]
        elif isinstance(node, ast.Subscript):
            inside = [node.slice]
        elif isinstance(node, ast.Dict):
            inside = [k for k in node.keys if k is not None]
        elif isinstance(node, ast.Compare):
            inside = [node.left, *node.comparators]
        elif isinstance(node, ast.Assign) and _name(node.targets[0]) == "contributors":
            inside = [node.value]
        elif isinstance(node, (ast.Assert, ast.Raise)):
            inside = [node]
        elif isinstance(node, ast.ClassDef) and node.name.endswith("Test"):
            inside = list(node.body)
        for part in inside:
            skipped.update(id(n) for n in ast.walk(part))
    calls = (n for n in ast.walk(tree) if isinstance(n, ast.Call) and _name(n.func) == "_")
    translated = {a.value for call in calls for a in call.args if isinstance(a, ast.Constant)}
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) and id(node) not in skipped else None
        # A key of a choice may be written down as such where what is shown for it is translated.
        if isinstance(text, str) and text not in translated and _WORDS.search(text.strip()):
            yield node.lineno, text


@pytest.mark.parametrize("path", PANEL_FILES, ids=lambda p: p.name)
def test_everything_that_is_read_in_a_panel_can_be_translated(path):
    found = [f"{path.name}:{line}: {text!r}" for line, text in _untranslated(ast.parse(path.read_text("utf-8")))]
    assert not found, "\n".join(found)


def test_the_search_finds_what_it_looks_for():
    source = 'label.text = "Not planned yet."\nbox.addItem(f"Plan {n} of {m}")\nother.text = _("Not asked for.")\nname = "left"\n'
    assert [text for _, text in _untranslated(ast.parse(source))] == ["Not planned yet.", "Plan "]


def _properties(path: Path, name: str) -> Iterator[tuple[str, str, str]]:
    """Give class, name and text of the widgets of a ``.ui`` file that have a property."""
    for widget in ElementTree.parse(path).getroot().iter("widget"):
        for found in widget.findall("property"):
            if found.get("name") == name:
                yield widget.get("class", ""), widget.get("name", ""), "".join(found.itertext()).strip()


@pytest.mark.parametrize("path", UI_FILES, ids=lambda p: p.name)
def test_tool_tips_are_at_most_three_lines(path):
    for _kind, name, text in _properties(path, "toolTip"):
        lines = sum(max(1, -(-len(line) // _TOOL_TIP_CHARACTERS)) for line in text.split("\n"))
        assert lines <= 3, f"{name}: {text}"


@pytest.mark.parametrize("panel", [FUSION, PLANNER], ids=lambda p: p.name)
def test_every_step_has_a_key_of_its_own(panel):
    """Alt and a letter (the rest is reached by Tab): no two of a panel share one, and none is one of Slicer's menus (File, Edit, View, Help)."""
    keys: dict[str, str] = dict.fromkeys("fevh", "a menu of Slicer")
    for path in sorted(panel.glob("Resources/UI/*.ui")):
        for _kind, name, text in _properties(path, "text"):
            key = next(iter(re.findall("&([a-z])", text.lower())), "")
            if name in _STEPS:
                assert key, f"{name}: {text}"
            if key:
                assert key not in keys, f"{name} and {keys[key]} are both called by Alt+{key}"
                keys[key] = name


@pytest.mark.parametrize("path", UI_FILES, ids=lambda p: p.name)
def test_everything_is_reached_by_the_tab_key(path):
    assert not [
        name for _kind, name, text in _properties(path, "focusPolicy") if text in ("Qt::NoFocus", "Qt::ClickFocus")
    ]


def test_a_text_is_translated_in_the_context_of_the_file_it_stands_in(monkeypatch):
    """As Slicer's own `tr` does it, from which it cannot be told apart by whoever calls it."""
    asked = []
    i18n = types.ModuleType("slicer.i18n")
    i18n.getContext = lambda file: Path(file).stem
    i18n.translate = lambda context, text: asked.append((context, text)) or {"{n} of them": "{n} davon"}.get(text, "?")
    monkeypatch.setitem(sys.modules, "slicer.i18n", i18n)
    assert tr("{n} of them") == "{n} davon"
    assert asked == [("test_panel_texts", "{n} of them")]
    assert tr("{n} of {m}") == "{n} of {m}", "a translation that lost a placeholder would raise where it is filled in"
    monkeypatch.delitem(sys.modules, "slicer.i18n")
    assert tr("{n} of them") == "{n} of them"
