"""Weights into a network: read as numbers alone, compared with the network before it takes memory."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from typing import IO, Any

from ..errors import InputError, MissingComponentError, MSKError
from ..torch_device import NETWORKS as PURPOSE
from ..torch_device import Tensor, load_torch
from .allowed import Call
from .build import MOST_PARAMETERS, build_network
from .bundle_files import MOST_WEIGHT_BYTES, WEIGHTS, BundleFiles

#: Before it, weights alone could still run code (CVE-2025-32434).
_LEAST_TORCH = (2, 6)
#: Where checkpoints of a training keep the weights among other things.
_NAMES = ("model", "state_dict", "network", "net", "model_state_dict", "network_weights")


def load_network(call: Call, files: BundleFiles, device: str) -> Any:
    """Return a bundle's network with its weights, ready to be used.

    Raises
    ------
    InputError
        When the weights hold anything but numbers, or are another network's.
    """
    torch = load_torch(PURPOSE)
    where = f"{files.path.name}/{WEIGHTS}"
    sketch = build_network(call, where, meta=True)
    count = sum(p.numel() for p in sketch.parameters())
    if count > MOST_PARAMETERS:
        raise InputError(
            f"{call.name} would have {count / 1e6:.0f} million weights", "Give a smaller one.", where=where
        )
    state = _read(files, where)
    _compare(state, sketch.state_dict(), call.name, where)
    network = build_network(call, where)
    network.load_state_dict(state)
    return network.to(torch.device(device)).eval().requires_grad_(False)


def _read(files: BundleFiles, where: str) -> dict[str, Tensor]:
    torch = load_torch(PURPOSE)
    version = tuple(int(n) for n in torch.__version__.split("+")[0].split(".")[:2])
    if version < _LEAST_TORCH:
        raise MissingComponentError(
            f"PyTorch {torch.__version__} cannot read weights safely. Install 2.6 or newer (mskplanner[networks])."
        )
    try:
        with files.weights() as file:
            _refuse_other_formats(file, where)
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            "this file holds more than numbers (it could run code), and is not read",
            "Ask the author for a state_dict alone.",
            where=where,
        ) from error
    except MSKError:
        raise
    except Exception as error:
        raise InputError(
            "these are no weights that PyTorch can read as numbers alone (cut short, or TorchScript)",
            "Give the state_dict of the network.",
            where=where,
        ) from error
    if isinstance(content, Mapping):
        held = next((content[n] for n in _NAMES if isinstance(content.get(n), Mapping)), content)
        plain = {str(k).removeprefix("module."): v for k, v in held.items()}
        if plain and all(_is_plain(v) for v in plain.values()):
            return plain
    raise InputError("this file holds no weights of a network", "Give its state_dict.", where=where)


def _refuse_other_formats(file: IO[bytes], where: str) -> None:
    """Refuse what is not the archive that PyTorch writes since 1.6, and one that unpacks to more than it may."""
    try:
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(
            "this is no archive of weights as PyTorch 1.6 and newer write it (a bare pickle could run code)",
            "Save the state_dict again with torch.save.",
            where=where,
        ) from error
    if unpacked > MOST_WEIGHT_BYTES:
        raise InputError(f"the weights unpack to {unpacked / 1e9:.1f} GB", "Give a smaller network.", where=where)
    file.seek(0)


def _is_plain(value: object) -> bool:
    torch = load_torch(PURPOSE)
    if not isinstance(value, torch.Tensor):
        return False
    return bool(value.layout == torch.strided and not value.is_quantized and value.device.type == "cpu")


def _compare(state: dict[str, Tensor], wanted: Mapping[str, Tensor], name: str, where: str) -> None:
    """Refuse weights that do not fit the network in every name and shape, or are not numbers."""
    torch = load_torch(PURPOSE)
    missing, extra = sorted(set(wanted) - set(state)), sorted(set(state) - set(wanted))
    shaped = [k for k in wanted if k in state and state[k].shape != wanted[k].shape]
    if missing or extra or shaped:
        words = [f"{len(missing)} are missing"] * bool(missing) + [f"{len(extra)} are not its own"] * bool(extra)
        words += [f"{len(shaped)} have another shape"] * bool(shaped)
        first = (shaped or missing or extra)[0]
        raise InputError(
            f"the weights are for another network than the {name} of the bundle ({', '.join(words)}: {first} ...)",
            "Get the bundle again.",
            where=where,
        )
    for key, value in state.items():
        if not bool(torch.isfinite(value).all()):
            raise InputError(f"the weights '{key}' are not all numbers (NaN or infinite)", where=where)
