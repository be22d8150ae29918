"""Summaries, table and figure of the sepsis models' alarms, from hand-made predictions with known answers."""

import csv
import io
import json

import matplotlib.text
import pandas as pd
import pytest

from fake_study import LAYOUT, run_folder, run_item, write_csv, write_run
from liquidbench.errors import InputError
from liquidbench.reporting import style
from liquidbench.reporting.claim_quantities import quantity
from liquidbench.reporting.clinical_figures import alarms_figure
from liquidbench.reporting.clinical_tables import alarms_table, clinical_table
from liquidbench.reporting.printed import read_printed
from liquidbench.reporting.result_tables import sepsis_table
from liquidbench.reporting.runs import RunKey
from liquidbench.reporting.setting_tables import settings_table
from liquidbench.reporting.study import read_study
from liquidbench.reporting.summaries import summarise, write_summaries
from liquidbench.reporting.table import as_csv, as_markdown
from test_tables import PAPER

HOURLY = {"hourly_protocols": ["hourly"]}
STAY = run_item("physionet", "paper", "cfc-128")
HOUR = run_item("physionet", "hourly", "cfc-128")

# By the stay: four of ten are septic. From the highest probability down: no, yes, yes and no at once, no, yes, ...
PROBABILITIES = [0.9, 0.8, 0.6, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0]
TARGETS = [0, 1, 1, 0, 0, 1, 0, 0, 1, 0]
# By the hour: a stay that is septic from hour 4 on (onset 10, twelve hours), and one that is not (six hours).
LABELS = {"p1": [0] * 4 + [1] * 8, "p2": [0] * 6}
CHANCES = {"p1": [0.1, 0.7] + [0.2] * 8 + [0.95, 0.95], "p2": [0.3, 0.6, 0.3, 0.1, 0.1, 0.1]}


def write_stays(results, item=STAY, **changes) -> None:
    folder = write_run(results, item, threshold=0.55, accuracy=0.6, **changes)
    rows = [
        [f"p{place}", target, int(chance >= 0.55), chance]
        for place, (target, chance) in enumerate(zip(TARGETS, PROBABILITIES))
    ]
    write_csv(folder / "predictions.csv", ["id", "target", "prediction", "probability"], rows)
    change_metrics(folder, examples={"train": 40, "test": 10})
    count(folder, rows)


def write_hours(results, item=HOUR, *, synthetic=False) -> None:
    folder = write_run(results, item, synthetic=synthetic, threshold=0.65)
    rows = [
        [name, hour, label, int(chance >= 0.65), chance]
        for name, labels in LABELS.items()
        for hour, (label, chance) in enumerate(zip(labels, CHANCES[name]))
    ]
    names = ["id", "hour", "target", "prediction", "probability"]
    write_csv(folder / "predictions.csv", names, rows)
    change_metrics(folder, examples={"train": 8, "test": 2, "train_hours": 90, "test_hours": 18})
    count(folder, [row[1:] for row in rows])
    path = folder / "metrics.json"
    metrics = json.loads(path.read_text())
    metrics["settings"]["training"]["level"] = "hour"
    metrics["validation"] = {"loss": 0.4, "utility": 0.25, "threshold": 0.65}
    path.write_text(json.dumps(metrics))


def change_metrics(folder, **changes) -> None:
    path = folder / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def count(folder, rows: list[list]) -> None:
    """confusion.csv and the accuracy that go with predictions of (..., target, prediction, probability)."""
    names = ["no sepsis", "sepsis"]
    pairs = [(row[1], row[2]) for row in rows]
    table = [[names[t], names[p], pairs.count((t, p))] for t in (0, 1) for p in (0, 1)]
    write_csv(folder / "confusion.csv", ["target", "prediction", "count"], table)
    path = folder / "metrics.json"
    metrics = json.loads(path.read_text())
    metrics["test"]["accuracy"] = sum(t == p for t, p in pairs) / len(pairs)
    path.write_text(json.dumps(metrics))


def frames_of(results, *items):
    return summarise(results, [RunKey(**item) for item in items])


def study_of(results, *items):
    write_summaries(frames_of(results, *items), results / "summary")
    return read_study(results / "summary", json.dumps(LAYOUT | HOURLY))


def values_of(frame: pd.DataFrame) -> dict[str, float]:
    return dict(zip(frame["figure"], frame["value"]))


