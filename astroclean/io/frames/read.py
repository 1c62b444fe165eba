"""A file and its instrument's rules make frames."""

from __future__ import annotations

import contextlib
import warnings
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from astropy.io import fits
from astropy.nddata import InverseVariance, StdDevUncertainty, VarianceUncertainty

from astroclean.core.flags.planes import MADE_UP, REJECTING, MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.errors import AstrocleanWarning, FitsReadError
from astroclean.io.fits.address import Address, parse_address
from astroclean.io.fits.source import FitsSource
from astroclean.io.frames.file_flags import file_flags, own_flags
from astroclean.io.frames.grouping import FrameSlot, Grouping, group_hdus
from astroclean.io.frames.instruments import (
    VALUE_NAMES,
    Instrument,
    detect_instrument,
    load_instrument,
)
from astroclean.io.frames.masks import MaskReader
from astroclean.io.frames.psf import written_psf
from astroclean.io.frames.quality import MASK_SETTINGS
from astroclean.io.header.asinh import linear_values, sampled_rows
from astroclean.io.header.cards import values_by_keyword
from astroclean.io.header.understood import Headers
from astroclean.io.remote.staging import local_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from astroclean.core.flags.conventions import Convention
    from astroclean.core.psf.psf import Psf
    from astroclean.io.header.header_values import Resolved

    Source: TypeAlias = str | Path | fits.HDUList

__all__ = ["Exposure", "ReadSettings", "open_exposure", "read_frame"]

Window = tuple[slice, slice]

_UNCERTAINTIES = {
    "error": StdDevUncertainty,
    "variance": VarianceUncertainty,
    "inverse_variance": InverseVariance,
}


@dataclass(frozen=True)
class ReadSettings:
    """How files are read."""

    instrument: str = "auto"
    """Name, path, or ``auto`` to go by each header."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """The user's own values, before those of header and instrument: ``unit``, ``gain``, ..."""
    reject_bits: MaskPlane = REJECTING


class Exposure:
    """The frames of one open file.

    Parameters
    ----------
    source : FitsSource
        Open file.
    address : Address
        File and, where told, HDU.
    settings : ReadSettings
        Instrument, overrides, rejecting planes.

    Raises
    ------
    FitsReadError
        There is no frame in it.
    InstrumentError
        Several instruments match.
    """

    def __init__(self, source: FitsSource, address: Address, settings: ReadSettings) -> None:
        self.source = source
        self.settings = settings
        self.instrument = _instrument_of(source, settings)
        self.grouping: Grouping = group_hdus(source, self.instrument, address)
        self.notes = source.notes
        self.masks = MaskReader(source, self.instrument, settings.overrides)
        self._headers = Headers(source, self.instrument, settings.overrides)
        self.contradictions = self._headers.contradictions
        """What of the headers contradicts itself, and what was taken; each text once."""

    @property
    def slots(self) -> tuple[FrameSlot, ...]:
        """Where the frames are."""
        return self.grouping.slots

    def frame_id(self, slot: FrameSlot) -> str:
        """Return the identity of a frame in messages."""
        return f"{self.source.path.name}{slot.label}"

    def frame(self, slot: FrameSlot, window: Window | None = None) -> Frame:
        """Read one frame, or a window of it.

        Parameters
        ----------
        slot : FrameSlot
            One of :attr:`slots`.
        window : (slice, slice), optional
            (y, x) part to read.

        Returns
        -------
        Frame
            With unit, uncertainty, flags, WCS, and the detector's values in ``meta``.

        Raises
        ------
        FitsReadError
            Pixels cannot be decoded.
        UnitError
            The unit is not told.
        """
        if slot.color is not None:
            return self._of_color(slot, window)
        understood = self._headers.compared(slot)
        wcs = understood.wcs
        data = linear_values(self.source, slot.science.index, slot.plane, window)
        section = understood.header.get(self.instrument.trim_keyword or "")
        ours = own_flags(self.source, slot, window)
        flags_of_file = file_flags(self.source, slot, window, section=section)
        return Frame(
            data,
            unit=understood.unit,
            uncertainty=self._uncertainty(slot, window),
            flags=flags_of_file | self.masks.flags(slot, window) | ours,
            filled=(ours & np.uint32(MADE_UP)) != 0,
            wcs=wcs[window] if wcs is not None and window is not None else wcs,
            psf=self._psf(slot),
            meta=understood.meta(),
            frame_id=self.frame_id(slot),
            reject_bits=self.settings.reject_bits,
        )

    def _of_color(self, slot: FrameSlot, window: Window | None) -> Frame:
        """Read one color of a mosaic: every second pixel of every second row."""
        assert slot.color is not None
        mosaic = self.frame(replace(slot, color=None))
        if mosaic.psf is not None:
            note = f"{mosaic.frame_id}: its PSF is of the pixels of the mosaic: not used"
            self.notes.extend({note} - set(self.notes))
        color = slot.color.of(mosaic.replace(wcs=None, psf=None))
        wcs = slot.color.wcs_of(mosaic.wcs)
        frame: Frame = color.replace(wcs=wcs, frame_id=self.frame_id(slot))
        part: Frame = frame if window is None else frame[window]
        return part

    def header_frame(self, slot: FrameSlot) -> Frame:
        """Return a frame of one pixel, zero, that has what the headers tell of a frame.

        Parameters
        ----------
        slot : FrameSlot
            One of :attr:`slots`.

        Returns
        -------
        Frame
            With unit, WCS, the detector's values, and an uncertainty where the file has one; no
            pixel is read.

        Raises
        ------
        UnitError
            The unit is not told.
        """
        understood, known = self._headers.of(slot), set(_UNCERTAINTIES) & set(slot.companions)
        return Frame(
            np.zeros((1, 1), dtype=np.float32),
            unit=understood.unit,
            uncertainty=StdDevUncertainty(np.ones((1, 1), dtype=np.float32)) if known else None,
            wcs=understood.wcs,
            meta=understood.meta() if slot.color is None else slot.color.meta_of(understood.meta()),
            frame_id=self.frame_id(slot),
            reject_bits=self.settings.reject_bits,
        )

    def resolved(self, slot: FrameSlot) -> dict[str, Resolved]:
        """Return what is known of a frame, each value with the card or rule that told it.

        Parameters
        ----------
        slot : FrameSlot
            One of :attr:`slots`.

        Returns
        -------
        dict of str to Resolved
            ``unit``, fields of :class:`~astroclean.core.image.detector.Detector`, ``trim`` (the
            section exposed to the sky) and ``scale`` (``asinh``), as far as they are told. What
            contradicts itself is then among :attr:`contradictions`.

        Raises
        ------
        UnitError
            The unit is not told.
        """
        return dict(self._headers.compared(slot).values)

    def quality(
        self, slot: FrameSlot, window: Window | None = None
    ) -> tuple[Convention, NDArray[np.integer]] | None:
        """Return the DQ of a frame as the file has it, with the convention of its values.

        Parameters
        ----------
        slot : FrameSlot
            One of :attr:`slots`.
        window : (slice, slice), optional
            (y, x) part to read.

        Returns
        -------
        (Convention, (ny, nx) integer) or None
            None where the frame has no DQ.
        """
        meaning = self.convention(slot)
        return None if meaning is None else (meaning[0], self.masks.values(slot, window))

    def convention(self, slot: FrameSlot) -> tuple[Convention, str] | None:
        """Return what the DQ values of a frame mean, and what told it.

        Parameters
        ----------
        slot : FrameSlot
            One of :attr:`slots`.

        Returns
        -------
        (Convention, str) or None
            The table, and the setting, card, instrument or values that told it; None where the
            frame has no DQ. ``Convention.rejecting_values`` gives the values that reject.
        """
        meaning = self.masks.meaning(slot)
        return None if meaning is None else (meaning.convention, meaning.why)

    def mask_notes(self, slots: Sequence[FrameSlot] | None = None) -> list[str]:
        """Return what is to be said of mask values, of some frames or of all together."""
        return self.masks.notes(self.slots if slots is None else slots)

    def _psf(self, slot: FrameSlot) -> Psf | None:
        hdu, fine = slot.companions.get("psf"), slot.companions.get("fine_psf")
        return None if hdu is None else written_psf(self.source, hdu, fine, plane=slot.plane)

    def _uncertainty(self, slot: FrameSlot, window: Window | None) -> Any:
        for role, kind in _UNCERTAINTIES.items():
            hdu = slot.companions.get(role)
            if hdu is None:
                continue
            # The same rows for a frame and for its bands, which must agree.
            if not (sampled_rows(self.source, hdu.index, slot.plane) > 0).any():
                note = f"[{hdu.label}] ({role}) has no value above zero: not used"
                self.notes.extend({note} - set(self.notes))
                continue
            values = linear_values(self.source, hdu.index, slot.plane, window)
            return kind(values.astype(np.float32))
        return None


