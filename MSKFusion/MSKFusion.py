"""MSK Fusion: brings CT and MR of one patient together, and segments the bones in the CT.

A thin shell: the panel and the scene are here, the work is in `MSKFusionLib`.
"""

import enum
from collections.abc import Callable
from typing import Annotated, Any

import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode, vtkMRMLTransformNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Choice, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

from MSKFusionLib.panel import JobArea

#: What the list of levels shows where the user knows no name.
NO_LEVEL = "none, number them"
LEVELS = [
    NO_LEVEL,
    *(f"C{n}" for n in range(1, 8)),
    *(f"T{n}" for n in range(1, 13)),
    *(f"L{n}" for n in range(1, 7)),
    "S1",
]


class LevelPlace(enum.Enum):
    """Which of the vertebrae in view the known one is."""

    LOWEST = "lowest"
    HIGHEST = "highest"

    def label(self) -> str:
        """Return what the list shows."""
        return {"LOWEST": _("lowest wholly in view"), "HIGHEST": _("highest wholly in view")}[self.name]


class RegistrationMethod(enum.Enum):
    """What may move on its own."""

    RIGID = "rigid"
    PIECEWISE = "piecewise"

    def label(self) -> str:
        """Return what the list shows."""
        return {"RIGID": _("all bones as one"), "PIECEWISE": _("bone by bone")}[self.name]


class MSKFusion(ScriptedLoadableModule):
    """What Slicer shows of the module."""

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        parent.title = _("MSK Fusion")
        parent.categories = [_("Planning")]
        parent.contributors = ["The MSK Planner contributors"]
        parent.helpText = _(
            "Registers MR to CT, segments and names the bones, and says how far each result can be trusted. "
            "Not for clinical use without review."
        )
        parent.acknowledgementText = _("Apache-2.0. Part of the MSK Planner extension.")


@parameterNodeWrapper
class MSKFusionParameterNode:
    """The panel's choices; they are saved with the scene."""

    ctVolume: vtkMRMLScalarVolumeNode
    mrVolume: vtkMRMLScalarVolumeNode
    registrationMethod: RegistrationMethod = RegistrationMethod.RIGID
    bonesSegmentation: vtkMRMLSegmentationNode
    levelName: Annotated[str, Choice(LEVELS)] = NO_LEVEL
    levelPlace: LevelPlace = LevelPlace.LOWEST


class MSKFusionWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: MSKFusionLogic | None = None
        self._parameterNode: Any = None
        self._guiTag: Any = None
        # What the verdicts on show belong to; another choice of images makes them stale.
        self._registered: tuple[Any, ...] = ()
        self._segmented: tuple[Any, ...] = ()
        self._segmentedMr: tuple[Any, ...] = ()

    def setup(self) -> None:
        """Build the panel from its .ui file and connect it."""
        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath("UI/MSKFusion.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.logic = MSKFusionLogic()
        self.job = JobArea(self.ui, slicer.app.processEvents)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.ui.registerButton.connect("clicked(bool)", self.onRegister)
        self.ui.segmentButton.connect("clicked(bool)", self.onSegment)
        self.ui.segmentMrButton.connect("clicked(bool)", self.onSegmentMr)
        self.ui.cancelButton.connect("clicked(bool)", self.job.cancel)
        self.initializeParameterNode()

    def cleanup(self) -> None:
        """Let go of the scene."""
        self.job.cancel()
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self) -> None:
        """Make sure that there is a parameter node."""
        self.initializeParameterNode()

    def exit(self) -> None:
        """Stop following the parameter node while another module is shown."""
        self.setParameterNode(None)

    def onSceneStartClose(self, caller: Any, event: Any) -> None:
        """Let go of the nodes that are about to vanish."""
        self.job.cancel()
        self.setParameterNode(None)
        self.dropStaleVerdicts(None, None)
        self.ui.statusLabel.text = ""

    def onSceneEndClose(self, caller: Any, event: Any) -> None:
        """Start anew where the panel is shown."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self) -> None:
        """Follow the module's parameter node, made where there is none; choose what can only be meant."""
        from MSKFusionLib.mrml.choose import first_volume

        self.setParameterNode(self.logic.getParameterNode())
        if self._parameterNode.ctVolume is None:
            self._parameterNode.ctVolume = first_volume(slicer.mrmlScene, "CT")
        if self._parameterNode.mrVolume is None:
            self._parameterNode.mrVolume = first_volume(slicer.mrmlScene, "MR")

    def setParameterNode(self, parameterNode: Any) -> None:
        """Show a parameter node's values and keep both in step."""
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._guiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.updateButtons)
        self._parameterNode = parameterNode
        if parameterNode is not None:
            self._guiTag = parameterNode.connectGui(self.ui)
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self.updateButtons)
        self.updateButtons()

    def updateButtons(self, caller: Any = None, event: Any = None) -> None:
        """Enable what can be done, and say what is missing for the rest."""
        node = self._parameterNode
        ct, mr = (node.ctVolume, node.mrVolume) if node is not None else (None, None)
        both = ct is not None and mr is not None and ct is not mr
        byBone = node is not None and node.registrationMethod is RegistrationMethod.PIECEWISE
        self.ui.bonesSelector.enabled = byBone
        self.ui.registerButton.enabled = both and (not byBone or node.bonesSegmentation is not None)
        if not both:
            tip = _("Choose a CT and an MR first.")
        elif not self.ui.registerButton.enabled:
            tip = _("Choose the bones of the CT first; segment them below where there are none.")
        elif byBone:
            tip = _("Find the motion of every bone between CT and MR, and what lies between them.")
        else:
            tip = _("Find the rigid transform that puts the MR on the CT.")
        self.ui.registerButton.toolTip = tip
        self.ui.segmentButton.enabled = ct is not None
        self.ui.segmentButton.toolTip = (
            _("Find the bones in the CT, tell the vertebrae apart and name them.")
            if ct is not None
            else _("Choose a CT first.")
        )
        self.ui.segmentMrButton.enabled = mr is not None
        self.ui.segmentMrButton.toolTip = (
            _("Find vertebral bodies, discs and spinal canal in the MR.")
            if mr is not None
            else _("Choose an MR first.")
        )
        if node is not None:
            self.dropStaleVerdicts(ct, mr)

    def dropStaleVerdicts(self, ct: Any, mr: Any) -> None:
        """Clear the verdicts that belong to other images than those chosen."""
        if self._registered != (ct, mr):
            self._registered = ()
            self.ui.registrationLabel.text = _("Not registered yet.")
        if self._segmented != (ct,):
            self._segmented = ()
            self.ui.bonesLabel.text = _("No bones segmented yet.")
        if self._segmentedMr != (mr,):
            self._segmentedMr = ()
            self.ui.mrSpineLabel.text = _("No MR segmented yet.")

    def onRegister(self) -> None:
        """Register the MR to the CT."""
        node = self._parameterNode
        fixed, moving, bones = node.ctVolume, node.mrVolume, node.bonesSegmentation

        def work(report: Any) -> Any:
            if node.registrationMethod is RegistrationMethod.PIECEWISE:
                return self.logic.registerBoneByBone(fixed, moving, bones, report)
            return self.logic.registerRigid(fixed, moving, report)

        done = self._run(_("The registration failed."), work)
        if done is not None:
            self._registered = (fixed, moving)
            self.ui.registrationLabel.text = registrationText(done[1])
            self.ui.statusLabel.text = _("Done.")

    def onSegment(self) -> None:
        """Segment the bones in the CT."""
        node = self._parameterNode
        ct, level, place = node.ctVolume, node.levelName, node.levelPlace
        done = self._run(
            _("The segmentation failed."),
            lambda report: self.logic.segmentBones(ct, None if level == NO_LEVEL else level, place.value, report),
        )
        if done is not None:
            node.bonesSegmentation = done[0]
            self._segmented = (ct,)
            self.ui.bonesLabel.text = bonesText(done[1])
            self.ui.statusLabel.text = _("Done.")

    def onSegmentMr(self) -> None:
        """Segment the spine in the MR."""
        node = self._parameterNode
        mr, level, place = node.mrVolume, node.levelName, node.levelPlace
        done = self._run(
            _("The segmentation failed."),
            lambda report: self.logic.segmentSpineMr(mr, None if level == NO_LEVEL else level, place.value, report),
        )
        if done is not None:
            self._segmentedMr = (mr,)
            self.ui.mrSpineLabel.text = mrSpineText(done[1])
            self.ui.statusLabel.text = _("Done.")

    def _run(self, failed: str, work: Callable[[Any], Any]) -> Any:
        guard = slicer.util.tryWithErrorDisplay(failed, waitCursor=True)
        result = self.job.run(work, guard, stopped=_("Stopped. Nothing was changed."))
        self.updateButtons()
        return result


def registrationText(result: Any) -> str:
    """Return the verdict on a registration, in words."""
    reasons = "; ".join((*result.reasons, *result.warnings))
    if result.verdict.value == "rejected":
        return _("Rejected: {reasons}. The MR was not moved.").format(reasons=reasons)
    left = [b.name for b in result.bones if b.verdict.value == "rejected"]
    if left:
        reasons = "; ".join(filter(None, (reasons, _("not placed: {names}").format(names=", ".join(left)))))
    error = result.expected_error_mm
    text = _("Accepted.") if error is None else _("Accepted, expected error {error:.1f} mm.").format(error=error)
    return f"{text} {reasons}".strip()


