"""The few exception types of both libraries.

Every message is one line that says what is wrong, where, and the way out.
"""


class MSKError(Exception):
    """Base of everything raised on purpose."""


class InputError(MSKError):
    """The input or the call is wrong (exit status 2): nothing was computed, nothing was written."""

    def __init__(self, what: str, way_out: str = "", where: str = "") -> None:
        self.what, self.way_out, self.where = what, way_out, where
        text = f"{where}: {what}" if where else what
        if way_out:
            text = f"{text.rstrip('.')}. {way_out}"
        super().__init__(" ".join(text.split()))


class GeometryError(InputError):
    """An image, a transform or a mesh has a geometry that cannot be planned on."""


class ProcessingError(MSKError):
    """A step could not produce a result from valid input (a solid that does not close, a search without a solution)."""


class MissingComponentError(MSKError):
    """A library or a device that this step needs is not there."""


class Cancelled(MSKError):  # noqa: N818  a user's wish, not an error
    """The user stopped the work; nothing half-made is left behind."""
