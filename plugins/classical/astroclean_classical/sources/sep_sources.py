"""`sep`: detection and deblending of SExtractor, through the library sep."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from astroclean.core.image.layer import BACKGROUND, LayerSpec
from astroclean.core.length import IN_PIXELS
from astroclean.core.stage.kinds.deblend import Deblender
from astroclean.core.stage.options import StageOptions
from astroclean.core.stage.results import Separation
from astroclean.core.stage.scope import WHOLE, Scope
from astroclean.errors import StageError
from astroclean_classical.sources.catalogue import make_sources, no_sources, rows_around
from astroclean_classical.sources.detection_noise import detection_noise, no_uncertainty

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = ["SepDeblender", "SepOptions"]

# Those of SExtractor's FLUX_AUTO: search within 6 radii, sum within 2.5, never below 1.75 pixels.
_KRON_SEARCH, _KRON_FACTOR, _KRON_LEAST = 6.0, 2.5, 1.75
_LARGEST_LIMIT = 2**31 - 1
# What the option `noise` believes.
_SOURCES: dict[str, Literal["auto", "uncertainty", "measured"]] = {
    "auto": "auto",
    "uncertainty": "uncertainty",
    "map": "measured",
    "global": "measured",
}


class SepOptions(StageOptions):
    """Settings of :class:`SepDeblender`; names and defaults of sep."""

    thresh: Annotated[float, Field(gt=0, le=1000)] = 1.5
    """Detection threshold of the smoothed image in standard deviations of the noise of a pixel, as
    DETECT_THRESH of SExtractor."""
    minarea: Annotated[int, Field(ge=1, le=100000)] = 5
    """Fewest pixels above the threshold."""
    deblend_nthresh: Annotated[int, Field(ge=1, le=1024)] = 32
    """Levels of deblending."""
    deblend_cont: Annotated[float, Field(ge=0, le=1)] = 0.005
    """Least share of the flux that makes a branch a source (no unit); 1 switches it off."""
    clean: bool = True
    """Whether doubtful detections near bright sources are dropped."""
    clean_param: Annotated[float, Field(ge=0.1, le=10)] = 1.0
    """Strength of that (no unit); lower drops more."""
    smooth: bool = True
    """Whether detection is on the image smoothed with the 3 by 3 kernel of SExtractor."""
    noise: Literal["auto", "uncertainty", "map", "global"] = "auto"
    """Noise for the threshold: the frame's uncertainty, the scatter of the background around each
    pixel, or over the whole frame. ``auto``: the uncertainty where the frame has one that agrees
    with the scatter within a factor of two, else the larger of both; without one the map."""
    bw: Annotated[int, Field(ge=4, le=10000), IN_PIXELS] = 64
    """Width of the boxes for the background, in pixels."""
    bh: Annotated[int, Field(ge=4, le=10000), IN_PIXELS] = 64
    """Height of the boxes, in pixels."""
    fw: Annotated[int, Field(ge=1, le=101)] = 3
    """Width of the median filter over boxes, in boxes."""
    fh: Annotated[int, Field(ge=1, le=101)] = 3
    """Height of that filter, in boxes."""


class SepDeblender(Deblender):
    """Finds and deblends sources (Bertin & Arnouts 1996; Barbary 2016); product BACKGROUND.

    A frame that does not fit into memory is searched by rows of boxes.
    """

    Options = SepOptions

    def check_header(self, frame: Frame) -> None:
        """Raise where the uncertainty is to be the noise and there is none."""
        if self.options.noise == "uncertainty" and frame.uncertainty is None:
            raise no_uncertainty(self.where(frame))

    def scope(self, frame: Frame) -> Scope:
        """Return rows of boxes: of a chunk, the sky differs by the waves of a spline's end.

        All of the frame, where noise is one number, or what the frame says of it is to be judged.
        """
        options = self.options
        judged = options.noise != "map" and frame.uncertainty is not None
        if options.noise == "global" or judged:
            return WHOLE
        return Scope(rows_around(options.bh, options.fh), step=options.bh)

    def layers(self) -> tuple[LayerSpec, ...]:
        """Return the sky, beside the layers of the kind."""
        return (*super().layers(), BACKGROUND)

    def separate(self, frame: Frame) -> Separation:
        """Return catalogue and segmentation.

        Parameters
        ----------
        frame : Frame
            Any unit; rejected pixels are not read. Not modified.

        Returns
        -------
        Separation
            Columns as in :data:`astroclean_classical.sources.catalogue.COLUMNS`; NaN for the shape
            and Kron flux of a source without a valid ellipse. Product ``BACKGROUND`` in the unit of
            the frame; metric ``background rms``.

        Warns
        -----
        SuspectWarning
            The uncertainty of the frame differs from the scatter by more than a factor of two.

        Raises
        ------
        StageError
            ``noise = "uncertainty"`` and the frame has none, or one object is beyond sep's limits.
        """
        import sep  # noqa: PLC0415 - heavy

        bad = ~frame.usable
        if bad.all():
            return Separation(no_sources(frame))
        data = np.where(bad, np.float32(0), frame.data)
        options = self.options
        background = sep.Background(
            data, mask=bad, bw=options.bw, bh=options.bh, fw=options.fw, fh=options.fh
        )
        level = background.back()
        layers = {"BACKGROUND": level}
        scatter = background.rms()
        if options.noise == "global":
            scatter = np.full(frame.shape, background.globalrms, dtype=np.float32)
        noise, bad = detection_noise(
            frame, scatter, bad, source=_SOURCES[options.noise], stage=self.name
        )
        metrics = {"background rms": float(background.globalrms)}
        if noise is None:
            return Separation(no_sources(frame), layers=layers, metrics=metrics)
        flat = np.where(bad, np.float32(0), data - level)
        found, segmentation = self._extract(frame, flat, noise, bad)
        if not len(found):
            return Separation(no_sources(frame), layers=layers, metrics=metrics)
        columns = _measured(flat, noise, bad, found, segmentation)
        sources = make_sources(frame, columns, segmentation)
        return Separation(sources, layers=layers, metrics=metrics)

    def _extract(
        self,
        frame: Frame,
        flat: NDArray[np.float32],
        noise: NDArray[np.float32],
        bad: NDArray[np.bool_],
    ) -> tuple[NDArray[Any], NDArray[np.int32]]:
        import sep  # noqa: PLC0415 - heavy

        options = self.options
        settings = {
            "thresh": options.thresh,
            "err": noise,
            "mask": bad,
            "minarea": options.minarea,
            # SExtractor's meaning of the threshold: the filtered image against the noise of a
            # pixel. sep's default, "matched", counts in the noise after filtering, which with
            # this kernel is 2.7 times less, so that 1.5 finds a thousand peaks in a million
            # pixels of noise.
            "filter_type": "conv",
            "deblend_nthresh": options.deblend_nthresh,
            "deblend_cont": options.deblend_cont,
            "clean": options.clean,
            "clean_param": options.clean_param,
            "segmentation_map": True,
        }
        if not options.smooth:
            settings["filter_kernel"] = None
        pixels, branches = sep.get_extract_pixstack(), sep.get_sub_object_limit()
        try:
            return _extract_with_room(flat, settings)
        except Exception as error:  # sep raises plain Exceptions
            raise StageError(
                f"sep gave up: {error}",
                where=self.where(frame),
                remedy="Raise `thresh` or `minarea`, or lower `deblend_nthresh`.",
            ) from error
        finally:
            sep.set_extract_pixstack(pixels)
            sep.set_sub_object_limit(branches)


def _extract_with_room(
    flat: NDArray[np.float32], settings: dict[str, Any]
) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Run sep, with larger buffers as long as it asks for them."""
    import sep  # noqa: PLC0415 - heavy

    while True:
        try:
            found, segmentation = sep.extract(flat, **settings)
        except Exception as error:  # sep raises plain Exceptions
            text = str(error)
            if "pixel buffer full" in text and sep.get_extract_pixstack() < flat.size:
                sep.set_extract_pixstack(min(4 * sep.get_extract_pixstack(), 2 * flat.size))
            elif "deblending overflow" in text and sep.get_sub_object_limit() < flat.size:
                sep.set_sub_object_limit(min(4 * sep.get_sub_object_limit(), _LARGEST_LIMIT))
            else:
                raise
        else:
            return found, segmentation


