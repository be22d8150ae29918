"""What a reader meets in place of the names of the configuration, and words that stand in many places."""

ONE_SEED = "one seed"

# What is lost of the sequences; docs/protocols.md says how.
CORRUPTION_TITLES = {
    "zero_steps": "steps zeroed (paper)",
    "zero_bursts": "bursts of steps zeroed",
    "remove_steps": "steps removed",
    "remove_bursts": "bursts of steps removed",
    "drop_events": "events lost",
    "drop_strokes": "strokes removed",
    "blank_columns": "columns blanked",
    "drop_hours": "hours removed",
    "drop_measurements": "measurements lost",
}


# Figures of the stress test.
STRESS_METRIC_TITLES = {
    "accuracy": "accuracy",
    "auroc": "AUROC",
    "average_precision": "average precision",
    "cer": "CER, mean over lines",
}


def corruption_title(name: str) -> str:
    """A corruption as readers know it; one that is not listed keeps its name, in words."""
    return CORRUPTION_TITLES.get(name, name.replace("_", " "))
