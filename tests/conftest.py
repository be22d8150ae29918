"""What all tests share."""

import os
import subprocess
import sys

import pytest

# Before torch is imported: on a busy machine, threads that spin while they wait take the cores from those that compute.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@pytest.fixture(scope="session", autouse=True)
def own_compiled_libraries(tmp_path_factory):
    """Compiled code goes to a folder of its own: tests build it, and touch no user's cache."""
    before = os.environ.get("LIQUIDBENCH_CACHE")
    os.environ["LIQUIDBENCH_CACHE"] = str(tmp_path_factory.mktemp("compiled"))
    yield
    if before is None:
        del os.environ["LIQUIDBENCH_CACHE"]
    else:
        os.environ["LIQUIDBENCH_CACHE"] = before


@pytest.fixture(scope="module")
def one_thread():
    """Small tensors gain nothing from more, and other tests may be using the cores."""
    # Here, so that tests without torch need not wait for it.
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


HEAVY = ("torch", "h5py", "pyarrow")


@pytest.fixture
def without_heavy_packages(tmp_path) -> str:
    """A folder for PYTHONPATH in which packages of other stages fail to import."""
    folder = tmp_path / "not installed"
    folder.mkdir()
    for name in HEAVY:
        (folder / f"{name}.py").write_text(f"raise ImportError('no {name} here')\n")
    for name in HEAVY:
        command = [sys.executable, "-c", f"import {name}"]
        attempt = subprocess.run(
            command, env={"PYTHONPATH": str(folder)}, capture_output=True, text=True
        )
        assert f"no {name} here" in attempt.stderr
    return str(folder)
