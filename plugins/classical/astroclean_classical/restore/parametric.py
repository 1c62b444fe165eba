"""`parametric`: galaxies replaced by fitted profiles without the PSF, with GalSim."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from astroclean.core.image.layer import LayerSpec
from astroclean.core.length import IN_PIXELS
from astroclean.core.psf.psf import Psf
from astroclean.core.stage.kinds.deconvolve import Deconvolver
from astroclean.core.stage.options import StageOptions
from astroclean.core.stage.results import Deconvolution
from astroclean.errors import StageError
from astroclean_classical.restore.galaxy_fit import Galaxy, Painter, Stamp, fit_galaxy
from astroclean_classical.restore.restoration import sky_statistics, unusable_pixels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = ["Parametric", "ParametricOptions"]

_SWEEPS = 2


class ParametricOptions(StageOptions):
    """Settings of :class:`Parametric`."""

    profile: Literal["spergel", "sersic"] = "spergel"
    """Family of profiles: Spergel (2010), or Sersic, which takes some times as long."""
    target_fwhm: Annotated[float, Field(ge=0.5, le=50), IN_PIXELS] = 0.5
    """FWHM of the Gaussian under which the galaxies are drawn, in pixels; the least is below what
    pixels show."""
    max_size: Annotated[int, Field(ge=8, le=512), IN_PIXELS] = 128
    """Sources with a box wider than this are left as they are, in pixels; so is a frame without
    sources, which is taken for the stamp of one galaxy."""
    max_sources: Annotated[int, Field(ge=1, le=100000)] = 500
    """Most sources to fit, the brightest first; each takes about a tenth of a second."""
    margin: Annotated[float, Field(ge=0, le=10)] = 2.0
    """Sky around the pixels of a source that is fitted with it, in FWHM of the PSF."""
    keep_rest: bool = False
    """Whether what the profiles do not explain is added, at the resolution of the frame."""


@dataclass(frozen=True)
class _Target:
    """A source to fit."""

    id: int
    x: float
    y: float
    rows: slice
    columns: slice

    @property
    def box(self) -> tuple[slice, slice]:
        return self.rows, self.columns

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    @property
    def start(self) -> tuple[float, float]:
        """(x, y) in the box."""
        return self.x - self.columns.start, self.y - self.rows.start


class Parametric(Deconvolver):
    """Draws each source as the profile that fits it under the PSF, without the PSF.

    Sources are those of an earlier deblender; a small frame without any is the stamp of one
    galaxy. The result is a model: what is no smooth ellipse (arms, clumps) is not in it. A PSF
    that varies is taken at its center. Needs the whole frame, and GalSim (extra ``parametric``).
    """

    Options = ParametricOptions

    def layers(self) -> tuple[LayerSpec, ...]:
        """Return what the fits leave, beside the layers of the kind."""
        rest = LayerSpec("REMAINDER", "the frame less its sky and the fitted profiles")
        return (*super().layers(), rest)

    def deconvolve(self, frame: Frame) -> Deconvolution:
        """Return the model without PSF.

        Parameters
        ----------
        frame : Frame
            Any unit, with a PSF. Not modified.

        Returns
        -------
        Deconvolution
            Product ``REMAINDER``: frame less the blurred model. Metrics ``sources fitted``,
            ``sources left`` (too large or too many), ``sources failed``, ``median chi2``.

        Raises
        ------
        StageError
            No usable pixel; GalSim is missing; a frame without sources that is no stamp.
        """
        assert frame.psf is not None  # needed, hence checked by the base class
        bad = unusable_pixels(frame, self.name)
        ny, nx = frame.shape
        options = self.options
        painter = Painter(options.profile, frame.psf.at(nx / 2, ny / 2), options.target_fwhm)
        every = list(self._targets(frame))
        targets = [t for t in every if max(t.shape) <= options.max_size][: options.max_sources]
        sky = _sky(frame, bad, alone=frame.sources is None)
        flat = np.where(bad, 0.0, frame.data - sky)
        galaxies, blurred = _fitted(frame, flat, bad, targets, painter)
        if frame.sources is None and galaxies:  # the sky of a stamp is known from its fit alone
            sky = sky + next(iter(galaxies.values())).sky
        model = _sharp(frame.shape, targets, galaxies, painter)
        rest = frame.data - sky - blurred
        kept = _left(frame, {t.id for t in targets} & set(galaxies)) | options.keep_rest
        data = np.where(np.isfinite(frame.data), sky + model + np.where(kept, rest, 0), np.nan)
        metrics = {
            "sources fitted": float(len(galaxies)),
            "sources left": float(len(every) - len(targets)),
            "sources failed": float(len(targets) - len(galaxies)),
            "median chi2": float(np.median([g.chi2 for g in galaxies.values()] or [np.nan])),
        }
        layers = {"REMAINDER": rest.astype(np.float32)}
        return Deconvolution(
            data.astype(np.float32),
            Psf.gaussian(fwhm_pixels=options.target_fwhm),
            None,
            layers=layers,
            metrics=metrics,
        )

    def _targets(self, frame: Frame) -> Iterator[_Target]:
        """Yield the sources, the brightest first where the catalogue tells."""
        ny, nx = frame.shape
        sources = frame.sources
        if sources is None:
            if max(ny, nx) > self.options.max_size:
                raise StageError(
                    "needs the sources of the frame, which is too large for the stamp of one",
                    where=self.where(frame),
                    received=f"{ny} x {nx} pixels",
                    remedy="Put a stage of kind `deblend` before it, or raise `max_size`.",
                )
            yield _Target(1, (nx - 1) / 2, (ny - 1) / 2, slice(0, ny), slice(0, nx))
            return
        assert frame.psf is not None  # needed, hence checked by the base class
        margin = round(self.options.margin * frame.psf.fwhm_pixels) + 1
        boxes = _boxes(sources.segmentation)
        table = sources.table
        order = np.arange(len(table))
        if "flux" in table.colnames:
            order = np.argsort(-np.nan_to_num(np.asarray(table["flux"])), kind="stable")
        for row in order:
            x, y, label = (table[name][row] for name in ("x", "y", "id"))
            half = self.options.max_size // 4
            around = (
                slice(round(y) - half, round(y) + half + 1),
                slice(round(x) - half, round(x) + half + 1),
            )
            rows, columns = boxes.get(int(label), around)
            wide = (
                slice(max(part.start - margin, 0), min(part.stop + margin, side))
                for part, side in zip((rows, columns), (ny, nx), strict=True)
            )
            target = _Target(int(label), float(x), float(y), *wide)
            if min(target.shape) > 0:
                yield target


def _boxes(labels: NDArray[np.int32] | None) -> dict[int, tuple[slice, slice]]:
    from scipy.ndimage import find_objects  # noqa: PLC0415 - heavy

    if labels is None:
        return {}
    found = enumerate(find_objects(labels), start=1)
    return {label: box for label, box in found if box is not None}


def _sky(frame: Frame, bad: NDArray[np.bool_], *, alone: bool) -> NDArray[np.float64]:
    """Return the sky between the sources; zero for a stamp, where it is fitted."""
    empty = np.zeros(frame.shape)
    if alone:
        return empty
    labels = frame.sources.segmentation if frame.sources is not None else None
    sky = ~bad if labels is None else ~bad & (labels == 0)
    return empty + sky_statistics(frame.data[sky if sky.any() else ~bad])[0]


def _left(frame: Frame, fitted: set[int]) -> NDArray[np.bool_]:
    """Return the pixels of sources that were not fitted."""
    labels = None if frame.sources is None else frame.sources.segmentation
    if labels is None:
        # A stamp that could not be fitted stays; without labels nothing tells whose a pixel is.
        return np.full(frame.shape, not fitted)
    return (labels > 0) & ~np.isin(labels, sorted(fitted))


def _fitted(
    frame: Frame,
    flat: NDArray[np.float64],
    bad: NDArray[np.bool_],
    targets: list[_Target],
    painter: Painter,
) -> tuple[dict[int, Galaxy], NDArray[np.float64]]:
    """Return the galaxy of each source, and all of them as the frame shows them."""
    labels = None if frame.sources is None else frame.sources.segmentation
    noise = frame.noise()
    galaxies: dict[int, Galaxy] = {}
    blurred = np.zeros(frame.shape)
    for _ in range(_SWEEPS if len(targets) > 1 else 1):
        for target in targets:
            box = target.box
            if target.id in galaxies:
                blurred[box] -= painter.blurred(galaxies.pop(target.id), target.shape)
            used = ~bad[box]
            if labels is not None:
                used &= (labels[box] == 0) | (labels[box] == target.id)
            stamp = Stamp(flat[box] - blurred[box], noise[box], used)
            radius = 0.5 * _radius(target, labels)
            galaxy = fit_galaxy(stamp, painter, target.start, radius)
            if galaxy is not None:
                galaxies[target.id] = galaxy
                blurred[box] += painter.blurred(galaxy, target.shape)
    return galaxies, blurred


def _radius(target: _Target, labels: NDArray[np.int32] | None) -> float:
    """Return the radius of the circle with the area of a source, or a sixth of its box."""
    if labels is None:
        return max(min(target.shape) / 6, 1.0)
    area = np.count_nonzero(labels[target.box] == target.id)
    return max(float(np.sqrt(area / np.pi)), 1.0)


def _sharp(
    shape: tuple[int, int], targets: list[_Target], galaxies: dict[int, Galaxy], painter: Painter
) -> NDArray[np.float64]:
    model = np.zeros(shape)
    for target in targets:
        if target.id in galaxies:
            model[target.box] += painter.sharp(galaxies[target.id], target.shape)
    return model
