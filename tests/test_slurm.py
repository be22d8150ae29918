"""The study through SLURM: what is asked for, with stand-ins for its commands; and on a cluster, if one answers."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from fake_study import run_item, write_run
from workflow_helpers import PROJECT, copy_project, snakemake

PROFILE = yaml.safe_load((PROJECT / "profiles/slurm/config.yaml").read_text(encoding="utf-8"))
PARTITIONS = yaml.safe_load(
    (PROJECT / "profiles/slurm/partitions.yaml").read_text(encoding="utf-8")
)["partitions"]
WITH_PROFILE = ("--workflow-profile", "profiles/slurm")
# For jobs of seconds.
QUICK = ("--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "5")
QUICK += ("--slurm-status-command", "squeue")

# Keeps the arguments of each job, in a file with its number. `squeue` then says that all of them have failed; it keeps
# the number of jobs that it was asked about.
SBATCH = """#!/bin/bash
job=1
until (set -o noclobber; : > "$JOBS/$job") 2> /dev/null; do job=$((job + 1)); done
printf '%s\\0' "$@" > "$JOBS/$job"
echo "$job"
"""
SQUEUE = """#!/bin/bash
ls "$JOBS" | wc -l >> "$JOBS.asked"
for job in $(ls "$JOBS"); do echo "$job|FAILED"; done
"""
# Jobs that ended are still told of after this time. Were it shorter, sacct would be asked for ever.
SCONTROL = "#!/bin/bash\necho 'MinJobAge = 300 sec'\n"
ABSENT = "#!/bin/bash\nexit 1\n"


@pytest.fixture(scope="module")
def pristine(tmp_path_factory) -> Path:
    return copy_project(tmp_path_factory.mktemp("pristine"))


@pytest.fixture
def project(pristine, tmp_path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "project"))


@pytest.fixture
def submitted(project, tmp_path):
    """Run Snakemake with a SLURM that takes every job and fails it; gives the jobs' options, in order."""
    commands, jobs = tmp_path / "commands", tmp_path / "jobs"
    commands.mkdir()
    jobs.mkdir()
    scripts = {"sbatch": SBATCH, "squeue": SQUEUE, "scontrol": SCONTROL}
    for name in ("sbatch", "squeue", "sinfo", "sacct", "scontrol"):
        (commands / name).write_text(scripts.get(name, ABSENT), encoding="utf-8")
        (commands / name).chmod(0o755)

    def run(*arguments: str, status: int = 1) -> list[dict[str, str]]:
        path = f"{commands}{os.pathsep}{os.environ['PATH']}"
        profile = () if "--profile" in arguments else WITH_PROFILE
        result = snakemake(project, *profile, *QUICK, *arguments, PATH=path, JOBS=str(jobs))
        assert result.returncode == status, result.stdout
        return [
            options_of(path) for path in sorted(jobs.iterdir(), key=lambda path: int(path.name))
        ]

    return run


def options_of(path: Path) -> dict[str, str]:
    """sbatch's options by name, of an argument list separated by NUL."""
    options, words = {}, path.read_text(encoding="utf-8").split("\0")
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word.startswith("-"):
            name, equals, value = word.partition("=")
            options[name] = value if equals else following
    return options


def asked_for(options: dict[str, str]) -> tuple[str, int, int, int, int]:
    """Partition, megabytes, minutes, processors and GPUs of a job."""
    numbers = (options["--mem"], options["-t"], options["--cpus-per-task"])
    return options["-p"], *map(int, numbers), int(options.get("--gpus", 0))


PREPARED = "demo/results/quickdraw"


def prepared(project: Path) -> None:
    """Let the demo's drawings seem to be prepared: to plan a training, files in the right order are enough."""
    for name in ("demo/raw/quickdraw/manifest.json", f"{PREPARED}/cache.h5"):
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        time.sleep(0.01)
    (project / PREPARED / "examples.npz").touch()


def planned(project: Path, *arguments: str) -> dict[str, dict[str, str]]:
    """The resources of each rule's jobs, as a dry run tells them."""
    result = snakemake(project, "-n", *WITH_PROFILE, *arguments)
    assert result.returncode == 0, result.stdout
    jobs = re.findall(r"^rule (\w+):\n(?: +.*\n)*? +resources: (.*)\n", result.stdout, re.MULTILINE)
    return {rule: dict(pair.split("=", 1) for pair in line.split(", ")) for rule, line in jobs}


# What is asked for.


