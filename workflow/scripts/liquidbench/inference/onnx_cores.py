"""Sequence cores as nodes of an ONNX graph: torch's layers as ONNX's own, the others as a loop over time (Scan).

Each follows the equations in its core's docstring, in the names used there. A state depends on earlier steps only, and
what padding makes of later ones is left to the pooling; so lengths matter to layers alone that also read backwards.
"""

from collections.abc import Callable

import numpy as np
import torch
from onnx import TensorProto
from torch import Tensor, nn
from torch.nn import functional

from liquidbench.inference.onnx_graph import Graph
from liquidbench.inference.onnx_parts import no_form
from liquidbench.models.cfc.core import CfCCore
from liquidbench.models.cfc.layer import CfCLayer
from liquidbench.models.gru_d import GRUDCore
from liquidbench.models.ltc import EPSILON, LTCCore, Synapses
from liquidbench.models.torch_cores import GRUCore, LSTMCore, RNNCore, TorchCore

# ONNX's name, and in which order its gates are torch's.
_LAYERS: dict[type[nn.Module], tuple[str, tuple[int, ...]]] = {
    nn.LSTM: ("LSTM", (0, 3, 1, 2)),
    nn.GRU: ("GRU", (1, 0, 2)),
    nn.RNN: ("RNN", (0,)),
}


def reads_backwards(core: nn.Module) -> bool:
    """Whether states depend on where a sequence ends."""
    return isinstance(core, TorchCore) and core.recurrent.bidirectional


def write_core(
    graph: Graph, core: nn.Module, features: str, elapsed: str | None, lengths: str | None
) -> str:
    """States of a core of `CORES`.

    Args:
        graph: gets the nodes.
        core: the core.
        features: (batch, time, size).
        elapsed: (batch, time), or None: every step counts as 1.
        lengths: (batch,) int64, read by cores that read backwards; None: all steps are valid.

    Returns:
        (batch, time, output_size).

    Raises:
        InputError: another core.
    """
    if type(core) not in CORES:
        raise no_form(core, "CORES of inference/onnx_cores.py")
    return CORES[type(core)](graph, core, features, elapsed, lengths)


def torch_core(
    graph: Graph, core: TorchCore, features: str, elapsed: str | None, lengths: str | None
) -> str:
    """torch's recurrent layers, one node for each of the stack."""
    layer = core.recurrent
    kind, order = _LAYERS[type(layer)]
    ends = ["", "_reverse"] if layer.bidirectional else [""]
    attributes = {"hidden_size": layer.hidden_size}
    attributes["direction"] = "bidirectional" if layer.bidirectional else "forward"
    if kind == "GRU":
        # torch's reset gate acts behind the product with the recurrent weights.
        attributes["linear_before_reset"] = 1
    # Without lengths a backward direction begins in the padding, as under `mean_with_padding` it does in torch.
    backwards = layer.bidirectional and lengths is not None
    steps = graph.add("Cast", lengths, to=TensorProto.INT32) if backwards else ""
    # ONNX's layers take time first.
    sequence = graph.add("Transpose", features, perm=[1, 0, 2])

    def gates(name: str, number: int) -> Tensor:
        """(directions, gates x units, ...) of a parameter, gates in ONNX's order."""
        of_ends = [getattr(layer, f"{name}_l{number}{end}") for end in ends]
        parts = [parameter.chunk(len(order)) for parameter in of_ends]
        return torch.stack([torch.cat([chunks[gate] for gate in order]) for chunks in parts])

    for number in range(layer.num_layers):
        bias = torch.cat([gates("bias_ih", number), gates("bias_hh", number)], dim=1)
        inputs = [
            graph.constant(gates("weight_ih", number), "input_weight"),
            graph.constant(gates("weight_hh", number), "state_weight"),
            graph.constant(bias, "bias"),
        ]
        # (time, directions, batch, units), to the directions' states side by side.
        states = graph.add(kind, sequence, *inputs, steps, **attributes)
        states = graph.add("Transpose", states, perm=[0, 2, 1, 3])
        time, batch = graph.size(states, 0), graph.size(states, 1)
        sequence = graph.reshape(states, time, batch, core.output_size)
    return graph.add("Transpose", sequence, perm=[1, 0, 2])


