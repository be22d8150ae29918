"""Names of the files of the figures stage, for those who read them and draw nothing."""

import re

# What this stage writes, and so what it may remove again when a figure cannot be drawn any more.
OWN_FILES = re.compile(
    r"(figure_\d+|training_curves_\w+|confusion_\w+|stress_\w+|alarms_\w+|line_length_\w+|costs_\w+)\.(svg|png)"
)

# For a program: the figures in order, and what was left out.
LISTING = "index.json"
