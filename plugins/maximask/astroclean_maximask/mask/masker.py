"""`maximask`: contaminants of every kind by a convolutional network."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from astroclean.core.flags.planes import MaskPlane, count_planes, parse_planes
from astroclean.core.stage.kinds.mask import Masker
from astroclean.core.stage.metrics import Total
from astroclean.core.stage.needs import Provides
from astroclean.core.stage.results import Mask
from astroclean.core.stage.scope import Scope, chunk_of
from astroclean.errors import AstrocleanWarning, ConfigurationError
from astroclean.inference.stage_network import NetworkOptions, NetworkTiles, StageNetwork
from astroclean_maximask.classes import CONTAMINANTS, EXTRA_CLASSES
from astroclean_maximask.mask.evidence.judge import judge
from astroclean_maximask.mask.priors import (
    known_alias,
    raw_threshold,
    update_priors,
    with_overrides,
)
from astroclean_maximask.shipped import card_path

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.stage.needs import Identity
    from astroclean.inference.tiles.normalize import Measurement

__all__ = ["MaxiMask", "MaxiMaskOptions"]

_OUTPUT = "probabilities"
_STRIP = 512
"""Rows that the rules look at together, at least: a trail of which less is seen is a dash."""
_NOTABLE = 0.002
"""Share of a frame of which the network said a thing that the pixels do not bear out."""


class MaxiMaskOptions(NetworkOptions):
    """Settings of :class:`MaxiMask`."""

    weights: str = "astroclean"
    """``astroclean``, our own compact network; ``published``, the authors', imported with
    `astroclean weights import maximask`; or the card that `astroclean train maximask` left."""
    classes: tuple[str, ...] = ()
    """Planes to flag, by name or alias; none: all that the network knows."""
    thresholds: dict[str, float] = Field(default_factory=dict)
    """Probability above which a class is flagged, by name or alias; others as the weights say."""
    priors: dict[str, float] = Field(default_factory=dict)
    """Fraction of pixels that a class is expected to have, by name or alias; others as the weights
    say. A rarer class needs more evidence."""
    probabilities: bool = False
    """Whether to return the probability of each class: 4 bytes a class and pixel of memory. They
    are the network's, whatever the evidence."""
    evidence: bool = True
    """Whether a flag needs evidence beside the network: SATURATED the level of the header or a flat
    core, OVERSCAN a strip along a border, TRAIL a long straight line, GHOST an edge all around,
    CROSSTALK its star or a bleed trail, SPIKE a bright star, COSMIC_RAY no wings of a star,
    DEAD_PIXEL and DEAD_LINE values below the noise. What has none is dropped, and counted."""


