"""Generated patients in Slicer's Sample Data module."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from harness.helpers import replace_function
from MSKFusionLib.mrml import sample_data


class Register:
    """What `SampleData.SampleDataLogic` of Slicer 5.12 takes, by the names of its arguments."""

    def __init__(self):
        self.titles, self.sources = {}, {}

    def registerCustomSampleDataCategory(self, category, title):
        self.titles[category] = title

    def registerCustomSampleDataSource(
        self, category="Custom", sampleName=None, uris=None, fileNames=None, nodeNames=None, customDownloader=None,
        thumbnailFileName=None, loadFileTypes=None, loadFiles=None, loadFileProperties=None, checksums=None,
    ):  # fmt: skip
        assert (uris, fileNames, nodeNames, checksums) == (None,) * 4, "nothing is downloaded"
        assert Path(thumbnailFileName).is_file()
        self.sources[sampleName] = (category, customDownloader)


@pytest.fixture
def registered(session, monkeypatch):
    register = Register()
    module = types.ModuleType("SampleData")
    module.SampleDataLogic = register
    monkeypatch.setitem(sys.modules, "SampleData", module)
    session.load("MSKPlanner")
    session.application.startupCompleted.emit()
    return register


def test_samples_are_offered_when_slicer_has_started(registered):
    assert registered.titles == {"MSKPlanner": "MSK Planner"}
    assert list(registered.sources) == [s.name for s in sample_data.SAMPLES]


def test_a_sample_is_chosen_by_the_panels(registered, session, small_patient, monkeypatch):
    replace_function(monkeypatch, "MSKFusionLib.mrml.sample_data.generate_patient", lambda *_: small_patient)
    for _category, load in registered.sources.values():
        load(None)
    fusion, planner = session.open_panel("MSKFusion"), session.open_panel("MSKPlanner")
    assert fusion.ui.ctSelector.currentNode().GetName() == "Generated CT"
    assert fusion.ui.mrSelector.currentNode().GetName() == "Generated T1"
    assert fusion.ui.registerButton.enabled
    assert planner.ui.segmentationSelector.currentNode().GetName() == "Generated bones"
    assert planner.ui.planButton.enabled
