"""`trails`: satellite trails whole, by MaxiMask and by lines in the pixels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.length import IN_PIXELS
from astroclean.core.stage.kinds.mask import Masker
from astroclean.core.stage.results import Mask
from astroclean.core.stage.scope import WHOLE, Scope
from astroclean.inference.stage_network import NetworkOptions, NetworkTiles, StageNetwork
from astroclean_maximask.shipped import card_path
from astroclean_maximask.trails.find import drawn, find_trails
from astroclean_maximask.trails.judge import Limits
from astroclean_maximask.trails.linking import linked
from astroclean_maximask.trails.maps import binned_mean, observed
from astroclean_maximask.trails.stars import star_fwhm
from astroclean_maximask.trails.table import trail_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.table import QTable
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.stage.needs import Identity
    from astroclean.inference.tiles.normalize import Measurement

__all__ = ["Trails", "TrailsOptions"]

_OUTPUT = "probabilities"
_TABLE = "trails"


class TrailsOptions(NetworkOptions):
    """Settings of :class:`Trails`."""

    weights: str = "astroclean"
    """As of `maximask`: ``astroclean``, ``published``, or the card that a training left."""
    nsigma: Annotated[float, Field(ge=4, le=1000)] = 9.0
    """Significance of a trail over its whole length, in standard deviations; less is enough where
    the network says the same. Wings of faint sources in a row reach 8."""
    min_length: Annotated[float, Field(ge=30, le=100000), IN_PIXELS] = 60.0
    """Shortest trail, in pixels; one with an end in the frame has 150 at least."""
    width: Annotated[float, Field(ge=2, le=200), IN_PIXELS] = 100.0
    """Widest trail, full width at half maximum in pixels."""
    axis_margin: Annotated[float, Field(ge=0, le=45)] = 0.5
    """Lines closer than this to rows or columns are left, in degrees: they are bad columns, bleed
    trails and spikes; 0 takes them too."""
    wings: Annotated[float, Field(ge=0.05, le=10)] = 0.5
    """Mean light above which the wings beside a trail are flagged, in standard deviations of a
    pixel; the full width at half maximum is flagged in any case."""
    grow: Annotated[float, Field(ge=0, le=100), IN_PIXELS] = 1.0
    """Pixels by which a trail is widened on each side and at its ends."""


class Trails(NetworkTiles, Masker):
    """Flags TRAIL: lines that the network says something of, or that stand out in the pixels.

    Sums along all lines of the binned frame, and of the network's probabilities, give candidates.
    Each is followed on the pixels themselves: straight or slightly bent, across gaps, to its ends;
    its profile gives the width that is flagged. Needs the whole frame: a line in a band is no
    longer one.
    """

    sets = MaskPlane.TRAIL
    tables = frozenset({_TABLE})
    Options = TrailsOptions

    def __init__(
        self, options: TrailsOptions | None = None, *, identity: Identity | None = None
    ) -> None:
        super().__init__(options, identity=identity)
        card = card_path("maximask", self.options.weights)
        # The other classes would cost time.
        self._network = StageNetwork(card, self.options, channels=(MaskPlane.TRAIL.alias,))

    def scope(self, frame: Frame) -> Scope:
        """Return the whole frame: a trail is judged by its whole length; the sky is surveyed."""
        return replace(WHOLE, survey=self._network.predictor.scope(frame).survey)

    def find(self, frame: Frame) -> Mask:
        """Return the trails.

        Parameters
        ----------
        frame : Frame
            Any unit, sky included. Not modified.

        Returns
        -------
        Mask
            TRAIL; the table ``trails``; metrics ``trails`` and, as ``longest: ...``, of the
            longest its ``length (pixels)``, ``width (pixels)`` and ``snr`` of a box of one FWHM.
        """
        self._network.warn_outside_domain(frame)
        options = self.options
        measured = self.measured(frame)
        sky = observed(frame, measured)
        limits = Limits(
            options.nsigma,
            options.min_length,
            options.width,
            options.axis_margin,
            options.wings,
            star_fwhm(frame, sky),
        )
        found = find_trails(
            sky, self._probability(frame, measured), limits, threads=options.threads
        )
        flags = np.zeros(frame.shape, dtype=np.uint32)
        for trail in found:
            flags[drawn(trail, frame.shape, grow=options.grow)] = np.uint32(MaskPlane.TRAIL)
        flags[~np.isfinite(frame.data)] = 0
        table = trail_table(found, sky, frame)
        return Mask(flags, metrics=_metrics(table), tables={_TABLE: table})

    def link(self, name: str, tables: Sequence[QTable]) -> list[QTable]:  # noqa: ARG002 - one name
        """Return the tables of the frames of a file, trails of one passage with one ``group``."""
        return linked(tables)

    def _probability(self, frame: Frame, measured: Measurement) -> NDArray[np.float32]:
        """Return the mean probability of TRAIL in each cell, 0 where nothing is known."""
        return binned_mean(self._network.predictor.predict(frame, measured=measured)[_OUTPUT][0])


def _metrics(table: QTable) -> dict[str, float]:
    metrics = {"trails": float(len(table))}
    if len(table):
        longest = table[int(np.argmax(table["length"].value))]
        metrics["longest: length (pixels)"] = float(longest["length"].value)
        metrics["longest: width (pixels)"] = float(longest["fwhm"].value)
        metrics["longest: snr"] = float(longest["snr_fwhm"])
    return metrics
