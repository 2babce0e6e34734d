"""What a network calls a structure, in the words that the rest of the planner uses."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..segmentation.labels import VERTEBRA_VALUES
from ..terminology import structure_term

_LEVEL = re.compile(r"(?:vertebrae?[ _-]?)?([ctl]\d{1,2}|s1)(?:[ _-]?vertebrae?)?", re.IGNORECASE)
_BONES = re.compile(
    r"femur|tibia|fibula|patella|talus|calcane|tarsal|phalan|hip|pelvi|rib|sternum|scapula|clavic|humerus|radius|ulna|carpal"
    r"|skull|mandible|bone|coccyx",
    re.IGNORECASE,
)
_NOT_PLAIN = re.compile(r"[^\w /.,()+-]", re.ASCII)
_LONGEST = 64
#: What is not named by a vertebra's number begins here.
FIRST_OTHER_VALUE = 201


def plain_words(text: str) -> str:
    """Return a name from a file without what could mean something in a file's header or on a terminal."""
    return _NOT_PLAIN.sub("_", text.strip())[:_LONGEST]


def structure(name: str) -> tuple[str, str]:
    """Return name and kind of a structure: ``vertebrae_L3`` is (``L3``, ``vertebra``), ``femur_left`` (.., ``bone``)."""
    plain = plain_words(name)
    level = _LEVEL.fullmatch(plain)
    if level and level[1].upper() in VERTEBRA_VALUES:
        upper = level[1].upper()
        return upper, "sacrum" if upper == "S1" else "vertebra"
    if plain.casefold() == "sacrum":
        return "sacrum", "sacrum"
    if re.search(r"\bdis[ck]s?\b", plain.replace("_", " "), re.IGNORECASE):
        return plain, "disc"
    if _BONES.search(plain):
        return plain, "bone"
    return plain, plain.casefold().replace("_", " ")


def name_structures(labels: Sequence[str]) -> list[tuple[int, str, str]]:
    """Return value, name and kind for each label of a network but the first, which is the background.

    A sacrum is called S1 as elsewhere here, unless the network knows an S1 too.
    """
    named = [structure(label) for label in labels[1:]]
    if "S1" not in (name for name, _ in named):
        named = [("S1", kind) if name == "sacrum" else (name, kind) for name, kind in named]
    out: list[tuple[int, str, str]] = []
    taken: set[str] = set()
    for channel, (name, kind) in enumerate(named, 1):
        unique = name if name not in taken else f"{name} ({channel})"
        taken.add(unique)
        value = VERTEBRA_VALUES[unique] if unique in VERTEBRA_VALUES else FIRST_OTHER_VALUE + channel - 1
        out.append((value, unique, kind))
    return out


def without_term(names: Sequence[tuple[int, str, str]]) -> list[str]:
    """Return the names that no standard term is known for."""
    return [name for _, name, kind in names if structure_term(name, kind) is None]
