"""The Triton kernels of the CfC: run by Triton's interpreter on a CPU, against the plain loop.

The interpreter has one thread: it shows that the arithmetic, the masks and the addresses are right, not that the warps
of a program wait for each other where they must. That is for `works_here`, on a GPU, and for `benchmarks/gpu.py`.
"""

import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from liquidbench.errors import InputError
from liquidbench.models.cfc import implementations, recurrence, triton_layout, triton_sweep
from liquidbench.models.cfc.triton_layout import Kind, padded, shared_bytes
from liquidbench.models.cfc.triton_trial import difference, example

CPU = torch.device("cpu")
KERNELS = "liquidbench.models.cfc.triton_kernels"
KIND = Kind("default", "lecun_tanh", True, True, units=21, width=37, depth=1, precision="ieee")


@pytest.fixture(scope="module")
def interpreted():
    """Kernels that run in Python. What they are is decided when they are defined, so they are defined anew."""
    if importlib.util.find_spec("triton") is None:
        pytest.skip("the package triton is not installed (PyTorch for CPUs does without)")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")
        patch.delitem(sys.modules, KERNELS, raising=False)
        yield
    sys.modules.pop(KERNELS, None)


@pytest.mark.usefixtures("interpreted")
class TestKernels:
    # An activation knows nothing of the mode: not all pairs.
    @pytest.mark.parametrize(
        ("mode", "activation"),
        [
            *(("default", activation) for activation in recurrence.ACTIVATIONS),
            *(("no_gate", "lecun_tanh"), ("no_gate", "relu")),
            *(("pure", "lecun_tanh"), ("pure", "silu")),
        ],
    )
    @pytest.mark.parametrize("depth", [1, 2])
    @pytest.mark.parametrize(("timed", "ragged"), [(False, False), (True, True)])
    def test_states_and_gradients_are_the_plain_loops(self, mode, activation, depth, timed, ragged):
        kind = Kind(mode, activation, timed, ragged, 21, 37, depth, "ieee")
        assert difference(example(kind, CPU, batch=11, time=3), triton_sweep.run, 1e-5) is None

    @pytest.mark.parametrize("mode", recurrence.MODES)
    @pytest.mark.parametrize(("timed", "ragged"), [(False, True), (True, False)])
    def test_elapsed_times_and_lengths_by_themselves(self, mode, timed, ragged):
        kind = Kind(mode, "tanh", timed, ragged, 21, 37, 1, "ieee")
        assert difference(example(kind, CPU, batch=11, time=3), triton_sweep.run, 1e-5) is None

    @pytest.mark.parametrize("mode", recurrence.MODES)
    @pytest.mark.parametrize("depth", [0, 3])
    def test_other_depths(self, mode, depth):
        kind = Kind(mode, "tanh", True, True, 21, 37 if depth else 21, depth, "ieee")
        assert difference(example(kind, CPU, batch=5, time=3), triton_sweep.run, 1e-5) is None

    @pytest.mark.parametrize(("units", "width"), [(1, 1), (64, 32), (130, 70), (65, 200)])
    @pytest.mark.parametrize("mode", ["default", "pure"])
    @pytest.mark.parametrize("batch", [1, 17])
    def test_other_sizes(self, mode, units, width, batch):
        kind = Kind(mode, "silu", True, True, units, width, 2, "ieee")
        # A gradient of a single unit can be a sum of numbers a hundred times larger.
        assert difference(example(kind, CPU, batch=batch, time=2), triton_sweep.run, 1e-4) is None

    @pytest.mark.parametrize("mode", recurrence.MODES)
    def test_products_in_bfloat16_are_near(self, mode, monkeypatch):
        _multiply_bfloat16(monkeypatch)
        kind = replace(KIND, mode=mode, precision="bf16")
        r = example(kind, CPU)
        assert difference(r, triton_sweep.run, 3e-2) is None
        # And they are rounded: float32 products are much nearer.
        assert difference(r, triton_sweep.run, 1e-4) is not None
        assert triton_sweep.run(r)[0].dtype == torch.float32

    def test_single_steps_and_whole_sequences_agree(self):
        r = example(replace(KIND, ragged=False), CPU, batch=3, time=3)
        whole, _ = triton_sweep.run(r)
        first, _ = triton_sweep.run(replace(r, inputs=r.inputs[:, :1], elapsed=r.elapsed[:, :1]))
        rest = replace(r, inputs=r.inputs[:, 1:], elapsed=r.elapsed[:, 1:], initial=first[:, -1])
        torch.testing.assert_close(torch.cat([first, triton_sweep.run(rest)[0]], dim=1), whole)

    def test_without_gradients_the_states_are_the_same(self):
        r = example(KIND, CPU)
        with torch.no_grad():
            without, _ = triton_sweep.run(r)
        assert not without.requires_grad
        torch.testing.assert_close(without, triton_sweep.run(r)[0], rtol=0, atol=0)

    def test_padded_steps_are_zero_and_give_inputs_no_gradient(self):
        r = example(KIND, CPU)
        states, _ = triton_sweep.run(r)
        padding = torch.arange(states.shape[1]) >= r.lengths.unsqueeze(1)
        assert not states[padding].any()
        (grad,) = torch.autograd.grad(states.sum(), r.inputs)
        assert not grad[padding].any()
        assert grad[~padding].any(1).all()

    def test_the_trial_passes_and_finds_a_mistake(self, monkeypatch):
        r = example(KIND, CPU)
        triton_sweep._problem.cache_clear()
        assert triton_sweep.works_here(r) is None
        triton_sweep._problem.cache_clear()
        right = triton_sweep.run
        monkeypatch.setattr(triton_sweep, "run", lambda r: (right(r)[0] * 1.001, None))
        with pytest.raises(InputError, match=r"but it fails its trial on cpu .*states differ"):
            implementations.run("triton", r)
        triton_sweep._problem.cache_clear()

    def test_what_the_kernels_do_not_have_is_refused(self, monkeypatch):
        r = example(KIND, CPU)
        assert triton_sweep.refuses(r) is None
        assert "float64" in triton_sweep.refuses(replace(r, inputs=r.inputs.double()))
        assert "dropout" in triton_sweep.refuses(replace(r, dropout=(torch.ones_like(r.inputs),)))
        elapsed = r.elapsed.clone().requires_grad_()
        assert "elapsed" in triton_sweep.refuses(replace(r, elapsed=elapsed))
        zeros = torch.zeros(1)
        monkeypatch.setattr(triton_layout, "_LEAST_SHARED", 1000)
        assert "bytes of shared memory, and the GPU has 1000" in triton_sweep.refuses(r)
        monkeypatch.undo()
        memory = recurrence.Memory(zeros, zeros, zeros)
        assert "mixed memory" in triton_sweep.refuses(replace(r, memory=memory))


