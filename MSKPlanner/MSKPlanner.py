"""MSK Planner: plans pedicle screws on segmented vertebrae, designs their drill guides, and exports the plan.

A thin shell: the panel and the scene are here, the work is in `MSKPlannerLib` and `MSKFusionLib`.
"""

import pathlib
import subprocess
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
#: Of `Resources/Guides` and `Resources/Printers`, and of `MSKPlannerLib.export` (a test compares them).
GUIDE_PRESETS, PRINTERS = ["standard", "k_wire"], ["sla", "sls", "fdm"]
FORMATS, FRAMES = ["STL", "3MF", "PLY", "OBJ"], ["LPS", "RAS"]
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
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData() -> None:
    """Offer generated patients in the Sample Data module; they are made when they are asked for."""
    from SampleData import SampleDataLogic

    from MSKFusionLib.mrml.sample_data import SAMPLES

    SampleDataLogic.registerCustomSampleDataCategory("MSKPlanner", title=_("MSK Planner"))
    picture = pathlib.Path(__file__).parent / "Resources/Icons/GeneratedSpine.png"
    for sample in SAMPLES:
        SampleDataLogic.registerCustomSampleDataSource(
            category="MSKPlanner",
            sampleName=sample.name,
            thumbnailFileName=str(picture),
            customDownloader=lambda source, sample=sample: loadSample(sample),
        )


def loadSample(sample: Any) -> tuple[Any, ...]:
    """Make a sample's patient and put it into the scene; return the nodes."""
    with slicer.util.tryWithErrorDisplay(_("The patient could not be generated."), waitCursor=True):
        return sample.load(slicer.mrmlScene)


