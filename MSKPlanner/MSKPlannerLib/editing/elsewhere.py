"""A long change of a case worked out in another process: the case goes there, and only what has changed comes back."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from MSKFusionLib.background import Call, here
from MSKFusionLib.progress import Progress

from ..anatomy.vertebra import VertebraFrame
from ..mesh import Mesh
from ..pipeline import Case, PrintedSolid
from ..plan import Plan
from .screw_edits import fields_of


class _Named(Protocol):
    @property
    def name(self) -> str:
        """What it is called."""


Part = TypeVar("Part", bound=_Named)
#: From a case, further arguments and `progress` to a case, or to a case and what is to be said of it; importable by its name.
Change = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class _Answer:
    """What comes back of a case.

    Parameters
    ----------
    guides
        The solids there are now, by name; None for one that was sent.
    bones, frames, made
        Those that were not sent; `made` of `BoneFields.made`.
    images
        Whether it still has the MR and the registration that were sent.
    said
        What the change returned beside the case.
    """

    plan: Plan
    guides: Mapping[str, PrintedSolid | None]
    bones: Mapping[str, Mesh]
    frames: Mapping[str, VertebraFrame]
    made: Mapping[Any, Any]
    images: tuple[bool, bool]
    said: Any


def changed_elsewhere(call: Call, change: Change, case: Case, *arguments: Any, progress: Progress) -> tuple[Case, Any]:
    """Return what `change(case, *arguments, progress=...)` returns, worked out by `call`: the case, and what is said of it or None.

    The change keeps the images and the labels of the case. What of the plan is as it was are the very objects of before.

    Raises
    ------
    MSKError
        What the change raised.
    """
    start = fields_of(case)
    if call is here:
        return _both(change(start, *arguments, progress=progress))
    answer = _read(call(worked_out, change, start, *arguments, progress=progress), start)
    assert start.fields is not None
    start.fields.take(answer.made)
    solids = {n: start.guides[n] if s is None else s for n, s in answer.guides.items()}
    mr, registration = answer.images
    after = replace(
        start,
        mr=start.mr if mr else None,
        registration=start.registration if registration else None,
        plan=_as_it_was(start.plan, answer.plan),
        guides=solids,
        bones={**start.bones, **answer.bones},
        frames={**start.frames, **answer.frames},
    )
    return after, answer.said


def worked_out(change: Change, case: Case, *arguments: Any, progress: Progress) -> bytes:
    """Change a case, and return what of it has to go back as a pickle without its images: called where the work is done."""
    assert case.fields is not None
    known = set(case.fields.made)
    after, said = _both(change(case, *arguments, progress=progress))
    made = {} if after.fields is None else {k: v for k, v in after.fields.made.items() if k not in known}
    answer = _Answer(
        after.plan,
        {n: None if s is case.guides.get(n) else s for n, s in after.guides.items()},
        {n: b for n, b in after.bones.items() if b is not case.bones.get(n)},
        {n: f for n, f in after.frames.items() if f is not case.frames.get(n)},
        made,
        (after.mr is not None, after.registration is not None),
        said,
    )
    return _written(answer, case)


def _large(case: Case) -> dict[str, Any]:
    """Return what both sides have, and what is made of the bones refers to."""
    labels = case.segmentation.labels
    found = {"segmentation": case.segmentation, "labels": labels, "label voxels": labels.voxels}
    return found if case.ct is None else found | {"ct": case.ct, "ct voxels": case.ct.voxels}


def _written(answer: _Answer, case: Case) -> bytes:
    names = {id(part): name for name, part in _large(case).items()}

    class Writer(pickle.Pickler):
        def persistent_id(self, part: Any) -> str | None:
            return names.get(id(part))

    stream = io.BytesIO()
    Writer(stream, protocol=pickle.HIGHEST_PROTOCOL).dump(answer)
    return stream.getvalue()


def _read(written: bytes, case: Case) -> _Answer:
    parts = _large(case)

    class Reader(pickle.Unpickler):
        def persistent_load(self, name: str) -> Any:
            return parts[name]

    answer: _Answer = Reader(io.BytesIO(written)).load()
    return answer


def _both(found: Any) -> tuple[Case, Any]:
    return found if isinstance(found, tuple) else (found, None)


def _as_it_was(before: Plan, after: Plan) -> Plan:
    """Return a plan with the former objects in place of their equals: what is shown goes by whether it is the same object."""
    return replace(
        after,
        screws=_same(before.screws, after.screws),
        guides=_same(before.guides, after.guides),
        osteotomies=_same(before.osteotomies, after.osteotomies),
        limb=before.limb if before.limb == after.limb else after.limb,
    )


def _same(before: Sequence[Part], after: Sequence[Part]) -> tuple[Part, ...]:
    known = {b.name: b for b in before}
    return tuple(known[a.name] if known.get(a.name) == a else a for a in after)
