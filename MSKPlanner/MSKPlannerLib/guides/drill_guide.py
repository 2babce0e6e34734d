"""A drill guide a vertebra: from bone and planned screws to one checked solid.

The body is made on a distance grid (`body`), its contact is moved onto the exact distance to the bone, and bores, flat
ends and letters are exact solids (manifold3d).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from MSKFusionLib.errors import ProcessingError
from MSKFusionLib.frames import FloatArray
from MSKFusionLib.progress import Progress, no_progress, part

from ..mesh import Mesh, body_labels
from ..plan import Check, Point, Screw
from .body import Body, make_body, make_seat, without_thin
from .field import Bone, distance_to
from .fit import Fit, measure_fit
from .guide_checks import Bones, check_guide
from .insertion import Frame, Insertion, best_insertion, reach_of_guide, straight_frame
from .openings import CRUMB_MM3, lettered, with_bores
from .options import GuideOptions
from .presets import load_printer
from .sleeve import Sleeve, on_surface, sleeves_of
from .solid import from_manifold, printable
from .thickness import thin_places

__all__ = ["GuideOptions", "GuideSolid", "design_drill_guide"]

#: So often walls that are measured to be thin are taken away, with all that are up to this share of the least allowed.
_MENDINGS, _THIN_SHARE = 4, 1.1


@dataclass(frozen=True, eq=False)
class GuideSolid:
    """A designed guide with everything measured on it.

    Parameters
    ----------
    mesh
        The printable solid, RAS mm.
    insertion_direction_ras
        Unit direction in which the guide is put on (towards the bone).
    seat_to_ras
        Rigid 4x4: origin amid the entries, x right, y towards the head, z the way off the bone.
    fit
        The gap to the bone that it was designed on.
    reachable
        Share of the bone around the screws that can be touched along the insertion direction.
    min_wall_mm
        Least wall, letters left out.
    notes
        What was done that one would want to know: pieces dropped, and so on.
    asked_direction
        The insertion direction that was asked for; None: it was searched.
    """

    level: str
    mesh: Mesh
    sleeves: tuple[Sleeve, ...]
    options: GuideOptions
    insertion_direction_ras: FloatArray
    seat_to_ras: FloatArray
    fit: Fit
    reachable: float
    min_wall_mm: float
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()
    asked_direction: Point | None = None

    @property
    def bodies(self) -> int:
        """How many separate bodies the mesh has."""
        return body_labels(self.mesh)[1]

    @property
    def fit_gap_mean_mm(self) -> float:
        """Mean gap over the contact surface."""
        return self.fit.mean_mm

    @property
    def fit_gap_max_error_mm(self) -> float:
        """Greatest deviation of the gap from what was asked, over the contact surface."""
        return self.fit.max_error_mm

    @property
    def contact_points_ras(self) -> FloatArray:
        """Points (N, 3) of the contact surface, for measuring the gap to another surface."""
        return self.fit.points_ras


def design_drill_guide(
    bone: Bone,
    frame: Frame,
    screws: Sequence[Screw],
    options: GuideOptions | None = None,
    *,
    depth: Bone | None = None,
    neighbours: Sequence[Bone] = (),
    insertion_direction_ras: Point | None = None,
    progress: Progress = no_progress,
) -> GuideSolid:
    """Design the drill guide of one vertebra.

    Parameters
    ----------
    bone
        Closed surface of the vertebra, or its depth (an object with ``depth_mm``, or a function; positive inside).
        The contact surface keeps the clearance to exactly this surface.
    frame
        Anatomical axes of the vertebra.
    screws
        The planned screws of this level, one or two.
    depth
        Not needed where `bone` is a surface; it is taken where `bone` is None.
    neighbours
        Bones that the guide must not meet on its way in (surfaces or depths).
    insertion_direction_ras
        The direction to put it on along, towards the bone; None: the one that reaches most bone.

    Raises
    ------
    InputError
        For screws of several levels, or none.
    GeometryError
        When the bone's surface is not closed.
    ProcessingError
        When no sound solid comes of it; the message names the operation and the place.
    """
    wish = GuideOptions() if options is None else options
    sleeves = sleeves_of(screws, wish)
    level = screws[0].level
    progress(0.0, f"{level}: insertion direction")
    surface = bone if bone is not None or depth is None else depth
    region = reach_of_guide(straight_frame(frame, sleeves))
    exact = distance_to(surface, region)
    others = [distance_to(n, region) for n in neighbours]
    placed = [on_surface(s, exact) for s in sleeves]
    sleeves, words = tuple(s for s, _ in placed), [w for _, w in placed if w]
    insertion = best_insertion(surface, frame, sleeves, neighbours, insertion_direction_ras)
    progress(0.15, f"{level}: body on the bone")
    seat = make_seat(exact, sleeves, insertion.frame_to_ras, wish)
    body = make_body(exact, others, sleeves, seat, wish, level)
    bones = Bones(exact, others, surface if isinstance(surface, Mesh) else None)
    guide = finished_guide(body, bones, sleeves, insertion, wish, level, part(progress, 0.6, 1.0))
    return replace(guide, notes=(*words, *guide.notes), asked_direction=insertion_direction_ras)


def finished_guide(
    body: Body,
    bones: Bones,
    sleeves: Sequence[Sleeve],
    insertion: Insertion,
    options: GuideOptions,
    level: str,
    progress: Progress = no_progress,
) -> GuideSolid:
    """Return the guide of a body: bores and letters cut, everything measured, walls that are too thin taken away."""
    least_wall = load_printer(options.printer).min_wall_mm
    progress(0.0, f"{level}: sleeves and letters")
    guide, plain = _finished(body, bones, sleeves, insertion, options, level)
    for _ in range(_MENDINGS):
        if not guide.min_wall_mm < least_wall:
            break
        # A grid may leave a thin fin where cuts for several bones meet; what is measured to be thin is taken away.
        progress(0.5, f"{level}: thin walls")
        thin = thin_places(plain, _THIN_SHARE * least_wall)
        try:
            body = without_thin(body, bones.bone, sleeves, options, thin)
        except ProcessingError as error:
            # More would be lost than a fin: the guide is shown as it is, rejected by its wall.
            guide = replace(guide, notes=(*guide.notes, str(error)))
            break
        guide, plain = _finished(body, bones, sleeves, insertion, options, level)
    progress(1.0, f"{level}: guide done")
    return guide


def _finished(
    body: Body, bones: Bones, sleeves: Sequence[Sleeve], insertion: Insertion, options: GuideOptions, level: str
) -> tuple[GuideSolid, Mesh]:
    """Return the guide of a body with everything measured on it, and its mesh without letters."""
    solid, dropped = with_bores(body, sleeves, level)
    mesh = printable(lettered(solid, body, options, level), level)
    plain = from_manifold(solid)
    seat, outward = body.seat, insertion.outward_ras
    fit = measure_fit(
        mesh, bones.bone, outward, options.fit_clearance_mm, lambda points: seat.interpolate(body.relief, points)
    )
    checks, wall = check_guide(mesh, plain, sleeves, fit, options, outward, bones)
    loose = [*body.dropped_mm3, *dropped]
    guide = GuideSolid(
        level=level,
        mesh=mesh,
        sleeves=tuple(sleeves),
        options=options,
        insertion_direction_ras=-outward,
        seat_to_ras=insertion.frame_to_ras,
        fit=fit,
        reachable=insertion.reachable,
        min_wall_mm=wall,
        checks=checks,
        notes=tuple(f"a loose piece of {v:.1f} mm3 was dropped" for v in loose if v > CRUMB_MM3),
    )
    return guide, plain
