"""An exported model against the one that was trained: the same logits from batches of many kinds."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as errors
from torch import Tensor

from liquidbench.errors import InputError
from liquidbench.models.gru_d import GRUDCore
from liquidbench.models.sequence_model import SequenceModel

TOLERANCE = 1e-4
"""The largest difference between two logits, float32."""

_REFUSALS = (
    errors.Fail,
    errors.InvalidArgument,
    errors.InvalidGraph,
    errors.NotImplemented,
    errors.RuntimeException,
)


@dataclass(frozen=True)
class Case:
    """A batch to compare answers to.

    Attributes:
        name: its description.
        steps: (batch, time, *input_shape) float32.
        elapsed: (batch, time) float32.
        lengths: (batch,) int64.
        original: the same examples with the padding that the trained model gets; None: with the same.
    """

    name: str
    steps: Tensor
    elapsed: Tensor
    lengths: Tensor
    original: "Case | None" = None


def check(
    path: Path, model: SequenceModel, input_shape: tuple[int, ...], usual_steps: int, where: Path
) -> list[tuple[str, float]]:
    """Compare the model in a file with the trained one.

    Args:
        path: the ONNX file.
        model: trained, in evaluation mode, on the CPU.
        input_shape: of one step.
        usual_steps: of an example.
        where: how an error names the file.

    Returns:
        For each batch its description and the largest difference between two logits.

    Raises:
        InputError: ONNX Runtime refuses the file, or a difference is above `TOLERANCE` or no number.
    """
    found = []
    try:
        session = _session(path)
        for case in cases(model, input_shape, usual_steps):
            expected = _trained(model, case.original or case)
            difference = _largest(expected, _exported(session, case), _valid(model, case))
            found.append((case.name, difference))
            # Not by what is too large: a difference that is no number is one too.
            if not difference <= TOLERANCE:
                problem = (
                    f"the exported model differs from the trained one by {difference:.2g} "
                    f"({case.name}), at most {TOLERANCE:g} is allowed"
                )
                raise InputError(where, problem, "Nothing was written. Try another --opset")
    except _REFUSALS as error:
        problem = f"ONNX Runtime refuses the exported model ({str(error).splitlines()[0]})"
        raise InputError(where, problem, "Nothing was written. Try another --opset") from None
    return found


def cases(model: SequenceModel, input_shape: tuple[int, ...], usual_steps: int) -> Iterator[Case]:
    """Batches of several sizes and lengths, with padding and without; always the same."""
    stride = model.encoder.time_stride
    usual = max(usual_steps // stride, 4)
    sizes = [
        ("one example of one step", 1, 1),
        ("one example", 1, usual),
        ("3 examples", 3, usual),
        ("7 shorter examples", 7, usual // 2 + 1),
        ("2 longer examples", 2, usual + 3),
    ]
    for number, (name, batch, steps) in enumerate(sizes):
        yield _random_case(name, model, (batch, steps * stride, *input_shape), number)
    lengths = torch.linspace(1, usual, 6).long() * stride
    steps = usual * stride
    whole = _random_case("mixed lengths", model, (6, steps, *input_shape), len(sizes))
    padding = torch.arange(steps) >= lengths.unsqueeze(1)
    shaped = padding.view(*padding.shape, *[1] * len(input_shape))
    mixed = replace(
        whole,
        steps=whole.steps.masked_fill(shaped, 0.0),
        elapsed=whole.elapsed.masked_fill(padding, 1.0),
        lengths=lengths,
    )
    yield mixed
    if model.encoder.per_step and model.pooling != "mean_with_padding":
        yield replace(
            mixed,
            name="mixed lengths, other padding",
            steps=torch.where(shaped, 30.0 * whole.steps, mixed.steps),
            elapsed=torch.where(padding, 7.0, mixed.elapsed),
            original=mixed,
        )


def _random_case(name: str, model: SequenceModel, shape: tuple[int, ...], seed: int) -> Case:
    random = torch.Generator().manual_seed(seed)
    steps = torch.randn(shape, generator=random)
    if isinstance(model.core, GRUDCore):
        # Values, and marks of what was measured.
        variables = shape[-1] // 2
        marks = (torch.rand(*shape[:-1], variables, generator=random) < 0.4).float()
        steps = torch.cat([steps[..., :variables] * marks, marks], dim=-1)
    # Steps of no length and long gaps too.
    elapsed = torch.empty(shape[:2]).exponential_(generator=random)
    chance = torch.rand(shape[:2], generator=random)
    elapsed = torch.where(chance < 0.1, 0.0, torch.where(chance > 0.9, 20.0 * elapsed, elapsed))
    elapsed[:, 0] = 1.0
    return Case(name, steps, elapsed, torch.full(shape[:1], shape[1]))


@torch.inference_mode()
def _trained(model: SequenceModel, case: Case) -> NDArray[np.float32]:
    """The trained model's logits."""
    return model(case.steps, case.elapsed, case.lengths).numpy()


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Errors only: what it says of shapes that it cannot know beforehand helps nobody.
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        path.read_bytes(), options, providers=["CPUExecutionProvider"]
    )


def _exported(session: onnxruntime.InferenceSession, case: Case) -> NDArray[np.float32]:
    """The exported model's logits: it gets those inputs that it has."""
    names = [entry.name for entry in session.get_inputs()]
    (logits,) = session.run(["logits"], {name: getattr(case, name).numpy() for name in names})
    return logits


def _valid(model: SequenceModel, case: Case) -> NDArray[np.bool_] | None:
    """(batch, steps of the logits), False in the padding; None where an example has one answer."""
    if model.pooling != "none":
        return None
    stride = model.encoder.time_stride
    steps = torch.arange(case.steps.shape[1] // stride)
    return (steps < (case.lengths // stride).unsqueeze(1)).numpy()


def _largest(expected: NDArray, found: NDArray, valid: NDArray[np.bool_] | None) -> float:
    """The largest difference between two valid logits; infinite if the shapes differ."""
    if expected.shape != found.shape:
        return float("inf")
    differences = np.abs(expected.astype(np.float64) - found)
    return float((differences if valid is None else differences[valid]).max())
