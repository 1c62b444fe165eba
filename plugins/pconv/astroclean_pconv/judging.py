"""Which sources are compact and taken out, and what is told of the others."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.psf.psf import Psf
from astroclean.errors import AstrocleanWarning, SuspectWarning
from astroclean_pconv.compactness import compactness
from astroclean_pconv.photometry import Quality

if TYPE_CHECKING:
    from astropy.table import QTable
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean_pconv.compactness import Compactness, Limits

__all__ = ["Judgement", "judge", "tell_of_resolved", "with_left"]

_BRIGHT = 20.0
"""S/N from which sources tell whether the PSF is as wide as they."""
_FEWEST = 5
_LOOKED_AT = 200
"""Sources of a user's catalogue, the brightest, that are judged: only to tell."""


@dataclass(frozen=True, eq=False)
class Judgement:
    """What was found of the sources of a catalogue, n of them."""

    positions: NDArray[np.float64]
    compactness: Compactness
    reasons: NDArray[np.str_]
    """(n,): why each is left; empty where it is taken out."""

    @property
    def taken(self) -> NDArray[np.bool_]:
        """(n,): sources to take out."""
        return np.asarray(self.reasons == "", dtype=bool)

    def left(self, why: str) -> int:
        """Return how many are left for a reason."""
        return int(np.count_nonzero(self.reasons == why))

    @property
    def metrics(self) -> dict[str, float]:
        """How many are left, and why."""
        return {f"sources left: {why}": float(self.left(why)) for why in ("resolved", "faint")}


def judge(
    frame: Frame,
    positions: NDArray[np.float64],
    fwhm: float | None,
    limits: Limits,
    *,
    where: str,
) -> Judgement | None:
    """Judge sources, and warn of those that are to be left.

    Parameters
    ----------
    frame : Frame
        With its PSF, where that is known. Not modified.
    positions : (n, 2) float64
        x, y, pixels.
    fwhm : float, optional
        Of its PSF, pixels; a Gaussian stands for a PSF of which nothing else is known.
    limits : Limits
        What a source must be.
    where : str
        Frame and stage.

    Returns
    -------
    Judgement or None
        None where nothing tells how wide a compact source is.
    """
    if not len(positions):
        return None
    if fwhm is None:
        text = (
            f"{where}: neither PSF nor FWHM of the frame is known: all {len(positions)} sources "
            "are taken out whatever their size. Give a PSF ([psf] fwhm, file or estimate), and "
            "galaxies are left"
        )
        warnings.warn(text, AstrocleanWarning, stacklevel=3)
        return None
    psf = frame.psf or Psf.gaussian(fwhm_pixels=fwhm)
    usable = frame.usable
    found = compactness(frame.data, usable, positions, psf.images_at(positions), fwhm)
    judged = Judgement(positions, found, limits.reasons(found, fwhm))
    resolved, faint = judged.left("resolved"), judged.left("faint")
    if resolved or faint:
        text = (
            f"{where}: of {len(positions)} sources {resolved} are left because they are resolved, "
            f"or part of brighter emission, and {faint} because they are below S/N {limits.snr:g}; "
            "column 'left' tells which. With leave = \"none\" all are taken out"
        )
        warnings.warn(text, AstrocleanWarning, stacklevel=3)
    bright = found.size[found.snr > _BRIGHT]
    if len(bright) >= _FEWEST and np.median(bright) > limits.widest(fwhm):
        text = (
            f"{where}: the {len(bright)} brightest sources are {np.median(bright):g} times as wide "
            "as the PSF (median), and left, while bumps of noise may be taken out: is the width of "
            "the PSF right ([psf])?"
        )
        warnings.warn(text, SuspectWarning, stacklevel=3)
    return judged


def tell_of_resolved(
    frame: Frame,
    positions: NDArray[np.float64],
    snr: NDArray[np.float64],
    limits: Limits,
    *,
    where: str,
) -> None:
    """Warn where bright sources of a user's catalogue are resolved; they are taken out as asked.

    Parameters
    ----------
    frame : Frame
        With its PSF; without one nothing tells. Not modified.
    positions, snr : (n, 2), (n,) float64
        x, y in pixels; S/N of the peaks.
    limits : Limits
        What a compact source is.
    where : str
        Frame and stage.
    """
    if frame.psf is None or not len(positions):
        return
    brightest = positions[np.argsort(-np.nan_to_num(snr))[:_LOOKED_AT]]
    usable = frame.usable
    psfs = frame.psf.images_at(brightest)
    found = compactness(frame.data, usable, brightest, psfs, frame.psf.fwhm_pixels)
    widest = limits.widest(frame.psf.fwhm_pixels)
    resolved = int(np.count_nonzero((found.size > widest) & (found.snr > limits.snr)))
    if resolved:
        text = (
            f"{where}: of the {len(brightest)} brightest sources of the catalogue {resolved} are "
            f"more than {widest:.2g} times as wide as the PSF; they are taken out as asked. "
            'With leave = "all" such sources are left'
        )
        warnings.warn(text, AstrocleanWarning, stacklevel=3)


def with_left(table: QTable, judged: Judgement) -> QTable:
    """Return a table of the sources that were taken out with rows for those that were left.

    Parameters
    ----------
    table : QTable
        One row for each that was taken; ``quality`` holds bits, all else are floats.
    judged : Judgement
        Of all n of the catalogue.

    Returns
    -------
    QTable
        n rows in the order of the catalogue; NaN of what was not measured.
    """
    from astropy.table import QTable  # noqa: PLC0415 - half a second to import

    taken, whole = judged.taken, QTable()
    for name in table.colnames:
        column = table[name]
        if name == "quality":
            values = np.full(len(taken), int(Quality.NOT_FILLED), dtype=np.int32)
            values[taken] = column
            whole[name] = values
        else:
            values = np.full(len(taken), np.nan)
            values[taken] = np.asarray(getattr(column, "value", column))
            unit = getattr(column, "unit", None)
            whole[name] = values if unit is None else values * unit
    whole["x"], whole["y"] = judged.positions.T
    whole["size"] = judged.compactness.size
    whole["size"].info.description = "width over that of the PSF; 1 unless another fits far better"
    whole["left"] = judged.reasons
    whole["left"].info.description = "why the source was left as it is: resolved, faint; empty: not"
    for name in table.colnames:
        whole[name].info.description = table[name].info.description
        whole[name].info.meta = dict(table[name].info.meta or {})
    return whole
