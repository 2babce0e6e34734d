"""What a planned path is written as: plain data, and lines and points that Slicer opens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from vtkmodules.util.numpy_support import numpy_to_vtk
from vtkmodules.vtkCommonCore import vtkPoints
from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData
from vtkmodules.vtkIOXML import vtkXMLPolyDataWriter

from MSKFusionLib.frames import FloatArray, flip_ras_lps

from .ablation import AblationPlan, AblationRequest
from .needle_path import PathPlan
from .request import PathRequest

SCHEMA = "mskplanner-paths/1"


def paths_document(
    request: PathRequest,
    plan: PathPlan,
    inputs: list[Mapping[str, Any]],
    ablation: tuple[AblationRequest, AblationPlan] | None = None,
) -> dict[str, Any]:
    """Return the plan as plain data: what was asked, every way with its measures, why other entries were ruled out."""
    reachable = int(np.isfinite(plan.cost).sum())
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "inputs": inputs,
        "request": asdict(request),
        "message": plan.message,
        "verdict": "accepted" if plan.paths else "rejected",
        "entries_tried": len(plan.cost),
        "entries_reachable": reachable,
        "entries_ruled_out": dict(plan.why_not),
        "paths": [asdict(p) for p in plan.paths],
    }
    if ablation is not None:
        asked, found = ablation
        values = {k: v for k, v in vars(found).items() if k not in ("centres_ras", "axis_ras")}
        document["ablation"] = {
            "request": asdict(asked),
            "centres_ras": found.centres_ras.tolist(),
            "axis_ras": found.axis_ras.tolist(),
            **values,
        }
        if not found.reached:
            document["verdict"] = "rejected"
    return document


def write_markups(path: Path, kind: str, points_ras: FloatArray, labels: list[str]) -> None:
    """Write points as a markups file of Slicer (`Line` or `Fiducial`), in LPS as Slicer does."""
    points = [
        {"id": str(n + 1), "label": label, "position": [float(c) for c in flip_ras_lps(p)], "positionStatus": "defined"}
        for n, (p, label) in enumerate(zip(np.asarray(points_ras), labels, strict=True))
    ]
    schema = "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    document = {
        "@schema": schema + "markups-schema-v1.0.3.json#",
        "markups": [{"type": kind, "coordinateSystem": "LPS", "coordinateUnits": "mm", "controlPoints": points}],
    }
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def write_entry_map(path: Path, plan: PathPlan) -> None:
    """Write the entries that were tried as points in LPS with their cost (-1 where there is no way), for Slicer's models."""
    data = vtkPolyData()
    points = vtkPoints()
    points.SetData(numpy_to_vtk(flip_ras_lps(plan.entries_ras), deep=True))
    data.SetPoints(points)
    cells = vtkCellArray()
    for n in range(len(plan.cost)):
        cells.InsertNextCell(1, [n])
    data.SetVerts(cells)
    cost = numpy_to_vtk(np.nan_to_num(plan.cost, nan=-1.0), deep=True)
    cost.SetName("cost_mm")
    data.GetPointData().SetScalars(cost)
    writer = vtkXMLPolyDataWriter()
    writer.SetFileName(str(path))
    writer.SetInputData(data)
    writer.Write()
