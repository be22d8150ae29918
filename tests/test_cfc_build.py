"""How the C++ CfC's library is built: once, by a compiler that is there, and beside other packages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cfc_helpers import recurrence
from liquidbench.errors import InputError
from liquidbench.models.cfc import build, implementations
from liquidbench.models.cfc import recurrence as reference
from workflow_helpers import PROJECT

SCRIPTS = Path(__file__).resolve().parents[1] / "workflow/scripts"
# Compiled without optimisation, which takes a third of the time.
QUICK = tuple(flag for flag in build._FLAGS if flag != "-O3")
QUICKLY = f"from liquidbench.models.cfc import build; build._FLAGS = {QUICK}"
# scikit-learn's wheel has an OpenMP library too, and training imports it for the metrics.
LOADED_BY = """
import sys
sys.path.insert(0, "workflow/scripts")
{imports}
{quickly}
print(build._openmp()[0].rpartition("/")[2], build.library().problem)
"""


def test_the_library_built_beside_scikit_learn_loads_without_it(tmp_path, monkeypatch):
    monkeypatch.setenv("LIQUIDBENCH_CACHE", str(tmp_path))

    def told(imports: str) -> str:
        command = [sys.executable, "-c", LOADED_BY.format(imports=imports, quickly=QUICKLY)]
        result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result.stdout

    with_it = told("import sklearn.metrics, torch")
    assert told("import torch") == with_it
    assert len(list(tmp_path.glob("cfc-*.so"))) <= 1


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    """No library is built or loaded yet; afterwards the tests' own one again."""
    monkeypatch.setenv("LIQUIDBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "_FLAGS", QUICK)
    build.library.cache_clear()
    implementations._say.cache_clear()
    yield tmp_path / "cache"
    build.library.cache_clear()


def compiler_or_skip() -> str:
    try:
        return build.find_compiler()[0]
    except build.BuildError as error:
        pytest.skip(str(error))


def test_without_a_compiler_one_word_is_said_and_plain_torch_computes(
    empty_cache, monkeypatch, capsys
):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(build.shutil, "which", lambda name: None)
    r = recurrence(3, 4, 5, 6, 1)
    for _ in range(2):
        states, _, name = implementations.run("auto", r)
    assert name == "portable"
    torch.testing.assert_close(states, reference.run(r)[0])
    notes = capsys.readouterr().err.splitlines()
    assert len(notes) == 1
    assert notes[0].startswith("note: the native CfC is not built: no C++ compiler is there")
    with pytest.raises(InputError, match="native is asked for, but it is not built: no C"):
        implementations.run("native", r)


@pytest.mark.parametrize(
    ("compiler", "reason"),
    [
        ("no-such-compiler", "that CXX names, no-such-compiler, is not there"),
        ("false", "--version fails: is it a C++ compiler?"),
    ],
)
def test_a_compiler_that_does_not_work_is_named(empty_cache, monkeypatch, capsys, compiler, reason):
    monkeypatch.setenv("CXX", compiler)
    assert reason in build.library().problem
    assert not empty_cache.exists() or not list(empty_cache.iterdir())


def test_a_compiler_s_first_error_is_passed_on_and_nothing_stays(
    empty_cache, tmp_path, monkeypatch
):
    failing = tmp_path / "a compiler"
    failing.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "x.cpp:1: error: no such thing" >&2\nexit 1\n'
    )
    failing.chmod(0o755)
    monkeypatch.setenv("CXX", f"'{failing}'")
    assert "failed: x.cpp:1: error: no such thing" in build.library().problem
    assert list(empty_cache.iterdir()) == []


def test_a_library_is_built_once_for_all_and_anew_for_another_compiler(
    empty_cache, tmp_path, monkeypatch
):
    real, calls = compiler_or_skip(), tmp_path / "calls"
    wrapper = tmp_path / "wrapper"
    wrapper.write_text(f'#!/bin/sh\necho "$*" >> {calls}\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("CXX", str(wrapper))
    first = build.build()
    compiled = calls.read_text().count(" -c ")
    assert build.build() == first and calls.read_text().count(" -c ") == compiled == 1
    assert [path.name for path in empty_cache.iterdir()] == [first.name]
    assert empty_cache.stat().st_mode & 0o077 == 0
    monkeypatch.setenv("CXX", f"{wrapper} -DOTHER")
    assert build.build() != first


def test_a_folder_that_cannot_be_is_named(empty_cache, monkeypatch):
    empty_cache.write_text("a file")
    assert "cannot be made" in build.library().problem
    monkeypatch.setattr(build.os, "getuid", lambda: 12345)
    empty_cache.unlink()
    build.library.cache_clear()
    assert "belongs to another user" in build.library().problem


def test_a_damaged_library_is_built_again(empty_cache):
    compiler_or_skip()
    path = build.build()
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    assert implementations.run("auto", recurrence(3, 4, 5, 6, 1))[2] == "native"
    assert path.stat().st_size == len(whole)


def test_a_library_that_cannot_be_loaded_does_not_stop_a_run(empty_cache, monkeypatch, capsys):
    monkeypatch.setattr(build, "build", lambda: empty_cache / "not-there.so")
    assert implementations.run("auto", recurrence(3, 4, 5, 6, 1))[2] == "portable"
    assert "note: the native CfC is not built" in capsys.readouterr().err


def test_a_compiler_of_blanks_is_none(empty_cache, monkeypatch):
    monkeypatch.setenv("CXX", " ")
    monkeypatch.setattr(build.shutil, "which", lambda name: None)
    with pytest.raises(build.BuildError, match=r"no C\+\+ compiler is there"):
        build.find_compiler()


def test_a_compiler_that_cannot_be_read_is_no_end(empty_cache, monkeypatch):
    monkeypatch.setenv("CXX", "g++ '")
    assert "is not built" in build.library().problem


def test_a_compiler_behind_another_command_builds(empty_cache, monkeypatch):
    monkeypatch.setenv("CXX", f"env {compiler_or_skip()}")
    assert build.library().problem is None


def test_a_user_without_a_home_builds_where_the_variable_says(empty_cache, monkeypatch):
    def home():
        raise RuntimeError("no home")

    monkeypatch.setattr(build.Path, "home", home)
    assert build.cache_folder() == empty_cache


def test_a_changed_source_makes_another_library(empty_cache, tmp_path, monkeypatch):
    compiler_or_skip()
    first = build.build()
    for name in build._SOURCES:
        copied = tmp_path / name.replace(".", "-")
        copied.mkdir()
        for source in build._SOURCES:
            text = (build._HERE / source).read_text()
            (copied / source).write_text(text + "// changed\n" if source == name else text)
        with monkeypatch.context() as patched:
            patched.setattr(build, "_HERE", copied)
            patched.setattr(build, "_compile", lambda *arguments: arguments[-1].touch())
            assert build.build() != first


def test_what_others_could_have_written_is_not_loaded(empty_cache):
    compiler_or_skip()
    path = build.build()
    for place, mode in ((path, 0o720), (empty_cache, 0o702)):
        place.chmod(mode)
        build.library.cache_clear()
        assert "is not built" in build.library().problem
        place.chmod(0o700)
    build.library.cache_clear()
    assert build.library().problem is None


def test_jobs_that_start_at_once_build_without_harm(empty_cache):
    compiler_or_skip()
    code = f"{QUICKLY}; assert build.library().problem is None"
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    jobs = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(2)]
    assert [job.wait() for job in jobs] == [0, 0]
    assert len(list(empty_cache.iterdir())) == 1
