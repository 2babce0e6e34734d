"""Writing guides that stand on a bone's surface: plan document, meshes and print sheets in one folder."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from MSKFusionLib.registration.result import Verdict

from ..colours import GUIDE_COLOUR, judged_colour
from ..export.mesh_files import write_parts, write_stl
from ..export.parts import Part
from ..export.plan_parts import plan_notes
from ..export.print_sheet import print_sheet
from ..mesh import Mesh
from ..output_folder import output_folder
from ..plan import Guide, Plan
from ..plan_file import plan_to_json
from .commands import plan_result
from .console import say
from .status import DONE, REJECTED

#: A guide as it is written: its entry, its solid, the printer it is checked for, and the bone it is shown on.
Written = tuple[Guide, Mesh, str, Mesh]


def write_guides(
    args: argparse.Namespace,
    plan: Plan,
    made: Sequence[Written],
    surfaces: Mapping[str, Mesh] | None = None,
    along: Callable[[Path], None] | None = None,
) -> int:
    """Write a plan with its guides, and surfaces by their file's name, and say what came of it; return the exit status.

    Parameters
    ----------
    along
        Called with the folder that is written, to bring further files into it.
    """
    with output_folder(args.out, force=args.force) as folder:
        (folder / "plan.json").write_text(plan_to_json(plan), encoding="utf-8")
        for file, surface in (surfaces or {}).items():
            write_stl(surface, folder / file)
        for guide, mesh, printer, bone in made:
            (folder / guide.file).parent.mkdir(exist_ok=True)
            body = Part(guide.name, "guide", mesh, judged_colour(GUIDE_COLOUR, guide.verdict))
            for file in guide.files:
                write_parts([body], folder / file, notes=plan_notes(plan, guides=[guide]))
            sheet = print_sheet(guide, mesh, plan, printer=printer, bone=bone)
            (folder / guide.file).with_suffix(".html").write_text(sheet, encoding="utf-8")
        if along is not None:
            along(folder)
    words = [f"{g.name}: {g.verdict}. {'; '.join(g.reasons) or '; '.join(g.notes)}." for g, *_ in made]
    say(" ".join(words), plan_result(plan), as_json=args.json)
    return DONE if all(g.verdict is Verdict.ACCEPTED for g, *_ in made) else REJECTED
