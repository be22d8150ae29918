"""Check that every stage's environment file names all that the stage needs, and nothing else.

Every file of envs/ is compared with the lock and with the imports of its stage's code. Then it
is built as a plain virtual environment from the same pins (no conda needed), and the stage runs
in it alone: each script's help, every module it reaches, and a tiny study on synthetic data in
which the stage's rules find no other `python`. That shows that the files are complete, not that
the conda channels can provide the packages.

Built environments are kept in .stage-environments/ until their content changes.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

from liquidbench.environments import (
    Environment,
    Reach,
    imports_against_pins,
    pins_against_lock,
    reach,
    read_environment,
    read_lock,
    rules_by_environment,
)
from liquidbench.errors import InputError, run_command

# The order in which the tiny study goes through the environments; fetch reads what it made.
STUDY_STAGES = ["prepare", "train", "report"]

# What is asked for: between them they need every rule that has an environment.
TARGETS = ["all", "export", "publish"]
# What runs only where a study is drawn from archives.
FROM_ARCHIVES = "unpack"

# Laid over config/demo.yaml: every data set, model and stress test, as small as allowed.
TINY_STUDY = {
    "datasets": {
        "nmnist": {"synthetic": {"train": 20, "test": 10}, "training": {"epochs": 1}},
        "quickdraw": {"synthetic": {"per_category": 10}, "training": {"epochs": 1}},
        "iam": {
            "synthetic": {"train": 10, "validation": 10, "test": 10},
            "training": {"epochs": 1},
        },
        "physionet": {
            "synthetic": {"patients": 40},
            "training": {"epochs": 1},
            "models": ["lstm-128", "cfc-128", "cfc-256", "gru-d", "logistic", "boosting"],
        },
    }
}


def run(command: list[str | Path], what: str, environment: dict[str, str] | None = None) -> str:
    """Run a command and return what it printed.

    Raises:
        InputError: it failed; the message ends with the last lines that it printed.
    """
    result = subprocess.run(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if result.returncode != 0:
        tail = "\n".join(result.stdout.splitlines()[-40:])
        raise InputError(what, f"failed:\n{tail}\n", "Correct the environment file or the code")
    return result.stdout


def alone(python: Path) -> dict[str, str]:
    """The variables for a process that finds `python` first and no packages but its own."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return variables | {
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONNOUSERSITE": "1",
    }


def build(environment: Environment, lock: Path, folder: Path) -> Path:
    """Build an environment below `folder`, unless it is there, and return its Python.

    The lock constrains the versions, so that `x.y` means the locked `x.y.z`.
    """
    key = environment.path.read_bytes() + lock.read_bytes() + sys.version.encode()
    target = folder / f"{environment.name}-{hashlib.sha256(key).hexdigest()[:12]}"
    python = (target / "bin" / "python").absolute()
    if (target / "complete").exists():
        return python
    for outdated in folder.glob(f"{environment.name}-*"):
        shutil.rmtree(outdated)
    print(f"{environment.name}: installing {', '.join(environment.pins)}", flush=True)
    make = [sys.executable, "-m", "venv", "--without-pip", target]
    run(make, f"{environment.path}: making the environment")
    requirements = [f"{name}=={pin}.*" for name, pin in environment.pins.items()]
    install = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    # Most modules are never imported here.
    install += ["install", "--quiet", "--no-compile"]
    run([*install, "--constraint", lock, *requirements], f"{environment.path}: installing")
    (target / "complete").touch()
    return python


def check_starts(
    environment: Environment, python: Path, scripts: list[Path], modules: list[str]
) -> None:
    """Start every script and import every module of a stage in its environment alone."""
    for script in scripts:
        run([python, script, "--help"], f"{environment.path}: {script.name}", alone(python))
    library = f"import sys; sys.path.insert(0, {str(scripts[0].parent)!r})"
    imports = "".join(f"\nimport {module}" for module in modules)
    run([python, "-c", library + imports], f"{environment.path}: imports", alone(python))
    print(f"{environment.name}: {len(scripts)} scripts, {len(modules)} modules start", flush=True)


