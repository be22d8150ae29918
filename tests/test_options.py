"""Options of registered classes, read from source, against the classes themselves."""

import inspect
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from liquidbench.errors import InputError
from liquidbench.models.cores import CORES
from liquidbench.options import GIVEN, options_of

SCRIPTS = Path(__file__).parents[1] / "workflow/scripts"


@pytest.fixture
def library(tmp_path) -> Path:
    (tmp_path / "parts").mkdir()
    return tmp_path


def read(library: Path, text: str, other: str = "") -> dict:
    (library / "parts/registry.py").write_text(text)
    (library / "parts/other.py").write_text(other)
    return options_of("parts/registry.py", "PARTS", library)


def test_the_cores_options_are_those_of_their_constructors():
    found = options_of("models/cores.py", "CORES")
    assert list(found) == list(CORES)
    for name, core in CORES.items():
        parameters = inspect.signature(core).parameters
        assert list(found[name]) == [option for option in parameters if option not in GIVEN]
        for option, values in found[name].items():
            default = parameters[option].default
            # What the class takes by itself, and null where there is something to fall back on.
            checks = jsonschema.Draft202012Validator(values)
            assert checks.is_valid(None) == (default is not inspect.Parameter.empty)
            assert default is inspect.Parameter.empty or checks.is_valid(default)


def test_annotations_say_what_is_allowed(library):
    text = """
class Part(Module):
    def __init__(self, input_size: int, a: int, b: float = 1.0, c: bool = True, *,
                 d: str | None, e: Literal["x", "y"], f: int | float | None = None,
                 g: Literal[2] | None = None, implementation: str = "auto") -> None: ...

PARTS: dict[str, type] = {"part": Part}
"""
    assert read(library, text) == {
        "part": {
            "a": {"type": "integer"},
            "b": {"type": ["number", "null"]},
            "c": {"type": ["boolean", "null"]},
            "d": {"type": ["string", "null"]},
            "e": {"enum": ["x", "y"]},
            "f": {"type": ["integer", "number", "null"]},
            "g": {"enum": [2, None]},
        }
    }


def test_a_constructor_may_be_imported_and_inherited(library):
    text = """
from liquidbench.parts.other import Child, Grandchild as Late

PARTS = {"child": Child, "late": Late}
"""
    other = """
class Parent(Module):
    def __init__(self, units: int) -> None: ...

class Child(Parent):
    kind = 1

class Grandchild(Child):
    def __init__(self, depth: int) -> None: ...
"""
    found = read(library, text, other)
    assert found == {
        "child": {"units": {"type": "integer"}},
        "late": {"depth": {"type": "integer"}},
    }


def test_another_package_s_module_is_not_taken_for_the_library_s(library):
    other = "class Part:\n    def __init__(self, units: int) -> None: ..."
    with pytest.raises(InputError, match="Part: no constructor"):
        read(library, "from torch.parts.other import Part\nPARTS = {'part': Part}", other)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("PARTS = dict(part=1)", "has no dictionary PARTS"),
        ("OTHERS = {}", "has no dictionary PARTS"),
        ("PARTS = {'part': Part}", "Part: no constructor to read options from"),
        ("from torch import Part\nPARTS = {'part': Part}", "Part: no constructor"),
        ("class Part(Module): ...\nPARTS = {'part': Part}", "Part: no constructor"),
        (
            "class Part:\n def __init__(self, **kw): ...\nPARTS = {'part': Part}",
            "Part: takes options without a name",
        ),
        (
            "class Part:\n def __init__(self, a): ...\nPARTS = {'part': Part}",
            "option a of Part: has no type",
        ),
        (
            "class Part:\n def __init__(self, a: list[int]): ...\nPARTS = {'part': Part}",
            r"option a of Part: has the type list\[int\]",
        ),
        (
            "class Part:\n def __init__(self, a: int | Literal['x']): ...\nPARTS = {'part': Part}",
            "option a of Part: has choices and a type beside them",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(library, text, problem):
    with pytest.raises(InputError, match=problem):
        read(library, text)


def test_a_configuration_is_checked_without_torch():
    code = (
        "import sys; from liquidbench import configuration as c;"
        "c.read_schema('../schemas/config.schema.yaml'); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
