"""Say what a study has on the disk, by stage, or delete a stage's files."""

import argparse
from pathlib import Path

from liquidbench.errors import InputError, run_command
from liquidbench.housekeeping import (
    STAGES,
    WHAT,
    Folders,
    files_of_stage,
    human_size,
    remove,
    size_bytes,
    sizes,
)

SHOWN = 20


def main() -> None:
    """Parse the command line; count or delete."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--raw", type=Path, default=Path("resources/raw"))
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--reports", type=Path, default=Path("reports"))
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("sizes", help="a line per stage")
    clean = commands.add_parser("clean", help="list what a stage has; with --yes, delete it")
    clean.add_argument("stage", choices=STAGES)
    clean.add_argument("--dataset", default="", help="of one data set alone")
    clean.add_argument("--yes", action="store_true", help="delete")
    arguments = parser.parse_args()
    folders = Folders(arguments.raw, arguments.results, arguments.reports)
    if not any(path.is_dir() for path in (folders.raw, folders.results, folders.reports)):
        raise InputError(
            f"{folders.raw}, {folders.results} and {folders.reports}",
            "none of them is a folder",
            "Run it in the study's folder, and name its folders if the configuration has others",
        )
    if arguments.command == "sizes":
        for stage, count, size in sizes(folders):
            print(f"{stage:12} {human_size(size):>10} {count:7,}  {WHAT[stage]}")
        return
    _clean(folders, arguments.stage, arguments.dataset, delete=arguments.yes)


def _clean(folders: Folders, stage: str, dataset: str, *, delete: bool) -> None:
    paths = files_of_stage(folders, stage, dataset)
    if not paths:
        print(f"{stage}: nothing there")
        return
    total = human_size(sum(map(size_bytes, paths)))
    for path in paths[:SHOWN]:
        print(f"  {human_size(size_bytes(path)):>10}  {path}")
    if len(paths) > SHOWN:
        print(f"  and {len(paths) - SHOWN} more")
    if delete:
        remove(paths)
        print(f"{stage}: deleted {len(paths)} files or folders, {total}")
    else:
        print(
            f"{stage}: {len(paths)} files or folders, {total}. Nothing is deleted without --yes (make: YES=1)"
        )


if __name__ == "__main__":
    run_command(main)
