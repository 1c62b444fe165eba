"""What a deconvolver made of one frame: its pixels, and the moments of each true source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.image.noise import SIGMA_PER_MAD
from astroclean.core.psf.stamp import FWHM_PER_SIGMA
from astroclean.core.psf.target import TARGET_FWHM
from astroclean.core.sources.blendedness import blendedness
from astroclean.evaluation.columns import Columns
from astroclean.evaluation.light import light_of, own_and_total, source_snr
from astroclean.evaluation.matching import plain
from astroclean.evaluation.metrics.deblend import match_positions
from astroclean.evaluation.metrics.deconvolve import Shape, psnr, shape_of, ssim
from astroclean.evaluation.metrics.recovery import coverage, spurious_groups
from astroclean.evaluation.metrics.superres import aperture_sums
from astroclean.evaluation.target import AtTarget, at_target, true_image

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.evaluation.evaluation import Trial
    from astroclean.simulate.scene import Scene

__all__ = ["MOMENTS", "QUANTITIES", "Deconvolved", "Images", "Recovered", "compared"]

MOMENTS = "moments"
"""Table of a plugin with the moments of its sources, each of `QUANTITIES` with its error
``NAME_err``: flux in the unit of the frame; x, y in pixels; e1, e2 and size (pixels) of the source
at the target PSF, under a round Gaussian
weight whose standard deviation is the FWHM of the frame's PSF, at least 3 pixels."""
QUANTITIES = ("flux", "x", "y", "e1", "e2", "size")
_MOST_SOURCES = 50
_ALONE = 0.05
"""Blendedness up to which moments are those of one source."""
_LEAST_WEIGHT = 3.0
_APERTURE = 3.0
"""Radius of an aperture in sizes of the source; a Gaussian has 99 percent of its light in it."""
_HALF_LIGHT = float(np.sqrt(2 * np.log(2)))
"""Half-light radius of a Gaussian over its standard deviation."""
_DUST = 0.01
"""In noise of the frame: what is less is no structure, whatever error is stated."""


@dataclass(frozen=True, eq=False)
class Images(Columns):
    """Of each frame: how its pixels compare with the truth at the target PSF."""

    psnr: NDArray[np.float64]
    before: NDArray[np.float64]
    """PSNR of the frame as it was given."""
    dissimilar: NDArray[np.float64]
    """1 - SSIM."""
    snr: NDArray[np.float64]
    """Of all light in the frame, for the best weights; NaN where the scene does not tell it."""
    spurious: NDArray[np.float64]
    """Groups of pixels that stand above the truth by five errors."""
    pixels: NDArray[np.int64]
    """(n, 3): as `Coverage` has it, of all pixels."""
    lit: NDArray[np.int64]
    """(n, 3): the same where the true light is above the noise of the frame."""


@dataclass(frozen=True, eq=False)
class Recovered(Columns):
    """Of each true source, or empty stamp: what it is, and what came back; NaN: not measured."""

    snr: NDArray[np.float64]
    """Of the best fit of its own image; 0 for an empty stamp."""
    found: NDArray[np.float64]
    """S/N that the recovered flux would have."""
    flux: NDArray[np.float64]
    """Over the true one, less 1; likewise ``size``."""
    size: NDArray[np.float64]
    shape: NDArray[np.complex128]
    true_shape: NDArray[np.complex128]
    psf_shape: NDArray[np.complex128]
    pair: NDArray[np.float64]
    """Number of its pair."""
    pulls: NDArray[np.float64]
    """(n, 6): errors of `QUANTITIES` in stated deviations."""

    @property
    def shape_error(self) -> NDArray[np.complex128]:
        """``e - true e``."""
        return self.shape - self.true_shape


@dataclass(frozen=True, eq=False)
class Deconvolved:
    """What is kept of frames."""

    images: Images
    sources: Recovered

    def pooled(self, other: Deconvolved) -> Deconvolved:
        """Return what is kept of both."""
        images = Images.joined([self.images, other.images])
        return Deconvolved(images, Recovered.joined([self.sources, other.sources]))


def compared(trial: Trial) -> Deconvolved:
    """Compare a result with the truth, pixels and moments.

    Parameters
    ----------
    trial : Trial
        Of one band.

    Returns
    -------
    Deconvolved
        Of one frame.

    Raises
    ------
    ConfigurationError
        The scene does not tell the image before the PSF.
    """
    truth, made = true_image(trial.scene), at_target(trial.result.frame)
    return Deconvolved(_images(trial, made, truth), _recovered(trial, made.image, truth))


