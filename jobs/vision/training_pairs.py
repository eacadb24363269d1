"""The input of the contrastive objective: which pictures are of products that were bought together."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession

from larder.jobs.interactions.rolled_up_state import rolled_up_state
from larder.models import columns as C
from larder.models.interactions.co_purchases import bought_together
from larder.models.tables import INTERACTIONS
from larder.storage import Manifest, Tables
from larder.storage.frames import read_frame


def interactions_of(tables: Tables, as_of: int) -> Manifest:
    """Returns the interactions as of an hour. Raises MissingPartitionError."""
    return rolled_up_state(tables, INTERACTIONS, as_of)


def with_partners(spark: SparkSession, tables: Tables, bought: Manifest, pictures: DataFrame, most: int) -> DataFrame:
    """Adds the column PARTNERS: at most `most` products among `pictures` bought together with each, null for none."""
    interactions = read_frame(spark, tables, [bought], INTERACTIONS.schema)
    return pictures.join(bought_together(interactions, pictures, most), C.PRODUCT_ID, "left")
