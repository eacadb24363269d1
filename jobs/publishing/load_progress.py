"""The progress of a load on a terminal: lists, rate and time left."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import redis
from rich.status import Status

from larder.jobs.runtime.stage_report import watched
from larder.loaders.releases import Release, Releases

POLL_SECONDS = 0.5


@contextmanager
def load_progress(releases: Releases, release: Release, rows: int) -> Iterator[None]:
    """Shows the progress of loading `rows` lists of `release`; nothing if standard error is no terminal."""
    with watched(f"load_redis {release.name}", lambda status, done: _watch(releases, release, rows, status, done)):
        yield


def lists_loaded(releases: Releases, name: str) -> int:
    """Returns the number of lists of an unfinished load that the server has confirmed."""
    return sum(int(rows) for rows in releases.client.hvals(releases.keys.load(name)))


def progress_line(name: str, there: int, total: int, since: int, seconds: float) -> str:
    """Returns a line: `there` of `total` lists after `seconds`; `since` of them were there at the start."""
    rate = (there - since) / seconds if seconds > 0 else 0.0
    line = f"load_redis {name}  {there:,} of {total:,} lists  {rate:,.0f}/s"
    if rate <= 0:
        return line
    minutes, left = divmod(int((total - there) / rate), 60)
    return f"{line}  {minutes}:{left:02d} left"


def _watch(releases: Releases, release: Release, total: int, status: Status, done: threading.Event) -> None:
    since, begun = None, time.monotonic()
    while not done.wait(POLL_SECONDS):
        try:
            there = lists_loaded(releases, release.name)
        except redis.RedisError:
            continue  # the load itself reports what is wrong
        since = there if since is None else since
        status.update(progress_line(release.name, there, total, since, time.monotonic() - begun))
