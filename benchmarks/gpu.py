"""The CfC on a CUDA GPU: whether every implementation computes the same, then how fast each is beside cuDNN.

    python benchmarks/gpu.py --out gpu.csv            # all of it: some ten minutes, kernels are compiled first
    python benchmarks/gpu.py --check-only
    python benchmarks/gpu.py --check-only --interpret # without a GPU: the same checks of small layers, on a CPU

A check compares states and all gradients with the plain loop's, and asks for the same bits twice. A time is that of a
forward and a backward pass, inputs' gradients included, of an encoder's features as the study has them.
"""

import argparse
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))

from cores import CASES, Case
from library_core import LibraryCfCCore
from timing import compared, interleaved, save, show

from liquidbench.models.cfc import implementations, triton_trial
from liquidbench.models.cfc.core import CfCCore
from liquidbench.models.cfc.triton_layout import ROWS, Kind
from liquidbench.models.cfc.triton_trial import TOLERANCES
from liquidbench.models.torch_cores import GRUCore, LSTMCore

REFERENCE = "LSTM, two layers"


SHAPES = {name: case for name, case in CASES.items() if not name.endswith("-long")} | {
    # None of the study's: a kernel's program reads all weights in every step, which must lose to cuBLAS at some size.
    "large": Case(128, 50, 128, 1024),
}
PRECISIONS = {"float32": "ieee", "tf32": "tf32", "bfloat16": "bf16"}


def kinds(precision: str, small: bool) -> Iterator[Kind]:
    """Layers to check: every mode, activation and depth at small odd sizes, then the study's sizes and larger ones."""
    for mode in ("default", "no_gate", "pure"):
        for timed, ragged in ((False, False), (True, True)):
            yield Kind(mode, "lecun_tanh", timed, ragged, 21, 37, 1, precision)
        yield Kind(mode, "tanh", True, False, 19, 19, 0, precision)
    for activation in ("tanh", "relu", "silu", "gelu"):
        yield Kind("default", activation, False, True, 21, 37, 2, precision)
    if small:
        return
    for units in (128, 256):
        for mode in ("default", "no_gate", "pure"):
            for timed, ragged in ((False, False), (False, True), (True, True)):
                yield Kind(mode, "lecun_tanh", timed, ragged, units, 128, 1, precision)
    yield Kind("default", "silu", True, True, 256, 128, 3, precision)
    yield Kind("default", "lecun_tanh", True, True, 300, 100, 1, precision)
    yield Kind("default", "lecun_tanh", True, True, 512, 256, 2, precision)


def check(device: torch.device, names: list[str]) -> pd.DataFrame:
    """A row for every implementation and layer; `problem` is empty where all is well, `refused` where it was run."""
    small = device.type == "cpu"
    rows = []
    for precision_name, precision in PRECISIONS.items():
        # A CPU multiplies in float32, and Triton's interpreter cannot multiply bfloat16.
        if small and precision != "ieee":
            continue
        with precision_of_products(precision_name):
            for kind in kinds(precision, small):
                batch, steps = (11, 3) if small else (131, 20)
                r = triton_trial.example(kind, device, batch, steps)
                for name in names:
                    # The others do not follow autocast.
                    if precision == "bf16" and name != "triton":
                        continue
                    started = time.perf_counter()
                    refused = implementations.module_of(name).refuses(r) or ""
                    worst, error, problem = "", float("nan"), ""
                    if not refused:
                        worst, error, problem = _checked(name, r, TOLERANCES[precision])
                    seconds = time.perf_counter() - started
                    values = (name, precision_name, *_words(kind), worst, error, seconds)
                    rows.append(dict(zip(CHECK_COLUMNS, (*values, problem, refused))))
                    if problem:
                        print(f"WRONG: {name}, {precision_name}, {kind}: {problem}", flush=True)
    return pd.DataFrame(rows, columns=CHECK_COLUMNS)


CHECK_COLUMNS = [
    *["implementation", "precision", "mode", "activation", "timed", "ragged", "units", "width"],
    *["depth", "worst", "error", "seconds", "problem", "refused"],
]


