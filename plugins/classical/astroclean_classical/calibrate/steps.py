"""The steps of a calibration by the functions of ccdproc, in double precision."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
from astropy.nddata import CCDData, StdDevUncertainty

from astroclean.core.image.uncertainty import deviation_of
from astroclean_classical.calibrate.overscan import mended_overscan, odd_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean_classical.calibrate.sections import Sections

__all__ = [
    "as_ccd",
    "corrected_for_flat",
    "deviation",
    "in_electrons",
    "levelled",
    "without_bias",
    "without_dark",
]


def as_ccd(frame: Frame, unit: Any = None) -> CCDData:
    """Return a frame for ccdproc: float64, without mask, WCS and header.

    ccdproc knows a mask alone; flags stay with the frame, and planes are added by what was found.
    """
    error = deviation_of(frame.uncertainty)
    return CCDData(
        frame.data.astype(np.float64),
        unit=frame.unit if unit is None else unit,
        uncertainty=None if error is None else StdDevUncertainty(error.astype(np.float64)),
    )


def levelled(ccd: CCDData, sections: Sections, *, degree: int | None) -> CCDData:
    """Return a raw image without the level of its overscan, trimmed.

    Lines whose overscan cannot be believed (`odd_lines`) have the level of their neighbours.

    Parameters
    ----------
    ccd : CCDData
        (ny, nx), raw. Not modified.
    sections : Sections
        Of it.
    degree : int or None
        Of the polynomial along the overscan; None: the median of each row.

    Returns
    -------
    CCDData
        Of ``sections.trimmed`` pixels.
    """
    from ccdproc import subtract_overscan, trim_image  # noqa: PLC0415 - heavy

    rows, columns = sections.trim
    if sections.overscan is not None:
        along = sections.overscan[0 if sections.axis == 1 else 1]
        # Rows without overscan are cut off first: ccdproc takes one level a row.
        part = (along, slice(None)) if sections.axis == 1 else (slice(None), along)
        cut: CCDData = ccd[part]
        odd = odd_lines(ccd.data, sections)
        overscan: CCDData = ccd[sections.overscan]
        if odd.any():
            overscan = CCDData(mended_overscan(ccd.data, sections, odd), unit=ccd.unit)
        ccd = subtract_overscan(
            cut,
            overscan=overscan,
            overscan_axis=sections.axis,
            median=True,
            model=_model(degree),
            add_keyword=False,
        )
        if sections.axis == 1:
            rows = slice(rows.start - along.start, rows.stop - along.start)
        else:
            columns = slice(columns.start - along.start, columns.stop - along.start)
    trimmed: CCDData = trim_image(ccd[rows, columns], add_keyword=False)
    return trimmed


def _model(degree: int | None) -> Any:
    from astropy.modeling.models import Chebyshev1D  # noqa: PLC0415 - heavy

    return None if degree is None else Chebyshev1D(degree)


def deviation(ccd: CCDData, *, gain: float, read_noise: float, more: float) -> NDArray[np.float64]:
    """Return the standard deviation of an image by `ccdproc.create_deviation`.

    Parameters
    ----------
    ccd : CCDData
        In data numbers, without the level of the camera. Not modified.
    gain : float
        Electrons a data number.
    read_noise : float
        Electrons.
    more : float
        Standard error that all pixels have beside it, in data numbers.

    Returns
    -------
    (ny, nx) float64
        In data numbers; below zero that of the read noise.
    """
    from ccdproc import create_deviation  # noqa: PLC0415 - heavy

    told = create_deviation(
        ccd,
        gain=gain * u.electron / ccd.unit,
        readnoise=read_noise * u.electron,
        disregard_nan=True,
        add_keyword=False,
    )
    error: NDArray[np.float64] = told.uncertainty.array
    return np.hypot(error, more) if more else error


def without_bias(ccd: CCDData, bias: CCDData) -> CCDData:
    """Return an image without bias (`ccdproc.subtract_bias`)."""
    from ccdproc import subtract_bias  # noqa: PLC0415 - heavy

    return _quiet(subtract_bias, ccd, bias)


def without_dark(ccd: CCDData, dark: CCDData, *, factor: float) -> CCDData:
    """Return an image without a dark that is ``factor`` times as strong (`subtract_dark`)."""
    from ccdproc import subtract_dark  # noqa: PLC0415 - heavy

    return _quiet(
        subtract_dark,
        ccd,
        dark,
        dark_exposure=1 * u.s,
        data_exposure=factor * u.s,
        scale=factor != 1,
    )


def corrected_for_flat(ccd: CCDData, flat: CCDData, *, mean: float, least: float) -> CCDData:
    """Return an image over a flat of that mean (`ccdproc.flat_correct`).

    Parameters
    ----------
    ccd, flat : CCDData
        Not modified. Masked pixels of the flat change nothing.
    mean : float
        What the flat is divided by, in its unit.
    least : float
        Value that lower ones of the flat are taken for, in its unit.
    """
    from ccdproc import flat_correct  # noqa: PLC0415 - heavy

    return _quiet(flat_correct, ccd, flat, min_value=least, norm_value=mean)


def in_electrons(ccd: CCDData, *, gain: float) -> CCDData:
    """Return an image in electrons (`ccdproc.gain_correct`)."""
    from ccdproc import gain_correct  # noqa: PLC0415 - heavy

    return _quiet(gain_correct, ccd, gain * u.electron / ccd.unit)


def _quiet(step: Callable[..., CCDData], *args: Any, **kwargs: Any) -> CCDData:
    """Call a step of ccdproc; pixels without a number stay such without a word of numpy's."""
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        return step(*args, **kwargs, add_keyword=False)
