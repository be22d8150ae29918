"""What a study has on the disk, by stage and data set, and its removal.

Only what the study itself makes is known by its name here, and nothing else is ever counted or removed.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from liquidbench.errors import InputError

RUN = "{dataset}/*/*/seed-*"
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
        InputError: a data set is named for what is of all.
    """
    if dataset and stage in ("summaries", "reports"):
        raise InputError(
            f"the stage {stage}", "is of all data sets at once", "Name no data set for it"
        )
    if stage == "raw":
        return sorted(folders.raw.glob(dataset or "*/"))
    if stage == "reports":
        return [folders.reports / name for name in REPORTS if (folders.reports / name).exists()]
    patterns = [pattern.format(dataset=dataset or "*") for pattern in RESULTS[stage]]
    return sorted({path for pattern in patterns for path in folders.results.glob(pattern)})


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
            path.unlink()


def human_size(size: int) -> str:
    """Bytes as one reads them: `812 B`, `3.4 MB`."""
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
