"""What all tests share."""

import os

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
