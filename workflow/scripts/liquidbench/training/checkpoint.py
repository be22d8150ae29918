"""Checkpoints: what a training that was cut off needs to go on from its last epoch.

In the run directory, while the training lasts: `checkpoint-<epoch>.pt`, the state after an epoch, and
`checkpoint.json`, which names it with its checksum and says what run it belongs to. The second is renamed into place
when the first is whole, and only then the older state is deleted: whenever the process dies, one state is good.
"""

import hashlib
import io
import json
import pickle
import re
from pathlib import Path
from typing import Any

import torch

from liquidbench.errors import InputError
from liquidbench.files import read_json, write_json, written_whole
from liquidbench.training.state import TrainingState

MANIFEST = "checkpoint.json"
_STATE = re.compile(r"checkpoint-\d+\.pt")


class Checkpoint:
    """The checkpoint of one run.

    Args:
        folder: the run directory.
        identity: what the run is, in plain values by kind (``{"configuration": ..., "data": ...}``). A checkpoint with
            another identity is not gone on from.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self.folder = folder
        # As JSON keeps them: tuples are lists.
        self.identity = json.loads(json.dumps(identity))

    def save(self, state: TrainingState) -> None:
        """Keep the state after an epoch; the one before it is deleted.

        Raises:
            InputError: there is no room for it; the one before is still good.
        """
        buffer = io.BytesIO()
        torch.save(state.state_dict(), buffer)
        content = buffer.getbuffer()
        name = f"checkpoint-{len(state.epochs)}.pt"
        with written_whole(self.folder / name) as temporary:
            temporary.write_bytes(content)
        manifest = {
            "file": name,
            "sha256": hashlib.sha256(content).hexdigest(),
            "epoch": len(state.epochs),
            "identity": self.identity,
        }
        write_json(self.folder / MANIFEST, manifest)
        self._delete_states(but=name)

    def restore(self, state: TrainingState) -> str:
        """Bring a training to where the checkpoint left it, if there is a good one that belongs to it.

        Args:
            state: of a training that has not begun.

        Returns:
            What was done, for a log: after which epoch it goes on, or why it starts anew. Empty without a checkpoint.

        Raises:
            InputError: the checkpoint is whole and the run's, and still does not fit.
        """
        if not (self.folder / MANIFEST).is_file():
            return ""
        try:
            loaded = self._load()
        except _NotUsedError as refusal:
            return f"{self.folder / MANIFEST} is not used: {refusal}. Starting at epoch 1"
        try:
            state.load_state_dict(loaded)
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            problem = f"does not fit the training ({str(error).splitlines()[0]})"
            raise InputError(self.folder / MANIFEST, problem, "Delete it and train again") from None
        return f"going on after epoch {len(state.epochs)}, kept by a checkpoint"

    def delete(self) -> None:
        """Delete it: the run is complete, and all of it is in its results."""
        (self.folder / MANIFEST).unlink(missing_ok=True)
        self._delete_states()

    def _load(self) -> dict[str, Any]:
        try:
            manifest = read_json(self.folder / MANIFEST)
            name, expected, identity = (manifest[key] for key in ("file", "sha256", "identity"))
            others = [key for key in self.identity if identity.get(key) != self.identity[key]]
            if others or identity.keys() != self.identity.keys():
                raise _NotUsedError(f"it belongs to a run with {self._other(identity, others)}")
            if not isinstance(name, str) or not _STATE.fullmatch(name):
                raise _NotUsedError(f"it names the file {name!r}")
            content = (self.folder / name).read_bytes()
        except (AttributeError, InputError, KeyError, OSError, TypeError) as error:
            raise _NotUsedError(f"damaged ({type(error).__name__}: {error})") from None
        if hashlib.sha256(content).hexdigest() != expected:
            raise _NotUsedError(f"{name} is damaged, its checksum is another")
        try:
            # Plain values and tensors: nothing in the file is run.
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, ValueError) as error:
            first = str(error).splitlines()[0]
            raise _NotUsedError(f"{name} holds no state of a training ({first})") from None

    def _other(self, identity: dict[str, Any], kinds: list[str]) -> str:
        """Which parts of the identity differ, for a message: "other configuration (training.epochs)"."""
        texts = []
        for kind in kinds:
            old, new = identity.get(kind), self.identity[kind]
            names = _differing(old, new) if isinstance(old, dict) and isinstance(new, dict) else []
            texts.append(f"other {kind}" + (f" ({', '.join(names)})" if names else ""))
        return " and ".join(texts) or "another description"

    def _delete_states(self, but: str = "") -> None:
        """Delete states that no manifest names, whole or cut off while they were written."""
        for pattern in ("checkpoint-*.pt", ".checkpoint*.partial-*"):
            for path in self.folder.glob(pattern):
                if path.name != but:
                    path.unlink(missing_ok=True)


class _NotUsedError(Exception):
    """Why a checkpoint is not gone on from."""


def _differing(old: dict[str, Any], new: dict[str, Any], front: str = "") -> list[str]:
    """The dotted names of values that two nested mappings do not share."""
    names = []
    for key in sorted({*old, *new}):
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            names += _differing(a, b, f"{front}{key}.")
        elif a != b:
            names.append(f"{front}{key}")
    return names