def test_a_stay_level_run_in_figures(tmp_path):
    write_stays(tmp_path)
    clinical = frames_of(tmp_path, STAY)["clinical"]
    assert set(clinical["level"]) == {"patient"} and set(clinical["synthetic"]) == {False}
    value = values_of(clinical)
    # Of four septic stays recall 0.22 is the first found, at 0.8, behind one false alarm.
    assert value["false_alarms_at_recall_0.22"] == 1
    assert value["precision_at_recall_0.22"] == 1 / 2
    # 151 of 3,710 are 0.2 of 6: none allowed, and the first alarm is a false one.
    assert value["false_alarms_allowed_151"] == 0
    assert value["recall_at_false_alarms_151"] == 0
    assert value["threshold"] == 0.55
    assert value["prevalence"] == 0.4
    misses = [(t - p) ** 2 for t, p in zip(TARGETS, PROBABILITIES)]
    assert value["brier"] == pytest.approx(sum(misses) / 10)
    # What needs hours is not there.
    assert not {"utility", "lead_time_hours_median", "alarms_per_patient_day"} & set(value)


def test_an_hour_level_run_in_figures(tmp_path):
    write_hours(tmp_path)
    frames = frames_of(tmp_path, HOUR)
    value = values_of(frames["clinical"])
    assert set(frames["clinical"]["level"]) == {"hour"}
    # Alarms at hours 1, 10 and 11 of the septic stay, whose first ten are its window; none in the other.
    assert value["lead_time_hours_median"] == 10 - 1
    assert value["found_in_time"] == 1
    assert value["alarmed_too_early"] == value["alarmed_without_sepsis"] == 0
    assert value["alarms_per_patient_day"] == pytest.approx(24 * 2 / 18)
    assert value["alarmed_hours_per_patient_day"] == pytest.approx(24 * 3 / 18)
    assert value["false_alarms_per_patient_day"] == 0
    # One stay is found at any recall, at 0.7, and the other's 0.6 is below that.
    assert value["threshold_at_recall_0.50"] == 0.7
    assert value["lead_time_hours_median_at_recall_0.50"] == 9
    assert value["false_alarms_per_patient_day_at_recall_0.80"] == 0
    # Hour 1 is 9 before the onset: 1/2. Hours 10 and 11: 3/9 + 2/9. Silence at -5 to -1: -(2 + 4 + 6 + 8 + 10)/9.
    # Best: hours 0 to 11: (2 + 3 + 4 + 5 + 6)/6 + (8 + 7 + 6 + 5 + 4 + 3 + 2)/9. Silence: -(2 + ... + 14)/9.
    observed, best, inaction = 1 / 2 + 5 / 9 - 30 / 9, 20 / 6 + 35 / 9, -56 / 9
    assert value["utility"] == pytest.approx((observed - inaction) / (best - inaction))
    # The highest hour of the window is 0.7, above the other stay's 0.6; 0.95 comes too late to count.
    assert value["false_alarms_at_recall_0.22"] == 0
    assert frames["operating_points"]["threshold"].unique().tolist() == [0.7]
    assert (value["septic_stays"], value["septic_past_onset"], value["long_stays"]) == (1, 1, 0)
    metrics = frames["metrics"]
    found = metrics[(metrics["split"] == "validation") & (metrics["metric"] == "utility")]
    assert found["value"].tolist() == [0.25]


def test_numbers_of_false_alarms_are_counts_and_rates_are_not():
    for figure, shown in (
        ("false_alarms_at_recall_0.22", "12"),
        ("false_alarms_allowed_12", "12"),
        ("false_alarms_per_patient_day", "12.000"),
        ("false_alarms_per_patient_day_at_recall_0.22", "12.000"),
    ):
        assert quantity(f"clinical/hour/{figure}", "a claim").shown(12.0) == shown


def test_calibration_and_operating_points_have_their_rows(tmp_path):
    write_stays(tmp_path)
    frames = frames_of(tmp_path, STAY)
    bins = frames["calibration"]
    assert bins["count"].sum() == 10
    assert (bins["count"] * bins["observed"]).sum() == pytest.approx(4)
    assert (bins["count"] * bins["mean_probability"]).sum() == pytest.approx(sum(PROBABILITIES))
    points = frames["operating_points"].set_index("recall")
    assert len(points) == 100
    assert points.loc[0.25, ["false_alarms", "threshold"]].tolist() == [1, 0.8]
    assert points.loc[0.26, ["false_alarms", "threshold"]].tolist() == [2, 0.6]
    assert points.loc[1.0, ["precision", "stays"]].tolist() == [4 / 9, 6]


