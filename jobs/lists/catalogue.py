"""The catalogue as jobs need it: a row a product, whatever other columns of whatever types its files have.

Only the columns that Larder knows are read, and by the reader that events have: one product has one id in both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from larder.jobs.runtime.notices import tell
from larder.models import columns as C
from larder.models.events.casting import as_number
from larder.models.events.id_texts import as_text
from larder.settings import Settings
from larder.storage import StoragePath
from larder.storage.event_folders import first_line
from larder.storage.event_reading import batches_of, open_parquet

READERS = 16
TEXT, NUMBER, BOOLEAN = "string", "double", "boolean"
TYPES = {
    C.PRODUCT_ID: TEXT,
    C.TITLE: TEXT,
    C.CATEGORY: TEXT,
    C.BRAND: TEXT,
    C.IMAGE: TEXT,
    C.PRICE: NUMBER,
    C.IN_STOCK: BOOLEAN,
}
# Texts that mean yes or no, in any letter case, as Spark SQL has them.
YES, NO = ("t", "true", "y", "yes", "1"), ("f", "false", "n", "no", "0")
ARROW = {TEXT: pa.string(), NUMBER: pa.float64(), BOOLEAN: pa.bool_()}


class CatalogueError(ValueError):
    """storage.catalogue can't be used: it is no Parquet, or has no ids of products; the message says what to do."""


class _Part(NamedTuple):
    """A file of the catalogue."""

    uri: str
    schema: pa.Schema
    row_groups: int


def catalogue_of(spark: SparkSession, settings: Settings) -> DataFrame | None:
    """The catalogue as a DataFrame, or None if storage.catalogue does not exist.

    Its columns: those of TYPES, and the one that similar.same_product names, that some file has. Values that can't be
    read as their column's type are null. Raises CatalogueError.
    """
    if not StoragePath(settings.storage.catalogue).exists():
        return None
    parts = _parts(settings)
    types = _types(parts, settings)
    pieces = [(part.uri, group) for part in parts for group in range(part.row_groups)]
    schema = ", ".join(f"`{name}` {kind}" for name, kind in types.items())

    def read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for uri, group in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                yield from _read(uri, group, types)

    return spark.createDataFrame(pieces, "uri string, row_group int").mapInArrow(read, schema)


def column_names(settings: Settings) -> list[str]:
    """The names of all columns of the catalogue's files. Raises CatalogueError."""
    return list(dict.fromkeys(name for part in _parts(settings) for name in part.schema.names))


def column_of(catalogue: DataFrame, name: str, kind: str) -> Column:
    """Returns a column as this type, or nulls if the catalogue has no column of this name."""
    return (F.col(name) if name in catalogue.columns else F.lit(None)).cast(kind)


def one_row_a_product(catalogue: DataFrame, columns: Mapping[str, Column]) -> DataFrame:
    """Returns PRODUCT_ID and these columns. Of a product's rows the greatest stays, by the columns in their order."""
    last = F.max(F.struct(*(column.alias(name) for name, column in columns.items()))).alias("last")
    rows = catalogue.where(F.col(C.PRODUCT_ID).isNotNull()).groupBy(C.PRODUCT_ID).agg(last)
    return rows.select(C.PRODUCT_ID, "last.*")


def _parts(settings: Settings) -> list[_Part]:
    """The catalogue's files. Raises CatalogueError, one line instead of Java's hundred."""
    catalogue = StoragePath(settings.storage.catalogue)
    system, root = catalogue.open()
    files = [info.path for info in catalogue.files()]

    def look(path: str) -> _Part:
        uri = catalogue.uri if path == root else (catalogue / path[len(root) :].lstrip("/")).uri
        with system.open_input_file(path) as source:
            try:
                footer = pq.read_metadata(source)
                return _Part(uri, footer.schema.to_arrow_schema(), footer.num_row_groups)
            # OSError for a footer that is broken inside, ValueError for one in which a name is no text.
            except (pa.ArrowException, OSError, ValueError) as error:
                message = f"{path} (storage.catalogue) is no whole Parquet file: {first_line(error)}"
                raise CatalogueError(message) from None

    if not files:
        raise CatalogueError(f"no file in {catalogue.uri} (storage.catalogue)")
    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(look, files))


