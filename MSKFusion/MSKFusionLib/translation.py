"""Text that a user reads, in the language of the application where there is one.

Slicer's own `slicer.i18n.tr` takes the context of a text from the file that calls it, so it cannot be wrapped; and the
libraries work without Slicer. `tr`, imported as ``_``, does the same for them: Qt's lupdate gathers ``_("...")`` alike.
"""

from __future__ import annotations

import sys


def tr(text: str) -> str:
    """Return a text in the application's language; as it is where there is no application, or no translation of it.

    Parameters
    ----------
    text
        A literal, with ``{names}`` for what is filled in afterwards.
    """
    i18n = sys.modules.get("slicer.i18n")
    if i18n is None:
        return text
    file = sys._getframe(1).f_code.co_filename
    translated: str = i18n.translate(i18n.getContext(file), text)
    # A translation that lost a placeholder would raise where it is filled in.
    return translated if _placeholders(translated) == _placeholders(text) else text


def _placeholders(text: str) -> set[str]:
    from string import Formatter

    try:
        return {name for _, name, _, _ in Formatter().parse(text) if name is not None}
    except ValueError:
        return {"\0"}
