"""Cheap stages: each answer can be told by looking at the input."""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from astropy.table import QTable
from astropy.units import beam, electron, mJy, pix, second
from pydantic import Field

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frameset import FrameSet
from astroclean.core.image.grid import Grid
from astroclean.core.image.layer import BACKGROUND, Layer, LayerSpec
from astroclean.core.psf.psf import Psf
from astroclean.core.run_cache import cached_for_run
from astroclean.core.sources.shares import with_shares
from astroclean.core.sources.sources import Sources, SourceStamp
from astroclean.core.stage.kinds.calibrate import Calibrator
from astroclean.core.stage.kinds.deblend import MODEL, Deblender
from astroclean.core.stage.kinds.deconvolve import Deconvolver
from astroclean.core.stage.kinds.mask import Masker
from astroclean.core.stage.kinds.remove import SourceRemover
from astroclean.core.stage.kinds.screen import Screener
from astroclean.core.stage.kinds.superres import SuperResolver
from astroclean.core.stage.needs import Needs
from astroclean.core.stage.options import StageOptions
from astroclean.core.stage.resources import ImageResource  # noqa: TC001 - read by pydantic
from astroclean.core.stage.results import (
    Calibration,
    Deconvolution,
    Mask,
    Removal,
    Separation,
    Upsampling,
)
from astroclean.core.stage.results import Score as ScoreAnswer
from astroclean.core.stage.scope import Scope
from astroclean.inference.cards.card import load_card
from astroclean.inference.cards.weights import find_weights
from astroclean.inference.engines.engine import open_engine
from astroclean.inference.tiles.predictor import Predictor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

_HIT = np.uint32(MaskPlane.COSMIC_RAY)