def test_kernels_compile_for_gpus_and_fit_them(tmp_path):
    if importlib.util.find_spec("triton") is None:
        pytest.skip("the package triton is not installed (PyTorch for CPUs does without)")
    script = Path(__file__).parents[1] / "benchmarks/triton_resources.py"
    table = tmp_path / "resources.csv"
    subprocess.run(
        [
            *(sys.executable, script, "--out", table, "--cases", "no backbone"),
            *("--precisions", "ieee", "bf16", "--capabilities", "80"),
        ],
        env=os.environ | {"TRITON_CACHE_DIR": str(tmp_path), "TRITON_INTERPRET": "0"},
        check=True,
    )
    resources = pd.read_csv(table)
    assert len(resources) == 4
    assert (resources["shared"] <= resources["bound"]).all()
    assert (resources["bound"] <= resources["limit"]).all()
    assert (resources["stack_bytes"] < 512).all()


def _multiply_bfloat16(monkeypatch):
    """Triton's interpreter keeps bfloat16 as 16-bit integers and would multiply those."""
    import triton.language as tl
    from triton.runtime import interpreter

    multiply = interpreter.InterpreterBuilder.create_dot

    def widened(handle):
        if handle.dtype.scalar != tl.bfloat16:
            return handle
        bits = handle.data.view(np.uint16).astype(np.uint32) << 16
        return interpreter.TensorHandle(bits.view(np.float32), tl.float32)

    monkeypatch.setattr(
        interpreter.InterpreterBuilder,
        "create_dot",
        lambda self, a, b, *rest: multiply(self, widened(a), widened(b), *rest),
    )


@pytest.mark.parametrize("precision", ["ieee", "tf32", "bf16"])
@pytest.mark.parametrize("maps", [1, 3, 4])
@pytest.mark.parametrize(
    "sizes", [(19, 19), (48, 48), (128, 128), (256, 128), (300, 100), (1024, 512)]
)
def test_tilings_divide_the_sizes_and_fit_a_gpu(precision, maps, sizes):
    units, width = map(padded, sizes)
    for shared in (99 << 10, 163 << 10, 227 << 10):
        rows = triton_layout.ROWS[precision]
        tiling = triton_layout.tiling_for(units, width, maps, precision, shared, rows)
        assert shared_bytes(tiling, maps, 2 if precision == "bf16" else 4) <= shared
        for size, parts in (
            (units, (tiling.units_block, tiling.units_chunk)),
            (width, (tiling.width_block, tiling.width_chunk, tiling.heads_chunk)),
        ):
            for part in parts:
                assert part >= 16
                assert size % part == 0


def test_without_triton_the_implementation_says_so(monkeypatch):
    monkeypatch.setattr(triton_sweep, "_has_triton", lambda: False)
    with pytest.raises(InputError, match="triton is asked for, but it needs the package triton"):
        implementations.run("triton", example(KIND, CPU))


def test_a_layer_on_a_cpu_is_refused(monkeypatch):
    monkeypatch.setattr(triton_sweep, "_has_triton", lambda: True)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(InputError, match="computes on a CUDA GPU, and the layer is on cpu"):
        implementations.run("triton", example(KIND, CPU))


def test_an_implementation_that_fails_its_trial_is_passed_over(monkeypatch, capsys):
    module = implementations.module_of
    stand_in = SimpleNamespace(refuses=lambda r: None, works_here=lambda r: "is off by one")
    monkeypatch.setattr(
        implementations, "module_of", lambda name: stand_in if name == "triton" else module(name)
    )
    monkeypatch.setitem(implementations._BY_DEVICE, "cpu", implementations._BY_DEVICE["cuda"])
    assert implementations._BY_DEVICE["cuda"][0] == "triton"
    r = example(KIND, CPU)
    for _ in range(2):
        assert implementations.run("auto", r)[2] == "portable"
    note = "note: the triton CfC is off by one; another computes instead, more slowly\n"
    assert capsys.readouterr().err == note
    with pytest.raises(InputError, match="triton is asked for, but it is off by one"):
        implementations.run("triton", r)
    stand_in.works_here = lambda r: None
    stand_in.run = lambda r: (r.products, None)
    assert implementations.run("auto", r) == (None, None, "triton")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert implementations.run("auto", r) == (torch.bfloat16, None, "triton")


def test_a_trial_that_cannot_run_says_why(monkeypatch):
    def fail(r):
        raise RuntimeError("no compiler\nfound")

    monkeypatch.setattr(triton_sweep, "run", fail)
    triton_sweep._problem.cache_clear()
    assert "RuntimeError: no compiler found" in triton_sweep.works_here(example(KIND, CPU))
    triton_sweep._problem.cache_clear()