def test_every_job_of_a_study_names_its_memory_and_run_time_and_a_training_its_card(project):
    jobs = planned(project, "--configfile", "config/fair.yaml", "--config", "device=cuda")
    assert jobs.keys() >= {"fetch", "prepare", "train", "baseline", "stress", "summary", "figures"}
    # The submitting machine's: downloads, and the target, which gathers files.
    for rule in jobs.keys() - {"fetch", "all"}:
        assert int(jobs[rule]["mem_mb"]) >= 1000 and int(jobs[rule]["runtime"]) >= 30, rule
    cards = {rule for rule, resources in jobs.items() if int(resources.get("gpu", 0))}
    assert cards == {"train", "stress"}
    synthetic = planned(project, "--configfile", "config/demo.yaml")
    assert int(synthetic["synthesise"]["mem_mb"]) >= 1000


def test_a_training_that_fails_is_sent_again_with_more(project, submitted):
    prepared(project)
    # Of the profile's two retries one, since Snakemake looks ever more seldom.
    jobs = submitted(
        *("--configfile", "config/demo.yaml", "--config", "device=cuda"),
        *("--retries", "1", "--", f"{PREPARED}/demo/lstm/seed-0/metrics.json"),
    )
    # So often and no more: SLURM multiplies retries that a rule names itself.
    assert [asked_for(job) for job in jobs] == [("gpu", 8000, 240, 1, 1), ("gpu", 16000, 480, 1, 1)]


@pytest.mark.parametrize("option", ["--workflow-profile", "--profile"])
def test_what_limits_the_cards_of_one_machine_does_not_limit_a_cluster(
    project, submitted, tmp_path, option
):
    """With --profile, Snakemake reads profiles/default and its limit of one card too."""
    prepared(project)
    runs = [f"{PREPARED}/demo/{model}/seed-0/metrics.json" for model in ("lstm", "cfc")]
    cuda = ("--configfile", "config/demo.yaml", "--config", "device=cuda")
    jobs = submitted(option, "profiles/slurm", *cuda, "--retries", "0", "--", *runs)
    assert [asked_for(job)[4] for job in jobs] == [1, 1]
    # Both were in the queue before Snakemake asked for the first time.
    assert (tmp_path / "jobs.asked").read_text().split()[0] == "2"


def test_preparing_goes_to_nodes_without_a_card_with_its_processors(project, submitted):
    (project / "overlay.yaml").write_text("threads: {prepare: 3}\ndevice: cuda\n", encoding="utf-8")
    manifest = project / "demo/raw/quickdraw/manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.touch()
    job = submitted(
        *("--configfile", "config/demo.yaml", "overlay.yaml", "--retries", "0"),
        *("--", "demo/results/quickdraw/cache.h5"),
    )
    assert list(map(asked_for, job)) == [("cpu", 4000, 60, 3, 0)]


def test_trainings_in_one_job_share_its_card(project, submitted):
    """The packing that docs/cluster.md shows: two trainings, one GPU, twice the memory, the time of one."""
    prepared(project)
    job = submitted(
        *("--configfile", "config/demo.yaml", "--config", "device=cuda", "jobs_per_gpu=2"),
        *("--groups", "train=train", "--group-components", "train=2"),
        *("--set-resources", "train:gpu=0", "train:gres=gpu:1", "--retries", "0", "--"),
        *(f"{PREPARED}/demo/{model}/seed-0/metrics.json" for model in ("lstm", "cfc")),
    )
    assert list(map(asked_for, job)) == [("gpu", 16000, 240, 2, 0)]
    assert job[0]["--gres"] == "gpu:1"


def test_downloading_and_redrawing_are_the_submitting_machine_s(project, submitted):
    # There is no mirror, so nothing comes; but no node was asked to look for it.
    mirror = ("--config", "mirror=nowhere", "--configfile", "config/mirror.yaml", "--retries", "0")
    manifest = "mirror-study/raw/quickdraw/manifest.json"
    assert submitted(*mirror, "--", manifest) == []
    write_run(project / "results", run_item("quickdraw", "released", "lstm", 0), synthetic=True)
    assert submitted("tables", "claims", status=0) == []
    assert (project / "reports/claims.md").is_file()


def test_the_profile_shares_the_default_ones_ideas_and_its_partitions_hold_all_retries():
    default = yaml.safe_load((PROJECT / "profiles/default/config.yaml").read_text(encoding="utf-8"))
    for key in ("keep-going", "rerun-incomplete", "rerun-triggers", "show-failed-logs"):
        assert PROFILE[key] == default[key]
    assert (PROJECT / PROFILE["slurm-partition-config"]).is_file()
    assert PROFILE["retries"] == 2
    rules = "".join(path.read_text(encoding="utf-8") for path in (PROJECT / "rules").glob("*.smk"))
    assert "retries:" not in rules
    for limits in PARTITIONS.values():
        assert limits["max_mem_mb"] >= 8000 * (1 + PROFILE["retries"])


