"""Every table named once: its columns, what is unique in it, how it is partitioned, and which job writes it.

A table is a string, its name, so it can stand wherever a name is expected. Jobs write and read exactly its columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from larder.models import columns as C

if TYPE_CHECKING:
    from pyspark.sql.types import DataType, StructType

# How tables are partitioned.
HOURLY, AS_OF, CATALOGUE = "dt=YYYY-MM-DD/hr=HH", "as_of=YYYY-MM-DDTHH", "catalogue"

LONG, INT, STRING, FLOAT = "bigint", "int", "string", "float"
BOOLEAN, BINARY, TIMESTAMP = "boolean", "binary", "timestamp"
INTS, FLOATS = "array<int>", "array<float>"

# The logic version of the tables that a job writes, part of every fingerprint. Raise a job's, to the version of Larder
# that brings the change, if the same inputs give other bytes than before: its tables are then made anew. A release of
# Larder that leaves it as it is makes nothing anew. tests/compatibility/test_logic_versions.py says when to decide.
LOGIC = {
    "aggregate_hours": "0.1.1",
    "roll_up": "0.1.0",
    "train_als": "0.1.0",
    "ingest_images": "0.1.0",
    "train_vision": "0.1.0",
    "embed_products": "0.1.0",
    "precompute": "0.1.1",
    "precompute_cookies": "0.1.1",
    "evaluate": "0.1.1",
}


class Table(str):
    """The name of a table, with its contract.

    `columns`: Spark SQL's type by column, in order; all are nullable. Tables of files that are not rows, such as a
    saved model, have none. `key`: the columns that are unique together. `made_by`: the job that writes it.
    """

    columns: Mapping[str, str]
    key: tuple[str, ...]
    partitioned_by: str
    made_by: str

    def __new__(
        cls, name: str, columns: Mapping[str, str], key: tuple[str, ...], partitioned_by: str, made_by: str
    ) -> Table:
        table = super().__new__(cls, name)
        table.columns, table.key, table.partitioned_by, table.made_by = columns, key, partitioned_by, made_by
        return table

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        """Pickles as the bare name: a task needs no more."""
        return str, (str(self),)

    @property
    def logic(self) -> str:
        """The version of the code that the table's bytes follow from."""
        return LOGIC[self.made_by]

    @property
    def schema(self) -> StructType:
        """The table's columns as Spark's schema."""
        from pyspark.sql import types as T

        types: dict[str, DataType] = {
            LONG: T.LongType(),
            INT: T.IntegerType(),
            STRING: T.StringType(),
            FLOAT: T.FloatType(),
            BOOLEAN: T.BooleanType(),
            BINARY: T.BinaryType(),
            TIMESTAMP: T.TimestampType(),
            INTS: T.ArrayType(T.IntegerType()),
            FLOATS: T.ArrayType(T.FloatType()),
        }
        return T.StructType([T.StructField(name, types[type_]) for name, type_ in self.columns.items()])


HOURLY_COUNTS = Table(
    "hourly_counts",
    {
        C.HOUR: INT,
        C.COOKIE_KEY: LONG,
        C.PRODUCT_ID: STRING,
        C.LOCATION: STRING,  # "" if the event named none
        C.DEVICE: STRING,  # likewise
        C.IMPRESSIONS: INT,
        C.VIEWS: INT,
        C.ADD_TO_CARTS: INT,
        C.PURCHASES: INT,
        C.QUANTITY: INT,  # units purchased
        C.LAST_TS: TIMESTAMP,
    },
    key=(C.HOUR, C.COOKIE_KEY, C.PRODUCT_ID, C.LOCATION, C.DEVICE),
    partitioned_by=HOURLY,
    made_by="aggregate_hours",
)
# Cookies with more events in an hour than a person could cause. None of their events is counted.
BOTS = Table(
    "bots",
    {C.HOUR: INT, C.COOKIE_KEY: LONG, C.EVENTS: LONG},
    key=(C.HOUR, C.COOKIE_KEY),
    partitioned_by=HOURLY,
    made_by="aggregate_hours",
)
# One row a rejected event, or a file that can't be read.
QUARANTINE = Table(
    "quarantine",
    {C.SOURCE: STRING, C.REASON: STRING, C.RAW: STRING},
    key=(),
    partitioned_by=HOURLY,
    made_by="aggregate_hours",
)
INTERACTIONS = Table(
    "interactions",
    {
        C.COOKIE_KEY: LONG,
        C.PRODUCT_ID: STRING,
        C.STRENGTH: LONG,
        C.PURCHASES: LONG,  # purchase events, undecayed
        C.LAST_HOUR: INT,
        C.LAST_PURCHASE_HOUR: INT,  # null if nothing was bought
    },
    key=(C.COOKIE_KEY, C.PRODUCT_ID),
    partitioned_by=AS_OF,
    made_by="roll_up",
)
CONTEXTS = Table(
    "contexts",
    {C.LOCATION: STRING, C.DEVICE: STRING, C.PRODUCT_ID: STRING, C.STRENGTH: LONG},
    key=(C.LOCATION, C.DEVICE, C.PRODUCT_ID),
    partitioned_by=AS_OF,
    made_by="roll_up",
)
USER_FACTORS = Table(
    "user_factors",
    {C.COOKIE_KEY: LONG, C.FACTORS: FLOATS},
    key=(C.COOKIE_KEY,),
    partitioned_by=AS_OF,
    made_by="train_als",
)
ITEM_FACTORS = Table(
    "item_factors",
    {C.PRODUCT_ID: STRING, C.FACTORS: FLOATS},
    key=(C.PRODUCT_ID,),
    partitioned_by=AS_OF,
    made_by="train_als",
)
# The catalogue's pictures, decoded and resized once.
IMAGES = Table(
    "images",
    {
        C.PRODUCT_ID: STRING,
        C.CATEGORY: STRING,
        C.PIXELS: BINARY,  # uint8, height x width x RGB, row by row
        C.HELD_OUT: BOOLEAN,  # kept from training, to measure on
    },
    key=(C.PRODUCT_ID,),
    partitioned_by=CATALOGUE,
    made_by="ingest_images",
)
# One row a picture that can't be used.
IMAGE_QUARANTINE = Table(
    "image_quarantine", QUARANTINE.columns, key=(), partitioned_by=CATALOGUE, made_by="ingest_images"
)
# Two files: model.keras and training.json.
VISION_MODEL = Table("vision_model", {}, key=(), partitioned_by=CATALOGUE, made_by="train_vision")
EMBEDDINGS = Table(
    "embeddings",
    {
        C.PRODUCT_ID: STRING,
        C.EMBEDDING: BINARY,  # a vector of length 1 as IEEE 754 binary16, little-endian
    },
    key=(C.PRODUCT_ID,),
    partitioned_by=CATALOGUE,
    made_by="embed_products",
)

