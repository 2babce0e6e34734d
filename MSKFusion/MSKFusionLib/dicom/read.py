"""Read one series of a DICOM folder as a volume on a straight, even, right-handed grid."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..frames import flip_ras_lps
from ..progress import Progress, no_progress, part
from ..volume import Modality, Provenance, Volume, check_values
from .header import FrameHeader
from .pixels import AIR_HU, real_values, stored_values
from .regrid import regrid
from .series import Candidate, choose, find_candidates, modality_of
from .sorting import Stack


def read_series(
    folder: str | Path,
    series: str | None = None,
    *,
    modality: Modality | None = None,
    progress: Progress = no_progress,
) -> Volume:
    """Read a DICOM series (folder, searched with all folders below; or one multi-frame file).

    Slices are sorted by their position along the slice normal (row x column). A tilted gantry and uneven steps are put
    right by resampling, which `provenance.steps` says. The voxels are rescaled slice by slice (HU for CT).

    Parameters
    ----------
    series
        Key, UID, number or description of `list_series`; not needed when only one series can be meant.
    modality
        Only series of this modality are meant; it also says what an image is whose header names neither CT nor MR.

    Returns
    -------
    Volume
        Its `provenance.sha256` is that of the stored pixel values and the slice geometry in spatial order: the same for
        any file names, order, or lossless transfer syntax.

    Raises
    ------
    InputError
        When no series or several can be meant, there are several patients, a slice is missing, slices do not form one
        volume, or pixel data are damaged; see `list_series` for folders.
    """
    place = str(folder)
    candidates = find_candidates(folder, part(progress, 0.0, 0.3))
    chosen, notes = choose(candidates, series, modality, place)
    volume = _read(chosen, notes, part(progress, 0.3, 1.0))
    if modality is not None and modality is not volume.modality:
        if volume.modality is not Modality.UNKNOWN:
            raise InputError(f"the series is {volume.modality}, not {modality}", "Give the right folder.", where=place)
        volume = replace(volume, modality=modality)
    check_values(volume, place)
    progress(1.0, "image read")
    return volume


def _read(chosen: Candidate, notes: Sequence[str], progress: Progress) -> Volume:
    stack = chosen.part.stack
    if stack is None:  # `choose` gives volumes only
        raise AssertionError("a series without a stack was chosen")
    info = chosen.info
    stored = stored_values(stack.frames, part(progress, 0.0, 0.6))
    digest = _sha256(stack.frames, stored)
    voxels, value_steps = real_values(stored, stack.frames)
    del stored
    if any(f.is_lossy for f in stack.frames):
        value_steps = ("the images had been compressed with loss", *value_steps)
    progress(0.7, "values rescaled")
    first = stack.frames[0]
    origin, step = first.position_lps, stack.step_mm
    modality = modality_of(info.modality)
    if modality is Modality.CT and first.rescale_type not in ("", "HU", "US"):
        # Material maps of dual-energy scanners are CT images too, and not in Hounsfield units.
        modality = Modality.UNKNOWN
        value_steps = (f"the values are not HU (the header calls them {first.rescale_type})", *value_steps)
    grid_steps: tuple[str, ...] = ()
    if not (stack.is_even and stack.is_straight):
        grid_steps = (_what_was_put_right(stack),)
        fill = float(AIR_HU) if modality is Modality.CT else float(voxels.min())
        voxels, origin, step = regrid(stack, voxels, fill, part(progress, 0.7, 1.0))
    elif tilt := _contradicted_tilt(stack):
        grid_steps = (tilt,)
    name = ", ".join(w for w in (info.description, info.part) if w) or f"{info.modality} series {info.key}"
    details = {
        "series_uid": info.uid,
        "series_number": info.number,
        "description": info.description,
        "part": info.part,
        "dicom_modality": info.modality,
        "frame_of_reference_uid": first.frame_of_reference_uid,
        "slices": len(stack.frames),
        "tilt_deg": 0.0 if stack.is_straight else round(stack.tilt_deg, 3),
    }
    directions_lps = np.stack([stack.row_lps, stack.column_lps, stack.normal_lps], axis=1)
    return Volume(
        voxels,
        flip_ras_lps(origin),
        np.array([first.column_spacing_mm, first.row_spacing_mm, step]),
        directions_lps * np.array([-1.0, -1.0, 1.0])[:, None],
        modality=modality,
        name=name,
        provenance=Provenance(
            source=f"DICOM series {info.uid}",
            sha256=digest,
            steps=(*notes, *chosen.part.steps, *value_steps, *grid_steps),
            details=details,
        ),
    )


def _what_was_put_right(stack: Stack) -> str:
    faults = []
    if not stack.is_straight:
        if stack.is_sheared_evenly:
            faults.append(f"slices tilted by {stack.tilt_deg:.1f} degrees (gantry tilt)")
        else:
            faults.append(f"slices shifted sideways by up to {np.abs(stack.shifts_mm).max():.2f} mm")
    if not stack.is_even:
        steps = np.diff(stack.heights_mm)
        faults.append(f"uneven slice steps of {steps.min():.2f} to {steps.max():.2f} mm")
    return f"{' and '.join(faults)}: resampled on a straight grid with {stack.step_mm:.2f} mm between slices"


def _contradicted_tilt(stack: Stack) -> str:
    tilt = stack.frames[0].tilt_deg
    if tilt is None or abs(tilt) < 0.5:
        return ""
    return f"the header names a gantry tilt of {tilt:g} degrees, the slice positions show none: the positions were used"


def _sha256(frames: Sequence[FrameHeader], stored: Sequence[NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for frame, values in zip(frames, stored, strict=True):
        geometry = [
            *(*frame.position_lps, *frame.row_lps, *frame.column_lps),
            *(frame.column_spacing_mm, frame.row_spacing_mm, frame.slope, frame.intercept),
        ]
        digest.update(np.array(geometry, dtype="<f8").tobytes())
        kind = values.dtype.newbyteorder("<")
        digest.update(f"{kind.str}{values.shape}".encode())
        digest.update(np.ascontiguousarray(values, dtype=kind).tobytes())
    return digest.hexdigest()
