"""The files of a training by alternating least squares: interactions and factors, a block of users each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from larder.jobs.runtime.training_files import read_arrays, remove, write_arrays
from larder.models.als.als_block import AlsBlock
from larder.storage import StoragePath

BLOCKS = "blocks.arrow"  # the numbers of all blocks; written when all blocks are
STATES = "items"  # item factors after an iteration, a file each


def remove_training(place: StoragePath) -> None:
    """Removes a training's folder, in an order that lets a training go on from whatever a kill leaves of it."""
    for file in place.files():
        if file.base_name.startswith(STATES):
            remove(place / file.base_name)
    remove(place / BLOCKS)
    remove(place)


@dataclass(frozen=True)
class BlockFiles:
    """The blocks of a training at `place`: a file of interactions for each block, and files of its users' factors.

    `numbers` are those of the blocks. Can be pickled into Spark tasks.
    """

    place: StoragePath
    numbers: tuple[int, ...]

    def interactions(self, block: int) -> AlsBlock:
        """Returns the interactions of a block."""
        return AlsBlock(**read_arrays(self._file("block", block)))  # type: ignore[arg-type]

    def write_interactions(self, block: int, interactions: AlsBlock) -> None:
        """Writes the interactions of a block."""
        write_arrays(self._file("block", block), interactions.arrays())

    def factors(self, block: int, iteration: int, rank: int) -> npt.NDArray[np.float32]:
        """Returns the factors of a block's users as of the end of an iteration, shape (users, rank)."""
        return read_arrays(self._file(f"users-{iteration:03d}", block))["factors"].reshape(-1, rank)  # type: ignore[return-value]

    def write_factors(self, block: int, iteration: int, factors: npt.NDArray[np.float32]) -> None:
        """Writes the factors (users, rank) of a block's users as of the end of an iteration."""
        write_arrays(self._file(f"users-{iteration:03d}", block), {"factors": factors.reshape(-1)})

    def forget_factors(self, block: int, iteration: int) -> None:
        """Removes what `write_factors` wrote."""
        remove(self._file(f"users-{iteration:03d}", block))

    def _file(self, name: str, block: int) -> StoragePath:
        return self.place / f"{name}-{block:09d}.arrow"