@parameterNodeWrapper
class MSKPlannerParameterNode:
    """The panel's choices; they are saved with the scene."""

    ctVolume: vtkMRMLScalarVolumeNode
    segmentation: vtkMRMLSegmentationNode
    lowestLevel: Annotated[str, Choice(LEVELS)] = AS_NAMED
    levels: str
    guidePreset: Annotated[str, Choice(GUIDE_PRESETS)] = GUIDE_PRESETS[0]
    printer: Annotated[str, Choice(PRINTERS)] = PRINTERS[0]
    outputFolder: pathlib.Path
    exportGuides: bool = True
    exportBones: bool = False
    exportScrews: bool = False
    exportFormat: Annotated[str, Choice(FORMATS)] = FORMATS[0]
    exportFrame: Annotated[str, Choice(FRAMES)] = FRAMES[0]
    exportMerged: bool = False


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
        from MSKFusionLib.background import in_background
        from MSKFusionLib.panel import JobArea
        from MSKPlannerLib.add_area import AddArea
        from MSKPlannerLib.before_after_area import BeforeAfterArea
        from MSKPlannerLib.cut_area import CutArea
        from MSKPlannerLib.export_area import ExportArea
        from MSKPlannerLib.guide_area import GuideArea
        from MSKPlannerLib.landmark_area import LandmarkArea
        from MSKPlannerLib.mrml.adding import Adding
        from MSKPlannerLib.mrml.before_after import BeforeAfterViews
        from MSKPlannerLib.mrml.go_to import go_to_finding
        from MSKPlannerLib.mrml.leg_marking import LegMarking
        from MSKPlannerLib.mrml.pin_marking import PinMarking
        from MSKPlannerLib.mrml.plan_shelf import PlanShelf
        from MSKPlannerLib.mrml.screw_views import ScrewViews
        from MSKPlannerLib.pin_area import PinArea
        from MSKPlannerLib.plans_area import PlansArea
        from MSKPlannerLib.screw_area import ScrewArea
        from MSKPlannerLib.sections import Sections
        from MSKPlannerLib.state_area import StateArea
        from MSKPlannerLib.view_area import ViewArea

        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath("UI/MSKPlanner.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.ui.folderPathLineEdit.filters = ctk.ctkPathLineEdit.Dirs | ctk.ctkPathLineEdit.Writable
        self.logic = MSKPlannerLogic(call=in_background)
        self.job = JobArea(self.ui, slicer.app.processEvents)
        session = self.logic.session
        self.cutUi = self.addOsteotomies()
        self.state = StateArea(self.ui, self.cutUi)
        self.screws = ScrewArea(self.ui, makeCell, session.edit, self.onScrewChosen)
        self.cuts = CutArea(self.cutUi, makeCell, session.edit, session.select)
        marking = LegMarking(session, self._inputs, lambda: self.cuts.bone, runLater)
        self.landmarks = LandmarkArea(self.cutUi, makeCell, marking)
        self.beforeAfter = BeforeAfterArea(self.cutUi, BeforeAfterViews(session))
        self.views = ViewArea(self.ui, ScrewViews(session))
        self.plans = PlansArea(self.ui, makeCell, PlanShelf(session))
        self.ui.compareTable.verticalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        self.adding = AddArea(self.ui, Adding(session, self._inputs, self._run, self.screws.choose, runLater))
        self.pins = PinArea(self.ui, PinMarking(session, self._inputs), lambda: self.updateButtons())
        self.guides = GuideArea(
            self.ui, makeCell, self.pins, lambda f: go_to_finding(session, f), lambda: self.updateButtons()
        )
        self.ui.problemsTable.verticalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        self.export = ExportArea(self.ui, self.onExportBodies)
        session.listener = self.onPlanChanged
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndImport)
        self.ui.planButton.connect("clicked(bool)", self.onPlan)
        self.ui.guidesButton.connect("clicked(bool)", self.onGuides)
        self.ui.exportButton.connect("clicked(bool)", self.onExport)
        self.cutUi.addCutButton.connect("clicked(bool)", self.onAddCut)
        self.ui.updateButton.connect("clicked(bool)", self.onBringUpToDate)
        self.ui.undoButton.connect("clicked(bool)", lambda: session.undo())
        self.ui.redoButton.connect("clicked(bool)", lambda: session.redo())
        self.ui.cancelButton.connect("clicked(bool)", self.job.cancel)
        self.cutUi.cutBoneComboBox.connect("currentIndexChanged(int)", lambda index: self.landmarks.show())
        self.sections = Sections(
            {
                self.ui.addCollapsibleButton: lambda plan: False,
                self.cutUi.osteotomiesCollapsibleButton: lambda plan: bool(plan.osteotomies),
                self.ui.guidesCollapsibleButton: lambda plan: bool(plan.screws or plan.osteotomies or plan.guides),
                self.ui.plansCollapsibleButton: lambda plan: self.plans.several,
                self.ui.exportCollapsibleButton: lambda plan: bool(plan.guides),
            }
        )
        for section in (self.ui.addCollapsibleButton, self.ui.guidesCollapsibleButton):
            section.connect("contentsCollapsed(bool)", self.onSection)
        session.renew()
        self.initializeParameterNode()
        self.showCase()

    def onSection(self, collapsed: bool) -> None:
        """Hide in a section that was opened what the choices in it do not need: what was hidden while it was closed is shown then."""
        if not collapsed:
            self.guides.show_kind()
            self.updateButtons()

    def addOsteotomies(self) -> Any:
        """Put the section of the osteotomies, which has a file of its own, above that of the guides; return its widgets."""
        section = slicer.util.loadUI(self.resourcePath("UI/MSKPlannerOsteotomies.ui"))
        layout = self.ui.workArea.layout()
        layout.insertWidget(layout.indexOf(self.ui.guidesCollapsibleButton), section)
        widgets = slicer.util.childWidgetVariables(section)
        widgets.statusLabel = self.ui.statusLabel
        return widgets

    def cleanup(self) -> None:
        """Let go of the scene."""
        self.job.cancel()
        self.adding.stop()
        self.landmarks.stop()
        self.beforeAfter.stop()
        self.views.stop()
        self.setParameterNode(None)
        self.removeObservers()
        self.logic.session.listener = lambda name: None
        self.logic.session.close()

    def enter(self) -> None:
        """Make sure that there is a parameter node."""
        self.initializeParameterNode()

    def exit(self) -> None:
        """Stop following the parameter node while another module is shown."""
        self.adding.stop()
        self.landmarks.stop()
        self.beforeAfter.stop()
        self.views.stop()
        self.setParameterNode(None)

    def onSceneStartClose(self, caller: Any, event: Any) -> None:
        """Let go of the nodes that are about to vanish, and of the plan made on them."""
        self.job.cancel()
        self.plans.forget()
        self.setParameterNode(None)
        self.ui.statusLabel.text = ""

    def onSceneEndClose(self, caller: Any, event: Any) -> None:
        """Start anew where the panel is shown."""
        self.plans.show(editable=False)
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onSceneEndImport(self, caller: Any, event: Any) -> None:
        """Show what the scene that was loaded had chosen: while it was loading its nodes could not be."""
        basis = self.logic.session.basis
        self.beforeAfter.mend()
        if self.parent.isEntered:
            self.initializeParameterNode()
            if basis is not None:
                self._parameterNode.ctVolume, self._parameterNode.segmentation = basis.ct, basis.bones

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
            self.ui.lowestLevelComboBox.setItemText(0, _("as it is named"))
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self.updateButtons)
        self.updateButtons()

    def updateButtons(self, caller: Any = None, event: Any = None) -> None:
        """Enable what can be done, and say what is missing for the rest."""
        from MSKFusionLib.mrml.segment_names import segment_names
        from MSKPlannerLib.mrml.panel_state import state_of

        node = self._parameterNode
        ct, bones = (None, None) if node is None else (node.ctVolume, node.segmentation)
        state = state_of(self.logic.session, ct, bones)
        folder = node is not None and str(node.outputFolder) not in ("", ".")
        self.cuts.show_bones(segment_names(bones))
        self.pins.show_bones(segment_names(bones))
        noGuide = self.guides.missing(state.plan if state.planned else None)
        alone = self.guides.alone
        self.state.show(state, folder=folder, bone=bool(self.cuts.bone), no_guide=noGuide, alone=alone)
        self.export.show(possible=state.planned and folder, stale=bool(state.stale))
        self.landmarks.show()
        self.adding.show(state.levels, ready=state.ready)

    def onPlan(self) -> None:
        """Plan screws."""
        from MSKPlannerLib.plan_texts import level_names

        node = self._parameterNode
        ct, segmentation, lowest, levels = node.ctVolume, node.segmentation, node.lowestLevel, node.levels
        self._run(
            _("The screws could not be planned."),
            lambda report: self.logic.planScrews(
                ct, segmentation, None if lowest == AS_NAMED else lowest, level_names(levels), report
            ),
        )

    def onAddCut(self) -> None:
        """Cut the chosen bone."""
        node, bone = self._parameterNode, self.cuts.bone
        ct, segmentation, lowest = node.ctVolume, node.segmentation, node.lowestLevel
        added = self._run(
            _("The bone could not be cut."),
            lambda report: self.logic.addCut(ct, segmentation, bone, None if lowest == AS_NAMED else lowest, report),
        )
        if added is not None:
            self.cuts.choose(added.plan.osteotomies[-1].name)

    def onGuides(self) -> None:
        """Design guides of the kind that is chosen."""
        if self._hasRequirements():
            ct, bones, lowest = self._inputs()
            self._run(
                _("The guides could not be designed."),
                lambda report: self.logic.designGuides(
                    report, self.guides.request, nodes=(ct, bones), lowestLevel=lowest
                ),
            )

    def onBringUpToDate(self) -> None:
        """Count the breach risks and design the guides that are out of date."""
        if not self.logic.case.plan.guides or self._hasRequirements():
            ct, bones, lowest = self._inputs()
            self._run(
                _("The plan could not be brought up to date."),
                lambda report: self.logic.bringUpToDate(ct, bones, lowest, report),
            )

    def onScrewChosen(self, name: str) -> None:
        """Show the handles of the chosen screw, and the slices along it where that is wanted."""
        self.logic.session.select(name)
        self.views.show(self.screws.chosen)

    def onPlanChanged(self, screw: str | None) -> None:
        """Show what became of the plan, or of the one screw that is dragged."""
        from MSKPlannerLib.plan_texts import screws_in_words

        case = self.logic.case
        if screw is None or case is None:
            self.showCase()
        else:
            self.screws.update(case.plan, screw)
            self.cuts.update(case.plan, screw)
            self.beforeAfter.follow()
            self.ui.screwsLabel.text = screws_in_words(case.plan)
            self.guides.show(case.plan)
            self.updateButtons()
        self.ui.statusLabel.text = self.logic.session.problem
        if self.logic.session.incomplete:  # not now: whoever deletes a node may go on to delete the others
            qt.QTimer.singleShot(0, self.logic.session.write_document)

    def onExport(self) -> None:
        """Write the plan with everything that belongs to it."""
        folder = self._parameterNode.outputFolder
        outdated = self.export.allow_outdated
        with self.beforeAfter.aside():
            written = self._run(
                _("The plan could not be exported."),
                lambda report: self.logic.export(folder, report, allowOutdated=outdated),
            )
        if written is not None:
            self.ui.exportLabel.text = _("Written to {folder}.").format(folder=written)

    def onExportBodies(self, choice: Any) -> None:
        """Write the bodies that were chosen as mesh files."""
        from MSKPlannerLib.export_area import bodies_folder, written_in_words

        folder, outdated = bodies_folder(self._parameterNode.outputFolder, choice), self.export.allow_outdated
        files = self._run(
            _("The bodies could not be exported."),
            lambda report: self.logic.exportBodies(folder, choice, report, allowOutdated=outdated),
        )
        if files is not None:
            self.ui.exportLabel.text = written_in_words(folder, files, choice.frame)

    def showCase(self) -> None:
        """Show the plan's numbers and verdicts."""
        from MSKPlannerLib.plan_texts import screws_in_words

        case = self.logic.case
        plan = case.plan if case is not None else None
        node = self._parameterNode
        current = node is not None and self.logic.isCurrent(node.ctVolume, node.segmentation)
        self.screws.show(plan, editable=current)
        self.cuts.show(plan, editable=current)
        self.beforeAfter.show(plan)
        self.ui.screwsLabel.text = screws_in_words(plan)
        self.guides.show(plan)
        self.views.show(self.screws.chosen)
        self.plans.show(editable=current)
        self.sections.show(plan)
        self.ui.exportLabel.text = ""
        self.updateButtons()

    def _run(self, failed: str, work: Callable[[Any], Any]) -> Any:
        guard = slicer.util.tryWithErrorDisplay(failed, waitCursor=True)
        result = self.job.run(work, guard, stopped=_("Stopped. Nothing was changed."))
        if result is not None:
            self.ui.statusLabel.text = self.logic.session.problem or _("Done.")
            self.showCase()
        self.updateButtons()
        return result

    def _inputs(self) -> tuple[Any, Any, str]:
        """Return CT, bones and the name of the lowest vertebra, empty where the names hold."""
        node = self._parameterNode
        if node is None:
            return None, None, ""
        return node.ctVolume, node.segmentation, "" if node.lowestLevel == AS_NAMED else node.lowestLevel

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
        except (RuntimeError, subprocess.CalledProcessError) as declined:
            self.ui.statusLabel.text = _("Guides need libraries that are not installed: {reason}.").format(
                reason=declined
            )
            return False
        return True


