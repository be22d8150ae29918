"""Implementations of the CfC against the plain loop and finite differences, and how one is chosen."""

import gc
import itertools
import weakref
from dataclasses import replace

import pytest
import torch

from cfc_helpers import (
    BOUND,
    assert_close,
    each_implementation,
    recurrence,
    results,
    runnable,
)
from liquidbench.errors import InputError
from liquidbench.models.cfc import build, implementations, native, portable, products
from liquidbench.models.cfc import recurrence as reference
from liquidbench.models.cfc.core import CfCCore
from liquidbench.models.cfc.recurrence import ACTIVATIONS, MODES, Memory

FAST = {"portable": portable, "native": native}


def with_memory(r):
    batch, time, units = *r.inputs.shape[:2], r.units
    normal = lambda *shape: torch.randn(*shape, dtype=r.inputs.dtype).requires_grad_()  # noqa: E731
    return replace(
        r,
        memory=Memory(
            normal(batch, time, 4 * units), normal(4 * units, units), normal(batch, units)
        ),
    )


@pytest.mark.parametrize("name", FAST)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_numbers_and_gradients_are_those_of_the_plain_loop(name, mode, activation):
    runnable(name)
    # More rows than a block and fewer, more columns than a vector and fewer.
    sizes = [(1, 1, 3, 5), (7, 9, 20, 17), (70, 4, 33, 16)]
    for size, depth, flags in itertools.product(sizes, range(4), range(8)):
        options = {"timed": flags & 1, "ragged": flags & 2, "dropout": flags & 4}
        r = recurrence(*size, depth, mode, activation, **{k: bool(v) for k, v in options.items()})
        expected = results(r, reference.run)
        assert_close(results(r, FAST[name].run), expected, BOUND[torch.float64])


@pytest.mark.parametrize("name", FAST)
def test_single_precision_stays_near_the_plain_loop_over_long_sequences(name):
    runnable(name)
    for mode, depth, timed in itertools.product(MODES, (0, 1, 2), (False, True)):
        r = recurrence(9, 300, 40, 24, depth, mode, timed=timed, ragged=True, dtype=torch.float32)
        # Half the size, or a random recurrence of this length is chaotic: any rounding grows.
        weights = tuple((w / 2).detach().requires_grad_() for w in r.weights)
        r = replace(r, weights=weights)
        assert_close(results(r, FAST[name].run), results(r, reference.run), BOUND[torch.float32])


@pytest.mark.parametrize("mode", MODES)
def test_the_portable_one_has_mixed_memory(mode):
    for depth, timed, ragged in itertools.product((0, 1, 2), (False, True), (False, True)):
        r = with_memory(recurrence(5, 6, 7, 9, depth, mode, timed=timed, ragged=ragged))
        expected = results(r, reference.run)
        assert_close(results(r, portable.run), expected, BOUND[torch.float64])


@each_implementation
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_gradients_are_those_of_finite_differences(implementation, mode, depth):
    module = {"reference": reference, **FAST}[runnable(implementation)]
    for timed in (False, True):
        r = recurrence(3, 4, 3, 4, depth, mode, "silu", timed=timed, ragged=True, dropout=True)
        vectors = [] if mode != "pure" else [r.decay, r.asymptote]

        def states(inputs, initial, *rest, r=r, vectors=vectors):
            own, layers = rest[: len(vectors)], rest[len(vectors) :]
            changed = replace(
                r,
                inputs=inputs,
                initial=initial,
                weights=layers[: len(r.weights)],
                biases=layers[len(r.weights) :],
                decay=own[0] if own else None,
                asymptote=own[1] if own else None,
            )
            return module.run(changed)[0]

        torch.autograd.gradcheck(states, (r.inputs, r.initial, *vectors, *r.weights, *r.biases))


@each_implementation
def test_what_needs_no_gradient_gets_none_and_changes_nothing(implementation):
    module = {"reference": reference, **FAST}[runnable(implementation)]
    r = recurrence(3, 4, 5, 6, 1)
    expected = results(r, module.run)
    with torch.inference_mode():
        states, _ = module.run(r)
    torch.testing.assert_close(states, expected["states"], rtol=0, atol=0)
    fixed = replace(r, inputs=r.inputs.detach(), initial=r.initial.detach())
    module.run(fixed)[0].sum().backward()
    whole = torch.autograd.grad(module.run(r)[0].sum(), r.weights)
    for weight, gradient in zip(r.weights, whole, strict=True):
        torch.testing.assert_close(weight.grad, gradient, rtol=0, atol=0)


@each_implementation
def test_the_same_numbers_again_to_the_bit(implementation):
    module = {"reference": reference, **FAST}[runnable(implementation)]
    r = recurrence(70, 9, 20, 17, 1, ragged=True, dtype=torch.float32)
    first, second = results(r, module.run), results(r, module.run)
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


