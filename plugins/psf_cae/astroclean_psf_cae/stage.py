"""`psf-cae`: deconvolution by fits, filters and a network that weighs them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from astroclean.core.image.fluxes import flux_scale
from astroclean.core.image.layer import LayerSpec
from astroclean.core.length import IN_PIXELS
from astroclean.core.parallel import in_threads
from astroclean.core.psf.target import target_psf
from astroclean.core.stage.kinds.deconvolve import Deconvolver
from astroclean.core.stage.metrics import Share, Total, counted
from astroclean.core.stage.results import Deconvolution
from astroclean.core.stage.scope import Scope, chunk_of, is_own
from astroclean.errors import AstrocleanWarning, StageError, SuspectWarning
from astroclean.inference.cards.beside import beside
from astroclean.inference.cards.card import named_card
from astroclean.inference.stage_network import EngineOptions, StageNetwork
from astroclean.tiling.background import MeshSettings
from astroclean.tiling.blocks import BlockGrid
from astroclean.tiling.sky import SkySurvey
from astroclean_psf_cae.calibration import Calibration
from astroclean_psf_cae.moments import SourceMoments, moments_table
from astroclean_psf_cae.paper.frames import paper_image
from astroclean_psf_cae.paper.weights import paper_card, read_settings
from astroclean_psf_cae.parts import Part, made_part
from astroclean_psf_cae.pixels import Pixels, sky_of_stamp, targets_of
from astroclean_psf_cae.sharpen import Sharpener

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.stage.needs import Identity
    from astroclean.inference.engines.engine import Engine
    from astroclean.tiling.blocks import Block
    from astroclean.tiling.sky import Sky
    from astroclean_psf_cae.paper.channels import ChannelSettings

__all__ = ["PsfCae", "PsfCaeOptions"]

_CARDS = Path(__file__).parent / "cards"
_BLOCKS = BlockGrid(core=512, around=96)
_SEEN = 5.0
"""Errors above which a pixel of the result shows something."""
_SUPPORTED = 0.5
_BEYOND, _MISFIT = 4.0, 2e-3
"""Noise beyond which a pixel is not explained, and share of such pixels from which it is told."""
_MANY = 20
"""Pixels that show what the data do not support, from which it is told."""


class PsfCaeOptions(EngineOptions):
    """Settings of :class:`PsfCae`."""

    variant: Literal["residual", "paper"] = "residual"
    """``residual``: fits, filters and a network that weighs them. ``paper``: the autoencoder of the
    paper, a stamp around each source; its weights are not shipped, ``astroclean train
    psf-cae-paper`` makes them. It tells no errors and no support."""
    weights: str = "astroclean"
    """Weights: ``astroclean``, or the path of a card that a training of the variant left."""
    fit: bool = True
    """Whether sources are fitted first: those of the catalogue; of a frame without any that is a
    stamp (128 pixels at most), the one in it. Without fits it is faster, and faint sources are
    less well drawn."""
    turns: Literal[1, 8] = 1
    """Orientations of the image over which results are averaged."""
    draws: Annotated[int, Field(ge=0, le=100)] = 2
    """How often the result is made anew with other noise, for the layer ``SUPPORT``; each takes
    nearly as long as the result. 0: no such layer."""
    box: Annotated[int, Field(ge=8, le=4096), IN_PIXELS] = 64
    """Side of the cells in which sky and noise are measured, in pixels."""


class PsfCae(Deconvolver):
    """Brings an image to a round, narrow PSF.

    Sources of the catalogue are fitted under the PSF; what the fits leave is sharpened by linear
    filters that keep no trace of the PSF's shape, and a network says at each pixel what to take of
    fit and filters. After the autoencoder of Sreejith et al. (2023, arXiv:2310.19605), which is
    there as the variant ``paper``.
    """

    Options = PsfCaeOptions
    tables = frozenset({"moments"})
    y_columns = ("y",)

    def __init__(
        self, options: PsfCaeOptions | None = None, *, identity: Identity | None = None
    ) -> None:
        super().__init__(options, identity=identity)
        is_paper = self.options.variant == "paper"
        weights = self.options.weights
        card = paper_card(weights) if is_paper else named_card(_CARDS, "psf-cae", weights)
        self._channels = read_settings(card) if is_paper else None
        self._network = StageNetwork(card, self.options)
        self.calibration, self._calibration_digest = beside(card, Calibration)

    @property
    def engine(self) -> Engine:
        """The network."""
        return self._network.engine

    def scope(self, frame: Frame) -> Scope:  # noqa: ARG002 - the same for every frame
        """Return a block and what is read around it; sky and noise are those of the whole frame."""
        survey = SkySurvey(MeshSettings(box=self.options.box))
        return _BLOCKS.scope(survey) if self._channels is None else Scope(survey=survey)

    def layers(self) -> tuple[LayerSpec, ...]:
        """Return how well the result explains the frame, and how well the frame supports it."""
        if self._channels is not None:
            return super().layers()
        chi = LayerSpec(
            "CHI", "the frame less the result convolved with its PSF, over the noise", unit=""
        )
        support = LayerSpec(
            "SUPPORT",
            "1 where the result comes again under other noise, 0 where it is chance or prior; "
            "not given with draws = 0",
            unit="",
        )
        return (*super().layers(), chi, support)

    def fingerprint(self) -> dict[str, str]:
        """Return weights, engine, precision, calibration and, of the paper, its channels."""
        channels = {} if self._channels is None else {"channels": self._channels.model_dump_json()}
        return {
            **self._network.fingerprint(),
            "calibration": self._calibration_digest,
            **channels,
        }

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

        Raises
        ------
        StageError
            No usable pixel.

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
        if chunk_of(frame).shape == frame.shape and not pixels.usable.any():
            raise StageError("no usable pixel", where=self.where(frame))
        if self._channels is not None:
            return self._of_paper(pixels, self._channels)
        sharpener = Sharpener(self.engine, self.options.turns)
        chunk = chunk_of(frame)

        def work(block: Block) -> Part:
            return made_part(pixels, block, sharpener, self.calibration, self.options)

        parts = in_threads(work, list(_BLOCKS.blocks(frame.shape, chunk)), self.engine.parallel)
        return self._joined(frame, pixels, parts)

    def _of_paper(self, pixels: Pixels, channels: ChannelSettings) -> Deconvolution:
        """Return what the autoencoder of the paper makes of a frame."""
        frame = pixels.frame
        region, noise = pixels.region((slice(0, frame.shape[0]), slice(0, frame.shape[1])))
        targets = None
        if frame.sources is not None:
            targets = targets_of(frame, region, noise, snr=0.0)
        image = paper_image(self._answered, region, targets, channels)
        data = np.where(np.isfinite(frame.data), pixels.level + noise * image, np.nan)
        count = 1 if targets is None else len(targets)
        metrics = {"sources fitted": float(count), "noise ratio": pixels.ratio}
        return Deconvolution(data.astype(np.float32), target_psf(), metrics=metrics)

    def _answered(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        card = self._network.card
        answer = self.engine.infer({card.inputs[0].name: planes})
        return answer[card.outputs[0].name]

    def _pixels(self, frame: Frame) -> Pixels:
        """Return the frame without sky, and its noise."""
        if sky := sky_of_stamp(frame):
            return sky
        measured: Sky = self.measured(frame)
        measured.tell_of_noise(self.where(frame))
        return Pixels.of_frame(frame, measured)

    def _joined(self, frame: Frame, pixels: Pixels, parts: list[Part]) -> Deconvolution:
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
        ids = np.ones(1, int) if frame.sources is None else np.asarray(frame.sources.table["id"])
        layers: dict[str, Any] = {"CHI": chi}
        metrics: dict[str, float] = {
            "sources fitted": Total(int(np.count_nonzero(is_own(frame, moments.columns["y"])))),
            "noise ratio": pixels.ratio,
            "misfit": _misfit(chi[own]),
        }
        self._tell_of_misfit(frame, metrics["misfit"])
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

    def _tell_of_misfit(self, frame: Frame, share: float) -> None:
        if share > _MISFIT:
            warnings.warn(
                f"{self.where(frame)}: the result under the PSF is not the "
                f"frame: {100 * share:.2g} % of the pixels are off by more than {_BEYOND:g} times "
                "the noise. The PSF is wrong, or the noise is more than stated, or pixels are bad "
                "and not flagged. Layer CHI (`chi` of `[products] keep`) tells where: rings around "
                "stars mean the PSF",
                SuspectWarning,
                stacklevel=5,
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
                f"{self.where(frame)}: {count:.0f} pixels of the result are "
                "bright and would not be so under other noise: do not believe their structure. "
                "Layer SUPPORT (`support` of `[products] keep`) tells where",
                AstrocleanWarning,
                stacklevel=4,
            )
        return count


def _misfit(chi: NDArray[np.float32]) -> Share:
    """Return the share of pixels that the result does not explain."""
    known = np.isfinite(chi)
    beyond = np.abs(chi[known]) > _BEYOND
    return Share(int(np.count_nonzero(beyond)), int(np.count_nonzero(known)))
