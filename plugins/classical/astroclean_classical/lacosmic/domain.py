"""For `lacosmic`: the frames that it is for, and what it says of others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.stage.domain import Domain, known_fwhm_pixels
from astroclean_classical.lacosmic.sources import PointSources
from astroclean_classical.lacosmic.stars import WIDEST

if TYPE_CHECKING:
    from astroclean.core.image.frame import Frame
    from astroclean_classical.lacosmic.stage import LACosmicOptions
    from astroclean_classical.lacosmic.survey import FrameFacts

__all__ = ["DOMAIN", "fwhm_of", "point_sources_of", "remarks_of"]

DOMAIN = Domain(
    fwhm_pixels=(1.8, 100.0),
    coadd=False,
    description="Single exposures, stars sampled by their detector",
)
"""Below that width hits of few pixels look like stars (figures in the README of the plugin)."""

# A header that contradicts the stars of the frame by more is of no use.
_AGREEMENT = 1.5
_NARROWEST = 0.5
# Widths about the one that is known: it is uncertain, and varies over the frame.
_AROUND = (0.9, 1.0, 1.12)
_CORRELATED = 0.4


def fwhm_of(options: LACosmicOptions, frame: Frame, facts: FrameFacts) -> float | None:
    """Return the width of the PSF in pixels; what was measured goes before what is told."""
    return facts.fwhm_pixels or options.psf_fwhm or known_fwhm_pixels(frame)


def point_sources_of(
    options: LACosmicOptions, frame: Frame, facts: FrameFacts
) -> PointSources | None:
    """Return what stars of the frame look like; None where that is not known, or they are wide."""
    measured = facts.fwhm_pixels
    told = options.psf_fwhm or known_fwhm_pixels(frame)
    if measured and told and abs(np.log(told / measured)) > np.log(_AGREEMENT):
        told = None
    widths = [width for width in (measured, told) if width and width <= WIDEST]
    if not widths:
        return None
    steps = [max(width * step, _NARROWEST) for width in widths for step in _AROUND]
    sources = PointSources.of_widths(sorted(set(steps)))
    if facts.stars is not None and facts.stars.fine is not None:
        sources = sources.joined(PointSources.of_fine(facts.stars.fine, facts.stars.fwhm_pixels))
    return sources if frame.psf is None else sources.joined(PointSources.of_psf(frame.psf))


def remarks_of(options: LACosmicOptions, frame: Frame, facts: FrameFacts) -> list[tuple[str, bool]]:
    """Return what is to be said of a frame outside the domain, and whether flags are doubtful."""
    sky = facts.sky
    is_crowded = sky.correlation > _CORRELATED
    remarks = []
    for difference in DOMAIN.differences(frame, fwhm_pixels=fwhm_of(options, frame, facts)):
        if not difference.startswith("PSF"):
            remedy = "stacks carry no hits, and what is flagged may be stars"
            remarks.append((f"{difference}: {remedy}", True))
            continue
        remedy = "hits that look like such a star are left"
        if is_crowded:
            remedy += ", and blends of stars may be flagged, for the field is crowded"
        remedy += "; a second exposure tells them apart"
        remarks.append((f"{difference}: {remedy}", is_crowded))
    if is_crowded and not remarks and not sky.falls_short_of_prediction:
        text = (
            f"the noise of neighbors is correlated ({sky.correlation:.2f}): a crowded field, "
            "or a frame that was resampled or smoothed, in which hits are no longer sharp"
        )
        remarks.append((text, False))
    return remarks
