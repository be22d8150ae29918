"""Exported models: the same logits as the trained ones, through a run-time that knows nothing of this project."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import yaml
from onnx import numpy_helper
from torch import nn

from inference_helpers import (
    CPU,
    make_study,
    own_predictions,
    raw_test_files,
    trained,
)
from liquidbench import configuration
from liquidbench.datasets import physionet
from liquidbench.errors import InputError
from liquidbench.inference import onnx_check, onnx_cores, onnx_export, onnx_parts
from liquidbench.inference.finished_run import load_finished_run
from liquidbench.inference.predict import data_of, predictions
from liquidbench.inference.raw_files import read_raw_files
from liquidbench.models import cores, encoders, heads
from liquidbench.models.sequence_model import SequenceModel
from liquidbench.training.batches import make_batch
from workflow_helpers import PROJECT

pytestmark = pytest.mark.usefixtures("one_thread")

FEATURES, OUTPUTS = 6, 3
NAMES = ("steps", "elapsed", "lengths")

CFC = {"name": "cfc", "units": 5, "backbone_units": 4}
WIRED = {"name": "cfc", "units": 12, "wiring": "ncp", "outputs": 3}
LTC = {"name": "ltc", "units": 7, "unfolds": 3}
VARIANTS = {
    **{name: {"name": name, "units": 5} for name in ("lstm", "gru", "rnn")},
    **{
        f"{name}-deep-both-ways": {"name": name, "units": 5, "layers": 3, "bidirectional": True}
        for name in ("lstm", "gru", "rnn")
    },
    **{f"cfc-{mode}": CFC | {"mode": mode} for mode in ("default", "no_gate", "pure")},
    **{
        f"cfc-{name}": CFC | {"activation": name, "backbone_layers": 2}
        for name in ("lecun_tanh", "tanh", "relu", "silu", "gelu")
    },
    "cfc-projection": CFC | {"projection": True},
    "cfc-without-backbone": {"name": "cfc", "units": 5, "backbone_layers": 0},
    "cfc-memory": CFC | {"mixed_memory": True},
    "cfc-wired": WIRED,
    "cfc-wired-pure": WIRED | {"mode": "pure"},
    "cfc-wired-memory": WIRED | {"mixed_memory": True},
    "ltc": LTC,
    "ltc-clamp": LTC | {"constraints": "clamp", "outputs": 2, "projection": True},
    "ltc-wired": LTC | {"units": 12, "wiring": "ncp", "outputs": 3},
    "gru_d": {"name": "gru_d", "units": 5},
}


def model_of(core: dict, pooling: str = "mean", elapsed: str = "none", **more) -> SequenceModel:
    torch.manual_seed(0)
    architecture = {
        "encoder": {"name": "identity"},
        "core": core,
        "pooling": pooling,
        "head": {"name": "linear"},
        "elapsed": elapsed,
    }
    model = SequenceModel(architecture | more, (FEATURES,), OUTPUTS, "reference").eval()
    with torch.no_grad():
        # Beyond what a fresh model has: no bias is 0, and no batch normalisation does nothing.
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        for name, buffer in model.named_buffers():
            if "running" in name:
                buffer.copy_(torch.rand_like(buffer) + 0.5)
    return model


def built(model: SequenceModel, shape=(FEATURES,), outputs=OUTPUTS, opset=17) -> onnx.ModelProto:
    wanted = {"steps": ""}
    wanted |= {"elapsed": ""} if model.elapsed != "none" else {}
    wanted |= {"lengths": ""} if onnx_export.reads_lengths(model) else {}
    return onnx_export.build(model, shape, outputs, opset, wanted)


def asked(exported: onnx.ModelProto, **given: torch.Tensor) -> np.ndarray:
    session = onnxruntime.InferenceSession(exported.SerializeToString())
    names = [entry.name for entry in session.get_inputs()]
    return session.run(None, {name: given[name].numpy() for name in names})[0]


def checked(exported: onnx.ModelProto, model: SequenceModel, folder: Path, shape=(FEATURES,)):
    path = folder / "model.onnx"
    onnx.save(exported, path)
    return onnx_check.check(path, model, shape, 5, path)


# The models.


@pytest.mark.parametrize("elapsed", ["none", "core", "feature"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_examples_of_any_lengths_together_are_answered_as_the_model_answers_each_alone(
    variant, elapsed
):
    core = VARIANTS[variant]
    timed = cores.CORES[core["name"]].takes_elapsed
    if (elapsed == "core" and not timed) or (elapsed == "feature" and variant == "gru_d"):
        pytest.skip("no such model")
    for pooling in ("mean", "last", "none"):
        model = model_of(core, pooling, elapsed)
        exported = built(model)
        random = torch.Generator().manual_seed(7)
        lengths = torch.tensor([4, 1, 9, 6])
        steps = torch.randn(4, 9, FEATURES, generator=random)
        if variant == "gru_d":
            steps[..., 3:] = (steps[..., 3:] > 0).float()
        times = torch.rand(4, 9, generator=random) * 3
        found = asked(exported, steps=steps, elapsed=times, lengths=lengths)
        for number, length in enumerate(lengths.tolist()):
            # All that stands behind the length is padding of any kind.
            alone = model(steps[number : number + 1, :length], times[number : number + 1, :length])
            mine = found[number, :length] if pooling == "none" else found[number]
            np.testing.assert_allclose(mine, alone[0].detach(), rtol=0, atol=2e-5)


@pytest.mark.parametrize("pooling", ["mean", "last", "none", "mean_with_padding"])
@pytest.mark.parametrize("variant", ["lstm-deep-both-ways", "cfc-default", "ltc", "gru_d"])
def test_the_check_passes_what_agrees(variant, pooling, tmp_path):
    elapsed = "core" if cores.CORES[VARIANTS[variant]["name"]].takes_elapsed else "none"
    model = model_of(VARIANTS[variant], pooling, elapsed)
    found = checked(built(model), model, tmp_path)
    assert len(found) == (6 if pooling == "mean_with_padding" else 7)
    assert all(0 <= difference < 1e-5 for _, difference in found)


def study() -> dict:
    read = [PROJECT / f"config/{name}.yaml" for name in ("config", "protocols")]
    config, protocols = (yaml.safe_load(path.read_text(encoding="utf-8")) for path in read)
    return config | protocols


SHAPES = {"nmnist": (2, 34, 34), "quickdraw": (5,), "iam": (64,), "physionet": (40,)}
PROTOCOLS = [
    (protocol, dataset)
    for protocol, content in study()["protocols"].items()
    for dataset in content
    # Those that stand for the others, which have the same encoders and cores in other sizes.
    if protocol in ("paper", "released", "stress", "hourly")
]


@pytest.mark.parametrize(("protocol", "dataset"), PROTOCOLS)
@pytest.mark.parametrize("core", ["lstm", "cfc"])
def test_the_models_of_the_study_agree(protocol, dataset, core, tmp_path):
    model = "cfc-256" if (dataset, core) == ("physionet", "cfc") else core
    run = configuration.Run(
        dataset, protocol, model if dataset != "physionet" else f"{core}-128", 0
    )
    architecture = configuration.run_settings(study(), run)["architecture"]
    torch.manual_seed(0)
    made = SequenceModel(architecture, SHAPES[dataset], OUTPUTS, "reference").eval()
    exported = built(made, SHAPES[dataset])
    assert checked(exported, made, tmp_path, SHAPES[dataset])
    if dataset == "nmnist" and core == "lstm":
        # Sizes are those of the batch, and nothing was traced with fixed ones.
        shape = [entry.dim_param for entry in exported.graph.input[0].type.tensor_type.shape.dim]
        assert shape[:2] == ["batch", "time"]


def test_an_odd_number_of_features_has_positions_too(tmp_path):
    encoder = {"name": "resnet6", "channels": [2, 2, 2, 3]}
    architecture = {"encoder": encoder, "core": CFC, "pooling": "none", "head": {"name": "linear"}}
    model = SequenceModel(architecture | {"elapsed": "core"}, (8,), OUTPUTS, "reference").eval()
    assert model.encoder.output_size == 3
    assert checked(built(model, (8,)), model, tmp_path, (8,))


def test_every_part_of_the_registries_has_a_form():
    # Only the project's own: one of a user's may have none, and is refused.
    own = ("lstm", "gru", "rnn", "cfc", "ltc", "gru_d")
    assert {cores.CORES[name] for name in own} == set(onnx_cores.CORES)
    known = ("identity", "projection", "frame_cnn", "frame_cnn_projection", "resnet6")
    parts = [encoders.ENCODERS[name] for name in known] + [
        heads.HEADS["linear"],
        heads.HEADS["mlp"],
    ]
    assert set(parts) <= set(onnx_parts.MODULES)
    poolings = {"none", "mean", "mean_with_padding", "last"}
    assert set(onnx_parts.POOLINGS) == poolings
    for how in poolings:
        heads.pool(torch.zeros(1, 2, 3), None, how)


class Other(nn.Module):
    per_step, time_stride, output_size, readout = True, 1, FEATURES, nn.Identity()


@pytest.mark.parametrize("part", ["encoder", "core", "head"])
def test_a_part_that_nobody_has_written_down_is_refused_by_name(part):
    model = model_of(VARIANTS["lstm"])
    setattr(model, part, Other())
    with pytest.raises(InputError, match=r"the model's Other: has no form in ONNX"):
        built(model)


@pytest.mark.parametrize("opset", [17, 18, 21])
def test_operators_of_several_versions_agree(opset, tmp_path):
    encoder = {"name": "projection", "units": 4}
    model = model_of(CFC | {"mixed_memory": True}, elapsed="core", encoder=encoder)
    assert checked(built(model, opset=opset), model, tmp_path)


# What the check is for: each of these is a wrong model that a reader could take for the right one.


def with_other(exported: onnx.ModelProto, name: str, change) -> None:
    (place,) = [entry for entry in exported.graph.initializer if entry.name == name]
    values = change(numpy_helper.to_array(place).copy())
    place.CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))


def nudged(values: np.ndarray) -> np.ndarray:
    values.reshape(-1)[0] += 0.3
    return values


@pytest.mark.parametrize("name", ["input_weight", "state_weight", "bias", "weight"])
@pytest.mark.parametrize("change", [nudged, np.zeros_like, lambda values: values * np.nan])
def test_a_weight_that_changed_after_the_export_is_found(name, change, tmp_path):
    model = model_of(VARIANTS["lstm"])
    exported = built(model)
    checked(exported, model, tmp_path)
    with_other(exported, name, change)
    with pytest.raises(InputError, match="differs from the trained one by"):
        checked(exported, model, tmp_path)


def test_a_model_trained_on_is_not_the_one_exported(tmp_path):
    model = model_of(CFC, elapsed="core")
    exported = built(model)
    with torch.no_grad():
        model.core.layers[0].state_map.weight[0, 0] += 0.1
    with pytest.raises(InputError, match="differs from the trained one"):
        checked(exported, model, tmp_path)


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_padding_that_reaches_a_result_is_found(pooling, tmp_path, monkeypatch):
    model = model_of(VARIANTS["lstm"], pooling)
    wrong = {
        "mean": onnx_parts._mean_with_padding,
        "last": lambda graph, states, lengths: graph.add(
            "Gather", states, graph.constant(-1), axis=1
        ),
    }
    monkeypatch.setitem(onnx_parts.POOLINGS, pooling, wrong[pooling])
    with pytest.raises(InputError, match="mixed lengths"):
        checked(built(model), model, tmp_path)


def test_reading_backwards_from_the_padding_is_found(tmp_path, monkeypatch):
    model = model_of(VARIANTS["gru-deep-both-ways"], "none")
    monkeypatch.setattr(onnx_export, "reads_backwards", lambda core: False)
    exported = built(model)
    assert [entry.name for entry in exported.graph.input] == ["steps"]
    with pytest.raises(InputError, match="mixed lengths"):
        checked(exported, model, tmp_path)


def test_time_that_is_not_read_is_found(tmp_path):
    model = model_of(CFC, elapsed="core")
    untimed = onnx_export.build(model, (FEATURES,), OUTPUTS, 17, {"steps": "", "lengths": ""})
    with pytest.raises(InputError, match="differs from the trained one"):
        checked(untimed, model, tmp_path)


def test_another_number_of_logits_is_found(tmp_path):
    model = model_of(VARIANTS["rnn"])
    exported = built(model_of(VARIANTS["rnn"], "none"))
    with pytest.raises(InputError, match="by inf"):
        checked(exported, model, tmp_path)


def test_what_the_run_time_refuses_is_told(tmp_path):
    model = model_of(VARIANTS["rnn"])
    exported = built(model)
    exported.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(InputError, match="ONNX Runtime refuses the exported model"):
        checked(exported, model, tmp_path)


# From a run directory to a file.


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A timed GRU-D on stays: it has everything that a file can tell."""
    folder = tmp_path_factory.mktemp("study")
    made = make_study(folder, "physionet")
    core = {"name": "gru_d", "units": 5}
    out = trained(
        made,
        folder / "run",
        core,
        {"imputation": "none_with_mask", "threshold": 0.25},
        elapsed="core",
    )
    return made, out, raw_test_files(made, out, folder / "files")


