"""All pairs of models over 5 seeds with 10,000 bootstrap draws, beside a plain loop over models, seeds and draws.

    python benchmarks/differences.py [--out differences.csv] [--quick] [--threads 1]

Synthetic answers: 10,000 examples that all seeds share (accuracy), and test sets of 4,000 patients of which each seed
has its own fifth of 20,000 (all metrics, AUROC and average precision among them); and 3 models that answer at each of
some 38 hours of as many patients, where patients are drawn. The loop computes scikit-learn's metrics of the repeated
rows, draw by draw; a few of its draws are timed, and both must give the same figures. A variant "all" is the whole of
it: draws, figures, and the intervals of all pairs.
"""

import argparse
import sys
import time
from functools import partial
from math import comb
from pathlib import Path

import numpy as np
import pandas as pd
from timing import compared, interleaved, save, show

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

from itertools import combinations

from threadpoolctl import threadpool_limits

from liquidbench.evaluation import metrics
from liquidbench.evaluation.paired import PairedDraws, draw_figures
from liquidbench.evaluation.weighted_metrics import Answers, BinaryAnswers, ClassAnswers

MODELS, SEEDS = 8, 5
Study = tuple[dict[tuple[str, int], Answers], dict[int, np.ndarray]]


def accuracy_study(examples: int = 10_000) -> Study:
    """Right and wrong answers of all models and seeds to the same examples."""
    random = np.random.default_rng(0)
    easy, units = random.normal(2, 1.5, examples), np.arange(examples)
    answers: dict[tuple[str, int], Answers] = {}
    for model in range(MODELS):
        for seed in range(SEEDS):
            correct = random.random(examples) < 1 / (1 + np.exp(-easy))
            answers[f"model {model}", seed] = ClassAnswers(correct, units, examples)
    return answers, dict.fromkeys(range(SEEDS), units)


def sepsis_study(patients: int = 4_000) -> Study:
    """Alarms and probabilities for test sets of each seed's own, with 9 % positives."""
    random = np.random.default_rng(0)
    pool = 5 * patients
    septic = random.random(pool) < 0.09
    signs = random.normal(size=pool) + 1.2 * septic
    splits = {seed: np.sort(random.choice(pool, patients, replace=False)) for seed in range(SEEDS)}
    everyone = np.unique(np.concatenate(list(splits.values())))
    answers: dict[tuple[str, int], Answers] = {}
    for model in range(MODELS):
        for seed, chosen in splits.items():
            logit = 1.2 * signs[chosen] - 3 + random.normal(0, 0.7, patients)
            scores = 1 / (1 + np.exp(-logit))
            answers[f"model {model}", seed] = BinaryAnswers(
                septic[chosen], scores >= 0.5, scores, np.arange(patients), patients
            )
    return answers, {seed: np.searchsorted(everyone, chosen) for seed, chosen in splits.items()}


def hourly_study(patients: int = 4_067, models: int = 3) -> Study:
    """The same by the hour: stays of 38 hours on average, of which 9 % end in up to ten hours labelled sepsis."""
    random = np.random.default_rng(0)
    pool = 5 * patients
    septic = random.random(pool) < 0.09
    hours = np.maximum(8, random.poisson(38, pool))
    splits = {seed: np.sort(random.choice(pool, patients, replace=False)) for seed in range(SEEDS)}
    everyone = np.unique(np.concatenate(list(splits.values())))
    answers: dict[tuple[str, int], Answers] = {}
    for seed, chosen in splits.items():
        units = np.repeat(np.arange(patients), hours[chosen])
        left = np.concatenate([np.arange(length)[::-1] for length in hours[chosen]])
        targets = septic[chosen][units] & (left < 10)
        # What both models see of a patient, and of the hour.
        sign = 0.7 * random.normal(size=patients)[units] + 1.2 * targets
        for model in range(models):
            scores = 1 / (1 + np.exp(3 - sign - random.normal(0, 0.7, len(units))))
            answers[f"model {model}", seed] = BinaryAnswers(
                targets, scores >= 0.5, scores, units, patients
            )
    return answers, {seed: np.searchsorted(everyone, chosen) for seed, chosen in splits.items()}


