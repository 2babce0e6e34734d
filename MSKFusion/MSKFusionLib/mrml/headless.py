"""The real MRML scene with all module logics, without the application: for scripts, notebooks, clusters and tests.

    with headless_scene() as scene:
        node = volume_to_node(scene, volume)

The application does much of the wiring in Qt code (which logic serves which module, subject hierarchy items for new
nodes). The small stand-ins here do that part, and nothing of the rest: no layout, no widgets, no settings.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import types
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import vtk
import vtk.util.numpy_support  # slicer.util expects it to be loaded

import slicer  # isort: skip  after the whole of VTK, so that the OpenGL factories are the ones in use

from ..errors import InputError, MissingComponentError
from ..resources import resource_path

#: Module name in `slicer.modules` -> (class of its logic, name under which the application logic keeps it).
#: The order matters: a logic finds those above it when it gets the scene.
_MODULES: dict[str, tuple[str, str]] = {
    "cameras": ("vtkSlicerCamerasModuleLogic", "Cameras"),
    "colors": ("vtkSlicerColorLogic", "Colors"),
    "cropvolume": ("vtkSlicerCropVolumeLogic", "CropVolume"),
    "data": ("vtkSlicerDataModuleLogic", "Data"),
    "markups": ("vtkSlicerMarkupsLogic", "Markups"),
    "models": ("vtkSlicerModelsLogic", "Models"),
    "plots": ("vtkSlicerPlotsLogic", "Plots"),
    "sceneviews": ("vtkSlicerSceneViewsModuleLogic", "SceneViews"),
    "terminologies": ("vtkSlicerTerminologiesModuleLogic", "Terminologies"),
    "segmentations": ("vtkSlicerSegmentationsModuleLogic", "Segmentations"),
    "sequences": ("vtkSlicerSequencesLogic", "Sequences"),
    "subjecthierarchy": ("vtkSlicerSubjectHierarchyModuleLogic", "SubjectHierarchy"),
    "tables": ("vtkSlicerTablesLogic", "Tables"),
    "texts": ("vtkSlicerTextsLogic", "Texts"),
    "transforms": ("vtkSlicerTransformLogic", "Transforms"),
    "units": ("vtkSlicerUnitsLogic", "Units"),
    "volumerendering": ("vtkSlicerVolumeRenderingLogic", "VolumeRendering"),
    "volumes": ("vtkSlicerVolumesLogic", "Volumes"),
}
#: With a scene the terminologies logic loads the application's own context files, which the wheel does not ship, and
#: logs an error for each. Without one it serves the contexts that it is given just as well.
_WITHOUT_SCENE = ("terminologies",)
#: Node classes that the application's plugins put into the subject hierarchy when they are added.
_IN_HIERARCHY = (
    "vtkMRMLVolumeNode",
    "vtkMRMLModelNode",
    "vtkMRMLSegmentationNode",
    "vtkMRMLMarkupsNode",
    "vtkMRMLTransformNode",
    "vtkMRMLTableNode",
    "vtkMRMLTextNode",
    "vtkMRMLPlotSeriesNode",
    "vtkMRMLPlotChartNode",
    "vtkMRMLSequenceNode",
)
#: The attribute on a headless scene that holds its session.
_SESSION = "_msk_headless_session"


class StandInModule:
    """What `slicer.modules.<name>` is without the application: a name and a logic."""

    def __init__(self, name: str, title: str, logic: Any) -> None:
        self.name, self.title, self.path = name, title, ""
        self._logic = logic

    def logic(self) -> Any:
        """Return the module's logic."""
        return self._logic


class StandInApplication:
    """What `slicer.app` is without the application: only what code without a window may touch."""

    def __init__(self, scene: Any, application_logic: Any, folder: str) -> None:
        self._scene, self._logic = scene, application_logic
        self.temporaryPath = folder

    def applicationLogic(self) -> Any:  # noqa: N802  the application's name for it
        """Return the application logic, which keeps the module logics."""
        return self._logic

    def mrmlScene(self) -> Any:  # noqa: N802
        """Return the scene."""
        return self._scene

    def layoutManager(self) -> None:  # noqa: N802
        """Return None: there are no views."""

    def processEvents(self, *_: object) -> None:  # noqa: N802
        """Do nothing: there is no event loop."""

    def pauseRender(self) -> None:  # noqa: N802
        """Do nothing: there are no views."""

    def resumeRender(self) -> None:  # noqa: N802
        """Do nothing: there are no views."""


