"""The state of a training, saved after each round: a run that was killed continues from there."""

from __future__ import annotations

import io
import json
import re
import sys
import zipfile
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from larder.jobs.runtime.training_files import remove
from larder.models.vision.federated import Arrays
from larder.storage import StoragePath

KEPT = 2
NAMED = re.compile(r"round-(\d{5})\.npz$")
FIGURES = "figures"


@dataclass(frozen=True)
class TrainingState:
    """The state that a training continues from."""

    weights: Arrays
    optimizer: Arrays = field(default_factory=list)  # empty before the first round
    velocity: Arrays = field(default_factory=list)  # of the outer step; empty before the first
    best: Arrays = field(default_factory=list)  # weights of the round with the lowest validation loss
    losses: tuple[float, ...] = ()  # of each round, in training
    validations: tuple[float, ...] = ()  # of each round, on the pictures held back

    @property
    def rounds(self) -> int:
        return len(self.losses)

    def as_bytes(self) -> bytes:
        """Returns the state as the bytes of an .npz file: the same for the same state."""
        arrays = {f"{name}_{number:05d}": array for name in _LISTS for number, array in enumerate(getattr(self, name))}
        figures = json.dumps({"losses": self.losses, "validations": self.validations})
        sink = io.BytesIO()
        np.savez(sink, **arrays, **{FIGURES: np.frombuffer(figures.encode(), np.uint8)})
        return sink.getvalue()

    @staticmethod
    def from_bytes(data: bytes) -> TrainingState:
        """Returns the state that `as_bytes` made bytes of. Raises ValueError, KeyError, EOFError and BadZipFile."""
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            figures: dict[str, Any] = {
                name: tuple(values) for name, values in json.loads(arrays[FIGURES].tobytes()).items()
            }
            lists: dict[str, Any] = {
                name: [arrays[key] for key in sorted(arrays.files) if key.startswith(f"{name}_")] for name in _LISTS
            }
        return TrainingState(**lists, **figures)


_LISTS = [name.name for name in fields(TrainingState) if name.name not in ("losses", "validations")]


@dataclass(frozen=True)
class Checkpoints:
    """The saved states of one training, a file a round, in a folder of its own. The last KEPT are kept."""

    folder: StoragePath

    def save(self, state: TrainingState) -> int:
        """Writes the state, whole or not at all, removes the one before the last, and returns the bytes written."""
        data = state.as_bytes()
        self._file(state.rounds).write(data)
        remove(self._file(state.rounds - KEPT))
        return len(data)

    def latest(self) -> TrainingState | None:
        """Returns the newest state that can be read, or None."""
        numbers = [int(match[1]) for file in self.folder.files() if (match := NAMED.search(file.path))]
        for number in sorted(numbers, reverse=True):
            try:
                return TrainingState.from_bytes(self._file(number).read())
            except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                print(f"{self._file(number).uri} cannot be read ({error}); going on from before", file=sys.stderr)
        return None

    def _file(self, number: int) -> StoragePath:
        return self.folder / f"round-{number:05d}.npz"
