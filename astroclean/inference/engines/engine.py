"""`Engine`: one small protocol before every library that runs networks, and the choice of one."""

from __future__ import annotations

import importlib.util
import warnings
from dataclasses import dataclass, field, replace
from importlib import metadata
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from astroclean.core.suggest import did_you_mean
from astroclean.errors import AstrocleanWarning, PluginError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from astroclean.inference.cards.card import NetworkCard, Precision

__all__ = [
    "AUTO_ORDER",
    "Engine",
    "EngineError",
    "EngineProvider",
    "EngineSettings",
    "EngineUnfitError",
    "choose_engine",
    "engine_names",
    "list_engines",
    "open_engine",
]

AUTO_ORDER = ("openvino", "onnxruntime", "torch", "keras")
"""Order in which ``auto`` takes what is installed; engines of third parties only by name."""
ENGINES_GROUP = "astroclean.engines"
_INSTALL = "`python -m pip install 'astroclean[engine]'` brings one."


class EngineError(PluginError):
    """No engine can run a network, or the one that runs it failed."""


class EngineUnfitError(EngineError):
    """An engine cannot run a network on this machine, though nothing is wrong with either."""


@dataclass(frozen=True)
class EngineSettings:
    """What an engine is opened with."""

    precision: Precision = "f32"
    """Of the arithmetic inside; batches are float32 in any case."""
    device: str = "auto"
    """``auto``, ``cpu``, or what the library calls it, such as ``cuda:0``."""
    threads: int = 1
    """CPU threads, fixed: a run has many workers. An engine that can gives each batch one of them,
    so that no sum depends on their number."""
    channels: tuple[str, ...] = ()
    """Channels to answer with, by the names of the card; none: all. Engines may leave this to
    `open_engine`, which then drops the others from what they answer."""


@runtime_checkable
class Engine(Protocol):
    """Runs one set of weights: batch axis first, float32, tensors by name."""

    name: str
    """As in the entry point."""
    device: str
    """As resolved, such as ``cpu`` or ``cuda:0``."""
    precision: str
    """As resolved: ``f32``, ``bf16`` or ``f16``."""
    parallel: int
    """Batches that it may be given at a time, each from a thread of its own; 1 where it shares its
    threads among the pixels of one batch."""

    def infer(self, inputs: Mapping[str, NDArray[np.float32]]) -> Mapping[str, NDArray[np.float32]]:
        """Return the outputs of one batch.

        Parameters
        ----------
        inputs : mapping of str to (n, channels, ny, nx) float32
            Every input of the card. Not modified.

        Returns
        -------
        mapping of str to (n, channels, ny * scale, nx * scale) float32
            Every output of the card, with the channels that were asked for; new arrays.
        """

    def close(self) -> None:
        """Give memory back. The engine cannot be used any more."""


class EngineProvider(Protocol):
    """The target of an entry point in the group ``astroclean.engines``.

    Importing its module must import none of ``libraries``.
    """

    name: str
    libraries: tuple[str, ...]
    """Top-level modules that must be installed."""
    extra: str
    """What to give to pip."""
    # An engine that itself answers with ``settings.channels`` alone has ``limits_channels = True``.

    def unfit(self, card: NetworkCard, settings: EngineSettings) -> str | None:
        """Return why the engine cannot run the network, without importing its libraries."""

    def open(self, card: NetworkCard, weights: Path, settings: EngineSettings) -> Engine:
        """Load the weights; raise an EngineError that says why it does not work."""


class _LimitedEngine:
    """An engine of which some channels are not wanted; it computes them all the same."""

    def __init__(self, engine: Engine, places: Mapping[str, list[int]]) -> None:
        self.name, self.device = engine.name, engine.device
        self.precision, self.parallel = engine.precision, engine.parallel
        self._engine = engine
        self._places = places

    def infer(self, inputs: Mapping[str, NDArray[np.float32]]) -> Mapping[str, NDArray[np.float32]]:
        """Return the wanted channels of one batch."""
        answers = dict(self._engine.infer(inputs))
        # A list of places makes a copy: views would hold the memory of all.
        return answers | {name: answers[name][:, kept] for name, kept in self._places.items()}

    def close(self) -> None:
        """Give memory back."""
        self._engine.close()


@dataclass
class _Candidates:
    """Engines that may work, in order, and why the others do not."""

    fit: list[EngineProvider] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


def engine_names() -> tuple[str, ...]:
    """Return the engines known here, installed libraries or not, those of ``auto`` first."""
    names = {point.name for point in metadata.entry_points(group=ENGINES_GROUP)}
    return (*(n for n in AUTO_ORDER if n in names), *sorted(names - set(AUTO_ORDER)))


def list_engines() -> dict[str, str | None]:
    """Return each engine with what keeps it from being used; None where nothing does.

    Returns
    -------
    dict of str to str or None
        In the order of :func:`engine_names`. Libraries are located, not imported.
    """
    found: dict[str, str | None] = {}
    for name in engine_names():
        provider = _provider(name)
        found[name] = provider if isinstance(provider, str) else _missing(provider)
    return found