def _measured(
    flat: NDArray[np.float32],
    noise: NDArray[np.float32],
    bad: NDArray[np.bool_],
    found: NDArray[Any],
    segmentation: NDArray[np.int32],
) -> dict[str, Any]:
    """Return the columns of the catalogue."""
    from scipy.ndimage import sum_labels  # noqa: PLC0415 - heavy

    label = np.arange(1, len(found) + 1)
    variance = sum_labels(noise.astype(np.float64) ** 2, segmentation, label)
    auto, auto_err, kron, flags = _auto_photometry(flat, noise, bad, found, segmentation)
    valid = _has_ellipse(found)
    ellipse = {name: np.where(valid, found[name], np.nan) for name in ("a", "b", "theta")}
    return {
        "id": label,
        # A source without a centroid is where its peak is.
        "x": np.where(valid, found["x"], found["xpeak"]),
        "y": np.where(valid, found["y"], found["ypeak"]),
        "flux": found["flux"],
        "flux_err": np.sqrt(variance),
        "flux_auto": auto,
        "flux_auto_err": auto_err,
        "peak": found["peak"],
        "a": ellipse["a"],
        "b": ellipse["b"],
        "theta": np.degrees(ellipse["theta"]),
        "fwhm": 2 * np.sqrt(math.log(2) * (ellipse["a"] ** 2 + ellipse["b"] ** 2)),
        "kron_radius": kron,
        "npix": found["npix"],
        "flag": found["flag"].astype(np.int32) | flags,
    }


