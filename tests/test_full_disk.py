"""A disk that is full, wherever in a stage it happens: one clear message, nothing half-written, and then on.

In place of a full disk, a limit on the size of files, at which a write fails in the same way. It needs no rights.
"""

import errno
import json
import multiprocessing
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fake_study import run_folder, run_item, write_study
from liquidbench.datasets.cache import CacheWriter
from liquidbench.datasets.synthetic import iam, nmnist, physionet, quickdraw
from liquidbench.datasets.synthetic.raw_files import write_manifest
from liquidbench.errors import InputError
from liquidbench.files import written_whole
from workflow_helpers import PROJECT

FULL = os.strerror(errno.EFBIG)


def _limited(limit: int, work: Callable[[], None], pipe) -> None:
    # Whatever is printed: the limit holds for pytest's own files too.
    sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        work()
        pipe.send((True, "done"))
    except InputError as error:
        pipe.send((True, str(error)))
    except BaseException as error:
        pipe.send((False, f"{type(error).__name__}: {error}"))


def with_room_for(limit: int, work: Callable[[], None]) -> str:
    """Do `work` in a process that can write files of `limit` bytes: "done", or the user's message."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_limited, args=(limit, work, theirs))
    process.start()
    theirs.close()
    clear, told = ours.recv()
    process.join()
    assert clear, told
    return told


def files_below(folder: Path) -> dict[str, int]:
    """Name to size of everything, hidden and half-written files too."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
    }


def check_every_size(
    work: Callable[[Path], None],
    folder: Path,
    differs: Callable[[str], bool] = lambda name: False,
    most: int | None = None,
) -> None:
    """Do `work(folder)` with less room than each of its files needs: clear failures, whole files, and then on.

    Args:
        work: writes into a folder.
        folder: whose parent is there.
        differs: of a file's name, whether two runs give different bytes (times, for example).
        most: try so many of the sizes, the smallest and largest among them; None: all.
    """
    work(folder / "whole")
    whole = files_below(folder / "whole")
    sizes = sorted({0, *(size - 1 for size in whole.values())})
    if most is not None and len(sizes) > most:
        sizes = [sizes[round(place * (len(sizes) - 1) / (most - 1))] for place in range(most)]
    messages = set()
    for size in sizes:
        out = folder / "limited"
        told = with_room_for(size, lambda: work(out))  # noqa: B023
        if told == "done":
            # Times have fewer digits now and then.
            continue
        messages.add(told)
        assert FULL in told and "Make room" in told, told
        left = files_below(out) if out.exists() else {}
        for name, found in left.items():
            assert name in whole, f"{name} is left at a limit of {size}"
            assert found == whole[name] or differs(name), f"{name} is cut at a limit of {size}"
    assert messages
    # With room: the same files as if nothing had been.
    work(folder / "limited")
    for name in files_below(folder / "limited"):
        assert name in whole
        if not differs(name):
            assert (folder / "limited" / name).read_bytes() == (
                folder / "whole" / name
            ).read_bytes()


def is_a_record(name: str) -> bool:
    return name.endswith("provenance.json")


def test_a_file_that_does_not_fit_is_named(tmp_path):
    def write() -> None:
        with written_whole(tmp_path / "deep/file") as temporary:
            temporary.write_bytes(b"x" * 100)

    told = with_room_for(50, write)
    assert told == f"{tmp_path}/deep/file: cannot be written ({FULL}). Make room, then start again"
    assert files_below(tmp_path) == {}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_a_quota_and_a_limit_are_told_alike(tmp_path, code):
    with (
        pytest.raises(InputError, match=os.strerror(code)),
        written_whole(tmp_path / "file") as temporary,
    ):
        temporary.touch()
        raise OSError(code, os.strerror(code))
    with pytest.raises(PermissionError), written_whole(tmp_path / "file"):
        raise PermissionError(errno.EACCES, "no")
    assert files_below(tmp_path) == {}


GENERATED = {
    "nmnist": (nmnist, {"train": 10, "test": 10}),
    "quickdraw": (quickdraw, {"categories": ["apple", "bird"], "per_category": 10}),
    "iam": (iam, {"train": 10, "validation": 10, "test": 10}),
    "physionet": (physionet, {"patients": 20}),
}


@pytest.mark.parametrize("dataset", sorted(GENERATED))
def test_synthetic_raw_files(dataset, tmp_path):
    module, options = GENERATED[dataset]

    def work(out: Path) -> None:
        write_manifest(out / "manifest.json", dataset, module.synthesise(options, out))

    check_every_size(work, tmp_path)


@pytest.mark.parametrize("dataset", sorted(GENERATED))
def test_preparing(dataset, tmp_path, monkeypatch):
    import prepare

    module, options = GENERATED[dataset]
    manifest = tmp_path / "raw/manifest.json"
    write_manifest(manifest, dataset, module.synthesise(options, manifest.parent))
    settings = {"categories": options["categories"]} if dataset == "quickdraw" else {}

    def work(out: Path) -> None:
        arguments = ["prepare.py", "--dataset", dataset, "--manifest", str(manifest)]
        arguments += ["--settings", json.dumps(settings), "--cache", str(out / "cache.h5")]
        monkeypatch.setattr(sys, "argv", [*arguments, "--examples", str(out / "examples.npz")])
        prepare.main()

    check_every_size(work, tmp_path)


