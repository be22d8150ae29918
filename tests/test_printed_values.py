"""The paper's result tables, typed a second time from its text, against `resources/paper`."""

from pathlib import Path

import pandas as pd
import pytest

PAPER = Path(__file__).parents[1] / "resources/paper"

# Table number to row to cells, in the order of COLUMNS. The paper prints a data set once for its two models.
CELLS = {
    1: {
        "N-MNIST LNN": "0.9997 0.9938",
        "N-MNIST LSTM": "0.9996 0.9913",
        "QuickDraw LNN": "0.9978 0.9577",
        "QuickDraw LSTM": "1.0000 0.9701",
        "IAM LNN": "0.1717 0.1237",
        "IAM LSTM": "0.0784 0.1090",
    },
    # The false positives stand in the text of section VI-B.
    2: {
        "LSTM (128)": "0.35 0.22 0.27 0.89 151",
        "LNN (128)": "0.71 0.08 0.15 0.92 12",
        "LNN (256)": "0.94 0.10 0.19 0.93 2",
    },
    3: {
        "N-MNIST LSTM": "98.63 77.48 58.27 36.52",
        "N-MNIST LNN": "98.71 91.84 71.65 39.72",
        "QuickDraw LSTM": "94.35 74.28 40.89 18.43",
        "QuickDraw LNN": "92.69 68.80 41.47 22.48",
    },
    6: {
        "N-MNIST LNN (CfC) 128": "~2.7M",
        "N-MNIST LSTM 128": "~4.5M",
        "QuickDraw LNN (CfC) 256": "~0.8M",
        "QuickDraw LSTM 256": "~1.1M",
        "IAM LNN (CfC) 256 (unidirectional)": "~6.2M",
        "IAM LSTM 512 (bidirectional)": "~11.1M",
        "PhysioNet LNN (CfC) 256": "~0.15M",
        "PhysioNet LSTM 128": "~0.10M",
    },
}
ACCURACY = {"Train Acc": {"train_running/accuracy"}, "Test Acc": {"test/accuracy"}}
# The printed training error rate is compared with ours, and with the loss that it equals in the authors' logs.
ERROR_RATE = {"Train CER": {"train/cer", "train_running/loss"}, "Test CER": {"test/cer"}}
# Table number to column to what it is compared with, our names.
COLUMNS = {
    2: {
        "Precision": {"precision"},
        "Recall": {"recall"},
        "F1-Score": {"f1"},
        "Accuracy": {"accuracy"},
        "False positives": {"false_positives"},
    },
    3: {f"{rate}%": {f"zero_steps/{rate}"} for rate in (0, 30, 50, 70)},
    6: {"Approx. Params": {"total"}},
}


def columns_of(number: int, row: str) -> dict[str, set[str]]:
    if number == 1:
        return ERROR_RATE if row.startswith("IAM") else ACCURACY
    return COLUMNS[number]


def printed(number: int) -> pd.DataFrame:
    return pd.read_csv(PAPER / f"table_{number}.csv", dtype=str, keep_default_na=False)


@pytest.mark.parametrize("number", CELLS)
def test_every_printed_number_is_typed_as_the_paper_has_it(number):
    expected = {
        (row, column, figure): cell
        for row, cells in CELLS[number].items()
        for (column, figures), cell in zip(
            columns_of(number, row).items(), cells.split(), strict=True
        )
        for figure in figures
    }
    table = printed(number)
    keys = list(zip(table["row"], table["column"], table["figure"], strict=True))
    assert len(set(keys)) == len(keys)
    assert dict(zip(keys, table["printed"], strict=True)) == expected


@pytest.mark.parametrize("number", CELLS)
def test_a_value_is_the_number_that_is_printed(number):
    for row in printed(number).itertuples(index=False):
        text = row.printed.removeprefix("~")
        millions = text.endswith("M")
        value = float(text.removesuffix("M")) * (1e6 if millions else 1)
        assert float(row.value) == pytest.approx(value, rel=1e-12), row


@pytest.mark.parametrize("number", CELLS)
def test_a_row_stands_for_its_own_data_set_and_models(number):
    for row in printed(number).itertuples(index=False):
        named = "PhysioNet" if number == 2 else row.row.split()[0]
        assert row.dataset == named.replace("-", "").lower(), row
        core = "cfc" if "LNN" in row.row else "lstm"
        assert row.models and all(name.split("-")[0] == core for name in row.models.split()), row
