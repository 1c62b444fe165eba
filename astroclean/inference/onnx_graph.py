"""`OnnxGraph`: write a network as an ONNX file, node by node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["OnnxGraph"]

_OPSET, _IR = 17, 9


class OnnxGraph:
    """An ONNX graph in the making; images are (n, channels, ny, nx)."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.initializers: dict[str, NDArray[Any]] = {}

    def add(self, operation: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output.

        Parameters
        ----------
        operation : str
            Operator of ONNX.
        *inputs : str
            Names of tensors.
        **attributes : object
            Of the operator.

        Returns
        -------
        str
            Name of its output.
        """
        return self.add_many(operation, inputs, 1, **attributes)[0]

    def add_many(
        self, operation: str, inputs: Sequence[str], count: int, **attributes: Any
    ) -> list[str]:
        """Add a node with several outputs; return their names."""
        from onnx import helper  # noqa: PLC0415 - only where networks are written

        outputs = [f"t{len(self.nodes)}_{index}" for index in range(count)]
        self.nodes.append(helper.make_node(operation, list(inputs), outputs, **attributes))
        return outputs

    def parameter(self, name: str, values: NDArray[Any]) -> str:
        """Enter a parameter of the network under the path of its variable; return the name."""
        self.initializers[name] = np.ascontiguousarray(values)
        return name

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        """Enter a number or array that is no parameter; return its name."""
        name = f"constant_{len(self.initializers)}"
        self.initializers[name] = np.asarray(values, dtype=dtype)
        return name

    def inline(self, values: Any, dtype: Any = np.float32) -> str:
        """Enter an array as a node of the graph: engines that fill parameters do not see it."""
        from onnx import numpy_helper  # noqa: PLC0415 - only where networks are written

        return self.add("Constant", value=numpy_helper.from_array(np.asarray(values, dtype=dtype)))

    def answer(self, name: str, source: str) -> None:
        """Give a tensor the name of an output of the network."""
        from onnx import helper  # noqa: PLC0415 - only where networks are written

        self.nodes.append(helper.make_node("Identity", [source], [name]))

    def write(
        self,
        path: Path,
        *,
        name: str,
        inputs: Mapping[str, Sequence[int | str]],
        outputs: Mapping[str, Sequence[int | str]],
    ) -> None:
        """Write the graph as a file; the same graph gives the same bytes.

        Parameters
        ----------
        path : Path
            File to write.
        name : str
            Of the network.
        inputs, outputs : mapping of str to sequence of int or str
            Names of float32 tensors with their lengths, or names of lengths that are free.

        Raises
        ------
        onnx.checker.ValidationError
            The graph is not valid.
        """
        import onnx  # noqa: PLC0415 - only where networks are written
        from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415

        told = [
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, list(s)) for n, s in side.items()]
            for side in (inputs, outputs)
        ]
        arrays = [numpy_helper.from_array(a, n) for n, a in self.initializers.items()]
        graph = helper.make_graph(self.nodes, name, *told, arrays)
        opsets = [helper.make_opsetid("", _OPSET)]
        whole = helper.make_model(graph, opset_imports=opsets, ir_version=_IR)
        onnx.checker.check_model(whole, full_check=True)
        onnx.save(whole, path)
