"""The sources of a frame: catalogue, segmentation and, after deblending, images of each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from astroclean.core.files import file_function
from astroclean.core.image.arrays import add_box, overlap, read_only
from astroclean.core.image.displayed import Shown
from astroclean.errors import FrameError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from astropy.table import QTable
    from astropy.wcs import WCS
    from numpy.typing import NDArray
    from photutils.segmentation import SegmentationImage

    from astroclean.core.image.grid import Grid

__all__ = ["SourceStamp", "Sources"]

REQUIRED_COLUMNS = ("id", "x", "y")


@dataclass(frozen=True, eq=False)
class SourceStamp:
    """What one source contributes to each pixel of a box.

    Raises
    ------
    FrameError
        Model and share do not have one shape.
    """

    id: int
    """The source's ``id`` in the catalogue."""
    origin: tuple[int, int]
    """(y, x) of the box's first pixel in the frame."""
    data: NDArray[np.float32]
    """(ny, nx) contribution in the unit of the frame: the model without noise where the deblender
    tells model and share apart, else what it gives the source."""
    band: str = ""
    """Band of a frame set; none where there is a frame alone."""
    share: NDArray[np.float32] | None = None
    """(ny, nx) light of the frame that the source is given, with noise, in the unit of the frame:
    see `astroclean.core.sources.shares`. None where the deblender gives one image a source."""

    def __post_init__(self) -> None:
        if self.share is not None and self.share.shape != self.data.shape:
            raise FrameError(
                f"the share of source {self.id} must have the shape of its model {self.data.shape}",
                received=self.share.shape,
                remedy="Give both in one box.",
            )

    def slices(self) -> tuple[slice, slice]:
        """Return the box as slices of the frame."""
        (y, x), (ny, nx) = self.origin, self.data.shape
        return slice(y, y + ny), slice(x, x + nx)

    def overlap(self, shape: Sequence[int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Return which pixels of a frame (ny, nx) the box covers, and which of its own these are.

        The box may reach beyond the frame.
        """
        return overlap(self.origin, self.data.shape, shape)

    def add_to(self, image: NDArray[Any]) -> None:
        """Add the source to an image in place; what reaches beyond the image is lost."""
        add_box(image, self.data, self.origin)

    def read_only(self) -> SourceStamp:
        """Return the same image with arrays that cannot be written to."""
        share = None if self.share is None else read_only(self.share)
        return replace(self, data=read_only(self.data), share=share)


@dataclass(frozen=True, eq=False)
class Sources(Shown):
    """Catalogue of a frame with what the deblender knows of each source.

    Parameters
    ----------
    table : astropy.table.QTable
        One row a source. Columns ``id`` (integer label from 1), ``x``, ``y`` (pixels, centre of
        the lower-left pixel is 0, 0); further columns with units.
    segmentation : (ny, nx) int32, optional
        ``id`` of the source that dominates each pixel, 0 for sky.
    stamps : tuple of SourceStamp
        Images of the deblended sources, of a frame set one in each band; empty where the method
        gives none.
    grid : Grid, optional
        Pixels that ``x``, ``y`` and the segmentation count in. The base classes of stages enter
        that of the frame where a plugin gives none.
    ids_stay : bool
        Whether the ids are someone's, as those of a catalogue, and hold for the whole of a frame:
        sources of the chunks of one are then not numbered anew.

    Raises
    ------
    FrameError
        A required column is missing, an ``id`` occurs twice, a source has two images in a band, or
        the segmentation lies on other pixels than the grid.
    """

    table: QTable
    segmentation: NDArray[np.int32] | None = None
    stamps: tuple[SourceStamp, ...] = ()
    grid: Grid | None = None
    ids_stay: bool = False

    def __post_init__(self) -> None:
        missing = [name for name in REQUIRED_COLUMNS if name not in self.table.colnames]
        if missing:
            raise FrameError("catalogue lacks required columns", received=", ".join(missing))
        ids = np.asarray(self.table["id"])
        if np.unique(ids).size != ids.size:
            raise FrameError("catalogue has the same id twice; ids are unique in a frame")
        if len({(int(stamp.id), stamp.band) for stamp in self.stamps}) != len(self.stamps):
            raise FrameError(
                "a source has two images in one band", remedy="Give `SourceStamp` its `band`."
            )
        labels = self.segmentation
        if labels is not None and self.grid is not None and labels.shape != self.grid.shape:
            raise FrameError(
                f"segmentation must have the shape of its grid {self.grid.shape}",
                received=labels.shape,
            )

    def __len__(self) -> int:
        return len(self.table)

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands that there are images in, in their order; ``""`` is that of a frame alone."""
        return tuple(dict.fromkeys(stamp.band for stamp in self.stamps))

    def images(self, band: str | None = None) -> dict[int, SourceStamp]:
        """Return the image of each source that has one, by its ``id``.

        Parameters
        ----------
        band : str, optional
            Not needed where there is one alone.

        Raises
        ------
        FrameError
            There are images in several bands, and it is not told which are meant.
        """
        if band is None and len(self.bands) > 1:
            raise FrameError(
                "the sources have images in several bands; tell which are meant",
                received=", ".join(self.bands),
            )
        return {int(s.id): s for s in self.stamps if band is None or s.band == band}

    def of_band(self, band: str) -> Sources:
        """Return the same sources with the images of one band, and those that name none."""
        return replace(self, stamps=tuple(s for s in self.stamps if s.band in ("", band)))

    def segmentation_image(self) -> SegmentationImage:
        """Return the segmentation as photutils takes it.

        Returns
        -------
        photutils.segmentation.SegmentationImage
            Of an array of its own, with the ``id`` of each source as its label. Labels that are
            not consecutive stay as they are; ``relabel_consecutive()`` of the result renumbers it,
            and then it no longer counts as the catalogue does.

        Raises
        ------
        FrameError
            There is no segmentation.
        """
        if self.segmentation is None:
            raise FrameError(
                "these sources have no segmentation",
                remedy="Their deblender gives none; of files that a run wrote, read it with "
                '`Sources.read(..., segmentation="x_clean.fits")`.',
            )
        from photutils.segmentation import SegmentationImage  # noqa: PLC0415 - slow to import

        return SegmentationImage(np.array(self.segmentation, dtype=np.int32))

    def on_grid(self, grid: Grid) -> Sources:
        """Return the same sources with a grid where they have none yet."""
        return self if self.grid is not None else replace(self, grid=grid)

    @classmethod
    def read(cls, path: str | Path, **settings: Any) -> Sources:
        """Read the sources of a frame from the files that a run or a simulator wrote.

        Parameters
        ----------
        path : str or Path
            Catalogue, such as ``x_sources.ecsv`` or ``x_sources.fits``.
        **settings
            ``hdu``: frame that is meant where the catalogue has those of several, such as
            ``"[SCI,1]"``. ``stamps``: file with the images of the sources, ``x_stamps.fits``.
            ``segmentation``: file with the layer ``SEGMENTATION``, ``x_clean.fits``.

        Returns
        -------
        Sources
            With the grid of the segmentation, where that is read.

        Raises
        ------
        FitsReadError
            A file is damaged, has no such sources, or its segmentation is that of others.
        """
        found: Self = file_function("read_sources")(path, **settings)
        return found

    def read_only(self) -> Sources:
        """Return the same sources with arrays that cannot be written to and a table of its own."""
        labels = self.segmentation
        return replace(
            self,
            table=self.table.copy(),
            segmentation=None if labels is None else read_only(labels),
            stamps=tuple(stamp.read_only() for stamp in self.stamps),
        )

    def with_sky(self, wcs: WCS | None) -> Sources:
        """Return the sources with columns ``ra`` and ``dec`` (ICRS, deg) where the WCS tells them.

        Parameters
        ----------
        wcs : astropy.wcs.WCS or None
            World coordinates of the frame. Without celestial axes the catalogue is left as it is.

        Returns
        -------
        Sources
            New sources; the receiver is not modified.
        """
        if wcs is None or not wcs.has_celestial or "ra" in self.table.colnames:
            return self
        import astropy.units as u  # noqa: PLC0415 - core stays light to import

        table = self.table.copy()
        x, y = np.asarray(table["x"], dtype=float), np.asarray(table["y"], dtype=float)
        # The projection takes an infinite pixel to some point of the sky.
        known = np.isfinite(x) & np.isfinite(y)
        x, y = np.where(known, x, np.nan), np.where(known, y, np.nan)
        sky = wcs.celestial.pixel_to_world(x, y).icrs
        position = table.colnames.index("y") + 1
        for offset, (name, angle) in enumerate((("ra", sky.ra), ("dec", sky.dec))):
            table.add_column(u.Quantity(angle, u.deg), name=name, index=position + offset)
        table["ra"].info.description = "right ascension (ICRS)"
        table["dec"].info.description = "declination (ICRS)"
        return replace(self, table=table)
