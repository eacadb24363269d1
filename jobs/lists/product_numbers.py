"""Dense numbers of products: lists hold them until the release's dictionary gives each product an ordinal."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

from pyspark.sql import DataFrame

from larder.models import columns as C
from larder.models.tables import Table


def known_products(frames: Mapping[Table, DataFrame]) -> list[str]:
    """All product ids in any source, sorted: their places are their numbers."""
    named = [frame.select(C.PRODUCT_ID) for frame in frames.values() if C.PRODUCT_ID in frame.columns]
    return sorted(row[0] for row in reduce(DataFrame.unionByName, named).distinct().collect())
