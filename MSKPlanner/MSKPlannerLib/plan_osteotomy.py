"""What the plan document says of osteotomies: the cuts, the fragments and where they go, and what the bone or leg measures then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from MSKFusionLib.registration.result import Verdict

_Point = tuple[float, float, float]
_Row = tuple[float, float, float, float]
#: A rigid 4x4 matrix, row by row.
Matrix = tuple[_Row, _Row, _Row, _Row]


@dataclass(frozen=True)
class CutPlane:
    """A plane of the saw: a point of the middle of its slot, RAS mm, the direction across it, and the slot's thickness.

    The normal looks to the fragment that moves.
    """

    point_ras: _Point
    normal_ras: _Point
    kerf_mm: float = 0.0


@dataclass(frozen=True)
class HingeLine:
    """The line that a fragment turns about.

    Parameters
    ----------
    axis_ras
        Turning the moved fragment by a positive angle about it (right-handed) opens the cut; of a derotation the axis of
        the turn, along the plane's normal; of a dome its axis; of a step, which turns nothing, along the saw's direction.
    bone_left_mm
        Hinge-fracture distance: bone left behind the hinge, where that is most; None for a derotation.
    length_mm
        How long the hinge runs in bone; None for a derotation.
    """

    point_ras: _Point
    axis_ras: _Point
    bone_left_mm: float | None = None
    length_mm: float | None = None


@dataclass(frozen=True)
class SawForm:
    """What of a cut is no single plane, as it lies in the image, RAS mm.

    Parameters
    ----------
    name
        ``biplanar``, ``dome`` or ``step``.
    saw_direction_ras
        Along what the saw goes through: every line in this direction stays in the cut.
    corners_ras
        The line of the cut: of a biplanar wedge a point of the plane, the corner, and a point of the second plane (both go on
        beyond the bone; it goes off against the plane's normal where it ascends); of a step all corners, the ends going on; of a dome none.
    radius_mm
        Of a dome: the hinge is its axis, the point of its plane its apex.
    shift_mm
        Of a step: by how much the part that moves is drawn off along the plane's normal.
    """

    name: str
    saw_direction_ras: _Point
    corners_ras: tuple[_Point, ...] = ()
    radius_mm: float | None = None
    shift_mm: float = 0.0


@dataclass(frozen=True)
class CorrectionTarget:
    """What a correction is made for: a measure of the leg, its wished value, and by how much the fragments miss it."""

    measure: str
    value: float
    missed_by: float


@dataclass(frozen=True)
class Fragment:
    """A part of a cut bone.

    Parameters
    ----------
    name
        ``staying``, ``moved``, or ``wedge`` for bone that is taken out.
    volume_mm3
        Of its closed surface.
    image_to_planned_ras
        Rigid 4x4 that takes it from where it is in the image to where it shall be, all other cuts of the plan counted.
    carries
        Whole bones that go with it.
    file
        Its surface as it lies in the image, in the output folder; empty where it was not written.
    mesh_sha256
        Of that surface (`guides.recipe.mesh_sha256`).
    """

    name: str
    volume_mm3: float
    image_to_planned_ras: Matrix
    carries: tuple[str, ...] = ()
    file: str = ""
    mesh_sha256: str = ""


@dataclass(frozen=True)
class BeforeAfter:
    """A measure of the leg before a cut (after those that come before it) and after; None where it cannot be made."""

    name: str
    title: str
    unit: str
    before: float | None
    after: float | None


@dataclass(frozen=True)
class Osteotomy:
    """One correction of one bone.

    Parameters
    ----------
    bone
        Name of the segment or surface that is cut.
    role
        ``femur`` or ``tibia`` where it is that bone of the leg that is measured; else empty.
    kind
        ``opening wedge``, ``closing wedge``, ``derotation``, ``dome`` or ``step lengthening``.
    planes
        One, or the two faces of a closing wedge; the first is the one that the fragment that stays keeps. Of a dome the plane
        that touches its apex, of a step the one across it.
    form
        What of it is no plane; None: nothing.
    angle_deg
        Positive for a wedge; of a derotation or dome right-handed about the hinge's axis.
    gap_mm
        Height of the wedge at the cortex where it is widest, as a chord; the blade's thickness not counted. Of a step what
        its ends come apart. None for a derotation or dome.
    removed_mm3
        Bone lost: the wedge, or what the saw takes.
    target
        None where the angle was asked for itself.
    structures_mm
        Free distance of the cut's faces to each structure at risk within 30 mm (see `osteotomy.cut_risks`); negative where it
        cuts into it.
    bone_sha256
        Of the surface that was cut (`guides.recipe.mesh_sha256`).
    """

    name: str
    bone: str
    role: str
    kind: str
    planes: tuple[CutPlane, ...]
    hinge: HingeLine
    angle_deg: float
    gap_mm: float | None
    removed_mm3: float
    fragments: tuple[Fragment, ...]
    target: CorrectionTarget | None = None
    measures: tuple[BeforeAfter, ...] = ()
    structures_mm: Mapping[str, float] = field(default_factory=dict)
    bone_sha256: str = ""
    form: SawForm | None = None
    reviewed: bool = False
    verdict: Verdict = Verdict.ACCEPTED
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def what(self) -> str:
        """The kind as it is said: ``biplanar opening wedge`` or ``biplanar closing wedge``, for example."""
        biplanar = self.form is not None and self.form.name == "biplanar"
        return f"biplanar {self.kind}" if biplanar else self.kind

    @property
    def remarks(self) -> str:
        """The reasons and the notes, in one line."""
        return "; ".join((*self.reasons, *self.notes))


@dataclass(frozen=True)
class Limb:
    """The leg that the measures are of.

    Parameters
    ----------
    side
        ``left`` or ``right``.
    bones
        Name of the segment or surface by ``femur``, ``tibia``, ``fibula``, ``talus``; those that there are.
    landmarks_ras
        As they lie in the image, RAS mm, by the names of `anatomy.limb_landmarks.LimbLandmarks`.
    origin
        Where each comes from: ``surface``, ``placed`` or ``estimated``.
    notes
        What was not found, and what was assumed.
    """

    side: str
    bones: Mapping[str, str]
    landmarks_ras: Mapping[str, _Point]
    origin: Mapping[str, str]
    notes: tuple[str, ...] = ()
