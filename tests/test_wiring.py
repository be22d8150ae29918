"""Wirings against the reference library, synapse by synapse, and their errors."""

import itertools

import numpy as np
import pytest
from ncps.wirings import NCP, AutoNCP, FullyConnected

from liquidbench.models.wiring import auto_policy, fully_connected, make_wiring, policy


def _assert_same(ours, reference, input_size):
    reference.build(input_size)
    np.testing.assert_array_equal(ours.sensory, reference.sensory_adjacency_matrix)
    np.testing.assert_array_equal(ours.recurrent, reference.adjacency_matrix)
    assert ours.outputs == reference.output_dim
    assert (ours.input_size, ours.units) == (input_size, reference.units)
    assert len(ours.layers) == reference.num_layers
    for number, layer in enumerate(ours.layers):
        neurons = reference.get_neurons_of_layer(number)
        np.testing.assert_array_equal(layer.neurons, neurons)
        if number == 0:
            incoming = reference.sensory_adjacency_matrix[:, neurons]
        else:
            before = reference.get_neurons_of_layer(number - 1)
            incoming = reference.adjacency_matrix[np.ix_(before, neurons)]
        np.testing.assert_array_equal(layer.incoming, incoming)
        recurrent = reference.adjacency_matrix[np.ix_(neurons, neurons)]
        np.testing.assert_array_equal(layer.recurrent, recurrent)


@pytest.mark.parametrize("input_size", [1, 5, 40])
@pytest.mark.parametrize(("units", "outputs"), [(4, 1), (12, 9), (19, 1), (32, 8), (64, 20)])
def test_auto_policy_is_the_wiring_of_ncps(input_size, units, outputs):
    for sparsity, seed in itertools.product((0.1, 0.37, 0.5, 0.9, 1.0), (0, 7, 22222)):
        ours = auto_policy(input_size, units, outputs, sparsity, seed)
        _assert_same(ours, AutoNCP(units, outputs, sparsity, seed), input_size)


def test_defaults_are_those_of_ncps():
    _assert_same(auto_policy(6, 20, 4), AutoNCP(20, 4), 6)
    _assert_same(fully_connected(6, 20), FullyConnected(20), 6)
    sizes = (8, 6, 3, 4, 3, 5, 2)
    _assert_same(policy(6, *sizes), NCP(*sizes), 6)


@pytest.mark.parametrize(
    "sizes",
    [
        (12, 6, 1, 6, 4, 6, 4),  # 19 neurons, as many as the paper's driver has
        (3, 20, 2, 1, 1, 0, 1),  # most command neurons are forgotten by both neighbours
        (40, 2, 9, 1, 2, 30, 2),  # most inter neurons are forgotten; command synapses drawn twice
        (1, 1, 1, 1, 1, 1, 1),
        (5, 4, 3, 0, 0, 0, 0),  # no draws but those for forgotten neurons
    ],
)
def test_policy_is_the_wiring_of_ncps(sizes):
    for input_size, seed in itertools.product((1, 3, 50), (1, 99)):
        _assert_same(policy(input_size, *sizes, seed=seed), NCP(*sizes, seed=seed), input_size)


@pytest.mark.parametrize(("units", "outputs"), [(1, None), (7, 3), (30, None)])
def test_fully_connected_is_the_wiring_of_ncps(units, outputs):
    for input_size, seed in itertools.product((1, 40), (3, 1111)):
        ours = fully_connected(input_size, units, outputs, seed)
        _assert_same(ours, FullyConnected(units, outputs, seed), input_size)


def test_layers_of_a_policy_feed_forward_and_only_command_neurons_recur():
    wiring = auto_policy(10, 30, 5, 0.3, 1)
    inter, command, motor = wiring.layers
    assert [layer.name for layer in wiring.layers] == ["inter", "command", "motor"]
    assert motor.neurons.tolist() == list(range(5))
    assert not inter.recurrent.any() and not motor.recurrent.any() and command.recurrent.any()
    synapses = sum(
        np.count_nonzero(part) for part in (command.incoming, command.recurrent, motor.incoming)
    )
    assert synapses == np.count_nonzero(wiring.recurrent)
    for layer in wiring.layers:
        assert layer.incoming.any(axis=0).all(), "every neuron is reached"
        assert set(np.unique(layer.incoming)) <= {-1, 0, 1}


def test_wirings_by_name():
    _assert_same(make_wiring("full", 6, 20), FullyConnected(20), 6)
    _assert_same(make_wiring("full", 6, 20, 3, seed=4), FullyConnected(20, 3, 4), 6)
    _assert_same(make_wiring("ncp", 6, 20, 3), AutoNCP(20, 3), 6)
    _assert_same(make_wiring("ncp", 6, 20, 3, 0.7, 0), AutoNCP(20, 3, 0.7, 0), 6)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: auto_policy(3, 10, 8), "outputs must be at most units - 3.*8 outputs of 10 units"),
        (lambda: auto_policy(3, 10, 0), "outputs must be at least 1, got 0"),
        (lambda: auto_policy(3, 10, 2, 0.05), "sparsity must be between 0.1 and 1, got 0.05"),
        (lambda: auto_policy(3, 10, 2, 1.1), "sparsity must be between 0.1 and 1, got 1.1"),
        (lambda: auto_policy(3, 10, 2, float("nan")), "sparsity must be between"),
        (lambda: policy(3, 4, 3, 2, 5, 1, 1, 1), "sensory_fanout .* 4 inter neurons, got 5"),
        (lambda: policy(3, 4, 3, 2, 1, 4, 1, 1), "inter_fanout .* 3 command neurons, got 4"),
        (lambda: policy(3, 4, 3, 2, 1, 1, 1, 4), "motor_fanin .* 3 command neurons, got 4"),
        (lambda: policy(3, 4, 3, 2, 1, 1, -1, 1), "recurrent_command_synapses .* got -1"),
        (lambda: policy(3, 0, 3, 2, 0, 1, 1, 1), "inter must be at least 1, got 0"),
        (lambda: make_wiring("tree", 3, 10), "unknown wiring 'tree': must be 'full' or 'ncp'"),
        (lambda: make_wiring("ncp", 3, 10), "'ncp' needs outputs"),
        (lambda: make_wiring("full", 3, 10, sparsity=0.5), "a full wiring has no sparsity"),
        (lambda: fully_connected(0, 3), "input_size must be at least 1, got 0"),
        (lambda: fully_connected(2, 3, 4), r"outputs must be at most units \(3\), got 4"),
    ],
)
def test_impossible_sizes_are_refused(make, problem):
    with pytest.raises(ValueError, match=problem):
        make()
