"""Paths that mean the same in every process: a worker may have another working directory."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astroclean.core.configs import is_name
from astroclean.io.fits.address import parse_address
from astroclean.io.remote.urls import is_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astroclean.config.load import LoadedPipeline

__all__ = ["absolute_address", "absolute_pipeline", "without_folders"]

_TABLES = ("dq", "mask_as")
"""Keys that name a configuration, or are the path of one; so is ``instrument.name``."""


def absolute_address(text: str) -> str:
    """Return an input with its absolute path or URL, by which the next run knows it."""
    address = parse_address(text)
    if is_url(address.path):
        return str(address)
    hdu = str(address).removeprefix(str(address.path))
    return _absolute(address.path) + hdu


def absolute_pipeline(pipeline: LoadedPipeline) -> LoadedPipeline:
    """Return a pipeline all of whose paths are absolute, or refer to its base, which is.

    Parameters
    ----------
    pipeline : LoadedPipeline
        As loaded: what names a table of mask values or an instrument refers to the working
        directory.

    Returns
    -------
    LoadedPipeline
        For jobs; what is on record are the user's words.
    """
    config = pipeline.config
    instrument, products = config.instrument, config.products
    named = {"name": _configuration(instrument.name), "dq": _configuration(instrument.dq)}
    changed = {
        "instrument": instrument.model_copy(update=named),
        "products": products.model_copy(update={"mask_as": _configuration(products.mask_as)}),
    }
    base = Path(_absolute(pipeline.base))
    return replace(pipeline, config=config.model_copy(update=changed), base=base)


def without_folders(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings for the resume key: of tables that are paths, the names alone.

    Their content is in the key; where they lie is not.
    """
    return {
        key: Path(value).name if key in _TABLES and value and not is_name(value) else value
        for key, value in values.items()
    }


def _configuration(name: str | None) -> str | None:
    return name if name is None or is_name(name) else _absolute(name)


def _absolute(path: str | Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - links keep their names
