"""What is known of the inputs by their names alone: outputs, fields, and which shard has which."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from astroclean.errors import AstrocleanError
from astroclean.io.fits.address import parse_address
from astroclean.io.products.names import base_name
from astroclean.io.remote.urls import is_url
from astroclean.io.resources import file_digest
from astroclean.runner.plan.places import absolute_address
from astroclean.runner.plan.units import field_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from astroclean.config.schema import ProductsConfig
    from astroclean.io.remote.store import RemoteVersion
    from astroclean.runner.plan.shard import Shard

__all__ = ["Listed", "Listing"]


@dataclass(frozen=True)
class Listed:
    """An input that nobody has opened yet."""

    input: str
    products: ProductsConfig
    tables: tuple[str, ...] = ()
    """Names of the tables that the stages give."""
    version: RemoteVersion | None = None
    """Of an input that is a URL, when the run began."""

    @cached_property
    def source(self) -> str:
        """Its absolute path or URL, with the HDU."""
        return absolute_address(self.input)

    @cached_property
    def path(self) -> Path:
        """The input file."""
        return parse_address(self.source).path

    @cached_property
    def base(self) -> str:
        """What the names of its outputs begin with."""
        return base_name(self.path, self.products.name)

    @cached_property
    def content(self) -> str:
        """SHA-256 of the file, which is read for it; empty where it cannot be, or is a URL."""
        try:
            return "" if is_url(self.path) else file_digest(self.path)
        except OSError:
            return ""


@dataclass(frozen=True)
class Listing:
    """The inputs of a run, those that cannot be processed among them, by field.

    The order of fields, and so whose shard each is, depends on names alone: not on what was
    finished, is broken, or lies in the output folder.
    """

    files: Sequence[str]
    failed: Sequence[str]
    bands: Mapping[str, str]
    shard: Shard | None = None
    _positions: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Give each field its position."""
        if self.shard is not None:
            fields = sorted({self._field(name) for name in (*self.files, *self.failed)})
            self._positions.update({name: place for place, name in enumerate(fields)})

    def is_own(self, name: str) -> bool:
        """Return whether an input is the shard's; without shards all are."""
        return self.shard is None or self.shard.takes(self._positions[self._field(name)])

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the inputs by their places, the same for all shards of a run."""
        names = sorted(_place(name) for name in (*self.files, *self.failed))
        return hashlib.sha256("\0".join(names).encode("utf-8", "surrogateescape")).hexdigest()

    def _field(self, name: str) -> str:
        """Return what all files of the field of an input have in common."""
        place = _place(name)
        try:
            return field_name(parse_address(name).path.name, self.bands) or place
        except AstrocleanError:
            return place


def _place(name: str) -> str:
    try:
        return absolute_address(name)
    except AstrocleanError:
        return name
