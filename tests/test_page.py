"""The page of a study, from hand-made runs: what must not be overlooked, all runs, and hostile texts."""

import base64
import hashlib
import json
import re
import runpy
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

from fake_study import LAYOUT, run_folder, run_item, write_baseline, write_examples, write_run
from liquidbench.errors import InputError, run_command
from liquidbench.page.figures import Figures, PageFigure, read_figures
from liquidbench.page.overview import cautions, lines, machine, summary_line
from liquidbench.page.page import render, write_page
from liquidbench.page.runs import address, run_rows
from liquidbench.reporting.study import OFFICIAL_SIZES
from page_helpers import (
    SCRIPT,
    arguments,
    command,
    content_of,
    page_of,
    parsed,
    study_of,
    write_figures,
)
from test_clinical_reports import HOURLY, write_hours
from test_tables import as_download

CATEGORIES = [
    *("airplane", "apple", "banana", "basketball", "bed"),
    *("bee", "bicycle", "bird", "book", "butterfly"),
]
PREPARED = {
    "quickdraw": {"categories": CATEGORIES, "per_category": 5000, "variant": "simplified"},
    "physionet": {"hospitals": ["a"]},
}


def change(folder, **changes):
    path = folder / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_settings(folder, **changes):
    settings = json.loads((folder / "metrics.json").read_text())["settings"]
    change(folder, settings={**settings, **changes})


def change_provenance(folder, **changes):
    path = folder / "provenance.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def write_whole(results, dataset, seeds=2, protocol=None, model="cfc"):
    """Runs on all of the paper's data, as downloaded; their items."""
    items = []
    for seed in range(seeds):
        protocol = protocol or LAYOUT["main_protocols"][dataset]
        items.append(run_item(dataset, protocol, model, seed))
        folder = write_run(results, items[-1])
        as_download(folder)
        change_settings(folder, dataset=PREPARED.get(dataset, {"bins": 10}))
    return items


# The command


def test_the_command_writes_a_whole_page_and_the_same_again(tmp_path):
    results = tmp_path / "results"
    items = [run_item("nmnist", "released", model, 0) for model in ("cfc", "lstm")]
    for item in items:
        write_run(results, item)
    write_examples(results)
    write_figures(tmp_path / "figures", ["stress_nmnist", "figure_1"])
    study, out = study_of(results, items), tmp_path / "reports/index.html"
    write_page(content_of(study, results, read_figures(tmp_path / "figures"), out))
    before = out.read_bytes()
    result = command(tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"open {out}\n"
    assert out.read_bytes() == before
    assert [one.name for one in out.parent.iterdir()] == ["index.html"]
    page = parsed(before.decode())
    assert page.one("title").text == page.one("h1").text == "A hand-made study"
    identifiers = [one.attributes["id"] for one in page.all() if "id" in one.attributes]
    assert len(identifiers) == len(set(identifiers)) > 80
    targets = {one.attributes["href"] for one in page.all("a")}
    assert {one[1:] for one in targets if one.startswith("#")} <= set(identifiers)


def test_what_is_broken_is_a_line_and_leaves_the_page_that_was_there(tmp_path, monkeypatch):
    study_of(tmp_path / "results", [])
    write_figures(tmp_path / "figures", ["figure_1"])
    (tmp_path / "figures/figure_1.svg").unlink()
    out = tmp_path / "reports/index.html"
    out.parent.mkdir()
    out.write_text("of an earlier study")
    monkeypatch.setattr(sys, "argv", [str(one) for one in ["report.py", *arguments(tmp_path)]])
    with pytest.raises(SystemExit) as stopped:
        run_command(runpy.run_path(str(SCRIPT))["main"])
    assert re.fullmatch(
        r"error: \S+figure_1\.svg: cannot be read .+\. Draw the figures again: .+",
        str(stopped.value),
    )
    assert out.read_text() == "of an earlier study"
    assert [one.name for one in out.parent.iterdir()] == ["index.html"]


def test_a_page_that_cannot_be_rendered_leaves_nothing(tmp_path):
    results = tmp_path / "results"
    content = content_of(study_of(results, []), results)
    (results / "nmnist").mkdir()
    (results / "nmnist/examples.npz").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"examples\.npz"):
        write_page(content)
    assert not content.out.exists()


# What must not be overlooked


def told(results, items, layout=LAYOUT):
    """The titles of the cautions, in order."""
    return [caution.title for caution in cautions(study_of(results, items, layout))]