def _types(parts: list[_Part], settings: Settings) -> dict[str, str]:
    """The columns to read and their types. Raises CatalogueError; tells of columns that can't be read."""
    place = f"{settings.storage.catalogue} (storage.catalogue)"
    wanted = dict(TYPES)
    if settings.similar.same_product:
        wanted.setdefault(settings.similar.same_product, TEXT)
    names = [name for part in parts for name in dict.fromkeys(part.schema.names)]
    there = Counter(names)
    lower = {name.lower(): name for name in wanted}
    alike = {name: lower[name.lower()] for name in there if name.lower() in lower and name not in wanted}
    for part in parts:
        twice = [name for name in wanted if part.schema.names.count(name) > 1]
        if twice:
            raise CatalogueError(f"{part.uri} (storage.catalogue) has several columns called {', '.join(twice)}")
        if C.PRODUCT_ID not in part.schema.names:
            meant = next((name for name in part.schema.names if alike.get(name) == C.PRODUCT_ID), None)
            hint = f"; rename {meant}, letter case counts" if meant else f"; there are {', '.join(part.schema.names)}"
            raise CatalogueError(f"{part.uri} (storage.catalogue) has no column {C.PRODUCT_ID}{hint}")
        nested = [name for name in wanted if name in part.schema.names and _is_nested(part.schema.field(name).type)]
        if C.PRODUCT_ID in nested:
            raise CatalogueError(
                f"{part.uri} (storage.catalogue): {C.PRODUCT_ID} is a list or a struct, which is no id"
            )
        if nested:
            tell(f"{part.uri} (storage.catalogue): {', '.join(nested)} can't be read as one value a product")
    for name, meant in alike.items():
        if there[meant] < len(parts):
            tell(f"{place}: column {name} is not read, since letter case counts; rename it to {meant}")
    return {name: kind for name, kind in wanted.items() if name in there}


def _is_nested(kind: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind))


def _read(uri: str, group: int, types: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
    system, path = StoragePath(uri).open()
    with system.open_input_file(path) as source:
        file = open_parquet(source)
        names = [name for name in types if name in file.schema_arrow.names]
        for batch in batches_of(file, [group], names):
            arrays = [
                _as(batch.column(name), kind) if name in names else pa.nulls(len(batch), ARROW[kind])
                for name, kind in types.items()
            ]
            yield pa.record_batch(arrays, list(types))


def _as(array: pa.Array, kind: str) -> pa.Array:
    """The values as this type, null where they can't be read."""
    if kind == TEXT:
        return as_text(array)[0]
    if kind == NUMBER:
        values, _ = as_number(array)
        return pa.array(values, mask=np.isnan(values))
    return _booleans(array)


def _booleans(array: pa.Array) -> pa.Array:
    """A number is true unless it is 0; a text if it is one of YES, false if one of NO."""
    if isinstance(array, pa.ExtensionArray):
        return _booleans(array.storage)
    if pa.types.is_boolean(array.type) or pa.types.is_null(array.type):
        return array.cast(pa.bool_())
    if pa.types.is_integer(array.type) or pa.types.is_floating(array.type) or pa.types.is_decimal(array.type):
        values, _ = as_number(array)
        return pa.array(values != 0, mask=np.isnan(values))
    texts = pc.utf8_lower(pc.utf8_trim_whitespace(as_text(array)[0]))
    is_yes, is_no = (pc.is_in(texts, pa.array(words)) for words in (YES, NO))
    return pc.if_else(is_yes, True, pc.if_else(is_no, False, pa.scalar(None, pa.bool_())))
