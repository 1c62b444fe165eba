"""Positions and fluxes of point sources on structured background: for `psf-subtract`."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.sources.sources import SourceStamp

if TYPE_CHECKING:
    from typing import Any

    from astropy.table import Table
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.psf.psf import Psf

__all__ = ["Fit", "Scene", "Settings", "fitted", "photutils_model"]

# Sweeps over all sources; each starts from the last.
_SWEEPS = 5
# Sources fainter than this stay where they are; a step of the fit is not longer, in pixels.
_MOVING_SNR, _STEP = 5.0, 0.5
# Flags of photutils with which a fit tells nothing: negative flux, no overlap, masked, too few
# pixels; and those that the second fit finds out again, with no convergence and what is not finite.
_USELESS = 4 | 64 | 128 | 256
_ASKED_AGAIN = 4 | 8 | 256 | 512 | 1024 | 2048
_NEGATIVE, _TOO_FEW = 4, 256


@dataclass(frozen=True)
class Settings:
    """How to fit; lengths in pixels."""

    fixed: bool
    max_shift: float
    radius: float
    order: int
    annulus: tuple[float, float]
    separation: float
    """Sources nearer than this are fitted together."""


@dataclass(frozen=True)
class Fit:
    """One source."""

    id: int
    x: float
    y: float
    flux: float = math.nan
    error: float = math.nan
    misfit: float = math.nan
    flag: int = 0

    @property
    def snr(self) -> float:
        """Flux over its standard deviation."""
        return self.flux / self.error if self.error > 0 else math.nan

    @property
    def usable(self) -> bool:
        """Whether flux and position mean anything."""
        return not self.flag & _USELESS and math.isfinite(self.snr)


@dataclass(frozen=True, eq=False)
class Scene:
    """The frame with what is known of its noise."""

    frame: Frame
    bad: NDArray[np.bool_]
    noise: NDArray[np.float64]
    settings: Settings

    @cached_property
    def data(self) -> NDArray[np.float64]:
        """Pixel values, zero where they are not to be read."""
        return np.where(self.bad, 0.0, self.frame.data.astype(np.float64))

    @property
    def psf(self) -> Psf:
        """That of the frame."""
        assert self.frame.psf is not None  # needed, hence checked by the base class
        return self.frame.psf

    def box(self, fit: Fit, half: tuple[int, int]) -> tuple[slice, slice]:
        """Return the part of the frame within so many pixels (y, x) of a source."""
        rows, columns = (
            slice(*(min(max(round(place) + end, 0), side) for end in (-reach, reach + 1)))
            for place, reach, side in zip((fit.y, fit.x), half, self.frame.shape, strict=True)
        )
        return rows, columns

    def drawn(self, fit: Fit, box: tuple[slice, slice]) -> NDArray[np.float64]:
        """Return the light of a source in a part of the frame."""
        return self.psf.drawn_at(fit.x, fit.y, fit.flux, box=box).data

    def stamp(self, fit: Fit) -> SourceStamp:
        """Return the image of a source."""
        box = self.box(fit, self.reach)
        data = self.drawn(fit, box).astype(np.float32)
        return SourceStamp(fit.id, (box[0].start, box[1].start), data)

    @property
    def reach(self) -> tuple[int, int]:
        """Half sides (y, x) of the PSF's stamp."""
        ky, kx = self.psf.shape
        return ky // 2, kx // 2


def photutils_model(psf: Psf) -> Any:
    """Return a PSF as a model of photutils, which fits it.

    Parameters
    ----------
    psf : Psf
        Not modified.

    Returns
    -------
    astropy.modeling.Fittable2DModel
        Parameters ``flux``, ``x_0``, ``y_0``; drawn by `Psf.image_at`.
    """
    from astropy.modeling import custom_model  # noqa: PLC0415 - heavy

    def drawn(x: Any, y: Any, flux: Any = 1.0, x_0: Any = 0.0, y_0: Any = 0.0) -> Any:
        px, py = np.asarray(x_0, dtype=float).item(), np.asarray(y_0, dtype=float).item()
        return flux * psf.image_at(px, py).at(np.asarray(y) - py, np.asarray(x) - px)

    return custom_model(drawn)()


