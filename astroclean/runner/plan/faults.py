"""Several faults of a pipeline as one error that lists them all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from astroclean.errors import (
    ConfigurationError,
    InstrumentError,
    NeedError,
    PluginError,
    lines_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["OF_A_HEADER", "OF_THE_RUN", "raise_joined"]

_PIPELINE = "pipeline"
OF_THE_RUN = (ConfigurationError, NeedError, PluginError, InstrumentError)
"""Errors that do not depend on the file: the run ends before the first pixel."""

OF_A_HEADER = (NeedError, InstrumentError)
"""Those among them that depend on the header after all, where other files pass."""


def raise_joined(faults: Sequence[Exception], *, where: str = _PIPELINE) -> None:
    """Raise what was found: one error as it is, several as one that lists them all.

    ``where`` is what they are faults of.
    """
    # A need that no file meets is one problem, told of the first file.
    distinct = list(
        {f.problem if isinstance(f, NeedError) else str(f): f for f in reversed(faults)}.values()
    )[::-1]
    if not distinct:
        return
    plugin_faults = [fault for fault in distinct if isinstance(fault, PluginError)]
    if len(distinct) == 1:
        is_of_file = bool(plugin_faults) and where != _PIPELINE
        raise plugin_faults[0].at(where) if is_of_file else distinct[0]
    if len(plugin_faults) == len(distinct):
        raise PluginError("; ".join(str(f).rstrip(".") for f in distinct), where=where)
    raise ConfigurationError([x for fault in distinct for x in lines_of(fault)], where=where)
