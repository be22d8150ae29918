"""The claims themselves: well-formed, printed as the paper has them, with arithmetic that hand computation confirms."""

import csv
import re

import pandas as pd
import pytest
import yaml

from claim_helpers import CLAIMS, PAPER, PROJECT, Summaries, claims_file
from liquidbench import configuration
from liquidbench.errors import InputError
from liquidbench.evaluation.corruptions import CORRUPTIONS
from liquidbench.reporting.claim_verdicts import INCONSISTENT, NOT_TESTABLE
from liquidbench.reporting.claims import judge, read_claims
from liquidbench.reporting.printed import Printed
from liquidbench.reporting.setting_tables import verdict_on

CONTENT = yaml.safe_load(CLAIMS.read_text(encoding="utf-8"))
ALL = read_claims(CLAIMS, PAPER)
BY_ID = {claim.id: claim for claim in ALL.claims}


def with_nothing():
    """All claims, judged by a study without a run."""
    return {one.claim.id: one for one in judge(ALL, Summaries().study())}


def references_of(item):
    """Name to [table, row, column] of all printed values of a claim."""
    return {**item.get("values", {}), **item.get("shown", {})}


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
        claim = BY_ID[item["id"]]
        for name, (table, row, column) in references_of(item).items():
            if table == "architecture":
                continue
            columns = column if isinstance(column, list) else [column]
            value = {**claim.values, **claim.shown}[name]
            shown = [one.text for one in (value if isinstance(value, tuple) else (value,))]
            assert shown == [frames[str(table)][row, one] for one in columns], item["id"]
            compared += len(shown)
    assert compared > 100


def test_numbers_in_the_words_of_a_claim_are_among_its_printed_values():
    for claim in ALL.claims:
        numbers = re.findall(r"\d+\.\d{2,}", claim.claim)
        printed = set(re.findall(r"\d+\.\d{2,}", claim.printed))
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
        for reference in references_of(claim).values()
        if reference[0] in ("text", "released")
    }
    for name in ("text", "released"):
        frame = pd.read_csv(PAPER / f"{name}.csv", dtype=str, keep_default_na=False)
        # Those with a figure are compared with the protocol.
        known = {(name, row.row, row.column) for row in frame.itertuples() if not row.figure}
        assert known <= used


# Names of ours for what torch calls otherwise.
TORCH = {"plateau_on_test": "ReduceLROnPlateau"}
PROTOCOLS = yaml.safe_load((PROJECT / "config/protocols.yaml").read_text())


def test_the_released_settings_are_those_of_the_protocol():
    frame = pd.read_csv(PAPER / "released.csv", dtype=str, keep_default_na=False)
    checked = 0
    for row in frame[frame["figure"] != ""].itertuples():
        block = PROTOCOLS["protocols"]["released"][row.dataset]
        part, *names = row.figure.split(".")
        value = block["cores"]["lstm"] if part == "architecture" else block["training"]
        value = value[names[-1]]
        value = value["name"] if isinstance(value, dict) else value
        used = "none" if value is None else TORCH.get(value, str(value))
        printed = Printed(row.row, row.printed, None, row.source)
        assert verdict_on([used], printed) == "same", row
        checked += 1
    assert checked >= 25


def test_what_was_read_in_the_published_code_is_what_our_protocols_do():
    frame = pd.read_csv(PAPER / "released.csv", dtype=str, keep_default_na=False)
    facts = {(row.row, row.column): row.printed for row in frame.itertuples()}
    released, stress = (PROTOCOLS["protocols"][name] for name in ("released", "stress"))
    assert released["quickdraw"]["pooling"] == "mean_with_padding"
    assert facts["QuickDraw", "padding"] == "to the longest of the batch"
    # The CfC's projection is the head: no other lies between.
    assert released["iam"]["cores"]["cfc"]["projection"] is False
    assert facts["IAM", "size of the CfC's projection"] == "the alphabet"
    units = {block["units"] for block in stress["nmnist"]["cores"].values()}
    assert {str(size) for size in units} == {facts["stress test", "units of the N-MNIST core"]}
    assert "elapsed" not in PROTOCOLS["models"]["cfc"]
    assert facts["CfC", "what its state transition is given"] == "1.0 at every step"
    assert "physionet" not in released
    assert facts["PhysioNet", "scripts of model and training"] == "not published"
    for name in ("nmnist", "quickdraw"):
        assert "layers" not in released[name]["cores"]["cfc"]


