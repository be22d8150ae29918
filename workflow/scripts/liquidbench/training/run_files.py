"""What every kind of run does with its command line, its cache and its tables."""

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd

from liquidbench.datasets.cache import CacheAttributes
from liquidbench.errors import InputError
from liquidbench.files import written_whole


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say which run it is, what of, and where it goes."""
    parser.add_argument("--cache", type=Path, required=True, help="the data set's HDF5 cache")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--protocol", required=True, help="name of the protocol, for the record")
    parser.add_argument("--model", required=True, help="name of the model, for the record")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--settings", required=True, help="resolved, as JSON")
    parser.add_argument("--out", type=Path, required=True, help="the run directory")


def check_cache(
    cache: Path, attributes: CacheAttributes, dataset: str, prepared: dict[str, Any]
) -> None:
    """Refuse a cache of another data set, or one that was prepared otherwise than the run's settings say."""
    if attributes.dataset != dataset:
        raise InputError(
            cache,
            f"holds {attributes.dataset}, expected {dataset}",
            "Name the cache of the data set that you train on",
        )
    found = dict(attributes.settings)
    if found != prepared:
        raise InputError(
            cache,
            f"was prepared with {json.dumps(found, sort_keys=True)}, the run asks for "
            f"{json.dumps(prepared, sort_keys=True)}",
            "Prepare the data set again",
        )


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a CSV file, whole or not at all."""
    with written_whole(path) as temporary:
        table.to_csv(temporary, index=False)
