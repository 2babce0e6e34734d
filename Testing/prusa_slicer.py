"""PrusaSlicer, headless: what it says of a mesh file, and whether it slices it without a word of complaint."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

SLICER = shutil.which("prusa-slicer")
#: Of what --info says, the words for something that had to be mended.
_MENDED = ("open_edges", "degenerate_facets", "edges_fixed", "facets_removed", "facets_added", "facets_reversed",
           "backwards_edges")  # fmt: skip
#: A long bone is larger than any bed; in the patient's frame a guide may stand on a point, hence the raft.
_BED = ("--bed-shape", "0x0,600x0,600x600,0x600", "--max-print-height", "600")
_LAYERS = ("--layer-height", "0.3", "--first-layer-height", "0.3", "--raft-layers", "2")
_NO_COMPLAINT = (re.compile(r"^\d+ => "), re.compile(r"^Slicing result exported to "), re.compile(r"\[trace\]"))


@dataclass(frozen=True)
class Seen:
    """What the slicer found in a file.

    Parameters
    ----------
    mended
        What had to be mended, by the slicer's own words; empty for a sound mesh.
    """

    size_mm: tuple[float, float, float]
    volume_mm3: float
    parts: int
    manifold: bool
    mended: dict[str, str] = field(default_factory=dict)


def look_at(path: Path) -> Seen:
    """Read a mesh file by ``--info``, which tells of each object of a 3MF on its own; here they are taken together."""
    run = subprocess.run([SLICER, "--info", path], capture_output=True, text=True, timeout=300, check=True)
    found: dict[str, list[str]] = {}
    for key, value in re.findall(r"^(\w+) *= *(\S+)$", run.stdout, flags=re.MULTILINE):
        found.setdefault(key, []).append(value)
    low, high = (np.array([found[f"{end}_{a}"] for a in "xyz"], dtype=float) for end in ("min", "max"))
    size = high.max(axis=1) - low.min(axis=1)
    return Seen(
        tuple(float(v) for v in size),
        sum(float(v) for v in found["volume"]),
        sum(int(v) for v in found["number_of_parts"]),
        set(found["manifold"]) == {"yes"},
        {k: ", ".join(found[k]) for k in _MENDED if k in found},
    )


def slice_file(path: Path, folder: Path) -> tuple[list[str], int]:
    """Slice a mesh file; return every line that is no plain progress, and the number of layers."""
    target = folder / f"{path.stem}{path.suffix[1:]}.gcode"
    command = [SLICER, "--export-gcode", "--loglevel", "2", *_BED, *_LAYERS, "-o", target, path]
    run = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    lines = [line.strip() for line in (run.stdout + "\n" + run.stderr).splitlines() if line.strip()]
    said = [line for line in lines if not any(p.search(line) for p in _NO_COMPLAINT)]
    if run.returncode or not target.is_file():
        return [*said, f"exit status {run.returncode}"], 0
    layers = target.read_text(encoding="utf-8", errors="replace").count(";LAYER_CHANGE")
    target.unlink()
    return said, layers


def disagreements(seen: Seen, bounds_ras: np.ndarray, volume_mm3: float) -> tuple[float, float]:
    """Return the greatest difference of the sizes in mm, and of the volume as a share of ours."""
    size = np.subtract(bounds_ras[1], bounds_ras[0])
    return float(np.abs(np.array(seen.size_mm) - size).max()), abs(seen.volume_mm3 / volume_mm3 - 1.0)