def test_a_file_with_a_run_s_inputs_gives_its_predictions(run, tmp_path):
    _, directory, files = run
    finished = load_finished_run(directory, CPU, 1)
    out = tmp_path / "model.onnx"
    assert len(onnx_export.export(finished, out)) == 7
    examples = read_raw_files(list(files.values()), "physionet", finished.settings)
    data = data_of(finished, examples.sequences)
    batch = make_batch(data.test, np.arange(len(data.test)), data.transform, CPU)
    # Elapsed times that are 1 throughout are left out of a batch.
    elapsed = torch.ones(batch.steps.shape[:2]) if batch.elapsed is None else batch.elapsed
    logits = asked(onnx.load(out), steps=batch.steps, elapsed=elapsed, lengths=batch.lengths)
    probabilities = 1 / (1 + np.exp(-logits[:, 0].astype(np.float64)))
    own = own_predictions(directory)
    np.testing.assert_allclose(probabilities, own["probability"], rtol=0, atol=1e-6)
    properties = {entry.key: entry.value for entry in onnx.load(out).metadata_props}
    threshold = json.loads(properties["threshold"])
    assert threshold == 0.25
    assert ((probabilities >= threshold) == own["prediction"]).all()
    # A user has the scaling, too.
    scaling = json.loads(properties["scaling"])
    assert scaling == json.loads((directory / "scaling.json").read_text())
    assert json.loads(properties["classes"]) == ["no sepsis", "sepsis"]
    assert json.loads(properties["median_step"]) == 1.0 and properties["elapsed_unit"] == "hours"
    assert properties["run"] == "physionet/own/small/seed-0" and properties["synthetic"] == "true"
    assert len(json.loads(properties["feature_names"])) == len(scaling["mean"]) == 40
    assert "78" in properties["input_steps"] and "at least 1" in properties["input_lengths"]
    inputs = {entry.name: entry.doc_string for entry in onnx.load(out).graph.input}
    assert inputs == {name: properties[f"input_{name}"] for name in NAMES}


