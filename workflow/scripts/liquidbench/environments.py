"""What a stage's environment file declares, against what the stage's code imports.

Nothing is installed or run here: files are read, and imports are found in the syntax tree.

An environment file is a conda one (https://docs.conda.io/projects/conda/en/stable/user-guide/tasks/manage-environments.html)
with every package pinned as ``name=x.y``. A package that the stage needs and that no module
imports says so on its own line: ``- tabulate=0.10 # not imported: pandas writes Markdown with it``.
"""

import ast
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from liquidbench.errors import InputError

CHANNELS = ["conda-forge", "nodefaults"]
# pip installs packages that conda-forge lacks; a compiler is no package of PyPI's. No code imports them.
_ONLY_CONDA = ("pip", "cxx-compiler")
# Import names that come with another package's builds for GPUs. A module that imports one is for those alone.
_ONLY_WITH_GPU_BUILDS = ("triton",)
# Packages that conda-forge names otherwise than PyPI.
PYPI_NAMES = {"matplotlib-base": "matplotlib", "pytorch": "torch"}


@dataclass(frozen=True)
class Environment:
    """An environment file: package names as on PyPI, in lower case, with the pinned ``x.y``."""

    name: str
    path: Path
    python: str
    pins: Mapping[str, str]
    not_imported: Mapping[str, str]


@dataclass(frozen=True)
class Reach:
    """What a stage's scripts import, directly and through the library.

    Attributes:
        modules: the library's modules, such as ``liquidbench.files``, sorted; not those that need a GPU build.
        imports: other packages' import names, and for each the files that import it.
    """

    modules: list[str]
    imports: Mapping[str, list[Path]]