def test_the_papers_data_and_protocols_with_several_seeds_need_no_caution(tmp_path):
    items = [one for name in LAYOUT["main_protocols"] for one in write_whole(tmp_path, name)]
    assert told(tmp_path, items) == []
    assert {line.partial for line in lines(study_of(tmp_path, items))} == {""}


def test_each_caution_names_the_data_sets_that_it_is_about(tmp_path):
    real = write_whole(tmp_path, "nmnist")
    synthetic = [run_item("iam", "released", "cfc", seed) for seed in (0, 1, 2, 3)]
    for item in synthetic[:2]:
        folder = write_run(tmp_path, item, synthetic=True)
        # Synthetic data need not be told to be few, too.
        change_settings(folder, dataset={"limit_train": 100})
    partial = write_whole(tmp_path, "quickdraw")
    for item in partial:
        limited = PREPARED["quickdraw"] | {"limit_train": 100}
        change_settings(run_folder(tmp_path, item), dataset=limited)
    single = write_whole(tmp_path, "physionet", seeds=1)
    assert told(tmp_path, [*real, *synthetic, *partial, *single]) == [
        "Synthetic data: IAM",
        "Not the paper's data: QuickDraw",
        "One seed: PhysioNet",
        "2 of 9 configured runs have not finished",
    ]
    page = page_of(tmp_path, [*real, *synthetic, *partial, *single])
    banners = page.one("header").all("p", class_="caution")
    assert banners[0].one("strong").text == "Synthetic data: IAM."
    assert ["first" in one.attributes["class"].split() for one in banners] == [True, *[False] * 3]
    table = page.one("section", id="what-was-run").one("table")
    assert [[cell.words for cell in row[:3]] for row in table.rows()] == [
        ["N-MNIST", "download", "released"],
        ["QuickDraw", "download not the paper's data", "released"],
        ["IAM", "SYNTHETIC", "released"],
        ["PhysioNet", "download", "paper"],
    ]
    assert [row[5].words for row in table.rows()] == [
        "2 seeds",
        "2 seeds",
        "2 of 4 seeds",
        "1 seed",
    ]
    runs = page.one("section", id="runs").one("table").rows()
    shown = [row[2].words for row in runs]
    assert shown[:6] == [*["download"] * 2, *["SYNTHETIC"] * 2, *["–"] * 2]


def test_a_single_seed_among_others_is_told_with_its_model(tmp_path):
    items = write_whole(tmp_path, "nmnist") + write_whole(tmp_path, "nmnist", seeds=1, model="lstm")
    items += write_whole(tmp_path, "physionet", seeds=1)
    assert told(tmp_path, items) == ["One seed: N-MNIST released/lstm, PhysioNet"]


def test_a_mirror_and_other_classes_are_told(tmp_path, monkeypatch):
    few = write_whole(tmp_path, "nmnist")
    for item in few:
        change(run_folder(tmp_path, item), source="mirror")
    whole = write_whole(tmp_path, "physionet")
    for item in whole:
        change(run_folder(tmp_path, item), source="mirror")
    monkeypatch.setitem(OFFICIAL_SIZES, "physionet", 500)
    unknown = write_whole(tmp_path, "quickdraw")
    for item in unknown:
        change(run_folder(tmp_path, item), source="mirror")
    other = write_whole(tmp_path, "quickdraw", protocol="paper")
    for item in other:
        five = PREPARED["quickdraw"] | {"categories": CATEGORIES[:5]}
        change_settings(run_folder(tmp_path, item), dataset=five)
    items = [*few, *unknown, *other, *whole]
    assert told(tmp_path, items) == ["Not the paper's data: N-MNIST, QuickDraw"]
    assert [(line.data, line.partial) for line in lines(study_of(tmp_path, items))] == [
        ("mirror", "not the paper's data"),
        ("mirror", "the paper's task, from a mirror"),
        ("download", "not the paper's data"),
        ("mirror", ""),
    ]


def test_protocols_that_are_not_the_papers_are_told_where_they_stand_for_it(tmp_path):
    short = write_whole(tmp_path, "nmnist")
    for item in short:
        change_settings(run_folder(tmp_path, item), overrides={"epochs": 2})
    further = write_whole(tmp_path, "iam") + write_whole(tmp_path, "iam", protocol="gaps")
    assert told(tmp_path, short + further) == ["Not the paper's models or training: N-MNIST"]
    table = page_of(tmp_path, short + further).one("section", id="what-was-run").one("table")
    assert [row[2].words for row in table.rows()] == [
        "released, but epochs=2 not the paper's",
        "released",
        "gaps not the paper's",
    ]
    own = LAYOUT | {"main_protocols": LAYOUT["main_protocols"] | {"iam": "gaps"}}
    assert told(tmp_path, further, own) == ["Not the paper's models or training: IAM"]
    stress = write_whole(tmp_path, "nmnist", protocol="gaps-stress")
    own = LAYOUT | {"stress_protocol": "gaps-stress"}
    assert told(tmp_path, stress, own) == ["Not the paper's models or training: N-MNIST"]


