"""The C++ CfC's library beside other packages that bring an OpenMP of their own."""

import subprocess
import sys

from workflow_helpers import PROJECT

# scikit-learn's wheel has an OpenMP library too, and training imports it for the metrics.
LOADED_BY = """
import sys
sys.path.insert(0, "workflow/scripts")
{imports}
from liquidbench.models.cfc.build import _openmp, library
print(_openmp()[0].rpartition("/")[2], library().problem)
"""


def test_the_library_built_beside_scikit_learn_loads_without_it(tmp_path, monkeypatch):
    monkeypatch.setenv("LIQUIDBENCH_CACHE", str(tmp_path))

    def told(imports: str) -> str:
        command = [sys.executable, "-c", LOADED_BY.format(imports=imports)]
        result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result.stdout

    with_it = told("import sklearn.metrics, torch")
    assert told("import torch") == with_it
    assert len(list(tmp_path.glob("cfc-*.so"))) <= 1
