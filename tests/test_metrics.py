"""Metrics against scikit-learn, plain loops and examples worked by hand."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from liquidbench.evaluation.metrics import (
    binary_metrics,
    classification_metrics,
    confusion_counts,
    transcription_metrics,
)
from plain_metrics import area_by_pairs, average_precision_by_loop, edit_distance

# Ten stays: four septic. At a threshold of 0.5 there are five alarms, three of them right.
TARGETS = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
PROBABILITIES = np.array([0.9, 0.8, 0.5, 0.2, 0.7, 0.6, 0.4, 0.3, 0.2, 0.1])


def random_stays(ties: bool) -> tuple[np.ndarray, np.ndarray]:
    """200 targets and probabilities that lean towards them; with ties, on a grid of 0.1."""
    random = np.random.default_rng(5)
    targets = random.integers(0, 2, 200)
    probabilities = np.clip(0.5 + 0.2 * (targets - 0.5) + random.normal(0, 0.2, 200), 0, 1)
    return targets, np.round(probabilities, 1) if ties else probabilities


def test_accuracy_is_the_share_of_right_answers():
    assert classification_metrics(np.array([0, 1, 2, 2]), np.array([0, 2, 2, 2])) == {
        "accuracy": 0.75
    }
    random = np.random.default_rng(0)
    targets, predictions = random.integers(0, 10, (2, 300))
    expected = sklearn_metrics.accuracy_score(targets, predictions)
    assert classification_metrics(targets, predictions)["accuracy"] == pytest.approx(expected)


def test_binary_figures_of_an_example_worked_by_hand():
    figures = binary_metrics(TARGETS, PROBABILITIES)
    counts = ("true_positives", "false_positives", "true_negatives", "false_negatives")
    # The probability of exactly 0.5 is an alarm.
    assert [figures[name] for name in counts] == [3, 2, 4, 1]
    assert figures["accuracy"] == pytest.approx(7 / 10)
    assert figures["precision"] == pytest.approx(3 / 5)
    assert figures["recall"] == pytest.approx(3 / 4)
    assert figures["f1"] == pytest.approx(2 / 3)
    # Of 24 pairs, 0.9 and 0.8 win six each, 0.5 wins four, 0.2 wins one and ties one.
    assert figures["auroc"] == pytest.approx(17.5 / 24)
    # Alarms in falling order: + + - - + - - (+ -) -.
    assert figures["average_precision"] == pytest.approx((1 + 1 + 3 / 5 + 4 / 9) / 4)
    assert figures["threshold"] == 0.5


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.75])
@pytest.mark.parametrize("ties", [True, False])
def test_binary_figures_are_those_of_scikit_learn_and_of_plain_loops(threshold, ties):
    targets, probabilities = random_stays(ties)
    figures = binary_metrics(targets, probabilities, threshold)
    alarms = (probabilities >= threshold).astype(int)
    expected = {
        "accuracy": sklearn_metrics.accuracy_score(targets, alarms),
        "precision": sklearn_metrics.precision_score(targets, alarms),
        "recall": sklearn_metrics.recall_score(targets, alarms),
        "f1": sklearn_metrics.f1_score(targets, alarms),
        "auroc": area_by_pairs(targets, probabilities),
        "average_precision": average_precision_by_loop(targets, probabilities),
        "true_positives": np.sum((targets == 1) & (alarms == 1)),
        "false_positives": np.sum((targets == 0) & (alarms == 1)),
        "true_negatives": np.sum((targets == 0) & (alarms == 0)),
        "false_negatives": np.sum((targets == 1) & (alarms == 0)),
        "threshold": threshold,
    }
    assert figures == pytest.approx(expected)


def test_a_threshold_moves_the_counts_and_not_the_areas():
    low, high = (binary_metrics(TARGETS, PROBABILITIES, t) for t in (0.15, 0.85))
    assert (low["true_positives"], low["false_positives"]) == (4, 5)
    assert (high["true_positives"], high["false_positives"]) == (1, 0)
    for name in ("auroc", "average_precision"):
        assert low[name] == high[name]


@pytest.mark.parametrize(
    ("targets", "probabilities", "absent", "present"),
    [
        # No alarm: nothing to be precise about; all septic stays are missed.
        ([1, 0], [0.2, 0.1], {"precision"}, {"recall": 0.0, "f1": 0.0, "auroc": 1.0}),
        # Nobody septic, one alarm.
        (
            [0, 0],
            [0.9, 0.1],
            {"recall", "auroc", "average_precision"},
            {"precision": 0.0, "f1": 0.0},
        ),
        # Everybody septic.
        ([1, 1], [0.9, 0.1], {"auroc", "average_precision"}, {"precision": 1.0, "recall": 0.5}),
        # Nobody septic and no alarm: all right, and no figure but the accuracy exists.
        (
            [0, 0],
            [0.2, 0.1],
            {"precision", "recall", "f1", "auroc", "average_precision"},
            {"accuracy": 1.0, "true_negatives": 2},
        ),
    ],
)
def test_figures_that_do_not_exist_are_none(targets, probabilities, absent, present):
    figures = binary_metrics(np.array(targets), np.array(probabilities))
    assert {name for name, value in figures.items() if value is None} == absent
    assert {name: figures[name] for name in present} == pytest.approx(present)


def test_error_rates_averaged_over_lines_and_pooled():
    references = ["the cat sat on the mat", "ab"]
    readings = ["the cat sat mat", "b c"]
    # Line 1: " on the" is left out, 7 of 22 characters and 2 of 6 words.
    # Line 2: "a" is left out, " c" is put in, 3 edits of 2 characters; one word becomes two, 2 of 1.
    figures = transcription_metrics(references, readings)
    assert figures == pytest.approx(
        {
            "cer": (7 / 22 + 3 / 2) / 2,
            "cer_pooled": 10 / 24,
            "wer": (2 / 6 + 2 / 1) / 2,
            "wer_pooled": 4 / 7,
        }
    )


def test_error_rates_against_a_plain_edit_distance():
    random = np.random.default_rng(3)
    texts = ["".join(random.choice(list("ab c"), size)).strip() + "d" for size in range(1, 25)]
    references, readings = texts[::2], texts[1::2]
    rates = {"cer": [], "wer": []}
    edits, lengths = {"cer": 0, "wer": 0}, {"cer": 0, "wer": 0}
    for reference, reading in zip(references, readings, strict=True):
        for name, split in (("cer", list), ("wer", str.split)):
            distance = edit_distance(split(reference), split(reading))
            rates[name].append(distance / len(split(reference)))
            edits[name] += distance
            lengths[name] += len(split(reference))
    expected = {name: np.mean(values) for name, values in rates.items()}
    expected |= {f"{name}_pooled": edits[name] / lengths[name] for name in edits}
    assert transcription_metrics(references, readings) == pytest.approx(expected)


def test_letters_count_as_written_and_spaces_between_words_do_not():
    figures = transcription_metrics(["Größe  x"], ["größe x"])
    assert figures["cer"] == pytest.approx(2 / 8)
    assert figures["wer"] == pytest.approx(1 / 2)


def test_what_is_read_from_an_empty_line_is_not_free():
    figures = transcription_metrics(["ab cd", ""], ["ab cd", "ab c"])
    assert figures["cer"] == pytest.approx((0 + 4) / 2)
    assert figures["wer"] == pytest.approx((0 + 2) / 2)
    # Pooled: all edits over all characters and words that were written.
    assert figures["cer_pooled"] == pytest.approx(4 / 5)
    assert figures["wer_pooled"] == pytest.approx(2 / 2)


def test_perfect_and_empty_readings():
    assert set(transcription_metrics(["a b", ""], ["a b", ""]).values()) == {0.0}
    assert set(transcription_metrics(["a b", "c"], ["", ""]).values()) == {1.0}


def test_confusion_counts_have_a_row_per_target():
    targets, predictions = np.array([0, 0, 1, 3, 3]), np.array([0, 1, 1, 0, 3])
    expected = [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 1]]
    assert confusion_counts(targets, predictions, 4).tolist() == expected