class ScoreOptions(StageOptions):
    """Settings of :class:`Score`."""

    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Mean probability above which an exposure is rejected (no unit)."""


class Score(Screener):
    """The probability is the header card TOYPROB."""

    Options = ScoreOptions

    def score(self, frame: Frame) -> ScoreAnswer:
        """Return what the header says."""
        return ScoreAnswer(float(frame.meta.get("TOYPROB", 0)), self.options.threshold)


class LocalScore(Score):
    """The same, and it need not see the whole frame."""

    def scope(self, frame: Frame) -> Scope:
        """Return a pixel."""
        return Scope(0)


class BrightOptions(StageOptions):
    """Settings of :class:`Bright`."""

    level: Annotated[float, Field(gt=0)] = 1000.0
    """Pixels above it are flagged, in the unit of the frame."""
    map: ImageResource | None = None
    """Image whose non-zero pixels are flagged too."""
    delay: Annotated[float, Field(ge=0)] = 0.0
    """How long a frame takes, in seconds."""


class Bright(Masker):
    """Flags COSMIC_RAY above a level; the probability is 1 there and 0 elsewhere."""

    sets = MaskPlane.COSMIC_RAY
    Options = BrightOptions

    def find(self, frame: Frame) -> Mask:
        """Return the bright pixels and those of the map."""
        time.sleep(self.options.delay)
        found = frame.data > self.options.level
        if self.options.map is not None:
            found = found | (self.options.map.image_for(frame) != 0)
        sky = np.full(frame.shape, np.nanmedian(frame.data), np.float32)
        return Mask(found * _HIT, {"CR": found.astype(np.float32)}, layers={"background": sky})

    def layers(self) -> tuple[LayerSpec, ...]:
        """Return the sky, beside the probabilities."""
        return (*super().layers(), BACKGROUND)


class LocalBright(Bright):
    """The same without the sky, so that it need not see the whole frame."""

    def scope(self, frame: Frame) -> Scope:
        """Return a pixel."""
        return Scope(0)

    def find(self, frame: Frame) -> Mask:
        """Return the bright pixels."""
        return replace(super().find(frame), layers={})


def _misbehave(kind: str) -> None:
    """Do what no plugin should do."""
    if kind == "os._exit":
        os._exit(9)
    if kind in {"SIGKILL", "SIGSEGV", "SIGABRT"}:
        os.kill(os.getpid(), signal.Signals[kind])
    if kind == "SystemExit":
        sys.exit("the toy gives up")
    if kind == "warning":
        warnings.warn("the toy is uneasy", UserWarning, stacklevel=1)
    faults = {"KeyError": KeyError("toy"), "AssertionError": AssertionError("toy is false")}
    faults["TypeError"] = TypeError("toy has no length")
    if kind in faults:
        raise faults[kind]


class Fault(Masker):
    """Finds nothing, and does what the header card TOYFAULT says."""

    sets = MaskPlane.USER_0

    def find(self, frame: Frame) -> Mask:
        """Return no flag, or never return."""
        kind = frame.meta.get("TOYFAULT", "")
        _misbehave(kind)
        if kind == "contract":
            return Mask(np.full(frame.shape, _HIT))
        if kind == "shape":
            return Mask(np.zeros((1, 1), np.uint32))
        return Mask(np.zeros(frame.shape, np.uint32))


class Pair(Masker):
    """Flags USER_1 where both bands of a set are above 1000."""

    sets = MaskPlane.USER_1
    accepts = frozenset({"set"})

    def needs(self) -> Needs:
        """Return two bands."""
        return Needs(bands=("g", "r"))

    def scope(self, frame: Frame) -> Scope:
        """Return a pixel."""
        return Scope(0)

    def find(self, frames: FrameSet) -> dict[str, Mask]:  # type: ignore[override]
        """Return the same flags for each band."""
        both = (frames["g"].data > 1000) & (frames["r"].data > 1000)
        return {band: Mask(both * np.uint32(MaskPlane.USER_1)) for band in frames}


class Same(Masker):
    """Flags USER_1 in each band above 1000, whatever pixels the others have."""

    sets = MaskPlane.USER_1
    accepts = frozenset({"set"})

    def needs(self) -> Needs:
        """Return two bands, which need not be aligned."""
        return Needs(bands=("g", "r"), aligned=False)

    def find(self, frames: FrameSet) -> dict[str, Mask]:  # type: ignore[override]
        """Return the flags of each band."""
        flags = {b: (frames[b].data > 1000) * np.uint32(MaskPlane.USER_1) for b in frames}
        return {band: Mask(found) for band, found in flags.items()}


class Map(Masker):
    """Finds nothing; gives the layer ``BINNED``, of pixels half as fine with half their size."""

    sets = MaskPlane.USER_0

    def layers(self) -> tuple[LayerSpec, ...]:
        """Return the layer."""
        binned = LayerSpec("BINNED", "sums of 2 x 2 pixels", unit="electron", own_grid=True)
        return (*super().layers(), binned)

    def find(self, frame: Frame) -> Mask:
        """Return no flag, and the sums of the frame's middle."""
        ny, nx = (side // 2 - 2 for side in frame.shape)
        middle = frame.data[2 : 2 + 2 * ny, 2 : 2 + 2 * nx]
        sums = middle.reshape(ny, 2, nx, 2).sum(axis=(1, 3))
        wcs = None
        if frame.wcs is not None:
            wcs = frame.wcs.deepcopy()
            wcs.wcs.crpix = (wcs.wcs.crpix - 2.5) / 2 + 0.5
            wcs.wcs.cdelt = wcs.wcs.cdelt * 2
        grid = Grid((ny, nx), wcs, (2.0, 2.0), 2.0)
        psf = Psf.gaussian(fwhm_pixels=2.0)
        layer = Layer(sums, grid, None, np.full(sums.shape, 4, np.float32), psf)
        return Mask(np.zeros(frame.shape, np.uint32), layers={"BINNED": layer})


class PsfWidth(Masker):
    """Finds nothing; the metric ``fwhm`` tells how wide the PSF of the frame is."""

    sets = MaskPlane.USER_0

    def needs(self) -> Needs:
        """Return the PSF."""
        return Needs(frozenset({"psf"}))

    def find(self, frame: Frame) -> Mask:
        """Return no flag."""
        none = np.zeros(frame.shape, np.uint32)
        return Mask(none, metrics={"fwhm": frame.psf.fwhm_pixels})


class SourceMask(Masker):
    """Flags USER_2 where the segmentation of an earlier stage has a source."""

    sets = MaskPlane.USER_2

    def needs(self) -> Needs:
        """Return the segmentation."""
        return Needs(frozenset({"sources", "segmentation"}))

    def scope(self, frame: Frame) -> Scope:
        """Return a pixel."""
        return Scope(0)

    def find(self, frame: Frame) -> Mask:
        """Return the pixels of the sources."""
        return Mask((frame.sources.segmentation > 0) * np.uint32(MaskPlane.USER_2))


class Fill(SourceRemover):
    """Replaces rejected pixels by the median of the others."""

    reason = MaskPlane.INTERPOLATED

    def remove(self, frame: Frame) -> Removal:
        """Return the median where the mask is."""
        good = frame.data[~frame.mask & np.isfinite(frame.data)]
        where = frame.mask & bool(good.size)
        value = np.float32(np.median(good)) if good.size else np.float32(0)
        return Removal(np.where(where, value, frame.data), where)


class RestoreOptions(StageOptions):
    """Settings of :class:`Restore`."""

    card: str = ""
    """Path of a network's card (TOML), its weights beside it."""


@cached_for_run(maxsize=4)
def _predictor(card: str) -> Predictor:
    """Open a network once a run."""
    told = load_card(Path(card))
    return Predictor(told, open_engine(told, find_weights(told)), tile=40)


class Restore(SourceRemover):
    """Takes what a network answers for every pixel; it may be given a frame in bands."""

    reason = MaskPlane.INPAINTED
    Options = RestoreOptions

    def scope(self, frame: Frame) -> Scope:
        """Return the network's."""
        return _predictor(self.options.card).scope(frame)

    def remove(self, frame: Frame) -> Removal:
        """Return the answer for all finite pixels."""
        network = _predictor(self.options.card)
        answer = network.predict(frame, measured=self.measured(frame))["answer"][0]
        where = np.isfinite(frame.data)
        return Removal(np.where(where, answer, frame.data), where)


class Peaks(Deblender):
    """Takes the brightest pixel for the only source, one pixel large."""

    def separate(self, frame: Frame) -> Separation:
        """Return a catalogue of one row."""
        y, x = np.unravel_index(np.nanargmax(frame.data), frame.shape)
        table = QTable({"id": [1], "x": [float(x)], "y": [float(y)]})
        table["flux"] = [float(frame.data[y, x])] * frame.unit
        labels = np.zeros(frame.shape, np.int32)
        labels[y, x] = 1
        stamp = SourceStamp(1, (int(y), int(x)), frame.data[y : y + 1, x : x + 1])
        return Separation(Sources(table, labels, (stamp,)))


_SPREAD = np.outer([1, 2, 1], [1, 2, 1]).astype(np.float32) / 4


class Lights(Deblender):
    """Takes each peak above 1000 for a source that lights its neighbours, too, in all bands.

    Peaks are those of the first band; the frame is shared out among them.
    """

    accepts = frozenset({"frame", "set"})

    def scope(self, frame: Frame) -> Scope:
        """Return the rows that the light of a source reaches, and that of its neighbours."""
        return Scope(8)

    def layers(self) -> tuple[LayerSpec, ...]:
        """Return the sum of the models, beside what is left."""
        return (*super().layers(), MODEL)

    def separate(  # type: ignore[override]
        self, given: Frame | FrameSet
    ) -> Separation | dict[str, Separation]:
        """Return the sources with models and shares, and what is left of each band."""
        if isinstance(given, FrameSet):
            sources, left = self._sources(dict(given.frames)), {}
            for band in given:
                sources, left[band] = with_shares(sources, given[band], band)
            return {band: Separation(sources, left[band]) for band in given}
        return Separation(*with_shares(self._sources({"": given}), given))

    def _sources(self, frames: dict[str, Frame]) -> Sources:
        from scipy.ndimage import maximum_filter

        first = next(iter(frames.values()))
        is_peak = (first.data > 1000) & (first.data == maximum_filter(first.data, 3))
        places = np.argwhere(is_peak)
        y, x = places.T
        table = QTable({"id": np.arange(1, len(y) + 1), "x": x + 0.0, "y": y + 0.0})
        for name, value in (("a", 2.0), ("b", 1.0), ("theta", 30.0), ("star_probability", 0.9)):
            table[name] = np.full(len(y), value)
        labels = np.zeros(first.shape, np.int32)
        labels[y, x] = table["id"]
        stamps = tuple(
            SourceStamp(number, (row - 1, column - 1), frame.data[row, column] * _SPREAD, band)
            for band, frame in frames.items()
            for number, (row, column) in enumerate(places.tolist(), 1)
        )
        return Sources(table, labels, stamps)


class Sharpen(Deconvolver):
    """Doubles the image; the PSF of the result is 1.5 pixels wide."""

    def deconvolve(self, frame: Frame) -> Deconvolution:
        """Return twice the frame, with an uncertainty of a tenth of it."""
        deviation = np.abs(0.2 * frame.data)
        return Deconvolution(2 * frame.data, Psf.gaussian(fwhm_pixels=1.5), deviation)


class CrispOptions(StageOptions):
    """Settings of :class:`Crisp`."""

    fault: str = ""
    """What is wrong: ``psf`` is that of the chunk, ``halo`` is too small, ``place`` is not told,
    rows are in ``seconds``."""


class Crisp(Deconvolver):
    """Takes an image, and its PSF, for twice itself less its mean over 3 x 3 pixels.

    A pixel above 1000 that is the greatest of its neighbours is a knot. Its place is half a pixel
    further up, so that it lies between rows.
    """

    Options = CrispOptions
    tables = frozenset({"knots"})
    y_columns = ("y", "top")

    def scope(self, frame: Frame) -> Scope:
        """Return the rows of the mean, of the neighbours, and the one that the place is off."""
        return Scope(0 if self.options.fault == "halo" else 3)

    def layers(self) -> tuple[LayerSpec, ...]:
        """Return what was added, beside the image."""
        return (*super().layers(), LayerSpec("ADDED", "what the image has more", keep="added"))

    def deconvolve(self, frame: Frame) -> Deconvolution:
        """Return the image with an uncertainty of a tenth of it."""
        sharp = _crisp(frame.data)
        added = Layer(sharp - frame.data, uncertainty=np.abs(0.3 * sharp), psf=frame.psf)
        stamps = np.stack([_crisp(np.pad(stamp, 1)) for stamp in frame.psf.stamps])
        psf = Psf(stamps, frame.psf.positions, computed=True)
        if self.options.fault == "psf":
            psf = Psf.gaussian(fwhm_pixels=1 + len(sharp) / 1000)
        return Deconvolution(
            sharp,
            psf,
            np.abs(0.1 * sharp),
            layers={"ADDED": added},
            tables={"knots": self._knots(sharp, frame)},
        )

    def _knots(self, image: NDArray[np.float32], frame: Frame) -> QTable:
        from scipy.ndimage import maximum_filter

        y, x = np.nonzero((image > 1000) & (image == maximum_filter(image, 3)))
        brightest = np.argsort(-image[y, x], kind="stable")
        y, x = y[brightest], x[brightest]
        table = QTable({"x": x + 0.0, "y": (y + 0.5) * pix, "top": y + 1})
        table["peak"] = image[y, x] * frame.unit
        table["y"].info.description = "middle between two rows"
        if self.options.fault == "place":
            table.remove_column("y")
        if self.options.fault == "seconds":
            table["y"] = table["y"].value * second
        return table


class Listing(Crisp):
    """The same; its table is of the whole frame."""

    y_columns = ()


def _crisp(image: NDArray[Any]) -> NDArray[Any]:
    from scipy.ndimage import convolve

    kernel = np.full((3, 3), -1 / 9)
    kernel[1, 1] += 2
    return convolve(image.astype(np.float64), kernel, mode="nearest").astype(image.dtype)


class Finer(SuperResolver):
    """Makes four pixels of each, with a quarter of its flux."""

    def upsample(self, frame: Frame) -> Upsampling:
        """Return the frame on a grid twice as fine."""
        finer = np.kron(frame.data, np.full((2, 2), 0.25, np.float32))
        support = np.ones(finer.shape, np.float32)
        deviation = np.full(finer.shape, 3, np.float32)
        return Upsampling(finer, Psf.gaussian(fwhm_pixels=3.0), deviation, support=support)


class RawOptions(StageOptions):
    """Settings of :class:`Raw`."""

    border: Annotated[int, Field(ge=0)] = 3
    """Rows and columns that are cut off at the beginning, in pixels."""


class Raw(Calibrator):
    """Takes 100 off, and makes electrons of what is left, two of each data number."""

    sets = MaskPlane.BAD_PIXEL
    Options = RawOptions

    def calibrate(self, frame: Frame) -> Calibration:
        """Return the pixels inside the border; what was below 92 is bad."""
        inside = (slice(self.options.border, None),) * 2
        values = frame.data[inside] - 100
        return Calibration(
            2 * values,
            electron,
            np.full(values.shape, 5.0, np.float32),
            (values < -8) * np.uint32(MaskPlane.BAD_PIXEL),
            inside,
            detector={"gain": 1.0, "saturation": None},
            cards={"BIASSEC": None, "OVERSCAN": (100.0, "taken off")},
        )


class Blend(SuperResolver):
    """The first band on pixels of 0.4, as high as the means of all bands together; mJy/beam."""

    accepts = frozenset({"frame", "set"})

    def needs(self) -> Needs:
        """Return what is needed of bands on grids of their own."""
        return Needs(frozenset({"psf"}), aligned=False)

    def upsample(self, given: Frame | FrameSet) -> Upsampling:  # type: ignore[override]
        """Return the image from the second pixel of the first band on."""
        frames = list(given.frames.values()) if isinstance(given, FrameSet) else [given]
        ny, nx = (int(2.5 * (side - 2)) for side in frames[0].shape)
        data = np.full((ny, nx), sum(float(f.data.mean()) for f in frames), np.float32)
        wcs = frames[0].wcs.deepcopy()
        wcs.wcs.crpix = (wcs.wcs.crpix - 1.5) / 0.4 + 0.5
        wcs.wcs.cdelt = wcs.wcs.cdelt * 0.4
        return Upsampling(
            data,
            Psf.gaussian(fwhm_pixels=8.0),
            0.1 * data,
            grid=Grid((ny, nx), wcs, (1.0, 1.0), 0.4),
            support=np.ones((ny, nx), np.float32),
            sources=Sources(QTable({"id": [1], "x": [3.0], "y": [4.0]})),
            unit=mJy / beam,
        )
