"""What a study has on the disk, by stage and data set, and its removal.

Only what the study itself makes is known by its name here. What lies beside it is neither counted nor removed; what
lies in a folder of its own, as a run directory or the tables, goes with it.
"""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from liquidbench.errors import InputError

RUN = "{dataset}/*/*/seed-*"
DATASETS = ("nmnist", "quickdraw", "iam", "physionet")
# Stage to the patterns of its files and folders, below the folder of raw files, of results or of reports.
RESULTS = {
    "caches": ("{dataset}/cache.h5", "{dataset}/cache.h5.damaged"),
    "checkpoints": (f"{RUN}/checkpoint.json", f"{RUN}/checkpoint-*.pt"),
    "runs": (RUN,),
    "stress": (f"{RUN}/stress.csv", f"{RUN}/stress_answers.npz"),
    "summaries": ("summary",),
    "logs": tuple(
        f"{folder}/*/{{dataset}}{suffix}"
        for folder in ("logs", "benchmarks")
        for suffix in ("", ".*")
    ),
}
REPORTS = (
    *("index.html", "tables", "figures", "claims.md", "claims.csv"),
    *("study.zip", "study-with-weights.zip", "snakemake.html"),
)
STAGES = ("raw", *RESULTS, "reports")
WHAT = {
    "raw": "raw files, downloaded, synthetic or placed by hand",
    "caches": "prepared data (config/README.md: what runs again without it)",
    "checkpoints": "where unfinished trainings go on from",
    "runs": "run directories: weights, metrics, predictions, stress tests",
    "stress": "stress tests of the runs (counted in runs, too)",
    "summaries": "tables for the reports; made again in minutes",
    "logs": "logs and times of the jobs",
    "reports": "tables, figures, claims, the page and archives",
}


@dataclass(frozen=True)
class Folders:
    """The three folders of a study, as its configuration names them."""

    raw: Path
    results: Path
    reports: Path


def files_of_stage(folders: Folders, stage: str, dataset: str = "") -> list[Path]:
    """The files and folders of a stage that are there, sorted.

    Args:
        folders: of the study.
        stage: one of `STAGES`.
        dataset: its own alone; empty: of all. Summaries and reports are of all data sets at once.

    Raises:
        InputError: no such data set, or one is named for what is of all.
    """
    if dataset not in ("", *DATASETS):
        problem = f"no data set, expected one of {', '.join(DATASETS)}"
        raise InputError(f"data set {dataset}", problem, "Name one of these, or none for all")
    if dataset and stage in ("summaries", "reports"):
        raise InputError(
            f"the stage {stage}", "is of all data sets at once", "Name no data set for it"
        )
    if stage == "raw":
        return _there(folders.raw, [dataset] if dataset else DATASETS)
    if stage == "reports":
        return _there(folders.reports, REPORTS)
    patterns = [pattern.format(dataset=dataset or "*") for pattern in RESULTS[stage]]
    found = {path for pattern in patterns for path in folders.results.glob(pattern)}
    return sorted(path for path in found if _is_own(path, folders.results))


def _there(folder: Path, names: Sequence[str]) -> list[Path]:
    return [folder / name for name in names if (folder / name).exists()]


def _is_own(path: Path, folder: Path) -> bool:
    """Whether a path is the study's: no link leads to it, and what looks like a run is one (no `seed-0.bak`)."""
    parents = [one for one in path.parents if folder in one.parents]
    runs = [name for name in path.relative_to(folder).parts if name.startswith("seed-")]
    return not any(one.is_symlink() for one in parents) and all(
        re.fullmatch(r"seed-\d+(\.(log|jsonl))?", name) for name in runs
    )


def size_bytes(path: Path) -> int:
    """Of a file, or of all files below a folder; a link counts for itself."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(size_bytes(one) for one in path.iterdir())


def sizes(folders: Folders) -> list[tuple[str, int, int]]:
    """Stage, how many files and folders by name, and their bytes."""
    found = []
    for stage in STAGES:
        paths = files_of_stage(folders, stage)
        found.append((stage, len(paths), sum(map(size_bytes, paths))))
    return found


def remove(paths: list[Path]) -> None:
    """Delete files and folders; of a link, the link alone."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def human_size(size: int) -> str:
    """Bytes as one reads them: `812 B`, `3.4 MB`."""
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
