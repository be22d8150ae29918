"""A finished run's model as an ONNX file: encoder, core, pooling and head, from what a model reads to logits."""

import json
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import TensorProto, helper

from liquidbench.datasets.physionet import FEATURES
from liquidbench.errors import InputError
from liquidbench.files import sha256_of_file, written_whole
from liquidbench.inference.finished_run import FinishedRun
from liquidbench.inference.onnx_check import check
from liquidbench.inference.onnx_cores import reads_backwards, write_core
from liquidbench.inference.onnx_graph import Graph
from liquidbench.inference.onnx_parts import READING_LENGTHS, apply, pool
from liquidbench.models.sequence_model import SequenceModel
from liquidbench.training.tasks import BinaryTask

LOWEST_OPSET, DEFAULT_OPSET = 17, 17
"""17 is the first with layer normalisation; files of a low one are read by more programs."""

STEPS = {
    "nmnist": "float32 (batch, time, polarity, y, x): log(1 + number of events) in equally long bins of a recording; "
    "polarity 0 is OFF, 1 is ON",
    "quickdraw": "float32 (batch, time, 5): x/255, y/255, dx/255, dy/255 and pen-up (1 at the last point of a "
    "stroke) of each point; dx and dy of the first point are 0",
    "iam": "float32 (batch, width, height): the columns of the grey line image from left to right, each from top to "
    "bottom; grey value / 127.5 - 1, so black is -1 and white 1",
}
_CLINICAL = (
    "float32 (batch, hours, {size}): {content}. The order of the variables is that of feature_names"
)
STEPS_OF_IMPUTATION = {
    "forward_fill": _CLINICAL.format(
        size=40,
        content="39 variables and the hours since the last earlier hour with a vital or laboratory value; what was not "
        "measured has the stay's last value, before the first one the median; then minus mean, over standard_deviation "
        "(all three in scaling)",
    ),
    "none_with_mask": _CLINICAL.format(
        size=78,
        content="39 variables minus mean, over standard_deviation (in scaling), 0 where not measured; then 39 marks, 1 "
        "where measured, 0 where not",
    ),
}
ELAPSED = "float32 (batch, time): time since the previous step, over median_step {unit}; 1 at the first step"
LENGTHS = "int64 (batch,): number of valid steps, at least 1. Steps behind them are padding, with any finite value"
LOGITS = {
    "classification": "(batch, classes): softmax gives the probabilities of classes",
    "binary": "(batch, 1): sigmoid gives the probability of the second of classes; from threshold on the answer is yes",
    "transcription": "(batch, time, 1 + classes): CTC; 0 is the blank, the others are the characters of classes",
}
_HOURLY = (
    "(batch, hours, 1): sigmoid gives each hour's probability; from threshold on it is an alarm"
)


def export(run: FinishedRun, out: Path, opset: int = DEFAULT_OPSET) -> list[tuple[str, float]]:
    """Write the model as an ONNX file, once it has been seen to agree with the trained one.

    Args:
        run: its model on the CPU.
        out: the file.
        opset: version of ONNX's operators.

    Returns:
        For each case of the check its description and the largest difference between logits.

    Raises:
        InputError: an opset out of range, a part of the model that has no form in ONNX, or a difference that is too
            large; then no file is left.
    """
    highest = onnx.defs.onnx_opset_version()
    if not LOWEST_OPSET <= opset <= highest:
        problem = f"is {opset}, expected {LOWEST_OPSET} to {highest}"
        raise InputError("--opset", problem, "Leave it out, or give another")
    model = build(run.model, run.input_shape, run.task.outputs, opset, inputs_of(run))
    helper.set_model_props(model, metadata_of(run))
    with written_whole(out) as temporary:
        onnx.save(model, temporary)
        # What is checked is the file, as another program reads it.
        return check(temporary, run.model, run.input_shape, run.usual_steps, out)


def inputs_of(run: FinishedRun) -> dict[str, str]:
    """What each input has to be, by its name; an input is there if it can change a result."""
    dataset, imputation = run.attributes.dataset, run.settings["training"].get("imputation")
    described = (
        STEPS_OF_IMPUTATION[imputation or "forward_fill"]
        if dataset == "physionet"
        else STEPS[dataset]
    )
    stride = run.model.encoder.time_stride
    if stride > 1:
        described += f". The number of steps is a multiple of {stride}"
    inputs = {"steps": described}
    if run.model.elapsed != "none":
        inputs["elapsed"] = ELAPSED.format(unit=run.attributes.elapsed_unit)
    if reads_lengths(run.model):
        inputs["lengths"] = LENGTHS
    return inputs


