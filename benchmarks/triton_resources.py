"""What the Triton kernels of a CfC layer take of a GPU, compiled for it without having one.

Needs the package triton. For every shape, precision and compute capability a row: registers and spilled bytes per
thread (from the compiler's own report), shared memory, and the upper bound of it that the implementation reckons with.

    python benchmarks/triton_resources.py --capabilities 80 90 --out resources.csv
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))

import triton
from timing import save
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from liquidbench.models.cfc import triton_kernels
from liquidbench.models.cfc.triton_layout import (
    ROWS,
    Kind,
    Tiling,
    padded,
    shared_bytes,
    tiling_for,
)

# Shared memory that a program may have (CUDA C++ Programming Guide, table "Technical Specifications").
SHARED = {
    **{80: 163 * 1024, 86: 99 * 1024, 89: 99 * 1024},
    **{90: 227 * 1024, 100: 227 * 1024, 120: 99 * 1024},
}
# (mode, timed, ragged, units, width, depth)
CASES = {
    "N-MNIST": ("default", False, False, 128, 128, 1),
    "QuickDraw": ("default", False, True, 256, 128, 1),
    "IAM": ("default", False, True, 256, 128, 1),
    "PhysioNet 128": ("default", True, True, 128, 128, 1),
    "PhysioNet 256": ("default", True, True, 256, 128, 1),
    "pure": ("pure", True, True, 256, 128, 1),
    "two backbone layers": ("default", False, False, 256, 128, 2),
    "no backbone": ("default", True, True, 64, 64, 0),
    "wide": ("default", True, True, 512, 256, 1),
    "odd": ("default", True, True, 300, 100, 1),
}


def _tiling(kind: Kind, shared: int) -> Tiling:
    sizes = padded(kind.units), padded(kind.width)
    return tiling_for(*sizes, kind.maps, kind.precision, shared, ROWS[kind.precision])


def compiled(name: str, kind: Kind, shared: int, capability: int) -> tuple[Any, int, int]:
    """One kernel: what Triton says of it, registers per thread, and bytes spilled per thread."""
    tiling = _tiling(kind, shared)
    options = kind.options(tiling)
    if name == "forward":
        options |= {"KEEP": True, "HEADS_CHUNK": tiling.heads_chunk, "REAL_WIDTH": kind.width}
    for_compiler = {name: options.pop(name) for name in ("num_warps", "enable_fp_fusion")}
    kernel = getattr(triton_kernels, name)
    weight = "*bf16" if kind.precision == "bf16" else "*fp32"
    types = {
        **{"lengths": "*i64", "order": "*i32"},
        **dict.fromkeys(("batch", "time", "padded_batch"), "i32"),
        **dict.fromkeys(("first", "inner", "heads"), weight),
        **dict.fromkeys(options, "constexpr"),
    }
    signature = {argument: types.get(argument, "*fp32") for argument in kernel.arg_names}
    aligned = {
        (i,): [["tt.divisibility", 16]]
        for i, argument in enumerate(kernel.arg_names)
        if signature[argument].startswith("*")
    }
    source = ASTSource(kernel, signature, options, aligned)
    target = GPUTarget("cuda", capability, 32)
    result = triton.compile(source, target=target, options=for_compiler)
    return result, *_registers(result.asm["cubin"])


def _registers(cubin: bytes) -> tuple[int, int]:
    tool = triton.knobs.nvidia.cuobjdump.path
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        report = subprocess.run(
            [tool, "-res-usage", file.name], check=True, capture_output=True, text=True
        ).stdout
    numbers = dict(
        part.split(":") for part in report.split() if part.count(":") == 1 and part[-1] != ":"
    )
    return int(numbers["REG"]), int(numbers["STACK"])


def main() -> None:
    """Compile and report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--capabilities", type=int, nargs="+", default=[80, 90], choices=SHARED)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--precisions", nargs="+", default=["ieee", "tf32", "bf16"])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = []
    for capability in options.capabilities:
        for case in options.cases:
            for precision in options.precisions:
                mode, timed, ragged, units, width, depth = CASES[case]
                kind = Kind(mode, "lecun_tanh", timed, ragged, units, width, depth, precision)
                shared = SHARED[capability]
                tiling = _tiling(kind, shared)
                bound = shared_bytes(tiling, kind.maps, 2 if precision == "bf16" else 4)
                for name in ("forward", "backward"):
                    result, registers, stack = compiled(name, kind, shared, capability)
                    rows.append(
                        {
                            **{"capability": capability, "case": case, "precision": precision},
                            **{"kernel": name, "rows": tiling.rows, "warps": tiling.warps},
                            **{"block": tiling.units_block, "stages": tiling.stages},
                            **{"registers": registers, "stack_bytes": stack},
                            **{"shared": result.metadata.shared, "bound": bound, "limit": shared},
                        }
                    )
                    print(*rows[-1].values(), sep="\t", flush=True)
    table = pd.DataFrame(rows)
    if options.out:
        save(table, options.out)


if __name__ == "__main__":
    main()
