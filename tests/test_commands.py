"""Every command of the documentation: run, planned, or marked as needing what is not here.

Pages are walked in a copy of the project that has the demo's results, each from its first command to its last. A
command that `CHECKS` does not have fails, and so does an entry that stands on no page any more. A block that needs a
cluster, a network, a GPU, conda or hours says so in a comment above it: `<!-- needs: cluster -->`.
"""

import copy
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from documentation_helpers import PAGES, blocks_of, extended_project
from liquidbench import configuration
from liquidbench.errors import InputError
from workflow_helpers import PARTS, PROJECT, copy_project, job_counts

DEMO = PROJECT / "demo"
SCHEMA = PROJECT / "workflow/schemas/config.schema.yaml"
NEEDS = {"cluster", "network", "gpu", "conda", "time"}


@dataclass(frozen=True)
class Planned:
    """Planned by Snakemake, or by `make -n`.

    Args:
        jobs: how many the plan has, targets too; None for `make`.
        train: how many of them train.
        demo: whether it is about the demo's results.
        force: plan as if nothing were there.
        outdated: plan as if a run had ended after the summaries were made.
        extended: in a copy with the page's own core.
        instead: texts of the command to what stands for them here.
    """

    jobs: int | None = None
    train: int = 0
    demo: bool = False
    force: bool = False
    outdated: bool = False
    extended: bool = False
    instead: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Executed:
    """Run as it stands.

    Args:
        says: a pattern that its output has.
        demo: whether it needs the demo's results.
        leaves: files that are there afterwards.
        instead: texts of the command to what stands for them here.
        ends: whether it ends by itself; else it is stopped once it has said that.
        outside: in the folder that holds the copy.
    """

    says: str = ""
    demo: bool = False
    leaves: tuple[str, ...] = ()
    instead: tuple[tuple[str, str], ...] = ()
    ends: bool = True
    outside: bool = False


STUDY = Planned(124, train=65)
SEPSIS = Planned(33, train=15)
DRAWN = Planned(5)
ACTIVATED = Executed()
MADE = Planned()
WITH_CONFIGURATION = (("--cores 1", "--cores 1 --configfile config/demo.yaml"),)
STUDY_FILE = (("study.zip", "demo/reports/study.zip"),)
IMPORTED = (("results/imported/study.json", "demo/results/imported/study.json"),)
MIRROR = "LIQUIDBENCH_MIRROR=/path/to/mirror snakemake --cores all --configfile config/mirror.yaml"
DRAWN_AGAIN = "snakemake tables figures claims report --cores 2 --configfile"
TRAINED_AGAIN = "LIQUIDBENCH_MIRROR=/path/to/mirror snakemake --cores all --configfile"
ONE_LINE = (
    'python -c \'import pyarrow.parquet as pq; open("new/line.png", "wb").write('
    'pq.read_table("demo/raw/iam/synthetic/test.parquet")["image"][0].as_py()["bytes"])\''
)

