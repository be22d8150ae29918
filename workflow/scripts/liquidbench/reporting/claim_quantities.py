"""Our figures by the names that claims give them."""

import re
from dataclasses import dataclass

from liquidbench.errors import InputError
from liquidbench.reporting.runs import RUN_COLUMNS
from liquidbench.reporting.stress_differences import AREA, LOSS
from liquidbench.reporting.summaries import COLUMNS
from liquidbench.reporting.titles import corruption_title

TEST_METRICS = (
    *("accuracy", "loss", "cer", "wer", "cer_pooled", "wer_pooled", "precision", "recall", "f1"),
    *("false_positives", "true_positives", "auroc", "average_precision"),
)
_SHARES = frozenset(TEST_METRICS) - {"loss", "false_positives", "true_positives"}
STRESS_METRICS = ("accuracy", "auroc", "average_precision", "cer")
# The same in every run of a model, whatever the seed and the data: no interval is needed.
_COUNTED_FIGURES = ("parameters", "costs/core_flops_per_step", "costs/flops_per_example")
_COSTS = COLUMNS["costs"][len(RUN_COLUMNS) :]
_FORMS = {
    rf"(test|train|train_running|gap)/({'|'.join(TEST_METRICS)})": "metrics",
    r"parameters/(total|encoder|core|head)": "parameters",
    rf"costs/({'|'.join(_COSTS)})": "costs",
    r"clinical/(patient|hour)/([a-z0-9_.]+)": "clinical",
    rf"stress/([a-z0-9_-]+)/({AREA}|{LOSS}|\d+(?:\.\d+)?%)/({'|'.join(STRESS_METRICS)})": "stress",
}


@dataclass(frozen=True)
class Quantity:
    """A figure of ours by name: `test/accuracy`, `gap/accuracy` (train as it went less test), `parameters/core`,
    `costs/<column>`, `clinical/<level>/<figure>`, `stress/<corruption>/<rate>%/<metric>`,
    `stress/<corruption>/area/<metric>` (the mean of the curve over the tested rates) or
    `stress/<corruption>/loss/<metric>` (how much worse that mean is than the figure with nothing lost)."""

    name: str
    summary: str
    parts: tuple[str, ...]

    @property
    def needs_interval(self) -> bool:
        """Whether the figure varies with the seed."""
        return not self.name.startswith(_COUNTED_FIGURES)

    @property
    def is_share(self) -> bool:
        """Whether the figure lies between 0 and 1."""
        return self.summary in ("metrics", "stress") and self.parts[-1] in _SHARES

    @property
    def label(self) -> str:
        """The figure's name as a reader meets it."""
        if self.summary == "stress":
            corruption, rate, metric = self.parts
            metric = metric.replace("_", " ")
            where = {AREA: "mean over the rates", LOSS: "lost on average over the rates"}
            return f"{metric} with {corruption_title(corruption)}, {where.get(rate, f'at {rate}')}"
        if self.parts[0] == "gap":
            return f"{self.parts[1]}, training − test"
        if self.summary == "parameters":
            return f"{self.parts[0]} parameters"
        return " ".join(self.parts).replace("_", " ")

    def shown(self, value: float, sign: bool = False) -> str:
        """The figure as a reader meets it; with its sign if it is a difference."""
        count = self.summary == "parameters" or self.parts[-1].endswith(("positives", "flops"))
        count = count or self.parts[-1].startswith(("false_alarms_at", "false_alarms_allowed"))
        if count or abs(value) >= 1000:
            text = f"{value:+,.1f}" if sign else f"{value:,.1f}"
            return text.removesuffix(".0")
        digits = 4 if self.summary in ("metrics", "stress") else 3
        if self.summary == "costs" and abs(value) < 0.1:
            return f"{value:+.3g}" if sign else f"{value:.3g}"
        return f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"


def quantity(name: str, place: str) -> Quantity:
    """A figure of ours by its name.

    Raises:
        InputError: there is no such figure.
    """
    for form, summary in _FORMS.items():
        match = re.fullmatch(form, name) if isinstance(name, str) else None
        if match:
            return Quantity(name, summary, match.groups())
    raise InputError(
        place, f"unknown quantity {name!r}", "Use one that docs/claims.md lists, spelled as there"
    )
