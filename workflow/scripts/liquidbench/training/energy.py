"""The energy that a training takes, where the machine counts it.

Processors: Linux's powercap files (https://docs.kernel.org/power/powercap/powercap.html), one zone for each package.
Cards: NVIDIA's management library, whose counter starts with the driver. Both count the whole processor or card,
whoever uses it.
"""

from pathlib import Path

import pynvml
import torch

POWERCAP = Path("/sys/class/powercap")


class EnergyMeter:
    """Reads the counters since its last reading.

    Args:
        device: whose card counts, if it is one.
        powercap: where the kernel has its files.
    """

    def __init__(self, device: torch.device, powercap: Path = POWERCAP) -> None:
        # Packages alone: their parts (`intel-rapl:0:0`) and the whole platform (psys) would be counted twice.
        zones = sorted(powercap.glob("intel-rapl:*"))
        self.zones = [zone for zone in zones if _text(zone, "name").startswith("package-")]
        self.device = device
        self.before = self._readings()

    def joules(self) -> float | None:
        """What processors and card took since this was made or last asked; None where one of them does not tell.

        A counter of a processor starts again at its end, after some minutes or hours; one that did so more than once
        between two readings is not noticed.
        """
        before, self.before = self.before, self._readings()
        taken = []
        for name, now in self.before.items():
            if now is None or before[name] is None:
                return None
            since = now - before[name]
            if since < 0 and isinstance(name, Path):
                since += (_microjoules(name, "max_energy_range_uj") or 0) / 1e6
            taken.append(since)
        if not self.zones or min(taken) < 0:
            return None
        return sum(taken)

    def _readings(self) -> dict[Path | str, float | None]:
        """Counter to joules."""
        found: dict[Path | str, float | None] = {}
        for zone in self.zones:
            count = _microjoules(zone, "energy_uj")
            found[zone] = None if count is None else count / 1e6
        if self.device.type == "cuda":
            found["card"] = _joules_of_card(self.device)
        return found


def _microjoules(zone: Path, name: str) -> int | None:
    """A count of a zone; None where it cannot be read: many systems let root alone."""
    try:
        return int(_text(zone, name))
    except ValueError:
        return None


def _text(zone: Path, name: str) -> str:
    try:
        return (zone / name).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _joules_of_card(device: torch.device) -> float | None:
    """What a card has taken since its driver was loaded; None where the driver does not tell."""
    try:
        pynvml.nvmlInit()
        identifier = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
        card = pynvml.nvmlDeviceGetHandleByUUID(identifier)
        return pynvml.nvmlDeviceGetTotalEnergyConsumption(card) / 1e3
    except pynvml.NVMLError:
        return None
