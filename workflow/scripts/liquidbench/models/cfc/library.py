"""Weights of ``ncps.torch.CfC`` (version 1.0.1) for `CfCCore`. The library itself is not needed."""

import re

import torch
from torch import Tensor, nn

from liquidbench.models.cfc.core import CfCCore
from liquidbench.models.cfc.layer import CfCLayer

_MAPS = ("ff1", "ff2", "time_a", "time_b")


@torch.no_grad()
def load_ncps(core: CfCCore, state: dict[str, Tensor]) -> None:
    """Take over the weights of an ``ncps.torch.CfC`` of the same options (its `state_dict()`).

    Raises:
        ValueError: its weights are not those that the core has.
    """
    rest = dict(state)
    for number, layer in enumerate(core.layers):
        prefix = f"rnn_cell.layer_{number}." if core.wired else "rnn_cell."
        _load_layer(layer, rest, prefix)
    if core.memory is not None:
        _copy(core.memory.input_map, rest, "lstm.input_map")
        _copy(core.memory.state_map, rest, "lstm.recurrent_map")
    if isinstance(core.readout, nn.Linear):
        _copy(core.readout, rest, "fc")
    if rest:
        raise ValueError(f"the core has no place for {', '.join(rest)}")


def _load_layer(layer: CfCLayer, rest: dict[str, Tensor], prefix: str) -> None:
    # The library numbers activations and dropout with the linear layers of the backbone.
    pattern = re.compile(re.escape(prefix) + r"backbone\.(\d+)\.weight")
    numbers = sorted(int(match[1]) for match in map(pattern.fullmatch, rest) if match)
    backbone = [f"{prefix}backbone.{number}" for number in numbers]
    maps = [f"{prefix}{name}" for name in _MAPS[: layer.maps]]
    first = backbone[:1] if layer.heads is not None else maps
    whole = torch.cat([_take(rest, f"{name}.weight") for name in first])
    _set(layer.input_map.weight, whole[:, : layer.input_size], first[0])
    _set(layer.state_map.weight, whole[:, layer.input_size :], first[0])
    _set(layer.input_map.bias, torch.cat([_take(rest, f"{name}.bias") for name in first]), first[0])
    for name, linear in zip(backbone[1:], layer.hidden_maps):
        _copy(linear, rest, name)
    if layer.heads is not None:
        for kind, target in (("weight", layer.heads.weight), ("bias", layer.heads.bias)):
            _set(target, torch.cat([_take(rest, f"{name}.{kind}") for name in maps]), maps[0])
    if layer.mode == "pure":
        _set(layer.decay, _take(rest, f"{prefix}w_tau").squeeze(0), "w_tau")
        _set(layer.asymptote, _take(rest, f"{prefix}A").squeeze(0), "A")
    if layer.mask is not None:
        mask = _take(rest, f"{prefix}sparsity_mask")[:, : layer.input_size]
        if not torch.equal(mask, layer.mask[: layer.units]):
            raise ValueError(f"{prefix}sparsity_mask is of another wiring")


def _copy(linear: nn.Linear, rest: dict[str, Tensor], name: str) -> None:
    _set(linear.weight, _take(rest, f"{name}.weight"), name)
    if linear.bias is not None:
        _set(linear.bias, _take(rest, f"{name}.bias"), name)


def _take(rest: dict[str, Tensor], name: str) -> Tensor:
    if name not in rest:
        raise ValueError(f"{name} is missing")
    return rest.pop(name)


def _set(target: Tensor, value: Tensor, name: str) -> None:
    if target.shape != value.shape:
        raise ValueError(
            f"{name} has the shape {tuple(value.shape)}, expected {tuple(target.shape)}"
        )
    target.copy_(value)