class _Session:
    """One scene with its logics, and all that must be undone in order when it ends."""

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="mskplanner_scene_")
        self.scene = slicer.vtkMRMLScene()
        self.application_logic = slicer.vtkSlicerApplicationLogic()
        self.modules = types.SimpleNamespace()
        self._observers: list[int] = []
        self._keep: tuple[Any, ...] = ()
        self._boot()
        self.application = StandInApplication(self.scene, self.application_logic, self.folder)

    def _boot(self) -> None:
        scene, application = self.scene, self.application_logic
        # Scenes name the program that wrote them. The wheel's own name ("slicer-core 4.0.0") sorts after the
        # application's, which then warns that the scene comes from a later version; what the wheel is made of is this.
        release = ".".join(version("slicer-core").split(".")[:3])
        scene.SetVersion(f"Slicer {release} 0")
        application.SetTemporaryPath(self.folder)
        application.SetHomeDirectory(self.folder)
        application.SetShareDirectory("share")
        os.makedirs(Path(self.folder, "share", "ColorFiles"))
        Path(self.folder, ".slicer-cache").touch()  # the cache manager warns about a folder that is not its own
        crosshair = slicer.vtkMRMLCrosshairNode()
        crosshair.SetCrosshairName("default")
        scene.AddNode(crosshair)
        application.SetMRMLScene(scene)
        application.SetSliceLogics(vtk.vtkCollection())
        application.SetViewLogics(vtk.vtkCollection())
        remote = slicer.vtkMRMLRemoteIOLogic()
        remote.SetMRMLScene(scene)
        remote.SetMRMLApplicationLogic(application)
        remote.GetCacheManager().SetRemoteCacheDirectory(self.folder)
        data = slicer.vtkDataIOManagerLogic()
        data.SetMRMLScene(scene)
        data.SetMRMLApplicationLogic(application)
        data.SetAndObserveDataIOManager(remote.GetDataIOManager())
        remote.AddDataIOToScene()
        self._keep = (remote, data)
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
        for name, (class_name, title) in _MODULES.items():
            logic = getattr(slicer, class_name)()
            if hasattr(logic, "SetModuleShareDirectory"):
                logic.SetModuleShareDirectory(str(Path(self.folder, "share")))
            logic.SetMRMLApplicationLogic(application)
            if name not in _WITHOUT_SCENE:
                logic.SetMRMLScene(scene)
            application.SetModuleLogic(title, logic)
            setattr(self.modules, name, StandInModule(name, title, logic))
        colors = self.modules.colors.logic()
        application.SetColorLogic(colors)
        colors.AddDefaultColorNodes()
        load_terminology(self.modules.terminologies.logic())
        self._observe_subject_hierarchy()

    def _observe_subject_hierarchy(self) -> None:
        hierarchy_of = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def added(scene: Any, event: str, node: Any) -> None:
            if scene.IsImporting() or node.GetHideFromEditors() or not any(node.IsA(c) for c in _IN_HIERARCHY):
                return
            hierarchy = hierarchy_of(scene)
            if hierarchy and not hierarchy.GetItemByDataNode(node):
                hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def removed(scene: Any, event: str, node: Any) -> None:
            if scene.IsClosing() or node.IsA("vtkMRMLSubjectHierarchyNode"):
                return
            hierarchy = hierarchy_of(scene)
            item = hierarchy.GetItemByDataNode(node) if hierarchy else 0
            if item:
                hierarchy.RemoveItem(item, False, False)

        self._observers = [
            self.scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, added),
            self.scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, removed),
        ]

    def close(self) -> None:
        """Take everything apart in the order that leaves no dangling observer."""
        for tag in self._observers:
            self.scene.RemoveObserver(tag)
        self.scene.Clear(1)
        # The segmentations logic asks for the hierarchy of the scene that it just lost, and warns that there is none.
        warnings = vtk.vtkObject.GetGlobalWarningDisplay()
        vtk.vtkObject.GlobalWarningDisplayOff()
        for module in reversed(list(vars(self.modules).values())):
            if module.name not in _WITHOUT_SCENE:
                module.logic().SetMRMLScene(None)
            self.application_logic.SetModuleLogic(module.title, None)
            module._logic = None
        vtk.vtkObject.SetGlobalWarningDisplay(warnings)
        for logic in reversed(self._keep):
            logic.SetMRMLScene(None)
        self.application_logic.SetMRMLScene(None)
        if hasattr(self.scene, _SESSION):
            delattr(self.scene, _SESSION)
        self._keep = ()
        shutil.rmtree(self.folder, ignore_errors=True)


