"""Which keys a pipeline may have. Attribute docstrings become the help of the JSON schema."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from astroclean.core.flags.bitflags import BitFlags  # noqa: TC001 - read by pydantic
from astroclean.core.flags.conventions import load_convention
from astroclean.core.flags.planes import REJECTING, MaskPlane, parse_planes
from astroclean.errors import AstrocleanError
from astroclean.io.products.names import CLEAN, check_template

__all__ = [
    "DEFAULT_OUTPUT",
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

DEFAULT_OUTPUT = Path("astroclean_out")
"""Folder in which a run writes where none is named."""

_BYTES = {"MB": 10**6, "MIB": 1 << 20, "GB": 10**9, "GIB": 1 << 30}
_MEMORY = re.compile(r"\s*(?P<number>\d+(\.\d+)?)\s*(?P<unit>[MG]i?B)\s*", re.IGNORECASE)

STAGE_NAME = re.compile(r"[a-z][a-z0-9_-]*")


class _Table(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, populate_by_name=True
    )


class InstrumentConfig(_Table):
    """The instrument and values that go before those of header and instrument file."""

    name: str = "auto"
    """Name in ``configs/instruments``, a path, or ``auto`` to go by each header."""
    unit: str | None = None
    """Unit of the pixel values, such as ``adu``, ``electron`` or ``MJy/sr``."""
    gain: Annotated[float, Field(gt=0)] | None = None
    """Electrons per data number."""
    read_noise: Annotated[float, Field(ge=0)] | None = None
    """Electrons, standard deviation."""
    saturation: Annotated[float, Field(gt=0)] | None = None
    """In the unit of the frame."""
    exposure: Annotated[float, Field(gt=0)] | None = None
    """Seconds."""
    pixel_scale: Annotated[float, Field(gt=0)] | None = None
    """Arcsec."""
    psf_fwhm: Annotated[float, Field(gt=0)] | None = None
    """Arcsec."""
    filter: str | None = None
    """Name of the filter."""
    dq: str | None = None
    """Convention of the mask values of the files, in place of what is known of their camera; a
    name in ``configs/conventions``, or a path."""
    bad_bits: BitFlags | None = None
    """Bits of the files' masks that make a pixel bad, and no others, in place of a convention: in
    the syntax of astropy's bit flags, such as ``"1,4096"`` or ``"~4096"`` (all but this)."""
    good_bits: BitFlags | None = None
    """Or, bits that do not make a pixel bad, while all others do."""

    @model_validator(mode="after")
    def _one_meaning(self) -> Self:
        given = [n for n in ("dq", "bad_bits", "good_bits") if getattr(self, n) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} say what mask values mean; give one of them")
        return self

    @field_validator("dq")
    @classmethod
    def _known_convention(cls, name: str | None) -> str | None:
        return _convention(name)

    def overrides(self) -> dict[str, Any]:
        """Return the values that were given."""
        return self.model_dump(exclude={"name"}, exclude_none=True)


class RunConfig(_Table):
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

    @property
    def reject(self) -> MaskPlane:
        """The rejecting planes."""
        return parse_planes(self.reject_bits)


def _planes(names: tuple[str, ...]) -> MaskPlane:
    try:
        return parse_planes(names)
    except AstrocleanError as error:
        raise ValueError(str(error)) from error


def _convention(name: str | None) -> str | None:
    if name is not None:
        try:
            load_convention(name)
        except AstrocleanError as error:
            raise ValueError(error.problem) from error
    return name


class SimulateConfig(_Table):
    """A simulated input."""

    kind: Literal["exposure"]
    """``exposure``: stars, galaxies, cosmic rays, a saturated star and a bad column."""
    seed: Annotated[int, Field(ge=0)] = 1
    """The same seed gives the same bytes."""


class InputConfig(_Table):
    """Inputs for when the command line gives none."""

    files: tuple[str, ...] = ()
    """Files, folders, globs or ``@list.txt``, relative to the pipeline file."""
    simulate: SimulateConfig | None = None
    """Make the input."""


PSF_SOURCES = ("file", "fwhm", "estimate", "instrument")
"""Keys of the table ``psf`` of which one is given."""


class PsfConfig(_Table):
    """Where the PSF comes from, for stages that need one: exactly one of the keys.

    One that the environment or ``--set`` gives takes the place of the pipeline's.
    """

    file: str | None = None
    """FITS file with the PSF, relative to the pipeline file; ``{stem}`` for one per input."""
    file_pixel_scale: str | None = None
    """Pixel of ``file``, such as ``"0.4 arcsec"``, where its header does not tell."""
    fwhm: str | None = None
    """Width of a Gaussian, such as ``"0.9 arcsec"`` or ``"2.5 pixel"``."""
    estimate: bool = False
    """Estimate it from the stars of each frame (photutils)."""
    instrument: bool = False
    """A Gaussian with the width that the instrument file gives."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [self.file is not None, self.fwhm is not None, self.estimate, self.instrument]
        if sum(given) != 1:
            raise ValueError("give exactly one of `file`, `fwhm`, `estimate`, `instrument`")
        return self


class StageConfig(_Table):
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


class ProductsConfig(_Table):
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
        return _convention(name)

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


class PipelineConfig(_Table):
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
