# Configuration, paths and the jobs that it gives. Rules only wire files; the thinking is in the library.

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from snakemake.cli import get_argument_parser
from snakemake.exceptions import WorkflowError

SCRIPTS = Path(PROJECT, "workflow", "scripts")
sys.path.insert(0, str(SCRIPTS))

from liquidbench import configuration
from liquidbench.configuration import Run
from liquidbench.datasets.checksum import damaged_mark, is_to_be_remade
from liquidbench.errors import InputError
from liquidbench.failures import summary
from liquidbench.files import sha256_of_code, sha256_of_file
from liquidbench.sharing.unpacking import SUMS, archived_files, archives_of, forget_if_changed
from liquidbench.stages import parts_of

SCHEMA = Path(PROJECT, "workflow/schemas/config.schema.yaml")
try:
    configuration.leave_out_unstudied(config, SCHEMA)
    configuration.check(config, SCHEMA)
    # Name in the results folder to its place, where runs are not made but taken from archives.
    ARCHIVED = archived_files(Path(config["archives"])) if config["archives"] else {}
except InputError as error:
    raise WorkflowError(str(error))

RAW = config["paths"]["raw"]
RESULTS = config["paths"]["results"]
if ARCHIVED:
    # Never among runs that were made here: what is unpacked is replaced, and deleted, as the archives say.
    RESULTS = f"{RESULTS}/archived"
    try:
        CHANGED = forget_if_changed(ARCHIVED, Path(RESULTS))
    except InputError as error:
        raise WorkflowError(str(error))
    if CHANGED:
        print(
            f"{RESULTS}/{CHANGED}: gone or changed, so that all will be unpacked again where they are needed",
            file=sys.stderr,
        )
# What says that the files of all archived runs are in place.
UNPACKED = f"{RESULTS}/{SUMS}"
REPORTS = config["paths"]["reports"]
RUNS = configuration.all_runs(config)
STRESS_RUNS = configuration.stress_runs(config)

CACHE = f"{RESULTS}/{{dataset}}/cache.h5"
RUN_DIRECTORY = f"{RESULTS}/{{dataset}}/{{protocol}}/{{model}}/seed-{{seed}}"

# What every finished run of a model with a core leaves behind, beside the files that only some tasks have.
RUN_FILES = [
    "weights.safetensors",
    "history.csv",
    "predictions.csv",
    "metrics.json",
    "provenance.json",
    "architecture.json",
]

# A model without a core has neither weights nor modules; what it reads has names.
BASELINE_FILES = [
    "history.csv",
    "predictions.csv",
    "metrics.json",
    "provenance.json",
    "confusion.csv",
    "features.csv",
]

# Patterns of the models without and with a core: each has a rule of its own for the same run directories.
BASELINES = [name for name in config["models"] if configuration.is_baseline(config, name)]
BASELINE_NAMES = "|".join(BASELINES) or "(?!)"
CORE_NAMES = f"(?!(?:{BASELINE_NAMES})/)[a-z0-9][a-z0-9_-]*"

RENDER_TARGETS = {"summary", "tables", "figures", "claims", "report"}
RENDER_TARGETS |= {"export", "export_with_weights", "publish"}


def requested_targets():
    """The targets on the command line. The workflow object does not know them yet when a Snakefile is read."""
    if "snakemake" not in Path(sys.argv[0]).parts[-2:] + (Path(sys.argv[0]).stem,):
        return set()
    arguments, _ = get_argument_parser().parse_known_args(sys.argv[1:])
    return set(arguments.targets)


REQUESTED = requested_targets()
UNTRAINED = sorted(REQUESTED & set(config["datasets"])) if ARCHIVED else []
if UNTRAINED:
    raise WorkflowError(
        f"{', '.join(UNTRAINED)}: nothing is trained where `archives` is set "
        f"({config['archives']}). Ask for {', '.join(sorted(RENDER_TARGETS))}, or empty `archives` to make the runs here"
    )
RENDER_ONLY = bool(ARCHIVED) or (bool(REQUESTED) and REQUESTED <= RENDER_TARGETS)


# A limit of this machine, or of one job of a cluster, but not of all its jobs: they have cards of their own.
resource_scopes:
    gpu_percent="local",


wildcard_constraints:
    dataset="[a-z]+",
    protocol="[a-z0-9][a-z0-9_-]*",
    model="[a-z0-9][a-z0-9_-]*",
    seed="[0-9]+",


def project_file(path):
    """A file of the project, relative to the working directory: a study that moves is still up to date."""
    return os.path.relpath(Path(PROJECT, path))


def script(name):
    """The path of a stage's command-line program."""
    return project_file(Path("workflow", "scripts", name))


