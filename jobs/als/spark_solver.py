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
import pyarrow.parquet as pq
from pyspark import RDD, Broadcast
from pyspark.sql import SparkSession
from threadpoolctl import threadpool_limits

from larder.jobs.runtime.python_workers import leaves_worker_ready
from larder.jobs.runtime.training_files import STATES, UserBlocks, read_arrays, remove, write_arrays
from larder.models import columns as C
from larder.models.als.als_block import AlsBlock
from larder.models.als.als_kernels import add_item_products, solve_users
from larder.models.als.implicit_als import AlsParameters
from larder.models.als.item_factors import initial_item_factors, solve_items
from larder.storage import DataFile, StoragePath

Floats = npt.NDArray[np.float32]
Made = TypeVar("Made")
Share = Callable[[Sequence[int], Floats], Sequence[Floats]]

# Above this, what the tasks of a pass have summed is added up in tasks: Spark refuses a job that brings the driver more
# than spark.driver.maxResultSize, a gigabyte by default.
DRIVER_BYTES = 1 << 29


@dataclass(frozen=True)
class AlsTraining:
    """One training. `tasks` share each pass over the blocks; `item_counts` (items,) are users an item."""

    spark: SparkSession
    blocks: UserBlocks
    parameters: AlsParameters
    item_counts: npt.NDArray[np.int64]
    on_iteration: Callable[[int], None] = lambda number: None

    def item_factors(self) -> Floats:
        """Item factors, shape (items, rank). Goes on after the last iteration that an earlier run came through."""
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
        """Solves all users; returns X'X and what item factors leave unexplained."""
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
        """The sums over all blocks, added up in the order of shares, of what each share comes to."""
        tasks = self.parameters.blocks
        if tasks * vectors.nbytes <= DRIVER_BYTES:
            return added_up(over_blocks(self.spark, self.blocks.numbers, tasks, share, vectors))
        return summed_in_tasks(self.spark, self.blocks.numbers, tasks, share, vectors)


def write_user_factors(
    spark: SparkSession,
    blocks: UserBlocks,
    parameters: AlsParameters,
    item_factors: Floats,
    place: StoragePath,
    iteration: int = -1,
) -> tuple[DataFile, ...]:
    """Factors of every user of the blocks for these item factors; a Parquet file of USER_FACTORS a block.

    They go on from those after `iteration`, where one is named.
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
    """What `share` makes of each task's share of the blocks and of `vectors`, in the order of tasks."""
    sent = spark.sparkContext.broadcast(vectors)
    parts = _shares(spark, blocks, tasks, share, sent).values().collect()
    sent.destroy()
    return parts


def summed_in_tasks(
    spark: SparkSession, blocks: Sequence[int], tasks: int, share: Share, vectors: Floats
) -> list[Floats]:
    """As added_up(over_blocks(...)), to the byte; each task adds up a range of rows, so the driver gets one array."""
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
    """The sum of the first arrays of all parts, of the second, and so on; in the order of parts."""
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
    """Factors of a block's users, shape (users, rank), going on from `before`."""
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


def _add_products(block: AlsBlock, users: Floats, vectors: Floats, sums: Floats, residual: bool) -> None:
    add_item_products(block.listed, block.item_offsets, block.users, block.item_weights, users, vectors, sums, residual)


def _write_factors(place: StoragePath, number: int, cookies: npt.NDArray[np.int64], factors: Floats) -> DataFile:
    offsets = pa.array(np.arange(len(factors) + 1, dtype=np.int32) * factors.shape[1])
    lists = pa.ListArray.from_arrays(offsets, pa.array(factors.reshape(-1)))
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({C.COOKIE_KEY: cookies, C.FACTORS: lists}), sink, compression="zstd")
    data, name = sink.getvalue(), f"part-{number:09d}.parquet"
    (place / name).write(data)
    return DataFile.of(name, len(cookies), data)
