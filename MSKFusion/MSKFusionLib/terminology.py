"""Standard words and colours for anatomical structures (SNOMED CT codes, from Resources/Terminology).

The codes are those of DICOM PS3.16 (CID 7603 vertebrae, CID 7604 discs) and of Slicer's own lists. The colours of
neighbouring vertebrae come from P. Tol's "light" scheme (SRON/EPS/TN/09-002), which people with a colour vision
deficiency can tell apart too; a test simulates it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from functools import cache

from .resources import resource_path
from .segmentation.labels import UNNAMED_FIRST_VALUE, VERTEBRA_VALUES

Colour = tuple[float, float, float]

_UNKNOWN: Colour = (0.6, 0.6, 0.6)
#: Modifiers of a type (DICOM PS3.16, CID 244).
#: What a structure may be and still count as bone.
_BONES = frozenset(
    [
        "bone",
        "sacrum",
        "femur",
        "patella",
        "tibia",
        "fibula",
        "humerus",
        "radius",
        "ulna",
        "hip",
        "rib",
        "sternum",
        "scapula",
        "clavicle",
        "skull",
    ]
)
_SIDES = {"left": ("SCT", "7771000", "Left"), "right": ("SCT", "24028007", "Right")}


@dataclass(frozen=True)
class Term:
    """A structure in standard words.

    Parameters
    ----------
    context
        The name of the terminology context that Slicer shows it under.
    category, type
        (coding scheme, code, meaning).
    colour
        Red, green, blue from 0 to 1.
    side
        The type's modifier, left or right; None where there is none.
    """

    context: str
    category: tuple[str, str, str]
    type: tuple[str, str, str]
    colour: Colour
    side: tuple[str, str, str] | None = None

    def serialized(self) -> str:
        """Return the entry in the form that a Slicer segment keeps (no anatomic region)."""
        side = "^".join(self.side or ("", "", ""))
        return f"{self.context}~{'^'.join(self.category)}~{'^'.join(self.type)}~{side}~~^^~^^"


def structure_term(name: str, kind: str = "") -> Term | None:
    """Return the standard term of a structure by its name, by its kind where the name says nothing, or None.

    Parameters
    ----------
    name
        A segment's name: ``L3``, ``S1``, ``disc L4/L5``, ``aorta``, ``nerve root L4 left``, ...
    kind
        A segment's kind: ``vertebra``, ``sacrum``, ``disc``, ``bone``, ...
    """
    terms, key = _terms(), _key(name)
    # "nerve root L4 left": the longest known word that the name starts with
    starts = [known for known in terms if len(known) > 3 and key.startswith(known + " ")]
    found = terms.get(key) or (terms[max(starts, key=len)] if starts else terms.get(_key(kind)))
    return None if found is None else _with_side(found, key)


def coded_structure(scheme: str, value: str) -> str:
    """Return what a code means, in lower case (``aorta``, ``bone``, ``l4 vertebra``); empty for codes not known here."""
    return next((t.type[2].casefold() for t in _terms().values() if t.type[:2] == (scheme, value)), "")


def named_structure(name: str) -> str:
    """Return what a name means, in lower case, the side left aside (``left kidney`` is ``kidney``); empty for unknown names."""
    plain = " ".join(word for word in _key(name).split() if word not in _SIDES)
    term = structure_term(plain)
    return "" if term is None else term.type[2].casefold()


def means_bone(meaning: str) -> bool:
    """Tell whether a meaning (`coded_structure`, `named_structure`) is a bone's."""
    return meaning in _BONES or meaning.endswith("vertebra")


def _with_side(term: Term, key: str) -> Term:
    side = next((code for word, code in _SIDES.items() if word in key.split()), None)
    return term if side is None else replace(term, side=side)


def structure_colour(name: str, kind: str = "") -> Colour:
    """Return the colour of a structure: its term's; numbered vertebrae (V1, V2, ...) take turns like the named ones."""
    number = re.fullmatch(r"V(\d+)", name)
    if number:
        levels = list(VERTEBRA_VALUES)
        return structure_colour(levels[(int(number[1]) - 1) % 5])
    term = structure_term(name, kind)
    return term.colour if term else _UNKNOWN


def unnamed_vertebra_value(name: str) -> int | None:
    """Return the label value of V1, V2, ...; None for any other name."""
    number = re.fullmatch(r"V(\d+)", name)
    return UNNAMED_FIRST_VALUE + int(number[1]) - 1 if number else None


def _key(text: str) -> str:
    return re.sub(r"[\s_\-/]+", " ", text).strip().casefold()


@cache
def _terms() -> dict[str, Term]:
    content = json.loads(resource_path("Terminology", "msk_planner.term.json").read_text(encoding="utf-8"))
    found: dict[str, Term] = {}
    for category in content["SegmentationCodes"]["Category"]:
        for entry in category["Type"]:
            red, green, blue = (value / 255 for value in entry["recommendedDisplayRGBValue"])
            term = Term(
                content["SegmentationCategoryTypeContextName"], _code(category), _code(entry), (red, green, blue)
            )
            for name in (entry["CodeMeaning"], *entry["mskNames"]):
                found.setdefault(_key(name), term)
    return found


def _code(entry: dict[str, str]) -> tuple[str, str, str]:
    return entry["CodingSchemeDesignator"], entry["CodeValue"], entry["CodeMeaning"]