def test_other_tasks_have_no_such_rows(tmp_path):
    item = run_item("nmnist", "released", "cfc")
    write_run(tmp_path, item)
    frames = frames_of(tmp_path, item)
    for name in ("clinical", "calibration", "operating_points"):
        assert frames[name].empty


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda path: path.unlink(), "no such file"),
        (lambda path: path.write_text("id,target\n1,2\n"), "not a table of predictions"),
        (lambda path: path.write_text(path.read_text().replace("0.7", "high")), "is none"),
        (lambda path: path.write_text(path.read_text().replace("0.7", "")), "is empty"),
        (lambda path: path.write_text(path.read_text().replace(",0,0,0.6", ",2,0,0.6")), "0 or 1"),
        (lambda path: path.write_text(path.read_text().replace("p2,1,", "p2,2,")), "follow"),
        (lambda path: path.write_text(path.read_text().replace("p2", "p1")), "holds 1 stays"),
    ],
)
def test_damaged_predictions_are_named(tmp_path, damage, told):
    write_hours(tmp_path)
    path = run_folder(tmp_path, HOUR) / "predictions.csv"
    damage(path)
    with pytest.raises(InputError, match=told) as caught:
        frames_of(tmp_path, HOUR)
    assert str(path) in str(caught.value)


def test_the_table_has_a_row_per_group_of_either_level(tmp_path):
    write_stays(tmp_path)
    write_hours(tmp_path)
    table = clinical_table(study_of(tmp_path, STAY, HOUR))
    assert [row.about[0] for row in table.rows] == ["stay", "hour"]
    lines = list(csv.DictReader(io.StringIO(as_csv(table))))
    measured = {(line["told_by_the"], line["figure"]): line["measured"] for line in lines}
    assert float(measured["stay", "precision_at_recall_0.22"]) == 0.5
    assert float(measured["hour", "precision_at_recall_0.22"]) == 1
    page = as_markdown(table)
    assert page.startswith("# Not in the paper. Sepsis as a clinician judges it")
    # Nothing is printed in the paper to stand beside: one line a row.
    assert len([line for line in page.splitlines() if line.startswith("|")]) == 2 + 2


def test_intervals_end_where_a_figure_can(tmp_path):
    """Student's interval of 0 and 10, or 0.5 and 1, goes far beyond either end."""
    items = [STAY | {"seed": seed} for seed in (0, 1)]
    for item in items:
        write_stays(tmp_path, item)
    study = study_of(tmp_path, *items)
    frame = study.frames["clinical"]
    far = {"false_alarms_at_recall_0.22": (0.0, 10.0), "precision_at_recall_0.22": (0.5, 1.0)}
    for name, values in far.items():
        frame.loc[frame["figure"] == name, "value"] = list(values)
    (row,) = clinical_table(study).rows
    ends = {name: row.figures[name].numbers[2:4] for name in far}
    low, high = ends["false_alarms_at_recall_0.22"]
    assert low == 0 and high > 60
    assert ends["precision_at_recall_0.22"] == (0, 1)


def test_alarms_have_a_row_per_threshold_where_models_stand_together(tmp_path):
    other = run_item("physionet", "hourly", "lstm-128")
    write_stays(tmp_path)
    for item in (HOUR, other):
        write_hours(tmp_path, item)
    # The other model's threshold is out of reach.
    path = run_folder(tmp_path, other) / "predictions.csv"
    path.write_text(path.read_text().replace(",1,0.7", ",0,0.7").replace(",1,0.95", ",0,0.95"))
    table = alarms_table(study_of(tmp_path, STAY, HOUR, other))
    shares = ("0.08", "0.10", "0.22", "0.50", "0.80")
    points = ["own threshold", *(f"recall {share}" for share in shares)]
    models = ("cfc-128", "lstm-128")
    assert [(row.about[0], row.about[3]) for row in table.rows] == [
        (point, model) for point in points for model in models
    ]
    lines = list(csv.DictReader(io.StringIO(as_csv(table))))
    measured = {
        (line["alarms_at"], line["model"], line["figure"]): line["measured"] for line in lines
    }
    assert float(measured["own threshold", "cfc-128", "found_in_time"]) == 1
    assert float(measured["own threshold", "lstm-128", "found_in_time"]) == 0
    assert measured["own threshold", "lstm-128", "lead_time_hours_median"] == ""
    # Alike in their probabilities, so alike where they compare.
    for figure in ("found_in_time", "false_alarms_per_patient_day", "utility"):
        told = {measured["recall 0.50", model, figure] for model in models}
        assert len(told) == 1 and told != {""}
    assert alarms_table(study_of(tmp_path, STAY)).rows == []


