"""The claims themselves: well-formed, printed as the paper has them, with arithmetic that hand computation confirms."""

import csv
import json
import re
import subprocess
import sys
from collections import Counter

import pandas as pd
import pytest
import yaml

from claim_helpers import CLAIMS, PAPER, PROJECT, Summaries, claims_file, two_models
from fake_study import LAYOUT, write_study
from liquidbench import configuration
from liquidbench.errors import InputError
from liquidbench.evaluation.corruptions import CORRUPTIONS
from liquidbench.reporting.claim_counts import Row, possible_splits
from liquidbench.reporting.claim_page import SECTIONS, as_markdown, write_claims
from liquidbench.reporting.claim_values import Range, calculate, check, printed_range
from liquidbench.reporting.claim_verdicts import INCONSISTENT, NOT_TESTABLE, ORDER
from liquidbench.reporting.claims import judge, read_claims
from liquidbench.reporting.runs import RunKey
from liquidbench.reporting.summaries import COLUMNS, summarise, write_summaries

CONTENT = yaml.safe_load(CLAIMS.read_text(encoding="utf-8"))
ALL = read_claims(CLAIMS, PAPER)
BY_ID = {claim.id: claim for claim in ALL.claims}


def with_nothing():
    """All claims, judged by a study without a run."""
    return {one.claim.id: one for one in judge(ALL, Summaries().study())}


# The file.


def test_there_are_at_least_25_claims_each_with_its_own_id_and_place():
    assert len(ALL.claims) >= 25
    assert len(BY_ID) == len(CONTENT["claims"])
    for claim in ALL.claims:
        assert re.search(r"Abstract|Section|Table|Appendix|Figure", claim.place), claim.id
        assert re.fullmatch(r"[a-z0-9-]+", claim.id)
    assert 5 <= sum(claim.main for claim in ALL.claims) <= 12


def test_no_verdict_is_typed():
    def keys(node):
        if isinstance(node, dict):
            return set(node) | set().union(*map(keys, node.values()))
        return set().union(*map(keys, node)) if isinstance(node, list) else set()

    assert "verdict" not in keys(CONTENT)
    texts = [item["claim"] for item in CONTENT["claims"]]
    assert not [text for text in texts if re.search("reproduced|contradicted|inconsistent", text)]


def test_the_corruptions_that_claims_name_are_there_for_their_data_sets():
    found = set()
    for item in CONTENT["claims"]:
        for rule in item.get("rules", []):
            for text in map(str, rule.values()):
                for name in re.findall(r"stress/([a-z0-9_-]+)/", text):
                    found.add((name, rule.get("dataset", item.get("dataset"))))
    assert found
    for name, dataset in found:
        assert dataset in CORRUPTIONS[name].datasets, (name, dataset)


def test_what_claims_print_is_what_the_tables_of_the_paper_print():
    frames = {}
    for name in ("1", "2", "3", "5", "6", "text", "released"):
        path = PAPER / (f"table_{name}.csv" if name.isdigit() else f"{name}.csv")
        with path.open(newline="", encoding="utf-8") as file:
            frames[name] = {
                (row["row"], row["column"]): row["printed"] for row in csv.DictReader(file)
            }
    compared = 0
    for item in CONTENT["claims"]:
        for name, (table, row, column) in item.get("values", {}).items():
            if table == "architecture":
                continue
            columns = column if isinstance(column, list) else [column]
            value = BY_ID[item["id"]].values[name]
            shown = [one.text for one in (value if isinstance(value, tuple) else (value,))]
            assert shown == [frames[str(table)][row, one] for one in columns], item["id"]
            compared += len(shown)
    assert compared > 100


def test_numbers_in_the_words_of_a_claim_are_among_its_printed_values():
    for claim in ALL.claims:
        numbers = re.findall(r"\d+\.\d{2,}", claim.claim)
        printed = set(re.findall(r"\d+\.\d{2,}", claim.printed))
        if claim.id == "quickdraw-50":
            printed.add(f"{41.47 - 40.89:.2f}")
        assert set(numbers) <= printed, claim.id


@pytest.mark.parametrize("name", ["text", "released"])
def test_further_facts_say_where_they_stand_and_agree_with_their_text(name):
    frame = pd.read_csv(PAPER / f"{name}.csv", dtype=str, keep_default_na=False)
    assert not frame.duplicated(["row", "column"]).any()
    for row in frame.itertuples():
        assert row.source
        if row.value:
            assert float(row.value) == float(row.printed.removesuffix("%"))
    if name == "text":
        assert frame["source"].str.contains("Section|Appendix|Table|Figure").all()


