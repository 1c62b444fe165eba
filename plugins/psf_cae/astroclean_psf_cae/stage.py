"""`psf-cae`: deconvolution by fits, filters and a network that weighs them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from astroclean.core.image.fluxes import flux_scale
from astroclean.core.image.layer import LayerSpec
from astroclean.core.parallel import in_threads
from astroclean.core.stage.kinds.deconvolve import Deconvolver
from astroclean.core.stage.metrics import Share, Total, counted
from astroclean.core.stage.results import Deconvolution
from astroclean.core.stage.scope import chunk_of
from astroclean.errors import AstrocleanWarning, SuspectWarning
from astroclean.inference.cards.beside import beside
from astroclean.inference.cards.card import named_card
from astroclean.inference.stage_network import EngineOptions, StageNetwork
from astroclean.tiling.background import MeshSettings
from astroclean.tiling.blocks import BlockGrid, is_near, is_own
from astroclean.tiling.sky import SkySurvey
from astroclean_psf_cae.calibration import Calibration
from astroclean_psf_cae.filters import target_psf
from astroclean_psf_cae.fits import fit_sources
from astroclean_psf_cae.moments import SourceMoments, measured_moments, moments_table
from astroclean_psf_cae.pixels import Pixels, sky_of_stamp, targets_of
from astroclean_psf_cae.sharpen import Sharpener, reblurred

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.stage.needs import Identity
    from astroclean.core.stage.scope import Scope
    from astroclean.inference.engines.engine import Engine
    from astroclean.tiling.blocks import Block
    from astroclean.tiling.sky import Sky
    from astroclean_psf_cae.fits import Fits
    from astroclean_psf_cae.region import Region

__all__ = ["PsfCae", "PsfCaeOptions"]

_CARDS = Path(__file__).parent / "cards"
_BLOCKS = BlockGrid(core=512, around=96)
_NEAR = 48
"""Pixels around a core whose sources are fitted with it."""
_EDGE = 40
"""Pixels around a core whose result is convolved with the PSF again."""
_SEEN = 5.0
"""Errors above which a pixel of the result shows something."""
_SUPPORTED = 0.5
_BEYOND = 4.0
_MANY = 20
"""Pixels that show what the data do not support, from which it is told."""


class PsfCaeOptions(EngineOptions):
    """Settings of :class:`PsfCae`."""

    weights: str = "astroclean"
    """Weights: ``astroclean``, or the path of a card."""
    fit: bool = True
    """Whether sources are fitted first: those of the catalogue; of a frame without any that is a
    stamp (128 pixels at most), the one in it. Without fits it is faster, and faint sources are
    less well drawn."""
    turns: Literal[1, 8] = 1
    """Orientations of the image over which results are averaged."""
    draws: Annotated[int, Field(ge=0, le=100)] = 2
    """How often the result is made anew with other noise, for the layer ``SUPPORT``; each takes
    nearly as long as the result. 0: no such layer."""
    box: Annotated[int, Field(ge=8, le=4096)] = 64
    """Side of the cells in which sky and noise are measured, in pixels."""


@dataclass(frozen=True, eq=False)
class _Part:
    """What one block gives."""

    block: Block
    image: NDArray[np.float32]
    error: NDArray[np.float32]
    chi: NDArray[np.float32]
    support: NDArray[np.float32] | None
    moments: SourceMoments
    """Of the block's own sources."""


