"""`StageNetwork`: the network of a stage, opened once a process, and the options of all such."""

from __future__ import annotations

import functools
import warnings
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from astroclean.core.stage.options import StageOptions
from astroclean.core.stage.scope import Scope
from astroclean.errors import AstrocleanWarning
from astroclean.inference.cards.card import Precision, load_card
from astroclean.inference.cards.domain import check_domain
from astroclean.inference.cards.weights import card_digest, find_weights
from astroclean.inference.engines.engine import EngineSettings, choose_engine, open_engine
from astroclean.inference.stamped.predictor import StampPredictor
from astroclean.inference.tiles.predictor import Predictor

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from astroclean.core.image.frame import Frame
    from astroclean.inference.cards.card import NetworkCard
    from astroclean.inference.engines.engine import Engine

__all__ = [
    "EngineOptions",
    "NetworkOptions",
    "NetworkStamps",
    "NetworkTiles",
    "StageNetwork",
    "StampOptions",
]


class EngineOptions(StageOptions):
    """Settings of every stage with a network."""

    engine: str = "auto"
    """Engine that runs the network: ``auto`` or a name that `astroclean doctor` lists."""
    precision: Precision | None = None
    """Of the arithmetic: one that the card allows; none: its first."""
    device: str = "auto"
    """``auto``, ``cpu``, or what the engine calls it, such as ``cuda:0``."""
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    """CPU threads of each process. OpenVINO and onnxruntime give each a tile of its own: the answer
    does not depend on their number, memory does."""


class NetworkOptions(EngineOptions):
    """Settings of a stage that takes a network over its frames tile by tile."""

    tile: Annotated[int, Field(ge=64, le=8192)] = 1024
    """Side of a tile in pixels, its margin included. It changes memory and speed, not the answer
    but for rounding."""
    batch: Annotated[int, Field(ge=1, le=256)] = 1
    """Tiles given to the engine together."""


class StampOptions(EngineOptions):
    """Settings of a stage that shows its network stamps around sources."""

    batch: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Stamps given to the engine together; none: as the card of the network says. It changes the
    speed, and the answer by rounding at most."""


class StageNetwork:
    """A network as a stage uses it.

    Parameters
    ----------
    card : Path
        Its card.
    options : EngineOptions
        Of the stage; `NetworkOptions` for one that asks for a :attr:`predictor`, `StampOptions` for
        :attr:`stamps`.
    channels : sequence of str
        Channels that the stage wants, where it does not want all: others cost time.

    Raises
    ------
    PluginLoadError
        The card cannot be used.
    ConfigurationError
        The network has no such channel.
    """

    def __init__(self, card: Path, options: EngineOptions, *, channels: Sequence[str] = ()) -> None:
        self.card: NetworkCard = load_card(card).limited(channels)
        self._digest = card_digest(card)
        self._path = card
        self._options = options
        self._channels = tuple(channels)

    def fingerprint(self) -> dict[str, str]:
        """Return weights, card, engine and precision: what the answer depends on.

        Raises
        ------
        PluginError
            The weights are missing or damaged, or no engine can run them.
        """
        options = self._options
        find_weights(self.card)
        return {
            "weights": self.card.weights.sha256,
            "card": self._digest,
            "engine": choose_engine(self.card, prefer=options.engine, precision=options.precision),
            "precision": options.precision or self.card.default_precision,
        }

    @property
    def engine(self) -> Engine:
        """The network in its engine; opened at first use, then the same for the process."""
        options = self._options
        settings = EngineSettings(
            options.precision or self.card.default_precision,
            options.device,
            options.threads,
            self._channels,
        )
        return _engine(self._path, self._digest, options.engine, settings)

    @property
    def predictor(self) -> Predictor:
        """The network on whole frames."""
        options = self._options
        assert isinstance(options, NetworkOptions)  # else there are no tiles
        return Predictor(self.card, self.engine, tile=options.tile, batch=options.batch)

    @property
    def stamps(self) -> StampPredictor:
        """The network on the sources of frames."""
        options = self._options
        assert isinstance(options, StampOptions)  # else there is no batch
        return StampPredictor(self.card, self.engine, batch=options.batch)

    def warn_outside_domain(self, frame: Frame) -> None:
        """Warn where a frame is not of the kind that the network was trained on."""
        for told in check_domain(self.card, frame):
            text = f"{frame.frame_id}, network '{self.card.name}': {told}"
            warnings.warn(text, AstrocleanWarning, stacklevel=2)


class NetworkTiles:
    """What every stage answers of itself that takes a network over its frames tile by tile.

    A mixin, before the base class of the kind; the stage sets ``_network`` in ``__init__``.
    """

    _network: StageNetwork

    def scope(self, frame: Frame) -> Scope:
        """Return the reach of the network, the height of its tiles and what it must measure."""
        return self._network.predictor.scope(frame)

    def fingerprint(self) -> dict[str, str]:
        """Return weights, engine and precision."""
        return self._network.fingerprint()


class NetworkStamps:
    """What every stage answers of itself that shows its network stamps around sources.

    A mixin, before the base class of the kind; the stage sets ``_network`` in ``__init__``. One
    that finds its sources on the whole frame has a scope of its own.
    """

    _network: StageNetwork

    def scope(self, frame: Frame) -> Scope:  # noqa: ARG002 - the same for every frame
        """Return the reach of stamps that touch a row."""
        return Scope(halo=self._network.stamps.halo)

    def fingerprint(self) -> dict[str, str]:
        """Return weights, engine and precision."""
        return self._network.fingerprint()


@functools.lru_cache(maxsize=4)
def _engine(
    path: Path,
    digest: str,  # noqa: ARG001 - of card and weights: others are another engine
    name: str,
    settings: EngineSettings,
) -> Engine:
    card = load_card(path)
    return open_engine(
        card,
        find_weights(card),
        prefer=name,
        threads=settings.threads,
        precision=settings.precision,
        device=settings.device,
        channels=settings.channels,
    )