def test_every_further_fact_serves_a_claim():
    used = {
        tuple(reference)
        for claim in CONTENT["claims"]
        for reference in claim.get("values", {}).values()
        if reference[0] in ("text", "released")
    }
    for name in ("text", "released"):
        frame = pd.read_csv(PAPER / f"{name}.csv", dtype=str, keep_default_na=False)
        # Those with a figure are compared with the protocol.
        known = {(name, row.row, row.column) for row in frame.itertuples() if not row.figure}
        assert known <= used


def test_the_released_settings_are_those_of_the_protocol():
    protocol = yaml.safe_load((PROJECT / "config/protocols.yaml").read_text())["protocols"]
    frame = pd.read_csv(PAPER / "released.csv", dtype=str, keep_default_na=False)
    checked = 0
    for row in frame[frame["figure"] != ""].itertuples():
        block = protocol["released"][row.dataset]
        part, *names = row.figure.split(".")
        value = block["cores"]["lstm"] if part == "architecture" else block["training"]
        value = value[names[-1]]
        value = value["name"] if isinstance(value, dict) else value
        assert str(value).lower() == row.printed.lower() or float(value) == float(row.value), row
        checked += 1
    assert checked >= 20


# Mistakes in the file.


RULE = {"kind": "greater", "quantity": "test/accuracy", "of": ["lnn", "lstm"]}
VALUES = {"lnn": [1, "N-MNIST LNN", "Test Acc"]}


@pytest.mark.parametrize(
    ("rule", "keys", "message"),
    [
        ({"kind": "larger"}, {}, "rule 1, key kind: unknown 'larger'"),
        ({**RULE, "quantity": "test/acuracy"}, {}, "key quantity: unknown quantity"),
        ({**RULE, "than": 3}, {}, "rule 1, key than: unknown key"),
        ({"kind": "greater", "of": ["lnn", "lstm"]}, {}, "key quantity: missing"),
        ({**RULE, "of": ["lnn", "gru"]}, {}, "key of: unknown role 'gru'"),
        ({**RULE, "of": ["lnn"]}, {}, "key of: 1 roles, expected 2 to 2"),
        ({**RULE, "dataset": "mnist"}, {}, "key dataset: unknown data set 'mnist'"),
        (RULE, {"verdict": "reproduced"}, "key verdict: unknown key"),
        (RULE, {"place": " "}, "key place: ' ' is no text"),
        (RULE, {"values": {"a": [7, "x", "y"]}}, "key values.a: unknown table '7'"),
        (RULE, {"values": {"a": [1, "N-MNIST GRU", "Test Acc"]}}, "no 'Test Acc' of 'N-MNIST GRU'"),
        (RULE, {"values": {"a": ["architecture", "x", "core"]}}, "of an architecture 'x'"),
        ({"kind": "consistency", "holds": "lnn < gru"}, {"values": VALUES}, "unknown name 'gru'"),
        ({"kind": "consistency", "holds": "lnn + 1"}, {"values": VALUES}, "no comparison"),
        ({"kind": "consistency", "holds": "open(lnn) < 1"}, {"values": VALUES}, "not allowed"),
        ({"kind": "consistency", "holds": "lnn < "}, {"values": VALUES}, "cannot be read"),
        ({"kind": "consistency", "holds": "1 / 0 < 1"}, {}, "divides by what may be 0"),
        ({"kind": "untestable", "missing": ""}, {}, "key missing: '' is no text"),
        ({"kind": "untestable"}, {}, "key missing: missing"),
        (RULE, {"id": "two words", "topic": None}, "claim two words, key topic"),
    ],
)
def test_a_mistake_names_the_file_the_claim_and_the_key(tmp_path, rule, keys, message):
    path = claims_file(tmp_path, rule, **keys)
    with pytest.raises(InputError) as error:
        read_claims(path, PAPER)
    assert str(path) in str(error.value)
    assert f"claim {keys.get('id', 'one')}" in str(error.value)
    assert message in str(error.value)


def test_claims_without_rules_and_two_of_one_id_are_refused(tmp_path):
    with pytest.raises(InputError, match="key rules"):
        read_claims(claims_file(tmp_path), PAPER)
    path = claims_file(tmp_path, RULE)
    content = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(content | {"claims": content["claims"] * 2}))
    with pytest.raises(InputError, match="claim one: there are two"):
        read_claims(path, PAPER)
    path.write_text("roles: [")
    with pytest.raises(InputError, match="not valid YAML"):
        read_claims(path, PAPER)
    with pytest.raises(InputError, match="no such file"):
        read_claims(tmp_path / "none.yaml", PAPER)


