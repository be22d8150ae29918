"""What every kind of run does with its cache and its tables."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from liquidbench.datasets.cache import CacheAttributes
from liquidbench.errors import InputError
from liquidbench.files import written_whole


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
