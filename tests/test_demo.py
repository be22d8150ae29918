"""What `make demo` left behind: every table and figure, loud about its data, and figures that can be checked.

Skipped until the demo has run.
"""

import csv
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from plain_metrics import area_by_pairs, edit_distance
from workflow_helpers import snakemake

DEMO = Path(__file__).resolve().parents[1] / "demo"
REPORTS, RESULTS = DEMO / "reports", DEMO / "results"
pytestmark = pytest.mark.skipif(
    not (REPORTS / "tables/index.md").exists(), reason="run `make demo` first"
)

MODELS = {
    "nmnist": ("lstm", "cfc"),
    "quickdraw": ("lstm", "cfc"),
    "iam": ("lstm", "cfc"),
    "physionet": ("lstm-128", "cfc-128", "cfc-256"),
}
SEEDS = (0,)
MAIN_RUNS = [
    f"{dataset}/demo/{model}/seed-{seed}"
    for dataset in MODELS
    for model in MODELS[dataset]
    for seed in SEEDS
]
STRESS_RUNS = [
    f"{dataset}/demo-stress/{model}/seed-{seed}"
    for dataset in ("nmnist", "quickdraw")
    for model in ("lstm", "cfc")
    for seed in SEEDS
]
HOURLY_RUNS = [
    f"physionet/demo-hourly/{model}/seed-{seed}"
    for model in ("lstm-128", "cfc-128")
    for seed in SEEDS
]
ALL_RUNS = MAIN_RUNS + STRESS_RUNS + HOURLY_RUNS
# Lines and stays are stressed with the main study's runs.
STRESSED = STRESS_RUNS + [run for run in MAIN_RUNS if run.startswith(("iam", "physionet"))]
FIGURES = [
    *(f"figure_{number}" for number in range(1, 9)),
    *(f"training_curves_{dataset}" for dataset in MODELS),
    *(f"confusion_{dataset}" for dataset in ("nmnist", "quickdraw", "physionet")),
    *(f"stress_{dataset}" for dataset in MODELS),
    *(f"costs_{dataset}" for dataset in MODELS),
    "alarms_physionet",
]
# What a trained model of the demo must lie between: clearly better than no skill, clearly short of perfect.
# Ten balanced classes: guessing has an accuracy of 0.1. Any order of the patients that knows nothing has an area
# of 0.5; the accuracy would say little, since 85 % of them have no sepsis. Reading nothing at all has an error
# rate of 1, and no reading without an image comes far below that.
BOUNDS = {
    "nmnist": ("accuracy", 0.3, 0.99),
    "quickdraw": ("accuracy", 0.3, 0.99),
    "physionet": ("auroc", 0.65, 0.99),
    "iam": ("cer", 0.005, 0.85),
}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def metrics_of(run: str) -> dict:
    return json.loads((RESULTS / run / "metrics.json").read_text(encoding="utf-8"))


def answers_of(metrics: dict) -> int:
    """What a run was asked for on its test split: an answer per example, or per hour."""
    return metrics["examples"].get("test_hours", metrics["examples"]["test"])


def test_every_configured_run_has_finished():
    states = {row["directory"]: row["state"] for row in rows_of(RESULTS / "summary/runs.csv")}
    # A reader's own overlay of the demo may have added runs.
    own = {run: states.get(run) for run in ALL_RUNS}
    assert own == dict.fromkeys(ALL_RUNS, "finished")


@pytest.mark.parametrize("number", [*range(1, 7), "clinical", "alarms"])
def test_a_table_is_there_in_three_formats_and_says_synthetic(number):
    folder = REPORTS / "tables"
    assert len(rows_of(folder / f"table_{number}.csv")) > 0
    markdown = (folder / f"table_{number}.md").read_text(encoding="utf-8")
    latex = (folder / f"table_{number}.tex").read_text(encoding="utf-8")
    assert "SYNTHETIC" in markdown.splitlines()[0]
    assert "\\begin{tabular" in latex
    assert "SYNTHETIC" in latex
    page = (folder / "index.md").read_text(encoding="utf-8")
    assert markdown.splitlines()[0].removeprefix("# ") in page


