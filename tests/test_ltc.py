"""The liquid time-constant core against the reference library, plain loops and an ODE solver."""

import copy
import math

import numpy as np
import pytest
import torch
from ncps.torch import LTC
from ncps.wirings import AutoNCP, FullyConnected
from scipy.integrate import solve_ivp
from torch.func import functional_call

from liquidbench.models import synapses
from liquidbench.models.ltc import EPSILON, LTCCore
from liquidbench.models.wiring import auto_policy

BATCH, TIME, FEATURES, UNITS, OUTPUTS = 3, 5, 4, 9, 2
WIRINGS = {
    "full": {},
    "full, some read out": {"outputs": OUTPUTS},
    "ncp": {"wiring": "ncp", "outputs": OUTPUTS, "sparsity": 0.3, "wiring_seed": 5},
}


def _reference(name: str, constraints: str, unfolds: int = 6) -> LTC:
    wiring = {
        "full": lambda: UNITS,
        "full, some read out": lambda: FullyConnected(UNITS, OUTPUTS),
        "ncp": lambda: AutoNCP(UNITS, OUTPUTS, 0.3, 5),
    }[name]()
    implicit = constraints == "softplus"
    return LTC(FEATURES, wiring, ode_unfolds=unfolds, implicit_param_constraints=implicit)


def _pair(name="full", constraints="softplus", unfolds=6):
    """The library's layer and ours with the same random weights, in double precision."""
    torch.manual_seed(0)
    reference = _reference(name, constraints, unfolds).double()
    with torch.no_grad():
        # The affine maps start as identities, reversal potentials as signs: move them.
        for parameter in reference.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.rand_like(parameter)
    ours = LTCCore(FEATURES, UNITS, unfolds, constraints, **WIRINGS[name]).double()
    ours.load_ncps(reference.state_dict())
    return reference, ours


def _input(batch=BATCH, time=TIME):
    return torch.randn(batch, time, FEATURES, dtype=torch.float64)


def _gradients_of_ncps(cell, core):
    """The library's gradients by the names of our parameters."""
    found = {
        "leak_conductance": cell.gleak.grad,
        "leak_potential": cell.vleak.grad,
        "capacitance": cell.cm.grad,
        "input_scale": cell.input_w.grad,
        "input_shift": cell.input_b.grad,
        "output_scale": cell.output_w.grad,
        "output_shift": cell.output_b.grad,
    }
    for part, prefix in (("recurrent", ""), ("sensory", "sensory_")):
        for name, theirs in (
            ("conductance", "w"),
            ("steepness", "sigma"),
            ("midpoint", "mu"),
            ("reversal", "erev"),
        ):
            gradient = getattr(cell, prefix + theirs).grad
            found[f"{part}.{name}"] = getattr(core, part).gather(gradient)
    return found


@pytest.mark.parametrize("name", WIRINGS)
@pytest.mark.parametrize("constraints", ["softplus", "clamp"])
@pytest.mark.parametrize("timed", [False, True])
def test_numbers_and_gradients_are_those_of_ncps(name, constraints, timed):
    reference, ours = _pair(name, constraints)
    x = _input()
    elapsed = torch.rand(BATCH, TIME, dtype=torch.float64) * 3 if timed else None
    # The library divides a (units,) tensor by the times: spelt out per unit they act as they should.
    spelt = elapsed.unsqueeze(-1).expand(-1, -1, UNITS) if timed else None
    x_reference, x_ours = x.clone().requires_grad_(), x.clone().requires_grad_()
    expected = reference(x_reference, timespans=spelt)[0]
    got = ours(x_ours, elapsed, None)
    assert got.shape == (BATCH, TIME, ours.output_size) == expected.shape
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12)
    weights = torch.randn_like(expected)
    (expected * weights).sum().backward()
    (got * weights).sum().backward()
    torch.testing.assert_close(x_ours.grad, x_reference.grad, rtol=1e-10, atol=1e-12)
    gradients = {key: value.grad for key, value in ours.named_parameters()}
    torch.testing.assert_close(
        gradients, _gradients_of_ncps(reference.rnn_cell, ours), rtol=1e-10, atol=1e-12
    )


