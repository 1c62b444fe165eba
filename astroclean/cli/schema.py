"""`astroclean schema [pipeline|options NAME]`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from astroclean.cli.results import print_result
from astroclean.errors import ConfigurationError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument(
        "what",
        nargs="?",
        default="pipeline",
        choices=("pipeline", "options"),
        help="the pipeline file (default), or the options of a plugin",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="the plugin, for `options`")


def run(arguments: Namespace) -> int:
    """Run the verb; return the exit status."""
    if arguments.what == "options":
        if arguments.name is None:
            raise ConfigurationError("schema options NAME: name the plugin")
        from astroclean.registry.load import find_plugin, load_stage_class  # noqa: PLC0415

        schema = load_stage_class(find_plugin(arguments.name)).Options.model_json_schema()
    else:
        from astroclean.config.schema import PipelineConfig  # noqa: PLC0415

        schema = PipelineConfig.model_json_schema(by_alias=True)
    print_result(json.dumps(schema, indent=2))
    return 0
