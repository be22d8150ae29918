"""`stress_differences.csv` and its table from hand-made answers, and answers that cannot be used."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from fake_study import run_item, write_run, write_stress, write_stress_answers
from liquidbench.errors import InputError
from liquidbench.reporting.runs import RunKey, read_run
from liquidbench.reporting.stress_answers import read_stress_answers
from liquidbench.reporting.stress_differences import COLUMNS
from liquidbench.reporting.summaries import summarise
from test_tables import lines_of, table_named

# Rate 0 once, and 0.5 and 1 in two draws: trapezoids give them a quarter, a half and a quarter.
CONDITIONS = [("zero_steps", 0.0, 0)] + [
    ("zero_steps", rate, draw) for rate in (0.5, 1.0) for draw in (0, 1)
]
EXAMPLES = 40


def right(shares: list[float], seed: int) -> np.ndarray:
    """(conditions, examples) answers, right with these chances."""
    random = np.random.default_rng(seed)
    return random.random((len(shares), EXAMPLES)) < np.array(shares)[:, None]


def write_tested(results, model, seed, correct, conditions=CONDITIONS, **options):
    item = run_item("nmnist", "stress", model, seed)
    folder = write_run(results, item)
    figures = {"accuracy": correct.mean(axis=1).tolist()}
    write_stress_answers(folder, item, {"correct": correct}, conditions, figures, **options)
    return item


def compared(results, items):
    frame = summarise(results, [RunKey(**item) for item in items])["stress_differences"]
    assert frame.columns.tolist() == COLUMNS
    return frame.set_index("figure")


def a_study(results, seeds=3):
    """Model a keeps more than model b. Returns the items and the answers by model and seed."""
    shares = {"a": [0.9, 0.8, 0.8, 0.5, 0.5], "b": [0.9, 0.6, 0.6, 0.2, 0.2]}
    told = {
        (model, s): right(shares[model], 10 * s + k)
        for s in range(seeds)
        for k, model in enumerate("ab")
    }
    return [write_tested(results, *key, correct) for key, correct in told.items()], told


def test_areas_losses_and_rates_are_those_of_the_answers(tmp_path):
    items, told = a_study(tmp_path)
    frame = compared(tmp_path, items)
    curves = {
        key: [c[0].mean(), c[1:3].mean(), c[3:].mean()]
        for key, c in ((key, correct.astype(float)) for key, correct in told.items())
    }
    areas = {key: (c[0] + 2 * c[1] + c[2]) / 4 for key, c in curves.items()}
    for name, of in {
        "0": lambda key: curves[key][0],
        "0.5": lambda key: curves[key][1],
        "1": lambda key: curves[key][2],
        "area": lambda key: areas[key],
        "loss": lambda key: curves[key][0] - areas[key],
    }.items():
        row = frame.loc[name]
        gaps = [of(("a", s)) - of(("b", s)) for s in range(3)]
        assert row["value_a"] == pytest.approx(np.mean([of(("a", s)) for s in range(3)]))
        assert row["difference"] == pytest.approx(np.mean(gaps))
        assert row["low"] < row["difference"] < row["high"]
    assert frame.loc["area", "low"] > 0 and frame.loc["loss", "high"] < 0
    assert (frame["seeds"] == 3).all() and (frame["examples"] == EXAMPLES).all()
    assert (frame["interval"] == "95 %").all() and (frame["comparisons"] == 1).all()


def test_shared_examples_widen_the_interval(tmp_path):
    """Three seeds that answer alike: only the examples vary, and their chance is as for one seed."""
    one = {model: right([0.9, 0.6, 0.6, 0.4, 0.4], k) for k, model in enumerate("ab")}
    items = [write_tested(tmp_path, m, s, c) for m, c in one.items() for s in range(3)]
    row = compared(tmp_path, items).loc["area"]
    gap = (one["a"].astype(float) - one["b"]).T @ [0.25, 0.25, 0.25, 0.125, 0.125]
    error = gap.std(ddof=1) / np.sqrt(EXAMPLES)
    assert (row["high"] - row["low"]) / 2 == pytest.approx(2.02 * error, rel=0.01)


def test_the_order_of_rows_does_not_matter_and_other_tests_are_not_paired(tmp_path, capsys):
    items, told = a_study(tmp_path, seeds=2)
    frame = compared(tmp_path, items)
    ids = [f"e{number:04d}" for number in range(EXAMPLES)]
    for place, ((model, seed), correct) in enumerate(told.items()):
        order = np.random.default_rng(place).permutation(EXAMPLES)
        shuffled = [ids[number] for number in order]
        write_tested(tmp_path / "shuffled", model, seed, correct[:, order], ids=shuffled)
    again = compared(tmp_path / "shuffled", items)
    numbers = ["value_a", "value_b", "difference", "low", "high", "p_value"]
    assert again[numbers].to_numpy() == pytest.approx(frame[numbers].to_numpy())

    other = [(name, rate, draw) for name, rate, draw in CONDITIONS[:-1]] + [("zero_steps", 1.0, 2)]
    odd = [
        write_tested(tmp_path, "c", 0, told["a", 0], conditions=other),
        write_tested(tmp_path, "d", 0, told["a", 0], ids=[f"x{name}" for name in ids]),
    ]
    folder = write_run(tmp_path, run_item("nmnist", "stress", "e", 0))
    write_stress(folder, run_item("nmnist", "stress", "e", 0), {0.0: [0.9], 1.0: [0.5]})
    odd.append(run_item("nmnist", "stress", "e", 0))
    capsys.readouterr()
    frame = compared(tmp_path, items + odd)
    assert set(frame["model_a"]) == {"a"} and set(frame["model_b"]) == {"b"}
    said = capsys.readouterr().out
    for model, why in (
        ("c", "another stress test"),
        ("d", "another stress test"),
        ("e", "no stress_answers"),
    ):
        assert f"nmnist/stress/{model} seed 0: " in said and why in said


def test_differences_that_are_equal_but_for_rounding_are_no_certainty(tmp_path):
    """0.73 - 0.70 and 0.83 - 0.80 are not the same number; two seeds that agree by chance prove nothing."""
    items = []
    for seed, hits in ((0, (73, 70)), (1, (83, 80))):
        for model, count in zip("ab", hits):
            order = np.random.default_rng([seed, count]).permutation(100)
            correct = np.tile(order < count, (len(CONDITIONS), 1))
            ids = [f"s{seed}-{number}" for number in range(100)]
            items.append(write_tested(tmp_path, model, seed, correct, ids=ids))
    frame = compared(tmp_path, items)
    row = frame.loc["area"]
    assert row["difference"] == pytest.approx(0.03)
    assert row["p_value"] > 0.3 and row["low"] < -0.1
    assert frame.loc["loss", "p_value"] == 1.0


def test_at_rate_0_a_pair_is_compared_once_whatever_is_lost_after_it(tmp_path):
    conditions = [(name, rate, 0) for name in ("zero_steps", "remove_steps") for rate in (0.0, 0.5)]
    items = []
    for seed in range(3):
        for k, model in enumerate("abc"):
            correct = right([0.9 - 0.1 * k, 0.5, 0.9 - 0.1 * k, 0.4], 10 * seed + k)
            correct[2] = correct[0]
            items.append(write_tested(tmp_path, model, seed, correct, conditions))
    frame = compared(tmp_path, items)
    assert set(frame.loc["0", "comparisons"]) == {3} and set(frame.loc["area", "comparisons"]) == {
        6
    }
    whole = frame.loc["0"].groupby(["model_a", "model_b"])["p_holm"].nunique()
    assert (whole == 1).all()


def test_seeds_that_met_other_conditions_do_not_share_a_mean(tmp_path, capsys):
    items, told = a_study(tmp_path, seeds=1)
    other = [(name, 0.9 if rate == 1.0 else rate, draw) for name, rate, draw in CONDITIONS]
    odd = [write_tested(tmp_path, model, 1, told[model, 0], other) for model in "ab"]
    frame = compared(tmp_path, items + odd)
    assert (frame["seeds"] == 1).all() and "1" in frame.index and "0.9" not in frame.index
    assert "nmnist/stress/a seed 1: met another stress test" in capsys.readouterr().out


def test_a_single_seed_says_so_and_a_single_rate_has_no_area(tmp_path):
    items, told = a_study(tmp_path, seeds=1)
    frame = compared(tmp_path, items)
    assert (frame["interval"] == "one seed").all() and frame["low"].isna().all()
    assert frame["p_holm"].isna().all()
    few = [write_tested(tmp_path / "few", *key, told[key][:1], CONDITIONS[:1]) for key in told]
    assert compared(tmp_path / "few", few).index.tolist() == ["0"]


def write_risks(results, model, seed, targets, probability, folder_of=write_run):
    """A sepsis run under three conditions, its figures by scikit-learn."""
    item = run_item("physionet", "paper", model, seed)
    folder = folder_of(results, item)
    correct = (probability >= 0.5) == (targets == 1)
    both = 0 < targets.sum() < len(targets)
    figures = {"accuracy": correct.mean(axis=1).tolist()}
    for name, figure in (
        ("auroc", sklearn_metrics.roc_auc_score),
        ("average_precision", sklearn_metrics.average_precision_score),
    ):
        figures[name] = [figure(targets, row) if both else "" for row in probability]
    told = {"correct": correct, "probability": probability.astype(np.float32)}
    conditions = [("drop_hours", rate, 0) for rate in (0.0, 0.3, 0.6)]
    write_stress_answers(folder, item, told, conditions, figures, asked=targets.tolist())
    return item, figures


def test_ranking_curves_are_scikit_learn_s(tmp_path):
    random = np.random.default_rng(3)
    items, figures = [], {}
    for seed in range(2):
        targets = (random.random(80) < 0.3).astype(int)
        for model, skill in (("a", 1.5), ("b", 0.5)):
            risk = 1 / (1 + np.exp(-random.normal(size=(3, 80)) - skill * targets))
            item, found = write_risks(tmp_path, model, seed, targets, risk.astype(np.float32))
            items.append(item)
            figures[model, seed] = found
    frame = compared(tmp_path, items).reset_index().set_index(["metric", "figure"])
    for name in ("auroc", "average_precision"):
        areas = {key: np.dot([0.25, 0.5, 0.25], own[name]) for key, own in figures.items()}
        gaps = [areas["a", seed] - areas["b", seed] for seed in (0, 1)]
        assert frame.loc[(name, "area"), "difference"] == pytest.approx(np.mean(gaps))
    # Three metrics, each corrected by itself for one pair and one corruption.
    assert (frame["comparisons"] == 1).all()


def test_a_ranking_of_one_class_does_not_exist(tmp_path):
    random = np.random.default_rng(3)
    nobody = np.zeros(30, dtype=int)
    items = [
        write_risks(tmp_path, model, 0, nobody, random.random((3, 30)))[0] for model in ("a", "b")
    ]
    frame = compared(tmp_path, items).reset_index().set_index(["metric", "figure"])
    row = frame.loc[("auroc", "area")]
    assert row["seeds"] == 0 and row["interval"] == "does not exist" and np.isnan(row["value_a"])
    assert frame.loc[("accuracy", "area"), "interval"] == "one seed"
    cells = lines_of(table_named("stress_differences", tmp_path, items))
    assert {row["figure"] for row in cells} >= {"area", "loss"}


def test_error_rates_of_lines_are_means_over_lines(tmp_path):
    edits = np.array([[0, 1, 2], [1, 4, 9]], dtype=np.int32)
    lengths = [4, 10, 0]
    rates = (edits / [4, 10, 1]).mean(axis=1)
    items = []
    for model, more in (("a", 0), ("b", 2)):
        item = run_item("iam", "released", model, 0)
        own = edits + np.int32([[0], [more]])
        cer = (own / [4, 10, 1]).mean(axis=1).tolist()
        conditions = [("blank_columns", 0.0, 0), ("blank_columns", 0.5, 0)]
        folder = write_run(tmp_path, item)
        figures = {"cer": cer}
        write_stress_answers(folder, item, {"edits": own}, conditions, figures, asked=lengths)
        items.append(item)
    frame = compared(tmp_path, items)
    assert frame.loc["0.5", "value_a"] == pytest.approx(rates[1])
    assert frame.loc["area", "difference"] == pytest.approx(-(2 / 4 + 2 / 10 + 2) / 3 / 2)
    # Rates that rise are a loss, and b's rise by more.
    assert frame.loc["loss", "value_b"] > frame.loc["loss", "value_a"] > 0


def broken(change):
    def apply(path):
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        change(arrays)
        np.savez_compressed(path, **arrays)

    return apply


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:100]), "cannot be read"),
        (lambda path: path.write_bytes(b"{}"), "cannot be read"),
        (broken(lambda arrays: arrays.pop("correct")), "found the arrays"),
        (broken(lambda arrays: arrays.update(rate=np.zeros(2))), "lengths that do not fit"),
        (broken(lambda arrays: arrays.update(targets=np.ones(3))), "lengths that do not fit"),
        (
            broken(lambda arrays: arrays.update(correct=~arrays["correct"])),
            "gives a accuracy of .* stress.csv says",
        ),
        (
            broken(lambda arrays: arrays.update(ids=np.array([{}] * EXAMPLES))),
            "cannot be read",
        ),
    ],
)
def test_damaged_answers_are_named(tmp_path, damage, problem):
    items, _ = a_study(tmp_path, seeds=1)
    key = RunKey(**items[0])
    path = tmp_path / key.directory / "stress_answers.npz"
    damage(path)
    with pytest.raises(InputError, match=problem) as raised:
        read_stress_answers(tmp_path, read_run(tmp_path, key))
    assert "stress_answers.npz" in str(raised.value) and "run the stress test again" in str(
        raised.value
    )


def test_the_table_has_the_areas_in_percent_with_their_intervals(tmp_path):
    items, _ = a_study(tmp_path)
    row = compared(tmp_path, items).loc["area"]
    table = table_named("stress_differences", tmp_path, items)
    (cell,) = [cells.figures["area"] for cells in table.rows]
    assert cell.measured.startswith(f"{100 * row['difference']:+.2f} [")
    assert cell.numbers[2] == pytest.approx(100 * row["low"])
    assert [line for line in table.notes if "95 % interval" in line]
