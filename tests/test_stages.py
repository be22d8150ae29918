"""A result's code sum must cover all code that decides it: the parts of each stage against its scripts' imports."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from liquidbench.environments import reach
from liquidbench.stages import parts_of

PROJECT = Path(__file__).parents[1]
SCRIPTS = PROJECT / "workflow/scripts"
LIBRARY = SCRIPTS / "liquidbench"
READERS = {f"datasets/{name}.py" for name in ("iam", "nmnist", "physionet", "quickdraw")}
# They name and check code, and decide no result.
ABOUT_CODE = {"stages.py", "environments.py"}
# What results come from, as the rules must sum it.
STAGE_OF_SCRIPT = {
    "fetch.py": "fetch",
    "synthesise.py": "synthesise",
    "prepare.py": "prepare",
    "train.py": "train",
    "baseline.py": "baseline",
    "stress.py": "stress",
    "summarise.py": "report",
    "tables.py": "report",
    "figures.py": "report",
    "claims.py": "report",
    "report.py": "page",
    "export.py": "export",
    "publish.py": "publish",
    "unpack.py": "unpack",
}


def is_description(file: Path) -> bool:
    """Whether a file holds nothing but a docstring."""
    body = ast.parse(file.read_text(encoding="utf-8")).body
    return not body or (len(body) == 1 and ast.get_docstring(ast.Module(body, [])) is not None)


def imported_files(script: str) -> set[str]:
    """The library's files that a script imports, relative to the library, without mere descriptions."""
    files = set()
    for module in reach([SCRIPTS / script]).modules:
        path = SCRIPTS.joinpath(*module.split("."))
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if not is_description(file):
            files.add(file.relative_to(LIBRARY).as_posix())
    return files


def files_of(parts: tuple[str, ...]) -> set[str]:
    """The files that parts stand for, relative to the library."""
    files = set()
    for part in parts:
        path = LIBRARY / part
        found = path.rglob("*.py") if path.is_dir() else [path]
        files |= {file.relative_to(LIBRARY).as_posix() for file in found}
    return files


def scripts_of(stage: str) -> list[str]:
    return [script for script, of in STAGE_OF_SCRIPT.items() if of == stage]


def test_the_rules_sum_each_script_with_its_stage():
    rules = "".join(
        path.read_text(encoding="utf-8") for path in sorted((PROJECT / "rules").glob("*.smk"))
    )
    assert dict(re.findall(r'code_of\("(\w+\.py)", "(\w+)"', rules)) == STAGE_OF_SCRIPT


@pytest.mark.parametrize("script", sorted(set(STAGE_OF_SCRIPT) - {"prepare.py"}))
def test_what_a_script_imports_is_summed(script):
    missing = imported_files(script) - files_of(parts_of(STAGE_OF_SCRIPT[script]))
    assert missing <= ABOUT_CODE


@pytest.mark.parametrize("reader", sorted(READERS))
def test_what_the_preparation_of_a_data_set_imports_is_summed(reader):
    parts = files_of(parts_of("prepare", Path(reader).stem))
    assert imported_files("prepare.py") - parts <= ABOUT_CODE | (READERS - {reader})
    # Another data set's reader must not make this one be prepared again.
    assert parts & READERS == {reader}


@pytest.mark.parametrize("stage", sorted(set(STAGE_OF_SCRIPT.values())))
def test_every_part_is_used_by_its_stage(stage):
    imported = set().union(*map(imported_files, scripts_of(stage)))
    dataset = "nmnist" if stage == "prepare" else None
    # A package may hold more than one stage needs; a module that is named is needed.
    unused = [part for part in parts_of(stage, dataset) if not files_of((part,)) & imported]
    assert unused == []


def test_a_file_with_code_is_no_mere_description(tmp_path):
    file = tmp_path / "__init__.py"
    for text, expected in (("", True), ('"""Words."""\n', True), ('"""Words."""\nA = 1\n', False)):
        file.write_text(text)
        assert is_description(file) is expected


def test_tables_claims_and_page_load_nothing_that_takes_seconds():
    code = """
import sys
import claims, report, tables
print(*sorted({"matplotlib", "scipy.optimize", "scipy.stats", "sklearn", "torch"} & set(sys.modules)))
"""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True
    )
    assert (result.returncode, result.stdout.strip()) == (0, ""), result.stderr
