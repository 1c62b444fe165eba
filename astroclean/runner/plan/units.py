"""What is processed together: a file, or the files of one field in several bands."""

from __future__ import annotations

import fnmatch
import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from astroclean.errors import ConfigurationError, FitsReadError, NeedError
from astroclean.io.fits.address import Address, parse_address

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astroclean.io.frames.grouping import FrameSlot
    from astroclean.io.frames.read import Exposure
    from astroclean.runner.plan.listing import Listed
    from astroclean.runner.plan.plan import FilePlan

__all__ = ["Unit", "field_name", "grouped", "lost_fields", "make_units"]

_File = TypeVar("_File")


@dataclass(frozen=True)
class Unit:
    """Files that are processed together and finish together."""

    plans: tuple[FilePlan, ...]
    bands: tuple[str, ...] = ()
    """Band of each plan, where bands are files."""
    hdu_bands: Mapping[str, str] = field(default_factory=dict)
    """Band to HDU address, where bands are HDUs of one file."""

    @property
    def name(self) -> str:
        """Its first input; no other unit of the run has it."""
        return self.plans[0].input

    @property
    def key(self) -> str:
        """Resume key of the whole unit."""
        return "+".join(plan.key for plan in self.plans)

    @property
    def prefix_keys(self) -> tuple[str, ...]:
        """Key of the state before each stage, which depends on all files of the unit."""
        joined = zip(*(plan.prefix_keys for plan in self.plans), strict=True)
        return tuple(hashlib.sha256("+".join(keys).encode()).hexdigest() for keys in joined)

    @property
    def fields(self) -> int:
        """Number of frames, or of sets of frames."""
        return 1 if self.hdu_bands else self.plans[0].frames

    @property
    def frames(self) -> int:
        """Number of frames of its files; of bands that are HDUs, of sets."""
        return self.fields * len(self.plans)

    @property
    def is_apart(self) -> bool:
        """Whether its bands are cut into chunks, but not into the same: their shapes differ."""
        if not any(plan.chunks for plan in self.plans):
            return False
        shapes = [plan.shapes for plan in self.plans]
        together = shapes if self.hdu_bands else zip(*shapes, strict=False)  # `members` tells
        return any(len(set(of_one_sky)) > 1 for of_one_sky in together)

    def check_chunks(self) -> None:
        """Raise where a stage takes bands together of which no rows are the same.

        Raises
        ------
        NeedError
            The bands lie on grids of their own and do not fit into memory.
        """
        joint = self.plans[0].joint
        if joint and self.is_apart:
            raise NeedError(
                "the bands do not fit into the memory limit, and rows of bands of several shapes "
                f"cannot be given to stage '{joint[0]}', which takes them together",
                where=self.name,
                remedy="Raise --max-memory, lower -j, or resample the bands to one grid first.",
            )

    def members(
        self, exposures: Sequence[Exposure], number: int
    ) -> dict[str, tuple[int, FrameSlot]]:
        """Return band to (index of the file, slot) of one field.

        Parameters
        ----------
        exposures : sequence of Exposure
            The files, open, in the order of ``plans``.
        number : int
            Which field.

        Returns
        -------
        dict
            One entry for a plain file.

        Raises
        ------
        FitsReadError
            A band's HDU is not there, or the files of a field have different numbers of frames.
        """
        if self.hdu_bands:
            return {
                band: (0, _slot_of(exposures[0], address))
                for band, address in self.hdu_bands.items()
            }
        counts = [len(exposure.slots) for exposure in exposures]
        if len(set(counts)) > 1:
            raise FitsReadError(
                "bands of one field must have the same number of frames",
                where=self.name,
                received=", ".join(f"{b}: {n}" for b, n in zip(self.bands, counts, strict=True)),
            )
        bands = self.bands or ("",)
        return {band: (index, exposures[index].slots[number]) for index, band in enumerate(bands)}


def _slot_of(exposure: Exposure, hdu: str) -> FrameSlot:
    told: Address = parse_address(f"{exposure.source.path}{hdu}")
    wanted = exposure.source.find(told)
    for slot in exposure.slots:
        if slot.science.index == wanted.index:
            return slot
    raise FitsReadError("is no science HDU of this instrument", where=str(told))


