"""A super-resolved field beside its truth: maps on one grid, catalogues in one unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.image.grid import Grid
from astroclean.core.psf.beam import beam_area, flux_unit_per_beam
from astroclean.errors import ConfigurationError, ContractError
from astroclean.evaluation.columns import Columns
from astroclean.evaluation.matching import plain, positions
from astroclean.evaluation.metrics.superres import find_peaks, moved, on_grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.layer import Layer
    from astroclean.core.sources.sources import Sources
    from astroclean.evaluation.evaluation import Trial
    from astroclean.simulate.scene import Scene

    Values = NDArray[np.float64]

__all__ = [
    "LEAST_PARTNER",
    "Catalogue",
    "Field",
    "catalogue_beside",
    "field_beside",
    "grid_of",
    "true_sources",
]

LEAST_PARTNER = 1.0
"""mJy of the faintest true source that an entry may be."""
_MARGIN = 30.0
"""Arcsec from borders, and from what is not covered, within which nothing is judged."""
_LEAST_SCATTER = 0.1
"""mJy/beam of a map, for finding peaks in it."""
_SAME_SCALE = 0.01


@dataclass(frozen=True, eq=False)
class Field:
    """A result beside the truth, on the pixels of the truth, mJy/beam."""

    image: Values
    truth: Values
    grid: Grid
    pixel: float
    """Arcsec."""
    judged: NDArray[np.bool_]
    """Away from borders and from what the first band does not cover."""
    beams: tuple[float, float]
    """Solid angles of result and truth, arcsec squared."""

    def holds(self, places: Values) -> NDArray[np.bool_]:
        """Return which places (n, 2), in arcsec, are judged."""
        x, y = np.rint(places / self.pixel).astype(int).T
        ny, nx = self.judged.shape
        inside = (x >= 0) & (y >= 0) & (x < nx) & (y < ny)
        inside[inside] = self.judged[y[inside], x[inside]]
        return np.asarray(inside)

    def size_of(self, layer: Layer) -> float:
        """Return the side of a pixel of a layer, arcsec."""
        assert layer.grid is not None
        return self.pixel * layer.grid.step / self.grid.step


@dataclass(frozen=True, eq=False)
class Catalogue(Columns):
    """Places and fluxes of all entries, wherever they lie."""

    places: Values
    """(n, 2) arcsec from the first pixel of the truth."""
    flux: Values
    error: Values
    complete: Values
    reliable: Values


def grid_of(layer: Layer, trial: Trial) -> Grid:
    """Return the grid of a layer, whose place in the frame must be that which its WCS tells.

    Raises
    ------
    ContractError
        Grid and WCS tell pixels of different sizes.
    """
    grid = layer.grid
    assert grid is not None  # stages check their layers
    mine, own = grid.pixel_scale, Grid.from_frame(trial.frame).pixel_scale
    if mine is not None and own is not None and abs(mine / own / grid.step - 1) > _SAME_SCALE:
        raise ContractError(
            "the grid of the finer image tells another size of its pixels than its WCS",
            where=trial.stage.where(trial.frame),
            received=f"step {grid.step:g}, and {mine:g} arcsec where the frame has {own:g}",
            remedy="This is a fault of the plugin.",
        )
    return grid


def field_beside(scene: Scene, trial: Trial, layer: Layer) -> Field:
    """Return the map of a result beside that of the truth.

    Parameters
    ----------
    scene : Scene
        Of several bands, with ``fine`` of the whole.
    trial : Trial
        Of the first band.
    layer : Layer
        The result: per beam, pixel or solid angle.

    Raises
    ------
    ConfigurationError
        The scene does not tell the size of its pixels, or a PSF.
    UnitError
        The result, or the truth, is in another unit.
    """
    fine = scene.fine
    assert fine is not None  # the evaluation has asked
    assert fine.grid is not None
    grid, own, pixel = fine.grid, grid_of(layer, trial), fine.grid.pixel_scale
    if pixel is None or fine.psf is None or trial.frame.psf is None:
        raise ConfigurationError(
            f"{trial.frame.frame_id}: the scene does not tell the size of its pixels, or no PSF"
        )
    size, psf = pixel * own.step / grid.step, layer.psf or fine.psf
    unit = layer.unit if layer.unit is not None else trial.frame.unit
    factor = flux_unit_per_beam(unit, psf, size)
    # Values of a beam do not depend on the pixel, whose light would.
    image = on_grid(layer.data, own, grid) * (factor * (own.step / grid.step) ** 2)
    truth = np.asarray(fine.data, dtype=np.float64)
    truth = truth * flux_unit_per_beam(fine.unit or trial.frame.unit, fine.psf, pixel)
    beams = beam_area(psf, size), beam_area(fine.psf, pixel)
    return Field(image, truth, grid, pixel, _judged(trial, grid, pixel), beams)


def _judged(trial: Trial, grid: Grid, pixel: float) -> NDArray[np.bool_]:
    """Return the pixels of the truth that are away from borders and from what is not covered."""
    from scipy.ndimage import distance_transform_edt  # noqa: PLC0415 - slow to import

    covered = np.pad(trial.frame.usable, 1)
    apart = distance_transform_edt(covered)[1:-1, 1:-1] - 0.5  # to the edge of the nearest pixel
    return grid.seen_by(apart * pixel / grid.step >= _MARGIN)


def true_sources(scene: Scene, field: Field) -> tuple[Values, Values]:
    """Return places in arcsec, and fluxes in mJy, of the true sources that an entry may be."""
    sources = scene.sources
    if sources is None or "flux" not in sources.table.colnames:
        raise ConfigurationError(
            f"{scene.frame.frame_id}: the scene has no true sources with fluxes to compare with"
        )
    flux = _millijansky(sources, "flux", where=scene.frame.frame_id)
    own = Grid.from_frame(scene.frame) if sources.grid is None else sources.grid
    places = moved(positions(sources), own, field.grid) * field.pixel
    kept = flux >= LEAST_PARTNER
    return places[kept], flux[kept]


def catalogue_beside(trial: Trial, layer: Layer, field: Field, *, one_band: bool) -> Catalogue:
    """Return the catalogue of a plugin, or the peaks of its map where it gives none.

    Parameters
    ----------
    trial : Trial
        Of the first band.
    layer : Layer
        The result.
    field : Field
        The same beside the truth.
    one_band : bool
        Whether the plugin saw that band alone: its fluxes then stay in the unit that they have.

    Raises
    ------
    ContractError
        It has no fluxes, or they are no flux densities.
    """
    found = trial.result.frame.sources
    if found is None:
        return _peaks(layer, field)
    own = layer.grid if found.grid is None else found.grid
    assert own is not None
    places = moved(positions(found), own, field.grid) * field.pixel
    where = trial.stage.where(trial.frame)
    if "flux" not in found.table.colnames:
        raise ContractError(
            "a catalogue of a far-infrared field must have a column 'flux'",
            where=where,
            received=", ".join(found.table.colnames),
            remedy="This is a fault of the plugin.",
        )

    def column(name: str, *, is_flux: bool = False) -> Values:
        if name not in found.table.colnames:
            return np.full(len(found), np.nan)
        if is_flux and not one_band:
            return _millijansky(found, name, where=where)
        return plain(found.table[name])

    flux, error = (column(name, is_flux=True) for name in ("flux", "flux_err"))
    return Catalogue(places, flux, error, column("completeness"), column("reliability"))


def _millijansky(sources: Sources, name: str, *, where: str) -> Values:
    """Return a column in mJy."""
    from astropy import units as u  # noqa: PLC0415 - heavy

    column = sources.table[name]
    unit = getattr(column, "unit", None)
    if unit is None or not u.Unit(unit).is_equivalent(u.mJy):
        raise ContractError(
            f"column '{name}' of a catalogue of a far-infrared field must be a flux density",
            where=where,
            received="no unit" if unit is None else str(unit),
            remedy="Give it as a Quantity in mJy.",
        )
    return np.asarray(u.Quantity(column).to_value(u.mJy), dtype=np.float64)


def _peaks(layer: Layer, field: Field) -> Catalogue:
    from scipy.ndimage import map_coordinates  # noqa: PLC0415 - slow to import

    width = 2.0  # pixels of the truth
    if layer.psf is not None:
        width = layer.psf.fwhm_pixels * field.size_of(layer) / field.pixel
    places = find_peaks(field.image, fwhm=width, noise=_LEAST_SCATTER)
    height = map_coordinates(np.nan_to_num(field.image), places.T[::-1], order=3)
    none = np.full(len(places), np.nan)
    return Catalogue(places * field.pixel, height, none, none, none)
