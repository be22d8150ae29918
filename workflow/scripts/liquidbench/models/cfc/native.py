"""The C++ implementation: `sweep.cpp`, called through ctypes with pointers into the tensors."""

import ctypes
from ctypes import POINTER, c_int64, c_void_p
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from liquidbench.models.cfc.build import Functions, library
from liquidbench.models.cfc.recurrence import Recurrence

_MODES = {"default": 0, "no_gate": 1, "pure": 2}
_ACTIVATIONS = {"lecun_tanh": 0, "tanh": 1, "relu": 2, "silu": 3, "gelu": 4}
_NAMES = {torch.float32: "float", torch.float64: "double"}


class _Sweep(ctypes.Structure):
    """`Sweep` of sweep.cpp, field by field."""

    _fields_ = (
        *[(name, c_int64) for name in ("batch", "time", "units", "depth")],
        *[(name, c_int64) for name in ("mode", "activation", "threads")],
        *[(name, c_void_p) for name in ("widths", "lengths", "order", "inputs")],
        ("inputs_row", c_int64),
        ("inputs_step", c_int64),
        *[(name, c_void_p) for name in ("elapsed", "initial")],
        *[(name, POINTER(c_void_p)) for name in ("weights", "biases")],
        *[(name, c_void_p) for name in ("decay", "asymptote")],
        ("dropout", POINTER(c_void_p)),
        ("slots", c_void_p),
        ("states", c_void_p),
        *[(name, POINTER(c_void_p)) for name in ("activations", "slopes")],
        *[(name, c_void_p) for name in ("gates", "grad_states")],
        ("grad_states_row", c_int64),
        ("grad_states_step", c_int64),
        *[(name, c_void_p) for name in ("grad_inputs", "grad_initial")],
        *[(name, POINTER(c_void_p)) for name in ("grad_weights", "grad_biases")],
        *[(name, c_void_p) for name in ("grad_decay", "grad_asymptote")],
    )


def refuses(r: Recurrence) -> str | None:
    """Why this implementation cannot take a layer, or None."""
    if r.inputs.device.type != "cpu":
        return f"computes on a CPU, and the layer is on {r.inputs.device.type}"
    if r.memory is not None:
        return "has no mixed memory"
    if r.inputs.dtype not in _NAMES:
        return f"computes in float32 or float64, not {r.inputs.dtype}"
    if r.elapsed is not None and r.elapsed.requires_grad:
        return "has no gradient of elapsed times"
    return None


def works_here(r: Recurrence) -> str | None:
    """Why there is no library on this machine, or None."""
    return library().problem


def run(r: Recurrence) -> tuple[Tensor, None]:
    """All states, as `recurrence.run` gives them.

    Raises:
        ValueError: a shape, a type or a length that does not fit. Behind this the C++ reads and writes by address.
    """
    _check(r)
    plain = (r.mode, r.activation, r.elapsed, r.lengths, r.dropout)
    layers = (*r.weights, *r.biases)
    return _Native.apply(plain, r.inputs, r.initial, r.decay, r.asymptote, *layers), None


def _check(r: Recurrence) -> None:
    """Stop unless every tensor has the shape, the type and the place that the C++ takes for granted."""
    batch, time, rows = r.inputs.shape
    maps = 1 if r.mode == "pure" else 3 if r.elapsed is None else 4
    heights = [rows, *(bias.shape[0] for bias in r.biases)]
    columns = [r.units, *heights[:-1]]
    wanted = {"initial": (r.initial, (batch, r.units))}
    for i, (weight, shape) in enumerate(zip(r.weights, zip(heights, columns), strict=True)):
        wanted[f"weights[{i}]"] = weight, shape
    wanted["the last weights"] = r.weights[-1], (maps * r.units, columns[-1])
    for i, bias in enumerate(r.biases):
        wanted[f"biases[{i}]"] = bias, (heights[i + 1],)
    if r.mode == "pure":
        wanted |= {"decay": (r.decay, (r.units,)), "asymptote": (r.asymptote, (r.units,))}
    for i, factors in enumerate(r.dropout or ()):
        wanted[f"dropout[{i}]"] = factors, (batch, time, heights[i])
    for name, (value, shape) in wanted.items():
        if value.shape != shape or value.dtype != r.inputs.dtype or value.device != r.inputs.device:
            raise ValueError(
                f"{name} must be {tuple(shape)}, {r.inputs.dtype}, on the CPU; "
                f"got {tuple(value.shape)}, {value.dtype}, on {value.device}"
            )
    if r.elapsed is not None and r.elapsed.shape != (batch, time):
        raise ValueError(f"elapsed must be {(batch, time)}, got {tuple(r.elapsed.shape)}")
    lengths = torch.zeros(batch) if r.lengths is None else r.lengths
    if lengths.shape != (batch,) or lengths.min() < 0 or lengths.max() > time:
        raise ValueError(f"lengths must be ({batch},) of 0 to {time}, got {lengths}")


