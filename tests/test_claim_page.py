"""The page of claims, and its command."""

import csv
import io
import json
import re
import subprocess
import sys
from collections import Counter

import pandas as pd
import yaml

from claim_helpers import CLAIMS, PAPER, PROJECT, two_models
from fake_study import LAYOUT, write_study
from liquidbench.reporting.claim_page import SECTIONS, as_csv, as_markdown, write_claims
from liquidbench.reporting.claim_verdicts import NOT_TESTABLE, ORDER
from liquidbench.reporting.claims import judge, read_claims
from liquidbench.reporting.runs import RunKey
from liquidbench.reporting.summaries import COLUMNS, summarise, write_summaries

ALL = read_claims(CLAIMS, PAPER)


def write_hand_made(folder, **options):
    """A study's summaries on disk, from hand-made run directories."""
    items = write_study(folder / "results", **options)
    frames = summarise(folder / "results", [RunKey(**item) for item in items])
    write_summaries(frames, folder / "summary")


def command(folder, *more):
    script = PROJECT / "workflow/scripts/claims.py"
    arguments = ["--summary", folder / "summary", "--claims", CLAIMS, "--paper", PAPER]
    arguments += ["--layout", json.dumps(LAYOUT), "--out", folder / "reports", *more]
    return subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True)