def compare_all(study: Study, draws: int) -> PairedDraws:
    """Draws, figures, and the interval of every pair and metric."""
    answers, places = study
    drawn = draw_figures(answers, places, draws)
    models = sorted({model for model, _ in answers})
    names = next(iter(answers.values())).names
    for pair in combinations(models, 2):
        for name in names:
            drawn.difference(*pair, name)
    return drawn


def plain_loop(study: Study, draws: int) -> dict[tuple[str, int], dict[str, np.ndarray]]:
    """The figures of `draw_figures`, by repeating rows and calling scikit-learn."""
    answers, places = study
    units = 1 + max(int(where.max()) for where in places.values())
    stream = np.random.default_rng(20190416)
    rows: dict[tuple[str, int], list[dict]] = {key: [] for key in answers}
    for _ in range(draws):
        counts = np.bincount(stream.integers(0, units, size=units), minlength=units)
        for (model, seed), one in answers.items():
            again = np.repeat(np.arange(len(one.units)), counts[places[seed]][one.units])
            if isinstance(one, ClassAnswers):
                told = metrics.classification_metrics(
                    np.ones(len(again), dtype=bool), one.correct[again]
                )
            else:
                told = metrics.binary_metrics(one.targets[again], one.scores[again])
            rows[model, seed].append(told)
    return {
        key: {name: np.array([row[name] for row in some], dtype=float) for name in some[0]}
        for key, some in rows.items()
    }


def check(study: Study, draws: int) -> None:
    """Stop unless both ways give the same figures.

    Raises:
        SystemExit: they do not.
    """
    drawn, plain = draw_figures(*study, draws), plain_loop(study, draws)
    for key, figures in drawn.draws.items():
        for name in set(figures) - {"false_positives"}:
            if not np.allclose(figures[name], plain[key][name], rtol=1e-6, atol=0, equal_nan=True):
                sys.exit(f"error: {name} of {key} differs from a plain loop's")


def measure(name: str, study: Study, draws: int, rounds: int) -> list[pd.DataFrame]:
    """Check, time and print one kind of study."""
    few = 2
    check(study, few)
    variants = {
        f"loop, {few} draws": partial(plain_loop, study, few),
        f"vectorised, {20 * few} draws": partial(draw_figures, *study, 20 * few),
    }
    times = interleaved(variants, rounds, warmups=1)
    # Per draw, so that the ratio is that of equal work.
    times = pd.DataFrame(
        {
            "loop, a draw": times.iloc[:, 0] / few,
            "vectorised, a draw": times.iloc[:, 1] / (20 * few),
        }
    )
    ratio = compared(times, "loop, a draw", "differences", name)
    models = len({model for model, _ in study[0]})
    show(ratio, f"{name}: {models} models, {SEEDS} seeds")
    started = time.perf_counter()
    compare_all(study, draws)
    seconds = time.perf_counter() - started
    whole = pd.DataFrame({f"all, {draws} draws": [seconds]})
    table = compared(whole, f"all, {draws} draws", "differences", name)
    print(f"\n{comb(models, 2)} pairs, {draws:,} draws: {seconds:.1f} s")
    return [ratio, table]


def main() -> None:
    """Parse the command line, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="CSV of the times")
    parser.add_argument("--quick", action="store_true", help="a tenth of the draws, fewer rounds")
    parser.add_argument("--threads", type=int, default=1, help="of the matrix products")
    arguments = parser.parse_args()
    draws, rounds = (1000, 3) if arguments.quick else (10_000, 9)
    studies = {
        "accuracy, 10,000 examples in common": accuracy_study(),
        "sepsis, 4,000 patients each": sepsis_study(),
        "sepsis by the hour, 4,067 patients each": hourly_study(),
    }
    tables = []
    with threadpool_limits(arguments.threads):
        for name, study in studies.items():
            tables += measure(name, study, draws, rounds)
    if arguments.out:
        save(pd.concat(tables, ignore_index=True), arguments.out)


if __name__ == "__main__":
    main()
