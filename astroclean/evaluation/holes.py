"""What a scene tells of the holes in which removers and fillers are judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.flags.planes import REJECTING
from astroclean.core.sources.holes import HoleRule, source_holes
from astroclean.errors import ConfigurationError
from astroclean.evaluation.light import light_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.sources.sources import Sources
    from astroclean.simulate.scene import Scene

__all__ = ["HoleTruth", "truth_of_holes"]

_TOUCHING = np.ones((3, 3))
"""Pixels that share a corner belong to one hole."""


@dataclass(frozen=True, eq=False)
class HoleTruth:
    """The holes of a scene, and what is true in them."""

    labels: NDArray[np.int32]
    """(ny, nx) number of the connected hole from 1; 0 elsewhere and where nothing is judged."""
    snr: NDArray[np.float64]
    """(n,) of each hole by the paper's equation 1, the largest of its sources; NaN without."""
    light: NDArray[np.float64] | None
    """(ny, nx) of the sources; None where the holes are contaminated pixels."""
    sky: NDArray[Any] | None
    """(ny, nx) beneath the holes, without noise; None where that is not known."""
    observed: NDArray[Any] | None
    """(ny, nx) the frame without the light, with the noise that it has; None as for ``light``."""

    @property
    def holes(self) -> NDArray[np.bool_]:
        """Pixels that are judged."""
        return self.labels > 0

    @property
    def beneath(self) -> NDArray[Any]:
        """What lies beneath the holes, with noise where both are known."""
        beneath = self.sky if self.observed is None else self.observed
        assert beneath is not None  # a truth has one of them
        return beneath


def truth_of_holes(scene: Scene) -> HoleTruth:
    """Return the holes of a scene and the truth in them.

    Parameters
    ----------
    scene : Scene
        With its sources and their light: the holes are the paper's disks at the true positions
        (`astroclean.core.sources.holes`), measured on the frame with its sources in units of the
        FWHM of the true PSF. Or with ``planes`` and ``clean``: then they are the true rejecting
        planes.

    Returns
    -------
    HoleTruth
        Pixels that the frame rejects, and those of which the truth is not known, are left out.

    Raises
    ------
    ConfigurationError
        The scene tells neither, or has sources and no PSF.
    """
    light = light_of(scene)
    if light is not None and scene.sources is not None:
        return _of_sources(scene, scene.sources, light)
    if scene.planes is None or scene.clean is None:
        raise ConfigurationError(
            f"{scene.frame.frame_id}: the scene tells neither its sources nor its contaminants and "
            "what lies beneath, so removal cannot be scored on it"
        )
    holes = (scene.planes & np.uint32(REJECTING)) != 0
    labels, _ = _numbered(_connected(holes), _known(scene) & np.isfinite(scene.frame.data))
    snr = np.full(int(labels.max(initial=0)), np.nan)
    return HoleTruth(labels, snr, None, scene.clean, None)


def _of_sources(scene: Scene, sources: Sources, light: NDArray[np.float64]) -> HoleTruth:
    frame, psf = scene.frame, scene.true_psf
    if psf is None:
        raise ConfigurationError(
            f"{frame.frame_id}: holes of sources are as large as the PSF asks for, and the scene "
            "has none. Give `--psf FILE`, `--psf estimate` or `--psf-fwhm WIDTH`."
        )
    usable = frame.usable
    sizes = HoleRule().in_pixels(fwhm_pixels=psf.fwhm_pixels)
    places = np.column_stack([np.asarray(sources.table[name], float) for name in ("x", "y")])
    found = source_holes(frame.data, usable, places, sizes)
    whole = _connected(found.holes)
    labels, numbers = _numbered(whole, usable & _known(scene))
    snr = _largest_snr(numbers[_at(whole, places)], found.snr, count=int(labels.max(initial=0)))
    # Without `clean` the background is that of a real frame: with noise.
    sky = scene.background if scene.clean is not None else None
    return HoleTruth(labels, snr, light, sky, frame.data - light)


def _known(scene: Scene) -> NDArray[np.bool_]:
    return np.ones(scene.frame.shape, bool) if scene.ignored is None else ~scene.ignored


def _connected(holes: NDArray[np.bool_]) -> NDArray[np.int32]:
    from scipy.ndimage import label  # noqa: PLC0415 - slow to import

    return np.asarray(label(holes, _TOUCHING)[0], dtype=np.int32)


def _numbered(
    whole: NDArray[np.int32], judged: NDArray[np.bool_]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return numbers of holes where they are judged, without a gap, and the new number of each.

    A bad column does not cut a hole in two: what is connected is told by the whole of it.
    """
    labels = np.where(judged, whole, 0)
    occurs = np.bincount(labels.ravel(), minlength=int(whole.max(initial=0)) + 1) > 0
    occurs[0] = False
    numbers = np.where(occurs, np.cumsum(occurs), 0).astype(np.int32)
    return numbers[labels], numbers


def _at(labels: NDArray[np.int32], places: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return the number at the pixel of the frame that is nearest to each place."""
    last = np.array(labels.shape[::-1]) - 1
    x, y = np.clip(np.rint(places), 0, last).astype(np.intp).T
    return np.asarray(labels[y, x])


def _largest_snr(
    numbers: NDArray[np.int32], snr: NDArray[np.float64], *, count: int
) -> NDArray[np.float64]:
    """Return the largest S/N of the sources of each hole; NaN where none is known."""
    largest = np.full(count + 1, np.nan)  # the first takes those whose hole is not judged
    np.fmax.at(largest, numbers, snr)
    return largest[1:]
