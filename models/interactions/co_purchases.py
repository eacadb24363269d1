"""Co-purchases: the products that the same cookies bought."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from larder.models import columns as C

MOST_OF_A_COOKIE = 50  # the strongest count: pairs grow with the square, and one cookie that buys all says little
LEAST_COOKIES = 2  # two products that one cookie alone bought may be chance
MOST_PAIRS = 200_000_000  # of more, a sample of the cookies says as much
SAMPLING_UNITS = 1 << 20


def bought_together(interactions: DataFrame, products: DataFrame, most: int, most_pairs: int = MOST_PAIRS) -> DataFrame:
    """Returns PRODUCT_ID and PARTNERS: up to `most` other products that the same cookies bought, nearest first.

    Nearness is the cosine of the two sets of buyers; ties go to the lower id. A product without partners has no row.
    Args: `interactions` has the columns of INTERACTIONS; `products` has a PRODUCT_ID a row, the products that count;
    `most_pairs` is about the number of pairs that are counted: if there are more, a sample of the cookies is taken.
    """
    ids = products.select(C.PRODUCT_ID).distinct()
    bought = interactions.where(F.col(C.PURCHASES) > 0).join(ids, C.PRODUCT_ID, "left_semi")
    of_cookie = Window.partitionBy(C.COOKIE_KEY).orderBy(F.desc(C.STRENGTH), C.PRODUCT_ID)
    bought = bought.withColumn("_place", F.row_number().over(of_cookie)).where(F.col("_place") <= MOST_OF_A_COOKIE)
    bought = sampled_cookies(bought.select(C.COOKIE_KEY, C.PRODUCT_ID), most_pairs)
    buyers = bought.groupBy(C.PRODUCT_ID).agg(F.count("*").alias("_buyers"))
    other = bought.select(C.COOKIE_KEY, F.col(C.PRODUCT_ID).alias("_other"))
    both = bought.join(other, C.COOKIE_KEY).where(F.col(C.PRODUCT_ID) != F.col("_other"))
    both = both.groupBy(C.PRODUCT_ID, "_other").agg(F.count("*").alias("_both")).where(F.col("_both") >= LEAST_COOKIES)
    others = buyers.select(F.col(C.PRODUCT_ID).alias("_other"), F.col("_buyers").alias("_buyers_of_other"))
    near = F.col("_both") / F.sqrt(F.col("_buyers") * F.col("_buyers_of_other"))
    scored = both.join(buyers, C.PRODUCT_ID).join(others, "_other").withColumn("_near", near)
    of_product = Window.partitionBy(C.PRODUCT_ID).orderBy(F.desc("_near"), "_other")
    ranked = scored.withColumn("_rank", F.row_number().over(of_product)).where(F.col("_rank") <= most)
    pair = F.struct("_rank", "_other")
    grouped = ranked.groupBy(C.PRODUCT_ID).agg(F.sort_array(F.collect_list(pair)).alias("_pairs"))
    return grouped.select(C.PRODUCT_ID, F.col("_pairs._other").alias(C.PARTNERS))


def sampled_cookies(bought: DataFrame, most_pairs: int) -> DataFrame:
    """Keeps the rows of a sample of the cookies, by a hash, that make about `most_pairs` pairs of rows, or all rows."""
    of_cookie = bought.groupBy(C.COOKIE_KEY).agg(F.count("*").alias("_rows"))
    (pairs,) = of_cookie.agg(F.sum(F.col("_rows") * (F.col("_rows") - 1))).first() or (None,)
    if pairs is None or pairs <= most_pairs:
        return bought
    kept = int(SAMPLING_UNITS * most_pairs / pairs)
    return bought.where(F.pmod(F.xxhash64(C.COOKIE_KEY), F.lit(SAMPLING_UNITS)) < max(1, kept))
