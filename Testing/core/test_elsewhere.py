"""A change of a case as another process works it out: what comes back is what is worked out here, and the rest is as it was."""

import pickle
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from core.leg_case import leg_case, leg_images

from MSKFusionLib.background import here
from MSKFusionLib.errors import InputError
from MSKFusionLib.progress import no_progress
from MSKPlannerLib.editing.elsewhere import changed_elsewhere
from MSKPlannerLib.editing.osteotomy_edits import first_cut
from MSKPlannerLib.plan import Guide


def there(function, *arguments, progress, **keywords):
    """Everything goes and comes as it does to and from another process."""
    arguments, keywords = pickle.loads(pickle.dumps((arguments, keywords)))
    return pickle.loads(pickle.dumps(function(*arguments, progress=progress, **keywords)))


@pytest.fixture(name="case")
def case_fixture():
    return leg_case(*leg_images())


def test_cuts_are_those_that_are_worked_out_here(case):
    one, said_here = changed_elsewhere(here, first_cut, case, "right tibia", progress=no_progress)
    other, said_there = changed_elsewhere(there, first_cut, case, "right tibia", progress=no_progress)
    assert other.plan == one.plan
    assert said_here == said_there == ""
    assert other.ct is case.ct
    assert other.segmentation is case.segmentation
    assert other.plan.limb is case.plan.limb
    second, _ = changed_elsewhere(there, first_cut, other, "right femur", progress=no_progress)
    assert [o.bone for o in second.plan.osteotomies] == ["right tibia", "right femur"]
    with pytest.raises(InputError, match="cut once"):
        changed_elsewhere(there, first_cut, second, "right femur", progress=no_progress)


def test_only_what_is_new_comes_back_and_what_is_gone_is_gone(case):
    solids = {n: SimpleNamespace(mesh=n) for n in ("kept", "dropped")}
    start = replace(
        case, mr=case.ct, guides=solids, plan=replace(case.plan, guides=(_guide("kept"), _guide("dropped")))
    )
    after, said = changed_elsewhere(there, _swap, start, progress=no_progress)
    assert said == "done"
    assert list(after.guides) == ["kept", "new"]
    assert after.guides["kept"] is solids["kept"]
    assert after.guides["new"].mesh == "new"
    assert after.plan.guides[0] is start.plan.guides[0]
    assert [g.name for g in after.plan.guides] == ["kept", "new"]
    assert after.mr is None
    assert after.fields.kept(("test", "bone"), lambda: None) == pytest.approx(np.arange(3))  # made there, known here
    images = after.fields.kept(("test", "images"), lambda: ())
    assert [a is b for a, b in zip(images, (case.ct, case.segmentation, case.segmentation.labels), strict=True)] == [
        True
    ] * 3


def _guide(name):
    return Guide(name, "L3", (), "g.stl", True, 1, 1.0, 2.0, 0.2, 0.2, 0.0, (0.0, 1.0, 0.0))


def _swap(case, progress):
    case.fields.kept(("test", "bone"), lambda: np.arange(3))
    case.fields.kept(("test", "images"), lambda: (case.ct, case.segmentation, case.segmentation.labels))
    guides = (case.plan.guides[0], _guide("new"))
    solids = {"kept": case.guides["kept"], "new": SimpleNamespace(mesh="new")}
    return replace(case, mr=None, guides=solids, plan=replace(case.plan, guides=guides)), "done"