@each_implementation
def test_any_number_of_threads_gives_the_same_numbers_to_rounding(implementation):
    module = {"reference": reference, **FAST}[runnable(implementation)]
    r = recurrence(70, 9, 20, 17, 1, ragged=True)
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(results(r, module.run))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert_close(other, found[0], 1e-12)


@each_implementation
def test_strided_inputs_and_a_gradient_that_is_one_number_spread_out(implementation):
    module = {"reference": reference, **FAST}[runnable(implementation)]
    r = recurrence(4, 6, 5, 8, 1)
    across = replace(r, inputs=r.inputs.detach().transpose(0, 1).contiguous().transpose(0, 1))
    wide = torch.randn(4, 6, 16, dtype=torch.float64)
    wide[..., ::2] = r.inputs.detach()
    every_other = replace(r, inputs=wide[..., ::2])
    for other in (across, every_other):
        other.inputs.requires_grad_()
        torch.testing.assert_close(module.run(other)[0], module.run(r)[0])
        module.run(other)[0].sum().backward()
        expected = torch.autograd.grad(reference.run(r)[0].sum(), r.inputs)[0]
        torch.testing.assert_close(other.inputs.grad, expected)


@each_implementation
@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_not_a_number_stays_in_its_own_example(implementation, dtype, activation):
    module = {"reference": reference, **FAST}[runnable(implementation)]
    r = recurrence(20, 5, 6, 8, 1, activation=activation, dtype=dtype)
    inputs = r.inputs.detach().clone()
    inputs[3, 2] = float("nan")
    states, _ = module.run(replace(r, inputs=inputs))
    bad = torch.isnan(states).any(dim=2)
    assert bad[3].tolist() == [False, False, True, True, True]
    bad[3] = False
    assert not bad.any()


@pytest.mark.parametrize("name", FAST)
def test_extreme_maps_saturate_as_in_the_plain_loop(name):
    runnable(name)
    for mode, dtype in itertools.product(MODES, BOUND):
        r = recurrence(9, 4, 6, 8, 0, mode, timed=True, dtype=dtype)
        large = replace(r, inputs=(r.inputs.detach() * 1e4).requires_grad_())
        expected = results(large, reference.run)
        assert_close(results(large, FAST[name].run), expected, BOUND[dtype])


def test_auto_takes_the_fastest_that_can():
    r = recurrence(3, 4, 5, 6, 1)
    fastest = "portable" if build.library().problem else "native"
    assert implementations.run("auto", r)[2] == fastest
    assert implementations.run("auto", with_memory(r))[2] == "portable"
    asked = replace(r, elapsed=torch.rand(3, 4, dtype=torch.float64).requires_grad_())
    asked = replace(asked, weights=recurrence(3, 4, 5, 6, 1, timed=True).weights)
    asked = replace(asked, biases=recurrence(3, 4, 5, 6, 1, timed=True).biases)
    assert implementations.run("auto", asked)[2] == "reference"


def test_what_is_asked_for_and_cannot_be_is_refused():
    r = recurrence(3, 4, 5, 6, 1)
    runnable("native")
    with pytest.raises(InputError, match="native is asked for, but it has no mixed memory"):
        implementations.run("native", with_memory(r))


@pytest.mark.parametrize("name", FAST)
def test_a_decay_of_zero_is_as_in_the_plain_loop(name):
    runnable(name)
    r = recurrence(3, 4, 6, 8, 1, "pure", timed=True)
    r = replace(r, decay=torch.zeros(6, dtype=torch.float64).requires_grad_())
    assert_close(results(r, FAST[name].run), results(r, reference.run), BOUND[torch.float64])


@pytest.mark.parametrize("name", FAST)
def test_vectors_of_a_larger_tensor_are_read_with_their_stride(name):
    runnable(name)
    r = recurrence(3, 4, 6, 8, 1, "pure")
    wide = torch.randn(6, 2, dtype=torch.float64)
    r = replace(r, decay=wide[:, 0], asymptote=wide[:, 1])
    torch.testing.assert_close(FAST[name].run(r)[0], reference.run(r)[0])


def test_native_takes_nothing_that_does_not_fit():
    runnable("native")
    r = recurrence(3, 4, 5, 6, 1, ragged=True, dropout=True)
    one = torch.zeros(1)
    wrong = {
        "initial": [r.initial[:1], r.initial.float()],
        "weights": [(r.weights[0][:, :4], r.weights[1]), (r.weights[0].float(), r.weights[1])],
        "biases": [(r.biases[0][:-1],)],
        "elapsed": [torch.ones(3, 5, dtype=torch.float64)],
        "lengths": [torch.tensor([-1, 2, 3]), torch.tensor([1, 2, 5]), torch.tensor([1, 2])],
        "dropout": [(r.dropout[0][:, :3],), (one,)],
    }
    for name, values in wrong.items():
        for value in values:
            with pytest.raises(ValueError, match="must be"):
                native.run(replace(r, **{name: value}))


