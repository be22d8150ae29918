"""Which parts of the library decide the results of each stage.

Rules name the content sum of these parts as a parameter, so that a change in one reruns its users, and results keep
it as provenance. Imports nothing: the Snakefile reads this too.
"""

_SHARED = ("errors.py", "files.py")
_READING_CACHES = tuple(
    f"datasets/{name}.py" for name in ("cache", "checksum", "packing", "splits")
)
_LOSING_STEPS = (
    "datasets/observations.py",
    *(f"evaluation/{name}.py" for name in ("corruptions", "random_streams", "removal")),
)
_COMPARING = tuple(
    f"evaluation/{name}.py" for name in ("influence", "paired", "statistics", "weighted_metrics")
)
_JUDGING = tuple(f"evaluation/{name}.py" for name in ("clinical", "metrics", "utility"))
_REPORTING = (
    "reporting",
    *(f"evaluation/{name}.py" for name in ("alarms", "edits")),
    *_LOSING_STEPS,
    *_COMPARING,
    *_JUDGING,
)
_PACKING = (
    "stages.py",
    *(f"sharing/{name}.py" for name in ("configurations", "contents", "exporting")),
)
_PARTS = {
    "fetch": tuple(
        f"datasets/{name}.py" for name in ("archives", "download", "mirror", "sources", "transfer")
    ),
    "synthesise": ("datasets/synthetic",),
    "prepare": (
        "allocator.py",
        *(
            f"datasets/{name}.py"
            for name in (
                "archives",
                "cache",
                "checksum",
                "examples",
                "manifest",
                "observations",
                "packing",
                "preparation",
                "splits",
                "workers",
            )
        ),
    ),
    "train": (
        *("allocator.py", *_READING_CACHES, "models", "training", "evaluation/decoding.py"),
        *(*_LOSING_STEPS, *_JUDGING),
    ),
    "baseline": (*_READING_CACHES, "models", "training", "evaluation/decoding.py", *_JUDGING),
    "stress": (
        *("allocator.py", *_READING_CACHES, "models", "training", "evaluation/decoding.py"),
        *(*_LOSING_STEPS, *_JUDGING),
    ),
    "report": _REPORTING,
    "page": ("page", *_REPORTING),
    "export": (*_PACKING, "reporting/runs.py"),
    "publish": (
        *(*_PACKING, "sharing/publishing.py"),
        *(f"reporting/{name}.py" for name in ("line_errors", "runs")),
        *(f"evaluation/{name}.py" for name in ("edits", "metrics")),
    ),
    "unpack": (
        "datasets/archives.py",
        *(f"sharing/{name}.py" for name in ("archive", "configurations", "contents", "unpacking")),
    ),
}


def parts_of(stage: str, dataset: str | None = None) -> tuple[str, ...]:
    """The parts that a stage's results depend on, for `liquidbench.files.sha256_of_code`.

    Args:
        stage: fetch, synthesise, prepare, train, baseline, stress, report, page, export, publish or unpack.
        dataset: for `prepare`, the data set, whose own reader counts too.
    """
    own = (f"datasets/{dataset}.py",) if stage == "prepare" else ()
    return (*_SHARED, *_PARTS[stage], *own)