def _auto_photometry(
    flat: NDArray[np.float32],
    noise: NDArray[np.float32],
    bad: NDArray[np.bool_],
    found: NDArray[Any],
    segmentation: NDArray[np.int32],
) -> tuple[NDArray[Any], ...]:
    """Return FLUX_AUTO, its error, the Kron radius and flags, much as sep's documentation does.

    Of a source without an ellipse the first three are NaN; the flags say that it is singular.
    """
    import sep  # noqa: PLC0415 - heavy

    valid = _has_ellipse(found)
    label = np.arange(1, len(found) + 1, dtype=np.int32)[valid]
    usable = found[valid]
    # sep refuses ellipses without width and angles beyond a right one by rounding.
    a, b = np.maximum(usable["a"], 1e-3), np.maximum(usable["b"], 1e-3)
    theta = np.clip(usable["theta"], -math.pi / 2, math.pi / 2)
    x, y = usable["x"], usable["y"]
    context: dict[str, Any] = {"mask": bad, "segmap": segmentation, "seg_id": label}
    kron, flags = sep.kron_radius(flat, x, y, a, b, theta, _KRON_SEARCH, **context)
    kron = np.nan_to_num(kron)
    flux, error, more = sep.sum_ellipse(
        flat,
        x,
        y,
        a,
        b,
        theta,
        np.maximum(_KRON_FACTOR * kron, 1e-3),
        err=noise,
        subpix=5,
        **context,
    )
    # The documentation of sep compares the radius before the factor, by which apertures just above
    # the limit shrink from 4.4 to 1.75 pixels and lose half of a star.
    small = _KRON_FACTOR * kron * np.sqrt(a * b) < _KRON_LEAST
    if small.any():
        circle = {**context, "seg_id": label[small]}
        flux[small], error[small], more[small] = sep.sum_circle(
            flat, x[small], y[small], _KRON_LEAST, err=noise, subpix=5, **circle
        )
    measured = np.full((3, len(found)), np.nan)
    measured[:, valid] = flux, error, kron
    joined = np.full(len(found), sep.OBJ_SINGU | sep.APER_NONPOSITIVE, dtype=np.int32)
    joined[valid] = flags.astype(np.int32) | more.astype(np.int32)
    return *measured, joined


def _has_ellipse(found: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which sources have a centroid and an ellipse; light below the sky may have none."""
    shape = np.stack([found[name].astype(float) for name in ("x", "y", "a", "b", "theta")])
    valid: NDArray[np.bool_] = np.isfinite(shape).all(axis=0)
    return valid