# On a real cluster.


def answer_of(*command: str) -> str:
    """A command's output; empty if it is missing, fails, or does not answer in time."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
    return result.stdout if result.returncode == 0 else ""


@pytest.fixture(scope="module")
def cluster() -> None:
    """Skip the test where no cluster has the profile's partitions."""
    if shutil.which("sbatch") is None:
        pytest.skip("no SLURM here: sbatch is missing")
    if not set(answer_of("sinfo", "-h", "-o", "%R").split()) >= PARTITIONS.keys():
        pytest.skip(
            "no SLURM cluster with the partitions of profiles/slurm/partitions.yaml answers"
        )


def accounting() -> bool:
    return bool(answer_of("sacctmgr", "-n", "show", "cluster").strip())


SMALL = """
paths: {raw: study/raw, results: study/results, reports: study/reports}
datasets:
  quickdraw:
    models: [lstm]
    synthetic: {per_category: 40}
    training: {epochs: 40}
stress: {models: [lstm], datasets: [quickdraw], corruptions: [zero_steps], rates: [0.0, 0.5]}
"""
RUN = "quickdraw/demo/lstm/seed-0"


@pytest.mark.parametrize(
    ("status_command", "cancel", "target"),
    [
        ("squeue", ["scancel"], "all"),
        # To sacct, the plugin does not see that a job was cancelled: let the training end as failed.
        (
            "sacct",
            ["scancel", "--signal=TERM"],
            "study/results/quickdraw/demo/lstm/seed-0/metrics.json",
        ),
    ],
)
def test_a_cancelled_training_is_sent_again_and_goes_on_from_its_checkpoint(
    project, cluster, status_command, cancel, target
):
    if status_command == "sacct" and not accounting():
        pytest.skip("this SLURM cluster keeps no account of jobs")
    base = yaml.safe_load((project / "config/config.yaml").read_text(encoding="utf-8"))
    base["datasets"] = {"quickdraw": base["datasets"]["quickdraw"]}
    (project / "config/config.yaml").write_text(yaml.safe_dump(base), encoding="utf-8")
    demo = yaml.safe_load((project / "config/demo.yaml").read_text(encoding="utf-8"))
    demo["datasets"] = {"quickdraw": demo["datasets"]["quickdraw"]}
    (project / "config/demo.yaml").write_text(yaml.safe_dump(demo), encoding="utf-8")
    (project / "config/small.yaml").write_text(SMALL, encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "--nocolor", *WITH_PROFILE]
    command += ["--configfile", "config/demo.yaml", "config/small.yaml"]
    command += ["--slurm-status-command", status_command]
    command += ["--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "5"]
    # A GPU is asked for, and none is used: the cluster's may be a stand-in.
    command += ["--config", "device=cpu", "--set-resources", "train:gpu=1"]
    command += ["train:mem_mb=1500 * attempt", "--", target]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    log, folder = project / "snakemake.log", project / "study/results" / RUN
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            *(command,),
            cwd=project,
            env=os.environ | {"PATH": path},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        manifest, deadline = folder / "checkpoint.json", time.monotonic() + 300
        while not manifest.exists() or json.loads(manifest.read_text())["epoch"] < 2:
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        subprocess.run([*cancel, jobs_of(log)[0]], check=True)
        assert process.wait(timeout=400) == 0, log.read_text()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=60)
    _, second = jobs_of(log)
    told = (project / f"study/results/logs/train/{RUN}.log").read_text(encoding="utf-8")
    kept = int(re.search(r"going on after epoch (\d+), kept by a checkpoint", told)[1])
    assert 2 <= kept < 40
    with (folder / "history.csv").open(encoding="utf-8", newline="") as file:
        assert [int(row["epoch"]) for row in csv.DictReader(file)] == [*range(1, 41)]
    job = answer_of("scontrol", "show", "job", second)
    assert "Partition=gpu" in job and "gres/gpu=1" in job and "MinMemoryNode=3000M" in job
    if target == "all":
        assert (project / "study/reports/claims.md").is_file()
        assert (project / "study/reports/tables/index.md").is_file()


def jobs_of(log: Path) -> list[str]:
    """The numbers of the jobs that the run was sent as."""
    name = RUN.replace("/seed-", "/").replace("/", "_")
    lines = rf"submitted with SLURM jobid (\d+) \(log: \S*/rule_train/{name}/"
    return re.findall(lines, log.read_text(encoding="utf-8"))
