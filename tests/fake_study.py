"""Hand-made run directories that follow docs/file-formats.md, for the tests of the reporting.

Every figure in them is chosen, not measured, so that tables have known answers.
"""

import csv
import json
import math
from pathlib import Path

import numpy as np

LAYOUT = {
    "main_protocols": {
        "nmnist": "released",
        "quickdraw": "released",
        "iam": "released",
        "physionet": "paper",
    },
    "stress_protocol": "stress",
    "study": "A hand-made study",
}

DIGITS = [str(digit) for digit in range(10)]
UNITS = {"nmnist": 128, "quickdraw": 256, "iam": 256, "physionet": 128}


def write_csv(path: Path, headings: list[str], rows: list[list]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(headings)
        writer.writerows(rows)


def run_item(dataset: str, protocol: str, model: str, seed: int = 0) -> dict:
    return {"dataset": dataset, "protocol": protocol, "model": model, "seed": seed}


def run_folder(results: Path, item: dict) -> Path:
    return results / item["dataset"] / item["protocol"] / item["model"] / f"seed-{item['seed']}"


def write_run(results: Path, item: dict, *, synthetic: bool = False, **figures) -> Path:
    """Write one run directory; `figures` override the chosen test figures."""
    dataset, model = item["dataset"], item["model"]
    folder = run_folder(results, item)
    folder.mkdir(parents=True)
    if dataset == "iam":
        task, classes, metric = "transcription", list(" abc"), "cer"
        test = {"loss": 0.5, "cer": 0.2, "wer": 0.5, "cer_pooled": 0.19, "wer_pooled": 0.48}
        test |= {"cer_beam": 0.1, "wer_beam": 0.4, "cer_pooled_beam": 0.09}
        test |= {"wer_pooled_beam": 0.38, "beam_width": 10}
        examples = {"train": 50, "test": 10}
    elif dataset == "physionet":
        task, classes, metric = "binary", ["no sepsis", "sepsis"], "accuracy"
        test = {
            "loss": 0.3,
            "accuracy": 0.91,
            "precision": 0.6,
            "recall": 0.3,
            "f1": 0.4,
            "true_positives": 3,
            "false_positives": 2,
            "true_negatives": 88,
            "false_negatives": 7,
            "auroc": 0.8,
            "average_precision": 0.45,
            "threshold": 0.5,
        }
        examples = {"train": 400, "test": 100}
    else:
        task, classes, metric = "classification", DIGITS, "accuracy"
        test = {"loss": 0.2, "accuracy": 0.95}
        examples = {"train": 1000, "test": 100}
    test |= figures
    train = {name: value for name, value in test.items() if name in ("loss", metric)}
    if dataset == "iam":
        train |= {"cer_pooled": 0.18, "wer": 0.4, "wer_pooled": 0.4}
    core = {"name": model.split("-")[0], "units": UNITS[dataset]}
    core |= {"layers": 2} if core["name"] == "lstm" else {"backbone_units": 128}
    metrics = {
        **item,
        "task": task,
        "source": "synthetic" if synthetic else "mirror",
        "synthetic": synthetic,
        "examples": examples,
        "classes": classes,
        "train": train,
        "test": test,
        "costs": {"core_flops_per_step": 5_358_000, "flops_per_example": 60_000_000},
        "parameters": {"total": 2_700_000, "encoder": 20_000, "core": 2_679_000, "head": 1_000},
        "settings": {
            "dataset": {"bins": 10},
            "architecture": {
                "encoder": {"name": "frame_cnn", "channels": [32, 64]},
                "core": core,
                "pooling": "mean",
                "head": {"name": "linear"},
            },
            "training": {
                "epochs": 10,
                "batch_size": 64,
                "optimizer": "adamw",
                "learning_rate": 0.001,
                "weight_decay": 0.01,
                "schedule": {"name": "cosine"},
                "gradient_clip": None,
            },
        },
        "core_implementation": "plain",
        "cache_sha256": "c" * 64,
        "code_sha256": "d" * 64,
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))
    provenance = {
        "versions": {"python": "3.11.2", "torch": "2.13.0", "ncps": "1.0.1", "numpy": "2.4.6"},
        "hardware": {
            "processor": "An example processor",
            "cores": 2,
            "memory_bytes": 8 * 2**30,
            "gpu": None,
            "operating_system": "Linux",
        },
        "device": "cpu",
        "threads": 1,
        "deterministic": True,
        "seconds": {"total": 12.5, "training": 10.0, "evaluation": 2.0, "median_epoch": 1.0},
        "latency_seconds": {"one_example": 0.004, "per_example_in_batch": 0.0005},
        "peak_memory_bytes": {"process": 500 * 2**20, "gpu": None},
        "started": "2026-01-01T00:00:00Z",
        "finished": "2026-01-01T00:00:12Z",
    }
    (folder / "provenance.json").write_text(json.dumps(provenance))
    _write_history(folder, metric, test, item)
    _write_architecture(folder, dataset, core)
    if task != "transcription":
        _write_confusion(folder, classes, test, examples["test"])
        _write_predictions(folder, item, task, classes, examples["test"])
    else:
        _write_readings(folder, test, examples["test"])
    return folder


