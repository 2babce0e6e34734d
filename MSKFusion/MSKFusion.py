"""MSK Fusion: brings CT and MR of one patient together, and segments the bones in the CT.

A thin shell: the panel and the scene are here, the work is in `MSKFusionLib`.
"""

import pathlib
from collections.abc import Callable
from typing import Annotated, Any

import ctk
import qt
import slicer
import vtk
from slicer import (
    vtkMRMLMarkupsFiducialNode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
    vtkMRMLTransformNode,
)
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Choice, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

from MSKFusionLib.fusion_choices import LEVELS, NO_LEVEL, Engine, LevelPlace, RegistrationMethod
from MSKFusionLib.panel import JobArea


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
    ctLandmarks: vtkMRMLMarkupsFiducialNode
    mrLandmarks: vtkMRMLMarkupsFiducialNode
    engine: Engine = Engine.RULES
    networkPath: pathlib.Path
    mrSegmentation: vtkMRMLSegmentationNode


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

    def setup(self) -> None:
        """Build the panel from its .ui file and connect it."""
        from MSKFusionLib.background import in_background
        from MSKFusionLib.check_area import CheckArea
        from MSKFusionLib.mrml.point_placing import PointPlacing
        from MSKFusionLib.mrml.registration_check import RegistrationCheck
        from MSKFusionLib.tissue_area import LabelWork, TissueArea

        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath("UI/MSKFusion.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.ui.networkPathLineEdit.filters = ctk.ctkPathLineEdit.Files | ctk.ctkPathLineEdit.Dirs
        self.ui.ctLandmarksWidget.setNodeBaseName(_("CT landmarks"))
        self.ui.mrLandmarksWidget.setNodeBaseName(_("MR landmarks"))
        self.logic = MSKFusionLogic(call=in_background)
        self.job = JobArea(self.ui, slicer.app.processEvents)
        self.check = RegistrationCheck(slicer.mrmlScene, self._inputs, self.onMoved)
        self.checkUi = self.addCheck()
        self.checks = CheckArea(self.checkUi, self.check, self.onRegisterAgain, self.updateButtons)
        self.clicking = PointPlacing(slicer.mrmlScene, self.updateButtons, runLater)
        self.pointing = PointPlacing(slicer.mrmlScene, self.updateButtons, runLater)
        logic = self.logic
        work = LabelWork(logic.segmentSpineMr, logic.segmentTissueMr, logic.segmentLesionMr, logic.joinLabels)
        self.tissue = TissueArea(
            self.ui,
            work,
            self.pointing,
            self._run,
            self._tissueInputs,
            self.check.trusted,
            self._showMrLabels,
            self.clicking.stop,
        )
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeRemovedEvent, self.onSceneNodeRemoved)
        self.ui.registerButton.connect("clicked(bool)", self.onRegister)
        self.ui.segmentButton.connect("clicked(bool)", self.onSegment)
        self.ui.cancelButton.connect("clicked(bool)", self.job.cancel)
        self.ui.clickLevelButton.connect("clicked(bool)", self.onClickLevel)
        self.ui.ctLandmarksWidget.connect("markupsNodeChanged()", self.onLandmarks)
        self.ui.mrLandmarksWidget.connect("markupsNodeChanged()", self.onLandmarks)
        self.initializeParameterNode()

    def addCheck(self) -> Any:
        """Put the section in which a registration is looked at, which has a file of its own, below that of the registration."""
        section = slicer.util.loadUI(self.resourcePath("UI/MSKFusionCheck.ui"))
        layout = self.ui.workArea.layout()
        layout.insertWidget(layout.indexOf(self.ui.registrationCollapsibleButton) + 1, section)
        widgets = slicer.util.childWidgetVariables(section)
        widgets.statusLabel = self.ui.statusLabel
        widgets.checkCollapsibleButton.collapsed = True
        return widgets

    def cleanup(self) -> None:
        """Let go of the scene."""
        self.job.cancel()
        self.stopClicks()
        self.checks.stop()
        self.check.stop()
        self.setParameterNode(None)
        self.removeObservers()

    def stopClicks(self) -> None:
        """Wait for no click any longer."""
        self.clicking.stop()
        self.pointing.stop()

    def enter(self) -> None:
        """Make sure that there is a parameter node."""
        self.initializeParameterNode()

    def exit(self) -> None:
        """Stop following the parameter node while another module is shown."""
        self.stopClicks()
        self.checks.stop()
        self.setParameterNode(None)

    def onSceneStartClose(self, caller: Any, event: Any) -> None:
        """Let go of the nodes that are about to vanish."""
        self.job.cancel()
        self.check.stop()
        self.setParameterNode(None)
        self.dropStaleVerdicts(None, None)
        self.ui.statusLabel.text = ""

    def onSceneEndClose(self, caller: Any, event: Any) -> None:
        """Start anew where the panel is shown."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onSceneNodeRemoved(self, caller: Any, event: Any) -> None:
        """Look again at what is left, when whoever removes nodes is done."""
        if not slicer.mrmlScene.IsClosing():
            runLater(lambda: self._parameterNode is not None and self.updateButtons())

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
            self.ui.levelComboBox.setItemText(0, _("none, number them"))
            self.ui.ctLandmarksWidget.setCurrentNode(parameterNode.ctLandmarks)
            self.ui.mrLandmarksWidget.setCurrentNode(parameterNode.mrLandmarks)
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self.updateButtons)
        self.updateButtons()

    def updateButtons(self, caller: Any = None, event: Any = None) -> None:
        """Enable what can be done, and say what is missing for the rest."""
        node = self._parameterNode
        ct, mr = (node.ctVolume, node.mrVolume) if node is not None else (None, None)
        both = ct is not None and mr is not None and ct is not mr
        method = RegistrationMethod.RIGID if node is None else node.registrationMethod
        byBone = method.bone_by_bone
        bones = node.bonesSegmentation if node is not None else None
        self.ui.structureComboBox.enabled = byBone and bones is not None
        self.showStructures(bones)
        self.ui.registerButton.enabled = both and (not byBone or node.bonesSegmentation is not None)
        if not both:
            tip = _("Choose a CT and an MR first.")
        elif not self.ui.registerButton.enabled:
            tip = _("Choose the bones of the CT first; segment them below where there are none.")
        elif method.soft_tissue:
            tip = _("Place the bones, then bend what lies between them (needs PyTorch; takes about a minute).")
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
        own = node is not None and node.engine is Engine.FOLDER
        for widget in (self.ui.networkLabel, self.ui.networkPathLineEdit):
            widget.visible, widget.enabled = own, own
        byRules = node is None or node.engine is Engine.RULES
        known = node is not None and node.levelName != NO_LEVEL
        self.ui.clickLevelButton.enabled = self.clicking.active or (bones is not None and known)
        self.ui.clickLevelButton.checked = self.clicking.active
        self.ui.clickLevelButton.toolTip = (
            _("Name the vertebrae of the chosen bones by clicking the known one; they are not segmented again.")
            if self.ui.clickLevelButton.enabled
            else _("Choose the known vertebra, and the bones of the CT, first.")
        )
        self.ui.placeComboBox.enabled = byRules and known
        if node is not None:
            self.dropStaleVerdicts(ct, mr)
        self.checks.update()
        self.tissue.update()

    def showStructures(self, bones: Any) -> None:
        """Offer the bones that the MR can be made to follow; the chosen one stays chosen."""
        from MSKFusionLib.mrml.segment_names import segment_names

        names = (_("all that is in view"), *segment_names(bones))
        box = self.ui.structureComboBox
        if [box.itemText(n) for n in range(box.count)] != list(names):
            before = box.currentText
            box.clear()
            for name in names:
                box.addItem(name)
            box.currentIndex = names.index(before) if before in names else 0

    def onLandmarks(self) -> None:
        """Keep the chosen point lists with the other choices."""
        from MSKFusionLib.mrml.point_lists import attach_points

        if self._parameterNode is not None:
            for widget, volume in zip(
                (self.ui.ctLandmarksWidget, self.ui.mrLandmarksWidget), self._inputs(), strict=False
            ):
                if widget.currentNode() is not None and volume is not None:
                    attach_points(widget.currentNode(), volume)
            self._parameterNode.ctLandmarks = self.ui.ctLandmarksWidget.currentNode()
            self._parameterNode.mrLandmarks = self.ui.mrLandmarksWidget.currentNode()

    def onMoved(self) -> None:
        """Say how far the MR was moved by hand, and what that leaves possible."""
        self.checks.update()
        self.tissue.update()

    def _inputs(self) -> tuple[Any, Any, Any]:
        node = self._parameterNode
        return (None, None, None) if node is None else (node.ctVolume, node.mrVolume, node.bonesSegmentation)

    def dropStaleVerdicts(self, ct: Any, mr: Any) -> None:
        """Clear the verdicts that belong to other images than those chosen."""
        if self._registered != (ct, mr):
            self._registered = ()
            self.ui.registrationLabel.text = _("Not registered yet.")
        if self._segmented != (ct,):
            self._segmented = ()
            self.ui.bonesLabel.text = _("No bones segmented yet.")

    def onRegister(self) -> None:
        """Register the MR to the CT."""
        self._register()

    def onRegisterAgain(self) -> None:
        """Register the MR to the CT, beginning where it lies now."""
        from MSKFusionLib.mrml.between import rigid_between

        self.checks.stop()
        self._register(rigid_between(self._parameterNode.ctVolume, self._parameterNode.mrVolume))

    def _register(self, startRas: Any = None) -> None:
        from MSKFusionLib.fusion_texts import landmarks_in_words, registration_in_words

        node = self._parameterNode
        fixed, moving, bones = self._inputs()
        points = (node.ctLandmarks, node.mrLandmarks)
        method = node.registrationMethod
        bone = self.ui.structureComboBox.currentText if self.ui.structureComboBox.currentIndex > 0 else None
        self.stopClicks()

        def work(report: Any) -> Any:
            return self.logic.register(
                fixed,
                moving,
                report,
                bonesNode=bones if method is not RegistrationMethod.RIGID else None,
                boneByBone=method.bone_by_bone,
                bone=bone if method.bone_by_bone else None,
                softTissue=method.soft_tissue,
                startRas=startRas,
                landmarks=points,
            )

        done = self._run(_("The registration failed."), work)
        if done is not None:
            self._registered = (fixed, moving)
            self.check.hold(fixed, moving, done[1])
            marks = self.logic.landmarks(fixed, moving, points)
            words = (registration_in_words(done[1]), landmarks_in_words(done[1], marks))
            self.ui.registrationLabel.text = "\n".join(filter(None, words))
            self.ui.statusLabel.text = _("Done.")
            self.checkUi.checkCollapsibleButton.collapsed = False
            self.updateButtons()

    def onClickLevel(self) -> None:
        """Wait for a click on the known vertebra, or no longer."""
        if self.clicking.active:
            self.clicking.stop()
            return
        self.pointing.stop()
        node = self._parameterNode
        bones, level = node.bonesSegmentation, node.levelName
        self.clicking.start(level, lambda point: self.onLevelClicked(bones, level, point), bones)
        self.updateButtons()

    def onLevelClicked(self, bones: Any, level: str, point: Any) -> None:
        """Name the vertebrae from the one that was clicked."""
        from MSKFusionLib.fusion_texts import bones_in_words

        named = self._run(
            _("The vertebrae could not be named."), lambda report: self.logic.nameLevels(bones, level, point)
        )
        if named is not None:
            self.ui.bonesLabel.text = bones_in_words(named)
            self._segmented = (self._parameterNode.ctVolume,)
            self.ui.statusLabel.text = _("Done.")

    def onSegment(self) -> None:
        """Segment the bones in the CT."""
        from MSKFusionLib.fusion_texts import bones_in_words, found_in_words

        node = self._parameterNode
        ct, level, place, network = node.ctVolume, node.levelName, node.levelPlace, self._network()
        done = self._run(
            _("The segmentation failed."),
            lambda report: self.logic.segmentBones(
                ct, None if level == NO_LEVEL else level, place.value, report, network=network
            ),
        )
        if done is not None:
            node.bonesSegmentation = done[0]
            self._segmented = (ct,)
            self.ui.bonesLabel.text = (bones_in_words if done[1].vertebrae else found_in_words)(done[1])
            self.ui.statusLabel.text = _("Done.")

    def _tissueInputs(self) -> Any:
        from MSKFusionLib.tissue_area import TissueInputs

        node = self._parameterNode
        if node is None:
            return TissueInputs()
        level = None if node.levelName == NO_LEVEL else (node.levelName, node.levelPlace.value)
        return TissueInputs(
            node.ctVolume, node.mrVolume, node.bonesSegmentation, node.mrSegmentation, level, self._network()
        )

    def _showMrLabels(self, labelsNode: Any) -> None:
        if self._parameterNode is not None:
            self._parameterNode.mrSegmentation = labelsNode

    def _network(self) -> str | None:
        """Return what network is chosen: its folder or file, its name, or None for the rules."""
        node = self._parameterNode
        if node.engine is Engine.FOLDER:
            return str(node.networkPath)
        return None if node.engine is Engine.RULES else str(node.engine.value)

    def _run(self, failed: str, work: Callable[[Any], Any]) -> Any:
        guard = slicer.util.tryWithErrorDisplay(failed, waitCursor=True)
        result = self.job.run(work, guard, stopped=_("Stopped. Nothing was changed."))
        self.updateButtons()
        return result


def runLater(function: Callable[[], None]) -> None:
    """Call a function when what is being handled is done."""
    qt.QTimer.singleShot(0, function)


class MSKFusionLogic(ScriptedLoadableModuleLogic):
    """What the buttons do, without them: nodes in, nodes out. Never opens a dialog.

    Parameters
    ----------
    call
        Does the long work: the function is called in this process, or by `MSKFusionLib.background.in_background` in another.
    """

    def __init__(self, call: Callable[..., Any] | None = None) -> None:
        super().__init__()
        from MSKFusionLib.background import here

        self.call = call or here

    def getParameterNode(self) -> Any:
        """Return the module's parameter node, typed."""
        return MSKFusionParameterNode(super().getParameterNode())

    def register(
        self,
        fixedNode: vtkMRMLScalarVolumeNode,
        movingNode: vtkMRMLScalarVolumeNode,
        progress: Any = None,
        *,
        bonesNode: vtkMRMLSegmentationNode | None = None,
        boneByBone: bool = False,
        bone: str | None = None,
        softTissue: bool = False,
        startRas: Any = None,
        landmarks: tuple[Any, Any] = (None, None),
    ) -> tuple[vtkMRMLTransformNode, Any]:
        """Register `movingNode` to `fixedNode`; put it under the transform if the result is accepted.

        Parameters
        ----------
        bonesNode
            A segmentation of the CT: the bones that move on their own (`boneByBone`), or that soft tissue bends around.
        bone
            The bone whose motion the whole moving image follows; None bends it from bone to bone.
        softTissue
            Bend what is not bone, too; needs PyTorch.
        startRas
            4x4 from the fixed node's own frame to the moving one's, from where the search begins.
        landmarks
            Point list nodes of the fixed and of the moving image, or None.

        Returns
        -------
        transform node, registration result
            The node holds fixed to moving as transform from parent: a linear one where all moves as one, else a grid, beside
            it a linear one for every bone that was placed. A rejected one is kept for looking at, says so in its name, and
            moves nothing.

        Raises
        ------
        MSKFusionLib.errors.MSKError
            What is wrong with the input, in words.
        """
        from MSKFusionLib.mrml.fusing import register
        from MSKFusionLib.progress import no_progress

        return register(
            fixedNode,
            movingNode,
            bones_node=bonesNode,
            bone_by_bone=boneByBone,
            bone=bone,
            soft_tissue=softTissue,
            start_ras=startRas,
            landmarks=landmarks,
            call=self.call,
            progress=progress or no_progress,
        )

    def landmarks(self, fixedNode: Any, movingNode: Any, nodes: tuple[Any, Any]) -> Any:
        """Return the landmarks of two images that are placed in point lists; None where there are none."""
        from MSKFusionLib.mrml.point_lists import landmark_pairs

        return landmark_pairs(fixedNode, movingNode, *nodes)

    def nameLevels(self, bonesNode: vtkMRMLSegmentationNode, levelName: str, pointRas: Any) -> Any:
        """Name the vertebrae of a segmentation from the one at a point (in its own frame), and return them."""
        from MSKFusionLib.mrml.level_names import name_levels_from

        return name_levels_from(bonesNode, levelName, pointRas)

    def segmentBones(
        self,
        ctNode: vtkMRMLScalarVolumeNode,
        levelName: str | None = None,
        levelPlace: str = "lowest",
        progress: Any = None,
        *,
        network: str | None = None,
    ) -> tuple[vtkMRMLSegmentationNode, Any]:
        """Segment the bones of a CT; `levelName` names the `levelPlace` ("lowest", "highest") vertebra in view.

        Parameters
        ----------
        network
            What finds them in place of the rules (`MSKFusionLib.networks.segment_with_network`); the level is not used then.

        Raises
        ------
        MSKFusionLib.errors.MSKError
            What is wrong with the input, in words.
        """
        from MSKFusionLib.mrml.fusing import segment_ct
        from MSKFusionLib.progress import no_progress

        hint = levelHint(levelName, levelPlace)
        return segment_ct(ctNode, hint, network=network, call=self.call, progress=progress or no_progress)

    def segmentSpineMr(
        self,
        mrNode: vtkMRMLScalarVolumeNode,
        levelName: str | None = None,
        levelPlace: str = "lowest",
        progress: Any = None,
        *,
        network: str | None = None,
    ) -> tuple[vtkMRMLSegmentationNode, Any]:
        """Segment vertebral bodies, discs and canal of an MR; level and network are given as for `segmentBones`.

        Raises
        ------
        MSKFusionLib.errors.MSKError
            What is wrong with the input, in words.
        """
        from MSKFusionLib.mrml.fusing import segment_mr
        from MSKFusionLib.progress import no_progress

        hint = levelHint(levelName, levelPlace)
        return segment_mr(mrNode, hint, network=network, call=self.call, progress=progress or no_progress)

    def segmentTissueMr(
        self, mrNode: vtkMRMLScalarVolumeNode, labelsNode: Any = None, progress: Any = None
    ) -> tuple[vtkMRMLSegmentationNode, Any]:
        """Segment muscle and fat of an MR, added to `labelsNode` where it is given; see `MSKFusionLib.mrml.mr_labels`."""
        from MSKFusionLib.mrml.mr_labels import segment_tissue
        from MSKFusionLib.progress import no_progress

        return segment_tissue(mrNode, labelsNode, call=self.call, progress=progress or no_progress)

    def segmentLesionMr(
        self, mrNode: vtkMRMLScalarVolumeNode, pointRas: Any, labelsNode: Any = None, progress: Any = None
    ) -> tuple[vtkMRMLSegmentationNode, Any]:
        """Segment the lesion at a point of the MR's own frame, added to `labelsNode` where it is given."""
        from MSKFusionLib.mrml.mr_labels import segment_lesion
        from MSKFusionLib.progress import no_progress

        return segment_lesion(mrNode, pointRas, labelsNode, call=self.call, progress=progress or no_progress)

    def joinLabels(
        self,
        ctNode: vtkMRMLScalarVolumeNode,
        bonesNode: vtkMRMLSegmentationNode,
        mrNode: vtkMRMLScalarVolumeNode,
        labelsNode: vtkMRMLSegmentationNode,
        result: Any,
        progress: Any = None,
    ) -> tuple[vtkMRMLSegmentationNode, Any]:
        """Put the CT's bones and the MR's labels into one segmentation by a registration of the MR to the CT."""
        from MSKFusionLib.mrml.mr_labels import join_labels
        from MSKFusionLib.progress import no_progress

        return join_labels(
            ctNode, bonesNode, mrNode, labelsNode, result, call=self.call, progress=progress or no_progress
        )