def bonesText(segmentation: Any) -> str:
    """Return what was found, in words."""
    whole = [s.name for s in segmentation.vertebrae if s.complete]
    part = [s.name for s in segmentation.vertebrae if not s.complete]
    lines = [_("{count} vertebrae wholly in view: {names}.").format(count=len(whole), names=", ".join(whole) or "-")]
    if part:
        lines.append(_("Partly in view: {names}.").format(names=", ".join(part)))
    return " ".join([*lines, *segmentation.notes])


def mrSpineText(segmentation: Any) -> str:
    """Return what was found in an MR, in words."""
    names = ", ".join(s.name for s in segmentation.segments)
    return " ".join([_("Found: {names}.").format(names=names), *(f"{note}." for note in segmentation.notes)])


class MSKFusionLogic(ScriptedLoadableModuleLogic):
    """What the buttons do, without them: nodes in, nodes out. Never opens a dialog."""

    def getParameterNode(self) -> Any:
        """Return the module's parameter node, typed."""
        return MSKFusionParameterNode(super().getParameterNode())

    def registerRigid(
        self, fixedNode: vtkMRMLScalarVolumeNode, movingNode: vtkMRMLScalarVolumeNode, progress: Any = None
    ) -> tuple[vtkMRMLTransformNode, Any]:
        """Register `movingNode` to `fixedNode`; put it under the transform if the result is accepted.

        Returns
        -------
        transform node, registration result
            The node holds fixed to moving as transform from parent. A rejected one is kept for looking at, says so in
            its name, and moves nothing.

        Raises
        ------
        MSKFusionLib.errors.MSKError
            What is wrong with the input, in words.
        """
        from MSKFusionLib.mrml import node_to_volume
        from MSKFusionLib.progress import no_progress
        from MSKFusionLib.registration import register_rigid

        report = progress or no_progress
        fixed = node_to_volume(fixedNode)
        result = register_rigid(fixed, node_to_volume(movingNode), progress=report)
        report(1.0, _("Updating the scene"))  # the last chance to cancel
        return _place(result, fixed, fixedNode, movingNode), result

    def registerBoneByBone(
        self,
        fixedNode: vtkMRMLScalarVolumeNode,
        movingNode: vtkMRMLScalarVolumeNode,
        bonesNode: vtkMRMLSegmentationNode,
        progress: Any = None,
    ) -> tuple[vtkMRMLTransformNode, Any]:
        """Register each bone of `bonesNode`, a segmentation of the CT, on its own; see `registerRigid`.

        Returns
        -------
        transform node, registration result
            A grid transform; beside it there is a linear one for every bone that was placed.
        """
        from MSKFusionLib.mrml import node_to_segmentation, node_to_volume
        from MSKFusionLib.progress import no_progress
        from MSKFusionLib.registration import register_piecewise
        from MSKFusionLib.volume import Modality

        report = progress or no_progress
        fixed, moving = node_to_volume(fixedNode), node_to_volume(movingNode)
        ct = fixed if fixed.modality is Modality.CT else moving
        bones = node_to_segmentation(bonesNode, ct)
        result = register_piecewise(fixed, moving, bones, progress=report)
        report(1.0, _("Updating the scene"))
        return _place(result, fixed, fixedNode, movingNode), result

    def segmentBones(
        self,
        ctNode: vtkMRMLScalarVolumeNode,
        levelName: str | None = None,
        levelPlace: str = "lowest",
        progress: Any = None,
    ) -> tuple[vtkMRMLSegmentationNode, Any]:
        """Segment the bones of a CT; `levelName` names the `levelPlace` ("lowest", "highest") vertebra in view.

        Raises
        ------
        MSKFusionLib.errors.MSKError
            What is wrong with the input, in words.
        """
        from MSKFusionLib.mrml import node_to_volume, place_under, segmentation_to_node
        from MSKFusionLib.progress import no_progress
        from MSKFusionLib.segmentation import LevelHint, segment_bones_ct

        hint = None if levelName is None else LevelHint(levelName, levelPlace)
        report = progress or no_progress
        bones = segment_bones_ct(node_to_volume(ctNode), level_hint=hint, progress=report)
        report(1.0, _("Updating the scene"))  # the last chance to cancel
        # An earlier segmentation may hold the user's edits: it stays.
        scene = ctNode.GetScene()
        node = segmentation_to_node(scene, bones, scene.GenerateUniqueName(f"{ctNode.GetName()} bones"))
        node.SetReferenceImageGeometryParameterFromVolumeNode(ctNode)
        place_under(node, ctNode.GetParentTransformNode())
        return node, bones

    def segmentSpineMr(
        self,
        mrNode: vtkMRMLScalarVolumeNode,
        levelName: str | None = None,
        levelPlace: str = "lowest",
        progress: Any = None,
    ) -> tuple[vtkMRMLSegmentationNode, Any]:
        """Segment vertebral bodies, discs and canal of an MR; the level is given as for `segmentBones`.

        Raises
        ------
        MSKFusionLib.errors.MSKError
            What is wrong with the input, in words.
        """
        from MSKFusionLib.mrml import node_to_volume, place_under, segmentation_to_node
        from MSKFusionLib.progress import no_progress
        from MSKFusionLib.segmentation import LevelHint
        from MSKFusionLib.segmentation.mr import segment_spine_mr

        hint = None if levelName is None else LevelHint(levelName, levelPlace)
        report = progress or no_progress
        found = segment_spine_mr(node_to_volume(mrNode), level_hint=hint, progress=report)
        report(1.0, _("Updating the scene"))  # the last chance to cancel
        scene = mrNode.GetScene()
        node = segmentation_to_node(scene, found, scene.GenerateUniqueName(f"{mrNode.GetName()} spine"))
        node.SetReferenceImageGeometryParameterFromVolumeNode(mrNode)
        place_under(node, mrNode.GetParentTransformNode())
        return node, found