def _write_readings(folder: Path, test: dict, total: int) -> None:
    """Lines of ten characters, of which as many are misread as make the error rates."""
    line = "ab ab ab a"
    wrong = [round(len(line) * test[name]) for name in ("cer", "cer_beam")]
    readings = ["c" * count + line[count:] for count in wrong]
    rows = [[f"line-{number}", line, *readings] for number in range(total)]
    write_csv(folder / "predictions.csv", ["id", "target", "prediction", "prediction_beam"], rows)


def write_baseline(results: Path, item: dict, **figures) -> Path:
    """Write the run directory of a baseline: no modules, one row of history, most counts null."""
    folder = write_run(results, item, **figures)
    metrics = json.loads((folder / "metrics.json").read_text())
    settings = metrics["settings"]
    settings["baseline"] = {"name": "logistic", "length_of_stay": False}
    del settings["architecture"]
    settings["training"] = {"test_fraction": 0.2, "stratify": True, "threshold": 0.5}
    metrics["parameters"] = {"total": 274, "encoder": None, "core": None, "head": None}
    metrics["costs"] = {"core_flops_per_step": None, "flops_per_example": 546}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "architecture.json").unlink()
    test = metrics["test"]
    headings = ["epoch", "learning_rate", "train_loss", "train_accuracy"]
    row = [1, "", metrics["train"]["loss"], "", test["loss"], test["accuracy"]]
    write_csv(folder / "history.csv", [*headings, "test_loss", "test_accuracy"], [row])
    return folder


def _write_predictions(folder: Path, item: dict, task: str, classes: list[str], total: int) -> None:
    """Answers that give the confusion counts; the examples of a seed are the same for every model."""
    with (folder / "confusion.csv").open(newline="") as file:
        counts = [
            (row["target"], row["prediction"], int(row["count"])) for row in csv.DictReader(file)
        ]
    # By class, then in an order of the model's own: targets stand alike in all models of a seed.
    answers = [pair for *pair, count in sorted(counts) for _ in range(count)]
    # The split by seed of a source without one.
    first = 0 if item["dataset"] == "nmnist" else 1000 * item["seed"]
    names = [f"example-{first + place:05d}" for place in range(total)]
    headings, rows = ["id", "target", "prediction"], []
    for name, (target, prediction) in zip(names, answers, strict=True):
        row = [name, target, prediction]
        if task == "binary":
            row = [name, classes.index(target), classes.index(prediction)]
            row.append(0.75 if row[2] else 0.25)
        rows.append(row)
    if task == "binary":
        headings.append("probability")
    write_csv(folder / "predictions.csv", headings, rows)


