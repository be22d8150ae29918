"""When a patient was last observed: what the preparation and the stress test both have to tell."""

import numpy as np

OBSERVED = 34
"""The first so many variables of an hour are observations; the others are known from the start."""


def time_since_observation(
    observed: np.ndarray, hour: np.ndarray, offsets: np.ndarray
) -> np.ndarray:
    """Hours since the last earlier hour with any observation; before one, since the start.

    Args:
        observed: (steps,), bool: any vital or laboratory value in this hour.
        hour: (steps,), hours.
        offsets: (patients + 1,), int64.

    Returns:
        (steps,), float32; 0 at the first hour of a patient.
    """
    start = np.repeat(offsets[:-1], np.diff(offsets))
    step = np.arange(len(hour))
    before = np.maximum(step - 1, 0)
    # Starts ascend from patient to patient, so the running maximum never looks back past one.
    known = np.where((step > start) & observed[before], before, start)
    return (hour - hour[np.maximum.accumulate(known)]).astype(np.float32)
