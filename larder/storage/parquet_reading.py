"""Opens Parquet files of tables so that damage is noticed: writers give each page a checksum, readers verify it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from larder.storage.filesystems import StoragePath
from larder.storage.manifests import DamagedTableError

# The same for Spark's reader, which verifies nothing unless told.
SPARK_VERIFIES = {"parquet.page.verify-checksum.enabled": "true"}
CHECKSUM = "CRC checksum"  # how pyarrow's message of a wrong one is known: it raises a plain OSError


@contextmanager
def table_file(uri: str, **options: Any) -> Iterator[pq.ParquetFile]:
    """A file of a table, open for reading; `options` are those of pyarrow's ParquetFile.

    Raises DamagedTableError, also from within the block, where content is not what was written. Files of versions that
    wrote no checksums are read without.
    """
    system, path = StoragePath(uri).open()  # pyarrow itself knows no s3a://
    try:
        with system.open_input_file(path) as source:
            yield pq.ParquetFile(source, pre_buffer=False, page_checksum_verification=True, **options)
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:  # a name in a broken footer may be no text
        if isinstance(error, OSError) and CHECKSUM not in str(error):
            raise  # of the store, not of the content
        raise DamagedTableError(
            f"{uri} is damaged ({str(error).strip()}); remove it and run the job of its table again"
        ) from error


def read_columns(uri: str, names: Sequence[str]) -> pa.Table:
    """Some columns of a file of a table, whole. Raises DamagedTableError."""
    with table_file(uri) as parquet:
        return parquet.read(list(names))
