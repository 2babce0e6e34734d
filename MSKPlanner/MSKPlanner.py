"""MSK Planner: plans pedicle screws on segmented vertebrae, designs their drill guides, and exports the plan.

A thin shell: the panel and the scene are here, the work is in `MSKPlannerLib` and `MSKFusionLib`.
"""

import pathlib
from collections.abc import Callable
from typing import Annotated, Any

import ctk
import qt
import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Choice, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

#: What the list of levels shows where the names in the segmentation hold.
AS_NAMED = "as it is named"
LEVELS = [AS_NAMED, *(f"C{n}" for n in range(1, 8)), *(f"T{n}" for n in range(1, 13)), *(f"L{n}" for n in range(1, 7))]


class MSKPlanner(ScriptedLoadableModule):
    """What Slicer shows of the module."""

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        parent.title = _("MSK Planner")
        parent.categories = [_("Planning")]
        parent.dependencies = ["MSKFusion"]
        parent.contributors = ["The MSK Planner contributors"]
        parent.helpText = _(
            "Plans pedicle screws, checks them against the bone, and designs the printable guides that carry the plan "
            "to the patient. Not for clinical use without review."
        )
        parent.acknowledgementText = _("Apache-2.0. Part of the MSK Planner extension.")


@parameterNodeWrapper
class MSKPlannerParameterNode:
    """The panel's choices; they are saved with the scene."""

    ctVolume: vtkMRMLScalarVolumeNode
    segmentation: vtkMRMLSegmentationNode
    lowestLevel: Annotated[str, Choice(LEVELS)] = AS_NAMED
    levels: str
    outputFolder: pathlib.Path


class MSKPlannerWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: MSKPlannerLogic | None = None
        self._parameterNode: Any = None
        self._guiTag: Any = None

    def setup(self) -> None:
        """Build the panel from its .ui file and connect it."""
        # Not at the top: in a checkout Slicer may run this file before MSKFusion's folder is on the path.
        from MSKFusionLib.panel import JobArea

        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath("UI/MSKPlanner.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.ui.folderPathLineEdit.filters = ctk.ctkPathLineEdit.Dirs | ctk.ctkPathLineEdit.Writable
        self.logic = MSKPlannerLogic()
        self.job = JobArea(self.ui, slicer.app.processEvents)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.ui.planButton.connect("clicked(bool)", self.onPlan)
        self.ui.guidesButton.connect("clicked(bool)", self.onGuides)
        self.ui.exportButton.connect("clicked(bool)", self.onExport)
        self.ui.cancelButton.connect("clicked(bool)", self.job.cancel)
        self.initializeParameterNode()
        self.showCase()

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
        """Let go of the nodes that are about to vanish, and of the plan made on them."""
        self.job.cancel()
        self.setParameterNode(None)
        self.logic.forget()
        self.showCase()
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
        if self._parameterNode.segmentation is None:
            self._parameterNode.segmentation = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
        if self._parameterNode.outputFolder == pathlib.Path():
            folder = slicer.mrmlScene.GetRootDirectory() or pathlib.Path.home()
            self._parameterNode.outputFolder = pathlib.Path(folder) / "MSKPlan"

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
        ready = node is not None and node.ctVolume is not None and node.segmentation is not None
        planned = ready and self.logic.isCurrent(node.ctVolume, node.segmentation)
        folder = node is not None and str(node.outputFolder) not in ("", ".")
        missing = _("Choose a CT and the segmented bones first.")
        for button, possible, reason in (
            (self.ui.planButton, ready, missing),
            (self.ui.guidesButton, planned, _("Plan the screws first.")),
            (self.ui.exportButton, planned and folder, _("Plan the screws and choose a folder first.")),
        ):
            button.enabled = possible
            button.toolTip = "" if possible else reason
        if self.logic.case is not None and ready and not planned:
            self.ui.screwsLabel.text = _("Out of date: the images or the bones have changed. Plan the screws again.")

    def onPlan(self) -> None:
        """Plan screws."""
        node = self._parameterNode
        ct, segmentation, lowest, levels = node.ctVolume, node.segmentation, node.lowestLevel, node.levels
        self._run(
            _("The screws could not be planned."),
            lambda report: self.logic.planScrews(
                ct, segmentation, None if lowest == AS_NAMED else lowest, levelNames(levels), report
            ),
        )

    def onGuides(self) -> None:
        """Design guides for the planned screws."""
        if self._hasRequirements():
            self._run(_("The guides could not be designed."), self.logic.designGuides)

    def onExport(self) -> None:
        """Write the plan with everything that belongs to it."""
        folder = self._parameterNode.outputFolder
        written = self._run(_("The plan could not be exported."), lambda report: self.logic.export(folder, report))
        if written is not None:
            self.ui.exportLabel.text = _("Written to {folder}.").format(folder=written)

    def showCase(self) -> None:
        """Show the plan's numbers and verdicts."""
        case = self.logic.case
        plan = case.plan if case is not None else None
        fillScrewTable(self.ui.screwsTable, plan.screws if plan is not None else ())
        self.ui.screwsLabel.text = screwsText(plan)
        self.ui.guidesLabel.text = guidesText(plan)
        self.ui.exportLabel.text = ""
        self.updateButtons()

    def _run(self, failed: str, work: Callable[[Any], Any]) -> Any:
        guard = slicer.util.tryWithErrorDisplay(failed, waitCursor=True)
        result = self.job.run(work, guard, stopped=_("Stopped. Nothing was changed."))
        if result is not None:
            self.ui.statusLabel.text = _("Done.")
            self.showCase()
        self.updateButtons()
        return result

    def _hasRequirements(self) -> bool:
        """Offer to install the mesh libraries, which Slicer does not ship; tell whether the work can go on."""
        try:
            import slicer.packaging as packaging
        except ImportError:  # an older or a headless Slicer: the step itself says what is missing
            return True
        try:
            packaging.pip_ensure(
                packaging.load_requirements(self.resourcePath("requirements.txt")), requester=_("MSK Planner")
            )
        except RuntimeError as declined:
            self.ui.statusLabel.text = _("Guides need libraries that are not installed: {reason}.").format(
                reason=declined
            )
            return False
        return True


def levelNames(text: str) -> tuple[str, ...]:
    """Return the levels in a list with commas or blanks between them."""
    return tuple(part.upper() for part in text.replace(",", " ").split())


def fillScrewTable(table: Any, screws: Any) -> None:
    """Show one screw a row."""
    from MSKPlannerLib.plan_columns import SCREW_COLUMNS, pick

    # By the columns' headings; written out, because only literals can be gathered for translation.
    titles = {
        "Screw": _("Screw"),
        "Diameter": _("Diameter (mm)"),
        "Length": _("Length (mm)"),
        "Grade": _("Grade"),
        "Clearance": _("Clearance (mm)"),
        "Breach risk": _("Breach risk (%)"),
        "Mean": _("Mean (HU)"),
        "Verdict": _("Verdict"),
        "Remarks": _("Remarks"),
    }
    columns = pick(SCREW_COLUMNS, *titles)
    table.setColumnCount(len(columns))
    table.setHorizontalHeaderLabels(list(titles.values()))
    table.setRowCount(len(screws))
    for row, screw in enumerate(screws):
        for n, column in enumerate(columns):
            table.setItem(row, n, qt.QTableWidgetItem(column.text(screw)))
    table.resizeColumnsToContents()


def screwsText(plan: Any) -> str:
    """Return the verdict on the screws, in words."""
    if plan is None:
        return _("No screws planned yet.")
    rejected = [s.name for s in plan.screws if s.verdict.value == "rejected"]
    if not plan.screws:
        return _("Rejected: no vertebra wholly in view could be planned on.")
    if rejected:
        return _("{count} screws planned. Rejected: {names}.").format(count=len(plan.screws), names=", ".join(rejected))
    return _("{count} screws planned, all accepted.").format(count=len(plan.screws))


def guidesText(plan: Any) -> str:
    """Return the verdict on the guides, in words."""
    if plan is None or not plan.guides:
        return _("No guides designed yet.")
    lines = [f"{g.name}: {g.verdict.value}" + (f" ({g.remarks})" if g.remarks else "") for g in plan.guides]
    return "\n".join(lines)


class MSKPlannerLogic(ScriptedLoadableModuleLogic):
    """What the buttons do, without them. Never opens a dialog; holds the case between the steps."""

    def __init__(self) -> None:
        super().__init__()
        #: The plan in hand with what it was made of (`MSKPlannerLib.pipeline.Case`); None before the first step.
        self.case: Any = None
        self._basis: tuple[Any, ...] = ()
        #: The CT and the bones that the case was made of.
        self._nodes: tuple[Any, Any] | None = None
        #: The scene and the case's nodes in it (`MSKPlannerLib.mrml.PlanNodes`).
        self._shown: tuple[Any, Any] | None = None

    def getParameterNode(self) -> Any:
        """Return the module's parameter node, typed."""
        return MSKPlannerParameterNode(super().getParameterNode())

    def forget(self) -> None:
        """Let go of the case; the nodes stay in the scene."""
        self.case, self._basis, self._nodes, self._shown = None, (), None, None

    def isCurrent(self, ctNode: Any, segmentationNode: Any) -> bool:
        """Tell whether the case in hand was made of these nodes as they are now."""
        return self.case is not None and self._basis == _basis(ctNode, segmentationNode)

    def planScrews(
        self,
        ctNode: vtkMRMLScalarVolumeNode,
        segmentationNode: vtkMRMLSegmentationNode,
        lowestLevel: str | None = None,
        levels: tuple[str, ...] = (),
        progress: Any = None,
    ) -> Any:
        """Plan pedicle screws and put them into the scene; return the case.

        Parameters
        ----------
        lowestLevel
            Name of the lowest vertebra wholly in view, where the segmentation's names do not hold.
        levels
            What to plan on; empty for every vertebra wholly in view.

        Raises
        ------
        MSKFusionLib.errors.MSKError
            What is wrong with the input, in words.
        """
        from MSKFusionLib.errors import InputError
        from MSKFusionLib.mrml import node_to_segmentation, node_to_volume
        from MSKFusionLib.progress import no_progress
        from MSKFusionLib.segmentation import LevelHint, name_levels
        from MSKPlannerLib.pipeline import CaseOptions, plan_case

        if ctNode.GetParentTransformNode() is not segmentationNode.GetParentTransformNode():
            raise InputError(
                "the CT and the bones are under different transforms",
                "Put both under the same transform, or harden it.",
                where=segmentationNode.GetName(),
            )
        ct = node_to_volume(ctNode)
        bones = node_to_segmentation(segmentationNode, reference=ct)
        hint = None if lowestLevel is None else LevelHint(lowestLevel, "lowest")
        if hint is not None:
            bones = name_levels(bones, hint)
        options = CaseOptions(level_hint=hint, levels=levels or None, want_guides=False)
        report = progress or no_progress
        case = plan_case(ct, bones=bones, options=options, progress=report)
        report(1.0, _("Updating the scene"))  # the last chance to cancel
        self._show(case, ctNode, segmentationNode)
        self._basis = _basis(ctNode, segmentationNode)
        return case

    def designGuides(self, progress: Any = None) -> Any:
        """Design a drill guide a vertebra for the accepted screws and put them into the scene; return the case.

        Raises
        ------
        MSKFusionLib.errors.MSKError
            When there are no screws yet, or they are out of date.
        """
        from MSKFusionLib.progress import no_progress
        from MSKPlannerLib.guides.options import GuideOptions
        from MSKPlannerLib.pipeline import with_guides

        report = progress or no_progress
        case = with_guides(self._plannedCase(), GuideOptions(), progress=report)
        report(1.0, _("Updating the scene"))  # the last chance to cancel
        self._show(case, *self._nodes)
        return self.case

    def export(self, folder: Any, progress: Any = None) -> pathlib.Path:
        """Write the plan document, the scene, the report and the guides' files; return the folder.

        Raises
        ------
        MSKFusionLib.errors.MSKError
            When there is no plan, it is out of date, or the folder cannot be written or holds results already.
        """
        from MSKFusionLib.progress import no_progress
        from MSKPlannerLib.cli.write_case import write_case
        from MSKPlannerLib.output_folder import output_folder

        case = self._plannedCase()
        with output_folder(folder) as staging:
            write_case(case, staging, shown=self._shown, progress=progress or no_progress)
        return pathlib.Path(folder)

    def _plannedCase(self) -> Any:
        from MSKFusionLib.errors import InputError

        if self.case is None:
            raise InputError("there is no plan yet", "Plan the screws first.")
        if not self.isCurrent(*self._nodes):
            raise InputError("the images or the bones have changed since the screws were planned", "Plan them again.")
        return self.case

    def _show(self, case: Any, ctNode: Any, segmentationNode: Any) -> None:
        """Put a case's screws and guides into the scene in place of the last one's, where the CT is."""
        from dataclasses import replace

        from MSKFusionLib.mrml import place_under
        from MSKPlannerLib.mrml import plan_to_scene
        from MSKPlannerLib.mrml.remove import remove_plan

        scene = ctNode.GetScene()
        for plan in {case.plan.plan_id, *([] if self.case is None else [self.case.plan.plan_id])}:
            remove_plan(scene, plan)
        nodes = plan_to_scene(scene, case.plan, guide_meshes={name: s.mesh for name, s in case.guides.items()})
        placed = [n for screw in nodes.screws.values() for n in (screw.axis, screw.model)]
        for node in (*placed, *nodes.guides.values()):
            place_under(node, ctNode.GetParentTransformNode())
        self.case, self._nodes = case, (ctNode, segmentationNode)
        self._shown = (scene, replace(nodes, ct=ctNode, segmentation=segmentationNode))


def _basis(ctNode: Any, segmentationNode: Any) -> tuple[Any, ...]:
    """Return what a plan rests on, and when each part was last changed."""
    image = ctNode.GetImageData()
    segmentation = segmentationNode.GetSegmentation()
    segments = [segmentation.GetNthSegment(index) for index in range(segmentation.GetNumberOfSegments())]
    masks = [segment.GetRepresentation("Binary labelmap") for segment in segments]
    return (
        ctNode.GetID(),
        image.GetMTime() if image is not None else 0,
        segmentationNode.GetID(),
        tuple((s.GetName(), s.GetLabelValue(), m.GetMTime() if m else 0) for s, m in zip(segments, masks, strict=True)),
    )


class MSKPlannerTest(ScriptedLoadableModuleTest):
    """The self test that runs in the application (Reload and Test)."""

    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run every test."""
        self.setUp()
        self.test_one_vertebra()

    def test_one_vertebra(self) -> None:
        """Plan on one vertebra of a generated patient; both screws must lie in its true bone."""
        from MSKFusionLib.mrml import segmentation_to_node, volume_to_node
        from MSKFusionLib.phantom import PatientOptions, generate_patient

        self.delayDisplay(_("Generating a patient"))
        patient = generate_patient(PatientOptions(seed=1))
        ct = volume_to_node(slicer.mrmlScene, patient.ct)
        bones = segmentation_to_node(slicer.mrmlScene, patient.labels)
        logic = MSKPlannerLogic()
        self.delayDisplay(_("Planning"))
        case = logic.planScrews(ct, bones, levels=("L3",))
        assert {s.side for s in case.plan.screws} == {"left", "right"}
        for screw in case.plan.screws:
            middle = [(a + b) / 2 for a, b in zip(screw.entry_ras, screw.tip_ras, strict=True)]
            assert patient.bone_depth_mm("L3", [middle])[0] > screw.diameter_mm / 2
        self.delayDisplay(_("Test passed"))
