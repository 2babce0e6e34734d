"""List the image series of a DICOM folder, and choose one."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..progress import Progress, no_progress
from ..volume import Modality
from .header import FrameHeader, read_headers
from .sorting import plane_name
from .split import Part, split_series


@dataclass(frozen=True)
class SeriesInfo:
    """What a person needs to choose a volume; nothing in it names the patient.

    Parameters
    ----------
    key
        Chooses this volume: the series number, with a letter where two series share it, and with ".1", ".2" for the
        volumes within one series.
    size
        Columns, rows, slices.
    spacing_mm
        Between columns, rows and slices (measured from the positions; 0 where there is no stack).
    problem
        Why it cannot be read as a volume; empty when it can.
    """

    key: str
    uid: str
    number: int | None
    description: str
    part: str
    modality: str
    plane: str
    image_count: int
    size: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    problem: str = ""

    @property
    def is_volume(self) -> bool:
        """Whether it can be read."""
        return not self.problem

    @property
    def text(self) -> str:
        """One line for a list."""
        name = ", ".join(w for w in (self.description, self.part) if w) or "no description"
        x, y, z = self.spacing_mm
        grid = f", {x:.3g}x{y:.3g}x{z:.3g} mm" if z else ""
        problem = f" (not a volume: {self.problem})" if self.problem else ""
        return f"[{self.key}] {self.modality or '?'} {self.plane} '{name}', {self.image_count} images{grid}{problem}"


@dataclass(frozen=True, eq=False)
class Candidate:
    """A listed series with its images."""

    info: SeriesInfo
    part: Part


def list_series(folder: str | Path, progress: Progress = no_progress) -> tuple[SeriesInfo, ...]:
    """Return the image series in a folder and all folders below it, or in one file, by series number.

    Raises
    ------
    InputError
        When there is no such place, nothing in it is a DICOM image, a file in it is damaged or cannot be opened, or it
        holds images of several patients.
    """
    return tuple(c.info for c in find_candidates(folder, progress))


def find_candidates(folder: str | Path, progress: Progress = no_progress) -> list[Candidate]:
    """Return the series of a folder with their images; see `list_series`."""
    place = Path(folder)
    frames = _scan(place, progress)
    _refuse_several_patients(frames, str(place))
    by_uid: dict[str, list[FrameHeader]] = {}
    for frame in frames:
        by_uid.setdefault(frame.series_uid, []).append(frame)
    ordered = sorted(by_uid.items(), key=lambda item: (_number(item[1]), item[0]))
    shared = Counter(_number(images) for _, images in ordered)
    seen: Counter[int] = Counter()
    found: list[Candidate] = []
    for uid, images in ordered:
        number = _number(images)
        letter = chr(ord("a") + seen[number] % 26) * (1 + seen[number] // 26) if shared[number] > 1 else ""
        seen[number] += 1
        key = f"{number if number >= 0 else 'none'}{letter}"
        parts = split_series(images, str(place))
        for k, part in enumerate(parts, 1):
            found.append(Candidate(_info(part, f"{key}.{k}" if len(parts) > 1 else key, uid), part))
    return found


def _number(frames: Sequence[FrameHeader]) -> int:
    numbers = [f.series_number for f in frames if f.series_number is not None]
    return min(numbers) if numbers else -1


def _info(part: Part, key: str, uid: str) -> SeriesInfo:
    first = part.stack.frames[0] if part.stack else part.frames[0]
    step = part.stack.step_mm if part.stack else 0.0
    number = _number(part.frames)
    return SeriesInfo(
        key=key,
        uid=uid,
        number=number if number >= 0 else None,
        description=first.description,
        part=part.label,
        modality=first.modality,
        plane=plane_name(first) if not first.problem else "",
        image_count=len(part.frames),
        size=(first.columns, first.rows, len(part.frames)),
        spacing_mm=(first.column_spacing_mm, first.row_spacing_mm, step),
        problem=part.fault.what if part.fault else "",
    )


def _scan(place: Path, progress: Progress) -> list[FrameHeader]:
    if not place.exists():
        raise InputError("there is no such folder or file", "Check the path.", where=str(place))
    try:
        files = [place] if place.is_file() else _files_below(place)
    except OSError as error:
        raise InputError(
            f"this folder cannot be opened ({error.strerror})", "Make it readable.", where=str(place)
        ) from error
    if not files:
        raise InputError("the folder is empty", "Give the folder that holds the DICOM files.", where=str(place))
    frames: list[FrameHeader] = []
    dicom_count = 0
    for number, path in enumerate(files):
        if number % 10 == 0:
            progress(number / len(files), "reading DICOM headers")
        headers = read_headers(path)
        dicom_count += headers is not None
        frames += headers or ()
    if not frames:
        what = "the DICOM files hold no images" if dicom_count else "nothing here is a DICOM file"
        raise InputError(what, "Give the folder of a CT or MR series.", where=str(place))
    return frames


def _files_below(place: Path) -> list[Path]:
    def fail(error: OSError) -> None:
        raise error

    found: list[Path] = []
    for folder, below, names in os.walk(place, onerror=fail):
        below.sort()
        found += [Path(folder) / name for name in sorted(names)]
    return found


def _refuse_several_patients(frames: Sequence[FrameHeader], where: str) -> None:
    patients = list({f.patient: None for f in frames})
    if any(a.differs_from(b) for k, a in enumerate(patients) for b in patients[:k]):
        raise InputError(
            "the images are of several patients", "Give each patient's images a folder of their own.", where=where
        )


def choose(
    candidates: Sequence[Candidate], series: str | None, modality: Modality | None, where: str
) -> tuple[Candidate, tuple[str, ...]]:
    """Return the wished candidate, or the only one that can be meant, and what to say about the choice.

    Parameters
    ----------
    series
        A key of the list, a series instance UID, a series number, or (a part of) a description.
    modality
        Only series of this modality are meant.

    Raises
    ------
    InputError
        When nothing or several fit, or what fits is not a volume.
    """
    fitting = list(candidates)
    wish = (series or "").strip()
    if modality in (Modality.CT, Modality.MR):
        fitting = [c for c in candidates if modality_of(c.info.modality) in (modality, Modality.UNKNOWN)]
        if not fitting:
            raise InputError(
                f"there is no {modality} series, only: {_listed(candidates)}", "Give the right folder.", where=where
            )
    if wish:
        fitting = _matching(fitting, wish)
        if not fitting:
            raise InputError(
                f"no series is called '{wish}'; there are: {_listed(candidates)}",
                "Choose one of these by its number, UID or description.",
                where=where,
            )
    volumes = [c for c in fitting if c.info.is_volume]
    if len(volumes) > 1:
        raise InputError(
            f"{len(volumes)} image series could be meant: {_listed(volumes)}",
            "Choose one by its number in brackets, its UID or its description.",
            where=where,
        )
    if not volumes:
        fault = fitting[0].part.fault
        if len(fitting) == 1 and fault is not None:
            raise fault
        raise InputError(
            f"none of the {len(fitting)} series is a volume: {_listed(fitting)}",
            "Export the whole series again.",
            where=where,
        )
    chosen = volumes[0]
    broken = [c for c in fitting if not c.info.is_volume and not c.part.is_beside]
    if broken:
        # The broken one may be the one that is meant: taking the other would be a silent fallback.
        raise InputError(
            f"{len(broken) + 1} image series could be meant: {_listed([chosen, *broken])}",
            "Choose one by its number in brackets, its UID or its description.",
            where=where,
        )
    others = [c.info for c in fitting if c is not chosen]
    if not wish and others:
        return chosen, (f"chosen as the only volume among {len(others) + 1} series",)
    return chosen, ()


def _matching(candidates: Sequence[Candidate], wish: str) -> list[Candidate]:
    low = wish.casefold()
    tests = (
        lambda i: i.key == low,
        lambda i: i.uid == wish,
        lambda i: i.key.split(".")[0] == low or (i.number is not None and str(i.number) == wish),
        lambda i: low in (i.description.casefold(), f"{i.description}, {i.part}".casefold(), i.part.casefold()),
        lambda i: bool(low) and low in f"{i.description}, {i.part}".casefold(),
    )
    for test in tests:
        fitting = [c for c in candidates if test(c.info)]
        if fitting:
            return fitting
    return []


def _listed(candidates: Sequence[Candidate], most: int = 12) -> str:
    shown = "; ".join(c.info.text for c in candidates[:most])
    return f"{shown}; and {len(candidates) - most} more" if len(candidates) > most else shown


def modality_of(tag: str) -> Modality:
    """Return what a DICOM Modality means here."""
    return Modality(tag) if tag in ("CT", "MR") else Modality.UNKNOWN
