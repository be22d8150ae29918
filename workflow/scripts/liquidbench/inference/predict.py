"""What a finished run says of new raw files."""

from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from liquidbench.datasets.cache import Sequences
from liquidbench.inference.finished_run import FinishedRun
from liquidbench.inference.raw_files import NewExamples
from liquidbench.training.batches import make_batch
from liquidbench.training.inputs import TRANSFORMS, RunData, in_units
from liquidbench.training.loop import evaluation_order, in_order
from liquidbench.training.precision import computing_in_precision


def data_of(run: FinishedRun, recorded: Sequences) -> RunData:
    """New sequences, as the preparation stores them, as the run's model reads them: they are the split `test`.

    Nothing is fitted: scaling and unit of time are the training split's, and the split `train` is empty.
    """
    nobody = recorded.subset(np.empty(0, dtype=np.int64))
    data = RunData(
        attributes=run.attributes,
        train=nobody,
        test=nobody,
        transform=TRANSFORMS[run.attributes.dataset],
        augment=None,
        scaling=run.scaling,
        imputation=run.settings["training"].get("imputation", "forward_fill"),
        elapsed_unit=run.median_step or 1.0,
    )
    return replace(data, test=data.as_read(in_units(recorded, data.elapsed_unit)))


@torch.inference_mode()
def predictions(run: FinishedRun, examples: NewExamples, device: torch.device) -> pd.DataFrame:
    """Answers about new examples, in the columns of the run's own `predictions.csv` but for `target`.

    Batches are made as in the run's own evaluation.

    Args:
        run: with its model on `device`.
        examples: of the run's data set, read with its settings.
        device: where to compute.

    Returns:
        A row per example, or by the hour per hour, in the order of the examples.
    """
    data, training = data_of(run, examples.sequences), run.settings["training"]
    answers, indices = [], []
    for chosen in evaluation_order(run.model, data.test, training):
        batch = make_batch(data.test, chosen, data.transform, device)
        with computing_in_precision(training, device):
            logits = run.model(batch.steps, batch.elapsed, batch.lengths)
        answers.append(run.task.read(logits, batch.lengths))
        indices.append(chosen)
    table = run.task.predictions(in_order(answers, indices), data.test)
    return table.drop(columns="target")


def remarks_on(run: FinishedRun, examples: NewExamples) -> list[str]:
    """What a reader of the answers has to know: lines of text."""
    remarks = [f"left out: {sentence}" for sentence in examples.left_out]
    remarks += [f"note: {sentence}" for sentence in examples.changed]
    if run.model.pooling == "mean_with_padding":
        remarks.append(
            "ATTENTION: this protocol averages over padding, so an answer depends on what else is asked with it"
        )
    return remarks
