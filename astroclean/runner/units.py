"""What is processed together: a file, or the files of one field in several bands."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from astroclean.errors import ConfigurationError, FitsReadError
from astroclean.io.address import Address, parse_address

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astroclean.io.grouping import FrameSlot
    from astroclean.io.read import Exposure
    from astroclean.runner.plan import FilePlan

__all__ = ["Unit", "make_units"]


@dataclass(frozen=True)
class Unit:
    """Files that are processed together and finish together."""

    plans: tuple[FilePlan, ...]
    bands: tuple[str, ...] = ()
    """Band of each plan, where bands are files."""
    hdu_bands: Mapping[str, str] = field(default_factory=dict)
    """Band to HDU address, where bands are HDUs of one file."""

    @property
    def key(self) -> str:
        """Resume key of the whole unit."""
        return "+".join(plan.key for plan in self.plans)

    @property
    def fields(self) -> int:
        """Number of frames, or of sets of aligned frames."""
        return 1 if self.hdu_bands else self.plans[0].frames

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
            A band's HDU is not there.
        """
        if self.hdu_bands:
            return {
                band: (0, _slot_of(exposures[0], address))
                for band, address in self.hdu_bands.items()
            }
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
        Patterns are mixed, a file fits none, or a field lacks a band.
    """
    if not bands:
        return [Unit((plan,)) for plan in plans]
    by_hdu = {band: text for band, text in bands.items() if text.startswith("[")}
    if by_hdu and len(by_hdu) != len(bands):
        raise ConfigurationError("bands: give HDUs for all bands, or file patterns for all")
    if by_hdu:
        return [Unit((plan,), hdu_bands=by_hdu) for plan in plans]
    fields: dict[str, dict[str, FilePlan]] = {}
    problems = []
    for plan in plans:
        match = _band_of(plan.path.name, bands)
        if match is None:
            problems.append(f"bands: {plan.path.name} fits none of {', '.join(bands.values())}")
            continue
        band, rest = match
        fields.setdefault(rest, {})[band] = plan
    for rest, found in fields.items():
        lacking = [band for band in bands if band not in found]
        if lacking:
            problems.append(f"bands: field '{rest}' lacks {', '.join(lacking)}")
    if problems:
        raise ConfigurationError(problems)
    return [Unit(tuple(found[band] for band in bands), tuple(bands)) for found in fields.values()]


def _band_of(name: str, bands: Mapping[str, str]) -> tuple[str, str] | None:
    for band, pattern in bands.items():
        before, _, after = pattern.partition("*")
        expression = re.escape(before) + "(.*)" + fnmatch.translate(after)
        match = re.match(expression, name)
        if match:
            return band, match.group(1)
    return None
