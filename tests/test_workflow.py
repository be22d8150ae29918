"""The workflow as Snakemake runs it: the jobs of a configuration, redrawing, and bad input."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from fake_study import run_folder, run_item, write_run, write_study
from liquidbench.datasets.cache import read_attributes, read_split
from liquidbench.datasets.synthetic import nmnist, physionet, quickdraw
from liquidbench.datasets.synthetic.raw_files import write_manifest
from liquidbench.environments import reach
from liquidbench.files import sha256_of_file
from workflow_helpers import PROJECT, copy_project, job_counts, snakemake, wildcards_of

REPORT = {"summary": 1, "tables": 1, "figures": 1, "claims": 1, "report": 1}
DRAWN = ("tables", "figures", "claims", "report")
SEEDS = range(5)
STUDY = {"fetch": 4, "prepare": 4, "train": 13 * 5, "stress": 9 * 5, "all": 1, **REPORT}


@pytest.fixture(scope="module")
def pristine(tmp_path_factory) -> Path:
    return copy_project(tmp_path_factory.mktemp("pristine"))


@pytest.fixture
def project(pristine, tmp_path) -> Path:
    """A copy that a test may change, in a folder whose name needs quoting."""
    return Path(shutil.copytree(pristine, tmp_path / "a project"))


def configure(project: Path, text: str) -> str:
    """Write an overlay; gives the name for --configfile."""
    (project / "overlay.yaml").write_text(text, encoding="utf-8")
    return "overlay.yaml"


def runs_planned(output: str, rule: str) -> set[tuple[str, ...]]:
    names = ("dataset", "protocol", "model", "seed")
    jobs = wildcards_of(output, rule)
    planned = {tuple(job[name] for name in names) for job in jobs}
    assert len(planned) == len(jobs)
    return planned


# Which jobs a configuration gives.


def test_the_default_study_plans_exactly_its_jobs(project):
    result = snakemake(project, "-n")
    assert result.returncode == 0, result.stdout
    assert job_counts(result.stdout) == STUDY
    stressed = {
        ("nmnist", "stress", "lstm"),
        ("nmnist", "stress", "cfc"),
        ("quickdraw", "stress", "lstm"),
        ("quickdraw", "stress", "cfc"),
    }
    of_main_study = {
        ("iam", "released", "lstm"),
        ("iam", "released", "cfc"),
        ("physionet", "paper", "lstm-128"),
        ("physionet", "paper", "cfc-128"),
        ("physionet", "paper", "cfc-256"),
    }
    trained = (
        stressed
        | of_main_study
        | {
            ("nmnist", "released", "lstm"),
            ("nmnist", "released", "cfc"),
            ("quickdraw", "released", "lstm"),
            ("quickdraw", "released", "cfc"),
        }
    )
    for rule, models in (("stress", stressed | of_main_study), ("train", trained)):
        expected = {(*model, str(seed)) for model in models for seed in SEEDS}
        assert runs_planned(result.stdout, rule) == expected
    # A dry run is dry.
    assert not (project / "results").exists()


def test_models_and_sources_of_an_overlay_change_the_jobs(project):
    overlay = configure(
        project,
        """
        models: {wide: {core: cfc, units: 512}}
        datasets:
          iam: {models: [wide]}
          nmnist: {source: synthetic, models: [lstm, cfc, wide]}
        stress: {datasets: []}
        """,
    )
    result = snakemake(project, "-n", "--configfile", overlay)
    expected = {"fetch": 3, "synthesise": 1, "prepare": 4, "train": 9 * 5, "all": 1, **REPORT}
    assert job_counts(result.stdout) == expected, result.stdout
    trained = {(run[0], run[2]) for run in runs_planned(result.stdout, "train")}
    assert {model for dataset, model in trained if dataset == "nmnist"} == {"lstm", "cfc", "wide"}
    assert {model for dataset, model in trained if dataset == "iam"} == {"wide"}


def test_a_baseline_is_fitted_by_its_own_rule_and_read_by_the_reports(project):
    overlay = configure(
        project,
        """
        datasets: {physionet: {models: [lstm-128, logistic, boosting]}}
        seeds: [0, 1]
        stress: {datasets: []}
        """,
    )
    result = snakemake(project, "-n", "--configfile", overlay)
    expected = STUDY | {"train": 14, "baseline": 4}
    del expected["stress"]
    assert job_counts(result.stdout) == expected, result.stdout
    fitted = {(run[2], run[3]) for run in runs_planned(result.stdout, "baseline")}
    assert fitted == {(model, seed) for model in ("logistic", "boosting") for seed in "01"}
    trained = {run[2] for run in runs_planned(result.stdout, "train") if run[0] == "physionet"}
    assert trained == {"lstm-128"}
    (summary,) = re.findall(r"^(?:local)?rule summary:\n +input: (.*)$", result.stdout, re.M)
    baselines = [name for name in summary.split(", ") if "/logistic/" in name]
    files = ("history.csv", "predictions.csv", "metrics.json", "provenance.json")
    files += ("confusion.csv", "features.csv")
    assert sorted(Path(name).name for name in baselines) == sorted(files * 2)


def test_fair_rivals_are_planned_beside_the_study_s_own_runs(project):
    result = snakemake(project, "-n", "--configfile", "config/fair.yaml")
    assert result.returncode == 0, result.stdout
    planned = runs_planned(result.stdout, "train") | runs_planned(result.stdout, "baseline")
    own = runs_planned(snakemake(project, "-n").stdout, "train")
    assert own < planned
    assert len(runs_planned(result.stdout, "baseline")) == 4 * len(SEEDS)


@pytest.mark.parametrize("demo", [False, True])
def test_models_that_meet_gaps_are_planned_beside_the_study_s_own_runs(project, demo):
    """The stress test's own are others than the paper's: there the mean leaves the padding out."""
    overlays = ["config/demo.yaml"] * demo
    result = snakemake(project, "-n", "--configfile", "config/gaps.yaml", *overlays)
    assert result.returncode == 0, result.stdout
    planned, tested = (runs_planned(result.stdout, rule) for rule in ("train", "stress"))
    configured = ["--configfile", *overlays] if demo else []
    own = runs_planned(snakemake(project, "-n", *configured).stdout, "train")
    assert {run for run in own if run[1] != "stress"} < planned
    stressed = {run[:3] for run in tested if run[0] in ("nmnist", "quickdraw")}
    assert {run[1] for run in stressed} == {"demo-stress" if demo else "gaps"}
    for dataset in ("nmnist", "quickdraw", "iam", "physionet"):
        models = {run[2] for run in tested if run[0] == dataset}
        assert {"cfc-removed", "cfc-timed-removed", "lstm-timed-removed", "cfc-zeroed"} <= models
    assert "gru-d-removed" in {run[2] for run in tested if run[0] == "physionet"}


def test_settings_for_sepsis_are_planned_beside_the_study_s_own_runs(project):
    result = snakemake(project, "-n", "--configfile", "config/sepsis.yaml")
    assert result.returncode == 0, result.stdout
    planned = runs_planned(result.stdout, "train")
    own = runs_planned(snakemake(project, "-n", "physionet").stdout, "train")
    assert own < planned and {run[0] for run in planned} == {"physionet"}
    assert len(planned) == 17 * len(SEEDS)
    assert "stress" not in job_counts(result.stdout)


def test_seeds_repeat_runs_and_a_data_set_taken_out_takes_its_jobs_along(project):
    path = project / "config/config.yaml"
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    config["seeds"] = [0, 1, 2]
    del config["datasets"]["quickdraw"]
    config["stress"]["datasets"].remove("quickdraw")
    config["stress"]["corruptions"].remove("drop_strokes")
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    result = snakemake(project, "-n")
    # Seven models of three data sets and the stress test's two, three times; no data prepared twice. Tested are the
    # two, and those of lines and stays.
    expected = STUDY | {"fetch": 3, "prepare": 3, "train": 27, "stress": 21}
    assert job_counts(result.stdout) == expected, result.stdout


def test_the_demo_is_the_whole_study_on_synthetic_data(project):
    result = snakemake(project, "-n", "--configfile", "config/demo.yaml")
    expected = {"synthesise" if rule == "fetch" else rule: count for rule, count in STUDY.items()}
    # And two models that tell sepsis by the hour.
    expected |= {"train": 15, "stress": 9}
    assert job_counts(result.stdout) == expected, result.stdout
    trained = runs_planned(result.stdout, "train")
    assert {protocol for _, protocol, _, _ in trained} == {"demo", "demo-stress", "demo-hourly"}


def test_further_protocols_share_a_cache_and_stand_in_one_report(project):
    overlay = configure(
        project,
        """
        seeds: [0, 1]
        datasets:
          physionet:
            source: synthetic
            prepare: {hospitals: [a, b]}
            synthetic: {patients: 40, patients_b: 30}
            models: [lstm-128]
            further_protocols:
              - {protocol: hourly, models: [lstm-128, cfc-128]}
              - {protocol: hourly-a-to-b, models: [lstm-128]}
        """,
    )
    result = snakemake(project, "physionet", "-n", "--configfile", overlay)
    # The patient-level runs are stressed; those by the hour are not.
    expected = {"synthesise": 1, "prepare": 1, "train": 8, "stress": 2, "physionet": 1}
    assert job_counts(result.stdout) == expected, result.stdout
    trained = {run[1:3] for run in runs_planned(result.stdout, "train")}
    assert trained == {
        ("paper", "lstm-128"),
        ("hourly", "lstm-128"),
        ("hourly", "cfc-128"),
        ("hourly-a-to-b", "lstm-128"),
    }
    # One of them is there: the report says so, and which are missing.
    items = [run_item("physionet", "paper", "lstm-128", seed) for seed in (0, 1)]
    for item in items:
        write_run(project / "results", item, synthetic=True)
    drawn = snakemake(project, "tables", "--cores", "1", "--configfile", overlay)
    assert drawn.returncode == 0, drawn.stdout
    page = (project / "reports/tables/table_clinical.md").read_text(encoding="utf-8")
    assert page.count("| lstm-128") == 3 and page.count("| cfc-128") == 1
    assert "missing: physionet/hourly/cfc-128 seed 1" in page
    alarms = (project / "reports/tables/table_alarms.md").read_text(encoding="utf-8")
    assert "own threshold" in alarms and "| paper" not in alarms
    assert "hourly" not in (project / "reports/tables/table_2.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("configured", "card", "percent"),
    [("device: cuda", 1, 100), ("{device: cuda, jobs_per_gpu: 3}", 1, 33), ("device: cpu", 0, 0)],
)
def test_jobs_take_their_share_of_a_card_and_ask_a_cluster_for_all_of_it(
    project, configured, card, percent
):
    result = snakemake(project, "physionet", "-n", "--configfile", configure(project, configured))
    resources = re.findall(r"^rule train:\n(?: +.*\n)*? +resources: (.*)\n", result.stdout, re.M)
    assert len(resources) == 3 * 5, result.stdout
    for line in resources:
        told = dict(pair.split("=", 1) for pair in line.split(", "))
        assert (int(told["gpu"]), int(told["gpu_percent"])) == (card, percent)


def test_the_workflow_is_the_same_where_the_catalogue_looks_for_it(project, tmp_path):
    """`workflow/Snakefile`, from another folder."""
    (tmp_path / "elsewhere").mkdir()
    plan = snakemake(tmp_path / "elsewhere", "-n", "--snakefile", f"{project}/workflow/Snakefile")
    assert plan.returncode == 0, plan.stdout
    expected = {"study" if rule == "all" else rule: jobs for rule, jobs in STUDY.items()}
    assert job_counts(plan.stdout) == expected


@pytest.mark.parametrize("results", ["./results", "results/", "some//results"])
def test_a_results_folder_may_be_written_in_other_ways(project, results):
    overlay = configure(project, yaml.safe_dump({"paths": {"results": results}}))
    plan = snakemake(project, "-n", "--configfile", "config/demo.yaml", overlay)
    assert sum(job_counts(plan.stdout).values()) == 38, plan.stdout


def test_a_misspelt_key_is_one_clear_line(project):
    overlay = configure(project, "datasets: {nmnist: {modles: [lstm]}}")
    result = snakemake(project, "-n", "--configfile", overlay)
    assert result.returncode == 1
    assert "Traceback" not in result.stdout
    assert job_counts(result.stdout) == {}
    told = [line for line in result.stdout.splitlines() if "modles" in line]
    assert len(told) == 1
    assert (
        "datasets.nmnist: unknown key modles. Did you mean models? Allowed here: source, protocol, models"
        in told[0]
    )


# What is loaded: a plan must come at once, and a stage must run in its own environment.

LOADED = {"PYTHONPROFILEIMPORTTIME": "1"}


def packages_in(report: str) -> set[str]:
    """The top-level names of all modules in Python's report on imports."""
    names = re.findall(r"^import time: +\d+ \| +\d+ \| +(\w+)", report, re.MULTILINE)
    assert "encodings" in names
    return set(names)