def test_the_table_says_what_the_stay_gives_away(tmp_path):
    write_stays(tmp_path)
    alone = clinical_table(study_of(tmp_path, STAY)).notes
    assert any("no early warning" in note for note in alone)
    assert not any("in numbers" in note for note in alone)
    write_hours(tmp_path, synthetic=True)
    notes = clinical_table(study_of(tmp_path, STAY, HOUR)).notes
    [told] = [note for note in notes if "in numbers" in note]
    assert "SYNTHETIC test split of hourly with seed 0" in told
    assert "of 1 stays with sepsis 1 are recorded past the onset; of 2 stays 0 exceed 60" in told


def test_hours_never_stand_beside_the_papers_figures(tmp_path):
    write_stays(tmp_path)
    write_hours(tmp_path)
    study = study_of(tmp_path, STAY, HOUR)
    assert [row.about[2] for row in sepsis_table(study, read_printed(PAPER, 2)).rows] == ["paper"]
    rows = settings_table(study, read_printed(PAPER, 5)).rows
    printed = {row.about[2]: row.figures["training.epochs"].printed for row in rows}
    assert printed["paper"] and not printed["hourly"]
    # A run that is not there yet is known as well.
    item = run_item("physionet", "hourly", "lstm-128")
    study = study_of(tmp_path, STAY, item)
    assert len(sepsis_table(study, read_printed(PAPER, 2)).rows) == 1
    assert [row.about[0] for row in clinical_table(study).rows] == ["stay", "hour"]


def test_the_figure_draws_bins_curves_and_the_papers_three_points(tmp_path):
    items = [STAY, run_item("physionet", "paper", "cfc-128", 1), HOUR]
    for item in items[:2]:
        write_stays(tmp_path, item)
    write_hours(tmp_path, synthetic=True)
    study = study_of(tmp_path, *items)
    style.apply_style()
    printed = read_printed(PAPER, 2)
    figure, _, caption = alarms_figure(study, study.groups(), printed)
    stays, _, curves, _ = figure.axes[:4]
    bins = study.frames["calibration"]
    own = bins[(bins["level"] == "patient") & (bins["seed"] == 1)]
    drawn = [line.get_xydata().tolist() for line in stays.lines]
    assert own[["mean_probability", "observed"]].to_numpy().tolist() in drawn
    # Precision over recall, the mean of two seeds that are alike.
    assert [0.22, 0.5] in curves.lines[0].get_xydata().round(9).tolist()
    marked = [
        line.get_xydata()[0].tolist()
        for line in curves.lines
        if str(line.get_label()).startswith("paper: ")
    ]
    assert marked == [[0.22, 0.35], [0.08, 0.71], [0.1, 0.94]]
    assert "points at different recalls do not rank models" in caption
    assert "found by an alarm in the 12 hours before the onset" in caption
    assert "the lines on synthetic data" in caption
    # As the models that they belong to, and grey beside the hours, which are another task.
    own = [line for line in curves.lines if str(line.get_label()).startswith("paper: ")]
    assert {line.get_markerfacecolor() for line in own} == {"none"}
    assert own[1].get_color() == curves.lines[0].get_color() != style.GREY
    hours = figure.axes[3].lines
    grey = [line for line in hours if str(line.get_label()).startswith("paper: ")]
    assert {line.get_color() for line in grey} == {style.GREY}
    texts = [text.get_text() for text in figure.findobj(matplotlib.text.Text)]
    assert any("SYNTHETIC" in text for text in texts)
    assert "paper: LNN (256)" in texts
    # Without the printed numbers none are drawn, and the caption says nothing of them.
    figure, _, caption = alarms_figure(study, study.groups(), None)
    assert "Table II" not in caption
    assert not any("paper: " in str(line.get_label()) for line in figure.axes[2].lines)
