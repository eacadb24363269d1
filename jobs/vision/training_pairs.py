"""The second objective's share of a training's input: which pictures are of products bought together."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession

from larder.models import columns as C
from larder.models.hours import as_of_partition, as_text
from larder.models.interactions.co_purchases import bought_together
from larder.models.tables import INTERACTIONS
from larder.storage import Manifest, Tables
from larder.storage.frames import read_frame


def interactions_of(tables: Tables, as_of: int) -> Manifest:
    """The interactions known at an hour. Raises MissingPartitionError."""
    return tables.get(INTERACTIONS, as_of_partition(as_of), f"larder roll-up --end {as_text(as_of)}")


def with_partners(spark: SparkSession, tables: Tables, bought: Manifest, pictures: DataFrame, most: int) -> DataFrame:
    """Adds PARTNERS: at most `most` other products among `pictures`, null for none."""
    interactions = read_frame(spark, tables, [bought], INTERACTIONS.schema)
    return pictures.join(bought_together(interactions, pictures, most), C.PRODUCT_ID, "left")
