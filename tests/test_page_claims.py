"""The page's claims against those of claims.csv, and its figures."""

import csv
import re
from collections import Counter
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

from claim_helpers import judged as judged_claim
from claim_helpers import two_models
from fake_study import run_item, write_run
from liquidbench.errors import InputError
from liquidbench.page.claims import main_claims
from liquidbench.page.figures import read_figures
from liquidbench.page.page import render
from liquidbench.reporting.claim_page import as_csv
from page_helpers import ALL_CLAIMS, content_of, page_of, parsed, write_figures
from test_gap_summary import MODELS, difference, study_with


def judged(summaries):
    """What the page of hand-made summaries is made of."""
    study = summaries.study()
    study.frames["runs"]["directory"] = "nowhere"
    return content_of(study, Path("nowhere"))


def test_claims_by_verdict_are_those_of_the_csv_file():
    content = judged(two_models([0.910, 0.921, 0.932], [0.90, 0.91, 0.92]))
    page = parsed(render(content))
    rows = list(csv.DictReader(as_csv(content.judged).splitlines()))
    papers = {row["id"]: row for row in rows if row["extension"] == "False"}
    on_paper = [row for row in papers.values() if row["verdict"] == "reproduced"]
    by_runs = {row["id"] for row in rows if row["evidence"] == "our runs"}
    wanted = Counter(
        row["verdict"] + " on paper alone" * (row in on_paper and row["id"] not in by_runs)
        for row in papers.values()
    )
    counts = page.one("section", id="claims").one("ul", class_="counts").all("li")
    found = {}
    for item in counts:
        link = item.one("a")
        number, name = link.text.split(" ", 1)
        found[name] = int(number)
        heading = page.one("h3", id=link.attributes["href"][1:])
        assert heading.text.lower() == f"{name} ({number})"
        # The word is explained where it is counted.
        assert len(item.one("span").text) > 15
    assert found == wanted and sum(found.values()) == len(papers)
    assert found["reproduced"] == 1 and found["reproduced on paper alone"] == 3
    claims = {one.attributes["id"] for one in page.all("details", class_="claim")}
    assert claims == {f"claim-{row['id']}" for row in rows}
    assert page.one("h3", id="verdict-own").text.endswith("(2)")
    # The same counts in a sentence.
    lead = page.one("p", class_="lead").words
    decided = sum(wanted[name] for name in ("reproduced", "not reproduced", "contradicted"))
    assert lead.startswith(f"Our runs decide {decided} of {len(papers)} claims: 1 reproduced")
    assert f"On paper alone 3 hold, and {wanted['inconsistent in the paper itself']} do not" in lead
    assert (
        f"code; {wanted['not testable here']} cannot be told here. Of the 9 main claims: " in lead
    )


def test_the_lead_of_a_study_on_synthetic_data_says_that_its_runs_decide_nothing(tmp_path):
    items = [run_item("nmnist", "released", model) for model in ("lstm", "cfc")]
    for item in items:
        write_run(tmp_path, item, synthetic=True)
    lead = page_of(tmp_path, items).one("p", class_="lead").words
    assert lead.startswith("Our runs decide none of the claims: their data are synthetic. On paper")


def test_a_claim_shows_figures_reason_and_what_it_rests_on():
    page = parsed(render(judged(two_models([0.910, 0.921, 0.932], [0.90, 0.91, 0.92]))))
    claim = page.one("details", id="claim-nmnist-accuracy")
    assert claim.one("summary").words.startswith("On N-MNIST the LNN is more accurate")
    terms = [(one.tag, one.words) for one in claim.one("dl").all() if one.tag in ("dt", "dd")]
    assert terms[1] == ("dd", "Section VI-A; Table I, rows N-MNIST: lnn 0.9938; lstm 0.9913")
    ours = terms[terms.index(("dt", "Ours")) + 1][1]
    assert ours.startswith("test accuracy: cfc 0.9210, lstm 0.9100, difference +0.0110 [")
    assert claim.one("code").text == "lnn > lstm"
    assert ("dt", "Rests on") in terms
    main = page.one("section", id="claims").one("table")
    (row,) = [row for row in main.rows() if row[0].words.startswith("On N-MNIST the LNN is")]
    assert row[1].words == "Printed lnn: 0.9938 lstm: 0.9913"
    assert row[2].words == f"Ours {ours}"
    assert row[3].words == "reproduced"


