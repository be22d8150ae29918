"""How long Snakemake plans a large study, and how much memory that takes: no run is made.

    python benchmarks/planning.py [--out planning.csv] [--runs 100 1000 10000] [--profile]

Eight models, two of each data set, with as many seeds as make the number of runs, and a stress test of half of them.
Each plan is a dry run in a process of its own and an empty folder. `--profile` prints where the last one spends its
time.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from timing import save, say_if_busy

PROJECT = Path(__file__).resolve().parents[1]
MODELS = {
    "nmnist": ["lstm", "cfc"],
    "quickdraw": ["lstm", "cfc"],
    "iam": ["lstm", "cfc"],
    "physionet": ["lstm-128", "cfc-128"],
}
MODEL_COUNT = sum(map(len, MODELS.values()))


def large_study(runs: int) -> dict:
    """An overlay of config.yaml that asks for at least `runs` trainings, and half as many stress tests."""
    return {
        "seeds": list(range(-(-runs // MODEL_COUNT))),
        "device": "cpu",
        "datasets": {
            name: {"source": "synthetic", "models": models} for name, models in MODELS.items()
        },
        # These two are stressed with the runs of the main study.
        "stress": {
            "datasets": ["iam", "physionet"],
            "corruptions": ["zero_steps", "remove_bursts"],
        },
    }


def plan(runs: int, folder: Path, arguments: list[str]) -> dict[str, float]:
    """Plan a study in a folder: its runs and jobs, seconds, and the peak memory of the process in MiB.

    Args:
        runs: trainings to ask for.
        folder: an empty folder, the working directory.
        arguments: Snakemake's, beside `-n`.

    Raises:
        SystemExit: the plan failed, or does not have the jobs that it should.
    """
    overlay = folder / "overlay.json"
    overlay.write_text(json.dumps(large_study(runs)))
    command = [sys.executable, *arguments, "-m", "snakemake", "-n"]
    command += ["--snakefile", PROJECT / "Snakefile", "--directory", folder]
    command += ["--configfile", overlay]
    output = folder / "output"
    started = time.perf_counter()
    with output.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    text = output.read_text()
    counts = {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", text, re.MULTILINE)}
    asked = MODEL_COUNT * -(-runs // MODEL_COUNT)
    if os.waitstatus_to_exitcode(status) != 0 or counts.get("train") != asked:
        sys.exit(f"no plan of {asked} trainings:\n{text[-3000:]}")
    return {
        "runs": asked,
        "jobs": counts["total"],
        "seconds": round(seconds, 1),
        # What it takes on an idle machine.
        "processor_seconds": round(used.ru_utime + used.ru_stime, 1),
        # Kibibytes on Linux.
        "peak_mebibytes": round(used.ru_maxrss / 1024),
    }


def main() -> None:
    """Plan studies of growing size and show a row for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="CSV file to write")
    parser.add_argument("--runs", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--profile", action="store_true", help="profile the last plan")
    parser.add_argument("--quick", action="store_true", help="the smallest alone")
    arguments = parser.parse_args()
    say_if_busy()
    rows = []
    sizes = arguments.runs[:1] if arguments.quick else arguments.runs
    with tempfile.TemporaryDirectory() as temporary:
        for runs in sizes:
            folder = Path(temporary, str(runs))
            folder.mkdir()
            rows.append(plan(runs, folder, []))
            print(rows[-1], flush=True)
        if arguments.profile:
            record = Path(temporary, "record")
            plan(sizes[-1], folder, ["-m", "cProfile", "-o", str(record)])
            import pstats

            pstats.Stats(str(record)).sort_stats("cumulative").print_stats(60)
    table = pd.DataFrame(rows)
    print(table.to_markdown(index=False))
    if arguments.out:
        save(table, arguments.out)


if __name__ == "__main__":
    main()
