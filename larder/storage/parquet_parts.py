"""Makes one Parquet file of a table's run in memory and writes it whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from larder.storage.filesystems import StoragePath
from larder.storage.manifests import DataFile

ROW_GROUP_ROWS = 250_000
WHOLE_DICTIONARY = 1 << 28  # bytes: never fall back to plain text half-way through a column


def write_whole(folder: StoragePath, name: str, table: pa.Table) -> DataFile:
    """Writes a file of a run from all of its rows at once."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    data = sink.getvalue()
    (folder / name).write(data)
    return DataFile.of(name, table.num_rows, data)


def part_name(number: int) -> str:
    return f"part-{number:05d}.parquet"


@dataclass(frozen=True)
class PartOptions:
    """How a table's files are encoded.

    `of_few_values`: columns that are dictionary-encoded (True: all); `searched`: columns that keep the minimum and the
    maximum of each row group, for readers to skip by.
    """

    of_few_values: Sequence[str] | bool = True
    searched: Sequence[str] | bool = True
    row_group_rows: int = ROW_GROUP_ROWS


class Part:
    """Rows go in table by table; row groups have a fixed size, so bytes do not depend on how the rows came."""

    def __init__(self, schema: pa.Schema, options: PartOptions | None = None) -> None:
        self.options = options or PartOptions()
        self.sink = pa.BufferOutputStream()
        self.writer = pq.ParquetWriter(
            self.sink,
            schema,
            compression="zstd",
            use_dictionary=self.options.of_few_values,
            write_statistics=self.options.searched,
            dictionary_pagesize_limit=WHOLE_DICTIONARY,
            write_page_checksum=True,
        )
        self.waiting: list[pa.Table] = []
        self.waiting_rows = self.rows = 0

    def add(self, rows: pa.Table) -> None:
        self.waiting.append(rows)
        self.waiting_rows += rows.num_rows
        self.rows += rows.num_rows
        if self.waiting_rows >= self.options.row_group_rows:
            self._flush(final=False)

    def write(self, folder: StoragePath, number: int) -> DataFile:
        """Writes it as the run's file of this number."""
        self._flush(final=True)
        self.writer.close()
        data = self.sink.getvalue()
        (folder / part_name(number)).write(data)
        return DataFile.of(part_name(number), self.rows, data)

    def _flush(self, final: bool) -> None:
        table = pa.concat_tables(self.waiting) if self.waiting else self.writer.schema.empty_table()
        size = self.options.row_group_rows
        rows = table.num_rows if final else table.num_rows - table.num_rows % size
        now, later = table.slice(0, rows).combine_chunks(), table.slice(rows)
        self.writer.write_table(now, row_group_size=size)
        self.waiting, self.waiting_rows = ([later] if later.num_rows else []), later.num_rows
