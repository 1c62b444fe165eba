"""What the headers of one science HDU mean: unit, detector, WCS, and what contradicts itself."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np

from astroclean.core.image.detector import DETECTOR_KEYWORDS
from astroclean.core.image.sections import section_numbers
from astroclean.core.image.text_unit import is_logarithmic, is_understood
from astroclean.io.header.asinh import ASINH_KEYWORDS, sampled_rows, softening_of
from astroclean.io.header.header_values import Remarked, Resolved
from astroclean.io.header.values import frame_unit, frame_wcs, resolve_detector

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astropy.io.fits import Header
    from astropy.wcs import WCS
    from numpy.typing import NDArray

    from astroclean.io.fits.source import FitsSource
    from astroclean.io.frames.grouping import FrameSlot
    from astroclean.io.frames.instruments import Instrument
    from astroclean.io.header.asinh import Softening

__all__ = ["Headers", "Understood", "understood"]

_LEAST_INSIDE = 0.5
"""Share of a frame; a section of less is that of one amplifier of several, or of another frame."""


@dataclass
class Understood:
    """What is known of the frame of one science HDU before its pixels are read."""

    header: Header
    """Of the HDU and the primary; without the section of the overscan where that cannot be."""
    unit: u.UnitBase
    wcs: WCS | None
    values: dict[str, Resolved]
    """``unit``, fields of `Detector`, ``trim`` and ``scale`` where there are such."""
    remarked: Remarked = field(default_factory=Remarked)

    def meta(self) -> Header:
        """Return a header for the frame, with the values under astroclean's own keywords."""
        meta = self.header.copy()
        for name, keyword in DETECTOR_KEYWORDS.items():
            if name in self.values:
                known = self.values[name]
                meta[keyword] = (known.value, known.origin[:40])
        for keyword in ASINH_KEYWORDS if "scale" in self.values else ():
            meta.remove(keyword, ignore_missing=True)  # the frame's values are linear
        return meta

    def check_pixels(self, source: FitsSource, slot: FrameSlot, scale: Softening | None) -> None:
        """Compare with a few rows of the HDU what the header tells of its values."""
        if scale is not None:
            self._tell_scale(scale)
        known = self.values.get("saturation")
        if known is None or not known.origin.startswith("header"):
            return
        rows: NDArray[Any] = sampled_rows(source, slot.science.index, slot.plane)
        rows = rows if scale is None else scale.linear(rows)
        if rows.size and known.value <= float(np.median(rows)):
            self._untrue("saturation", "is below the median of the pixels")

    def _tell_scale(self, scale: Softening) -> None:
        cards = f"BSOFTEN = {scale.softening:g}, BOFFSET = {scale.offset:g}"
        if scale.is_left_over:
            self.remarked.contradictions.append(
                f"{cards} tell an asinh scale, on which the values cannot be; they are taken as "
                "they stand"
            )
            return
        self.values["scale"] = Resolved("asinh", "header BSOFTEN")
        self.remarked.notes.append(
            f"pixels are on an asinh scale ({cards}): stages get linear values; what they change "
            "is written on that scale again"
        )

    def _untrue(self, name: str, why: str) -> None:
        known = self.values.pop(name)
        card = known.origin.removeprefix("header ")
        self.remarked.contradictions.append(
            f"{card} = {known.value:g} {why}; {name} not taken from the header"
        )


class Headers:
    """The headers of an open file, each understood once.

    Parameters
    ----------
    source : FitsSource
        Open file; its notes gain what is odd.
    instrument : Instrument
        Its rules.
    overrides : mapping
        The user's own values.
    """

    def __init__(
        self, source: FitsSource, instrument: Instrument, overrides: Mapping[str, Any]
    ) -> None:
        self.contradictions: list[str] = []
        self._source, self._instrument, self._overrides = source, instrument, overrides
        self._known: dict[int, Understood] = {}
        self._compared: dict[tuple[int, int | None], dict[str, Resolved]] = {}

    def of(self, slot: FrameSlot) -> Understood:
        """Return what the headers of a frame tell; no pixel is read."""
        index = slot.science.index
        if index not in self._known:
            self._known[index] = understood(self._source, slot, self._instrument, self._overrides)
            self._tell(self._known[index])
        return self._known[index]

    def compared(self, slot: FrameSlot) -> Understood:
        """Return what headers tell, compared with a few rows of pixels."""
        known = self.of(slot)
        key = slot.science.index, slot.plane
        if key not in self._compared:
            own = replace(known, values=dict(known.values), remarked=Remarked())
            own.check_pixels(self._source, slot, softening_of(self._source, slot.science.index))
            self._tell(own)
            self._compared[key] = own.values
        return replace(known, values=self._compared[key])

    def _tell(self, known: Understood) -> None:
        for texts, new in (
            (self._source.notes, known.remarked.notes),
            (self.contradictions, known.remarked.contradictions),
        ):
            texts += [text for text in dict.fromkeys(new) if text not in texts]


