"""Blocks of users from the files of interactions, without a shuffle: a file holds all rows of its cookies, sorted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import SparkSession

from larder.jobs.als.block_files import BLOCKS, BlockFiles
from larder.jobs.runtime.training_files import read_arrays, write_arrays
from larder.models import columns as C
from larder.models.als.als_block import als_block, ranges_between_users
from larder.storage import StoragePath
from larder.storage.parquet_reading import table_file

COUNT = "count"
# Block k of file f has the number f * BLOCKS_A_FILE + k. A file that would have more blocks has larger ones instead.
BLOCKS_A_FILE = 10_000
NO_STRENGTH = "no interaction has any strength: check [weights], and that the roll-up read purchases or views"


class UnsortedTableError(ValueError):
    """Rows of a table are not in the order that its schema promises; the message names the file."""


class NoStrengthError(ValueError):
    """No interaction has any strength."""


class ConfidenceRangeError(ValueError):
    """A confidence is not a number that float32 can hold."""


@dataclass(frozen=True)
class InteractionFiles:
    """Files of table INTERACTIONS, and the factor that turns a strength into a weight: its confidence less 1."""

    uris: Sequence[str]
    factor: float


@dataclass(frozen=True)
class ItemCounts:
    """Products by item number, those with the most users first, so that the rows read most often lie together.

    ids (items,) and counts (items,), the number of users of each.
    """

    ids: pa.Array
    counts: npt.NDArray[np.int64]


def count_items(spark: SparkSession, interactions: InteractionFiles) -> ItemCounts:
    """Returns the products that have any strength. Raises NoStrengthError if none has."""
    uris = list(interactions.uris)
    if uris:
        counts = spark.sparkContext.parallelize(uris, len(uris)).map(counted).treeReduce(_joined)
    if not uris or not len(counts):
        raise NoStrengthError(NO_STRENGTH)
    counts = counts.sort_by([(COUNT, "descending"), (C.PRODUCT_ID, "ascending")]).combine_chunks()
    return ItemCounts(counts[C.PRODUCT_ID].combine_chunks(), counts[COUNT].to_numpy())


def counted(uri: str) -> pa.Table:
    """Returns the number of users of each product in one file."""
    return _sums(_rows(uri, [C.PRODUCT_ID, C.STRENGTH]).group_by(C.PRODUCT_ID).aggregate([([], "count_all")]))


def _joined(left: pa.Table, right: pa.Table) -> pa.Table:
    return _sums(pa.concat_tables([left, right]).group_by(C.PRODUCT_ID).aggregate([(COUNT, "sum")]))


def _sums(table: pa.Table) -> pa.Table:
    names, counts = table[C.PRODUCT_ID].cast(pa.string()), table.column(table.num_columns - 1)
    # Chunks of a result share their buffers, and each would be pickled with all of them.
    return pa.table({C.PRODUCT_ID: names, COUNT: counts}).combine_chunks()


def _rows(uri: str, columns: list[str]) -> pa.Table:
    """Returns the rows that have any strength, products as one dictionary for all row groups of the file."""
    with table_file(uri, read_dictionary=[C.PRODUCT_ID]) as parquet:
        rows = parquet.read(columns, use_threads=False)
    return rows.filter(pc.field(C.STRENGTH) > 0).unify_dictionaries()


def user_blocks(
    spark: SparkSession, interactions: InteractionFiles, ids: pa.Array, place: StoragePath, most: int
) -> BlockFiles:
    """Writes blocks of about `most` interactions and returns them. Blocks that an earlier run finished are reused.

    Products that are not among `ids` (items,) are left out. Raises UnsortedTableError, ConfidenceRangeError.
    """
    done = place / BLOCKS
    if not done.exists():
        files, written = list(enumerate(interactions.uris)), BlockFiles(place, ())
        sent = spark.sparkContext.broadcast(ids)

        def write(file: tuple[int, str]) -> list[int]:
            return _write_file(written, *file, sent.value, interactions.factor, most)

        numbers = spark.sparkContext.parallelize(files, max(1, len(files))).flatMap(write).collect()
        sent.destroy()
        write_arrays(done, {"numbers": np.array(sorted(numbers), np.int64)})
    return BlockFiles(place, tuple(read_arrays(done)["numbers"].tolist()))


def _write_file(blocks: BlockFiles, file: int, uri: str, ids: pa.Array, factor: float, most: int) -> list[int]:
    rows = _rows(uri, [C.COOKIE_KEY, C.PRODUCT_ID, C.STRENGTH])
    products = rows[C.PRODUCT_ID].combine_chunks()
    if not len(products):
        return []
    numbers = pc.index_in(products.dictionary, ids).fill_null(-1).to_numpy()[products.indices.to_numpy()]
    known = numbers >= 0
    cookies = rows[C.COOKIE_KEY].to_numpy()[known]
    with np.errstate(over="ignore"):  # which is told below
        weights = (rows[C.STRENGTH].to_numpy()[known] * factor).astype(np.float32)
    items, written = numbers[known], []
    if not np.isfinite(weights).all():
        raise ConfidenceRangeError(
            f"{uri} has a strength of {rows[C.STRENGTH].to_numpy().max():.3g}, whose confidence is beyond what float32 "
            "holds; lower als.alpha, or look for the event with that quantity"
        )
    if (cookies[1:] < cookies[:-1]).any():  # not by differences, which may be beyond 64 bits
        raise UnsortedTableError(f"{uri} is not in the order of {C.COOKIE_KEY}; make it again with `larder roll-up`")
    most = max(most, -(-len(cookies) // BLOCKS_A_FILE))
    for count, (start, end) in enumerate(ranges_between_users(cookies, most)):
        number = file * BLOCKS_A_FILE + count
        blocks.write_interactions(number, als_block(cookies[start:end], items[start:end], weights[start:end]))
        written.append(number)
    return written
