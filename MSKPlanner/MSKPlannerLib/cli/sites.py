"""The sites that the arguments of `screws` ask for."""

from __future__ import annotations

import argparse
from typing import Any

from MSKFusionLib.errors import InputError
from MSKFusionLib.registration.landmark_files import read_landmarks

from ..screws.pedicle_ways import TRADITIONAL
from ..screws.sites.request import FREE, PEDICLE, SiteRequest, all_sites, request_from_table


def parse_sites(args: argparse.Namespace) -> tuple[SiteRequest, ...]:
    """Return the sites that the arguments of `screws` ask for; empty for the pedicles alone.

    Raises
    ------
    InputError
        When a site is not known, or a free one is not described.
    """
    if args.site.strip() == PEDICLE:
        _nothing_of_free(args)
        if args.side is not None or args.allow_displaced is not None or args.landmarks is not None:
            raise InputError(
                "--side, --allow-displaced and --landmarks are for the sites of the pelvis and the hip",
                where="--site pedicle",
            )
        return ()
    if args.trajectory != TRADITIONAL and PEDICLE not in [name.strip() for name in args.site.split(",")]:
        raise InputError("--trajectory is for --site pedicle", where="--site")
    table: dict[str, Any] = {"sides": [] if args.side is None else [args.side]}
    if args.allow_displaced is not None:
        table["most_displaced_mm"] = args.allow_displaced
    if args.landmarks is not None:
        table["landmarks"] = {name: point.tolist() for name, point in read_landmarks(args.landmarks).items()}
    names = [name.strip() for name in args.site.split(",") if name.strip()]
    if not names:
        raise InputError("no site is named", f"There are: {', '.join(all_sites())}.", where="--site")
    if FREE not in names:
        _nothing_of_free(args)
    return tuple(
        request_from_table({"site": name, **table, **(_free_table(args) if name == FREE else {})}, "--site")
        for name in names
    )


def _free_table(args: argparse.Namespace) -> dict[str, Any]:
    table: dict[str, Any] = {"joints_crossed": args.across_joints}
    if args.free_bones is not None:
        table["bones"] = [b.strip() for b in args.free_bones.split(",") if b.strip()]
    for key, text, where in (
        ("entry_ras", args.entry, "--entry"),
        ("target_ras", args.target, "--target"),
        ("diameters_mm", args.diameters, "--diameters"),
        ("lengths_mm", args.lengths, "--lengths"),
    ):
        if text is not None:
            table[key] = parse_numbers(text, where)
    if args.radius is not None:
        table |= {"entry_radius_mm": args.radius, "target_radius_mm": args.radius}
    return table


def _nothing_of_free(args: argparse.Namespace) -> None:
    given = (args.free_bones, args.entry, args.target, args.radius, args.diameters, args.lengths)
    if any(v is not None for v in given) or args.across_joints:
        raise InputError(
            "--in, --entry, --target, --radius, --diameters, --lengths and --across-joints are for --site free",
            where="--site",
        )


def parse_numbers(text: str, where: str) -> list[float]:
    """Return the numbers of ``3.5,4.5``."""
    try:
        return [float(v) for v in text.split(",")]
    except ValueError:
        raise InputError(f"'{text}' is not a list of numbers", "Separate them with commas.", where=where) from None