def cfc(
    graph: Graph, core: CfCCore, features: str, elapsed: str | None, lengths: str | None
) -> str:
    """One loop for all layers: at each step mixed memory moves the whole state, then each layer its part of it."""
    batch = graph.size(features, 0)
    # The inputs' part of the first layer and of the memory is one product for all steps.
    sequences = [_input_part(graph, core.layers[0], features)]
    initial = [graph.zeros(batch, core.units)]
    if core.memory is not None:
        sequences.append(graph.layer(features, core.memory.input_map, "memory_input_"))
        initial.append(graph.zeros(batch, core.units))
    if elapsed is not None:
        sequences.append(graph.unsqueeze(elapsed, 2))
    sizes = [layer.units for layer in core.layers]

    def step(body: Graph, states: list[str], inputs: list[str]) -> tuple[list[str], list[str]]:
        hidden, drive = states[0], inputs[0]
        cells = []
        if core.memory is not None:
            z = body.linear(hidden, core.memory.state_map.weight, name="memory_state_")
            hidden, moved = _remember(body, body.add("Add", inputs[1], z), states[1], core.units)
            cells = [moved]
        time = inputs[-1] if elapsed is not None else None
        parts = body.split(hidden, sizes, axis=1) if len(sizes) > 1 else [hidden]
        for number, (layer, part) in enumerate(zip(core.layers, parts, strict=True)):
            if number:
                drive = _input_part(body, layer, parts[number - 1])
            parts[number] = _cfc_step(body, layer, drive, part, time)
        after = body.add("Concat", *parts, axis=1)
        return [after, *cells], [body.add("Identity", parts[-1])]

    return graph.scan(initial, sequences, step, outputs=1)[0]


def _input_part(graph: Graph, layer: CfCLayer, features: str) -> str:
    weight = layer.input_map.weight
    weight = weight if layer.mask is None else weight * layer.mask
    return graph.linear(features, weight, layer.input_map.bias, "input_")


def _remember(body: Graph, z: str, cell: str, units: int) -> tuple[str, str]:
    """As `models.cfc.recurrence.remember`."""
    candidate, enter, forget, leave = body.split(z, [units] * 4, axis=1)
    forget = body.add("Sigmoid", body.add("Add", forget, body.constant(1.0)))
    entering = body.add("Mul", body.add("Tanh", candidate), body.add("Sigmoid", enter))
    cell = body.add("Add", body.add("Mul", cell, forget), entering)
    return body.add("Mul", body.add("Tanh", cell), body.add("Sigmoid", leave)), cell


def _cfc_step(body: Graph, layer: CfCLayer, drive: str, state: str, time: str | None) -> str:
    """The next state of one layer, (batch, units), from the inputs' part of its first map and the state."""
    z = body.add("Add", drive, body.linear(state, layer.state_map.weight, name="state_"))
    for module in [*layer.hidden_maps, *([] if layer.heads is None else [layer.heads])]:
        z = body.layer(_ACTIVATIONS[layer.activation](body, z), module)
    if layer.mode == "pure":
        rate = body.add("Add", body.constant(layer.decay.abs(), "decay"), body.add("Abs", z))
        rate = rate if time is None else body.add("Mul", rate, time)
        decayed = body.add("Mul", body.add("Exp", body.add("Neg", rate)), z)
        asymptote = body.constant(layer.asymptote, "asymptote")
        return body.add("Sub", asymptote, body.add("Mul", asymptote, decayed))
    f, g, a, b = body.split(z, [layer.units] * 4, axis=1)
    f, g = body.add("Tanh", f), body.add("Tanh", g)
    a = a if time is None else body.add("Mul", a, time)
    gate = body.add("Sigmoid", body.add("Add", a, b))
    if layer.mode == "no_gate":
        return body.add("Add", f, body.add("Mul", gate, g))
    # (1 - s) f + s g
    return body.add("Add", f, body.add("Mul", gate, body.add("Sub", g, f)))


