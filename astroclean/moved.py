"""Where modules and names have moved to: the old ones keep working, and say the new one."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import sys
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["MOVED", "Renamed", "follow_moves", "name_of"]

_FOLDERS = {
    "astroclean.core.image": (
        "frame frameset grid layer uncertainty history convert detector noise fluxes "
        "text_unit arrays"
    ),
    "astroclean.core.flags": "planes conventions convention_value bitflags plane_choice",
    "astroclean.core.psf": (
        "psf psf_draw:draw psf_estimation:estimation psf_misfit:misfit psf_models:models "
        "psf_positions:positions psf_repair:repair psf_stars:stars stamp"
    ),
    "astroclean.core.sources": "sources catalogs holes points source_planes",
    "astroclean.core.stage": (
        "stage scope results needs hooks options resources change limits metrics domain kinds"
    ),
    "astroclean.io.fits": (
        "address blocks checksums damage encode hdu_info images limits packing scaling source "
        "wide_integers"
    ),
    "astroclean.io.packed": "hcompress hcompress_worker packers tile_codecs tiles unpacking",
    "astroclean.io.header": (
        "asinh cards color_filters header_values understood units values wcs_cards wcs_repair"
    ),
    "astroclean.io.frames": (
        "companions file_flags grouping hdu_roles instruments masks mosaics psf quality read"
    ),
    "astroclean.io.products": (
        "catalog_check catalogs layers names origin output regions source_files write"
    ),
    "astroclean.io.scratch": "arrays atomic rowstore scratch:folders",
    "astroclean.runner.plan": (
        "build chunks faults inputs needs places plan psf_source selection units preflight"
    ),
    "astroclean.runner.work": (
        "field finish joined_sources remarks saved stages state state_parts states statestore work"
    ),
    "astroclean.runner.output": "claims folder outputs records",
    "astroclean.inference.cards": ("card domain verify weights calibration stamp_card card_parts"),
    "astroclean.inference.engines": (
        "engine initializers keras_engine:keras onnx_engine:onnx openvino_engine:openvino "
        "torch_engine:torch tensors"
    ),
    "astroclean.inference.tiles": "predictor normalize",
    "astroclean.inference.stamped": "stamps:runner stamp_predictor:predictor stamp_views:views",
}
"""Folder to the modules that lay beside it; ``old:new`` where the name is another."""


def _moves() -> dict[str, str]:
    moves = {}
    for folder, names in _FOLDERS.items():
        for name in names.split():
            old, _, new = name.partition(":")
            moves[f"{folder.rpartition('.')[0]}.{old}"] = f"{folder}.{new or old}"
    return moves


MOVED = _moves()
"""Old to new name of each module."""


class _Follower(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a module under its old name: it is the one under the new.

    It is asked first: the folder of a module that has moved would give a second one.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to import an old name; None for any other."""
        del path, target
        return importlib.util.spec_from_loader(name, self) if _new_name(name) else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module of the new name."""
        new = _new_name(spec.name)
        assert new is not None
        text = f"{spec.name} is {new} now; authors of plugins import from astroclean.plugin"
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        return importlib.import_module(new)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: it has been executed under its own name."""


def _new_name(name: str) -> str | None:
    """Return the new name of a module, or of one in a folder that has moved."""
    if not name.startswith("astroclean."):
        return None
    parts = name.split(".")
    for length in range(len(parts), 1, -1):
        head = ".".join(parts[:length])
        new = MOVED.get(head, head)
        # A folder may have the name of the module that it holds: see `name_of`.
        if not new.startswith(f"{head}.") and new != head:
            return new + name[len(head) :]
    return None


def name_of(module: str, name: str) -> Any:
    """Return a name of a module that has moved into a folder of its own name.

    Raises
    ------
    AttributeError
        There is no such name.
    """
    if name.startswith("__"):
        raise AttributeError(name)
    new = MOVED[module]
    found = getattr(importlib.import_module(new), name)
    text = f"{name} of {module} is in {new} now; authors of plugins import from astroclean.plugin"
    warnings.warn(text, DeprecationWarning, stacklevel=3)
    return found


class Renamed:
    """The old name of an attribute or a method: it gives what the new one does, and says it.

    Parameters
    ----------
    new : str
        Its name now.
    """

    def __init__(self, new: str) -> None:
        self._new = new

    def __set_name__(self, owner: type, name: str) -> None:
        self._text = f"{owner.__qualname__}.{name} is {owner.__qualname__}.{self._new} now"

    def __get__(self, instance: object, owner: type) -> Any:
        warnings.warn(self._text, DeprecationWarning, stacklevel=2)
        return getattr(owner if instance is None else instance, self._new)


def follow_moves() -> None:
    """Let old names be imported."""
    if not any(isinstance(finder, _Follower) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Follower())