def _place(result: Any, fixed: Any, fixedNode: Any, movingNode: Any) -> Any:
    """Put a registration into the scene in place of an earlier one of the same pair; return what the MR is put under."""
    from MSKFusionLib.mrml import place_registration, place_under
    from MSKFusionLib.registration.result import Verdict

    scene = fixedNode.GetScene()
    _removeEarlier(scene, fixedNode, movingNode, onlyRejected=result.verdict is Verdict.REJECTED)
    name = f"{movingNode.GetName()} to {fixedNode.GetName()}"
    nodes = place_registration(scene, result, fixed, name, movingNode, fixedNode)
    # The result holds between the two grids; whatever moves the CT moves both.
    for node in (nodes.whole, *nodes.bones.values()):
        place_under(node, fixedNode.GetParentTransformNode())
    return nodes.whole


def _removeEarlier(scene: Any, fixedNode: Any, movingNode: Any, onlyRejected: bool) -> None:
    """Remove what registering the same pair left before; a rejected result does not displace an accepted one."""
    from MSKFusionLib.mrml import ROLE_ATTRIBUTE, VERDICT_ATTRIBUTE

    for node in slicer.util.getNodesByClass("vtkMRMLTransformNode", scene):
        ours = node.GetAttribute(ROLE_ATTRIBUTE) in ("registration", "bone-registration")
        pair = node.GetNodeReference("fixed") is fixedNode and node.GetNodeReference("moving") is movingNode
        if ours and pair and (not onlyRejected or node.GetAttribute(VERDICT_ATTRIBUTE) == "rejected"):
            scene.RemoveNode(node)


class MSKFusionTest(ScriptedLoadableModuleTest):
    """The self test that runs in the application (Reload and Test)."""

    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run every test."""
        self.setUp()
        self.test_small_patient()

    def test_small_patient(self) -> None:
        """Register and segment a generated patient, and compare the transform with its truth."""
        import numpy as np

        from MSKFusionLib.frames import transform_points
        from MSKFusionLib.mrml import node_to_rigid, volume_to_node
        from MSKFusionLib.phantom import PatientOptions, generate_patient

        self.delayDisplay(_("Generating a patient"))
        patient = generate_patient(PatientOptions(seed=1))
        ct = volume_to_node(slicer.mrmlScene, patient.ct)
        mr = volume_to_node(slicer.mrmlScene, patient.mr_t1)
        logic = MSKFusionLogic()
        self.delayDisplay(_("Registering"))
        node, result = logic.registerRigid(ct, mr)
        assert result.verdict.value == "accepted"
        places = np.array([patient.ct.centre_ras + offset for offset in (np.eye(3) * 40.0)])
        found = transform_points(node_to_rigid(node), places)
        assert np.abs(found - transform_points(patient.ct_to_mr_ras, places)).max() < 2.0
        assert mr.GetTransformNodeID() == node.GetID()
        self.delayDisplay(_("Segmenting"))
        segmentation, bones = logic.segmentBones(ct, "S1", "lowest")
        assert segmentation.GetSegmentation().GetNumberOfSegments() >= 5
        assert any(s.complete for s in bones.vertebrae)
        self.delayDisplay(_("Test passed"))
