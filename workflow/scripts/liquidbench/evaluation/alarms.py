"""Alarms by the hour as a clinician judges them: found in time, with what lead, and among how many false ones.

The hours of a stay are of three kinds, by the Challenge's utility (`liquidbench.evaluation.utility`):

- the window: from 12 hours before the onset, where an alarm begins to pay, up to the onset. An alarm here finds the
  stay in time, and the first one's distance from the onset is the lead time: at most 12 hours.
- hours in which an alarm is false: all hours of a stay without sepsis, and those of a septic stay before its window. A
  model that alarms whenever a patient comes in has found nothing, however late the sepsis.
- the hours from the onset on. An alarm there is neither found in time nor false.

An alarm is a run of consecutive alarmed hours of one stay: nobody is called anew in each of them. False alarms are runs
within the hours of their kind; a run that begins too early and lasts into the window is a false alarm, and finds the
stay too.
"""

import numpy as np
from numpy.typing import NDArray

from liquidbench.evaluation.clinical import RECALLS, OperatingCurve
from liquidbench.evaluation.metrics import Figures, ranking_figures
from liquidbench.evaluation.utility import EARLIEST, hours_from_onset, normalised_utility, onsets

WARD_RECALLS = (*RECALLS, 0.50, 0.80)
"""Recalls at which alarms are compared: the paper's, and such as a ward would ask for."""
LONG_STAY = 60
"""Hours. In set A a stay that exceeds them is septic in 625 of 631 cases."""
FIGURES = (
    *("utility", "found_in_time", "alarmed_too_early", "alarmed_without_sepsis"),
    *("lead_time_hours_q25", "lead_time_hours_median", "lead_time_hours_q75"),
    *("false_alarms_per_patient_day", "false_alarm_hours_per_patient_day"),
    *("alarms_per_patient_day", "alarmed_hours_per_patient_day"),
)
"""What `alarm_figures` gives."""


