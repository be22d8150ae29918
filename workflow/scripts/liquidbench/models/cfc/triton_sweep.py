"""The loop over time as one Triton kernel per direction, on a CUDA GPU.

What does not depend on the state is done outside the loop, as in `portable.py`: the inputs' part before it, the
gradients of weights, as large products in float32, after it. In between `triton_kernels.py` needs one launch where
portable needs some six per step. Under autocast to bfloat16 the products within the loop round their operands to it
and sum in float32; states and everything else stay float32. Without autocast they are float32 products in full, or
TF32 where `torch.backends.cuda.matmul.allow_tf32` says so.

A kernel is right only where it has proved so: `works_here` compares it with the plain loop on the GPU at hand, and
`implementations.py` asks that before it chooses this.
"""

import functools
import importlib.util
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from liquidbench.models.cfc import recurrence
from liquidbench.models.cfc.gates import Solution
from liquidbench.models.cfc.recurrence import Recurrence

# Shared memory of a program that every GPU from compute capability 8.0 on has.
_LEAST_SHARED = 99 * 1024
# Columns of a product at a time, pieces of a matrix in use or on their way, and about how many bytes each has.
_CANDIDATES = (
    *((256, 4, 48 << 10), (256, 3, 48 << 10), (256, 3, 24 << 10), (128, 4, 24 << 10)),
    *((128, 3, 24 << 10), (64, 3, 24 << 10), (32, 3, 24 << 10), (32, 2, 12 << 10)),
)
# Sequences per program, by the precision of products. Tensor cores take 16 rows; products in full do not use them, and
# fewer rows spread over more processors.
ROWS = {"ieee": 8, "tf32": 16, "bf16": 16}
# Of what relative size, against the largest number of a result, differences from the plain loop may be.
TOLERANCES = {"ieee": 1e-4, "tf32": 2e-2, "bf16": 1e-1}


Compute = Callable[[Recurrence], tuple[Tensor, Tensor | None]]


@dataclass(frozen=True)
class Tiling:
    """How a program divides its products; all sizes are powers of two.

    Attributes:
        rows: sequences per program.
        units_block, width_block: columns of a product at a time, when they are units and when they are the backbone's.
        units_chunk, width_chunk: terms of a product at a time, likewise.
        heads_chunk: terms at a time of the products for the gates' maps, which run side by side.
        stages: pieces of a matrix that are on their way from memory at once.
        warps: per program.
    """

    rows: int
    units_block: int
    width_block: int
    units_chunk: int
    width_chunk: int
    heads_chunk: int
    stages: int
    warps: int


def padded(size: int) -> int:
    """Units or widths as the kernels have them: a multiple of 64, or of 32 where that does."""
    return 32 if size <= 32 else (size + 63) // 64 * 64


def _power_in(size: int, most: int) -> int:
    """The largest power of two that divides `size`, up to `most`."""
    return min(size & -size, most)


def _chunk(size: int, most: int) -> int:
    """The largest power of two that divides `size`, at least 16 and at most 64 or `most`."""
    return _power_in(size, min(64, 1 << (max(16, most).bit_length() - 1)))


def shared_bytes(tiling: Tiling, maps: int, itemsize: int) -> int:
    """The shared memory that both kernels need at most: the pieces on their way in the largest of the products.

    Args:
        tiling: of a layer.
        maps: that its gates have.
        itemsize: bytes of an operand of the products.
    """
    columns = max(tiling.units_block, tiling.width_block)
    largest = max(
        _piece(tiling, chunk, wide, itemsize)
        for chunk, wide in (
            (tiling.units_chunk, columns),
            (tiling.width_chunk, columns),
            (tiling.heads_chunk, maps * tiling.units_block),
        )
    )
    # What is computed with is no longer on its way; what changes its layout between products needs some room too.
    return max(largest * (tiling.stages - 1), 4 * tiling.rows * columns) + 1024


def _piece(tiling: Tiling, chunk: int, columns: int, itemsize: int) -> int:
    return chunk * (tiling.rows * 4 + columns * itemsize)


