"""What predictions are worth. scikit-learn's and rapidfuzz's routines, under the names that our files use."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

Figures = dict[str, float | int | None]


def classification_metrics(targets: NDArray, predictions: NDArray) -> Figures:
    """Accuracy of class predictions.

    Args:
        targets, predictions: (examples,) integer classes.
    """
    return {"accuracy": float(np.mean(np.asarray(targets) == np.asarray(predictions)))}


def binary_metrics(targets: NDArray, probabilities: NDArray, threshold: float = 0.5) -> Figures:
    """Metrics of a binary prediction at one threshold, and over all of them.

    A figure that does not exist is None: precision without an alarm, recall and the areas without both classes.

    Args:
        targets: (examples,) 0 or 1.
        probabilities: (examples,) probability of class 1.
        threshold: an alarm is a probability of at least this.

    Returns:
        Counts (`true_positives` ...), `precision`, `recall`, `f1`, `accuracy`, `auroc` (trapezoid),
        `average_precision` (precision summed over steps of recall, no interpolation) and `threshold`.
    """
    # Slow to import, and most stages only read what was computed.
    from sklearn.metrics import confusion_matrix

    targets = np.asarray(targets).astype(bool)
    probabilities = np.asarray(probabilities, dtype=np.float64)
    alarms = probabilities >= threshold
    (tn, fp), (fn, tp) = confusion_matrix(targets, alarms, labels=[False, True]).tolist()
    return {
        "accuracy": (tp + tn) / len(targets),
        "precision": tp / (tp + fp) if tp + fp else None,
        "recall": tp / (tp + fn) if tp + fn else None,
        "f1": 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None,
        "true_positives": tp,
        "false_positives": fp,
        "true_negatives": tn,
        "false_negatives": fn,
        **ranking_figures(targets, probabilities),
        "threshold": threshold,
    }


def ranking_figures(targets: NDArray, scores: NDArray) -> Figures:
    """How well scores tell two classes apart, whatever the threshold.

    Args:
        targets: (examples,) 0 or 1.
        scores: (examples,), higher for class 1.

    Returns:
        `auroc` and `average_precision`, as `binary_metrics` has them; both None without both classes.
    """
    if not 0 < targets.sum() < len(targets):
        return {"auroc": None, "average_precision": None}
    # Slow to import, and most stages only read what was computed.
    from sklearn.metrics import average_precision_score, roc_auc_score

    return {
        "auroc": float(roc_auc_score(targets, scores)),
        "average_precision": float(average_precision_score(targets, scores)),
    }


def transcription_metrics(references: Sequence[str], readings: Sequence[str]) -> Figures:
    """Character and word error rates, averaged both ways.

    An error rate is the Levenshtein distance over the length of the reference, in characters or in words
    (split at white space). `cer` and `wer` are means over lines, as the released code has them; `cer_pooled`
    and `wer_pooled` divide all edits by all characters or words. A line with an empty reference counts its
    reading's length as the rate, so that invented text is not free.

    Args:
        references: the texts that were written.
        readings: the texts that were read, in the same order.
    """
    rates = {}
    for name, edits, lengths in zip(("cer", "wer"), *edits_and_lengths(references, readings)):
        rates[name] = float(np.mean(edits / np.maximum(lengths, 1)))
        rates[f"{name}_pooled"] = float(edits.sum() / max(lengths.sum(), 1))
    return rates


def edits_and_lengths(
    references: Sequence[str], readings: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Levenshtein distance and length of the reference of each line, in characters and in words.

    Args:
        references: the texts that were written.
        readings: the texts that were read, in the same order.

    Returns:
        (edits, lengths), each (2, lines): first characters, then words (split at white space).
    """
    edits, lengths = [], []
    for split in (list, str.split):
        pairs = [
            (split(reference), split(reading))
            for reference, reading in zip(references, readings, strict=True)
        ]
        edits.append([Levenshtein.distance(*pair) for pair in pairs])
        lengths.append([len(reference) for reference, _ in pairs])
    return np.array(edits, dtype=np.float64), np.array(lengths, dtype=np.float64)


def confusion_counts(targets: NDArray, predictions: NDArray, classes: int) -> NDArray[np.int64]:
    """Counts of (target, prediction) pairs, shape (classes, classes): rows are targets."""
    from sklearn.metrics import confusion_matrix

    return confusion_matrix(targets, predictions, labels=np.arange(classes))
