"""Properties of the detector, carried by ``Frame.meta`` under keywords of astroclean's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from astroclean.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from astroclean.core.frame import Frame

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
    def of(cls, meta: Mapping[str, Any]) -> Detector:
        """Return the detector described by a frame's ``meta``."""
        return cls(**{name: meta.get(key) for name, key in DETECTOR_KEYWORDS.items()})

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
                remedy=f"Give it: `--set instrument.{name}=...`, or the option of the stage.",
            )
        return float(value)
