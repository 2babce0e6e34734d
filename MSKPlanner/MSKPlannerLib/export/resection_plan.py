"""The plan document of a resection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..mesh import Mesh
from ..pipeline import rejections
from ..plan import Plan
from ..plan_resection import ResectionRecord
from ..records import describe_surface, new_plan


def resection_plan(record: ResectionRecord, inputs: Mapping[str, Mesh], parameters: Mapping[str, Any]) -> Plan:
    """Return a document with one resection in it.

    Parameters
    ----------
    inputs
        Surfaces that it was planned on, by ``bone`` and ``tumour``.
    parameters
        What was asked.
    """
    described = [describe_surface(name, mesh) for name, mesh in inputs.items()]
    plan_id = f"plan-{''.join(d['mesh_sha256'][:6] for d in described)}"
    return replace(
        new_plan(plan_id, described, {"resection": dict(parameters)}),
        resections=(record,),
        verdict=record.verdict,
        reasons=tuple(rejections([record])),
    )
