"""Trajectories and transforms of a plan for navigation systems, as OpenIGTLink messages (by pyigtl).

OpenIGTLink carries numbers, not a frame. Slicer's OpenIGTLinkIF takes the matrix of a TRANSFORM as a transform to
parent and the places of a POINT message as control points, both as they come, so RAS mm is what it expects (source:
openigtlink/SlicerOpenIGTLink, vtkMRMLIGTLConnectorNode.cxx). LPS is for receivers that want DICOM's frame.
"""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import (
    FloatArray,
    flip_ras_lps,
    flip_transform_ras_lps,
    perpendicular_axes,
    rigid,
    unit,
)
from MSKFusionLib.optional import load_optional
from MSKFusionLib.registration.result import Verdict

from ..colours import SCREW_COLOUR, judged_colour
from ..percutaneous.document import SCHEMA as PATHS_SCHEMA
from ..plan import Plan, Point

#: The name of a device has 20 bytes, the name of a point 64 (OpenIGTLink protocol, header and POINT).
_DEVICE_BYTES, _POINT_BYTES = 20, 64
#: Where Slicer listens if nothing else is said.
DEFAULT_PORT = 18944
#: How long the receiver may take to read to the end before the line is cut.
_LINGER_S = 1.0


@dataclass(frozen=True)
class Trajectory:
    """A straight way of an instrument: where it enters and where it ends, RAS mm.

    Parameters
    ----------
    diameter_mm
        Of what goes along it; 0 where it is not known.
    """

    name: str
    entry_ras: Point
    tip_ras: Point
    diameter_mm: float = 0.0
    verdict: Verdict = Verdict.ACCEPTED


def screw_trajectories(plan: Plan) -> list[Trajectory]:
    """Return the screws of a plan as trajectories."""
    return [Trajectory(s.name, s.entry_ras, s.tip_ras, s.diameter_mm, s.verdict) for s in plan.screws]


def path_trajectories(document: Mapping[str, Any], where: str = "paths.json") -> list[Trajectory]:
    """Return the needles of a `paths.json` as trajectories, best first.

    Raises
    ------
    InputError
        When it is not such a document.
    """
    if document.get("schema") != PATHS_SCHEMA or not isinstance(document.get("paths"), list):
        raise InputError("these are no paths of MSK Planner", "Give the paths.json of mskplanner path.", where=where)
    verdict = Verdict.ACCEPTED if document.get("verdict") == "accepted" else Verdict.REJECTED
    request = document.get("request")
    needle = request.get("needle_mm", 0.0) if isinstance(request, dict) else 0.0
    found = []
    for n, path in enumerate(document["paths"], 1):
        try:
            entry, tip = (np.array(path[key], dtype=np.float64) for key in ("entry_ras", "target_ras"))
            diameter = float(needle)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"path {n} has no entry and target", "Plan the paths again.", where=where) from error
        if entry.shape != (3,) or tip.shape != (3,) or not np.isfinite([*entry, *tip, diameter]).all():
            raise InputError(f"entry and target of path {n} are not places", "Plan the paths again.", where=where)
        ends = [(float(p[0]), float(p[1]), float(p[2])) for p in (entry, tip)]
        found.append(Trajectory(f"path {n}", ends[0], ends[1], diameter, verdict))
    return found


def tip_to_ras(entry_ras: ArrayLike, tip_ras: ArrayLike) -> FloatArray:
    """Return the 4x4 of a trajectory: its origin is the tip, z runs from the entry to the tip, x and y are across.

    Raises
    ------
    GeometryError
        When entry and tip are one place.
    """
    along = unit(np.subtract(tip_ras, entry_ras))
    u, v = perpendicular_axes(along)
    return rigid(np.column_stack([u, v, along]), tip_ras)


