"""The page's tables: nothing of the report's tables is lost, and columns sort as a reader expects."""

import csv
import math
import random
import re
from functools import cmp_to_key

import pytest

from fake_study import LAYOUT, run_item, write_baseline, write_run, write_stress
from liquidbench.page.page import render
from liquidbench.page.sorting import sort_keys
from liquidbench.page.tables import MOST_ROWS, page_table
from liquidbench.reporting.table import Comparison, Row, Table, compare_numbers
from liquidbench.reporting.table_files import write_tables
from page_helpers import content_of, parsed, study_of
from test_clinical_reports import HOUR, HOURLY, write_hours
from test_tables import as_download


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Seeds that differ, lines, stays, hours, a baseline and the stress test: page, tables and their files."""
    folder = tmp_path_factory.mktemp("whole")
    results, items = folder / "results", []
    accuracies = {"cfc": (0.95, 0.97, 0.98), "lstm": (0.9, 0.91)}
    for model, values in accuracies.items():
        for seed, accuracy in enumerate(values):
            items.append(run_item("nmnist", "released", model, seed))
            as_download(write_run(results, items[-1], accuracy=accuracy))
    items.append(run_item("nmnist", "stress", "cfc"))
    write_stress(write_run(results, items[-1]), items[-1], {0.0: [0.95], 0.3: [0.6, 0.7]})
    items.append(run_item("iam", "released", "cfc"))
    write_run(results, items[-1])
    items += [run_item("physionet", "paper", name) for name in ("cfc-128", "logistic")]
    write_run(results, items[-2], precision=None)
    write_baseline(results, items[-1])
    items.append(HOUR)
    write_hours(results)
    study = study_of(results, items, LAYOUT | HOURLY)
    content = content_of(study, results)
    write_tables(study, content.tables, folder / "reports/tables")
    return parsed(render(content)), content.tables, folder / "reports/tables"


def section(page, table):
    """The page's part on a table: from its heading to the next."""
    children = page.one("section", id="tables").children
    headings = [place for place, one in enumerate(children) if getattr(one, "tag", "") == "h3"]
    (start,) = [
        place for place in headings if children[place].attributes["id"] == page_table(table).anchor
    ]
    end = next((place for place in headings if place > start), len(children))
    return [one for one in children[start:end] if not isinstance(one, str)]


def shown(page, table):
    """Headings and cells of a table, and what stands above it for all rows."""
    parts = section(page, table)
    above = {}
    for part in parts:
        if part.attributes.get("class") == "shared":
            values = [one.text for one in part.all("strong")]
            names = re.split(r"[;.] ?", part.words.removeprefix("All rows: "))
            above = {name.removesuffix(value).strip(): value for name, value in zip(names, values)}
    (box,) = [part for part in parts if "scroll" in part.attributes.get("class", "").split()]
    return [one.words for one in box.all("th")], box.rows(), above


