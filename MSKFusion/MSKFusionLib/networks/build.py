"""Networks and transforms of MONAI, made from what a bundle was allowed to ask for."""

from __future__ import annotations

from typing import Any

from ..errors import InputError, MSKError
from ..optional import load_optional
from ..torch_device import NETWORKS as PURPOSE
from ..torch_device import load_torch
from .allowed import Call

#: Numbers in a network: 500 million take 2 GB.
MOST_PARAMETERS = 500_000_000


def load_monai() -> Any:
    """Return the module `monai`.

    Raises
    ------
    MissingComponentError
        When it, or PyTorch, is not installed.
    """
    load_torch(PURPOSE)
    return load_optional(
        "monai",
        "monai.networks.nets",
        "monai.transforms",
        "nibabel",  # MONAI's Orientation needs it
        missing="a network given as a bundle needs MONAI and nibabel, which are not both installed here. Install them "
        "with pip install 'mskplanner[networks]', or work without a network.",
    )


def build_network(call: Call, where: str, *, meta: bool = False) -> Any:
    """Return a network of random weights.

    Parameters
    ----------
    where
        The bundle, for messages.
    meta
        Without memory for its weights: to count and compare them.

    Raises
    ------
    InputError
        When MONAI cannot build it from these arguments.
    """
    torch = load_torch(PURPOSE)
    try:
        with torch.device("meta" if meta else "cpu"):
            return _built(call)
    except (MSKError, MemoryError):
        raise
    except Exception as error:
        raise InputError(f"{call.name} cannot be built as the bundle asks ({reason(error)})", where=where) from error


def reason(error: BaseException) -> str:
    """Return the first line of what an error says."""
    text = str(error).strip()
    return text.splitlines()[0][:160] if text else type(error).__name__


def _built(call: Call) -> Any:
    arguments = {k: _built(v) if isinstance(v, Call) else v for k, v in call.arguments.items()}
    return getattr(load_monai().networks.nets, call.name)(**arguments)


def build_transform(call: Call, where: str) -> Any:
    """Return a transform of an image (channel, i, j, k).

    Raises
    ------
    InputError
        When MONAI cannot make it from these arguments.
    """
    monai = load_monai()
    arguments = dict(call.arguments)
    if call.name == "Spacing":
        arguments["dtype"] = load_torch(PURPOSE).float32  # as in an image; float64 doubles the memory
    elif call.name == "Orientation":
        arguments["labels"] = None  # axes as the image's own space names them, MONAI's default since 1.6
    try:
        return getattr(monai.transforms, call.name)(**arguments)
    except Exception as error:
        raise InputError(f"{call.name} cannot be made as the bundle asks ({reason(error)})", where=where) from error
