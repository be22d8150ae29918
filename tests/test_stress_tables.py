"""What stands under the tables of the stress test, and beside which rows the paper's figures may."""

import json

import pytest

from fake_study import LAYOUT, run_item, write_run, write_stress
from liquidbench.reporting.claim_evidence import Evidence
from liquidbench.reporting.claim_quantities import quantity
from liquidbench.reporting.table_files import build_tables
from test_tables import PAPER, line, study_of, table_named


def of_stress(folder, item, corruptions=("zero_steps",), **changes):
    """A stress-tested run; `changes` are of its metrics, by dotted names."""
    run = write_run(folder, item)
    metrics = json.loads((run / "metrics.json").read_text())
    for name, value in changes.items():
        *blocks, key = name.split(".")
        place = metrics
        for block in blocks:
            place = place[block]
        place[key] = value
    (run / "metrics.json").write_text(json.dumps(metrics))
    write_stress(run, item, {0.0: [0.9], 0.3: [0.8]}, corruptions=corruptions)


@pytest.mark.parametrize("name", ["3", "stress_area"])
def test_models_that_were_told_the_time_and_met_no_gap_are_named_under_the_stress_test(
    tmp_path, name
):
    items = [run_item("nmnist", "stress", model) for model in ("a", "b", "c", "d")]
    for item, varies in zip(items, (False, True, None, False)):
        of_stress(tmp_path, item, elapsed_varies=varies)
    (note,) = [note for note in table_named(name, tmp_path, items).notes if "time response" in note]
    assert note.startswith("nmnist/stress/a, nmnist/stress/d: told the time")


@pytest.mark.parametrize("name", ["3", "stress_area"])
def test_a_row_has_the_number_of_seeds_that_were_tested(tmp_path, name):
    items = [run_item("nmnist", "stress", "cfc", seed) for seed in range(3)]
    of_stress(tmp_path, items[0])
    write_run(tmp_path, items[1])
    table = table_named(name, tmp_path, items)
    (row,) = table.rows
    assert row.about[table.about.index("Seeds")] == "1 of 3 seeds"
    assert "not stress-tested: nmnist/stress/cfc seed 1" in table.notes


@pytest.mark.parametrize("name", ["3", "stress_area"])
def test_removals_under_a_mean_that_takes_in_the_padding_are_not_to_be_read(tmp_path, name):
    padded = {"settings.architecture.pooling": "mean_with_padding"}
    items = [run_item("quickdraw", "stress", model) for model in ("a", "b", "c")]
    of_stress(tmp_path, items[0], ("zero_steps", "drop_strokes"), **padded)
    of_stress(tmp_path, items[1], ("zero_steps", "zero_bursts"), **padded)
    of_stress(tmp_path, items[2], ("zero_steps", "remove_bursts"))
    (note,) = [note for note in table_named(name, tmp_path, items).notes if "padding" in note]
    assert note.startswith("quickdraw/stress/a: the mean takes in the padding")


def test_a_stress_test_under_a_protocol_of_our_own_is_not_compared_with_the_paper_s(tmp_path):
    shown = {}
    for protocol in ("stress", "gaps"):
        item = run_item("nmnist", protocol, "cfc")
        whole = {"source": "download", "settings.dataset": {"limit_train": None}}
        of_stress(tmp_path, item, **whole)
        study = study_of(tmp_path, [item], LAYOUT | {"stress_protocol": protocol})
        (table,) = [one for one in build_tables(study, PAPER) if one.name == "3"]
        row = line(table, figure="30")
        assert row["paper"] == "91.84"
        own = [note for note in table.notes if "this project's own" in note]
        shown[protocol] = row["difference"] != "", len(own)
    assert shown == {"stress": (True, 0), "gaps": (False, 1)}


def test_claims_do_not_take_our_own_stress_test_for_the_paper_s(tmp_path):
    roles = {"nmnist": {"lnn": ["cfc"]}}
    for protocol, papers in (("stress", True), ("gaps", False)):
        item = run_item("nmnist", protocol, "cfc")
        of_stress(tmp_path, item, source="download")
        study = study_of(tmp_path, [item], LAYOUT | {"stress_protocol": protocol})
        evidence = Evidence(study, roles)
        wanted = quantity("stress/zero_steps/30%/accuracy", "here")
        groups = evidence.groups("nmnist", ["lnn"], wanted)
        basis = evidence.basis(groups, 1)
        assert basis.papers_models is papers
        assert ("not the paper's models and training" in basis.label) is not papers
