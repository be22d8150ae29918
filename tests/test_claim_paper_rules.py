"""Rules that need no run: arithmetic on printed values, words of a domain, counts of patients, published settings."""

import shutil

import pandas as pd
import pytest
from scipy import stats

from claim_helpers import PAPER, Summaries, claims_file, judged, two_models
from liquidbench.errors import InputError
from liquidbench.reporting.claim_counts import Row, possible_splits
from liquidbench.reporting.claim_intervals import share_interval
from liquidbench.reporting.claim_values import Range, Value, calculate, check, printed_range
from liquidbench.reporting.claim_verdicts import PRINTED, READING, RUNS
from liquidbench.reporting.claims import judge, read_claims

GREATER = {"kind": "greater", "quantity": "test/accuracy", "of": ["lnn", "lstm"]}
CLEAR, LSTM = [0.910, 0.921, 0.932], [0.90, 0.91, 0.92]


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


def test_the_loss_of_a_printed_series_is_its_first_value_less_its_area():
    series = tuple(
        Value("", Range(value - 0.005, value + 0.005, value), "", rate)
        for rate, value in ((0.0, 92.69), (0.3, 68.80), (0.5, 41.47), (0.7, 22.48))
    )
    found = calculate("loss(a)", {"a": series}, "")
    # 0.3 x 80.745 + 0.2 x 55.135 + 0.2 x 31.975 = 41.6455, by 0.7: 59.4936.
    assert found.shown == pytest.approx(92.69 - 59.49357, abs=1e-4)
    assert found.high - found.low == pytest.approx(0.02)
    with pytest.raises(InputError, match="does not begin at rate 0"):
        calculate("loss(a)", {"a": series[1:]}, "")


# Words.


WORDS = {
    "one": Value("unidirectional", None, "", domain="direction", read=True),
    "two": Value("bidirectional", None, "", domain="direction", read=True),
    "other": Value("unidirectional", None, "", domain="habit", read=True),
    "none": Value("unidirectional", None, ""),
    "number": Value("1.0", Range.exact(1), ""),
}


def test_words_of_one_domain_are_compared():
    assert not check("one == two", WORDS, "").holds
    assert check("one != two", WORDS, "").holds
    assert check("one == one", WORDS, "").read


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("one == number", "compares the word 'unidirectional' with a number"),
        ("2 == one", "compares the word 'unidirectional' with a number"),
        ("one == other", "of domain 'direction' and 'unidirectional' of domain 'habit'"),
        ("one == none", "of domain 'none'"),
        ("one < two", "orders words"),
    ],
)
def test_what_could_never_be_equal_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        check(text, WORDS, "")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("printed", "one way", "column printed: 'one way' is no word of the domain 'direction'"),
        ("domain", "way", "column domain: unknown domain 'way' of 'unidirectional'"),
        ("source", " ", "column source: empty"),
        ("value", "1", "column printed: 'unidirectional' is no printed number"),
    ],
)
def test_a_mistake_in_a_fact_names_the_file_and_the_line(tmp_path, column, value, message):
    paper = tmp_path / "paper"
    shutil.copytree(PAPER, paper)
    facts = pd.read_csv(paper / "text.csv", dtype=str, keep_default_na=False)
    (position,) = facts.index[facts["column"] == "direction of the LSTM in the text"]
    facts.loc[position, column] = value
    facts.to_csv(paper / "text.csv", index=False)
    with pytest.raises(InputError) as error:
        read_claims(claims_file(tmp_path, GREATER), paper)
    assert f"text.csv, line {position + 2}, {message}" in str(error.value)


def test_a_fact_told_twice_is_refused(tmp_path):
    paper = tmp_path / "paper"
    shutil.copytree(PAPER, paper)
    lines = (paper / "released.csv").read_text(encoding="utf-8").splitlines()
    (paper / "released.csv").write_text("\n".join([*lines, lines[1]]) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=f"line {len(lines) + 1}: 'Epochs' of 'N-MNIST' again"):
        read_claims(claims_file(tmp_path, GREATER), paper)


def test_what_was_read_and_what_was_calculated_are_told_apart(tmp_path):
    study = two_models(CLEAR, LSTM).study()
    words = {
        "a": ["text", "IAM", "direction of the LSTM in the text"],
        "b": ["text", "IAM", "direction of the LSTM in the table of counts"],
    }
    numbers = {"a": [1, "IAM LNN", "Test CER"], "b": [1, "IAM LSTM", "Test CER"]}
    for values, holds, evidence in (
        (words, "a == b", READING),
        (numbers, "a < b", PRINTED),
        (numbers | {"b": ["released", "IAM LSTM", "training CTC loss"]}, "a < b", READING),
    ):
        one = judged(tmp_path, study, {"kind": "consistency", "holds": holds}, values=values)
        assert one.evidence == (evidence,)
    assert judged(tmp_path, study, GREATER).evidence == (RUNS,)


# Published settings.


@pytest.mark.parametrize(
    ("dataset", "told"),
    [
        ("nmnist", ["Epochs 30 against 10", "Weight decay No against 0.01"]),
        ("quickdraw", ["Lr scheduler none against ReduceLROnPlateau (on the test accuracy)"]),
        (
            "iam",
            [
                "Batch size 8 against 16",
                "Optimizer Adam against AdamW",
                "Lr 1e-4 against 5e-4",
                "Lr scheduler Step against Cosine",
                "Weight decay No against 0.01",
            ],
        ),
    ],
)
def test_the_published_code_is_asked_for_every_row_of_table_v(tmp_path, dataset, told):
    path = claims_file(tmp_path, {"kind": "published_settings"}, dataset=dataset)
    claims = read_claims(path, PAPER)
    (one,) = judge(claims, Summaries().study())
    assert one.verdict == "inconsistent in the paper itself"
    assert one.outcomes[0].reason.split(": ", 1)[1].split("; ") == told
    for _, figure in claims.tables["5"].figures:
        assert claims.tables["released"].find(figure, dataset) is not None, figure