def report(checks: pd.DataFrame) -> None:
    """Print the largest differences, and what was not run."""
    for name, reason in (
        checks.loc[checks["refused"] != "", ["implementation", "refused"]].value_counts().index
    ):
        print(f"not run everywhere: {name} {reason}")
    groups = checks[checks["refused"] == ""].groupby(["implementation", "precision"])
    largest = groups["error"].agg(["count", "max"]).reset_index()
    print(f"\nLargest differences from the plain loop\n\n{largest.to_markdown(index=False)}")
    wrong = (checks["problem"] != "").sum()
    print(f"\n{len(checks)} checks, {wrong} wrong", flush=True)


def _words(kind: Kind) -> tuple[object, ...]:
    plain = (kind.mode, kind.activation, kind.timed, kind.ragged)
    return (*plain, kind.units, kind.width, kind.depth)


def _checked(name: str, r: object, tolerance: float) -> tuple[str, float, str]:
    """What is furthest from the plain loop's, how far, and what is wrong about that."""
    module = implementations.module_of(name)
    try:
        errors = triton_trial.errors(r, module.run)
        first, again = module.run(r)[0], module.run(r)[0]
    except Exception as error:  # whatever a compiler or a driver may raise
        return "", float("nan"), f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    worst = max(errors, key=lambda key: float("inf") if errors[key] != errors[key] else errors[key])
    if not errors[worst] <= tolerance:
        return worst, errors[worst], f"{worst} differ by {errors[worst]:.2g} of the largest"
    if not torch.equal(first, again):
        return worst, errors[worst], "two runs give other numbers"
    return worst, errors[worst], ""


@contextmanager
def precision_of_products(name: str) -> Iterator[None]:
    """TF32 for matrix products and cuDNN alike, or for neither."""
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = name == "tf32"
    try:
        yield
    finally:
        for backend, value in zip(backends, before):
            backend.allow_tf32 = value


def steps_to_time(shape: Case, precision: str, device: torch.device) -> dict[str, Callable]:
    """Name to a function that does one forward and backward pass, and waits for neither."""
    torch.manual_seed(0)
    features = torch.randn(shape.batch, shape.time, shape.features, device=device)
    features.requires_grad_()
    elapsed = torch.rand(shape.batch, shape.time, device=device) * 2.0 if shape.timed else None
    weights = torch.linspace(-1.0, 1.0, shape.batch * shape.time * shape.units, device=device)
    weights = weights.view(shape.batch, shape.time, shape.units)
    sizes = shape.features, shape.units

    def step_of(core: nn.Module) -> Callable[[], object]:
        core.to(device)
        wanted = [features, *(p for p in core.parameters() if p.requires_grad)]

        def step() -> object:
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
                states = core(features, elapsed, None)
            return torch.autograd.grad((states * weights).sum(), wanted, allow_unused=True)

        return step

    def cfc(name: str) -> Callable[[], object]:
        return step_of(CfCCore(*sizes, backbone_units=shape.backbone_units, implementation=name))

    steps = {
        "LSTM, one layer": step_of(LSTMCore(*sizes)),
        REFERENCE: step_of(LSTMCore(*sizes, 2)),
        "GRU, one layer": step_of(GRUCore(*sizes)),
        "GRU, two layers": step_of(GRUCore(*sizes, 2)),
        "CfC, ncps": step_of(LibraryCfCCore(*sizes, backbone_units=shape.backbone_units)),
        "CfC, reference": cfc("reference"),
        "CfC, portable": cfc("portable"),
        "CfC, portable in a graph": in_graph(cfc("portable")),
    }
    if implementations.module_of("triton").refuses(
        triton_trial.example(Kind("default", "tanh", False, False, 1, 1, 1, "ieee"), device)
    ):
        return steps
    steps["CfC, triton"] = cfc("triton")
    steps["CfC, triton in a graph"] = in_graph(cfc("triton"))
    if precision == "float32":
        # Whether the choice of `ROWS` is right for this GPU.
        for rows in (4, 8, 16):
            if rows != ROWS["ieee"]:
                steps[f"CfC, triton, {rows} rows"] = with_rows(cfc("triton"), rows)
    return steps


