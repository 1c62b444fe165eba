"""The engine of PyTorch: a plugin's own architecture, filled from the ONNX file; for GPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from astroclean.inference.cards.card import foreign_code
from astroclean.inference.engines.engine import EngineError, EngineUnfitError
from astroclean.inference.engines.initializers import (
    build_network,
    match_parameters,
    read_initializers,
)
from astroclean.inference.engines.tensors import checked_inputs, checked_outputs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from astroclean.inference.cards.card import NetworkCard
    from astroclean.inference.engines.engine import EngineSettings

__all__ = ["TorchEngine", "fill_module"]


class TorchEngine:
    """Runs the module of ``card.network.torch``; opened with :meth:`open`."""

    name: str = "torch"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "onnx")
    extra: ClassVar[str] = "astroclean[torch]"
    parallel: int = 1

    def __init__(self, card: NetworkCard, module: Any, *, device: str, precision: str) -> None:
        self.device = device
        self.precision = precision
        self._card = card
        self._module = module

    @classmethod
    def unfit(cls, card: NetworkCard, settings: EngineSettings) -> str | None:  # noqa: ARG003
        """Return why this engine cannot run the network, or None."""
        if not card.network.torch:
            return "the card names no PyTorch architecture"
        return foreign_code(card, card.network.torch)

    @classmethod
    def open(cls, card: NetworkCard, weights: Path, settings: EngineSettings) -> Self:
        """Build the architecture and fill it.

        Parameters
        ----------
        card : NetworkCard
            The network.
        weights : Path
            ONNX file whose initializers are named as in ``state_dict``.
        settings : EngineSettings
            ``device`` is ``auto`` (a GPU where there is one) or PyTorch's name of one. The number
            of threads holds for the process: PyTorch has one pool.

        Returns
        -------
        TorchEngine
            Ready.

        Raises
        ------
        EngineError
            The device is not there, or architecture and weights do not match.
        """
        import torch  # noqa: PLC0415 - only where it is used

        torch.set_num_threads(settings.threads)
        # TF32 keeps 10 bits of the mantissa; that is no f32.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.deterministic = True
        device = _device(torch, settings.device)
        module = build_network(card, str(card.network.torch))
        fill_module(module, weights, constants=card.network.constants)
        types = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
        module = module.eval().to(device=device, dtype=types[settings.precision])
        return cls(card, module, device=device, precision=settings.precision)

    def infer(self, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Return the outputs of one batch; see `Engine.infer`."""
        import torch  # noqa: PLC0415 - only where it is used

        kind = next((p.dtype for p in self._module.parameters()), torch.float32)
        # Copies: torch warns of arrays that it must not write to.
        fed = [
            torch.from_numpy(np.array(value, dtype=np.float32)).to(device=self.device, dtype=kind)
            for value in checked_inputs(self._card, inputs).values()
        ]
        try:
            with torch.inference_mode():
                answers = self._module(*fed)
                return checked_outputs(
                    self._card, answers, lambda part: part.to("cpu", torch.float32).numpy()
                )
        except RuntimeError as error:
            raise EngineError(
                f"torch failed: {error}", where=f"network '{self._card.name}'"
            ) from error

    def close(self) -> None:
        """Give the module's memory back."""
        self._module = None


def fill_module(module: Any, weights: Path, *, constants: tuple[str, ...] = ()) -> None:
    """Fill a `torch.nn.Module` from the initializers of an ONNX file, by name.

    Parameters
    ----------
    module : torch.nn.Module
        Modified in place.
    weights : Path
        ONNX file.
    constants : tuple of str
        Initializers with two or more axes that are no parameters.

    Raises
    ------
    EngineError
        Names or shapes do not match.
    """
    import torch  # noqa: PLC0415 - only where it is used

    # Batch normalization counts its training batches; no ONNX file holds that.
    state = {
        name: value
        for name, value in module.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    matched = match_parameters(shapes, read_initializers(weights), constants=constants)
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in matched.items()}
    module.load_state_dict(tensors, strict=False)


def _device(torch: Any, wanted: str) -> str:
    if wanted == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    number = int(wanted.partition(":")[2] or 0)
    if wanted.startswith("cuda") and number >= torch.cuda.device_count():
        raise EngineUnfitError(f"device {wanted} is not there")
    return wanted
