"""The plan document: what is written reads back the same, what is broken is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from MSKFusionLib.errors import InputError
from MSKFusionLib.registration.result import Verdict
from MSKPlannerLib.plan import Check, Guide, Plan, Screw
from MSKPlannerLib.plan_file import plan_from_json, plan_schema, plan_to_json, read_plan

ROOT = Path(__file__).resolve().parents[2]
finite = st.floats(allow_nan=False, allow_infinity=False, width=64)
points = st.tuples(finite, finite, finite)


@st.composite
def plans(draw):
    name = draw(st.sampled_from(["L4 left", "V2 right", "Ö \"'<"]))
    screw = Screw(
        name, "pedicle", "L4", "left", draw(points), draw(points), draw(finite), draw(finite), draw(finite), "A",
        hu_mean=draw(st.none() | finite), verdict=draw(st.sampled_from(Verdict)), reasons=("a", "b"),
    )  # fmt: skip
    guide = Guide(
        "L4 guide", "L4", (name,), "g.stl", True, 1, draw(finite), 2.0, 0.25, 0.25, 0.1, draw(points),
        checks=(Check("closed", True, None, 1.0, "mm", "", draw(points)),),
    )  # fmt: skip
    return Plan(
        "p", "2026-01-01T00:00:00", {"a": "1"}, ({"x": [1, 2.5]},), {"k": None}, screws=(screw,), guides=(guide,)
    )


# The same plans every time, and no verdict on how fast the machine is.
@settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plans())
def test_every_number_comes_back_to_the_last_digit(plan):
    text = plan_to_json(plan)
    assert plan_from_json(text) == plan
    assert plan_to_json(plan_from_json(text)) == text


def _document(**changes):
    document = json.loads(plan_to_json(Plan("p", "now", {})))
    document.update(changes)
    return document


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("{", "not valid JSON"),
        ("[]", "not a plan"),
        ('{"schema": "other/1"}', "not a plan"),
        (_document(schema="mskplanner-plan/99"), "schema version 99"),
        (_document(surprise=1), "unknown field 'surprise'"),
        ({k: v for k, v in _document().items() if k != "plan_id"}, "'plan_id' is missing"),
        (_document(screws={}), "plan.screws: {} is not a list"),
        (_document(screws=[{"name": 1}]), "plan.screws[0]"),
        (_document(verdict="perhaps"), "accepted, rejected"),
        (json.dumps(_document()).replace('"p"', "NaN"), "NaN is not a number"),
    ],
)
def test_a_broken_document_is_refused_in_one_line(document, words):
    text = document if isinstance(document, str) else json.dumps(document)
    with pytest.raises(InputError) as caught:
        plan_from_json(text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_the_reader_would_refuse_is_never_written():
    screw = Screw("s", "pedicle", "L4", "left", (0.0, 0.0, float("nan")), (1.0, 0.0, 0.0), 5.0, 1.0, 1.0, "A")
    with pytest.raises(InputError, match="finite"):
        plan_to_json(replace(Plan("p", "now", {}), screws=(screw,)))


def test_no_plan_in_a_folder(tmp_path):
    with pytest.raises(InputError, match="no plan here"):
        read_plan(tmp_path)


def test_the_published_schema_is_the_one_of_the_code():
    published = json.loads((ROOT / "docs" / "plan.schema.json").read_text(encoding="utf-8"))
    assert published == plan_schema()