@functools.lru_cache(maxsize=64)
def tiling_for(units: int, width: int, maps: int, precision: str, shared: int, rows: int) -> Tiling:
    """The first tiling that fits, wide blocks and many stages first; the least of all where none does.

    Args:
        units: padded.
        width: of the backbone, padded.
        maps: that the gates have.
        precision: a key of `TOLERANCES`.
        shared: bytes of shared memory that a program may have.
        rows: sequences per program.
    """
    itemsize = 2 if precision == "bf16" else 4
    for block, stages, piece in _CANDIDATES:
        units_block, width_block = _power_in(units, block), _power_in(width, min(block, 128))
        columns = max(units_block, width_block)
        tiling = Tiling(
            rows=rows,
            units_block=units_block,
            width_block=width_block,
            units_chunk=_chunk(units, piece // (columns * itemsize)),
            width_chunk=_chunk(width, piece // (columns * itemsize)),
            heads_chunk=_chunk(width, piece // (maps * units_block * itemsize)),
            stages=stages,
            warps=4 if units_block < 128 else rows // 2 if precision == "ieee" else 8,
        )
        if shared_bytes(tiling, maps, itemsize) <= shared:
            break
    return tiling


@dataclass(frozen=True)
class Kind:
    """What the kernels are compiled for.

    Attributes:
        mode, activation: as in `Recurrence`.
        timed, ragged: whether there are elapsed times and lengths.
        units, width: of the state and of the backbone; without a backbone the width is that of the state.
        depth: backbone layers.
        precision: of the products, a key of `TOLERANCES`.
    """

    mode: str
    activation: str
    timed: bool
    ragged: bool
    units: int
    width: int
    depth: int
    precision: str

    @property
    def maps(self) -> int:
        """Maps that the gates have."""
        return 1 if self.mode == "pure" else 4 if self.timed else 3

    @property
    def keeps_slopes(self) -> bool:
        """Whether the derivatives of the activations cannot be told from their values."""
        return self.depth > 0 and self.activation in ("silu", "gelu")

    @property
    def dtype(self) -> torch.dtype:
        """Of the products' operands."""
        return torch.bfloat16 if self.precision == "bf16" else torch.float32

    def tiling(self, device: torch.device) -> Tiling:
        """How the kernels divide their products on a GPU."""
        sizes = padded(self.units), padded(self.width)
        shared, rows = _shared_memory(device), ROWS[self.precision]
        return tiling_for(*sizes, self.maps, self.precision, shared, rows)

    def shared_bytes(self, device: torch.device) -> int:
        """Bytes of shared memory that the kernels need at most."""
        return shared_bytes(self.tiling(device), self.maps, self.dtype.itemsize)

    def options(self, tiling: Tiling) -> dict[str, Any]:
        """The compile-time arguments that both kernels have."""
        return {
            "MODE": self.mode,
            "ACTIVATION": self.activation,
            "DEPTH": self.depth,
            "MAPS": self.maps,
            "UNITS": padded(self.units),
            "WIDTH": padded(self.width),
            "REAL_UNITS": self.units,
            "TIMED": self.timed,
            "RAGGED": self.ragged,
            "SLOPES": self.keeps_slopes,
            "PRECISION": "tf32" if self.precision == "tf32" else "ieee",
            "ROWS": tiling.rows,
            "UNITS_BLOCK": tiling.units_block,
            "WIDTH_BLOCK": tiling.width_block,
            "UNITS_CHUNK": tiling.units_chunk,
            "WIDTH_CHUNK": tiling.width_chunk,
            "STAGES": tiling.stages,
            "num_warps": tiling.warps,
            # A product and a sum in one operation, as everywhere on a GPU; the default differs between versions.
            "enable_fp_fusion": True,
        }


def kind_of(r: Recurrence) -> Kind:
    """What the kernels for a layer are compiled for."""
    precision = "tf32" if torch.backends.cuda.matmul.allow_tf32 else "ieee"
    if r.products is torch.bfloat16:
        precision = "bf16"
    depth = len(r.weights) - 1
    return Kind(
        mode=r.mode,
        activation=r.activation,
        timed=r.elapsed is not None,
        ragged=r.lengths is not None,
        units=r.units,
        width=r.weights[0].shape[0] if depth else r.units,
        depth=depth,
        precision=precision,
    )


def refuses(r: Recurrence) -> str | None:
    """Why this implementation cannot take a layer, or None."""
    if not _has_triton():
        return "needs the package triton, which is not installed"
    if r.inputs.device.type != "cuda" and not _interpreted():
        return f"computes on a CUDA GPU, and the layer is on {r.inputs.device.type}"
    if r.inputs.dtype != torch.float32:
        return f"computes in float32, not {r.inputs.dtype}"
    if r.memory is not None:
        return "has no mixed memory"
    if r.dropout is not None:
        return "has no dropout in the backbone"
    if r.elapsed is not None and r.elapsed.requires_grad:
        return "has no gradient of elapsed times"
    if len({weight.shape[0] for weight in r.weights[:-1]}) > 1:
        return "needs backbone layers of one width"
    kind, device = kind_of(r), r.inputs.device
    needed, there = kind.shared_bytes(device), _shared_memory(device)
    if needed > there:
        return f"needs {needed} bytes of shared memory, and the GPU has {there}"
    return None


def _shared_memory(device: torch.device) -> int:
    """Bytes of shared memory that a program may have."""
    if device.type != "cuda":
        return _LEAST_SHARED
    properties = torch.cuda.get_device_properties(device)
    return getattr(properties, "shared_memory_per_block_optin", _LEAST_SHARED)


def works_here(r: Recurrence) -> str | None:
    """What is wrong with the kernels for a layer's options and sizes on the GPU at hand, in words, or None.

    A small batch with random weights is tried, once per process and kind of layer: its states and gradients must be
    the plain loop's, and the kernels must compile and run in the first place.
    """
    return _problem(kind_of(r), r.inputs.device)


@functools.lru_cache(maxsize=256)
def _problem(kind: Kind, device: torch.device) -> str | None:
    try:
        # Whatever surrounds the call, the trial needs gradients and full precision in the plain loop.
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autocast(device.type, enabled=False),
        ):
            problem = difference(example(kind, device), TOLERANCES[kind.precision])
    except Exception as error:  # whatever a compiler or a driver may raise
        problem = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return problem and f"fails its trial on {device} ({kind.mode}, {kind.units} units): {problem}"


def example(kind: Kind, device: torch.device, batch: int = 19, time: int = 4) -> Recurrence:
    """A random batch for a layer of a kind, from a random generator of its own."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        values = torch.randn(*shape, generator=generator) * scale
        return values.to(device).requires_grad_()

    heights = [*[kind.width] * kind.depth, kind.maps * kind.units]
    sizes = [kind.units, *heights[:-1]]
    elapsed = torch.rand(batch, time, generator=generator).to(device) * 2.0
    pure = kind.mode == "pure"
    return Recurrence(
        mode=kind.mode,
        activation=kind.activation,
        inputs=normal(batch, time, heights[0]),
        elapsed=elapsed if kind.timed else None,
        lengths=(torch.arange(batch) % time + 1).to(device) if kind.ragged else None,
        initial=normal(batch, kind.units),
        weights=tuple(normal(h, n, scale=n**-0.5) for h, n in zip(heights, sizes)),
        biases=tuple(normal(h) for h in heights[1:]),
        decay=normal(kind.units) if pure else None,
        asymptote=normal(kind.units) if pure else None,
        products=torch.bfloat16 if kind.precision == "bf16" else None,
    )


def errors(r: Recurrence, compute: Compute) -> dict[str, float]:
    """How far a layer's states and gradients are from the plain loop's, as a share of the largest number of each.

    Args:
        r: the layer; every tensor but lengths and elapsed times requires gradients.
        compute: an implementation's `run`.
    """
    tensors = {
        "inputs": r.inputs,
        "initial state": r.initial,
        **{f"weights {i}": weight for i, weight in enumerate(r.weights)},
        **{f"biases {i}": bias for i, bias in enumerate(r.biases)},
        "decay": r.decay,
        "asymptote": r.asymptote,
    }
    tensors = {n: tensor for n, tensor in tensors.items() if tensor is not None}
    expected, got = (_states_and_gradients(r, how, tensors) for how in (recurrence.run, compute))
    with torch.no_grad():
        without = compute(r)[0]
    return {
        name: ((b - a).abs().max() / a.abs().max().clamp_min(1e-6)).item()
        for name, a, b in (
            *zip(["states", *tensors], expected, got),
            ("states without gradients", expected[0], without),
        )
    }


def _states_and_gradients(
    r: Recurrence, compute: Compute, tensors: dict[str, Tensor]
) -> list[Tensor]:
    states, _ = compute(r)
    # Another weight for every state: a plain sum would hide exchanged ones.
    weights = torch.linspace(-1.0, 1.0, states.numel(), device=states.device)
    loss = (states * weights.view(states.shape)).sum()
    return [states.detach(), *torch.autograd.grad(loss, list(tensors.values()))]


def difference(r: Recurrence, tolerance: float) -> str | None:
    """What of a layer's states and gradients differs by more than `tolerance` (see `errors`), or None."""
    for name, error in errors(r, run).items():
        if not error <= tolerance:  # nan too
            return f"{name} differ from the plain loop's by {error:.2g} of the largest"
    return None


def run(r: Recurrence) -> tuple[Tensor, None]:
    """All states, as `recurrence.run` gives them."""
    kind = kind_of(r)
    elapsed = None if r.elapsed is None else r.elapsed.to(r.inputs.dtype).contiguous()
    lengths = None if r.lengths is None else r.lengths.contiguous()
    layers = (*r.weights, *r.biases)
    plain = (kind, elapsed, lengths)
    return _Triton.apply(*plain, r.inputs, r.initial, r.decay, r.asymptote, *layers), None


class _Triton(torch.autograd.Function):
    @staticmethod
    def forward(ctx, kind, elapsed, lengths, inputs, initial, decay, asymptote, *layers):
        (batch, time, _), depth = inputs.shape, kind.depth
        tiling = kind.tiling(inputs.device)
        # In the kernels' arrays: padded sizes, and whole programs of rows.
        units, width = padded(kind.units), padded(kind.width)
        rows = (batch + tiling.rows - 1) // tiling.rows * tiling.rows
        # Steps that a sequence does not have stay zero, and add nothing to the products over all steps.
        new = inputs.new_empty if lengths is None else inputs.new_zeros
        keep = any(ctx.needs_input_grad)
        states = new(time + 1, rows, units)
        states[0] = _fitted(initial, rows, units)
        hidden = new(depth, time, rows, width)
        slopes = new(depth, time, rows, width) if kind.keeps_slopes else states
        gates = new(time, rows, units * min(kind.maps, 3)) if keep else states
        vectors = [None if v is None else _fitted(v, units) for v in (decay, asymptote)]
        order = None if lengths is None else _longest_first(lengths, rows)
        weights, biases = _fitted_layers(kind, layers)
        programs = (rows // tiling.rows,)
        down = [weight.to(kind.dtype).t().contiguous() for weight in weights]
        # Whatever a kind of layer does not have is never read: another tensor stands in its place.
        with _on_device_of(inputs):
            _kernels().forward[programs](
                *_present(states, inputs.contiguous(), elapsed, lengths, order),
                *_present(states, states, hidden, slopes, gates),
                *_present(states, *_stacked(down), *_stacked_biases(biases), *vectors),
                *(batch, time, rows),
                **kind.options(tiling),
                KEEP=keep,
                HEADS_CHUNK=tiling.heads_chunk,
                REAL_WIDTH=kind.width,
            )
        ctx.kind, ctx.tiling, ctx.batch = kind, tiling, batch
        if keep:
            ctx.save_for_backward(
                *(elapsed, lengths, order, states, hidden, slopes, gates, *vectors, *weights)
            )
        return states[1:, :batch, : kind.units].transpose(0, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_states):
        with torch.autocast(grad_states.device.type, enabled=False):
            return _Triton._backward(ctx, grad_states)

    @staticmethod
    def _backward(ctx, grad_states):
        kind, tiling, batch = ctx.kind, ctx.tiling, ctx.batch
        elapsed, lengths, order, states, hidden, slopes, gates, *rest = ctx.saved_tensors
        decay, asymptote, *weights = rest
        depth, maps, (steps, rows, units) = kind.depth, kind.maps, states.shape
        time, width = steps - 1, padded(kind.width)
        new = states.new_empty if lengths is None else states.new_zeros
        grads = new(depth, time + 1, rows, width)
        grad_maps = new(time + 1, rows, maps * units)
        grads[:, time] = 0.0
        grad_maps[time] = 0.0
        totals = new(time, rows, units) if kind.mode == "pure" else None
        up = [weight.to(kind.dtype) for weight in weights]
        with _on_device_of(states):
            _kernels().backward[(rows // tiling.rows,)](
                *_present(states, grad_states.contiguous(), elapsed, lengths, order),
                *_present(states, hidden, slopes, gates, grads, grad_maps, totals),
                *_present(states, *_stacked(up), decay, asymptote),
                *(batch, time, rows),
                **kind.options(tiling),
            )
        behind = [*(g[:time] for g in grads), grad_maps[:time]]
        below = [states[:time], *hidden]
        grad_initial = behind[0][0] @ weights[0]
        grad_weights = [g.flatten(0, 1).t() @ b.flatten(0, 1) for g, b in zip(behind, below)]
        grad_biases = [g.sum((0, 1)) for g in behind[1:]]
        by_vectors = None, None
        if totals is not None:
            passed = None
            if elapsed is not None:
                passed = _fitted(elapsed, rows, time).t().unsqueeze(-1)
            by_vectors = Solution(decay, asymptote, passed).parameter_gradients(gates, totals)
            by_vectors = [vector[: kind.units] for vector in by_vectors]
        grad_inputs = behind[0][:, :batch].transpose(0, 1)
        if depth == 0:
            grad_inputs = grad_inputs.unflatten(2, (maps, units))[..., : kind.units].flatten(2)
        return (
            *(None, None, None, grad_inputs[..., : kind.width] if depth else grad_inputs),
            grad_initial[:batch, : kind.units],
            *by_vectors,
            *_real_layers(kind, grad_weights, grad_biases),
        )


def _fitted(values: Tensor, *sizes: int) -> Tensor:
    """Zeros behind each dimension, up to a size."""
    if values.shape == sizes:
        return values.contiguous()
    missing = [size - has for size, has in zip(sizes, values.shape)]
    return pad(values, [n for size in reversed(missing) for n in (0, size)])


def _fitted_layers(kind: Kind, layers: tuple[Tensor, ...]) -> tuple[list[Tensor], list[Tensor]]:
    """Weights and biases in the kernels' sizes; of the maps each is padded by itself."""
    units, width, maps = padded(kind.units), padded(kind.width), kind.maps
    fitted = []
    for i, layer in enumerate(layers):
        # Weights, the first with the state below it, come before biases, of which the first layer has none.
        is_weight = i <= kind.depth
        below = [units if i == 0 else width] if is_weight else []
        if i in (kind.depth, 2 * kind.depth):
            parts = layer.unflatten(0, (maps, kind.units))
            fitted.append(_fitted(parts, maps, units, *below).flatten(0, 1))
        else:
            fitted.append(_fitted(layer, width, *below))
    return fitted[: kind.depth + 1], fitted[kind.depth + 1 :]


def _real_layers(kind: Kind, weights: list[Tensor], biases: list[Tensor]) -> list[Tensor]:
    """The other way round: gradients of weights and biases without what was added to them."""
    units = padded(kind.units)
    real = []
    for i, layer in enumerate([*weights, *biases]):
        if i in (kind.depth, 2 * kind.depth):
            layer = layer.unflatten(0, (kind.maps, units))[:, : kind.units].flatten(0, 1)
        else:
            layer = layer[: kind.width]
        if i <= kind.depth:
            layer = layer[:, : kind.units if i == 0 else kind.width]
        real.append(layer)
    return real


def _stacked(weights: list[Tensor]) -> tuple[Tensor | None, Tensor | None, Tensor]:
    """The first weight, the inner ones as one tensor, and the last; without a backbone only the last."""
    first = weights[0] if len(weights) > 1 else None
    inner = weights[1:-1]
    return first, torch.stack(inner) if inner else None, weights[-1]


def _stacked_biases(biases: list[Tensor]) -> tuple[Tensor | None, Tensor | None]:
    """The inner layers' as one tensor, and the maps'."""
    if not biases:
        return None, None
    return torch.stack(biases[:-1]) if len(biases) > 1 else None, biases[-1]


def _present(stand_in: Tensor, *tensors: Tensor | None) -> list[Tensor]:
    """Tensors with one that exists in place of those that are None or empty."""
    return [stand_in if t is None or t.numel() == 0 else t for t in tensors]


def _longest_first(lengths: Tensor, rows: int) -> Tensor:
    """(rows,) int32: the sequences by length, so that those of a program end together, then the added rows."""
    added = torch.arange(len(lengths), rows, device=lengths.device)
    return torch.cat([torch.argsort(lengths, descending=True, stable=True), added]).to(torch.int32)


def _on_device_of(tensor: Tensor) -> AbstractContextManager:
    """Where Triton launches: on torch's current device, which need not be that of the tensors."""
    return torch.cuda.device(tensor.device) if tensor.device.type == "cuda" else nullcontext()


@functools.cache
def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


def _interpreted() -> bool:
    """Whether Triton's own switch has it run kernels in Python, on any device: for tests."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def _kernels() -> ModuleType:
    # On demand: only here is the package triton needed.
    return importlib.import_module("liquidbench.models.cfc.triton_kernels")
