"""`NetworkCard`: what must be known to run a network, as a TOML file beside its weights."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, PositiveInt, ValidationError, model_validator

from astroclean.core.configs import read_toml
from astroclean.core.regular import user_path
from astroclean.core.sources.points import plugin_packages
from astroclean.core.stage.domain import Domain
from astroclean.core.suggest import did_you_mean
from astroclean.errors import ConfigurationError, PluginLoadError
from astroclean.inference.cards.calibration import Calibration, read_classes
from astroclean.inference.cards.card_parts import (
    Declared,
    Example,
    Input,
    NetworkCode,
    Output,
    Precision,
    Tolerance,
    WeightsFile,
)
from astroclean.inference.cards.stamp_card import StampCard  # noqa: TC001 - pydantic needs it
from astroclean.inference.tiles.normalize import Identity, Normalization

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = [
    "Domain",
    "Example",
    "Input",
    "NetworkCard",
    "NetworkCode",
    "Output",
    "Precision",
    "Tolerance",
    "WeightsFile",
    "find_cards",
    "foreign_code",
    "load_card",
    "named_card",
]

Batch = tuple[PositiveInt, PositiveInt, PositiveInt]
_SUFFIX = ".card.toml"


class NetworkCard(Declared):
    """Everything about a network but its numbers."""

    schema_version: Literal[1] = Field(alias="schema")
    """Version of this form: the key ``schema``."""
    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    """What users type."""
    architecture: str
    """In words."""
    paper: str
    """DOI, arXiv number or BibTeX key; ``none`` where there is no paper."""
    license: str
    """SPDX identifier of the weights."""
    unit: str
    """Unit that a frame must have, or ``any``."""
    halo: int = Field(ge=0)
    """Pixels around a pixel that influence its answer."""
    multiple: int = Field(default=1, ge=1)
    """Sides of an input are multiples of this."""
    batches: tuple[Batch, ...] = ()
    """Shapes (n, ny, nx) of the batches that the stage feeds, where they are few and always the
    same: engines may compile for each of them, which is faster."""
    scale: int = Field(default=1, ge=1)
    """Output pixels for each input pixel along an axis."""
    valid_pixels: Literal["unrejected", "finite"] = "unrejected"
    """Which pixels the network may see: those that no rejecting plane names, or all finite ones
    (for a network that looks for such pixels)."""
    inputs: tuple[Input, ...] = Field(min_length=1)
    """In the order in which the architecture takes them."""
    outputs: tuple[Output, ...] = Field(min_length=1)
    """In the order in which the architecture gives them."""
    normalization: Normalization = Identity()
    """What is done to pixels on the way in and undone on the way out."""
    stamp: StampCard | None = None
    """Of a network that looks at stamps around sources; none: it takes frames tile by tile."""
    calibration: Calibration = Calibration()
    """What was learned after the training. Tables of classes may also lie beside the card, in
    ``NAME.classes.toml``."""
    weights: WeightsFile
    """The ONNX file."""
    precision: dict[Precision, Tolerance] = Field(min_length=1)
    """Precisions that do no harm, the first by default, with the tolerance of each."""
    importer: str | None = None
    """What to give to `astroclean weights import` for weights that are not shipped."""
    network: NetworkCode = NetworkCode()
    """For engines that do not read ONNX."""
    domain: Domain = Domain()
    """Training domain."""
    example: Example | None = None
    """Stored input and answer."""
    folder: Annotated[Path, Field(exclude=True)] = Path()
    """Where the card was found; not a key of the file."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        for tensors in (self.inputs, self.outputs):
            names = [tensor.name for tensor in tensors]
            if len(set(names)) != len(names):
                raise ValueError(f"two tensors have the same name: {', '.join(names)}")
        return self

    @model_validator(mode="after")
    def _stamps_fit(self) -> Self:
        if self.stamp is None:
            named = [tensor.name for tensor in self.inputs if tensor.planes]
            if named:
                raise ValueError(f"planes of input {', '.join(named)}: need the table [stamp]")
            return self
        problems = list(self.stamp.problems(self.inputs, self.multiple))
        if self.stamp.scaling == "normalization" and self.normalization.measures_frame:
            problems.append('normalization.scope: of stamps it is "tile"; the frame is not seen')
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def shapes(self) -> tuple[Batch, ...]:
        """(n, ny, nx) of the batches that engines should be ready for."""
        if self.stamp is None or self.batches:
            return self.batches
        return ((self.stamp.batch, self.stamp.side, self.stamp.side),)

    @property
    def default_precision(self) -> Precision:
        """The first of the precisions."""
        return next(iter(self.precision))

    def limited(self, channels: Collection[str]) -> Self:
        """Return the card of the network when only some of its channels are answered.

        Parameters
        ----------
        channels : collection of str
            Names of channels, of any output; none: all. Their order is that of the card.

        Returns
        -------
        NetworkCard
            With these channels alone.

        Raises
        ------
        ConfigurationError
            The network has no such channel, or an output would be left with none.
        """
        if not channels:
            return self
        known = [name for output in self.outputs for name in output.channels]
        problems = [
            f"network '{self.name}' has no channel '{name}'; it has {', '.join(known)}"
            for name in channels
            if name not in known
        ]
        outputs = []
        for output in self.outputs:
            kept = tuple(name for name in output.channels if name in channels)
            if not kept:
                told = f"network '{self.name}': output '{output.name}' has no channel left"
                problems.append(told)
            outputs.append(output.model_copy(update={"channels": kept}))
        if problems:
            raise ConfigurationError(problems)
        return self.model_copy(update={"outputs": tuple(outputs)})

    def places(self, channels: Collection[str]) -> dict[str, list[int]]:
        """Return where, in each output that has others too, the wanted channels are."""
        return {
            output.name: [i for i, name in enumerate(output.channels) if name in channels]
            for output in self.outputs
            if channels and not set(output.channels) <= set(channels)
        }


