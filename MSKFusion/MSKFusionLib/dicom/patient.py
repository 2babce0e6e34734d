"""Who is in a picture: compared, never shown."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydicom.dataset import Dataset


@dataclass(frozen=True)
class PatientKey:
    """Number, name and birth date as far as a header gives them, in lower case; left out of every `repr`."""

    identifier: str = field(default="", repr=False)
    name: str = field(default="", repr=False)
    birth_date: str = field(default="", repr=False)

    @classmethod
    def of(cls, ds: Dataset) -> PatientKey:
        """Return the patient of a dataset."""
        name = str(ds.get("PatientName") or "").replace("^", " ").replace("=", " ")
        return cls(
            str(ds.get("PatientID") or "").strip().casefold(),
            " ".join(name.casefold().split()),
            str(ds.get("PatientBirthDate") or "").strip(),
        )

    def differs_from(self, other: PatientKey) -> bool:
        """Tell whether two headers belong to different people; what one of them lacks does not count against it."""

        def conflict(a: str, b: str) -> bool:
            return bool(a and b and a != b)

        if conflict(self.identifier, other.identifier) or conflict(self.birth_date, other.birth_date):
            return True
        # One number and one birth date: two spellings of a name, or a new name after a marriage, are one person.
        sure = bool(self.identifier and other.identifier and self.birth_date and other.birth_date)
        return not sure and conflict(self.name, other.name)

    def scrub(self, text: str) -> str:
        """Return `text` without the patient's name and number, should somebody have typed them there."""
        words = [self.identifier, *self.name.split()]
        for word in sorted((w for w in words if len(w) >= 3), key=len, reverse=True):
            start = text.casefold().find(word)
            while start >= 0:
                text = f"{text[:start]}***{text[start + len(word) :]}"
                start = text.casefold().find(word, start + 3)
        return text
