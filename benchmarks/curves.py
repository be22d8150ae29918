"""Training curves of a whole model with the library's CfC and with ours, from the same weights on the same batches.

    python benchmarks/curves.py --mirror FOLDER --whole --epochs 5 --out curves.csv

Without a mirror of real files (or the variable LIQUIDBENCH_MIRROR) the data are synthetic. Both models train twice, in
double and in single precision. Every training makes rounding errors grow; where gradients explode, so much that
two correct computations end in different curves. The control says when: the library's model, trained once more from
weights of which each is one rounding away. Curves agree to rounding if ours is as near to the library's as that.
"""

import argparse
import copy
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from library_core import with_library_core
from studies import DATASETS, PROJECT, add_mirror_option, open_study
from timing import save

sys.path.insert(0, str(PROJECT / "workflow/scripts"))

from liquidbench.allocator import keep_freed_memory
from liquidbench.models.sequence_model import SequenceModel
from liquidbench.training import inputs
from liquidbench.training.device import make_deterministic
from liquidbench.training.loop import train
from liquidbench.training.state import TrainingState
from liquidbench.training.tasks import task_of

COLUMNS = [
    *["precision", "implementation", "epoch", "figure", "library", "ours", "control"],
    *["relative_difference", "control_difference"],
]
CPU = torch.device("cpu")


def models_of(
    architecture: dict[str, Any], input_shape: tuple[int, ...], outputs: int, implementation: str
) -> dict[str, SequenceModel]:
    """The same model with the same weights: `library`, `ours`, and `control`, the library's with rounded weights."""
    ours = SequenceModel(architecture, input_shape, outputs, implementation)
    library = with_library_core(ours, architecture["core"])
    control = copy.deepcopy(library)
    return {"library": library, "ours": ours, "control": control}


@torch.no_grad()
def round_once(model: SequenceModel) -> None:
    """Move every weight to the next number above it."""
    for parameter in model.parameters():
        parameter.copy_(torch.nextafter(parameter, torch.full_like(parameter, torch.inf)))


def curves(
    data: inputs.RunData,
    settings: dict[str, Any],
    epochs: int,
    dtype: torch.dtype,
    seed: int = 0,
    implementation: str = "auto",
    threads: int = 1,
) -> pd.DataFrame:
    """Train both models.

    Args:
        data: of the run, as `inputs.load` gives it.
        settings: the run's, with `architecture` (its core a CfC) and `training`.
        epochs: instead of the settings'.
        dtype: float64 or float32, of weights and inputs.
        seed: of weights, order of batches and dropout.
        implementation: which code computes our core.
        threads: of torch.

    Returns:
        A row per epoch and figure: `precision`, `implementation`, `epoch`, `figure` (columns of a run's history),
        `library`, `ours`, `control`, and the relative differences of the latter two to the library's.
    """
    training = settings["training"] | {"epochs": epochs}
    task = task_of(data.attributes, training)
    transform = data.transform
    data = replace(data, transform=lambda values: transform(values).to(dtype))
    make_deterministic(seed, threads)
    models = models_of(settings["architecture"], data.input_shape, task.outputs, implementation)
    histories = {}
    for name, model in models.items():
        # Dropout draws from torch's own generator: the same for both.
        make_deterministic(seed, threads)
        model.to(dtype)
        if name == "control":
            round_once(model)
        state = TrainingState(model, training, task.better, seed, CPU)
        train(state, data, task, training, lambda _: None)
        histories[name] = [epoch.row for epoch in state.epochs]
    rows = []
    for of_epoch in zip(*histories.values(), strict=True):
        by_name = dict(zip(histories, of_epoch, strict=True))
        front = [str(dtype).removeprefix("torch."), models["ours"].core.implementation]
        for figure in by_name["library"].keys() - {"epoch", "learning_rate"}:
            library, ours, control = (row[figure] for row in by_name.values())
            if library is None:
                continue
            differences = [
                abs(value - library) / max(abs(library), 1e-12) for value in (ours, control)
            ]
            row = [*front, by_name["library"]["epoch"], figure, library, ours, control]
            rows.append([*row, *differences])
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.sort_values(["epoch", "figure"], ignore_index=True)


def main() -> None:
    """Parse the command line, train, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_mirror_option(parser)
    parser.add_argument("--dataset", choices=DATASETS, default="physionet")
    parser.add_argument("--whole", action="store_true", help="all examples, not the first few")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument(
        "--gradient-clip", type=float, help="largest norm, instead of the protocol's"
    )
    parser.add_argument("--implementation", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="CSV file to write")
    arguments = parser.parse_args()
    keep_freed_memory()
    tables = []
    with tempfile.TemporaryDirectory() as work:
        study = open_study(PROJECT, arguments.mirror, Path(work))
        prepare = study.resolved[arguments.dataset]["prepare"]
        if arguments.whole:
            prepare |= {key: None for key in prepare if key.startswith("limit_")}
        settings = study.resolved[arguments.dataset]["settings"]["cfc"]
        if arguments.gradient_clip is not None:
            settings["training"]["gradient_clip"] = arguments.gradient_clip
        data = inputs.load(study.cache(arguments.dataset), settings["training"], 0)
        source = "SYNTHETIC files" if data.attributes.synthetic else "real files of a mirror"
        clip = settings["training"]["gradient_clip"]
        print(
            f"{arguments.dataset}, {source}, gradient clip {clip}, seed 0: "
            f"{len(data.train)} examples to train, {len(data.test)} to test"
        )
        for dtype in (torch.float64, torch.float32):
            tables.append(
                curves(
                    *(data, settings, arguments.epochs, dtype),
                    implementation=arguments.implementation,
                    threads=arguments.threads,
                )
            )
            shown = tables[-1].drop(columns="implementation")
            print("\n" + shown.to_markdown(index=False, floatfmt=".8g"), flush=True)
    if arguments.out:
        save(pd.concat(tables, ignore_index=True), arguments.out)


if __name__ == "__main__":
    main()