def levelHint(levelName: str | None, levelPlace: str) -> Any:
    """Return the known vertebra as the library takes it; None where none is known."""
    from MSKFusionLib.segmentation import LevelHint

    return None if levelName is None else LevelHint(levelName, levelPlace)


class MSKFusionTest(ScriptedLoadableModuleTest):
    """The self test that runs in the application (Reload and Test)."""

    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run every test."""
        self.setUp()
        self.test_small_patient()
        self.setUp()
        self.test_panel()
        self.setUp()
        self.test_soft_tissue()

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
        node, result = logic.register(ct, mr)
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

    def test_panel(self) -> None:
        """Go through the panel as a user does: register, move by hand, take it back, accept, segment, name by a click."""
        import numpy as np

        from MSKFusionLib.mrml import node_to_segmentation, volume_to_node
        from MSKFusionLib.mrml.nudge import nudge_of
        from MSKFusionLib.phantom import PatientOptions, generate_patient

        self.delayDisplay(_("Generating a patient"))
        patient = generate_patient(PatientOptions.small(seed=1))
        ct = volume_to_node(slicer.mrmlScene, patient.ct)
        mr = volume_to_node(slicer.mrmlScene, patient.mr_t1)
        panel = slicer.util.getModuleWidget("MSKFusion")
        panel.enter()
        panel.ui.ctSelector.setCurrentNode(ct)
        panel.ui.mrSelector.setCurrentNode(mr)
        self.delayDisplay(_("Registering"))
        panel.ui.registerButton.click()
        registered = mr.GetParentTransformNode()
        assert registered is not None, panel.ui.statusLabel.text
        panel.checkUi.nudgeButton.click()
        hand = nudge_of(mr)
        moved = vtk.vtkMatrix4x4()
        moved.SetElement(0, 3, 5.0)
        hand.SetMatrixTransformToParent(moved)
        assert panel.checkUi.againButton.enabled
        panel.checkUi.backButton.click()
        assert nudge_of(mr) is None
        assert mr.GetParentTransformNode() is registered
        panel.checkUi.acceptButton.click()
        assert panel.checkUi.decisionLabel.text
        self.delayDisplay(_("Segmenting"))
        panel.ui.segmentButton.click()
        bones = panel.logic.getParameterNode().bonesSegmentation
        assert bones is not None, panel.ui.statusLabel.text
        panel.ui.levelComboBox.currentText = "L4"
        panel.ui.clickLevelButton.click()
        clicks = slicer.mrmlScene.GetFirstNodeByName("L4")
        clicks.AddControlPoint(vtk.vtkVector3d(*patient.bone_points_ras("L4", 200, 1).mean(axis=0)))
        slicer.app.processEvents()
        named = node_to_segmentation(bones)
        where = np.argwhere(named.labels.voxels == next(s.value for s in named.segments if s.name == "L4"))
        middle = where.mean(axis=0)[::-1] @ named.labels.ijk_to_ras[:3, :3].T + named.labels.ijk_to_ras[:3, 3]
        assert np.linalg.norm(middle - patient.bone_points_ras("L4", 200, 1).mean(axis=0)) < 15.0
        self.delayDisplay(_("Test passed"))

    def test_soft_tissue(self) -> None:
        """Bend soft tissue that has moved by 12 mm in the panel, and compare with the truth; without PyTorch that is said at once."""
        from dataclasses import replace

        import numpy as np

        from MSKFusionLib.errors import MSKError
        from MSKFusionLib.frames import transform_points
        from MSKFusionLib.mrml import volume_to_node
        from MSKFusionLib.phantom import PatientOptions, generate_patient
        from MSKFusionLib.torch_device import check_torch

        self.delayDisplay(_("Generating a patient"))
        patient = generate_patient(replace(PatientOptions.small(seed=3), soft_tissue_motion_mm=12.0))
        ct = volume_to_node(slicer.mrmlScene, patient.ct)
        mr = volume_to_node(slicer.mrmlScene, patient.mr_t2)
        panel = slicer.util.getModuleWidget("MSKFusion")
        panel.enter()
        panel.ui.ctSelector.setCurrentNode(ct)
        panel.ui.mrSelector.setCurrentNode(mr)
        panel.logic.getParameterNode().registrationMethod = RegistrationMethod.SOFT
        try:
            check_torch()
            torch = True
        except MSKError:
            torch = False
        self.delayDisplay(_("Registering"))
        panel.ui.registerButton.click()
        transform = mr.GetParentTransformNode()
        if not torch:
            assert "PyTorch" in panel.ui.statusLabel.text
            assert transform is None
            return
        assert transform is not None, panel.ui.statusLabel.text
        assert not transform.IsLinear()
        muscle = np.argwhere(patient.labels.mask("muscle"))[::500]
        points = transform_points(patient.ct.ijk_to_ras, muscle[:, ::-1].astype(float))
        true = patient.ct_to_mr(points)
        ijk = transform_points(patient.mr_t2.ras_to_ijk, true)
        seen = np.all((ijk >= 0) & (ijk <= np.array(patient.mr_t2.shape_ijk) - 1), axis=1)
        to_mr = transform.GetTransformFromParent()
        found = np.array([to_mr.TransformPoint(*p) for p in points[seen]])
        assert np.median(np.linalg.norm(found - true[seen], axis=1)) < 2.0
        self.delayDisplay(_("Test passed"))
