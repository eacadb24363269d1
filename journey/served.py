"""Served answers column by column, as the endpoint gathers them. Standard library only."""

from __future__ import annotations


class Served:
    """Answers of one release within one hour.

    Lists of a value an answer, but for `products` (one an item, named as in the answer: JSON) and `routes` with
    `route_counts` (one a run of items of a route).
    """

    __slots__ = (
        "cookies", "counts", "devices", "hour", "locations", "products", "release", "request_ids", "route_counts",
        "routes", "times",
    )  # fmt: skip

    def __init__(self, hour: int, release: str) -> None:
        """`hour` in hours since 1970 UTC."""
        self.hour = hour
        self.release = release
        self.times: list[float] = []  # seconds since 1970 UTC
        self.cookies: list[str] = []
        self.request_ids: list[bytes] = []
        self.locations: list[str] = []
        self.devices: list[str] = []
        self.counts: list[int] = []
        self.products: list[bytes] = []
        self.routes: list[str] = []
        self.route_counts: list[int] = []

    def __len__(self) -> int:
        return len(self.times)
