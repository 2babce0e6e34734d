"""Signals of proton-density and fat-suppressed MR, from relaxation times at 1.5 T.

S = density x (1 - 2 exp(-TI / T1) + exp(-TR / T1)) x exp(-TE / T2), its magnitude; without an inversion pulse (TI) the
first bracket is 1 - exp(-TR / T1). Times after Stanisz et al. 2005 (doi 10.1002/mrm.20605: muscle, kidney, blood, nerve,
cartilage) and de Bazelaire et al. 2004 (doi 10.1148/radiol.2303021331: fat, marrow); discs and the rest are set between
their neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..frames import FloatArray
from .render import Signals


@dataclass(frozen=True)
class Sequence:
    """A turbo spin echo: repetition, echo and (where fat is nulled by an inversion pulse) inversion time in ms."""

    repetition_ms: float
    echo_ms: float
    inversion_ms: float | None = None

    def signal(self, density: FloatArray, t1_ms: FloatArray, t2_ms: FloatArray) -> FloatArray:
        """Return the signal of tissues (N,) of a proton density and relaxation times."""
        back = np.exp(-self.repetition_ms / t1_ms)
        if self.inversion_ms is None:
            upright = 1.0 - back
        else:
            upright = np.abs(1.0 - 2.0 * np.exp(-self.inversion_ms / t1_ms) + back)
        return np.asarray(density * upright * np.exp(-self.echo_ms / t2_ms), dtype=np.float64)


#: Fat-suppressed is STIR: its inversion time nulls fat whatever the field is, near metal too.
SEQUENCES = {"PD": Sequence(3000.0, 28.0), "FS": Sequence(4500.0, 55.0, 165.0)}

# Air, skin, fat, muscle, viscera, gas, kidney, aorta, vena cava, annulus, nucleus, worn disc, epidural fat, CSF, cauda,
# nerve root, cartilage.
_DENSITY = (0, 0.70, 0.90, 0.80, 0.82, 0.03, 0.86, 0.10, 0.14, 0.62, 0.88, 0.62, 0.90, 1.00, 0.86, 0.76, 0.75)
_T1 = (1, 700, 270, 980, 750, 900, 1000, 1440, 1440, 900, 1200, 850, 270, 3800, 1600, 1000, 1020)
_T2 = (1, 35, 85, 42, 60, 40, 80, 250, 250, 38, 110, 48, 85, 1400, 250, 78, 44)
#: Cancellous bone: the share of fat in its protons, then density, T1 and T2 of its water.
_MARROW_FAT, _MARROW_WATER = 0.42, (0.75, 900.0, 48.0)
#: Cortical bone's protons and the denser cancellous bone of an arch against a body's.
_CORTEX, _ARCH_GAIN = 0.05, 0.04
#: A tissue varies by this share of its signal, and everything by a little that does not depend on it.
_SPREAD_SHARE, _SPREAD = 0.08, 0.012


def relaxed_signals(sequence: Sequence) -> Signals:
    """Return what a sequence shows of each tissue, the brightest of them 1."""
    fat = 2
    mean = sequence.signal(*(np.array(row, dtype=np.float64) for row in (_DENSITY, _T1, _T2)))
    water = float(sequence.signal(*(np.array([v]) for v in _MARROW_WATER))[0])
    marrow = _MARROW_FAT * float(mean[fat]) + (1.0 - _MARROW_FAT) * water
    brightest = float(mean.max())
    mean, marrow = mean / brightest, marrow / brightest
    spread = np.where(mean > 0, _SPREAD_SHARE * mean + _SPREAD, 0.0)
    return Signals(
        tuple(mean.tolist()),
        tuple(spread.tolist()),
        _CORTEX * 1.1,
        _CORTEX * 0.9,
        marrow,
        _ARCH_GAIN * marrow,
        0.05,
        0.07,
    )
