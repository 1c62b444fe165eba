"""Which keys a pipeline may have. Attribute docstrings become the help of the JSON schema."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from astroclean.config.frame_tables import (
    PSF_SOURCES,
    InstrumentConfig,
    PsfConfig,
    Table,
    known_convention,
)
from astroclean.core.flags.planes import REJECTING, MaskPlane, parse_planes
from astroclean.errors import AstrocleanError
from astroclean.io.products.names import CLEAN, check_template

__all__ = [
    "PSF_SOURCES",
    "SECTIONS",
    "InputConfig",
    "InstrumentConfig",
    "PipelineConfig",
    "ProductsConfig",
    "PsfConfig",
    "RunConfig",
    "StageConfig",
]

SECTIONS = ("instrument", "run", "input", "bands", "psf", "products")
"""Tables of the pipeline; no stage may have such a name."""

_BYTES = {"MB": 10**6, "MIB": 1 << 20, "GB": 10**9, "GIB": 1 << 30}
_MEMORY = re.compile(r"\s*(?P<number>\d+(\.\d+)?)\s*(?P<unit>[MG]i?B)\s*", re.IGNORECASE)

STAGE_NAME = re.compile(r"[a-z][a-z0-9_-]*")


class RunConfig(Table):
    """How the run goes."""

    reject_bits: tuple[str, ...] = tuple(str(p.name) for p in MaskPlane if p & REJECTING)
    """Mask planes that make a pixel unusable."""
    on_reject: Literal["flag", "skip"] = "flag"
    """What happens to an exposure that a screening stage rejects: only said, or not processed."""
    on_suspect: Literal["tell", "fail"] = "tell"
    """What happens to a file whose result looks implausible: it is said, on the console, in report
    and record; or nothing of it is written, and it counts as failed."""
    max_memory: str | None = None
    """Memory that the run may take, such as ``"2 GB"``; larger frames are processed by windows."""
    keep_stages: bool = False
    """Save each stage's frames, so that ``--from`` can start in the middle."""
    scheduler: str = "local"
    """Where files are processed: on this machine (``local``, with ``-j``), or by the workers of a
    Dask scheduler, named by its address, such as ``"tcp://host:8786"``, or by its scheduler file
    (``.json``), relative to the pipeline file."""

    @field_validator("reject_bits")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(p.name) for p in MaskPlane if p & _planes(names))

    @field_validator("max_memory")
    @classmethod
    def _size(cls, text: str | None) -> str | None:
        if text is not None and _MEMORY.fullmatch(text) is None:
            raise ValueError('a size is a number with MB, MiB, GB or GiB, such as "2 GB"')
        return text

    @field_validator("scheduler")
    @classmethod
    def _named(cls, text: str) -> str:
        if text != "local" and "://" not in text and not text.endswith(".json"):
            raise ValueError(
                '"local", an address such as "tcp://host:8786", or a scheduler file (.json)'
            )
        return text

    @property
    def memory_bytes(self) -> int | None:
        """``max_memory`` in bytes."""
        told = _MEMORY.fullmatch(self.max_memory or "")
        return None if told is None else int(float(told["number"]) * _BYTES[told["unit"].upper()])

    def memory_of_worker(self, sharing: int) -> int | None:
        """``max_memory`` in bytes, for one of the workers that share it."""
        return self.memory_bytes and self.memory_bytes // sharing

    @property
    def reject(self) -> MaskPlane:
        """The rejecting planes."""
        return parse_planes(self.reject_bits)


def _planes(names: tuple[str, ...]) -> MaskPlane:
    try:
        return parse_planes(names)
    except AstrocleanError as error:
        raise ValueError(str(error)) from error


class SimulateConfig(Table):
    """A simulated input."""

    kind: Literal["exposure"]
    """``exposure``: stars, galaxies, cosmic rays, a saturated star and a bad column."""
    seed: Annotated[int, Field(ge=0)] = 1
    """The same seed gives the same bytes."""


