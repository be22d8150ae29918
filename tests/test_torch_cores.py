"""Torch's recurrent layers as cores: against plain loops over one example, alone and in padded batches."""

import pytest
import torch

from liquidbench.models.torch_cores import GRUCore, LSTMCore, RNNCore

BATCH, TIME, FEATURES, UNITS = 3, 6, 4, 5
CORES = (LSTMCore, GRUCore, RNNCore)


def _lstm_step(x, state, w_x, w_h, b):
    h, c = state
    i, f, g, o = (w_x @ x + w_h @ h + b[0] + b[1]).chunk(4)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _gru_step(x, state, w_x, w_h, b):
    (h, _) = state
    reset_x, update_x, new_x = (w_x @ x + b[0]).chunk(3)
    reset_h, update_h, new_h = (w_h @ h + b[1]).chunk(3)
    update = torch.sigmoid(update_x + update_h)
    new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
    return (1 - update) * new + update * h, h


def _rnn_step(x, state, w_x, w_h, b):
    h = torch.tanh(w_x @ x + w_h @ state[0] + b[0] + b[1])
    return h, h


STEPS = {LSTMCore: _lstm_step, GRUCore: _gru_step, RNNCore: _rnn_step}


def _by_hand(core, x):
    """States of one example, (time, features), step by step, layer by layer, direction by direction."""
    layer = core.recurrent
    for number in range(layer.num_layers):
        directions = []
        for suffix in ("", "_reverse")[: 2 if layer.bidirectional else 1]:
            w_x, w_h, *b = (
                getattr(layer, f"{name}_l{number}{suffix}")
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            state = x.new_zeros(UNITS), x.new_zeros(UNITS)
            states = []
            for step in x.flip(0) if suffix else x:
                state = STEPS[type(core)](step, state, w_x, w_h, b)
                states.append(state[0])
            directions.append(torch.stack(states[::-1] if suffix else states))
        x = torch.cat(directions, dim=1)
    return x


@pytest.mark.parametrize("make", CORES)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_states_are_those_of_a_loop_over_each_example(make, layers, bidirectional):
    torch.manual_seed(0)
    core = make(FEATURES, UNITS, layers, bidirectional=bidirectional).double()
    x = torch.randn(BATCH, TIME, FEATURES, dtype=torch.float64)
    lengths = torch.tensor([2, TIME, 1])
    got = core(x, None, lengths)
    assert got.shape == (BATCH, TIME, core.output_size)
    assert core.output_size == UNITS * (2 if bidirectional else 1)
    for example, length in enumerate(lengths):
        expected = _by_hand(core, x[example, :length])
        torch.testing.assert_close(got[example, :length], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("make", CORES)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_reaches_neither_valid_states_nor_gradients(make, bidirectional):
    core = make(FEATURES, UNITS, 2, bidirectional=bidirectional)
    x = torch.randn(BATCH, TIME, FEATURES)
    lengths = torch.tensor([4, TIME, 1])
    valid = torch.arange(TIME) < lengths.unsqueeze(1)
    other = torch.where(valid.unsqueeze(-1), x, 1e3)
    weights = torch.randn(BATCH, TIME, core.output_size)
    results = []
    for batch in (x, other):
        core.zero_grad()
        states = core(batch, None, lengths)
        (states * weights)[valid].sum().backward()
        results.append((states[valid], [p.grad.clone() for p in core.parameters()]))
    torch.testing.assert_close(results[0], results[1])


@pytest.mark.parametrize("make", CORES)
def test_elapsed_times_change_nothing_and_the_readout_is_the_identity(make):
    core = make(FEATURES, UNITS)
    x = torch.randn(BATCH, TIME, FEATURES)
    states = core(x, torch.rand(BATCH, TIME), None)
    torch.testing.assert_close(states, core(x, None, None), rtol=0, atol=0)
    assert core.readout(states) is states


@pytest.mark.parametrize("make", CORES)
def test_dropout_is_between_layers_only(make):
    x = torch.randn(BATCH, TIME, FEATURES)
    one, two = make(FEATURES, UNITS, 1, dropout=0.5), make(FEATURES, UNITS, 2, dropout=0.5)
    torch.testing.assert_close(one(x, None, None), one(x, None, None))
    assert not torch.equal(two(x, None, None), two(x, None, None))
    two.eval()
    torch.testing.assert_close(two(x, None, None), two(x, None, None))


@pytest.mark.parametrize("make", CORES)
@pytest.mark.parametrize(
    ("options", "problem"),
    [({"layers": 0}, "num_layers"), ({"layers": 2, "dropout": 2}, "dropout")],
)
def test_options_out_of_range_are_refused(make, options, problem):
    with pytest.raises(ValueError, match=problem):
        make(FEATURES, UNITS, **options)
