"""Tables of the documentation that are taken from the reference study's: compared by a test, renewed by this command.

    PYTHONPATH=workflow/scripts python tests/reference_blocks.py    rewrite all of them, after the study was drawn again

A block is a Markdown table below a comment that says what it is made of: the CSV table, what its rows must have, the
models and the figures, each with the number of decimals.

    <!-- reference: reports/tables/table_2.csv | protocol=paper | lstm-128, cfc-128 | precision 2, recall 2 -->

Or of single runs, from their metrics in the archives:

    <!-- runs: physionet/paper | cfc-128 | precision 2, recall 2 -->

Or of the stress test, the second model less the first, in percent: means over the rates, and what is lost on average.

    <!-- gaps: reports/tables/table_stress_differences.csv | protocol=stress | lstm, cfc | zero_steps -->

Or of what a training takes.

    <!-- costs: reports/tables/table_costs.csv | N-MNIST/released/lstm, QuickDraw/stress/cfc -->
"""

import csv
import json
import re

from liquidbench.evaluation.statistics import holm
from liquidbench.reporting.difference_table import p_text
from liquidbench.reporting.titles import corruption_title
from workflow_helpers import PROJECT, runs_in

REFERENCE = PROJECT / "resources/reference"
PAGES = ("README.md", "docs/reference-study.md")
BLOCK = re.compile(r"(<!-- (reference|runs|gaps|costs): ([^>]*) -->\n)((?:\|.*\n)*)")


