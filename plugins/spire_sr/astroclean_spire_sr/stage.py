"""`spire-sr`: maps of Herschel/SPIRE as SCUBA-2 would see the sky at 450 um."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from astroclean.core.image.frame import Frame
from astroclean.core.image.grid import Grid
from astroclean.core.psf.beam import MJY_PER_BEAM, TARGET_FWHM_ARCSEC, flux_unit_per_beam
from astroclean.core.psf.psf import Psf
from astroclean.core.psf.sharpness import tell_of_sharpness
from astroclean.core.psf.spire import BEAMS, bands_of, map_scale, seen_width
from astroclean.core.sources.given import sources_of_file
from astroclean.core.sources.places import PlaceOptions
from astroclean.core.sources.sources import Sources
from astroclean.core.stage.kinds.superres import SuperResolver
from astroclean.core.stage.needs import Needs
from astroclean.core.stage.resources import TableResource  # noqa: TC001 - read by pydantic
from astroclean.core.stage.results import Upsampling
from astroclean.errors import AstrocleanWarning, ConfigurationError, StageError
from astroclean.inference.cards.beside import beside
from astroclean.inference.cards.card import named_card
from astroclean.inference.stage_network import EngineOptions, StageNetwork
from astroclean_spire_sr.bands import (
    COARSE,
    FINE,
    PER_COARSE,
    BandMap,
    coarse_grid,
    on_grid,
)
from astroclean_spire_sr.calibration import Calibration
from astroclean_spire_sr.catalogue import catalogue_of, forced_catalogue
from astroclean_spire_sr.detect import detections_of
from astroclean_spire_sr.noise import map_noise
from astroclean_spire_sr.planes import BANDS, first_guess, planes_of
from astroclean_spire_sr.plausible import (
    check_maps,
    light_ratios,
    tell_of_light,
    tell_of_noise,
)
from astroclean_spire_sr.predict import predict
from astroclean_spire_sr.talk.upsampling import talk_upsampling
from astroclean_spire_sr.talk.weights import NAME as TALK_NAME
from astroclean_spire_sr.talk.weights import block_side, talk_card

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from astroclean.core.image.frameset import FrameSet
    from astroclean.core.image.layer import LayerSpec
    from astroclean.core.stage.needs import Identity
    from astroclean_spire_sr.predict import Prediction

__all__ = ["SpireOptions", "SpireSuperResolver"]

_CARDS = Path(__file__).parent / "cards"
_FIRST = ("250",)
_LIKE = 0.12
"""By how much the FWHM of a beam may differ from that of the training's."""
_WIDEST = 0.45
"""Side of a pixel over the FWHM: wider ones do not tell what is between them."""


class SpireOptions(PlaceOptions, EngineOptions):
    """Settings of :class:`SpireSuperResolver`."""

    variant: Literal["default", "talk"] = "default"
    """``default``: all bands, with errors and support. ``talk``: the network of the talk
    (Lauritsen et al. 2021), from 250 um alone; it tells no errors and no support, and its catalogue
    is that of peaks above 2 mJy a beam. ``astroclean train spire-sr-talk`` makes its weights."""
    weights: str = "astroclean"
    """Weights: ``astroclean``, or the path of a card that a training of the variant left."""
    guess: bool = True
    """Whether the network is shown a joint Richardson-Lucy estimate; without, it takes a third less
    time."""
    positions: TableResource | None = None
    """A catalogue with ``ra``, ``dec`` (degrees), or ``x``, ``y`` (pixels at 250 um): fluxes are
    measured at these places, and no others; none: sources are looked for."""


