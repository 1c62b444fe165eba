"""`TextUnit`: the unit of pixels whose header names one that nobody here understands."""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy import units as u

from astroclean.errors import UnitError

__all__ = ["TextUnit", "is_logarithmic", "is_understood"]

_LOGARITHMIC = (u.mag, u.dex, u.dB)


class TextUnit(u.UnrecognizedUnit):  # type: ignore[misc]
    """A unit that is kept as it was written; it equals itself alone.

    Unlike its base class it has powers, because variances have them, and arrays may be given it.
    Whatever would need to know what it means raises.

    Parameters
    ----------
    text : str
        As the header has it.
    power : float
        Of the text.
    """

    def __init__(self, text: str, power: float = 1) -> None:
        super().__init__(text if power == 1 else f"({text})**{power:g}")
        self.text, self.power = text, power

    def __pow__(self, power: Any) -> Any:
        """Return a power of the text."""
        whole = self.power * float(power)
        return u.dimensionless_unscaled if whole == 0 else TextUnit(self.text, whole)

    def __mul__(self, other: Any) -> Any:
        """Return values with this unit; other units cannot be multiplied with it."""
        return self._with(other)

    def __rmul__(self, other: Any) -> Any:
        """Return values with this unit; other units cannot be multiplied with it."""
        return self._with(other)

    def __rtruediv__(self, other: Any) -> Any:
        """Return the reciprocal, of the number 1 alone."""
        return self**-1 if isinstance(other, (int, float)) and other == 1 else self._with(self)

    def __truediv__(self, other: Any) -> Any:
        """Raise: nothing is known by which it could be divided."""
        return self._with(self)

    def get_converter(self, other: Any, equivalencies: Any = ()) -> Any:
        """Return what leaves values as they are, to this unit itself; else raise."""
        return _same if self == other else super().get_converter(other, equivalencies)

    def _with(self, other: Any) -> Any:
        if isinstance(other, (u.UnitBase, u.Quantity, str)):
            raise UnitError(
                "the unit of the pixel values is not understood, so nothing can be converted",
                received=repr(self.name),
                remedy="Give one that is: `--set instrument.unit=adu`.",
            )
        return u.Quantity(np.asarray(other), self)


def _same(values: Any) -> Any:
    return values


def is_understood(unit: Any) -> bool:
    """Return whether a unit is more than a text that was kept."""
    return not isinstance(unit, u.UnrecognizedUnit)


def is_logarithmic(unit: Any) -> bool:
    """Return whether values in a unit are logarithms, such as magnitudes of a square arcsec."""
    if isinstance(unit, u.LogUnit):
        return True
    return unit in _LOGARITHMIC or any(base in _LOGARITHMIC for base in unit.bases)
