"""Figures 1 to 4: what the data of the four sets look like, from `examples.npz`."""

from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from liquidbench.reporting import style
from liquidbench.reporting.examples import SENSOR, Example, read_example

# A figure with its title and its caption.
Drawn = tuple[Figure, str, str]

SLICES = 10
STAGES = 6
HOURS_BEFORE_ONSET = 6

VITALS = {
    "HR": "Heart rate\n(1/min)",
    "Temp": "Temperature\n(°C)",
    "MAP": "Mean arterial\npressure (mmHg)",
    "Resp": "Respiration\n(1/min)",
    "O2Sat": "Oxygen\nsaturation (%)",
    "WBC": "Leucocytes\n(1000/µL)",
    "Lactate": "Lactate\n(mmol/L)",
    "Creatinine": "Creatinine\n(mg/dL)",
}


def _text(example: Example, name: str) -> str:
    return str(example[name].item())


def _who(example: Example) -> str:
    """The example's id, and where it comes from."""
    return f"{_text(example, 'id')} ({_text(example, 'source')})"


def recording_figure(path: str | Path) -> Drawn:
    """Figure 1: one N-MNIST recording, accumulated and in time slices."""
    example = read_example(path, ["x", "y", "polarity", "time", "label", "id"])
    inside = (example["x"] < SENSOR) & (example["y"] < SENSOR)
    x, y, on, time = (example[name][inside] for name in ("x", "y", "polarity", "time"))
    on = on.astype(bool)
    time = time.astype(np.int64)
    label = _text(example, "label")
    title = f"Figure 1. An N-MNIST recording of the digit {label}"
    figure = style.new_figure(10, 4.9, title, bool(example["synthetic"]))
    top, bottom = figure.subfigures(2, 1, height_ratios=[1.45, 1])
    panels = [("All events", slice(None), style.GREYS), ("ON events", on, style.BLUES)]
    panels.append(("OFF events", ~on, style.REDS))
    for axes, (name, chosen, colours) in zip(top.subplots(1, 3), panels):
        counts = accumulate(x[chosen], y[chosen])
        image = axes.imshow(counts, cmap=colours, vmin=0)
        axes.set_title(f"{name} ({int(counts.sum()):,})")
        _bare(axes)
        top.colorbar(image, ax=axes, shrink=0.85, label="events per pixel")
    _draw_slices(bottom, x, y, on, time)
    caption = (
        f"Recording {_who(example)}. Top: events per pixel over the whole recording, all, ON and "
        "OFF. Bottom: the same in ten equal time slices, blue where ON events prevail and red "
        "where OFF events do."
    )
    return figure, title, caption


