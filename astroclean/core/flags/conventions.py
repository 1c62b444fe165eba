"""Translate mask values of other pipelines to and from the planes of astroclean.

Each convention is a table, ``configs/conventions/<name>.toml``: this module only applies it. A
value that a table does not know rejects nothing: nobody knows what it means, a source perhaps.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from astroclean.core.configs import find_config, list_configs, read_toml
from astroclean.core.flags.convention_value import ConventionValue, header_matches, plain_name
from astroclean.core.flags.planes import REJECTING, MaskPlane, parse_planes
from astroclean.core.run_cache import cached_for_run, file_version
from astroclean.errors import ConfigurationError, ConventionError, PlaneError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = [
    "Convention",
    "ConventionValue",
    "header_matches",
    "known_conventions",
    "load_convention",
    "plain_name",
]


class Convention(BaseModel):
    """How a pipeline or survey encodes mask values.

    Raises
    ------
    pydantic.ValidationError
        A value occurs twice, a bit is not a power of two, a plane is unknown.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    name: str
    title: str
    source: str
    """Document from which the table was taken, and what it calls unusable."""
    match: tuple[dict[str, str], ...] = ()
    """Headers of files whose masks have these values: alternatives, each of keyword to regular
    expression, searched without case; all must match."""
    encoding: Literal["bits", "codes"] = "bits"
    """``bits``: values are OR-ed. ``codes``: one code a pixel; earlier rows win on writing."""
    good: int = 0
    """Value of an unflagged pixel."""
    others: tuple[str, ...] = ()
    """Planes that a value without a row sets; none: what it means is not known."""
    values: tuple[ConventionValue, ...] = Field(alias="value")

    @model_validator(mode="after")
    def _check(self) -> Self:
        numbers = [row.value for row in self.values]
        if len(set(numbers)) != len(numbers):
            raise ValueError("a value occurs twice")
        _ = parse_planes(self.others)
        for row in self.values:
            _ = row.sets, row.answers
            if self.encoding == "bits" and row.value & (row.value - 1):
                raise ValueError(f"{row.name}: {row.value} is not a power of two")
            if self.encoding == "codes" and row.unusable:
                raise ValueError(f"{row.name}: a code has its own planes; unusable is for bits")
        return self

    @property
    def provides(self) -> MaskPlane:
        """Every plane that reading this convention can set."""
        planes = MaskPlane.union([parse_planes(self.others), *(row.sets for row in self.values)])
        return planes | MaskPlane.SUSPECT if self._deciding else planes

    @property
    def _deciding(self) -> int:
        return functools.reduce(int.__or__, (row.value for row in self.values if row.unusable), 0)

    def alone(self, row: ConventionValue) -> MaskPlane:
        """Return the planes of a pixel that has this value and no other."""
        rejected = row.sets & REJECTING
        if not self._deciding or row.unusable or not rejected:
            return row.sets
        return row.sets & ~REJECTING | MaskPlane.SUSPECT

    def rejecting_values(self, reject: MaskPlane = REJECTING) -> tuple[ConventionValue, ...]:
        """Return the rows by which a pixel is rejected.

        Parameters
        ----------
        reject : MaskPlane
            Planes that make a pixel unusable.

        Returns
        -------
        tuple of ConventionValue
            In the order of the table.
        """
        return tuple(row for row in self.values if self.alone(row) & reject)

    def recognises(self, lookup: Mapping[str, Any]) -> int:
        """Return how many header rules match, 0 where the masks are another pipeline's."""
        return max((len(rules) for rules in self.match if header_matches(rules, lookup)), default=0)

    def row_named(self, name: str) -> ConventionValue | None:
        """Return the row that has a name, or an alias, as `plain_name` reads it."""
        return self._names.get(plain_name(name))

    @functools.cached_property
    def _names(self) -> dict[str, ConventionValue]:
        pairs = [(n, row) for row in self.values for n in (row.name, *row.aliases)]
        return {plain_name(name): row for name, row in reversed(pairs)}

    def with_bits(self, bits: Mapping[str, int]) -> Convention:
        """Return the convention with the bits that a file itself declares (LSST's ``MP_`` cards).

        Parameters
        ----------
        bits : mapping of str to int
            Name of a row, or one of its aliases, to the number of its bit in this file.

        Returns
        -------
        Convention
            Rows whose name the file declares, with their bits there. Declared names without a row
            stay unknown. The convention itself where nothing is declared, or for codes.
        """
        if not bits or self.encoding != "bits":
            return self
        rows: dict[int, ConventionValue] = {}
        for name, bit in bits.items():
            row = self.row_named(name)
            if row is None:
                continue
            taken = rows.get(1 << bit)
            # Two names of one bit: it may stand for either.
            planes = (*(taken.planes if taken else ()), *row.planes)
            update = {"value": 1 << bit, "planes": tuple(dict.fromkeys(planes))}
            rows[1 << bit] = (taken or row).model_copy(update=update)
        return Convention(**{**dict(self), "values": tuple(rows.values())})

    def to_planes(self, values: NDArray[np.integer]) -> NDArray[np.uint32]:
        """Translate mask values to flags.

        Parameters
        ----------
        values : (ny, nx) integer
            Values of this convention. Those that its table does not know set nothing (see
            `unknown`), except where the table says otherwise (``others``).

        Returns
        -------
        (ny, nx) uint32
            Flags. A new array.
        """
        flags = np.zeros(values.shape, dtype=np.uint32)
        if self.encoding == "codes":
            unknown = values != self.good
            for row in self.values:
                hit = values == row.value
                flags[hit] |= np.uint32(row.sets)
                unknown &= ~hit
            flags[unknown] |= np.uint32(parse_planes(self.others))
            return flags
        wide = values.astype(np.int64)
        together: dict[MaskPlane, int] = {}
        for row in self.values:
            together[row.sets] = together.get(row.sets, 0) | row.value
        for planes, bits in together.items():
            if planes:
                flags[(wide & bits) != 0] |= np.uint32(planes)
        if self._deciding:
            informed = ((wide & self._deciding) == 0) & ((flags & np.uint32(REJECTING)) != 0)
            kept = flags[informed] & ~np.uint32(REJECTING)
            flags[informed] = kept | np.uint32(MaskPlane.SUSPECT)
        return flags

    def of_unusable(self, values: NDArray[np.integer]) -> NDArray[np.integer]:
        """Return the values without those of pixels that the observatory does not call unusable.

        Parameters
        ----------
        values : (ny, nx) integer
            Values of this convention. Not modified.

        Returns
        -------
        (ny, nx) integer
            Good where only reasons are given (see `ConventionValue.unusable`); the values
            themselves where the convention has no such rule.
        """
        if not self._deciding:
            return values
        kept: NDArray[np.integer] = np.where((values & self._deciding) != 0, values, self.good)
        return kept

    def unknown(self, values: NDArray[np.integer]) -> dict[int, int]:
        """Count the pixels whose value the table does not know.

        Parameters
        ----------
        values : (ny, nx) integer
            Values of this convention. Not modified.

        Returns
        -------
        dict of int to int
            Value (a bit's, or a code) to number of pixels, in order; nothing where the table says
            what other values mean.
        """
        if self.others or not values.size:
            return {}
        if self.encoding == "codes":
            known = [self.good, *(row.value for row in self.values)]
            found, counts = np.unique(values[~np.isin(values, known)], return_counts=True)
            return {int(v): int(n) for v, n in zip(found, counts, strict=True)}
        wide = values.astype(np.int64)
        present = int(np.bitwise_or.reduce(wide, axis=None))
        # Negative values (a signed 16-bit mask with bit 15 set) keep their upper bits set.
        width = min(8 * values.dtype.itemsize, 63)
        left = present & ((1 << width) - 1) & ~sum(row.value for row in self.values)
        bits = [1 << n for n in range(left.bit_length()) if left >> n & 1]
        return {bit: int(np.count_nonzero(wide & bit)) for bit in bits}

    def from_planes(
        self, flags: NDArray[np.uint32], *, reject: MaskPlane = REJECTING
    ) -> NDArray[np.int64]:
        """Translate flags to mask values.

        Parameters
        ----------
        flags : (ny, nx) uint32
            Flags. Not modified.
        reject : MaskPlane
            Planes that make a pixel unusable.

        Returns
        -------
        (ny, nx) int64
            Values of this convention. A new array.
        """
        values = np.full(flags.shape, self.good, dtype=np.int64)
        rejected = (flags & np.uint32(reject)) != 0
        for row in reversed(self.values):
            hit = (flags & np.uint32(row.answers)) != 0
            if row.written_for_rejected:
                hit |= rejected
            if self.encoding == "codes":
                values[hit] = row.value
            else:
                values[hit] |= row.value
        return values

    def untranslated(self, flags: NDArray[np.uint32]) -> MaskPlane:
        """Return the planes that occur in ``flags`` but have no value in this convention."""
        present = int(np.bitwise_or.reduce(flags, axis=None)) if flags.size else 0
        covered = MaskPlane.union(row.answers for row in self.values)
        return MaskPlane.union(p for p in MaskPlane if present & p & ~covered)

    def explain(self, value: int) -> list[tuple[ConventionValue | None, int]]:
        """Split one mask value into rows of the table.

        Parameters
        ----------
        value : int
            Non-negative mask value.

        Returns
        -------
        list of (ConventionValue or None, int)
            The row, or None for a bit or code that the table does not know, and its value.

        Raises
        ------
        PlaneError
            The value is negative.
        """
        if value < 0:
            raise PlaneError("a mask value is not negative", received=value)
        table = {row.value: row for row in self.values}
        if self.encoding == "codes":
            return [] if value == self.good else [(table.get(value), value)]
        bits = [1 << n for n in range(value.bit_length()) if value >> n & 1]
        return [(table.get(bit), bit) for bit in bits]


