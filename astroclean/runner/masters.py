"""Masters of raw frames: a folder of a night goes in, master bias, darks and flats come out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astroclean.core.configs import toml_value
from astroclean.core.stage.kinds.calibrate import Calibrator
from astroclean.core.stage.masters import LeftOut, MadeMaster
from astroclean.errors import AstrocleanError, ConfigurationError, OutputError
from astroclean.io.fits.address import parse_address
from astroclean.io.frames.instruments import VALUE_NAMES
from astroclean.io.frames.stored import stored_frames
from astroclean.io.products.frame_file import write_frames
from astroclean.io.products.names import FITS_SUFFIXES
from astroclean.io.remote.urls import refuse_url
from astroclean.registry.discover import list_plugins
from astroclean.registry.distributions import how_to_get, known_distributions
from astroclean.registry.load import find_plugin, load_stage_class, make_stage
from astroclean.runner.plan.inputs import find_inputs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from astroclean.core.stage.resources import StoredFrame
    from astroclean.core.stage.stage import Stage

__all__ = ["MasterRequest", "make_masters"]

MEMORY = 2e9
"""Bytes that may be held while frames are combined, where nothing else is told."""
_INSTRUMENT = "instrument."


@dataclass(frozen=True)
class MasterRequest:
    """What masters are made of, and how."""

    inputs: Sequence[str]
    """Files, folders, globs, ``@list.txt``: raw frames of any type."""
    output: Path
    """Folder of the masters."""
    plugin: str | None = None
    """Of kind ``calibrate``; None: the only one that makes masters."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Options of its stage, and values that go before those of the headers: ``instrument.gain``
    and so on; ``instrument.name`` names the instrument."""
    memory: float = MEMORY
    overwrite: bool = False

    @classmethod
    def settings_of(cls, given: Sequence[str]) -> dict[str, Any]:
        """Return settings as they are spelled on a command line, ``KEY=VALUE``."""
        pairs = [text.partition("=") for text in given]
        wrong = [f"--set {name}: must read key=value" for name, equals, _ in pairs if not equals]
        if wrong:
            raise ConfigurationError(wrong)
        return {name.strip(): toml_value(value.strip()) for name, _, value in pairs}


def make_masters(request: MasterRequest) -> Iterator[tuple[Path, MadeMaster] | LeftOut]:
    """Make masters of raw frames, and write each to a file of its own.

    Parameters
    ----------
    request : MasterRequest
        What of, and how.

    Yields
    ------
    (Path, MadeMaster) or LeftOut
        Each master with its file, as soon as it is written; each raw frame of which none was made,
        with the reason. The same frames give the same bytes.

    Raises
    ------
    NoInputError
        No file matched.
    PluginError
        No plugin makes masters, or several do and none is named.
    ConfigurationError
        A setting is wrong.
    OutputError, FitsWriteError
        The folder holds FITS files already, or cannot be written to.
    """
    refuse_url(request.output, what="masters")
    stage = _stage(request)
    found = find_inputs(list(request.inputs), base=Path.cwd(), twins=True)
    _check_folder(request)
    frames: list[StoredFrame] = []
    yield from (LeftOut(name, why) for name, why in found.failed.items())
    for note in found.notes:
        name, _, why = note.rpartition(": ")
        yield LeftOut(name, why)
    for file in found.files:
        try:
            frames += _frames(file, request)
        except AstrocleanError as error:
            yield LeftOut(file, str(error))
    for made in stage.make(frames, memory=request.memory):
        if isinstance(made, LeftOut):
            yield made
            continue
        path = request.output / f"{made.name}.fits"
        write_frames(made.frames, path, overwrite=request.overwrite)
        yield path, made


def _frames(file: str, request: MasterRequest) -> tuple[StoredFrame, ...]:
    address = parse_address(file)
    if str(address.path) != file:
        raise ConfigurationError([f"{file}: give the file, all HDUs of which are taken"])
    told = {
        key.removeprefix(_INSTRUMENT): value
        for key, value in request.settings.items()
        if key.startswith(_INSTRUMENT)
    }
    name = str(told.pop("name", "auto"))
    return stored_frames([address.path], instrument=name, overrides=told)


def _stage(request: MasterRequest) -> Calibrator:
    """Return the stage that makes them."""
    unknown = [
        f"{key}: no such value; {', '.join(('name', *VALUE_NAMES))} are known"
        for key in request.settings
        if key.startswith(_INSTRUMENT)
        and key.removeprefix(_INSTRUMENT) not in ("name", *VALUE_NAMES)
    ]
    if unknown:
        raise ConfigurationError(unknown)
    name = request.plugin or _only_maker()
    entry = find_plugin(name)
    loaded = load_stage_class(entry)
    if not _makes_masters(loaded):
        raise ConfigurationError([f"plugin '{name}' of kind '{entry.kind}' makes no masters"])
    given = {k: v for k, v in request.settings.items() if not k.startswith(_INSTRUMENT)}
    stage = make_stage(loaded, entry, given, name=name)
    assert isinstance(stage, Calibrator)
    return stage


def _only_maker() -> str:
    makers = [
        entry.name
        for entry in list_plugins(Calibrator.kind)
        if entry.problem is None and _makes_masters(load_stage_class(entry))
    ]
    if len(makers) == 1:
        return makers[0]
    if makers:
        told = ", ".join(makers)
        raise ConfigurationError([f"plugins that make masters: {told}; name one with --plugin"])
    known = [n for offers in known_distributions().values() for n in offers.get("masters", ())]
    hints = [f"'{name}' makes masters. {how_to_get(name)}" for name in known]
    raise ConfigurationError([" ".join(["no plugin that makes masters is installed.", *hints])])


def _makes_masters(stage_class: type[Stage]) -> bool:
    return issubclass(stage_class, Calibrator) and stage_class.makes_masters


def _check_folder(request: MasterRequest) -> None:
    folder = request.output
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = sorted(p.name for p in folder.iterdir() if p.name.lower().endswith(FITS_SUFFIXES))
    except OSError as error:
        raise OutputError(f"cannot be used: {error.strerror}", where=str(folder)) from error
    if there and not request.overwrite:
        raise OutputError(
            "holds FITS files already, of which a pipeline could take the wrong one",
            where=str(folder),
            received=there[0] + (f" and {len(there) - 1} more" if len(there) > 1 else ""),
            remedy="Give another folder, or --overwrite.",
        )