class SpireSuperResolver(SuperResolver):
    """The sky at 450 um, seen by a beam of 7.9 arcsec, from maps at 250, 350 and 500 um.

    After Lauritsen et al. (2021). Any band but 250 um may be missing; 24 um helps. Light that is
    smooth over more than some arcmin, such as cirrus, is not in the result.
    """

    Options = SpireOptions
    accepts: ClassVar[frozenset[str]] = frozenset({"frame", "set"})

    def __init__(
        self, options: SpireOptions | None = None, *, identity: Identity | None = None
    ) -> None:
        super().__init__(options, identity=identity)
        is_talk = self.options.variant == "talk"
        if is_talk and self.options.positions is not None:
            raise ConfigurationError(
                "positions: the variant 'talk' measures no fluxes at given places"
            )
        weights = self.options.weights
        card = talk_card(_CARDS, weights) if is_talk else named_card(_CARDS, "spire-sr", weights)
        self._network = StageNetwork(card, self.options)
        if not is_talk and self._network.card.name == TALK_NAME:
            raise ConfigurationError(
                f"weights: those of {TALK_NAME} are of the variant 'talk'; set variant = \"talk\""
            )
        # Pixels along a block of the variant `talk`; None: the default.
        self._talk_side = block_side(self._network.card) if is_talk else None
        self.calibration, self._digest = beside(card, Calibration)

    def needs(self) -> Needs:
        """Return the WCS, and the PSF where it is told; each band has pixels of its own."""
        return Needs(frozenset({"wcs"}), wishes=frozenset({"psf"}), aligned=False)

    def layers(self) -> tuple[LayerSpec, ...]:
        """Return the map and its support; the variant `talk` tells no support."""
        found = super().layers()
        return found if self._talk_side is None else found[:1]

    def fingerprint(self) -> dict[str, str]:
        """Return weights, engine, precision and calibration."""
        return {**self._network.fingerprint(), "calibration": self._digest}

    def upsample(self, frame: Any) -> Upsampling:
        """Return the sky at 450 um.

        Parameters
        ----------
        frame : Frame or FrameSet
            Bands ``250``, ``350``, ``500``, ``24`` (or ``PSW``, ``PMW``, ``PLW``, ``MIPS24``), or
            the map at 250 um alone. Flux density per beam, pixel or solid angle, with WCS. A band
            without PSF has the Gaussian beam of its header (BMAJ), or that of its name; a frame
            alone, whose name nobody tells, must have a PSF, or a header that names its band.
            Pixels that are not finite were not observed. Not modified.

        Returns
        -------
        Upsampling
            mJy a beam of 7.9 arcsec on pixels of 1 arcsec, NaN where 250 um was not observed. Of
            the variant ``talk``: see `astroclean_spire_sr.talk.upsampling`. Of the default:
            ``uncertainty``; ``support``: share of the square of a pixel's value that is not its
            error's; ``sources``: see `astroclean_spire_sr.catalogue.COLUMNS`. Metrics ``sources``,
            ``noise 250`` (mJy a beam), ``beam BAND``: FWHM by which a map was read (arcsec), and
            ``light BAND``: light of the result, seen by the beam of a band and in the colour of a
            mean galaxy, over that of its map.

        Raises
        ------
        StageError
            There is no 250 um, or beam, pixels or noise are not those of SPIRE.

        Warns
        -----
        SuspectWarning
            The result does not shine as the maps do, pixels are brighter than what the network was
            shown, or errors are not the noise.
        AstrocleanWarning
            No noise is told, or a band does not see the field. Of the variant ``talk`` also: there
            are other bands, or values are beyond those that it can see or tell.
        """
        frames = self._by_band(frame)
        first = frames["250"]
        grid = coarse_grid(Grid.from_frame(first))
        if self._talk_side is not None:
            return self._of_talk(frames, grid.with_step(1 / PER_COARSE), self._talk_side)
        maps = {name: self._map(name, one, grid) for name, one in frames.items()}
        check_maps(maps, self.where(first))
        maps = {name: one for name, one in maps.items() if one.known.any()}
        guess = first_guess(maps) if self.options.guess else None
        found = predict(planes_of(maps, guess), self._network.engine)
        fine = grid.with_step(1 / PER_COARSE)
        return self._answer(first, found, maps, fine)

    def _by_band(self, given: Frame | FrameSet) -> dict[str, Frame]:
        where = f"stage '{self.name}'"
        frames = bands_of(given, _FIRST if isinstance(given, Frame) else BANDS, where=where)
        if next(iter(frames)) not in _FIRST:
            raise StageError(
                "the first band must be that at 250 um: the result goes to its file",
                where=where,
                received=", ".join(frames),
                remedy="Put it first in `[bands]`.",
            )
        return frames

    def _of_talk(self, frames: Mapping[str, Frame], fine: Grid, side: int) -> Upsampling:
        """Return what the network of the talk makes of the map at 250 um."""
        first = frames["250"]
        band = self._map("250", first, fine, pixel=FINE)
        where = self.where(first)
        check_maps({"250": band}, where)
        if len(frames) > 1:
            warnings.warn(
                f"{where}: the variant 'talk' uses 250 um alone; other bands change nothing",
                AstrocleanWarning,
                stacklevel=3,
            )
        return talk_upsampling(band, fine, self._network.engine, side=side, where=where)

    def _answer(
        self, first: Frame, found: Prediction, maps: Mapping[str, BandMap], fine: Grid
    ) -> Upsampling:
        repeated = np.ones((PER_COARSE, PER_COARSE), dtype=np.float32)
        seen = np.kron(maps["250"].known, repeated).astype(bool)
        error = np.kron(self.calibration.pixel_error(found.error), repeated)
        image = np.where(seen, found.image, np.nan).astype(np.float32)
        square = np.where(seen, found.image, 0) ** 2
        table, metrics = self._table(first, found, maps, fine)
        metrics["noise 250"] = maps["250"].usual_noise
        ratios = light_ratios(found.image, maps)
        tell_of_light(ratios, self.where(first))
        metrics |= {f"light {name}": ratio for name, ratio in ratios.items()}
        metrics |= {f"beam {name}": one.beam for name, one in maps.items()}
        return Upsampling(
            image,
            Psf.gaussian(fwhm_pixels=TARGET_FWHM_ARCSEC / FINE),
            uncertainty=np.where(seen, error, np.nan).astype(np.float32),
            unit=MJY_PER_BEAM,
            grid=fine,
            support=(square / (square + error**2)).astype(np.float32),
            sources=Sources(table, grid=fine).with_sky(fine.wcs),
            metrics=metrics,
        )

    def _table(
        self, first: Frame, found: Prediction, maps: Mapping[str, BandMap], fine: Grid
    ) -> tuple[Any, dict[str, float]]:
        positions = self.options.positions
        if positions is None:
            sources = detections_of(
                found,
                maps["250"].known,
                threshold=self.calibration.threshold,
                separation=self.calibration.separation,
            )
            table = catalogue_of(sources, maps, self.calibration)
            return table, {"sources": float(len(table))}
        where = self.where(first)
        given = sources_of_file(positions, first, self.options, where=where, by_id=False)
        own, step = given.sources.table, fine.step * PER_COARSE
        x, y = ((np.asarray(own[name], dtype=float) + 0.5) / step - 0.5 for name in ("x", "y"))
        table = forced_catalogue(x, y, maps)
        table["id"] = np.asarray(own["id"])
        outside = float(len(given.outside))
        return table, {"sources": float(len(table)), "positions outside": outside}

    def _map(self, name: str, frame: Frame, grid: Grid, *, pixel: float = COARSE) -> BandMap:
        """Return a band in mJy a beam on the common grid, or on one of other pixels (arcsec)."""
        where = self.where(frame)
        own = Grid.from_frame(frame)
        scale = map_scale(frame)
        stated = frame.meta.get("BMAJ")
        width = 3600 * float(stated) if isinstance(stated, (int, float)) else BEAMS[name]
        psf = frame.psf or Psf.gaussian(fwhm_pixels=width / scale)
        _check_sampling(name, psf, scale, where)
        tell_of_sharpness(frame, psf, where)
        factor = flux_unit_per_beam(frame.unit, psf, scale)
        usable = np.isfinite(frame.data) & ~frame.mask
        data = np.where(usable, frame.data * np.float32(factor), np.nan)
        noise = self._noise(frame, data, factor, where)
        band = on_grid(data, noise, own=own, grid=grid, pixel=pixel)
        return replace(band, beam=psf.fwhm_pixels * scale)

    def _noise(
        self, frame: Frame, data: NDArray[np.floating], factor: float, where: str
    ) -> NDArray[np.float64]:
        """Return the noise of each pixel, mJy a beam."""
        measured = map_noise(data)
        if frame.uncertainty is None:
            warnings.warn(
                f"{where}: no uncertainty is told; noise of {measured:.3g} mJy a beam was measured "
                "from pixel to pixel, the same everywhere",
                AstrocleanWarning,
                stacklevel=2,
            )
            return np.full(data.shape, measured)
        told = np.asarray(frame.uncertainty.array, dtype=np.float64) * factor
        usable = np.isfinite(told) & (told > 0)
        if usable.any() and np.isfinite(measured):
            tell_of_noise(float(np.median(told[usable])), measured, where)
        return np.where(usable, told, measured)


def _check_sampling(name: str, psf: Psf, scale: float, where: str) -> None:
    """Raise where pixels or beam are not those of a band."""
    beam = BEAMS[name]
    # Pixels first: those that are too wide also widen the beam.
    if scale > _WIDEST * beam:
        raise StageError(
            f"pixels must be at most {_WIDEST * beam:.1f} arcsec wide at {name} um, to tell what "
            f"is between them; the beam has a FWHM of {beam:g} arcsec",
            where=where,
            received=f"{scale:.4g} arcsec, from the WCS",
            remedy="Is the WCS right, and the band? Maps of the archive have finer pixels.",
        )
    if not 1 - _LIKE <= psf.fwhm_pixels * scale / beam <= 1 + _LIKE:
        raise StageError(
            f"the beam is not that of a map at {name} um, which has a FWHM of {beam:g} arcsec",
            where=where,
            received=seen_width(psf.fwhm_pixels, scale),
            remedy="Is it another band, or the pixel scale wrong? Give the map, and its own beam "
            "by `[psf]`.",
        )
