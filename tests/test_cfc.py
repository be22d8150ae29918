"""The CfC core against the reference library, with every implementation that the machine can run."""

import copy
import itertools

import numpy as np
import pytest
import torch
from ncps.torch import CfC
from ncps.wirings import AutoNCP

from cfc_helpers import (
    BOUND,
    assert_close,
    each_implementation,
    read_one_by_one,
    relative_error,
    runnable,
)
from liquidbench.models.cfc.core import CfCCore
from liquidbench.models.cfc.library import load_ncps

FEATURES, UNITS = 5, 6

# Every value of every option, and pairs that share code; the grid of modes, sizes, lengths and types is below.
OPTIONS = {
    "default": {},
    "no_gate": {"mode": "no_gate"},
    "pure": {"mode": "pure"},
    "no backbone": {"backbone_layers": 0},
    "two layers": {"backbone_layers": 2, "backbone_units": 9},
    "three layers, pure": {"backbone_layers": 3, "backbone_units": 17, "mode": "pure"},
    "tanh": {"activation": "tanh"},
    "relu": {"activation": "relu"},
    "silu, no_gate": {"activation": "silu", "mode": "no_gate"},
    "gelu, two layers": {"activation": "gelu", "backbone_layers": 2},
    "projection": {"projection": True},
    "memory": {"mixed_memory": True},
    "memory, pure": {"mixed_memory": True, "mode": "pure"},
    "memory, no backbone": {"mixed_memory": True, "backbone_layers": 0},
}
WIRED = {
    "wired": {},
    "wired, pure": {"mode": "pure"},
    "wired, no_gate": {"mode": "no_gate"},
    "wired, projection": {"projection": True},
    "wired, memory": {"mixed_memory": True},
}


def pair(implementation="auto", dtype=torch.float64, features=FEATURES, units=UNITS, **options):
    """The library's CfC and ours with the same weights."""
    torch.manual_seed(0)
    theirs = {key: value for key, value in options.items() if key != "projection"}
    projected = units if options.get("projection") else None
    library = CfC(features, units, proj_size=projected, **theirs).to(dtype)
    ours = CfCCore(features, units, implementation=implementation, **options).to(dtype)
    load_ncps(ours, library.state_dict())
    return library, ours


def wired_pair(implementation="auto", dtype=torch.float64, **options):
    """The same, with the neurons wired as a neural circuit policy: 16 of them, 3 read out."""
    torch.manual_seed(0)
    theirs = {key: value for key, value in options.items() if key != "projection"}
    projected = 3 if options.get("projection") else None
    library = CfC(FEATURES, AutoNCP(16, 3, 0.4, 7), proj_size=projected, **theirs).to(dtype)
    wiring = {"wiring": "ncp", "outputs": 3, "sparsity": 0.4, "wiring_seed": 7}
    ours = CfCCore(FEATURES, 16, implementation=implementation, **wiring, **options).to(dtype)
    load_ncps(ours, library.state_dict())
    return library, ours


def gradients(core: CfCCore, library: CfC) -> tuple[dict, dict]:
    """Both gradients by the names of our parameters."""
    theirs = {
        name: value if value.grad is None else value.grad
        for name, value in library.state_dict(keep_vars=True).items()
    }
    expected = copy.deepcopy(core)
    load_ncps(expected, theirs)
    return (
        {name: value.grad for name, value in core.named_parameters()},
        {name: value.detach() for name, value in expected.named_parameters()},
    )