# A release: one list a cookie, a product, and a location and device. Items are ordinals of the dictionary, best first;
# scores fall from left to right. The table `release` itself has a manifest alone, which is written last.
RELEASE = Table("release", {}, key=(), partitioned_by=AS_OF, made_by="precompute")
RELEASE_COOKIES = Table(
    "release_cookies",
    {C.COOKIE_KEY: LONG, C.ITEMS: INTS, C.SCORES: FLOATS},
    key=(C.COOKIE_KEY,),
    partitioned_by=AS_OF,
    made_by="precompute",
)
RELEASE_PRODUCTS = Table(
    "release_products",
    {C.PRODUCT_ID: STRING, C.ITEMS: INTS, C.SCORES: FLOATS},
    key=(C.PRODUCT_ID,),
    partitioned_by=AS_OF,
    made_by="precompute",
)
# Lists of the products without an embedding.
RELEASE_CATEGORY_LISTS = Table(
    "release_category_lists", RELEASE_PRODUCTS.columns, RELEASE_PRODUCTS.key, partitioned_by=AS_OF, made_by="precompute"
)
RELEASE_CONTEXTS = Table(
    "release_contexts",
    {C.LOCATION: STRING, C.DEVICE: STRING, C.ITEMS: INTS, C.SCORES: FLOATS},
    key=(C.LOCATION, C.DEVICE),
    partitioned_by=AS_OF,
    made_by="precompute",
)
RELEASE_DICTIONARY = Table(
    "release_dictionary",
    {C.ORDINAL: INT, C.PRODUCT_ID: STRING},
    key=(C.ORDINAL,),
    partitioned_by=AS_OF,
    made_by="precompute",
)
RELEASE_LISTS = (RELEASE_COOKIES, RELEASE_PRODUCTS, RELEASE_CATEGORY_LISTS, RELEASE_CONTEXTS)

# New lists for the cookies that were active since the release. `delta` itself has a manifest alone, written last.
# Parameter of a delta's manifest: the first hour whose cookies have lists in it.
DELTA_START = "start"
DELTA = Table("delta", {}, key=(), partitioned_by=AS_OF, made_by="precompute_cookies")
DELTA_COOKIES = Table(
    "delta_cookies", RELEASE_COOKIES.columns, RELEASE_COOKIES.key, partitioned_by=AS_OF, made_by="precompute_cookies"
)
DELTA_DICTIONARY = Table(
    "delta_dictionary",
    RELEASE_DICTIONARY.columns,
    RELEASE_DICTIONARY.key,
    partitioned_by=AS_OF,
    made_by="precompute_cookies",
)

# report.json, report.html and pictures.html.
EVALUATION = Table("evaluation", {}, key=(), partitioned_by=AS_OF, made_by="evaluate")

TABLES = (
    *(HOURLY_COUNTS, BOTS, QUARANTINE),
    *(INTERACTIONS, CONTEXTS),
    *(USER_FACTORS, ITEM_FACTORS),
    *(IMAGES, IMAGE_QUARANTINE, VISION_MODEL, EMBEDDINGS),
    *(RELEASE, *RELEASE_LISTS, RELEASE_DICTIONARY),
    *(DELTA, DELTA_COOKIES, DELTA_DICTIONARY),
    EVALUATION,
)

# Folders beside the tables, for trainings under way or killed. They may be removed when no training runs.
ALS_SCRATCH, VISION_SCRATCH = "als_scratch", "vision_scratch"

# Frames that pass between steps and are never written.
TRAIT_TYPES = {C.CATEGORY: "string", C.PRICE: "double", C.SAME_PRODUCT: "string"}  # of the catalogue, for rules
PRODUCT_NUMBERS = Table(
    "product_numbers",
    {C.PRODUCT_ID: STRING, C.PRODUCT_NUMBER: INT},
    key=(C.PRODUCT_ID,),
    partitioned_by="",
    made_by="precompute",
)