CHECKS: dict[str, dict[str, Planned | Executed]] = {
    "README.md": {
        "make demo": Planned(38, train=15, force=True),
        "make test": MADE,
        "source .venv/bin/activate": ACTIVATED,
        "snakemake --cores all --use-conda": STUDY,
        "snakemake --cores all -n": STUDY,
        MIRROR: Planned(36, train=13),
        "snakemake --cores all --configfile config/my-study.yaml": Planned(36, train=13),
        "snakemake --cores all --configfile config/demo.yaml config/my-study.yaml": Planned(
            38, train=15, force=True
        ),
        "snakemake --cores all --configfile config/fair.yaml": Planned(499, train=300),
        "snakemake --cores all --configfile config/gaps.yaml": Planned(654, train=330),
        "snakemake --cores all physionet": SEPSIS,
        "snakemake --cores all results/physionet/paper/cfc-128/seed-0/metrics.json": Planned(
            3, train=1
        ),
        "snakemake tables figures claims report --cores 1": DRAWN,
    },
    "CONTRIBUTING.md": {f"make {name}": MADE for name in ("setup", "format", "lint", "test")},
    "config/README.md": {
        "snakemake --cores 1 results/iam/cache.h5": Planned(2),
        "snakemake --cores 1 --touch --configfile config/my-study.yaml": Executed(),
    },
    "docs/claims.md": {"snakemake claims report --cores 1": DRAWN},
    "docs/cluster.md": {
        "snakemake --workflow-profile profiles/slurm --configfile config/my-study.yaml": Planned(
            36, train=13
        ),
        "snakemake --workflow-profile profiles/slurm --configfile config/my-study.yaml -n": STUDY,
        "snakemake --workflow-profile profiles/slurm --configfile config/demo.yaml --config device=cuda": Planned(
            38, train=15, force=True
        ),
        "snakemake tables figures claims report --cores 1 --configfile config/my-study.yaml": DRAWN,
        "snakemake export --cores 1 --configfile config/my-study.yaml": Planned(3),
        "snakemake --workflow-profile profiles/slurm --configfile config/my-study.yaml"
        " --groups train=train --group-components train=4"
        " --set-resources train:gpu=0 train:gres=gpu:1": STUDY,
    },
    "docs/everyday.md": {
        "source .venv/bin/activate": ACTIVATED,
        "snakemake --cores all -n --quiet rules": STUDY,
        "snakemake --cores all -n": STUDY,
        "snakemake --cores all physionet": SEPSIS,
        "snakemake tables figures claims report --cores 1": DRAWN,
        "snakemake --cores all results/physionet/paper/cfc-128/seed-{0,1,2,3,4}/metrics.json": Planned(
            7, train=5
        ),
        "snakemake --cores all --configfile config/my-study.yaml": Planned(36, train=13),
        "snakemake --cores all results/physionet/paper/cfc-128/seed-7/metrics.json": Planned(
            3, train=1
        ),
        "make dag": Executed(r"open dag\.(svg|md)"),
        MIRROR: Planned(36, train=13),
        "snakemake --cores all --config device=cpu": STUDY,
        "snakemake --cores all --config device=cuda": STUDY,
        "snakemake --cores all --config device=cuda jobs_per_gpu=3": STUDY,
        "snakemake --cores all --config device=cuda jobs_per_gpu=3 --resources gpu_percent=200": STUDY,
        "tail -n 1 demo/results/logs/train/*/*/*/seed-*.log": Executed(
            r"\d sequences/s  .*  last epoch", demo=True
        ),
        "snakemake --cores all --config tensorboard=True": STUDY,
        "tensorboard --logdir results": Executed(
            r"http://localhost:\d+", instead=(("results", "results --port 0"),), ends=False
        ),
        "snakemake --unlock": Executed("(?i)unlock"),
        "make sizes": Executed(
            "(?s)raw .*caches .*checkpoints .*reports ",
            instead=(("sizes", "sizes RAW=demo/raw"),),
            demo=True,
        ),
        "make sizes RESULTS=demo/results RAW=demo/raw REPORTS=demo/reports": Executed(
            "(?s)raw .*caches .*runs ", demo=True
        ),
        "make clean STAGE=caches": Executed(
            r"caches: 4 files",
            instead=(("caches", "caches RESULTS=demo/results"),),
            demo=True,
        ),
        "make clean STAGE=caches DATASET=physionet": Executed(
            r"caches: 1 files",
            instead=(("caches", "caches RESULTS=demo/results"),),
            demo=True,
        ),
        "make clean STAGE=checkpoints YES=1": Executed(
            r"checkpoints: ",
            instead=(("STAGE", "RESULTS=demo/results STAGE"),),
            demo=True,
        ),
        "make clean-demo": MADE,
        "snakemake --report demo/reports/snakemake.html --configfile config/demo.yaml": Executed(
            "Report created", demo=True, leaves=("demo/reports/snakemake.html",)
        ),
    },
    "docs/extending.md": {
        "snakemake --cores all --configfile config/my-study.yaml": Planned(
            124 + 15 + 10, train=65 + 15, extended=True
        ),
    },
    "docs/quickstart.md": {
        "git clone ADDRESS liquidbench": Executed(
            instead=(("ADDRESS", str(PROJECT)),), outside=True, leaves=("../liquidbench/Makefile",)
        ),
        "cd liquidbench": Executed(outside=True),
        "make demo": Planned(38, train=15, force=True),
        "source .venv/bin/activate": ACTIVATED,
        "snakemake --cores all --configfile config/demo.yaml config/my-study.yaml -n --quiet rules": Planned(
            8, train=1, demo=True, outdated=True
        ),
        "snakemake --cores all --configfile config/demo.yaml config/my-study.yaml": Planned(
            8, train=1, demo=True, outdated=True
        ),
        "snakemake --cores all -n --quiet rules": STUDY,
        "snakemake --cores all": STUDY,
        "snakemake --cores all physionet": SEPSIS,
        "snakemake tables figures claims report --cores 1": DRAWN,
    },
    "docs/reference-study.md": {
        "make reference": MADE,
        f"{DRAWN_AGAIN} config/reference.yaml": Planned(6),
        f"{DRAWN_AGAIN} config/reference-sepsis.yaml": Planned(6),
        f"{TRAINED_AGAIN} config/reference.yaml config/again.yaml": Planned(173, train=83),
        f"{TRAINED_AGAIN} config/reference-sepsis.yaml config/again-sepsis.yaml": Planned(
            37, train=29
        ),
    },
    "docs/sharing.md": {
        "snakemake publish --cores 1": Executed(
            demo=True, instead=WITH_CONFIGURATION, leaves=("demo/reports/to-publish/part-1.zip",)
        ),
        "snakemake export --cores 1": Executed(
            demo=True, instead=WITH_CONFIGURATION, leaves=("demo/reports/study.zip",)
        ),
        "snakemake export_with_weights --cores 1": Planned(
            2, demo=True, instead=WITH_CONFIGURATION
        ),
        "python workflow/scripts/import_runs.py study.zip": Executed(
            r"snakemake tables figures claims.* --configfile demo/results/imported/study\.json\n*$",
            demo=True,
            instead=STUDY_FILE,
        ),
        "snakemake tables figures claims report --cores 1 --configfile results/imported/study.json": Planned(
            5, demo=True, force=True, instead=IMPORTED
        ),
        "python workflow/scripts/import_runs.py study.zip --check": Executed(
            "all files are those of the archive", demo=True, instead=STUDY_FILE
        ),
    },
    "docs/speed.md": {
        "make bench": MADE,
        "QUICK=1 make bench": MADE,
        "LIQUIDBENCH_MIRROR=/path/to/mirror make bench": MADE,
    },
    "docs/using-a-model.md": {
        "source .venv/bin/activate": ACTIVATED,
        "python -m zipfile -e demo/raw/physionet/synthetic/training_setA.zip new": Executed(
            demo=True
        ),
        "python -m zipfile -e demo/raw/nmnist/synthetic/Test.zip new": Executed(demo=True),
        "python workflow/scripts/predict.py demo/results/physionet/demo/cfc-128/seed-0"
        " new/training_setA/p00000*.psv --out new/stays.csv": Executed(
            "9 rows of 9 examples", demo=True
        ),
        "python workflow/scripts/predict.py demo/results/nmnist/demo/lstm/seed-0"
        " new/Test/3/*.bin --out new/digits.csv": Executed("20 rows of 20 examples", demo=True),
        "python workflow/scripts/predict.py demo/results/quickdraw/demo/cfc/seed-0"
        " demo/raw/quickdraw/synthetic/bird.ndjson --out new/drawings.csv": Executed(
            "rows of .* left out", demo=True
        ),
        ONE_LINE: Executed(demo=True, leaves=("new/line.png",)),
        "python workflow/scripts/predict.py demo/results/iam/demo/cfc/seed-0 new/line.png"
        " --out new/lines.csv": Executed("1 rows of 1 examples", demo=True),
        "python workflow/scripts/export_onnx.py demo/results/physionet/demo/cfc-128/seed-0"
        " --out new/sepsis.onnx": Executed(
            "largest difference", demo=True, leaves=("new/sepsis.onnx",)
        ),
    },
}


