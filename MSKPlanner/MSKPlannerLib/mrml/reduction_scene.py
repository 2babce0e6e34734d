"""A fracture's reduction in a scene: fragments under transforms whose ways are sequences, played by one browser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import vtk

from MSKFusionLib.errors import ProcessingError
from MSKFusionLib.frames import FloatArray
from MSKFusionLib.mrml import ROLE_ATTRIBUTE, add_folder, module_logic, place_under, put_in_folder

from ..colours import FRAGMENT_COLOURS
from ..osteotomy.reduction import ReducedFragment, Reduction
from ..osteotomy.reduction_path import FragmentPath, in_order
from .item_nodes import with_normals

#: Frames of one fragment's way at most: a way of half millimetres has more poses than anybody sees.
_FRAMES = 80
_PLAYED_PER_S = 20.0


@dataclass(frozen=True, eq=False)
class ReductionNodes:
    """By the fragments' names their models, the transforms above them and the sequences of these; what plays them, and the mirrored side.

    Parameters
    ----------
    browser
        vtkMRMLSequenceBrowserNode: its item 0 is the fracture as it is, the last one the reduction.
    sequences
        vtkMRMLSequenceNode of linear transforms, one for each fragment that moves.
    """

    models: Mapping[str, Any]
    motions: Mapping[str, Any]
    sequences: Mapping[str, Any]
    browser: Any
    healthy: Any


def timeline(plan: Reduction, paths: Mapping[str, FragmentPath | str]) -> dict[str, FloatArray]:
    """Return the motions (N, 4, 4) of each fragment that moves, one a frame: one fragment after the other, in the order of their ways.

    One whose way was not found is put in place at once.
    """
    own: list[tuple[str, FloatArray]] = []
    for fragment in in_order(plan):
        path = paths.get(fragment.name)
        if isinstance(path, FragmentPath):
            count = len(path.motions_ras)
            rows = np.unique(np.linspace(0, count - 1, min(count, _FRAMES)).round().astype(int))
            own.append((fragment.name, path.motions_ras[rows[1:]]))
        else:
            own.append((fragment.name, fragment.motion_ras[None]))
    total = 1 + sum(len(m) for _, m in own)
    frames = {}
    begun = 1
    for name, motions in own:
        all_of_it = np.tile(np.eye(4), (total, 1, 1))
        all_of_it[begun : begun + len(motions)] = motions
        all_of_it[begun + len(motions) :] = motions[-1]
        frames[name] = all_of_it
        begun += len(motions)
    return frames


def reduction_to_scene(scene: Any, plan: Reduction, paths: Mapping[str, FragmentPath | str]) -> ReductionNodes:
    """Add fragments, the mirrored healthy side and a sequence that can be played to a scene.

    Parameters
    ----------
    paths
        By fragment its way, or why there is none (`reduction_path.reduction_paths`).

    Raises
    ------
    ProcessingError
        When this Slicer has no sequences.
    """
    folder = add_folder(scene, "Fracture reduction")
    frames = timeline(plan, paths)
    models, motions, sequences = {}, {}, {}
    for n, fragment in enumerate(plan.fragments):
        models[fragment.name] = _model(scene, folder, fragment, FRAGMENT_COLOURS[n % len(FRAGMENT_COLOURS)])
    healthy = scene.AddNewNodeByClass("vtkMRMLModelNode", "healthy side, mirrored")
    healthy.SetAndObservePolyData(with_normals(plan.template, None))
    healthy.CreateDefaultDisplayNodes()
    healthy.GetDisplayNode().SetOpacity(0.2)
    _put(scene, healthy, folder, "healthy-side")
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "Reduction")
    if browser is None:
        raise ProcessingError("this Slicer has no Sequences module: the ways cannot be played.")
    browser.SetPlaybackRateFps(_PLAYED_PER_S)
    for name, all_of_it in frames.items():
        way = paths.get(name)
        said = "" if isinstance(way, FragmentPath) else " (no way)"
        motion = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", f"{name}, on its way{said}")
        if isinstance(way, str):
            motion.SetDescription(way)
        sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", f"{name}, way{said}")
        sequence.SetIndexName("frame")
        sequence.SetIndexUnit("")
        sequence.SetIndexTypeFromString("numeric")
        for frame, matrix in enumerate(all_of_it):
            motion.SetMatrixTransformToParent(_vtk(matrix))
            sequence.SetDataNodeAtValue(motion, str(frame))
        motion.SetMatrixTransformToParent(_vtk(all_of_it[0]))
        browser.AddSynchronizedSequenceNode(sequence)
        browser.AddProxyNode(motion, sequence, False)
        place_under(models[name], motion)
        _put(scene, motion, folder, "fragment-motion")
        _put(scene, sequence, folder, "fragment-way")
        motions[name], sequences[name] = motion, sequence
    _put(scene, browser, folder, "reduction")
    browser.SetSelectedItemNumber(0)
    return ReductionNodes(models, motions, sequences, browser, healthy)


def show_frame(scene: Any, browser: Any, frame: int) -> None:
    """Show one frame of a browser's sequences; inside the application its own observers do the same."""
    browser.SetSelectedItemNumber(frame)
    module_logic(scene, "sequences").UpdateProxyNodesFromSequences(browser)


def _model(scene: Any, folder: int, fragment: ReducedFragment, colour: tuple[float, float, float]) -> Any:
    name = fragment.name + (" (not trusted)" if fragment.doubts else "")
    model = scene.AddNewNodeByClass("vtkMRMLModelNode", name)
    model.SetAndObservePolyData(with_normals(fragment.mesh, None))
    model.CreateDefaultDisplayNodes()
    model.GetDisplayNode().SetColor(*colour)
    model.SetDescription("; ".join(fragment.doubts))
    return _put(scene, model, folder, "fragment")


def _put(scene: Any, node: Any, folder: int, role: str) -> Any:
    node.SetAttribute(ROLE_ATTRIBUTE, role)
    put_in_folder(scene, node, folder)
    return node


def _vtk(matrix: FloatArray) -> vtk.vtkMatrix4x4:
    out = vtk.vtkMatrix4x4()
    out.DeepCopy(np.asarray(matrix, dtype=np.float64).ravel())
    return out
