"""The parts of a network card: tensors, files, tolerances, code."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "Declared",
    "Example",
    "Input",
    "NetworkCode",
    "Output",
    "Precision",
    "Tolerance",
    "WeightsFile",
]

Precision = Literal["f32", "bf16", "f16"]
_PLAIN_NAME = r"^[\w.-]+$"
_TARGET = r"^[\w.]+:\w+$"


class Declared(BaseModel):
    """Base of what a card declares: frozen, and nothing else is allowed."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, populate_by_name=True
    )


class Input(Declared):
    """One input tensor, (n, channels, ny, nx) float32."""

    name: str
    """Name in the ONNX file."""
    content: Literal["data", "valid", "extra"] = "data"
    """``data``: normalized pixels; ``valid``: 1 where a pixel is to be believed, else 0;
    ``extra``: given by the stage under the name of the tensor, as it is."""
    channels: int = Field(default=1, ge=1)
    """Of ``extra``; the others have one."""
    planes: tuple[str, ...] = ()
    """Names of the channels of a network for stamps, in their order (see
    `astroclean.inference.cards.stamp_card.planes_of`); ``content`` and ``channels`` then say
    nothing."""


class Output(Declared):
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


class WeightsFile(Declared):
    """The ONNX file."""

    file: str = Field(pattern=_PLAIN_NAME)
    """Its name, without folder."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of its bytes."""
    size: int = Field(ge=1)
    """In bytes."""


class Tolerance(Declared):
    """How far two engines, or an engine and the stored answer, may be apart.

    ``|a - b| <= absolute + relative * |b|`` in every element.
    """

    absolute: float = Field(default=1e-5, ge=0)
    """In the unit of the tensor."""
    relative: float = Field(default=1e-4, ge=0)
    """Part of the value."""


class NetworkCode(Declared):
    """Where the architecture is written, for engines that do not read ONNX."""

    torch: str | None = Field(default=None, pattern=_TARGET)
    """``module:function`` that returns a `torch.nn.Module`."""
    keras: str | None = Field(default=None, pattern=_TARGET)
    """``module:function`` that returns a `keras.Model`."""
    keras_layout: Literal["nhwc", "nchw"] = "nhwc"
    """Order of axes inside the Keras model; batches outside are always nchw."""
    constants: tuple[str, ...] = ()
    """Initializers with two or more axes that are no parameters."""


class Example(Declared):
    """A stored input and its answer, for ``astroclean weights verify``."""

    file: str = Field(pattern=_PLAIN_NAME)
    """NumPy archive beside the card, with arrays ``in_<tensor>`` and ``out_<tensor>``."""