def test_what_has_not_run_is_told_to_be_nothing_else(tmp_path):
    own = LAYOUT | {"main_protocols": {"quickdraw": "mine"}}
    item = run_item("quickdraw", "mine", "cfc")
    assert told(tmp_path, [item], own) == ["1 of 1 configured runs have not finished"]


def test_the_line_of_what_was_run_counts(tmp_path):
    items = write_whole(tmp_path, "nmnist", seeds=3) + write_whole(tmp_path, "iam", model="lstm")
    items += [run_item("iam", "released", "gru", seed) for seed in range(4)]
    for place, item in enumerate(items[:5]):
        change_provenance(
            run_folder(tmp_path, item),
            started=f"2026-03-0{1 + place}T23:59:59+00:00",
            # Of one clock in another zone, and one with fractions of a second.
            finished=f"2026-03-0{2 + place}T03:30:00" + ("+02:00", ".25Z")[place % 2],
        )
    line = summary_line(study_of(tmp_path, items))
    assert line == (
        "2 data sets · 3 models · 5 of 9 runs finished · 2 to 3 seeds each · An example processor · "
        "2026-03-01 23:59 to 2026-03-06 01:30 UTC"
    )
    page = page_of(tmp_path, items[:1])
    assert page.one("p", class_="summary").words == (
        "1 data set · 1 model · 1 of 1 run finished · 1 seed each · An example processor · "
        "2026-03-01 23:59 to 2026-03-02 01:30 UTC (what was run)"
    )


def test_the_machine_is_the_one_that_computed(tmp_path):
    items = write_whole(tmp_path, "nmnist", seeds=3)
    hardware = {"processor": "A processor", "cores": 8, "gpu": "A card"}
    for item, device in zip(items, ("cuda", "cpu", "cuda")):
        change_provenance(run_folder(tmp_path, item), hardware=hardware, device=device)
    study = study_of(tmp_path, items)
    assert " · A card, A processor · 2026" in summary_line(study)
    facts = dict(machine(study))
    assert facts["Device"] == "cuda, cpu" and facts["GPU"] == "A card" and facts["Cores"] == "8"
    assert facts["PyTorch"] == "2.13.0" and facts["Threads of a run"] == "1"
    # Within one day the date stands once.
    assert facts["Trained"] == "2026-01-01 00:00 to 00:00 UTC"
    rows = run_rows(study, tmp_path, tmp_path)
    assert [row.machine for row in rows] == ["A card", "A processor", "A card"]
    # Recorded as null: there is none.
    other = write_whole(tmp_path, "iam", seeds=1)
    assert "GPU" not in dict(machine(study_of(tmp_path, other)))


# Hostile texts

HOSTILE = "<script>alert(1)</script>&<\"'>"


def test_texts_of_data_and_configuration_are_text(tmp_path):
    results = tmp_path / "results"
    model = "cfc<script>alert(1)<"
    items = [run_item("nmnist", "released", model), run_item("iam", "<img src=x onerror=y>", "a&b")]
    for item in items:
        write_run(results, item)
    change_provenance(run_folder(results, items[0]), device=HOSTILE)
    figure = PageFigure("stress_x", HOSTILE, f"{HOSTILE} [a](javascript:alert(1))", "data:,")
    figures = Figures((figure,), (("<i>", HOSTILE),), True)
    study = study_of(results, items, LAYOUT | {"study": HOSTILE})
    text = render(content_of(study, results, figures))
    page = parsed(text)
    assert page.one("title").text == page.one("h1").text == HOSTILE
    assert page.one("figcaption").words.startswith(f"{HOSTILE}. {HOSTILE}")
    assert page.one("figure").one("img").attributes["alt"].startswith(HOSTILE)
    assert any(HOSTILE in one.text for one in page.one("dl", class_="facts").all("dd"))
    runs = page.one("section", id="runs").one("table").rows()
    assert runs[0][0].text == f"nmnist/released/{model}/seed-0"
    assert any(model in one.text for one in page.one("section", id="tables").all("td"))
    assert len(page.all("script")) == 2 and len(page.all("img")) == 1 and page.all("i") == []
    handlers = [n for one in page.all() for n in one.attributes if n.startswith("on")]
    assert handlers == []
    addresses = [one.attributes["href"] for one in page.all("a")]
    assert not any(one.lower().startswith(("javascript:", "http:", "https:")) for one in addresses)


