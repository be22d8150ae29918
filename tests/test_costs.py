"""Operations against torch's own counter on plain implementations, and times against a clock that is made up."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from liquidbench.models import costs
from liquidbench.models.cores import CORES
from liquidbench.models.costs import flops, median_seconds
from liquidbench.models.sequence_model import SequenceModel
from liquidbench.models.wiring import make_wiring
from liquidbench.training.costs import median_length
from test_training import drawings

# Torch says so of another vendor's cards whenever oneDNN is switched off.
pytestmark = pytest.mark.filterwarnings("ignore:TF32 acceleration")

TIME, FEATURES, UNITS = 6, 8, 12


def counted(run) -> int:
    """What torch's counter sees: matrix products and convolutions."""
    # Fused layers would run past the counter.
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), torch.backends.mkldnn.flags(enabled=False), counter:
        run()
    return counter.get_total_flops()


def core_of(name: str, **options):
    torch.manual_seed(0)
    if name == "cfc":
        options |= {"implementation": "reference"}
    return CORES[name](FEATURES, UNITS, **options).eval()


def by_counter(core, timed: bool) -> float:
    """Operations of one step of one sequence."""
    features = torch.randn(1, TIME, FEATURES)
    elapsed = torch.rand(1, TIME) if timed else None
    return counted(lambda: core(features, elapsed, None)) / TIME


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lstm", {}),
        ("lstm", {"layers": 2}),
        ("lstm", {"layers": 2, "bidirectional": True}),
        ("gru", {"layers": 2}),
        ("rnn", {"bidirectional": True}),
        ("cfc", {"backbone_units": 10}),
        ("cfc", {"backbone_units": 10, "backbone_layers": 3}),
        ("cfc", {"backbone_layers": 0}),
        ("cfc", {"mode": "no_gate"}),
        ("cfc", {"mode": "pure"}),
        ("cfc", {"mode": "pure", "backbone_layers": 0}),
        ("cfc", {"mixed_memory": True}),
        ("cfc", {"projection": True}),
        ("cfc", {"wiring": "ncp", "outputs": 4}),
        ("cfc", {"wiring": "ncp", "outputs": 4, "mixed_memory": True}),
    ],
)
def test_a_core_counts_its_products_as_torch_does(name, options, timed):
    core = core_of(name, **options)
    assert core.flops_per_step(timed) == by_counter(core, timed)


def test_a_liquid_network_counts_how_far_synapses_open_too():
    core = core_of("ltc", unfolds=4)
    # Of a synapse's three multiply-adds torch sees the two that are products of matrices (without elapsed times, when
    # they are added in place, it sees none).
    assert core.flops_per_step(timed=True) * 2 == by_counter(core, timed=True) * 3
    for timed in (False, True):
        assert core.flops_per_step(timed) == 6 * (FEATURES * UNITS + 4 * UNITS * UNITS)


def test_synapses_that_a_wiring_leaves_out_cost_nothing():
    core = core_of("ltc", wiring="ncp", outputs=4, unfolds=3)
    wired = make_wiring("ncp", FEATURES, UNITS, outputs=4)
    sensory, recurrent = (np.count_nonzero(part) for part in (wired.sensory, wired.recurrent))
    assert core.flops_per_step() == 6 * (sensory + 3 * recurrent)


def test_gru_d_counts_its_products_and_the_decay_of_each_variable():
    core = core_of("gru_d")
    # Torch's counter also sees the running sum of elapsed times, (1 x time) times (time x time).
    sums = 2 * TIME * TIME / TIME
    assert core.flops_per_step() == by_counter(core, timed=True) - sums + 2 * (FEATURES // 2)


ENCODERS = [
    ({"name": "identity"}, (FEATURES,), 1),
    ({"name": "projection", "units": 7}, (5,), 1),
    ({"name": "frame_cnn", "channels": [3, 4]}, (2, 34, 34), 1),
    ({"name": "frame_cnn_projection", "channels": 3, "units": 7}, (2, 34, 34), 1),
    ({"name": "resnet6", "channels": [2, 3, 4, 5]}, (16,), 4),
]


@pytest.mark.parametrize(("encoder", "shape", "stride"), ENCODERS, ids=lambda v: str(v))
@pytest.mark.parametrize("pooling", ["none", "mean", "mean_with_padding", "last"])
@pytest.mark.parametrize("head", [{"name": "linear"}, {"name": "mlp", "units": 6}])
def test_an_example_costs_what_torch_counts_for_the_whole_model(
    encoder, shape, stride, pooling, head
):
    architecture = {
        "encoder": encoder,
        "core": {"name": "cfc", "units": 5, "projection": True},
        "pooling": pooling,
        "head": head,
    }
    model = SequenceModel(architecture, shape, 3, "reference").train()
    steps = torch.randn(1, 4 * TIME, *shape)
    model.eval()
    whole = counted(lambda: model(steps))
    model.train()
    found = flops(model, steps)
    assert found == {
        "core_flops_per_step": model.core.flops_per_step(),
        "flops_per_example": whole,
    }
    assert model.training
    assert flops(model, steps, timed=True)["flops_per_example"] > whole


def test_one_convolution_counted_by_hand():
    encoder = {"name": "frame_cnn_projection", "channels": 3, "units": 7}
    core = {"name": "rnn", "units": 5}
    architecture = {"encoder": encoder, "core": core, "pooling": "mean", "head": {"name": "linear"}}
    model = SequenceModel(architecture, (2, 34, 34), 10)
    frame = 34 * 34 * 3 * 2 * 9 + 3 * 17 * 17 * 7
    step = 7 * 5 + 5 * 5
    found = flops(model, torch.zeros(1, 4, 2, 34, 34))
    assert found == {
        "core_flops_per_step": 2 * step,
        "flops_per_example": 2 * (4 * (frame + step) + 5 * 10),
    }


def test_the_median_is_of_several_runs_and_the_first_does_not_count(monkeypatch):
    now, seconds = [0.0], iter([100.0, 0.3, 0.1, 0.9, 0.2, 0.4])
    monkeypatch.setattr(costs.time, "perf_counter", lambda: now[0])
    finished = []

    def run():
        now[0] += next(seconds)

    assert median_seconds(run, lambda: finished.append(now[0])) == pytest.approx(0.3)
    assert len(finished) == 1 + costs.LEAST_RUNS


def test_short_runs_are_repeated_and_long_ones_are_not(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(costs.time, "perf_counter", lambda: now[0])
    some = costs.SECONDS / 10
    for each, expected in ((1e-6, costs.MOST_RUNS), (some, 10), (60.0, costs.LEAST_RUNS)):
        runs = []

        def run(each=each, runs=runs):
            now[0] += each
            runs.append(each)

        assert median_seconds(run) == pytest.approx(each)
        assert len(runs) - 1 == pytest.approx(expected, abs=1)


def test_the_median_length_is_one_that_an_example_has():
    assert median_length(drawings([9, 2, 4, 7])) == 4
    assert median_length(drawings([9, 2, 4])) == 4
    np.testing.assert_equal(median_length(drawings([5])), 5)
