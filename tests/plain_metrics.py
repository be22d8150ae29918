"""Metrics as plain loops, slow and plain to see, to check the fast ones against."""

from collections.abc import Sequence

import numpy as np


def edit_distance(written: Sequence, read: Sequence) -> int:
    """Levenshtein's distance by the full table of Wagner and Fischer (1974)."""
    rows, columns = len(written) + 1, len(read) + 1
    table = [[i + j for j in range(columns)] for i in range(rows)]
    for i in range(1, rows):
        for j in range(1, columns):
            table[i][j] = min(
                table[i - 1][j] + 1,
                table[i][j - 1] + 1,
                table[i - 1][j - 1] + (written[i - 1] != read[j - 1]),
            )
    return table[-1][-1]


def area_by_pairs(targets: np.ndarray, probabilities: np.ndarray) -> float:
    """The share of (positive, negative) pairs in the right order; a tie counts a half."""
    wins = 0.0
    for positive in probabilities[targets == 1]:
        for negative in probabilities[targets == 0]:
            wins += 1.0 if positive > negative else 0.5 if positive == negative else 0.0
    return wins / (np.sum(targets == 1) * np.sum(targets == 0))


def average_precision_by_loop(targets: np.ndarray, probabilities: np.ndarray) -> float:
    """Precision times gain of recall, summed over falling thresholds."""
    total, recall_before = 0.0, 0.0
    for threshold in sorted(set(probabilities.tolist()), reverse=True):
        alarms = probabilities >= threshold
        hits = int(np.sum(targets[alarms]))
        recall = hits / int(np.sum(targets))
        total += hits / int(np.sum(alarms)) * (recall - recall_before)
        recall_before = recall
    return total