def runLater(function: Callable[[], None]) -> None:
    """Call a function when what is being handled is done."""
    qt.QTimer.singleShot(0, function)


def makeCell(text: str, colour: str, told: str) -> Any:
    """Return a cell of the table of screws."""
    cell = qt.QTableWidgetItem(text)
    cell.setToolTip(told)
    if colour:
        cell.setForeground(qt.QBrush(qt.QColor(colour)))
    return cell


class MSKPlannerLogic(ScriptedLoadableModuleLogic):
    """What the buttons do, without them. Never opens a dialog; holds the case between the steps.

    Parameters
    ----------
    call
        Does the long work: the function is called in this process, or by `MSKFusionLib.background.in_background` in another.
    """

    def __init__(self, call: Callable[..., Any] | None = None) -> None:
        super().__init__()
        from MSKFusionLib.background import here
        from MSKPlannerLib.mrml.plan_session import PlanSession

        #: The plan in hand and its nodes, with undo (`MSKPlannerLib.mrml.plan_session`).
        self.session = PlanSession(slicer.mrmlScene, call=call or here)

    @property
    def case(self) -> Any:
        """The plan in hand with what it was made of (`MSKPlannerLib.pipeline.Case`); None before the first step."""
        return self.session.case

    def getParameterNode(self) -> Any:
        """Return the module's parameter node, typed."""
        return MSKPlannerParameterNode(super().getParameterNode())

    def isCurrent(self, ctNode: Any, segmentationNode: Any) -> bool:
        """Tell whether the case in hand was made of these nodes as they are now."""
        from MSKPlannerLib.mrml.planning import is_current

        return is_current(self.session, ctNode, segmentationNode)

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
        from MSKFusionLib.progress import no_progress
        from MSKPlannerLib.mrml.planning import plan_screws

        nodes = (ctNode, segmentationNode)
        return plan_screws(self.session, nodes, lowestLevel or "", levels, progress or no_progress)

    def addCut(
        self,
        ctNode: vtkMRMLScalarVolumeNode,
        segmentationNode: vtkMRMLSegmentationNode,
        bone: str,
        lowestLevel: str | None = None,
        progress: Any = None,
    ) -> Any:
        """Cut a bone and put its fragments into the scene; return the case.

        A femur or tibia is measured with its leg and cut for a straight axis where that can be planned; any other bone is cut
        across its middle and not turned yet.

        Raises
        ------
        MSKFusionLib.errors.MSKError
            When the bone cannot be cut.
        """
        from MSKFusionLib.progress import no_progress
        from MSKPlannerLib.mrml.planning import add_cut

        nodes = (ctNode, segmentationNode)
        return add_cut(self.session, nodes, bone, lowestLevel or "", progress or no_progress)

    def designGuides(self, progress: Any = None, asked: Any = None, *, nodes: Any = None, lowestLevel: str = "") -> Any:
        """Design guides of one kind for the plan and put them into the scene; return the case.

        Parameters
        ----------
        asked
            `MSKPlannerLib.editing.guide_edits.GuideRequest`; None: a drill guide a vertebra for the accepted screws.
        nodes, lowestLevel
            CT and bones to begin a plan on where there is none: for wires on a bone.

        Raises
        ------
        MSKFusionLib.errors.MSKError
            When there is nothing yet to make them for, or it is out of date.
        """
        from MSKFusionLib.progress import no_progress
        from MSKPlannerLib.editing.guide_edits import GuideRequest
        from MSKPlannerLib.mrml.planning import design_guides

        wanted = asked or GuideRequest()
        return design_guides(self.session, wanted, progress or no_progress, nodes=nodes, lowest_level=lowestLevel)

    def bringUpToDate(self, ctNode: Any, segmentationNode: Any, lowestLevel: str = "", progress: Any = None) -> Any:
        """Measure on bones that have changed, count breach risks, design guides that are out of date; return the case.

        Raises
        ------
        MSKFusionLib.errors.MSKError
            When there is no plan yet, or it was made on another CT.
        """
        from MSKFusionLib.progress import no_progress
        from MSKPlannerLib.mrml.updating import bring_up_to_date

        bring_up_to_date(self.session, ctNode, segmentationNode, lowestLevel, progress or no_progress)
        return self.case

    def export(self, folder: Any, progress: Any = None, *, allowOutdated: bool = False) -> pathlib.Path:
        """Write the plan document, the scene, the report and the guides' files; return the folder.

        Parameters
        ----------
        allowOutdated
            Also what is out of date; it says so in its files.

        Raises
        ------
        MSKFusionLib.errors.MSKError
            When there is no plan, any of it is out of date, or the folder cannot be written or holds results already.
        """
        from MSKFusionLib.progress import no_progress
        from MSKPlannerLib.cli.write_case import write_case
        from MSKPlannerLib.editing.up_to_date import require_up_to_date
        from MSKPlannerLib.export.plan_bodies import require_solids
        from MSKPlannerLib.output_folder import output_folder

        case, report = self.session.current_case(), progress or no_progress
        if not allowOutdated:
            require_up_to_date(case.plan)
        require_solids(case)
        self.session.write_document()
        shown = (slicer.mrmlScene, self.session.nodes)
        with output_folder(folder) as staging:
            write_case(case, staging, shown=shown, allow_outdated=allowOutdated, progress=report)
        self.session.exported = case.plan
        return pathlib.Path(folder)

    def exportBodies(self, folder: Any, choice: Any, progress: Any = None, *, allowOutdated: bool = False) -> Any:
        """Write bodies of the plan as mesh files (`MSKPlannerLib.export.plan_bodies.BodyChoice`); return what was written.

        Raises
        ------
        MSKFusionLib.errors.MSKError
            When there is no plan, a guide is out of date, there is nothing to write, or the folder cannot be written.
        """
        from MSKFusionLib.progress import no_progress
        from MSKPlannerLib.export.plan_bodies import export_bodies

        case = self.session.current_case()
        report = progress or no_progress
        files = export_bodies(case, folder, choice, allow_outdated=allowOutdated, progress=report)
        self.session.exported = case.plan
        return files


