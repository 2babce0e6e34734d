"""Climbing mutual information from a start to the nearest maximum."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..frames import FloatArray
from .landmarks import LandmarkPairs
from .mutual_information import RADIUS_MM, MutualInformation, motion, parameter_gradient

_CostAndSlope = Callable[[FloatArray], tuple[float, FloatArray]]


def climb(
    information: MutualInformation,
    start_ras: FloatArray,
    centre_mr_ras: FloatArray,
    *,
    bound_mm: float = 12.0,
    restarts: int = 3,
    overlap_weight: float = 1.5,
    landmarks: LandmarkPairs | None = None,
) -> tuple[float, FloatArray]:
    """Climb from a start to the nearest maximum.

    Parameters
    ----------
    start_ras
        4x4, CT RAS to MR RAS.
    bound_mm
        How far one climb may go along each of the six parameters (turns at `RADIUS_MM`); it starts again from where it
        stopped up to `restarts` times, as long as that gains.
    overlap_weight
        What a nat costs in lost overlap: samples that leave the image below 98 % of the start's share are paid for, so
        that information cannot be gained by looking at less.
    landmarks
        From the CT to the MR; what they are off is paid for too.

    Returns
    -------
    value
        Mutual information in nats at the maximum, less the price of lost overlap and of landmarks.
    ct_to_mr_ras
        4x4 of the maximum.
    """
    scale = np.r_[np.full(3, 1.0 / RADIUS_MM), np.ones(3)]
    best = start_ras.copy()
    least_share = 0.98 * information.value(start_ras)[1]

    def cost(y: FloatArray) -> tuple[float, FloatArray]:
        x = y * scale
        pose = motion(x, centre_mr_ras) @ best
        value, gradient, share = information.value_and_gradient(pose, centre_mr_ras)
        if landmarks is not None:
            price, change = landmarks.price(pose, centre_mr_ras)
            value, gradient = value - price, gradient - change
        slope = parameter_gradient(x, gradient)
        return -(value - overlap_weight * max(0.0, least_share - share)), -slope * scale

    value = -np.inf
    for _ in range(restarts):
        before = value
        y, lowest = minimise(cost, bound_mm)
        best, value = motion(y * scale, centre_mr_ras) @ best, -lowest
        if value - before < 1e-3 * abs(value):
            break
    return value, best


def minimise(
    cost: _CostAndSlope, bound: float, *, longest_step: float = 2.0, steps: int = 60
) -> tuple[FloatArray, float]:
    """Minimise a smooth function of six parameters from zero within a box: BFGS with steps of limited length.

    A tenth of the time of a general optimiser for so few parameters. Source: Nocedal and Wright, Numerical Optimization,
    2006, chapter 6.

    Parameters
    ----------
    cost
        Gives value and gradient (6,).
    longest_step
        No step is longer, so that a climb stays with the maximum that it is nearest to.
    """
    x = np.zeros(6)
    value, slope = cost(x)
    inverse = np.eye(6) / max(float(np.linalg.norm(slope)), 1e-12)
    still = 0
    for number in range(steps):
        direction = -inverse @ slope
        if direction @ slope >= 0:
            inverse = np.eye(6) / max(float(np.linalg.norm(slope)), 1e-12)
            direction = -inverse @ slope
        direction *= min(1.0, longest_step / max(float(np.linalg.norm(direction)), 1e-12))
        fraction = 1.0
        while True:
            x_new = np.clip(x + fraction * direction, -bound, bound)
            value_new, slope_new = cost(x_new)
            if value_new <= value + 1e-4 * slope @ (x_new - x) or fraction < 0.05:
                break
            promised = fraction * float(slope @ direction)
            curvature = 2 * (value_new - value - promised)
            fraction *= float(np.clip(-promised / curvature if curvature > 0 else 0.5, 0.1, 0.5))
        if value_new > value:
            break
        step, change, gained = x_new - x, slope_new - slope, value - value_new
        x, value, slope = x_new, value_new, slope_new
        product, length = float(step @ change), float(np.linalg.norm(step))
        if product > 1e-10 * length * float(np.linalg.norm(change)):
            if number == 0:
                inverse = np.eye(6) * product / float(change @ change)
            left = np.eye(6) - np.outer(step, change) / product
            inverse = left @ inverse @ left.T + np.outer(step, step) / product
        still = still + 1 if gained < 1e-5 * abs(value) and length < 0.02 else 0
        if still >= 2 or length < 1e-3:
            break
    return x, value
