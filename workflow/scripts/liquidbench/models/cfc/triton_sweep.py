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
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from liquidbench.models.cfc.gates import Solution
from liquidbench.models.cfc.recurrence import Recurrence
from liquidbench.models.cfc.triton_layout import Kind, kind_of, padded, shared_memory
from liquidbench.models.cfc.triton_trial import TOLERANCES, difference, example


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
    needed, there = kind.shared_bytes(device), shared_memory(device)
    if needed > there:
        return f"needs {needed} bytes of shared memory, and the GPU has {there}"
    return None


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
            problem = difference(example(kind, device), run, TOLERANCES[kind.precision])
    except Exception as error:  # whatever a compiler or a driver may raise
        problem = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return problem and f"fails its trial on {device} ({kind.mode}, {kind.units} units): {problem}"


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
