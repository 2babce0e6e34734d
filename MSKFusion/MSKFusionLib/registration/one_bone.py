"""Of a registration bone by bone the motion of one: the whole image follows the bone that matters."""

from __future__ import annotations

from dataclasses import replace

from ..errors import InputError
from .result import RegistrationResult, Verdict


def following(result: RegistrationResult, bone: str) -> RegistrationResult:
    """Return a registration in which the whole moving image moves as one bone of the fixed one does.

    The verdict and the expected error are that bone's; elsewhere, where bones moved against each other, the image is off by what
    they moved. Where the whole was rejected the bone is too: what it rests on does not hold.

    Raises
    ------
    InputError
        When the registration knows no such bone.
    """
    found = next((b for b in result.bones if b.name == bone), None)
    if found is None:
        raise InputError(f"'{bone}' was not registered on its own", "Choose a bone of the CT's segmentation.")
    placed = found.fixed_to_moving_ras is not None and found.verdict is Verdict.ACCEPTED
    accepted = placed and result.verdict is Verdict.ACCEPTED
    reasons = (*result.reasons, *(() if placed else (f"{bone}: {'; '.join(found.reasons) or 'not placed'}",)))
    return replace(
        result,
        method=f"{result.method}; the whole image follows {bone}",
        fixed_to_moving_ras=result.fixed_to_moving_ras
        if found.fixed_to_moving_ras is None
        else found.fixed_to_moving_ras,
        verdict=Verdict.ACCEPTED if accepted else Verdict.REJECTED,
        reasons=reasons,
        expected_error_mm=found.expected_error_mm if accepted else None,
        warnings=(*result.warnings, f"the whole image follows {bone}"),
        bones=(),
        bending=None,
        refits=None,
    )
