"""Hand-made studies for the tests of the claims: summaries as data frames, every figure chosen."""

from pathlib import Path

import pandas as pd
import yaml

from liquidbench.reporting.claims import judge, read_claims
from liquidbench.reporting.study import Layout, Study
from liquidbench.reporting.summaries import COLUMNS

PROJECT = Path(__file__).parents[1]
PAPER = PROJECT / "resources/paper"
CLAIMS = PAPER / "claims.yaml"
OFFICIAL = {"nmnist": (60_000, 10_000), "iam": (6_482, 2_915), "physionet": (16_269, 4_067)}
ROLES = {
    "nmnist": {"lnn": ["cfc"], "lstm": ["lstm"]},
    "quickdraw": {"lnn": ["cfc"], "lstm": ["lstm"]},
    "iam": {"lnn": ["cfc"], "lstm": ["lstm"]},
    "physionet": {"lnn": ["cfc-256"], "lstm": ["lstm-128"]},
}


class Summaries:
    """Rows of the summaries, added model by model."""

    def __init__(self, source: str = "download", synthetic: bool = False) -> None:
        self.rows = {name: [] for name in COLUMNS}
        self.source, self.synthetic = source, synthetic

    def add(
        self, model, values, *, dataset="nmnist", protocol="released", examples=None, settings=()
    ):
        """A model's runs: `values` maps "test/accuracy" or "parameters/core" to a figure per seed."""
        seeds = range(max(len(figures) for figures in values.values()))
        for seed in seeds:
            front = {"dataset": dataset, "protocol": protocol, "model": model, "seed": seed}
            mark = {"source": self.source, "synthetic": str(self.synthetic)}
            train, test = examples or OFFICIAL[dataset]
            sizes = {"train_examples": train, "test_examples": test}
            self.rows["runs"].append({**front, "state": "finished", **mark, **sizes})
            hospitals = {"dataset.hospitals": '["a"]'} if dataset == "physionet" else {}
            for name, value in {**hospitals, **dict(settings)}.items():
                self.rows["settings"].append({**front, "setting": name, "value": value})
            counted = {"total": 0, "encoder": 0, "core": 0, "head": 0}
            for name, figures in values.items():
                kind, *rest = name.split("/")
                value = figures[seed] if seed < len(figures) else float("nan")
                if kind == "parameters":
                    counted[rest[0]] = value
                elif kind == "stress":
                    rate = float(rest[1].removesuffix("%")) / 100
                    row = {"corruption": rest[0], "rate": rate, "draw": 0}
                    row |= {"metric": "accuracy", "value": value}
                    self.rows["stress"].append({**front, **row})
                elif kind == "costs":
                    self.rows["costs"].append({**front, rest[0]: value})
                elif kind == "clinical":
                    row = {"level": rest[0], "figure": rest[1], "value": value}
                    self.rows["clinical"].append({**front, **row})
                else:
                    row = {"split": kind, "metric": rest[0], "value": value}
                    self.rows["metrics"].append({**front, **mark, **row})
            if any(name.startswith("parameters/") for name in values):
                self.rows["parameters"].append({**front, **counted})
        return self

    def differences(self, **row):
        """A row of differences.csv, in the contract's columns."""
        empty = {"p_value": 0.01, "p_holm": 0.02, "interval": "95 %", "seeds": 3, "examples": 100}
        empty |= {"value_a": 0.9, "value_b": 0.9 - row["difference"]}
        self.rows["differences"].append({**empty, **row})
        return self

    def stress_differences(self, **row):
        """A row of stress_differences.csv, in the contract's columns."""
        empty = {
            "metric": "accuracy",
            "p_value": 0.01,
            "p_holm": 0.02,
            "interval": "95 %",
            "seeds": 2,
        }
        empty |= {"value_a": 0.9, "value_b": 0.9 - row["difference"]}
        self.rows["stress_differences"].append({**empty, **row})
        return self

    def study(self) -> Study:
        frames = {
            name: pd.DataFrame(self.rows[name], columns=names) for name, names in COLUMNS.items()
        }
        main = {"nmnist": "released", "quickdraw": "released", "iam": "released"}
        return Study(frames, Layout({**main, "physionet": "paper"}, "stress"))


def two_models(a, b, quantity="test/accuracy", **options) -> Summaries:
    """An LNN and an LSTM on N-MNIST with these figures per seed."""
    summaries = Summaries(**options)
    return summaries.add("cfc", {quantity: a}).add("lstm", {quantity: b})


def claims_file(folder: Path, *rules, values=None, **keys) -> Path:
    """A file with one claim on N-MNIST, with the domains of the true one."""
    claim = {"id": "one", "claim": "A claim", "place": "Table I", "topic": "Accuracy"}
    claim |= {"dataset": "nmnist", "values": values or {}, "rules": list(rules)} | keys
    domains = yaml.safe_load(CLAIMS.read_text(encoding="utf-8"))["domains"]
    content = {"roles": ROLES, "domains": domains, "architectures": {}, "claims": [claim]}
    path = folder / "claims.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def judged(folder: Path, study: Study, *rules, **keys):
    """The one claim with these rules, judged."""
    (one,) = judge(read_claims(claims_file(folder, *rules, **keys), PAPER), study)
    return one