def understood(
    source: FitsSource, slot: FrameSlot, instrument: Instrument, overrides: Mapping[str, Any]
) -> Understood:
    """Return what the headers of a frame mean.

    Parameters
    ----------
    source : FitsSource
        Open file.
    slot : FrameSlot
        The frame.
    instrument : Instrument
        Its rules.
    overrides : mapping
        The user's own values.

    Returns
    -------
    Understood
        From headers alone.

    Raises
    ------
    UnitError
        The unit is not told, or a setting of it is not understood.
    """
    header = source.merged_header(slot.science.index)
    remarked = Remarked()
    where = f"{source.path}{slot.label}"
    unit, origin = frame_unit(instrument, header, overrides, where=where, remarked=remarked)
    _remark_unit(unit, origin, remarked)
    # World coordinates are the HDU's own: an EQUINOX of the primary would shift ICRS to FK5.
    own = source.header(slot.science.index)
    wcs = frame_wcs(own, source.hdulist(), remarked.notes, remarked.contradictions)
    values = resolve_detector(instrument, header, overrides, wcs, unit=unit, remarked=remarked)
    result = Understood(header, unit, wcs, {"unit": Resolved(unit, origin), **values}, remarked)
    _check_trim(result, instrument.trim_keyword, slot.science.shape)
    _check_depth(result, own)
    return result


def _remark_unit(unit: u.UnitBase, origin: str, remarked: Remarked) -> None:
    if "assumed" in origin:
        remarked.notes.append(f"unit {unit} {origin}; no unit in the header")
    elif not is_understood(unit):
        remarked.notes.append(
            f"unit '{unit}' ({origin}) is not understood; it is kept as it is, and a stage that "
            "needs a unit will refuse (`--set instrument.unit=...` tells it)"
        )
    elif is_logarithmic(unit):
        remarked.notes.append(f"unit {unit}: values are logarithmic, sums of them are no fluxes")


def _check_trim(result: Understood, keyword: str | None, shape: tuple[int, ...]) -> None:
    """Keep the section exposed to the sky, or say why it cannot be that of this frame."""
    text = str(result.header.get(keyword or "", "")).strip()
    if keyword is None or not text:
        return
    why = _section_fault(text, shape, result.header)
    if why is None:
        result.values["trim"] = Resolved(text, f"header {keyword}")
        return
    result.header.remove(keyword, ignore_missing=True, remove_all=True)
    result.remarked.contradictions.append(
        f"{keyword} = {text} {why}; nothing is taken for overscan"
    )


def _section_fault(  # noqa: PLR0911 - one reason a return
    text: str, shape: tuple[int, ...], header: Header
) -> str | None:
    ny, nx = shape[-2:]
    limits = section_numbers(text)
    if limits is None:
        return "is no section [x1:x2,y1:y2]"
    x1, x2, y1, y2 = limits
    if not (1 <= x1 <= x2 <= nx and 1 <= y1 <= y2 <= ny):
        return f"does not lie in the frame of {nx} x {ny} pixels"
    if (x1, x2, y1, y2) == (1, nx, 1, ny):
        return None
    for card in ("TRIM", "TRIMIM"):
        if str(header.get(card, "")).strip():
            return f"is left from before the frame was trimmed, as {card} tells"
    bias = section_numbers(header.get("BIASSEC", ""))
    if bias is not None and (bias[1] > nx or bias[3] > ny):
        return f"is left from before the frame was trimmed: BIASSEC {header['BIASSEC']} is outside"
    if (x2 - x1 + 1) * (y2 - y1 + 1) < _LEAST_INSIDE * nx * ny:
        return f"would leave less than half of the frame of {nx} x {ny} pixels"
    return None


def _check_depth(result: Understood, own: Header) -> None:
    """Compare what the header tells of the values with what integers of their size can hold."""
    bits = own.get("BITPIX", 0)
    if bits not in {8, 16}:
        return
    scale, zero = own.get("BSCALE", 1), own.get("BZERO", 0)
    if not (isinstance(scale, (int, float)) and isinstance(zero, (int, float))):
        return  # told when the pixels are read
    largest = zero + scale * ((1 << bits) - 1 if bits == 8 else (1 << bits - 1) - 1)  # noqa: PLR2004
    known = result.values.get("saturation")
    if known is not None and known.origin.startswith("header") and known.value > largest:
        if known.value <= largest + scale:
            result.values["saturation"] = Resolved(
                largest, f"{known.origin}, the largest of {bits} bits"
            )
        else:
            result._untrue(  # noqa: SLF001 - same module
                "saturation", f"is above what {bits} bits can hold, {largest:g}"
            )
    gain = result.values.get("gain")
    if (
        scale == 1
        and result.unit == u.electron
        and result.values["unit"].origin.startswith("header")
        and gain is not None
        and gain.origin.startswith("header")
        and abs(float(gain.value) - 1) > 0.05  # noqa: PLR2004
    ):
        result.remarked.contradictions.append(
            f"the unit is electron ({result.values['unit'].origin}), but the pixels are integers "
            f"of {bits} bits and {gain.origin.removeprefix('header ')} = {gain.value:g} tells that "
            "a data number is another number of electrons; the unit is taken as it stands"
        )
