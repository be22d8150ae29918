"""Tables I and II: benchmark and sepsis, measured beside printed."""

import math

from liquidbench.reporting.differences import percent
from liquidbench.reporting.printed import PrintedTable
from liquidbench.reporting.ranges import NOT_NEGATIVE, SHARE
from liquidbench.reporting.study import Group, Study, title_of
from liquidbench.reporting.table import ALL_ALIKE, Row, Table, compare_numbers

ABOUT = ("Data set", "Data", "Protocol", "Model", "Paper's row", "Seeds", "Examples train / test")

CLASSIFICATION = [("accuracy", "accuracy")]
TRANSCRIPTION = [
    ("cer", "CER, mean over lines"),
    ("cer_pooled", "CER, pooled over characters"),
    ("wer", "WER, mean over lines"),
    ("wer_pooled", "WER, pooled over words"),
    ("loss", "CTC loss"),
]
SEPSIS = {
    "precision": ("Precision", 3),
    "recall": ("Recall", 3),
    "f1": ("F1", 3),
    "accuracy": ("Accuracy", 3),
    "false_positives": ("False positives", 0),
    "auroc": ("AUROC", 3),
    "average_precision": ("Average precision", 3),
}
SPLITS = {
    "train_running": "Train, last epoch as it went",
    "train": "Train, after training",
    "test": "Test",
}


def about_group(group: Group, printed: PrintedTable) -> tuple[str, ...]:
    """The columns in front of every row of figures."""
    return (
        title_of(group.dataset),
        group.data,
        group.protocol_label,
        group.model,
        printed.row_name(group.dataset, group.model) or "–",
        group.seeds,
        group.examples,
    )


def synthetic_share(groups: list[Group]) -> str:
    """Whether "none", "some" or "all" of the finished groups are on synthetic data."""
    marks = {group.synthetic for group in groups if group.finished}
    return "none" if True not in marks else "all" if marks == {True} else "some"


def common_notes(
    study: Study, groups: list[Group], printed: PrintedTable, estimates: bool = True
) -> list[str]:
    """Missing runs, printed rows without a run, mixed caches, and what the columns mean.

    Args:
        estimates: whether figures vary over seeds, and so have intervals.
    """
    notes = [note for group in groups for note in group.missing_notes]
    absent = printed.rows_without({(group.dataset, group.model) for group in groups})
    if absent:
        notes.append(f"printed in the paper, not configured here: {', '.join(absent)}")
    notes += _mixed_caches(study, groups)
    notes += interval_notes(study, groups) if estimates else []
    mirrored = [group for group in groups if group.data not in ("–", "SYNTHETIC", "download")]
    if any(not group.papers_data for group in mirrored):
        notes.append(
            "Data `mirror`: files from a folder of the user's, which need not be the paper's data"
        )
    if same := dict.fromkeys(title_of(group.dataset) for group in mirrored if group.papers_data):
        notes.append(
            f"Data `mirror`, {', '.join(same)}: as many examples as in the official files, and so taken for them"
        )
    return notes


def interval_notes(study: Study, groups: list[Group]) -> list[str]:
    """What stands behind a figure: several seeds and their interval, or one seed and none."""
    notes = []
    if any(len(group.finished) > 1 for group in groups):
        notes.append(
            "mean ± standard deviation over the seeds, and in brackets the "
            f"{percent(study.layout.confidence)} interval of the mean (Student's t over the seeds): other seeds, the "
            "same data; cut where a figure cannot be; a figure that only some seeds have says how many. "
            f"“{ALL_ALIKE}” to the last digit have no interval: that tells nothing of other seeds"
        )
    if any(len(group.finished) == 1 for group in groups):
        notes.append(
            "“one seed”: a single training, so nothing is known of how far another would differ"
        )
    return notes


