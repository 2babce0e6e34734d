"""Scenes to and from files, whole or not at all."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import slicer

from ..errors import InputError, ProcessingError
from ..whole_file import whole_file


def save_scene(scene: Any, path: str | Path) -> Path:
    """Write the whole scene as one `.mrb` file, which appears complete or not at all.

    Raises
    ------
    InputError
        When the path does not end in .mrb, or its folder does not exist or cannot be written.
    ProcessingError
        When a node could not be written; the file that was there before stays.
    """
    target = Path(path).absolute()
    if target.suffix.lower() != ".mrb":
        raise InputError("a scene is saved as one .mrb file", "Give a name that ends in .mrb.", where=target.name)
    if not target.parent.is_dir():
        raise InputError("there is no such folder", "Make it first.", where=str(target.parent))
    with whole_file(target) as draft:
        messages = slicer.vtkMRMLMessageCollection()
        written = scene.WriteToMRB(str(draft), None, messages)
        if not written or not draft.is_file():
            raise ProcessingError(f"{target.name}: the scene could not be saved. {_text(messages)}".strip())
        _check_archive(scene, draft)
    return target


def load_scene(scene: Any, path: str | Path, *, clear: bool = True) -> None:
    """Read an `.mrb` file into the scene.

    Parameters
    ----------
    clear
        Remove what the scene holds before.

    Raises
    ------
    InputError
        When there is no such file, or it is not a scene that can be read whole.
    """
    source = Path(path).absolute()
    if not source.is_file():
        raise InputError("there is no such file", "Check the path.", where=str(source))
    if not zipfile.is_zipfile(source):
        raise InputError("this file is not a scene bundle, or it is cut short", "Give a .mrb file.", where=str(source))
    messages = slicer.vtkMRMLMessageCollection()
    if not scene.ReadFromMRB(str(source), clear, messages):
        raise InputError(f"the scene could not be read whole. {_text(messages)}", where=str(source))


def _text(messages: Any) -> str:
    return " ".join(messages.GetAllMessagesAsString().split())


def _check_archive(scene: Any, draft: Path) -> None:
    """Raise when the archive lacks the file of a node that has data to save."""
    with zipfile.ZipFile(draft) as archive:
        names = {Path(name).name for name in archive.namelist()}
    if not any(name.endswith(".mrml") for name in names):
        raise ProcessingError(f"{draft.name}: the scene file is missing in the bundle.")
    nodes = [scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes())]
    expected = 0
    for node in nodes:
        if not node.IsA("vtkMRMLStorableNode") or not node.GetSaveWithScene() or node.GetHideFromEditors():
            continue
        storage = node.GetStorageNode()
        expected += storage is not None and storage.GetSaveWithScene()
    if len(names) <= expected:
        raise ProcessingError(f"{draft.name}: {expected} nodes have data, the bundle holds {len(names) - 1} files.")