def test_a_synthetic_study_gives_a_page_that_says_so_and_no_measured_verdict(tmp_path):
    write_hand_made(tmp_path, synthetic=True, seeds=2)
    # The seeds of a hand-made study are alike: make the LNN clearly better, and not twice the same.
    path = tmp_path / "summary/metrics.csv"
    metrics = pd.read_csv(path)
    better = (metrics["model"] == "cfc") & (metrics["metric"] == "accuracy")
    metrics.loc[better, "value"] += 0.01 + 0.0001 * metrics["seed"]
    metrics.to_csv(path, index=False)
    # Nothing but the seeds tells the models apart.
    columns = COLUMNS["differences"]
    (tmp_path / "summary/differences.csv").write_text(",".join(columns) + "\n")
    result = command(tmp_path)
    assert result.returncode == 0, result.stderr
    page = (tmp_path / "reports/claims.md").read_text(encoding="utf-8")
    assert "SYNTHETIC DATA" in page.splitlines()[2]
    assert "SYNTHETIC DATA: would be reproduced" in page
    with (tmp_path / "reports/claims.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["id"] for row in rows} == {claim.id for claim in ALL.claims}
    measured = [row for row in rows if row["synthetic"] == "True"]
    assert len(measured) > 20
    assert {row["rule_verdict"] for row in measured} <= {NOT_TESTABLE, "met"}
    (accuracy,) = [row for row in rows if row["id"] == "nmnist-accuracy" and row["value"]]
    assert accuracy["would_be_if_data_were_real"] == "reproduced"
    assert accuracy["seeds"] == "2"
    assert float(accuracy["low"]) < 0.01 < float(accuracy["high"])


def a_judged_study():
    """A study of two models on N-MNIST, the LNN better; all claims judged."""
    study = two_models([0.910, 0.921, 0.932], [0.90, 0.91, 0.92]).study()
    return study, judge(ALL, study)


def test_the_page_begins_with_counts_that_add_up_and_the_data():
    study, found = a_judged_study()
    page = as_markdown(study, found)
    told = re.search(
        r"\*\*(\d+) claims of the paper: (.+)\.\*\*", page.split("## The main claims")[0]
    )
    (by_runs, on_paper) = re.search(
        r"\((\d+) by our runs, (\d+) on paper alone\)", told[2]
    ).groups()
    (printed, read) = re.search(
        r"\((\d+) by arithmetic .*?, (\d+) by our reading", told[2]
    ).groups()
    plain = re.sub(r" \(.*?\)", "", told[2])
    counts = {name: int(number) for number, name in re.findall(r"(\d+) ([a-z ]+)", plain)}
    papers = [one for one in found if not one.claim.extension]
    assert int(told[1]) == sum(counts.values()) == len(papers) == len(ALL.claims) - 2
    assert counts == {**dict.fromkeys(ORDER, 0), **Counter(one.verdict for one in papers)}
    assert int(by_runs) + int(on_paper) == counts["reproduced"]
    assert (int(by_runs), int(on_paper)) == (1, 3)
    assert int(printed) + int(read) == counts["inconsistent in the paper itself"]
    assert int(read) > 10
    assert set(SECTIONS) == set(ORDER)
    assert (
        "- N-MNIST: download; protocol released; cfc and lstm; 3 seeds"
        in page.split("## The main claims")[0]
    )
    assert "SYNTHETIC" not in page
    for one in found:
        assert one.claim.claim in page
    main = page.split("## The main claims")[1].split("\n## ")[0]
    assert re.search(
        r"more accurate on the test split than the LSTM +\| reproduced +\| reproduced", main
    )


def section(page, title):
    """The part of the page below a heading that begins so."""
    (one,) = [part for part in page.split("\n## ") if part.startswith(title)]
    return one


def test_what_holds_without_a_run_does_not_stand_among_what_runs_show():
    page = as_markdown(*a_judged_study())
    runs, paper = section(page, "Reproduced (1)"), section(page, "Reproduced on paper alone (3)")
    assert "more accurate on the test split" in runs
    assert "our runs" in runs
    assert "PhysioNet LSTM has about 0.10 million" in paper
    assert "No run was needed" in paper
    assert "arithmetic on printed values" in paper
    assert "our runs" not in paper


def test_a_persons_reading_is_told_as_such():
    page = as_markdown(*a_judged_study())
    lines = section(page, "Inconsistent").splitlines()
    (direction,) = [line for line in lines if "both cores, CfC and LSTM, are unidirect" in line]
    assert "our reading of text and code" in direction
    (lower,) = [line for line in lines if "reaches a lower test character error rate" in line]
    assert "arithmetic on printed values" in lower


def test_questions_of_the_projects_own_have_a_section_of_their_own():
    page = as_markdown(*a_judged_study())
    assert page.count("whatever the threshold") == 1
    assert "whatever the threshold" in section(page, "Questions of this project's own (2)")


def test_a_line_per_rule_says_what_it_was_decided_by():
    _, found = a_judged_study()
    rows = list(csv.DictReader(io.StringIO(as_csv(found))))
    own = [row for row in rows if row["id"] == "nmnist-accuracy"]
    assert [row["evidence"] for row in own] == ["arithmetic on printed values", "our runs"]
    assert {row["id"] for row in rows if row["extension"] == "True"} == {
        "sepsis-ranking",
        "equal-size",
    }


def test_a_rule_is_called_as_the_claims_file_calls_it():
    written = yaml.safe_load(CLAIMS.read_text(encoding="utf-8"))["claims"]
    kinds = [(one["id"], rule["kind"]) for one in written for rule in one["rules"]]
    rows = csv.DictReader(io.StringIO(as_csv(a_judged_study()[1])))
    assert [(row["id"], row["kind"]) for row in rows] == kinds


def test_further_summaries_on_disk_are_read_and_broken_ones_refused(tmp_path):
    write_hand_made(tmp_path, seeds=2)
    pair = {"dataset": "nmnist", "protocol": "released", "model_a": "lstm", "model_b": "cfc"}
    row = {**pair, "metric": "accuracy", "seeds": 2, "examples": 200, "value_a": 0.9}
    row |= {"value_b": 0.95, "difference": -0.05, "low": -0.06, "high": -0.04, "p_value": 0.001}
    row |= {"p_holm": 0.002, "comparisons": 2, "mcnemar": "[]", "mcnemar_holm": "[]"}
    row |= {"p_these_models": 0.001, "interval": "95 %"}
    frame = pd.DataFrame([{**row, "synthetic": False}])
    frame.to_csv(tmp_path / "summary/differences.csv", index=False)
    assert command(tmp_path).returncode == 0
    with (tmp_path / "reports/claims.csv").open(newline="", encoding="utf-8") as file:
        (line,) = [
            line
            for line in csv.DictReader(file)
            if line["id"] == "nmnist-accuracy" and line["value"]
        ]
    assert (line["verdict"], float(line["low"])) == ("reproduced", 0.04)
    frame.drop(columns=["low"]).to_csv(tmp_path / "summary/differences.csv", index=False)
    result = command(tmp_path)
    assert result.returncode == 1
    assert "differences.csv: column low missing" in result.stderr


def test_the_page_is_written_whole_and_the_same_again(tmp_path):
    study = two_models([0.9, 0.91], [0.9, 0.9]).study()
    for folder in ("a", "b"):
        write_claims(study, judge(ALL, study), tmp_path / folder)
    for name in ("claims.md", "claims.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
