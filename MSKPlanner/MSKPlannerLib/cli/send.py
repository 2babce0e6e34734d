"""`mskplanner send`: the trajectories of a plan to a navigation system, over OpenIGTLink."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import FloatArray
from MSKFusionLib.progress import Progress
from MSKFusionLib.registration.result import Verdict

from ..export.navigation import (
    DEFAULT_PORT,
    Trajectory,
    load_pyigtl,
    navigation_messages,
    path_trajectories,
    screw_trajectories,
    send_messages,
)
from ..export.rigid_registration import moving_to_fixed_ras
from ..plan_file import plan_sha256, read_plan
from .console import say, table
from .status import DONE, REJECTED


def send(args: argparse.Namespace, progress: Progress) -> int:
    """Send screws or needle paths, and the registration where it is wished."""
    load_pyigtl()
    if not 0.0 < args.timeout < 86400.0:
        raise InputError("the time to wait is no time", "Give seconds, for example --timeout 10.", where="--timeout")
    host, port = parse_address(args.address)
    trajectories, mr_to_ct, about = _read(Path(args.plan), registration=args.registration)
    rejected = [t.name for t in trajectories if t.verdict is Verdict.REJECTED]
    going = [t for t in trajectories if args.allow_rejected or t.verdict is Verdict.ACCEPTED]
    if trajectories and not going and mr_to_ct is None:
        raise InputError(
            f"all trajectories are rejected ({', '.join(rejected)}); nothing was sent",
            "Plan again, or send them as they are with --allow-rejected.",
            where=args.plan,
        )
    messages = navigation_messages(going, frame=args.frame.upper(), mr_to_ct_ras=mr_to_ct, about=about)
    progress(0.2, f"Waiting for a call at {host}:{port}" if args.listen else f"Sending to {host}:{port}")
    send_messages(messages, host, port, listen=args.listen, timeout_s=args.timeout)
    progress(1.0, "Sent")
    rows = [[t.name, *(_place(p) for p in (t.entry_ras, t.tip_ras)), str(t.verdict)] for t in going]
    rows += [["MR to CT", "", "", "accepted"]] if mr_to_ct is not None else []
    left_out = [] if args.allow_rejected else rejected
    words = [table(["Sent", "Entry RAS mm", "Tip RAS mm", "Verdict"], rows)]
    words += [f"{len(messages)} messages in {args.frame.upper()} mm {'from' if args.listen else 'to'} {host}:{port}."]
    words += [f"Rejected and left out: {', '.join(left_out)}."] if left_out else []
    result = {
        **about,
        "frame": args.frame.upper(),
        "sent": [t.name for t in going],
        "registration_sent": mr_to_ct is not None,
        "left_out": left_out,
        "messages": [{"type": m.message_type, "device": m.device_name} for m in messages],
    }
    say("\n".join(words), result, as_json=args.json)
    return REJECTED if rejected else DONE


def _read(place: Path, *, registration: bool) -> tuple[list[Trajectory], FloatArray | None, dict[str, Any]]:
    """Return what a plan or a file of paths holds, and what to say of it."""
    paths = place / "paths.json" if place.is_dir() and not (place / "plan.json").exists() else place
    if paths.name == "paths.json" and paths.is_file():
        if registration:
            raise InputError("paths hold no registration", "Leave --registration out.", where=str(paths))
        try:
            document = json.loads(paths.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError("not valid JSON", "Plan the paths again.", where=str(paths)) from error
        if not isinstance(document, dict):
            raise InputError("these are no paths of MSK Planner", "Give a paths.json.", where=str(paths))
        found = path_trajectories(document, str(paths))
        if not found:
            raise InputError("there is no path in it", "Plan the paths again.", where=str(paths))
        return found, None, {"source": "paths"}
    plan = read_plan(place)
    if not plan.screws and not registration:
        raise InputError("the plan holds no screws", "Plan some, or add --registration.", where=str(place))
    mr_to_ct = None
    if registration:
        if plan.registration is None:
            raise InputError("this plan has no registration", "Leave --registration out.", where=str(place))
        mr_to_ct = moving_to_fixed_ras(plan.registration)
    about = {"source": "plan", "plan_id": plan.plan_id, "plan_sha256": plan_sha256(plan)}
    return screw_trajectories(plan), mr_to_ct, about


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of ``HOST``, ``HOST:PORT`` or ``[IPv6]:PORT``."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(DEFAULT_PORT)
    host = host.strip("[]")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise InputError(f"'{text}' is no address", f"Give HOST:PORT, for example localhost:{DEFAULT_PORT}.")
    return host, int(port)


def _place(point: tuple[float, float, float]) -> str:
    return ", ".join(f"{c:.1f}" for c in point)
