"""Tables of a pipeline that tell of its frames: instrument and PSF."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from astroclean.core.configs import list_configs
from astroclean.core.flags.bitflags import BitFlags  # noqa: TC001 - read by pydantic
from astroclean.core.flags.conventions import load_convention
from astroclean.core.length import ANGLE, IN_ARCSEC, Length
from astroclean.core.stage.options import Options
from astroclean.errors import AstrocleanError

__all__ = ["PSF_SOURCES", "InstrumentConfig", "PsfConfig", "Table", "known_convention"]


class Table(Options):
    """A table of a pipeline."""

    model_config = ConfigDict(populate_by_name=True)


def known_convention(name: str | None) -> str | None:
    """Return the name of a mask convention; raise ValueError where there is none."""
    if name is not None:
        try:
            load_convention(name)
        except AstrocleanError as error:
            raise ValueError(error.problem) from error
    return name


class InstrumentConfig(Table):
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
    pixel_scale: Annotated[float, Field(gt=0), ANGLE] | None = None
    """Side of a pixel in arcsec, or with its unit, such as ``"200 mas"``."""
    psf_fwhm: Annotated[float, Field(gt=0), IN_ARCSEC] | None = None
    """Width of the PSF in arcsec, or with its unit, such as ``"2 pixel"``."""
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

    @field_validator("name")
    @classmethod
    def _known_instrument(cls, name: str) -> str:
        from astroclean.io.frames.instruments import AUTO, load_instrument  # noqa: PLC0415 - astropy

        if name != AUTO:
            try:
                load_instrument(name)
            except AstrocleanError as error:
                raise ValueError(str(error).rstrip(".")) from error
        return name

    @field_validator("unit")
    @classmethod
    def _known_unit(cls, unit: str | None) -> str | None:
        from astroclean.io.header.units import parsed_unit  # noqa: PLC0415 - astropy.units

        if unit is not None and parsed_unit(unit) is None and not _is_alias(unit):
            raise ValueError('must be a unit, such as "adu", "electron" or "MJy/sr"')
        return unit

    @field_validator("dq")
    @classmethod
    def _known_convention(cls, name: str | None) -> str | None:
        return known_convention(name)

    def overrides(self) -> dict[str, Any]:
        """Return the values that were given; a width in pixels as ``"2 pixel"``."""
        return self.model_dump(exclude={"name"}, exclude_none=True)


def _is_alias(unit: str) -> bool:
    """Whether the rules of an instrument know a text as a unit."""
    from astroclean.io.frames.instruments import load_instrument  # noqa: PLC0415 - astropy

    rules = (load_instrument(name).values.get("unit") for name in list_configs("instruments"))
    return any(rule is not None and unit in rule.aliases for rule in rules)


def _length(value: Any) -> str:
    """Return a width as text; in this table a number without its unit could be either."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = f"{value:.12g}"
    length = Length.parsed(value)
    if length.value <= 0:
        raise ValueError("must be greater than 0")
    return value if isinstance(value, str) else str(length)


def _angle(text: str) -> str:
    Length.parsed(text, only="arcsec")
    return text


PSF_SOURCES = ("file", "fwhm", "estimate", "instrument")
"""Keys of the table ``psf`` of which one is given."""


class PsfConfig(Table):
    """Where the PSF comes from, for stages that need one: exactly one of the keys.

    One that the environment or ``--set`` gives takes the place of the pipeline's.
    """

    file: str | None = None
    """FITS file with the PSF, relative to the pipeline file; ``{stem}`` for one per input."""
    file_pixel_scale: Annotated[str, AfterValidator(_angle)] | None = None
    """Pixel of ``file``, such as ``"0.4 arcsec"``, where its header does not tell."""
    fwhm: Annotated[str, BeforeValidator(_length)] | None = None
    """Width of a Gaussian, such as ``"0.9 arcsec"`` or ``"2.5 pixel"``, before the pixels widen
    it; see ``fwhm_includes_pixel``."""
    fwhm_includes_pixel: bool = False
    """Whether that width (of ``fwhm`` or ``instrument``) was measured on pixels, as the one that is
    fitted to stars; else it is that of the light which falls on the pixels, which widen it."""
    estimate: bool = False
    """Estimate it from the stars of each frame (photutils)."""
    instrument: bool = False
    """A Gaussian with the width that the instrument file gives."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [self.file is not None, self.fwhm is not None, self.estimate, self.instrument]
        if sum(given) != 1:
            raise ValueError("give exactly one of `file`, `fwhm`, `estimate`, `instrument`")
        if self.fwhm_includes_pixel and self.fwhm is None and not self.instrument:
            raise ValueError("`fwhm_includes_pixel` tells of a width: of `fwhm` or `instrument`")
        return self