# Arithmetic on printed values.


@pytest.mark.parametrize(
    ("text", "value", "low", "high"),
    [
        ("0.35", 0.35, 0.345, 0.355),
        ("0.10", 0.10, 0.095, 0.105),
        ("~2.7M", 2.7e6, 2.65e6, 2.75e6),
        ("14%", 14, 13.5, 14.5),
        ("151", 151, 151, 151),
        ("1e-3", 0.001, 0.001, 0.001),
    ],
)
def test_a_printed_number_is_all_that_round_to_it(text, value, low, high):
    found = printed_range(text, value)
    assert (found.low, found.high, found.shown) == pytest.approx((low, high, value))


def test_rounding_alone_makes_nothing_inconsistent():
    class One:
        def __init__(self, low, high):
            self.range, self.text = Range(low, high, (low + high) / 2), ""

    values = {"a": One(0.345, 0.355), "b": One(0.215, 0.225), "f1": One(0.265, 0.275)}
    assert check("f1 == 2 * a * b / (a + b)", values, "").holds
    assert not check("a < b", values, "").holds
    assert check("a - 0.12 < b", values, "").holds
    found = calculate("a - b", values, "")
    assert (found.low, found.high, found.shown) == pytest.approx((0.12, 0.14, 0.13))
    found = calculate("-a + abs(b - 0.22) * min(2, 3)", values, "")
    assert (found.low, found.high) == pytest.approx((-0.355, -0.345 + 0.01))


# What the paper's own numbers exclude: claim to the numbers that a reader must find, worked out by hand.
BY_HAND = {
    "iam-lower-cer": "0.1237 against 0.109",
    "iam-train-cer": "0.1717 against 0.1717",
    "iam-state-of-the-art": "0.1237 against 0.04",
    # 0.22 / 0.10 and 0.22 / 0.08.
    "sepsis-recall-slightly": "2.2 against 1.5",
    "sepsis-accuracy": "0.9185 to 0.9203",
    # 92.69 - 68.80 and 94.35 - 74.28.
    "robustness-without-exception": "23.89 against 20.07",
    "steps-removed": "“removed” against “zeroed”",
    "elapsed-time": "“elapsed time” against “1.0 at every step”",
    "parameter-efficiency": "150,000 against 100,000",
    "iam-direction": "“unidirectional” against “bidirectional”",
    # 387 / 78.
    "cost-time": "4.962 against 1.25",
    # 2,184,298 - 643,946 is all in the cores.
    "nmnist-backbone": "1,540,352 against 770,176",
    # 2.7 M / 643,946, 4.5 M / 2,316,394, 0.8 M / 282,378, less 1.
    "count-nmnist-lnn": "3.193 against 0.25",
    "count-nmnist-lstm": "0.9427 against 0.25",
    "count-quickdraw-lnn": "1.833 against 0.25",
    # 1 - 6.2 M / 11,795,344 and 1 - 11.1 M / 19,977,744.
    "count-iam-lnn": "0.4744 against 0.25",
    "count-iam-lstm": "0.4444 against 0.25",
    "settings-nmnist": "30 against 10",
    "settings-iam": "“Adam” against “AdamW”",
    "settings-equivalent": "1 against 2",
    "settings-clipping": "“not among the clipped” against 1",
    "settings-longer-training": "30 against 30",
    "settings-projection": "“the units” against “the alphabet”",
    "code-complete": "“published” against “not published”",
    "quickdraw-classes": "10 against 50",
    "quickdraw-features": "3 against 5",
    "quickdraw-order": "“(dx, dy, x, y, pen)” against “(x, y, dx, dy, pen)”",
    "quickdraw-padding": "“to a fixed maximum length” against “to the longest of the batch”",
}
# Decided without a run, because the whole claim is arithmetic that holds.
HOLDS = {
    "iam-half-the-parameters",
    "count-quickdraw-lstm",
    "count-physionet-lnn",
    "count-physionet-lstm",
    "settings-quickdraw",
}


def test_without_a_run_the_papers_own_numbers_alone_decide():
    found = with_nothing()
    inconsistent = {name for name, one in found.items() if one.verdict == INCONSISTENT}
    assert inconsistent == set(BY_HAND)
    for name, numbers in BY_HAND.items():
        reasons = " ".join(outcome.reason for outcome in found[name].outcomes)
        assert numbers in reasons, reasons
    assert {name for name, one in found.items() if one.verdict == "reproduced"} == HOLDS
    assert all(
        one.verdict == NOT_TESTABLE
        for name, one in found.items()
        if name not in inconsistent | HOLDS
    )


