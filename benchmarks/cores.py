"""One core forwards and backwards: the CfC's implementations, the library's, and torch's LSTM and GRU.

    python benchmarks/cores.py [--quick] [--threads 2] [--case quickdraw] [--out cores.csv]

First every implementation must have the library's numbers. Then all take turns, and each is divided by the
library's CfC and by torch's one-layer LSTM of the same units. Last the floor: the operations that no
implementation can do without, at the speed of this machine's own matrix products. Below 1 is faster.
"""

import argparse
import copy
import multiprocessing
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

from library_core import LibraryCfCCore
from timing import compared, interleaved, save, show

from liquidbench.allocator import keep_freed_memory
from liquidbench.models.cfc import implementations
from liquidbench.models.cfc.core import CfCCore
from liquidbench.models.cfc.library import load_ncps
from liquidbench.models.torch_cores import GRUCore, LSTMCore

LIBRARY, LSTM = "ncps CfC", "LSTM"

PRODUCT = "a product of square matrices"
PRODUCT_SIZE = 1536


@dataclass(frozen=True)
class Case:
    """A shape of the study.

    Attributes:
        batch, time, features, units: sizes.
        backbone_units: width of the CfC's backbone, one layer.
        projection: the library projects each state; ours projects what the model's mean leaves of them.
        timed: with elapsed times.
        inputs_learn: whether the inputs get a gradient, as behind an encoder that learns.
    """

    batch: int
    time: int
    features: int
    units: int
    backbone_units: int = 128
    projection: bool = False
    timed: bool = False
    inputs_learn: bool = True


CASES = {
    "nmnist": Case(64, 10, 4096, 128, projection=True),
    "quickdraw": Case(128, 100, 128, 256, projection=True),
    "iam": Case(8, 128, 4096, 256),
    # As the paper has it, and with elapsed times.
    "physionet-128": Case(32, 48, 40, 128, inputs_learn=False),
    "physionet-256": Case(32, 48, 40, 256, inputs_learn=False),
    "physionet-128-timed": Case(32, 48, 40, 128, timed=True, inputs_learn=False),
    "physionet-256-timed": Case(32, 48, 40, 256, timed=True, inputs_learn=False),
    "physionet-128-timed-long": Case(32, 336, 40, 128, timed=True, inputs_learn=False),
    "physionet-256-timed-long": Case(32, 336, 40, 256, timed=True, inputs_learn=False),
}


def cores_of(case: Case) -> dict[str, nn.Module]:
    """Variant to a core; the CfCs have the same weights."""
    torch.manual_seed(0)
    sizes = case.features, case.units
    options = {"backbone_units": case.backbone_units, "projection": case.projection}
    library = LibraryCfCCore(*sizes, **options)
    cores: dict[str, nn.Module] = {LIBRARY: library}
    for name in available():
        cores[f"CfC {name}"] = CfCCore(*sizes, **options, implementation=name)
        load_ncps(cores[f"CfC {name}"], library.cfc.state_dict())
    return cores | {
        LSTM: LSTMCore(*sizes),
        "LSTM, 2 layers": LSTMCore(*sizes, 2),
        "GRU": GRUCore(*sizes),
    }


def steps_of(case: Case, cores: dict[str, nn.Module]) -> dict[str, Callable[[], list[Tensor]]]:
    """Variant to a function that goes forwards and backwards once; gives the output and the inputs' gradient, if any.

    With a projection, states are averaged over time as the study's models do, and each core projects where it does.
    Without, a random gradient comes back from every step.
    """
    x = torch.randn(case.batch, case.time, case.features, requires_grad=case.inputs_learn)
    elapsed = 3 * torch.rand(case.batch, case.time) if case.timed else None
    weights = torch.randn(case.batch, case.time, case.units)

    def step(core: nn.Module) -> list[Tensor]:
        core.zero_grad()
        x.grad = None
        out = core(x, elapsed, None)
        if case.projection:
            out = core.readout(out.mean(dim=1))
        out.backward(weights[:, 0] if case.projection else weights)
        return [out.detach(), *([] if x.grad is None else [x.grad])]

    return {name: partial(step, core) for name, core in cores.items()}


def available() -> list[str]:
    """The implementations that this machine can run on a CPU."""
    probe = CfCCore(2, 2).layers[0]
    recurrence = probe.recurrence(torch.zeros(1, 1, 2), None, None, torch.zeros(1, 2))
    modules = {name: implementations.module_of(name) for name in implementations.MODULES}
    return [
        name
        for name, module in modules.items()
        if not module.refuses(recurrence) and not implementations.works_here(module, recurrence)
    ]


def check(
    case_name: str, cores: dict[str, nn.Module], steps: dict[str, Callable[[], list[Tensor]]]
) -> None:
    """Stop unless every CfC has the library's output and gradients, of inputs and parameters, relative 1e-5.

    Raises:
        SystemExit: one has not.
    """
    expected = steps[LIBRARY]()
    for name, step in steps.items():
        if not name.startswith("CfC"):
            continue
        got = step() + [parameter.grad for parameter in cores[name].parameters()]
        wanted = expected + gradients_of_library(cores[LIBRARY], cores[name])
        for ours, theirs in zip(got, wanted, strict=True):
            error = float((ours - theirs).abs().max() / theirs.abs().max())
            if not error < 1e-5:
                sys.exit(f"error: {case_name}: {name} is {error:.1e} off the library's numbers")