def fitted(scene: Scene, table: Table) -> list[Fit]:
    """Return the sources of a catalogue as the PSF and a background each fit them.

    Parameters
    ----------
    scene : Scene
        Frame and settings.
    table : astropy.table.Table
        Columns ``id``, ``x``, ``y``.

    Returns
    -------
    list of Fit
        In the order of the table.
    """
    places = (np.asarray(table[name], dtype=float) for name in ("x", "y"))
    ids = np.asarray(table["id"]).tolist()
    fits = [Fit(int(i), float(x), float(y)) for i, x, y in zip(ids, *places, strict=True)]
    start = fits if scene.settings.fixed else _positions(scene, fits)
    fits, rest = list(start), scene.data.copy()
    for _ in range(_SWEEPS):  # each source on the image without the others as known by then
        for index, (fit, first) in enumerate(zip(fits, start, strict=True)):
            _add(scene, rest, fit)
            fits[index] = _refined(scene, fit, first, rest)
            _add(scene, rest, fits[index], sign=-1)
    return fits


def _add(scene: Scene, image: NDArray[np.float64], fit: Fit, sign: int = 1) -> None:
    """Add a source to an image, in place, if its flux is known."""
    if fit.usable:
        box = scene.box(fit, scene.reach)
        image[box] += sign * scene.drawn(fit, box)


def _positions(scene: Scene, fits: list[Fit]) -> list[Fit]:
    """Return the sources where photutils finds them, above the background of an annulus."""
    from astropy.table import QTable  # noqa: PLC0415 - heavy
    from photutils.background import LocalBackground  # noqa: PLC0415 - heavy
    from photutils.psf import PSFPhotometry, SourceGrouper  # noqa: PLC0415 - heavy

    settings = scene.settings
    start = QTable({"id": [f.id for f in fits], "x": [f.x for f in fits], "y": [f.y for f in fits]})
    photometry = PSFPhotometry(
        photutils_model(scene.psf),
        2 * math.ceil(settings.radius) + 1,
        grouper=SourceGrouper(settings.separation),
        xy_bounds=settings.max_shift,
        aperture_radius=max(settings.radius / 1.5, 1.0),
        local_bkg_estimator=LocalBackground(*settings.annulus),
        group_warning_threshold=10**6,
    )
    with warnings.catch_warnings():
        # Fits that fail are told by the flags, which the catalogue shows.
        warnings.simplefilter("ignore")
        found = photometry(scene.data, mask=scene.bad, error=scene.noise, init_params=start)
    result = []
    for fit, row in zip(fits, found, strict=True):
        x, y, flag = float(row["x_fit"]), float(row["y_fit"]), int(row["flags"])
        known = math.isfinite(x) and math.isfinite(y)
        result.append(Fit(fit.id, x if known else fit.x, y if known else fit.y, flag=flag))
    return result


def _refined(scene: Scene, fit: Fit, first: Fit, rest: NDArray[np.float64]) -> Fit:
    """Return a source with flux and position, fitted together with its background.

    Structure that is left in the background would move a source by some hundredths of a pixel,
    which is most of the error of what remains under it.
    """
    half = math.ceil(scene.settings.radius)
    box = scene.box(fit, (half, half))
    y, x = np.mgrid[box].astype(float)
    u, v = (x - fit.x) / scene.settings.radius, (y - fit.y) / scene.settings.radius
    order = scene.settings.order
    sky = [u**i * v**j for i in range(order + 1) for j in range(order + 1 - i)]
    image, slopes = scene.psf.image_at(fit.x, fit.y).moved(y - fit.y, x - fit.x)
    moves = slopes[:0] if scene.settings.fixed else slopes
    design = np.stack([image, *moves, *sky], axis=-1)
    used = (np.hypot(u, v) <= 1) & ~scene.bad[box]
    lost = Fit(fit.id, fit.x, fit.y, flag=fit.flag | _TOO_FEW)
    if used.sum() <= design.shape[-1]:
        return lost
    inverse = 1 / scene.noise[box][used]
    left, right = design[used] * inverse[:, None], rest[box][used] * inverse
    solution, _, rank, _ = np.linalg.lstsq(left, right, rcond=None)
    if rank < left.shape[1]:
        return lost
    error = math.sqrt(float(np.linalg.inv(left.T @ left)[0, 0]))
    flux = float(solution[0])
    if flux <= 0:
        return Fit(fit.id, fit.x, fit.y, flux, error, flag=fit.flag | _NEGATIVE)
    misfit = float(np.abs((left @ solution - right) / inverse).sum()) / flux
    flag = fit.flag & ~_ASKED_AGAIN
    x1, y1 = fit.x, fit.y
    if len(moves) and flux > _MOVING_SNR * error:
        reach = scene.settings.max_shift
        steps = np.clip(solution[1:3] / flux, -_STEP, _STEP)
        x1 = float(np.clip(fit.x + steps[0], first.x - reach, first.x + reach))
        y1 = float(np.clip(fit.y + steps[1], first.y - reach, first.y + reach))
    return Fit(fit.id, x1, y1, flux, error, misfit, flag)