def test_states_are_those_of_the_equation_written_out_for_each_synapse():
    _, core = _pair("ncp", unfolds=3)
    x, elapsed = _input(), torch.rand(BATCH, TIME, dtype=torch.float64)
    wiring = auto_policy(FEATURES, UNITS, OUTPUTS, 0.3, 5)
    softplus = lambda value: math.log1p(math.exp(value))  # noqa: E731

    def synapses_of(part, polarities):
        """(source, target, w, sigma, mu, A) of each."""
        pairs = [(i, j) for j, i in np.argwhere(polarities.T)]
        parameters = (part.conductance, part.steepness, part.midpoint, part.reversal)
        values = zip(*(parameter.tolist() for parameter in parameters))
        return [
            (i, j, softplus(w), sigma, mu, a)
            for (i, j), (w, sigma, mu, a) in zip(pairs, values, strict=True)
        ]

    sensory = synapses_of(core.sensory, wiring.sensory)
    recurrent = synapses_of(core.recurrent, wiring.recurrent)
    g, c = ([softplus(v) for v in p.tolist()] for p in (core.leak_conductance, core.capacitance))
    e = core.leak_potential.tolist()
    got = core(x, elapsed, None)
    for example in range(BATCH):
        v = [0.0] * UNITS
        for step in range(TIME):
            scaled = x[example, step] * core.input_scale + core.input_shift
            inputs, d = scaled.tolist(), float(elapsed[example, step]) / 3
            for _ in range(3):
                above = [c[j] * v[j] + d * g[j] * e[j] for j in range(UNITS)]
                below = [c[j] + d * (g[j] + EPSILON) for j in range(UNITS)]
                for potentials, group in ((inputs, sensory), (v, recurrent)):
                    for i, j, w, sigma, mu, a in group:
                        opened = 1 / (1 + math.exp(-sigma * (potentials[i] - mu)))
                        above[j] += d * w * opened * a
                        below[j] += d * w * opened
                v = [above[j] / below[j] for j in range(UNITS)]
            for j in range(OUTPUTS):
                expected = v[j] * core.output_scale[j] + core.output_shift[j]
                assert got[example, step, j].item() == pytest.approx(expected.item(), rel=1e-10)


