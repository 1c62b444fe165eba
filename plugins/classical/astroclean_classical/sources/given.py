"""`catalog`: the sources of a catalogue of one's own, for the stages that need sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from astroclean.core.sources.given import Places, check_places, given_sources, tell_of_given
from astroclean.core.stage.kinds.deblend import Deblender
from astroclean.core.stage.needs import Provides
from astroclean.core.stage.options import StageOptions
from astroclean.core.stage.resources import TableResource  # noqa: TC001 - read by pydantic
from astroclean.core.stage.results import Separation
from astroclean.core.stage.scope import Scope
from astroclean.errors import StageError

if TYPE_CHECKING:
    from astropy.table import Table

    from astroclean.core.image.frame import Frame
    from astroclean.core.image.layer import LayerSpec

__all__ = ["Catalog", "CatalogOptions"]

_REGIONS = ".reg"


class CatalogOptions(StageOptions):
    """Settings of :class:`Catalog`."""

    file: TableResource | None = None
    """The catalogue: ECSV, CSV, FITS table, VOTable or DS9 regions; with ``{stem}`` in the path,
    one for each input. In Python also a table."""
    coordinates: Literal["auto", "sky", "pixels"] = "auto"
    """Which columns are the positions, where there are several: on the sky (``ra``, ``dec``), or in
    pixels (``x``, ``y``); ``auto``: on the sky where the frame has a WCS."""
    first_pixel: Literal[0, 1] | None = None
    """What the center of the first pixel is in columns of pixels: 1 in FITS, DS9 and SExtractor,
    0 in Python and in catalogues of astroclean. None: ``X_IMAGE``, ``Y_IMAGE`` count from 1, all
    others from 0, and a note says so."""


class Catalog(Deblender):
    """Gives a frame the sources of a catalogue of yours; their ids stay. Nothing is measured.

    There is no segmentation: a list of places does not tell which pixels are whose.
    """

    Options = CatalogOptions

    def provides(self) -> Provides:
        """Return the catalogue alone."""
        return Provides(frozenset({"sources"}))

    def layers(self) -> tuple[LayerSpec, ...]:
        """Return none."""
        return ()

    def scope(self, frame: Frame) -> Scope:  # noqa: ARG002 - the same for every frame
        """Return no pixel around: only places count."""
        return Scope(0)

    def check_header(self, frame: Frame) -> None:
        """Raise where there is no catalogue, or one whose places the frame cannot have."""
        check_places(self._table(frame), frame, self._places(), where=self._where(frame))

    def separate(self, frame: Frame) -> Separation:
        """Return the sources that lie on the frame.

        Parameters
        ----------
        frame : Frame
            Any unit; WCS and shape count alone. Not modified.

        Returns
        -------
        Separation
            In order of ids: ``id``, ``x``, ``y``, and all columns of numbers whose names catalogues
            of astroclean have, such as ``flux``, ``a``, ``b``, ``theta``. Metric ``sources off the
            frame``.

        Raises
        ------
        StageError
            No column of positions; positions on the sky and no WCS; a position that is no number,
            or in pixels of another frame; an id that is no whole number, or occurs twice.
        """
        where = self._where(frame)
        given = given_sources(self._table(frame), frame, self._places(), where=where)
        tell_of_given(given, where=where)
        off = {"sources off the frame": float(len(given.outside))}
        return Separation(given.sources, metrics=off)

    def _where(self, frame: Frame) -> str:
        return f"{frame.frame_id}, stage '{self.name}'"

    def _places(self) -> Places:
        return Places(self.options.coordinates, self.options.first_pixel)

    def _table(self, frame: Frame) -> Table:
        file = self.options.file
        if file is None:
            raise StageError(
                "has no catalogue",
                where=self._where(frame),
                remedy='Name one: options = { file = "stars.ecsv" }.',
            )
        if self.options.first_pixel is not None and file.path.lower().endswith(_REGIONS):
            raise StageError(
                "DS9 regions tell themselves how they count pixels",
                where=self._where(frame),
                received=f"first_pixel = {self.options.first_pixel}",
                remedy="Leave out first_pixel.",
            )
        return file.table
