"""GRU-D against the paper's equations written out in NumPy, and against torch's GRU where the two are the same."""

import numpy as np
import pytest
import torch

from liquidbench.models.gru_d import GRUDCore

BATCH, TIME, VARIABLES, UNITS = 3, 8, 4, 5


@pytest.fixture
def core() -> GRUDCore:
    torch.manual_seed(0)
    core = GRUDCore(2 * VARIABLES, UNITS).double()
    with torch.no_grad():
        # Negative rates too: the paper's max(0, .) must show.
        core.input_rate.uniform_(-0.2, 0.5)
        core.input_rate_bias.uniform_(-0.1, 0.1)
        core.state_rate.weight.uniform_(-0.5, 1.0)
        core.state_rate.bias.uniform_(-0.1, 0.1)
    return core


def stays(seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Values and marks side by side, a variable that is never measured among them; and elapsed times."""
    random = torch.Generator().manual_seed(seed)
    values = torch.randn(BATCH, TIME, VARIABLES, generator=random, dtype=torch.float64)
    marks = (torch.rand(BATCH, TIME, VARIABLES, generator=random) < 0.4).double()
    marks[:, :, 2] = 0.0
    elapsed = torch.rand(BATCH, TIME, generator=random, dtype=torch.float64) * 3
    return torch.cat([values * marks, marks], dim=2), elapsed


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def by_the_paper(core: GRUDCore, features: np.ndarray, elapsed: np.ndarray) -> np.ndarray:
    """One stay, (time, 2 x variables), by equations 2 to 16 of the paper, one scalar of decay at a time."""
    w = {name: value.detach().numpy() for name, value in core.named_parameters()}
    of_inputs = np.split(w["input_map.weight"], 3)
    biases = np.split(w["input_map.bias"], 3)
    u_reset, u_update = np.split(w["state_gates.weight"], 2)
    u_candidate = w["state_candidate.weight"]
    x_all, m_all = features[:, :VARIABLES], features[:, VARIABLES:]
    h = np.zeros(UNITS)
    states = []
    for t in range(len(features)):
        x, m = x_all[t], m_all[t]
        delta = np.zeros(VARIABLES)
        filled = np.zeros(VARIABLES)
        for d in range(VARIABLES):
            # From the previous measurement, or from the start, to now; by adding up the steps.
            s = t
            while s > 0:
                delta[d] += elapsed[s]
                s -= 1
                if m_all[s, d] == 1:
                    break
            last = 0.0
            for s in range(t):
                if m_all[s, d] == 1:
                    last = x_all[s, d]
            gamma = np.exp(-max(0.0, w["input_rate"][d] * delta[d] + w["input_rate_bias"][d]))
            mean = 0.0
            filled[d] = m[d] * x[d] + (1 - m[d]) * (gamma * last + (1 - gamma) * mean)
        rate = (w["state_rate.weight"] / VARIABLES) @ delta + w["state_rate.bias"]
        h = np.exp(-np.maximum(0.0, rate)) * h
        parts = [
            matrix[:, :VARIABLES] @ filled + matrix[:, VARIABLES:] @ m + bias
            for matrix, bias in zip(of_inputs, biases)
        ]
        r = sigmoid(parts[0] + u_reset @ h)
        z = sigmoid(parts[1] + u_update @ h)
        candidate = np.tanh(parts[2] + u_candidate @ (r * h))
        h = (1 - z) * h + z * candidate
        states.append(h)
    return np.array(states)


@pytest.mark.parametrize("timed", [False, True])
def test_states_are_those_of_the_paper_s_equations(core, timed):
    features, elapsed = stays()
    lengths = torch.tensor([3, TIME, 6])
    got = core(features, elapsed if timed else None, lengths).detach().numpy()
    times = elapsed.numpy() if timed else np.ones((BATCH, TIME))
    for example, length in enumerate(lengths.tolist()):
        stay = features[example, :length].numpy()
        expected = by_the_paper(core, stay, times[example, :length])
        np.testing.assert_allclose(got[example, :length], expected, rtol=1e-12, atol=1e-12)


def test_no_state_sees_a_later_step_or_another_stay(core):
    features, elapsed = stays()
    whole = core(features, elapsed, None)
    for end in range(1, TIME):
        torch.testing.assert_close(core(features[:, :end], elapsed[:, :end], None), whole[:, :end])
    for example in range(BATCH):
        alone = core(features[example : example + 1], elapsed[example : example + 1], None)
        torch.testing.assert_close(alone[0], whole[example])


def test_what_stands_where_nothing_was_measured_is_not_read(core):
    features, elapsed = stays()
    other = features.clone()
    values, marks = other.chunk(2, dim=2)
    values[marks == 0] = 1e3
    torch.testing.assert_close(core(other, elapsed, None), core(features, elapsed, None))


def test_a_longer_gap_forgets_more(core):
    features, elapsed = stays()
    features[:, 1:, VARIABLES:] = 0.0
    with torch.no_grad():
        core.state_rate.weight.abs_()
        core.state_rate.bias.zero_()
        core.input_map.weight.zero_()
        core.input_map.bias.zero_()
        core.input_map.weight[2 * UNITS :].fill_(1.0)
    short, long = (core(features, torch.full_like(elapsed, gap), None) for gap in (0.1, 5.0))
    assert (short[:, 0] == long[:, 0]).all()
    assert (long[:, -1].abs().sum() < 0.5 * short[:, -1].abs().sum()).all()


def test_gradients_are_those_of_differences(core):
    features, elapsed = stays()
    read, marks = features[:2, :4].chunk(2, dim=2)
    elapsed = elapsed[:2, :4]
    names = [name for name, _ in core.named_parameters()]
    values = tuple(value.detach().requires_grad_() for value in core.parameters())

    def states(read, *parameters):
        features = torch.cat([read, marks], dim=2)
        return torch.func.functional_call(
            core, dict(zip(names, parameters)), (features, elapsed, None)
        )

    assert torch.autograd.gradcheck(states, (read.clone().requires_grad_(), *values))


def test_measured_whole_and_without_decay_it_is_a_gated_recurrent_unit():
    """Cho's of 2014, version 3: the reset gate acts on h, and torch's on U h. With a diagonal U that is the same."""
    torch.manual_seed(2)
    core = GRUDCore(2 * VARIABLES, UNITS).double()
    theirs = torch.nn.GRU(VARIABLES, UNITS, batch_first=True).double()
    with torch.no_grad():
        for rates in (core.input_rate, core.state_rate.weight):
            rates.zero_()
        core.state_candidate.weight.copy_(torch.diag(torch.randn(UNITS)))
        weight, marks = core.input_map.weight.split(VARIABLES, dim=1)
        # Torch's update gate keeps what GRU-D's lets in; marks of 1 are a bias.
        sign = torch.ones(3 * UNITS, 1).double()
        sign[UNITS : 2 * UNITS] = -1.0
        theirs.weight_ih_l0.copy_(weight * sign)
        theirs.bias_ih_l0.copy_((core.input_map.bias + marks.sum(dim=1)) * sign.squeeze(1))
        state = torch.cat([core.state_gates.weight, core.state_candidate.weight])
        theirs.weight_hh_l0.copy_(state * sign)
        theirs.bias_hh_l0.zero_()
    values = torch.randn(BATCH, TIME, VARIABLES).double()
    features = torch.cat([values, torch.ones_like(values)], dim=2)
    torch.testing.assert_close(core(features, None, None), theirs(values)[0])
    # And with decay it is another.
    with torch.no_grad():
        core.state_rate.weight.fill_(1.0)
    assert not torch.allclose(core(features, None, None), theirs(values)[0])


def test_an_odd_number_of_features_is_refused():
    with pytest.raises(ValueError, match="a value and a mark for each variable, got 5"):
        GRUDCore(5, UNITS)
