"""The ways through a pedicle that a surgeon chooses between, and what each asks of direction, entry, tip and screw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

TRADITIONAL, CORTICAL, STRAIGHT_FORWARD, ANATOMIC = "traditional", "cortical", "straight_forward", "anatomic"


@dataclass(frozen=True)
class PedicleWay:
    """One way through a pedicle.

    Parameters
    ----------
    levels
        First letter of the vertebrae that it is described for; empty for all.
    convergence_deg, sagittal_deg
        Limits of the direction that the way itself brings; None where it does not.
    wider_deg
        The same (convergence, sagittal) where nothing within them has the least clearance; None for no others.
    least_tip_share
        The tip reaches at least to this share of the body's depth behind its middle.
    below_mm
        The entry lies at least so far below the pedicle's middle; None where that is free.
    implants
        Name of the table in `Resources/Implants` where the user gives none; empty for the general one.
    """

    name: str
    title: str
    source: str
    levels: str = ""
    convergence_deg: tuple[float, float] | None = None
    sagittal_deg: tuple[float, float] | None = None
    wider_deg: tuple[tuple[float, float], tuple[float, float]] | None = None
    least_tip_share: float = 0.2
    below_mm: float | None = None
    implants: str = ""


_ALL = (
    PedicleWay(TRADITIONAL, "traditional", "limits of `ScrewOptions`"),
    PedicleWay(
        CORTICAL,
        "cortical bone trajectory",
        "Santoni et al. 2009 (doi 10.1016/j.spinee.2008.07.008); Matsukawa et al. 2013 (doi 10.1097/BSD.0b013e318288ac39): 470 "
        "vertebrae, L1 to L5, 8.5 to 9.1 degrees outwards and 25.5 to 26.2 up on average, 37 to 40 mm long, room for 6.2 to 8.4 mm",
        levels="L",
        convergence_deg=(-15.0, -5.0),
        sagittal_deg=(20.0, 33.0),
        # Means of other measurements lie between 14 and 21 degrees outwards and 17.5 and 25 up (doi 10.1055/s-0041-1731672).
        wider_deg=((-21.0, -2.0), (14.0, 36.0)),
        least_tip_share=0.35,
        below_mm=1.0,
        implants="generic_cortical_screws",
    ),
    PedicleWay(
        STRAIGHT_FORWARD,
        "straight-forward",
        "parallel to the upper endplate: 39 % more insertional torque and 27 % more pull-out strength than the anatomic one in "
        "thoracic vertebrae (Lehman et al. 2003, Spine 28:2058)",
    ),
    PedicleWay(
        ANATOMIC, "anatomic", "along the pedicle's own axis in the sagittal plane (Lehman et al. 2003, Spine 28:2058)"
    ),
)
WAYS: Mapping[str, PedicleWay] = MappingProxyType({way.name: way for way in _ALL})