@functools.cache
def own_convention() -> Convention:
    """Return the convention of astroclean's own flags."""
    rows = tuple(
        ConventionValue(value=int(p), name=str(p.name), meaning=p.meaning, planes=(str(p.name),))
        for p in MaskPlane
    )
    return Convention(
        name="astroclean", title="astroclean", source="astroclean.MaskPlane", values=rows
    )


def known_conventions() -> tuple[Convention, ...]:
    """Return every convention that has a file, the user's own among them, in order of names."""
    return tuple(load_convention(name) for name in list_configs("conventions"))


def load_convention(name: str) -> Convention:
    """Read a convention by name or path.

    Parameters
    ----------
    name : str
        ``astroclean``, a name in ``configs/conventions``, or the path of such a file.

    Returns
    -------
    Convention
        The table.

    Raises
    ------
    ConventionError
        Unknown name or malformed table.
    """
    if name == "astroclean":
        return own_convention()
    try:
        path = find_config("conventions", name)
        return _read_version(path, file_version(path))
    except (ConfigurationError, ValidationError, PlaneError) as error:
        raise ConventionError(str(error).rstrip("."), where=f"convention '{name}'") from error


@cached_for_run(maxsize=256)
def _read_version(
    path: Path,
    version: tuple[int, ...],  # noqa: ARG001 - part of the key
) -> Convention:
    """Read a table once, and again when the file has changed."""
    return Convention.model_validate(read_toml(path))
