"""What the plan document says of resections: the cut planes round a tumour, the parts, and the margin that they keep."""

from __future__ import annotations

from dataclasses import dataclass

from MSKFusionLib.registration.result import Verdict

_Point = tuple[float, float, float]


@dataclass(frozen=True)
class ResectionCut:
    """One plane of a resection.

    Parameters
    ----------
    point_ras
        Of the specimen's face, at the tumour's height, RAS mm.
    normal_ras
        Away from the specimen; the blade runs on this side of the plane, in bone that stays.
    kerf_mm
        Thickness of the blade.
    margin_mm, margin_ras
        The least distance of the bone that it bares from the tumour, and where.
    area_mm2
        Of bone that is sawn.
    saw_direction_ras, saw_depth_mm, off_approach_deg
        The free way of the saw: into the patient, how deep, and how far it lies off the approach.
    """

    name: str
    point_ras: _Point
    normal_ras: _Point
    kerf_mm: float
    margin_mm: float
    margin_ras: _Point
    area_mm2: float
    saw_direction_ras: _Point
    saw_depth_mm: float
    off_approach_deg: float


@dataclass(frozen=True)
class ResectionPart:
    """A part: ``specimen``, ``remaining``, ``dust`` (what the saws take) or ``tumour``, as it lies in the image.

    Parameters
    ----------
    file
        Its surface in the output folder; empty where it was not written.
    mesh_sha256
        Of that surface (`guides.recipe.mesh_sha256`).
    """

    name: str
    volume_mm3: float
    file: str = ""
    mesh_sha256: str = ""


@dataclass(frozen=True)
class ResectionRecord:
    """A tumour taken out of a bone with a margin.

    Parameters
    ----------
    bone
        Name of the structure that is cut.
    wished_mm
        Margin that was asked for; margins count in bone alone.
    travel_ras
        Unit, from the surgeon into the patient.
    margin_mm, margin_ras
        The least margin of all bone that stays or is sawn, and where.
    healthy_mm3
        Bone lost that is no tumour, saw dust included.
    margin_after_errors_mm
        Least margin that 95 % of the cases have when registration and saw err as `budget` says.
    kept_probability, breached_probability
        That the wished margin is kept everywhere then, and that a cut goes through the tumour.
    budget
        Expected mean error of the registration, standard deviations of a cut's place (mm) and direction (degrees) and of the
        tumour's border (mm), in this order.
    bone_sha256, tumour_sha256
        Of the surfaces it was planned on (`guides.recipe.mesh_sha256`); the tumour's where it was carried to.
    """

    name: str
    bone: str
    wished_mm: float
    travel_ras: _Point
    cuts: tuple[ResectionCut, ...]
    parts: tuple[ResectionPart, ...]
    margin_mm: float
    margin_ras: _Point
    healthy_mm3: float
    tumour_in_bone_mm3: float
    margin_after_errors_mm: float
    kept_probability: float
    breached_probability: float
    budget: tuple[float, float, float, float]
    bone_sha256: str = ""
    tumour_sha256: str = ""
    reviewed: bool = False
    verdict: Verdict = Verdict.ACCEPTED
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def remarks(self) -> str:
        """The reasons and the notes, in one line."""
        return "; ".join((*self.reasons, *self.notes))
