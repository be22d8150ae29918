"""Wirings: which neurons of a liquid network are connected, and whether a synapse excites or inhibits.

A neural circuit policy (Lechner et al., "Neural circuit policies enabling auditable autonomy", Nature Machine
Intelligence 2020) has three layers. Sensory inputs reach inter neurons, these reach command neurons, which are
also connected among themselves, and these reach motor neurons, the outputs.

Every function here gives the same wiring as its namesake in ncps 1.0.1 for the same numbers, synapse by
synapse. So random draws come in that library's order, and where its rule is odd a comment says so.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

POLICY_SEED = 22222
FULL_SEED = 1111
"""The seeds that ncps has as defaults."""


@dataclass(frozen=True, eq=False)
class Layer:
    """Neurons that take their inputs from one place.

    Attributes:
        name: ``inter``, ``command`` or ``motor``; ``all`` in a full wiring.
        neurons: (n,) int64, their numbers among all units.
        incoming: (inputs, n) int8 of 0, 1 (excites) or -1 (inhibits). Row: a sensory input for the first layer,
            a neuron of the previous layer after it, in the order of its `neurons`.
        recurrent: (n, n) int8 of the same, from row to column.
    """

    name: str
    neurons: np.ndarray
    incoming: np.ndarray
    recurrent: np.ndarray


@dataclass(frozen=True, eq=False)
class Wiring:
    """All synapses of a network. A row is where a synapse comes from, a column where it leads.

    Attributes:
        sensory: (input_size, units) int8 of 0, 1 or -1, from inputs to neurons.
        recurrent: (units, units) int8 of 0, 1 or -1, between neurons.
        layers: from the inputs to the outputs.
        outputs: number of motor neurons; they are the first ones.
    """

    sensory: np.ndarray
    recurrent: np.ndarray
    layers: tuple[Layer, ...]
    outputs: int

    @property
    def input_size(self) -> int:
        return self.sensory.shape[0]

    @property
    def units(self) -> int:
        return self.sensory.shape[1]


def make_wiring(
    kind: str,
    input_size: int,
    units: int,
    outputs: int | None = None,
    sparsity: float | None = None,
    seed: int | None = None,
) -> Wiring:
    """A wiring from a model's options.

    Args:
        kind: ``full`` (`fully_connected`) or ``ncp`` (`auto_policy`).
        input_size: sensory inputs.
        units: neurons.
        outputs: how many of them are read out; None: all, which an ``ncp`` cannot have.
        sparsity: share of the possible synapses that an ``ncp`` leaves out; None: 0.5.
        seed: None: the default of the kind.

    Raises:
        ValueError: an unknown kind, an option that the kind does not have, or an impossible size.
    """
    if kind == "full":
        if sparsity is not None:
            raise ValueError("a full wiring has no sparsity; wiring 'ncp' has")
        return fully_connected(input_size, units, outputs, FULL_SEED if seed is None else seed)
    if kind == "ncp":
        if outputs is None:
            raise ValueError("wiring 'ncp' needs outputs, the number of its motor neurons")
        return auto_policy(
            input_size,
            units,
            outputs,
            0.5 if sparsity is None else sparsity,
            POLICY_SEED if seed is None else seed,
        )
    raise ValueError(f"unknown wiring {kind!r}: must be 'full' or 'ncp'")


def fully_connected(
    input_size: int, units: int, outputs: int | None = None, seed: int = FULL_SEED
) -> Wiring:
    """Every input to every neuron, every neuron to every neuron and to itself; one synapse in three inhibits.

    Args:
        input_size: sensory inputs.
        units: neurons.
        outputs: how many of them are read out; None: all.
        seed: of the polarities.

    Raises:
        ValueError: a size below 1, or more outputs than units.
    """
    outputs = units if outputs is None else outputs
    _require_positive(input_size=input_size, units=units, outputs=outputs)
    if outputs > units:
        raise ValueError(f"outputs must be at most units ({units}), got {outputs}")
    random = np.random.default_rng(seed)
    polarities = np.array([-1, 1, 1], dtype=np.int8)
    recurrent = random.choice(polarities, size=(units, units))
    sensory = random.choice(polarities, size=(input_size, units))
    layers = (Layer("all", np.arange(units), sensory, recurrent),)
    return Wiring(sensory, recurrent, layers, outputs)


def auto_policy(
    input_size: int, units: int, outputs: int, sparsity: float = 0.5, seed: int = POLICY_SEED
) -> Wiring:
    """A neural circuit policy from its size: of the neurons that are no outputs, two fifths are command neurons.

    Args:
        input_size: sensory inputs.
        units: all neurons.
        outputs: motor neurons, at most units - 3.
        sparsity: share of the possible synapses to leave out, 0.1 (dense) to 1 (one synapse each).
        seed: of the synapses and polarities.

    Raises:
        ValueError: sizes or a sparsity out of these ranges.
    """
    _require_positive(input_size=input_size, units=units, outputs=outputs)
    if outputs > units - 3:
        raise ValueError(
            f"outputs must be at most units - 3, to leave two inter neurons and a command neuron, "
            f"got {outputs} outputs of {units} units"
        )
    if not 0.1 <= sparsity <= 1.0:
        raise ValueError(f"sparsity must be between 0.1 and 1, got {sparsity}")
    hidden = units - outputs
    command = max(int(0.4 * hidden), 1)
    inter = hidden - command
    density = 1.0 - sparsity
    return policy(
        input_size,
        inter,
        command,
        outputs,
        sensory_fanout=max(int(inter * density), 1),
        inter_fanout=max(int(command * density), 1),
        # Rounded after the doubling: not always twice the fan-out.
        recurrent_command_synapses=max(int(command * density * 2), 1),
        motor_fanin=max(int(command * density), 1),
        seed=seed,
    )


def policy(
    input_size: int,
    inter: int,
    command: int,
    motor: int,
    sensory_fanout: int,
    inter_fanout: int,
    recurrent_command_synapses: int,
    motor_fanin: int,
    seed: int = POLICY_SEED,
) -> Wiring:
    """A neural circuit policy from its layers. Neurons are numbered motor, command, inter.

    Args:
        input_size: sensory inputs.
        inter: inter neurons.
        command: command neurons.
        motor: motor neurons, the outputs.
        sensory_fanout: inter neurons that each input reaches, at most `inter`.
        inter_fanout: command neurons that each inter neuron reaches, at most `command`.
        recurrent_command_synapses: draws of a synapse between command neurons. One that is drawn again counts
            once, so there may be fewer.
        motor_fanin: command neurons that reach each motor neuron, at most `command`.
        seed: of the synapses and polarities.

    Raises:
        ValueError: a size below 1, or a fan-out or fan-in that the layers cannot have.
    """
    _require_positive(input_size=input_size, inter=inter, command=command, motor=motor)
    for name, value, most, of in (
        ("sensory_fanout", sensory_fanout, inter, "inter"),
        ("inter_fanout", inter_fanout, command, "command"),
        ("motor_fanin", motor_fanin, command, "command"),
    ):
        if not 0 <= value <= most:
            raise ValueError(f"{name} must be between 0 and the {most} {of} neurons, got {value}")
    if recurrent_command_synapses < 0:
        raise ValueError(
            f"recurrent_command_synapses must be at least 0, got {recurrent_command_synapses}"
        )
    random = np.random.RandomState(seed)
    sensory_to_inter = _connect(random, input_size, inter, sensory_fanout, most=input_size)
    # A forgotten command neuron is bounded by the number of command neurons here, not of inter neurons.
    inter_to_command = _connect(random, inter, command, inter_fanout, most=command)
    command_to_command = np.zeros((command, command), dtype=np.int8)
    for _ in range(recurrent_command_synapses):
        source, target = random.choice(command), random.choice(command)
        command_to_command[source, target] = random.choice((-1, 1))
    # Here the targets choose.
    command_to_motor = _connect(random, motor, command, motor_fanin, most=motor).T

    motors, commands, inters = np.split(
        np.arange(motor + command + inter), (motor, motor + command)
    )
    none = {count: np.zeros((count, count), dtype=np.int8) for count in (inter, motor)}
    layers = (
        Layer("inter", inters, sensory_to_inter, none[inter]),
        Layer("command", commands, inter_to_command, command_to_command),
        Layer("motor", motors, command_to_motor, none[motor]),
    )
    return _joined(layers, input_size, motor)


def _connect(
    random: np.random.RandomState, choosing: int, chosen: int, each: int, most: int
) -> np.ndarray:
    """Connect two layers at random so that no neuron is left out.

    Args:
        random: where draws come from.
        choosing: neurons of the layer that chooses.
        chosen: neurons of the layer that is chosen from.
        each: how many each chooses.
        most: bound of the synapses that a neuron gets which none chose.

    Returns:
        (choosing, chosen) int8 of 0, 1 or -1.
    """
    synapses = np.zeros((choosing, chosen), dtype=np.int8)
    for row in synapses:
        others = random.choice(chosen, size=each, replace=False)
        row[others] = random.choice((-1, 1), size=each)
    forgotten = np.flatnonzero(~synapses.any(axis=0))
    # These get as many as the others have on average.
    average = min(max(choosing * each // chosen, 1), most)
    for column in forgotten:
        others = random.choice(choosing, size=average, replace=False)
        synapses[others, column] = random.choice((-1, 1), size=average)
    return synapses


def _joined(layers: tuple[Layer, ...], input_size: int, outputs: int) -> Wiring:
    """The wiring of layers that each feed the next; the first reads the inputs."""
    units = sum(len(layer.neurons) for layer in layers)
    sensory = np.zeros((input_size, units), dtype=np.int8)
    recurrent = np.zeros((units, units), dtype=np.int8)
    sensory[:, layers[0].neurons] = layers[0].incoming
    for before, layer in pairwise(layers):
        recurrent[np.ix_(before.neurons, layer.neurons)] = layer.incoming
    for layer in layers:
        recurrent[np.ix_(layer.neurons, layer.neurons)] = layer.recurrent
    return Wiring(sensory, recurrent, layers, outputs)


def _require_positive(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")