def kinds_of_hours(
    labels: NDArray, offsets: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which hours an alarm is in time, and in which it is false; the others are those from the onset on.

    Args:
        labels: (hours of all stays,) 0 or 1, stays one after the other.
        offsets: (stays + 1,) where each begins.

    Returns:
        Two arrays, (hours,) bool. No hour is in both.
    """
    # Minus infinity without an onset.
    since = hours_from_onset(labels, offsets)
    return (since >= EARLIEST) & (since < 0), since < EARLIEST


def stay_scores(
    labels: NDArray, probabilities: NDArray, offsets: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Stays judged at any threshold: is a septic one found in time, does one alarm falsely?

    Each septic stay gives a positive, the highest probability in its window. Each stay that has hours in which an alarm
    is false gives a negative, the highest probability in all of these: so a septic stay may give both. A negative is a
    whole stay, as a ward counts; it has more hours than a window to go wrong in, and the longer it is, the likelier it
    does. The fair measure is false alarms per patient-day (`alarm_figures`), where every such hour counts once.

    Args:
        labels, offsets: as in `kinds_of_hours`.
        probabilities: (hours,).

    Returns:
        Targets, (septic stays + stays with such hours,) 1 or 0; and the scores, of the same length.
    """
    in_window, would_be_false = kinds_of_hours(labels, offsets)
    highest = []
    for hours in (in_window, would_be_false):
        of_stay = np.maximum.reduceat(np.where(hours, probabilities, -np.inf), offsets[:-1])
        highest.append(of_stay[np.logical_or.reduceat(hours, offsets[:-1])])
    targets = np.repeat([1, 0], [len(some) for some in highest])
    return targets, np.concatenate(highest)


def alarm_figures(labels: NDArray, alarms: NDArray, offsets: NDArray[np.int64]) -> Figures:
    """What alarms by the hour mean at the bedside.

    Args:
        labels, offsets: as in `kinds_of_hours`.
        alarms: (hours,) bool.

    Returns:
        `FIGURES`, None where there is nothing to take one from. `utility`. Shares of the septic stays: `found_in_time`
        and `alarmed_too_early` (an alarm before the window), which may both hold; of the others:
        `alarmed_without_sepsis`. `lead_time_hours_q25`, `_median` and `_q75`, over the stays found in time. For each 24
        hours in which an alarm would be false: `false_alarms_per_patient_day` (runs) and
        `false_alarm_hours_per_patient_day`. For each 24 hours of all: `alarms_per_patient_day` (runs) and
        `alarmed_hours_per_patient_day`.
    """
    alarms = np.asarray(alarms, dtype=bool)
    starts = offsets[:-1]
    septic = np.isfinite(onsets(labels, offsets))
    in_window, would_be_false = kinds_of_hours(labels, offsets)
    false = alarms & would_be_false
    falsely = np.logical_or.reduceat(false, starts)
    before = -hours_from_onset(labels, offsets)
    lead = np.maximum.reduceat(np.where(alarms & in_window, before, 0.0), starts)
    lead = lead[lead > 0]
    quartiles = np.percentile(lead, [25, 50, 75]).tolist() if len(lead) else [None] * 3
    exposed = int(would_be_false.sum())
    values = [
        normalised_utility(labels, alarms, offsets),
        len(lead) / int(septic.sum()) if septic.any() else None,
        float(falsely[septic].mean()) if septic.any() else None,
        float(falsely[~septic].mean()) if not septic.all() else None,
        *quartiles,
        24 * _runs(false, starts) / exposed if exposed else None,
        24 * int(false.sum()) / exposed if exposed else None,
        24 * _runs(alarms, starts) / len(alarms),
        24 * float(alarms.mean()),
    ]
    return dict(zip(FIGURES, values, strict=True))


def _runs(raised: NDArray[np.bool_], starts: NDArray[np.int64]) -> int:
    """Runs of consecutive raised hours; none goes on from one stay into the next."""
    begins = raised.copy()
    begins[1:] &= ~raised[:-1]
    begins[starts] = raised[starts]
    return int(begins.sum())


def alarm_figures_at_recalls(
    labels: NDArray, probabilities: NDArray, offsets: NDArray[np.int64]
) -> Figures:
    """`alarm_figures` where models compare: at the highest threshold that finds a share of the septic stays in time.

    Args:
        labels, probabilities, offsets: as in `stay_scores`.

    Returns:
        For each r of `WARD_RECALLS` `threshold_at_recall_<r>`, and `<figure>_at_recall_<r>` for each of `FIGURES`; None
        without a septic stay.
    """
    curve = OperatingCurve.of(*stay_scores(labels, probabilities, offsets))
    figures: Figures = {}
    for recall in WARD_RECALLS:
        place = curve.at_recall(recall) if curve.positives else None
        threshold = None if place is None else float(curve.thresholds[place])
        told: Figures = dict.fromkeys(FIGURES)
        if threshold is not None:
            told = alarm_figures(labels, np.asarray(probabilities) >= threshold, offsets)
        named = {"threshold": threshold} | told
        figures |= {f"{name}_at_recall_{recall:.2f}": value for name, value in named.items()}
    return figures


def leak_figures(labels: NDArray, offsets: NDArray[np.int64]) -> Figures:
    """What the whole record tells of the answer, without any clinical value.

    Args:
        labels: (hours of all stays,) 0 or 1, stays one after the other.
        offsets: (stays + 1,) where each begins.

    Returns:
        `stays` and `septic_stays`; `septic_past_onset` (those whose record reaches the onset); `septic_from_first_hour`
        (those labelled from the start: the onset may have been earlier than six hours later); `long_stays` (of more
        than `LONG_STAY` hours) and `long_stays_septic`; `length_auroc` (of the length as a score).
    """
    onset, lengths = onsets(labels, offsets), np.diff(offsets)
    septic = np.isfinite(onset)
    long = lengths > LONG_STAY
    return {
        "stays": len(lengths),
        "septic_stays": int(septic.sum()),
        "septic_past_onset": int((lengths > onset).sum()),
        "septic_from_first_hour": int(np.asarray(labels)[offsets[:-1]].sum()),
        "long_stays": int(long.sum()),
        "long_stays_septic": int((long & septic).sum()),
        "length_auroc": ranking_figures(septic, lengths)["auroc"],
    }
