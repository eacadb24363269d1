"""Every column named once."""

# The event contract.
EVENT_ID = "event_id"
TS = "ts"
COOKIE_ID = "cookie_id"
SESSION_ID = "session_id"
LOCATION = "location"
DEVICE = "device"
PRODUCT_ID = "product_id"
EVENT_TYPE = "event_type"
QUANTITY = "quantity"
PRICE = "price"
REQUEST_ID = "request_id"

# The catalogue.
TITLE = "title"
CATEGORY = "category"
BRAND = "brand"
IN_STOCK = "in_stock"
IMAGE = "image"
SAME_PRODUCT = "same_product"  # made of the catalogue: equal for one product in all its sizes

# Inside: a cookie is its XXH64 (seed 42, UTF-8) as a signed 64-bit integer.
COOKIE_KEY = "cookie_key"
HOUR = "hour"  # hours since 1970-01-01T00 UTC of the partition in which an event arrived
IMPRESSIONS = "impressions"
VIEWS = "views"
ADD_TO_CARTS = "add_to_carts"
PURCHASES = "purchases"
LAST_TS = "last_ts"
EVENTS = "events"

# Roll-up.
STRENGTH = "strength"  # forward-decayed count, fixed point, relative to a landmark (models/interactions/decay.py)
LAST_HOUR = "last_hour"
LAST_PURCHASE_HOUR = "last_purchase_hour"

# Models and lists.
FACTORS = "factors"
EMBEDDING = "embedding"
PIXELS = "pixels"
HELD_OUT = "held_out"
PARTNERS = "partners"  # products bought together with one
ITEMS = "items"
SCORES = "scores"
PRODUCT_NUMBER = "product_number"  # dense over all known products, in the order of their ids
ORDINAL = "ordinal"  # dense over listed products, by falling frequency: a release's dictionary
HISTORY_ITEMS = "history_items"  # product numbers that a cookie bought
HISTORY_STRENGTHS = "history_strengths"  # their decayed counts
HISTORY_PURCHASES = "history_purchases"  # how often it bought them
HISTORY_DAYS = "history_days"  # days since it last bought them

# Quarantine.
REASON = "reason"
SOURCE = "source"
RAW = "raw"

EVENT_TYPES = ("impression", "view", "add_to_cart", "purchase")
COUNT_OF_TYPE = {
    "impression": IMPRESSIONS,
    "view": VIEWS,
    "add_to_cart": ADD_TO_CARTS,
    "purchase": PURCHASES,
}
