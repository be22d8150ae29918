"""Runs Snakemake and the project's programs as their commands do, without starting Python and importing for each.

A request is a line of JSON: `arguments`, of which the first is `snakemake` or a program's file, and `variables` to add
to the environment. What takes long to import is imported once; each request runs in a process of its own, forked from
this one, whose output goes to a file. The answer is a line, too: exit status and output.
"""

import json
import os
import runpy
import sys
import tempfile
import traceback
from pathlib import Path


# What they import of other projects. Nothing of this one: each copy has its own.
def warm_snakemake() -> None:
    import jsonschema  # noqa: F401
    import snakemake.cli  # noqa: F401
    import yaml  # noqa: F401


def warm_programs() -> None:
    import onnx  # noqa: F401
    import onnxruntime  # noqa: F401
    import pandas  # noqa: F401
    import PIL.Image  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import sklearn  # noqa: F401
    import torch  # noqa: F401


def answer(arguments: list[str], variables: dict[str, str]) -> tuple[int, str]:
    """Run a command in a child."""
    (warm_snakemake if arguments[0] == "snakemake" else warm_programs)()
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                os.environ.update(variables)
                sys.argv = arguments
                if arguments[0] == "snakemake":
                    sys.modules["snakemake.cli"].main(arguments[1:])
                else:
                    sys.path[0] = str(Path(arguments[0]).resolve().parent)
                    runpy.run_path(arguments[0], run_name="__main__")
                status = 0
            except SystemExit as end:
                status = end.code or 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        _, status = os.waitpid(child, 0)
        output.seek(0)
        return os.waitstatus_to_exitcode(status), output.read().decode(errors="replace")


if __name__ == "__main__":
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(answer(request["arguments"], request["variables"])), flush=True)
