"""What a planned screw is asked to keep to."""

from __future__ import annotations

from dataclasses import dataclass, replace

from MSKFusionLib.errors import InputError

from .error_budget import DEFAULT_BUDGET, load_error_budget
from .pedicle_ways import TRADITIONAL, WAYS


@dataclass(frozen=True)
class ScrewOptions:
    """What a pedicle screw is asked to keep to. Lengths in mm, angles in degrees in the vertebra's frame.

    Parameters
    ----------
    wished_clearance_mm
        Bone all round the screw. The default covers 0.5 mm of true bone and 0.5 mm of doubt about where the
        segmentation's surface is (about a voxel of a planning CT).
    minimum_clearance_mm
        Where even the thinnest screw of the table has less, the pedicle is called too narrow and the screw rejected.
    pedicle_fill
        The largest diameter as a share of the pedicle's width; thicker screws break pedicles
        (beyond 80 % of the outer diameter: Misenhimer et al. 1989, doi 10.1097/00007632-198904000-00004). It does not
        go below the table's thinnest screw.
    joint_margin_mm
        Kept from neighbouring vertebrae beside the entry where it can be: it spares the facet joints, and a
        segmentation is less sure where one vertebra ends and the next begins than where bone ends.
    anterior_margin_mm
        Bone left in front of the tip, along the axis.
    body_depth
        The tip goes no deeper than this share of the body's depth: 80 % holds nearly as well as through the front
        cortex without its danger to the vessels (Krag et al. 1988, J Spinal Disord 1:287).
    convergence_deg, sagittal_deg
        Limits of the direction: towards the midline, and up from the plane of the endplates.
    error_budget
        Name or TOML file of the errors between plan and patient that a screw's risk is counted with; empty for none.
    objective
        ``hold``: the longest and densest path among those with the wished clearance. ``risk``: the screw of that size
        is then moved to where it is least likely to breach by the error budget.
    trajectory
        One of `pedicle_ways.WAYS`: ``traditional``, ``cortical`` (L1 to L5), ``straight_forward`` or ``anatomic``. All but the
        traditional one bring their own limits of the direction, as far as they have them.
    """

    wished_clearance_mm: float = 1.0
    minimum_clearance_mm: float = 0.5
    pedicle_fill: float = 0.8
    joint_margin_mm: float = 2.0
    anterior_margin_mm: float = 5.0
    body_depth: float = 0.8
    convergence_deg: tuple[float, float] = (-5.0, 35.0)
    sagittal_deg: tuple[float, float] = (-20.0, 20.0)
    error_budget: str = DEFAULT_BUDGET
    objective: str = "hold"
    trajectory: str = TRADITIONAL

    def __post_init__(self) -> None:
        if not 0 <= self.minimum_clearance_mm <= self.wished_clearance_mm <= 5:
            raise InputError(
                f"the wished clearance {self.wished_clearance_mm} mm and the least {self.minimum_clearance_mm} mm do not go together",
                "Ask for 0 <= least <= wished <= 5 mm.",
            )
        if not (
            0.1 <= self.pedicle_fill <= 1
            and 0.3 <= self.body_depth <= 1
            and 0 <= self.anterior_margin_mm <= 20
            and 0 <= self.joint_margin_mm <= 10
        ):
            raise InputError("pedicle fill, body depth, anterior or joint margin are outside what makes sense")
        if self.objective not in ("hold", "risk") or (self.objective == "risk" and not self.error_budget):
            raise InputError(f"'{self.objective}' is no objective here", "Give hold, or risk with an error budget.")
        for key in _own_limits(self.trajectory):
            if tuple(getattr(self, key)) != ScrewOptions.__dataclass_fields__[key].default:
                words = f"{key} does not go with the trajectory '{self.trajectory}', which has limits of its own"
                raise InputError(words, "Leave it out.")
        if self.error_budget:
            load_error_budget(self.error_budget)  # a name or file that is not there is said before any work
        for low, high in (self.convergence_deg, self.sagittal_deg):
            if not -60 <= low < high <= 60:
                raise InputError(f"direction limits of {low} to {high} degrees leave no screw", "Give (low, high).")


def with_trajectory(options: ScrewOptions, trajectory: str) -> ScrewOptions:
    """Return the options for another way through the pedicle; limits of the direction that it brings itself are let go.

    Raises
    ------
    InputError
        When there is no such trajectory.
    """
    own, usual = _own_limits(trajectory), ScrewOptions()
    return replace(
        options,
        trajectory=trajectory,
        convergence_deg=usual.convergence_deg if "convergence_deg" in own else options.convergence_deg,
        sagittal_deg=usual.sagittal_deg if "sagittal_deg" in own else options.sagittal_deg,
    )


def _own_limits(trajectory: str) -> tuple[str, ...]:
    """Return the names of the options whose limits a trajectory brings itself."""
    if trajectory not in WAYS:
        raise InputError(f"there is no trajectory '{trajectory}'", f"There are: {', '.join(WAYS)}.")
    if trajectory == TRADITIONAL:
        return ()
    return ("sagittal_deg",) if WAYS[trajectory].convergence_deg is None else ("convergence_deg", "sagittal_deg")