def assert_equal_to_the_library(library, ours, timed, ragged, bound, batch=4, time=7):
    dtype = next(ours.parameters()).dtype
    x = torch.randn(batch, time, ours.layers[0].input_size, dtype=dtype)
    elapsed = 3 * torch.rand(batch, time, dtype=dtype) if timed else None
    lengths = torch.randint(1, time + 1, (batch,)) if ragged else None
    x_library, x_ours = x.clone().requires_grad_(), x.clone().requires_grad_()
    parts = 1 if ours.memory is None else 2
    start = [torch.randn(batch, ours.units, dtype=dtype) for _ in range(parts)]
    start_library = [part.clone().requires_grad_() for part in start]
    start_ours = [part.clone().requires_grad_() for part in start]
    as_state = lambda tensors: tensors[0] if len(tensors) == 1 else tuple(tensors)  # noqa: E731

    expected, expected_last = read_one_by_one(
        library, x_library, elapsed, lengths, as_state(start_library)
    )
    states, last = ours.unroll(x_ours, elapsed, lengths, as_state(start_ours))
    got = ours.readout(states)
    if lengths is not None:
        # What a readout says of padding means nothing.
        got = torch.where((torch.arange(time) < lengths[:, None])[..., None], got, 0.0)
    last = torch.cat(last, dim=1) if isinstance(last, tuple) else last
    weights, last_weights = torch.randn_like(expected), torch.randn_like(expected_last)
    ((expected * weights).sum() + (expected_last * last_weights).sum()).backward()
    ((got * weights).sum() + (last * last_weights).sum()).backward()
    found = {"states": got.detach(), "last": last.detach(), "inputs": x_ours.grad}
    wanted = {"states": expected.detach(), "last": expected_last.detach(), "inputs": x_library.grad}
    for number in range(parts):
        found[f"start {number}"] = start_ours[number].grad
        wanted[f"start {number}"] = start_library[number].grad
    own, theirs = gradients(ours, library)
    assert_close(found | own, wanted | theirs, bound)


@each_implementation
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("timed", [False, True], ids=["", "timed"])
@pytest.mark.parametrize("ragged", [False, True], ids=["", "ragged"])
def test_numbers_and_gradients_are_those_of_ncps(implementation, options, timed, ragged):
    options = OPTIONS[options]
    if options.get("mixed_memory") and implementation == "native":
        pytest.skip("native has no mixed memory; auto takes portable")
    library, ours = pair(runnable(implementation), **options)
    assert_equal_to_the_library(library, ours, timed, ragged, BOUND[torch.float64])
    assert ours.used == {implementation}


@each_implementation
@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("mode", ["default", "no_gate", "pure"])
def test_numbers_are_those_of_ncps_at_many_sizes(implementation, dtype, mode):
    runnable(implementation)
    sizes = [(1, 1, 1, 1, 1), (3, 1, 16, 8, 1), (17, 12, 33, 40, 1), (65, 9, 20, 100, 2)]
    for (batch, time, units, width, depth), timed in itertools.product(sizes, [False, True]):
        options = {"backbone_units": width, "backbone_layers": depth, "mode": mode}
        library, ours = pair(implementation, dtype, features=7, units=units, **options)
        assert_equal_to_the_library(library, ours, timed, True, BOUND[dtype], batch, time)


@each_implementation
@pytest.mark.parametrize("options", WIRED)
@pytest.mark.parametrize("timed", [False, True], ids=["", "timed"])
def test_a_wired_core_has_the_numbers_and_gradients_of_ncps(implementation, options, timed):
    options = WIRED[options]
    if options.get("mixed_memory") and implementation != "reference":
        pytest.skip("wiring together with mixed memory has the plain loop alone")
    library, ours = wired_pair(runnable(implementation), **options)
    assert_equal_to_the_library(library, ours, timed, True, BOUND[torch.float64])


@each_implementation
def test_elapsed_times_act_per_example_where_the_library_takes_the_wrong_axis(implementation):
    batch = UNITS
    library, ours = pair(runnable(implementation))
    x, elapsed = torch.randn(batch, 4, FEATURES).double(), 5 * torch.rand(batch, 4).double()
    start = torch.zeros(batch, UNITS).double()
    right = read_one_by_one(library, x, elapsed, None, start)[0]
    assert relative_error(ours(x, elapsed, None).detach(), right.detach()) < 1e-10
    # With batch == units the library multiplies unit j by the time of example j, without a word ...
    wrong = library(x, start, elapsed)[0]
    assert relative_error(wrong.detach(), right.detach()) > 1e-3
    # ... and otherwise it fails.
    with pytest.raises(RuntimeError, match="must match the size"):
        library(x[:4], start[:4], elapsed[:4])


