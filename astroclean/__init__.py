"""Clean astronomical images with composable plugins.

The public names are loaded on first use (PEP 562), so that ``import astroclean`` and
``astroclean --help`` cost nothing: importing :mod:`astropy.nddata` alone takes most of a second.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from astroclean.core.files import register_files
from astroclean.moved import follow_moves

__version__ = "0.1.0"

_PUBLIC = {
    "AstrocleanError": "astroclean.errors",
    "Frame": "astroclean.core.image.frame",
    "FrameSet": "astroclean.core.image.frameset",
    "MaskPlane": "astroclean.core.flags.planes",
    "Psf": "astroclean.core.psf.psf",
    "Sources": "astroclean.core.sources.sources",
    "Stage": "astroclean.core.stage.stage",
    "StageOptions": "astroclean.core.stage.options",
    "StageResult": "astroclean.core.stage.results",
    "Outcome": "astroclean.core.stage.results",
    "list_plugins": "astroclean.registry.discover",
    "load_stage": "astroclean.registry.load",
    "run": "astroclean.runner.api",
    "RunReport": "astroclean.report.model",
}

# The keys of the table, written out: a type checker takes no others for exported.
__all__ = [
    "AstrocleanError",
    "Frame",
    "FrameSet",
    "MaskPlane",
    "Outcome",
    "Psf",
    "RunReport",
    "Sources",
    "Stage",
    "StageOptions",
    "StageResult",
    "__version__",
    "list_plugins",
    "load_stage",
    "run",
]

if TYPE_CHECKING:
    from collections.abc import Callable

    from astroclean.core.flags.planes import MaskPlane
    from astroclean.core.image.frame import Frame
    from astroclean.core.image.frameset import FrameSet
    from astroclean.core.psf.psf import Psf
    from astroclean.core.sources.sources import Sources
    from astroclean.core.stage.options import StageOptions
    from astroclean.core.stage.results import Outcome, StageResult
    from astroclean.core.stage.stage import Stage
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


follow_moves()
register_files(
    {
        "read_frame": _on_use("astroclean.io.frames.read", "read_frame"),
        "write_frame": _on_use("astroclean.io.products.frame_file", "write_frame"),
        "read_psf": _on_use("astroclean.io.frames.psf", "read_psf"),
        "read_sources": _on_use("astroclean.io.products.source_files", "read_sources"),
        "html_of": _on_use("astroclean.report.notebook", "html_of"),
        "plot_frame": _on_use("astroclean.report.plotted", "plot_frame"),
    }
)


def __getattr__(name: str) -> Any:
    module = _PUBLIC.get(name)
    if module is None:
        raise AttributeError(f"module 'astroclean' has no attribute {name!r}")
    return getattr(importlib.import_module(module), name)


def __dir__() -> list[str]:
    return sorted(__all__)
