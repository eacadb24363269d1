"""The catalogue as lists need it: a row a product, whatever columns of which types there are."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from models import columns as C
from settings import Settings
from storage import Place


def catalogue_of(spark: SparkSession, settings: Settings) -> DataFrame | None:
    """As it is; None where there is none."""
    place = settings.storage.catalogue
    return spark.read.parquet(place) if Place(place).exists() else None


def column_of(catalogue: DataFrame, name: str, kind: str) -> Column:
    """A column as this type; nulls where the catalogue has none of this name."""
    return (F.col(name) if name in catalogue.columns else F.lit(None)).cast(kind)


def one_row_a_product(catalogue: DataFrame, columns: Mapping[str, Column]) -> DataFrame:
    """PRODUCT_ID, as text, and these columns. Of a product's rows the greatest stays, by the columns in their order."""
    last = F.max(F.struct(*(column.alias(name) for name, column in columns.items()))).alias("last")
    rows = catalogue.where(F.col(C.PRODUCT_ID).isNotNull()).groupBy(F.col(C.PRODUCT_ID).cast("string")).agg(last)
    return rows.select(C.PRODUCT_ID, "last.*")