def test_no_whole_patients_stand_behind_the_printed_accuracy():
    """All splits up to 6,000 patients, tried one by one with the printed figures' own rounding."""
    rows = {
        "lstm": (0.35, 0.22, 0.89, 151),
        "128": (0.71, 0.08, 0.92, 12),
        "256": (0.94, 0.10, 0.93, 2),
    }

    def prints(value, printed):
        return abs(value - printed) <= 0.005 + 1e-9

    def fits(row, positives, patients, accuracy=True):
        precision, recall, printed, alarms = rows[row]
        for hits in range(1, positives + 1):
            if prints(hits / (hits + alarms), precision) and prints(hits / positives, recall):
                right = 1 - (alarms + positives - hits) / patients
                if not accuracy or prints(right, printed):
                    return True
        return False

    splits = [
        (patients, positives)
        for positives in range(300, 420)
        if all(fits(row, positives, 4000, accuracy=False) for row in rows)
        for patients in range(3000, 6001)
        if fits("lstm", positives, patients) and fits("128", positives, patients)
    ]
    assert splits
    assert not [split for split in splits if fits("256", split[1], split[0])]

    def rounded(value):
        return Range(value - 0.005, value + 0.005, value)

    ours = [Row(*map(rounded, row[:3]), Range.exact(row[3])) for row in rows.values()]
    assert possible_splits(ours) == []
    found = possible_splits([*ours[:2], ours[2].without_accuracy()])
    assert {(split.patients, split.positives) for split in found} == set(splits)


def test_counts_of_stated_architectures_are_those_of_the_models(tmp_path):
    torch = pytest.importorskip("torch")
    from liquidbench.models.sequence_model import SequenceModel

    study = yaml.safe_load((PROJECT / "config/config.yaml").read_text())
    study |= yaml.safe_load((PROJECT / "config/protocols.yaml").read_text())
    shapes = {"nmnist": (2, 34, 34), "quickdraw": (5,), "iam": (64,), "physionet": (40,)}
    outputs = {"nmnist": 10, "quickdraw": 10, "iam": 80, "physionet": 1}
    models = {
        "N-MNIST LNN": ("nmnist", "paper", "cfc"),
        "N-MNIST LSTM, one layer": ("nmnist", "paper", "lstm"),
        "N-MNIST LSTM, two layers": ("nmnist", "released", "lstm"),
        "QuickDraw LNN": ("quickdraw", "paper", "cfc"),
        "QuickDraw LSTM, one layer": ("quickdraw", "paper", "lstm"),
        "QuickDraw LSTM, two layers": ("quickdraw", "released", "lstm"),
        "IAM LNN": ("iam", "paper", "cfc"),
        "IAM LSTM, 256 a direction": ("iam", "paper", "lstm"),
        "PhysioNet LNN": ("physionet", "paper", "cfc-256"),
        "PhysioNet LSTM": ("physionet", "paper", "lstm-128"),
    }
    counted = dict.fromkeys(("total", "encoder", "core", "head"))
    for name, (dataset, protocol, model) in models.items():
        run = configuration.Run(dataset, protocol, model, 0)
        architecture = configuration.run_settings(study, run)["architecture"]
        with torch.device("meta"):
            built = SequenceModel(architecture, shapes[dataset], outputs[dataset])
        path = {part: ["architecture", name, part] for part in counted}
        content = dict(CONTENT, claims=[dict(CONTENT["claims"][0], values=path)])
        (tmp_path / "claims.yaml").write_text(yaml.safe_dump(content))
        (claim,) = read_claims(tmp_path / "claims.yaml", PAPER).claims
        assert {part: int(value.range.shown) for part, value in claim.values.items()} == {
            part: count for part, count in built.parameter_counts().items() if part in counted
        }, name


# The page.


def write_hand_made(folder, **options):
    """A study's summaries on disk, from hand-made run directories."""
    items = write_study(folder / "results", **options)
    frames = summarise(folder / "results", [RunKey(**item) for item in items])
    write_summaries(frames, folder / "summary")


def command(folder, *more):
    script = PROJECT / "workflow/scripts/claims.py"
    arguments = ["--summary", folder / "summary", "--claims", CLAIMS, "--paper", PAPER]
    arguments += ["--layout", json.dumps(LAYOUT), "--out", folder / "reports", *more]
    return subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True)