@each_implementation
def test_dropout_acts_in_a_one_layer_backbone_where_the_library_leaves_it_out(implementation):
    runnable(implementation)
    library, ours = pair(implementation, backbone_dropout=0.5)
    x = torch.randn(3, 4, FEATURES).double()
    start = torch.zeros(3, UNITS).double()
    assert torch.equal(library.train()(x, start)[0], library.eval()(x, start)[0])
    without = ours.eval()(x, None, None)
    assert relative_error(without.detach(), library(x, start)[0].detach()) < 1e-10
    ours.train()
    first, second = ours(x, None, None), ours(x, None, None)
    assert relative_error(first.detach(), without.detach()) > 1e-3
    assert not torch.equal(first, second)
    # The same draws give the same states, forwards and backwards, as the plain loop.
    plain = copy.deepcopy(ours)
    plain.wish = "reference"
    for core in (ours, plain):
        torch.manual_seed(3)
        core.states = core(x, None, None)
        core.states.square().sum().backward()
    assert relative_error(ours.states.detach(), plain.states.detach()) < 1e-10
    for one, other in zip(ours.parameters(), plain.parameters(), strict=True):
        assert relative_error(one.grad, other.grad) < 1e-10


def test_dropout_loses_the_asked_share_and_keeps_the_mean():
    layer = CfCCore(FEATURES, UNITS, backbone_units=200, backbone_dropout=0.3).layers[0].train()
    recurrence = layer.recurrence(torch.randn(40, 20, FEATURES), None, None, torch.zeros(40, UNITS))
    (factors,) = recurrence.dropout
    assert (factors == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert factors.mean().item() == pytest.approx(1.0, abs=0.01)


@each_implementation
@pytest.mark.parametrize("options", [OPTIONS["default"], OPTIONS["pure"]], ids=["default", "pure"])
def test_a_sequence_can_be_read_in_parts(implementation, options):
    _, core = pair(runnable(implementation), **options)
    x, elapsed = torch.randn(3, 9, FEATURES).double(), torch.rand(3, 9).double()
    whole, last = core.unroll(x, elapsed)
    first, state = core.unroll(x[:, :4], elapsed[:, :4])
    second, end = core.unroll(x[:, 4:], elapsed[:, 4:], None, state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
    torch.testing.assert_close(end, last)


@each_implementation
def test_elapsed_times_of_one_are_the_same_as_none(implementation):
    _, core = pair(runnable(implementation))
    x = torch.randn(3, 5, FEATURES).double()
    torch.testing.assert_close(core(x, torch.ones(3, 5), None), core(x, None, None))


def test_as_many_parameters_as_ncps_and_the_same_first_distribution():
    torch.manual_seed(1)
    for options in ({"projection": True}, {"mode": "pure"}, {"backbone_layers": 2}):
        library, core = pair(features=200, units=100, backbone_units=128, **options)
        fresh = CfCCore(200, 100, backbone_units=128, **options)
        count = lambda module: sum(parameter.numel() for parameter in module.parameters())  # noqa: E731
        assert count(core) == count(library)
        # The core has the library's values, the fresh one its own: uniform, so the largest tells the bound.
        for (name, own), theirs in zip(fresh.named_parameters(), core.parameters(), strict=True):
            assert own.abs().max().item() == pytest.approx(theirs.abs().max().item(), rel=0.1), name
            assert own.std().item() == pytest.approx(theirs.std().item(), rel=0.2), name


def test_weights_of_another_shape_or_wiring_are_refused():
    library, core = wired_pair()
    state = library.state_dict()
    other = CfC(FEATURES, AutoNCP(16, 3, 0.4, 8)).state_dict()
    with pytest.raises(ValueError, match="sparsity_mask is of another wiring"):
        load_ncps(core, other)
    with pytest.raises(ValueError, match="is missing"):
        load_ncps(core, {name: state[name] for name in list(state)[1:]})
    with pytest.raises(ValueError, match="has no place for further"):
        load_ncps(core, state | {"further": torch.zeros(1)})
    narrow = CfCCore(FEATURES, 4)
    with pytest.raises(ValueError, match=r"has the shape \(128, 11\)|expected"):
        load_ncps(narrow, CfC(FEATURES, UNITS).state_dict())


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"mode": "fast"}, "mode must be one of default, pure, no_gate, got 'fast'"),
        ({"activation": "swish"}, "activation must be one of .*, got 'swish'"),
        ({"backbone_layers": -1}, "backbone_layers must be at least 0"),
        ({"backbone_dropout": 1.0}, r"backbone_dropout must be in \[0, 1\)"),
        ({"outputs": 2}, "go with a wiring"),
        ({"wiring": "ncp", "outputs": 2, "backbone_units": 8}, "leave out backbone_units"),
        ({"wiring": "ncp"}, "needs outputs"),
        ({"implementation": "fast"}, "implementation must be one of auto, reference"),
    ],
)
def test_options_that_cannot_be_are_refused(options, problem):
    with pytest.raises(ValueError, match=problem):
        CfCCore(FEATURES, 16, **options)


