"""Pictures of bones with lines and points over them, drawn without a graphics card: shaded in numpy, lines as SVG."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from MSKFusionLib.frames import FloatArray, unit, unit_rows

from ..mesh import Mesh
from .html import png_bytes

#: Empty border round the bones, mm.
_BORDER_MM = 8.0
#: Bones that face away stay visible: least and most of full brightness.
_SHADE = (0.35, 1.0)


@dataclass(frozen=True)
class Body:
    """A bone, or a part of one, and its colour (0 to 255)."""

    mesh: Mesh
    colour: tuple[int, int, int] = (232, 222, 196)


@dataclass(frozen=True, eq=False)
class Line:
    """A line between points (N, 3), RAS mm, or one dot where N is 1; with words at its first point."""

    points_ras: FloatArray
    colour: str = "#0072b2"
    label: str = ""
    dashed: bool = False


def bone_figure(
    bodies: Sequence[Body],
    lines: Sequence[Line],
    right_ras: FloatArray,
    up_ras: FloatArray,
    caption: str,
    *,
    mm_per_pixel: float = 0.5,
    within_ras: FloatArray | None = None,
) -> str:
    """Return a figure (HTML) of bones seen along a direction.

    Parameters
    ----------
    right_ras, up_ras
        Unit: what runs to the right and upwards in the picture; the bones are seen from where both cross towards.
    within_ras
        (N, 3) points that the picture shows with a border; None: all bones.
    """
    right, up = unit(right_ras), unit(up_ras)
    shown = np.concatenate([b.mesh.vertices_ras for b in bodies]) if within_ras is None else within_ras
    low = np.array([(shown @ right).min(), (shown @ up).min()]) - _BORDER_MM
    high = np.array([(shown @ right).max(), (shown @ up).max()]) + _BORDER_MM
    width, height = (int(n) for n in np.ceil((high - low) / mm_per_pixel))
    picture = _shaded(bodies, right, up, low, (width, height), mm_per_pixel)

    def place(point: FloatArray) -> tuple[float, float]:
        return float(point @ right - low[0]) / mm_per_pixel, height - float(point @ up - low[1]) / mm_per_pixel

    drawn = "".join(_svg_line(line, [place(p) for p in np.atleast_2d(line.points_ras)]) for line in lines)
    data = base64.b64encode(png_bytes(picture)).decode("ascii")
    return (
        f'<figure><svg viewBox="0 0 {width} {height}" width="{width}" role="img" aria-label="{escape(caption)}" '
        f'style="max-width:100%;height:auto">'
        f'<image href="data:image/png;base64,{data}" width="{width}" height="{height}"/>{drawn}</svg>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _svg_line(line: Line, at: list[tuple[float, float]]) -> str:
    corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
    dash = ' stroke-dasharray="6 4"' if line.dashed else ""
    drawn = f'<polyline points="{corners}" fill="none" stroke="{line.colour}" stroke-width="2"{dash}/>'
    if len(at) == 1:
        drawn = f'<circle cx="{at[0][0]:.1f}" cy="{at[0][1]:.1f}" r="4" fill="{line.colour}" stroke="white"/>'
    if line.label:
        x, y = at[0]
        drawn += (
            f'<text x="{x + 6:.1f}" y="{y - 5:.1f}" font-family="sans-serif" font-size="13" fill="{line.colour}" '
            f'stroke="white" stroke-width="3" paint-order="stroke">{escape(line.label)}</text>'
        )
    return drawn


def _shaded(
    bodies: Sequence[Body], right: FloatArray, up: FloatArray, low: FloatArray, size: tuple[int, int], step: float
) -> NDArray[np.uint8]:
    """Return the picture (rows from the top, RGB): the nearest point of a surface in each pixel, lit from the eye."""
    towards = np.cross(right, up)
    depth = np.full(size[0] * size[1], -np.inf)
    image = np.full((size[0] * size[1], 3), 255, dtype=np.uint8)
    for body in bodies:
        facing = body.mesh.face_area_vectors @ towards > 0
        corners = body.mesh.triangles_ras[facing]
        if not len(corners):
            continue
        light = unit_rows(body.mesh.face_area_vectors[facing]) @ towards
        edge = float(np.sqrt(4 * body.mesh.area_mm2 / len(body.mesh.faces)))
        parts = int(np.clip(np.ceil(1.6 * edge / step), 1, 10))
        for i in range(parts + 1):
            for j in range(parts + 1 - i):
                a, b = i / parts, j / parts
                p = a * corners[:, 0] + b * corners[:, 1] + (1 - a - b) * corners[:, 2]
                x = np.floor((p @ right - low[0]) / step).astype(int)
                y = size[1] - 1 - np.floor((p @ up - low[1]) / step).astype(int)
                inside = np.flatnonzero((x >= 0) & (x < size[0]) & (y >= 0) & (y < size[1]))
                near = (p[inside] @ towards).astype(float)
                # The nearest comes last where several fall on one pixel.
                inside, near = inside[np.argsort(near)], np.sort(near)
                pixel = y[inside] * size[0] + x[inside]
                seen = near > depth[pixel]
                pixel, near, inside = pixel[seen], near[seen], inside[seen]
                depth[pixel] = near
                shade = _SHADE[0] + (_SHADE[1] - _SHADE[0]) * light[inside]
                image[pixel] = (shade[:, None] * np.array(body.colour)).astype(np.uint8)
    return image.reshape(size[1], size[0], 3)