def _write_history(folder: Path, metric: str, test: dict, item: dict) -> None:
    """Ten epochs of curves that end in the run's figures."""
    shift = 0.02 * item["seed"] + (0.05 if item["model"].startswith("cfc") else 0.0)
    rows = []
    for epoch in range(1, 11):
        left = math.exp(-epoch / 3) - math.exp(-10 / 3)
        sign = 1 if metric == "cer" else -1
        value = test[metric] + sign * (0.6 + shift) * left
        running = "" if metric == "cer" else round(min(1.0, value + 0.01), 6)
        loss = test["loss"] + (2 + shift) * left
        rate = 0.0005 * (1 + math.cos(math.pi * (epoch - 1) / 10))
        rows.append([epoch, rate, loss * 0.8, running, loss, value])
    headings = ["epoch", "learning_rate", "train_loss", f"train_{metric}"]
    write_csv(folder / "history.csv", [*headings, "test_loss", f"test_{metric}"], rows)


def _write_confusion(folder: Path, classes: list[str], test: dict, total: int) -> None:
    if len(classes) == 2:
        counts = [
            [classes[0], classes[0], test["true_negatives"]],
            [classes[0], classes[1], test["false_positives"]],
            [classes[1], classes[0], test["false_negatives"]],
            [classes[1], classes[1], test["true_positives"]],
        ]
    else:
        wrong = round(total * (1 - test["accuracy"]))
        each = total // len(classes)
        counts = []
        for index, name in enumerate(classes):
            errors = wrong // len(classes) + (index < wrong % len(classes))
            counts.append([name, name, each - errors])
            counts.append([name, classes[(index + 3) % len(classes)], errors])
    write_csv(folder / "confusion.csv", ["target", "prediction", "count"], counts)


def write_stress(
    folder: Path,
    item: dict,
    values: dict[float, list[float]],
    metric: str = "accuracy",
    corruptions: tuple[str, ...] = ("zero_steps",),
) -> None:
    """Write stress.csv: for each corruption, rate to the values of its draws, out of 100 examples."""
    rows = [
        [*item.values(), corruption, rate, draw, 7, 100, metric, value]
        for corruption in corruptions
        for rate, draws in values.items()
        for draw, value in enumerate(draws)
    ]
    headings = [*item, "corruption", "rate", "draw", "mask_seed", "examples", "metric", "value"]
    write_csv(folder / "stress.csv", headings, rows)


def write_stress_answers(
    folder: Path,
    item: dict,
    told: dict[str, np.ndarray],
    conditions: list[tuple[str, float, int]],
    figures: dict[str, list[float]],
    ids: list[str] | None = None,
    asked: list[int] | None = None,
) -> None:
    """Write stress_answers.npz, and stress.csv with the figures of each condition.

    `told` has arrays (conditions, examples): `correct` and maybe `probability`, or `edits`.
    """
    count = next(iter(told.values())).shape[1]
    rows = [
        [*item.values(), *condition, 7, count, metric, value]
        for metric, values in figures.items()
        for condition, value in zip(conditions, values, strict=True)
    ]
    headings = [*item, "corruption", "rate", "draw", "mask_seed", "examples", "metric", "value"]
    write_csv(folder / "stress.csv", headings, rows)
    names, rates, draws = zip(*conditions)
    np.savez_compressed(
        folder / "stress_answers.npz",
        ids=np.array(ids or [f"e{number:04d}" for number in range(count)]),
        corruption=np.array(names),
        rate=np.array(rates),
        draw=np.array(draws),
        **{"lengths" if "edits" in told else "targets": np.array(asked or [1] * count)},
        **told,
    )