def test_a_dry_run_loads_no_package_of_the_stages(project, tmp_path):
    stages = reach(sorted((PROJECT / "workflow/scripts").glob("*.py"))).imports.keys()
    assert {"torch", "h5py", "numpy", "pandas", "matplotlib", "sklearn", "pyarrow"} <= stages
    # Whatever Snakemake loads for any workflow is its own affair.
    other = tmp_path / "other"
    other.mkdir()
    (other / "Snakefile").write_text("rule all:\n    output: 'x'\n    shell: 'touch {output}'\n")
    plans = [snakemake(folder, "-n", **LOADED) for folder in (project, other)]
    assert [plan.returncode for plan in plans] == [0, 0], plans[0].stdout
    ours, trivial = (packages_in(plan.stdout) for plan in plans)
    assert "liquidbench" in ours - trivial
    # The configuration is read and checked.
    assert (ours - trivial) & stages <= {"yaml", "jsonschema"}


@pytest.mark.parametrize("dataset", ["nmnist", "quickdraw", "physionet"])
def test_preparing_loads_no_package_of_training_or_reporting(dataset, tmp_path):
    generate, options = RAW_FILES[dataset]
    manifest = tmp_path / "raw/manifest.json"
    write_manifest(manifest, dataset, generate(options, manifest.parent))
    settings = {"categories": options["categories"]} if dataset == "quickdraw" else {}
    command = [sys.executable, PROJECT / "workflow/scripts/prepare.py", "--dataset", dataset]
    command += ["--manifest", manifest, "--settings", json.dumps(settings)]
    command += ["--cache", tmp_path / "cache.h5", "--examples", tmp_path / "examples.npz"]
    result = subprocess.run(command, env=os.environ | LOADED, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    loaded = packages_in(result.stderr)
    assert "h5py" in loaded
    unneeded = {"torch", "ncps", "pandas", "matplotlib", "sklearn", "scipy", "snakemake"}
    assert loaded & unneeded == set()


# Tables and figures from what the runs left behind.


def test_tables_and_figures_are_redrawn_without_data_or_torch(project, without_heavy_packages):
    results = project / "results"
    write_study(results)
    missing = run_item("nmnist", "released", "cfc")
    shutil.rmtree(run_folder(results, missing))
    assert not list(results.rglob("cache.h5"))
    assert not (project / "resources/raw").exists()
    # Raw files that cannot be had: whatever asks for them fails at once.
    sources = {name: {"source": "mirror"} for name in ("nmnist", "quickdraw", "iam", "physionet")}
    changes = {"seeds": [0], "mirror": "no mirror", "datasets": sources}
    overlay = configure(project, yaml.safe_dump(changes))

    def redraw(*arguments: str):
        options = (*arguments, "--configfile", overlay)
        return snakemake(project, *DRAWN, *options, PYTHONPATH=without_heavy_packages)

    result = redraw("--cores", "1")
    assert result.returncode == 0, result.stdout
    assert job_counts(result.stdout) == REPORT
    with (results / "summary/runs.csv").open(newline="") as file:
        states = {row["directory"]: row["state"] for row in csv.DictReader(file)}
    assert len(states) == 13
    assert [name for name, state in states.items() if state == "missing"] == [
        "nmnist/released/cfc/seed-0"
    ]
    page = (project / "reports/tables/index.md").read_text(encoding="utf-8")
    assert "missing: nmnist/released/cfc seed 0" in page
    for number in range(1, 7):
        for suffix in ("csv", "md", "tex"):
            assert (project / f"reports/tables/table_{number}.{suffix}").stat().st_size > 0
    for number in range(1, 9):
        for suffix in ("svg", "png"):
            assert (project / f"reports/figures/figure_{number}.{suffix}").stat().st_size > 0
    for suffix in ("md", "csv"):
        assert (project / f"reports/claims.{suffix}").stat().st_size > 0
    page = (project / "reports/index.html").read_text(encoding="utf-8")
    assert "1 of 13 configured runs have not finished" in page

    # Again at once: nothing to do.
    again = redraw("-n")
    assert again.returncode == 0, again.stdout
    assert job_counts(again.stdout) == {}

    # What a result depends on besides files: the code of the library, and what was asked for.
    with (project / "workflow/scripts/liquidbench/reporting/style.py").open("a") as file:
        file.write("# Another version.\n")
    after_a_change = redraw("-n")
    assert job_counts(after_a_change.stdout) == REPORT, after_a_change.stdout


# Bad input.

# Three small data sets in their official formats.
RAW_FILES = {
    "nmnist": (nmnist.synthesise, {"train": 10, "test": 10}),
    "physionet": (physionet.synthesise, {"patients": 20}),
    "quickdraw": (quickdraw.synthesise, {"categories": ["apple", "bird"], "per_category": 10}),
}
TINY = """
datasets:
  nmnist: {source: synthetic}
  quickdraw: {source: synthetic, prepare: {categories: [apple, bird]}}
  physionet: {source: synthetic}
threads: {prepare: 1}
"""


def rewrite_member(manifest: Path, role: str, number: int, change) -> str:
    """Change one member of a raw zip file, as if it had come so; gives the member's name."""
    content = json.loads(manifest.read_text(encoding="utf-8"))
    (entry,) = [file for file in content["files"] if file["role"] == role]
    path = manifest.parent / entry["path"]
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = sorted(members)[number]
    members[name] = change(members[name])
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    entry |= {"bytes": path.stat().st_size, "sha256": sha256_of_file(path)}
    manifest.write_text(json.dumps(content), encoding="utf-8")
    return name


def without_temperature(content: bytes) -> bytes:
    lines = [line.split(b"|") for line in content.splitlines()]
    column = lines[0].index(b"Temp")
    return b"\n".join(b"|".join(line[:column] + line[column + 1 :]) for line in lines) + b"\n"


def test_a_damaged_file_stops_its_own_data_set_with_one_message(project):
    overlay = configure(project, TINY)
    manifests = {name: f"resources/raw/{name}/manifest.json" for name in RAW_FILES}
    for name, (generate, options) in RAW_FILES.items():
        manifest = project / manifests[name]
        write_manifest(manifest, name, generate(options, manifest.parent))
    recording = rewrite_member(
        project / manifests["nmnist"], "train", 3, lambda content: content[:-2]
    )
    patient = rewrite_member(project / manifests["physionet"], "set_a", 6, without_temperature)

    caches = [f"results/{name}/cache.h5" for name in RAW_FILES]
    arguments = ("--cores", "2", "--keep-going", "--configfile", overlay)
    result = snakemake(project, *caches, *arguments)
    assert result.returncode == 1, result.stdout
    assert job_counts(result.stdout) == {"prepare": 3}
    assert "Traceback" not in result.stdout

    expected = {
        "nmnist": ("Train.zip", recording, "not a multiple of 5: the file is truncated. "),
        "physionet": ("training_setA.zip", patient, "Temp"),
    }
    for name, parts in expected.items():
        log = (project / f"results/logs/prepare/{name}.log").read_text(encoding="utf-8")
        (message,) = log.splitlines()
        assert message.startswith("error: ")
        assert all(part in message for part in parts), message
        # Shown where the user looks, too.
        assert message in result.stdout
        # Nothing half-written: neither the cache, nor the examples, nor a temporary file.
        left = [path for path in project.glob(f"results/{name}/**/*") if path.is_file()]
        assert left == []

    cache = project / "results/quickdraw/cache.h5"
    assert read_attributes(cache).classes == ("apple", "bird")
    assert len(read_split(cache, "all")) > 0
    assert (project / "results/quickdraw/examples.npz").exists()
