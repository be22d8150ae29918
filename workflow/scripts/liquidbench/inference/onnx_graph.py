"""An ONNX graph in the making: nodes are added one after the other, values are known by their names."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

Step = Callable[["Graph", list[str], list[str]], tuple[list[str], list[str]]]
"""The body of a loop: a graph, states and one step's inputs to the next states and the step's outputs."""


class Graph:
    """Nodes and constants. A loop's body is a graph of its own, whose constants stand in the outermost one.

    Args:
        outer: the graph that this is a body in; None: it is the outermost.
    """

    def __init__(self, outer: "Graph | None" = None) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = outer.constants if outer else []
        self._counts: dict[str, int] = outer._counts if outer else {}

    def _unused(self, name: str) -> str:
        count = self._counts[name] = self._counts.get(name, 0) + 1
        return name if count == 1 else f"{name}_{count}"

    def constant(self, values: Any, name: str = "constant") -> str:
        """A constant: a tensor, an array, a number or a list. Floating point becomes float32, integers int64."""
        array = np.asarray(values.detach().numpy() if isinstance(values, Tensor) else values)
        kind = np.float32 if np.issubdtype(array.dtype, np.floating) else np.int64
        name = self._unused(name)
        self.constants.append(numpy_helper.from_array(array.astype(kind), name))
        return name

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output; gives the output's name. An input that is left out is an empty name."""
        name = self._unused(kind.lower())
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def name_output(self, value: str, name: str) -> None:
        """Give a value a name that is to be found from outside."""
        self.nodes.append(helper.make_node("Identity", [value], [name], name=f"{name}_output"))

    def split(self, value: str, sizes: list[int], axis: int) -> list[str]:
        """Consecutive parts of a value along an axis."""
        names = [self._unused("part") for _ in sizes]
        inputs = [value, self.constant(sizes, "sizes")]
        self.nodes.append(helper.make_node("Split", inputs, names, name=names[0], axis=axis))
        return names

    def linear(self, value: str, weight: Tensor, bias: Tensor | None = None, name: str = "") -> str:
        """``value @ weight.T + bias`` over the last axis; weight (outputs, inputs)."""
        product = self.add("MatMul", value, self.constant(weight.t(), f"{name}weight"))
        return (
            product
            if bias is None
            else self.add("Add", product, self.constant(bias, f"{name}bias"))
        )

    def layer(self, value: str, module: nn.Linear, name: str = "") -> str:
        """A linear layer."""
        return self.linear(value, module.weight, module.bias, name)

    def sum(self, value: str, axis: int) -> str:
        """The sum along an axis, which goes."""
        return self.add("ReduceSum", value, self.constant([axis], "axis"), keepdims=0)

    def unsqueeze(self, value: str, axis: int) -> str:
        """A new axis of size 1."""
        return self.add("Unsqueeze", value, self.constant([axis], "axis"))

    def size(self, value: str, axis: int) -> str:
        """The size along an axis, (1,) int64."""
        shape = self.add("Shape", value)
        return self.add("Gather", shape, self.constant([axis], "axis"))

    def reshape(self, value: str, *sizes: int | str) -> str:
        """Another shape: each size is a number (-1: what is left) or the name of a (1,) int64 value."""
        parts = [size if isinstance(size, str) else self.constant([size], "size") for size in sizes]
        return self.add("Reshape", value, self.add("Concat", *parts, axis=0))

    def zeros(self, *sizes: int | str) -> str:
        """Float32 zeros; sizes as for `reshape`."""
        parts = [size if isinstance(size, str) else self.constant([size], "size") for size in sizes]
        value = numpy_helper.from_array(np.zeros(1, dtype=np.float32))
        return self.add("ConstantOfShape", self.add("Concat", *parts, axis=0), value=value)

    def positions(self, size: str) -> str:
        """0, 1, ... below a (1,) int64 size."""
        end = self.add("Squeeze", size, self.constant([0], "axis"))
        return self.add("Range", self.constant(0), end, self.constant(1))

    def scan(self, initial: list[str], sequences: list[str], step: Step, outputs: int) -> list[str]:
        """A loop over time.

        Args:
            initial: the first states, float32.
            sequences: (batch, time, ...) float32: a step's inputs lack the axis of time.
            step: makes the body.
            outputs: number of the step's outputs.

        Returns:
            The outputs of all steps, (batch, time, ...).
        """
        body = Graph(self)
        states = [body._unused("state") for _ in initial]
        inputs = [body._unused("input") for _ in sequences]
        moved, said = step(body, states, inputs)
        graph = helper.make_graph(
            body.nodes,
            self._unused("body"),
            [_unshaped(name) for name in [*states, *inputs]],
            [_unshaped(name) for name in [*moved, *said]],
        )
        last = [self._unused("last_state") for _ in initial]
        whole = [self._unused("sequence") for _ in range(outputs)]
        node = helper.make_node(
            "Scan",
            [*initial, *sequences],
            [*last, *whole],
            name=self._unused("scan"),
            body=graph,
            num_scan_inputs=len(sequences),
            scan_input_axes=[1] * len(sequences),
            scan_output_axes=[1] * outputs,
        )
        self.nodes.append(node)
        return whole


def _unshaped(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