class InputConfig(Table):
    """Inputs for when the command line gives none."""

    files: tuple[str, ...] = ()
    """Files, folders, globs or ``@list.txt``, relative to the pipeline file."""
    simulate: SimulateConfig | None = None
    """Make the input."""


class StageConfig(Table):
    """One stage of the pipeline."""

    plugin: str
    """Name of an installed plugin; ``astroclean plugins list`` shows all."""
    name: str = ""
    """Name in reports and on the command line; the plugin's by default."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the plugin; ``astroclean schema options NAME`` shows them."""
    optional: bool = False
    """Whether the pipeline runs without this stage, and says so, where its plugin is not
    installed; by default that is an error."""

    @model_validator(mode="before")
    @classmethod
    def _named(cls, values: Any) -> Any:
        # A plugin of another type is told once, not as a wrong name too.
        if isinstance(values, dict) and not values.get("name"):
            plugin = values.get("plugin")
            return {**values, "name": plugin if isinstance(plugin, str) else ""}
        return values

    @field_validator("name")
    @classmethod
    def _usable(cls, name: str) -> str:
        if name in SECTIONS:
            raise ValueError(f"'{name}' is a table of the pipeline; choose another name")
        if name and not STAGE_NAME.fullmatch(name):
            raise ValueError("a stage's name is lower-case letters, digits, '-' and '_'")
        return name


class ProductsConfig(Table):
    """What is written, and under which names."""

    name: str = CLEAN
    """Name of the cleaned file without its suffix: ``{stem}`` is that of the input, ``{parent}``
    the folder in which it lies. Other products have the same name, less ``_clean`` at its end,
    plus their own ending."""
    keep: tuple[str, ...] = ("flags", "uncertainty", "sources", "tables")
    """What is written: ``flags``, ``uncertainty``, ``sources``, ``votable``, ``tables``,
    ``regions``, ``stamps``, ``residual``, and layers of the stages by their names in small letters,
    such as ``background``, ``removed``, ``probabilities``; `astroclean plugins show NAME` lists
    those of a plugin."""
    science: bool = True
    """Whether to write the input's HDUs; false writes masks and catalogues alone."""
    replace: bool = False
    """Whether a deconvolved image takes the place of the science image."""
    dq: Literal["keep", "update"] = "keep"
    """Whether the input's own DQ is written as it was, or gains the bits of what stages found, by
    its convention: ``update``. No bit is cleared."""
    segmentation: bool = False
    """Whether to write ``x_segmentation.fits``: int32 images whose labels are the ids of the
    catalogue."""
    mask_as: str | None = None
    """Also write one integer mask in this convention (``jwst``, ``maximask``, ...)."""
    report: bool = True
    """Whether to write ``report.html``."""

    @field_validator("mask_as")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        return known_convention(name)

    @model_validator(mode="after")
    def _dq_is_written(self) -> Self:
        if self.dq == "update" and not self.science:
            raise ValueError('dq = "update" needs the input\'s HDUs, which science = false leaves')
        return self

    @field_validator("name")
    @classmethod
    def _usable(cls, name: str) -> str:
        check_template(name)
        return name


class PipelineConfig(Table):
    """A pipeline file."""

    schema_version: Literal[1] = Field(alias="schema")
    """Version of this schema."""
    description: str = ""
    """One line for the report."""
    instrument: InstrumentConfig = InstrumentConfig()
    run: RunConfig = RunConfig()
    input: InputConfig = InputConfig()
    bands: dict[str, str] = Field(default_factory=dict)
    """Band to a file-name pattern such as ``"*_g.fits"``, or to an HDU such as ``"[1]"``."""
    psf: PsfConfig | None = None
    stage: tuple[StageConfig, ...] = Field(min_length=1)
    """The stages, in order."""
    products: ProductsConfig = ProductsConfig()

    @field_validator("instrument", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [stage.name for stage in self.stage]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"stages {twice} occur twice; give each a `name` of its own")
        return self
