"""What may be given as the PSF of a frame, or of a layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from astroclean.core.psf.psf import Psf
from astroclean.errors import PsfError

__all__ = ["as_psf"]


def as_psf(given: Any) -> Psf | None:
    """Return what was given as a PSF.

    Parameters
    ----------
    given : Psf, array or None
        An array is a stamp, or a set of them; see `astroclean.core.psf.psf.Psf`.

    Raises
    ------
    PsfError
        It is something else, such as a width: only a frame's pixel scale makes a PSF of that.
    """
    if given is None or isinstance(given, Psf):
        return given
    if isinstance(given, np.ndarray):
        return Psf(given)
    raise PsfError(
        "the PSF of a frame is a Psf, or an array that is a stamp",
        received=repr(given) if isinstance(given, (str, float, int)) else type(given).__name__,
        remedy='Make one: `Psf.from_fwhm("0.9 arcsec", pixel_scale_arcsec=0.2)`, '
        "`Psf.gaussian(fwhm_pixels=2.5)` or `Psf.read(path)`.",
    )
