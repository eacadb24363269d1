"""Alternating least squares on Spark, by blocks of users.

Interactions lie in files, a block of users each. Item factors are broadcast; a task takes its share of the blocks, one
after the other, and solves their users. The item side takes conjugate gradients, for which each task sums over its
blocks: no process ever holds all users' factors, and none holds more than a few arrays of items x rank and one block.
Blocks, shares and the order of sums follow from the data and the settings, so the same seed gives the same bytes
whichever executor did what. See docs/decisions/0008-als-by-user-blocks.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark import RDD, Broadcast
from pyspark.sql import SparkSession
from threadpoolctl import threadpool_limits

from larder.jobs.als.block_files import STATES, BlockFiles
from larder.jobs.runtime.python_workers import leaves_worker_ready
from larder.jobs.runtime.training_files import read_arrays, remove, write_arrays
from larder.models import columns as C
from larder.models.als.als_block import AlsBlock
from larder.models.als.als_kernels import add_item_products, solve_users
from larder.models.als.als_parameters import AlsParameters
from larder.models.als.item_factors import initial_item_factors, solve_items
from larder.storage import DataFile, StoragePath
from larder.storage.parquet_parts import write_whole

Floats = npt.NDArray[np.float32]
Made = TypeVar("Made")
Share = Callable[[Sequence[int], Floats], Sequence[Floats]]

# Above this, what the tasks of a pass have summed is added up in tasks: Spark refuses a job that brings the driver more
# than spark.driver.maxResultSize, a gigabyte by default.
DRIVER_BYTES = 1 << 29
MOST_FLOATS = 1 << 30


class AlsDivergedError(ArithmeticError):
    """Factors are not finite: sums were beyond what float32 holds, or a matrix had no solution."""


@dataclass(frozen=True)
class AlsTraining:
    """One training over blocks of users; `item_counts` (items,) are the number of users of each item."""

    spark: SparkSession
    blocks: BlockFiles
    parameters: AlsParameters
    item_counts: npt.NDArray[np.int64]
    on_iteration: Callable[[int], None] = lambda number: None

    def item_factors(self) -> Floats:
        """Returns item factors, shape (items, rank). Continues after the last iteration that an earlier run finished.

        Raises AlsDivergedError.
        """
        p = self.parameters
        regularisation = (p.regularisation * self.item_counts.astype(np.float64) ** p.scaling).astype(np.float32)
        done = next((n for n in range(p.iterations, 0, -1) if self._state(n).exists()), 0)
        factors = self._read_state(done) if done else self._first_factors()
        for iteration in range(done, p.iterations):
            self.on_iteration(iteration + 1)
            gram, residual = self._users_pass(factors, iteration)
            with threadpool_limits(1, "blas"):
                factors = solve_items(
                    factors, gram, residual, regularisation, p.item_steps, self._items_product(iteration)
                )
            if not np.isfinite(factors).all():
                raise AlsDivergedError(
                    f"iteration {iteration + 1} of the training gave factors that are not finite numbers; raise "
                    "als.regularisation or lower als.alpha, and look for events with an absurd quantity"
                )
            write_arrays(self._state(iteration + 1), {"factors": factors.reshape(-1)})
            remove(self._state(iteration))
        return factors

    def _state(self, iteration: int) -> StoragePath:
        return self.blocks.place / f"{STATES}-{iteration:03d}.arrow"

    def _read_state(self, iteration: int) -> Floats:
        return read_arrays(self._state(iteration))["factors"].reshape(-1, self.parameters.rank)  # type: ignore[return-value]

    def _first_factors(self) -> Floats:
        blocks, p = self.blocks, self.parameters

        def share(numbers: Sequence[int], nothing: Floats) -> Sequence[Floats]:
            sums = np.zeros_like(nothing)
            for number in numbers:
                block = blocks.interactions(number)
                users = np.random.default_rng([p.seed, number]).standard_normal((len(block.cookies), p.rank), "f4")
                _add_products(block, users, nothing, sums, residual=True)
            return [sums]

        (sums,) = self._summed(share, np.zeros((len(self.item_counts), p.rank), np.float32))
        with threadpool_limits(1, "blas"):
            return initial_item_factors(sums, self.item_counts)

    def _users_pass(self, item_factors: Floats, iteration: int) -> tuple[Floats, Floats]:
        """Solves all users; returns X'X, shape (rank, rank), and the items' sparse residuals, shape (items, rank)."""
        blocks, p = self.blocks, self.parameters

        def share(numbers: Sequence[int], y: Floats) -> Sequence[Floats]:
            own_gram, gram, sums = y.T @ y, np.zeros((p.rank, p.rank), np.float32), np.zeros_like(y)
            for number in numbers:
                block = blocks.interactions(number)
                before = blocks.factors(number, iteration - 1, p.rank) if iteration else None
                users = solved_users(block, before, y, own_gram, p)
                blocks.write_factors(number, iteration, users)
                if iteration > 1:
                    blocks.forget_factors(number, iteration - 2)
                gram += users.T @ users
                _add_products(block, users, y, sums, residual=True)
            return [gram, sums]

        gram, sums = self._summed(share, item_factors)
        return gram, sums

    def _items_product(self, iteration: int) -> Callable[[Floats], Floats]:
        blocks, rank = self.blocks, self.parameters.rank

        def share(numbers: Sequence[int], vectors: Floats) -> Sequence[Floats]:
            sums = np.zeros_like(vectors)
            for number in numbers:
                users = blocks.factors(number, iteration, rank)
                _add_products(blocks.interactions(number), users, vectors, sums, residual=False)
            return [sums]

        return lambda vectors: self._summed(share, vectors)[0]

    def _summed(self, share: Share, vectors: Floats) -> list[Floats]:
        """Returns the sums over all blocks of the arrays that `share` makes, added up in the order of tasks."""
        tasks = self.parameters.blocks
        if tasks * vectors.nbytes <= DRIVER_BYTES:
            return added_up(over_blocks(self.spark, self.blocks.numbers, tasks, share, vectors))
        return summed_in_tasks(self.spark, self.blocks.numbers, tasks, share, vectors)


def write_user_factors(
    spark: SparkSession,
    blocks: BlockFiles,
    parameters: AlsParameters,
    item_factors: Floats,
    place: StoragePath,
    iteration: int = -1,
) -> tuple[DataFile, ...]:
    """Writes the factors of all users for these item factors, a Parquet file of USER_FACTORS for each block.

    They start from those after `iteration`, unless it is negative. Returns the files.
    """

    def share(numbers: Sequence[int], y: Floats) -> Sequence[DataFile]:
        gram, written = y.T @ y, []
        for number in numbers:
            block = blocks.interactions(number)
            before = blocks.factors(number, iteration, parameters.rank) if iteration >= 0 else None
            users = solved_users(block, before, y, gram, parameters)
            written.append(_write_factors(place, number, block.cookies, users))
        return written

    files = over_blocks(spark, blocks.numbers, parameters.blocks, share, item_factors)
    return tuple(sorted((file for some in files for file in some), key=lambda file: file.name))


def over_blocks(
    spark: SparkSession,
    blocks: Sequence[int],
    tasks: int,
    share: Callable[[Sequence[int], Floats], Made],
    vectors: Floats,
) -> list[Made]:
    """Returns what `share` makes of each task's blocks and of `vectors`, in the order of tasks."""
    sent = spark.sparkContext.broadcast(vectors)
    parts = _shares(spark, blocks, tasks, share, sent).values().collect()
    sent.destroy()
    return parts


