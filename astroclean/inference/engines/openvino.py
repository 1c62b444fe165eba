"""The engine of OpenVINO: on most CPUs the fastest."""

from __future__ import annotations

from queue import SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np

from astroclean.inference.engines.engine import EngineError, EngineUnfitError
from astroclean.inference.engines.tensors import checked_inputs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from astroclean.inference.cards.card import NetworkCard
    from astroclean.inference.engines.engine import EngineSettings

    Batch = tuple[int, int, int]
    Requests = SimpleQueue[Any]

__all__ = ["OpenVinoEngine"]

_TYPES = {"f32": "f32", "bf16": "bf16", "f16": "f16"}


class OpenVinoEngine:
    """Runs an ONNX file in OpenVINO; opened with :meth:`open`."""

    name: str = "openvino"
    libraries: ClassVar[tuple[str, ...]] = ("openvino",)
    extra: ClassVar[str] = "astroclean[openvino]"
    limits_channels: ClassVar[bool] = True

    def __init__(self, card: NetworkCard, network: _Network, *, settings: EngineSettings) -> None:
        self.device = network.device.lower()
        self.precision: str = settings.precision
        self.parallel = settings.threads if self.device == "cpu" else 1
        self._card = card
        self._network = network
        self._lock = Lock()
        self._requests: dict[Batch | None, Requests] = {}
        # A file that cannot be run is told of now, not at the first batch.
        self._requests_for(next(iter(card.batches), None))

    def _requests_for(self, batch: Batch | None) -> Requests:
        """Return the requests that take batches of a shape, or of any."""
        with self._lock:
            if batch not in self._requests:
                compiled = self._network.compiled(batch)
                queue: Requests = SimpleQueue()
                for _ in range(self.parallel):
                    queue.put(compiled.create_infer_request())
                self._requests[batch] = queue
            return self._requests[batch]

    @classmethod
    def unfit(cls, card: NetworkCard, settings: EngineSettings) -> str | None:  # noqa: ARG003
        """Return why this engine cannot run the network, or None."""
        if settings.device.startswith("cuda"):
            return f"has no device {settings.device}"
        return None

    @classmethod
    def open(cls, card: NetworkCard, weights: Path, settings: EngineSettings) -> Self:
        """Compile a file of weights.

        Parameters
        ----------
        card : NetworkCard
            The network.
        weights : Path
            ONNX file.
        settings : EngineSettings
            ``device`` is ``auto`` or ``cpu`` (both the CPU), or a name of OpenVINO's.

        Returns
        -------
        OpenVinoEngine
            Ready.

        Raises
        ------
        EngineError
            The file has operators that OpenVINO does not know, names that the card does not have,
            or the processor has not the precision.
        """
        import openvino  # noqa: PLC0415 - only where it is used

        device = "CPU" if settings.device in {"auto", "cpu"} else settings.device
        wanted = _TYPES[settings.precision]
        config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": wanted}
        if device == "CPU":
            config |= {
                "INFERENCE_NUM_THREADS": settings.threads,
                # One thread for each stream: batches side by side, none shared.
                "NUM_STREAMS": settings.threads,
                # Many workers share the cores: pinning would put them all on the same ones.
                "ENABLE_CPU_PINNING": False,
            }
        try:
            core = openvino.Core()
            model = core.read_model(weights)
            _check_names(card, model)
            model = _with_channels(model, card.places(settings.channels))
            if wanted == _TYPES["bf16"]:
                model = _with_short_answers(card, model)
            return cls(card, _Network(core, model, device, config), settings=settings)
        except RuntimeError as error:
            # An operator that OpenVINO does not know is no fault of the file.
            kind = EngineUnfitError if "No conversion rule" in str(error) else EngineError
            raise kind(f"cannot load {weights.name}: {_short(error)}") from error

    def infer(self, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Return the outputs of one batch; see `Engine.infer`."""
        fed = checked_inputs(self._card, inputs)
        contiguous = {
            name: np.ascontiguousarray(value, dtype=np.float32) for name, value in fed.items()
        }
        count, _, ny, nx = next(iter(contiguous.values())).shape
        batch = (count, ny, nx)
        requests = self._requests_for(batch if batch in self._card.shapes else None)
        request = requests.get()
        try:
            request.infer(contiguous)
            # The request owns its output memory and uses it again: hence copies.
            return {t.name: _float32(request.get_tensor(t.name)) for t in self._card.outputs}
        except RuntimeError as error:
            raise EngineError(
                f"openvino failed: {_short(error)}", where=f"network '{self._card.name}'"
            ) from error
        finally:
            requests.put(request)

    def close(self) -> None:
        """Give the compiled network's memory back."""
        self._requests = {}


class _Network(NamedTuple):
    """A file that was read, to be compiled."""

    core: Any
    model: Any
    device: str
    config: Mapping[str, Any]

    def compiled(self, batch: Batch | None) -> Any:
        """Return the network compiled for batches of a shape, or of any, which may be slower."""
        model = self.model
        if batch is not None:
            count, *sides = batch
            model = model.clone()
            shapes = {port: port.partial_shape for port in model.inputs}
            model.reshape({port: [count, old[1], *sides] for port, old in shapes.items()})
        compiled = self.core.compile_model(model, self.device, self.config)
        wanted = self.config["INFERENCE_PRECISION_HINT"]
        used = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if used != wanted:
            raise EngineUnfitError(f"this processor computes in {used}, not in {wanted}")
        return compiled


def _with_channels(model: Any, places: Mapping[str, list[int]]) -> Any:
    """Return a model that answers with some channels of its outputs; names to places.

    What is not asked for is not written: of 16 probabilities that is a tenth of a network's time.
    """
    if not places:
        return model
    from openvino import Model, opset13  # noqa: PLC0415 - only where it is used

    answers = []
    for port in model.outputs:
        names = port.get_names()
        source = port.get_node().input_value(0)
        kept = next((kept for name, kept in places.items() if name in names), None)
        if kept is not None:
            source.set_names(set())  # a name belongs to one tensor
            chosen = opset13.gather(source, np.array(kept, dtype=np.int64), np.array(1))
            source = chosen.output(0)
            source.set_names(names)
        answers.append(source)
    return Model(answers, model.get_parameters(), model.get_friendly_name())


def _with_short_answers(card: NetworkCard, model: Any) -> Any:
    """Return a model that gives as bfloat16 what it has computed so, but for intensities.

    To write 16 probabilities of each pixel as float32 takes a seventh of a network's time.
    """
    from openvino import Type  # noqa: PLC0415 - only where it is used
    from openvino.preprocess import PrePostProcessor  # noqa: PLC0415 - same

    process = PrePostProcessor(model)
    for tensor in card.outputs:
        if tensor.content != "intensity":
            process.output(tensor.name).tensor().set_element_type(Type.bf16)
    return process.build()


def _float32(tensor: Any) -> NDArray[np.float32]:
    """Return a copy of a tensor; numpy has no bfloat16, which is the upper half of a float32."""
    if tensor.element_type.get_type_name() != _TYPES["bf16"]:
        return np.array(tensor.data, dtype=np.float32)
    halves = tensor.data.view(np.uint16)
    return np.asarray(np.left_shift(halves, 16, dtype=np.uint32).view(np.float32))


def _check_names(card: NetworkCard, model: Any) -> None:
    inputs = {name for port in model.inputs for name in port.get_names()}
    outputs = {name for port in model.outputs for name in port.get_names()}
    wanted_in = {tensor.name for tensor in card.inputs}
    wanted_out = {tensor.name for tensor in card.outputs}
    if not (wanted_in <= inputs and len(model.inputs) == len(wanted_in) and wanted_out <= outputs):
        raise EngineError(
            f"the file has inputs {sorted(inputs)} and outputs {sorted(outputs)}, the card says "
            f"{sorted(wanted_in)} and {sorted(wanted_out)}"
        )


def _short(error: Exception) -> str:
    """Return the lines of an OpenVINO message that a person can use: they begin with file names."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Exception from", "Check '"))]
    return "; ".join(told or lines)