class MaxiMask(NetworkTiles, Masker):
    """Flags contaminants with MaxiMask (Paillassa, Bertin & Bouy 2020, A&A 634, A48).

    The sky of a mesh is subtracted and its noise divided by, so the unit does not matter. Pixels
    without a value are filled with the sky and never flagged. What the network says is then
    judged by rules (:mod:`astroclean_maximask.mask.evidence`), strip by strip: whole rows of
    tiles, 512 pixels high at least.
    """

    sets = MaskPlane.union([*CONTAMINANTS, *EXTRA_CLASSES])
    Options = MaxiMaskOptions

    def __init__(
        self, options: MaxiMaskOptions | None = None, *, identity: Identity | None = None
    ) -> None:
        super().__init__(options, identity=identity)
        card = card_path("maximask", self.options.weights)
        known = StageNetwork(card, self.options).card.calibration.classes
        if not known:
            raise ConfigurationError(
                "weights: the card has no classes; they lie beside it, in NAME.classes.toml",
                where=str(card),
            )
        with_priors = with_overrides(known, "prior", self.options.priors)
        self._classes = with_overrides(with_priors, "threshold", self.options.thresholds)
        chosen = [known_alias(name, known) for name in self.options.classes]
        self._chosen = tuple(alias for alias in known if alias in (chosen or known))
        wanted = self._chosen if chosen else ()
        self._network = StageNetwork(card, self.options, channels=wanted)

    def provides(self) -> Provides:
        """Return the planes of the chosen classes."""
        return Provides(planes=parse_planes(self._chosen))

    def scope(self, frame: Frame) -> Scope:
        """Return that of the network; the strips that the rules look at are whole rows of tiles."""
        scope = super().scope(frame)
        strip = scope.step * -(-_STRIP // scope.step)
        return replace(scope, step=strip) if self.options.evidence else scope

    def find(self, frame: Frame) -> Mask:
        """Return the contaminants.

        Parameters
        ----------
        frame : Frame
            Any unit, sky included. Not modified.

        Returns
        -------
        Mask
            Flags of the chosen classes; their probabilities where the option asks for them.
        """
        self._network.warn_outside_domain(frame)
        digest = self._updated if self.options.probabilities else self._flags_of
        measured = self.measured(frame)
        found = self._network.predictor.predict(frame, measured=measured, digest=digest)[_OUTPUT]
        if not self.options.probabilities:
            return self._judged(frame, found[0], measured, {})
        flags = np.zeros(frame.shape, dtype=np.uint32)
        for alias, values in zip(self._chosen, found, strict=True):
            flags |= self._flagged(alias, values)
        return self._judged(frame, flags, measured, dict(zip(self._chosen, found, strict=True)))

    def _judged(
        self,
        frame: Frame,
        flags: NDArray[np.uint32],
        measured: Measurement,
        probabilities: dict[str, NDArray[np.float32]],
    ) -> Mask:
        """Return the answer with the flags for which there is evidence."""
        limits = {f"threshold {name}": self._classes[name].threshold for name in self._chosen}
        if not self.options.evidence:
            return Mask(flags, probabilities=probabilities, metrics=limits)
        kept = judge(
            frame,
            flags,
            measured,
            height=self.scope(frame).step,
            margin=self._network.predictor.halo,
            threads=self.options.threads,
        )
        own = chunk_of(frame).own
        dropped, found = count_planes((flags & ~kept)[own]), count_planes(flags[own])
        if sum(dropped.values()) > _NOTABLE * flags[own].size:
            told = ", ".join(f"{plane} {lost} of {found[plane]}" for plane, lost in dropped.items())
            warnings.warn(
                f"{self.where(frame)}: the network flagged pixels for which "
                f"nothing else speaks; dropped: {told}. It may not know this kind of frame: look "
                "at what it kept, or keep all with `evidence = false`",
                AstrocleanWarning,
                stacklevel=3,
            )
        counts = {f"dropped {plane}": Total(lost) for plane, lost in dropped.items()}
        return Mask(kept, probabilities=probabilities, metrics={**limits, **counts})

    def _updated(self, answer: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities of the chosen classes under the expected priors."""
        channels = self._network.card.outputs[0].channels
        settings = [self._classes[alias] for alias in self._chosen]
        return update_priors(
            answer[[channels.index(alias) for alias in self._chosen]],
            np.array([entry.training_prior for entry in settings], dtype=np.float32),
            np.array([entry.prior for entry in settings], dtype=np.float32),
        )

    def _flags_of(self, answer: NDArray[np.float32]) -> NDArray[np.uint32]:
        channels = self._network.card.outputs[0].channels
        flags = np.zeros(answer.shape[1:], dtype=np.uint32)
        for alias in self._chosen:
            limit = np.float32(raw_threshold(self._classes[alias]))
            flags |= (answer[channels.index(alias)] > limit) * np.uint32(parse_planes(alias))
        return flags[np.newaxis]

    def _flagged(self, alias: str, values: NDArray[np.float32]) -> NDArray[np.uint32]:
        # NaN, where there is no value, is above no threshold.
        return (values > self._classes[alias].threshold) * np.uint32(parse_planes(alias))
