"""The scene without the application: it comes, goes, nests, and does no harm."""

import subprocess
import sys
import types

import pytest
import slicer

from MSKFusionLib.errors import InputError, MissingComponentError
from MSKFusionLib.mrml import application_logic, headless_scene, hierarchy_node, module_logic


def test_scenes_follow_each_other_and_nest():
    for _ in range(3):
        with headless_scene() as outer:
            outer.AddNewNodeByClass("vtkMRMLModelNode", "only outside")
            with headless_scene() as inner:
                assert slicer.mrmlScene is inner
                assert inner.GetFirstNodeByName("only outside") is None
                assert module_logic(inner, "markups").GetMRMLScene() is inner
                assert module_logic(outer, "markups").GetMRMLScene() is outer
            assert slicer.mrmlScene is outer
            assert slicer.util.getNode("only outside").GetScene() is outer
        assert not any(hasattr(slicer, name) for name in ("mrmlScene", "modules", "app"))


def test_the_scene_is_taken_apart_after_an_error():
    with pytest.raises(ZeroDivisionError), headless_scene():
        _ = 1 / 0
    assert not hasattr(slicer, "mrmlScene")


def test_all_logics_serve_the_scene(scene):
    for name in ("markups", "models", "segmentations", "volumes", "transforms", "tables", "texts", "subjecthierarchy"):
        assert module_logic(scene, name).GetMRMLScene() is scene
        assert slicer.modules.__dict__[name].logic() is module_logic(scene, name)
    assert application_logic(scene).GetModuleLogic("Markups") is module_logic(scene, "markups")


def test_nodes_get_and_lose_their_subject_hierarchy_item(scene):
    node = scene.AddNewNodeByClass("vtkMRMLModelNode", "model")
    item = hierarchy_node(scene).GetItemByDataNode(node)
    assert item
    scene.RemoveNode(node)
    assert hierarchy_node(scene).GetItemDataNode(item) is None


def test_unknown_modules_and_foreign_scenes_are_named(scene):
    with pytest.raises(MissingComponentError, match="nonesuch"):
        module_logic(scene, "nonesuch")
    foreign = slicer.vtkMRMLScene()
    with pytest.raises(MissingComponentError, match="headless_scene"):
        application_logic(foreign)
    with pytest.raises(MissingComponentError):
        module_logic(foreign, "markups")


def test_no_second_scene_inside_the_application(monkeypatch):
    application = types.SimpleNamespace(mrmlScene=lambda: None)
    monkeypatch.setattr(slicer, "app", application, raising=False)
    with pytest.raises(InputError, match=r"Use slicer\.mrmlScene"), headless_scene():
        pass
    assert slicer.app is application


def test_the_terminology_is_loaded(scene):
    from MSKFusionLib.terminology import structure_term

    term = structure_term("L4", "vertebra")
    entry = slicer.vtkSlicerTerminologyEntry()
    logic = module_logic(scene, "terminologies")
    assert logic.IsTerminologyContextLoaded(term.context)
    assert logic.DeserializeTerminologyEntry(term.serialized(), entry)
    assert entry.GetTypeObject().GetCodeValue() == "11994002"
    assert entry.GetTypeObject().GetCodeMeaning() == "L4 vertebra"


_SCRIPT = """
import gc
from MSKFusionLib.mrml import headless_scene, segmentation_to_node, volume_to_node
import sys
sys.path.insert(0, sys.argv[1])
from scene_objects import ct_and_labels
ct, labels = ct_and_labels()
for turn in range(4):
    with headless_scene() as scene:
        volume_to_node(scene, ct)
        segmentation_to_node(scene, labels)
        if turn == 2:
            raise_later = scene  # a scene that is still referred to when the interpreter ends
    gc.collect()
print("done")
"""


def test_a_process_ends_clean(tmp_path):
    from pathlib import Path

    result = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "done\n", "")