# What pages say and what is checked, without running anything.


def commands_on(page: str) -> list[str]:
    """Those of blocks that need nothing special."""
    return [
        command
        for block in blocks_of(page)
        if block.language == "bash" and not block.needs
        for command in block.commands
    ]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_run_or_planned_and_no_check_is_left_over(page):
    assert set(commands_on(page)) == set(CHECKS.get(page, {}))


def test_markers_are_few_and_name_what_is_needed():
    marked = [block for page in PAGES for block in blocks_of(page) if block.needs]
    assert {block.needs for block in marked} <= NEEDS
    assert len(marked) <= 4
    for block in marked:
        # A marker excuses no command of the workflow: that can be planned anywhere.
        assert not re.search(r"\b(snakemake|make|python)\b", block.text), block


def test_no_block_of_commands_has_another_name_or_none():
    for page in PAGES:
        text = (PROJECT / page).read_text(encoding="utf-8")
        fences = re.findall(r"^ *```(\w*)$", text, re.MULTILINE)
        assert set(fences[::2]) <= {"bash", "yaml", "python", "json", "text", "mermaid"}, page
        assert set(fences[1::2]) <= {""}, page
        assert len(blocks_of(page)) == len(fences) / 2, page


# Configurations.


def study() -> dict:
    return {
        key: value
        for name in ("config", "protocols")
        for key, value in yaml.safe_load((PROJECT / f"config/{name}.yaml").read_text()).items()
    }