def _lecun_tanh(body: Graph, x: str) -> str:
    inner = body.add("Tanh", body.add("Mul", body.constant(0.666), x))
    return body.add("Mul", body.constant(1.7159), inner)


def _gelu(body: Graph, x: str) -> str:
    error = body.add("Erf", body.add("Mul", x, body.constant(0.5**0.5)))
    share = body.add("Mul", body.add("Add", error, body.constant(1.0)), body.constant(0.5))
    return body.add("Mul", x, share)


_ACTIVATIONS: dict[str, Callable[[Graph, str], str]] = {
    "lecun_tanh": _lecun_tanh,
    "tanh": lambda body, x: body.add("Tanh", x),
    "relu": lambda body, x: body.add("Relu", x),
    "silu": lambda body, x: body.add("Mul", x, body.add("Sigmoid", x)),
    "gelu": _gelu,
}


def ltc(
    graph: Graph, core: LTCCore, features: str, elapsed: str | None, lengths: str | None
) -> str:
    """Each step of the loop holds all Euler steps of a step, one after the other."""

    def positive(parameter: Tensor, least: float = 0.0) -> Tensor:
        """What stands for a parameter that must not be negative."""
        if core.constraints == "softplus":
            return functional.softplus(parameter)
        return parameter.clamp(min=least)

    leak, capacitance = positive(core.leak_conductance), positive(core.capacitance, EPSILON)
    leaking = torch.stack([leak * core.leak_potential, leak + EPSILON])
    input_weights = core.sensory.weights(positive(core.sensory.conductance))
    neuron_weights = core.recurrent.weights(positive(core.recurrent.conductance))
    inputs_read = graph.add(
        "Add",
        graph.add("Mul", features, graph.constant(core.input_scale, "input_scale")),
        graph.constant(core.input_shift, "input_shift"),
    )
    sequences = [inputs_read] if elapsed is None else [inputs_read, graph.unsqueeze(elapsed, 2)]
    initial = [graph.zeros(graph.size(features, 0), core.units)]

    def step(body: Graph, states: list[str], inputs: list[str]) -> tuple[list[str], list[str]]:
        (potential,) = states
        c = body.constant(capacitance, "capacitance")
        # The length of an Euler step.
        part = body.constant(1.0 / core.unfolds)
        length = part if elapsed is None else body.add("Mul", inputs[1], part)
        driven = [
            body.add("Add", sums, body.constant(rest, "leak"))
            for sums, rest in zip(
                _synapses(body, core.sensory, input_weights, inputs[0], core.units), leaking
            )
        ]
        for _ in range(core.unfolds):
            sums = _synapses(body, core.recurrent, neuron_weights, potential, core.units)
            current, conductance = (body.add("Add", *pair) for pair in zip(driven, sums))
            # v' = (c v + d current) / (c + d conductance)
            over = body.add("Add", body.add("Mul", c, potential), body.add("Mul", length, current))
            under = body.add("Add", c, body.add("Mul", length, conductance))
            potential = body.add("Div", over, under)
        return [potential], [body.add("Identity", potential)]

    potentials = graph.scan(initial, sequences, step, outputs=1)[0]
    if core.output_size < core.units:
        rest = core.units - core.output_size
        potentials = graph.split(potentials, [core.output_size, rest], axis=2)[0]
    scaled = graph.add("Mul", potentials, graph.constant(core.output_scale, "output_scale"))
    return graph.add("Add", scaled, graph.constant(core.output_shift, "output_shift"))


