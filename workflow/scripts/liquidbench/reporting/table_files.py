"""All tables, written as CSV, Markdown and LaTeX, and together on one page."""

from collections.abc import Callable
from pathlib import Path

from tabulate import tabulate

from liquidbench.files import write_text
from liquidbench.reporting.clinical_tables import alarms_table, clinical_table
from liquidbench.reporting.cost_table import costs_table
from liquidbench.reporting.difference_table import differences_table
from liquidbench.reporting.handwriting_table import handwriting_table
from liquidbench.reporting.printed import read_printed
from liquidbench.reporting.result_tables import benchmark_table, sepsis_table
from liquidbench.reporting.setting_tables import (
    environment_table,
    parameters_table,
    settings_table,
)
from liquidbench.reporting.stress_difference_table import stress_differences_table
from liquidbench.reporting.stress_tables import stress_area_table, stress_table
from liquidbench.reporting.study import Study, synthetic_warning
from liquidbench.reporting.table import Table, as_csv, as_latex, as_markdown

# The paper's tables, by number.
PAPERS = {
    1: benchmark_table,
    2: sepsis_table,
    3: stress_table,
    4: environment_table,
    5: settings_table,
    6: parameters_table,
}
# Tables that the paper does not have, by name; they need no printed numbers. Rules name them too (`rules/report.smk`).
FURTHER: dict[str, Callable[[Study], Table]] = {
    "differences": differences_table,
    "stress_area": stress_area_table,
    "stress_differences": stress_differences_table,
    "clinical": clinical_table,
    "alarms": alarms_table,
    "handwriting": handwriting_table,
    "costs": costs_table,
}


def build_tables(study: Study, paper: str | Path) -> list[Table]:
    """Tables I to VI, then those that the paper does not have.

    Args:
        study: the summaries.
        paper: the folder of the printed numbers.

    Raises:
        InputError: a file of printed numbers is missing or broken.
    """
    tables = [build(study, read_printed(paper, number)) for number, build in PAPERS.items()]
    return tables + [build(study) for build in FURTHER.values()]


def write_tables(study: Study, tables: list[Table], out: str | Path) -> None:
    """Write `table_<name>.csv`, `.md` and `.tex` and the page `index.md` into `out`."""
    out = Path(out)
    for table in tables:
        write_text(out / f"{table.stem}.csv", as_csv(table))
        write_text(out / f"{table.stem}.md", as_markdown(table))
        write_text(out / f"{table.stem}.tex", as_latex(table))
    write_text(out / "index.md", _page(study, tables))


def _page(study: Study, tables: list[Table]) -> str:
    parts = [f"# Tables{': ' + study.layout.study if study.layout.study else ''}\n"]
    parts.append(synthetic_warning(study))
    parts.append("".join(f"- [{table.heading}]({table.stem}.md)\n" for table in tables))
    parts += [as_markdown(table, level=2) for table in tables]
    parts.append(_runs(study))
    return "\n".join(part for part in parts if part)


def _runs(study: Study) -> str:
    """Every configured run with its state, wall time and peak memory."""
    lines = []
    for run in study.frames["runs"].itertuples(index=False):
        done = run.state == "finished"
        lines.append(
            [
                run.directory,
                run.state,
                ("SYNTHETIC" if run.synthetic == "True" else run.source) if done else "–",
                f"{run.seconds:,.1f}" if run.seconds == run.seconds else "–",
                (
                    f"{run.peak_memory_bytes / 2**20:,.0f}"
                    if run.peak_memory_bytes == run.peak_memory_bytes
                    else "–"
                ),
            ]
        )
    headings = ["Run", "State", "Data", "Seconds", "Peak memory (MiB)"]
    align = ["left", "left", "left", "right", "right"] if lines else None
    body = tabulate(lines, headings, tablefmt="pipe", disable_numparse=True, colalign=align)
    return f"## Runs\n\n{body}\n"
