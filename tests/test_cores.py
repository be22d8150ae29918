"""What every core offers, and how a model uses it."""

import pytest
import torch
from torch import nn

from cfc_helpers import runnable
from liquidbench.errors import InputError
from liquidbench.models.cfc import implementations
from liquidbench.models.cores import CORES
from liquidbench.models.heads import pool
from liquidbench.models.sequence_model import SequenceModel, describe

BATCH, TIME, FEATURES, UNITS = 3, 7, 6, 5


def model(core: dict, pooling: str = "mean", implementation: str = "auto") -> SequenceModel:
    torch.manual_seed(0)
    architecture = {
        "encoder": {"name": "identity"},
        "core": {"units": UNITS} | core,
        "pooling": pooling,
        "head": {"name": "linear"},
    }
    return SequenceModel(architecture, (FEATURES,), 2, implementation)


@pytest.mark.parametrize("name", CORES)
def test_a_core_gives_a_state_per_step_whatever_stands_in_the_padding(name):
    torch.manual_seed(0)
    core = CORES[name](FEATURES, UNITS)
    x, elapsed = torch.randn(2, TIME, FEATURES), torch.rand(2, TIME)
    lengths = torch.tensor([4, TIME])
    other = x.clone()
    other[0, 4:] = 1e3
    first, second = core(x, elapsed, lengths), core(other, elapsed, lengths)
    assert first.shape == (2, TIME, core.output_size) == (2, TIME, UNITS)
    torch.testing.assert_close(first[0, :4], second[0, :4])
    torch.testing.assert_close(first[1], second[1])
    assert isinstance(core.readout, nn.Module) and core.implementation


@pytest.mark.parametrize(
    "missing", ["output_size", "implementation", "readout", "takes_elapsed", "flops_per_step"]
)
def test_a_core_that_lacks_part_of_the_interface_is_refused_before_it_trains(monkeypatch, missing):
    class Passing(nn.Module):
        def __init__(self, input_size: int, units: int) -> None:
            super().__init__()
            every = {"output_size": input_size, "implementation": "own", "readout": nn.Identity()}
            every |= {"takes_elapsed": False, "flops_per_step": lambda timed: 0}
            for name, value in every.items():
                if name != missing:
                    setattr(self, name, value)

    monkeypatch.setitem(CORES, "passing", Passing)
    with pytest.raises(TypeError, match=f"the core Passing lacks {missing}"):
        model({"name": "passing"})


@pytest.mark.parametrize("name", ["cfc", "ltc"])
@pytest.mark.parametrize("pooling", ["none", "mean", "mean_with_padding", "last"])
def test_a_projection_behind_the_pooling_is_a_projection_before_it(name, pooling):
    made = model({"name": name, "projection": True}, pooling).double()
    x, lengths = torch.randn(BATCH, TIME, FEATURES).double(), torch.tensor([3, TIME, 1])
    valid = None if pooling == "mean_with_padding" else lengths
    projected = made.core.readout(made.core(x, None, valid))
    expected = made.head(pool(projected, lengths, pooling))
    got = made(x, None, lengths)
    if pooling == "none":
        got, expected = got[lengths == TIME], expected[lengths == TIME]
    torch.testing.assert_close(got, expected)
    assert made.parameter_counts()["core"] == sum(p.numel() for p in made.core.parameters())


@pytest.mark.parametrize("name", CORES)
def test_the_released_mean_takes_in_states_that_go_on_through_the_padding(name):
    made = model({"name": name}, "mean_with_padding")
    x, lengths = torch.randn(BATCH, TIME, FEATURES), torch.tensor([3, TIME, 1])
    torch.testing.assert_close(made(x, None, lengths), made(x, None, None))


@pytest.mark.parametrize("name", implementations.MODULES)
def test_a_model_s_core_is_computed_by_what_is_asked_for(name):
    made = model({"name": "cfc"}, implementation=name)
    x = torch.randn(BATCH, TIME, FEATURES)
    if name == "triton" and not torch.cuda.is_available():
        with pytest.raises(InputError, match="triton is asked for, but it"):
            made(x)
        return
    made(x)
    assert made.core.implementation.startswith(f"own CfC ({runnable(name)})")


def test_cores_without_a_choice_of_code_take_none():
    made = model({"name": "lstm"}, implementation="portable")
    made(torch.randn(BATCH, TIME, FEATURES))
    assert made.core.implementation == "torch.nn.LSTM"


def test_an_option_that_a_core_does_not_have_is_refused():
    with pytest.raises(InputError, match=r"configuration of the core 'lstm'.*mode"):
        model({"name": "lstm", "mode": "pure"})
    with pytest.raises(InputError, match=r"configuration of the core 'cfc'.*needs outputs"):
        model({"name": "cfc", "wiring": "ncp"})


def test_a_wired_core_is_described_by_its_outputs():
    wired = {"name": "cfc", "units": 16, "wiring": "ncp", "outputs": 3}
    made = model(wired)
    found = describe(made, torch.randn(1, TIME, FEATURES), None)
    (core,) = [module for module in found["modules"] if module["part"] == "core"]
    assert core["output_shape"] == ["batch", TIME, 3]
    assert core["parameters"] == made.parameter_counts()["core"]
