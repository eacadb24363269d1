"""The lists of products in a release: by picture, and by category for products without a picture."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType

from larder.jobs.lists.catalogue import catalogue_of, column_names, column_of, one_row_a_product
from larder.jobs.lists.list_inputs import ProductAttributes
from larder.models import columns as C
from larder.models.arrow_frames import to_arrow
from larder.models.lists.category_lists import best_sellers_by_path, category_lists
from larder.models.lists.similar_items import neighbour_search, similar_lists
from larder.models.search.constraints import NeighbourConstraints, title_without_size
from larder.models.tables import RELEASE_PRODUCTS, TRAIT_TYPES
from larder.settings import Settings

PROBES, RECALL = "similar_probes", "similar_recall_percent"


class MissingColumnError(ValueError):
    """A setting names a column that the catalogue does not have."""


def lists_by_picture(
    spark: SparkSession,
    embeddings: DataFrame | None,
    numbers: DataFrame,
    attributes: ProductAttributes,
    settings: Settings,
) -> tuple[DataFrame, dict[str, int]]:
    """Returns a list for each product with an embedding, and PROBES and RECALL if the search was approximate.

    Args: `embeddings` has the columns of EMBEDDINGS, or is None, which gives no lists; `numbers` those of
    PRODUCT_NUMBERS; `attributes` are by those numbers. Raises MissingColumnError.
    """
    if embeddings is None:
        return spark.createDataFrame([], RELEASE_PRODUCTS.schema), {}
    wanted, n = settings.similar, settings.lists.similar
    rules = NeighbourConstraints(wanted.department, wanted.price_ratio, wanted.other_sizes, wanted.fold_above)
    embedded = embeddings.join(F.broadcast(numbers), C.PRODUCT_ID)
    traits = read_traits(spark, settings)
    if traits is None:
        embedded = embedded.withColumns({name: F.lit(None).cast(kind) for name, kind in TRAIT_TYPES.items()})
    else:
        embedded = embedded.join(traits, C.PRODUCT_ID, "left")
    spread = embedded.repartition(settings.spark.shuffle_partitions, C.PRODUCT_ID)
    seed = settings.vision.seed
    search = neighbour_search(spread, _listable(attributes, settings), wanted.exact_up_to, wanted.probes, seed)
    search = search.widened_to_recall(wanted.least_recall, n, rules, seed)
    if search.cells is None:
        return similar_lists(spread, search, n, rules), {}
    measured = {PROBES: round(search.cells.probes), RECALL: round(100 * search.recall(n, rules, seed))}
    return similar_lists(spread, search, n, rules), measured


def lists_by_category(
    spark: SparkSession,
    embeddings: DataFrame | None,
    popularity: DataFrame,
    numbers: DataFrame,
    attributes: ProductAttributes,
    settings: Settings,
) -> DataFrame:
    """Returns a list of best sellers of its category for each product of the catalogue that has no embedding.

    Args: as of `lists_by_picture`; `popularity` has PRODUCT_ID and STRENGTH, a decayed count.
    """
    traits = read_traits(spark, settings)
    if traits is None or not settings.similar.by_category:
        return spark.createDataFrame([], RELEASE_PRODUCTS.schema)
    known = traits.join(F.broadcast(numbers), C.PRODUCT_ID, "left")
    sold = known.join(popularity, C.PRODUCT_ID).where(F.col(C.PRODUCT_NUMBER).isNotNull())
    table = to_arrow(sold.select(C.PRODUCT_NUMBER, C.CATEGORY, C.STRENGTH).orderBy(C.PRODUCT_NUMBER))
    listable = _listable(attributes, settings)[table[C.PRODUCT_NUMBER].to_numpy()]
    popularity_of = np.where(listable, table[C.STRENGTH].to_numpy(), 0.0)
    n = settings.lists.similar
    ranked = best_sellers_by_path(
        table[C.PRODUCT_NUMBER].to_numpy(), table[C.CATEGORY].to_pylist(), popularity_of, n + 1
    )
    asked = known.where(F.col(C.CATEGORY).isNotNull())
    if embeddings is not None:
        asked = asked.join(embeddings.select(C.PRODUCT_ID), C.PRODUCT_ID, "left_anti")
    return category_lists(asked.select(C.PRODUCT_ID, C.CATEGORY, C.PRODUCT_NUMBER), ranked, n)


def read_traits(spark: SparkSession, settings: Settings) -> DataFrame | None:
    """Returns PRODUCT_ID, CATEGORY, PRICE and SAME_PRODUCT, a row a product, or None if there is no catalogue.

    Raises MissingColumnError.
    """
    catalogue = catalogue_of(spark, settings)
    if catalogue is None:
        return None
    columns = {name: column_of(catalogue, name, kind) for name, kind in TRAIT_TYPES.items()}
    columns[C.SAME_PRODUCT] = _same_product(catalogue, settings)
    return one_row_a_product(catalogue, columns)


def _listable(attributes: ProductAttributes, settings: Settings) -> npt.NDArray[np.bool_]:
    """Returns which products may stand in another product's list, shape (products,)."""
    return attributes.allowed if settings.similar.in_stock else ~attributes.excluded


def _same_product(catalogue: DataFrame, settings: Settings) -> Column:
    """Returns a column that is equal for one product in all its sizes; null if sizes are not told apart."""
    named = settings.similar.same_product
    if named and named not in catalogue.columns:
        raise MissingColumnError(
            f"similar.same_product is {named!r}, which is no column of {settings.storage.catalogue}; "
            f"there are {', '.join(column_names(settings))}"
        )
    if settings.similar.other_sizes:
        return F.lit(None).cast("string")
    if named:
        return F.col(named).cast("string")
    brand, title = (column_of(catalogue, name, "string") for name in (C.BRAND, C.TITLE))
    return F.udf(title_without_size, StringType())(brand, title)
