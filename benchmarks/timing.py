"""Fair timing: variants take turns, and what counts is the ratio within a round.

A machine's speed drifts by a third within minutes. So no variant is timed alone: every round times each of them once,
in an order of its own, and a ratio is taken between two times of the same round.
"""

import gc
import random
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import pandas as pd

COLUMNS = [
    *["benchmark", "case", "variant", "reference", "rounds"],
    *["milliseconds", "milliseconds_low", "milliseconds_high"],
    *["ratio", "ratio_low", "ratio_high"],
]


def interleaved(
    variants: Mapping[str, Callable[[], object]],
    rounds: int = 11,
    warmups: int = 2,
    clock: Callable[[], float] = time.perf_counter,
) -> pd.DataFrame:
    """Time each variant once per round.

    Args:
        variants: name to a function without arguments.
        rounds: rounds that count.
        warmups: rounds before them that do not (compilation, first touch of memory).
        clock: gives seconds; `time.process_time` counts those of this process alone, whatever else runs.

    Returns:
        (rounds, variants) times in seconds; the columns are the names.
    """
    say_if_busy()
    names = list(variants)
    # Shuffled, so that no variant always finds the cache as the same other one left it.
    order = random.Random(0)
    rows = []
    collecting = gc.isenabled()
    gc.disable()
    try:
        for number in range(warmups + rounds):
            row = {}
            for name in order.sample(names, len(names)):
                started = clock()
                variants[name]()
                row[name] = clock() - started
            if number >= warmups:
                rows.append(row)
            gc.collect()
    finally:
        if collecting:
            gc.enable()
    return pd.DataFrame(rows, columns=names)


@cache
def say_if_busy() -> None:
    """One line where other processes use the processor: ratios are fairer than times then, and not fair. Linux only."""
    if not Path("/proc/stat").exists():
        return

    def ticks() -> tuple[int, int]:
        # user, nice, system, idle, iowait, ...: https://docs.kernel.org/filesystems/proc.html
        fields = [
            int(field) for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]
        ]
        return sum(fields), fields[3] + fields[4]

    all_before, idle_before = ticks()
    time.sleep(0.5)
    all_after, idle_after = ticks()
    busy = 1 - (idle_after - idle_before) / max(1, all_after - all_before)
    if busy > 0.1:
        print(
            f"ATTENTION: {busy:.0%} of the processor is busy with something else. Do not quote this."
        )


def compared(
    times: pd.DataFrame, references: Mapping[str, str] | str, benchmark: str, case: str
) -> pd.DataFrame:
    """Medians and ratios of interleaved times.

    Args:
        times: from `interleaved`.
        references: the variant that each is divided by, by name; one name stands for all.
        benchmark: what is measured, for the first column.
        case: the shape or data set, for the second.

    Returns:
        A row per variant with `COLUMNS`: the median and the quartiles of its time, in milliseconds, and of
        its ratio to the reference (below 1 is faster).
    """
    rows = []
    for name in times.columns:
        reference = references if isinstance(references, str) else references[name]
        low, middle, high = times[name].quantile([0.25, 0.5, 0.75]) * 1e3
        ratio_low, ratio, ratio_high = (times[name] / times[reference]).quantile([0.25, 0.5, 0.75])
        row = [benchmark, case, name, reference, len(times)]
        rows.append([*row, middle, low, high, ratio, ratio_low, ratio_high])
    return pd.DataFrame(rows, columns=COLUMNS)


def show(table: pd.DataFrame, title: str) -> None:
    """Print a table of `compared` for a terminal."""
    print(f"\n{title}\n")
    text = table[["case", "variant"]].copy()
    text["ms"] = [f"{value:.3g}" for value in table["milliseconds"]]
    text["time, relative to (below 1 is faster) [quartiles]"] = [
        f"{ratio:.3f} [{low:.3f}, {high:.3f}] {reference}"
        for ratio, low, high, reference in zip(
            table["ratio"], table["ratio_low"], table["ratio_high"], table["reference"]
        )
    ]
    print(text.to_markdown(index=False))


def save(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table as CSV, whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    table.to_csv(temporary, index=False, float_format="%.6g")
    temporary.replace(path)
