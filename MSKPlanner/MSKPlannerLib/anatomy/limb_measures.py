"""What each measure of a limb's alignment means, where it comes from and what is usual; and how far it can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from MSKFusionLib.frames import rigid

from .limb_alignment import LimbAlignment, measures_of
from .limb_landmarks import POINTS, LimbLandmarks
from .sensitivity import Sensitivity, sensitivity_of

_PALEY = "Paley 2002, Principles of Deformity Correction, doi 10.1007/978-3-642-59373-4"
_STRECKER = "Strecker et al. 1997, J Bone Joint Surg Br 79:1019 (CT, 355 adults, mean and 2 SD)"
#: Landmarks are moved by this to see how a measure follows, mm.


@dataclass(frozen=True)
class MeasureInfo:
    """One measure of `LimbAlignment`.

    Parameters
    ----------
    title, unit
        As shown.
    definition
        How it is measured.
    source
        Of the definition and the usual range.
    usual
        Lowest and highest of what is usual in adults; None where there is no such range.
    """

    title: str
    unit: str
    definition: str
    source: str
    usual: tuple[float, float] | None


MEASURES: Mapping[str, MeasureInfo] = {
    "hka_deg": MeasureInfo(
        "HKA",
        "deg",
        "Angle between the mechanical axes of femur (hip to knee centre) and tibia (knee to ankle centre) in the "
        "limb's frontal plane; below 180 varus, above 180 valgus.",
        f"{_PALEY}; within 3 degrees of neutral as in Bellemans et al. 2012, doi 10.1007/s11999-011-1936-5",
        (177.0, 183.0),
    ),
    "mpta_deg": MeasureInfo(
        "MPTA",
        "deg",
        "Medial proximal tibial angle: between the tibia's mechanical axis and the line of its joint surfaces, medially, "
        "in the tibia's frontal plane.",
        _PALEY,
        (85.0, 90.0),
    ),
    "ldfa_deg": MeasureInfo(
        "mLDFA",
        "deg",
        "Lateral distal femoral angle: between the femur's mechanical axis and the tangent of its condyles, laterally, "
        "in the femur's frontal plane.",
        _PALEY,
        (85.0, 90.0),
    ),
    "jlca_deg": MeasureInfo(
        "JLCA",
        "deg",
        "Angle between the femoral and the tibial joint line in the limb's frontal plane; positive where they "
        "meet medially (the joint opens laterally: varus).",
        f"{_PALEY}: parallel within 2 degrees",
        (-2.0, 2.0),
    ),
    "mad_mm": MeasureInfo(
        "MAD",
        "mm",
        "How far the line from hip to ankle passes medially of the knee centre in the limb's frontal plane.",
        _PALEY,
        (1.0, 15.0),
    ),
    "weight_bearing_share": MeasureInfo(
        "Weight-bearing line",
        "",
        "Where the line from hip to ankle crosses the tibial plateau in the limb's frontal plane: 0 at the medial edge, "
        "1 at the lateral one. The Fujisawa point is 0.62.",
        "Fujisawa et al. 1979, Orthop Clin North Am 10:585; Dugdale et al. 1992, Clin Orthop Relat Res 274:248",
        None,
    ),
    "joint_line_obliquity_deg": MeasureInfo(
        "Joint line obliquity",
        "deg",
        "Angle of the tibial joint line to the normal of the line from hip to ankle; positive where it rises laterally.",
        _PALEY,
        None,
    ),
    "tibial_slope_deg": MeasureInfo(
        "Tibial slope",
        "deg",
        "Fall of the medial joint surface from its front to its back rim against the normal of the tibia's mechanical "
        "axis, in the tibia's sagittal plane; the range is that of 90 less PPTA.",
        _PALEY,
        (6.0, 13.0),
    ),
    "femoral_torsion_deg": MeasureInfo(
        "Femoral torsion",
        "deg",
        "Angle of the neck (head centre to neck centre) to the back of the condyles, seen along the femur's mechanical "
        "axis; positive: anteverted.",
        _STRECKER,
        (6.7, 41.5),
    ),
    "tibial_torsion_deg": MeasureInfo(
        "Tibial torsion",
        "deg",
        "Angle of the line between the malleoli to the back of the tibial condyles, seen along the tibia's mechanical "
        "axis; positive: external.",
        _STRECKER,
        (19.0, 50.8),
    ),
    "femur_length_mm": MeasureInfo("Femur", "mm", "From hip centre to femoral knee centre.", _PALEY, None),
    "tibia_length_mm": MeasureInfo("Tibia", "mm", "From tibial knee centre to ankle centre.", _PALEY, None),
    "leg_length_mm": MeasureInfo("Leg", "mm", "From hip centre to ankle centre.", _PALEY, None),
}


_FEMUR = ("hip_centre", "femoral_knee_centre", "medial_posterior_condyle", "lateral_posterior_condyle")
_TIBIA = ("ankle_centre", "tibial_knee_centre", "medial_posterior_tibia", "lateral_posterior_tibia")
_LIMB = (*_FEMUR, "ankle_centre")
_CONDYLES = ("medial_distal_condyle", "lateral_distal_condyle")
_PLATEAUS = ("medial_plateau", "lateral_plateau")
#: The landmarks that each measure rests on, those of its plane included.
NEEDS: Mapping[str, tuple[str, ...]] = {
    "hka_deg": (*_LIMB, "tibial_knee_centre"),
    "mpta_deg": (*_TIBIA, *_PLATEAUS),
    "ldfa_deg": (*_FEMUR, *_CONDYLES),
    "jlca_deg": (*_LIMB, *_CONDYLES, *_PLATEAUS),
    "mad_mm": (*_LIMB, "tibial_knee_centre"),
    "weight_bearing_share": (*_LIMB, "medial_plateau_edge", "lateral_plateau_edge"),
    "joint_line_obliquity_deg": (*_LIMB, *_PLATEAUS),
    "tibial_slope_deg": (*_TIBIA, "anterior_medial_plateau", "posterior_medial_plateau"),
    "femoral_torsion_deg": (*_FEMUR, "neck_centre"),
    "tibial_torsion_deg": (*_TIBIA, "medial_malleolus", "lateral_malleolus"),
    "femur_length_mm": ("hip_centre", "femoral_knee_centre"),
    "tibia_length_mm": ("tibial_knee_centre", "ankle_centre"),
    "leg_length_mm": ("hip_centre", "ankle_centre"),
}
#: What a value below and above the usual range is called.
_WORDS: Mapping[str, tuple[str, str]] = {
    "hka_deg": ("varus", "valgus"),
    "mpta_deg": ("varus of the tibia's head", "valgus of the tibia's head"),
    "ldfa_deg": ("valgus of the lower femur", "varus of the lower femur"),
    "jlca_deg": ("the joint opens medially", "the joint opens laterally"),
    "mad_mm": ("the axis passes far laterally", "the axis passes far medially"),
    "tibial_slope_deg": ("flat, or falling to the front", "steep"),
    "femoral_torsion_deg": ("little anteversion, or retroversion", "much anteversion"),
    "tibial_torsion_deg": ("little external torsion, or internal", "much external torsion"),
}


def in_words(measure: str, value: float) -> str:
    """Return what a value of a measure means, in words."""
    info = MEASURES[measure]
    if np.isnan(value):
        return "cannot be made"
    if info.usual is None:
        return "no usual range"
    low, high = info.usual
    if low <= value <= high:
        return "usual"
    below, above = _WORDS[measure]
    return f"below the usual range: {below}" if value < low else f"above the usual range: {above}"


def sensitivity(points: LimbLandmarks) -> Sensitivity:
    """Return how the measures of a leg follow errors of its landmarks."""
    return sensitivity_of(
        lambda name, step: asdict(measures_of(points.moved(rigid(translation=step), (name,)))), POINTS, MEASURES
    )


def unusual(measures: LimbAlignment) -> tuple[str, ...]:
    """Return the fields of the measures that lie outside what is usual in adults."""
    found = []
    for name, info in MEASURES.items():
        value = getattr(measures, name)
        if info.usual is not None and np.isfinite(value) and not info.usual[0] <= value <= info.usual[1]:
            found.append(name)
    return tuple(found)