def choose_engine(card: NetworkCard, *, prefer: str = "auto", precision: str | None = None) -> str:
    """Return the name of the engine that would be opened, for preflight and the resume key.

    Parameters
    ----------
    card : NetworkCard
        The network.
    prefer : str
        ``auto`` or the name of an engine.
    precision : str, optional
        One of the card's; by default its first.

    Returns
    -------
    str
        Name of the first engine whose libraries are installed and that can run such a network.

    Raises
    ------
    EngineError
        None; every reason is named.
    """
    settings = _settings(card, precision=precision)
    return _candidates(card, prefer, settings).fit[0].name


def open_engine(
    card: NetworkCard,
    weights: Path,
    *,
    prefer: str = "auto",
    threads: int = 1,
    precision: str | None = None,
    device: str = "auto",
    channels: Collection[str] = (),
) -> Engine:
    """Open the weights of a network in an engine.

    Parameters
    ----------
    card : NetworkCard
        The network.
    weights : Path
        The ONNX file, as found by `astroclean.inference.cards.weights.find_weights`.
    prefer : str
        ``auto`` (the first of `AUTO_ORDER` that works) or the name of an engine.
    threads : int
        CPU threads of this engine.
    precision : str, optional
        One of the card's; by default its first.
    device : str
        ``auto`` or what the library calls it.
    channels : collection of str
        Channels to answer with, in the order of the card; none: all. The answer is then that of
        ``card.limited(channels)``.

    Returns
    -------
    Engine
        Ready.

    Raises
    ------
    EngineError
        None works; every reason is named. An engine asked for by name is never replaced.
    ConfigurationError
        The network has no such channel.
    """
    limited = card.limited(channels)
    settings = _settings(card, precision=precision, device=device, threads=threads)
    if limited is not card:
        settings = replace(settings, channels=tuple(channels))
    candidates = _candidates(card, prefer, settings)
    unfit = 0
    for provider in candidates.fit:
        try:
            return _opened(provider, card, weights, settings)
        except EngineError as error:
            reason = error.problem
            unfit += isinstance(error, EngineUnfitError)
        except Exception as error:  # noqa: BLE001 - a broken library may raise anything
            reason = f"{type(error).__name__}: {error}"
        candidates.reasons.append(f"{provider.name}: {reason}")
        if prefer == "auto":
            told = f"network '{card.name}': engine {provider.name} was passed over: {reason}"
            warnings.warn(told, AstrocleanWarning, stacklevel=2)
    failure = _none_works(card, candidates.reasons, prefer)
    if unfit == len(candidates.fit):
        raise EngineUnfitError(failure.problem, where=failure.where, remedy=failure.remedy)
    raise failure


def _opened(
    provider: EngineProvider, card: NetworkCard, weights: Path, settings: EngineSettings
) -> Engine:
    """Open an engine that answers with the channels that are asked for."""
    opened = provider.open(card, weights, settings)
    if not settings.channels or getattr(provider, "limits_channels", False):
        return opened
    return _LimitedEngine(opened, card.places(settings.channels))


def _settings(
    card: NetworkCard, *, precision: str | None, device: str = "auto", threads: int = 1
) -> EngineSettings:
    chosen = card.default_precision if precision is None else precision
    for allowed in card.precision:
        if allowed == chosen:
            return EngineSettings(allowed, device, threads)
    raise EngineError(
        f"its card allows precision {', '.join(card.precision)}",
        where=f"network '{card.name}'",
        received=chosen,
    )


def _candidates(card: NetworkCard, prefer: str, settings: EngineSettings) -> _Candidates:
    names = AUTO_ORDER if prefer == "auto" else (prefer,)
    if prefer != "auto" and prefer not in engine_names():
        raise EngineError(
            f"no engine '{prefer}' is installed",
            where=f"network '{card.name}'",
            remedy=did_you_mean(prefer, ("auto", *engine_names())),
        )
    found = _Candidates()
    for name in names:
        provider = _provider(name)
        if isinstance(provider, str):
            found.reasons.append(f"{name}: {provider}")
            continue
        problem = _missing(provider) or provider.unfit(card, settings)
        if problem is None:
            found.fit.append(provider)
        else:
            found.reasons.append(f"{name}: {problem}")
    if not found.fit:
        raise _none_works(card, found.reasons, prefer)
    return found


def _none_works(card: NetworkCard, reasons: list[str], prefer: str) -> EngineError:
    told = "no engine can run it" if prefer == "auto" else "the engine asked for cannot run it"
    return EngineError(
        f"{told}: {'; '.join(reasons)}",
        where=f"network '{card.name}'",
        remedy=_INSTALL if prefer == "auto" else None,
    )


def _provider(name: str) -> EngineProvider | str:
    """Return the engine's provider, or why there is none."""
    points = list(metadata.entry_points(group=ENGINES_GROUP, name=name))
    if not points:
        return "its entry point is not installed; reinstall astroclean"
    targets = sorted({point.value for point in points})
    if len(targets) > 1:
        return f"offered twice, by {' and '.join(targets)}"
    try:
        provider: EngineProvider = points[0].load()
    except Exception as error:  # noqa: BLE001 - a third party's module may raise anything
        return f"cannot be imported: {type(error).__name__}: {error}"
    return provider


def _missing(provider: EngineProvider) -> str | None:
    missing = [name for name in provider.libraries if importlib.util.find_spec(name) is None]
    if not missing:
        return None
    return f"needs {' and '.join(missing)}; `pip install '{provider.extra}'`"
