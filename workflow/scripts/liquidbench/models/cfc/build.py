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
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

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
    """

    def __init__(self) -> None:
        self.problem: str | None = None
        try:
            self._library = _loaded(build())
        except (BuildError, OSError) as error:
            self.problem = f"is not built: {error}"

    def functions(self, kind: str) -> Functions:
        """The functions of `kind`, ``float`` or ``double``."""
        forward = self._library[f"cfc_forward_{kind}"]
        backward = self._library[f"cfc_backward_{kind}"]
        padded = self._library[f"cfc_padded_{kind}"]
        padded.argtypes, padded.restype = [ctypes.c_int64], ctypes.c_int64
        forward.restype = backward.restype = None
        return Functions(forward, backward, padded)


def _loaded(path: Path) -> ctypes.CDLL:
    """The library in a file; one that cannot be loaded (a disk was full, a copy was cut) is built again, once."""
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
        _compile([*compiler, *flags], openmp, target)
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
        BuildError: it cannot be written, or belongs to somebody else, whose code would run.
    """
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("LIQUIDBENCH_CACHE") or Path(base, "liquidbench"))
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        reason = "it is no folder" if folder.exists() else error
        raise BuildError(f"{folder} cannot be made ({reason}); set LIQUIDBENCH_CACHE") from None
    if folder.stat().st_uid != os.getuid():
        raise BuildError(f"{folder} belongs to another user; set LIQUIDBENCH_CACHE to your own")
    return folder


def _compile(command: list[str], openmp: list[str], target: Path) -> None:
    try:
        # Beside the target, so that the rename is atomic: jobs that build at once do not see half a file.
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            compiled, linked = Path(folder, "sweep.o"), Path(folder, "sweep.so")
            _run([*command, "-c", str(_HERE / "sweep.cpp"), "-o", str(compiled)])
            _run([*command[:1], "-shared", str(compiled), *openmp, "-o", str(linked)])
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
    result = subprocess.run([*compiler, "--version"], capture_output=True, text=True)
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
        loaded = {line.split()[-1] for line in maps.read_text().splitlines() if ".so" in line}
        beside_torch = str(Path(torch.__file__).resolve().parent)
        for path in sorted(loaded, key=lambda path: (not path.startswith(beside_torch), path)):
            if Path(path).name.startswith(("libgomp", "libomp", "libiomp5")):
                return [path]
    return ["-fopenmp"]