def test_the_main_claims_name_data_sets_and_the_verdict_of_our_figures_alone():
    summaries = two_models([100_000], [200_000], "parameters/core")
    for model, core in (("cfc", 300_000), ("lstm", 150_000)):
        summaries.add(model, {"parameters/core": [core]}, dataset="iam")
    page = parsed(render(judged(summaries)))
    main = page.one("section", id="claims").one("table")
    (row,) = [row for row in main.rows() if "parameter-efficient" in row[0].text]
    assert "N-MNIST: core parameters: lstm 200,000, cfc 100,000" in row[2].words
    assert "IAM: core parameters: lstm 150,000, cfc 300,000" in row[2].words
    assert re.fullmatch(
        r"inconsistent in the paper itself by our figures alone: contradicted.*", row[3].words
    )
    assert len(main.rows()) == sum(one.main and not one.extension for one in ALL_CLAIMS.claims)
    for row, claim in zip(main.rows(), (one for one in ALL_CLAIMS.claims if one.main)):
        assert row[0].one("a").attributes["href"] == f"#claim-{claim.id}"
        printed = [one.text for one in row[1].all("span", class_="value")]
        assert "; ".join(printed).replace(": ", " ") == claim.printed
    # No figure of ours decides here, so none has a verdict.
    (row,) = [row for row in main.rows() if "continuous variable" in row[0].text]
    assert [cell.words for cell in row[2:]] == ["Ours –", "inconsistent in the paper itself"]


def test_what_two_rules_measure_stands_once(tmp_path):
    rules = [{"kind": "greater", "quantity": "test/accuracy", "of": ["lnn", "lstm"]}] * 2
    study = two_models([0.910, 0.921, 0.932], [0.90, 0.91, 0.92]).study()
    one = judged_claim(tmp_path, study, *rules, main=True)
    (main,) = main_claims([one])
    assert len(one.outcomes) == 2 and len(main.ours) == 1
    assert main_claims([judged_claim(tmp_path, study, *rules)]) == []


def test_the_gaps_stand_under_their_heading_with_links_into_the_page():
    rows = [
        difference("lstm", "cfc", "area", -0.05, -0.07, -0.03, examples=100, comparisons=1),
        difference("lstm", "cfc", "loss", 0.05, 0.02, 0.08, examples=100, comparisons=1),
    ]
    study = study_with(*MODELS, rows=rows)
    study.frames["runs"]["directory"] = "nowhere"
    page = parsed(render(content_of(study, Path("nowhere"))))
    section = page.one("section", id="gaps")
    assert section.one("h2").text == "With gaps: liquid less LSTM"
    assert section.words.startswith("With gaps: liquid less LSTM Pairs that had the same training")
    (row,) = section.one("table").rows()
    assert row[8].words == "+5.00 [3.00, 7.00] liquid"
    assert section.one("a").attributes["href"] == "#table-stress-differences"
    assert page.one("h3", id="table-stress-differences")


def test_a_verdict_from_synthetic_data_is_shouted_at_the_claim():
    summaries = two_models([0.910, 0.921, 0.932], [0.90, 0.91, 0.92], synthetic=True)
    page = parsed(render(judged(summaries)))
    claim = page.one("details", id="claim-nmnist-accuracy")
    badge = claim.one("summary").one("span", class_="verdict")
    assert badge.text == "SYNTHETIC DATA: would be reproduced"
    # Under a heading that says the same, a claim does not repeat its verdict.
    other = page.one("details", id="claim-iam-state-of-the-art").one("summary")
    assert other.all("span", class_="verdict") == []


# Figures