def test_the_program_of_the_page_answers_as_predict_does(run, tmp_path, monkeypatch):
    made, _, _ = run
    out = trained(made, tmp_path / "run", VARIANTS["lstm"])
    finished = load_finished_run(out, CPU, 1)
    monkeypatch.chdir(tmp_path)
    onnx_export.export(finished, Path("new/sepsis.onnx"))
    page = (PROJECT / "docs/using-a-model.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    found = {}
    exec(program, found)
    # The same stay, as a raw file.
    hours = [["NaN"] * 39 + [str(hour)] for hour in range(1, 13)]
    lines = [physionet.COLUMNS[:-1], *(["110", *hour[1:]] for hour in hours)]
    path = tmp_path / "new.psv"
    path.write_text("".join("|".join(line) + "\n" for line in lines))
    examples = read_raw_files([path], "physionet", finished.settings)
    (expected,) = predictions(finished, examples, CPU)["probability"]
    assert found["probability"] == pytest.approx(expected, abs=1e-6)


def test_a_model_that_does_not_agree_leaves_no_file(run, tmp_path, monkeypatch):
    finished = load_finished_run(run[1], CPU, 1)
    right = onnx_export.build

    def wrong(*arguments):
        exported = right(*arguments)
        with_other(exported, "input_bias", nudged)
        return exported

    monkeypatch.setattr(onnx_export, "build", wrong)
    with pytest.raises(InputError, match="Nothing was written"):
        onnx_export.export(finished, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("opset", [16, 1000])
def test_an_opset_out_of_range_is_refused(run, tmp_path, opset):
    finished = load_finished_run(run[1], CPU, 1)
    with pytest.raises(InputError, match=rf"--opset: is {opset}, expected 17 to"):
        onnx_export.export(finished, tmp_path / "model.onnx", opset)


def test_the_command_says_how_well_the_models_agree(run, tmp_path):
    out = tmp_path / "model.onnx"
    command = [sys.executable, PROJECT / "workflow/scripts/export_onnx.py", run[1], "--out", out]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *cases, last = done.stdout.splitlines()
    assert len(cases) == 7 and cases[-1].startswith("mixed lengths, other padding: logits differ")
    assert last.startswith("physionet/own/small/seed-0: ") and "largest difference" in last
    onnx.checker.check_model(onnx.load(out))