@pytest.mark.parametrize("name", ["portable", "native"])
def test_what_backward_needs_is_watched_and_let_go(name):
    runnable(name)
    # With lecun_tanh the portable one keeps weights of its own.
    made = recurrence(1, 6, 5, 8, 1, activation="tanh", timed=True)
    made = with_memory(made) if name == "portable" else made
    run = FAST[name].run
    gc.collect()
    gc.disable()
    try:
        outputs = [out for out in run(made) if out is not None]
        alive = [weakref.ref(out) for out in outputs]
        del outputs
        assert [reference() for reference in alive] == [None] * len(alive)
    finally:
        gc.enable()
    changed = [made.weights[0], made.elapsed] + ([made.memory.weight] if made.memory else [])
    for tensor in changed:
        states, _ = run(made)
        with torch.no_grad():
            tensor.mul_(2.0)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            states.sum().backward()


@each_implementation
def test_a_sequence_without_steps_keeps_its_state(implementation):
    for options in ({}, {"mixed_memory": implementation != "native"}):
        core = CfCCore(4, 6, **options, implementation=runnable(implementation)).double()
        state = torch.randn(3, 6, dtype=torch.float64)
        given = (state, state + 1) if core.memory is not None else state
        x = torch.randn(3, 5, 4, dtype=torch.float64)
        _, last = core.unroll(x, None, torch.tensor([5, 0, 2]), given)
        last, cells = last if core.memory is not None else (last, None)
        torch.testing.assert_close(last[1], state[1], rtol=0, atol=0)
        assert not torch.equal(last[2], state[2])
        if cells is not None:
            torch.testing.assert_close(cells[1], state[1] + 1, rtol=0, atol=0)


def test_a_core_says_which_shape_it_got():
    core, x = CfCCore(4, 6), torch.zeros(3, 5, 4)
    for state in (torch.zeros(1, 6), torch.zeros(3, 5), (torch.zeros(3, 6), torch.zeros(3, 6))):
        with pytest.raises(ValueError, match=r"state must be one tensor of \(3, 6\)"):
            core.unroll(x, state=state)
    for lengths in ([-900, 5, 5], [1, 2, 6]):
        with pytest.raises(ValueError, match="lengths must be 0 to 5"):
            core(x, None, torch.tensor(lengths))


@each_implementation
@pytest.mark.parametrize("mode", MODES)
def test_elapsed_times_of_the_padding_and_their_precision_do_not_matter(implementation, mode):
    core = CfCCore(4, 6, mode, implementation=runnable(implementation))
    x, lengths = torch.randn(3, 5, 4), torch.tensor([5, 2, 3])
    elapsed = 1 + torch.rand(3, 5, dtype=torch.float64)
    found = []
    for other in (elapsed, elapsed.masked_fill(torch.arange(5) >= lengths[:, None], torch.nan)):
        core.zero_grad()
        states = core(x, other, lengths)
        states.sum().backward()
        found.append([states.detach(), *(p.grad.clone() for p in core.parameters())])
    for got, wanted in zip(*found, strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=0)


@pytest.mark.parametrize("wish", ["portable", "native", "triton"])
def test_wiring_with_memory_refuses_what_cannot_take_it(wish):
    options = {"wiring": "ncp", "outputs": 3, "mixed_memory": True}
    core = CfCCore(4, 12, **options, implementation=wish)
    with pytest.raises(InputError, match=f"{wish} is asked for, but it has no wiring together"):
        core(torch.zeros(2, 3, 4), None, None)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5)])
def test_the_product_with_wide_inputs_is_torch_s_own(shape):
    x = torch.randn(*shape, 1100, requires_grad=True)
    # Else this would compare torch's product with itself.
    assert products._WIDE <= 1100 and torch.backends.mkldnn.is_available()
    weight, bias = torch.randn(7, 1100, requires_grad=True), torch.randn(7, requires_grad=True)
    factors = torch.randn(*shape, 7)
    # An expanded gradient has strides of zero.
    for gradient in (factors, torch.ones(7).expand(*shape, 7)):
        found = []
        for product in (products.linear, torch.nn.functional.linear):
            out = product(x, weight, bias)
            gradients = torch.autograd.grad(out, (x, weight, bias), gradient)
            found.append(dict(zip(["out", "x", "weight", "bias"], (out.detach(), *gradients))))
        assert_close(*found, BOUND[torch.float32])