def _images(trial: Trial, made: AtTarget, truth: NDArray[np.float64]) -> Images:
    noise = trial.scene.frame.noise("scatter")
    typical = float(np.median(noise))
    # The level of the sky is not judged: a percent of the peak halves the SSIM of an empty sky.
    image, before, true = (
        values - np.nanmedian(values) for values in (made.image, trial.frame.data, truth)
    )
    if made.smoothed is not None:  # whichever is better: nobody is to lose by what they aim at
        other = made.smoothed - np.nanmedian(made.smoothed)
        image = max(image, other, key=lambda one: psnr(one, true))
    light = light_of(trial.scene)
    snr = float("nan") if light is None else float(np.sqrt(np.sum((light / noise) ** 2)))
    deviation = made.deviation
    if deviation is None:
        off = image - true
        rough = SIGMA_PER_MAD * float(np.nanmedian(np.abs(off - np.nanmedian(off))))
        stands: Any = max(rough, typical)
        counts = [coverage((), ())] * 2
    else:
        stands = np.fmax(deviation, _DUST * typical)
        error, lit = made.image - truth, true > noise
        counts = [coverage(error, deviation), coverage(error[lit], deviation[lit])]
    values = (
        psnr(image, true),
        psnr(before, true),
        1 - ssim(image, true),
        snr,
        float(spurious_groups(image, true, error=stands)),
    )
    rows = (np.array([[c.one, c.two, c.count]]) for c in counts)
    return Images(*(np.array([value]) for value in values), *rows)


