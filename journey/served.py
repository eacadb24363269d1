"""Served answers column by column, as the endpoint gathers them. Standard library only."""

from __future__ import annotations

from array import array


class Served:
    """Answers of one release within one hour.

    Columns of a value an answer, but for `ordinals` (one an item: its place in `names`, which holds the release's
    products named as in the answer: JSON) and `routes` with `route_counts` (one a run of items of a route).
    """

    __slots__ = (
        "cookies", "counts", "devices", "hour", "locations", "names", "ordinals", "release", "request_ids",
        "route_counts", "routes", "times",
    )  # fmt: skip

    def __init__(self, hour: int, release: str, names: list[bytes]) -> None:
        """`hour` in hours since 1970 UTC."""
        self.hour = hour
        self.release = release
        self.names = names
        # Arrays where Arrow takes their memory as it is: making objects of it would keep the event loop waiting.
        self.times = array("d")  # seconds since 1970 UTC
        self.cookies: list[str] = []
        self.request_ids: list[bytes] = []
        self.locations: list[str | None] = []
        self.devices: list[str | None] = []
        self.counts = array("i")
        self.ordinals = array("I")
        self.routes: list[str] = []
        self.route_counts = array("i")

    def __len__(self) -> int:
        return len(self.times)
