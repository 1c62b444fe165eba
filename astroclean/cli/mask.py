"""`astroclean mask explain VALUE [--as CONVENTION]`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from astroclean.cli.results import print_result
from astroclean.core.configs import list_configs
from astroclean.core.flags.conventions import load_convention
from astroclean.core.flags.planes import REJECTING, MaskPlane, parse_planes
from astroclean.errors import PlaneError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from astroclean.core.flags.conventions import Convention, ConventionValue

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the verb."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    explain = actions.add_parser("explain", help="say what a mask value means")
    explain.add_argument(
        "value", metavar="VALUE", help="decimal or 0x... integer, or names of planes"
    )
    explain.add_argument(
        "--as",
        dest="convention",
        default="astroclean",
        metavar="CONVENTION",
        help=f"astroclean (default), {', '.join(list_configs('conventions'))}",
    )
    explain.add_argument("--json", action="store_true")


def _value(text: str, *, is_own: bool) -> int:
    try:
        return int(text, 0)
    except ValueError as error:
        if is_own:  # names and aliases are taken everywhere
            return int(parse_planes(text))
        raise PlaneError("not an integer", received=repr(text)) from error


def _effect(convention: Convention, row: ConventionValue | None, other: list[str]) -> str:
    """Return whether a value alone makes a pixel unusable, in words."""
    if row is None:
        return "rejects" if parse_planes(other) & REJECTING else "rejects nothing"
    if convention.alone(row) & REJECTING:
        return "rejects"
    if row.sets & REJECTING:
        deciding = " or ".join(r.name for r in convention.values if r.unusable)
        return f"rejects only with {deciding}"
    return "rejects nothing"


def run(arguments: Namespace) -> int:
    """Run the verb; return the exit status."""
    convention = load_convention(arguments.convention)
    other = list(convention.others)
    value = _value(arguments.value, is_own=convention.name == "astroclean")
    rows: list[dict[str, Any]] = [
        {
            "value": number,
            "bit": number.bit_length() - 1 if convention.encoding == "bits" else None,
            "name": row.name if row else None,
            "meaning": row.meaning if row else "unknown to this convention",
            "planes": [str(p.name) for p in MaskPlane if p & row.sets] if row else other,
            "effect": _effect(convention, row, other),
        }
        for row, number in convention.explain(value)
    ]
    if arguments.json:
        print_result(
            json.dumps({"value": value, "convention": convention.name, "rows": rows}, indent=2)
        )
        return 0
    print(f"{value} ({value:#x}) in the convention of {convention.title}:")
    if not rows:
        print("  no flag: a good pixel")
    for row in rows:
        bit = f"bit {row['bit']:<2} " if row["bit"] is not None else ""
        own = ""
        if convention.name != "astroclean":
            own = f" -> {', '.join(row['planes']) or 'no plane'}"
        own += f" ({row['effect']})"
        print(f"  {bit}{row['value']:>10}  {row['name'] or '?'}: {row['meaning']}{own}")
    return 0
