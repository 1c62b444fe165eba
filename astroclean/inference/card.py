"""`NetworkCard`: what must be known to run a network, as a TOML file beside its weights."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from astroclean.core.configs import read_toml
from astroclean.core.domain import Domain
from astroclean.core.points import plugin_packages
from astroclean.core.regular import user_path
from astroclean.core.suggest import did_you_mean
from astroclean.errors import ConfigurationError, PluginLoadError
from astroclean.inference.normalize import Identity, Normalization

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

Precision = Literal["f32", "bf16", "f16"]
Batch = tuple[PositiveInt, PositiveInt, PositiveInt]
_PLAIN_NAME = r"^[\w.-]+$"
_SUFFIX = ".card.toml"
_TARGET = r"^[\w.]+:\w+$"


class _Declared(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, populate_by_name=True
    )


class Input(_Declared):
    """One input tensor, (n, channels, ny, nx) float32."""

    name: str
    """Name in the ONNX file."""
    content: Literal["data", "valid", "extra"] = "data"
    """``data``: normalized pixels; ``valid``: 1 where a pixel is to be believed, else 0;
    ``extra``: given by the stage under the name of the tensor, as it is."""
    channels: int = Field(default=1, ge=1)
    """Of ``extra``; the others have one."""


class Output(_Declared):
    """One output tensor, (n, channels, ny * scale, nx * scale) float32."""

    name: str
    """Name in the ONNX file."""
    channels: tuple[str, ...] = Field(default=("image",), min_length=1)
    """What each channel is, such as the plane that it finds."""
    content: Literal["intensity", "width", "plain"] = "plain"
    """``intensity``: the normalization is undone; ``width``: the same for a difference of
    intensities, such as an expected error; ``plain``: as it is, such as probabilities."""
    at_invalid: Literal["nan", "keep"] = "nan"
    """What stands where the pixel was not valid: NaN, or the answer (a network that fills)."""


class WeightsFile(_Declared):
    """The ONNX file."""

    file: str = Field(pattern=_PLAIN_NAME)
    """Its name, without folder."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of its bytes."""
    size: int = Field(ge=1)
    """In bytes."""


class Tolerance(_Declared):
    """How far two engines, or an engine and the stored answer, may be apart.

    ``|a - b| <= absolute + relative * |b|`` in every element.
    """

    absolute: float = Field(default=1e-5, ge=0)
    """In the unit of the tensor."""
    relative: float = Field(default=1e-4, ge=0)
    """Part of the value."""


class NetworkCode(_Declared):
    """Where the architecture is written, for engines that do not read ONNX."""

    torch: str | None = Field(default=None, pattern=_TARGET)
    """``module:function`` that returns a `torch.nn.Module`."""
    keras: str | None = Field(default=None, pattern=_TARGET)
    """``module:function`` that returns a `keras.Model`."""
    keras_layout: Literal["nhwc", "nchw"] = "nhwc"
    """Order of axes inside the Keras model; batches outside are always nchw."""
    constants: tuple[str, ...] = ()
    """Initializers with two or more axes that are no parameters."""


class Example(_Declared):
    """A stored input and its answer, for ``astroclean weights verify``."""

    file: str = Field(pattern=_PLAIN_NAME)
    """NumPy archive beside the card, with arrays ``in_<tensor>`` and ``out_<tensor>``."""


class NetworkCard(_Declared):
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
        content: dict[str, Any] = read_toml(path)
        # A `folder` in the file must not stand for the card's own.
        given = {"no such key": content["folder"]} if "folder" in content else {}
        return NetworkCard.model_validate({**content, **given, "folder": path.parent})
    except ConfigurationError as error:
        raise PluginLoadError(f"card cannot be used: {error}") from error
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise PluginLoadError("card is wrong: " + "; ".join(lines), where=str(path)) from error


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
