"""What every training of a PyTorch module shares: averaged weights, checkpoints."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from astroclean.errors import ConfigurationError
from astroclean.inference.engines.engine import EngineError
from astroclean.inference.engines.torch import fill_module
from astroclean.training.network import NetworkRecipe, averaging_share

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["TorchRecipe", "TrainedModule", "begin_with", "built"]

_LONGEST = 1.0
"""Gradients are shortened to this."""
_MATRIX_AXES = 2
_STATE = "state.pt"


class TorchRecipe(NetworkRecipe):
    """Settings of every training of a PyTorch module."""

    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    """``auto``: a GPU where there is one; ``cpu``, ``cuda``, ``cuda:1``."""


def built(build: Callable[[], Any], recipe: TorchRecipe) -> Any:
    """Return a module built with the seed of a recipe.

    Parameters
    ----------
    build : callable
        Returns a `torch.nn.Module`.
    recipe : TorchRecipe
        Of the training.

    Returns
    -------
    torch.nn.Module
        With random weights.
    """
    import torch  # noqa: PLC0415 - takes a second, and only training needs it

    torch.manual_seed(recipe.seed)
    return build()


def begin_with(module: Any, weights: Path) -> None:
    """Fill a module with the parameters of an ONNX file.

    Parameters
    ----------
    module : torch.nn.Module
        Modified.
    weights : Path
        As `astroclean.training.torch_onnx` wrote it.

    Raises
    ------
    ConfigurationError
        There is no such file, or it is of another architecture.
    """
    if not weights.is_file():
        raise ConfigurationError(f"start: there is no file {weights}")
    try:
        fill_module(module, weights)
    except EngineError as error:
        raise ConfigurationError(f"start: {error}") from error


class TrainedModule:
    """A PyTorch module with AdamW, a schedule, and a running average of its weights.

    Parameters
    ----------
    module : torch.nn.Module
        Its start.
    recipe : TorchRecipe
        Of the training.
    """

    def __init__(self, module: Any, recipe: TorchRecipe) -> None:
        import torch  # noqa: PLC0415 - takes a second, and only training needs it

        usual = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = usual if recipe.device == "auto" else recipe.device
        # On CPUs convolutions are faster when the channels of a pixel lie together.
        self.module = module.to(self.device, memory_format=torch.channels_last).train()
        self.average = copy.deepcopy(self.module).eval().requires_grad_(requires_grad=False)
        self._recipe = recipe
        parameters = list(self.module.parameters())
        # Biases and normalizations need no decay: they do not make a function less smooth.
        kernels = [p for p in parameters if p.ndim >= _MATRIX_AXES]
        rest = [p for p in parameters if p.ndim < _MATRIX_AXES]
        groups = [(kernels, recipe.decay), (rest, 0.0)]
        self._optimizer = torch.optim.AdamW(
            [{"params": found, "weight_decay": decay} for found, decay in groups if found],
            lr=recipe.rate,
        )

    def learn(self, number: int, losses_of: Callable[[Any], Mapping[str, Any]]) -> dict[str, float]:
        """Take one step.

        Parameters
        ----------
        number : int
            Of the step. With the seed of the recipe it decides what is random in the module.
        losses_of : callable
            Called with the module; returns scalars, of which ``loss`` is minimized.

        Returns
        -------
        dict of str to float
            Their values.
        """
        import torch  # noqa: PLC0415 - takes a second, and only training needs it

        torch.manual_seed(number + (self._recipe.seed << 32))
        for group in self._optimizer.param_groups:
            group["lr"] = self._recipe.rate_at(number)
        self._optimizer.zero_grad(set_to_none=True)
        with self._narrowed():
            losses = losses_of(self.module)
        losses["loss"].backward()
        torch.nn.utils.clip_grad_norm_(self.module.parameters(), _LONGEST)
        self._optimizer.step()
        self._take_average(averaging_share(number))
        return {name: float(value.detach()) for name, value in losses.items()}

    def tensors(self, batch: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        """Return arrays as tensors where the module is."""
        import torch  # noqa: PLC0415 - takes a second, and only training needs it

        return {name: torch.from_numpy(values).to(self.device) for name, values in batch.items()}

    def answers(self, *images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Return what the module answers with its averaged weights, each output by itself."""
        import torch  # noqa: PLC0415 - takes a second, and only training needs it

        fed = [torch.from_numpy(np.ascontiguousarray(image)).to(self.device) for image in images]
        with torch.inference_mode():
            found = self.average(*fed)
        parts = found if isinstance(found, (tuple, list)) else [found]
        return [part.float().cpu().numpy() for part in parts]

    def _narrowed(self) -> Any:
        import torch  # noqa: PLC0415 - takes a second, and only training needs it

        kind = self.device.partition(":")[0]
        return torch.autocast(kind, torch.bfloat16, enabled=self._recipe.precision == "bf16")

    def _take_average(self, share: float) -> None:
        import torch  # noqa: PLC0415 - takes a second, and only training needs it

        now = self.module.state_dict()
        with torch.no_grad():
            for name, kept in self.average.state_dict().items():
                if kept.is_floating_point():
                    kept.lerp_(now[name], share)
                else:
                    kept.copy_(now[name])

    def save(self, folder: Path) -> None:
        """Write weights, their average, and the optimizer."""
        import torch  # noqa: PLC0415 - takes a second, and only training needs it

        parts = {name: part.state_dict() for name, part in self._parts().items()}
        torch.save(parts, folder / _STATE)

    def restore(self, folder: Path) -> None:
        """Take up what `save` wrote."""
        import torch  # noqa: PLC0415 - takes a second, and only training needs it

        state = torch.load(folder / _STATE, map_location=self.device, weights_only=True)
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, Any]:
        return {"module": self.module, "average": self.average, "optimizer": self._optimizer}
