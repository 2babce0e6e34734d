"""`mskplanner forearm`: radial inclination, volar tilt and ulnar variance of a wrist from its bones or its landmarks."""

from __future__ import annotations

import argparse
import json
from typing import Any

from MSKFusionLib.progress import Progress

from ..anatomy.forearm import FOREARM_POINTS, WRIST_MEASURES, WRIST_NEEDS, wrist_in_words, wrist_sensitivity
from ..anatomy.forearm_search import ForearmPoints, find_forearm
from ..anatomy.limb_landmarks import spoken
from ..export.points_record import describe_points
from ..output_folder import check_output, output_folder
from .bone_input import markups, read_bones, read_direction, read_placed
from .console import say, table
from .status import DONE

BONES = ("radius", "ulna")
#: Grid of a surface that is made from a segment, mm: the rims of a wrist are finer than a knee.
_SURFACE_STEP_MM = 0.8


def forearm(args: argparse.Namespace, progress: Progress) -> int:
    """Measure a wrist."""
    check_output(args.out, force=args.force)
    distal = read_direction(args.distal, "--distal", "0,0,-1 for downwards")
    bones = read_bones(args, BONES, _SURFACE_STEP_MM)
    placed = {} if args.landmarks is None else read_placed(args.landmarks, FOREARM_POINTS, "wrist")
    progress(0.4, "Looking for landmarks")
    wrist = find_forearm(args.side, bones.get("radius"), bones.get("ulna"), distal_ras=distal, placed=placed)
    record = describe_wrist(wrist)
    with output_folder(args.out, force=args.force) as folder:
        (folder / "forearm.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        points = markups(wrist.landmarks, wrist.origin, FOREARM_POINTS)
        (folder / "landmarks.mrk.json").write_text(json.dumps(points, indent=1) + "\n", encoding="utf-8")
    progress(1.0, "Done")
    say(_words(record), record, as_json=args.json)
    return DONE


def describe_wrist(wrist: ForearmPoints) -> dict[str, Any]:
    """Return landmarks and measures of a wrist."""
    rates = wrist_sensitivity(wrist.landmarks)
    return describe_points(wrist, rates, WRIST_MEASURES, WRIST_NEEDS, wrist_in_words, FOREARM_POINTS)


def _words(record: dict[str, Any]) -> str:
    rows = []
    for m in record["measures"]:
        usual = "-" if m["usual"] is None else f"{m['usual'][0]:g} to {m['usual'][1]:g}"
        value = "-" if m["value"] is None else f"{m['value']:.1f} {m['unit']}"
        follows = "-" if m["per_mm"] is None else f"{m['per_mm']:.2f} ({spoken(m['most_sensitive_to'])})"
        rows.append([m["title"], value, usual, follows, m["in_words"]])
    text = f"{record['side'].capitalize()} wrist\n"
    text += table(["Measure", "Value", "Usual", "Change a mm (of)", "In words"], rows)
    for remark in (*record["not_found"], *record["notes"]):
        text += f"\nNote: {remark}."
    return text
