"""Errors of read lines: their kinds, their rates by length, the table and the figure, from lines counted by hand."""

import json

import matplotlib
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fake_study import LAYOUT, run_item, write_csv, write_run
from liquidbench.errors import InputError
from liquidbench.evaluation.edits import edit_counts
from liquidbench.reporting import style
from liquidbench.reporting.handwriting_figures import half_interval, line_length_figure
from liquidbench.reporting.handwriting_table import handwriting_table
from liquidbench.reporting.runs import RunKey
from liquidbench.reporting.study import read_study
from liquidbench.reporting.summaries import summarise, write_summaries
from liquidbench.reporting.table import as_markdown
from plain_metrics import edit_distance

LSTM, CFC = (run_item("iam", "released", model) for model in ("lstm", "cfc"))
# What was written, read greedily, and read by beam search.
LINES = [
    ("abcd", "abxd", "abcd"),  # a substitution
    ("abcd", "abcde", "abcd"),  # an insertion
    ("abcde", "abce", "abce"),  # a deletion in both
    ("abcdefghi", "", "abcdefghi"),  # nine deletions
    ("None", "None", "nan"),  # not a missing value
]
GREEDY_RATES = [1 / 4, 1 / 4, 1 / 5, 1, 0]
BEAM_RATES = [0, 0, 1 / 5, 0, 3 / 4]


def write_lines(results, item, lines=LINES, times=1, **figures):
    rates = {"cer": np.mean(GREEDY_RATES), "cer_beam": np.mean(BEAM_RATES)} | figures
    folder = write_run(results, item, **{name: float(value) for name, value in rates.items()})
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["examples"]["test"] = len(LINES) * times
    (folder / "metrics.json").write_text(json.dumps(metrics))
    rows = [[f"line-{number}", *line] for number, line in enumerate(lines * times)]
    headings = ["id", "target", "prediction", "prediction_beam"]
    write_csv(folder / "predictions.csv", headings, rows)
    return folder


def study_of(results, items):
    frames = summarise(results, [RunKey(**item) for item in items])
    write_summaries(frames, results / "summary")
    return read_study(results / "summary", json.dumps(LAYOUT))


def test_edits_by_kind():
    counts = edit_counts(["abc", "abc", "abc", "", "kitten"], ["abc", "xabc", "a", "ab", "sitting"])
    # kitten to sitting: two substitutions and an insertion.
    assert counts.tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 2], [0, 2, 0], [2, 1, 0]]


def test_edits_add_up_to_the_distance():
    generator = np.random.default_rng(0)
    texts = ["".join(generator.choice(list("abc "), generator.integers(0, 9))) for _ in range(200)]
    counts = edit_counts(texts[:100], texts[100:])
    pairs = list(zip(texts[:100], texts[100:], strict=True))
    assert counts.sum(axis=1).tolist() == [edit_distance(*pair) for pair in pairs]
    # What is inserted less what is deleted is what the reading is longer.
    longer = [len(reading) - len(reference) for reference, reading in pairs]
    assert (counts[:, 1] - counts[:, 2]).tolist() == longer


def test_errors_by_the_length_of_the_line(tmp_path):
    write_lines(tmp_path, CFC)
    frame = study_of(tmp_path, [CFC]).frames["handwriting"]
    columns = ["shortest", "longest", "lines", "characters", "substitutions", "insertions"]
    rows = frame[["reading", *columns, "deletions", "cer", "cer_pooled"]].to_numpy().tolist()
    assert rows == [
        ["greedy", 0, 4, 3, 12, 1, 1, 0, pytest.approx(0.5 / 3), pytest.approx(2 / 12)],
        ["greedy", 5, 9, 2, 14, 0, 0, 10, pytest.approx(0.6), pytest.approx(10 / 14)],
        ["beam", 0, 4, 3, 12, 2, 0, 1, pytest.approx(0.25), pytest.approx(3 / 12)],
        ["beam", 5, 9, 2, 14, 0, 0, 1, pytest.approx(0.1), pytest.approx(1 / 14)],
    ]
    assert set(frame["synthetic"]) == {"False"} and set(frame["model"]) == {"cfc"}


@pytest.mark.parametrize(
    ("lines", "figures", "problem"),
    [
        (LINES[:4], {}, "4 lines, metrics.json says 5"),
        (LINES, {"cer": 0.3}, "gives a cer of 0.340000, metrics.json says 0.3"),
        (LINES, {"cer_beam": 0.3}, "gives a cer_beam of 0.190000"),
    ],
)
def test_readings_that_contradict_the_metrics_are_refused(tmp_path, lines, figures, problem):
    write_lines(tmp_path, CFC, lines, **figures)
    with pytest.raises(InputError, match=problem):
        study_of(tmp_path, [CFC])


def test_a_run_without_the_second_reading_is_refused(tmp_path):
    folder = write_lines(tmp_path, CFC)
    frame = pd.read_csv(folder / "predictions.csv").drop(columns="prediction_beam")
    frame.to_csv(folder / "predictions.csv", index=False)
    with pytest.raises(InputError, match=r"column prediction_beam missing\. .*train again"):
        study_of(tmp_path, [CFC])


