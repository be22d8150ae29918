"""Which raw files a configuration asks for."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from liquidbench.datasets.sources import resolve
from liquidbench.errors import InputError

SOURCES = Path(__file__).parent.parent / "resources/sources.yaml"


@pytest.mark.parametrize(
    ("dataset", "options", "roles"),
    [
        ("nmnist", {}, ["train", "test"]),
        ("iam", {}, ["train", "validation", "test"]),
        ("physionet", {}, ["set_a"]),
        ("physionet", {"hospitals": ["b", "a"]}, ["set_b", "set_a"]),
        ("quickdraw", {"categories": ["bee", "The Eiffel Tower"]}, ["bee", "The Eiffel Tower"]),
    ],
)
def test_roles_in_the_order_of_the_configuration(dataset, options, roles):
    resolved = resolve(SOURCES, dataset, options)
    assert resolved.name == dataset
    assert [file.role for file in resolved.files] == roles


def test_every_location_is_https_and_every_name_stays_in_its_folder():
    for dataset in ("nmnist", "iam", "physionet", "quickdraw"):
        options = {"quickdraw": {"categories": ["bee"]}, "physionet": {"hospitals": ["a", "b"]}}
        for file in resolve(SOURCES, dataset, options.get(dataset, {})).files:
            assert all(urlsplit(location).scheme == "https" for location in file.locations)
            for name in (file.file_name, *file.mirror_patterns):
                assert not name.startswith("/") and ".." not in name.split("/")


def test_published_sums_are_pinned():
    files = {file.role: file for file in resolve(SOURCES, "nmnist", {}).files}
    assert files["train"].md5 == "20959b8e626244a1b502305a9e6e2031"
    assert files["train"].sha256.startswith("1a54ee39")
    assert (files["test"].md5, files["test"].sha256) == ("69ca8762b2fe404d9b9bad1103e97832", None)
    [set_a] = resolve(SOURCES, "physionet", {}).files
    assert set_a.sha256.startswith("c0def317")


@pytest.mark.parametrize("variant", ["simplified", "raw"])
def test_a_category_is_quoted_in_addresses_alone(variant):
    options = {"categories": ["power outlet"], "variant": variant}
    [file] = resolve(SOURCES, "quickdraw", options).files
    assert file.file_name == f"{variant}/power outlet.ndjson"
    assert file.locations == (
        f"https://storage.googleapis.com/quickdraw_dataset/full/{variant}/power%20outlet.ndjson",
    )
    assert "power outlet.ndjson" in file.mirror_patterns


@pytest.mark.parametrize(
    "category",
    ["", " ", "a/b", "..", "a.b", "a\\b", "bee ", " bee", "bee\n", "b*", "{category}", 3],
)
def test_a_category_that_could_be_a_path_is_refused(category):
    with pytest.raises(InputError, match="not a category name") as caught:
        resolve(SOURCES, "quickdraw", {"categories": ["bee", category]})
    assert repr(category) in caught.value.problem


@pytest.mark.parametrize(
    ("dataset", "options", "message"),
    [
        ("quickdraw", {}, "list of category names"),
        ("quickdraw", {"categories": []}, "list of category names"),
        ("quickdraw", {"categories": "bee"}, "list of category names"),
        ("quickdraw", {"categories": ["bee", "car", "bee"]}, "more than once: bee"),
        ("quickdraw", {"categories": ["bee"], "variant": "binary"}, "simplified or raw"),
        ("quickdraw", {"categories": ["bee"], "variant": ["raw"]}, "simplified or raw"),
        ("quickdraw", {"categorys": ["bee"]}, r"categorys \(known: categories, variant\)"),
        ("physionet", {"hospitals": ["c"]}, "not a choice of hospitals"),
        ("physionet", {"hospitals": []}, "not a choice of hospitals"),
        ("physionet", {"hospitals": ["a", "a"]}, "not a choice of hospitals"),
        ("physionet", {"hospitals": "a"}, "not a choice of hospitals"),
        ("physionet", {"hospitals": [["a"]]}, "not a choice of hospitals"),
        ("nmnist", {"hospitals": ["a"]}, "it has none"),
        ("mnist", {}, "only nmnist, quickdraw, iam, physionet"),
    ],
)
def test_wrong_options_are_refused_by_name(dataset, options, message):
    with pytest.raises(InputError, match=message):
        resolve(SOURCES, dataset, options)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sha256", "12", "64 hexadecimal digits"),
        ("md5", 12, "32 hexadecimal digits"),
        ("locations", [], "locations"),
        ("locations", "https://a.example", "locations"),
        ("file_name", None, "file_name"),
        ("approximate_bytes", "1 GB", "number of bytes"),
        ("sha512", "1", "unknown keys sha512"),
    ],
)
def test_a_wrong_entry_in_the_file_is_named(tmp_path, key, value, message):
    content = yaml.safe_load(SOURCES.read_text())
    content["nmnist"]["files"]["test"][key] = value
    path = tmp_path / "sources.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=message) as caught:
        resolve(path, "nmnist", {})
    assert caught.value.where == f"{path}, nmnist, test"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("nmnist: [", "not valid YAML"),
        ("- nmnist", "not a mapping of data sets"),
        ("nmnist: 3", "not a mapping"),
        ("nmnist: {files: 3}", "no mapping 'files'"),
        ("nmnist: {files: {train: 3}}", "not a mapping"),
        ("nmnist: {files: {}}", "no text 'home_page'"),
    ],
)
def test_a_file_that_is_no_list_of_sources(tmp_path, text, message):
    path = tmp_path / "sources.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message):
        resolve(path, "nmnist", {})
