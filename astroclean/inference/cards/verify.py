"""Check that weights give the answer that was stored with them, in every engine."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.errors import PluginError
from astroclean.inference.cards.weights import MissingWeightsError, find_weights, is_imported
from astroclean.inference.engines.engine import (
    EngineUnfitError,
    choose_engine,
    list_engines,
    open_engine,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from astroclean.inference.cards.card import NetworkCard, Tolerance

__all__ = ["ExampleError", "Finding", "read_example", "verify_network", "write_example"]

Tensors = dict[str, "NDArray[np.float32]"]


class ExampleError(PluginError):
    """The stored input and answer of a network are missing or malformed."""


@dataclass(frozen=True)
class Finding:
    """One check of one network."""

    check: str
    """``weights``, ``example``, or engine and precision."""
    passed: bool | None
    """None where the check could not be made here."""
    detail: str
    """What was found, in words."""


def write_example(
    path: Path,
    inputs: Mapping[str, NDArray[np.float32]],
    outputs: Mapping[str, NDArray[np.float32]],
) -> None:
    """Store an input and its answer.

    Parameters
    ----------
    path : Path
        NumPy archive to write.
    inputs, outputs : mapping of str to (n, channels, ny, nx) float32
        By the names of the card.
    """
    arrays = {f"in_{name}": array for name, array in inputs.items()}
    arrays.update({f"out_{name}": array for name, array in outputs.items()})
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def read_example(card: NetworkCard) -> tuple[Tensors, Tensors]:
    """Read the stored input and answer of a network.

    Parameters
    ----------
    card : NetworkCard
        The network; its ``example`` must be set.

    Returns
    -------
    inputs, outputs : dict of str to (n, channels, ny, nx) float32
        By the names of the card.

    Raises
    ------
    ExampleError
        No example, no such file, no NumPy archive, or tensors are missing.
    """
    if card.example is None:
        raise ExampleError("the card has no example", where=f"network '{card.name}'")
    path = card.folder / card.example.file
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name].astype(np.float32) for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ExampleError(f"cannot be read: {error}", where=str(path)) from error
    try:
        inputs = {t.name: arrays[f"in_{t.name}"] for t in card.inputs}
        outputs = {t.name: arrays[f"out_{t.name}"] for t in card.outputs}
    except KeyError as error:
        raise ExampleError(f"has no array {error}", where=str(path)) from error
    return inputs, outputs


def verify_network(card: NetworkCard, *, required: bool = True) -> Iterator[Finding]:
    """Check weights, stored answer and engines of one network.

    Parameters
    ----------
    card : NetworkCard
        The network.
    required : bool
        Whether weights that a user imports must be there; else their absence is no failure.

    Yields
    ------
    Finding
        The weights' hash; then, for each engine and precision, the greatest difference from the
        stored answer. Engines that are not installed or do not fit give ``passed=None``.
    """
    try:
        weights = find_weights(card)
    except MissingWeightsError as error:
        is_optional = not required and is_imported(card)
        told = f"not imported; they are optional. {error.remedy}" if is_optional else str(error)
        yield Finding("weights", passed=None if is_optional else False, detail=told)
        return
    except PluginError as error:
        yield Finding("weights", passed=False, detail=str(error))
        return
    yield Finding("weights", passed=True, detail=f"{weights.name}, {card.weights.size} bytes")
    try:
        inputs, outputs = read_example(card)
    except ExampleError as error:
        yield Finding("example", passed=False, detail=str(error))
        return
    ran = False
    for name, missing in list_engines().items():
        for precision, tolerance in card.precision.items():
            check = f"{name} {precision}"
            if missing is not None:
                yield Finding(check, passed=None, detail=missing)
                continue
            try:
                choose_engine(card, prefer=name, precision=precision)
            except PluginError as error:
                yield Finding(check, passed=None, detail=error.problem)
                continue
            finding = _compared(card, weights, (name, precision), (inputs, outputs, tolerance))
            ran = ran or finding.passed is not None
            yield finding
    if not ran:
        yield Finding("engines", passed=False, detail="no engine is installed that can run it")


def _compared(
    card: NetworkCard,
    weights: Path,
    engine: tuple[str, str],
    expected: tuple[Tensors, Tensors, Tolerance],
) -> Finding:
    inputs, outputs, tolerance = expected
    check = " ".join(engine)
    try:
        opened = open_engine(card, weights, prefer=engine[0], precision=engine[1])
        try:
            answers = opened.infer(inputs)
        finally:
            opened.close()
    except EngineUnfitError as error:
        return Finding(check, passed=None, detail=error.problem)
    except PluginError as error:
        return Finding(check, passed=False, detail=str(error))
    greatest = 0.0
    for name, stored in outputs.items():
        answer = answers[name]
        if answer.shape != stored.shape:
            detail = f"output '{name}' has shape {answer.shape}, stored {stored.shape}"
            return Finding(check, passed=False, detail=detail)
        greatest = max(greatest, float(np.max(np.abs(answer - stored), initial=0.0)))
        if not np.allclose(answer, stored, rtol=tolerance.relative, atol=tolerance.absolute):
            detail = f"output '{name}' differs by up to {greatest:.3g} from the stored answer"
            return Finding(check, passed=False, detail=detail)
    return Finding(check, passed=True, detail=f"differs by up to {greatest:.2g}")
