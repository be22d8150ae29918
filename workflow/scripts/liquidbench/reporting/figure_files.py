"""All figures of a study: drawn where the input is there, else listed with the reason."""

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from liquidbench.reporting import style
from liquidbench.reporting.architecture_figures import architecture_figure, read_architecture
from liquidbench.reporting.clinical_figures import alarms_figure
from liquidbench.reporting.cost_figures import costs_figure
from liquidbench.reporting.example_figures import (
    drawings_figure,
    lines_figure,
    recording_figure,
    stay_figure,
)
from liquidbench.reporting.figure_parts import add_in_parts
from liquidbench.reporting.gallery import Gallery
from liquidbench.reporting.handwriting_figures import line_length_figure
from liquidbench.reporting.printed import read_printed
from liquidbench.reporting.result_figures import (
    any_synthetic,
    confusion_figure,
    training_figure,
)
from liquidbench.reporting.runs import RunKey
from liquidbench.reporting.stress_figures import stress_figure
from liquidbench.reporting.study import Group, Study, synthetic_warning, title_of

EXAMPLES: dict[str, tuple[int, Callable]] = {
    "nmnist": (1, recording_figure),
    "quickdraw": (2, drawings_figure),
    "iam": (3, lines_figure),
    "physionet": (4, stay_figure),
}
# The paper's order of its four architectures.
ARCHITECTURES = {"nmnist": 5, "iam": 6, "quickdraw": 7, "physionet": 8}
MOST_COLUMNS = 4
CORE = "architecture.core."
NOT_STUDIED = "{} is not part of this study"
NO_MAIN_RUN = "no finished run under the main protocol"


def write_figures(
    study: Study,
    results: str | Path,
    runs: list[RunKey],
    out: str | Path,
    paper: str | Path | None = None,
    png: bool = True,
) -> Gallery:
    """Draw every figure that the files allow into `out`, and its `index.md`.

    Args:
        study: the summaries.
        results: the results folder, for `examples.npz` and `architecture.json`.
        runs: the configured runs.
        out: folder of the figures.
        paper: folder of the printed numbers; None: none are drawn.
        png: whether to write PNG files, too.

    Raises:
        InputError: a file is there and damaged.
    """
    style.apply_style()
    gallery = Gallery(Path(out), png)
    gallery.folder.mkdir(parents=True, exist_ok=True)
    _add_examples(gallery, study, Path(results))
    groups = study.groups()
    _add_architectures(gallery, study, groups, Path(results), runs)
    for dataset in dict.fromkeys(group.dataset for group in groups):
        here = [group for group in groups if group.dataset == dataset]
        _add_results(gallery, study, dataset, here, paper)
    _add_alarms(gallery, study, groups, paper)
    title = f"Figures{': ' + study.layout.study if study.layout.study else ''}"
    gallery.finish(title, synthetic_warning(study))
    return gallery


def _add_examples(gallery: Gallery, study: Study, results: Path) -> None:
    for dataset, (number, draw) in EXAMPLES.items():
        path = results / dataset / "examples.npz"
        name = f"figure_{number}"
        if dataset not in study.layout.main_protocols:
            gallery.leave_out(name, NOT_STUDIED.format(title_of(dataset)))
            continue
        if not path.is_file():
            gallery.leave_out(name, f"no `{dataset}/examples.npz` among the results")
            continue
        gallery.add(name, *draw(path))


def _add_architectures(
    gallery: Gallery, study: Study, groups: list[Group], results: Path, runs: list[RunKey]
) -> None:
    """One figure per data set: the models of its main protocol, each from its first run."""
    for dataset, number in ARCHITECTURES.items():
        name = f"figure_{number}"
        protocol = study.layout.main_protocols.get(dataset)
        if protocol is None:
            gallery.leave_out(name, NOT_STUDIED.format(title_of(dataset)))
            continue
        mains = [g for g in groups if (g.dataset, g.protocol) == (dataset, protocol)]
        drawn, columns = [], []
        for group in mains:
            keys = [key for key in runs if (key.dataset, key.protocol, key.model) == group.key]
            paths = [results / key.directory / "architecture.json" for key in keys]
            path = next((path for path in paths if path.is_file()), None)
            if path is not None and len(drawn) < MOST_COLUMNS:
                columns.append(read_architecture(path, group.model, _core_options(study, group)))
                drawn.append(group)
        if not drawn:
            gallery.leave_out(
                name, f"no finished run of {title_of(dataset)} under its main protocol"
            )
            continue
        title = f"Figure {number}. {title_of(dataset)}: models under the protocol “{protocol}”"
        caption = (
            "The modules that ran, in order, each model from its first run. Arrows carry the shape "
            "of the tensor, with as many steps as the example that was sent through; numbers in "
            "boxes are trainable parameters."
        )
        left_out = [group.model for group in mains if group not in drawn]
        if left_out:
            caption += f" Not drawn: {', '.join(left_out)}."
        figure = architecture_figure(title, columns, any_synthetic(drawn))
        gallery.add(name, figure, title, caption)


