"""Where, when and with what a run was made."""

import os
import platform
import resource
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "numpy", "pandas", "h5py", "scikit-learn", "rapidfuzz", "safetensors")


def utc_now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def environment(device: torch.device, precision: str) -> dict[str, Any]:
    """Versions, hardware, and how the run computes.

    Args:
        device: where the run computes.
        precision: of its model's forward pass.
    """
    return {
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in PACKAGES},
        "hardware": {
            "processor": processor_name(torch.device("cpu")),
            "cores": os.cpu_count(),
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "gpu": processor_name(device) if device.type == "cuda" else None,
            "cuda": torch.version.cuda if device.type == "cuda" else None,
            "operating_system": _operating_system(),
        },
        "device": device.type,
        "threads": torch.get_num_threads(),
        "deterministic": (
            "where kernels allow"
            if torch.is_deterministic_algorithms_warn_only_enabled()
            else torch.are_deterministic_algorithms_enabled()
        ),
        "precision": precision,
    }


def peak_memory_bytes(device: torch.device) -> dict[str, int | None]:
    """The most memory that this process held, and that the card held for it."""
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
        "gpu": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
    }


def processor_name(device: torch.device) -> str:
    """The name of the card, or of the machine's processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    # `platform.processor()` is empty or a family on many Linux systems.
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _operating_system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.platform()