def test_without_published_code_no_setting_is_borne_out(tmp_path):
    rule = {"kind": "published_settings", "settles": True}
    one = judged(tmp_path, Summaries().study(), rule, dataset="physionet")
    assert one.verdict == "not testable here"
    assert "published code" in one.outcomes[0].reason


# A share with the counts behind it.


def share(folder, limit, false_positives="2", precision="0.94"):
    """The outcome for a printed precision of these texts."""
    paper = folder / "paper"
    shutil.copytree(PAPER, paper, dirs_exist_ok=True)
    table = pd.read_csv(paper / "table_2.csv", dtype=str, keep_default_na=False)
    row = table["row"] == "LNN (256)"
    for column, text in (("Precision", precision), ("False positives", false_positives)):
        table.loc[row & (table["column"] == column), ["printed", "value"]] = text
    table.to_csv(paper / "table_2.csv", index=False)
    values = {"p": [2, "LNN (256)", "Precision"], "f": [2, "LNN (256)", "False positives"]}
    rule = {"kind": "printed_share", "share": "p", "false_positives": "f", "limit": limit}
    claims = read_claims(claims_file(folder, rule, values=values), paper)
    return judge(claims, Summaries().study())[0].outcomes[0]


def test_few_alarms_leave_a_share_open(tmp_path):
    outcome = share(tmp_path, 0.9)
    assert outcome.verdict is None
    # 29 to 34 hits: Clopper and Pearson by the quantiles of the beta distribution.
    low, high = stats.beta.ppf(0.025, 29, 3), stats.beta.ppf(0.975, 35, 2)
    assert "29 to 34 hits with 2 false alarms" in outcome.reason
    assert f"{low:.2f} to {high:.2f}: so few alarms do not show it" in outcome.reason


@pytest.mark.parametrize(("hits", "trials"), [(0, 7), (7, 7), (1, 1), (29, 31), (3, 400)])
def test_the_interval_of_a_share_is_the_library_s(hits, trials):
    expected = stats.binomtest(hits, trials).proportion_ci(0.95, method="exact")
    assert share_interval(hits, trials) == pytest.approx(tuple(expected))


def test_many_alarms_show_a_share_or_exclude_it(tmp_path):
    assert "above 0.9" in share(tmp_path, 0.9, "200").reason
    assert share(tmp_path, 0.96, "200").verdict == "inconsistent in the paper itself"
    assert share(tmp_path, 0.5, "0").verdict == "inconsistent in the paper itself"


# Counts of patients.


def rounded(*values, alarms):
    """A row of figures printed with two digits."""
    ranges = (Range(value - 0.005, value + 0.005, value) for value in values)
    return Row(*ranges, Range.exact(alarms))


def test_a_precision_of_one_needs_no_false_alarm_and_divides_by_nothing():
    others = [rounded(0.35, 0.22, 0.89, alarms=151), rounded(0.71, 0.08, 0.92, alarms=12)]
    splits = possible_splits([*others, rounded(1.0, 0.10, 0.92, alarms=0)])
    # 36 of 360 septic patients found, among 4,050: 324 errors, right of 0.92.
    assert (4050, 360) in {(split.patients, split.positives) for split in splits}
    assert possible_splits([*others, rounded(0.94, 0.10, 0.92, alarms=0)]) == []
    # 0.995 of the alarms at least are hits: two false ones beside 398 and more.
    assert min(rounded(1.0, 0.10, 0.92, alarms=2).true_positives()) == 398
    assert possible_splits([*others, rounded(0.0, 0.0, 0.91, alarms=5)])


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

    ours = [rounded(*row[:3], alarms=row[3]) for row in rows.values()]
    assert possible_splits(ours) == []
    found = possible_splits([*ours[:2], ours[2].without_accuracy()])
    assert {(split.patients, split.positives) for split in found} == set(splits)


# Within a claim.


def test_arithmetic_makes_a_claim_inconsistent_or_leaves_it_to_the_figures(tmp_path):
    study = two_models(CLEAR, LSTM).study()
    values = {"lnn": [1, "IAM LNN", "Test CER"], "lstm": [1, "IAM LSTM", "Test CER"]}

    def verdict(holds, *rules, **more):
        rule = {"kind": "consistency", "holds": holds, **more}
        return judged(tmp_path, study, rule, *rules, values=values).verdict

    assert verdict("lnn < lstm") == "inconsistent in the paper itself"
    assert verdict("lnn < lstm", GREATER) == "inconsistent in the paper itself"
    assert verdict(["lnn > lstm", "lnn < lstm"]) == "inconsistent in the paper itself"
    assert verdict("lnn > lstm") == "not testable here"
    assert verdict("lnn > lstm", settles=True) == "reproduced"
    assert verdict("lnn > lstm", GREATER) == "reproduced"


def test_what_cannot_be_tested_names_what_is_missing(tmp_path):
    rule = {"kind": "untestable", "missing": "a ward"}
    one = judged(tmp_path, two_models(CLEAR, LSTM).study(), rule)
    assert (one.verdict, one.outcomes[0].reason) == ("not testable here", "missing: a ward")


def test_the_figures_verdict_stands_beside_that_of_the_arithmetic(tmp_path):
    study = two_models(CLEAR, LSTM).study()
    false = {"kind": "consistency", "holds": "2 < 1"}
    one = judged(tmp_path, study, false, GREATER)
    assert (one.verdict, one.measured.verdict) == (
        "inconsistent in the paper itself",
        "reproduced",
    )
    assert judged(tmp_path, study, false).measured is None
