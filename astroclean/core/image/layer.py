"""`Layer`: an image that a stage gives beside the frame, and how it declares which it may give."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from astroclean.core.image.grid import Grid
from astroclean.core.suggest import did_you_mean
from astroclean.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from astroclean.core.image.frame import Frame
    from astroclean.core.psf.psf import Psf

__all__ = ["BACKGROUND", "Layer", "LayerSpec", "checked_layers", "joined_layers", "placed_layers"]


@dataclass(frozen=True)
class LayerSpec:
    """What a stage says of a layer before there is one."""

    name: str
    """EXTNAME of its HDU, in capitals; ``PROB_*`` stands for all names that begin so."""
    meaning: str
    """One line for the documentation, the report and ``astroclean plugins show``."""
    unit: str | None = None
    """Unit of its values, ``""`` for none; None: that of the frame."""
    own_grid: bool = False
    """Whether its pixels are others than those of the frame."""
    join: Literal["last", "add", "max"] = "last"
    """What counts where several stages give it."""
    keep: str = ""
    """Word of ``[products] keep`` that has it written; by default the name in small letters."""
    always: bool = False
    """Whether it is written whatever ``[products] keep`` says: it is what the stage is for."""

    @property
    def word(self) -> str:
        """Word of ``[products] keep``."""
        return self.keep or self.name.lower()

    def covers(self, name: str) -> bool:
        """Return whether a layer of this name is meant."""
        if self.name.endswith("*"):
            return name.startswith(self.name[:-1])
        return name == self.name


BACKGROUND = LayerSpec("BACKGROUND", "sky beneath the sources, as the stage measured it")
"""Declared by stages that find sources above a sky of their own."""


@dataclass(frozen=True, eq=False)
class Layer:
    """An image with its grid, unit, uncertainty and PSF.

    Plugins give ``layers={"MODEL": array}`` where it lies on the pixels of the frame, and a `Layer`
    where it has a grid, a unit, an uncertainty or a PSF of its own.
    """

    data: Any
    """(ny, nx) array; of a frame that does not fit into memory, rows on scratch disk."""
    grid: Grid | None = None
    """None: that of the frame."""
    unit: Any = None
    """astropy unit; None: as declared."""
    uncertainty: Any = None
    """(ny, nx) standard deviation, or None."""
    psf: Psf | None = None
    """Its own, where that of the frame does not hold."""
    declared: LayerSpec | None = None
    """The base class of stages enters it."""
    beam: Mapping[str, float] | None = None
    """Cards of the beam that values per beam refer to; None: that of its PSF. The base class of
    stages enters that of the frame where the unit is the frame's."""

    def joined(self, newer: Layer) -> Layer:
        """Return the layer after another stage has given it, too.

        Parameters
        ----------
        newer : Layer
            Of the same name. Where it lies on other pixels, it alone counts.
        """
        join = "last" if newer.declared is None else newer.declared.join
        if join == "last" or np.shape(self.data) != np.shape(newer.data):
            return newer
        if join == "max":
            return replace(newer, data=np.maximum(self.data, newer.data))
        parts = [layer.uncertainty for layer in (self, newer)]
        deviation = None if any(part is None for part in parts) else np.hypot(*parts)
        return replace(newer, data=self.data + newer.data, uncertainty=deviation)


def joined_layers(old: Mapping[str, Layer], new: Mapping[str, Layer]) -> dict[str, Layer]:
    """Return the layers of earlier stages and of one more, joined as they are declared to join.

    Parameters
    ----------
    old, new : mapping of str to Layer
        By name in capitals.
    """
    joined = dict(old)
    for name, layer in new.items():
        joined[name] = joined[name].joined(layer) if name in joined else layer
    return joined


def placed_layers(layers: Mapping[str, Layer], given: Layer | None) -> Mapping[str, Layer]:
    """Return layers with their place in the science image.

    Parameters
    ----------
    layers : mapping of str to Layer
        As the stage gave them, whose frame knows no other pixels than its own.
    given : Layer or None
        What that frame is, such as a finer image; None for the science image.
    """
    if given is None or given.grid is None:
        return layers
    outer = given.grid
    return {
        name: layer if layer.grid is None else replace(layer, grid=layer.grid.within(outer))
        for name, layer in layers.items()
    }


def checked_layers(
    given: Mapping[str, Any], declared: Iterable[LayerSpec], frame: Frame, *, where: str
) -> dict[str, Layer]:
    """Return what a plugin gave as layers that tell everything of themselves.

    Parameters
    ----------
    given : mapping of str to array or Layer
        By name, in any case.
    declared : iterable of LayerSpec
        What the stage may give.
    frame : Frame
        That the stage was given.
    where : str
        Frame and stage, for messages.

    Returns
    -------
    dict of str to Layer
        By name in capitals, with grid, unit and declaration.

    Raises
    ------
    ContractError
        A layer is not declared, or its shape is not that of its grid.
    """
    specs = tuple(declared)
    return {
        name.upper(): _checked(name.upper(), layer, specs, frame, where)
        for name, layer in given.items()
    }


def _checked(
    name: str, given: Any, specs: tuple[LayerSpec, ...], frame: Frame, where: str
) -> Layer:
    spec = next((spec for spec in specs if spec.covers(name)), None)
    fault = {"where": where, "remedy": "This is a fault of the plugin."}
    if spec is None:
        known = [one.name for one in specs]
        raise ContractError(
            f"the plugin gives a layer '{name}' that its `layers()` do not declare. "
            f"{did_you_mean(name, known)}".rstrip(),
            received=f"{name}; declared: {', '.join(known) or 'none'}",
            **fault,
        )
    layer = given if isinstance(given, Layer) else Layer(given)
    if layer.grid is None and spec.own_grid:
        raise ContractError(
            f"layer '{name}' is declared to have a grid of its own, and has none", **fault
        )
    grid = Grid.from_frame(frame) if layer.grid is None else layer.grid
    if not spec.own_grid and not (grid.is_frame and grid.shape == frame.data.shape):
        raise ContractError(
            f"layer '{name}' lies on other pixels than the frame, and is not declared to "
            "(`own_grid`)",
            received=f"{grid.shape} from {grid.origin} with a step of {grid.step:g}",
            **fault,
        )
    for label, image in (("", layer.data), (" uncertainty of", layer.uncertainty)):
        if image is None:
            continue
        array = np.asarray(image)
        if array.shape != grid.shape or array.dtype.kind not in "fiub":
            raise ContractError(
                f"the{label} layer '{name}' must be real numbers of the shape {grid.shape}",
                received=f"{array.shape}, type {array.dtype}",
                **fault,
            )
    told = replace(layer, data=np.asarray(layer.data), grid=grid, declared=spec)
    return _with_unit(told, spec, frame)


def _with_unit(layer: Layer, spec: LayerSpec, frame: Frame) -> Layer:
    """Return a layer with its unit; with the beam of the frame where that is the frame's."""
    if layer.unit is not None:
        return layer
    from astropy.units import Unit  # noqa: PLC0415 - half a second to import

    from astroclean.core.psf.beam import beam_of_values  # noqa: PLC0415 - imports astropy.units

    if spec.unit is not None:
        return replace(layer, unit=Unit(spec.unit))
    return replace(layer, unit=frame.unit, beam=beam_of_values(frame))