class MSKPlannerTest(ScriptedLoadableModuleTest):
    """The self test that runs in the application (Reload and Test)."""

    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run every test."""
        self.setUp()
        self.test_one_vertebra()
        self.setUp()
        self.test_panel()
        self.setUp()
        self.test_guides_and_cuts()

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

    def test_panel(self) -> None:
        """Go through the panel as a user does: plan, drag a tip, swap, undo all of it, go on with a copy."""
        from MSKFusionLib.mrml import segmentation_to_node, volume_to_node
        from MSKFusionLib.phantom import PatientOptions, generate_patient

        self.delayDisplay(_("Generating a patient"))
        patient = generate_patient(PatientOptions.small(seed=1))
        ct = volume_to_node(slicer.mrmlScene, patient.ct)
        bones = segmentation_to_node(slicer.mrmlScene, patient.labels)
        panel = slicer.util.getModuleWidget("MSKPlanner")
        panel.enter()
        panel.ui.ctSelector.setCurrentNode(ct)
        panel.ui.segmentationSelector.setCurrentNode(bones)
        panel.ui.levelsLineEdit.text = "L3"
        self.delayDisplay(_("Planning"))
        panel.ui.planButton.click()
        assert panel.ui.screwsTable.rowCount == 2, panel.ui.statusLabel.text
        planned = panel.logic.case.plan.screws
        line = panel.logic.session.nodes.screws[planned[0].name].axis
        r, a, s = planned[0].tip_ras
        line.SetNthControlPointPosition(1, r, a, s + 2.0)
        assert panel.logic.case.plan.screws[0].clearance_mm != planned[0].clearance_mm
        panel.ui.screwsTable.setCurrentCell(0, 0)
        panel.ui.swapButton.click()
        panel.ui.undoButton.click()
        panel.ui.undoButton.click()
        assert panel.logic.case.plan.screws == planned
        panel.ui.copyPlanButton.click()
        assert panel.ui.plansComboBox.count == 2
        slicer.mrmlScene.Clear(0)
        assert panel.logic.case is None
        self.delayDisplay(_("Test passed"))

    def test_guides_and_cuts(self) -> None:
        """Design guides of several kinds in the panel, give one up half way, and show a cut before and after in two 3D views."""
        from MSKFusionLib.mrml import segmentation_to_node, volume_to_node
        from MSKFusionLib.phantom import PatientOptions, generate_patient
        from MSKPlannerLib.mrml.before_after import FIRST, SECOND
        from MSKPlannerLib.mrml.view_nodes import view_3d

        self.delayDisplay(_("Generating a patient"))
        patient = generate_patient(PatientOptions.small(seed=1))
        volume_to_node(slicer.mrmlScene, patient.ct)
        segmentation_to_node(slicer.mrmlScene, patient.labels)
        panel = slicer.util.getModuleWidget("MSKPlanner")
        panel.enter()
        ui, cuts = panel.ui, panel.cutUi
        ui.levelsLineEdit.text = "L3"
        self.delayDisplay(_("Planning"))
        ui.planButton.click()
        assert ui.screwsTable.rowCount == 2, ui.statusLabel.text
        self.delayDisplay(_("Designing guides"))
        ui.guideKindComboBox.currentIndex = 0
        ui.guidesButton.click()
        ui.guideKindComboBox.currentIndex = 4
        ui.pinBoneComboBox.currentIndex = ui.pinBoneComboBox.findText("L3")
        ui.pinKindComboBox.currentIndex = 1
        ui.guidesButton.click()
        kinds = [g.recipe.kind for g in panel.logic.case.plan.guides]
        assert kinds == ["drill", "pin"], f"{kinds}: {ui.statusLabel.text}"
        case = panel.logic.case
        qt.QTimer.singleShot(0, panel.job.cancel)  # as the button does, while the work is under way
        ui.guidesButton.click()
        assert panel.logic.case is case
        ui.undoButton.click()
        assert [g.recipe.kind for g in panel.logic.case.plan.guides] == ["drill"]
        self.delayDisplay(_("Cutting a bone"))
        cuts.cutBoneComboBox.currentIndex = cuts.cutBoneComboBox.findText("L4")
        cuts.addCutButton.click()
        assert cuts.cutsTable.rowCount == 1, ui.statusLabel.text
        cuts.cutAngleSpinBox.value = 10.0
        fragments = panel.logic.session.cuts.shown.nodes["L4 osteotomy"].models
        before = {n: tuple(m.GetDisplayNode().GetViewNodeIDs() or ()) for n, m in fragments.items()}
        cuts.beforeAfterButton.click()
        first, second = (view_3d(slicer.mrmlScene, name) for name in (FIRST, SECOND))
        whole = slicer.mrmlScene.GetFirstNodeByName(_("{bone}, before").format(bone="L4"))
        assert whole.GetDisplayNode().IsDisplayableInView(first.GetID())
        assert not whole.GetDisplayNode().IsDisplayableInView(second.GetID())
        for model in fragments.values():
            assert model.GetDisplayNode().IsDisplayableInView(second.GetID())
            assert not model.GetDisplayNode().IsDisplayableInView(first.GetID())
        cuts.beforeAfterButton.click()
        assert {n: tuple(m.GetDisplayNode().GetViewNodeIDs() or ()) for n, m in fragments.items()} == before
        assert slicer.mrmlScene.GetFirstNodeByName(_("{bone}, before").format(bone="L4")) is None
        self.delayDisplay(_("Test passed"))