class PsfCae(Deconvolver):
    """Brings an image to a round, narrow PSF.

    Sources of the catalogue are fitted under the PSF; what the fits leave is sharpened by linear
    filters that keep no trace of the PSF's shape, and a network says at each pixel what to take of
    fit and filters. After the autoencoder of Sreejith et al. (2023, arXiv:2310.19605), which is
    there as ``weights`` of the variant ``paper``.
    """

    Options = PsfCaeOptions
    tables = frozenset({"moments"})

    def __init__(
        self, options: PsfCaeOptions | None = None, *, identity: Identity | None = None
    ) -> None:
        super().__init__(options, identity=identity)
        card = named_card(_CARDS, "psf-cae", self.options.weights)
        self._network = StageNetwork(card, self.options)
        self.calibration, self._calibration_digest = beside(card, Calibration)

    @property
    def engine(self) -> Engine:
        """The network."""
        return self._network.engine

    def scope(self, frame: Frame) -> Scope:  # noqa: ARG002 - the same for every frame
        """Return a block and what is read around it; sky and noise are those of the whole frame."""
        return _BLOCKS.scope(SkySurvey(MeshSettings(box=self.options.box)))

    def layers(self) -> tuple[LayerSpec, ...]:
        """Return how well the result explains the frame, and how well the frame supports it."""
        chi = LayerSpec(
            "CHI", "the frame less the result convolved with its PSF, over the noise", unit=""
        )
        support = LayerSpec(
            "SUPPORT",
            "1 where the result comes again under other noise, 0 where it is chance or prior",
            unit="",
        )
        return (*super().layers(), chi, *((support,) if self.options.draws else ()))

    def fingerprint(self) -> dict[str, str]:
        """Return weights, engine, precision and calibration."""
        return {**self._network.fingerprint(), "calibration": self._calibration_digest}

    def deconvolve(self, frame: Frame) -> Deconvolution:
        """Return the image at the target PSF.

        Parameters
        ----------
        frame : Frame
            Any unit, with a PSF; the sky need not be subtracted, and stays. Not modified.

        Returns
        -------
        Deconvolution
            ``psf`` is a Gaussian of FWHM 2 pixels; ``uncertainty`` that of each pixel, NaN where
            the frame has none to be used. Layers ``CHI`` and ``SUPPORT``; table ``moments``.
            Metrics ``sources fitted``, ``noise ratio`` (measured over stated), ``misfit`` (share of
            pixels where ``CHI`` is beyond 4), ``pixels not supported``.

        Warns
        -----
        SuspectWarning
            The frame states another noise than it has, or does not look like the result under
            its PSF.
        AstrocleanWarning
            The frame is not like those that the network was trained on, or its result shows what
            the data do not support.
        """
        self._network.warn_outside_domain(frame)
        pixels = self._pixels(frame)
        sharpener = Sharpener(self.engine, self.options.turns)
        chunk = chunk_of(frame)

        def work(block: Block) -> _Part:
            return self._part(pixels, block, sharpener)

        parts = in_threads(work, list(_BLOCKS.blocks(frame.shape, chunk)), self.engine.parallel)
        return self._joined(frame, pixels, parts)

    def _pixels(self, frame: Frame) -> Pixels:
        """Return the frame without sky, and its noise."""
        if sky := sky_of_stamp(frame):
            return sky
        measured: Sky = self.measured(frame)
        if measured.stated is not None and not measured.is_believed:
            warnings.warn(
                f"{frame.frame_id}, stage '{self.name}': the uncertainty of the frame is not its "
                f"noise: that of the sky is {measured.ratio:.3g} times as large. The larger "
                "counts. Correct the ERR or VAR of the file.",
                SuspectWarning,
                stacklevel=3,
            )
        return Pixels.of_frame(frame, measured)

    def _part(self, pixels: Pixels, block: Block, sharpener: Sharpener) -> _Part:
        region, noise = pixels.region(block.read)
        core = tuple(
            slice(part.start - read.start, part.stop - read.start)
            for part, read in zip(block.core, block.read, strict=True)
        )
        fits = self._fitted(pixels.frame, region, core, noise)
        wide = tuple(
            slice(max(part.start - _EDGE, 0), min(part.stop + _EDGE, side))
            for part, side in zip(core, region.shape, strict=True)
        )
        sharp = sharpener.region(region, fits, wide)
        inner = tuple(
            slice(part.start - outer.start, part.stop - outer.start)
            for part, outer in zip(core, wide, strict=True)
        )
        whole = np.zeros_like(region.data)
        whole[wide] = sharp.image
        chi = (region.data - reblurred(whole, region.bank)) * np.sqrt(region.weights)
        error = self.calibration.pixel * sharp.error[inner]
        support = None
        if self.options.draws:
            y, x = (
                o + c for o, c in zip(region.origin, chunk_of(pixels.frame).origin, strict=True)
            )
            seeds = [(draw, y, x) for draw in range(self.options.draws)]
            drawn = sharpener.drawn_anew(region, fits, core, seeds=seeds)
            support = _support(sharp.image[inner], error, drawn)
        return _Part(
            block,
            noise * sharp.image[inner],
            noise * error,
            np.where(region.valid, chi, np.nan)[core].astype(np.float32),
            support,
            self._moments(pixels.frame, region, fits, whole, noise, block),
        )

    def _fitted(
        self, frame: Frame, region: Region, core: tuple[slice, ...], noise: float
    ) -> Fits | None:
        """Return the fits to the sources in and near a core."""
        if not self.options.fit:
            return None
        targets = targets_of(frame, region, noise, snr=self.calibration.snr)
        if targets is None:
            return None
        y, x = targets.places.T
        near = np.flatnonzero(is_near(y, core[0], _NEAR) & is_near(x, core[1], _NEAR))
        return fit_sources(region, targets.taken(near)) if len(near) else None

    def _moments(
        self,
        frame: Frame,
        region: Region,
        fits: Fits | None,
        image: NDArray[np.float32],
        noise: float,
        block: Block,
    ) -> SourceMoments:
        if fits is None:
            return SourceMoments.none()
        told = measured_moments(region, fits, image, noise, self.calibration)
        ny, nx = frame.shape
        own = is_own(told.columns["y"], block.core[0], ny) & is_own(
            told.columns["x"], block.core[1], nx
        )
        return told.taken(np.flatnonzero(own))

    def _joined(self, frame: Frame, pixels: Pixels, parts: list[_Part]) -> Deconvolution:
        image = np.array(frame.data, dtype=np.float32)
        error, chi, support = (np.full(frame.shape, np.nan, np.float32) for _ in range(3))
        for part in parts:
            core = part.block.core
            image[core] = pixels.level[core] + part.image
            error[core] = part.error
            chi[core] = part.chi
            if part.support is not None:
                support[core] = part.support
        usable = pixels.usable
        image[~np.isfinite(frame.data)] = np.nan
        error[~usable] = np.nan
        own = chunk_of(frame).own
        moments = SourceMoments.joined([part.moments for part in parts])
        rows = slice(*own.indices(frame.shape[0])[:2])
        inside = is_own(moments.columns["y"], rows, frame.shape[0])
        moments = moments.taken(np.flatnonzero(inside))
        ids = np.ones(1, int) if frame.sources is None else np.asarray(frame.sources.table["id"])
        layers: dict[str, Any] = {"CHI": chi}
        metrics: dict[str, float] = {
            "sources fitted": Total(len(moments)),
            "noise ratio": pixels.ratio,
            "misfit": _misfit(chi[own]),
        }
        if self.options.draws:
            layers["SUPPORT"] = support
            metrics["pixels not supported"] = self._unsupported(
                frame, pixels, image, error, support
            )
        return Deconvolution(
            image,
            target_psf(),
            error,
            layers=layers,
            metrics=metrics,
            tables={"moments": moments_table(ids, moments, flux_scale(frame))},
        )

    def _unsupported(
        self,
        frame: Frame,
        pixels: Pixels,
        image: NDArray[np.float32],
        error: NDArray[np.float32],
        support: NDArray[np.float32],
    ) -> float:
        """Return how many pixels show what the data do not support; warn where they are many."""
        with np.errstate(invalid="ignore"):
            shown = (image - pixels.level > _SEEN * error) & (support < _SUPPORTED)
        count = counted(frame, shown)
        if count > _MANY:
            warnings.warn(
                f"{frame.frame_id}, stage '{self.name}': {count:.0f} pixels of the result are "
                "bright and would not be so under other noise: do not believe their structure. "
                "Layer SUPPORT tells where",
                AstrocleanWarning,
                stacklevel=4,
            )
        return count


def _misfit(chi: NDArray[np.float32]) -> Share:
    """Return the share of pixels that the result does not explain."""
    known = np.isfinite(chi)
    beyond = np.abs(chi[known]) > _BEYOND
    return Share(int(np.count_nonzero(beyond)), int(np.count_nonzero(known)))


def _support(
    image: NDArray[np.float32], error: NDArray[np.float32], drawn: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the part of the power of a result that comes again under other noise.

    What does not stand out from its error has no power of its own.
    """
    change = np.mean((drawn - image) ** 2, axis=0) + error**2
    power = image**2
    return np.asarray(power / np.maximum(power + change, np.finfo(np.float32).tiny), np.float32)