def test_every_measured_figure_says_that_one_seed_has_no_interval():
    for number in range(1, 4):
        rows = rows_of(REPORTS / f"tables/table_{number}.csv")
        measured = [row for row in rows if row["measured"]]
        assert measured
        for row in measured:
            assert (row["low"], row["high"], row["observations"]) == ("one seed", "one seed", "1")


def test_every_pair_of_models_is_compared_and_the_figures_are_the_runs():
    rows = rows_of(RESULTS / "summary/differences.csv")
    pairs = {(row["dataset"], row["protocol"], row["model_a"], row["model_b"]) for row in rows}
    own = {"demo", "demo-stress"}
    assert len({pair for pair in pairs if pair[1] in own}) >= 3 + 3 + 2
    for row in rows:
        if row["metric"] != "accuracy" or row["protocol"] not in own:
            continue
        for side in "ab":
            runs = [
                f"{row['dataset']}/{row['protocol']}/{row[f'model_{side}']}/seed-{seed}"
                for seed in SEEDS
            ]
            accuracies = [metrics_of(run)["test"]["accuracy"] for run in runs]
            assert float(row[f"value_{side}"]) == pytest.approx(np.mean(accuracies))


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_there_in_two_formats_and_says_synthetic(name):
    folder = REPORTS / "figures"
    drawing = (folder / f"{name}.svg").read_text(encoding="utf-8")
    assert ElementTree.fromstring(drawing).tag.endswith("svg")
    # Letters are drawn as outlines; Matplotlib writes beside each text what it says.
    assert re.search("<!-- .*SYNTHETIC.* -->", drawing)
    assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert f"({name}.svg)" in (folder / "index.md").read_text(encoding="utf-8")


def test_no_figure_is_left_out_but_the_confusion_of_texts():
    page = (REPORTS / "figures/index.md").read_text(encoding="utf-8")
    copies = {path.stem for path in (REPORTS / "figures/snakemake-report").glob("*.svg")}
    assert copies == {path.stem for path in (REPORTS / "figures").glob("*.svg")}
    left_out = page.partition("## Left out\n")[2].split()
    # Of N-MNIST and QuickDraw the stress test's own models have none either.
    named = [word.strip("`:") for word in left_out if word.startswith("`")]
    assert named == ["confusion_iam", "confusion_nmnist", "confusion_quickdraw"]


def test_every_page_says_synthetic_loudly():
    pages = [path for path in REPORTS.rglob("index.*") if path.suffix in (".md", ".html")]
    assert {page.parent.name for page in pages} >= {"tables", "figures"}
    for page in pages:
        assert "SYNTHETIC" in page.read_text(encoding="utf-8"), page


def test_the_claims_are_judged_and_no_measured_verdict_is_given():
    assert "SYNTHETIC" in (REPORTS / "claims.md").read_text(encoding="utf-8").splitlines()[2]
    rows = rows_of(REPORTS / "claims.csv")
    assert len({row["id"] for row in rows}) >= 25
    measured = {row["rule_verdict"] for row in rows if row["synthetic"] == "True"}
    assert measured <= {"not testable here", "met"}


@pytest.mark.parametrize("run", ALL_RUNS)
def test_a_trained_model_is_clearly_above_chance_and_below_perfect(run):
    name, low, high = BOUNDS[run.split("/")[0]]
    (row,) = [
        row
        for row in rows_of(RESULTS / "summary/metrics.csv")
        if "/".join([row["dataset"], row["protocol"], row["model"], f"seed-{row['seed']}"]) == run
        and (row["split"], row["metric"]) == ("test", name)
    ]
    assert row["synthetic"] == "True"
    assert low < float(row["value"]) < high


@pytest.mark.parametrize("run", ALL_RUNS)
def test_the_figures_of_a_run_follow_from_its_predictions(run):
    metrics = metrics_of(run)
    predictions = rows_of(RESULTS / run / "predictions.csv")
    assert len(predictions) == answers_of(metrics)
    assert len({(row["id"], row.get("hour")) for row in predictions}) == len(predictions)
    if metrics["task"] == "transcription":
        edits = [edit_distance(row["target"], row["prediction"]) for row in predictions]
        lengths = [len(row["target"]) for row in predictions]
        rates = [edit / length for edit, length in zip(edits, lengths, strict=True)]
        assert metrics["test"]["cer"] == pytest.approx(np.mean(rates))
        assert metrics["test"]["cer_pooled"] == pytest.approx(sum(edits) / sum(lengths))
        return
    right = sum(row["target"] == row["prediction"] for row in predictions)
    assert metrics["test"]["accuracy"] == pytest.approx(right / len(predictions))
    if metrics["task"] == "binary":
        targets = np.array([int(row["target"]) for row in predictions])
        probabilities = np.array([float(row["probability"]) for row in predictions])
        assert metrics["test"]["auroc"] == pytest.approx(area_by_pairs(targets, probabilities))
        return
    for row in predictions:
        named = {name: float(row[f"probability_{name}"]) for name in metrics["classes"]}
        assert max(named, key=named.get) == row["prediction"]