def _core_options(study: Study, group: Group) -> str:
    """The options of a group's core but its name, such as "layers=2, units=128"."""
    settings = study.rows("settings", group.key)
    first = settings[settings["seed"] == settings["seed"].min()]
    options = {
        name.removeprefix(CORE): value
        for name, value in zip(first["setting"], first["value"])
        if name.startswith(CORE) and name != f"{CORE}name"
    }
    return ", ".join(f"{name}={value}" for name, value in options.items())


def _add_results(
    gallery: Gallery, study: Study, dataset: str, groups: list[Group], paper: str | Path | None
) -> None:
    """Training curves, confusion matrices, costs and stress curves of one data set."""
    finished = [group for group in groups if group.finished]
    trained = [group for group in finished if not study.is_baseline(group)]
    if trained:
        without = [group.model for group in finished if group not in trained]

        def draw(part: list[Group]) -> tuple[Figure, str, str]:
            figure, title, caption = training_figure(study, part)
            if without:
                caption += (
                    f" Not drawn, because nothing is trained in epochs: {', '.join(without)}."
                )
            return figure, title, caption

        add_in_parts(gallery, f"training_curves_{dataset}", trained, draw)
    else:
        reason = "no model is trained in epochs" if finished else "no finished run"
        gallery.leave_out(f"training_curves_{dataset}", reason)

    _add_confusion(gallery, study, dataset, finished)
    main = study.layout.main_protocols.get(dataset)
    reading = [g for g in finished if g.protocol == main and _has(study, "handwriting", g)]
    if reading:
        gallery.add(f"line_length_{dataset}", *line_length_figure(study, reading))
    elif dataset == "iam":
        gallery.leave_out(f"line_length_{dataset}", NO_MAIN_RUN)

    if finished:
        gallery.add(f"costs_{dataset}", *costs_figure(study, finished))

    tested = [group for group in finished if _has(study, "stress", group)]
    if tested:
        printed = read_printed(paper, 3) if paper is not None else None
        add_in_parts(
            gallery, f"stress_{dataset}", tested, lambda part: stress_figure(study, part, printed)
        )
    elif any(group.protocol == study.layout.stress_protocol for group in groups):
        gallery.leave_out(f"stress_{dataset}", "no run with a `stress.csv`")


def _add_confusion(gallery: Gallery, study: Study, dataset: str, finished: list[Group]) -> None:
    """Confusion matrices of the main protocol, and of the models that tell sepsis by the hour."""
    main = study.layout.main_protocols.get(dataset)
    counted = [group for group in finished if _has(study, "confusion", group)]
    name = f"confusion_{dataset}"
    mains = [group for group in counted if group.protocol == main]
    hourly = [group for group in counted if study.is_hourly(group) and group not in mains]
    shown = {name: mains, f"{name}_hourly": hourly}
    for figure, groups in shown.items():
        if groups:
            gallery.add(figure, *confusion_figure(study, groups))
    if not mains:
        ran = any(group.protocol == main for group in finished)
        reason = "a transcription has no classes to confuse" if ran else NO_MAIN_RUN
        gallery.leave_out(name, reason)
    drawn = {group.protocol for group in (*mains, *hourly)}
    others = dict.fromkeys(g.protocol for g in counted if g.protocol not in drawn)
    if others:
        protocols = ", ".join(f"“{protocol}”" for protocol in others)
        gallery.leave_out(f"{name} of further protocols", f"matrices of {protocols} are not drawn")


def _add_alarms(
    gallery: Gallery, study: Study, groups: list[Group], paper: str | Path | None
) -> None:
    """Calibration and alarms of the sepsis models, where there are any."""
    sepsis = [group for group in groups if group.dataset == "physionet"]
    told = [group for group in sepsis if _has(study, "calibration", group)]
    if told:
        printed = read_printed(paper, 2) if paper is not None else None
        add_in_parts(
            gallery, "alarms_physionet", told, lambda part: alarms_figure(study, part, printed)
        )
    elif sepsis:
        gallery.leave_out("alarms_physionet", "no finished run")


def _has(study: Study, summary: str, group: Group) -> bool:
    return not study.rows(summary, group.key).empty
