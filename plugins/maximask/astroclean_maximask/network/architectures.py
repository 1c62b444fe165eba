"""The networks that `astroclean train maximask` trains: which, the first weights tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from astroclean.inference.engines.initializers import read_initializers
from astroclean_maximask.classes import CHANNELS, OUTPUTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["COMPACT", "PAPER", "WIDE", "Architecture", "architecture_of"]


@dataclass(frozen=True)
class Architecture:
    """A network, how it learns, and what it leaves."""

    channels: tuple[str, ...]
    """Names of its outputs."""
    build: Callable[[], Any]
    """Returns a `keras.Model` that gives logits, those at full resolution first."""
    weights: tuple[float, ...]
    """Of the loss of each of its answers."""
    export: Callable[[Sequence[NDArray[Any]], Mapping[str, NDArray[Any]], Path], Sequence[Path]]
    """Writes what is shipped, from the values of all variables and validation samples."""


def _compact() -> Any:
    from astroclean_maximask.network.network import build_compact  # noqa: PLC0415 - imports keras

    return build_compact(len(CHANNELS), auxiliary=True)


def _wide() -> Any:
    from astroclean_maximask.network.network import build_compact  # noqa: PLC0415 - imports keras

    return build_compact(len(CHANNELS), auxiliary=True, wide=True)


def _paper() -> Any:
    from astroclean_maximask.network.network import build_maximask  # noqa: PLC0415 - imports keras

    return build_maximask(len(OUTPUTS), logits=True)


def _export_compact(
    weights: Sequence[NDArray[Any]], samples: Mapping[str, NDArray[Any]], folder: Path
) -> Sequence[Path]:
    from astroclean_maximask.train.shipping import export_compact  # noqa: PLC0415 - imports keras

    return export_compact(weights, samples, folder)


def _export_wide(
    weights: Sequence[NDArray[Any]], samples: Mapping[str, NDArray[Any]], folder: Path
) -> Sequence[Path]:
    from astroclean_maximask.train.shipping import export_compact  # noqa: PLC0415 - imports keras

    return export_compact(weights, samples, folder, wide=True)


def _export_paper(
    weights: Sequence[NDArray[Any]], samples: Mapping[str, NDArray[Any]], folder: Path
) -> Sequence[Path]:
    from astroclean_maximask.train.shipping import export_paper  # noqa: PLC0415 - imports keras

    return export_paper(weights, samples, folder)


COMPACT = Architecture(CHANNELS, _compact, (1.0, 0.2, 0.2, 0.2), _export_compact)
"""Ours; losses at full resolution, 1/2, 1/4 and 1/8 (paper, section 3.1.2)."""
WIDE = Architecture(CHANNELS, _wide, (1.0, 0.2, 0.2, 0.2), _export_wide)
"""The same with two coarser resolutions more."""
PAPER = Architecture(OUTPUTS, _paper, (1.0,), _export_paper)
"""The authors': 14 classes, 5.7 M parameters."""


def architecture_of(start: Path | None, *, wide: bool = False) -> Architecture:
    """Return the network to which weights belong.

    Parameters
    ----------
    start : Path, optional
        ONNX file. Without one, a training is of the compact network.
    wide : bool
        Whether weights of the compact network begin those of the wide one.

    Returns
    -------
    Architecture
        The paper's where the file has its last layer, the wide one where it has its coarsest.
    """
    known = read_initializers(start) if start is not None and start.is_file() else {}
    if "final_conv/kernel" in known:
        return PAPER
    return WIDE if wide or "narrow4/kernel" in known else COMPACT
