"""Clean astronomical images with composable plugins.

The public names are loaded on first use (PEP 562), so that ``import astroclean`` and
``astroclean --help`` cost nothing: importing :mod:`astropy.nddata` alone takes most of a second.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from astroclean.core.files import register_files

__version__ = "0.1.0"

_PUBLIC = {
    "AstrocleanError": "astroclean.errors",
    "Frame": "astroclean.core.frame",
    "FrameSet": "astroclean.core.frameset",
    "MaskPlane": "astroclean.core.planes",
    "Psf": "astroclean.core.psf",
    "Sources": "astroclean.core.sources",
    "Stage": "astroclean.core.stage",
    "StageOptions": "astroclean.core.options",
    "StageResult": "astroclean.core.results",
    "Outcome": "astroclean.core.results",
    "list_plugins": "astroclean.registry.discover",
    "load_stage": "astroclean.registry.load",
    "run": "astroclean.runner.api",
    "RunReport": "astroclean.report.model",
}

__all__ = ["__version__", *_PUBLIC]  # noqa: PLE0604 - the names of one table

if TYPE_CHECKING:
    from collections.abc import Callable

    from astroclean.core.frame import Frame
    from astroclean.core.frameset import FrameSet
    from astroclean.core.options import StageOptions
    from astroclean.core.planes import MaskPlane
    from astroclean.core.psf import Psf
    from astroclean.core.results import Outcome, StageResult
    from astroclean.core.sources import Sources
    from astroclean.core.stage import Stage
    from astroclean.errors import AstrocleanError
    from astroclean.registry.discover import list_plugins
    from astroclean.registry.load import load_stage
    from astroclean.report.model import RunReport
    from astroclean.runner.api import run


def _on_use(module: str, name: str) -> Callable[[], Callable[..., Any]]:
    def function() -> Callable[..., Any]:
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return found

    return function


register_files(
    {
        "read_frame": _on_use("astroclean.io.read", "read_frame"),
        "write_frame": _on_use("astroclean.io.write", "write_frame"),
        "read_psf": _on_use("astroclean.io.psf", "read_psf"),
        "read_sources": _on_use("astroclean.io.source_files", "read_sources"),
    }
)


def __getattr__(name: str) -> Any:
    module = _PUBLIC.get(name)
    if module is None:
        raise AttributeError(f"module 'astroclean' has no attribute {name!r}")
    return getattr(importlib.import_module(module), name)


def __dir__() -> list[str]:
    return sorted(__all__)