def gradients_of_library(library: nn.Module, ours: nn.Module) -> list[Tensor]:
    """The gradients that the library's core has, in the order and shapes of our parameters."""
    holder = copy.deepcopy(ours)
    gradients = {name: parameter.grad for name, parameter in library.cfc.named_parameters()}
    load_ncps(holder, library.cfc.state_dict() | gradients)
    return [parameter.detach() for parameter in holder.parameters()]


def floor(case: Case) -> tuple[float, float]:
    """Operations of a CfC and of a one-layer LSTM that products cannot save, forwards and backwards, in GFLOP.

    Two per product and sum; backwards twice as many, less what no gradient of the inputs saves. Element-wise
    functions count nothing, so this is a bound from below.
    """
    rows = case.batch * case.time
    units, width = case.units, case.backbone_units
    maps = 4 if case.timed else 3
    passes_inputs = 3 if case.inputs_learn else 2
    inputs, recurrent = case.features * width, width * units + width * maps * units
    cfc = 2 * rows * (passes_inputs * inputs + 3 * recurrent)
    lstm = 2 * rows * 4 * units * (passes_inputs * case.features + 3 * units)
    return cfc / 1e9, lstm / 1e9


def with_floors(case: Case, times: pd.DataFrame) -> pd.DataFrame:
    """Times with two more columns: what the floors' operations take at the rate of the same round's product."""
    seconds_per_gflop = times[PRODUCT] / (2 * PRODUCT_SIZE**3 / 1e9)
    cfc, lstm = floor(case)
    floors = {
        "floor of a CfC": cfc * seconds_per_gflop,
        "floor of an LSTM": lstm * seconds_per_gflop,
    }
    return times.drop(columns=PRODUCT).assign(**floors)


def peak_memory_megabytes(case_name: str, variant: str, threads: int) -> float:
    """How much more memory a process of its own needs for three steps of one variant than for having built it."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure_memory, (case_name, variant, threads))


def _measure_memory(case_name: str, variant: str, threads: int) -> float:
    torch.set_num_threads(threads)
    case = CASES[case_name]
    step = steps_of(case, cores_of(case))[variant]
    # Threads and libraries are there after a first product of any kind.
    nn.Linear(512, 512)(torch.randn(512, 512)).sum().backward()
    # 5 sets the peak back to what is held now: https://docs.kernel.org/filesystems/proc.html
    Path("/proc/self/clear_refs").write_text("5")
    before = _peak_kilobytes()
    for _ in range(3):
        step()
    return (_peak_kilobytes() - before) / 1024


def _peak_kilobytes() -> int:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)[1])


def measure(names: list[str], rounds: int) -> pd.DataFrame:
    """Check, time and print all cases."""
    tables = []
    square = torch.randn(PRODUCT_SIZE, PRODUCT_SIZE)
    for name in names:
        case = CASES[name]
        cores = cores_of(case)
        steps = steps_of(case, cores)
        check(name, cores, steps)
        times = with_floors(case, interleaved({**steps, PRODUCT: lambda: square @ square}, rounds))
        for reference in (LSTM, LIBRARY):
            table = compared(times, reference, "core", name)
            tables.append(table)
            show(table, f"{name}: forwards and backwards, relative to {reference}")
    return pd.concat(tables, ignore_index=True)


def measure_memory(names: list[str], threads: int) -> pd.DataFrame:
    """Peak memory of each CfC relative to the library's."""
    rows = []
    for name in names:
        found = {
            variant: peak_memory_megabytes(name, variant, threads)
            for variant in [LIBRARY, *(f"CfC {implementation}" for implementation in available())]
        }
        rows += [
            {"case": name, "variant": variant, "megabytes": value, "ratio": value / found[LIBRARY]}
            for variant, value in found.items()
        ]
    table = pd.DataFrame(rows)
    print("\nPeak memory of three steps, relative to the library's\n")
    print(table.to_markdown(index=False, floatfmt=".3g"))
    return table


def main() -> None:
    """Parse the command line, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few rounds, no memory")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument("--case", choices=CASES, action="append", help="instead of all")
    parser.add_argument("--out", type=Path, help="CSV of the times; memory goes beside it")
    arguments = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    names = arguments.case or list(CASES)
    table = measure(names, 3 if arguments.quick else 11)
    if arguments.out:
        save(table, arguments.out)
    if arguments.quick or not Path("/proc/self/clear_refs").exists():
        reason = "--quick leaves it out" if arguments.quick else "it takes Linux"
        print(f"\nPeak memory is not measured: {reason}")
    else:
        memory = measure_memory(names, arguments.threads)
        if arguments.out:
            save(memory, arguments.out.with_name(f"{arguments.out.stem}-memory.csv"))


if __name__ == "__main__":
    main()
