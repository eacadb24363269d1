"""What a training keeps on disk while it runs: arrays in Arrow files, mapped into memory where the place is local."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from larder.models.als.als_block import AlsBlock
from larder.storage import StoragePath

Array = npt.NDArray[np.generic]

BLOCKS = "blocks.arrow"  # the numbers of all blocks; written once they are there
STATES = "items"  # item factors after an iteration, a file each


def write_arrays(place: StoragePath, arrays: Mapping[str, Array]) -> int:
    """Writes flat arrays into one file: a row in which each is a list. Returns its bytes."""
    columns = [
        pa.LargeListArray.from_arrays(pa.array([0, len(values)], pa.int64()), pa.array(values))
        for values in arrays.values()
    ]
    row = pa.record_batch(columns, names=list(arrays))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, row.schema) as writer:
        writer.write_batch(row)
    data = sink.getvalue()
    place.write(data)
    return int(data.size)


class DamagedTrainingError(RuntimeError):
    """A file of a training that was cut short is not whole, as a loss of power leaves it; the message names it."""


def read_arrays(place: StoragePath) -> dict[str, Array]:
    """The arrays of such a file, not writable. Raises DamagedTrainingError."""
    try:
        source = pa.memory_map(place.path) if place.is_local else pa.BufferReader(place.read())
        row = pa.ipc.open_file(source).get_batch(0)
    except (pa.ArrowInvalid, FileNotFoundError) as error:
        folder = place.uri.rpartition("/")[0]
        raise DamagedTrainingError(
            f"{place.uri}, of a training that was cut short, can't be read ({error}); remove {folder} and run it again"
        ) from None
    return {name: row.column(name).values.to_numpy() for name in row.schema.names}


def remove(place: StoragePath) -> None:
    """Removes a file or folder and all below it, if it is there."""
    system, path = place.open()
    kind = system.get_file_info(path).type
    if kind == pa.fs.FileType.Directory:
        system.delete_dir(path)
    elif kind == pa.fs.FileType.File:
        system.delete_file(path)


def remove_training(place: StoragePath) -> None:
    """Removes a training's folder in such an order that a training can go on from what a kill leaves of it."""
    for file in place.files():
        if file.base_name.startswith(STATES):
            remove(place / file.base_name)
    remove(place / BLOCKS)
    remove(place)


@dataclass(frozen=True)
class UserBlocks:
    """Files of interactions, a block of users each, and of their factors. Pickles into Spark tasks."""

    place: StoragePath
    numbers: tuple[int, ...]

    def interactions(self, block: int) -> AlsBlock:
        return AlsBlock(**read_arrays(self._file("block", block)))  # type: ignore[arg-type]

    def write_interactions(self, block: int, interactions: AlsBlock) -> None:
        write_arrays(self._file("block", block), interactions.arrays())

    def factors(self, block: int, iteration: int, rank: int) -> npt.NDArray[np.float32]:
        """Factors of the block's users as of the end of an iteration, shape (users, rank)."""
        return read_arrays(self._file(f"users-{iteration:03d}", block))["factors"].reshape(-1, rank)  # type: ignore[return-value]

    def write_factors(self, block: int, iteration: int, factors: npt.NDArray[np.float32]) -> None:
        write_arrays(self._file(f"users-{iteration:03d}", block), {"factors": factors.reshape(-1)})

    def forget_factors(self, block: int, iteration: int) -> None:
        remove(self._file(f"users-{iteration:03d}", block))

    def _file(self, name: str, block: int) -> StoragePath:
        return self.place / f"{name}-{block:09d}.arrow"
