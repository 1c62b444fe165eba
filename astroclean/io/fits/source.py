"""`FitsSource`: a FITS file as headers, pixel windows and untouched bytes.

The bytes matter as much as the pixels: what a run does not change is copied, not rewritten.
"""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import numpy as np
from astropy.io import fits

from astroclean.core.regular import open_regular
from astroclean.errors import FitsReadError, HduNotFoundError
from astroclean.io.fits.blocks import SUMS, split_hdu
from astroclean.io.fits.damage import damage_told
from astroclean.io.fits.hdu_info import HduInfo, owner_of
from astroclean.io.fits.limits import REMEDY_FOR_DAMAGE, walk_hdus
from astroclean.io.fits.scaling import physical_values
from astroclean.io.packed.packers import PACKING_ERRORS, packer_of
from astroclean.io.packed.tile_codecs import checked_codecs
from astroclean.io.packed.tiles import check_tiles
from astroclean.io.packed.unpacking import Seeker, unpacked_stream
from astroclean.io.products.names import LAYER_KEYWORD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from astroclean.io.fits.address import Address

__all__ = ["FitsSource", "open_fits"]

# A file that merely lacks its last padding is whole: `_check_length` tells truncation.


class FitsSource:
    """An open FITS file, plain, packed or tile-compressed. Use it as a context manager.

    Parameters
    ----------
    path, local : Path
        The file as the user knows it, and, where there is one, a copy that is read in its place:
        a file, or the bytes.

    Raises
    ------
    FitsReadError
        The file cannot be read, is not FITS, or is truncated.
    """

    def __init__(self, path: Path, *, local: Path | bytes | None = None) -> None:
        self.path = path
        self._content = local if isinstance(local, bytes) else None
        self.local = self._plain = local if isinstance(local, Path) else path
        self.is_plain = False
        """Whether the bytes of the HDUs are those of the file: it is not packed."""
        self.notes: list[str] = []
        """What was odd but harmless, for the report."""
        self._headers: dict[int, fits.Header] = {}
        self._stack = contextlib.ExitStack()
        try:
            self._raw = self._open_raw()
            with self._damage_told():
                self._stored = self._stack.enter_context(self._opened(unpack=False))
                self._stored.readall()
                self._hdus = self._stack.enter_context(self._opened(unpack=True))
                self._hdus.readall()
            self.hdus = self._layout()
        except BaseException:
            self._stack.close()
            raise

    @classmethod
    def from_hdulist(cls, hdus: fits.HDUList) -> FitsSource:
        """Return a source over HDUs in memory."""
        buffer = io.BytesIO()
        hdus.writeto(buffer, output_verify="silentfix")
        return cls(Path("<HDUList>"), local=buffer.getvalue())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._stack.close()

    def _open_raw(self) -> BinaryIO:
        packer = None
        try:
            held = self._content
            stream = open_regular(self.local) if held is None else io.BytesIO(held)
            self._stack.enter_context(stream)
            packer = packer_of(stream)
            self.is_plain = packer is None
            if packer is None:
                walk_hdus(Seeker(stream), where=str(self.path))
                return stream
            with packer.unpacked(stream) as plain:
                raw, scratch = unpacked_stream(plain, str(self.path), self._stack, self.notes)
            self._plain = scratch or self.local
        except (OSError, *PACKING_ERRORS) as error:
            damage = f"damaged {packer.name} data" if packer else str(error)
            reason = getattr(error, "strerror", None) or damage  # the system's, where it has one
            remedy = REMEDY_FOR_DAMAGE if reason == damage else None
            problem = f"cannot be read: {reason}"
            raise FitsReadError(problem, where=str(self.path), remedy=remedy) from error
        except MemoryError as error:
            problem = "asks for more memory than there is; the file is damaged"
            where = str(self.path)
            raise FitsReadError(problem, where=where, remedy=REMEDY_FOR_DAMAGE) from error
        return raw

    def _opened(self, *, unpack: bool, scaled: bool = False) -> fits.HDUList:
        # A stream of its own for each: two HDULists over one would share its position.
        # Nobody writes to the bytes, so they are not copied.
        stream = io.BytesIO(self._raw.getvalue()) if isinstance(self._raw, io.BytesIO) else None
        return fits.open(
            self._plain if stream is None else stream,
            disable_image_compression=not unpack,
            memmap=False,  # sections then read just their part
            do_not_scale_image_data=not scaled,
        )

    def _damage_told(self) -> contextlib.AbstractContextManager[None]:
        return damage_told(self.path, self.notes)

    def _layout(self) -> tuple[HduInfo, ...]:
        infos = []
        with self._damage_told():
            for index, (stored, hdu) in enumerate(zip(self._stored, self._hdus, strict=True)):
                place = stored.fileinfo()
                shape = tuple(hdu.shape) if hdu.is_image and hdu.shape else ()
                if any(type(length) is not int or length < 0 for length in shape):
                    raise ValueError(f"axes of HDU {index} are no lengths: {shape}")
                if isinstance(hdu, fits.CompImageHDU):
                    check_tiles(self._raw, stored.header, place["datLoc"])
                infos.append(
                    HduInfo(
                        index=index,
                        name=str(hdu.header.get("EXTNAME", "")).strip().upper(),
                        version=int(hdu.header.get("EXTVER", 1)),
                        shape=shape if 0 not in shape else (),
                        is_image=bool(hdu.is_image),
                        is_compressed=isinstance(hdu, fits.CompImageHDU),
                        start=place["hdrLoc"],
                        data_start=place["datLoc"],
                        end=place["datLoc"] + place["datSpan"],
                        belongs_to=owner_of(hdu.header),
                        layer=hdu.header.get(LAYER_KEYWORD),
                    )
                )
            self._check_length(infos[-1])
        times = Counter((info.name, info.version) for info in infos)
        return tuple(replace(i, has_namesake=times[i.name, i.version] > 1) for i in infos)

    def _check_length(self, last: HduInfo) -> None:
        length = self._raw.seek(0, io.SEEK_END)
        with_padding = self._stored[last.index]
        needed = last.data_start + int(getattr(with_padding, "size", 0) or 0)
        if length < needed:
            raise FitsReadError(
                f"truncated: HDU [{last.label}] ends at byte {needed}, the file at {length}",
                where=str(self.path),
                remedy="Fetch it again.",
            )

    def header(self, index: int) -> fits.Header:
        """Return a copy of the header of an HDU (of the image, where it is compressed).

        Cards that cannot be parsed are left out of it and noted; the file keeps them.
        """
        if index not in self._headers:
            with self._damage_told():
                header = fits.Header()
                for card in self._hdus[index].header.cards:
                    if self._is_parsed(card):
                        header.append(card, end=True)
            self._headers[index] = header
        return self._headers[index].copy()

    def _is_parsed(self, card: fits.Card) -> bool:
        try:
            _ = card.value, card.comment
        except fits.VerifyError:
            self.notes.append(f"card {card.keyword} cannot be parsed; it is ignored")
            return False
        return True

    def merged_header(self, index: int) -> fits.Header:
        """Return the header of an HDU with the primary's keywords that it lacks."""
        header = self.header(index)
        if index:
            own = set(header)
            extra = (c for c in self._hdus[0].header.cards if c.keyword not in own)
            for card in extra:
                if card.keyword not in _STRUCTURAL and card.keyword not in _COMMENTARY:
                    header.append(card, end=True)
        return header

    def hdulist(self) -> fits.HDUList:
        """Return astropy's view of the file, for lookup tables of WCSs."""
        return self._hdus

    def find(self, address: Address) -> HduInfo:
        """Return the HDU that an address names.

        Raises
        ------
        HduNotFoundError
            There is none, or several.
        """
        found = [
            hdu
            for hdu in self.hdus
            if (
                hdu.index == address.index
                if address.index is not None
                else hdu.name == address.name and address.version in (None, hdu.version)
            )
        ]
        if len(found) == 1:
            return found[0]
        raise HduNotFoundError(
            "several HDUs have this name; add the version" if found else "no such HDU",
            where=str(address),
            received=", ".join(f"[{hdu.label}]" for hdu in self.hdus) + " in the file",
        )

    def read(
        self, index: int, *, plane: int | None = None, window: tuple[slice, slice] | None = None
    ) -> NDArray[Any]:
        """Read pixels of an image HDU: scaled (BSCALE, BZERO), BLANK as NaN, native byte order.

        Parameters
        ----------
        index : int
            HDU.
        plane : int, optional
            Index over the axes before the last two, in C order; needed for cubes.
        window : (slice, slice), optional
            (y, x) part to read; only this part is read from a plain or tile-compressed file.

        Returns
        -------
        (ny, nx) array
            A new array, float32, float64 or integer as stored.

        Raises
        ------
        FitsReadError
            Pixels cannot be decoded.
        """
        rows, columns = window or (slice(None), slice(None))
        leading = self.hdus[index].shape[:-2]
        place = np.unravel_index(plane or 0, leading) if leading else ()
        with self._damage_told():
            hdu = self._hdus[index]
            with checked_codecs(hdu):
                part = hdu.section[(*(int(i) for i in place), rows, columns)]
            native = np.array(part, dtype=part.dtype.newbyteorder("="), order="C")
            blank = hdu.header.get("BLANK", self._stored[index].header.get("ZBLANK"))
            return physical_values(native, hdu.header, blank)

    def raw_cards(self, info: HduInfo) -> list[bytes]:
        """Return the cards of an HDU as they are stored, without END."""
        self._raw.seek(info.start)
        return split_hdu(self._raw.read(info.data_start - info.start))[0]

    def is_summed(self, index: int) -> bool:
        """Return whether an HDU carries CHECKSUM or DATASUM, of its table where compressed."""
        headers = self._stored[index].header, self._hdus[index].header
        return any(key in header for header in headers for key in SUMS)

    def tile_shape(self, index: int) -> tuple[int, ...]:
        """Return the tiles (..., ny, nx) of a tile-compressed image."""
        stored = self._stored[index].header
        return tuple(int(stored[f"ZTILE{n}"]) for n in range(stored["ZNAXIS"], 0, -1))

    def raw_rows(
        self, info: HduInfo, plane: int, rows: slice, dtype: np.dtype[Any]
    ) -> NDArray[Any]:
        """Return rows of an uncompressed image as stored, big-endian and unscaled."""
        _, nx = info.shape[-2:]
        skip = (plane * info.shape[-2] + rows.start) * nx * dtype.itemsize
        self._raw.seek(info.data_start + skip)
        count = (rows.stop - rows.start) * nx
        part = np.frombuffer(self._raw.read(count * dtype.itemsize), dtype=dtype)
        return part.reshape(-1, nx).copy()

    def copy_bytes(
        self, info: HduInfo, target: BinaryIO, *, data_only: bool = False, chunk: int = 1 << 22
    ) -> None:
        """Copy an HDU as it is stored, with or without its header, padded to whole blocks."""
        start = info.data_start if data_only else info.start
        self._raw.seek(start)
        left = info.end - start
        while left > 0:
            part = self._raw.read(min(chunk, left))
            if not part:
                target.write(b"\0" * left)  # the file lacks its last padding
                return
            target.write(part)
            left -= len(part)


_COMMENTARY = {"", "COMMENT", "HISTORY"}
_STRUCTURAL = {
    *("SIMPLE", "XTENSION", "BITPIX", "NAXIS", "EXTEND", "PCOUNT", "GCOUNT", "GROUPS"),
    *("BSCALE", "BZERO", "BLANK", "EXTNAME", "EXTVER", "EXTLEVEL", "CHECKSUM", "DATASUM", "END"),
    *("NEXTEND", "INHERIT", "DATAMIN", "DATAMAX"),
    *(f"NAXIS{n}" for n in range(1, 10)),
}


@contextlib.contextmanager
def open_fits(path: Path) -> Iterator[fits.HDUList]:
    """Open a FITS file for reading with errors that name the file.

    Parameters
    ----------
    path : Path
        File.

    Yields
    ------
    astropy.io.fits.HDUList
        Its HDUs.

    Raises
    ------
    FitsReadError
        The file is damaged or not FITS.
    """
    with (
        FitsSource(path) as source,
        source._damage_told(),  # noqa: SLF001 - same module
        source._opened(unpack=True, scaled=True) as hdus,  # noqa: SLF001
    ):
        yield hdus