def _write_architecture(folder: Path, dataset: str, core: dict) -> None:
    units = core["units"]
    lstm = core["name"] == "lstm"
    if dataset == "nmnist":
        shape = ["batch", 10, 2, 34, 34]
        encoder = [
            ("convolution_1", "Conv2d(2, 32, 3x3)", ["batch", 10, 32, 34, 34], 608),
            ("normalisation_1", "BatchNorm2d(32)", ["batch", 10, 32, 34, 34], 64),
            ("activation_1", "ReLU", ["batch", 10, 32, 34, 34], 0),
            ("pooling_1", "MaxPool2d(2)", ["batch", 10, 32, 17, 17], 0),
            ("convolution_2", "Conv2d(32, 64, 3x3)", ["batch", 10, 64, 17, 17], 18496),
            ("normalisation_2", "BatchNorm2d(64)", ["batch", 10, 64, 17, 17], 128),
            ("activation_2", "ReLU", ["batch", 10, 64, 17, 17], 0),
            ("pooling_2", "MaxPool2d(2)", ["batch", 10, 64, 8, 8], 0),
            ("flatten", "Flatten", ["batch", 10, 4096], 0),
        ]
        steps, pooled, classes = 10, True, 10
    elif dataset == "iam":
        shape = ["batch", 1, 64, 512]
        encoder = [("convolution", "Conv2d(1, 64, 3x3)", ["batch", 64, 64, 512], 640)]
        sizes = [(128, 32, 256), (128, 32, 256), (256, 16, 128), (256, 16, 128)]
        sizes += [(512, 8, 128), (512, 8, 128)]
        encoder += [
            (f"block_{i}", f"ResidualBlock({c})", ["batch", c, h, w], 9 * c * c)
            for i, (c, h, w) in enumerate(sizes, 1)
        ]
        encoder.append(("positions", "PositionalEncoding(4096)", ["batch", 128, 4096], 0))
        steps, pooled, classes = 128, False, 80
    elif dataset == "quickdraw":
        shape = ["batch", "points", 5]
        encoder = [
            ("projection", "Linear(5, 128)", ["batch", "points", 128], 768),
            ("normalisation", "LayerNorm(128)", ["batch", "points", 128], 256),
            ("activation", "ReLU", ["batch", "points", 128], 0),
        ]
        steps, pooled, classes = "points", True, 10
    else:
        shape, encoder, steps, pooled, classes = ["batch", "hours", 40], [], "hours", True, 1
    modules = [
        {"part": "encoder", "name": n, "type": t, "output_shape": s, "parameters": p}
        for n, t, s, p in encoder
    ]
    kind = f"LSTM({units}, layers=2)" if lstm else f"CfC({units}, backbone=128)"
    width = units * 2 if lstm and dataset == "iam" else units

    def add(part, name, kind, shape, count):
        modules.append(
            {"part": part, "name": name, "type": kind, "output_shape": shape, "parameters": count}
        )

    add("core", "core", kind, ["batch", steps, width], 2_679_000)
    if pooled:
        add("head", "linear", f"Linear({width}, {classes})", ["batch", classes], 1290)
    else:
        kind = f"Linear({width}, {classes})"
        add("head", "linear", kind, ["batch", steps, classes], 20560)
    pooling = "last" if dataset == "physionet" else "mean" if pooled else "none"
    content = {"input_shape": shape, "pooling": pooling, "modules": modules}
    (folder / "architecture.json").write_text(json.dumps(content))


def write_examples(results: Path, *, synthetic: bool = False) -> None:
    """Write `examples.npz` of all four data sets."""
    random = np.random.default_rng(0)
    marks = {"synthetic": np.bool_(synthetic), "source": "synthetic" if synthetic else "mirror"}
    for dataset, arrays in {
        "nmnist": _events(random),
        "quickdraw": _drawings(random),
        "iam": _lines(random),
        "physionet": _stay(random),
    }.items():
        (results / dataset).mkdir(parents=True, exist_ok=True)
        np.savez(results / dataset / "examples.npz", **arrays, **marks)


def _events(random: np.random.Generator) -> dict:
    count = 4000
    angle = random.uniform(0, 2 * np.pi, count)
    time = np.sort(random.integers(0, 300_000, count))
    x = 17 + 8 * np.cos(angle) + 3 * np.sin(time / 5e4) + random.normal(0, 0.7, count)
    y = 17 + 10 * np.sin(angle) + random.normal(0, 0.7, count)
    return {
        "x": np.clip(x, 0, 33).astype(np.uint8),
        "y": np.clip(y, 0, 33).astype(np.uint8),
        "polarity": (np.cos(angle) * np.cos(time / 5e4) > 0).astype(np.uint8),
        "time": time.astype(np.int64),
        "label": "3",
        "id": "Test/3/00018.bin",
    }


