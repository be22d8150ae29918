"""`benchmarks/gpu.py` without a GPU: what it says, and its checks on a CPU."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[1] / "benchmarks/gpu.py"


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_in_one_line():
    result = run("--out", "never.csv")
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        "error: no CUDA GPU that PyTorch can use; --check-only --interpret checks without"
    ]
    assert not Path("never.csv").exists()


def test_checks_pass_on_a_cpu_and_are_written(tmp_path):
    result = run("--check-only", "--interpret", "--out", tmp_path / "gpu.csv")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 wrong" in result.stdout
    table = (tmp_path / "gpu-checks.csv").read_text(encoding="utf-8")
    assert table.count("portable,float32,") == 13


def test_times_without_a_gpu_are_refused():
    result = run("--interpret")
    assert result.returncode == 2
    assert "--interpret needs --check-only" in result.stderr
