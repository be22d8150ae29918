"""Widths that match another core's parameters, against closed formulas written out by hand."""

from pathlib import Path

import pytest
import torch
import yaml

from liquidbench import configuration
from liquidbench.configuration import Run
from liquidbench.errors import InputError
from liquidbench.models import matching
from liquidbench.models.matching import core_parameters, nearest_units, solve_match

PROJECT = Path(__file__).parents[1]
SHAPES = {"nmnist": (2, 34, 34), "quickdraw": (5,), "iam": (64,), "physionet": (40,)}
MASKED = (78,)
# What the encoder of each data set gives to the core, and how many logits there are.
FEATURES = {"nmnist": 4096, "quickdraw": 128, "iam": 4096, "physionet": 40}
OUTPUTS = {"nmnist": 10, "quickdraw": 10, "iam": 80, "physionet": 1}


@pytest.fixture(scope="module")
def study() -> dict:
    read = (PROJECT / f"config/{name}.yaml" for name in ("config", "protocols"))
    config, protocols = (yaml.safe_load(path.read_text(encoding="utf-8")) for path in read)
    return config | protocols


def gated(gates: int, inputs: int, units: int, layers: int = 1, directions: int = 1) -> int:
    """Torch's layers: each gate has two matrices and two biases, of each layer and direction."""
    total = 0
    for layer in range(layers):
        width = inputs if layer == 0 else directions * units
        total += directions * gates * units * (width + units + 2)
    return total


def cfc(inputs: int, units: int, mode="default", memory=False, projection=False, backbone=128):
    """One backbone layer over inputs and state, four maps behind it (one, w and A in mode pure)."""
    total = (inputs + units) * backbone + backbone
    if mode == "pure":
        total += (backbone + 1) * units + 2 * units
    else:
        total += 4 * (backbone + 1) * units
    # An LSTM without a second bias.
    total += 4 * units * (inputs + units + 1) if memory else 0
    return total + (units * (units + 1) if projection else 0)


def ltc(inputs: int, units: int) -> int:
    """Four numbers a synapse, three a neuron, two a channel in and out."""
    return 4 * units * (inputs + units) + 3 * units + 2 * inputs + 2 * units


def gru_d(variables: int, units: int) -> int:
    """Three gates of values, marks, state and bias; two decays."""
    return 3 * units * (2 * variables + units + 1) + units * (variables + 1) + 2 * variables


FORMULAS = {
    ("nmnist", "released", "lstm"): gated(4, 4096, 128, layers=2),
    ("nmnist", "released", "cfc"): cfc(4096, 128, projection=True),
    ("quickdraw", "released", "lstm"): gated(4, 128, 256, layers=2),
    ("quickdraw", "released", "gru"): gated(3, 128, 256, layers=2),
    ("quickdraw", "released", "rnn"): gated(1, 128, 256, layers=2),
    ("quickdraw", "released", "lstm-1"): gated(4, 128, 256),
    ("quickdraw", "released", "cfc-memory"): cfc(128, 256, memory=True, projection=True),
    ("quickdraw", "released", "cfc-pure"): cfc(128, 256, mode="pure", projection=True),
    ("quickdraw", "released", "cfc-no-gate"): cfc(128, 256, projection=True),
    ("iam", "released", "lstm"): gated(4, 4096, 256, directions=2),
    ("iam", "released", "lstm-2"): gated(4, 4096, 256, layers=2, directions=2),
    ("iam", "released", "lstm-forward"): gated(4, 4096, 256),
    ("iam", "released", "cfc"): cfc(4096, 256),
    ("physionet", "paper", "lstm-128"): gated(4, 40, 128),
    ("physionet", "paper", "cfc-128"): cfc(40, 128),
    ("physionet", "paper", "ltc"): ltc(40, 64),
    ("physionet", "paper", "gru-d"): gru_d(39, 128),
}


def settings_of(study: dict, dataset: str, protocol: str, model: str) -> dict:
    return configuration.run_settings(study, Run(dataset, protocol, model, 0))


