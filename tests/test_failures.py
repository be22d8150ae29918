"""What a study says last when jobs failed: from a hand-made log, and from a real study."""

import pytest

from liquidbench.failures import failures, summary
from workflow_helpers import copy_project, snakemake

LOG = """\
[Mon Jan  1 00:00:00 2026]
rule train:
    output: results/a/metrics.json, results/a/history.csv
    jobid: 3
[Mon Jan  1 00:00:01 2026]
Error in rule train:
    message: None
    jobid: 3
    input: results/cache.h5
    output: results/a/metrics.json, results/a/history.csv
    log: logs/a.log (check log file(s) for error details)
    shell:
        python train.py
        (command exited with non-zero exit code)
Error in rule prepare:
    jobid: 4
    output: results/cache.h5
    log: logs/b.log (check log file(s) for error details)
Error in rule stress:
    jobid: 5
    output: results/s.csv
    log: logs/never.log (check log file(s) for error details)
Finished jobid: 4 (Rule: prepare)
7 of 12 steps (58%) done
Trying to restart job 3.
Error in rule train:
    jobid: 3
    output: results/a/metrics.json
    log: logs/a.log (check log file(s) for error details)
Error in group 1b:
    jobs:
        rule summary:
            jobid: 6
            output: results/summary.csv
            log: logs/empty.log (check log file(s) for error details)
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/a.log").write_text(
        "epoch 1/3\nerror: cache.h5: damaged. Remake it\nTerminated\n"
    )
    (tmp_path / "logs/b.log").write_text("error: not to be told\n")
    (tmp_path / "logs/empty.log").write_text("\n")
    (tmp_path / "snakemake.log").write_text(LOG)
    return tmp_path


def test_each_job_that_did_not_finish_is_told_once_with_its_reason(folder):
    found = {one.rule: one for one in failures(LOG, folder)}
    assert list(found) == ["train", "stress", "summary"]
    assert found["train"].reason == "error: cache.h5: damaged. Remake it"
    assert found["train"].output == "results/a/metrics.json" and found["train"].log == "logs/a.log"
    assert found["stress"].reason.startswith("it left no log")
    assert found["summary"].reason.startswith("its log is empty")


def test_a_job_that_was_killed_is_not_said_to_have_failed_for_its_last_line(folder):
    (folder / "logs/a.log").write_text("epoch 1/3  train_loss 0.5\nepoch 2/3  train_loss 0.4\n")
    reason = failures(LOG, folder)[0].reason
    assert reason.startswith("it ended without a reason of its own: killed, ")
    assert reason.endswith("its last line: epoch 2/3  train_loss 0.4")


def test_where_nothing_is_done_it_is_told_of_how_much(folder):
    (folder / "snakemake.log").write_text(
        "Job stats:\njob      count\ntrain        6\ntotal        7\n"
    )
    said = summary(folder / "snakemake.log", folder, [])
    assert "The study did not finish. None of 7 jobs is done." in said


def test_the_command_goes_on_as_it_was_given(folder):
    said = summary(folder / "snakemake.log", folder, ["--cores", "2", "--config", "study=a b"])
    assert "The study did not finish. 7 of 12 jobs are done." in said
    assert said.rstrip().endswith("\n  snakemake --cores 2 --config 'study=a b'")
    assert summary(folder / "no.log", folder, [], "make demo").rstrip().endswith("\n  make demo")


def test_many_failures_are_counted_and_the_first_told(folder):
    text = "".join(f"Error in rule train:\n    jobid: {n}\n    output: o{n}\n" for n in range(14))
    (folder / "snakemake.log").write_text(text)
    said = summary(folder / "snakemake.log", folder, [])
    assert said.count("  failed: ") == 10 and "and 4 more" in said


def test_a_study_that_fails_says_why_and_the_command(tmp_path):
    project = copy_project(tmp_path / "project")
    (project / "config/bad.yaml").write_text(
        "datasets: {quickdraw: {synthetic: {per_category: 20}, training: {epochs: 2}}}\nmax_minutes: 0.0001\n"
    )
    options = ["--cores", "1", "--configfile", "config/demo.yaml", "config/bad.yaml", "--"]
    target = "demo/results/quickdraw/demo/lstm/seed-0/metrics.json"
    result = snakemake(project, *options, target)
    assert result.returncode == 1
    assert "  failed: train, demo/results/quickdraw/demo/lstm/seed-0/" in result.stdout
    assert "    why: stopped: 0." in result.stdout
    command = f"  snakemake --nocolor {' '.join(options)} {target}\n"
    assert command in result.stdout