def test_the_page_asks_for_nothing_and_runs_its_own_scripts_alone(tmp_path):
    page = page_of(tmp_path, [])
    (policy,) = [
        one.attributes["content"]
        for one in page.all("meta")
        if one.attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert rules["default-src"] == "'none'" and rules["img-src"] == "data:"
    sums = [
        base64.b64encode(hashlib.sha256(one.text.encode()).digest()).decode()
        for one in page.all("script")
    ]
    assert rules["script-src"].split() == [f"'sha256-{one}'" for one in sums]
    assert not [one for one in page.all() if one.tag in ("link", "iframe", "object", "base")]
    assert all("src" not in one.attributes for one in page.all("script"))


# Runs


def test_runs_have_links_when_how_and_where(tmp_path):
    results = tmp_path / "my results/#1 50%/für ?"
    done, missing = (run_item("nmnist", "released", model) for model in ("cfc", "lstm"))
    folder = write_run(results, done)
    started = run_folder(results, missing)
    started.mkdir(parents=True)
    (started / "history.csv").write_text("of a training that goes on\n")
    page = page_of(results, [done, missing], out=tmp_path / "reports/index.html")
    first, second = page.one("section", id="runs").one("table").rows()
    assert [cell.words for cell in first[:-1]] == [
        *("nmnist/released/cfc/seed-0", "finished", "mirror", "2026-01-01 00:00"),
        *("An example processor", "12.5", "500"),
    ]
    assert [cell.words for cell in second] == [
        *("nmnist/released/lstm/seed-0", "missing", "–", "–", "–", "–", "–", ""),
    ]
    assert second[1].all("strong") and not first[1].all("strong")
    links = {one.text: one.attributes["href"] for one in first[-1].all("a")}
    assert set(links) == {"metrics", "history", "predictions", "provenance"}
    start = "../my%20results/%231%2050%25/f%C3%BCr%20%3F/nmnist/released/cfc/seed-0/"
    assert links["metrics"] == f"{start}metrics.json"
    for link in links.values():
        assert (tmp_path / "reports" / unquote(link)).resolve().parent == folder.resolve()


def test_an_address_is_never_taken_for_a_scheme_or_a_query():
    assert address(Path("/a/b:c/d?e#f"), Path("/a")) == "b%3Ac/d%3Fe%23f"
    assert address(Path("/a/b/c.csv"), Path("/a/d/e")) == "../../b/c.csv"


# Small studies


def test_a_study_of_which_nothing_has_run(tmp_path):
    items = [run_item("nmnist", "released", "cfc"), run_item("iam", "released", "lstm")]
    page = page_of(tmp_path, items)
    assert page.one("p", class_="summary").words == (
        "2 data sets · 2 models · 0 of 2 runs finished (what was run)"
    )
    assert [one.one("strong").text for one in page.all("p", class_="caution")] == [
        "2 of 2 configured runs have not finished."
    ]
    assert page.one("section", id="tables").words.count("No run for it has finished.") > 6
    assert page.one("section", id="figures").words == "Figures None could be drawn."
    assert page.all("section", id="gaps") == []
    assert len(page.one("section", id="runs").one("table").rows()) == 2


def test_one_data_set_a_baseline_and_stays_by_the_hour(tmp_path):
    results = tmp_path / "results"
    items = [run_item("physionet", "paper", name) for name in ("lstm-128", "logistic")]
    items.append(run_item("physionet", "hourly", "cfc-128"))
    write_run(results, items[0])
    write_baseline(results, items[1])
    write_hours(results, items[2])
    layout = LAYOUT | HOURLY | {"main_protocols": {"physionet": "paper"}}
    page = page_of(results, items, layout)
    text = page.one("section", id="tables").words
    for name in ("lstm-128", "logistic", "cfc-128"):
        assert name in text
    table = page.one("section", id="what-was-run").one("table")
    assert [row[2].words for row in table.rows()] == ["paper", "hourly not the paper's"]
    assert [row[4].words for row in table.rows()] == ["lstm-128, logistic", "cfc-128"]


def test_examples_that_are_synthetic_say_so(tmp_path):
    write_examples(tmp_path, synthetic=True)
    examples = page_of(tmp_path, []).one("section", id="examples").all("figure")
    assert len(examples) == 4
    for figure in examples:
        assert figure.one("strong", class_="synthetic").text == "SYNTHETIC."
    write_examples(tmp_path)
    assert "SYNTHETIC" not in page_of(tmp_path, []).one("section", id="examples").text
