"""Settings of the stage `pconv`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from astroclean.core.flags.plane_choice import PlaneChoice  # noqa: TC001 - pydantic needs it
from astroclean.core.length import IN_PIXELS
from astroclean.core.sources.holes import HoleRule
from astroclean.core.sources.places import PlaceOptions
from astroclean.core.stage.resources import TableResource  # noqa: TC001 - pydantic needs it
from astroclean.inference.stage_network import EngineOptions

__all__ = ["PconvOptions"]

_Positive = Annotated[float, Field(gt=0)]


class PconvOptions(HoleRule, PlaceOptions, EngineOptions):
    """Settings of :class:`~astroclean_pconv.remover.PartialConvolution`."""

    fill: Literal["sources", "flags"] = "sources"
    """What is taken out: the sources of a catalogue or of an earlier stage, or flagged pixels."""
    mode: Literal["inpaint", "separate"] = "inpaint"
    """``inpaint``: holes are filled from their surroundings alone (the paper). ``separate``: the
    PSF, each source and what lies beneath are solved together, which needs a PSF."""
    catalog: TableResource | None = None
    """Catalogue of the sources: ECSV, CSV, FITS table, VOTable, DS9 regions; positions in pixels or
    on the sky. None: those that an earlier stage found."""
    planes: PlaneChoice = "fillable"
    """Planes whose pixels ``fill = "flags"`` fills, by name or alias. ``fillable``: COSMIC_RAY, HOT
    and DEAD pixels and lines, BAD_PIXEL, where nothing else rejects the pixel; ``reject``: those
    that the run rejects, OVERSCAN apart. Pixels without data are left in any case."""
    leave: Literal["found", "all", "none"] = "found"
    """Whose sources are left that are no compact sources by the next three: ``found``, those that
    an earlier stage found; ``all``, also those of a catalogue; ``none``."""
    max_size: Annotated[float, Field(gt=0, le=100)] = 1.5
    """Sources wider than this, in widths of the PSF, and by more than 1.5 pixels are left:
    galaxies, knots of nebulae."""
    min_snr: Annotated[float, Field(ge=0, le=1000)] = 5.0
    """Sources fainter than this are left, in standard deviations of their flux by the scatter
    around them."""
    min_contrast: Annotated[float, Field(ge=0, le=1000)] = 2.0
    """Sources are left whose peak is less than this many times the emission that they stand on,
    above the sky within 6 FWHM (no unit): knots of galaxies."""
    noise: Literal["match", "none"] = "match"
    """``match``: what is filled gets noise as that of its surroundings; ``none``: it has none."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of that noise (no unit); each hole of each frame gets noise of its own."""
    centroid: bool = False
    """Whether positions are refined first, on the peak of each source."""
    position_error: Annotated[float, Field(ge=0, le=5), IN_PIXELS] = 0.1
    """Standard deviation of the positions along an axis, pixels; of ``separate``. 0: they are
    exact."""
    psf_turn: Annotated[float, Field(ge=0, le=180)] = 30.0
    """Most degrees by which the PSF may be turned, if the frame's bright sources say so."""
    psf_width: Annotated[float, Field(ge=0, lt=1)] = 0.15
    """Most part by which the PSF may be wider or narrower, if they say so. With 0 for this and for
    the turn the PSF is taken for exact."""
    wings: bool = True
    """Whether the light of sources beyond their holes is taken out too, where the PSF is known and
    it is more than a tenth of the noise; then those pixels change as well, and ``inpaint`` fills
    the holes as if that light were not there. False: nothing changes outside the holes."""
    apertures: tuple[_Positive, ...] = ()
    """Radii of the apertures of the table, in ``hole_unit``; none: those of the two smallest
    holes."""
    aperture_corrections: tuple[tuple[_Positive, _Positive], ...] = ()
    """Radii in arcsec, each with the part of a point source's light within it; where there are
    none the PSF of the frame tells it."""
    weights: str = "astroclean"
    """``astroclean``, our compact networks: one, and another for holes in the light of sources of
    which no PSF is known or whose wings stay. ``astroclean-lit``, the other alone; or the card that
    `astroclean train pconv` left."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.fill == "flags" and self.mode == "separate":
            raise ValueError('mode: "separate" is for sources; flagged pixels tell nothing')
        if self.fill == "flags" and self.catalog is not None:
            raise ValueError('catalog: fill = "flags" takes no sources')
        return self
