"""What is wrong with the stages of a pipeline: plugins, options, files that options name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from astroclean.config.kept import Offer, product_problems
from astroclean.config.optional import is_left_out
from astroclean.core.stage.options import problems_of
from astroclean.errors import AstrocleanError, ConfigurationError, PluginError
from astroclean.io.resources import load_resource
from astroclean.registry.discover import list_plugins
from astroclean.registry.load import find_plugin, load_stage_class, make_stage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from astroclean.config.places import Places
    from astroclean.core.stage.options import Location
    from astroclean.core.stage.stage import Stage
    from astroclean.registry.discover import PluginEntry

__all__ = ["WrittenStage", "faults_of_stages", "option_names", "written_stages"]


@dataclass(frozen=True)
class WrittenStage:
    """A stage as the pipeline has it, whatever else is wrong with the pipeline."""

    number: int
    """From 0."""
    plugin: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    optional: bool = False


def written_stages(raw: Mapping[str, Any]) -> list[WrittenStage]:
    """Return the stages of a pipeline that name a plugin; the schema tells what others lack."""
    stages = raw.get("stage")
    found = []
    for number, stage in enumerate(stages if isinstance(stages, (list, tuple)) else ()):
        if not isinstance(stage, dict) or not isinstance(stage.get("plugin"), str):
            continue
        options = stage.get("options", {})
        name = stage.get("name") or stage["plugin"]
        found.append(
            WrittenStage(
                number,
                stage["plugin"],
                str(name),
                options if isinstance(options, dict) else {},
                stage.get("optional") is True,
            )
        )
    return found


def option_names(plugin: str) -> frozenset[str]:
    """Return the options of a plugin; none of one that cannot be used."""
    try:
        return frozenset(load_stage_class(find_plugin(plugin)).Options.model_fields)
    except PluginError:
        return frozenset()


def faults_of_stages(
    stages: Sequence[WrittenStage],
    places: Places,
    *,
    base: Path,
    products: Mapping[str, object] | None = None,
) -> list[AstrocleanError]:
    """Return everything that is wrong with the stages, each with its place.

    Parameters
    ----------
    stages : sequence of WrittenStage
        In order.
    places : Places
        Where they were written.
    base : Path
        Folder to which paths refer.
    products : mapping, optional
        ``[products]``: what no stage gives is told where all stages are known.

    Returns
    -------
    list of AstrocleanError
        A `PluginError` for a plugin that cannot be used, a `ConfigurationError` for options.
    """
    entries = list_plugins() if stages else ()  # reads the metadata of all that is installed
    faults: list[AstrocleanError] = []
    offer, is_all = Offer(), True
    for stage in stages:
        if is_left_out(stage, entries):
            continue
        found = _Checked.of(stage, places, entries, base)
        faults += found.faults
        offer, is_all = offer | (found.offer or Offer()), is_all and found.offer is not None
    problems = product_problems(products or {}, offer, is_all=is_all)
    at = places.told(*problems)
    lines = [f"{place}: {told}" for place, told in zip(at, problems.values(), strict=True)]
    return [*faults, ConfigurationError(lines, where=places.where())] if lines else faults


@dataclass(frozen=True)
class _Checked:
    """What is wrong with a stage, and what it may give."""

    faults: list[AstrocleanError]
    offer: Offer | None = None
    """None where its plugin cannot tell."""

    @classmethod
    def of(
        cls, stage: WrittenStage, places: Places, entries: Sequence[PluginEntry], base: Path
    ) -> _Checked:
        (where,) = places.told(("stage", stage.number))
        try:
            entry = find_plugin(stage.plugin, entries)
            stage_class = load_stage_class(entry)
        except PluginError as error:
            return cls([type(error)(f"{where}: {str(error).rstrip('.')}")])
        found = _options(stage, stage_class)
        options = {} if found else stage.options
        try:
            made = make_stage(stage_class, entry, options, name=stage.name)
            found = found or _files(made, stage.number, base)
            offer = Offer.of([made])
        except ConfigurationError as error:
            lines = [f"{where}, {line}" for line in error.problems]
            return cls([ConfigurationError(lines, where=places.where())])
        except AstrocleanError as error:
            return cls([error.at(where)])
        at = places.told(*(location for location, _ in found))
        lines = [f"{place}: {rule}" for place, (_, rule) in zip(at, found, strict=True)]
        return cls([ConfigurationError(lines, where=places.where())] if lines else [], offer)


def _options(stage: WrittenStage, stage_class: type[Stage]) -> list[tuple[Location, str]]:
    try:
        stage_class.Options.model_validate(dict(stage.options))
    except ValidationError as error:
        found = problems_of(error, stage_class.Options, stage.options, noun="option")
        start = ("stage", stage.number, "options")
        return [((*start, *problem.location), problem.rule) for problem in found]
    return []


def _files(stage: Stage, number: int, base: Path) -> list[tuple[Location, str]]:
    """Return what is wrong with the files that options name, those of a single input aside."""
    found: list[tuple[Location, str]] = []
    for name, resource in stage.options.resources().items():
        if resource.is_per_file:
            continue
        try:
            load_resource(resource, base=base)
        except AstrocleanError as error:
            found.append((("stage", number, "options", name), str(error)))
    return found