def in_graph(step: Callable[[], object]) -> Callable[[], object]:
    """A CUDA graph of a step, captured when first called."""
    replay: list[Callable[[], object]] = []

    def run() -> object:
        if not replay:
            # As PyTorch's notes on CUDA graphs ask: some rounds on a stream of their own, before the capture.
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(3):
                    step()
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                step()
            replay.append(graph.replay)
        return replay[0]()

    return run


def with_rows(step: Callable[[], object], rows: int) -> Callable[[], object]:
    """A step with another number of sequences per program."""

    def run() -> object:
        before = ROWS["ieee"]
        ROWS["ieee"] = rows
        try:
            return step()
        finally:
            ROWS["ieee"] = before

    return run


def measure(
    names: list[str], precisions: list[str], rounds: int, device: torch.device
) -> pd.DataFrame:
    """Medians, ratios to the two-layer LSTM, and the most memory that a first and a second pass take at once."""
    tables = []
    for name in names:
        shape = SHAPES[name]
        for precision in precisions:
            case = f"{name} B{shape.batch} T{shape.time} in{shape.features} H{shape.units}, {precision}"
            with precision_of_products(precision):
                ready, peaks = {}, {}
                for variant, step in steps_to_time(shape, precision, device).items():
                    try:
                        peaks[variant] = _peak_mebibytes(step)
                        ready[variant] = _waiting(step)
                    except Exception as error:  # one variant must not cost the others
                        text = " ".join(str(error).split())[:300]
                        print(f"left out: {variant}, {case}: {type(error).__name__}: {text}")
                table = compared(
                    interleaved(ready, rounds), REFERENCE, "forward and backward", case
                )
                table["peak_mebibytes"] = table["variant"].map(peaks)
                show(table, case)
                tables.append(table)
                del ready
                torch.cuda.empty_cache()
    return pd.concat(tables, ignore_index=True)


def _waiting(step: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        step()
        torch.cuda.synchronize()

    return run


def _peak_mebibytes(step: Callable[[], object]) -> float:
    """Beyond what was there before; the first pass also compiles, and captures a graph."""
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    for _ in range(2):
        step()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def main() -> None:
    """Check, then time."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="times as CSV; checks go beside it, -checks.csv")
    parser.add_argument("--check-only", action="store_true", help="no times")
    parser.add_argument("--time-only", action="store_true", help="no checks")
    parser.add_argument("--interpret", action="store_true", help="check on a CPU, small layers")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), choices=SHAPES)
    parser.add_argument("--precisions", nargs="+", default=list(PRECISIONS), choices=PRECISIONS)
    options = parser.parse_args()
    if options.interpret and not options.check_only:
        parser.error("--interpret needs --check-only: times without a GPU say nothing")
    names = [name for name in implementations.MODULES if name != "reference"]
    if options.interpret:
        os.environ["TRITON_INTERPRET"] = "1"
        device = torch.device("cpu")
        if importlib.util.find_spec("triton") is None:
            print("note: the package triton is not installed, so its kernels are not checked")
            names.remove("triton")
    elif torch.cuda.is_available():
        device = torch.device("cuda", torch.cuda.current_device())
        names.remove("native")
        print(f"{torch.cuda.get_device_name(device)}, PyTorch {torch.__version__}", flush=True)
    else:
        sys.exit("error: no CUDA GPU that PyTorch can use; --check-only --interpret checks without")
    wrong = 0
    if not options.time_only:
        checks = check(device, names)
        wrong = int((checks["problem"] != "").sum())
        report(checks)
        if options.out:
            save(checks, options.out.with_name(f"{options.out.stem}-checks.csv"))
    if not options.check_only:
        times = measure(options.shapes, options.precisions, options.rounds, device)
        times["device"] = torch.cuda.get_device_name(device)
        if options.out:
            save(times, options.out)
    if wrong:
        sys.exit(1)


if __name__ == "__main__":
    main()