def test_figures_stand_in_their_groups_and_none_is_lost(tmp_path):
    names = [
        "figure_1",
        "costs_iam",
        "stress_iam",
        "figure_8",
        "stress_nmnist",
        "heat_iam",
        "figure_10",
    ]
    write_figures(tmp_path, names, [("figure_4", "no *stay* <here>")])
    figures = read_figures(tmp_path)
    grouped = {title: [one.name for one in some] for title, _, some in figures.grouped()}
    assert grouped == {
        "Losses and gaps": ["stress_iam", "stress_nmnist"],
        "Cost against quality": ["costs_iam"],
        "Data": ["figure_1"],
        "Models": ["figure_8"],
        "Others": ["heat_iam", "figure_10"],
    }
    page = page_of(tmp_path / "results", [], figures=figures)
    section = page.one("section", id="figures")
    shown = section.all("figure")
    assert sorted(one.attributes["id"] for one in shown) == sorted(
        n.replace("_", "-") for n in names
    )
    first = shown[0]
    kind, drawing = first.one("img").attributes["src"].split(",", 1)
    assert kind == "data:image/svg+xml"
    assert ElementTree.fromstring(unquote(drawing))[0].text == "stress_iam"
    assert first.one("figcaption").words == (
        "Title of stress_iam. What stress_iam is. Files: SVG, PNG"
    )
    alternative = first.one("img").attributes["alt"]
    assert alternative.startswith("Title of stress_iam") and "What" not in alternative
    assert [one.attributes["href"] for one in first.all("a")] == [
        "figures/stress_iam.svg",
        "figures/stress_iam.png",
    ]
    write_figures(tmp_path, names, png=False)
    alone = page_of(tmp_path / "results", [], figures=read_figures(tmp_path))
    (link,) = alone.one("figure", id="stress-iam").all("a")
    assert link.attributes["href"] == "figures/stress_iam.svg"
    assert section.one("details").words == "Left out (1) figure_4: no stay <here>"
    assert section.words.count("To see:") == 4


def test_a_drawing_is_the_same_in_the_page_and_cannot_leave_its_attribute(tmp_path):
    write_figures(tmp_path, ["figure_1"])
    text = (
        '<svg xmlns="http://www.w3.org/2000/svg">\n <title>100 % &amp; "é" #1 &lt;/svg></title>\n'
        ' <path d="M 1 2 \nL 3 4"/></svg>\n'
    )
    (tmp_path / "figure_1.svg").write_text(text, encoding="utf-8")
    page = page_of(tmp_path / "results", [], figures=read_figures(tmp_path))
    source = page.one("figure", id="figure-1").one("img").attributes["src"]
    assert not set('"#&\n') & set(source)
    title, path = ElementTree.fromstring(unquote(source.split(",", 1)[1]))
    assert title.text == '100 % & "é" #1 </svg>'
    assert path.attrib["d"].split() == ["M", "1", "2", "L", "3", "4"]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("index.json", None, "no such file"),
        ("index.json", "{", "not valid JSON"),
        ("index.json", "[]", "no list of figures"),
        ("index.json", '{"figures": []}', "no list of figures"),
        ("index.json", '{"figures": [{"name": "a"}], "left_out": []}', "no list of figures"),
        ("index.json", '{"figures": ["a"], "left_out": []}', "no list of figures"),
        ("index.json", '{"figures": null, "left_out": []}', "no list of figures"),
        (
            "index.json",
            '{"figures": [{"name": "figure_1", "title": 1, "caption": "c"}], "left_out": []}',
            "no list of figures",
        ),
        ("index.json", '{"figures": [], "left_out": [{"name": "x"}]}', "no list of figures"),
        ("index.json", '{"figures": [], "left_out": []}', "no list of figures"),
        ("index.json", '{"figures": [], "left_out": [], "png": 1}', "no list of figures"),
        ("figure_1.svg", None, "cannot be read (No such file or directory)"),
        ("figure_1.svg", "", "no whole SVG drawing"),
        ("figure_1.svg", "<svg><g>", "no whole SVG drawing"),
    ],
)
def test_broken_figures_are_one_input_error(tmp_path, name, content, problem):
    write_figures(tmp_path, ["figure_1"])
    assert len(read_figures(tmp_path).drawn) == 1
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=re.escape(f"{name}: {problem}")):
        read_figures(tmp_path)