def _drawings(random: np.random.Generator) -> dict:
    arrays = {"category": "bird"}
    for index, strokes in enumerate((1, 3, 8)):
        points = []
        for stroke in range(strokes):
            phase = np.linspace(0, random.uniform(1, 6), 12)
            centre, size = random.uniform(60, 190, 2), random.uniform(15, 60)
            x = centre[0] + size * np.cos(phase)
            y = centre[1] + size * np.sin(phase)
            points.append(np.column_stack([x, y, np.full(12, stroke)]))
        arrays[f"drawing_{index}"] = np.concatenate(points).astype(np.float32)
        arrays[f"id_{index}"] = f"489168{index}"
    return arrays


def _lines(random: np.random.Generator) -> dict:
    arrays = {}
    for index in range(5):
        width = 400 + 150 * index
        image = np.full((64, width), 225, np.uint8)
        image += random.integers(0, 20, image.shape, dtype=np.uint8)
        for start in range(20, width - 30, 26):
            image[20 + index : 46, start : start + 3] = 40
            image[30:33, start : start + 14] = 60
        arrays[f"image_{index}"] = image
        arrays[f"text_{index}"] = f"a made-up line of text, the number {index}"
        arrays[f"id_{index}"] = f"writer-{index}"
    return arrays


NAMES = """HR O2Sat Temp SBP MAP DBP Resp EtCO2 BaseExcess HCO3 FiO2 pH PaCO2 SaO2 AST BUN
Alkalinephos Calcium Chloride Creatinine Bilirubin_direct Glucose Lactate Magnesium Phosphate
Potassium Bilirubin_total TroponinI Hct Hgb PTT WBC Fibrinogen Platelets Age Gender Unit1 Unit2
HospAdmTime"""


def _stay(random: np.random.Generator) -> dict:
    hours, names = 60, NAMES.split()
    level = random.uniform(1, 100, len(names))
    values = level * (1 + 0.05 * random.normal(size=(hours, len(names))).cumsum(axis=0) / 3)
    often = np.where(np.arange(len(names)) < 7, 0.85, 0.07)
    values[random.uniform(size=values.shape) > often] = np.nan
    values[:, 34:] = level[34:]
    labels = (np.arange(hours) >= 46).astype(np.uint8)
    return {
        "values": values.astype(np.float32),
        "labels": labels,
        "feature_names": np.array(names),
        "id": "p000009",
    }


def write_study(results: Path, *, synthetic: bool = False, seeds: int = 1) -> list[dict]:
    """A whole study: both models on three data sets, three on the fourth, and the stress test."""
    items = []
    models = dict.fromkeys(("nmnist", "quickdraw", "iam"), ("lstm", "cfc"))
    models["physionet"] = ("lstm-128", "cfc-128", "cfc-256")
    for dataset, names in models.items():
        for model in names:
            for seed in range(seeds):
                item = run_item(dataset, LAYOUT["main_protocols"][dataset], model, seed)
                write_run(results, item, synthetic=synthetic)
                items.append(item)
    for dataset in ("nmnist", "quickdraw"):
        for model in ("lstm", "cfc"):
            for seed in range(seeds):
                item = run_item(dataset, "stress", model, seed)
                folder = write_run(results, item, synthetic=synthetic)
                lower = 0.1 if model == "lstm" else 0.05
                curve = {r: [0.95 - r * (0.8 + lower)] * 2 for r in (0.0, 0.3, 0.5, 0.7)}
                curve = {r: [round(v, 2) for v in values] for r, values in curve.items()}
                write_stress(folder, item, curve)
                items.append(item)
    write_examples(results, synthetic=synthetic)
    return items