_GLOBALS = ("mrmlScene", "modules", "app")


@contextmanager
def headless_scene() -> Iterator[Any]:
    """Give a `vtkMRMLScene` with all module logics, and take it apart at the end.

    Inside the block `slicer.mrmlScene`, `slicer.modules.<name>.logic()` and `slicer.app` (a small stand-in) exist too,
    so most of `slicer.util` works. Blocks may follow each other and nest; each has its own scene, and leaving an
    inner one gives the outer one back. Nodes must not be used after the block. Use it from the main thread.

    Raises
    ------
    InputError
        Inside a running Slicer application: its scene is `slicer.mrmlScene`, and a second one would do harm.
    """
    if inside_application():
        raise InputError("Slicer is running: a second scene is not made inside it", "Use slicer.mrmlScene.")
    before = {name: getattr(slicer, name) for name in _GLOBALS if hasattr(slicer, name)}
    session = _Session()
    setattr(session.scene, _SESSION, session)
    slicer.mrmlScene, slicer.modules, slicer.app = session.scene, session.modules, session.application
    try:
        yield session.scene
    finally:
        for name in _GLOBALS:
            if name in before:
                setattr(slicer, name, before[name])
            else:
                delattr(slicer, name)
        session.close()


def load_terminology(terminologies_logic: Any) -> None:
    """Load this project's terms into a terminologies logic; in the application the modules do it at their start.

    Raises
    ------
    MissingComponentError
        When a file of terms is missing or cannot be read.
    """
    files = sorted(resource_path("Terminology").glob("*.term.json"))
    if not files or not all(terminologies_logic.LoadTerminologyFromFile(str(file)) for file in files):
        raise MissingComponentError("Resources/Terminology cannot be read: install MSK Planner again.")


def inside_application() -> bool:
    """Tell whether this process is a Slicer application (and not only its non-Qt part)."""
    application = getattr(slicer, "app", None)
    return application is not None and not isinstance(application, StandInApplication)


def application_logic(scene: Any) -> Any:
    """Return the application logic that serves a scene, headless or in the application.

    Raises
    ------
    MissingComponentError
        When nothing serves this scene.
    """
    session = getattr(scene, _SESSION, None)
    if session is not None:
        return session.application_logic
    application = getattr(slicer, "app", None)
    if application is not None and getattr(slicer, "mrmlScene", None) is scene:
        return application.applicationLogic()
    raise MissingComponentError("No module logics serve this scene: make it with headless_scene().")


def module_logic(scene: Any, name: str) -> Any:
    """Return the logic of a module for a scene, headless or in the application.

    Parameters
    ----------
    name
        As in `slicer.modules`: ``markups``, ``segmentations``, ``volumes`` and so on.

    Raises
    ------
    MissingComponentError
        When there is no such module, or nothing serves this scene.
    """
    session = getattr(scene, _SESSION, None)
    modules = session.modules if session is not None else None
    if modules is None and getattr(slicer, "mrmlScene", None) is scene:
        modules = getattr(slicer, "modules", None)
    module = getattr(modules, name.lower(), None)
    if module is None:
        raise MissingComponentError(f"The module '{name}' does not serve this scene.")
    return module.logic()