def accumulate(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Events per pixel: int64 (34, 34), rows are y."""
    flat = y.astype(np.int64) * SENSOR + x
    return np.bincount(flat, minlength=SENSOR * SENSOR).reshape(SENSOR, SENSOR)


def _draw_slices(
    figure: Figure, x: np.ndarray, y: np.ndarray, on: np.ndarray, time: np.ndarray
) -> None:
    """Ten equal slices between the first and the last event, ON minus OFF."""
    start, end = (time.min(), time.max()) if len(time) else (0, 0)
    edges = start + (end - start) * np.arange(SLICES + 1) / SLICES
    number = np.clip(np.searchsorted(edges, time, side="right") - 1, 0, SLICES - 1)
    images = []
    for index in range(SLICES):
        here = number == index
        images.append(
            accumulate(x[here & on], y[here & on]) - accumulate(x[here & ~on], y[here & ~on])
        )
    limit = max(1, max(int(np.abs(image).max()) for image in images))
    all_axes = figure.subplots(1, SLICES)
    for index, (axes, image) in enumerate(zip(all_axes, images)):
        shown = axes.imshow(image, cmap=style.DIVERGING, vmin=-limit, vmax=limit)
        first, last = (edges[index] - start) / 1000, (edges[index + 1] - start) / 1000
        axes.set_title(f"{first:.0f}–{last:.0f} ms", fontsize=8.5)
        _bare(axes)
    figure.colorbar(
        shown,
        ax=all_axes,
        location="bottom",
        shrink=0.4,
        aspect=40,
        label="ON minus OFF events per pixel",
    )


def _bare(axes) -> None:
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, color=style.LIGHT_GREY)


def drawings_figure(path: str | Path) -> Drawn:
    """Figure 2: three drawings of a category, built up stroke by stroke."""
    names = [f"{kind}_{i}" for i in range(3) for kind in ("drawing", "id")]
    example = read_example(path, ["category", *names])
    category = _text(example, "category")
    title = f"Figure 2. Three drawings of the category “{category}”, stroke by stroke"
    figure = style.new_figure(10, 5.6, title, bool(example["synthetic"]))
    grid = figure.subplots(3, STAGES)
    for row in range(3):
        points = example[f"drawing_{row}"]
        ends = stage_ends(points[:, 2], STAGES)
        for axes in grid[row]:
            axes.set_axis_off()
        for axes, start, end in zip(grid[row], [0, *ends], ends):
            _draw_stage(axes, points, start, end)
    caption = (
        f"Each row is one drawing ({_text(example, 'source')}), from the first strokes (left) to "
        "the whole (right). Blue: what is new, and the point where the pen is; grey: the rest. "
        "Long strokes are shown in parts where a drawing has few."
    )
    return figure, title, caption


def stage_ends(strokes: np.ndarray, stages: int) -> list[int]:
    """Where to stop a drawing for its stages: after how many points, increasing, at the last all.

    Every stage ends with a stroke. With more strokes than stages, several are added at once; with
    fewer, the longest part is halved until there are enough.

    Args:
        strokes: the stroke number of every point, (points,).
        stages: how many stages to show.
    """
    changes = np.flatnonzero(np.diff(strokes)) + 1
    ends = [*changes.tolist(), len(strokes)]
    if len(ends) > stages:
        chosen = np.linspace(0, len(ends), stages + 1).round().astype(int)[1:] - 1
        return [ends[index] for index in chosen]
    while len(ends) < min(stages, len(strokes)):
        lengths = np.diff([0, *ends])
        longest = int(lengths.argmax())
        ends.insert(longest, ends[longest] - int(lengths[longest]) // 2)
    return ends


def _draw_stage(axes, points: np.ndarray, start: int, end: int) -> None:
    """Draw the first `end` points; those from `start` on are new in this stage."""
    numbers = points[:, 2]
    round_ends = {"solid_capstyle": "round", "solid_joinstyle": "round"}
    for number in dict.fromkeys(numbers[:end].tolist()):
        where = np.flatnonzero(numbers[:end] == number)
        new = where[where >= start]
        if len(new) and new[0] > where[0]:
            # The first new segment begins at the last old point.
            new = np.insert(new, 0, new[0] - 1)
        axes.plot(*points[where, :2].T, color=style.GREY, lw=1.4, **round_ends)
        axes.plot(*points[new, :2].T, color=style.BLUE, lw=2.2, **round_ends)
    axes.plot(*points[end - 1, :2], "o", color=style.BLUE, ms=5)
    axes.set_title(_stage_label(numbers, start, end), fontsize=8.5)
    # Whatever the stage, the same window around the whole drawing; y points down, as on the page.
    x, y = (points[:, :2].min(axis=0) + points[:, :2].max(axis=0)) / 2
    axes.set(xlim=(x - 140, x + 140), ylim=(y + 140, y - 140), aspect="equal")


def _stage_label(numbers: np.ndarray, start: int, end: int) -> str:
    order = list(dict.fromkeys(numbers.tolist()))
    first, last = order.index(numbers[start]) + 1, order.index(numbers[end - 1]) + 1
    strokes = f"stroke {last}" if first == last else f"strokes {first}–{last}"
    part = "" if end == len(numbers) or numbers[end] != numbers[end - 1] else ", part"
    return f"{strokes} of {len(order)}{part}"


def lines_figure(path: str | Path) -> Drawn:
    """Figure 3: line images with their transcriptions."""
    example = read_example(path, ["image_0", "text_0", "id_0"])
    numbers = [i for i in range(5) if f"image_{i}" in example]
    images = [example[f"image_{i}"] for i in numbers]
    title = "Figure 3. Handwritten lines and their transcriptions"
    width = 10.0
    widest = max(image.shape[1] for image in images)
    # All lines at one scale, except that a very long line does not shrink the others to nothing.
    heights = [max(0.35, width * 0.96 * image.shape[0] / widest) for image in images]
    total = sum(heights) + 0.5 * len(images)
    figure = style.new_figure(width, total, title, bool(example["synthetic"]))
    all_axes = figure.subplots(len(images), 1, height_ratios=heights, squeeze=False)[:, 0]
    for axes, number, image in zip(all_axes, numbers, images):
        axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
        axes.set_xlim(-0.5, widest - 0.5)
        axes.set_anchor("W")
        axes.set_axis_off()
        text = _shortened(_text(example, f"text_{number}"), 110)
        axes.set_title(text, loc="left", fontsize=9.5, parse_math=False)
    ids = ", ".join(_text(example, f"id_{i}") for i in numbers)
    sizes = ", ".join(
        dict.fromkeys(f"{rows} × {columns}" for rows, columns in map(np.shape, images))
    )
    caption = (
        f"Line images ({_text(example, 'source')}) as the model is given them, {sizes} pixels: "
        f"{ids}. Above each: its text."
    )
    return figure, title, caption


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def stay_figure(path: str | Path) -> Drawn:
    """Figure 4: a septic intensive-care stay with its gaps, the first labelled hour and the onset.

    The label is 1 from six hours before the onset on (PhysioNet/CinC Challenge 2019), so the onset
    is the first labelled hour + 6.
    """
    example = read_example(path, ["values", "labels", "feature_names", "id"])
    values, labels = example["values"], example["labels"].astype(bool)
    names = [str(name) for name in example["feature_names"]]
    kind = "A septic stay" if labels.any() else "A stay without sepsis"
    title = f"Figure 4. {kind}: patient {_text(example, 'id')}"
    shown = [name for name in VITALS if name in names]
    figure = style.new_figure(10, 0.8 * len(shown) + 5.8, title, bool(example["synthetic"]))
    ratios = [0.8] * len(shown) + [5.2]
    all_axes = figure.subplots(len(shown) + 1, 1, sharex=True, height_ratios=ratios)
    hours = np.arange(1, len(values) + 1)
    labelled = int(hours[labels][0]) if labels.any() else None
    marks = [labelled, labelled + HOURS_BEFORE_ONSET] if labelled is not None else []
    end = max([len(hours), *marks]) + 1
    free = _middle_of_the_widest_gap([0, *marks, end])
    for axes, name in zip(all_axes, shown):
        _draw_variable(axes, hours, values[:, names.index(name)], VITALS[name], free)
    _draw_measured(all_axes[-1], hours, values, names)
    if labelled is not None:
        _, onset = marks
        for axes in all_axes:
            axes.axvline(labelled, color=style.ORANGE, lw=1.8, ls=":")
            axes.axvline(onset, color=style.VERMILION, lw=1.8, ls="--")
        told = [f"first labelled hour ({labelled})", f"onset ({onset})"]
        figure.legend(all_axes[0].lines[-2:], told, loc="outside lower center", ncols=2)
    all_axes[-1].set(xlim=(0, end), xlabel="hour of the record")
    all_axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.align_ylabels(all_axes)
    share = float(np.isnan(values).mean())
    caption = (
        f"Patient {_who(example)}, {len(values)} hours. Dots are measurements; lines join those of "
        "consecutive hours, so that gaps stay gaps. Bottom: which "
        f"of the {len(names)} variables has a value in which hour ({share:.0%} of all are missing)."
    )
    if labelled is not None:
        caption += (
            f" Dotted: the first labelled hour; dashed: the onset of sepsis, {HOURS_BEFORE_ONSET} "
            "hours later."
        )
    return figure, title, caption


def _middle_of_the_widest_gap(places: list[int]) -> float:
    """Where a text has the most room beside vertical lines at `places`, in their unit."""
    ordered = sorted(places)
    low, high = max(pairwise(ordered), key=lambda gap: gap[1] - gap[0])
    return (low + high) / 2


def _draw_variable(axes, hours: np.ndarray, values: np.ndarray, label: str, free: float) -> None:
    # NaN breaks the line, which is what shows a gap.
    axes.plot(hours, values, color=style.BLUE, lw=1.2)
    axes.plot(hours, values, "o", color=style.BLUE, ms=3)
    axes.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8.5)
    axes.tick_params(labelsize=8)
    axes.margins(y=0.25)
    if np.isnan(values).all():
        axes.set_yticks([])
        inside = axes.get_xaxis_transform()
        text = {"ha": "center", "va": "center", "color": style.GREY, "fontsize": 8.5}
        axes.text(free, 0.5, "never measured", transform=inside, **text)


def _draw_measured(axes, hours: np.ndarray, values: np.ndarray, names: list[str]) -> None:
    measured = ~np.isnan(values.T)
    extent = (0.5, len(hours) + 0.5, len(names) - 0.5, -0.5)
    axes.imshow(measured, cmap=style.BLUES, vmin=0, vmax=1.6, aspect="auto", extent=extent)
    axes.set_yticks(range(len(names)), names, fontsize=6.5)
    axes.tick_params(axis="y", length=0)
    axes.set_title("all variables, blue where measured", fontsize=8.5, loc="left")