def _instrument_of(source: FitsSource, settings: ReadSettings) -> Instrument:
    if settings.instrument != "auto":
        return load_instrument(settings.instrument)
    lookup: dict[str, Any] = {}
    for hdu in reversed(source.hdus):
        if hdu.index == 0 or hdu.shape:
            lookup.update(values_by_keyword(source.header(hdu.index)))
    return detect_instrument(lookup, where=str(source.path))


@contextlib.contextmanager
def open_exposure(
    source: Source, settings: ReadSettings | None = None, *, local: Path | bytes | None = None
) -> Iterator[Exposure]:
    """Open a file (or HDUs in memory) as an exposure.

    Parameters
    ----------
    source : str, Path or HDUList
        File or URL with an optional HDU address, or HDUs.
    settings : ReadSettings, optional
        How to read.
    local : Path or bytes, optional
        A copy; by default a URL is fetched for as long as the context lasts.

    Yields
    ------
    Exposure
        Closed on leaving the context.
    """
    if isinstance(source, fits.HDUList):
        with FitsSource.from_hdulist(source) as opened:
            yield Exposure(opened, Address(opened.path), settings or ReadSettings())
        return
    address = parse_address(source)
    here = local_file(address.path) if local is None else contextlib.nullcontext(local)
    with here as file, FitsSource(address.path, local=file) as opened:
        yield Exposure(opened, address, settings or ReadSettings())


def read_frame(
    source: Source,
    *,
    instrument: str = "auto",
    plane: int | None = None,
    window: Window | None = None,
    **overrides: Any,
) -> Frame:
    """Read one frame; see :meth:`astroclean.Frame.read`."""
    for name in overrides:
        if name not in (*VALUE_NAMES, *MASK_SETTINGS):
            known = ", ".join((*VALUE_NAMES, *MASK_SETTINGS))
            raise FitsReadError(f"no setting '{name}'", received=known)
    with open_exposure(source, ReadSettings(instrument, overrides)) as exposure:
        slots = [s for s in exposure.slots if plane is None or s.plane == plane]
        if len(slots) != 1:
            raise FitsReadError(
                "address one frame" if slots else f"there is no plane {plane}",
                where=str(exposure.source.path),
                received=", ".join(slot.label for slot in exposure.slots),
                remedy="As in Frame.read('file.fits[SCI,1]'), or plane=0 for a cube.",
            )
        frame = exposure.frame(slots[0], window)
        for note in exposure.mask_notes(slots):
            warnings.warn(f"{frame.frame_id}: {note}", AstrocleanWarning, stacklevel=4)
        return frame
