"""Properties of the detector, carried by ``Frame.meta`` under keywords of astroclean's own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u
from astropy.io.fits.card import Undefined

from astroclean.errors import FrameError, StageError
from astroclean.moved import Renamed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from astroclean.core.image.frame import Frame

__all__ = ["DETECTOR_KEYWORDS", "Detector"]

DETECTOR_KEYWORDS = {
    "instrument": "ACINSTR",
    "gain": "ACGAIN",
    "read_noise": "ACRDNOIS",
    "saturation": "ACSATUR",
    "exposure": "ACEXPTIM",
    "pixel_scale": "ACPIXSC",
    "psf_fwhm": "ACFWHM",
    "filter": "ACFILTER",
}
"""Field of `Detector` to the keyword under which the reader leaves it in ``Frame.meta``."""

_FORMS = {"pixel_scale": "'0.2 arcsec'", "psf_fwhm": "'2 pixel'"}
"""How lengths are set."""
_TEXTS = ("instrument", "filter")

# What makes electrons of each unit. Data numbers are `adu` to some and `count` to others.
_TO_ELECTRONS = (
    (u.electron, frozenset[str]()),
    (u.adu, frozenset({"gain"})),
    (u.count, frozenset({"gain"})),
    (u.electron / u.s, frozenset({"exposure"})),
    (u.adu / u.s, frozenset({"gain", "exposure"})),
    (u.count / u.s, frozenset({"gain", "exposure"})),
)


@dataclass(frozen=True)
class Detector:
    """What is known of the detector that took a frame; None where it is not."""

    instrument: str | None = None
    gain: float | None = None
    """Electrons per data number."""
    read_noise: float | None = None
    """Electrons, standard deviation."""
    saturation: float | None = None
    """In the unit of the frame."""
    exposure: float | None = None
    """Seconds."""
    pixel_scale: float | None = None
    """Arcsec."""
    psf_fwhm: float | None = None
    """Arcsec."""
    filter: str | None = None

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> Detector:
        """Return the detector described by a frame's ``meta``: `Frame.detector` calls it.

        Raises
        ------
        FrameError
            What should be a number is none.
        """
        values = {name: meta.get(key) for name, key in DETECTOR_KEYWORDS.items()}
        return cls(**{name: _typed(name, value) for name, value in values.items()})

    of = Renamed("from_meta")

    def require(self, name: str, *, frame: Frame, stage: str) -> float:
        """Return a number that a stage cannot do without.

        Parameters
        ----------
        name : str
            Field, such as ``gain``.
        frame : Frame
            The frame, for the message.
        stage : str
            The stage, for the message.

        Returns
        -------
        float
            Its value.

        Raises
        ------
        StageError
            Neither header nor instrument file tell it.
        """
        value = getattr(self, name)
        if value is None:
            raise StageError(
                f"{name.replace('_', ' ')} is needed but neither header nor instrument tell it",
                where=f"{frame.frame_id}, stage '{stage}'",
                remedy=f"Give it: `--set instrument.{name}={_FORMS.get(name, '...')}`, or the "
                "option of the stage.",
            )
        return float(value)

    def scale(self, unit: Any, to: Any = u.electron) -> float | None:
        """Return what values in one unit are multiplied by to be in another.

        Parameters
        ----------
        unit, to : astropy.units.Unit
            Electrons or data numbers (``adu``, ``count``), per second or not.

        Returns
        -------
        float or None
            The factor; None where it is not known, or the units are no such units. Gain and
            exposure time that are not positive are not known.
        """
        factors = _factors(unit, to)
        if factors is None:
            return None
        values = [(getattr(self, name), power) for name, power in factors]
        if not all(value is not None and float(value) > 0 for value, _ in values):
            return None
        return math.prod((float(value) ** power for value, power in values), start=1.0)

    def require_scale(
        self, to: Any = u.electron, *, frame: Frame, stage: str, otherwise: str = "Convert it."
    ) -> float:
        """Return the factor of :meth:`scale` from the unit of a frame, for a stage in need of it.

        Parameters
        ----------
        to : astropy.units.Unit
            Wanted.
        frame : Frame
            Its unit counts.
        stage : str
            The stage, for the message.
        otherwise : str
            What to do with a unit that cannot be turned into the other.

        Returns
        -------
        float
            The factor.

        Raises
        ------
        StageError
            The unit is another, or gain or exposure time are needed and nothing tells them.
        """
        scale = self.scale(frame.unit, to)
        if scale is not None:
            return scale
        factors = _factors(frame.unit, to) or []
        told = {name: self.require(name, frame=frame, stage=stage) for name, _ in factors}
        if told:
            otherwise = f"Give what is right: `--set instrument.{next(iter(told))}=...`."
        raise StageError(
            f"values in {frame.unit} cannot be turned into {u.Unit(to)}",
            where=f"{frame.frame_id}, stage '{stage}'",
            received=", ".join(f"{name} {value:g}" for name, value in told.items()) or None,
            remedy=otherwise,
        )


def _typed(name: str, value: Any) -> Any:
    """Return a value of ``meta`` as the field has it; a card without value tells nothing."""
    if value is None or isinstance(value, Undefined):
        return None
    if name in _TEXTS:
        return str(value)
    if isinstance(value, (int, float, np.number)) and not isinstance(value, bool):
        return float(value)
    raise FrameError(
        f"{name.replace('_', ' ')} of the detector must be a number",
        where=f"meta['{DETECTOR_KEYWORDS[name]}']",
        received=repr(value),
        remedy=f"Give a number there, or `--set instrument.{name}=...`.",
    )


def _factors(unit: Any, to: Any) -> list[tuple[str, int]] | None:
    """Return fields of `Detector` with the power in which each takes one unit to another."""
    needed = {}
    for key, told in (("from", unit), ("to", to)):
        # "counts/s/pixel" is what others call counts/s: the values are those of pixels.
        wanted = told * u.pix if (u.pix, -1) in _factored(told) else told
        found = [names for known, names in _TO_ELECTRONS if known == wanted]
        if not found:
            return None
        needed[key] = found[0]
    up, down = sorted(needed["from"] - needed["to"]), sorted(needed["to"] - needed["from"])
    return [*((name, 1) for name in up), *((name, -1) for name in down)]


def _factored(unit: Any) -> list[tuple[Any, float]]:
    unit = u.Unit(unit)
    return (
        []
        if isinstance(unit, u.IrreducibleUnit)
        else list(zip(unit.bases, unit.powers, strict=True))
    )
