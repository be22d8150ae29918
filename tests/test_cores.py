"""Sequence cores against the reference library and against plain slow loops."""

import numpy as np
import pytest
import torch
from ncps.torch import CfC

from liquidbench.models.cores import CfCCore, LSTMCore

BATCH, TIME, FEATURES, UNITS = 3, 7, 5, 6


def _pair(layers: int = 1, projection: bool = True, dtype=torch.float64):
    torch.manual_seed(0)
    reference = CfC(
        FEATURES,
        UNITS,
        proj_size=UNITS if projection else None,
        backbone_units=9,
        backbone_layers=layers,
    ).to(dtype)
    ours = CfCCore(FEATURES, UNITS, 9, layers, projection).to(dtype)
    ours.load_ncps(reference.state_dict())
    return reference, ours


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("projection", [True, False])
@pytest.mark.parametrize("timed", [True, False])
def test_cfc_has_the_numbers_and_gradients_of_ncps(layers, projection, timed):
    reference, ours = _pair(layers, projection)
    x = torch.randn(BATCH, TIME, FEATURES, dtype=torch.float64)
    elapsed = torch.rand(BATCH, TIME, dtype=torch.float64) * 3 if timed else None
    # The library multiplies a (batch, units) tensor by what it is given: spell the times out for it.
    spelt = elapsed.unsqueeze(-1).expand(-1, -1, UNITS) if timed else None
    x_reference, x_ours = x.clone().requires_grad_(), x.clone().requires_grad_()
    expected = reference(x_reference, timespans=spelt)[0]
    got = ours(x_ours, elapsed, None)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
    weights = torch.randn_like(expected)
    (expected * weights).sum().backward()
    (got * weights).sum().backward()
    torch.testing.assert_close(x_ours.grad, x_reference.grad, rtol=1e-10, atol=1e-12)
    first = reference.rnn_cell.backbone[0].weight.grad
    torch.testing.assert_close(ours.input_map.weight.grad, first[:, :FEATURES])
    torch.testing.assert_close(ours.state_map.weight.grad, first[:, FEATURES:])
    cell = reference.rnn_cell
    heads = [cell.ff1, cell.ff2, cell.time_a, cell.time_b]
    torch.testing.assert_close(
        ours.heads.weight.grad, torch.cat([head.weight.grad for head in heads])
    )


def test_cfc_has_as_many_parameters_as_ncps():
    reference, ours = _pair(layers=2)
    count = lambda module: sum(parameter.numel() for parameter in module.parameters())  # noqa: E731
    assert count(ours) == count(reference)


def test_cfc_starts_from_the_same_distribution_of_weights_as_ncps():
    torch.manual_seed(1)
    reference, ours = CfC(200, 100, proj_size=100), CfCCore(200, 100, 128, 1, True)
    first = reference.rnn_cell.backbone[0].weight
    for expected, got in [
        (first[:, :200], ours.input_map.weight),
        (first[:, 200:], ours.state_map.weight),
        (reference.rnn_cell.ff1.weight, ours.heads.weight[:100]),
        (reference.rnn_cell.time_b.weight, ours.heads.weight[300:]),
        (reference.rnn_cell.ff1.bias, ours.heads.bias[:100]),
        (reference.rnn_cell.backbone[0].bias, ours.input_map.bias),
        (reference.fc.weight, ours.projection.weight),
    ]:
        # Uniform distributions: the largest value tells the bound.
        assert got.abs().max().item() == pytest.approx(expected.abs().max().item(), rel=0.05)
        assert got.std().item() == pytest.approx(expected.std().item(), rel=0.15)


@pytest.mark.parametrize("core", [CfCCore(FEATURES, UNITS, 9, 1, True), LSTMCore(FEATURES, UNITS)])
def test_padding_does_not_reach_valid_states(core):
    x = torch.randn(2, TIME, FEATURES)
    lengths = torch.tensor([4, TIME])
    other = x.clone()
    other[0, 4:] = 1e3
    first, second = core(x, None, lengths), core(other, None, lengths)
    torch.testing.assert_close(first[0, :4], second[0, :4])
    torch.testing.assert_close(first[1], second[1])


def test_bidirectional_lstm_reads_backwards_from_the_last_valid_step():
    core = LSTMCore(FEATURES, UNITS, bidirectional=True)
    x = torch.randn(2, TIME, FEATURES)
    got = core(x, None, torch.tensor([4, TIME]))
    alone = core(x[:1, :4], None, None)
    torch.testing.assert_close(got[0, :4], alone[0])
    assert got.shape == (2, TIME, 2 * UNITS) and core.output_size == 2 * UNITS


def test_elapsed_times_of_one_are_the_same_as_none():
    _, ours = _pair()
    x = torch.randn(BATCH, TIME, FEATURES, dtype=torch.float64)
    ones = torch.ones(BATCH, TIME)
    torch.testing.assert_close(ours(x, None, None), ours(x, ones, None))


def test_elapsed_times_act_per_example_when_batch_equals_units():
    # The library multiplies along the wrong axis here; one example alone must give the same as in a batch.
    core = CfCCore(FEATURES, BATCH, 9, 1, False)
    x, elapsed = torch.randn(BATCH, TIME, FEATURES), torch.rand(BATCH, TIME) * 5
    together = core(x, elapsed, None)
    for i in range(BATCH):
        alone = core(x[i : i + 1], elapsed[i : i + 1], None)
        torch.testing.assert_close(together[i], alone[0])
    assert not np.allclose(together.detach(), core(x, None, None).detach())
