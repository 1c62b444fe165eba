"""Frames with known truth, as tests of stages need them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits
from astropy.nddata import StdDevUncertainty
from astropy.wcs import WCS

from astroclean.core.image.detector import DETECTOR_KEYWORDS
from astroclean.core.image.frame import Frame
from astroclean.core.psf.psf import Psf
from astroclean.simulate import exposure as simulated

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["frame_digest", "synthetic_frame", "synthetic_truth"]


def synthetic_truth(
    *, seed: int = 0, shape: tuple[int, int] = (96, 130)
) -> simulated.SimulatedExposure:
    """Return a small simulated exposure with its truth."""
    return simulated.simulate_exposure(seed=seed, shape=shape, cosmic_rays=12, stars=15)


def synthetic_frame(
    *, seed: int = 0, shape: tuple[int, int] = (96, 130), flagged: bool = True
) -> Frame:
    """Return a frame of stars, galaxies and contaminants, with everything a stage may need.

    Parameters
    ----------
    seed : int
        The same seed gives the same frame.
    shape : (int, int)
        (ny, nx) in pixels.
    flagged : bool
        Whether the contaminants' truth is in the flags; a corner is NaN in any case.

    Returns
    -------
    Frame
        In adu, with uncertainty, PSF, WCS, and the detector's gain, read noise and saturation.
    """
    truth = synthetic_truth(seed=seed, shape=shape)
    data = truth.data.astype(np.float32)
    data[:3, :4] = np.nan
    variance = np.maximum(truth.clean, 1) / simulated.GAIN
    variance += (simulated.READ_NOISE / simulated.GAIN) ** 2
    header = fits.Header()
    values = {
        "instrument": "synthetic",
        "gain": simulated.GAIN,
        "read_noise": simulated.READ_NOISE,
        "saturation": simulated.SATURATION,
        "pixel_scale": simulated.PIXEL_SCALE,
    }
    for name, value in values.items():
        header[DETECTOR_KEYWORDS[name]] = value
    return Frame(
        data,
        unit="adu",
        uncertainty=StdDevUncertainty(np.sqrt(variance).astype(np.float32)),
        flags=truth.truth if flagged else np.zeros(shape, dtype=np.uint32),
        wcs=_wcs(shape),
        meta=header,
        psf=Psf.gaussian(fwhm_pixels=simulated.FWHM),
        frame_id=f"synthetic {seed}",
    )


def _wcs(shape: tuple[int, int]) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval = 150.1, 2.2
    wcs.wcs.crpix = shape[1] / 2, shape[0] / 2
    wcs.wcs.cdelt = -simulated.PIXEL_SCALE / 3600, simulated.PIXEL_SCALE / 3600
    wcs.wcs.cunit = "deg", "deg"
    wcs.wcs.set()
    return wcs


def frame_digest(frame: Frame) -> tuple[bytes, ...]:
    """Return the bytes of everything in a frame that a stage must not modify in place.

    Its history is not among them: a result has one entry more; nor its WCS, of which a pickled copy
    may differ in the last digit.
    """
    parts: list[NDArray[np.generic]] = [frame.data, frame.flags, np.asarray(frame.mask)]
    if frame.uncertainty is not None:
        parts.append(frame.uncertainty.array)
    if frame.psf is not None:
        parts += [frame.psf.stamps, frame.psf.fine]
        parts += [] if frame.psf.positions is None else [frame.psf.positions]
    text = repr(frame.meta)
    if frame.sources is not None:
        table, labels = frame.sources.table, frame.sources.segmentation
        parts += [np.asarray(table[name]) for name in table.colnames]
        stamps = frame.sources.stamps
        parts += [stamp.data for stamp in stamps]
        parts += [] if labels is None else [labels]
        text += repr((table.colnames, table.meta, [(s.origin, s.band) for s in stamps]))
    return (*(np.ascontiguousarray(part).tobytes() for part in parts), text.encode())
