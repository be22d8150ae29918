"""A clinical stay as one row of numbers: what baselines without recurrence read."""

import numpy as np
from numpy.typing import NDArray

from liquidbench.datasets.cache import Sequences
from liquidbench.training.clinical import forward_fill

STATISTICS = ("first", "last", "mean", "minimum", "maximum", "standard_deviation", "measured")


def summary_features(
    sequences: Sequences, names: tuple[str, ...], length_of_stay: bool = False
) -> tuple[NDArray[np.float64], list[str]]:
    """Statistics of each variable over a stay.

    Of the values measured: the first, the last, mean, smallest, largest, standard deviation (of the values themselves,
    not of a sample), NaN where there is none. And how often it was measured, as a share of the hours: the count itself
    would tell the length of the stay, since heart rates are measured nearly every hour, and the length gives the label
    away. It comes in on request only, as a last feature, with the counts in place of the shares.

    Args:
        sequences: stays with NaN for "not measured", (steps, variables).
        names: of the variables.
        length_of_stay: let the length in.

    Returns:
        (stays, 7 x variables, and 1 for the length) float64, and the features' names: ``HR.first``, ..., ``hours``.
    """
    values = sequences.inputs.astype(np.float64)
    offsets, lengths = sequences.offsets, sequences.lengths[:, None]
    starts = offsets[:-1]
    there = ~np.isnan(values)
    count = np.add.reduceat(there, starts, axis=0, dtype=np.int64)
    none = count == 0
    with np.errstate(invalid="ignore"):
        mean = np.add.reduceat(np.where(there, values, 0.0), starts, axis=0) / count
        distances = np.where(there, values - np.repeat(mean, lengths[:, 0], axis=0), 0.0)
        spread = np.sqrt(np.add.reduceat(distances**2, starts, axis=0) / count)
    smallest = np.minimum.reduceat(np.where(there, values, np.inf), starts, axis=0)
    largest = np.maximum.reduceat(np.where(there, values, -np.inf), starts, axis=0)
    columns = {
        "first": _first_measured(values, offsets),
        "last": forward_fill(values, offsets)[offsets[1:] - 1],
        "mean": mean,
        "minimum": np.where(none, np.nan, smallest),
        "maximum": np.where(none, np.nan, largest),
        "standard_deviation": spread,
        "measured": count if length_of_stay else count / lengths,
    }
    # All statistics of a variable side by side.
    features = np.stack([columns[name] for name in STATISTICS], axis=2).reshape(len(sequences), -1)
    labels = [f"{name}.{statistic}" for name in names for statistic in STATISTICS]
    if length_of_stay:
        return np.column_stack([features, lengths]), [*labels, "hours"]
    return features, labels


def _first_measured(values: NDArray, offsets: NDArray[np.int64]) -> NDArray:
    """(stays, variables): carried back from the end of each stay, what stands at its beginning."""
    backwards = offsets[-1] - offsets[::-1]
    return forward_fill(values[::-1], backwards)[backwards[1:] - 1][::-1]