def load_card(path: Path) -> NetworkCard:
    """Read a card.

    Parameters
    ----------
    path : Path
        A TOML file.

    Returns
    -------
    NetworkCard
        Checked; its ``folder`` is the folder of the file.

    Raises
    ------
    PluginLoadError
        The file cannot be read, or is not a card; every problem is listed.
    """
    try:
        content: dict[str, Any] = _with_classes(read_toml(path), path)
        # A `folder` in the file must not stand for the card's own.
        given = {"no such key": content["folder"]} if "folder" in content else {}
        return NetworkCard.model_validate({**content, **given, "folder": path.parent})
    except ConfigurationError as error:
        raise PluginLoadError(f"card cannot be used: {error}") from error
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise PluginLoadError("card is wrong: " + "; ".join(lines), where=str(path)) from error


def _with_classes(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the content of a card with the tables of classes that lie beside it."""
    beside = path.with_name(path.name.removesuffix(_SUFFIX) + ".classes.toml")
    if not path.name.endswith(_SUFFIX) or not beside.is_file():
        return content
    calibration = content.get("calibration", {})
    if "classes" in calibration:
        problem = f"calibration.classes: given twice, also in {beside.name}; remove one"
        raise ConfigurationError(problem, where=str(path))
    return {**content, "calibration": {**calibration, "classes": read_classes(beside)}}


def foreign_code(card: NetworkCard, target: str) -> str | None:
    """Return why the code that a card names is not to be run, or None where it is.

    A card may lie anywhere, and come from anybody; what it names is imported and called. So only
    cards within the package of an installed plugin have code, and only of that package.

    Parameters
    ----------
    card : NetworkCard
        As loaded.
    target : str
        ``module:function``.

    Returns
    -------
    str or None
        Why not, as a clause.
    """
    package = target.partition(":")[0].partition(".")[0]
    if package not in plugin_packages():
        return f"'{package}' is not the package of an installed plugin"
    folder = card.folder.resolve()
    if not any(folder.is_relative_to(Path(place).resolve()) for place in _folders_of(package)):
        return f"the card lies outside the installed package '{package}', and its code is not run"
    return None


def find_cards(package: str) -> tuple[Path, ...]:
    """Return the cards in a plugin's package, without importing it.

    Parameters
    ----------
    package : str
        Top-level import name.

    Returns
    -------
    tuple of Path
        Files ``card.toml`` and ``*.card.toml`` at any depth, sorted; none where there is no such
        package.
    """
    found = {
        path
        for folder in _folders_of(package)
        for pattern in ("card.toml", "*.card.toml")
        for path in Path(folder).rglob(pattern)
    }
    return tuple(sorted(found))


def _folders_of(package: str) -> list[str]:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return []
    return [] if spec is None else list(spec.submodule_search_locations or [])


def named_card(folder: Path, network: str, weights: str) -> Path:
    """Return the card that a stage's option ``weights`` names.

    Parameters
    ----------
    folder : Path
        Of the cards of a plugin, ``<network>-<weights>.card.toml``.
    network : str
        Name of the network, such as ``maximask``.
    weights : str
        A name of weights that have a card there, or the path of a card that a training left.

    Returns
    -------
    Path
        An existing file.

    Raises
    ------
    ConfigurationError
        There is no such card.
    """
    if weights.endswith(_SUFFIX):
        path = user_path(weights)
        if not path.is_file():
            raise ConfigurationError(f"weights: there is no card {weights}")
        return path
    path = folder / f"{network}-{weights}{_SUFFIX}"
    if not path.is_file():
        found = folder.glob(f"{network}-*{_SUFFIX}")
        known = [card.name.removesuffix(_SUFFIX).removeprefix(f"{network}-") for card in found]
        hint = did_you_mean(weights, known)
        raise ConfigurationError(
            f"weights: {network} has none called '{weights}'. {hint} A path ends in {_SUFFIX}."
        )
    return path
