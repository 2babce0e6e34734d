"""The plan document of a resection."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ..guides.recipe import mesh_sha256
from ..mesh import Mesh
from ..pipeline import rejections
from ..plan import Plan
from ..plan_resection import ResectionRecord
from ..records import software_versions


def resection_plan(record: ResectionRecord, inputs: Mapping[str, Mesh], parameters: Mapping[str, Any]) -> Plan:
    """Return a document with one resection in it.

    Parameters
    ----------
    inputs
        Surfaces that it was planned on, by ``bone`` and ``tumour``.
    parameters
        What was asked.
    """
    hashes = {name: mesh_sha256(mesh) for name, mesh in inputs.items()}
    return Plan(
        plan_id=f"plan-{''.join(h[:6] for h in hashes.values())}",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        software=software_versions(),
        inputs=tuple(
            {"role": name, "mesh_sha256": hashes[name], "triangles": len(mesh.faces)} for name, mesh in inputs.items()
        ),
        parameters={"resection": dict(parameters)},
        resections=(record,),
        verdict=record.verdict,
        reasons=tuple(rejections([record])),
    )
