"""Encoders, poolings and heads as nodes of an ONNX graph."""

import math
from collections.abc import Callable

import torch
from onnx import TensorProto
from torch import nn

from liquidbench.errors import InputError
from liquidbench.inference.onnx_graph import Graph
from liquidbench.models.encoders import (
    FrameCNN,
    FrameCNNProjection,
    Identity,
    Projection,
    ResidualBlock,
    ResNet6,
)
from liquidbench.models.heads import LinearHead, MLPHead


def apply(graph: Graph, module: nn.Module, value: str) -> str:
    """What a module of `MODULES` makes of a value, in evaluation mode.

    Raises:
        InputError: another module.
    """
    if type(module) not in MODULES:
        raise no_form(module, "MODULES of inference/onnx_parts.py")
    return MODULES[type(module)](graph, module, value)


def no_form(module: nn.Module, place: str) -> InputError:
    """What is said of a part of a model that nobody has written down in ONNX."""
    problem = "has no form in ONNX"
    return InputError(
        f"the model's {type(module).__name__}",
        problem,
        f"Write one into {place}, or use the model with predict.py",
    )


def _sequential(graph: Graph, module: nn.Sequential, value: str) -> str:
    for child in module:
        value = apply(graph, child, value)
    return value


def _unchanged(graph: Graph, module: nn.Module, value: str) -> str:
    return value


def _layer_norm(graph: Graph, module: nn.LayerNorm, value: str) -> str:
    scale, shift = graph.constant(module.weight, "scale"), graph.constant(module.bias, "shift")
    return graph.add("LayerNormalization", value, scale, shift, axis=-1, epsilon=module.eps)


def _batch_norm(graph: Graph, module: nn.BatchNorm2d, value: str) -> str:
    parts = (module.weight, module.bias, module.running_mean, module.running_var)
    names = ("scale", "shift", "mean", "variance")
    constants = [graph.constant(part, name) for part, name in zip(parts, names, strict=True)]
    return graph.add("BatchNormalization", value, *constants, epsilon=module.eps)


def _convolution(graph: Graph, module: nn.Conv2d, value: str) -> str:
    parameters = [graph.constant(module.weight, "kernel")]
    if module.bias is not None:
        parameters.append(graph.constant(module.bias, "bias"))
    rows, columns = module.padding
    return graph.add(
        "Conv",
        value,
        *parameters,
        kernel_shape=list(module.kernel_size),
        strides=list(module.stride),
        pads=[rows, columns, rows, columns],
    )


def _max_pool(graph: Graph, module: nn.MaxPool2d, value: str) -> str:
    window = [module.kernel_size] * 2
    return graph.add("MaxPool", value, kernel_shape=window, strides=window)


def _residual(graph: Graph, module: ResidualBlock, value: str) -> str:
    both = apply(graph, module.body, value), apply(graph, module.shortcut, value)
    return graph.add("Relu", graph.add("Add", *both))


def _frames(graph: Graph, module: FrameCNN | FrameCNNProjection, steps: str) -> str:
    """Each frame for itself: time joins the batch, and comes back behind the layers."""
    frames = graph.reshape(steps, -1, *(graph.size(steps, axis) for axis in (2, 3, 4)))
    features = apply(graph, module.layers, frames)
    return graph.reshape(features, graph.size(steps, 0), graph.size(steps, 1), module.output_size)


def _resnet6(graph: Graph, module: ResNet6, steps: str) -> str:
    images = graph.unsqueeze(graph.add("Transpose", steps, perm=[0, 2, 1]), 1)
    maps = apply(graph, module.blocks, apply(graph, module.stem, images))
    columns = graph.add("Transpose", maps, perm=[0, 3, 1, 2])
    width = module.output_size
    features = graph.reshape(columns, graph.size(columns, 0), graph.size(columns, 1), width)
    if isinstance(module.positions, nn.Identity):
        return features
    return graph.add("Add", features, _sinusoids(graph, graph.size(features, 1), width))


def _sinusoids(graph: Graph, length: str, width: int) -> str:
    """`models.encoders.sinusoids` of as many steps as there are, (length, width)."""
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    position = graph.add("Cast", graph.positions(length), to=TensorProto.FLOAT)
    angle = graph.add("Mul", graph.unsqueeze(position, 1), graph.constant(rate, "rate"))
    waves = [graph.unsqueeze(graph.add(kind, angle), 2) for kind in ("Sin", "Cos")]
    encoding = graph.reshape(graph.add("Concat", *waves, axis=2), length, 2 * len(rate))
    if width % 2 == 0:
        return encoding
    # An odd width has a sine more than cosines.
    return graph.split(encoding, [width, 1], axis=1)[0]


def _layers(graph: Graph, module: Projection | LinearHead | MLPHead, value: str) -> str:
    return apply(graph, module.layers, value)


def pool(graph: Graph, states: str, lengths: str | None, how: str) -> str:
    """As `models.heads.pool`.

    Args:
        states: (batch, time, units).
        lengths: (batch,) int64; not read by ``none`` and ``mean_with_padding``.
        how: the pooling.

    Raises:
        KeyError: an unknown pooling.
    """
    return POOLINGS[how](graph, states, lengths)


def _mean_with_padding(graph: Graph, states: str, lengths: str | None) -> str:
    count = graph.add("Cast", graph.size(states, 1), to=TensorProto.FLOAT)
    return graph.add("Div", graph.sum(states, 1), count)


def _mean(graph: Graph, states: str, lengths: str) -> str:
    length = graph.unsqueeze(lengths, 1)
    valid = graph.add("Less", graph.positions(graph.size(states, 1)), length)
    # Chosen, not multiplied: whatever stands in the padding must not reach the sum.
    kept = graph.add("Where", graph.unsqueeze(valid, 2), states, graph.constant(0.0))
    return graph.add("Div", graph.sum(kept, 1), graph.add("Cast", length, to=TensorProto.FLOAT))


def _last(graph: Graph, states: str, lengths: str) -> str:
    place = graph.unsqueeze(graph.add("Sub", lengths, graph.constant(1)), 1)
    return graph.add("GatherND", states, place, batch_dims=1)


POOLINGS: dict[str, Callable[[Graph, str, str | None], str]] = {
    "none": lambda graph, states, lengths: states,
    "mean_with_padding": _mean_with_padding,
    "mean": _mean,
    "last": _last,
}
READING_LENGTHS = ("mean", "last")
"""Poolings whose result depends on lengths."""

MODULES: dict[type[nn.Module], Callable[[Graph, nn.Module, str], str]] = {
    # Encoders.
    Identity: _unchanged,
    Projection: _layers,
    FrameCNN: _frames,
    FrameCNNProjection: _frames,
    ResNet6: _resnet6,
    # Heads.
    LinearHead: _layers,
    MLPHead: _layers,
    # What they are made of.
    ResidualBlock: _residual,
    nn.Sequential: _sequential,
    nn.Identity: _unchanged,
    nn.Dropout: _unchanged,
    nn.Linear: lambda graph, module, value: graph.layer(value, module),
    nn.LayerNorm: _layer_norm,
    nn.Conv2d: _convolution,
    nn.BatchNorm2d: _batch_norm,
    nn.MaxPool2d: _max_pool,
    nn.ReLU: lambda graph, module, value: graph.add("Relu", value),
    nn.Flatten: lambda graph, module, value: graph.add("Flatten", value, axis=1),
}
"""How each module is written down."""
