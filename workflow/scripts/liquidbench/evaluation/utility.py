"""The normalised utility of the 2019 Challenge on early sepsis: what an alarm is worth at each hour of a stay.

Source: Reyna et al., Critical Care Medicine 48(2), 2020. Hours are counted by their place in the record, from 0.
"""

import numpy as np
from numpy.typing import NDArray

LABEL_LEAD = 6
"""Hours from the first labelled hour to the onset."""
EARLIEST, OPTIMAL, LATEST = -12, -6, 3
"""Hours from the onset: an alarm begins to pay, pays most, and pays no more."""
FALSE_ALARM = -0.05
WORST_MISS = -2.0


def onsets(labels: NDArray, offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """The hour of the onset of each stay: six hours after its first labelled one, wherever the record ends.

    Args:
        labels: (hours of all stays,) 0 or 1, stays one after the other.
        offsets: (stays + 1,) where each begins.

    Returns:
        (stays,) the place in the record, from 0; infinite for a stay without a labelled hour.
    """
    offsets = np.asarray(offsets, dtype=np.int64)
    first = np.full(len(offsets) - 1, np.inf)
    labelled = np.flatnonzero(np.asarray(labels))
    stays, earliest = np.unique(
        np.searchsorted(offsets, labelled, side="right") - 1, return_index=True
    )
    first[stays] = labelled[earliest] - offsets[stays]
    return first + LABEL_LEAD


def hours_from_onset(labels: NDArray, offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """For each hour, hours since the onset of its stay; negative before it, minus infinity without one.

    Args:
        labels, offsets: as in `onsets`.
    """
    lengths = np.diff(offsets)
    hour = np.arange(int(np.sum(lengths))) - np.repeat(offsets[:-1], lengths)
    return hour - np.repeat(onsets(labels, offsets), lengths)


def hourly_utilities(
    labels: NDArray, offsets: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What an alarm, and what silence is worth at each hour.

    In a stay with sepsis an alarm rises from 0 to 1 between 12 and 6 hours before the onset (earlier it is a false
    alarm) and falls to 0 until 3 hours after it; silence costs nothing until 6 hours before the onset, and from there
    ever more, up to 2 at 3 hours after it. Later hours count nothing. Without sepsis an alarm costs 0.05.

    Args:
        labels, offsets: as in `onsets`.

    Returns:
        Two arrays, (hours,): with an alarm, and without.
    """
    since = hours_from_onset(labels, offsets)
    septic = np.isfinite(since)
    rising = np.maximum((since - EARLIEST) / (OPTIMAL - EARLIEST), FALSE_ALARM)
    falling = (LATEST - since) / (LATEST - OPTIMAL)
    missed = WORST_MISS * (since - OPTIMAL) / (LATEST - OPTIMAL)
    counted, before = septic & (since <= LATEST), since <= OPTIMAL
    alarm = np.where(before, rising, falling) * counted
    silence = np.where(counted & ~before, missed, 0.0)
    return np.where(septic, alarm, FALSE_ALARM), silence


def normalised_utility(
    labels: NDArray, alarms: NDArray, offsets: NDArray[np.int64]
) -> float | None:
    """The Challenge's score of a cohort: 1 is the best that can be had, 0 is never alarming; may be negative.

    Args:
        labels: (hours of all stays,) 0 or 1, stays one after the other.
        alarms: (hours,) true where there is an alarm.
        offsets: (stays + 1,) where each stay begins.

    Returns:
        The score; None for a cohort without sepsis, in which no alarm can be of use.
    """
    alarm, silence = hourly_utilities(labels, offsets)
    since = hours_from_onset(labels, offsets)
    best = np.where((since >= EARLIEST) & (since <= LATEST), alarm, silence).sum()
    inaction = silence.sum()
    if best == inaction:
        return None
    observed = np.where(np.asarray(alarms, dtype=bool), alarm, silence).sum()
    return float((observed - inaction) / (best - inaction))


def best_utility_threshold(
    labels: NDArray, probabilities: NDArray, offsets: NDArray[np.int64]
) -> float:
    """The threshold with the highest utility; the highest such threshold, so the fewest alarms, if several have it.

    Args:
        labels, offsets: as in `onsets`.
        probabilities: (hours,) an alarm is a probability of at least the threshold.

    Returns:
        One of the probabilities; or, if silence beats them all, the number just above the highest.
    """
    alarm, silence = hourly_utilities(labels, offsets)
    order = np.argsort(-probabilities, kind="stable")
    scores = probabilities[order]
    gains = np.cumsum((alarm - silence)[order])
    # Hours of one probability are alarmed together.
    last = np.append(scores[1:] != scores[:-1], True)
    gains, scores = gains[last], scores[last]
    # Sums of the same terms in another order differ in the last digits: such are one value.
    best = int(np.argmax(gains >= gains.max() - 1e-9))
    if gains[best] <= 0:
        return float(np.nextafter(scores[0], np.inf))
    return float(scores[best])
