"""Set-up and stage environments: what is declared, locked, imported and installed must agree."""

import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

from liquidbench.environments import (
    imports_against_pins,
    normalised,
    pins_against_lock,
    reach,
    read_environment,
    read_lock,
    rules_by_environment,
)
from liquidbench.errors import InputError

PROJECT = Path(__file__).resolve().parents[1]
LOCK = PROJECT / "requirements/requirements.lock"
ENVIRONMENTS = sorted((PROJECT / "envs").glob("*.yaml"))
# Run by name, not imported: the workflow's engine, and what checks style.
TOOLS = {
    "snakemake",
    "snakemake-executor-plugin-slurm",
    "pytest",
    "pytest-xdist",
    "ruff",
    "snakefmt",
}

DISTRIBUTIONS = {"numpy": ["numpy"], "yaml": ["PyYAML"], "torch": ["torch"], "pandas": ["pandas"]}


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def environment_file(folder: Path, *lines: str) -> Path:
    text = "channels: [conda-forge, nodefaults]\ndependencies:\n  - python=3.11\n"
    return write(folder / "envs/train.yaml", text + "".join(f"  - {line}\n" for line in lines))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of one stage: train.py needs numpy, and torch through the library, late."""
    scripts = tmp_path / "workflow/scripts"
    write(
        scripts / "train.py",
        "import json\nfrom typing import TYPE_CHECKING\nimport numpy as np\n"
        "from toolbox.parts import wheel\nif TYPE_CHECKING:\n    import pandas\n",
    )
    write(scripts / "toolbox/__init__.py", "")
    write(scripts / "toolbox/parts/__init__.py", "")
    write(scripts / "toolbox/parts/wheel.py", "from ..gears import turn\n")
    write(scripts / "toolbox/gears.py", "def turn():\n    import torch.nn\n    return torch\n")
    write(scripts / "toolbox/unused.py", "import yaml\n")
    write(
        tmp_path / "rules/train.smk",
        'rule train:\n    conda:\n        "../envs/train.yaml"\n    shell:\n'
        '        "python {SCRIPTS:q}/train.py --out {output:q} 2>&1 | tee {log:q}"\n',
    )
    write(
        tmp_path / "requirements/requirements.lock", "numpy==2.4.6\ntorch==2.13.0\npyyaml==6.0.3\n"
    )
    return tmp_path


def problems_of(project: Path, *lines: str) -> list[str]:
    environment = read_environment(environment_file(project, *lines))
    imports = reach([project / "workflow/scripts/train.py"]).imports
    return imports_against_pins(environment, imports, DISTRIBUTIONS)


def test_imports_are_followed_into_the_library_and_into_functions(project: Path) -> None:
    reached = reach([project / "workflow/scripts/train.py"])
    assert reached.modules == ["toolbox", "toolbox.gears", "toolbox.parts", "toolbox.parts.wheel"]
    assert {name: [file.name for file in files] for name, files in reached.imports.items()} == {
        "numpy": ["train.py"],
        "torch": ["gears.py"],
    }


def test_computed_imports_are_followed_by_the_names_in_the_file(tmp_path: Path) -> None:
    script = write(
        tmp_path / "prepare.py",
        "from importlib import import_module\nNAMES = ('one', 'two')\n"
        "def load(name):\n    return import_module(f'toolbox.{name}')\n",
    )
    write(tmp_path / "toolbox/__init__.py", "")
    write(tmp_path / "toolbox/one.py", "import numpy\n")
    write(tmp_path / "toolbox/three.py", "import torch\n")
    assert list(reach([script]).imports) == ["numpy"]


def test_computed_imports_that_cannot_be_followed_are_refused(tmp_path: Path) -> None:
    script = write(
        tmp_path / "x.py", "import importlib\ndef f(n):\n    importlib.import_module(n)\n"
    )
    with pytest.raises(InputError, match=r"x\.py, line 3"):
        reach([script])


def test_exactly_what_is_imported_is_no_problem(project: Path) -> None:
    assert problems_of(project, "numpy=2.4", "pytorch=2.13") == []


def test_missing_package_is_named_with_the_file_that_imports_it(project: Path) -> None:
    (problem,) = problems_of(project, "numpy=2.4")
    assert "torch is missing" in problem
    assert "gears.py imports torch" in problem


def test_package_that_only_another_one_brings_is_missing(project: Path) -> None:
    # pandas would install numpy too: declared is what the code itself imports.
    (missing, superfluous) = problems_of(project, "pytorch=2.13", "pandas=3.1")
    assert "numpy is missing" in missing
    assert "pandas is superfluous" in superfluous


def test_superfluous_package_is_named(project: Path) -> None:
    (problem,) = problems_of(project, "numpy=2.4", "pytorch=2.13", "pyyaml=6.0")
    assert "pyyaml is superfluous" in problem


def test_package_needed_without_an_import_says_so(project: Path) -> None:
    lines = ["numpy=2.4", "pytorch=2.13", "pyarrow=26.0 # not imported: pandas reads parquet by it"]
    assert problems_of(project, *lines) == []


def test_excuse_for_an_imported_package_is_refused(project: Path) -> None:
    (problem,) = problems_of(project, "numpy=2.4 # not imported: no longer true", "pytorch=2.13")
    assert "numpy is imported" in problem


@pytest.mark.parametrize(
    ("pin", "locked", "agrees"),
    [
        ("2.1", "2.1.5", True),
        ("2.1", "2.13.0", False),
        ("2.13.0", "2.13.0", True),
        ("2.13", "3.0.0", False),
    ],
)
def test_pins_are_compared_by_whole_numbers(
    tmp_path: Path, pin: str, locked: str, agrees: bool
) -> None:
    environment = read_environment(environment_file(tmp_path, f"pytorch={pin}"))
    assert (pins_against_lock(environment, {"torch": locked}) == []) is agrees


@pytest.mark.parametrize("line", ["numpy", "numpy>=2.4", "numpy=2"])
def test_unpinned_package_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(InputError, match="not pinned"):
        read_environment(environment_file(tmp_path, line))


def test_other_channels_are_refused(tmp_path: Path) -> None:
    path = environment_file(tmp_path, "numpy=2.4")
    write(path, path.read_text(encoding="utf-8").replace("nodefaults", "defaults"))
    with pytest.raises(InputError, match="channels"):
        read_environment(path)


def test_pip_packages_of_an_environment_count(tmp_path: Path) -> None:
    path = environment_file(tmp_path, "numpy=2.4", "pip=26.0", "pip:\n    - ncps==1.0.1")
    assert read_environment(path).pins == {"numpy": "2.4", "ncps": "1.0.1"}


@pytest.mark.parametrize(
    "call", ["{SCRIPTS:q}/train.py", "{params.script:q}", "workflow/scripts/train.py"]
)
def test_rules_are_read_however_they_name_their_script(project: Path, call: str) -> None:
    text = (project / "rules/train.smk").read_text(encoding="utf-8")
    text = text.replace("{SCRIPTS:q}/train.py", call)
    if "params" in call:
        text += '    params:\n        script=SCRIPTS / "train.py",\n'
    rules = write(project / "rules/train.smk", text + "\nrule all:\n    input: 'x'\n")
    assert rules_by_environment([rules]) == {"train": {"train": "train"}}


@pytest.mark.parametrize("part", ["envs/train.yaml", "{SCRIPTS:q}/train.py"])
def test_rule_without_environment_or_script_is_refused(project: Path, part: str) -> None:
    rules = project / "rules/train.smk"
    write(rules, rules.read_text(encoding="utf-8").replace(part, ""))
    with pytest.raises(InputError, match="rule train"):
        rules_by_environment([rules])


@pytest.mark.parametrize(
    ("lines", "status", "message"),
    [
        (["numpy=2.4", "pytorch=2.13"], 0, "agree"),
        (["numpy=2.4"], 1, "torch is missing"),
        (["numpy=2.4", "pytorch=2.13", "pyyaml=6.0"], 1, "pyyaml is superfluous"),
        (["numpy=2.3", "pytorch=2.13"], 1, "pinned to 2.3, locked to 2.4.6"),
    ],
)
def test_the_command_fails_on_each_problem(
    project: Path, lines: list[str], status: int, message: str
) -> None:
    environment_file(project, *lines)
    command = [sys.executable, PROJECT / "workflow/scripts/check_environments.py"]
    result = subprocess.run(
        [*command, "--static", "--root", project], capture_output=True, text=True
    )
    assert result.returncode == status, result.stderr
    assert message in result.stdout + result.stderr


def test_the_projects_environments_are_complete_and_lean() -> None:
    rules = rules_by_environment(sorted((PROJECT / "rules").glob("*.smk")))
    assert sorted(rules) == [path.stem for path in ENVIRONMENTS]
    problems = []
    for path in ENVIRONMENTS:
        environment = read_environment(path)
        scripts = [
            PROJECT / f"workflow/scripts/{script}.py" for script in rules[path.stem].values()
        ]
        imports = reach(scripts).imports
        problems += pins_against_lock(environment, read_lock(LOCK))
        problems += imports_against_pins(environment, imports, packages_distributions())
    assert problems == []


def test_only_training_needs_torch() -> None:
    with_torch = [path.stem for path in ENVIRONMENTS if "torch" in read_environment(path).pins]
    assert with_torch == ["train"]


def requirements() -> set[str]:
    """The normalised names of requirements.in."""
    text = (PROJECT / "requirements/requirements.in").read_text(encoding="utf-8")
    return {normalised(name) for name in re.findall(r"^[\w.-]+", text, flags=re.MULTILINE)}


def test_lock_holds_exact_versions_that_install_anywhere() -> None:
    lock = read_lock(LOCK)
    assert requirements() <= lock.keys()
    assert lock["torch"] == "2.13.0"
    assert lock["ncps"] == "1.0.1"
    # A local version such as +cpu exists on one index alone; CUDA packages fit one system alone.
    assert [version for version in lock.values() if "+" in version] == []
    # This one asks whatever driver there is, and is plain Python.
    own = {"nvidia-ml-py"}
    assert [n for n in lock.keys() - own if n.startswith(("nvidia-", "cuda-", "triton"))] == []


def test_what_comes_with_gpu_builds_alone_is_no_requirement_and_its_module_is_not_started() -> None:
    reached = reach([PROJECT / "workflow/scripts/train.py"])
    assert "triton" not in reached.imports
    assert "liquidbench.models.cfc.triton_sweep" in reached.modules
    assert "liquidbench.models.cfc.triton_kernels" not in reached.modules


def test_requirements_are_what_the_project_imports() -> None:
    sources = [*PROJECT.glob("workflow/scripts/*.py"), *PROJECT.glob("tests/*.py")]
    sources += PROJECT.glob("benchmarks/*.py")
    sources += PROJECT.glob("workflow/scripts/liquidbench/**/*.py")
    imported = reach(sources).imports.keys() - {path.stem for path in sources} - {"liquidbench"}
    distributions = packages_distributions()
    providers = {name: {normalised(one) for one in distributions[name]} for name in imported}
    assert {name for name, some in providers.items() if not some & requirements()} == set()
    assert requirements() - set().union(*providers.values()) - TOOLS == set()


def test_profile_is_read_by_snakemake_from_beside_the_snakefile(tmp_path: Path) -> None:
    profile = (PROJECT / "profiles/default/config.yaml").read_text(encoding="utf-8")
    write(tmp_path / "profiles/default/config.yaml", profile)
    write(tmp_path / "Snakefile", "rule all:\n    output: 'x'\n    shell: 'touch {output}'\n")
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--quiet", "all"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "profiles/default" in result.stderr
    assert (tmp_path / "x").exists()


def test_profile_gives_the_jobs_one_card_and_keeps_the_data_sets_apart() -> None:
    path = PROJECT / "profiles/default/config.yaml"
    profile = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert profile["resources"] == ["gpu_percent=100"]
    assert profile["keep-going"] is True
    assert profile["rerun-incomplete"] is True


# A Python that records how it was called; with -m venv it puts itself into the new folder.
FAKE_PYTHON = """#!/bin/bash
here=$(cd "$(dirname "$0")" && pwd)/$(basename "$0")
if [[ $1 == -c && $2 == *version_info* ]]; then exit "${TOO_OLD:-0}"; fi
if [[ $1 == -c && $2 == *ensurepip* ]]; then exit "${NO_VENV:-0}"; fi
if [[ $1 == -c && $2 == *_base_executable* ]]; then echo "${BASE:-$here}"; fi
if [[ $1 == --version ]]; then echo "Python 3.10.1"; fi
if [[ "$1 $2" == "-m venv" ]]; then mkdir -p "$3/bin"; cp "$here" "$3/bin/python"; fi
if [[ "$1 $2" == "-m pip" ]]; then echo "pip $*" >> "$CALLS"; exit "${PIP_FAILS:-0}"; fi
exit 0
"""


@pytest.fixture
def setup(tmp_path: Path):
    """Run a copy of the set-up, in a folder with a space; count what its fake Python installs."""
    folder = tmp_path / "a project"
    script = (PROJECT / "requirements/install.sh").read_text(encoding="utf-8")
    write(folder / "requirements/install.sh", script)
    write(folder / "requirements/requirements.lock", "numpy==2.4.6\n")
    python = write(tmp_path / "fake python", FAKE_PYTHON)
    python.chmod(0o755)
    calls = write(tmp_path / "calls", "")

    def run(**variables: str) -> tuple[subprocess.CompletedProcess, int]:
        environment = os.environ | {"PYTHON": str(python), "CALLS": str(calls)} | variables
        calls.write_text("", encoding="utf-8")
        command = ["bash", folder / "requirements/install.sh"]
        result = subprocess.run(command, env=environment, capture_output=True, text=True)
        return result, len(calls.read_text(encoding="utf-8").splitlines())

    run.folder = folder
    return run


def test_set_up_installs_once_and_again_for_another_lock(setup) -> None:
    result, installs = setup()
    assert (result.returncode, installs) == (0, 1), result.stderr
    result, installs = setup()
    assert (result.returncode, installs) == (0, 0)
    write(setup.folder / "requirements/requirements.lock", "numpy==2.4.7\n")
    result, installs = setup()
    assert (result.returncode, installs) == (0, 1)


def test_set_up_survives_that_its_own_python_is_the_first_on_the_path(setup, tmp_path) -> None:
    setup()
    write(setup.folder / "requirements/requirements.lock", "numpy==2.4.7\n")
    own, base = str(setup.folder / ".venv/bin/python"), str(tmp_path / "fake python")
    result, installs = setup(PYTHON=own, BASE=base)
    assert (result.returncode, installs) == (0, 1), result.stderr


def test_interrupted_set_up_is_not_taken_for_a_finished_one(setup) -> None:
    result, installs = setup(PIP_FAILS="1")
    assert (result.returncode, installs) == (1, 1)
    result, installs = setup()
    assert (result.returncode, installs) == (0, 1)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"TOO_OLD": "1"}, "Python 3.11 or newer is needed, found Python 3.10.1"),
        ({"NO_VENV": "1"}, "apt install python3-venv"),
        ({"PYTHON": "no-such-python"}, "Python 3.11 or newer is needed"),
    ],
)
def test_unfit_python_is_named_and_nothing_is_made(setup, variables: dict, message: str) -> None:
    result, installs = setup(**variables)
    assert (result.returncode, installs) == (1, 0)
    assert message in result.stderr
    assert not (setup.folder / ".venv").exists()
