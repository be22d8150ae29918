"""The C++ implementation: `sweep.cpp`, called through ctypes with pointers into the tensors."""

import ctypes
from ctypes import POINTER, c_int64, c_void_p

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from liquidbench.models.cfc.build import library
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
        return f"computes on a CPU, the layer is on {r.inputs.device.type}"
    if r.memory is not None:
        return "has no mixed memory"
    if r.inputs.dtype not in _NAMES:
        return f"computes in float32 or float64, not {r.inputs.dtype}"
    if r.elapsed is not None and r.elapsed.requires_grad:
        return "has no gradient of elapsed times"
    return library().problem


def run(r: Recurrence) -> tuple[Tensor, None]:
    """All states, as `recurrence.run` gives them."""
    plain = (r.mode, r.activation, r.elapsed, r.lengths, r.dropout)
    return _Native.apply(plain, r.inputs, r.initial, r.decay, r.asymptote, *r.weights, *r.biases), None


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _addresses(tensors: list[Tensor | None] | None) -> ctypes.Array | None:
    return None if tensors is None else (c_void_p * max(1, len(tensors)))(*map(_address, tensors))


class _Native(torch.autograd.Function):
    @staticmethod
    def forward(ctx, plain, inputs, initial, decay, asymptote, *layers):
        mode, activation, elapsed, lengths, dropout = plain
        depth = len(layers) // 2
        weights = [weight.contiguous() for weight in layers[: depth + 1]]
        biases = [None, *(bias.contiguous() for bias in layers[depth + 1 :])]
        (batch, time, _), units = inputs.shape, initial.shape[1]
        if inputs.stride(2) != 1:
            inputs = inputs.contiguous()
        functions = library().functions(_NAMES[inputs.dtype])
        widths = [bias.shape[0] for bias in []] or [weight.shape[0] for weight in weights[:depth]]
        room = functions.padded
        new = inputs.new_empty
        states = new(time, batch, room(units))
        keep = any(ctx.needs_input_grad)
        activations = [new(time, batch, room(width)) for width in widths] if keep else None
        slopes = [torch.empty_like(a) for a in activations] if keep else None
        gates = new(time, batch, (2 if mode == "pure" else 3) * room(units)) if keep else None
        if lengths is not None:
            lengths = lengths.to(torch.int64).contiguous()
        if elapsed is not None:
            elapsed = elapsed.to(inputs.dtype).contiguous()
        if dropout is not None:
            dropout = [factor.transpose(0, 1).contiguous() for factor in dropout]
        given = {
            "widths": torch.tensor(widths, dtype=torch.int64),
            "lengths": lengths,
            "order": None if lengths is None else torch.argsort(lengths, descending=True, stable=True),
            "inputs": inputs,
            "elapsed": elapsed,
            "initial": initial.contiguous(),
            "weights": weights,
            "biases": biases,
            "decay": None if decay is None else decay.contiguous(),
            "asymptote": None if asymptote is None else asymptote.contiguous(),
            "dropout": dropout,
            "slots": torch.empty(batch, dtype=torch.int64),
            "states": states,
            "activations": activations,
            "slopes": slopes,
            "gates": gates,
        }
        numbers = {
            "batch": batch,
            "time": time,
            "units": units,
            "depth": depth,
            "mode": _MODES[mode],
            "activation": _ACTIVATIONS[activation],
            "threads": torch.get_num_threads(),
            "inputs_row": inputs.stride(0),
            "inputs_step": inputs.stride(1),
        }
        functions.forward(_fill(numbers, given))
        if keep:
            ctx.numbers, ctx.given, ctx.functions = numbers, given, functions
        states = states[..., :units].transpose(0, 1)
        return states if lengths is None else states.index_select(0, given["slots"])

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_states):
        numbers, given = ctx.numbers, ctx.given
        if grad_states.stride(2) != 1:
            grad_states = grad_states.contiguous()
        inputs, depth = given["inputs"], numbers["depth"]
        found = {
            "grad_inputs": inputs.new_empty(inputs.shape),
            "grad_initial": torch.empty_like(given["initial"]),
            "grad_weights": [torch.zeros_like(weight) for weight in given["weights"]],
            "grad_biases": [None, *(torch.zeros_like(bias) for bias in given["biases"][1:])],
        }
        for name in ("decay", "asymptote"):
            value = given[name]
            found[f"grad_{name}"] = None if value is None else torch.zeros_like(value)
        strides = {
            "grad_states_row": grad_states.stride(0),
            "grad_states_step": grad_states.stride(1),
        }
        ctx.functions.backward(
            _fill(numbers | strides, given | found | {"grad_states": grad_states})
        )
        return (
            None,
            found["grad_inputs"],
            found["grad_initial"],
            found["grad_decay"],
            found["grad_asymptote"],
            *found["grad_weights"],
            *found["grad_biases"][1:],
        )


def _fill(numbers: dict[str, int], tensors: dict) -> _Sweep:
    sweep = _Sweep(**numbers)
    for name, value in tensors.items():
        pointer = _addresses(value) if isinstance(value, list) else _address(value)
        if pointer is not None:
            setattr(sweep, name, pointer)
    return sweep
