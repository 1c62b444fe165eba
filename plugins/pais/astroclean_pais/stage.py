"""`pais`: deblending without a limit on the number of sources."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from astroclean.core.image.frame import Frame
from astroclean.core.image.layer import BACKGROUND, LayerSpec
from astroclean.core.length import IN_PIXELS
from astroclean.core.parallel import in_threads
from astroclean.core.sources.shares import model_image, with_shares
from astroclean.core.sources.sources import Sources
from astroclean.core.stage.kinds.deblend import MODEL, Deblender
from astroclean.core.stage.metrics import Total
from astroclean.core.stage.needs import Needs
from astroclean.core.stage.results import Separation
from astroclean.core.stage.scope import chunk_of
from astroclean.errors import AstrocleanWarning
from astroclean.inference.cards.beside import beside
from astroclean.inference.cards.card import named_card
from astroclean.inference.stage_network import EngineOptions, StageNetwork
from astroclean.tiling.background import MeshSettings
from astroclean.tiling.blocks import BlockGrid, is_in_core, is_near
from astroclean.tiling.sky import SkySurvey
from astroclean_pais.bands import Band, is_aligned, placed_in
from astroclean_pais.calibration import Calibration
from astroclean_pais.catalogue import Found, catalogue_of
from astroclean_pais.detect import Detections, detections_of, joined_detections
from astroclean_pais.domain import tell_of_domain, unexplained
from astroclean_pais.features import features
from astroclean_pais.places import place_by_data
from astroclean_pais.segmentation import segmentation_of
from astroclean_pais.sweeps import Drawn, draw_sources

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.table import QTable
    from numpy.typing import NDArray

    from astroclean.core.image.frameset import FrameSet
    from astroclean.core.sources.sources import SourceStamp
    from astroclean.core.stage.needs import Identity
    from astroclean.core.stage.scope import Scope
    from astroclean.tiling.blocks import Block
    from astroclean.tiling.sky import Sky
    from astroclean_pais.fit import AmplitudeFit

__all__ = ["PaisDeblender", "PaisOptions"]

_CARDS = Path(__file__).parent / "cards"
_MULTIPLE = 16
"""Sides of what the finder sees are multiples of it."""
_MANY = 100
"""Pixels with light that no source explains, from which it is told."""
_BLOCKS = BlockGrid(core=512, around=128)
_NEAR = 64
"""Pixels around a core whose sources are fitted with it."""


class PaisOptions(EngineOptions):
    """Settings of :class:`PaisDeblender`."""

    weights: str = "astroclean"
    """Weights of the finder: ``astroclean``, or the path of a card."""
    profiles: str = "astroclean-profile"
    """Weights of the network that draws profiles: ``astroclean-profile``, or the path of a card."""
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Height of the map of centres from which there is a source (no unit); none: as calibrated."""
    min_snr: Annotated[float, Field(ge=0, le=1000)] = 3.0
    """Least flux of a source over its error (no unit)."""
    sweeps: Annotated[int, Field(ge=0, le=10)] = 2
    """How often all profiles are drawn; 0: exponential disks."""
    box: Annotated[int, Field(ge=8, le=4096), IN_PIXELS] = 64
    """Side of the cells in which sky and noise are measured, in pixels."""
    lit: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Light of all models over the noise from which a pixel belongs to a source (no unit)."""


class PaisDeblender(Deblender):
    """Finds sources by a network, draws each by another, and fits all fluxes together.

    After Partial-Attribution Instance Segmentation (Hausen & Robertson 2021): each pixel is shared
    out among any number of sources. Beside the share a noise-free model of each source is given.
    """

    Options = PaisOptions
    accepts: ClassVar[frozenset[str]] = frozenset({"frame", "set"})

    def __init__(
        self, options: PaisOptions | None = None, *, identity: Identity | None = None
    ) -> None:
        super().__init__(options, identity=identity)
        card = named_card(_CARDS, "pais", self.options.weights)
        self._finder = StageNetwork(card, self.options)
        drawing = named_card(_CARDS, "pais", self.options.profiles)
        self._profile = StageNetwork(drawing, self.options)
        self._calibration, self._calibration_digest = beside(card, Calibration)

    def needs(self) -> Needs:
        """Return the PSF: what a source is depends on it. Bands may have pixels of their own."""
        return Needs(frozenset({"psf"}), aligned=False)

    def scope(self, frame: Frame) -> Scope:  # noqa: ARG002 - the same for every frame
        """Return a block and what is read around it; sky and noise are those of the whole frame."""
        return _BLOCKS.scope(SkySurvey(MeshSettings(box=self.options.box)))

    def layers(self) -> tuple[LayerSpec, ...]:
        """Return the models and the sky, beside the layers of the kind."""
        return (*super().layers(), MODEL, BACKGROUND)

    def fingerprint(self) -> dict[str, str]:
        """Return weights, engine, precision and calibration."""
        drawn = self._profile.fingerprint()
        return {
            **self._finder.fingerprint(),
            **{f"{key} of profiles": drawn[key] for key in ("weights", "card")},
            "calibration": self._calibration_digest,
        }

    def separate(self, frame: Any) -> Any:
        """Return catalogue, segmentation, model and share of each source.

        Parameters
        ----------
        frame : Frame or FrameSet
            Any unit, with a PSF; the sky need not be subtracted. Not modified. Of a set, sources
            are looked for in all bands together, and drawn and measured in each.

        Returns
        -------
        Separation, or dict of str to Separation
            Stamps with ``data``, the model, and ``share``; the shares of all sources and
            ``unassigned`` add up to the frame. Columns as in
            `astroclean_pais.catalogue.COLUMNS`. Metrics ``noise ratio`` (measured over stated) and
            ``pixels unexplained``, which have light that no source has.

        Warns
        -----
        SuspectWarning
            The frame states another noise than it has.
        AstrocleanWarning
            The frame is not like those that the networks were trained on, or the sources do not
            explain its light.
        """
        from threadpoolctl import threadpool_limits  # noqa: PLC0415 - only where it is used

        # Systems of a few hundred equations: threads that wait for each other cost far more.
        with threadpool_limits(1, user_api="blas"):
            if isinstance(frame, Frame):
                self._finder.warn_outside_domain(frame)
                band = self._band(frame)
                return self._separated(band, self._detected([band]))
            return self._of_set(frame)

    def _of_set(self, frames: FrameSet) -> dict[str, Separation]:
        """Return the sources of all bands on one grid, drawn and measured in each band."""
        bands = {name: self._band(frames[name]) for name in frames}
        first = next(iter(bands.values()))
        aligned = [band for band in bands.values() if is_aligned(first.frame, band.frame)]
        found = self._detected(aligned)
        places = {name: placed_in(found, first.frame, band.frame) for name, band in bands.items()}
        drawn = {name: self._drawn(band, places[name]) for name, band in bands.items()}
        # A source that a band does not reach has no flux there, and is still one source.
        full = {name: one.filled(rows, len(found)) for name, (rows, one) in drawn.items()}
        with np.errstate(invalid="ignore", divide="ignore"):
            power = sum(
                np.nan_to_num(np.maximum(one.fit.flux / one.fit.flux_err, 0)) ** 2
                for one in full.values()
            )
        kept = np.flatnonzero(np.sqrt(power) >= self.options.min_snr)
        return self._answer(
            bands,
            {name: place.take(kept) for name, place in places.items()},
            {name: one.numbered(kept) for name, one in full.items()},
        )

    def _band(self, frame: Frame) -> Band:
        assert frame.psf is not None  # needed, hence checked by the base class
        sky: Sky = self.measured(frame)
        sky.tell_of_noise(self.where(frame))
        return Band(frame, sky)

    def _detected(self, bands: Sequence[Band]) -> Detections:
        """Return the sources of bands on one grid, those of a chunk's blocks and beside them."""
        frame = bands[0].frame
        blocks = list(_BLOCKS.blocks(frame.shape, chunk_of(frame)))
        width = float(np.mean([band.fwhm for band in bands]))
        level = self.options.threshold or self._calibration.threshold
        engine = self._finder.engine

        def work(block: Block) -> Detections:
            light = sum(band.light[block.read] / band.noise[block.read] for band in bands)
            usable = np.logical_and.reduce([band.usable[block.read] for band in bands])
            planes = features(light / np.sqrt(len(bands)), usable, width)
            ny, nx = usable.shape
            padded = np.pad(planes, ((0, 0), (0, -ny % _MULTIPLE), (0, -nx % _MULTIPLE)))
            # What is beyond the frame has the width of its PSF, too.
            padded[-1] = planes[-1, 0, 0]
            maps = engine.infer({"planes": padded[np.newaxis]})["maps"][0, :, :ny, :nx]
            found = detections_of(maps, usable, width, level=level).moved(*block.origin)
            inside = is_near(found.y, block.core[0]) & is_near(found.x, block.core[1])
            return found.take(inside)

        parts = in_threads(work, blocks, engine.parallel)
        found = joined_detections(parts, width)
        tell_of_domain(bands, len(found), stage=self.name)
        return found

    def _drawn(self, band: Band, found: Detections) -> tuple[NDArray[np.intp], Drawn]:
        """Return which sources could be drawn, and their profiles and fluxes."""
        frame = band.frame
        engine = self._profile.engine

        def work(block: Block) -> tuple[NDArray[np.intp], Drawn]:
            near = np.flatnonzero(
                is_near(found.y, block.core[0], _NEAR) & is_near(found.x, block.core[1], _NEAR)
            )
            part, (y, x) = found.take(near), block.origin
            drawn = draw_sources(
                part.moved(-y, -x), band.pixels(block), engine, sweeps=self.options.sweeps
            )
            own = np.flatnonzero(
                is_in_core(part.y, block.core[0], frame.shape[0])
                & is_in_core(part.x, block.core[1], frame.shape[1])
            )
            return near[own], drawn.taken(own, near, (y, x))

        blocks = list(_BLOCKS.blocks(frame.shape, chunk_of(frame)))
        parts = in_threads(work, blocks, engine.parallel)
        order = np.concatenate([part[0] for part in parts])
        drawn = Drawn.joined([part[1] for part in parts])
        sorting = np.argsort(order, kind="stable")
        return order[sorting], drawn.taken(sorting, None, (0, 0))

    def _separated(self, band: Band, found: Detections) -> Separation:
        rows, drawn = self._drawn(band, found)
        with np.errstate(invalid="ignore", divide="ignore"):
            is_sure = drawn.fit.flux / drawn.fit.flux_err >= self.options.min_snr
        kept = np.flatnonzero(is_sure)
        found = found.take(rows[kept])
        return self._answer({"": band}, {"": found}, {"": drawn.numbered(kept)})[""]

    def _answer(
        self, bands: dict[str, Band], found: dict[str, Detections], drawn: dict[str, Drawn]
    ) -> dict[str, Separation]:
        """Return the same sources as each band has them."""
        stamps: list[SourceStamp] = []
        tables = {}
        labels = {}
        images = {name: own.models(name) for name, own in drawn.items()}
        for name, band in bands.items():
            own, models = drawn[name], images[name]
            labels[name] = segmentation_of(models, band.noise, band.usable, k=self.options.lit)
            tables[name] = self._table(band, found[name], own.fit, models, labels[name])
            shared, _ = with_shares(
                Sources(tables[name], None, tuple(models)), band.without_sky(), name
            )
            stamps += shared.stamps
        place_by_data(tables, bands, images)
        answers = {}
        for name, band in bands.items():
            sources = Sources(_with_bands(tables, name), labels[name], tuple(stamps))
            answers[name] = Separation(
                sources,
                band.left([stamp for stamp in stamps if stamp.band == name]),
                layers={"BACKGROUND": band.level},
                metrics={
                    "noise ratio": band.sky.ratio,
                    **self._left(band, model_image(sources, band.frame.shape, name)),
                },
            )
        return answers

    def _left(self, band: Band, model: NDArray[np.float32]) -> dict[str, float]:
        """Return how many pixels have light that no source explains; warn where they are many."""
        left = unexplained(band.light, model, band.noise)[chunk_of(band.frame).own]
        count = np.count_nonzero(left)
        if count > _MANY:
            warnings.warn(
                f"{self.where(band.frame)}: {count} pixels have light that no "
                "source explains, such as galaxies far larger than the networks were trained on, "
                "nebulae, trails or spikes; sources on it are doubtful. The layer UNASSIGNED shows "
                "it, which is written where `[products] keep` has `unassigned`",
                AstrocleanWarning,
                stacklevel=2,
            )
        return {"pixels unexplained": Total.from_pixels(left)}

    def _table(
        self,
        band: Band,
        found: Detections,
        fit: AmplitudeFit,
        models: Sequence[SourceStamp],
        labels: NDArray[np.int32],
    ) -> QTable:
        calibration = self._calibration
        told = Found(
            found.x,
            found.y,
            calibration.star(found.star),
            calibration.detection(found.probability),
            calibration.blend(found.blend),
            found.radius,
        )
        fit = replace(fit, weight=np.where(band.usable, 1 / band.variance, 0.0))
        table = catalogue_of(told, models, fit, band.frame, labels)
        flux, error = (np.asarray(table[name].value) for name in ("flux", "flux_err"))
        blend, star = (np.asarray(table[name]) for name in ("blendedness", "star_probability"))
        # Significance is that of the noise; what profiles add is no doubt that there is light.
        table["snr"][:] = flux / (calibration.error_scale * error)
        table["flux_err"][:] = calibration.flux_error(error, flux, blend, star) * table["flux"].unit
        return table


def _with_bands(tables: dict[str, Any], name: str) -> Any:
    """Return the catalogue of a band with the fluxes of all."""
    table = tables[name].copy()
    if len(tables) > 1:
        for band, other in tables.items():
            for column in ("flux", "flux_err"):
                info = other[column].info
                table[f"{column}_{band}"] = other[column]
                table[f"{column}_{band}"].info.description = f"{info.description}, band {band}"
                table[f"{column}_{band}"].info.meta = dict(info.meta)
    return table
