"""Shipped configurations, changed in one place, and what is said of them."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.utils import update_config

from liquidbench import configuration
from liquidbench.errors import InputError

PROJECT = Path(__file__).parents[1]

SCHEMA = PROJECT / "workflow/schemas/config.schema.yaml"

REMOVED = object()


def shipped(*overlays: str) -> dict[str, Any]:
    """config.yaml and protocols.yaml with overlays, merged by Snakemake's own routine."""
    config: dict[str, Any] = {}
    for name in ("config", "protocols", *overlays):
        text = (PROJECT / f"config/{name}.yaml").read_text(encoding="utf-8")
        update_config(config, yaml.safe_load(text))
    return config


def changed(config: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A copy with the value at a dotted key replaced, added or REMOVED."""
    result = copy.deepcopy(config)
    *path, last = key.split(".")
    block = result
    for name in path:
        block = block.setdefault(name, {})
    if value is REMOVED:
        del block[last]
    else:
        block[last] = value
    return result


def refusal(config: dict[str, Any], key: str, value: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        configuration.check(changed(config, key, value), SCHEMA)
    assert "\n" not in str(caught.value)
    return caught.value


HOURLY = [{"protocol": "hourly", "models": ["lstm-128", "cfc-128"]}]
