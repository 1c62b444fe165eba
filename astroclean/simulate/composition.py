"""The order in which an exposure comes about, for numpy arrays and torch tensors alike.

Light is gathered; photons bring noise; particles and hot pixels add charge; wells fill and bleed;
dead pixels give nothing of it; amplifiers cross-talk; overscan never saw any of it. Simulators that
draw everything anew and those that put stored layers together share this order and its arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from astroclean.core.flags.planes import MaskPlane
from astroclean.simulate.arrays import namespace
from astroclean.simulate.contaminants.saturation import fill_wells

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LARGEST", "Layers", "Steps", "compose", "exposed", "stored"]

LARGEST = 65535
"""Data number at which the converter ends."""
_FEW = 100
"""Electrons below which the normal law would be seen to differ from Poisson's."""
_DEAD = int(MaskPlane.DEAD_LINE | MaskPlane.DEAD_PIXEL)
_OVERSCAN = int(MaskPlane.OVERSCAN)

Pair = tuple[Any, Any]
"""Image in electrons, and the planes that became true."""


class Steps(Protocol):
    """What happens on the way; each step may change the image that it is given."""

    def in_the_sky(self, image: Any) -> Pair:
        """Return the image with what reaches the chip as light."""

    def photons(self, expected: Any) -> Any:
        """Return electrons counted where these are expected."""

    def charge(self, image: Any) -> Pair:
        """Return the image with charge that no light made."""

    def bleeds(self) -> Any:
        """Return whether surplus charge runs along columns."""

    def dead(self, image: Any) -> Pair:
        """Return the image with dead pixels replaced."""

    def crosstalk(self, image: Any) -> Pair:
        """Return the image with what another amplifier reads."""

    def overscan(self, image: Any) -> Pair:
        """Return the image with strips that were never exposed."""


def compose(image: Any, planes: Any, steps: Steps, *, ceiling: Any, threshold: Any) -> Pair:
    """Return electrons before they are read out, and the true planes.

    Parameters
    ----------
    image : (..., ny, nx) float
        Expected electrons of sources and sky; may be changed.
    planes : (..., ny, nx) integers
        Planes that are true of the sources.
    steps : Steps
        What is added.
    ceiling, threshold : float or array that broadcasts
        Electrons at which a pixel is saturated; surplus of a neighbour from which it counts as
        such.

    Returns
    -------
    image, planes : arrays as given
        Electrons with everything but read noise; bits of :class:`MaskPlane`.
    """
    image, found = steps.in_the_sky(image)
    planes = planes | found
    image = steps.photons(namespace(image).clip(image, 0, None))
    image, found = steps.charge(image)
    planes = planes | found
    image, found = fill_wells(image, ceiling, threshold=threshold, bleeds=steps.bleeds())
    planes = planes | found
    image, found = steps.dead(image)
    planes = _entered(planes, found)
    image, found = steps.crosstalk(image)
    planes = planes | found
    image, found = steps.overscan(image)
    return image, _entered(planes, found)


def _entered(planes: Any, found: Any) -> Any:
    """Enter planes of pixels whose earlier content is gone, and with it its truth."""
    where = namespace(planes).where
    planes = where(found != 0, (planes & _DEAD) | found, planes)
    return where((found & _OVERSCAN) != 0, found & _OVERSCAN, planes)


def exposed(expected: Any, normal: Any, poisson: Callable[[Any], Any]) -> Any:
    """Return electrons with photon noise.

    Parameters
    ----------
    expected : (..., ny, nx) float
        Electrons without noise, not negative.
    normal : (..., ny, nx) float
        Draws of the standard normal law, used where many electrons are expected; it is faster.
    poisson : callable
        Draws of Poisson's law for an array of expectations.

    Returns
    -------
    (..., ny, nx) float
        A new array.
    """
    noisy = expected + namespace(expected).sqrt(expected) * normal
    few = expected < _FEW
    noisy[few] = poisson(expected[few])
    return noisy


def stored(electrons: Any, *, gain: Any, bias: Any) -> Any:
    """Return adu as a camera writes them: with bias, whole numbers of 16 bits."""
    xp = namespace(electrons)
    return xp.clip(xp.round(electrons / gain + bias), 0, LARGEST)


@dataclass(frozen=True, eq=False)
class Layers:
    """Steps of which all is known beforehand: layers of electrons with their true planes.

    All of one shape (..., ny, nx), of numpy or of torch.
    """

    sky: Pair
    particles: Pair
    """Charge that no light made."""
    lost: Pair
    """Values of dead pixels; planes tell where."""
    other: Pair
    """What another amplifier reads."""
    unexposed: Pair
    """Values of overscan; planes tell where."""
    bleeding: Any = True
    """Whether surplus charge runs along columns: bool, or one that broadcasts."""
    noise: Callable[[Any], Any] | None = None
    """From expected to counted electrons; without it, the same."""

    def in_the_sky(self, image: Any) -> Pair:
        """Add light."""
        return image + self.sky[0], self.sky[1]

    def photons(self, expected: Any) -> Any:
        """Count electrons."""
        return expected if self.noise is None else self.noise(expected)

    def charge(self, image: Any) -> Pair:
        """Add charge."""
        return image + self.particles[0], self.particles[1]

    def bleeds(self) -> Any:
        """Return whether surplus charge runs along columns."""
        return self.bleeding

    def dead(self, image: Any) -> Pair:
        """Replace dead pixels."""
        return self._replaced(image, self.lost)

    def crosstalk(self, image: Any) -> Pair:
        """Add what another amplifier reads."""
        return image + self.other[0], self.other[1]

    def overscan(self, image: Any) -> Pair:
        """Replace what was never exposed."""
        return self._replaced(image, self.unexposed)

    @staticmethod
    def _replaced(image: Any, layer: Pair) -> Pair:
        values, planes = layer
        return namespace(image).where(planes != 0, values, image), planes
