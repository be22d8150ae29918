"""The table of all runs: state, when, on what, and links to the files."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from liquidbench.page.overview import computed_on, moment, run_facts
from liquidbench.reporting.study import Study, data_label
from liquidbench.reporting.table import NOTHING

# Of one run, what its row links to, if it is there.
RUN_FILES = ("metrics.json", "history.csv", "predictions.csv", "stress.csv", "provenance.json")


@dataclass(frozen=True)
class RunRow:
    """A configured run; `files` are (name, address from the page)."""

    directory: str
    state: str
    data: str
    finished: str
    machine: str
    seconds: float | None
    peak_mebibytes: float | None
    files: tuple[tuple[str, str], ...]


def run_rows(study: Study, results: Path, start: Path) -> list[RunRow]:
    """A row for each configured run, with links to its files relative to the folder `start`."""
    facts = run_facts(study)
    rows = []
    for run in study.frames["runs"].itertuples(index=False):
        folder = results / run.directory
        done = run.state == "finished"
        own = facts.get((run.dataset, run.protocol, run.model, run.seed), {})
        files = tuple(
            (name, address(folder / name, start))
            for name in RUN_FILES
            if done and (folder / name).is_file()
        )
        rows.append(
            RunRow(
                directory=run.directory,
                state=run.state,
                data=data_label([run.source], run.synthetic == "True") if done else NOTHING,
                finished=moment(own.get("finished", "")) or NOTHING,
                machine=computed_on(own) or NOTHING,
                seconds=_number(run.seconds),
                peak_mebibytes=_number(run.peak_memory_bytes / 2**20),
                files=files,
            )
        )
    return rows


def address(path: Path, start: Path) -> str:
    """How a page in the folder `start` names a file: in a folder "#1" or "50%" too."""
    return quote(Path(os.path.relpath(path, start)).as_posix())


def _number(value: float) -> float | None:
    return None if value != value else float(value)
