"""The catalogue as jobs need it: a row a product, whatever columns of which types there are."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from larder.models import columns as C
from larder.settings import Settings
from larder.storage import StoragePath
from larder.storage.event_folders import first_line

READERS = 16


class CatalogueError(ValueError):
    """storage.catalogue is not there, is no Parquet or lacks the products' ids."""


def catalogue_of(spark: SparkSession, settings: Settings) -> DataFrame | None:
    """As it is; None where there is none. Raises CatalogueError."""
    place = settings.storage.catalogue
    if not StoragePath(place).exists():
        return None
    _check_footers(StoragePath(place))
    catalogue = spark.read.parquet(place)
    if C.PRODUCT_ID not in catalogue.columns:
        raise CatalogueError(
            f"{place} (storage.catalogue) has no column {C.PRODUCT_ID}; there are {', '.join(catalogue.columns)}"
        )
    return catalogue


def _check_footers(catalogue: StoragePath) -> None:
    """Raises CatalogueError for a file that is no Parquet, before Spark fills the screen about it."""
    system, _ = catalogue.open()
    files = [info.path for info in catalogue.files()]

    def check(path: str) -> None:
        with system.open_input_file(path) as source:
            try:
                pq.ParquetFile(source)
            except (pa.ArrowInvalid, OSError) as error:  # OSError for a footer that is broken inside
                message = f"{path} (storage.catalogue) is no whole Parquet file: {first_line(error)}"
                raise CatalogueError(message) from None

    if not files:
        raise CatalogueError(f"no file in {catalogue.uri} (storage.catalogue)")
    with ThreadPoolExecutor(READERS) as pool:
        list(pool.map(check, files))


def column_of(catalogue: DataFrame, name: str, kind: str) -> Column:
    """A column as this type; nulls where the catalogue has none of this name."""
    return (F.col(name) if name in catalogue.columns else F.lit(None)).cast(kind)


def one_row_a_product(catalogue: DataFrame, columns: Mapping[str, Column]) -> DataFrame:
    """PRODUCT_ID, as text, and these columns. Of a product's rows the greatest stays, by the columns in their order."""
    last = F.max(F.struct(*(column.alias(name) for name, column in columns.items()))).alias("last")
    rows = catalogue.where(F.col(C.PRODUCT_ID).isNotNull()).groupBy(F.col(C.PRODUCT_ID).cast("string")).agg(last)
    return rows.select(C.PRODUCT_ID, "last.*")
