"""The engine of onnxruntime: the reference, on CPUs and, where that build is there, NVIDIA GPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from astroclean.inference.engines.engine import EngineError, EngineUnfitError
from astroclean.inference.engines.tensors import checked_inputs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from astroclean.inference.cards.card import NetworkCard
    from astroclean.inference.engines.engine import EngineSettings

__all__ = ["OnnxEngine"]


class OnnxEngine:
    """Runs an ONNX file in onnxruntime; opened with :meth:`open`."""

    name: str = "onnxruntime"
    libraries: ClassVar[tuple[str, ...]] = ("onnxruntime",)
    extra: ClassVar[str] = "astroclean[onnx]"

    def __init__(self, card: NetworkCard, session: Any, *, device: str, parallel: int = 1) -> None:
        self.device = device
        self.parallel = parallel
        self.precision: str = "f32"
        self._card = card
        self._session = session

    @classmethod
    def unfit(cls, card: NetworkCard, settings: EngineSettings) -> str | None:  # noqa: ARG003
        """Return why this engine cannot run the network, or None."""
        if settings.precision != "f32":
            return f"computes in f32, not in {settings.precision}"
        return None

    @classmethod
    def open(cls, card: NetworkCard, weights: Path, settings: EngineSettings) -> Self:
        """Load a file of weights.

        Parameters
        ----------
        card : NetworkCard
            The network.
        weights : Path
            ONNX file.
        settings : EngineSettings
            ``device`` is ``auto`` (a GPU where the build has one), ``cpu`` or ``cuda:N``.

        Returns
        -------
        OnnxEngine
            Ready.

        Raises
        ------
        EngineError
            The file cannot be loaded, or the device is not there.
        """
        import onnxruntime  # noqa: PLC0415 - only where it is used

        onnxruntime.set_default_logger_severity(3)  # warnings about graphs help no user
        device, providers = _providers(onnxruntime.get_available_providers(), settings.device)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        # Many workers share the cores: a waiting thread must sleep.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.use_deterministic_compute = True
        try:
            session = onnxruntime.InferenceSession(str(weights), options, providers=providers)
        except Exception as error:  # onnxruntime's exceptions have no common base
            raise EngineError(f"cannot load {weights.name}: {error}") from error
        used = session.get_providers()[0]
        if device != "cpu" and used == "CPUExecutionProvider":
            if settings.device != "auto":
                raise EngineUnfitError(
                    f"device {settings.device} cannot be used; it fell to the CPU"
                )
            device = "cpu"
        _check_names(card, session)
        # A session may be run from several threads; a GPU has one queue.
        return cls(
            card, session, device=device, parallel=settings.threads if device == "cpu" else 1
        )

    def infer(self, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Return the outputs of one batch; see `Engine.infer`."""
        fed = checked_inputs(self._card, inputs)
        contiguous = {
            name: np.ascontiguousarray(value, dtype=np.float32) for name, value in fed.items()
        }
        names = [tensor.name for tensor in self._card.outputs]
        try:
            answers = self._session.run(names, contiguous)
        except Exception as error:
            raise EngineError(
                f"onnxruntime failed: {error}", where=f"network '{self._card.name}'"
            ) from error
        return {
            name: np.asarray(answer, dtype=np.float32)
            for name, answer in zip(names, answers, strict=True)
        }

    def close(self) -> None:
        """Give the session's memory back."""
        self._session = None


def _providers(available: list[str], device: str) -> tuple[str, list[Any]]:
    cuda = "CUDAExecutionProvider"
    if device == "cpu" or (device == "auto" and cuda not in available):
        return "cpu", ["CPUExecutionProvider"]
    if cuda not in available:
        raise EngineUnfitError(f"device {device}: this build of onnxruntime has no GPU support")
    number = int(device.partition(":")[2] or 0)
    # TF32 keeps 10 bits of the mantissa; that is no f32.
    options = {"device_id": number, "use_tf32": "0"}
    return f"cuda:{number}", [(cuda, options), "CPUExecutionProvider"]


def _check_names(card: NetworkCard, session: Any) -> None:
    inputs = {node.name for node in session.get_inputs()}
    outputs = {node.name for node in session.get_outputs()}
    wanted_in = {tensor.name for tensor in card.inputs}
    wanted_out = {tensor.name for tensor in card.outputs}
    if inputs != wanted_in or not wanted_out <= outputs:
        raise EngineError(
            f"the file has inputs {sorted(inputs)} and outputs {sorted(outputs)}, the card says "
            f"{sorted(wanted_in)} and {sorted(wanted_out)}"
        )
