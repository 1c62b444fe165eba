"""A night of raw frames with their truth: bias, dark and flat frames, and exposures of the sky."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits
from astropy.modeling.models import Gaussian2D

from astroclean.io.fits.encode import encode_hdu
from astroclean.io.scratch.atomic import atomic_file

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["RawNight", "write_night"]

OVERSCAN = 24
"""Columns that saw no light, behind the others."""
PRESCAN = 8
"""Columns before them."""
GAIN = 1.6
"""Electrons a data number."""
READ_NOISE = 6.0
"""Electrons."""
SATURATION = 50000.0
"""Data numbers."""
LEVEL = 1000.0
"""Data numbers that the camera adds; a few more or less in each frame and row."""
DARK_CURRENT = 0.06
"""Electrons a second, of a good pixel."""
SKY = {"R": 3.0, "B": 0.8}
"""Filter to electrons a second a pixel."""
DARK_TIME, LIGHT_TIME = 300.0, 150.0
"""Seconds."""
FLAT_TIME = {"R": 4.0, "B": 12.0}
_FLAT_LEVEL = 24000.0
_WIDTH = 1.6


@dataclass(frozen=True)
class RawNight:
    """One chip of a camera, and what it gives.

    All that is random follows from the seed and the number of a frame.
    """

    seed: int
    shape: tuple[int, int] = (160, 200)
    """(ny, nx) of the pixels that see the sky."""
    chip: int = 1
    stars: int = 40
    extra: dict[str, object] = field(default_factory=dict)
    """Cards of every frame beside those of the camera."""

    def _rng(self, *key: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.chip, *key])

    @cached_property
    def bias_pattern(self) -> NDArray[np.float64]:
        """(ny, nx) data numbers that every frame has beside its level."""
        rng = self._rng(1)
        return np.asarray(rng.normal(0, 2.0, self.shape[1]) + rng.normal(0, 1.0, self.shape))

    @cached_property
    def dark_rate(self) -> NDArray[np.float64]:
        """(ny, nx) electrons a second; some pixels are hot."""
        rng = self._rng(2)
        rate = DARK_CURRENT * rng.gamma(20, 1 / 20, self.shape)
        hot = rng.random(self.shape) < 5e-4  # noqa: PLR2004 - share of hot pixels
        return np.where(hot, rng.uniform(2, 20, self.shape), rate)

    @cached_property
    def bad_column(self) -> int:
        """Column that sees next to no light."""
        return int(self._rng(3).integers(10, self.shape[1] - 10))

    def sensitivity(self, filter_name: str) -> NDArray[np.float64]:
        """Return the part of the light that each pixel counts: vignetting, and its own share.

        Its mean over the pixels but the bad column is 1.
        """
        ny, nx = self.shape
        y, x = np.mgrid[:ny, :nx]
        radius = np.hypot((y - ny / 2) / ny, (x - nx / 2) / nx)
        rng = self._rng(4, *filter_name.encode())
        part = (1 - 0.5 * radius**2) * (1 + 0.015 * rng.normal(size=self.shape))
        good = np.arange(nx) != self.bad_column
        part = part / part[:, good].mean()
        part[:, self.bad_column] = 0.01
        return np.asarray(part)

    def sky(self, filter_name: str, *, exposure: float = LIGHT_TIME) -> NDArray[np.float64]:
        """Return the truth: electrons that a pixel of sensitivity 1 would count on average."""
        rng, (ny, nx) = self._rng(5), self.shape
        image = np.full(self.shape, SKY[filter_name])
        flux = 20.0 * (1 - rng.random(self.stars)) ** (-1 / 0.9)
        flux[0] = 2.5e4  # saturated
        x, y = rng.uniform(8, nx - 9, self.stars), rng.uniform(8, ny - 9, self.stars)
        yy, xx = np.mgrid[:ny, :nx]
        for one, x_0, y_0 in zip(flux, x, y, strict=True):
            peak = one / (2 * np.pi * _WIDTH**2)
            image += Gaussian2D.evaluate(xx, yy, peak, x_0, y_0, _WIDTH, _WIDTH, 0)
        return image * exposure

    def bias(self, number: int) -> fits.ImageHDU:
        """Return a bias frame."""
        return self._frame(np.zeros(self.shape), "bias", 0.0, (11, number))

    def dark(self, number: int, *, exposure: float = DARK_TIME) -> fits.ImageHDU:
        """Return a dark frame."""
        key = (12, number, int(1000 * exposure))
        return self._frame(self.dark_rate * exposure, "dark", exposure, key)

    def flat(self, number: int, filter_name: str) -> fits.ImageHDU:
        """Return a flat frame; the lamp fades from frame to frame."""
        exposure = FLAT_TIME[filter_name]
        lamp = _FLAT_LEVEL * 0.97**number
        light = lamp * self.sensitivity(filter_name) + self.dark_rate * exposure
        key = (13, number, *filter_name.encode())
        return self._frame(light, "dome flat", exposure, key, filter_name=filter_name)

    def light(
        self, number: int, filter_name: str, *, exposure: float = LIGHT_TIME
    ) -> fits.ImageHDU:
        """Return an exposure of the sky, without cosmic rays."""
        light = self.sky(filter_name, exposure=exposure) * self.sensitivity(filter_name)
        key = (14, number, *filter_name.encode())
        electrons = light + self.dark_rate * exposure
        return self._frame(electrons, "object", exposure, key, filter_name=filter_name)

    def saturated(self, hdu: fits.ImageHDU) -> NDArray[np.bool_]:
        """Return the pixels of the sky that are at full well."""
        ny, nx = self.shape
        full: NDArray[np.bool_] = hdu.data[:ny, PRESCAN : PRESCAN + nx] >= SATURATION
        return full

    def _frame(
        self,
        electrons: NDArray[np.float64],
        image_type: str,
        exposure: float,
        key: tuple[int, ...],
        filter_name: str | None = None,
    ) -> fits.ImageHDU:
        rng = self._rng(*key)
        ny, nx = self.shape
        wide = np.zeros((ny, PRESCAN + nx + OVERSCAN))
        sky = (slice(None), slice(PRESCAN, PRESCAN + nx))
        wide[sky] = rng.poisson(electrons)
        wide += rng.normal(0, READ_NOISE, wide.shape)
        values = np.minimum(wide / GAIN, SATURATION - LEVEL - 100)
        values[sky] += self.bias_pattern
        drift = rng.normal(0, 5) + 4 * np.sin(np.linspace(0, rng.uniform(2, 9), ny))
        values += LEVEL + drift[:, np.newaxis]
        full = np.zeros(wide.shape, dtype=bool)
        full[sky] = wide[sky] / GAIN >= SATURATION - LEVEL - 100
        values[full] = SATURATION
        stored = np.clip(np.rint(values), 0, 65535).astype(np.uint16)
        header = self._header(image_type, exposure, filter_name)
        return fits.ImageHDU(stored, header, name=f"CCD{self.chip}")

    def _header(self, image_type: str, exposure: float, filter_name: str | None) -> fits.Header:
        ny, nx = self.shape
        seen = f"[{PRESCAN + 1}:{PRESCAN + nx},1:{ny}]"
        header = fits.Header()
        header["BUNIT"] = "adu"
        header["TELESCOP"], header["INSTRUME"] = "simulated", "raw night"
        header["CCDNAME"] = f"chip {self.chip}"
        header["IMAGETYP"] = image_type
        header["EXPTIME"] = (exposure, "[s] exposure time")
        if filter_name is not None:
            header["FILTER"] = filter_name
        header["GAIN"] = (GAIN, "[electron/adu] gain")
        header["RDNOISE"] = (READ_NOISE, "[electron] read noise")
        header["SATURATE"] = (SATURATION, "[adu] full well")
        header["CCDSUM"], header["CCD-TEMP"] = "1 1", -100.0
        header["TRIMSEC"] = header["DATASEC"] = seen
        header["BIASSEC"] = f"[{PRESCAN + nx + 3}:{PRESCAN + nx + OVERSCAN},1:{ny}]"
        if image_type == "object":
            for axis, value in enumerate((150.1, 2.2), start=1):
                header[f"CTYPE{axis}"] = ("RA---TAN", "DEC--TAN")[axis - 1]
                header[f"CRVAL{axis}"], header[f"CUNIT{axis}"] = value, "deg"
                header[f"CRPIX{axis}"] = (PRESCAN + nx / 2, ny / 2)[axis - 1]
                header[f"CD{axis}_{axis}"] = (-1e-4, 1e-4)[axis - 1]
        header["SIMSEED"] = (self.seed, "seed of the simulation")
        header.update(self.extra)
        return header


def write_night(
    folder: Path, *, seed: int, shape: tuple[int, int] = (160, 200), chips: int = 1, count: int = 7
) -> tuple[RawNight, ...]:
    """Write the raw frames of a night: bias, dark, flats of two filters, one exposure in each.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    seed : int
        The same seed gives the same bytes.
    shape : (int, int)
        (ny, nx) of the pixels of a chip that see the sky.
    chips : int
        HDUs of a file; one: the primary.
    count : int
        Frames of each sort to make masters of.

    Returns
    -------
    tuple of RawNight
        The truth of each chip. Files are ``bias_1.fits``, ``dark_1.fits``, ``flat_R_1.fits``,
        ``field_R.fits`` and so on.

    Raises
    ------
    FitsWriteError
        A file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    night = tuple(RawNight(seed, shape, chip) for chip in range(1, chips + 1))
    for number in range(1, count + 1):
        _write(folder / f"bias_{number}.fits", [chip.bias(number) for chip in night])
        _write(folder / f"dark_{number}.fits", [chip.dark(number) for chip in night])
        for name in SKY:
            flats = [chip.flat(number, name) for chip in night]
            _write(folder / f"flat_{name}_{number}.fits", flats)
    for name in SKY:
        _write(folder / f"field_{name}.fits", [chip.light(1, name) for chip in night])
    return night


def _write(path: Path, hdus: list[fits.ImageHDU]) -> None:
    with atomic_file(path) as target:
        if len(hdus) == 1:
            header = hdus[0].header.copy()
            for keyword in ("XTENSION", "PCOUNT", "GCOUNT", "EXTNAME", "BSCALE", "BZERO"):
                header.remove(keyword, ignore_missing=True)
            target.write(encode_hdu(fits.PrimaryHDU(hdus[0].data, header), primary=True))
            return
        target.write(encode_hdu(fits.PrimaryHDU(), primary=True))
        for hdu in hdus:
            target.write(encode_hdu(hdu))
