"""`Frame`: one 2-D image with uncertainty, flags, WCS and PSF, the object stages exchange."""

from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from astropy.nddata import CCDData, NDData

from astroclean.core.files import file_function
from astroclean.core.flags.planes import REJECTING, MaskPlane, parse_planes
from astroclean.core.image.arrays import (
    as_pixels,
    checked_filled,
    fields_over,
    joined_flags,
    read_only,
)
from astroclean.core.image.cutting import Cut
from astroclean.core.image.detector import Detector
from astroclean.core.image.displayed import Displayed
from astroclean.core.image.noise import NoiseMeasure, noise_of
from astroclean.core.psf.given import as_psf
from astroclean.core.suggest import did_you_mean
from astroclean.errors import FrameError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from astroclean.core.image.history import HistoryEntry
    from astroclean.core.psf.psf import Psf
    from astroclean.core.sources.sources import Sources
    from astroclean.core.stage.scope import Chunk

__all__ = ["Frame"]

_FIELDS = (
    *("data", "unit", "uncertainty", "flags", "filled", "psf", "sources", "wcs", "meta"),
    *("frame_id", "history", "reject_bits", "chunk"),
)


class Frame(Displayed, CCDData):
    """One 2-D image with uncertainty, flags, WCS, PSF and sources.

    A thin subclass of :class:`astropy.nddata.CCDData`, so photutils and ccdproc take it as it is.
    It differs in that ``flags`` are always there and survive slicing and arithmetic, ``mask`` is
    derived from them, and ``data`` is native, C-contiguous float32 (what sep and torch need).
    Treat frames as immutable: :meth:`replace` makes a changed one.

    Parameters
    ----------
    data : (ny, nx) array_like or NDData
        Pixel values in ``unit``. Converted to float32; not modified.
    unit : astropy unit or str
        Unit of the pixel values. Required unless ``data`` carries one.
    flags : (ny, nx) integer array, optional
        Bits of :class:`MaskPlane`. Pixels that are not finite gain NO_DATA in any case.
    mask : (ny, nx) bool, optional
        Taken from other packages only: pixels masked there but not rejected by ``flags`` gain
        BAD_PIXEL. Afterwards ``mask`` is always ``(flags & reject_bits != 0) & ~filled``.
    psf : Psf or 2-D array, optional
        Point spread function.
    sources : Sources, optional
        Catalogue and segmentation.
    frame_id : str
        Identity in messages and reports, such as ``raw.fits[SCI,1]``.
    history : tuple of HistoryEntry
        What stages did.
    reject_bits : MaskPlane
        Planes that make a pixel unusable.
    filled : (ny, nx) bool, optional
        Pixels whose value a stage has replaced since they were rejected. Their flags keep the
        reason, but reject no longer. Pixels that are not finite are never filled.
    chunk : Chunk, optional
        Where the frame lies in a larger one; the runner tells, for frames larger than memory. A
        slice of a frame is a frame of its own.
    **kwargs
        ``uncertainty``, ``wcs``, ``meta``, ``copy`` as for CCDData.

    Raises
    ------
    FrameError
        Data are not 2-D numbers, or flags have another shape.
    """

    sources: Sources | None
    frame_id: str
    history: tuple[HistoryEntry, ...]
    reject_bits: MaskPlane
    chunk: Chunk | None
    flags: NDArray[np.uint32]
    filled: NDArray[np.bool_]
    mask: NDArray[np.bool_]
    _data: NDArray[np.float32]

    def __init__(
        self,
        data: Any,
        *args: Any,
        flags: NDArray[np.integer] | None = None,
        psf: Psf | NDArray[np.floating] | None = None,
        sources: Sources | None = None,
        frame_id: str | None = None,
        history: tuple[HistoryEntry, ...] | None = None,
        reject_bits: MaskPlane | None = None,
        filled: NDArray[np.bool_] | None = None,
        chunk: Chunk | None = None,
        **kwargs: Any,
    ) -> None:
        pixels = data
        if isinstance(data, NDData):
            flags = getattr(data, "flags", None) if flags is None else flags
            psf = getattr(data, "psf", None) if psf is None else psf
            pixels, kwargs = (data, kwargs) if args else (data.data, fields_over(data, kwargs))
        if isinstance(data, Frame):
            sources = data.sources if sources is None else sources
            frame_id = data.frame_id if frame_id is None else frame_id
            history = data.history if history is None else history
            reject_bits = data.reject_bits if reject_bits is None else reject_bits
            filled = data.filled if filled is None else filled
            chunk = data.chunk if chunk is None else chunk
        super().__init__(pixels, *args, **kwargs)
        self._data = as_pixels(self._data, frame_id)
        self.psf = psf
        self.sources = sources
        self.frame_id = frame_id or "frame"
        self.history = history or ()
        self.reject_bits = REJECTING if reject_bits is None else reject_bits
        self.chunk = chunk
        self.flags = joined_flags(self._data, flags, self.mask, self.reject_bits, self.frame_id)
        self.filled = checked_filled(self._data, filled, self.frame_id)
        # A property named `mask` cannot replace NDData's attribute, so it is computed once.
        self.mask = self.where(self.reject_bits) & ~self.filled

    @property
    def psf(self) -> Psf | None:
        """Point spread function, or None."""
        return self._psf

    @psf.setter
    def psf(self, value: Psf | NDArray[np.floating] | None) -> None:
        self._psf = as_psf(value)

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx) in pixels."""
        shape: tuple[int, int] = self._data.shape
        return shape

    @property
    def usable(self) -> NDArray[np.bool_]:
        """(ny, nx) bool, new: pixels to be believed, neither masked nor without a number."""
        return np.asarray(np.isfinite(self._data) & ~self.mask)

    @property
    def detector(self) -> Detector:
        """What is known of the detector, by header, instrument file or the user."""
        return Detector.from_meta(self.meta)

    def noise(self, measure: NoiseMeasure = "differences") -> NDArray[np.float64]:
        """Return the standard deviation of the noise of each pixel.

        Parameters
        ----------
        measure : {"differences", "scatter"}
            What is measured where the uncertainty is zero, not finite or none: see
            `astroclean.core.image.noise.NoiseMeasure`.

        Returns
        -------
        (ny, nx) float64
            In the unit of the frame; positive and finite everywhere, also where not usable.
        """
        return noise_of(self, measure)

    def replace(self, **changes: Any) -> Self:
        """Return a frame with some fields changed; this one stays as it is.

        Parameters
        ----------
        **changes
            Among ``data unit uncertainty flags psf sources wcs meta frame_id history reject_bits
            filled part``.

        Returns
        -------
        Frame
            The new frame. Unchanged arrays are shared.

        Raises
        ------
        FrameError
            A field does not exist (``mask`` is derived and cannot be set).
        """
        for name in changes:
            if name not in _FIELDS:
                hint = did_you_mean(name, _FIELDS)
                raise FrameError(f"a frame has no field '{name}' to replace", remedy=hint)
        fields = {name: getattr(self, name) for name in _FIELDS}
        return type(self)(**{**fields, **changes})

    def read_only(self) -> Self:
        """Return this frame as a hook gets it: arrays cannot be written to.

        Returns
        -------
        Frame
            Views of the same arrays, which stay writable for whoever owns them. The catalogue is
            a copy.
        """
        view = copy.copy(self)
        for name in ("_data", "flags", "filled", "mask"):
            setattr(view, name, read_only(getattr(self, name)))
        if self.uncertainty is not None:
            view.uncertainty = type(self.uncertainty)(read_only(self.uncertainty.array), copy=False)
        view.sources = None if self.sources is None else self.sources.read_only()
        return view

    def where(
        self, planes: MaskPlane | int | str | Iterable[MaskPlane | int | str]
    ) -> NDArray[np.bool_]:
        """Return the pixels that have any of these planes.

        Parameters
        ----------
        planes : MaskPlane, int, str or iterable of these
            Names, aliases or bits.

        Returns
        -------
        (ny, nx) bool
            A new array.
        """
        found: NDArray[np.bool_] = (self.flags & np.uint32(parse_planes(planes))) != 0
        return found

    def add_planes(
        self,
        where: NDArray[np.bool_],
        planes: MaskPlane | int | str | Iterable[MaskPlane | int | str],
    ) -> Self:
        """Return a frame with bits added (OR) at some pixels.

        Parameters
        ----------
        where : (ny, nx) bool
            Pixels.
        planes : MaskPlane, int, str or iterable of these
            Planes to add.
        """
        flags = self.flags.copy()
        flags[where] |= np.uint32(parse_planes(planes))
        return self.replace(flags=flags)

    @classmethod
    def read(cls, source: Any, **settings: Any) -> Frame:
        """Read one frame from a FITS file.

        Parameters
        ----------
        source : str or Path
            A file with an optional address: ``raw.fits``, ``raw.fits[2]``, ``raw.fits[SCI,1]``;
            or a URL, such as ``s3://bucket/raw.fits``.
        **settings
            ``instrument`` (name or ``"auto"``), ``plane`` (index in a cube), and values that
            override the header, such as ``unit="adu"`` or ``gain=1.9``.

        Returns
        -------
        Frame
            With uncertainty and flags from the HDUs that belong to the science HDU.

        Raises
        ------
        FitsReadError
            The file is damaged, not FITS, or the address leaves more than one frame.
        UnitError
            The unit is not told.
        """
        frame: Self = file_function("read_frame")(source, **settings)
        return frame

    def write(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write this frame alone to a FITS file: SCI, FLAGS and, where known, UNCERT.

        Parameters
        ----------
        path : str or Path
            File to write; ``.fits``, ``.fits.gz`` or ``.fits.fz``.
        overwrite : bool
            Whether an existing file may be replaced.

        Raises
        ------
        FitsWriteError
            The file exists or cannot be written.
        """
        file_function("write_frame")(self, path, overwrite=overwrite)

    def to_ccddata(self) -> CCDData:
        """Return a plain CCDData with mask and flags; PSF as its stamp at the centre."""
        ny, nx = self.shape
        plain = CCDData(
            self.data,
            unit=self.unit,
            uncertainty=self.uncertainty,
            mask=self.mask,
            flags=self.flags,
            wcs=self.wcs,
            meta=self.meta,
            psf=None if self.psf is None else self.psf.at(nx / 2, ny / 2),
        )
        plain.flags = self.flags
        return plain

    # The next three are astropy internals: NDData loses flags and psf when it slices or computes.
    # tests/unit/core/test_frame.py pins their behaviour against the installed astropy.
    def _slice(self, item: Any) -> dict[str, Any]:
        cut = Cut.parsed(item, self.shape, where=self.frame_id)
        fields: dict[str, Any] = super()._slice(item)
        fields.update(psf=cut.psf_of(self.psf, where=self.frame_id), meta=cut.meta_of(self.meta))
        fields.update(flags=self.flags[item], filled=self.filled[item], mask=None)
        fields.update(self._identity())
        return fields

    def _slice_wcs(self, item: Any) -> Any:
        cut = Cut.parsed(item, self.shape, where=self.frame_id)
        return cut.wcs_of(self.wcs, self.frame_id) if cut.leaves_out else super()._slice_wcs(item)

    def _arithmetic(self, operation: Any, operand: Any, *args: Any, **kwargs: Any) -> Any:
        with warnings.catch_warnings():
            # astropy warns that it drops the PSF; it is put back below.
            warnings.filterwarnings("ignore", message="Not setting psf attribute")
            result, fields = super()._arithmetic(operation, operand, *args, **kwargs)
        theirs = getattr(operand, "flags", None)
        fields["flags"] = self.flags if theirs is None else self.flags | theirs
        # The result is good where both operands are, for whatever reason they are.
        bad = self.mask if getattr(operand, "mask", None) is None else self.mask | operand.mask
        fields["filled"] = (self.filled | getattr(operand, "filled", self.filled)) & ~bad
        fields.update(psf=self.psf, **self._identity())
        return result, fields

    def _identity(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("frame_id", "history", "reject_bits")}
