"""Figures 5 to 8: the models that ran, drawn from the `architecture.json` of their runs."""

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from liquidbench.errors import InputError
from liquidbench.files import read_json
from liquidbench.reporting import style
from liquidbench.reporting.runs import REMAKE

PARTS = {"encoder": "Encoder", "core": "Core", "head": "Head"}
FILLS = {"encoder": "#E8F1F8", "core": "#FCE9DC", "head": "#E3F3EC"}
EDGES = {"encoder": style.BLUE, "core": style.VERMILION, "head": style.GREEN}

POOLINGS = {
    "mean": "Mean over the valid steps",
    "mean_with_padding": "Mean over all steps, padding included",
    "last": "Last valid step",
}

# All lengths in inches.
COLUMN, BOX = 4.3, 3.9
LINE, PADDING, ARROW, MARGIN = 0.2, 0.12, 0.4, 0.35
CHARACTERS = 38


@dataclass(frozen=True)
class Module:
    """One module that ran: its part, what it is, its output shape and its parameters."""

    part: str
    type: str
    output_shape: tuple[Any, ...]
    parameters: int
    details: str = ""


@dataclass(frozen=True)
class Architecture:
    """A model as it ran, and the heading of its column."""

    heading: str
    input_shape: tuple[Any, ...]
    modules: tuple[Module, ...]


@dataclass(frozen=True)
class _Box:
    """Consecutive modules of a part with the same output shape share a box."""

    part: str
    modules: tuple[Module, ...]

    @property
    def lines(self) -> list[tuple[str, str]]:
        """(text, parameter count) of each line."""
        lines = []
        for module in self.modules:
            first, *others = textwrap.wrap(module.type, CHARACTERS, subsequent_indent="  ") or [""]
            lines.append((first, f"{module.parameters:,}" if module.parameters else ""))
            lines += [(text, "") for text in others]
            lines += [(text, "") for text in textwrap.wrap(module.details, CHARACTERS)]
        return lines

    @property
    def height(self) -> float:
        return len(self.lines) * LINE + 2 * PADDING


def read_architecture(path: str | Path, heading: str, core_options: str = "") -> Architecture:
    """Read an `architecture.json`.

    Args:
        path: the file.
        heading: what to write above the drawing.
        core_options: the options of the core, which its module's name does not tell.

    Raises:
        InputError: missing, not JSON, or not of the described form.
    """
    content = read_json(path)
    try:
        modules = [
            Module(
                part=str(item["part"]),
                type=str(item["type"]),
                output_shape=tuple(item["output_shape"]),
                parameters=int(item["parameters"]),
                details=core_options if item["part"] == "core" else "",
            )
            for item in content["modules"]
        ]
        shape = tuple(content["input_shape"])
        pooling = str(content.get("pooling", "none"))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(path, f"not as described ({error!r})", REMAKE) from None
    parts = [module.part for module in modules]
    unknown = set(parts) - set(PARTS)
    if unknown or "core" not in parts:
        found = f"unknown parts: {', '.join(sorted(unknown))}" if unknown else "no core"
        raise InputError(path, found, REMAKE)
    if pooling != "none":
        # Pooling is a step of the model without a module of its own.
        after = len(parts) - parts[::-1].index("core")
        batch, *_, width = modules[after - 1].output_shape
        name = POOLINGS.get(pooling, pooling)
        modules.insert(after, Module("head", name, (batch, width), 0))
    return Architecture(heading, shape, tuple(modules))


def shape_text(shape: tuple[Any, ...]) -> str:
    """A shape as it is read: "batch × 10 × 4,096"."""
    return " × ".join(f"{size:,}" if isinstance(size, int) else str(size) for size in shape)


def _boxes(architecture: Architecture) -> list[_Box]:
    boxes: list[list[Module]] = []
    for module in architecture.modules:
        last = boxes[-1][-1] if boxes else None
        if last and (last.part, last.output_shape) == (module.part, module.output_shape):
            boxes[-1].append(module)
        else:
            boxes.append([module])
    return [_Box(modules[0].part, tuple(modules)) for modules in boxes]


def architecture_figure(title: str, architectures: list[Architecture], synthetic: bool) -> Figure:
    """Draw models side by side, data flowing down; their parts start at the same heights.

    Every arrow is labelled with the shape of the tensor that it carries; numbers in the boxes are
    trainable parameters.
    """
    columns = [_boxes(architecture) for architecture in architectures]
    needed = {
        part: max(sum(box.height + ARROW for box in boxes if box.part == part) for boxes in columns)
        for part in PARTS
    }
    height = sum(needed.values()) + 0.75 + ARROW + 0.35
    width = COLUMN * len(columns) + MARGIN
    figure = style.new_figure(width, height, title, synthetic)
    axes = figure.add_subplot()
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    for index, (architecture, boxes) in enumerate(zip(architectures, columns)):
        left = MARGIN + COLUMN * index + (COLUMN - BOX) / 2
        _draw_column(axes, architecture, boxes, left, height, needed)
    y = height - 0.75 - ARROW
    for part, name in PARTS.items():
        if needed[part]:
            middle = y - (needed[part] - ARROW) / 2
            axes.text(
                MARGIN / 2 + 0.08,
                middle,
                name,
                rotation=90,
                ha="center",
                va="center",
                fontweight="bold",
                color=EDGES[part],
            )
        y -= needed[part]
    return figure


def _draw_column(
    axes,
    architecture: Architecture,
    boxes: list[_Box],
    left: float,
    height: float,
    needed: dict[str, float],
) -> None:
    middle = left + BOX / 2
    total = sum(module.parameters for module in architecture.modules)
    axes.text(middle, height - 0.2, architecture.heading, ha="center", va="center", fontsize=11)
    below = height - 0.45
    axes.text(
        middle,
        below,
        f"{total:,} parameters",
        ha="center",
        va="center",
        color=style.GREY,
        fontsize=9,
    )
    y, shape = height - 0.6, architecture.input_shape
    start = height - 0.75 - ARROW
    for part in PARTS:
        top = start
        for box in (box for box in boxes if box.part == part):
            _draw_arrow(axes, middle, y, top, shape)
            _draw_box(axes, box, left, top)
            y, shape = top - box.height, box.modules[-1].output_shape
            top = y - ARROW
        start -= needed[part]
    axes.annotate(
        "",
        (middle, y - ARROW * 0.8),
        (middle, y),
        arrowprops={"arrowstyle": "-|>", "color": style.GREY},
    )
    axes.text(middle + 0.1, y - ARROW / 2, shape_text(shape), va="center", fontsize=8.5)


def _draw_arrow(axes, x: float, start: float, end: float, shape: tuple[Any, ...]) -> None:
    axes.annotate("", (x, end), (x, start), arrowprops={"arrowstyle": "-|>", "color": style.GREY})
    axes.text(x + 0.1, end + ARROW / 2, shape_text(shape), va="center", fontsize=8.5)


def _draw_box(axes, box: _Box, left: float, top: float) -> None:
    patch = FancyBboxPatch(
        (left, top - box.height),
        BOX,
        box.height,
        boxstyle="round,pad=0,rounding_size=0.06",
        facecolor=FILLS[box.part],
        edgecolor=EDGES[box.part],
        linewidth=1.2,
    )
    axes.add_patch(patch)
    for index, (text, count) in enumerate(box.lines):
        y = top - PADDING - LINE * (index + 0.5)
        axes.text(left + 0.12, y, text, va="center", fontsize=9, parse_math=False)
        axes.text(
            left + BOX - 0.12, y, count, ha="right", va="center", fontsize=8.5, color=style.GREY
        )
