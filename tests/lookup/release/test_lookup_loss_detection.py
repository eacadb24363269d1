"""Counting the records of large releases a part at a time, and the share of unknown cookies."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from lookup_servers import KEYS, RedisServer, publish, ranked

from larder.loaders.keys import COOKIES
from larder.lookup.redis.address import parse_address
from larder.lookup.redis.background_read import read
from larder.lookup.redis.link import RedisLink
from larder.lookup.redis.redis_commands import command
from larder.lookup.release import loss_detection, unknown_share
from larder.lookup.release.loss_detection import LossDetector
from larder.lookup.release.served_release import ServedRelease, load_release, read_meta
from larder.lookup.release.unknown_share import UnknownShare

BUCKETS = 101


def checked(server: RedisServer, test: Callable[[LossDetector], Awaitable[None]]) -> None:
    """Runs `test` with a detector of release r1."""

    async def main() -> None:
        link = RedisLink(parse_address(server.url), 5.0, "test")
        run = asyncio.create_task(link.run())
        await link.first_attempt()
        try:
            [raw] = await read(link, [command(b"GET", KEYS.meta("r1"))])
            release: ServedRelease = await load_release(link, KEYS, read_meta(raw, "r1"), 100, 10)
            await test(LossDetector(link, KEYS, release))
        finally:
            run.cancel()

    asyncio.run(main())


@pytest.mark.end_to_end
@pytest.mark.parametrize("lost", [[], [7], [0, 50, 100]])
def test_a_large_release_is_checked_in_turns(
    own_redis: Callable[..., RedisServer], monkeypatch: pytest.MonkeyPatch, lost: list[int]
) -> None:
    monkeypatch.setattr(loss_detection, "COUNTED_COMPLETELY", 20)
    monkeypatch.setattr(loss_detection, "WINDOW", 16)
    server = own_redis()
    cookies = {f"c{number}": ranked("p1", "p2") for number in range(30 * BUCKETS)}
    publish(server.client(), "r1", personal=cookies, generic={("", ""): ranked("p3")}, bucket_counts={COOKIES: BUCKETS})

    async def test(detector: LossDetector) -> None:
        for _ in range(10):
            assert (await detector.check()).losses == {}
        for bucket in lost:
            server.client().delete(KEYS.bucket("r1", COOKIES, bucket))
        found = [(await detector.check()).losses.get("cookies", 0) for _ in range(-(-BUCKETS // 16))]
        assert found[-1] == 30 * len(lost)
        # What was found missing once is looked at again each time, until it is back.
        assert [(await detector.check()).losses.get("cookies", 0) for _ in range(7)] == [30 * len(lost)] * 7
        for bucket in lost:
            server.client().hset(KEYS.bucket("r1", COOKIES, bucket), b"x", b"y")
        assert (await detector.check()).losses == {}

    checked(server, test)


class Cookies:
    """Counts of cookies that a test sets."""

    def __init__(self) -> None:
        self.asked = self.unknown = 0

    def __call__(self) -> tuple[int, int]:
        return self.asked, self.unknown


@pytest.mark.parametrize(("usual", "later", "rises"), [(5, 6, False), (5, 60, True), (60, 60, False), (30, 90, True)])
def test_a_rise_of_unknown_cookies(monkeypatch: pytest.MonkeyPatch, usual: int, later: int, rises: bool) -> None:
    clock = itertools.count(0.0, 2.0)
    fake: Any = type("Clock", (), {"monotonic": staticmethod(lambda: next(clock))})
    monkeypatch.setattr(unknown_share, "time", fake)
    cookies = Cookies()
    share = UnknownShare(cookies)
    for _ in range(20):
        cookies.asked, cookies.unknown = cookies.asked + 100, cookies.unknown + usual
        assert share.rise() == 0
    for _ in range(3):
        cookies.asked, cookies.unknown = cookies.asked + 100, cookies.unknown + later
        assert (share.rise() > 0) is rises
    assert share.share == later / 100
    cookies.asked, cookies.unknown = cookies.asked + 100, cookies.unknown + usual
    assert share.rise() == 0


def test_few_cookies_tell_nothing() -> None:
    cookies = Cookies()
    share = UnknownShare(cookies)
    cookies.asked = cookies.unknown = 20
    assert share.rise() == 0
