"""Translate mask values of other pipelines to and from the planes of astroclean.

Each convention is a table, ``configs/conventions/<name>.toml``: this module only applies it.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from astroclean.core.configs import find_config, read_toml
from astroclean.core.planes import REJECTING, MaskPlane, parse_planes
from astroclean.errors import ConfigurationError, ConventionError, PlaneError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Convention", "ConventionValue", "load_convention"]


class ConventionValue(BaseModel):
    """One value of a convention: a bit, or a code, and the planes that it stands for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: int = Field(ge=1)
    """The bit's value (a power of two), or the code."""
    name: str
    """Name used by the convention's own documentation."""
    meaning: str = ""
    """One line for people."""
    planes: tuple[str, ...] = ()
    """Planes that reading this value sets; none where it is no defect."""
    written_for: tuple[str, ...] | None = None
    """Planes that are written as this value; by default those of ``planes``."""
    written_for_rejected: bool = False
    """Also write this value for every rejected pixel (JWST's DO_NOT_USE)."""

    @property
    def sets(self) -> MaskPlane:
        """The planes that reading this value sets."""
        return parse_planes(self.planes)

    @property
    def answers(self) -> MaskPlane:
        """The planes that are written as this value."""
        return parse_planes(self.planes if self.written_for is None else self.written_for)


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
    """Document from which the table was taken."""
    encoding: Literal["bits", "codes"] = "bits"
    """``bits``: values are OR-ed. ``codes``: one code a pixel; earlier rows win on writing."""
    good: int = 0
    """Value of an unflagged pixel."""
    values: tuple[ConventionValue, ...] = Field(alias="value")

    @model_validator(mode="after")
    def _check(self) -> Self:
        numbers = [row.value for row in self.values]
        if len(set(numbers)) != len(numbers):
            raise ValueError("a value occurs twice")
        for row in self.values:
            _ = row.sets, row.answers
            if self.encoding == "bits" and row.value & (row.value - 1):
                raise ValueError(f"{row.name}: {row.value} is not a power of two")
        return self

    @property
    def provides(self) -> MaskPlane:
        """Every plane that reading this convention can set."""
        return MaskPlane.union(row.sets for row in self.values)

    def with_bits(self, bits: Mapping[str, int]) -> Convention:
        """Return the convention with the bits that a file itself declares (LSST's ``MP_`` cards).

        Parameters
        ----------
        bits : mapping of str to int
            Name of a row to the number of its bit in this file.

        Returns
        -------
        Convention
            Rows whose name the file declares, with their bits there; declared names without a
            row set BAD_PIXEL, as any unknown bit. The convention itself where nothing fits.
        """
        rows = {row.name.upper(): row for row in self.values}
        known = [(rows[name], bit) for name, bit in bits.items() if name in rows]
        if not known or self.encoding != "bits":
            return self
        values = tuple(row.model_copy(update={"value": 1 << bit}) for row, bit in known)
        return self.model_copy(update={"values": values})

    def to_planes(self, values: NDArray[np.integer]) -> NDArray[np.uint32]:
        """Translate mask values to flags.

        Parameters
        ----------
        values : (ny, nx) integer
            Values of this convention; bits or codes that its table does not know set BAD_PIXEL.

        Returns
        -------
        (ny, nx) uint32
            Flags. A new array.
        """
        flags = np.zeros(values.shape, dtype=np.uint32)
        unknown = values != self.good
        if self.encoding == "codes":
            for row in self.values:
                hit = values == row.value
                flags[hit] |= np.uint32(row.sets)
                unknown &= ~hit
        else:
            wide = values.astype(np.int64)
            known = 0
            for row in self.values:
                known |= row.value
                if row.sets:
                    flags[(wide & row.value) != 0] |= np.uint32(row.sets)
            # Negative values (a signed 16-bit mask with bit 15 set) keep their upper bits set.
            width = 8 * values.dtype.itemsize
            unknown = ((wide & ((1 << width) - 1 if width < 63 else -1)) & ~known) != 0  # noqa: PLR2004
        flags[unknown] |= np.uint32(MaskPlane.BAD_PIXEL)
        return flags

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
        return _read_version(path, path.stat().st_mtime_ns)
    except (ConfigurationError, ValidationError, PlaneError) as error:
        raise ConventionError(str(error).rstrip("."), where=f"convention '{name}'") from error


@functools.lru_cache(maxsize=256)
def _read_version(path: Path, modified: int) -> Convention:  # noqa: ARG001 - part of the key
    """Read a table once, and again when the file has changed."""
    return Convention.model_validate(read_toml(path))
