"""The pictures of a report, by Slicer's own views on the scene that was saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from MSKFusionLib.frames import FloatArray
from MSKFusionLib.progress import Progress

from ..anatomy.vertebra import VertebraFrame
from ..export.report import Picture
from ..mrml.plan_scene import PlanNodes
from ..mrml.views import bounds_of, camera_towards, pictures_possible, render_scene_3d, render_slices_along_screw
from ..pipeline import Case
from ..plan import Guide
from ..screws.sites.request import PEDICLE

_NO_PICTURES = (
    "This machine cannot draw off screen (no OpenGL, EGL or OSMesa): the report has no pictures of the scene."
)


def make_pictures(
    scene: Any, nodes: PlanNodes, case: Case, folder: Path, progress: Progress
) -> tuple[list[Picture], list[str]]:
    """Write the pictures of a case into `folder`; where none can be made, say why in words."""
    if not pictures_possible():
        return [], [_NO_PICTURES]
    folder.mkdir()
    pictures = _overview(scene, nodes, case, folder)
    screws = case.plan.screws if nodes.ct is not None else ()
    for n, screw in enumerate(screws):
        progress(0.6 + 0.2 * n / len(screws), f"Slices along {screw.name}")
        frame = case.frames.get(screw.level) if screw.site == PEDICLE else None
        pedicle = None if frame is None else frame.pedicles.get(screw.side)
        path = render_slices_along_screw(
            scene,
            screw,
            folder / f"screw_{n:02d}.png",
            nodes.ct,
            superior_ras=(0.0, 0.0, 1.0) if frame is None else frame.superior_ras,
            isthmus_ras=None if pedicle is None else pedicle.centre_ras,
        )
        if path is not None:
            caption = f"{screw.name}: {screw.diameter_mm:.1f} x {screw.length_mm:.0f} mm, grade {screw.grade}"
            pictures.append(Picture(path, caption, "screws"))
    for n, (name, node) in enumerate(nodes.guides.items()):
        progress(0.8 + 0.1 * n / len(nodes.guides), f"Picture of {name}")
        guide = next(g for g in case.plan.guides if g.name == name)
        # A guide of several vertebrae names its screws' levels, one of an osteotomy its bone.
        seen = {guide.level, *(s.level for s in case.plan.screws if s.name in guide.screws)}
        bone = [nodes.segmentation] if nodes.segmentation is not None else []
        direction, up = _towards_guide(guide, case.frames.get(guide.level))
        camera = camera_towards(bounds_of([node, *bone], seen), from_ras=direction, up_ras=up, aspect=600 / 460)
        path = render_scene_3d(
            scene,
            folder / f"guide_{n:02d}.png",
            camera,
            visible=[node, *bone],
            segments=seen,
            bone_opacity=1.0,
            guide_opacity=1.0,
            size=(600, 460),
        )
        if path is not None:
            pictures.append(Picture(path, f"{name} on its bone", "guides"))
    return pictures, []


def _towards_guide(guide: Guide, frame: VertebraFrame | None) -> tuple[FloatArray, FloatArray]:
    """Return from where a guide is looked at, and what is up: of a vertebra from behind, else along the way it is put on."""
    if frame is not None:
        away = -frame.anterior_ras + 0.5 * frame.right_ras + 0.5 * frame.superior_ras
        return np.asarray(away), frame.superior_ras
    off = -np.asarray(guide.insertion_direction_ras)
    up = np.array([0.0, 0.0, 1.0]) if abs(off[2]) < 0.9 else np.array([0.0, 1.0, 0.0])
    return off + 0.5 * np.cross(up, off) + 0.3 * up, up


def _overview(scene: Any, nodes: PlanNodes, case: Case, folder: Path) -> list[Picture]:
    views = {
        "from behind": ((0.45, -1.0, 0.35), [*nodes.guides.values()]),
        "from the left": ((-1.0, -0.1, 0.1), []),
    }
    if any(s.site != PEDICLE for s in case.plan.screws):
        views |= {"from in front": ((0.0, 1.0, 0.25), []), "from above": ((0.0, 0.35, 1.0), [])}
    bones = [nodes.segmentation] if nodes.segmentation is not None else list(nodes.bones.values())
    spine = {s.name for s in case.segmentation.segments if s.kind in ("vertebra", "sacrum")}
    if any(s.site != PEDICLE for s in case.plan.screws):
        # The bones that the screws run in, and no more of the spine than they need.
        spine = set(case.bones)
    pictures = []
    for n, (words, (direction, guides)) in enumerate(views.items()):
        shown = [*bones, *(s.model for s in nodes.screws.values()), *guides]
        size = (700, 800)
        camera = camera_towards(bounds_of(shown, spine), from_ras=direction, aspect=size[0] / size[1])
        path = render_scene_3d(
            scene, folder / f"overview_{n}.png", camera, visible=shown, segments=spine, bone_opacity=0.5, size=size
        )
        if path is not None:
            pictures.append(Picture(path, f"The plan {words}"))
    return pictures
