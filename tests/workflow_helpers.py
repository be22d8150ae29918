"""A copy of the project in which the real Snakemake runs, and what its output says."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
# All but the reference study, which is large.
PARTS = (
    "Snakefile",
    "rules",
    "config",
    "envs",
    "profiles",
    "report",
    "resources/paper",
    "workflow",
)
PARTS += ("resources/sources.yaml",)


def copy_project(folder: Path, parts: Sequence[str] = PARTS) -> Path:
    """Copy what git tracks of the workflow into `folder`: nothing that lies about may be needed."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--", *parts],
        cwd=PROJECT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listing.stdout.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PROJECT / name, target)
    return folder


def snakemake(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Snakemake in `folder`, with this Python as `python`; its output, all of it, is in `stdout`.

    Args:
        folder: the project's copy.
        arguments: Snakemake's.
        variables: added to the environment.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SNAKEMAKE_", "LIQUIDBENCH_")) and name != "PYTHONPATH"
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--nocolor", *arguments],
        cwd=folder,
        env=kept | {"PATH": path} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def job_counts(output: str) -> dict[str, int]:
    """The last table "Job stats" of Snakemake's output: rule to number of jobs; empty if nothing is to be done."""
    tables = re.findall(r"^Job stats:\njob +count\n-[- ]+\n((?:\w+ +\d+\n)+)", output, re.MULTILINE)
    rows = [line.split() for line in tables[-1].splitlines()] if tables else []
    return {rule: int(count) for rule, count in rows if rule != "total"}


def wildcards_of(output: str, rule: str) -> list[dict[str, str]]:
    """The wildcards of every planned job of a rule, in the order of a dry run."""
    jobs = re.findall(rf"^rule {rule}:\n(?: +.*\n)*? +wildcards: (.*)\n", output, re.MULTILINE)
    return [dict(pair.split("=") for pair in job.split(", ")) for job in jobs]


def files_below(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path there."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() or path.is_symlink()
    }


def runs_in(folder: Path) -> dict[str, bytes]:
    """The files of runs in all archives of a folder, none of them twice, by name."""
    found: dict[str, bytes] = {}
    for path in sorted(folder.glob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.startswith("results/"):
                    assert name not in found, name
                    found[name] = archive.read(name)
    return found


def damage(archive: Path) -> None:
    """Change one bit in the middle of what is packed of an archive's last file."""
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as opened:
        last = opened.infolist()[-1]
        end = opened.start_dir
    content[end - last.compress_size // 2] ^= 1
    archive.write_bytes(content)