@pytest.mark.parametrize("run", [run for run in ALL_RUNS if "iam" not in run])
def test_a_confusion_matrix_counts_every_prediction(run):
    metrics = metrics_of(run)
    counts = rows_of(RESULTS / run / "confusion.csv")
    assert len(counts) == len(metrics["classes"]) ** 2
    assert sum(int(row["count"]) for row in counts) == answers_of(metrics)
    right = sum(int(row["count"]) for row in counts if row["target"] == row["prediction"])
    assert right / answers_of(metrics) == pytest.approx(metrics["test"]["accuracy"])


@pytest.mark.parametrize("run", STRESSED)
def test_a_stress_test_begins_at_the_clean_figures_and_costs_some_of_them(run):
    test, curves = metrics_of(run)["test"], {}
    for row in rows_of(RESULTS / run / "stress.csv"):
        curve = curves.setdefault((row["corruption"], row["metric"]), {})
        curve[float(row["rate"])] = float(row["value"])
    assert {corruption for corruption, _ in curves} >= {"zero_steps", "remove_bursts"}
    for (_, metric), curve in curves.items():
        assert sorted(curve) == [0.0, 0.3, 0.5, 0.7]
        assert curve[0.0] == pytest.approx(test[metric])
    harm = [
        (curve[0.0] - curve[0.7]) * (-1 if metric == "cer" else 1)
        for (_, metric), curve in curves.items()
    ]
    assert np.mean(np.array(harm) > 0) > 0.7


@pytest.mark.parametrize("run", STRESSED)
def test_answers_under_stress_give_its_figures(run):
    rows = rows_of(RESULTS / run / "stress.csv")
    with np.load(RESULTS / run / "stress_answers.npz", allow_pickle=False) as answers:
        assert answers["ids"].tolist() == [
            row["id"] for row in rows_of(RESULTS / run / "predictions.csv")
        ]
        if "edits" in answers:
            metric, values = "cer", (answers["edits"] / answers["lengths"]).mean(axis=1)
        else:
            metric, values = "accuracy", answers["correct"].mean(axis=1)
    told = [float(row["value"]) for row in rows if row["metric"] == metric]
    assert told == pytest.approx(values.tolist())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("dataset", MODELS)
def test_all_models_met_the_same_losses_and_examples(dataset, seed):
    of_seed = [run for run in STRESSED if run.endswith(f"seed-{seed}")]
    runs = [run for run in of_seed if run.startswith(dataset)]
    columns = ("corruption", "rate", "draw", "mask_seed", "examples", "metric")
    designs = [
        [[row[name] for name in columns] for row in rows_of(RESULTS / run / "stress.csv")]
        for run in runs
    ]
    assert all(design == designs[0] for design in designs)
    tested = [[row["id"] for row in rows_of(RESULTS / run / "predictions.csv")] for run in runs]
    assert all(ids == tested[0] for ids in tested)


def test_snakemakes_own_report_has_captions_and_categories(tmp_path):
    out = tmp_path / "report.html"
    result = snakemake(DEMO.parent, "--configfile", "config/demo.yaml", "--report", str(out))
    assert result.returncode == 0, result.stdout
    text = out.read_text(encoding="utf-8")
    for category in ("The page", "The paper's claims", "Tables", "Figures"):
        assert json.dumps(category) in text, category
    # The captions, and what the report opens with, filled in from the configuration.
    for told in (
        "Drawn from the summaries of the runs",
        "A line per rule".lower(),
        "Demonstration on synthetic data",
    ):
        assert told in text, told
    assert result.stdout.count("Adding ") > len(FIGURES) + 13