def _synapses(
    body: Graph, synapses: Synapses, weights: Tensor, potentials: str, units: int
) -> list[str]:
    """Currents and conductances that arrive at all units, each (batch, units).

    Args:
        body: the graph.
        synapses: those of the inputs, or those between neurons.
        weights: (targets, 2, sources), of `synapses`.
        potentials: (batch, all sources).
        units: all neurons.
    """
    sources = body.constant(np.arange(synapses.sources.start, synapses.sources.stop), "sources")
    used = body.unsqueeze(body.add("Gather", potentials, sources, axis=1), 1)
    slopes, offsets = synapses.lines()
    opened = body.add("Mul", used, body.constant(slopes, "slopes"))
    # (batch, targets, sources): a synapse that the wiring leaves out has the weight 0.
    opened = body.add("Sigmoid", body.add("Add", opened, body.constant(offsets, "offsets")))
    around = [0, synapses.targets.start, 0, units - synapses.targets.stop]
    arrived = []
    for number in range(2):
        weighted = body.add("Mul", opened, body.constant(weights[:, number], "synapse_weight"))
        arrived.append(body.add("Pad", body.sum(weighted, 2), body.constant(around, "around")))
    return arrived


def gru_d(
    graph: Graph, core: GRUDCore, features: str, elapsed: str | None, lengths: str | None
) -> str:
    """The loop carries what the core's closed form gets from running sums: last values, and times since then."""
    batch, time = graph.size(features, 0), graph.size(features, 1)
    if elapsed is None:
        ones = graph.constant(1.0)
        elapsed = graph.add("Expand", ones, graph.add("Concat", batch, time, axis=0))
    # The first step's elapsed time does not matter.
    later = graph.add(
        "Cast", graph.add("Greater", graph.positions(time), graph.constant(0)), to=TensorProto.FLOAT
    )
    elapsed = graph.unsqueeze(graph.add("Mul", elapsed, later), 2)
    states = graph.zeros(batch, core.units)
    variables = [graph.zeros(batch, core.variables) for _ in range(2)]

    def step(body: Graph, states: list[str], inputs: list[str]) -> tuple[list[str], list[str]]:
        state, last, since = states
        values, marks = body.split(inputs[0], [core.variables] * 2, axis=1)
        measured = body.add("Greater", marks, body.constant(0.0))
        passed = body.add("Add", since, inputs[1])
        rate = body.add("Mul", passed, body.constant(core.input_rate, "input_rate"))
        rate = body.add("Add", rate, body.constant(core.input_rate_bias, "input_rate_bias"))
        faded = body.add("Mul", _decay(body, rate), last)
        filled = body.add("Where", measured, values, faded)
        drive = body.layer(body.add("Concat", filled, marks, axis=1), core.input_map, "input_")
        each = body.add("Div", passed, body.constant(float(core.variables)))
        state = body.add("Mul", _decay(body, body.layer(each, core.state_rate, "rate_")), state)
        by_gates, by_candidate = body.split(drive, [2 * core.units, core.units], axis=1)
        gates = body.add("Add", by_gates, body.linear(state, core.state_gates.weight))
        reset, update = body.split(body.add("Sigmoid", gates), [core.units] * 2, axis=1)
        kept = body.linear(body.add("Mul", reset, state), core.state_candidate.weight)
        candidate = body.add("Tanh", body.add("Add", by_candidate, kept))
        moved = body.add("Mul", update, body.add("Sub", candidate, state))
        state = body.add("Add", state, moved)
        last = body.add("Where", measured, values, last)
        since = body.add("Where", measured, body.constant(0.0), passed)
        return [state, last, since], [body.add("Identity", state)]

    return graph.scan([states, *variables], [features, elapsed], step, outputs=1)[0]


def _decay(body: Graph, rate: str) -> str:
    """exp(-max(0, rate))"""
    return body.add("Exp", body.add("Neg", body.add("Relu", rate)))


CORES: dict[type[nn.Module], Callable[[Graph, nn.Module, str, str | None, str | None], str]] = {
    LSTMCore: torch_core,
    GRUCore: torch_core,
    RNNCore: torch_core,
    CfCCore: cfc,
    LTCCore: ltc,
    GRUDCore: gru_d,
}
"""How each core is written down: from features (batch, time, size), elapsed times and lengths to states."""
