"""Two readings of the same network: the table of error rates."""

import pandas as pd

from liquidbench.evaluation.edits import KINDS
from liquidbench.reporting.line_errors import READINGS
from liquidbench.reporting.printed import COLUMNS as PRINTED_COLUMNS
from liquidbench.reporting.printed import PrintedTable
from liquidbench.reporting.ranges import NOT_NEGATIVE
from liquidbench.reporting.result_tables import TRANSCRIPTION, common_notes, synthetic_share
from liquidbench.reporting.study import Group, Study, title_of
from liquidbench.reporting.table import Row, Table, compare_numbers

RATES = {name: heading for name, heading in TRANSCRIPTION if name != "loss"}
ABOUT = ("Data set", "Data", "Protocol", "Model", "Reading", "Seeds", "Examples train / test")


def transcribing(study: Study) -> list[Group]:
    """The groups that read lines. The configuration tells nothing of the task; IAM is known."""
    return [
        group
        for group in study.groups()
        if group.dataset == "iam" or study.metric(group, "test", "cer") is not None
    ]


def handwriting_table(study: Study) -> Table:
    """CER and WER on the test lines, averaged both ways, and the kinds of errors: a row per model and reading."""
    table = Table(
        name="handwriting",
        title="Handwriting, test split: two readings of the same network",
        about=ABOUT,
        figures=RATES | {kind: f"{kind.capitalize()} per 100 characters" for kind in KINDS},
    )
    groups = transcribing(study)
    for group in groups:
        for reading, (_, suffix) in READINGS.items():
            figures = {
                name: compare_numbers(
                    study.metric(group, "test", f"{name}{suffix}"),
                    *(None, 4),
                    confidence=study.layout.confidence,
                    possible=NOT_NEGATIVE,
                )
                for name in RATES
            }
            shares = _errors_per_100_characters(study, group, reading)
            confidence = study.layout.confidence
            figures |= {
                kind: compare_numbers(
                    shares.get(kind), None, 2, confidence=confidence, possible=NOT_NEGATIVE
                )
                for kind in KINDS
            }
            about = (title_of(group.dataset), group.data, group.protocol_label, group.model)
            how = f"beam search{_width(study, group)}" if reading == "beam" else reading
            table.rows.append(Row((*about, how, group.seeds, group.examples), figures))
    table.synthetic = synthetic_share(groups)
    table.notes = [
        *common_notes(study, groups, PrintedTable(pd.DataFrame(columns=PRINTED_COLUMNS))),
        "greedy: the likeliest character of each step, as the paper's code reads; beam search: the likeliest text, "
        "summed over its paths, without a language model",
        "substitutions, insertions (read and not written) and deletions (written and not read) add up "
        "to the pooled CER",
    ]
    return table


def _width(study: Study, group: Group) -> str:
    """How wide the beam was, ", 10 wide"; empty before anything was read."""
    widths = dict.fromkeys(study.metric(group, "test", "beam_width") or [])
    return f", {'/'.join(f'{width:.0f}' for width in widths)} wide" if widths else ""


def _errors_per_100_characters(study: Study, group: Group, reading: str) -> dict[str, list[float]]:
    """Each kind of error for every finished seed; empty if nothing was read."""
    rows = study.rows("handwriting", group.key)
    sums = rows[rows["reading"] == reading].groupby("seed")[["characters", *KINDS]].sum()
    if sums.empty:
        return {}
    return {kind: (100 * sums[kind] / sums["characters"].clip(lower=1)).tolist() for kind in KINDS}
