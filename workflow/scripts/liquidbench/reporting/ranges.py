"""What figures can be at all: where intervals, bands and axes end."""

import math

Range = tuple[float, float]

SHARE: Range = (0.0, 1.0)
PERCENT: Range = (0.0, 100.0)
NOT_NEGATIVE: Range = (0.0, math.inf)
ANYTHING: Range = (-math.inf, math.inf)
# Figures of the stress test, in percent. A text that was read may have any number of characters.
STRESS_RANGES = {
    "accuracy": PERCENT,
    "auroc": PERCENT,
    "average_precision": PERCENT,
    "cer": NOT_NEGATIVE,
}
