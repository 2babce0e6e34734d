"""What commands that measure a limb read: its bones, from meshes or a labelmap, and placed landmarks."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import FloatArray, flip_ras_lps
from MSKFusionLib.registration.landmark_files import read_landmarks
from MSKFusionLib.segmentation import Segmentation
from MSKFusionLib.segmentation.files import read_segmentation

from ..anatomy.limb_landmarks import spoken
from ..bone.smooth_bone import smooth_bone
from ..bone.surface import surface_of_depth
from ..export.mesh_files import read_mesh
from ..mesh import Mesh


def read_bones(args: argparse.Namespace, bones: Sequence[str], step_mm: float) -> dict[str, Mesh]:
    """Read bones from the meshes of the options that are called after them, or from the segments of `--bones`.

    Parameters
    ----------
    step_mm
        Grid of a surface that is made from a segment.

    Raises
    ------
    InputError
        When a file or a segment is not there, or none is called after any of the bones.
    """
    named = {bone: getattr(args, bone) for bone in bones}
    if args.bones is None:
        return {bone: _closed(read_mesh(name)) for bone, name in named.items() if name is not None}
    segmentation = read_segmentation(args.bones, numbering=args.numbering)
    there = ", ".join(s.name for s in segmentation.segments)
    found = {}
    for bone, name in named.items():
        segment = name if name is not None else _segment_of(segmentation, bone, args.side)
        if segment is None:
            continue
        if segment not in [s.name for s in segmentation.segments]:
            raise InputError(f"there is no segment '{segment}'", f"There are: {there}.", where=f"--{bone}")
        found[bone] = surface_of_depth(smooth_bone(segmentation, segment).field(step_mm))
    if not found:
        first, second = bones[:2]
        raise InputError(
            f"no segment is called {first} or {second}",
            f"Name them with --{first} and --{second}; there are: {there}.",
            where=str(args.bones),
        )
    return found


def _segment_of(segmentation: Segmentation, bone: str, side: str | None) -> str | None:
    """Return the segment that is called after a bone, of the side that was asked for."""
    names = [s.name for s in segmentation.segments if bone in s.name.lower().replace("_", " ").split()]
    if side is not None:
        names = [n for n in names if side in n.lower()] or names
    if len(names) > 1:
        raise InputError(
            f"several segments are called {bone}: {', '.join(names)}",
            f"Say --side, or name one with --{bone}.",
            "--bones",
        )
    return names[0] if names else None


def _closed(mesh: Mesh) -> Mesh:
    """Return a mesh that is outward."""
    return mesh if mesh.volume_mm3 >= 0 else Mesh(mesh.vertices_ras, mesh.faces[:, ::-1])


def read_direction(text: str | None, option: str, example: str) -> FloatArray | None:
    """Return the direction that ``R,A,S`` names; None where nothing is asked.

    Raises
    ------
    InputError
        When it is none.
    """
    if text is None:
        return None
    try:
        values = np.array([float(v) for v in text.split(",")])
    except ValueError:
        values = np.empty(0)
    if values.shape != (3,) or not np.isfinite(values).all() or np.linalg.norm(values) < 1e-6:
        raise InputError(f"'{text}' is not a direction", f"Write R,A,S, as {example}.", where=option)
    return values


def read_placed(path: str, known: Sequence[str], what: str) -> dict[str, FloatArray]:
    """Return placed landmarks under their names; blanks, hyphens and capitals do not matter.

    Raises
    ------
    InputError
        When one is none of those known; `what` says of what they are.
    """
    points = {}
    for label, point in read_landmarks(path).items():
        name = label.strip().lower().replace(" ", "_").replace("-", "_")
        if name not in known:
            raise InputError(
                f"'{label}' is no landmark of a {what}",
                f"Name them: {', '.join(spoken(n) for n in known)}.",
                where=path,
            )
        points[name] = point
    return points


def markups(landmarks: Any, origin: Mapping[str, str], names: Sequence[str]) -> dict[str, Any]:
    """Return landmarks (attributes of an object, RAS mm) as Slicer's point list, with where each comes from."""
    points = [
        {
            "id": str(n + 1),
            "label": spoken(name),
            "description": origin[name],
            "position": [float(c) for c in flip_ras_lps(getattr(landmarks, name))],
            "positionStatus": "defined",
        }
        for n, name in enumerate(name for name in names if name in origin)
    ]
    schema = "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/markups-schema-v1.0.3.json#"
    return {
        "@schema": schema,
        "markups": [{"type": "Fiducial", "coordinateSystem": "LPS", "controlPoints": points}],
    }