@pytest.mark.parametrize("checkpoints", [True, False])
def test_training_and_stress_test(tmp_path, monkeypatch, checkpoints):
    torch = pytest.importorskip("torch")
    import stress
    from liquidbench.training.checkpoint import Checkpoint
    from liquidbench.training.run import RunRequest, train_run
    from test_training import drawings, settings
    from test_training_settings import ATTRIBUTES

    cache = tmp_path / "cache.h5"
    with CacheWriter(cache, ATTRIBUTES) as writer:
        writer.append("all", drawings([3 + i % 6 for i in range(32)]))
    if not checkpoints:
        # Larger than the weights: a limit that stops these would stop them first.
        monkeypatch.setattr(Checkpoint, "save", lambda self, state: None)
    request = RunRequest("quickdraw", "p", "lstm", 1, settings(epochs=2), cache)
    wanted = {"rates": [0.0, 0.5], "draws": 1, "mask_seed": 0, "corruptions": ["zero_steps"]}

    def train(out: Path) -> None:
        train_run(request, out, torch.device("cpu"), 1, "portable")

    check_every_size(train, tmp_path / "train", is_a_record)

    def stress_test(out: Path) -> None:
        arguments = ["stress.py", "--cache", str(cache), "--run", str(tmp_path / "train/whole")]
        arguments += ["--settings", json.dumps(wanted), "--device", "cpu"]
        monkeypatch.setattr(sys, "argv", [*arguments, "--out", str(out / "stress.csv")])
        stress.main()

    check_every_size(stress_test, tmp_path / "stress")


def test_a_baseline(tmp_path):
    from liquidbench.training.baselines import fit_baseline
    from test_baselines import names_of, settings_of, stays, write_stays

    write_stays(tmp_path / "cache.h5", stays(60))

    def work(out: Path) -> None:
        fit_baseline(names_of(), settings_of("logistic"), tmp_path / "cache.h5", out, threads=1)

    check_every_size(work, tmp_path, is_a_record)


def test_summaries_tables_and_archive(tmp_path):
    from fake_study import LAYOUT
    from liquidbench.reporting.differences import Settings
    from liquidbench.reporting.runs import RunKey
    from liquidbench.reporting.study import read_study
    from liquidbench.reporting.summaries import summarise, write_summaries
    from liquidbench.reporting.table_files import build_tables, write_tables
    from liquidbench.sharing.exporting import export_study

    results = tmp_path / "results"
    items = write_study(results)
    keys = [RunKey(**item) for item in items]
    frames = summarise(results, keys, Settings(draws=100))
    check_every_size(lambda out: write_summaries(frames, out), tmp_path / "summary")

    study = read_study(tmp_path / "summary/whole", json.dumps(LAYOUT))
    paper = PROJECT / "resources/paper"
    tables = build_tables(study, paper)
    check_every_size(lambda out: write_tables(study, tables, out), tmp_path / "tables")

    runs = [run_folder(results, item).relative_to(results).as_posix() for item in items]
    config = {"study": "A study", "paths": dict.fromkeys(("raw", "results", "reports"), "results")}
    check_every_size(
        lambda out: export_study(results, runs, config, out / "study.zip", False) and None,
        tmp_path / "archive",
    )


def test_claims_figures_and_the_page(tmp_path):
    """Of one data set: a figure is drawn anew for every size."""
    from fake_study import LAYOUT, write_run
    from liquidbench.page.figures import read_figures
    from liquidbench.page.page import Inputs, write_page
    from liquidbench.reporting.claim_page import write_claims
    from liquidbench.reporting.claims import judge, read_claims
    from liquidbench.reporting.differences import Settings
    from liquidbench.reporting.figure_files import write_figures
    from liquidbench.reporting.runs import RunKey
    from liquidbench.reporting.study import read_study
    from liquidbench.reporting.summaries import summarise, write_summaries
    from liquidbench.reporting.table_files import build_tables

    results, paper = tmp_path / "results", PROJECT / "resources/paper"
    items = [run_item("quickdraw", "released", model) for model in ("lstm", "cfc")]
    for item in items:
        write_run(results, item)
    keys = [RunKey(**item) for item in items]
    write_summaries(summarise(results, keys, Settings(draws=100)), tmp_path / "summary")
    study = read_study(tmp_path / "summary", json.dumps(LAYOUT))
    judged = judge(read_claims(paper / "claims.yaml", paper), study)
    check_every_size(lambda out: write_claims(study, judged, out), tmp_path / "claims")
    check_every_size(
        lambda out: write_figures(study, results, keys, out) and None,
        tmp_path / "figures",
        most=4,
    )
    figures = read_figures(tmp_path / "figures/whole")
    tables = build_tables(study, paper)
    check_every_size(
        lambda out: write_page(Inputs(study, tables, judged, figures, results, out / "index.html")),
        tmp_path / "page",
    )
