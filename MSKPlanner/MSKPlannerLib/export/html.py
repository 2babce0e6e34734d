"""Pieces of a report: lists, tables and pictures as HTML that needs no other file."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from string import Template

import numpy as np
from numpy.typing import NDArray
from vtkmodules.util import numpy_support
from vtkmodules.vtkCommonDataModel import vtkImageData
from vtkmodules.vtkIOImage import vtkPNGWriter

from MSKFusionLib.resources import resource_path


def page(template: str, **parts: str) -> str:
    """Return a page of `Resources/Report` with its parts, which must be HTML already, and the head that all pages have."""
    head = _template("head.html").substitute(style=_text("style.css")).rstrip()
    return _template(template).substitute(head=head, **parts)


def _template(name: str) -> Template:
    return Template(_text(name))


def _text(name: str) -> str:
    return resource_path("Report", name).read_text(encoding="utf-8")


def bullets(items: Iterable[str]) -> str:
    """Return a list of remarks, nothing where there are none."""
    rows = "".join(f"<li>{escape(i)}</li>" for i in items)
    return f"<ul>{rows}</ul>" if rows else ""


def table(head: Sequence[str], rows: Iterable[Sequence[object]], marks: Sequence[str] | None = None) -> str:
    """Return a table; numbers get two decimals, None a dash.

    Parameters
    ----------
    marks
        The CSS class of each row.
    """
    body = ""
    for n, row in enumerate(rows):
        mark = f' class="{marks[n]}"' if marks else ""
        body += f"<tr{mark}>" + "".join(f"<td>{escape(_cell(c))}</td>" for c in row) + "</tr>"
    if not body:
        return "<p>None.</p>"
    return (
        "<table><thead><tr>"
        + "".join(f"<th>{escape(h)}</th>" for h in head)
        + f"</tr></thead><tbody>{body}</tbody></table>"
    )


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.2f}".removeprefix("-") if value == 0 else f"{value:.2f}"
    return str(value)


def figures(pictures: Iterable[tuple[bytes, str]]) -> str:
    """Return pictures (PNG) side by side, each with its caption."""
    out = []
    for png, caption in pictures:
        data = base64.b64encode(png).decode("ascii")
        out.append(
            f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,{data}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )
    return f'<div class="pictures">{"".join(out)}</div>' if out else ""


def png_bytes(picture: NDArray[np.uint8]) -> bytes:
    """Return a picture (rows, columns, RGB) as a PNG."""
    rows, columns, _ = picture.shape
    image = vtkImageData()
    image.SetDimensions(columns, rows, 1)
    # VTK's pictures begin at the bottom.
    scalars = numpy_support.numpy_to_vtk(np.ascontiguousarray(picture[::-1]).reshape(-1, 3), deep=True)
    image.GetPointData().SetScalars(scalars)
    writer = vtkPNGWriter()
    writer.SetWriteToMemory(True)
    writer.SetInputData(image)
    writer.Write()
    return bytes(numpy_support.vtk_to_numpy(writer.GetResult()))
