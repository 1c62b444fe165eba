"""Maps that no instrument gives, and results that do not shine as their maps do, are told."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.psf.beam import TARGET_FWHM_ARCSEC
from astroclean.core.psf.spire import BEAMS
from astroclean.core.psf.stamp import FWHM_PER_SIGMA
from astroclean.errors import AstrocleanWarning, StageError, SuspectWarning
from astroclean_spire_sr.bands import COARSE, PER_COARSE
from astroclean_spire_sr.planes import COLORS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from astroclean_spire_sr.bands import BandMap

__all__ = ["check_maps", "light_ratios", "tell_of_light", "tell_of_noise"]

_NOISE: Mapping[str, tuple[float, float]] = {
    "250": (0.03, 100.0),
    "350": (0.03, 100.0),
    "500": (0.03, 100.0),
    "24": (3e-5, 10.0),
}
"""mJy a beam: least and most noise of a pixel that any map has."""
_BRIGHTEST: Mapping[str, float] = {"250": 2000.0, "350": 1500.0, "500": 1000.0, "24": 500.0}
"""mJy a beam, up to which the network was shown galaxies."""
_DISAGREEMENT = 3.0
"""Noise that is told over that measured from pixel to pixel, or the other way round."""
_FAINT = 50.0
"""mJy a beam: brighter pixels are of few galaxies, whose colours may be any."""
_RATIOS = (0.58, 1.8)
"""Light of the result over that of a map, between which it is plausible: simulated fields of any
depth have .62 to 1.1, with a band 21 arcsec off .3 to .6 in one of them."""
_LEAST_SIGNAL = 0.5
"""Scatter of a map over its noise, squares, that galaxies must add for light to be compared."""


def check_maps(maps: Mapping[str, BandMap], where: str) -> None:
    """Raise for what cannot be a map, and tell of what the network was never shown.

    Parameters
    ----------
    maps : mapping of str to BandMap
        Bands on one grid.
    where : str
        Frame and stage, for messages.

    Raises
    ------
    StageError
        250 um is not known anywhere, or the noise is none that a map has.

    Warns
    -----
    SuspectWarning
        Pixels are brighter than anything that the network was shown.
    AstrocleanWarning
        A band does not see the field.
    """
    for name, one in maps.items():
        if not one.known.any():
            if name == "250":
                raise StageError(
                    "no pixel at 250 um is known",
                    where=where,
                    remedy="Are all pixels flagged, or NaN?",
                )
            text = f"{where}: the map at {name} um sees nothing of the field, and is not used"
            warnings.warn(text, AstrocleanWarning, stacklevel=2)
            continue
        noise = one.usual_noise
        least, most = _NOISE[name]
        if not least <= noise <= most:
            raise StageError(
                f"the noise at {name} um is none that a map has, {least:g} to {most:g} mJy a beam",
                where=where,
                received=f"{noise:.3g} mJy a beam",
                remedy="Is the unit right? State which it is, as the map's documentation says: "
                "`--set instrument.unit=Jy/beam`, `Jy/pix` or `MJy/sr`.",
            )
        bright = int(np.count_nonzero(np.abs(one.data) > _BRIGHTEST[name]))
        if bright:
            text = (
                f"{where}: {bright} pixels (of 3 arcsec) at {name} um are beyond "
                f"{_BRIGHTEST[name]:g} mJy a beam, brighter or darker than all that the network "
                "was shown: the result and the catalogue around them are wrong. Flag hot pixels "
                "first; of a bright source take the map itself"
            )
            warnings.warn(text, SuspectWarning, stacklevel=2)


def tell_of_noise(told: float, measured: float, where: str) -> None:
    """Warn where the median of the errors is not the noise from pixel to pixel."""
    if not told / _DISAGREEMENT <= measured <= told * _DISAGREEMENT:
        text = (
            f"{where}: the errors say {told:.3g} mJy a beam, from pixel to pixel the noise is "
            f"{measured:.3g}; the errors are believed"
        )
        warnings.warn(text, SuspectWarning, stacklevel=2)


def light_ratios(image: NDArray[np.float32], maps: Mapping[str, BandMap]) -> dict[str, float]:
    """Return by how much the result, seen by the beam of each band, shines as its map does.

    The slope of the one on the other where the map is faint, as if all galaxies had one colour;
    what noise adds to the squares of the map is taken off.

    Parameters
    ----------
    image : (3 ny, 3 nx) float32
        mJy a beam of 7.9 arcsec.
    maps : mapping of str to BandMap
        On the coarse grid.

    Returns
    -------
    dict of str to float
        For bands of SPIRE whose maps have more scatter than noise.
    """
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415 - heavy

    ny, nx = next(iter(maps.values())).data.shape
    coarse = image.reshape(ny, PER_COARSE, nx, PER_COARSE).mean(axis=(1, 3), dtype=np.float64)
    ratios = {}
    for name, color in COLORS.items():
        if name not in maps or not maps[name].known.any():
            continue
        one, beam = maps[name], BEAMS[name]
        wider = np.sqrt(beam**2 - TARGET_FWHM_ARCSEC**2) / COARSE / FWHM_PER_SIGMA
        seen = gaussian_filter(coarse, wider, mode="nearest")
        seen *= color * (beam / TARGET_FWHM_ARCSEC) ** 2
        faint = one.known & (np.abs(one.data) < _FAINT)
        if not faint.any():
            continue
        light, data = (values[faint] - np.mean(values[faint]) for values in (seen, one.data))
        noise = float(np.mean(one.noise[faint] ** 2, dtype=np.float64))
        square = float(np.mean(data.astype(np.float64) ** 2)) - noise
        if square > _LEAST_SIGNAL * noise:
            ratios[name] = float(np.mean(light * data)) / square
    return ratios


def tell_of_light(ratios: Mapping[str, float], where: str) -> None:
    """Warn of bands whose maps the result does not explain."""
    off = {name: r for name, r in ratios.items() if not _RATIOS[0] <= r <= _RATIOS[1]}
    if off:
        told = ", ".join(f"{ratio:.2f} at {name} um" for name, ratio in off.items())
        text = (
            f"{where}: seen through the beams of the maps, the result does not shine as they do "
            f"({told} of what galaxies usually give). Do the bands show the same sky, at the same "
            "places, in the units that they tell?"
        )
        warnings.warn(text, SuspectWarning, stacklevel=2)
