"""The answer of the variant `talk`."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.psf.beam import MJY_PER_BEAM, TARGET_FWHM_ARCSEC
from astroclean.core.psf.psf import Psf
from astroclean.core.psf.spire import BEAMS
from astroclean.core.sources.sources import Sources
from astroclean.core.stage.results import Upsampling
from astroclean.errors import AstrocleanWarning
from astroclean_spire_sr.bands import FINE
from astroclean_spire_sr.planes import COLORS
from astroclean_spire_sr.talk.peaks import peak_catalogue
from astroclean_spire_sr.talk.restore import talk_sky
from astroclean_spire_sr.talk.scales import INPUT, SATURATED, TOP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.grid import Grid
    from astroclean.inference.engines.engine import Engine
    from astroclean_spire_sr.bands import BandMap
    from astroclean_spire_sr.talk.restore import TalkSky

__all__ = ["talk_upsampling"]


def talk_upsampling(
    band: BandMap, fine: Grid, engine: Engine, *, side: int, where: str
) -> Upsampling:
    """Return what the network of the talk makes of a map at 250 um.

    Parameters
    ----------
    band : BandMap
        250 um on pixels of 1 arcsec.
    fine : Grid
        These pixels.
    engine : Engine
        With the network.
    side : int
        Pixels of a block.
    where : str
        Frame and stage, for warnings.

    Returns
    -------
    Upsampling
        mJy a beam of 7.9 arcsec, NaN where 250 um was not observed; ``sources``: the peaks of the
        map, see `astroclean_spire_sr.talk.peaks`. The network tells no uncertainty and no support:
        they are not given. Metrics ``sources``, ``noise 250`` (mJy a beam), ``beam 250`` (FWHM,
        arcsec), ``pixels clipped`` and ``pixels saturated`` (of 1 arcsec), ``flux ratio``: light in
        the result over that of 250 um above its zero point, through the colour of a mean galaxy.

    Warns
    -----
    AstrocleanWarning
        Values are beyond what the network can see, or what it can tell.
    """

    def answer(image: NDArray[np.float32]) -> NDArray[np.float32]:
        return engine.infer({"image": np.ascontiguousarray(image)})["map"]

    sky = talk_sky(band.data, band.known, answer, side=side, threads=engine.parallel)
    _tell_of_limits(sky, where)
    table = peak_catalogue(sky.image)
    return Upsampling(
        sky.image,
        Psf.gaussian(fwhm_pixels=TARGET_FWHM_ARCSEC / FINE),
        unit=MJY_PER_BEAM,
        grid=fine,
        sources=Sources(table, grid=fine).with_sky(fine.wcs),
        metrics={
            "sources": float(len(table)),
            "noise 250": band.usual_noise,
            "beam 250": band.beam,
            "pixels clipped": float(sky.clipped),
            "pixels saturated": float(sky.saturated),
            "flux ratio": _flux_ratio(sky.image, band),
        },
    )


def _flux_ratio(image: NDArray[np.float32], band: BandMap) -> float:
    """Return the light of a result over what the input makes one expect."""
    # Sums of values a beam are fluxes once they are divided by the beam's pixels.
    expected = float(np.sum(band.data[band.known], dtype=np.float64)) / BEAMS["250"] ** 2
    expected /= COLORS["250"]
    found = float(np.nansum(image, dtype=np.float64)) / TARGET_FWHM_ARCSEC**2
    return found / expected if expected else float("nan")


def _tell_of_limits(sky: TalkSky, where: str) -> None:
    low, top = INPUT
    if sky.clipped:
        warnings.warn(
            f"{where}: {sky.clipped} pixels of 1 arcsec at 250 um lie beyond what the network of "
            f"the talk can see, {low:g} to {top:g} mJy/beam, and were clipped: where they are "
            "brighter, the result is too faint",
            AstrocleanWarning,
            stacklevel=4,
        )
    if sky.saturated:
        warnings.warn(
            f"{where}: {sky.saturated} pixels of the result are above {SATURATED * TOP:g} "
            f"mJy/beam; the network of the talk ends at {TOP:g}, so they may be brighter",
            AstrocleanWarning,
            stacklevel=4,
        )
