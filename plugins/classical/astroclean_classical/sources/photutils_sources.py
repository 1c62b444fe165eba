"""`photutils`: detection and deblending with photutils.segmentation."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from astroclean.core.image.layer import BACKGROUND, LayerSpec
from astroclean.core.length import IN_PIXELS
from astroclean.core.stage.kinds.deblend import Deblender
from astroclean.core.stage.options import StageOptions
from astroclean.core.stage.results import Separation
from astroclean.core.stage.scope import WHOLE, Scope
from astroclean.errors import AstrocleanWarning
from astroclean_classical.sources.catalogue import make_sources, no_sources, rows_around
from astroclean_classical.sources.detection_noise import detection_noise

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = ["PhotutilsDeblender", "PhotutilsOptions"]

logger = logging.getLogger(__name__)

# Attribute of photutils' SourceCatalog for each column.
_ATTRIBUTES = {
    "id": "label",
    "x": "x_centroid",
    "y": "y_centroid",
    "flux": "segment_flux",
    "flux_err": "segment_flux_err",
    "flux_auto": "kron_flux",
    "flux_auto_err": "kron_flux_err",
    "peak": "max_value",
    "a": "semimajor_axis",
    "b": "semiminor_axis",
    "theta": "orientation",
    "fwhm": "fwhm",
    "kron_radius": "kron_radius",
    "npix": "area",
}


class PhotutilsOptions(StageOptions):
    """Settings of :class:`PhotutilsDeblender`."""

    thresh: Annotated[float, Field(gt=0, le=1000)] = 1.5
    """Detection threshold in standard deviations of the noise."""
    minarea: Annotated[int, Field(ge=1, le=100000)] = 5
    """Fewest connected pixels above the threshold."""
    deblend: bool = True
    """Whether blended sources are separated."""
    deblend_nthresh: Annotated[int, Field(ge=2, le=1024)] = 32
    """Levels of deblending."""
    deblend_cont: Annotated[float, Field(ge=0, le=1)] = 0.001
    """Least share of the flux that makes a peak a source (no unit)."""
    smooth_fwhm: Annotated[float, Field(ge=0, le=50), IN_PIXELS] = 2.0
    """FWHM of the Gaussian with which the image is smoothed for detection, in pixels; 0: none."""
    box: Annotated[int, Field(ge=4, le=10000), IN_PIXELS] = 64
    """Side of the boxes for the background, in pixels."""
    filter_boxes: Annotated[int, Field(ge=1, le=101)] = 3
    """Side of the median filter over boxes, in boxes; made odd."""


class PhotutilsDeblender(Deblender):
    """Finds and deblends sources with photutils; product BACKGROUND.

    Noise is the frame's uncertainty where it has one, else the scatter of the background around
    each pixel. A frame that does not fit into memory is searched by rows of boxes.
    """

    Options = PhotutilsOptions

    def scope(self, frame: Frame) -> Scope:
        """Return rows of boxes; all of the frame where its uncertainty is to be judged."""
        if frame.uncertainty is not None:
            return WHOLE
        return Scope(
            rows_around(self.options.box, self.options.filter_boxes), step=self.options.box
        )

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
            Columns as in :data:`astroclean_classical.sources.catalogue.COLUMNS` but ``flag``; layer
            ``BACKGROUND`` in the unit of the frame; metrics ``background rms`` (median) and
            ``library warnings``.
        """
        bad = ~frame.usable
        if bad.all():
            return Separation(no_sources(frame))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            separation = self._separated(frame, bad)
        ours = [item for item in caught if issubclass(item.category, AstrocleanWarning)]
        for item in ours:
            warnings.warn(str(item.message), item.category, stacklevel=2)
        theirs = [item for item in caught if item not in ours]
        for item in theirs:
            logger.info("%s, stage '%s': %s", frame.frame_id, self.name, item.message)
        metrics = {**separation.metrics, "library warnings": float(len(theirs))}
        return Separation(separation.sources, layers=separation.layers, metrics=metrics)

    def _separated(self, frame: Frame, bad: NDArray[np.bool_]) -> Separation:
        data = np.where(bad, np.float32(0), frame.data)
        level, scatter = self._background(data, bad)
        layers = {"BACKGROUND": level}
        metrics = {"background rms": float(np.median(scatter))}
        noise, bad = detection_noise(frame, scatter, bad, stage=self.name)
        flat = np.where(bad, np.float32(0), data - level)
        segments = None if noise is None else self._segments(flat, noise, bad)
        if noise is None or segments is None:
            return Separation(no_sources(frame), layers=layers, metrics=metrics)
        columns = _measured(flat, noise, bad, segments)
        labels = segments.data.astype(np.int32)
        sources = make_sources(frame, columns, labels)
        return Separation(sources, layers=layers, metrics=metrics)

    def _background(
        self, data: NDArray[np.float32], bad: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        from photutils.background import Background2D  # noqa: PLC0415 - heavy

        boxes = tuple(min(self.options.box, side) for side in data.shape)
        # Boxes with half of their pixels masked are still better than extrapolation; 100 never
        # leaves the frame without any box.
        background = Background2D(
            data.astype(np.float64),  # squares of large values are beyond float32
            boxes,
            mask=bad,
            filter_size=1,
            exclude_percentile=100.0,
        )
        level, scatter = (
            _map_of(np.asarray(mesh), boxes, data.shape, filter_boxes=self.options.filter_boxes | 1)
            for mesh in (background.background_mesh, background.background_rms_mesh)
        )
        # A spline may pass below all of its points.
        return level, np.maximum(scatter, np.float32(background.background_rms_mesh.min()))

    def _segments(
        self, flat: NDArray[np.float32], noise: NDArray[np.float32], bad: NDArray[np.bool_]
    ) -> Any:
        """Return photutils' segmentation image, or None where nothing is found."""
        from photutils.segmentation import deblend_sources, detect_sources  # noqa: PLC0415 - heavy

        options = self.options
        image, limit = flat, options.thresh * noise
        if options.smooth_fwhm > 0:
            # As in SExtractor, the threshold is that of the noise before smoothing.
            image = _smoothed(flat, options.smooth_fwhm)
        segments = detect_sources(image, limit, options.minarea, mask=bad)
        if segments is None or not options.deblend:
            return segments
        return deblend_sources(
            image,
            segments,
            options.minarea,
            n_levels=options.deblend_nthresh,
            contrast=options.deblend_cont,
            progress_bar=False,
        )


def _map_of(
    mesh: NDArray[Any], box: tuple[int, ...], shape: tuple[int, ...], *, filter_boxes: int
) -> NDArray[np.float32]:
    """Return a value for each pixel from those of the boxes, filtered, also beyond the outermost.

    photutils' own map is flat there, clipped to the range of the boxes, and its median filter draws
    the outermost boxes inwards. A sloping sky then leaves more than half a box of slope at the
    borders, and sources that are none. Boxes that carry the slope on are put around the mesh first.
    """
    from scipy.ndimage import median_filter, zoom  # noqa: PLC0415 - heavy

    reach = filter_boxes // 2
    wider = mesh.astype(np.float64)
    for turns in range(4):  # each of the four sides
        wider = np.rot90(_carried_on(np.rot90(wider, turns), reach + 1), -turns)
    smooth = median_filter(wider, size=filter_boxes, mode="nearest")
    kept = slice(reach, -reach) if reach else slice(None)
    fine = zoom(smooth[kept, kept], box, order=3, mode="reflect", grid_mode=True)
    values = fine[box[0] : box[0] + shape[0], box[1] : box[1] + shape[1]]
    return np.ascontiguousarray(values, dtype=np.float32)


def _carried_on(mesh: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return a mesh with rows before its first; steps between rows go on, or shrink as they did.

    A straight slope stays one and the halo of a galaxy levels off; where the steps change their
    sign or grow, there is no trend that could be trusted to go on growing.
    """
    for _ in range(count):
        if len(mesh) <= 2:  # noqa: PLR2004 - two steps tell whether they shrink
            mesh = np.insert(mesh, 0, mesh[0], axis=0)
            continue
        last, before = mesh[0] - mesh[1], mesh[1] - mesh[2]
        share = np.divide(last, before, out=np.zeros_like(last), where=before != 0)
        mesh = np.insert(mesh, 0, mesh[0] + last * np.clip(share, 0, 1), axis=0)
    return mesh


def _smoothed(flat: NDArray[np.float32], fwhm: float) -> NDArray[np.float32]:
    from astropy.convolution import Gaussian2DKernel, convolve  # noqa: PLC0415 - heavy
    from astropy.stats import gaussian_fwhm_to_sigma  # noqa: PLC0415 - heavy

    kernel = Gaussian2DKernel(fwhm * gaussian_fwhm_to_sigma)
    smooth: NDArray[np.float32] = convolve(flat, kernel, boundary="extend").astype(np.float32)
    return smooth


def _measured(
    flat: NDArray[np.float32],
    noise: NDArray[np.float32],
    bad: NDArray[np.bool_],
    segments: Any,
) -> dict[str, Any]:
    """Return the columns of the catalogue as plain numbers."""
    from photutils.segmentation import SourceCatalog  # noqa: PLC0415 - heavy

    known = np.where(bad, np.float32(0), noise)
    catalogue = SourceCatalog(flat, segments, error=known, mask=bad)
    columns: dict[str, Any] = {}
    for name, attribute in _ATTRIBUTES.items():
        values = getattr(catalogue, attribute)
        columns[name] = np.atleast_1d(getattr(values, "value", values))
    # A source whose light adds up to nothing has no centroid: it is where its peak is.
    for name, peak in (("x", catalogue.max_value_xindex), ("y", catalogue.max_value_yindex)):
        columns[name] = np.where(np.isfinite(columns[name]), columns[name], np.atleast_1d(peak))
    # A photutils angle may lie between 90 and 180 degrees: the same axis.
    columns["theta"] = (columns["theta"] + 90.0) % 180.0 - 90.0
    return columns