CONFIGURATIONS = [
    block
    for page in PAGES
    for block in blocks_of(page)
    if block.language == "yaml" and isinstance(yaml.safe_load(block.text), dict)
]


@pytest.mark.parametrize(
    "block", CONFIGURATIONS, ids=[f"{block.page}:{block.line}" for block in CONFIGURATIONS]
)
def test_an_example_of_configuration_is_valid(block):
    config = study()
    update_config(config, yaml.safe_load(block.text))
    if re.search(r"\b(leaky|late_start)\b", block.text):
        # The page's own classes, which test_extending.py adds.
        with pytest.raises(InputError, match=r"leaky|late_start"):
            configuration.check(config, SCHEMA)
    else:
        configuration.check(config, SCHEMA)


def test_only_the_page_on_claims_has_yaml_that_is_no_configuration():
    others = [
        block
        for page in PAGES
        for block in blocks_of(page)
        if block.language == "yaml" and block not in CONFIGURATIONS
    ]
    (entry,) = others
    assert entry.page == "docs/claims.md"
    claims = yaml.safe_load((PROJECT / "resources/paper/claims.yaml").read_text())["claims"]
    (told,) = yaml.safe_load(entry.text)
    (real,) = [claim for claim in claims if claim["id"] == told["id"]]
    assert told.keys() <= real.keys()


# Running and planning.


