"""A tumour taken out of a bone with a margin, by straight cuts that a saw from one side can make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import FloatArray
from MSKFusionLib.progress import Progress, no_progress

from ..bone.mesh_depth import surface_points
from ..guides.solid import overlap_mm3
from ..mesh import Mesh
from .plane import Plane, direction_of
from .resection_errors import ErredMargin, SawBudget, erred_margin
from .resection_margin import CutSurface, cut_surface, exact_plane, nearest_of_rest
from .resection_search import search_planes
from .resection_site import ResectionSite, resection_site
from .resection_solids import ResectionSolids, resection_solids
from .saw_path import NICK_MM2, SawPath, saw_path

MOST_PLANES = 5
_MARGINS_MM = (0.5, 60.0)
_THICKEST_SAW_MM = 5.0
#: What a margin may fall short of the wish before it is called missed, mm.
SHORT_MM = 0.05
#: When the planes are put exactly they move by up to a mm; ways that were free just so stay so.
_NICK_MM2 = 2 * NICK_MM2
#: From the patient's side that is named, into the patient, RAS.
APPROACHES: dict[str, tuple[float, float, float]] = {
    "anterior": (0.0, -1.0, 0.0),
    "posterior": (0.0, 1.0, 0.0),
    "right": (-1.0, 0.0, 0.0),
    "left": (1.0, 0.0, 0.0),
    "superior": (0.0, 0.0, -1.0),
    "inferior": (0.0, 0.0, 1.0),
}


@dataclass(frozen=True)
class ResectionOptions:
    """What is wished.

    Parameters
    ----------
    margin_mm
        Between the tumour and every sawn surface of bone.
    most_planes
        1 to 5; fewer are used where more would save nothing.
    approach
        The side of the patient that the surgeon comes from, a name of `APPROACHES`, or the direction (R, A, S) from the bone
        to the surgeon.
    widest_deg
        How far the saw may lie from that direction.
    kerf_mm
        Thickness of the blade; it is taken from the bone that stays.
    """

    margin_mm: float = 10.0
    most_planes: int = 3
    approach: str | tuple[float, float, float] = "anterior"
    widest_deg: float = 35.0
    kerf_mm: float = 1.0
    budget: SawBudget = field(default_factory=SawBudget)
    seed: int = 0

    def __post_init__(self) -> None:
        low, high = _MARGINS_MM
        if not low <= self.margin_mm <= high:
            raise InputError(f"a margin of {self.margin_mm} mm", f"Give {low:g} to {high:g} mm.", where="resection")
        if self.most_planes not in range(1, MOST_PLANES + 1):
            raise InputError(f"{self.most_planes} planes", f"Give 1 to {MOST_PLANES}.", where="resection")
        if not 0.0 <= self.widest_deg <= 80.0:
            raise InputError("a saw lies 0 to 80 degrees from the approach", where="resection")
        if not 0.0 <= self.kerf_mm <= _THICKEST_SAW_MM:
            raise InputError(
                f"a saw of {self.kerf_mm} mm", f"Give the blade's thickness, 0 to {_THICKEST_SAW_MM:g} mm.", "resection"
            )
        self.travel_ras  # noqa: B018  an approach that nobody knows is refused here

    @property
    def travel_ras(self) -> FloatArray:
        """Unit vector from the surgeon to the bone."""
        if isinstance(self.approach, str):
            if self.approach not in APPROACHES:
                raise InputError(
                    f"there is no approach '{self.approach}'",
                    f"Give {', '.join(APPROACHES)}, or a direction R,A,S from the bone to the surgeon.",
                    where="resection",
                )
            return np.array(APPROACHES[self.approach])
        return -direction_of(self.approach, "approach")


@dataclass(frozen=True, eq=False)
class PlannedCut:
    """One plane of a resection.

    Parameters
    ----------
    plane
        The specimen's face, its normal away from the specimen; the blade runs beside it, on the other side.
    surface
        The bone that it bares, with the margins.
    saw
        The free way of the saw.
    """

    name: str
    plane: Plane
    surface: CutSurface
    saw: SawPath


@dataclass(frozen=True, eq=False)
class Resection:
    """A planned resection.

    Parameters
    ----------
    healthy_mm3
        Bone that goes without being tumour, saw dust included.
    tumour_in_bone_mm3
        Tumour within the bone's surface.
    by_planes
        Bone of the specimen, mm3, for the best set of each number of planes that was looked at.
    margin_mm, margin_ras
        The least margin achieved, and where.
    after_errors
        The margin when registration and saw err.
    notes
        What the surgeon must know.
    """

    bone: Mesh
    tumour: Mesh
    options: ResectionOptions
    cuts: tuple[PlannedCut, ...]
    solids: ResectionSolids
    healthy_mm3: float
    tumour_in_bone_mm3: float
    by_planes: tuple[tuple[int, float], ...]
    margin_mm: float
    margin_ras: FloatArray
    after_errors: ErredMargin
    notes: tuple[str, ...] = ()

    @property
    def margin_kept(self) -> bool:
        """Whether the margin holds everywhere, to 0.05 mm."""
        return self.margin_mm >= self.options.margin_mm - SHORT_MM


def plan_resection(
    bone: Mesh,
    tumour: Mesh,
    options: ResectionOptions | None = None,
    *,
    obstacles: Sequence[Mesh] = (),
    progress: Progress = no_progress,
) -> Resection:
    """Plan the cuts that free a tumour with a margin and take the least bone.

    Parameters
    ----------
    bone, tumour
        Closed surfaces in one RAS frame. The tumour may reach out of the bone; margins count in bone alone.
    obstacles
        Closed surfaces that a saw must not meet on its way to a cut: other bones, structures.

    Raises
    ------
    InputError
        When a surface is not closed or an option makes no sense.
    GeometryError
        When the tumour lies beside the bone, the tumour with its margin takes the whole bone, or no saw from this side gets to
        any set of planes.
    """
    wish = options or ResectionOptions()
    progress(0.0, "Looking at bone and tumour")
    site = resection_site(bone, tumour, wish.margin_mm, tuple(obstacles))
    progress(0.2, "Comparing planes")
    sets = search_planes(site, wish.most_planes, wish.travel_ras, wish.widest_deg)
    if not sets:
        raise GeometryError(
            f"no saw from this side, turned up to {wish.widest_deg:g} degrees, gets round the tumour with "
            f"{wish.margin_mm:g} mm and leaves some of the bone",
            "Choose another approach, a smaller margin, more planes, or let the saw be turned farther.",
            where="resection",
        )
    progress(0.7, "Putting the planes exactly")
    by_planes = [(len(s.normals_ras), s.removed_mm3) for s in sets]
    for n in range(len(sets) - 1, 0, -1):
        try:
            return exact_resection(site, sets[n].planes(site), wish, by_planes[: n + 1])
        except GeometryError:
            # Put exactly, these cannot be sawn: one plane less.
            continue
    return exact_resection(site, sets[0].planes(site), wish, by_planes[:1])


def exact_resection(
    site: ResectionSite,
    planes: Sequence[Plane],
    wish: ResectionOptions,
    by_planes: Sequence[tuple[int, float]] = (),
) -> Resection:
    """Return the resection of planes near their place: each is moved along its normal to where the margin holds exactly.

    Parameters
    ----------
    planes
        Normals away from what goes; also planes that a surgeon has turned by hand.
    """
    exact = [exact_plane(site.bone, site.tumour_distance, p, wish.margin_mm) for p in planes]
    solids = resection_solids(site.bone, site.tumour, site.tumour_distance, exact, wish.margin_mm, wish.kerf_mm)
    surfaces = [cut_surface(solids.specimen, p, site.tumour_distance) for p in exact]
    ways = [saw_path(site, exact, n, wish.travel_ras, wish.widest_deg, _NICK_MM2) for n in range(len(exact))]
    notes = []
    cuts: list[PlannedCut] = []
    for n, (plane, surface, way) in enumerate(zip(exact, surfaces, ways, strict=True)):
        if not len(surface.mesh.faces):
            notes.append(f"plane {n + 1} bares no bone of the specimen and is left out")
            continue
        if way is None:
            raise GeometryError(
                f"the saw does not get to plane {n + 1} from this side without cutting bone that is to stay",
                "Turn the plane or choose another approach.",
                where="resection",
            )
        cuts.append(PlannedCut(f"plane {len(cuts) + 1}", plane, surface, way))
    if not cuts:
        raise GeometryError("no plane bares bone", "Check bone and tumour.", where="resection")
    least = min(cuts, key=lambda c: c.surface.least_mm)
    margin, place = least.surface.least_mm, least.surface.least_ras
    beside, where = nearest_of_rest(solids.remaining, site.tumour, site.tumour_distance, wish.margin_mm)
    if beside < margin - SHORT_MM:
        margin, place = beside, where
    inside = overlap_mm3(site.bone, site.tumour)
    gone = solids.specimen.volume_mm3 + (solids.kerf.volume_mm3 if len(solids.kerf.faces) else 0.0)
    erred = erred_margin(
        [c.surface for c in cuts],
        [c.plane for c in cuts],
        site.tumour_distance,
        surface_points(site.tumour, 0.7),
        wish.margin_mm,
        wish.budget,
        wish.seed,
    )
    return Resection(
        site.bone,
        site.tumour,
        wish,
        tuple(cuts),
        solids,
        gone - inside,
        inside,
        tuple(by_planes),
        margin,
        place,
        erred,
        (*notes, *_remarks(site, inside, erred)),
    )


def _remarks(site: ResectionSite, inside_mm3: float, erred: ErredMargin) -> list[str]:
    """Return what a surgeon must know of this plan."""
    notes = []
    share = inside_mm3 / site.tumour.volume_mm3
    if share < 0.5:
        notes.append(
            f"{100 * (1 - share):.0f} % of the tumour lie outside of the bone: margins are counted in bone alone, those "
            "in soft tissue are not planned here"
        )
    if inside_mm3 < 1.0:
        notes.append("the tumour does not reach into the bone; what is taken is margin alone")
    if erred.breached_probability > 0.05:
        notes.append(
            f"with these errors a cut goes through the tumour in {100 * erred.breached_probability:.0f} % of cases: "
            "ask for a wider margin or a better registration"
        )
    return notes


def approach_of(text: str) -> str | tuple[float, float, float]:
    """Return the approach that a text names: a side of the patient, or ``R,A,S``.

    Raises
    ------
    InputError
        When it is neither.
    """
    name = text.strip().lower()
    if name in APPROACHES:
        return name
    try:
        numbers: ArrayLike = [float(v) for v in text.split(",")]
    except ValueError:
        numbers = []
    values = np.asarray(numbers, dtype=np.float64)
    if values.shape != (3,) or not np.isfinite(values).all() or np.linalg.norm(values) < 1e-9:
        raise InputError(
            f"'{text}' is no approach", f"Give {', '.join(APPROACHES)}, or three numbers R,A,S.", where="--approach"
        )
    return float(values[0]), float(values[1]), float(values[2])
