"""The stress test: a trained model on test sequences with steps taken away."""

from typing import Any

import numpy as np
import pandas as pd
import torch

from liquidbench.evaluation.corruptions import kept_steps
from liquidbench.models.sequence_model import SequenceModel
from liquidbench.training.inputs import RunData
from liquidbench.training.loop import evaluate
from liquidbench.training.tasks import Task


def stress_rows(
    model: SequenceModel,
    data: RunData,
    task: Task,
    metrics: dict[str, Any],
    settings: dict[str, Any],
    device: torch.device,
) -> pd.DataFrame:
    """Accuracy for every corruption, rate and draw, with the same masks for every model.

    Args:
        model: trained, in evaluation mode.
        data: the run's data.
        task: a classification task.
        metrics: the run's `metrics.json`.
        settings: `corruptions`, `rates`, `draws` and `mask_seed`.
        device: where to compute.

    Returns:
        A row per corruption × rate × draw: the columns of `stress.csv`.
    """
    run = {key: metrics[key] for key in ("dataset", "protocol", "model", "seed")}
    training = metrics["settings"]["training"]
    rows = []
    for corruption in settings["corruptions"]:
        for rate in settings["rates"]:
            # Nothing is random at rate 0: one draw says it all.
            for draw in range(settings["draws"] if rate > 0 else 1):
                kept = kept_steps(corruption, data.test.lengths, rate, draw, settings["mask_seed"])
                said, _ = evaluate(model, data.test, data, task, training, device, kept)
                correct = int(np.sum(said.argmax(axis=1) == data.test.targets))
                rows.append(
                    run
                    | {
                        "corruption": corruption,
                        "rate": rate,
                        "draw": draw,
                        "mask_seed": settings["mask_seed"],
                        "examples": len(data.test),
                        "correct": correct,
                        "accuracy": correct / len(data.test),
                    }
                )
                print(
                    f"{corruption} {rate:.2f} draw {draw}: {rows[-1]['accuracy']:.4f}", flush=True
                )
    return pd.DataFrame(rows)