def reads_lengths(model: SequenceModel) -> bool:
    """Whether a valid result depends on how much of a batch is padding."""
    if model.pooling == "mean_with_padding":
        return False
    return model.pooling in READING_LENGTHS or reads_backwards(model.core)


def metadata_of(run: FinishedRun) -> dict[str, str]:
    """What a user of the file has to know beside the graph: its metadata properties."""
    metrics, training = run.metrics, run.settings["training"]
    hourly = training.get("level") == "hour"
    known: dict[str, Any] = {
        "run": run.name,
        "task": metrics["task"],
        "source": metrics["source"],
        "synthetic": metrics["synthetic"],
        "classes": list(run.attributes.classes),
        "logits": _HOURLY if hourly else LOGITS[metrics["task"]],
        "preparation": run.settings["dataset"],
        "weights_sha256": sha256_of_file(run.directory / "weights.safetensors"),
    }
    known |= {f"input_{name}": text for name, text in inputs_of(run).items()}
    if run.model.pooling == "mean_with_padding":
        known["padding"] = "counts: the states of all steps of a batch are averaged, of zeros too"
    if isinstance(run.task, BinaryTask):
        known["threshold"] = run.task.threshold
    if run.scaling is not None:
        known["scaling"] = run.scaling.as_dict()
        known["feature_names"] = [*FEATURES, "hours since observation"]
    if run.median_step is not None:
        known["median_step"] = run.median_step
        known["elapsed_unit"] = run.attributes.elapsed_unit
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in known.items()
    }


def build(
    model: SequenceModel,
    input_shape: tuple[int, ...],
    outputs: int,
    opset: int,
    inputs: dict[str, str],
) -> onnx.ModelProto:
    """The model's graph, for any number of examples and steps.

    Args:
        model: on the CPU.
        input_shape: of one step.
        outputs: number of logits.
        opset: version of ONNX's operators.
        inputs: names and descriptions, of `steps` and, where the model reads them, `elapsed` and `lengths`.

    Raises:
        InputError: a part of the model has no form in ONNX.
    """
    graph = Graph()
    with torch.no_grad():
        elapsed, lengths = (name if name in inputs else None for name in ("elapsed", "lengths"))
        graph.name_output(_logits(graph, model, "steps", elapsed, lengths), "logits")
    shapes = {
        "steps": (TensorProto.FLOAT, ["batch", "time", *input_shape]),
        "elapsed": (TensorProto.FLOAT, ["batch", "time"]),
        "lengths": (TensorProto.INT64, ["batch"]),
    }
    time = ["time" if model.encoder.time_stride == 1 else "read_steps"]
    output_shape = ["batch", *(time if model.pooling == "none" else []), outputs]
    whole = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "liquidbench",
            [
                helper.make_tensor_value_info(name, *shapes[name], doc_string=text)
                for name, text in inputs.items()
            ],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, output_shape)],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        # Not the newest version of the file format, which older programs refuse.
        ir_version=helper.find_min_ir_version_for([helper.make_opsetid("", opset)]),
        producer_name="liquidbench",
    )
    onnx.checker.check_model(whole)
    return whole


def _logits(
    graph: Graph, model: SequenceModel, steps: str, elapsed: str | None, lengths: str | None
) -> str:
    """As `SequenceModel.forward`."""
    features = apply(graph, model.encoder, steps)
    stride = model.encoder.time_stride
    if stride > 1 and elapsed is not None:
        groups = graph.reshape(elapsed, graph.size(features, 0), graph.size(features, 1), stride)
        elapsed = graph.add("Div", graph.sum(groups, 2), graph.constant(float(stride)))
    if stride > 1 and lengths is not None:
        lengths = graph.add("Div", lengths, graph.constant(stride))
    if model.elapsed == "feature":
        logarithm = graph.add("Log", graph.add("Add", elapsed, graph.constant(1.0)))
        features = graph.add("Concat", features, graph.unsqueeze(logarithm, 2), axis=2)
        elapsed = None
    states = write_core(graph, model.core, features, elapsed, lengths)
    pooled = pool(graph, states, lengths, model.pooling)
    return apply(graph, model.head, apply(graph, model.core.readout, pooled))