def datasets_from(*sources):
    """A pattern of the data sets that come from these sources; one that matches nothing if none does."""
    names = [name for name, settings in config["datasets"].items() if settings["source"] in sources]
    return "|".join(names) or "(?!)"


def code_of(script, stage, dataset=None):
    """What a rule's results depend on besides its files: the script and the library parts that it uses.

    Snakemake does not notice a change in an imported module; as a parameter the sums make it rerun the rule.
    """
    return sha256_of_file(SCRIPTS / script), sha256_of_code(*parts_of(stage, dataset))


def as_json(value):
    return json.dumps(value, sort_keys=True)


@functools.cache
def settings_of(dataset, protocol, model):
    """The settings of a run, whatever its seed, as JSON; what is not configured (a mistyped target) stops with one message."""
    try:
        return as_json(configuration.run_settings(config, Run(dataset, protocol, model, seed=0)))
    except InputError as error:
        raise WorkflowError(str(error))


@functools.cache
def stress_settings_of(dataset):
    """The settings of a data set's stress test, as JSON."""
    return as_json(configuration.stress_settings(config, dataset))


def run_file(run, name):
    return f"{RESULTS}/{run.directory}/{name}"


def files_of_run(run):
    """What a finished run leaves behind, whatever its task."""
    return BASELINE_FILES if configuration.is_baseline(config, run.model) else RUN_FILES


def mark_of_damage(wildcards):
    """What says that the cache of a data set was found damaged: newer than the cache, it has it made anew."""
    mark = damaged_mark(Path(CACHE.format(**wildcards)))
    return [str(mark)] if mark.exists() else []


REMADE = {name for name in config["datasets"] if is_to_be_remade(Path(CACHE.format(dataset=name)))}


def cache_for(result):
    """The cache, as the input of the job that leaves the file `result` in a run directory.

    One that takes the place of a damaged cache makes no finished job outdated. Was something else changed too, its bytes
    differ, which Snakemake sees at the next start. (It would skip unfinished jobs whose input is `ancient` and made anew.)
    """

    def cache(wildcards):
        path = CACHE.format(**wildcards)
        if wildcards.dataset in REMADE and Path(RUN_DIRECTORY.format(**wildcards), result).exists():
            return ancient(path)
        return path

    # A pattern, where there is nothing to decide: no call for each of thousands of jobs.
    return cache if REMADE else CACHE


def expected(path):
    """The path in a full study; in a render-only one, only if it is there."""
    return [path] if not RENDER_ONLY or Path(path).exists() else []


def files_of_dataset(wildcards, dataset):
    """What the trainings and stress tests of one data set leave, and its examples for the figures."""
    metrics = [run_file(run, "metrics.json") for run in RUNS if run.dataset == dataset]
    stress = [run_file(run, "stress.csv") for run in STRESS_RUNS if run.dataset == dataset]
    return metrics + stress + [f"{RESULTS}/{dataset}/examples.npz"]


def weights_of_runs(wildcards):
    """The trained weights, if they are to travel too; those of archives come with the other files of a run."""
    if ARCHIVED or not wildcards.weights:
        return []
    return [
        path
        for run in RUNS
        if "weights.safetensors" in files_of_run(run)
        for path in expected(run_file(run, "weights.safetensors"))
    ]


def say_what_failed(log):
    """After a study that did not finish; `log` names Snakemake's own logs."""
    again = os.environ.get("LIQUIDBENCH_COMMAND", "")
    print(summary(Path(log[0]) if log else Path(), Path(), sys.argv[1:], again), file=sys.stderr)


def mirror_folder():
    return config["mirror"] or os.environ.get("LIQUIDBENCH_MIRROR", "")


def growing(amount):
    """A resource (MB or minutes) for a cluster: a job that was stopped for having too little is sent again with more.

    This machine's own jobs are not limited by them.
    """
    return lambda wildcards, attempt: amount * attempt


def gpu_count():
    """The number of NVIDIA cards of this machine, as the driver tells."""
    if shutil.which("nvidia-smi") is None:
        return 0
    listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    return sum(line.startswith("GPU ") for line in listing.stdout.splitlines())


# What a cluster is asked for: one card per job that uses one.
if config["device"] == "cpu":
    GPUS_PER_JOB = 0
elif config["device"] == "cuda":
    GPUS_PER_JOB = 1
else:
    GPUS_PER_JOB = min(1, gpu_count())

# What limits the jobs of one machine: each takes its share of a card. Snakemake counts in whole numbers, so in
# percent. `--resources gpu_percent=200` gives the workflow two cards.
GPU_PERCENT_PER_JOB = GPUS_PER_JOB * 100 // config["jobs_per_gpu"]
