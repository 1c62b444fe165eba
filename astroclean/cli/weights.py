"""`astroclean weights list|verify|where|import`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from astroclean.cli.results import print_result
from astroclean.core.suggest import did_you_mean
from astroclean.errors import PluginError, PluginNotFoundError
from astroclean.inference.cards.weights import (
    digest_of,
    find_weights,
    import_weights,
    own_weights_folder,
    weights_folders,
)
from astroclean.registry.discover import list_plugins

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from astroclean.inference.cards.card import NetworkCard

__all__ = ["add_arguments", "run"]

_PLUGIN_PROBLEM = 3
_STATES = {True: "ok", False: "FAILED", None: "skipped"}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the verb."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="list the networks of the installed plugins")
    listing.add_argument("--json", action="store_true")
    verify = actions.add_parser(
        "verify", help="check hashes, and in every engine the answer stored with the weights"
    )
    verify.add_argument("name", metavar="NAME", nargs="?", help="network; by default all")
    verify.add_argument("--json", action="store_true")
    where = actions.add_parser("where", help="print the folders in which weights are looked for")
    where.add_argument("name", metavar="NAME", nargs="?", help="network; by default all")
    importing = actions.add_parser("import", help="convert published weights that you have")
    importing.add_argument("name", metavar="NAME")


def run(arguments: Namespace) -> int:
    """Run the verb; return the exit status."""
    actions = {"list": _list, "verify": _verify, "where": _where, "import": _import}
    return actions[arguments.action](arguments)


def _cards() -> tuple[list[tuple[str, NetworkCard]], list[str]]:
    """Return (distribution, card) of every network, and what is wrong with other cards."""
    from astroclean.inference.cards.card import find_cards, load_card  # noqa: PLC0415 - reads the tables

    packages = {
        entry.target.split(":")[0].split(".")[0]: entry.distribution for entry in list_plugins()
    }
    cards, problems = [], []
    for package, distribution in sorted(packages.items()):
        for path in find_cards(package):
            try:
                cards.append((distribution, load_card(path)))
            except PluginError as error:
                problems.append(str(error))
    return sorted(cards, key=lambda pair: pair[1].name), problems


def _chosen(name: str | None) -> tuple[list[tuple[str, NetworkCard]], list[str]]:
    cards, problems = _cards()
    if name is None:
        return cards, problems
    chosen = [pair for pair in cards if pair[1].name == name]
    if not chosen:
        raise PluginNotFoundError(
            f"no installed plugin has a network '{name}'",
            remedy=" ".join([did_you_mean(name, [card.name for _, card in cards]), *problems]),
        )
    return chosen, []


def _tell(problems: list[str]) -> int:
    for problem in problems:
        print(f"astroclean: {problem}", file=sys.stderr)
    return _PLUGIN_PROBLEM if problems else 0


def _list(arguments: Namespace) -> int:
    cards, problems = _cards()
    rows = [_row(distribution, card) for distribution, card in cards]
    if arguments.json:
        print_result(json.dumps(rows, indent=2))
    elif not rows and not problems:
        print("no installed plugin has a network")
    else:
        width = max((len(row["name"]) for row in rows), default=0)
        for row in rows:
            size = f"{row['size'] / 2**20:.1f} MiB"
            print(
                f"{row['name']:<{width}}  {row['state']:<7}  {size:>9}  {row['license']}  "
                f"({row['distribution']})"
            )
    return _tell(problems)


def _row(distribution: str, card: NetworkCard) -> dict[str, Any]:
    from astroclean.inference.cards.weights import MissingWeightsError  # noqa: PLC0415 - beside its use

    path, problem = None, None
    try:
        path = str(find_weights(card))
        state = "ok"
    except PluginError as error:
        state = "missing" if isinstance(error, MissingWeightsError) else "damaged"
        problem = str(error)
    return {
        "name": card.name,
        "distribution": distribution,
        "license": card.license,
        "file": card.weights.file,
        "sha256": card.weights.sha256,
        "size": card.weights.size,
        "state": state,
        "path": path,
        "problem": problem,
    }


def _verify(arguments: Namespace) -> int:
    from astroclean.inference.cards.verify import verify_network  # noqa: PLC0415 - reads NumPy archives

    cards, problems = _chosen(arguments.name)
    rows, failed = [], False
    for _, card in cards:
        # Who names a network wants its weights; of all networks, some nobody needs.
        for finding in verify_network(card, required=arguments.name is not None):
            failed = failed or finding.passed is False
            state = _STATES[finding.passed]
            rows.append(
                {
                    "network": card.name,
                    "check": finding.check,
                    "state": state,
                    "detail": finding.detail,
                    "told": finding.detail,  # its name before, for scripts
                }
            )
            if not arguments.json:
                print(f"{state:<7} {card.name}: {finding.check}: {finding.detail}")
    if arguments.json:
        print_result(json.dumps(rows, indent=2))
    elif not cards and not problems:
        print("no installed plugin has a network")
    return _tell(problems) or (_PLUGIN_PROBLEM if failed else 0)


def _where(arguments: Namespace) -> int:
    cards, problems = _chosen(arguments.name)
    folders = [folder for _, card in cards for folder in weights_folders(card)]
    for folder in dict.fromkeys([*folders, own_weights_folder()]):
        print(folder)
    return _tell(problems)


def _import(arguments: Namespace) -> int:
    files = import_weights(arguments.name, own_weights_folder())
    known = {card.weights.file: card for _, card in _cards()[0]}
    problems = []
    for path in files:
        digest = digest_of(path)
        card = known.get(path.name)
        license_ = "" if card is None else f", license {card.license}"
        print(f"wrote {path}: SHA-256 {digest}{license_}")
        if card is not None and card.weights.sha256 != digest:
            problems.append(
                f"{path} is not what the card of network '{card.name}' describes "
                f"(SHA-256 {card.weights.sha256})"
            )
    return _tell(problems)