def test_shapes_that_do_not_fit_are_refused():
    core = CfCCore(FEATURES, UNITS)
    x = torch.randn(3, 5, FEATURES)
    with pytest.raises(ValueError, match=r"features must be \(batch, time, 5\)"):
        core(x[..., :4], None, None)
    # The library fails without saying why at no steps.
    with pytest.raises(ValueError, match="none of them 0"):
        core(x[:, :0], None, None)
    with pytest.raises(ValueError, match=r"elapsed must be \(3, 5\), got \(3, 4\)"):
        core(x, torch.ones(3, 4), None)
    with pytest.raises(ValueError, match=r"lengths must be \(3,\), got \(2,\)"):
        core(x, None, torch.tensor([1, 2]))


@each_implementation
def test_bfloat16_under_autocast_is_near_float32(implementation):
    # The library fails here: its state is float32, and its input is not.
    _, core = pair(runnable(implementation), torch.float32, units=32)
    x = torch.randn(8, 20, FEATURES)
    exact = core(x, None, None)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states = core(x, None, None)
        half = core(x.bfloat16(), None, None)
    assert states.dtype == half.dtype == torch.float32
    for got in (states, half):
        assert 0 < relative_error(got.detach(), exact.detach()) < 0.03
    states.square().mean().backward()
    found = [parameter.grad.clone() for parameter in core.parameters()]
    core.zero_grad()
    exact.square().mean().backward()
    for parameter, gradient in zip(core.parameters(), found, strict=True):
        assert relative_error(gradient, parameter.grad) < 0.05


@each_implementation
def test_the_core_trains_to_the_same_weights_as_the_library(implementation):
    library, core = pair(runnable(implementation), projection=True)
    generator = np.random.default_rng(0)
    x = torch.from_numpy(generator.normal(size=(16, 12, FEATURES)))
    target = x.cumsum(1)[..., :1].tanh().expand(-1, -1, UNITS)
    start = torch.zeros(16, UNITS, dtype=torch.float64)
    losses = {}
    for name, module in (("library", library), ("ours", core)):
        optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
        losses[name] = []
        for _ in range(30):
            states = module(x, start)[0] if name == "library" else core.readout(core(x, None, None))
            loss = (states - target).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[name].append(loss.item())
    assert losses["ours"] == pytest.approx(losses["library"], rel=1e-9)
    assert losses["ours"][-1] < 0.5 * losses["ours"][0]