def test_what_the_paper_clips_by_its_table_is_read_off_the_table():
    table = pd.read_csv(PAPER / "table_5.csv", dtype=str, keep_default_na=False)
    clip = table[(table["row"] == "Grad clip") & (table["printed"] != "No")]
    facts = pd.read_csv(PAPER / "text.csv", dtype=str, keep_default_na=False)
    (told,) = facts.loc[facts["column"] == "data sets in the table", "printed"]
    assert " and ".join(clip["column"]) == told


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
        (RULE, {"values": VALUES}, "key values.lnn: no rule uses it"),
        ({**RULE, "margin": 0}, {}, "key margin: 0 is no number above 0"),
        ({**RULE, "margin": "much"}, {}, "key margin: 'much' is no number above 0"),
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


# What the paper's own numbers exclude: claim to the numbers that a reader must find, worked out by hand.
BY_HAND = {
    "iam-lower-cer": "0.1237 against 0.109",
    "iam-train-cer": "0.1717 against 0.1717",
    "iam-state-of-the-art": "0.1237 against 0.04",
    # 0.22 / 0.10 and 0.22 / 0.08.
    "sepsis-recall-slightly": "2.2 against 1.5",
    "sepsis-accuracy": "0.9185 to 0.9203",
    "physionet-lstm-sizes": "“128 and 256 units” against “128 units”",
    # 40 + 1.
    "physionet-inputs": "41 against 40",
    # Mean heights: (0.3 x 80.745 + 0.2 x 55.135 + 0.2 x 31.975) / 0.7, and of 84.315, 57.585 and 29.66.
    "robustness": "59.49 against 61.06",
    "steps-removed": "“removed” against “masked out”",
    "stress-models": "99.38 against 98.71",
    "stress-units": "128 against 256",
    "definitive-evidence": "“definitive” against “to be confirmed by further runs”",
    "elapsed-time": "“elapsed time” against “1.0 at every step”",
    "parameter-efficiency": "150,000 against 100,000",
    # 755,072 / 8,916,992.
    "iam-half-the-parameters": "0.08468 against 0.4",
    "iam-units": "256 against 512",
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
    "settings-nmnist": "Epochs 30 against 10",
    "settings-iam": "Weight decay No against 0.01",
    "settings-quickdraw": "none against ReduceLROnPlateau",
    "settings-equivalent": "1 against 2",
    "settings-clipping": "“QuickDraw” against “QuickDraw and IAM”",
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
    "count-quickdraw-lstm",
    "count-physionet-lnn",
    "count-physionet-lstm",
}


def test_without_a_run_the_papers_own_numbers_alone_decide():
    found = with_nothing()
    inconsistent = {name for name, one in found.items() if one.verdict == INCONSISTENT}
    assert inconsistent == set(BY_HAND)
    for name, numbers in BY_HAND.items():
        reasons = " ".join(outcome.reason for outcome in found[name].outcomes)
        assert numbers in reasons, reasons
    assert {name for name, one in found.items() if one.verdict == "reproduced"} == HOLDS
    assert {name for name, one in found.items() if one.on_paper_alone} == HOLDS
    assert all(
        one.verdict == NOT_TESTABLE
        for name, one in found.items()
        if name not in inconsistent | HOLDS
    )


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
        content = dict(CONTENT, claims=[dict(CONTENT["claims"][0], shown=path)])
        (tmp_path / "claims.yaml").write_text(yaml.safe_dump(content))
        (claim,) = read_claims(tmp_path / "claims.yaml", PAPER).claims
        assert {part: int(value.range.shown) for part, value in claim.shown.items()} == {
            part: count for part, count in built.parameter_counts().items() if part in counted
        }, name


def test_every_claim_gives_its_reason_and_untestable_ones_what_is_missing():
    for name, one in with_nothing().items():
        assert all(outcome.reason for outcome in one.outcomes), name


def test_what_no_sentence_of_the_paper_says_is_marked():
    assert {claim.id for claim in ALL.claims if claim.extension} == {"sepsis-ranking", "equal-size"}
    assert not [claim.id for claim in ALL.claims if claim.extension and claim.main]
