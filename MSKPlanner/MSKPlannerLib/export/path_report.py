"""The report of percutaneous paths: one HTML file that opens without a network."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MSKFusionLib.frames import FloatArray, perpendicular_axes, transform_points, unit
from MSKFusionLib.interpolation import sample_volume
from MSKFusionLib.segmentation.labels import Segmentation
from MSKFusionLib.terminology import structure_colour
from MSKFusionLib.volume import Modality, Volume

from ..percutaneous.ablation import AblationPlan
from ..percutaneous.needle_path import NeedlePath, PathPlan
from .html import bullets, figures, page, png_bytes, table

_PIXEL_MM, _ROOM_MM = 0.7, 30.0
_WINDOW_HU = (-220.0, 380.0)
_NEEDLE, _ZONE = (255, 210, 0), (255, 90, 40)


def render_path_report(
    document: Mapping[str, Any],
    plan: PathPlan,
    image: Volume,
    segmentation: Segmentation | None,
    ablation: AblationPlan | None = None,
) -> str:
    """Return the report as HTML.

    Parameters
    ----------
    document
        Of `percutaneous.document.paths_document`.
    """
    accepted = document["verdict"] == "accepted"
    rows = [_row(n, p) for n, p in enumerate(plan.paths, 1)]
    head = [
        "Path", "Entry RAS mm", "Length mm", "To the table °", "In the axial plane °", "Cranial °", "Off the skin's normal °",
        "Bone mm", "Off the bone's normal °", "Nearest structures mm", "Cost", "Remarks",
    ]  # fmt: skip
    pictures = [
        (slices_along(image, segmentation, p, ablation if n == 1 else None), f"Path {n}: along the needle, two views")
        for n, p in enumerate(plan.paths, 1)
    ]
    return page(
        "paths.html",
        verdict_class=document["verdict"],
        verdict="Accepted by its own checks. Not for clinical use without review."
        if accepted
        else "REJECTED by its own checks.",
        message=escape(plan.message),
        paths=table(head, rows),
        pictures=figures(pictures),
        ablation="<p>None was asked for.</p>"
        if ablation is None
        else f"<p>{escape(ablation.message)}</p>"
        + bullets(f"{name}: {mm:.1f} mm from the ablated zone" for name, mm in ablation.structures_mm.items()),
        map=_map(plan, ablation),
        reasons=table(["Reason", "Entries"], [[r, n] for r, n in document["entries_ruled_out"].items()]),
        asked=table(["Asked", "Value"], [[k, str(v)] for k, v in document["request"].items()]),
    )


def _row(n: int, p: NeedlePath) -> list[object]:
    return [
        n, " ".join(f"{c:.1f}" for c in p.entry_ras), f"{p.length_mm:.0f}", f"{p.table_deg:.0f}", f"{p.axial_deg:+.0f}",
        f"{p.cranial_deg:+.0f}", f"{p.skin_deg:.0f}", ", ".join(f"{b} {mm:.0f}" for b, mm in p.bone_mm.items()) or "none",
        None if p.bone_deg is None else f"{p.bone_deg:.0f}",
        ", ".join(f"{s} {mm:.1f}" for s, mm in list(p.structures_mm.items())[:4]) or "none within 40",
        f"{p.cost:.0f}", "; ".join(p.notes),
    ]  # fmt: skip


def slices_along(
    image: Volume, segmentation: Segmentation | None, path: NeedlePath, ablation: AblationPlan | None = None
) -> bytes:
    """Return a PNG of two slices at right angles that both contain the needle; the skin is above, the target below."""
    entry, target = np.array(path.entry_ras), np.array(path.target_ras)
    axis = unit(target - entry)
    # The first view is as near to axial as the needle allows.
    up = np.array([0.0, 0.0, 1.0])
    side = np.cross(axis, up)
    first = unit(side) if np.linalg.norm(side) > 0.2 else perpendicular_axes(axis)[0]
    panels = [
        _slice(image, segmentation, entry, axis, a, path.length_mm, ablation) for a in (first, np.cross(axis, first))
    ]
    gap = np.full((panels[0].shape[0], 4, 3), 255, dtype=np.uint8)
    return png_bytes(np.concatenate([panels[0], gap, panels[1]], axis=1))


def _slice(
    image: Volume,
    segmentation: Segmentation | None,
    entry: FloatArray,
    axis: FloatArray,
    aside: FloatArray,
    length_mm: float,
    ablation: AblationPlan | None,
) -> NDArray[np.uint8]:
    down = np.arange(-15.0, length_mm + _ROOM_MM, _PIXEL_MM)
    half = 0.5 * max(length_mm + _ROOM_MM, 90.0)
    across = np.arange(-half, half, _PIXEL_MM)
    points = entry + down[:, None, None] * axis + across[None, :, None] * aside
    values = sample_volume(image, points)
    ct = image.modality is Modality.CT
    low, high = _WINDOW_HU if ct else np.quantile(values, (0.01, 0.995))
    grey = np.clip((values - low) / max(float(high - low), 1e-6), 0, 1) * 255
    at = transform_points(image.ras_to_ijk, points)
    grey[np.any((at < 0) | (at > np.array(image.shape_ijk) - 1), axis=-1)] = 0
    picture = np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)
    if segmentation is not None:
        labels = segmentation.labels
        ijk = np.rint(transform_points(labels.ras_to_ijk, points)).astype(int)
        inside = np.all((ijk >= 0) & (ijk < labels.shape_ijk), axis=-1)
        i, j, k = np.moveaxis(np.clip(ijk, 0, np.array(labels.shape_ijk) - 1), -1, 0)
        there = np.where(inside, labels.voxels[k, j, i], 0)
        for segment in segmentation.segments:
            mask = there == segment.value
            if mask.any():
                colour = np.array(structure_colour(segment.name, segment.kind)) * 255
                picture[mask & ~ndimage.binary_erosion(mask)] = colour.astype(np.uint8)
    if ablation is not None:
        axes = ablation.axis_ras
        for centre in ablation.centres_ras:
            arm = points - centre
            along = arm @ axes
            radial = np.linalg.norm(arm - along[..., None] * axes, axis=-1)
            zone = (2 * radial / ablation.across_mm) ** 2 + (2 * along / ablation.along_mm) ** 2 <= 1
            picture[zone & ~ndimage.binary_erosion(zone, iterations=2)] = _ZONE
    needle = (np.abs(across)[None, :] <= _PIXEL_MM) & ((down >= 0) & (down <= length_mm))[:, None]
    picture[needle] = _NEEDLE
    return picture


def _map(plan: PathPlan, ablation: AblationPlan | None) -> str:
    import plotly.graph_objects as go

    open_ = np.isfinite(plan.cost)

    def dots(which: NDArray[np.bool_], name: str, **marker: Any) -> Any:
        x, y, z = np.round(plan.entries_ras[which], 1).T
        return go.Scatter3d(x=x, y=y, z=z, mode="markers", name=name, marker={"size": 2.5, **marker})

    traces = [dots(~open_, "no way", color="#cccccc", opacity=0.35)]
    if open_.any():
        colour = {"color": np.round(plan.cost[open_], 1), "colorscale": "Viridis", "colorbar": {"title": "Cost mm"}}
        traces.append(dots(open_, "reaches the target", **colour))
    for n, p in enumerate(plan.paths, 1):
        x, y, z = np.array([p.entry_ras, p.target_ras]).T
        traces.append(go.Scatter3d(x=x, y=y, z=z, mode="lines", name=f"path {n}", line={"width": 7}))
    if ablation is not None:
        x, y, z = ablation.centres_ras.T
        traces.append(go.Scatter3d(x=x, y=y, z=z, mode="markers", name="zones", marker={"size": 6, "color": "#ff5a28"}))
    figure = go.Figure(traces)
    figure.update_layout(
        scene={"aspectmode": "data", **{f"{a}axis": {"title": t} for a, t in zip("xyz", "RAS", strict=True)}},
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        height=560,
    )
    return str(figure.to_html(full_html=False, include_plotlyjs=True, div_id="map", config={"displaylogo": False}))