def test_every_cell_of_every_table_s_csv_file_is_in_the_page(whole):
    page, tables, folder = whole
    found = 0
    for table in tables:
        with (folder / f"{table.stem}.csv").open(newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
        if not lines:
            assert any(part.words == "No run for it has finished." for part in section(page, table))
            continue
        headings, rows, above = shown(page, table)
        about_csv = list(lines[0])[: len(table.about)]
        figures = headings[-len(table.figures) :]
        assert figures == list(table.figures.values())
        assert len(rows) * len(table.figures) >= len(lines)
        for number, line in enumerate(lines):
            # The file has a line for each figure of a row.
            place = list(table.figures).index(line["figure"])
            row = rows[sum(one["figure"] == lines[0]["figure"] for one in lines[: number + 1]) - 1]
            free = [name for name in table.about if name not in above]
            for name, key in zip(table.about, about_csv, strict=True):
                text = above[name] if name in above else row[free.index(name)].words
                assert text == (" ".join(line[key].split()) or "–"), (table.stem, line)
            check_figure(row[len(free) + place], line)
            found += 1
    assert found > 150


def check_figure(cell, line):
    """The cell shows the file's numbers, rounded, and the printed value beside them."""
    parts = cell.all("span", class_="paper")
    printed = parts[0].words.removeprefix("paper ") if parts else ""
    measured = " ".join("".join(one for one in cell.children if isinstance(one, str)).split())
    if line.get("paper"):
        if is_number(line["paper"]) and is_number(printed.strip("~M%")):
            unit = 1e6 if "M" in printed else 1
            assert float(printed.strip("~M%")) * unit == pytest.approx(float(line["paper"]))
        else:
            assert printed == " ".join(line["paper"].split())
    if not line["measured"]:
        assert measured in ("–", "does not exist", "one seed"), measured
    elif is_number(line["measured"]) and is_number(measured.split()[0].replace(",", "")):
        agrees(measured.split()[0], line["measured"])
        if is_number(line.get("low", "")):
            ends = re.search(r"\[(.+), (.+)\]", measured).groups()
            for end, exact in zip(ends, (line["low"], line["high"])):
                agrees(end, exact)
    elif is_number(line["measured"]):
        assert measured.startswith("< ") and float(line["measured"]) < float(measured[2:])
    else:
        assert measured == " ".join(line["measured"].split())


def agrees(text, exact):
    digits = len(text.partition(".")[2])
    assert float(text.replace(",", "")) == pytest.approx(float(exact), abs=0.51 * 10**-digits)


def is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_printed_values_stand_beside_measured_ones_and_their_difference_below(whole):
    page, tables, _ = whole
    headings, rows, _ = shown(page, tables[0])
    names = [headings.index(name) for name in ("Data set", "Model")]
    (row,) = [row for row in rows if [row[one].words for one in names] == ["N-MNIST", "cfc"]]
    cell = row[headings.index("Test")]
    # 0.95, 0.97 and 0.98; Table I prints 0.9938.
    assert cell.words.startswith("0.9667 ± 0.0153 [0.9287, 1.0000]")
    assert cell.one("span", class_="paper").words == "paper 0.9938"
    assert cell.one("span", class_="compared").words == "difference -0.0271"


def test_notes_stand_below_their_table(whole):
    page, tables, _ = whole
    for table in tables:
        (notes,) = [one for one in section(page, table) if one.attributes.get("class") == "notes"]
        assert notes.one("summary").text == f"Notes ({len(table.notes)})"
        texts = [one.words for one in notes.all("li")]
        plain = [" ".join(re.sub(r"[`*]", "", note).split()) for note in table.notes]
        assert texts == plain != []


def test_what_all_rows_share_stands_above_and_is_no_column():
    names = ("Data set", "Paper's row", "Model")
    rows = [Row(("IAM", "", model), {"x": Comparison("1")}) for model in ("cfc", "lstm")]
    table = page_table(Table("costs", "T", names, {"x": "X"}, rows=rows))
    assert table.shared == (("Data set", "IAM"), ("Paper's row", "–"))
    assert table.headings == ("Model", "X")
    assert [[cell.text for cell in row] for row in table.rows] == [["cfc", "1"], ["lstm", "1"]]
    # A single row would lose all that says what it is about.
    alone = page_table(Table("costs", "T", names, {"x": "X"}, rows=rows[:1]))
    assert alone.shared == ()
    assert [cell.text for cell in alone.rows[0]] == ["IAM", "–", "cfc", "1"]


def test_rows_beyond_the_most_are_counted(tmp_path):
    def of(count):
        rows = [Row(("IAM", f"m{n}"), {"x": compare_numbers([n], None, 0)}) for n in range(count)]
        return Table("costs", "Costs", ("Data set", "Model"), {"x": "X"}, rows=rows)

    assert page_table(of(MOST_ROWS)).left_out == 0
    study = study_of(tmp_path / "results", [])
    content = content_of(study, tmp_path / "results")
    for count, told in ((MOST_ROWS, False), (MOST_ROWS + 7, True)):
        changed = type(content)(**{**vars(content), "tables": [of(count)]})
        page = parsed(render(changed))
        tables = page.one("section", id="tables")
        assert len(tables.one("table").rows()) == MOST_ROWS
        sentence = f"The first {MOST_ROWS} rows; 7 more are in the files."
        assert (sentence in tables.words) == told


# What a reader expects, in ascending order; what there is not comes last and is not sorted.
COLUMNS = {
    "thousands": ["9", "80", "700", "1,145.0", "12,000", "1,234,567"],
    "signs": ["-1,200 [-1,300, -1,100]", "-0.5", "0.00", "+0.25 (one seed)", "+3"],
    "percent": ["5%", "9.5 %", "10%", "100 %"],
    "p": ["< 0.0001", "0.0001", "0.0213", "0.533 (0.600)"],
    "p of seeds": ["< 0.0001 (< 0.0001); 0.5 (0.5)", "0.004 (0.4)", "0.1 (0.1)"],
    "scientific": ["1e-05", "0.0001", "3e-4", "0.003", "1e+3"],
    "intervals": ["[-2.5, 3.0]", "[-1.0, 2.0]", "[0.5, 0.6]", "[10.0, 11.0]"],
    "with interval": ["0.9 ± 0.1 [0.8, 1.0]", "1.5 ± 0.7 [-4.9, 7.9]", "12.0 ± 3.0 [9, 15]"],
    "examples": ["600 / 200", "1,973 / 349", "60,000 / 10,000"],
    "seeds": ["1 of 3 seeds", "2 seeds", "10 seeds"],
    "units": ["32", "64 per direction", "256"],
    "models": ["cfc", "cfc-64", "cfc-128", "cfc-1024", "lstm-128"],
    "runs": ["nmnist/a/cfc/seed-2", "nmnist/a/cfc/seed-10", "nmnist/b/cfc/seed-1"],
    "names": ["accuracy", "AUROC", "CER, mean over lines", "WER"],
    "rates": ["rate 0.05", "rate 0.1", "rate 0.25", "rate 10.5"],
    "mixed": ["2 (lstm)", "10", "some text"],
}


def as_the_script_sorts(pairs):
    """The comparison of vendored/sortable: numbers as numbers, else text, empty last; of (key, cell)."""

    def number(key):
        try:
            return float(key) if key.strip() else 0.0
        except ValueError:
            return None

    def compare(left, right):
        a, b = left[0], right[0]
        if (a == "") != (b == ""):
            return 1 if a == "" else -1
        x, y = number(a), number(b)
        if x is None or y is None:
            # localeCompare: letters before their cases.
            x, y = (a.casefold(), a), (b.casefold(), b)
        return (x > y) - (x < y)

    return [cell for _, cell in sorted(pairs, key=cmp_to_key(compare))]


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_sorts_as_a_reader_expects(name):
    expected = COLUMNS[name]
    for seed in range(5):
        cells = [*expected, "–", "none"]
        random.Random(seed).shuffle(cells)
        pairs = list(zip(sort_keys(cells), cells, strict=True))
        found = as_the_script_sorts(pairs)
        assert found[: len(expected)] == expected
        assert {key for key, cell in pairs if cell in ("–", "none")} == {""}


def test_figures_sort_by_what_they_round_and_words_of_absence_come_last():
    cells = {
        "a": compare_numbers([0.123449], None, 2),
        "b": compare_numbers([0.1212], None, 2),
        "c": Comparison("does not exist"),
        "d": compare_numbers(None, None, 2),
        "e": Comparison("one seed"),
        "f": compare_numbers([-3_000_000.0], None, 0),
        "g": compare_numbers([math.inf], None, 0),
    }
    rows = [Row((name,), {"x": cell}) for name, cell in cells.items()]
    table = page_table(Table("costs", "T", ("Model",), {"x": "X"}, rows=rows))
    pairs = [(row[1].sort, row[0].text) for row in table.rows]
    assert as_the_script_sorts(pairs)[:3] == ["f", "b", "a"]
    assert [name for key, name in pairs if key == ""] == ["c", "d", "e", "g"]
    assert all(row[1].numeric for row in table.rows)


def test_a_version_and_a_name_with_digits_are_no_numbers():
    assert sort_keys(["3.11.7", "3.9.1"]) != ["3.11", "3.9"]
    assert sort_keys(["3-layer", "12-layer"]) == ["000000000003-layer", "000000000012-layer"]
    # Beside a text, a number is text too: else the script's order of three cells is no order.
    assert not any(map(is_number, sort_keys(["12", "x", "7"])))


def test_columns_of_the_other_tables_have_keys(whole):
    page, _, _ = whole
    (runs,) = page.one("section", id="runs").all("table")
    headings = [one.words for one in runs.all("th")]
    for heading in ("Run", "Finished (UTC)", "Seconds", "Peak memory (MiB)"):
        assert all("data-sort" in row[headings.index(heading)].attributes for row in runs.rows())
    seconds = [row[headings.index("Seconds")] for row in runs.rows()]
    assert {(one.text, one.attributes["data-sort"]) for one in seconds} == {("12.5", "12.5")}
    places = [row[0].attributes["data-sort"] for row in runs.rows()]
    assert places[0] == "nmnist/released/cfc/seed-000000000000"
    # What there is not comes last, in all of them.
    tables = page.all("table", class_="sortable")
    assert len(tables) > 12 and all("n-last" in one.attributes["class"] for one in tables)
    assert "no-sort" in runs.all("th")[-1].attributes["class"]


def test_the_tables_say_how_sure_their_intervals_are(tmp_path):
    study = study_of(tmp_path / "results", [], LAYOUT | {"confidence": 0.9})
    text = parsed(render(content_of(study, tmp_path / "results"))).one("section", id="tables").words
    assert "with standard deviation and 90 % interval" in text
