"""Reason codes: why a route gave nothing, or not all. They are stable and documented in docs/lookup.md."""

from __future__ import annotations

from typing import Final

NO_PRODUCT: Final = "no_product"
NO_COOKIE: Final = "no_cookie"
UNKNOWN_PRODUCT: Final = "unknown_product"
UNKNOWN_COOKIE: Final = "unknown_cookie"
NO_GENERIC_LIST: Final = "no_generic_list"
NOT_NEEDED: Final = "not_needed"
NOTHING_NEW: Final = "nothing_new"
CORRUPT_RECORD: Final = "corrupt_record"
BREAKER_OPEN: Final = "breaker_open"
SNAPSHOT: Final = "snapshot"
RELEASE_GONE: Final = "release_gone"
REDIS_DOWN: Final = "redis_down"
REDIS_TIMEOUT: Final = "redis_timeout"
REDIS_ERROR: Final = "redis_error"

MEANINGS = {
    NO_PRODUCT: "the query has no product",
    NO_COOKIE: "the query has no cookie",
    UNKNOWN_PRODUCT: "the release has no list for the product (or for some products of the basket)",
    UNKNOWN_COOKIE: "the release has no list for the cookie",
    NO_GENERIC_LIST: "the release has no generic list at any level of the ladder",
    NOT_NEEDED: "the routes before it already filled the answer",
    NOTHING_NEW: "every product of its list is masked, part of the query, excluded, or in the answer already",
    CORRUPT_RECORD: "its record is damaged",
    BREAKER_OPEN: "the route failed several times in a row and is skipped for a while",
    SNAPSHOT: "no release could be loaded from Redis since the start; generic lists come from the snapshot on disk",
    RELEASE_GONE: "the release is not in Redis any more, or another one has its name; what is in process is served",
    REDIS_DOWN: "there is no connection to Redis",
    REDIS_TIMEOUT: "Redis did not reply within the route's time limit",
    REDIS_ERROR: "Redis replied with an error",
}