def summed_in_tasks(
    spark: SparkSession, blocks: Sequence[int], tasks: int, share: Share, vectors: Floats
) -> list[Floats]:
    """Returns what added_up(over_blocks(...)) does, added up in tasks by ranges of rows: the driver gets one array."""
    sent = spark.sparkContext.broadcast(vectors)

    def ranges(part: tuple[int, Sequence[Floats]]) -> Iterator[tuple[int, tuple[int, list[Floats]]]]:
        task, arrays = part
        for number, rows in enumerate(zip(*(np.array_split(array, tasks) for array in arrays), strict=True)):
            yield number, (task, list(rows))

    def added(parts: Iterable[tuple[int, list[Floats]]]) -> list[Floats]:
        return added_up([rows for _, rows in sorted(parts, key=itemgetter(0))])

    dealt = _shares(spark, blocks, tasks, share, sent).flatMap(ranges).groupByKey(tasks)
    found = sorted(dealt.mapValues(added).collect(), key=itemgetter(0))
    sent.destroy()
    return [np.concatenate(rows) for rows in zip(*(rows for _, rows in found), strict=True)]


def added_up(parts: Sequence[Sequence[Floats]]) -> list[Floats]:
    """Returns the sum of the first arrays of all parts, of the second arrays, and so on, in the order of parts."""
    return [sum(some[1:], start=some[0]) for some in zip(*parts, strict=True)]


def _shares(
    spark: SparkSession,
    blocks: Sequence[int],
    tasks: int,
    share: Callable[[Sequence[int], Floats], Made],
    vectors: Broadcast[Floats],
) -> RDD[tuple[int, Made]]:
    @leaves_worker_ready
    def of_partition(numbers: Iterable[int]) -> Iterator[tuple[int, Made]]:
        with threadpool_limits(1, "blas"):  # Spark gives a task one core
            for task in numbers:
                yield task, share(blocks[task::tasks], vectors.value)

    return spark.sparkContext.parallelize(range(tasks), tasks).mapPartitions(of_partition)


def solved_users(
    block: AlsBlock, before: Floats | None, item_factors: Floats, gram: Floats, parameters: AlsParameters
) -> Floats:
    """Returns the factors of a block's users, shape (users, rank), starting from `before`."""
    shape = (len(block.cookies), parameters.rank)
    factors = np.zeros(shape, np.float32) if before is None else np.array(before)
    solve_users(
        block.offsets,
        block.items,
        block.weights,
        gram,
        item_factors,
        factors,
        parameters.regularisation,
        parameters.scaling,
        parameters.user_steps,
    )
    return factors


def as_lists(factors: Floats) -> pa.ChunkedArray:
    """Returns factors (n, d) as lists, in chunks of at most MOST_FLOATS, which a list array counts in 32 bits."""
    rank = factors.shape[1]
    rows = max(1, MOST_FLOATS // rank)
    chunks = []
    for start in range(0, max(1, len(factors)), rows):
        some = factors[start : start + rows]
        offsets = pa.array(np.arange(len(some) + 1, dtype=np.int32) * rank)
        chunks.append(pa.ListArray.from_arrays(offsets, pa.array(some.reshape(-1))))
    return pa.chunked_array(chunks)


def _add_products(block: AlsBlock, users: Floats, vectors: Floats, sums: Floats, residual: bool) -> None:
    add_item_products(block.listed, block.item_offsets, block.users, block.item_weights, users, vectors, sums, residual)


def _write_factors(place: StoragePath, number: int, cookies: npt.NDArray[np.int64], factors: Floats) -> DataFile:
    table = pa.table({C.COOKIE_KEY: cookies, C.FACTORS: as_lists(factors)})
    return write_whole(place, f"part-{number:09d}.parquet", table)