def shape_of(dataset: str, settings: dict) -> tuple[int, ...]:
    masked = settings.get("imputation") == "none_with_mask"
    return MASKED if masked else SHAPES[dataset]


@pytest.mark.parametrize("run", FORMULAS, ids="/".join)
def test_a_core_has_the_parameters_that_its_formula_says(study, run):
    settings = settings_of(study, *run)
    shape = shape_of(run[0], settings["training"])
    count = core_parameters(settings["architecture"], shape, OUTPUTS[run[0]])
    assert count == FORMULAS[run]


def matched(study: dict, dataset: str, protocol: str, model: str) -> dict:
    settings = settings_of(study, dataset, protocol, model)
    own, other = (shape_of(dataset, block) for block in (settings["training"], settings["match"]))
    return solve_match(settings, model, own, other, OUTPUTS[dataset])


LINE = ("iam", "released")
DRAWING = ("quickdraw", "released")
STAY = ("physionet", "paper")
PAIRS = [
    (("nmnist", "released"), {"core": "lstm", "layers": 1}, "cfc", lambda u: gated(4, 4096, u)),
    (("nmnist", "released"), {"core": "cfc"}, "lstm", lambda u: cfc(4096, u, projection=True)),
    (DRAWING, {"core": "lstm", "layers": 1}, "cfc", lambda u: gated(4, 128, u)),
    (DRAWING, {"core": "lstm", "layers": 2}, "cfc", lambda u: gated(4, 128, u, layers=2)),
    (DRAWING, {"core": "gru", "layers": 1}, "cfc", lambda u: gated(3, 128, u)),
    (DRAWING, {"core": "rnn", "layers": 1}, "cfc", lambda u: gated(1, 128, u)),
    (DRAWING, {"core": "cfc"}, "lstm", lambda u: cfc(128, u, projection=True)),
    (
        DRAWING,
        {"core": "cfc", "mode": "pure"},
        "lstm-1",
        lambda u: cfc(128, u, mode="pure", projection=True),
    ),
    (
        DRAWING,
        {"core": "cfc", "mode": "no_gate"},
        "lstm",
        lambda u: cfc(128, u, projection=True),
    ),
    (
        DRAWING,
        {"core": "cfc", "mixed_memory": True},
        "lstm",
        lambda u: cfc(128, u, memory=True, projection=True),
    ),
    (DRAWING, {"core": "ltc"}, "cfc", lambda u: ltc(128, u)),
    (LINE, {"core": "lstm", "layers": 1}, "cfc", lambda u: gated(4, 4096, u, directions=2)),
    (LINE, {"core": "gru", "layers": 1}, "cfc", lambda u: gated(3, 4096, u, directions=2)),
    (LINE, {"core": "lstm", "bidirectional": False}, "lstm", lambda u: gated(4, 4096, u)),
    (STAY, {"core": "lstm"}, "cfc-256", lambda u: gated(4, 40, u)),
    (STAY, {"core": "cfc"}, "lstm-128", lambda u: cfc(40, u)),
    (STAY, {"core": "ltc"}, "lstm-128", lambda u: ltc(40, u)),
    (
        STAY,
        {"core": "gru_d", "training": {"imputation": "none_with_mask"}},
        "lstm-128",
        lambda u: gru_d(39, u),
    ),
    (STAY, {"core": "lstm"}, "gru-d", lambda u: gated(4, 40, u)),
]


