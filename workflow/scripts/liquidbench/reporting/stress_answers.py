"""What a run answered under every condition of the stress test: `stress_answers.npz`, as curves over the rates."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from liquidbench.errors import InputError
from liquidbench.evaluation.influence import (
    auroc_influence,
    average_precision_influence,
    mean_influence,
)
from liquidbench.reporting.runs import Run

REMEDY = "Delete it and stress.csv beside it, and run the stress test again"
# Arrays that belong together, by what is told of each example.
_FORMS = ({"edits", "lengths"}, {"correct", "targets"}, {"correct", "targets", "probability"})
_FRONT = {"ids", "corruption", "rate", "draw"}
_RANKED = {"auroc": auroc_influence, "average_precision": average_precision_influence}


@dataclass(frozen=True)
class Curve:
    """A figure over the rates, mean over the draws of each, with the influence of each example.

    Attributes:
        values: (rates,) NaN where the figure does not exist.
        influences: (rates, examples).
    """

    values: NDArray[np.float64]
    influences: NDArray[np.float64]


@dataclass(frozen=True)
class StressAnswers:
    """One run's answers, examples sorted by identifier.

    Attributes:
        ids: (examples,) identifiers, sorted.
        asked: (examples,) the classes, or the lengths of the texts.
        conditions: a row per condition, `corruption`, `rate`, `draw` and `mask_seed`.
        told: (conditions, examples) by kind: `correct` and, for a binary task, `probability`; or `edits`.
    """

    ids: NDArray[np.str_]
    asked: NDArray[np.int64]
    conditions: pd.DataFrame
    told: dict[str, NDArray]

    @property
    def metrics(self) -> tuple[str, ...]:
        """The figures that these answers have."""
        if "edits" in self.told:
            return ("cer",)
        return ("accuracy", *(_RANKED if "probability" in self.told else ()))

    def same_examples(self, other: "StressAnswers") -> bool:
        """Whether two runs were asked the same examples."""
        return np.array_equal(self.ids, other.ids) and np.array_equal(self.asked, other.asked)

    def rates(self, corruption: str) -> NDArray[np.float64]:
        """The rates of a corruption, ascending."""
        own = self.conditions["corruption"] == corruption
        return np.unique(self.conditions.loc[own, "rate"].to_numpy())

    def curve(self, corruption: str, metric: str) -> Curve:
        """One of `metrics` over the rates of a corruption."""
        own = (self.conditions["corruption"] == corruption).to_numpy()
        values, influences = [], []
        for rate in self.rates(corruption):
            places = np.flatnonzero(own & (self.conditions["rate"] == rate).to_numpy())
            drawn = [self.figure(place, metric) for place in places]
            values.append(np.mean([value for value, _ in drawn]))
            influences.append(np.mean([influence for _, influence in drawn], axis=0))
        return Curve(np.array(values), np.array(influences))

    def figure(self, place: int, metric: str) -> tuple[float, NDArray[np.float64]]:
        """A figure under the condition of one row of `conditions`, and its influences, (examples,)."""
        if metric in _RANKED:
            return _RANKED[metric](self.asked == 1, self.told["probability"][place])
        if metric == "cer":
            return mean_influence(self.told["edits"][place] / np.maximum(self.asked, 1))
        return mean_influence(self.told["correct"][place])


def read_stress_answers(results: str | Path, run: Run) -> StressAnswers | None:
    """Read a stress-tested run's `stress_answers.npz`; None if it is not there.

    Raises:
        InputError: it is damaged, or gives other accuracies or error rates than `stress.csv`.
    """
    path = Path(results, run.key.directory, "stress_answers.npz")
    if run.stress is None or not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(path, f"cannot be read ({error})", REMEDY) from None
    if set(arrays) - _FRONT not in _FORMS or not set(arrays) >= _FRONT:
        raise InputError(path, f"found the arrays {', '.join(sorted(arrays))}", REMEDY)
    examples, count = len(arrays["ids"]), len(arrays["corruption"])
    asked = arrays["lengths" if "lengths" in arrays else "targets"]
    told = {name: arrays[name] for name in ("correct", "probability", "edits") if name in arrays}
    shapes = [(arrays[name].shape, (count,)) for name in ("rate", "draw")]
    shapes += [(asked.shape, (examples,))] + [
        (array.shape, (count, examples)) for array in told.values()
    ]
    if any(found != wanted for found, wanted in shapes):
        raise InputError(path, "arrays of lengths that do not fit each other", REMEDY)
    order = np.argsort(arrays["ids"], kind="stable")
    conditions = pd.DataFrame({name: arrays[name] for name in ("corruption", "rate", "draw")})
    told = {name: array[:, order] for name, array in told.items()}
    conditions["mask_seed"] = int(run.stress["mask_seed"].iloc[0])
    answers = StressAnswers(arrays["ids"][order], asked[order], conditions, told)
    _check_figures(path, answers, run.stress)
    return answers


def _check_figures(path: Path, answers: StressAnswers, stress: pd.DataFrame) -> None:
    """Compare accuracies or error rates with those that `stress.csv` has of the same conditions."""
    metric = answers.metrics[0]
    rows = stress[stress["metric"] == metric]
    told = rows.set_index(["corruption", "rate", "draw"])["value"].to_dict()
    conditions = answers.conditions[["corruption", "rate", "draw"]]
    for place, condition in enumerate(conditions.itertuples(index=False, name=None)):
        found, _ = answers.figure(place, metric)
        if condition not in told or abs(told[condition] - found) > 1e-6:
            corruption, rate, draw = condition
            problem = (
                f"gives a {metric} of {found:.6f} for {corruption} at {rate}, draw {draw}; "
                f"stress.csv says {told.get(condition, 'nothing')}"
            )
            raise InputError(path, problem, REMEDY)