def test_the_table_has_a_row_per_model_and_reading(tmp_path):
    write_lines(tmp_path, LSTM)
    missing = run_item("iam", "released", "cfc")
    other = run_item("nmnist", "released", "cfc")
    write_run(tmp_path, other)
    table = handwriting_table(study_of(tmp_path, [LSTM, missing, other]))
    assert [row.about[3:5] for row in table.rows] == [
        ("lstm", "greedy"),
        ("lstm", "beam search, 10 wide"),
        ("cfc", "greedy"),
        ("cfc", "beam search"),
    ]
    measured = [
        {name: cell.numbers[0] for name, cell in row.figures.items()} for row in table.rows[:2]
    ]
    assert measured[0] == pytest.approx(
        {"cer": 0.34, "cer_pooled": 0.19, "wer": 0.5, "wer_pooled": 0.48}
        | {"substitutions": 100 / 26, "insertions": 100 / 26, "deletions": 1000 / 26}
    )
    assert measured[1] == pytest.approx(
        {"cer": 0.19, "cer_pooled": 0.09, "wer": 0.4, "wer_pooled": 0.38}
        | {"substitutions": 200 / 26, "insertions": 0, "deletions": 200 / 26}
    )
    assert {cell.measured for cell in table.rows[2].figures.values()} == {"–"}
    assert "missing: iam/released/cfc seed 0" in table.notes
    # Nothing is printed, so a page has one line per row, numbers to the right.
    lines = [line for line in as_markdown(table).splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(table.rows)
    assert lines[1].strip("|").split("|")[len(table.about)].endswith(":")


def curves(figure):
    """Of each line of the upper panel that shows rates: style, places and rates."""
    axes = figure.axes[0]
    return [
        (line.get_linestyle(), list(line.get_xdata()), list(line.get_ydata()))
        for line in axes.lines
        if line.get_linestyle() in ("-", "--") and len(line.get_xdata()) == 2
    ]


def test_the_figure_shows_rates_by_length_and_the_number_of_lines(tmp_path):
    write_lines(tmp_path, CFC, times=3)
    study = study_of(tmp_path, [CFC])
    style.apply_style()
    figure, _, caption = line_length_figure(study, study.groups())
    assert curves(figure) == [
        ("-", [2, 7], pytest.approx([0.5 / 3, 0.6])),
        ("--", [2, 7], pytest.approx([0.25, 0.1])),
    ]
    assert [bar.get_height() for bar in figure.axes[1].patches] == [9, 6]
    assert [text.get_text() for text in figure.axes[1].texts] == ["9", "6"]
    assert "One seed, hence no interval." in caption and "Student" not in caption
    matplotlib.pyplot.close(figure)


def test_a_length_of_few_lines_is_no_point_of_the_curve(tmp_path):
    """Six lines of up to four characters, and four of up to nine."""
    write_lines(tmp_path, CFC, times=2)
    study = study_of(tmp_path, [CFC])
    figure, _, caption = line_length_figure(study, study.groups())
    greedy, alone, *_ = figure.axes[0].lines
    assert (list(greedy.get_xdata()), list(alone.get_xdata())) == ([2], [7])
    assert list(alone.get_ydata()) == pytest.approx([0.6])
    assert alone.get_linestyle() == "None" and alone.get_markerfacecolor() == "white"
    assert greedy.get_markerfacecolor() != "white"
    assert [text.get_text() for text in figure.axes[1].texts] == ["6", "4"]
    assert "fewer than 5 test lines" in caption
    matplotlib.pyplot.close(figure)


def bars(figure):
    """Lowest and highest place of every bar of the upper panel."""
    return [
        (path.vertices[:, 1].min(), path.vertices[:, 1].max())
        for collection in figure.axes[0].collections
        for path in collection.get_paths()
    ]


def test_two_seeds_are_drawn_each_and_three_have_an_interval(tmp_path):
    items = [CFC | {"seed": seed} for seed in range(3)]
    write_lines(tmp_path, items[0], times=3)
    # The other seeds read everything right.
    perfect = [(written, written, written) for written, *_ in LINES]
    for item in items[1:]:
        write_lines(tmp_path, item, perfect, times=3, cer=0, cer_beam=0)
    study = study_of(tmp_path, items[:2])
    figure, _, caption = line_length_figure(study, study.groups())
    assert curves(figure)[0] == ("-", [2, 7], pytest.approx([0.25 / 3, 0.3]))
    # After the mean, the greedy rates of each seed.
    assert curves(figure)[1:3] == [
        ("-", [2, 7], pytest.approx([0.5 / 3, 0.6])),
        ("-", [2, 7], pytest.approx([0, 0])),
    ]
    assert not bars(figure)
    assert "each of two seeds" in caption and "interval" not in caption
    study = study_of(tmp_path, items)
    figure, _, caption = line_length_figure(study, study.groups())
    means = [0.5 / 9, 0.2]
    assert curves(figure)[0] == ("-", [2, 7], pytest.approx(means))
    highest = [high for _, high in bars(figure)[:2]]
    reach = stats.t.ppf(0.975, 2) / np.sqrt(3) * np.std([[0.5 / 3, 0.6], [0, 0], [0, 0]], 0, ddof=1)
    assert highest == pytest.approx(means + reach)
    # An error rate is not negative.
    assert [low for low, _ in bars(figure)[:2]] == pytest.approx([0, 0], abs=1e-12)
    assert "95 % interval" in caption and "One seed" not in caption
    matplotlib.pyplot.close("all")


def test_the_interval_is_scipy_s():
    values = pd.Series([0.1, 0.3, 0.35, 0.2])
    low, high = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
    assert half_interval(values, 0.95) == pytest.approx((high - low) / 2, rel=1e-12)
    assert np.isnan(half_interval(values[:1], 0.95))
