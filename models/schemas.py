"""Every table's columns and what is unique in it. Jobs write and read exactly these."""

from pyspark.sql import types as T

from larder.models import columns as C


def _schema(**fields: T.DataType) -> T.StructType:
    return T.StructType([T.StructField(name, type_, nullable=True) for name, type_ in fields.items()])


LONG, INT, STRING, FLOAT, BOOLEAN = T.LongType(), T.IntegerType(), T.StringType(), T.FloatType(), T.BooleanType()
INTS, FLOATS = T.ArrayType(INT), T.ArrayType(FLOAT)

# hourly_counts, a partition an hour. Unique: hour, cookie_key, product_id, location, device.
HOURLY_COUNTS = _schema(
    **{
        C.HOUR: INT,
        C.COOKIE_KEY: LONG,
        C.PRODUCT_ID: STRING,
        C.LOCATION: STRING,  # "" where the event named none
        C.DEVICE: STRING,  # likewise
        C.IMPRESSIONS: INT,
        C.VIEWS: INT,
        C.ADD_TO_CARTS: INT,
        C.PURCHASES: INT,
        C.QUANTITY: INT,  # units purchased
        C.LAST_TS: T.TimestampType(),
    }
)

# bots, a partition an hour. Cookies set aside, none of whose events count. Unique: hour, cookie_key.
BOTS = _schema(**{C.HOUR: INT, C.COOKIE_KEY: LONG, C.EVENTS: LONG})

# quarantine, a partition an hour or a run of image ingestion. One row a rejected input row (or file).
QUARANTINE = _schema(**{C.SOURCE: STRING, C.REASON: STRING, C.RAW: STRING})

# interactions, a partition an `as of`. Unique: cookie_key, product_id.
INTERACTIONS = _schema(
    **{
        C.COOKIE_KEY: LONG,
        C.PRODUCT_ID: STRING,
        C.STRENGTH: LONG,
        C.PURCHASES: LONG,  # purchase events, undecayed
        C.LAST_HOUR: INT,
        C.LAST_PURCHASE_HOUR: INT,  # null where nothing was bought
    }
)

# contexts, a partition an `as of`. Unique: location, device, product_id.
CONTEXTS = _schema(**{C.LOCATION: STRING, C.DEVICE: STRING, C.PRODUCT_ID: STRING, C.STRENGTH: LONG})

# user_factors, item_factors: a partition an `as of`. Unique: the id.
USER_FACTORS = _schema(**{C.COOKIE_KEY: LONG, C.FACTORS: FLOATS})
ITEM_FACTORS = _schema(**{C.PRODUCT_ID: STRING, C.FACTORS: FLOATS})

# images, one partition: the catalogue's pictures, decoded and resized once. Unique: product_id.
IMAGES = _schema(
    **{
        C.PRODUCT_ID: STRING,
        C.CATEGORY: STRING,
        C.PIXELS: T.BinaryType(),  # uint8, height x width x RGB, row by row
        C.HELD_OUT: BOOLEAN,  # kept from training, to measure on
    }
)

# embeddings. Unique: product_id.
EMBEDDINGS = _schema(
    **{
        C.PRODUCT_ID: STRING,
        C.EMBEDDING: T.BinaryType(),  # a vector of length 1 as IEEE 754 binary16, little-endian
    }
)

# release_cookies, release_products, release_contexts, release_dictionary: a partition an `as of`.
# Items are ordinals of the dictionary, best first; scores fall from left to right.
RELEASE_COOKIES = _schema(**{C.COOKIE_KEY: LONG, C.ITEMS: INTS, C.SCORES: FLOATS})
RELEASE_PRODUCTS = _schema(**{C.PRODUCT_ID: STRING, C.ITEMS: INTS, C.SCORES: FLOATS})
RELEASE_CONTEXTS = _schema(**{C.LOCATION: STRING, C.DEVICE: STRING, C.ITEMS: INTS, C.SCORES: FLOATS})
RELEASE_DICTIONARY = _schema(**{C.ORDINAL: INT, C.PRODUCT_ID: STRING})

# release_category_lists: RELEASE_PRODUCTS too, of the products without an embedding.

# What the catalogue says of a product, as the rules on neighbours use it.
TRAIT_TYPES = {C.CATEGORY: "string", C.PRICE: "double", C.SAME_PRODUCT: "string"}

# What precompute passes between its steps: lists of product numbers, before there are ordinals.
PRODUCT_NUMBERS = _schema(**{C.PRODUCT_ID: STRING, C.PRODUCT_NUMBER: INT})
