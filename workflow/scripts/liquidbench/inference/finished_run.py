"""A finished run directory, read without its cache and without the training data."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from liquidbench.datasets.cache import CacheAttributes
from liquidbench.errors import InputError
from liquidbench.files import read_json
from liquidbench.models.sequence_model import SequenceModel
from liquidbench.training.clinical import ClinicalScaling
from liquidbench.training.device import make_deterministic
from liquidbench.training.run import trained_model
from liquidbench.training.tasks import BinaryTask, Task, final_task_of, task_of

_TRAIN_AGAIN = "Delete the run directory and train again"


@dataclass(frozen=True)
class FinishedRun:
    """A trained model, and what its run directory says of it.

    Attributes:
        directory: the run directory.
        metrics: its `metrics.json`.
        attributes: what is known of the run's cache; of the raw files' and the code's sums nothing.
        model: in evaluation mode.
        task: as a finished model is asked it, with the run's threshold.
        input_shape: of one step.
        usual_steps: steps of a typical example.
        scaling: of clinical values, fitted on the training split; None for other data sets.
        median_step: of the training split, in the cache's unit; None if the run does not tell, and its model is told
            nothing of time.
    """

    directory: Path
    metrics: dict[str, Any]
    attributes: CacheAttributes
    model: SequenceModel
    task: Task
    input_shape: tuple[int, ...]
    usual_steps: int
    scaling: ClinicalScaling | None
    median_step: float | None

    @property
    def settings(self) -> dict[str, Any]:
        """The run's whole resolved configuration: `dataset` (the preparation), `architecture`, `training`."""
        return self.metrics["settings"]

    @property
    def name(self) -> str:
        """``physionet/paper/cfc-128/seed-0``."""
        parts = [self.metrics[key] for key in ("dataset", "protocol", "model")]
        return "/".join([*parts, f"seed-{self.metrics['seed']}"])

    def refuse_out(self, out: Path, inputs: Sequence[Path] = ()) -> None:
        """Refuse to write over what is read, or into a run directory, whose files are the study's own.

        Raises:
            InputError: `out` is a folder or one of `inputs`, or lies in this or another run directory.
        """
        place, problem = out.resolve(), ""
        runs = [one for one in place.parents if one == self.directory.resolve() or _is_run(one)]
        if out.is_dir():
            problem = "is a folder, expected a file's name"
        elif place in [path.resolve() for path in inputs]:
            problem = "is one of the files that are read"
        elif runs:
            problem = f"lies in the run directory {runs[0]}, whose files are the study's own"
        if problem:
            raise InputError(out, problem, "Name a file elsewhere")


def _is_run(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("metrics.json", "checkpoint.json"))


def load_finished_run(
    directory: Path, device: torch.device, threads: int, core_implementation: str = "auto"
) -> FinishedRun:
    """Read a run directory.

    Args:
        directory: the run directory.
        device: where the model goes.
        threads: of torch.
        core_implementation: which code computes a core that has several.

    Raises:
        InputError: it is no finished run's, a file of it is damaged, or it is a baseline's.
    """
    metrics = _metrics_of(directory)
    # The seed too, though nothing is drawn: the same kernels as in the training.
    make_deterministic(metrics["seed"], threads)
    training = metrics["settings"]["training"]
    elapsed = metrics.get("elapsed", {"median_step": None, "unit": ""})
    attributes = CacheAttributes(
        dataset=metrics["dataset"],
        source=metrics["source"],
        synthetic=metrics["synthetic"],
        task=metrics["task"],
        elapsed_unit=elapsed["unit"],
        feature_names=(),
        classes=tuple(metrics["classes"]),
        settings=metrics["settings"]["dataset"],
        raw_sha256={},
        code_sha256="",
    )
    task = task_of(attributes, training)
    if isinstance(task, BinaryTask):
        # It may have been chosen on the validation split.
        task.threshold = metrics["test"]["threshold"]
    _, usual_steps, *input_shape = read_json(directory / "architecture.json")["input_shape"]
    model = trained_model(directory, metrics, tuple(input_shape), task.outputs, core_implementation)
    if model.elapsed != "none" and elapsed["median_step"] is None:
        problem = (
            "does not tell the training split's median step, which the model's times are counted in: it was written "
            "by an earlier version"
        )
        raise InputError(directory / "metrics.json", problem, _TRAIN_AGAIN)
    return FinishedRun(
        directory=directory,
        metrics=metrics,
        attributes=attributes,
        model=model.to(device).eval(),
        task=final_task_of(task, training),
        input_shape=tuple(input_shape),
        usual_steps=usual_steps,
        scaling=_scaling_of(directory) if metrics["dataset"] == "physionet" else None,
        median_step=elapsed["median_step"],
    )


def _metrics_of(directory: Path) -> dict[str, Any]:
    """`metrics.json`, which a run writes last.

    Raises:
        InputError: there is no such folder or file, or the run is a baseline's.
    """
    if not directory.is_dir():
        problem, remedy = "no such folder", "Name a run directory, as results/<...>/seed-0"
        raise InputError(directory, problem, remedy)
    path = directory / "metrics.json"
    if not path.exists():
        problem = "is no finished run: it has no metrics.json"
        if (directory / "checkpoint.json").exists():
            problem += "; a training has begun here and did not end"
        remedy = "Name a run directory, as results/<...>/seed-0, or have the workflow finish it"
        raise InputError(directory, problem, remedy)
    metrics = read_json(path)
    if not isinstance(metrics, dict):
        raise InputError(path, "is not a run's", "Name a run directory, as results/<...>/seed-0")
    if "baseline" in metrics.get("settings", {}):
        name = metrics["settings"]["baseline"]["name"]
        problem = f"is the run of a baseline ({name}), which has no network and keeps no model file"
        raise InputError(directory, problem, "Name the run of a model with a core")
    if "architecture" not in metrics.get("settings", {}) or "seed" not in metrics:
        raise InputError(path, "is not a run's", "Name a run directory, as results/<...>/seed-0")
    return metrics


def _scaling_of(directory: Path) -> ClinicalScaling:
    path = directory / "scaling.json"
    try:
        return ClinicalScaling(**read_json(path))
    except TypeError:
        raise InputError(path, "lacks medians, means or deviations", _TRAIN_AGAIN) from None