def normalised(name: str) -> str:
    """A distribution's name as indexes compare it (PEP 503): ``PyYAML`` is ``pyyaml``."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_environment(path: Path) -> Environment:
    """Read a stage's environment file.

    Raises:
        InputError: the file is not YAML, has other channels, or a package without a pin.
    """
    text = path.read_text(encoding="utf-8")
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(path, f"not valid YAML ({error})", "Correct it") from None
    if not isinstance(content, dict) or content.get("channels") != CHANNELS:
        raise InputError(path, f"the channels are not {CHANNELS}", "List these, in this order")
    items = []
    for item in content.get("dependencies") or []:
        items += item.get("pip", []) if isinstance(item, dict) else [item]
    pins = {}
    for item in items:
        match = re.fullmatch(r"([A-Za-z0-9_.-]+?) ?={1,2} ?(\d+(?:\.\d+)+)", str(item))
        if match is None:
            raise InputError(path, f"{item!r} is not pinned", "Write it as name=x.y")
        pins[normalised(PYPI_NAMES.get(match[1], match[1]))] = match[2]
    if "python" not in pins:
        raise InputError(path, "no Python is named", "Add a line like `- python=3.11`")
    python = pins.pop("python")
    for name in _ONLY_CONDA:
        pins.pop(name, None)
    reasons = re.findall(r"^\s*-\s*([\w.-]+?)\s*=.*# not imported: (.+)$", text, re.MULTILINE)
    not_imported = {normalised(PYPI_NAMES.get(name, name)): why for name, why in reasons}
    return Environment(path.stem, path, python, pins, not_imported)


def read_lock(path: Path) -> dict[str, str]:
    """Read the locked versions, by normalised name, from a pip requirements file.

    Raises:
        InputError: a line is not a comment and not ``name==version``, with or without a marker.
    """
    versions = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        requirement = line.split("#")[0].split(";")[0].strip()
        if not requirement:
            continue
        name, separator, version = requirement.partition("==")
        if not separator:
            raise InputError(f"{path}, line {number}", f"{line!r} is not locked", "Run `make lock`")
        versions[normalised(name)] = version
    return versions


def pins_against_lock(environment: Environment, lock: Mapping[str, str]) -> list[str]:
    """One sentence per pin that the locked version does not satisfy."""
    problems = []
    for name, pin in environment.pins.items():
        locked = lock.get(name)
        if locked is None:
            problems.append(f"{environment.path}: {name} is not in the lock")
        elif locked != pin and not locked.startswith(f"{pin}."):
            problems.append(f"{environment.path}: {name} is pinned to {pin}, locked to {locked}")
    return problems


def rules_by_environment(rule_files: Iterable[Path]) -> dict[str, dict[str, str]]:
    """Which rules run in which environment, and their scripts, read from the rule files.

    A rule's script is the ``name.py`` on a line that speaks of scripts, as in
    ``script("train.py")`` or ``workflow/scripts/train.py``.

    Returns:
        Environment name to rule name to script name without ``.py``.

    Raises:
        InputError: a rule has a script and no environment, the reverse, or several of one.
    """
    found: dict[str, dict[str, str]] = {}
    for path in rule_files:
        blocks = re.split(r"^rule +(\w+):", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        for rule, block in zip(blocks[1::2], blocks[2::2], strict=True):
            scripts = sorted(set(re.findall(r"(?i)scripts?\b[^\n]*?\b(\w+)\.py\b", block)))
            environments = re.findall(r"envs/(\w+)\.yaml", block)
            if not scripts and not environments:
                continue
            if len(scripts) != 1 or len(environments) != 1:
                raise InputError(
                    f"{path}, rule {rule}",
                    f"runs the scripts {scripts} in the environments {environments}, "
                    "expected one each",
                    'Name one by `conda: "../envs/<stage>.yaml"`',
                )
            found.setdefault(environments[0], {})[rule] = scripts[0]
    return found


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _computed_imports(call: ast.Call, tree: ast.AST) -> set[str]:
    """What ``import_module(f"package.{name}")`` can import: `name` is some string of the file."""
    argument = call.args[0] if call.args else None
    match argument:
        case ast.JoinedStr(values=[ast.Constant(value=str(package)), ast.FormattedValue()]):
            constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
            return {f"{package}{name}" for name in constants if str(name).isidentifier()}
        case ast.Constant(value=str(name)):
            return {name}
    return set()


def imported_names(path: Path, package: str) -> set[str]:
    """The dotted names that a file imports anywhere, in functions too, but not for typing alone.

    ``from a import b`` gives ``a`` and ``a.b``: which of them is a module, the caller knows.

    Args:
        path: the Python file.
        package: the package that the file belongs to, for relative imports; "" if none.

    Raises:
        InputError: the file imports by a computed name, which cannot be followed.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    names: set[str] = set()
    nodes: list[ast.AST] = [tree]
    while nodes:
        node = nodes.pop()
        if _is_type_checking(node):
            nodes.extend(node.orelse)
            continue
        nodes.extend(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                parents = parents[: len(parents) - node.level + 1]
                base = ".".join([*parents, base]).strip(".")
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and re.search(
            r"\b(import_module|__import__)$", ast.unparse(node.func)
        ):
            computed = _computed_imports(node, tree)
            if not computed:
                raise InputError(
                    f"{path}, line {node.lineno}",
                    "imports a module by a name that cannot be followed to its packages",
                    'Use an import statement, or import_module(f"package.{name}")',
                )
            names |= computed
    return names


def _library_file(name: str, folder: Path) -> Path | None:
    path = folder.joinpath(*name.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None


def reach(scripts: Iterable[Path]) -> Reach:
    """Follow the imports of scripts through the library that lies beside them.

    Raises:
        InputError: a script does not exist, or a file imports by a name that cannot be followed.
    """
    queue = [(path, "", path.parent) for path in scripts]
    for path, _, _ in queue:
        if not path.is_file():
            raise InputError(path, "no such script", "Write it, or correct the rule that runs it")
    modules: dict[str, Path] = {}
    only_gpu: set[Path] = set()
    imports: dict[str, set[Path]] = {}
    while queue:
        path, package, folder = queue.pop()
        for name in imported_names(path, package):
            parts = name.split(".")
            if _library_file(parts[0], folder) is None:
                if parts[0] in _ONLY_WITH_GPU_BUILDS:
                    only_gpu.add(path)
                elif parts[0] not in sys.stdlib_module_names:
                    imports.setdefault(parts[0], set()).add(path)
                continue
            # Importing a.b.c runs a and a.b first.
            for depth in range(1, len(parts) + 1):
                module = ".".join(parts[:depth])
                file = _library_file(module, folder)
                if file is not None and module not in modules:
                    modules[module] = file
                    is_package = file.name == "__init__.py"
                    queue.append(
                        (file, module if is_package else ".".join(parts[: depth - 1]), folder)
                    )
    anywhere = sorted(module for module, file in modules.items() if file not in only_gpu)
    return Reach(anywhere, {name: sorted(imports[name]) for name in sorted(imports)})


def imports_against_pins(
    environment: Environment,
    imports: Mapping[str, list[Path]],
    distributions: Mapping[str, list[str]],
) -> list[str]:
    """One sentence per missing, superfluous or wrongly excused package.

    Args:
        environment: what is declared.
        imports: import name to the files that import it, as `reach` gives it.
        distributions: import name to the distributions that provide it, as
            `importlib.metadata.packages_distributions` gives it in the full environment.
    """
    problems = []
    used: set[str] = set()
    for name, files in imports.items():
        providers = {normalised(provider) for provider in distributions.get(name, [])}
        declared = providers & environment.pins.keys()
        used |= declared
        if not declared:
            package = " or ".join(sorted(providers)) or f"the package that provides {name}"
            problems.append(f"{environment.path}: {package} is missing ({files[0]} imports {name})")
    for name in environment.pins:
        if name not in used and name not in environment.not_imported:
            problems.append(f"{environment.path}: {name} is superfluous (nothing imports it)")
        if name in used and name in environment.not_imported:
            problems.append(f"{environment.path}: {name} is imported, its line says it is not")
    return problems
