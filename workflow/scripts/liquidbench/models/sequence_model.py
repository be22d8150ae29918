"""A model: encoder, core, pooling, head."""

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from liquidbench.errors import InputError
from liquidbench.models.cores import CORE_ATTRIBUTES, CORES
from liquidbench.models.encoders import ENCODERS
from liquidbench.models.heads import HEADS, pool

ELAPSED = ("none", "core", "feature")
"""What a model does with elapsed times: nothing, its core takes them, or they are one more feature of the core's."""
PARTS = ("encoder", "core", "head")


class SequenceModel(nn.Module):
    """Sequences in, logits out.

    Args:
        architecture: `encoder`, `core` and `head`, each a dictionary with a `name` and the options of that class,
            and `pooling`; and where elapsed times go, `elapsed`, one of `ELAPSED`, absent: ``none``.
        input_shape: shape of one step.
        outputs: number of logits.
        core_implementation: which code computes the core, if it has several, as the CfC has
            (`models.cfc.implementations.CHOICES`).

    Raises:
        InputError: an option that the named class does not have, or elapsed times for a core that takes none.
    """

    def __init__(
        self,
        architecture: dict[str, Any],
        input_shape: tuple[int, ...],
        outputs: int,
        core_implementation: str = "auto",
    ) -> None:
        super().__init__()
        self.encoder = _build("encoder", ENCODERS, architecture["encoder"], input_shape=input_shape)
        self.elapsed: str = architecture.get("elapsed", "none")
        _check_elapsed(self.elapsed, architecture["core"]["name"])
        self.core = _build(
            "core",
            CORES,
            architecture["core"],
            input_size=self.encoder.output_size + (self.elapsed == "feature"),
            implementation=core_implementation,
        )
        if missing := [name for name in CORE_ATTRIBUTES if not hasattr(self.core, name)]:
            # Now, and not when a training that took hours is written down.
            raise TypeError(f"the core {type(self.core).__name__} lacks {', '.join(missing)}")
        self.pooling: str = architecture["pooling"]
        self.head = _build(
            "head", HEADS, architecture["head"], input_size=self.core.output_size, outputs=outputs
        )

    def forward(
        self, steps: Tensor, elapsed: Tensor | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        """Logits of a padded batch.

        Args:
            steps: (batch, time, *input_shape), floating point.
            elapsed: (batch, time) since the previous step, in units of a usual step, or None: every step counts as 1.
                Models with `elapsed` ``none`` do not look at it.
            lengths: (batch,) int64 valid steps, or None: all.

        Returns:
            (batch, outputs); without pooling (batch, time / encoder.time_stride, outputs). Never bfloat16.
        """
        return self.answer(self.encoder(steps), elapsed, lengths)

    def answer(self, features: Tensor, elapsed: Tensor | None, lengths: Tensor | None) -> Tensor:
        """Logits from what the encoder gives.

        Args:
            features: (batch, time / encoder.time_stride, encoder.output_size).
            elapsed: (batch, time), or None; of the steps before the encoder.
            lengths: (batch,), or None; of the steps before the encoder.
        """
        if self.elapsed == "none":
            elapsed = None
        if self.encoder.time_stride != 1:
            elapsed = _mean_over_time(elapsed, self.encoder.time_stride)
            if lengths is not None:
                lengths = lengths // self.encoder.time_stride
        if self.elapsed == "feature":
            features, elapsed = _with_elapsed(features, elapsed), None
        # Where the mean takes in the padding, the core has to go on through it.
        valid = None if self.pooling == "mean_with_padding" else lengths
        states = self.core(features, elapsed, valid)
        logits = self.head(self.core.readout(pool(states, lengths, self.pooling)))
        # Under autocast: losses and probabilities are not for bfloat16.
        return logits.float() if logits.dtype == torch.bfloat16 else logits

    def parameter_counts(self) -> dict[str, int]:
        """Trainable parameters in all and of each part."""
        counts = {part: _count(getattr(self, part)) for part in PARTS}
        return {"total": _count(self), **counts}


def _check_elapsed(elapsed: str, core: str) -> None:
    if elapsed not in ELAPSED:
        problem, remedy = f"elapsed is {elapsed!r}", f"Choose among {', '.join(ELAPSED)}"
    elif elapsed == "core" and not CORES[core].takes_elapsed:
        takers = ", ".join(name for name, kind in CORES.items() if kind.takes_elapsed)
        problem = f"the core {core!r} has no notion of elapsed time"
        remedy = f"Set elapsed to feature or none, or take one of the cores {takers}"
    else:
        return
    raise InputError("configuration of the model's elapsed times", problem, remedy)


def _mean_over_time(elapsed: Tensor | None, stride: int) -> Tensor | None:
    """(batch, time) to (batch, time // stride): the time that passed in each group, in units of a usual group's."""
    if elapsed is None:
        return None
    return elapsed[:, : elapsed.shape[1] // stride * stride].unflatten(1, (-1, stride)).mean(dim=2)


def _with_elapsed(features: Tensor, elapsed: Tensor | None) -> Tensor:
    """(batch, time, size) features and log(1 + elapsed) behind them: (batch, time, size + 1).

    The logarithm, since gaps of a hundred steps and pauses of seconds among milliseconds must not drown the features.
    """
    if elapsed is None:
        elapsed = torch.ones(features.shape[:2], device=features.device)
    return torch.cat([features, elapsed.log1p().to(features.dtype).unsqueeze(2)], dim=2)


def _build(
    part: str, registry: dict[str, type[nn.Module]], options: dict, **given: Any
) -> nn.Module:
    """The named class with its options, and with those of `given` that it takes."""
    options = dict(options)
    name = options.pop("name")
    taken = inspect.signature(registry[name]).parameters
    given = {key: value for key, value in given.items() if key in taken}
    try:
        return registry[name](**given, **options)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"configuration of the {part} {name!r}",
            str(error),
            "config/README.md lists its options",
        ) from None


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


@torch.no_grad()
def describe(
    model: SequenceModel, steps: Tensor, lengths: Tensor | None, elapsed: Tensor | None = None
) -> dict[str, Any]:
    """The modules that run, in order, with the shapes of what they give: `architecture.json`.

    Args:
        model: any sequence model; put into evaluation mode for the pass and back after it.
        steps: a batch to run through it, (batch, time, *input_shape).
        lengths: (batch,) or None.
        elapsed: (batch, time) or None.
    """
    batch = steps.shape[0]
    modules: list[dict[str, Any]] = []
    handles = []

    def shape_of(output: Any) -> list:
        tensor = output[0] if isinstance(output, tuple) else output
        shape = list(tensor.shape)
        if shape[0] == batch:
            return ["batch", *shape[1:]]
        # Frames are folded into the batch for convolutions: show them apart.
        return ["batch", shape[0] // batch, *shape[1:]]

    def record(part: str, name: str):
        def hook(module: nn.Module, _inputs: Any, output: Any) -> None:
            modules.append(
                {
                    "part": part,
                    "name": name,
                    "type": _type_of(module),
                    "output_shape": shape_of(output),
                    "parameters": _count(module),
                }
            )

        return hook

    for part in PARTS:
        for name, module in _drawn_modules(getattr(model, part)):
            handles.append(module.register_forward_hook(record(part, name)))
    training = model.training
    model.eval()
    try:
        logits = model(steps, elapsed, lengths)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return {
        "input_shape": ["batch", *steps.shape[1:]],
        "output_shape": ["batch", *logits.shape[1:]],
        "pooling": model.pooling,
        "modules": modules,
    }


def _drawn_modules(part: nn.Module) -> list[tuple[str, nn.Module]]:
    """The modules of a part that a drawing shows: residual blocks and cores whole, sequences piece by piece."""
    whole = (nn.Flatten,)
    found = []
    for name, child in part.named_children():
        if isinstance(child, nn.Sequential):
            found += [(f"{name}.{inner}", module) for inner, module in child.named_children()]
        elif not isinstance(child, whole):
            found.append((name, child))
    is_core = type(part) in CORES.values()
    return [("core", part)] if is_core or not found else found


def _type_of(module: nn.Module) -> str:
    """A short description: the class and its sizes."""
    name = type(module).__name__
    if isinstance(module, nn.Conv2d):
        kernel = "x".join(map(str, module.kernel_size))
        return f"Conv2d({module.in_channels}, {module.out_channels}, {kernel})"
    if isinstance(module, nn.Linear):
        return f"Linear({module.in_features}, {module.out_features})"
    if isinstance(module, nn.MaxPool2d):
        return f"MaxPool2d({module.kernel_size})"
    if isinstance(module, nn.Dropout):
        return f"Dropout({module.p})"
    if type(module) in CORES.values():
        return f"{name.removesuffix('Core')}({module.output_size} outputs)"
    return name
