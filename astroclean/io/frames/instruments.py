"""Header and HDU rules of an instrument, read from ``configs/instruments/<name>.toml``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from astroclean.core.configs import find_config, list_configs, read_toml
from astroclean.core.flags.convention_value import header_matches
from astroclean.core.flags.conventions import load_convention
from astroclean.core.run_cache import cached_for_run, file_version
from astroclean.errors import InstrumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = [
    "AUTO",
    "COMPANIONS",
    "GENERIC",
    "VALUE_NAMES",
    "HduRules",
    "Instrument",
    "ValueRule",
    "Variant",
    "detect_instrument",
    "load_instrument",
]

GENERIC = "generic-ccd"
"""The instrument of a header that no other instrument recognises."""

AUTO = "auto"
"""Instead of the name of a convention: it is told by the file."""

VALUE_NAMES = (
    "unit",
    "gain",
    "read_noise",
    "saturation",
    "exposure",
    "pixel_scale",
    "psf_fwhm",
    "filter",
)


COMPANIONS = ("error", "variance", "inverse_variance", "dq", "coverage")
"""Roles of the HDUs that belong to a science HDU."""


class _Rules(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HduRules(_Rules):
    """Which HDUs belong together. Names are EXTNAMEs without case and trailing blanks.

    HDUs are grouped by EXTVER; where an EXTNAME pattern has a group ``(...)``, by that text.
    """

    science: tuple[str, ...] = ()
    """EXTNAME patterns (regular expressions, whole name); none: what name, cards, position say."""
    error: tuple[str, ...] = ()
    """Standard deviation."""
    variance: tuple[str, ...] = ()
    """Variance."""
    inverse_variance: tuple[str, ...] = ()
    """Inverse variance (weight)."""
    dq: tuple[str, ...] = ()
    """Mask values in the convention ``dq``."""
    coverage: tuple[str, ...] = ()
    """Exposure or number of reads; zero or NaN there sets NO_DATA."""
    kept: tuple[str, ...] = ()
    """Images that are no frame and say nothing of one; copied as they are."""

    @field_validator("*")
    @classmethod
    def _compiles(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"'{pattern}' is no regular expression: {error}") from error
        return patterns

    def role(self, name: str) -> tuple[str, str] | None:
        """Return (role, text of the pattern's group) of an EXTNAME, or None."""
        for role in (*COMPANIONS, "kept", "science"):
            for pattern in getattr(self, role):
                match = re.fullmatch(pattern, name.strip(), re.IGNORECASE)
                if match:
                    return role, (match.group(1) or "") if match.re.groups else ""
        return None


class ValueRule(_Rules):
    """Where a physical value of the detector comes from."""

    keywords: tuple[str, ...] = ()
    """Header keywords, the first present wins; ``A&B`` takes the mean of both."""
    default: float | str | None = None
    """Value where no keyword is present."""
    aliases: dict[str, str] = Field(default_factory=dict)
    """Other spellings of text values, such as units: header text to the text meant."""


class Variant(_Rules):
    """A mode of an instrument: its own values where its header rules match."""

    name: str
    match: dict[str, str]
    """Keyword to regular expression, searched without case; all must match."""
    values: dict[str, ValueRule] = Field(default_factory=dict)
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Plugin name to default options in this mode."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_values(self.values)
        return self


class Instrument(_Rules):
    """Rules of one instrument."""

    name: str
    title: str
    source: str
    """Documents from which the numbers were taken."""
    match: tuple[dict[str, str], ...] = ()
    """Alternatives; each maps keyword to regular expression, searched without case."""
    hdus: HduRules = HduRules()
    dq: str | None = None
    """Mask convention of the DQ HDU (``configs/conventions``), unless cards of the file say
    otherwise; ``auto``: as file and values tell."""
    cube: Literal["planes", "refuse"] = "planes"
    """``planes``: each plane of a three-dimensional HDU is a frame."""
    trim_keyword: str | None = None
    """Keyword of the section exposed to the sky; what lies outside is OVERSCAN."""
    values: dict[str, ValueRule] = Field(default_factory=dict)
    """Keys are among ``unit gain read_noise saturation exposure pixel_scale psf_fwhm filter``."""
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Plugin name to default options for this instrument."""
    variant: tuple[Variant, ...] = ()
    """Modes; the first that matches applies."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_values(self.values)
        if self.dq is not None and self.dq != AUTO:
            load_convention(self.dq)
        return self

    def recognises(self, lookup: Mapping[str, Any]) -> int:
        """Return how many header rules match, 0 when this is another instrument.

        Parameters
        ----------
        lookup : mapping
            Header keywords to values.

        Returns
        -------
        int
            Number of rules of the longest matching alternative.
        """
        return max((len(rules) for rules in self.match if header_matches(rules, lookup)), default=0)

    def variant_for(self, lookup: Mapping[str, Any]) -> Variant | None:
        """Return the first variant whose rules match the header, if any."""
        return next((v for v in self.variant if header_matches(v.match, lookup)), None)

    def rule(self, name: str, lookup: Mapping[str, Any]) -> ValueRule:
        """Return the rule for a value, the matching variant's before the instrument's."""
        variant = self.variant_for(lookup)
        if variant is not None and name in variant.values:
            return variant.values[name]
        return self.values.get(name, ValueRule())

    def rules_for(self, lookup: Mapping[str, Any]) -> frozenset[str]:
        """Return the values for which the instrument or its matching variant has a rule."""
        variant = self.variant_for(lookup)
        return frozenset({*self.values, *(variant.values if variant else ())})

    def options_for(self, plugin: str, lookup: Mapping[str, Any]) -> dict[str, Any]:
        """Return the default options of a plugin, those of the matching variant last."""
        variant = self.variant_for(lookup)
        own = variant.options.get(plugin, {}) if variant else {}
        return {**self.options.get(plugin, {}), **own}


def _check_values(values: Iterable[str]) -> None:
    for name in values:
        if name not in VALUE_NAMES:
            raise ValueError(f"unknown value '{name}'; known: {', '.join(VALUE_NAMES)}")


def load_instrument(name: str) -> Instrument:
    """Read an instrument by name or path.

    Parameters
    ----------
    name : str
        A name in ``configs/instruments``, or the path of such a file.

    Returns
    -------
    Instrument
        Its rules.

    Raises
    ------
    ConfigurationError
        There is no such file.
    InstrumentError
        The file is malformed.
    """
    return _read(find_config("instruments", name))


def _read(path: Path) -> Instrument:
    return _read_version(path, file_version(path))


@cached_for_run(maxsize=256)
def _read_version(
    path: Path,
    version: tuple[int, ...],  # noqa: ARG001 - part of the key
) -> Instrument:
    try:
        return Instrument.model_validate({"name": path.stem, **read_toml(path)})
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise InstrumentError("; ".join(lines), where=str(path)) from error


def detect_instrument(lookup: Mapping[str, Any], *, where: str) -> Instrument:
    """Return the instrument whose header rules match best.

    Parameters
    ----------
    lookup : mapping
        Header keywords to values (primary and science HDU together).
    where : str
        File, for the message.

    Returns
    -------
    Instrument
        The one with most matching rules, or ``generic-ccd`` when none matches.

    Raises
    ------
    InstrumentError
        Two instruments match equally well.
    """
    known = [_read(path) for path in list_configs("instruments").values()]
    scored = sorted(((i.recognises(lookup), i) for i in known), key=lambda pair: -pair[0])
    best, instrument = scored[0]
    if best == 0:
        return load_instrument(GENERIC)
    rivals = [i.name for score, i in scored if score == best]
    if len(rivals) > 1:
        raise InstrumentError(
            "several instruments match the header",
            where=where,
            received=", ".join(rivals),
            remedy='Name one: `instrument = "..."` in the pipeline or `--set instrument.name=...`.',
        )
    return instrument
