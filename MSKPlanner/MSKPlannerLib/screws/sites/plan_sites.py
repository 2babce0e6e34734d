"""Every site that was asked for, on one patient: screws as the plan document has them, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from MSKFusionLib.errors import GeometryError, InputError, ProcessingError
from MSKFusionLib.frames import transform_points, unit
from MSKFusionLib.progress import Progress, no_progress
from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.segmentation.labels import Segmentation
from MSKFusionLib.volume import Volume

from ...anatomy.pelvic_bones import PelvicBones, pelvic_bones
from ...anatomy.pelvis import HIPS, SACRUM, SacralFrame, sacral_frame
from ...anatomy.pelvis_landmarks import PelvicPlaces, pelvic_places
from ...plan import Screw
from ..beside import with_structures
from ..error_budget import ErrorBudget, load_error_budget
from ..options import ScrewOptions
from ..pedicle import Skipped
from ..structures import StructureMaps
from .describe import Place, described_corridor
from .description import MARKED_FAMILY, NECK_FAMILY, SACRAL_FAMILIES, SCAPHOID_FAMILY, Site
from .femoral_neck import plan_femoral_neck
from .free import free_site, plan_free
from .hip import placed_on, plan_hip
from .marked import plan_marked
from .plan_corridor import PlannedCorridor, plan_corridor
from .request import FREE, PEDICLE, SiteRequest
from .sacral import SacralAnatomy, sacral_anatomy
from .scaphoid import plan_scaphoid, sides_of_scaphoids

_NERVES = "canal and foramina"
#: The way of the drill to the entry that is looked at: from, to and in which steps.
_WAY_MM = (8.0, 60.0, 0.5)
#: Room about a screw's axis for its thread.
_AROUND_MM = 9.0


@dataclass(frozen=True)
class SitePlan:
    """Screws, and the sites and sides that got none, each with its reason in words."""

    screws: tuple[Screw, ...]
    skipped: tuple[Skipped, ...] = ()


class Pelvis:
    """Frame, places and maps of one pelvis, each made when a site first needs it."""

    def __init__(self, bones: PelvicBones) -> None:
        self.bones = bones
        self.segmentation = bones.segmentation
        self._anatomies: dict[tuple[float, float], SacralAnatomy] = {}
        self._holes: dict[str, str] = {}

    def hole(self, bone: str) -> str:
        """Say that a bone's label has a hole; see `PelvicBones.hole`."""
        if bone not in self._holes:
            self._holes[bone] = self.bones.hole(bone)
        return self._holes[bone]

    @cached_property
    def frame(self) -> SacralFrame:
        """The sacrum's frame."""
        return sacral_frame(self.segmentation)

    @cached_property
    def places(self) -> PelvicPlaces:
        """The hip bones' places; those of the sacrum among them where its frame is found."""
        try:
            frame = self.frame
        except GeometryError:
            return pelvic_places(self.segmentation)
        return pelvic_places(self.segmentation, frame)

    def anatomy(self, joint_gap_mm: float, most_displaced_mm: float) -> SacralAnatomy:
        """Return the map of the upper sacrum."""
        key = (joint_gap_mm, most_displaced_mm)
        if key not in self._anatomies:
            self._anatomies[key] = sacral_anatomy(
                self.segmentation, self.frame, joint_gap_mm=joint_gap_mm, most_displaced_mm=most_displaced_mm
            )
        return self._anatomies[key]


def plan_sites(
    ct: Volume | None,
    segmentation: Segmentation,
    requests: Sequence[SiteRequest],
    *,
    options: ScrewOptions | None = None,
    progress: Progress = no_progress,
) -> SitePlan:
    """Plan the screws of the sites of pelvis and hip and of free ones (pedicles: `pedicle.plan_levels`; they are passed over here).

    Parameters
    ----------
    ct
        For densities, in HU.
    options
        Its error budget is what the risk is counted with; the sites' own pages say everything else.

    Returns
    -------
    SitePlan
        What cannot be planned is among the skipped, with what is missing or too narrow.
    """
    wishes = options or ScrewOptions()
    budget = load_error_budget(wishes.error_budget) if wishes.error_budget else None
    pelvis = Pelvis(pelvic_bones(segmentation))
    wanted = [(r, side) for r in requests if r.site != PEDICLE for side in _sides(r, segmentation)]
    screws: list[Screw] = []
    skipped: list[Skipped] = []
    for n, (request, side) in enumerate(wanted):
        title = request.name if request.site == FREE else request.description().title
        progress(n / len(wanted), f"{title} {side}".strip())
        try:
            found: list[Screw] | Screw | str
            if request.site == FREE:
                found = _free(ct, pelvis, segmentation, request, side, budget)
            elif request.description().family == NECK_FAMILY:
                site, placed = request.description(), request.landmarks_ras
                found = plan_femoral_neck(site, segmentation, side, placed=placed, ct=ct, budget=budget)
            elif request.description().family == SCAPHOID_FAMILY:
                site, placed = request.description(), request.landmarks_ras
                found = plan_scaphoid(site, segmentation, side, placed=placed, ct=ct, budget=budget)
            elif request.description().family == MARKED_FAMILY:
                site, placed = request.description(), request.landmarks_ras
                found = plan_marked(site, segmentation, side, placed=placed, ct=ct, budget=budget)
            else:
                found = _pelvic(ct, pelvis, request, side, budget)
        except (InputError, ProcessingError) as error:
            skipped.append(Skipped(title, side or None, str(error), whole=True))
            continue
        if isinstance(found, str):
            skipped.append(Skipped(title, side or None, found, whole=True))
        else:
            # The wrist is bent until the way to a scaphoid is free.
            bent = request.site != FREE and request.description().family == SCAPHOID_FAMILY
            screws += [
                _among_structures(s, segmentation, bent) for s in (found if isinstance(found, list) else [found])
            ]
    return SitePlan(tuple(_named_apart(screws)), tuple(skipped))