def test_many_unfolds_approach_the_solution_of_the_equation():
    core = LTCCore(FEATURES, UNITS, unfolds=3000, constraints="clamp").double()
    x = _input(1, 1)
    duration = 0.7
    full = (UNITS, UNITS)
    with torch.no_grad():
        got = core(x, torch.full((1, 1), duration), None)[0, 0].numpy()
        numbers = {key: value.numpy() for key, value in core.state_dict().items()}

    def sums(part, v, shape):
        w, sigma, mu, a = (
            numbers[f"{part}.{key}"].reshape(shape)
            for key in ("conductance", "steepness", "midpoint", "reversal")
        )
        opened = w / (1 + np.exp(-sigma * (v - mu)))
        return lambda potential: (opened * (a - potential[:, None])).sum(axis=1)

    from_inputs = sums("sensory", x[0, 0].numpy(), (UNITS, FEATURES))

    def slope(_time, v):
        leak = numbers["leak_conductance"] * (numbers["leak_potential"] - v)
        return (leak + from_inputs(v) + sums("recurrent", v, full)(v)) / numbers["capacitance"]

    exact = solve_ivp(slope, (0, duration), np.zeros(UNITS), rtol=1e-9, atol=1e-9).y[:, -1]
    np.testing.assert_allclose(got, exact, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("name", WIRINGS)
@pytest.mark.parametrize("constraints", ["softplus", "clamp"])
@pytest.mark.parametrize("timed", [False, True])
def test_gradients_are_those_of_finite_differences(name, constraints, timed):
    _, core = _pair(name, constraints, unfolds=2)
    x = _input(2, 2).requires_grad_()
    elapsed = torch.rand(2, 2, dtype=torch.float64) if timed else None
    names, parameters = zip(*core.named_parameters())

    def run(x, *values):
        return functional_call(core, dict(zip(names, values)), (x, elapsed, None))

    copies = [parameter.detach().clone().requires_grad_() for parameter in parameters]
    assert torch.autograd.gradcheck(run, (x, *copies), fast_mode=True)


def test_chunks_of_the_inputs_synapses_change_nothing(monkeypatch):
    _, core = _pair("ncp")
    x = _input()
    results = []
    for chunk in (
        1,
        4 * FEATURES * UNITS,
        10**9,
    ):  # one row at a time, an uneven last chunk, all at once
        monkeypatch.setattr(synapses, "CHUNK", chunk)
        core.zero_grad()
        core(x, None, None).square().sum().backward()
        results.append([parameter.grad.clone() for parameter in core.parameters()])
    torch.testing.assert_close(results[0], results[2], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(results[1], results[2], rtol=1e-10, atol=1e-12)


def test_elapsed_times_act_per_example():
    # As many examples as units: the library then divides along the wrong axis without an error.
    reference, core = _pair()
    x = _input(batch=UNITS)
    elapsed = torch.rand(UNITS, TIME, dtype=torch.float64) * 3
    alone = torch.cat([core(x[i : i + 1], elapsed[i : i + 1], None) for i in range(UNITS)])
    torch.testing.assert_close(core(x, elapsed, None), alone, rtol=1e-12, atol=1e-12)
    one_by_one = [reference(x[i : i + 1], timespans=elapsed[i : i + 1])[0] for i in range(UNITS)]
    torch.testing.assert_close(alone, torch.cat(one_by_one), rtol=1e-10, atol=1e-12)
    assert (reference(x, timespans=elapsed)[0] - alone).abs().max() > 0.01
    with pytest.raises(RuntimeError, match="must match the size"):
        reference(x[:4], timespans=elapsed[:4])


def test_elapsed_times_of_one_are_the_same_as_none():
    _, core = _pair("ncp")
    x = _input()
    torch.testing.assert_close(core(x, torch.ones(BATCH, TIME), None), core(x, None, None))


@pytest.mark.parametrize("constraints", ["softplus", "clamp"])
def test_a_step_of_no_length_leaves_the_state_as_it_is(constraints):
    reference, core = _pair(constraints=constraints)
    with torch.no_grad():
        core.capacitance[0] = -20  # softplus or clamp make it all but nothing
    x, elapsed = _input(), torch.ones(BATCH, TIME, dtype=torch.float64)
    elapsed[:, 2] = 0
    states = core(x, elapsed, None)
    states.sum().backward()
    torch.testing.assert_close(states[:, 2], states[:, 1])
    assert all(parameter.grad.isfinite().all() for parameter in core.parameters())
    elapsed[:, 0] = 0
    spelt = elapsed.unsqueeze(-1).expand(-1, -1, UNITS)
    assert reference(x, timespans=spelt)[0].isnan().any(), "the library divides by 0"


@pytest.mark.parametrize("name", WIRINGS)
def test_padding_reaches_neither_valid_states_nor_gradients(name):
    core = LTCCore(FEATURES, UNITS, **WIRINGS[name])
    x, elapsed = torch.randn(2, TIME, FEATURES), torch.rand(2, TIME)
    lengths = torch.tensor([3, TIME])
    valid = torch.arange(TIME) < lengths.unsqueeze(1)
    weights = torch.randn(2, TIME, core.output_size)
    results = []
    for filling, time in ((0.0, 0.0), (1e3, 7.0)):
        core.zero_grad()
        states = core(
            torch.where(valid.unsqueeze(-1), x, filling), torch.where(valid, elapsed, time), lengths
        )
        (states * weights)[valid].sum().backward()
        results.append((states[valid], [p.grad.clone() for p in core.parameters()]))
    torch.testing.assert_close(results[0], results[1])


def test_clamping_is_the_projection_that_ncps_leaves_to_its_user():
    reference, core = _pair("full", "clamp")
    cell = reference.rnn_cell
    with torch.no_grad():
        cell.w *= 0.01  # so that steps lead below 0
    core.load_ncps(reference.state_dict())
    clamped = 0
    optimisers = [
        torch.optim.SGD(m.parameters(), lr=0.003, momentum=0.9) for m in (reference, core)
    ]
    for _ in range(8):
        x = _input()
        for optimiser, run in zip(
            optimisers, (lambda x: reference(x)[0], lambda x: core(x, None, None))
        ):
            optimiser.zero_grad()
            (run(x) - x[..., :1]).square().sum().backward()
            optimiser.step()
        clamped += int((cell.w < 0).sum() + (cell.gleak < 0).sum())
        cell.apply_weight_constraints()
    assert clamped > 5
    x = _input()
    torch.testing.assert_close(core(x, None, None), reference(x)[0], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(
        core.recurrent.conductance, core.recurrent.gather(cell.w), rtol=1e-10, atol=1e-12
    )
    assert core.recurrent.conductance.min() == 0


def test_clamping_spoils_no_earlier_forward_pass():
    core = LTCCore(FEATURES, UNITS, constraints="clamp")
    with torch.no_grad():
        core.recurrent.conductance[0] = -1
    first, second = core(_input(), None, None), core(_input(), None, None)
    (first.sum() + second.sum()).backward()
    assert core.recurrent.conductance[0] == 0 and core.recurrent.conductance.grad[0] != 0


def test_it_starts_from_the_same_distributions_as_ncps():
    torch.manual_seed(0)
    reference = LTC(60, AutoNCP(90, 20)).rnn_cell
    core = LTCCore(60, 90, wiring="ncp", outputs=20)
    for part, prefix in ((core.recurrent, ""), (core.sensory, "sensory_")):
        assert torch.equal(part.reversal, part.gather(getattr(reference, f"{prefix}erev")))
        for ours, theirs in (("conductance", "w"), ("steepness", "sigma"), ("midpoint", "mu")):
            _assert_alike(getattr(part, ours), getattr(reference, prefix + theirs))
    for ours, theirs in (("capacitance", "cm"), ("leak_potential", "vleak")):
        _assert_alike(getattr(core, ours), getattr(reference, theirs), tolerance=0.3)
    _assert_alike(core.leak_conductance, reference.gleak, tolerance=0.3)


def _assert_alike(got, expected, tolerance=0.1):
    """Uniform distributions: their ends tell them."""
    width = (expected.max() - expected.min()).item()
    assert got.min().item() == pytest.approx(expected.min().item(), abs=tolerance * width)
    assert got.max().item() == pytest.approx(expected.max().item(), abs=tolerance * width)


def test_a_full_core_has_as_many_parameters_as_ncps_and_a_wired_one_only_its_synapses():
    count = lambda module: sum(p.numel() for p in module.parameters() if p.requires_grad)  # noqa: E731
    reference, core = _pair()
    assert count(core) == count(reference)
    reference, core = _pair("ncp")
    cell = reference.rnn_cell
    connected = int(cell.sparsity_mask.sum() + cell.sensory_sparsity_mask.sum())
    assert count(core) == 4 * connected + 3 * UNITS + 2 * FEATURES + 2 * OUTPUTS
    assert count(core) < count(reference) / 2


def test_synapses_that_do_not_exist_stay_without_effect_in_ncps_too():
    # So a wired core may leave them out: their gradients in the library are exactly 0.
    reference, _ = _pair("ncp")
    reference(_input())[0].sum().backward()
    absent = reference.rnn_cell.sparsity_mask == 0
    for name in ("w", "sigma", "mu", "erev"):
        assert not getattr(reference.rnn_cell, name).grad[absent].any()


def test_the_readout_is_left_to_the_model():
    core = LTCCore(FEATURES, UNITS, wiring="ncp", outputs=OUTPUTS, projection=True)
    x = torch.randn(BATCH, TIME, FEATURES)
    states = core(x, None, None)
    assert core.readout(states).shape == states.shape == (BATCH, TIME, OUTPUTS)
    core.readout = torch.nn.Identity()
    torch.testing.assert_close(core(x, None, None), states, rtol=0, atol=0)


def test_it_runs_under_autocast_with_deterministic_kernels_and_without_gradients():
    core = LTCCore(FEATURES, UNITS, wiring="ncp", outputs=OUTPUTS)
    x = torch.randn(BATCH, TIME, FEATURES)
    expected = core(x, None, None)
    torch.use_deterministic_algorithms(True)
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
            got = copy.deepcopy(core)(x, None, None)
        core(x, None, None).sum().backward()
    finally:
        torch.use_deterministic_algorithms(False)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, expected)
    assert core(x[:, :0], None, None).shape == (BATCH, 0, OUTPUTS)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"unfolds": 0}, "unfolds must be at least 1, got 0"),
        ({"constraints": "relu"}, "constraints must be one of .*'softplus', 'clamp'.* got 'relu'"),
        ({"wiring": "random"}, "unknown wiring 'random': must be 'full' or 'ncp'"),
        ({"wiring": "ncp"}, "'ncp' needs outputs"),
        ({"sparsity": 0.5}, "a full wiring has no sparsity"),
        ({"wiring": "ncp", "outputs": 7}, "outputs must be at most units - 3"),
    ],
)
def test_options_out_of_range_are_refused(options, problem):
    with pytest.raises(ValueError, match=problem):
        LTCCore(FEATURES, UNITS, **options)


@pytest.mark.parametrize("seed", [5, 6])
def test_weights_of_another_wiring_are_refused(seed):
    state = _pair("ncp")[0].state_dict()
    core = LTCCore(FEATURES, UNITS, wiring="ncp", outputs=OUTPUTS, sparsity=0.3, wiring_seed=seed)
    if seed == 5:
        core.load_ncps(state)
    else:
        with pytest.raises(ValueError, match="not those of this core's wiring"):
            core.load_ncps(state)
