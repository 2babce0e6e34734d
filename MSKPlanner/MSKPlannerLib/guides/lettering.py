"""Embossed names: a stroke font of our own, so that strokes have the width that the printer needs."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import FloatArray

#: Strokes of each sign on a grid 4 wide and 6 high, y up: polylines through (x, y).
_GLYPHS: dict[str, tuple[tuple[tuple[float, float], ...], ...]] = {
    "0": (((1, 0), (0, 1.2), (0, 4.8), (1, 6), (3, 6), (4, 4.8), (4, 1.2), (3, 0), (1, 0)),),
    "1": (((0.8, 4.6), (2.2, 6), (2.2, 0)), ((0.8, 0), (3.6, 0))),
    "2": (((0, 4.8), (1, 6), (3, 6), (4, 4.9), (4, 3.8), (0, 0), (4, 0)),),
    "3": (((0, 6), (4, 6), (1.9, 3.5), (3, 3.5), (4, 2.5), (4, 1.1), (3, 0), (1, 0), (0, 1)),),
    "4": (((3, 0), (3, 6), (0, 1.8), (4, 1.8)),),
    "5": (((4, 6), (0.4, 6), (0.2, 3.4), (2.9, 3.4), (4, 2.4), (4, 1.1), (3, 0), (1, 0), (0, 0.9)),),
    "6": (
        ((3.6, 6), (1.6, 5.2), (0, 2.6), (0, 1.1), (1, 0), (3, 0), (4, 1.1), (4, 2.2), (3, 3.3), (1, 3.3), (0, 2.2)),
    ),
    "7": (((0, 6), (4, 6), (1.4, 0)),),
    "8": (
        ((1, 3.2), (0, 4.1), (0, 5.1), (1, 6), (3, 6), (4, 5.1), (4, 4.1), (3, 3.2), (1, 3.2)),
        ((1, 3.2), (0, 2.2), (0, 1), (1, 0), (3, 0), (4, 1), (4, 2.2), (3, 3.2)),
    ),
    "9": (
        ((0.4, 0), (2.4, 0.8), (4, 3.4), (4, 4.9), (3, 6), (1, 6), (0, 4.9), (0, 3.8), (1, 2.7), (3, 2.7), (4, 3.8)),
    ),
    "C": (((4, 4.9), (3, 6), (1, 6), (0, 4.8), (0, 1.2), (1, 0), (3, 0), (4, 1.1)),),
    "L": (((0, 6), (0, 0), (3.6, 0)),),
    "R": (((0, 0), (0, 6), (3, 6), (4, 5.2), (4, 3.8), (3, 3), (0, 3)), ((2, 3), (4, 0))),
    "S": (((4, 5), (3, 6), (1, 6), (0, 5), (0, 4), (1, 3.2), (3, 2.8), (4, 2), (4, 1), (3, 0), (1, 0), (0, 1)),),
    "T": (((0, 6), (4, 6)), ((2, 6), (2, 0))),
    "V": (((0, 6), (2, 0), (4, 6)),),
    "-": (((0.6, 3), (3.4, 3)),),
    # No O: on a print it could not be told from 0.
    "A": (((0, 0), (2, 6), (4, 0)), ((0.8, 2.1), (3.2, 2.1))),
    "B": (
        ((0, 0), (0, 6), (3, 6), (4, 5.2), (4, 3.9), (3, 3.1), (0, 3.1)),
        ((3, 3.1), (4, 2.3), (4, 0.8), (3, 0), (0, 0)),
    ),
    "D": (((0, 0), (0, 6), (2.4, 6), (4, 4.6), (4, 1.4), (2.4, 0), (0, 0)),),
    "E": (((4, 6), (0, 6), (0, 0), (4, 0)), ((0, 3), (3, 3))),
    "F": (((4, 6), (0, 6), (0, 0)), ((0, 3), (3, 3))),
    "G": (((4, 4.9), (3, 6), (1, 6), (0, 4.8), (0, 1.2), (1, 0), (3, 0), (4, 1.1), (4, 2.8), (2.4, 2.8)),),
    "H": (((0, 0), (0, 6)), ((4, 0), (4, 6)), ((0, 3), (4, 3))),
    "I": (((2, 0), (2, 6)), ((0.6, 0), (3.4, 0)), ((0.6, 6), (3.4, 6))),
    "J": (((4, 6), (4, 1.2), (3, 0), (1, 0), (0, 1.2)),),
    "K": (((0, 0), (0, 6)), ((4, 6), (0, 2.6)), ((1.4, 3.8), (4, 0))),
    "M": (((0, 0), (0, 6), (2, 2.6), (4, 6), (4, 0)),),
    "N": (((0, 0), (0, 6), (4, 0), (4, 6)),),
    "P": (((0, 0), (0, 6), (3, 6), (4, 5.2), (4, 3.6), (3, 2.8), (0, 2.8)),),
    "Q": (((1, 0), (0, 1.2), (0, 4.8), (1, 6), (3, 6), (4, 4.8), (4, 1.2), (3, 0), (1, 0)), ((2.4, 1.8), (4, 0))),
    "U": (((0, 6), (0, 1.2), (1, 0), (3, 0), (4, 1.2), (4, 6)),),
    "W": (((0, 6), (0.9, 0), (2, 3.6), (3.1, 0), (4, 6)),),
    "X": (((0, 0), (4, 6)), ((0, 6), (4, 0))),
    "Y": (((0, 6), (2, 3), (4, 6)), ((2, 3), (2, 0))),
    "Z": (((0, 6), (4, 6), (0, 0), (4, 0)),),
}
_GLYPH_WIDTH, _GLYPH_HEIGHT = 4.0, 6.0


def text_size(text: str, height_mm: float, stroke_mm: float) -> tuple[float, float]:
    """Return width and height in mm of a text, strokes included."""
    scale = (height_mm - stroke_mm) / _GLYPH_HEIGHT
    pitch = _GLYPH_WIDTH * scale + 1.7 * stroke_mm
    return pitch * (len(text) - 1) + _GLYPH_WIDTH * scale + stroke_mm, height_mm


def text_solid(
    text: str, frame_to_ras: FloatArray, height_mm: float, stroke_mm: float, low_mm: float, high_mm: float
) -> Any:
    """Return a text as a `manifold3d.Manifold`, centred on the origin of a frame.

    Parameters
    ----------
    frame_to_ras
        Rigid 4x4: x is the reading direction, y up, z towards the reader.
    low_mm, high_mm
        The letters reach from here to there along z.

    Raises
    ------
    InputError
        For a sign that the font lacks.
    """
    import manifold3d as m3

    if not text:
        raise InputError("the name is empty", "Give one of a few signs.")
    scale = (height_mm - stroke_mm) / _GLYPH_HEIGHT
    pitch = _GLYPH_WIDTH * scale + 1.7 * stroke_mm
    width, _ = text_size(text, height_mm, stroke_mm)
    dot = m3.CrossSection.circle(stroke_mm / 2, 24)
    strokes = []
    for n, sign in enumerate(text):
        if sign not in _GLYPHS:
            raise InputError(f"the sign '{sign}' of '{text}' cannot be embossed", f"Signs: {''.join(_GLYPHS)}.")
        corner = np.array([n * pitch + stroke_mm / 2 - width / 2, (stroke_mm - height_mm) / 2])
        for line in _GLYPHS[sign]:
            points = np.array(line) * scale + corner
            dots = [dot.translate(p.tolist()) for p in points]
            strokes += [m3.CrossSection.batch_hull([a, b]) for a, b in pairwise(dots)]
    flat = m3.CrossSection.batch_boolean(strokes, m3.OpType.Add)
    return flat.extrude(high_mm - low_mm).translate([0.0, 0.0, low_mm]).transform(frame_to_ras[:3])
