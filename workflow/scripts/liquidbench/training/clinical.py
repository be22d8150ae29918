"""Clinical hours as model inputs: imputation and scaling, fitted on the training split only.

`IMPUTATIONS` says what stands for a value that was not measured:

- ``forward_fill``: the last value of the same stay, before one the median of the training split. 40 inputs: 39
  variables and the hours since the previous observation.
- ``none_with_mask``: nothing. 78 inputs: 39 standardised values, 0 (the mean) where none was measured, and 39 marks,
  1 where one was. For cores that handle missing values themselves.

Neither looks at a later hour or at another stay.
"""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from liquidbench.datasets.cache import Sequences

IMPUTATIONS = ("forward_fill", "none_with_mask")


@dataclass(frozen=True)
class ClinicalScaling:
    """Per variable (39 measurements, then hours since the previous observation), from training hours.

    Median, mean and standard deviation are over measured values, before any filling.
    """

    median: list[float]
    mean: list[float]
    standard_deviation: list[float]

    def as_dict(self) -> dict[str, list[float]]:
        """For `scaling.json`."""
        return asdict(self)

    @classmethod
    def fit(cls, training: Sequences) -> "ClinicalScaling":
        """Fit on the training sequences.

        A variable that no training hour has gets 0, 0 and 1; one that never varies a deviation of 1.
        """
        values = _with_time_since_observation(training).astype(np.float64)
        measured = ~np.isnan(values).all(axis=0)
        columns = values[:, measured]
        median, mean, deviation = np.zeros((3, values.shape[1]))
        deviation += 1.0
        median[measured] = np.nanmedian(columns, axis=0)
        mean[measured] = np.nanmean(columns, axis=0)
        spread = np.nanstd(columns, axis=0)
        deviation[measured] = np.where(spread > 0, spread, 1.0)
        return cls(median.tolist(), mean.tolist(), deviation.tolist())

    def apply(self, sequences: Sequences, imputation: str = "forward_fill") -> NDArray[np.float32]:
        """Stays as a model reads them.

        Args:
            sequences: any split.
            imputation: one of `IMPUTATIONS`.

        Returns:
            (steps, 40), or with marks (steps, 78), float32 without NaN.
        """
        if imputation == "none_with_mask":
            measured = ~np.isnan(sequences.inputs)
            scaled = (sequences.inputs - np.array(self.mean[:-1])) / np.array(
                self.standard_deviation[:-1]
            )
            return np.column_stack([np.where(measured, scaled, 0.0), measured]).astype(np.float32)
        values = forward_fill(_with_time_since_observation(sequences), sequences.offsets)
        values = np.where(np.isnan(values), np.array(self.median), values)
        scaled = (values - np.array(self.mean)) / np.array(self.standard_deviation)
        return scaled.astype(np.float32)


def _with_time_since_observation(sequences: Sequences) -> NDArray[np.float32]:
    return np.column_stack([sequences.inputs, sequences.time_since_observation])


def forward_fill(values: NDArray, offsets: NDArray[np.int64]) -> NDArray:
    """Replace NaN by the last earlier value of the same column and sequence, where there is one.

    Args:
        values: (steps, variables), sequences one after the other.
        offsets: (sequences + 1,) where each begins.
    """
    steps = np.arange(len(values))
    first = np.repeat(offsets[:-1], np.diff(offsets))
    source = np.where(np.isnan(values), -1, steps[:, None])
    np.maximum.accumulate(source, axis=0, out=source)
    source = np.where(source >= first[:, None], source, steps[:, None])
    return np.take_along_axis(values, source, axis=0)