@dataclass
class Bench:
    """A copy of the project, and a process that runs Snakemake in it."""

    project: Path
    environment: dict[str, str]
    planned: dict[str, str] = field(default_factory=dict)
    server: subprocess.Popen | None = None

    def words(self, command: str) -> tuple[dict[str, str], list[str]]:
        """What a shell makes of a command: its variables, and its words but for the first."""
        name = "snakemake" if "snakemake " in command else "python"
        script = f'{name}() {{ printf "%s\\0" "${{LIQUIDBENCH_MIRROR-}}" "$@"; }}; {command}'
        done = subprocess.run(
            ["bash", "-euc", script], cwd=self.project, env=self.environment, capture_output=True
        )
        assert done.returncode == 0, done.stderr
        mirror, *arguments = done.stdout.decode().split("\0")[:-1]
        return {"LIQUIDBENCH_MIRROR": mirror} if mirror else {}, arguments

    def quickly(self, variables: dict[str, str], *arguments: str) -> tuple[int, str]:
        """Exit status and output of Snakemake or of a program, run by a process that has its imports already."""
        if self.server is None:
            self.server = subprocess.Popen(
                [sys.executable, str(PROJECT / "tests/warm_python.py")],
                cwd=self.project,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        request = {"arguments": arguments, "variables": variables}
        self.server.stdin.write(json.dumps(request) + "\n")
        self.server.stdin.flush()
        return tuple(json.loads(self.server.stdout.readline()))

    def snakemake(self, command: str, *more: str) -> tuple[int, str]:
        """Exit status and output of a Snakemake command with more arguments behind it."""
        variables, arguments = self.words(command)
        # Conda need not be here, and --use-conda changes no job.
        arguments = [word for word in arguments if word != "--use-conda"]
        return self.quickly(variables, "snakemake", *arguments, "--nocolor", *more)

    def plan(self, command: str, check: Planned) -> dict[str, int]:
        """The jobs of a Snakemake command, by rule."""
        study_file = self.project / "config/my-study.yaml"
        own = study_file.read_text() if "my-study" in command else ""
        bare = command.removesuffix(" -n")
        key = json.dumps([bare, own, check.force, check.outdated])
        if key not in self.planned:
            summary = self.project / "demo/results/summary/runs.csv"
            if check.outdated:
                before = summary.stat()
                os.utime(summary, (1, 1))
            force = ["--forceall"] if check.force else []
            status, said = self.snakemake(bare, *force, *([] if " -n" in bare else ["-n"]))
            if check.outdated:
                os.utime(summary, ns=(before.st_atime_ns, before.st_mtime_ns))
            assert status == 0, said
            self.planned[key] = said
        return job_counts(self.planned[key])

    def shell(self, command: str, folder: Path) -> tuple[int, str]:
        """Exit status and output of any other command."""
        done = subprocess.run(
            ["bash", "-euc", command],
            cwd=folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return done.returncode, done.stdout

    def until(self, pattern: str, command: str) -> str:
        """What a command that does not end says until it says that."""
        with subprocess.Popen(
            ["bash", "-euc", f"exec {command}"],
            cwd=self.project,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            said = ""
            for line in process.stdout:
                said += line
                if re.search(pattern, said):
                    break
            process.terminate()
        return said

    def close(self) -> None:
        if self.server is not None:
            self.server.stdin.close()
            self.server.wait()


def environment() -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SNAKEMAKE_", "LIQUIDBENCH_", "MAKE", "MFLAGS"))
        and name != "PYTHONPATH"
    }
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        # No controller is asked for what is only planned, and nothing is compiled for a few examples.
        "SLURM_CONF": "/dev/null",
        "CXX": "/no/compiler",
        "PYTHONUNBUFFERED": "1",
    }


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    project = copy_project(
        tmp_path_factory.mktemp("documentation") / "project",
        (*PARTS, "Makefile", "resources/reference"),
    )
    # Older than the demo's results, as after a clone and `make demo`.
    for path in [project, *project.rglob("*")]:
        os.utime(path, (1e9, 1e9))
    (project / ".venv").symlink_to(sys.prefix)
    if (DEMO / "reports/index.html").exists():
        # Without what a reader of these pages may have added to it.
        others = shutil.ignore_patterns("cfc-64", "imported")
        shutil.copytree(DEMO, project / "demo", ignore=others)
    first = next(block for block in blocks_of("README.md") if block.language == "yaml")
    (project / "config/my-study.yaml").write_text(first.text, encoding="utf-8")
    made = Bench(project, environment())
    yield made
    made.close()


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    made = Bench(extended_project(tmp_path_factory.mktemp("extended")), environment())
    yield made
    made.close()


def replaced(command: str, instead: tuple[tuple[str, str], ...]) -> str:
    """A command with other texts in it, each of which it has."""
    for text, other in instead:
        assert text in command
        command = command.replace(text, other)
    return command


def try_planned(bench: Bench, command: str, check: Planned) -> None:
    command = replaced(command, check.instead)
    if re.match(r"([A-Z_]+=\S+ )?make ", command):
        status, recipe = bench.shell(command.replace("make ", "make -n "), bench.project)
        assert status == 0, recipe
        if check.jobs is None:
            return
        # What the target would start.
        (command,) = re.findall(r"python -m (snakemake .*)", recipe)
    jobs = bench.plan(command, check)
    assert (sum(jobs.values()), jobs.get("train", 0)) == (check.jobs, check.train), jobs


def try_executed(bench: Bench, command: str, check: Executed) -> None:
    command = replaced(command, check.instead)
    # What is installed stays as it is.
    command = re.sub(r"^make ", "make -o setup ", command)
    if not check.ends:
        said = bench.until(check.says, command)
    else:
        if command.startswith("snakemake "):
            status, said = bench.snakemake(command)
        elif command.startswith("python workflow/scripts/"):
            status, said = bench.quickly({}, *bench.words(command)[1])
        else:
            folder = bench.project.parent if check.outside else bench.project
            status, said = bench.shell(command, folder)
        assert status == 0, said
    assert re.search(check.says, said), said
    missing = [name for name in check.leaves if not (bench.project / name).exists()]
    assert not missing, said


@pytest.mark.parametrize("page", [page for page in PAGES if page in CHECKS])
def test_the_commands_of_a_page_do_what_it_says(bench, request, page):
    left = []
    for block in blocks_of(page):
        if block.language == "yaml" and block.text.startswith("# config/my-study.yaml\n"):
            (bench.project / "config/my-study.yaml").write_text(block.text, encoding="utf-8")
        if block.language != "bash" or block.needs:
            continue
        for number, command in enumerate(block.commands):
            check = CHECKS[page][command]
            if check.demo and not (bench.project / "demo").exists():
                left.append(command)
                continue
            where = bench
            if getattr(check, "extended", False):
                where = request.getfixturevalue("extended")
                shutil.copy(bench.project / "config/my-study.yaml", where.project / "config")
            try:
                tried = try_planned if isinstance(check, Planned) else try_executed
                tried(where, command, check)
            except AssertionError as error:
                pytest.fail(
                    f"{page}, from line {block.line}, command {number + 1}: {command}\n{error}"
                )
    if left:
        pytest.skip(f"run `make demo` first: {len(left)} commands of {page} were not tried")


def test_the_program_on_exported_models_runs(bench):
    programs = [
        block
        for page in PAGES
        for block in blocks_of(page)
        # What is to be put into a module, test_extending.py puts there.
        if block.language == "python" and page != "docs/extending.md"
    ]
    (program,) = programs
    assert program.page == "docs/using-a-model.md"
    if not (bench.project / "new/sepsis.onnx").exists():
        pytest.skip("run `make demo` first: no model was exported")
    done = subprocess.run(
        [sys.executable, "-c", program.text], cwd=bench.project, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^0\.\d+ (True|False)$", done.stdout, re.MULTILINE)


def test_the_jobs_of_each_study_are_those_that_the_page_on_costs_counts(bench):
    text = (PROJECT / "docs/scaling.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `(\S+\.yaml)` \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|", text, re.MULTILINE
    )
    assert len(rows) == 3
    for name, *told in rows:
        more = "" if name == "config.yaml" else f" --configfile {name}"
        jobs = bench.plan(f"snakemake --cores all{more}", STUDY)
        counted = [jobs.get(rule, 0) for rule in ("train", "baseline", "stress")]
        assert [int(count) for count in told] == [*counted, sum(jobs.values())]


def test_a_new_command_and_a_dead_entry_are_noticed(monkeypatch):
    changed = copy.deepcopy(CHECKS)
    changed["README.md"]["make nothing"] = changed["README.md"].pop("make test")
    monkeypatch.setitem(CHECKS, "README.md", changed["README.md"])
    with pytest.raises(AssertionError) as caught:
        test_every_command_is_run_or_planned_and_no_check_is_left_over("README.md")
    assert "make nothing" in str(caught.value) and "make test" in str(caught.value)
