"""Builds `sweep.cpp` into a shared library on first use, and loads it.

A plain library behind ctypes, not a torch extension: it compiles in seconds without torch's or Python's headers, and a
new version of torch does not break it. It is kept in the user's cache folder under the hash of everything that
made it, so a build is shared by all jobs of a study and never out of date.
"""

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from liquidbench.errors import InputError
from liquidbench.files import private_folder

_HERE = Path(__file__).parent
_SOURCES = ("sweep.cpp", "product.hpp", "vector_math.hpp")
_FLAGS = ("-std=c++17", "-O3", "-fPIC", "-fopenmp", "-fno-math-errno", "-fno-trapping-math")
_SECONDS_TO_COMPILE = 300


class BuildError(Exception):
    """Why there is no library."""


@dataclass(frozen=True)
class Functions:
    """The library's functions for one floating-point type; the first two take a pointer to a `Sweep`."""

    forward: Callable
    backward: Callable
    padded: Callable[[int], int]


class Library:
    """The loaded library, or the reason why there is none.

    Attributes:
        problem: None if it is loaded, else one sentence.
        functions: by type, ``float`` and ``double``.
    """

    def __init__(self) -> None:
        self.problem: str | None = None
        self.functions: dict[str, Functions] = {}
        try:
            library = _loaded(build())
            self.functions = {kind: _functions(library, kind) for kind in ("float", "double")}
        # Whatever goes wrong with compilers, folders and files of others: a study must go on without the library.
        except Exception as error:
            self.problem = f"is not built: {str(error) or type(error).__name__}"


def _functions(library: ctypes.CDLL, kind: str) -> Functions:
    forward, backward = library[f"cfc_forward_{kind}"], library[f"cfc_backward_{kind}"]
    padded = library[f"cfc_padded_{kind}"]
    padded.argtypes, padded.restype = [ctypes.c_int64], ctypes.c_int64
    forward.restype = backward.restype = None
    return Functions(forward, backward, padded)


def _loaded(path: Path) -> ctypes.CDLL:
    """The library in a file; one that cannot be loaded (a disk was full, a copy was cut) is built again, once.

    Raises:
        BuildError: others could have written it.
    """
    status = path.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o022 or not stat.S_ISREG(status.st_mode):
        raise BuildError(f"{path} is not this user's own file: delete it, or set LIQUIDBENCH_CACHE")
    try:
        return ctypes.CDLL(str(path))
    except OSError:
        path.unlink(missing_ok=True)
    return ctypes.CDLL(str(build()))


@cache
def library() -> Library:
    """The library of this process, built and loaded at the first call."""
    return Library()


def build() -> Path:
    """Compile the library unless the cache has it.

    Returns:
        The shared library.

    Raises:
        BuildError: no compiler, no folder to write to, or the compiler's first error.
    """
    compiler = find_compiler()
    flags, openmp = [*_FLAGS, *_processor_flags()], _openmp()
    made_by = [*compiler, *flags, Path(openmp[0]).name, _version_of(compiler)]
    digest = hashlib.sha256("\0".join(made_by).encode())
    for name in _SOURCES:
        digest.update((_HERE / name).read_bytes())
    target = cache_folder() / f"cfc-{digest.hexdigest()[:24]}.so"
    if not target.exists():
        print(f"building the C++ CfC, once, into {target.parent}", file=sys.stderr, flush=True)
        _compile(compiler, flags, openmp, target)
    return target


def find_compiler() -> list[str]:
    """The C++ compiler: the variable CXX (conda's compiler packages set it), else the first of c++, g++, clang++.

    Raises:
        BuildError: there is none.
    """
    if command := shlex.split(os.environ.get("CXX", "")):
        if shutil.which(command[0]) is None:
            raise BuildError(f"the compiler that CXX names, {command[0]}, is not there")
        return command
    for name in ("c++", "g++", "clang++"):
        if path := shutil.which(name):
            return [path]
    raise BuildError("no C++ compiler is there (install g++, or name one in the variable CXX)")


def cache_folder() -> Path:
    """Where libraries are kept: LIQUIDBENCH_CACHE, else liquidbench in the user's cache folder.

    Raises:
        BuildError: it cannot be made, or others could write into it, whose code would run.
    """
    if named := os.environ.get("LIQUIDBENCH_CACHE"):
        folder = Path(named)
    else:
        # Asked for only now: a container's user may have no home.
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(base, "liquidbench")
    try:
        return private_folder(folder)
    except InputError as error:
        raise BuildError(f"{error.where} {error.problem}; set LIQUIDBENCH_CACHE") from None


def _compile(compiler: list[str], flags: list[str], openmp: list[str], target: Path) -> None:
    try:
        # Beside the target, so that the rename is atomic: jobs that build at once do not see half a file.
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            compiled, linked = Path(folder, "sweep.o"), Path(folder, "sweep.so")
            _run([*compiler, *flags, "-c", str(_HERE / "sweep.cpp"), "-o", str(compiled)])
            # Without the flags: -fopenmp would link the compiler's own OpenMP beside torch's.
            _run([*compiler, "-shared", str(compiled), *openmp, "-o", str(linked)])
            linked.chmod(0o700)
            linked.replace(target)
    except OSError as error:
        reason = f"{target.parent} cannot be written ({error}); set LIQUIDBENCH_CACHE"
        raise BuildError(reason) from None


def _run(command: list[str]) -> None:
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS_TO_COMPILE
        )
    except subprocess.TimeoutExpired:
        raise BuildError(f"{command[0]} took more than {_SECONDS_TO_COMPILE} s") from None
    if result.returncode != 0:
        errors = [line for line in result.stderr.splitlines() if "error" in line.lower()]
        reason = (errors or result.stderr.splitlines() or [f"exit status {result.returncode}"])[0]
        raise BuildError(f"{command[0]} failed: {reason.strip()}")


def _version_of(compiler: list[str]) -> str:
    result = subprocess.run([*compiler, "--version"], capture_output=True, text=True, timeout=60)
    if result.returncode != 0:
        raise BuildError(f"{compiler[0]} --version fails: is it a C++ compiler? CXX names another")
    return result.stdout


def _processor_flags() -> list[str]:
    """AVX2 where this machine has it. Not all that it has: nodes of a cluster may share the cache folder."""
    if platform.machine() != "x86_64" or torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        return []
    return ["-mavx2", "-mfma"]


def _openmp() -> list[str]:
    """The OpenMP library that torch has loaded: with another one, this library's threads would fight torch's.

    Wheels bring libraries of their own, scikit-learn's among them, so what lies beside torch's comes first.
    """
    maps = Path("/proc/self/maps")
    if maps.exists():
        # Address, rights, offset, device, inode, and a path that may have blanks.
        lines = (line.split(maxsplit=5) for line in maps.read_text().splitlines())
        loaded = {fields[5] for fields in lines if len(fields) == 6 and ".so" in fields[5]}
        beside_torch = str(Path(torch.__file__).resolve().parent)
        for path in sorted(loaded, key=lambda path: (not path.startswith(beside_torch), path)):
            if Path(path).name.startswith(("libgomp", "libomp", "libiomp5")):
                return [path]
    return ["-fopenmp"]