def test_a_synthetic_study_gives_a_page_that_says_so_and_no_measured_verdict(tmp_path):
    write_hand_made(tmp_path, synthetic=True, seeds=2)
    # The seeds of a hand-made study are alike: make the LNN clearly better, and not twice the same.
    path = tmp_path / "summary/metrics.csv"
    metrics = pd.read_csv(path)
    better = (metrics["model"] == "cfc") & (metrics["metric"] == "accuracy")
    metrics.loc[better, "value"] += 0.01 + 0.0001 * metrics["seed"]
    metrics.to_csv(path, index=False)
    # Nothing but the seeds tells the models apart.
    columns = COLUMNS["differences"]
    (tmp_path / "summary/differences.csv").write_text(",".join(columns) + "\n")
    result = command(tmp_path)
    assert result.returncode == 0, result.stderr
    page = (tmp_path / "reports/claims.md").read_text(encoding="utf-8")
    assert "SYNTHETIC DATA" in page.splitlines()[2]
    assert "SYNTHETIC DATA: would be reproduced" in page
    with (tmp_path / "reports/claims.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["id"] for row in rows} == set(BY_ID)
    measured = [row for row in rows if row["synthetic"] == "True"]
    assert len(measured) > 20
    assert {row["rule_verdict"] for row in measured} <= {NOT_TESTABLE, "met"}
    (accuracy,) = [row for row in rows if row["id"] == "nmnist-accuracy"]
    assert accuracy["would_be_if_data_were_real"] == "reproduced"
    assert accuracy["seeds"] == "2"
    assert float(accuracy["low"]) < 0.01 < float(accuracy["high"])


def test_the_page_begins_with_counts_that_add_up_and_the_data(tmp_path):
    study = two_models([0.910, 0.921, 0.932], [0.90, 0.91, 0.92]).study()
    judged = judge(ALL, study)
    page = as_markdown(study, judged)
    told = re.search(r"\*\*(\d+) claims: (.+)\.\*\*", page.split("##")[0])
    counts = {name: int(number) for number, name in re.findall(r"(\d+) ([a-z ]+)", told[2])}
    assert int(told[1]) == sum(counts.values()) == len(ALL.claims)
    assert counts == {**dict.fromkeys(ORDER, 0), **Counter(one.verdict for one in judged)}
    assert set(SECTIONS) == set(ORDER)
    assert "- N-MNIST: download; protocol released; cfc and lstm; 3 seeds" in page.split("##")[0]
    assert "SYNTHETIC" not in page
    for one in judged:
        assert one.claim.claim in page
    main = page.split("## The main claims")[1].split("\n## ")[0]
    assert re.search(
        r"more accurate on the test split than the LSTM +\| reproduced +\| reproduced", main
    )


def test_every_claim_gives_its_reason_and_untestable_ones_what_is_missing():
    for name, one in with_nothing().items():
        assert all(outcome.reason for outcome in one.outcomes), name


def test_further_summaries_on_disk_are_read_and_broken_ones_refused(tmp_path):
    write_hand_made(tmp_path, seeds=2)
    pair = {"dataset": "nmnist", "protocol": "released", "model_a": "lstm", "model_b": "cfc"}
    row = {**pair, "metric": "accuracy", "seeds": 2, "examples": 200, "value_a": 0.9}
    row |= {"value_b": 0.95, "difference": -0.05, "low": -0.06, "high": -0.04, "p_value": 0.001}
    row |= {"p_holm": 0.002, "comparisons": 2, "mcnemar": "[]", "mcnemar_holm": "[]"}
    row |= {"p_these_models": 0.001, "interval": "95 %"}
    frame = pd.DataFrame([{**row, "synthetic": False}])
    frame.to_csv(tmp_path / "summary/differences.csv", index=False)
    assert command(tmp_path).returncode == 0
    with (tmp_path / "reports/claims.csv").open(newline="", encoding="utf-8") as file:
        (line,) = [line for line in csv.DictReader(file) if line["id"] == "nmnist-accuracy"]
    assert (line["verdict"], float(line["low"])) == ("reproduced", 0.04)
    frame.drop(columns=["low"]).to_csv(tmp_path / "summary/differences.csv", index=False)
    result = command(tmp_path)
    assert result.returncode == 1
    assert "differences.csv: column low missing" in result.stderr


def test_the_page_is_written_whole_and_the_same_again(tmp_path):
    study = two_models([0.9, 0.91], [0.9, 0.9]).study()
    for folder in ("a", "b"):
        write_claims(study, judge(ALL, study), tmp_path / folder)
    for name in ("claims.md", "claims.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