@pytest.mark.parametrize(
    ("where", "model", "other", "formula"),
    PAIRS,
    ids=[f"{dataset}-{model['core']}-as-{other}" for (dataset, _), model, other, _ in PAIRS],
)
def test_a_width_matches_within_two_per_cent_and_none_comes_nearer(
    study, where, model, other, formula
):
    dataset, protocol = where
    study = study | {"models": study["models"] | {"probe": model | {"match": other}}}
    settings = matched(study, dataset, protocol, "probe")
    units, match = settings["architecture"]["core"]["units"], settings["match"]
    reference = settings_of(study, dataset, protocol, other)
    target = core_parameters(
        reference["architecture"], shape_of(dataset, reference["training"]), OUTPUTS[dataset]
    )
    assert FORMULAS.get((dataset, protocol, other), target) == target
    assert match == {
        "model": other,
        "core": reference["architecture"]["core"],
        "core_parameters": formula(units),
        "other_core_parameters": target,
    }
    assert abs(formula(units) - target) <= 0.02 * target
    # Of all widths: the formula is cheap enough to ask it for every one.
    best = min(range(1, 20_000), key=lambda candidate: abs(formula(candidate) - target))
    assert units == best
    assert settings["training"] == settings_of(study, dataset, protocol, "probe")["training"]


def test_a_wired_core_is_matched_from_its_fewest_neurons_on(study):
    model = study["models"]["cfc-ncp"] | {"match": "lstm-128"}
    del model["units"]
    study = study | {"models": study["models"] | {"probe": model}}
    match = matched(study, "physionet", "paper", "probe")["match"]
    assert abs(match["core_parameters"] / match["other_core_parameters"] - 1) <= 0.02


def test_all_matches_that_are_configured_can_be_solved(study):
    named = []
    for name in ("fair", "gaps"):
        config = yaml.safe_load((PROJECT / f"config/{name}.yaml").read_text(encoding="utf-8"))
        for dataset, block in config["datasets"].items():
            protocol = study["datasets"][dataset]["protocol"]
            named += [(dataset, protocol, model) for model in block["models"]]
        if "stress" in config:
            protocol, models = config["stress"]["protocol"], config["stress"]["models"]
            stressed = study["protocols"][protocol]
            named += [(dataset, protocol, model) for dataset in stressed for model in models]
    to_match = [run for run in named if "match" in study["models"][run[2]]]
    assert len(to_match) > 15 and any(run[1] == "gaps" for run in to_match)
    for run in to_match:
        matched(study, *run)


def test_a_match_that_no_width_reaches_names_the_nearest(study):
    tiny = {"small": {"core": "rnn", "units": 1}, "probe": {"core": "lstm", "match": "small"}}
    study = study | {"models": study["models"] | tiny}
    with pytest.raises(InputError) as caught:
        matched(study, "physionet", "paper", "probe")
    assert caught.value.where == "configuration key models.probe.match"
    # One unit of an LSTM has 4 x 43 parameters, of a plain network 43.
    assert "the 43 core parameters of small" in caught.value.problem
    assert "nearest is 1 units with 172 (+300.0%)" in caught.value.problem


def test_a_match_on_the_border_is_taken_and_one_beyond_it_is_not(monkeypatch):
    settings = {
        "architecture": {"core": {"name": "x"}},
        "match": {"model": "other", "architecture": {"core": {"name": "y"}}},
    }
    for own, taken in ((1020, True), (980, True), (1021, False), (979, False)):
        counts = {"x": own, "y": 1000}
        monkeypatch.setattr(
            matching, "core_parameters", lambda a, *_, c=counts: c[a["core"]["name"]]
        )
        if taken:
            solve_match(settings, "m", (1,), (1,), 1)
        else:
            with pytest.raises(InputError, match="no width comes within 2%"):
                solve_match(settings, "m", (1,), (1,), 1)


@pytest.mark.parametrize(
    ("target", "expected"), [(1, 1), (4, 2), (5, 2), (6, 2), (7, 3), (81, 9), (10**6, 1000)]
)
def test_the_nearest_width_is_found(target, expected):
    assert nearest_units(lambda units: units**2, target) == (expected, expected**2)


def test_no_match_changes_nothing_and_solving_draws_no_random_number(study):
    plain = settings_of(study, "physionet", "paper", "cfc-128")
    assert solve_match(plain, "cfc-128", (40,), (40,), 1) is plain
    torch.manual_seed(7)
    before = torch.get_rng_state()
    for name in ("lstm-as-cfc", "ltc-as-cfc"):
        matched(study, "physionet", "paper", name)
    assert torch.equal(torch.get_rng_state(), before)