def make_units(plans: Sequence[FilePlan], bands: Mapping[str, str]) -> list[Unit]:
    """Group files by band.

    Parameters
    ----------
    plans : sequence of FilePlan
        Plans of all files.
    bands : mapping of str to str
        Band to file-name pattern with one ``*``, or to ``[HDU]``; empty for plain files.

    Returns
    -------
    list of Unit
        In the order of their first file.

    Raises
    ------
    ConfigurationError
        Patterns are mixed, a file fits none, or a field lacks a band or has it twice.
    NeedError
        Bands on grids of their own are too large for stages that take them together.
    """
    units = _units(plans, bands)
    for unit in units:
        unit.check_chunks()
    return units


def _units(plans: Sequence[FilePlan], bands: Mapping[str, str]) -> list[Unit]:
    if not bands:
        return [Unit((plan,)) for plan in plans]
    by_hdu = {band: text for band, text in bands.items() if text.startswith("[")}
    if by_hdu and len(by_hdu) != len(bands):
        raise ConfigurationError("bands: give HDUs for all bands, or file patterns for all")
    if by_hdu:
        return [Unit((plan,), hdu_bands=by_hdu) for plan in plans]
    fields = grouped(plans, [plan.path.name for plan in plans], bands)
    return [Unit(tuple(found[band] for band in bands), tuple(bands)) for found in fields]


def grouped(
    files: Sequence[_File], names: Sequence[str], bands: Mapping[str, str]
) -> list[dict[str, _File]]:
    """Return the files of each field, by band.

    Parameters
    ----------
    files : sequence
        What stands for each file.
    names : sequence of str
        Its name.
    bands : mapping of str to str
        Band to file-name pattern with one ``*``; what it stands for is the field.

    Raises
    ------
    ConfigurationError
        A file fits no pattern, or a field lacks a band or has it twice.
    """
    fields: dict[str, dict[str, tuple[_File, str]]] = {}
    problems = []
    for file, name in zip(files, names, strict=True):
        match = _band_of(name, bands)
        if match is None:
            problems.append(f"bands: {name} fits none of {', '.join(bands.values())}")
            continue
        band, rest = match
        known, other = fields.setdefault(rest, {}).setdefault(band, (file, name))
        if known is not file:
            problems.append(f"bands: {other} and {name} are both band '{band}' of field '{rest}'")
    for rest, found in fields.items():
        lacking = [band for band in bands if band not in found]
        if lacking:
            problems.append(f"bands: field '{rest}' lacks {', '.join(lacking)}")
    if problems:
        raise ConfigurationError(problems, where="pipeline")
    return [{band: found[band][0] for band in bands} for found in fields.values()]


def lost_fields(
    plans: Sequence[FilePlan | Listed], bands: Mapping[str, str], failed: Sequence[str]
) -> dict[str, str]:
    """Return the files whose field lacks a band because another input failed.

    Parameters
    ----------
    plans : sequence of FilePlan or Listed
        The files that can be processed.
    bands : mapping of str to str
        As for :func:`make_units`.
    failed : sequence of str
        Inputs that cannot be processed.

    Returns
    -------
    dict of str to str
        Input to the reason.
    """
    lost: dict[str, str] = {}
    for text in failed:
        match = _band_of(parse_address(text).path.name, bands)
        if match is not None:
            lost[match[1]] = text
    found = {plan.input: _band_of(plan.path.name, bands) for plan in plans}
    return {
        name: f"{name}: the other band of its field failed: {lost[match[1]]}"
        for name, match in found.items()
        if match is not None and match[1] in lost
    }


def field_name(name: str, bands: Mapping[str, str]) -> str | None:
    """Return what a file name has in common with those of the other bands of its field.

    Parameters
    ----------
    name : str
        Of a file, without its folder.
    bands : mapping of str to str
        As for :func:`make_units`.

    Returns
    -------
    str or None
        None where bands are no files, or it fits none.
    """
    match = _band_of(name, bands)
    return None if match is None else match[1]


def _band_of(name: str, bands: Mapping[str, str]) -> tuple[str, str] | None:
    for band, pattern in bands.items():
        before, _, after = pattern.partition("*")
        expression = re.escape(before) + "(.*)" + fnmatch.translate(after)
        match = re.match(expression, name)
        if match:
            return band, match.group(1)
    return None
