"""The same runs give the same files on processors that add up otherwise."""

import math

import pandas as pd
import pytest

from liquidbench.page.sorting import sort_keys
from liquidbench.reporting.significant import significant
from liquidbench.reporting.summaries import write_summaries
from liquidbench.reporting.table import Comparison, Row, Table, as_csv


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.1 + 0.2, 0.3),
        (2.4103576016204200e-112, 2.4103576e-112),
        (-98.292987884169612, -98.292988),
        (2582917120.0, 2582917120.0),
        (123456789, 123456789),
        (-0.0, -0.0),
        (math.inf, math.inf),
    ],
)
def test_digits_that_are_left(value, expected):
    assert repr(significant(value)) == repr(expected)


def test_no_number_stays_none():
    assert math.isnan(significant(math.nan))


def test_files_do_not_depend_on_the_last_bits(tmp_path):
    """As sums in another order have them; whole numbers keep all their digits."""
    written = []
    for name, sign in (("up", math.inf), ("down", -math.inf)):
        value = math.nextafter(0.1234567891234, sign)
        frame = pd.DataFrame({"metric": ["accuracy"], "value": [value], "mixed": [value]})
        frame["mixed"] = frame["mixed"].astype(object)
        frame["bytes"] = 2582917120.0
        write_summaries({"differences": frame}, tmp_path / name)
        # Beside a mean that is 29 but for its last bit.
        numbers = (value, math.nextafter(29.0, sign), None, None, None, "", "")
        comparison = Comparison("", "", "", numbers)
        row = Row(("N-MNIST",), {"accuracy": comparison})
        table = Table("x", "x", ("Data set",), {"accuracy": "Accuracy"}, rows=[row])
        keys = sort_keys(["0.12", "2"], [value, 2])
        written.append(
            (tmp_path / name / "differences.csv").read_text() + as_csv(table) + str(keys)
        )
    assert written[0] == written[1]
    assert "accuracy,0.12345679,0.12345679,2582917120.0\n" in written[0]
    assert "N-MNIST,accuracy,0.12345679,29,," in written[0]
    assert written[0].endswith("['0.12345679', '2']")
