"""The documentation against what it describes: keys, values, addresses, numbers. Its commands: test_commands.py."""

import os
import re
import zipfile
from pathlib import Path

import pytest
import yaml

from liquidbench import configuration
from liquidbench.datasets.synthetic import iam, nmnist, physionet, quickdraw
from workflow_helpers import PROJECT

SCHEMA = PROJECT / "workflow/schemas/config.schema.yaml"
KEYS = (PROJECT / "config/README.md").read_text(encoding="utf-8")
PROTOCOLS = (PROJECT / "docs/protocols.md").read_text(encoding="utf-8")
DATA_SETS = (PROJECT / "docs/data-sets.md").read_text(encoding="utf-8")
PAGES = [PROJECT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")]
PAGES += [PROJECT / "config/README.md", *sorted((PROJECT / "docs").glob("*.md"))]
GENERATORS = {"nmnist": nmnist, "quickdraw": quickdraw, "iam": iam, "physionet": physionet}


def read_yaml(path: str) -> dict:
    return yaml.safe_load((PROJECT / path).read_text(encoding="utf-8"))


def study() -> dict:
    return read_yaml("config/config.yaml") | read_yaml("config/protocols.yaml")


def table_rows(text: str) -> list[list[str]]:
    """The rows of all tables, cells without blanks."""
    lines = [line for line in text.splitlines() if re.match(r"\| `", line)]
    return [[cell.strip() for cell in line.strip().strip("|").split(" | ")] for line in lines]


def value_of(cell: str):
    """What stands between backticks, as YAML reads it."""
    assert re.fullmatch(r"`[^`]*`", cell), cell
    return yaml.safe_load(cell.strip("`"))


def leaves(content: dict, prefix: str = "") -> dict[str, object]:
    found = {}
    for key, value in content.items():
        found |= (
            leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return found


def names_in_schema(node: object) -> set[str]:
    """Every property and every named choice."""
    if isinstance(node, list):
        return set().union(*map(names_in_schema, node))
    if not isinstance(node, dict):
        return set()
    names = {name for name in node.get("enum", []) if isinstance(name, str)}
    names |= {node["const"]} if isinstance(node.get("const"), str) else set()
    names |= set(node["properties"]) if isinstance(node.get("properties"), dict) else set()
    return names.union(*map(names_in_schema, node.values()))


def test_every_key_and_choice_of_the_schema_is_explained():
    code = {
        word
        for span in re.findall(r"`([^`\n]+)`", KEYS)
        for word in [span, *re.findall(r"[\w-]+", span)]
    }
    missing = names_in_schema(configuration.read_schema(SCHEMA)) - code
    assert not missing


def test_the_keys_of_the_study_stand_with_their_values():
    told = {
        row[0].strip("`"): value_of(cell)
        for row in table_rows(KEYS)
        for cell in [row[{2: 1, 4: 3, 5: 3}.get(len(row), 0)]]
        if re.match(
            r"`(study|seeds|mirror|archives|device|jobs_per_gpu|core_implementation|max_minutes|tensorboard|(paths|threads|statistics|figures|datasets|stress)\.[\w.]+)`$",
            row[0],
        )
    }
    assert told == leaves(read_yaml("config/config.yaml"))


def test_the_generators_options_stand_with_their_defaults():
    told = {
        row[0].strip("`"): value_of(row[3])
        for row in table_rows(KEYS)
        if re.match(rf"`({'|'.join(GENERATORS)})\.\w+`$", row[0])
    }
    known = {
        f"{dataset}.{name}": list(option.default)
        if isinstance(option.default, tuple)
        else option.default
        for dataset, module in GENERATORS.items()
        for name, option in module.OPTIONS.items()
    }
    # The categories come from the preparation's settings.
    del known["quickdraw.categories"]
    assert told == known


@pytest.mark.parametrize(
    ("title", "dataset"),
    [("N-MNIST", "nmnist"), ("QuickDraw", "quickdraw"), ("IAM", "iam"), ("PhysioNet", "physionet")],
)
def test_the_protocols_stand_with_their_values(title, dataset):
    section = re.search(rf"^## {title}\n(.*?)^## ", PROTOCOLS, re.MULTILINE | re.DOTALL)[1]
    columns = re.findall(r"`(\w+)`", re.search(r"^\| key \|(.*)$", section, re.MULTILINE)[1])
    for place, protocol in enumerate(columns, start=1):
        told = {
            row[0].strip("`"): value_of(row[place])
            for row in table_rows(section)
            if row[place] != "–"
        }
        block = read_yaml("config/protocols.yaml")["protocols"][protocol][dataset]
        known = {key: block[key] for key in ("encoder", "pooling", "head")}
        # The page says it once: a GRU and a plain network have the LSTM's settings.
        same = ("gru", "rnn")
        assert all(block["cores"][name] == block["cores"]["lstm"] for name in same), protocol
        cores = {name: options for name, options in block["cores"].items() if name not in same}
        known |= {f"cores.{name}": options for name, options in cores.items()}
        known |= {f"training.{name}": value for name, value in block["training"].items()}
        assert told == known, protocol


def test_the_parameter_counts_are_those_of_the_models():
    torch = pytest.importorskip("torch")
    from liquidbench.models.sequence_model import SequenceModel

    shapes = {"nmnist": (2, 34, 34), "quickdraw": (5,), "iam": (64,), "physionet": (40,)}
    outputs = {"nmnist": 10, "quickdraw": 10, "iam": 80, "physionet": 1}
    rows = re.findall(
        r"^\| (\S+), (CfC|LSTM)(?: \((\d+)\))? \| ([\d,–]+) \| ([\d,–]+) \|",
        PROTOCOLS,
        re.MULTILINE,
    )
    assert len(rows) == 8
    for title, core, units, *counts in rows:
        dataset = title.replace("-", "").lower()
        model = core.lower() + (f"-{units}" if units else "")
        for protocol, count in zip(("paper", "released"), counts, strict=True):
            if count == "–":
                continue
            run = configuration.Run(dataset, protocol, model, 0)
            architecture = configuration.run_settings(study(), run)["architecture"]
            with torch.device("meta"):
                built = SequenceModel(architecture, shapes[dataset], outputs[dataset])
            assert built.parameter_counts()["total"] == int(count.replace(",", "")), run


def test_the_parameters_that_do_nothing_in_an_untimed_cfc_are_counted():
    torch = pytest.importorskip("torch")
    from liquidbench.models.sequence_model import SequenceModel

    shapes = {"nmnist": (2, 34, 34), "quickdraw": (5,), "iam": (64,), "physionet": (40,)}
    section = PROTOCOLS.split("| CfC | core parameters |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (\S+), (.*?) \| ([\d,]+) \| ([\d,]+) \((.*?) %\) \|", section, re.M)
    assert len(rows) == 4
    checked = 0
    for title, where, *counts, share in rows:
        dataset = title.replace("-", "").lower()
        model = "cfc-256" if dataset == "physionet" else "cfc"
        nominal, idle = (int(count.replace(",", "")) for count in counts)
        assert share == f"{100 * idle / nominal:.1f}"
        for protocol in re.findall(r"`(\w+)`", where):
            run = configuration.Run(dataset, protocol, model, 0)
            with torch.device("meta"):
                architecture = configuration.run_settings(study(), run)["architecture"]
                core = SequenceModel(architecture, shapes[dataset], 10).core
            assert sum(parameter.numel() for parameter in core.parameters()) == nominal
            # What a core that is told the time multiplies with beyond one that is not, and as many biases as units.
            more = core.flops_per_step(timed=True) - core.flops_per_step(timed=False)
            assert more // 2 + core.units == idle
            checked += 1
    assert checked == 6


def test_every_address_sum_and_name_of_a_raw_file_is_told():
    def entries(node: dict) -> list[dict]:
        if "file_name" in node:
            return [node]
        return [
            found for value in node.values() if isinstance(value, dict) for found in entries(value)
        ]

    sources = read_yaml("resources/sources.yaml")
    files = entries(sources)
    assert len(files) == 9
    for file in files:
        told = [file["file_name"].replace("{category}", "<category>")]
        told += [file[name] for name in ("sha256", "md5") if name in file]
        told += [address.split("/")[2] for address in file["locations"]]
        assert [text for text in told if text not in DATA_SETS] == []
    assert all(block["home_page"] in DATA_SETS for block in sources.values())


def test_links_and_named_files_exist():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        links = re.findall(r"\]\(([^)#:]+)\)", text)
        named = re.findall(
            r"`((?:workflow|config|docs|resources|requirements|rules)/[\w./-]+)`", text
        )
        # Written by the workflow, or by the reader.
        made = ("resources/raw", "resources/recorded", "config/my-study")
        named = [name for name in named if not name.startswith(made)]
        missing = [link for link in links if not (page.parent / link).exists()]
        missing += [name for name in named if not (PROJECT / name).exists()]
        assert not missing, page


def anchors_of(page: Path) -> set[str]:
    """The places of a page that a link may name, as GitHub writes them."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_links_to_places_within_pages_lead_there():
    for page in PAGES:
        for name, anchor in re.findall(
            r"\]\(([^)#:]*)#([^)]+)\)", page.read_text(encoding="utf-8")
        ):
            target = (page.parent / name).resolve() if name else page
            assert anchor in anchors_of(target), f"{page}: {name}#{anchor}"


@pytest.mark.parametrize(
    "page", ["config/README.md", "docs/protocols.md", "docs/reproducibility.md"]
)
def test_a_list_of_contents_has_every_title_in_order(page):
    text = (PROJECT / page).read_text(encoding="utf-8")
    listed = re.search(r"^Contents:\n\n((?: *- \[.*\n)+)", text, re.MULTILINE)[1]
    titles = re.findall(r"^##+ (.*)$", text, re.MULTILINE)
    assert re.findall(r"- \[(.*)\]\(#", listed) == titles


def test_the_notes_on_reproducibility_are_numbered_and_name_what_exists():
    text = (PROJECT / "docs/reproducibility.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if re.match(r"\| \d+ \|", line)]
    assert [int(row.split(" | ")[0].strip("| ")) for row in rows] == list(range(1, len(rows) + 1))
    # A number, a point, what text, tables and code say, and what is done here.
    assert {row.count(" | ") for row in rows} == {5} and len(rows) > 60
    known = {claim["id"] for claim in read_yaml("resources/paper/claims.yaml")["claims"]}
    claims = {
        name
        for told in re.findall(
            r"claims? ((?:`[\w-]+`(?:, )?)+)", text.replace("[claim](claims.md)", "claim")
        )
        for name in re.findall(r"`([\w-]+)`", told)
    }
    assert len(claims) >= 10 and claims <= known
    models = set(re.findall(r"`((?:lstm|cfc)-[\w-]+)`", text))
    assert models <= set(read_yaml("config/protocols.yaml")["models"])


def test_the_workflow_catalogue_is_told_what_holds():
    told = read_yaml(".snakemake-workflow-catalog.yml")
    # The keys that the catalogue reads: https://github.com/snakemake/snakemake-workflow-catalog
    assert told.keys() == {"usage"}
    usage = told["usage"]
    assert usage.keys() == {"mandatory-flags", "software-stack-deployment", "report"}
    assert usage["mandatory-flags"].keys() == {"desc", "flags"}
    assert all(isinstance(text, str) for text in usage["mandatory-flags"].values())
    assert usage["software-stack-deployment"] == {"conda": True} and usage["report"] is True
    # Every rule that runs a program has an environment of its own.
    for path in (PROJECT / "rules").glob("*.smk"):
        text = path.read_text(encoding="utf-8")
        assert text.count("    shell:\n") == text.count("    conda:\n"), path
    # Where it looks, in a project that has a folder `workflow`.
    assert (PROJECT / "config/README.md").is_file() and (PROJECT / "workflow/Snakefile").is_file()


def test_make_targets_that_are_named_exist():
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    named = {
        name
        for page in PAGES
        for name in re.findall(r"\bmake ([a-z-]+)(?=[`\n])", page.read_text())
    }
    assert {"demo", "test"} <= named
    missing = {name for name in named if not re.search(rf"^{name}:", makefile, re.MULTILINE)}
    assert missing == set()


@pytest.mark.skipif(
    not os.environ.get("LIQUIDBENCH_MIRROR"), reason="LIQUIDBENCH_MIRROR names no mirror"
)
def test_what_is_said_of_the_stays_of_set_a():
    archive = Path(os.environ["LIQUIDBENCH_MIRROR"], "physionet/training_setA.zip")
    if not archive.is_file():
        pytest.skip("the mirror has no training_setA.zip")
    hours, labelled, from_start = [], [], 0
    with zipfile.ZipFile(archive) as members:
        for name in members.namelist():
            if name.endswith(".psv"):
                labels = [row[-1:] for row in members.read(name).split()[1:]]
                hours.append(len(labels))
                labelled.append(labels.count(b"1"))
                from_start += labels[0] == b"1"
    septic = [count > 0 for count in labelled]
    long = [count > 60 for count in hours]
    hits = sum(a and b for a, b in zip(long, septic, strict=True))
    right = sum(a == b for a, b in zip(long, septic, strict=True))
    precision, recall = hits / sum(long), hits / sum(septic)
    said = " ".join(PROTOCOLS.split())
    for statement in (
        f"{sum(long)} of {len(hours):,} stays exceed 60 hours, and {hits} of those are septic",
        f"precision {precision:.3f}, recall {recall:.3f}, "
        f"F1 {2 * precision * recall / (precision + recall):.3f} and accuracy {right / len(hours):.3f}",
        f"Of the {sum(septic):,} septic stays of set A, "
        f"{sum(8 <= count <= 10 for count in labelled):,} have 8 to 10 labelled hours",
        f"({from_start} are labelled from their first hour",
        f"Never raising an alarm has an accuracy of {1 - sum(septic) / len(hours):.3f} on set A",
    ):
        assert statement in said
    counts = f"{len(hours):,} stays, {sum(hours):,} hours and {sum(septic):,} septic stays"
    assert counts in " ".join(DATA_SETS.split())