def _among_structures(screw: Screw, segmentation: Segmentation, any_way: bool) -> Screw:
    """Return a screw with its distances from labelled structures, rejected where bone lies in the drill's way unless any will do."""
    about = np.array([screw.entry_ras, screw.tip_ras])
    maps = StructureMaps.around(segmentation, np.concatenate([about - _AROUND_MM, about + _AROUND_MM]))
    labelled = with_structures(screw if any_way else with_free_way(screw, segmentation), maps)
    structures = {**screw.structures_mm, **labelled.structures_mm}
    return replace(labelled, structures_mm=dict(sorted(structures.items(), key=lambda s: s[1])))


def _sides(request: SiteRequest, segmentation: Segmentation) -> tuple[str, ...]:
    if request.site != FREE and request.description().family == SCAPHOID_FAMILY:
        return sides_of_scaphoids(segmentation, request.sides)
    if request.sides:
        return request.sides
    if request.site == FREE:
        return ("",)
    return ("right",) if request.description().family == "trans_sacral" else ("left", "right")


def _pelvic(
    ct: Volume | None, pelvis: Pelvis, request: SiteRequest, side: str, budget: ErrorBudget | None
) -> Screw | str:
    site = request.description()
    crossed = [SACRUM, *HIPS.values()] if site.family == "trans_sacral" else [HIPS[side]]
    if site.family == "iliosacral" or site.through_joint:
        crossed = [HIPS[side], SACRUM]
    remarks = [words for bone in crossed for words in (pelvis.bones.broken(bone), pelvis.hole(bone)) if words]
    outside = {}
    if site.family in SACRAL_FAMILIES:
        anatomy = pelvis.anatomy(site.joint_gap_mm, request.most_displaced_mm)
        found = plan_corridor(site, anatomy, side)
        axes, level = anatomy.frame.axes_ras, f"S{site.level}"
        outside[_NERVES] = anatomy.from_nerves
    else:
        if site.through_joint:
            # What is wrong with the sacrum is said before its places are asked for.
            outside[_NERVES] = pelvis.anatomy(site.joint_gap_mm, request.most_displaced_mm).from_nerves
        places = placed_on(pelvis.places, pelvis.segmentation, side, request.landmarks_ras)
        found = plan_hip(site, pelvis.segmentation, places, side)
        if request.landmarks:
            remarks.append(f"placed by the user: {', '.join(sorted(request.landmarks))}")
        axes, level = pelvis.places.frame_to_ras[:3, :3], "S2" if site.through_joint else HIPS[side]
    if found.screw is None:
        return _refusal(found, remarks)
    place = Place(f"{_short(site)} {side}", level, side, axes, outside)
    return described_corridor(found, site, place, ct, budget, remarks)


def _free(
    ct: Volume | None,
    pelvis: Pelvis,
    segmentation: Segmentation,
    request: SiteRequest,
    side: str,
    budget: ErrorBudget | None,
) -> Screw | str:
    site = free_site(request.diameters_mm, request.lengths_mm, clearance_mm=request.clearance_mm, title=request.name)
    bones = list(request.bones)
    known = {s.name for s in segmentation.segments}
    if not set(bones) <= known:
        segmentation = pelvis.segmentation  # the pelvis under its usual names, fragments together
    joints = [(a, b) for n, a in enumerate(bones) for b in bones[n + 1 :]] if request.joints_crossed else []
    if request.entry_ras is None or request.target_ras is None:
        raise InputError("a free screw needs an entry and a target", where=request.name)
    found = plan_free(
        segmentation,
        bones,
        request.entry_ras,
        request.entry_radius_mm,
        request.target_ras,
        request.target_radius_mm,
        site,
        joints=joints,
    )
    if found.screw is None:
        return _refusal(found, [])
    place = Place(f"{request.name} {side}".strip(), bones[0], side, np.eye(3))
    remarks = [words for bone in bones if bone not in known and (words := pelvis.bones.broken(bone))]
    return described_corridor(found, site, place, ct, budget, remarks)


def with_free_way(screw: Screw, segmentation: Segmentation) -> Screw:
    """Return a screw that is rejected where bone lies in the straight way of the drill to its entry."""
    entry, tip = np.array(screw.entry_ras), np.array(screw.tip_ras)
    back = np.arange(*_WAY_MM)[:, None]
    labels = segmentation.labels
    ijk = np.rint(transform_points(labels.ras_to_ijk, entry - back * unit(tip - entry))).astype(int)
    i, j, k = ijk[np.all((ijk >= 0) & (ijk < labels.shape_ijk), axis=1)].T
    there = set(np.unique(labels.voxels[k, j, i]).tolist())
    names = [s.name for s in segmentation.bones if s.value in there]
    if not names:
        return screw
    reason = f"the straight way of the drill to its entry leads through bone ({', '.join(names)})"
    return replace(screw, verdict=Verdict.REJECTED, reasons=(*screw.reasons, reason))


def _refusal(found: PlannedCorridor, remarks: Sequence[str]) -> str:
    # The title and side are said by whoever says that there is no screw.
    return "; ".join((found.message.partition(": ")[2] or found.message, *remarks))


def _short(site: Site) -> str:
    return site.title.split(",")[0]


def _named_apart(screws: list[Screw]) -> list[Screw]:
    """Return screws whose names differ: the same site may have been asked for twice."""
    seen: dict[str, int] = {}
    out = []
    for screw in screws:
        seen[screw.name] = seen.get(screw.name, 0) + 1
        out.append(screw if seen[screw.name] == 1 else replace(screw, name=f"{screw.name} {seen[screw.name]}"))
    return out