def block(recipe: str) -> str:
    """The Markdown table of a recipe, `<csv> | <column>=<value>; ... | <models> | <figures>`.

    A cell is the mean over seeds with its interval, and what the paper printed. Of a value in the table what follows a
    comma does not count: `released, but epochs=10` is `released`.
    """
    table, conditions, models, figures = (part.strip() for part in recipe.split("|"))
    rows = selected(table, conditions)
    wanted = [figure.split() for figure in figures.split(", ")]
    lines = [["model", "seeds", *(name.replace("_", " ") for name, _ in wanted)]]
    lines.append(["---"] * len(lines[0]))
    for model in models.split(", "):
        own = {row["figure"]: row for row in rows if row["model"] == model}
        if not own:
            raise ValueError(f"{table} has no model {model} with {conditions}")
        seeds = next(iter(own.values()))["seeds"].removesuffix(" seeds").removesuffix(" seed")
        cells = [cell(own[name], int(decimals)) for name, decimals in wanted]
        lines.append([f"`{model}`", seeds, *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def selected(table: str, conditions: str) -> list[dict[str, str]]:
    """The rows of a CSV table that have what the conditions say."""
    needed = dict(condition.split("=") for condition in conditions.split("; "))
    with (REFERENCE / table).open(encoding="utf-8", newline="") as file:
        return [
            row
            for row in csv.DictReader(file)
            if all(row[name].split(",")[0] == value for name, value in needed.items())
        ]


def runs_block(recipe: str) -> str:
    """The Markdown table of single runs, `<data set>/<protocol> | <models> | <figures>`: a cell per seed."""
    folder, models, figures = (part.strip() for part in recipe.split("|"))
    tested: dict[str, dict[int, dict[str, float]]] = {}
    for name, content in runs_in(REFERENCE / "runs").items():
        if run := re.fullmatch(rf"results/{folder}/([^/]+)/seed-(\d+)/metrics\.json", name):
            tested.setdefault(run[1], {})[int(run[2])] = json.loads(content)["test"]
    seeds = sorted({seed for model in models.split(", ") for seed in tested[model]})
    lines = [["model", "figure", *(f"seed {seed}" for seed in seeds)], ["---"] * (2 + len(seeds))]
    for model in models.split(", "):
        for figure in figures.split(", "):
            name, decimals = figure.split()
            cells = [f"{tested[model][seed][name]:.{decimals}f}" for seed in seeds]
            lines.append([f"`{model}`", name.replace("_", " "), *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def gaps_block(recipe: str) -> str:
    """The Markdown table of a pair in the stress test, `<csv> | <conditions> | <model>, <model> | <corruptions>`.

    The pair is named in the order of the CSV table, whose differences are the first less the second. Holm's correction
    is over the lines of this table, means and losses apart.
    """
    table, conditions, models, corruptions = (part.strip() for part in recipe.split("|"))
    first, second = models.split(", ")
    rows = selected(table, f"{conditions}; model_a={first}; model_b={second}")
    names = [f"`{first}`", f"`{second}`", "difference", "Holm's p", "loss, difference", "Holm's p"]
    lines = [["lost", "seeds", *names], ["---"] * (2 + len(names))]
    found = {
        name: {r["figure"]: r for r in rows if r["corruption"] == name}
        for name in corruptions.split(", ")
    }
    if not all(found.values()):
        raise ValueError(f"{table} lacks a corruption with {conditions}")
    corrected = {
        figure: holm([float(own[f"{figure}_p"]["measured"]) for own in found.values()])
        for figure in ("area", "loss")
    }
    for number, (corruption, own) in enumerate(found.items()):
        cells = [f"{float(own[f'area_{one}']['measured']):.1f}" for one in "ab"]
        for figure, p_values in corrected.items():
            cells += [turned(own[figure]), p_text(p_values[number])]
        lines.append([corruption_title(corruption), own["area"]["seeds"], *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def costs_block(recipe: str) -> str:
    """The Markdown table of what a training takes, `<csv> | <data set>/<protocol>/<model>, ...`: means over seeds."""
    table, asked = (part.strip() for part in recipe.split("|"))
    lines = [["data", "protocol", "model", "seeds", "minutes a training", "memory, GiB"]]
    lines.append(["---"] * len(lines[0]))
    for one in asked.split(", "):
        data_set, protocol, model = one.split("/")
        conditions = f"data_set={data_set}; protocol={protocol}; model={model}"
        rows = selected(table, conditions)
        own = {row["figure"]: row for row in rows}
        if not own or len(own) < len(rows):
            raise ValueError(f"{table} has none or more than one {one}")
        seconds, mebibytes = (float(own[name]["measured"]) for name in ("training", "memory"))
        seeds = own["training"]["observations"]
        cells = [f"{seconds / 60:.1f}", f"{mebibytes / 1024:.1f}"]
        lines.append([data_set, f"`{protocol}`", f"`{model}`", seeds, *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def turned(row: dict[str, str]) -> str:
    """A difference of the second less the first."""
    value, low, high = (-float(row[name]) for name in ("measured", "high", "low"))
    return f"{value:+.1f} [{low:.1f}, {high:.1f}]"


MADE = {"reference": block, "runs": runs_block, "gaps": gaps_block, "costs": costs_block}


def made(kind: str, recipe: str) -> str:
    """The table of a block of any kind."""
    return MADE[kind](recipe)


def cell(row: dict[str, str], decimals: int) -> str:
    """Mean, interval and the printed value of one figure."""
    if not row["measured"]:
        return "–"
    text = f"{float(row['measured']):.{decimals}f}"
    if row["low"] and not re.match(r"-?[\d.]", row["low"]):
        text += f" ({row['low']})"
    elif row["low"]:
        text += f" [{float(row['low']):.{decimals}f}, {float(row['high']):.{decimals}f}]"
    return f"{text}; paper {float(row['paper']):.{decimals}f}" if row.get("paper") else text


def renewed(text: str) -> str:
    """A page with every block as the reference study now has it."""
    return BLOCK.sub(lambda found: found[1] + made(found[2], found[3]), text)


if __name__ == "__main__":
    for name in PAGES:
        path = PROJECT / name
        path.write_text(renewed(path.read_text(encoding="utf-8")), encoding="utf-8")
