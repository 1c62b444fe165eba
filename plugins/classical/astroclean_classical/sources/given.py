"""`catalog`: the sources of a catalogue of one's own, for the stages that need sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from astroclean.core.sources.given import sources_of_file
from astroclean.core.sources.places import PlaceOptions, check_places, table_of_file
from astroclean.core.stage.kinds.deblend import Deblender
from astroclean.core.stage.needs import Provides
from astroclean.core.stage.resources import TableResource  # noqa: TC001 - read by pydantic
from astroclean.core.stage.results import Separation
from astroclean.core.stage.scope import Scope
from astroclean.errors import StageError

if TYPE_CHECKING:
    from astroclean.core.image.frame import Frame
    from astroclean.core.image.layer import LayerSpec

__all__ = ["Catalog", "CatalogOptions"]


class CatalogOptions(PlaceOptions):
    """Settings of :class:`Catalog`."""

    file: TableResource | None = None
    """The catalogue: ECSV, CSV, FITS table, VOTable or DS9 regions; with ``{stem}`` in the path,
    one for each input. In Python also a table."""


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
        where = self.where(frame)
        table = table_of_file(self._file(frame), self.options, where=where)
        check_places(table, frame, self.options, where=where)

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
        given = sources_of_file(self._file(frame), frame, self.options, where=self.where(frame))
        off = {"sources off the frame": float(len(given.outside))}
        return Separation(given.sources, metrics=off)

    def _file(self, frame: Frame) -> TableResource:
        file: TableResource | None = self.options.file
        if file is None:
            raise StageError(
                "has no catalogue",
                where=self.where(frame),
                remedy='Name one: options = { file = "stars.ecsv" }.',
            )
        return file
