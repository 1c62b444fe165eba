"""What a band sees of the far-infrared sky: beam, pixels, noise, gain, and how it is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - pydantic reads the annotations
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from astropy.nddata import StdDevUncertainty
from astropy.wcs import WCS
from pydantic import Field

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.detector import DETECTOR_KEYWORDS
from astroclean.core.image.frame import Frame
from astroclean.core.psf.beam import MJY_PER_BEAM
from astroclean.core.psf.psf import Psf
from astroclean.core.psf.spire import BEAMS
from astroclean.core.stage.options import Options
from astroclean.simulate.band_grids import make_wcs
from astroclean.simulate.draws import Range, Share, log_uniform, power_law_field, uniform
from astroclean.simulate.far_infrared.light import AnyBeam, Beam
from astroclean.simulate.far_infrared.measured_beam import read_beam

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

__all__ = ["INSTRUMENTS", "BandSky", "Instrument", "MapRange", "cirrus", "observed"]


@dataclass(frozen=True)
class Instrument:
    """What is the same in all maps of a band."""

    pixel: float
    """Arcsec."""
    fwhm: float
    """Arcsec."""
    noise: float
    """Of a pixel, over that of 250 um."""
    cirrus: float
    """Of cirrus a beam, over that of 250 um: dust at 19 K, emissivity index 1.7."""


INSTRUMENTS = {
    "250": Instrument(6.0, BEAMS["250"], 1.0, 1.0),
    "350": Instrument(8.33, BEAMS["350"], 1.0, 1.05),
    "500": Instrument(12.0, BEAMS["500"], 1.2, 1.1),
    "24": Instrument(2.0, BEAMS["24"], 0.01, 0.0),
}
"""SPIRE's beams and pixels (the talk, p. 2), MIPS' at 24 um; noise of deep maps of both."""
_STRIPES = -1.5
_CLOUDS = -3.0


class MapRange(Options):
    """What the maps of a field are drawn from."""

    noise: Range = (1.5, 3.0)
    """Standard deviation of a pixel of 6 arcsec at 250 um where coverage is best, mJy a beam."""
    noise_ratio: Range = (0.8, 1.25)
    """That of another band, over what is usual beside 250 um."""
    noise_error: Range = (1.0, 1.0)
    """True noise over the noise that is told."""
    uneven: Range = (1.0, 1.4)
    """Largest noise over the least, by uneven coverage."""
    correlated: Range = (0.0, 0.2)
    """Noise of large scale, over that of a pixel."""
    gain: Range = (0.96, 1.04)
    """Calibration of a band."""
    shift: Range = (0.0, 0.3)
    """Pointing error of a band, arcsec."""
    wider: Range = (1.0, 1.0)
    """FWHM of the true beam over what is told."""
    ellipticity: Range = (0.0, 0.0)
    """Of the true beam, ``(a - b) / (a + b)``; not of one that a file shows."""
    wings: Range = (0.0, 0.0)
    """Share of the light of the true beam in a Gaussian three times as wide; not of one that a
    file shows."""
    beam_files: dict[Annotated[str, Field(pattern="^(250|350|500|24)$")], Path] = Field(
        default_factory=dict
    )
    """Band to a FITS file with its beam, measured or of an optical model; others are Gaussians."""
    beam_told: Literal["file", "gaussian"] = "file"
    """PSF of the frame of a band with such a file: that beam, or the usual Gaussian."""
    cirrus: Range = (0.0, 0.0)
    """Standard deviation of cirrus at 250 um, mJy a beam; none where it is drawn below 0."""
    uncovered: Share = 0.0
    """Probability that a corner of the field was not observed."""


@dataclass(frozen=True, eq=False)
class BandSky:
    """The true beam of a band, and its errors."""

    name: str
    beam: AnyBeam
    told: AnyBeam
    """What the frame has for its PSF."""
    gain: float
    shift: tuple[float, float]
    """(x, y), arcsec."""
    noise: float
    noise_error: float
    uneven: float
    correlated: float

    @classmethod
    def draw(cls, rng: np.random.Generator, name: str, noise: float, limits: MapRange) -> BandSky:
        """Draw a band; ``noise`` is that of a pixel at 250 um."""
        usual, first = INSTRUMENTS[name], name == "250"
        angle, shift = uniform(rng, (0, 2 * np.pi)), uniform(rng, limits.shift)
        ratio = log_uniform(rng, limits.noise_ratio)
        beam, told = _beams(rng, name, limits)
        return cls(
            name,
            beam,
            told,
            uniform(rng, limits.gain),
            # Positions of the truth are those of the first band.
            (0.0, 0.0) if first else (shift * np.cos(angle), shift * np.sin(angle)),
            noise * usual.noise * (1.0 if first else ratio),
            uniform(rng, limits.noise_error),
            log_uniform(rng, limits.uneven),
            uniform(rng, limits.correlated),
        )


def _beams(rng: np.random.Generator, name: str, limits: MapRange) -> tuple[AnyBeam, AnyBeam]:
    """Return the true beam of a band, and the one that is told."""
    usual, wider = Beam(INSTRUMENTS[name].fwhm), uniform(rng, limits.wider)
    gaussian = Beam(
        usual.fwhm * wider,
        ellipticity=uniform(rng, limits.ellipticity),
        angle=uniform(rng, (0, np.pi)),
        wings=uniform(rng, limits.wings),
    )
    # A field draws the same with a file as without.
    file = limits.beam_files.get(name)
    if file is None:
        return gaussian, usual
    measured = read_beam(file, name)
    return measured.stretched(wider), measured if limits.beam_told == "file" else usual


def observed(
    rng: np.random.Generator,
    band: BandSky,
    seen: Values,
    *,
    field: tuple[float, float],
    covered: NDArray[np.bool_],
    name: str,
) -> Frame:
    """Return the map of a band.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    band : BandSky
        Which.
    seen : (ny, nx) float64
        The sky as its beam shows it, mJy a beam, on pixels of 1 arcsec, with margins.
    field : (float, float)
        Height and width of the field, arcsec; it has the same middle.
    covered : (ny, nx) bool
        Where it was observed, on the same pixels.
    name : str
        Of the frame.

    Returns
    -------
    Frame
        In mJy a beam with its mean taken off; NaN and NO_DATA where it was not observed. PSF and
        uncertainty are what is told: the beam and the noise without their errors.
    """
    from scipy.ndimage import map_coordinates  # noqa: PLC0415 - slow to import

    instrument = INSTRUMENTS[band.name]
    step = instrument.pixel
    shape = int(np.ceil(field[0] / step)), int(np.ceil(field[1] / step))
    rows, columns = (
        (np.arange(side) - (side - 1) / 2) * step + (total - 1) / 2
        for side, total in zip(shape, seen.shape, strict=True)
    )
    places = np.meshgrid(rows - band.shift[1], columns - band.shift[0], indexing="ij")
    image = band.gain * map_coordinates(seen, places, order=3, mode="nearest")
    noise = band.noise * _coverage(rng, shape, band.uneven)
    white = rng.standard_normal(shape) * noise
    stripes = band.correlated * band.noise * power_law_field(rng, shape, index=_STRIPES)
    image = image + band.noise_error * (white + stripes)
    inside = covered[np.ix_(np.rint(rows).astype(int), np.rint(columns).astype(int))]
    image = np.where(inside, image - image[inside].mean(), np.nan).astype(np.float32)
    header = make_wcs(shape, step).to_header()
    wcs = WCS(header)  # with the digits that a file has
    header[DETECTOR_KEYWORDS["pixel_scale"]] = step
    header[DETECTOR_KEYWORDS["filter"]] = band.name
    frame = Frame(
        image,
        unit=MJY_PER_BEAM,
        uncertainty=StdDevUncertainty(noise.astype(np.float32)),
        wcs=wcs,
        meta=header,
        psf=Psf(band.told.stamp(step), computed=True),
        frame_id=name,
    )
    return frame if inside.all() else frame.add_planes(~inside, MaskPlane.NO_DATA)


def _coverage(rng: np.random.Generator, shape: tuple[int, int], uneven: float) -> Values:
    """Return the noise of each pixel over the least."""
    field = power_law_field(rng, shape, index=_CLOUDS)
    field -= field.min()
    return np.asarray(uneven ** (field / max(float(field.max()), 1e-9)))


def cirrus(rng: np.random.Generator, shape: tuple[int, int], level: float) -> Values:
    """Return cirrus at 250 um (ny, nx), mJy a beam, of a mean of 0."""
    # It has no structure below a beam that counts: made on coarse pixels.
    from scipy.ndimage import zoom  # noqa: PLC0415 - slow to import

    coarse = shape[0] // 12 + 2, shape[1] // 12 + 2
    field = zoom(power_law_field(rng, coarse, index=_CLOUDS), 12, order=3)
    return np.asarray(level * field[: shape[0], : shape[1]])
