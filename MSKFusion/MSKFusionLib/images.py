"""Load an image from wherever it lies: a DICOM folder, or a file in any format that SimpleITK reads."""

from __future__ import annotations

from pathlib import Path

from .dicom import read_series
from .errors import InputError
from .progress import Progress, no_progress
from .volume import Modality, Volume, read_image


def load_image(
    path: str | Path,
    *,
    modality: Modality | None = None,
    series: str | None = None,
    progress: Progress = no_progress,
) -> Volume:
    """Read a volume from a DICOM folder (or DICOM file) or from one image file.

    Parameters
    ----------
    modality
        What the numbers mean, where the file does not say so (NRRD, NIfTI); for DICOM only series of it are meant.
    series
        Number, UID or description of the wished series of a DICOM folder.

    Raises
    ------
    InputError
        When there is nothing there, it cannot be read, or it is not one 3D image with finite, varying values.
    """
    if not str(path).strip():
        raise InputError("no path is given", "Name a DICOM folder or an image file.", where=repr(str(path)))
    place = Path(path)
    try:
        is_folder, is_file = place.is_dir(), place.is_file()
    except (OSError, ValueError) as error:
        raise InputError("this path cannot be looked up", "Check the path.", where=repr(str(path))) from error
    if is_folder or (is_file and _is_dicom(place)):
        return read_series(place, series, modality=modality, progress=progress)
    if not is_file:
        raise InputError("there is no such file or folder", "Check the path.", where=str(place))
    if series is not None:
        raise InputError("a series can only be chosen in a DICOM folder", "Leave the series out.", where=str(place))
    volume = read_image(place, modality)
    progress(1.0, "image read")
    return volume


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError as error:
        raise InputError(
            f"this file cannot be opened ({error.strerror or 'read error'})", "Make it readable.", where=str(path)
        ) from error
