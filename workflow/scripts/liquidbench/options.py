"""The options of registered classes, read from their source: the configuration is checked without importing torch.

A registry is a dictionary at the top of a module, such as `CORES`. Its keys are what a configuration may name, its
values are classes of the module or of one that it imports from. A class's options are its constructor's parameters,
their types the annotations.
"""

import ast
from pathlib import Path
from typing import Any

from liquidbench.errors import InputError

LIBRARY = Path(__file__).parent
# What a model gives to its parts, and no configuration does.
GIVEN = ("self", "input_size", "implementation")

_TYPES = {"int": "integer", "float": "number", "bool": "boolean", "str": "string"}
_REMEDY = "Annotate it with int, float, bool, str or Literal[...], each with | None or without"

JsonSchema = dict[str, Any]


def options_of(
    module: str, registry: str, library: Path = LIBRARY
) -> dict[str, dict[str, JsonSchema]]:
    """What each registered class can be told.

    Args:
        module: path of the registry's module within the library, such as ``models/cores.py``.
        registry: the dictionary's name.
        library: folder of the library.

    Returns:
        Registered name to option to a JSON schema of its values. An option with a default may be null, which a
        configuration reads as not said.

    Raises:
        InputError: no such registry, or a class whose options cannot be told from its source.
    """
    path = library / module
    for node in _parsed(path).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        named = any(isinstance(target, ast.Name) and target.id == registry for target in targets)
        if named and isinstance(node.value, ast.Dict):
            entries = zip(node.value.keys, node.value.values, strict=True)
            return {ast.literal_eval(key): _options(path, value, library) for key, value in entries}
    raise InputError(path, f"has no dictionary {registry}", "Write it out, name by name")


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _options(path: Path, value: ast.expr, library: Path) -> dict[str, JsonSchema]:
    """The options of the class that an entry of a registry names."""
    name = ast.unparse(value)
    constructor = _constructor(path, name, library)
    if constructor is None:
        remedy = "Register a class of this library that has a constructor, or inherits one from this library"
        raise InputError(path, f"{name}: no constructor to read options from", remedy)
    where, function = constructor
    arguments = function.args
    if arguments.vararg or arguments.kwarg:
        raise InputError(where, f"{name}: takes options without a name", "Name each in __init__")
    listed = [*arguments.posonlyargs, *arguments.args]
    without = [None] * (len(listed) - len(arguments.defaults))
    defaults = [*without, *arguments.defaults, *arguments.kw_defaults]
    return {
        argument.arg: _values(f"{where}, option {argument.arg} of {name}", argument, default)
        for argument, default in zip([*listed, *arguments.kwonlyargs], defaults, strict=True)
        if argument.arg not in GIVEN
    }


def _constructor(path: Path, name: str, library: Path) -> tuple[Path, ast.FunctionDef] | None:
    """The constructor of a class, its own or its first base's that has one, and the file that it stands in."""
    for node in _parsed(path).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            own = [item for item in node.body if getattr(item, "name", "") == "__init__"]
            if own:
                return path, own[0]
            bases = (_constructor(path, ast.unparse(base), library) for base in node.bases)
            return next((found for found in bases if found is not None), None)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("liquidbench."):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    other = library.joinpath(*node.module.split(".")[1:]).with_suffix(".py")
                    return _constructor(other, alias.name, library) if other.is_file() else None
    return None


def _values(where: str, argument: ast.arg, default: ast.expr | None) -> JsonSchema:
    """A JSON schema of what an annotation allows."""
    types: list[str] = []
    choices: list[Any] = []
    parts = [argument.annotation]
    while parts:
        part = parts.pop(0)
        if isinstance(part, ast.BinOp) and isinstance(part.op, ast.BitOr):
            parts[:0] = [part.left, part.right]
        elif isinstance(part, ast.Name) and part.id in _TYPES:
            types.append(_TYPES[part.id])
        elif isinstance(part, ast.Constant) and part.value is None:
            types.append("null")
        elif isinstance(part, ast.Subscript) and ast.unparse(part.value) == "Literal":
            values = ast.literal_eval(part.slice)
            choices += values if isinstance(values, tuple) else [values]
        else:
            found = "has no type" if part is None else f"has the type {ast.unparse(part)}"
            raise InputError(
                where, f"{found}, which no configuration can be checked against", _REMEDY
            )
    if default is not None:
        types.append("null")
    types = list(dict.fromkeys(types))
    if not choices:
        return {"type": types if len(types) > 1 else types[0]}
    if set(types) - {"null"}:
        raise InputError(where, "has choices and a type beside them", _REMEDY)
    return {"enum": choices + [None] * ("null" in types)}