def _above_sky(scene: Scene, image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return an image less the true background, or else less its median."""
    level: Any = float(np.nanmedian(image)) if scene.background is None else scene.background
    return np.asarray(image - level, dtype=np.float64)


@dataclass(frozen=True)
class _Place:
    """A true source to measure."""

    x: float
    y: float
    snr: float
    flux: float
    """Unit of the frame; NaN where it is not told."""
    radius: float
    """Half-light radius before the PSF in pixels, for an empty stamp that of what was not there."""


@dataclass(frozen=True)
class _Reference:
    """A true source as it is measured at the target PSF."""

    shape: Shape
    light: float
    """In the aperture."""
    aperture: float
    """Radius in pixels."""
    error: float
    """Of the flux of the best fit to a Gaussian of its size."""


def _recovered(trial: Trial, image: NDArray[np.float64], truth: NDArray[np.float64]) -> Recovered:
    scene = trial.scene
    flat, true = (_above_sky(scene, values) for values in (image, truth))
    pair = float(scene.notes.get("pair", np.nan))
    table, weight = _stated_moments(trial), _weight(scene.frame)
    nothing, unsaid = complex(np.nan), [np.nan] * len(QUANTITIES)
    rows: list[tuple[Any, ...]] = []
    for place in _places(scene, truth):
        reference = _reference(place, true, scene.frame)
        light = _light(flat, place, reference.aperture)
        if not place.snr:
            found = light / reference.error
            rows.append((0.0, found, np.nan, np.nan, nothing, nothing, nothing, pair, unsaid))
            continue
        shape, known = _shape_at(flat, place, weight), reference.shape
        flux = light / reference.light - 1 if reference.light > 0 else np.nan
        rows.append(
            (
                *(place.snr, (1 + flux) * place.snr, flux, shape.size / known.size - 1),
                *(shape.ellipticity, known.ellipticity, _psf_shape(scene.frame, place), pair),
                _pulls(table, place, reference),
            )
        )
    types = (float, float, float, float, complex, complex, complex, float)
    columns: list[NDArray[Any]] = [
        np.array([row[i] for row in rows], kind) for i, kind in enumerate(types)
    ]
    columns.append(np.array([row[-1] for row in rows], float).reshape(-1, len(QUANTITIES)))
    return Recovered(*columns)


def _reference(place: _Place, true: NDArray[np.float64], frame: Frame) -> _Reference:
    """Measure a true source; of an empty stamp, what its measures would be for a Gaussian."""
    seeing = (frame.psf.fwhm_pixels if frame.psf else _LEAST_WEIGHT) / FWHM_PER_SIGMA
    deviation = place.radius / _HALF_LIGHT if np.isfinite(place.radius) else seeing
    none = Shape(np.nan, np.nan, np.nan)
    shape = _shape_at(true, place, _weight(frame)) if place.snr else none
    at_target = float(np.hypot(deviation, TARGET_FWHM / FWHM_PER_SIGMA))
    size = shape.size if np.isfinite(shape.size) else at_target
    aperture = max(_APERTURE * size, 2 * TARGET_FWHM)
    noise = float(np.median(frame.noise("scatter")))
    error = noise * np.sqrt(4 * np.pi) * np.hypot(deviation, seeing)
    return _Reference(shape, _light(true, place, aperture), aperture, float(error))


def _weight(frame: Frame) -> float:
    """Return the standard deviation of the weight of moments: the FWHM of the PSF, or 3 pixels."""
    return max(frame.psf.fwhm_pixels if frame.psf else 0.0, _LEAST_WEIGHT)


def _light(image: NDArray[np.float64], place: _Place, aperture: float) -> float:
    return float(aperture_sums(image, np.array([[place.x, place.y]]), radius=aperture)[0])


def _shape_at(image: NDArray[np.float64], place: _Place, weight: float) -> Shape:
    """Return the moments in a box of four weights around a place."""
    half, row, column = int(np.ceil(4 * weight)), round(place.y), round(place.x)
    top, left = max(row - half, 0), max(column - half, 0)
    box = image[top : row + half + 1, left : column + half + 1]
    return shape_of(box, center=(place.x - left, place.y - top), radius=weight)


def _psf_shape(frame: Frame, place: _Place) -> complex:
    if frame.psf is None:
        return complex(np.nan)
    ky, kx = frame.psf.shape
    stamp = frame.psf.at(place.x, place.y)
    return shape_of(stamp, center=(kx // 2, ky // 2), radius=_weight(frame)).ellipticity


def _places(scene: Scene, truth: NDArray[np.float64]) -> list[_Place]:
    """Return the true sources that stand alone, the brightest first."""
    sources = scene.sources
    if sources is None:
        y, x = np.unravel_index(int(np.nanargmax(truth)), truth.shape)
        return [_Place(float(x), float(y), np.nan, np.nan, np.nan)]
    table, light = sources.table, light_of(scene)
    crowded = set()
    if light is not None and light.any():
        blends = {int(s.id): blendedness(*own_and_total(s, light)) for s in sources.stamps}
        crowded = {i for i, value in blends.items() if not value <= _ALONE}
    rows = [i for i in range(len(table)) if int(table["id"][i]) not in crowded]
    empty = np.full(len(table), np.nan)
    flux, radius = (
        plain(table[name]) if name in table.colnames else empty for name in ("flux", "radius")
    )
    rows.sort(key=lambda i: -flux[i])
    snr = source_snr(sources, scene.frame.noise("scatter"))
    told = [snr.get(int(table["id"][i]), np.nan) for i in rows[:_MOST_SOURCES]]
    return [
        _Place(float(table["x"][i]), float(table["y"][i]), s, float(flux[i]), float(radius[i]))
        for i, s in zip(rows, told, strict=False)
    ]


def _stated_moments(trial: Trial) -> Mapping[str, NDArray[np.float64]]:
    """Return the columns of the table of moments; nothing where the plugin gives none."""
    table = trial.result.tables.get(MOMENTS)
    if table is None or not len(table):
        return {}
    wanted = [*QUANTITIES, *(f"{name}_err" for name in QUANTITIES)]
    return {name: plain(table[name]) for name in wanted if name in table.colnames}


def _pulls(
    table: Mapping[str, NDArray[np.float64]], place: _Place, reference: _Reference
) -> list[float]:
    """Return the errors of a source's moments in stated deviations; NaN where nothing is stated."""
    nothing = [np.nan] * len(QUANTITIES)
    if not {"x", "y"} <= table.keys():
        return nothing
    places = np.column_stack([table["x"], table["y"]])
    here = np.array([[place.x, place.y]])
    rows, _ = match_positions(places, here, radius=reference.aperture)
    if not len(rows):
        return nothing
    shape = reference.shape
    true = (place.flux, place.x, place.y, shape.e1, shape.e2, shape.size)
    row, pulls = int(rows[0]), nothing
    for index, (name, value) in enumerate(zip(QUANTITIES, true, strict=True)):
        deviation = table.get(f"{name}_err")
        if name in table and deviation is not None and deviation[row] > 0:
            pulls[index] = float((table[name][row] - value) / deviation[row])
    return pulls