def navigation_messages(
    trajectories: Sequence[Trajectory],
    *,
    frame: str = "RAS",
    mr_to_ct_ras: FloatArray | None = None,
    about: Mapping[str, Any] | None = None,
) -> list[Any]:
    """Return the messages of pyigtl for trajectories and a transform.

    A trajectory is a POINT message of its name (entry, tip) and a TRANSFORM (`tip_to_ras`) of its name and ``pose``;
    the transform is a TRANSFORM ``MrToCt``. A STRING ``MSKPlanner`` says as JSON what they are, with full names.

    Parameters
    ----------
    frame
        ``RAS`` or ``LPS``.
    about
        What else the STRING says, the plan's hash for example.

    Raises
    ------
    InputError
        When the frame is not known, there is nothing to send, or a trajectory has no length.
    MissingComponentError
        When pyigtl is not installed.
    """
    if frame not in ("RAS", "LPS"):
        raise InputError(f"the frame '{frame}' is neither LPS nor RAS")
    if not trajectories and mr_to_ct_ras is None:
        raise InputError("there is nothing to send")
    igtl = load_pyigtl()

    def placed(points: ArrayLike) -> FloatArray:
        return flip_ras_lps(points) if frame == "LPS" else np.asarray(points, dtype=np.float64)

    names = device_names([n for t in trajectories for n in (t.name, f"{t.name} pose")])
    messages, listed = [], []
    for n, t in enumerate(trajectories):
        try:
            pose = tip_to_ras(placed(t.entry_ras), placed(t.tip_ras))
        except GeometryError as error:
            raise InputError("entry and tip are one place", "Leave it out.", where=t.name) from error
        points_name, pose_name = names[2 * n], names[2 * n + 1]
        colour = [round(255 * c) for c in judged_colour(SCREW_COLOUR, t.verdict)]
        messages.append(
            igtl.PointMessage(
                positions=placed([t.entry_ras, t.tip_ras]),
                names=[_cut(f"{t.name} {end}", _POINT_BYTES) for end in ("entry", "tip")],
                rgba_colors=[[*colour, 255]] * 2,
                diameters=[t.diameter_mm] * 2,
                groups=["Trajectory"] * 2,
                device_name=points_name,
            )
        )
        messages.append(igtl.TransformMessage(pose, device_name=pose_name))
        listed.append(
            {
                "name": t.name,
                "points": points_name,
                "pose": pose_name,
                "diameter_mm": t.diameter_mm,
                "verdict": str(t.verdict),
            }
        )
    if mr_to_ct_ras is not None:
        matrix = flip_transform_ras_lps(mr_to_ct_ras) if frame == "LPS" else mr_to_ct_ras
        messages.append(igtl.TransformMessage(matrix, device_name="MrToCt"))
    said = json.dumps({**(about or {}), "frame": frame, "unit": "mm", "trajectories": listed}, ensure_ascii=True)
    return [igtl.StringMessage(said, device_name="MSKPlanner"), *messages]


def send_messages(
    messages: Sequence[Any], host: str, port: int, *, listen: bool = False, timeout_s: float = 10.0
) -> None:
    """Send messages to an OpenIGTLink peer, all or none of them.

    Parameters
    ----------
    listen
        Wait at this address for the peer to call (Slicer: a connector as Client). Otherwise the peer listens there (a
        connector as Server) and is called.
    timeout_s
        How long to wait for the peer.

    Raises
    ------
    InputError
        When there is no peer in time, the address cannot be listened at, or the line breaks.
    """
    content = b"".join(m.pack() for m in messages)
    try:
        with _connected(host, port, listen, timeout_s) as line:
            line.settimeout(timeout_s)
            line.sendall(content)
            line.shutdown(socket.SHUT_WR)
            _let_read(line)
    except OSError as error:
        receiver = (
            "Let the receiver call here meanwhile (in Slicer: OpenIGTLinkIF, a connector as Client, Active)"
            if listen
            else "Let the receiver listen first (in Slicer: OpenIGTLinkIF, a connector as Server, Active)"
        )
        raise InputError(
            f"nothing could be sent ({error.strerror or error})", f"{receiver}.", where=f"{host}:{port}"
        ) from error


def _connected(host: str, port: int, listen: bool, timeout_s: float) -> socket.socket:
    if not listen:
        return socket.create_connection((host, port), timeout=timeout_s)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=1) as server:
        server.settimeout(timeout_s)
        return server.accept()[0]


def _let_read(line: socket.socket) -> None:
    """Wait for the receiver to hang up, and take what it says: a line cut with unread words loses what was sent."""
    until = time.monotonic() + _LINGER_S
    while (left := until - time.monotonic()) > 0:
        line.settimeout(left)
        try:
            if not line.recv(4096):
                return
        except (TimeoutError, ConnectionResetError):
            return


def device_names(names: Sequence[str]) -> list[str]:
    """Return names that devices may have: 20 printable ASCII characters at most, all different."""
    found: list[str] = []
    for name in names:
        plain = re.sub(r"[^\x20-\x7e]", "?", name).strip() or "trajectory"
        candidate, n = _cut(plain, _DEVICE_BYTES), 2
        while candidate in found:
            candidate, n = f"{plain[: _DEVICE_BYTES - 1 - len(str(n))]}~{n}", n + 1
        found.append(candidate)
    return found


def _cut(text: str, most: int) -> str:
    return text.encode("ascii", errors="replace").decode("ascii")[:most]


def load_pyigtl() -> Any:
    """Return the module `pyigtl`.

    Raises
    ------
    MissingComponentError
        When it is not installed.
    """
    return load_optional(
        "pyigtl",
        missing="sending to navigation needs pyigtl, which is not installed here. Install it with "
        "pip install 'mskplanner[navigation]' (in Slicer: pip_install('pyigtl')).",
    )