def run_stage(
    root: Path,
    folder: Path,
    environment: Environment,
    python: Path,
    rules: list[str],
    later: list[str],
    config: dict,
) -> None:
    """Run the workflow in `folder` but for the `later` rules; `python` is the environment's.

    Raises:
        InputError: a job failed, or one of the stage's own `rules` did not run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    overlay = folder / f"{environment.name}.json"
    overlay.write_text(json.dumps(config), encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "--snakefile", root / "Snakefile"]
    # The Snakefile looks for its own two below the working directory, which is another one here.
    configs = [root / f"config/{name}.yaml" for name in ("config", "protocols", "demo")]
    command += ["--configfile", *configs, overlay.absolute()]
    command += ["--directory", folder, "--cores", "2"]
    command += ["--omit-from", *later] if later else []
    command += ["--", *TARGETS]
    printed = run(command, f"{environment.path}: a tiny study", alone(python))
    for rule in rules:
        if not re.search(rf"^(local)?rule {rule}:", printed, re.MULTILINE):
            raise InputError(environment.path, f"the tiny study did not run {rule}", "Extend it")
    print(f"{environment.name}: {', '.join(rules)} ran in a tiny study", flush=True)


def run_study(root: Path, folder: Path, pythons: dict, environments: dict, rules: dict) -> None:
    """Run a tiny study, each stage in its own environment, and fetch its raw files again."""
    unknown = rules.keys() - {"fetch", *STUDY_STAGES}
    if unknown:
        raise InputError("rules/", f"new environments {sorted(unknown)}", "Put them into the study")
    shutil.rmtree(folder, ignore_errors=True)

    def run_one(name: str, later_stages: list[str], config: dict) -> None:
        later = [rule for stage in later_stages for rule in rules[stage] if rule != FROM_ARCHIVES]
        own = [rule for rule in rules[name] if rule != FROM_ARCHIVES or "archives" in config]
        run_stage(root, folder, environments[name], pythons[name], own, later, config)

    for number, name in enumerate(STUDY_STAGES, start=1):
        run_one(name, STUDY_STAGES[number:], TINY_STUDY)
    published = {
        "archives": str((folder / "demo/reports/to-publish").absolute()),
        "paths": {"results": "published/results", "reports": "published/reports"},
    }
    run_one(STUDY_STAGES[-1], [], TINY_STUDY | published)
    mirrored = {name: {"source": "mirror"} for name in TINY_STUDY["datasets"]}
    # The synthetic files have the official names: they serve as a mirror.
    mirror = (folder / "mirror").absolute()
    mirror.mkdir()
    for name in mirrored:
        (mirror / name).symlink_to(mirror.parent / "demo/raw" / name / "synthetic")
    config = {"mirror": str(mirror), "paths": {"raw": "fetched"}, "datasets": mirrored}
    run_one("fetch", STUDY_STAGES, config)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    project = Path(__file__).resolve().parents[2]
    parser.add_argument("--root", type=Path, default=project, help="the project's folder")
    parser.add_argument("--static", action="store_true", help="compare files, install nothing")
    arguments = parser.parse_args()
    root = arguments.root
    scripts_folder, lock = root / "workflow/scripts", root / "requirements/requirements.lock"

    files = sorted((root / "envs").glob("*.yaml"))
    environments = {path.stem: read_environment(path) for path in files}
    rules = rules_by_environment(sorted((root / "rules").glob("*.smk")))
    if environments.keys() != rules.keys():
        raise InputError(
            root / "envs",
            f"files for {sorted(environments)}, rules name {sorted(rules)}",
            "Keep one file for each environment that a rule names",
        )
    scripts = {
        name: sorted({scripts_folder / f"{script}.py" for script in rules[name].values()})
        for name in rules
    }
    reached: dict[str, Reach] = {name: reach(scripts[name]) for name in rules}
    locked, distributions = read_lock(lock), packages_distributions()
    problems = []
    for name, environment in environments.items():
        problems += pins_against_lock(environment, locked)
        problems += imports_against_pins(environment, reached[name].imports, distributions)
    if problems:
        sys.exit("\n".join(f"error: {problem}" for problem in problems))
    print(f"{', '.join(environments)}: pins agree with the lock and with the code's imports")
    if arguments.static:
        return
    folder = root / ".stage-environments"
    folder.mkdir(exist_ok=True)
    pythons = {}
    for name, environment in environments.items():
        pythons[name] = build(environment, lock, folder)
        check_starts(environment, pythons[name], scripts[name], reached[name].modules)
    run_study(root, folder / "study", pythons, environments, rules)
    print("every stage runs in its own environment")


if __name__ == "__main__":
    run_command(main)