def comparison_notes(study: Study, groups: list[Group]) -> list[str]:
    """What a reader must know before comparing two figures of a table of results."""
    notes = []
    if any(group.finished and not group.papers_data for group in groups):
        notes.append(
            "a difference is taken only where the data are the paper's: the official files, whole, downloaded or "
            "as many in a mirror; not with synthetic data, other files or a part of them"
        )
    for group in groups:
        settings = study.rows("settings", group.key)
        own = settings.loc[settings["setting"] == "architecture.core.layers", "value"].unique()
        if list(own) not in ([], ["1"]):
            notes.append(
                f"{title_of(group.dataset)} {group.protocol}/{group.model} has {' or '.join(own)} "
                "layers; a CfC has one"
            )
    return notes


def _mixed_caches(study: Study, groups: list[Group]) -> list[str]:
    """Runs of one data set that were not given the same bytes do not compare."""
    facts = study.frames["environment"]
    caches = facts[(facts["fact"] == "cache_sha256") & (facts["value"] != "")]
    notes = []
    for dataset in dict.fromkeys(group.dataset for group in groups):
        count = caches.loc[caches["dataset"] == dataset, "value"].nunique()
        if count > 1:
            notes.append(f"ATTENTION: the runs of {dataset} come from {count} different caches")
    return notes


def benchmark_table(study: Study, printed: PrintedTable) -> Table:
    """Table I: accuracy or character error rate on train and test."""
    table = Table(
        name="1",
        title="Benchmark, LNN against LSTM",
        about=(*ABOUT, "Metric"),
        figures=SPLITS,
    )
    groups = [
        group for group in study.groups() if study.is_main(group) and group.dataset != "physionet"
    ]
    for group in groups:
        # The configuration tells nothing of the task; a run without results shows its data set's.
        transcription = group.dataset == "iam" or study.metric(group, "test", "cer") is not None
        for name, heading in TRANSCRIPTION if transcription else CLASSIFICATION:
            figures = {
                split: compare_numbers(
                    study.metric(group, split, name),
                    printed.find(f"{split}/{name}", group.dataset, group.model),
                    decimals=4,
                    comparable=group.papers_data,
                    confidence=study.layout.confidence,
                    possible=SHARE if name == "accuracy" else NOT_NEGATIVE,
                )
                for split in SPLITS
            }
            table.rows.append(Row((*about_group(group, printed), heading), figures))
    table.synthetic = synthetic_share(groups)
    table.notes = common_notes(study, groups, printed) + comparison_notes(study, groups)
    table.notes.append(
        "the paper's train accuracy is the running one of the last epoch (the authors' logs)"
    )
    if any(group.dataset == "iam" for group in groups):
        table.notes.append(
            "the paper's IAM train CER equals the last epoch's training CTC loss in the authors' "
            "logs, so the like-for-like comparison is the row CTC loss; no text is decoded while "
            "training, hence no running CER"
        )
    return table


def sepsis_table(study: Study, printed: PrintedTable) -> Table:
    """Table II: the sepsis task's test figures."""
    table = Table(
        name="2",
        title="PhysioNet (sepsis), test split",
        about=ABOUT,
        figures={name: heading for name, (heading, _) in SEPSIS.items()},
    )
    groups = [g for g in study.groups() if g.dataset == "physionet" and study.is_main(g)]
    undefined = []
    for group in groups:
        figures = {}
        for name, (_, decimals) in SEPSIS.items():
            values = study.metric(group, "test", name)
            target = printed.find(name, group.dataset, group.model)
            figures[name] = compare_numbers(
                *(values, target, decimals),
                comparable=group.papers_data,
                confidence=study.layout.confidence,
                possible=NOT_NEGATIVE if name == "false_positives" else SHARE,
            )
            gone = sum(map(math.isnan, values or []))
            if gone:
                undefined.append(
                    f"{name} of {group.protocol}/{group.model} does not exist for {gone} of "
                    f"{len(values)} runs (no alarm raised, or one class alone)"
                )
        table.rows.append(Row(about_group(group, printed), figures))
    table.synthetic = synthetic_share(groups)
    table.notes = [
        *common_notes(study, groups, printed),
        *comparison_notes(study, groups),
        *undefined,
    ]
    table.notes.append(
        "false positives are counts and grow with the test split: the paper's arithmetic gives "
        "about 4,100 test patients, 360 of them septic"
    )
    return table
