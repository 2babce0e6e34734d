"""A CT and an MR image, or two MR images, made ready for registration, coarse and fine."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..frames import FloatArray
from ..volume import Modality, Volume
from .mr_reference import mr_as_reference
from .mutual_information import MutualInformation
from .preprocess import at_spacing, even_out_mr, thin
from .sampling import body_mask, crop_to_overlap, draw_samples


@dataclass(frozen=True, eq=False)
class Pair:
    """CT and MR made ready for registration.

    Parameters
    ----------
    ct
        HU, float32; another MR on that scale where `shows_bone` is false.
    mr, signal
        Values and foreground of `even_out_mr`.
    shows_bone
        Whether what is dense in `ct` is bone.
    """

    ct: Volume
    mr: Volume
    signal: Volume
    shows_bone: bool = True
    _levels: dict[float, tuple[Volume, Volume]] = field(default_factory=dict, repr=False)

    @classmethod
    def prepare(cls, ct: Volume, mr: Volume) -> Pair:
        """Thin both, and take the coil's shading out of the MR. An MR in the CT's place is put on the CT's scale."""
        shows_bone = ct.modality is not Modality.MR
        reference = thin(ct) if shows_bone else mr_as_reference(thin(ct))
        return cls(reference, *even_out_mr(thin(mr)), shows_bone)

    @property
    def centre_mr_ras(self) -> FloatArray:
        """Turns are about the middle of the MR."""
        return self.mr.centre_ras

    def at(self, spacing_mm: float) -> tuple[Volume, Volume]:
        """Return both at about this spacing; each is made once, from the next finer one that is there."""
        if spacing_mm not in self._levels:
            finer = max((s for s in self._levels if s <= spacing_mm / 2), default=None)
            ct, mr = (self.ct, self.mr) if finer is None else self._levels[finer]
            self._levels[spacing_mm] = at_spacing(ct, spacing_mm), at_spacing(mr, spacing_mm)
        return self._levels[spacing_mm]

    def information(
        self, spacing_mm: float, count: int, seed: int, ct_to_mr_ras: FloatArray | None = None, bins: int = 32
    ) -> MutualInformation:
        """Return the mutual information of the body at a spacing, around a pose (everywhere where none is given)."""
        ct, mr = self.at(spacing_mm)
        if ct_to_mr_ras is None:
            return MutualInformation(draw_samples(ct, ct, body_mask(ct), count, seed), mr, bins)
        crop = crop_to_overlap(ct, mr, ct_to_mr_ras)
        mask = body_mask(crop, 2)
        return MutualInformation(
            draw_samples(crop, crop, mask, count, seed, mr=mr, ct_to_mr_ras=ct_to_mr_ras), mr, bins
        )