class _Native(torch.autograd.Function):
    @staticmethod
    def forward(ctx, plain, inputs, initial, decay, asymptote, *layers):
        mode, activation, elapsed, lengths, dropout = plain
        depth = len(layers) // 2
        if inputs.stride(2) != 1:
            inputs = inputs.contiguous()
        given: dict[str, Any] = {"inputs": inputs, "initial": initial.contiguous()}
        given["weights"] = [weight.contiguous() for weight in layers[: depth + 1]]
        given["biases"] = [None, *(bias.contiguous() for bias in layers[depth + 1 :])]
        for name, vector in (("decay", decay), ("asymptote", asymptote)):
            given[name] = None if vector is None else vector.contiguous()
        given["widths"] = torch.tensor([weight.shape[0] for weight in layers[:depth]])
        given["elapsed"] = None if elapsed is None else elapsed.to(inputs.dtype).contiguous()
        if lengths is not None:
            given["lengths"] = lengths.to(torch.int64).contiguous()
            # Longest first: at every step the rows that still go on are the first of their block.
            given["order"] = torch.argsort(lengths, descending=True, stable=True)
        if dropout is not None:
            given["dropout"] = [factors.transpose(0, 1).contiguous() for factors in dropout]
        numbers = {
            "batch": inputs.shape[0],
            "time": inputs.shape[1],
            "units": initial.shape[1],
            "depth": depth,
            "mode": _MODES[mode],
            "activation": _ACTIVATIONS[activation],
            "threads": torch.get_num_threads(),
            "inputs_row": inputs.stride(0),
            "inputs_step": inputs.stride(1),
        }
        functions = library().functions[_NAMES[inputs.dtype]]
        keep = any(ctx.needs_input_grad)
        made = _room_for_results(functions, numbers, given, keep)
        functions.forward(ctypes.byref(_fill(numbers, given | made)))
        if keep:
            ctx.functions, ctx.numbers = functions, numbers
            ctx.layout = _save(ctx, given | made)
        states = made["states"][..., : initial.shape[1]].transpose(0, 1)
        return states if lengths is None else states.index_select(0, made["slots"])

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_states):
        given = _restore(ctx)
        if grad_states.stride(2) != 1:
            grad_states = grad_states.contiguous()
        numbers = ctx.numbers | {
            "grad_states_row": grad_states.stride(0),
            "grad_states_step": grad_states.stride(1),
        }
        grads: dict[str, Any] = {
            "grad_inputs": torch.empty(given["inputs"].shape, dtype=grad_states.dtype),
            "grad_initial": torch.empty_like(given["initial"]),
        }
        for name in ("weights", "biases", "decay", "asymptote"):
            grads[f"grad_{name}"] = _zeros_like(given[name])
        ctx.functions.backward(
            ctypes.byref(_fill(numbers, given | grads | {"grad_states": grad_states}))
        )
        return (
            *(None, grads["grad_inputs"], grads["grad_initial"]),
            *(grads["grad_decay"], grads["grad_asymptote"]),
            *(*grads["grad_weights"], *grads["grad_biases"][1:]),
        )


def _room_for_results(
    functions: Functions, numbers: dict[str, int], given: dict[str, Any], keep: bool
) -> dict[str, Any]:
    """What the forward function writes; what only the backward one reads is left out unless `keep`."""
    time, batch = numbers["time"], numbers["batch"]
    units = functions.padded(numbers["units"])
    new = given["inputs"].new_empty
    made = {"states": new(time, batch, units), "slots": torch.empty(batch, dtype=torch.int64)}
    if keep:
        saved_gates = 2 if numbers["mode"] == _MODES["pure"] else 3
        widths = [functions.padded(width) for width in given["widths"].tolist()]
        made["gates"] = new(time, batch, saved_gates * units)
        made["activations"] = [new(time, batch, width) for width in widths]
        made["slopes"] = [new(time, batch, width) for width in widths]
    return made


def _fill(numbers: dict[str, int], tensors: dict[str, Any]) -> _Sweep:
    """The C structure; it holds addresses, so the tensors must outlive its use."""
    sweep = _Sweep(**numbers)
    for name, value in tensors.items():
        if isinstance(value, list):
            addresses = [None if item is None else item.data_ptr() for item in value]
            setattr(sweep, name, (c_void_p * max(1, len(value)))(*addresses))
        elif value is not None:
            setattr(sweep, name, value.data_ptr())
    return sweep


def _zeros_like(value: Tensor | list[Tensor | None] | None) -> Any:
    if isinstance(value, list):
        return [_zeros_like(item) for item in value]
    return None if value is None else torch.zeros_like(value)


def _save(ctx: Any, tensors: dict[str, Any]) -> dict[str, int | None]:
    """Save tensors and lists of tensors; returns each name's length, None for a single tensor."""
    layout = {name: len(v) if isinstance(v, list) else None for name, v in tensors.items()}
    ctx.save_for_backward(
        *(t for v in tensors.values() for t in (v if isinstance(v, list) else [v]))
    )
    return layout


def _restore(ctx: Any) -> dict[str, Any]:
    saved = iter(ctx.saved_tensors)
    return {
        name: next(saved) if count is None else [next(saved) for _ in range(count)]
        for name, count in ctx.layout.items()
    }
