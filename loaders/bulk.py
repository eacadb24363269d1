"""The bulk path: batches of lists as HSET commands, sent without waiting for the replies to earlier ones."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import redis

from larder.loaders.codec import Bytes, buckets_and_fields, encode_lists
from larder.loaders.keys import Keys
from larder.loaders.lists import RankedLists, select_lists
from larder.loaders.redis_protocol import hset_commands
from larder.loaders.registered_release import Release
from larder.loaders.servers import Client, owner

ROWS_A_BLOCK = 8192
BLOCKS_UNDER_WAY = 4
RECEIVED_AT_ONCE = 1 << 16


class RateLimiter:
    """Keeps one writer below a number of lists per second; 0 means no limit."""

    def __init__(self, per_second: float = 0.0) -> None:
        self.per_second = per_second
        self._free_at = 0.0
        self._lock = threading.Lock()

    def wait(self, lists: int) -> None:
        """Waits until `lists` more may be written."""
        if not self.per_second:
            return
        with self._lock:
            now = time.monotonic()
            start = max(now, self._free_at)
            self._free_at = start + lists / self.per_second
        time.sleep(start - now)


class PipelinedSocket:
    """A connection for blocks of commands whose replies are integers. Raises redis.RedisError, OSError."""

    def __init__(self, node: redis.Redis) -> None:
        self._pool = node.connection_pool
        self._connection: Any = self._pool.get_connection()
        self._waiting: deque[int] = deque()
        self._received = b""

    def __enter__(self) -> PipelinedSocket:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._waiting:
            self._connection.disconnect()  # replies of these commands are still to come
        self._pool.release(self._connection)

    def send(self, commands: Bytes, count: int) -> None:
        """Sends `count` commands; first waits until at most BLOCKS_UNDER_WAY blocks lack their replies."""
        while len(self._waiting) >= BLOCKS_UNDER_WAY:
            self._receive()
        self._waiting.append(count)
        self._connection.send_packed_command([commands.data])

    def finish(self) -> None:
        """Waits until every command has its reply."""
        while self._waiting:
            self._receive()

    def sum_of_replies(self, commands: bytes, count: int) -> int:
        """Sends `count` commands and returns the sum of their replies; nothing else may be under way."""
        self._waiting.append(count)
        self._connection.send_packed_command([commands])
        parts, missing = [], count
        while missing > 0:
            data = self._some_bytes()
            missing -= data.count(b"\n")
            parts.append(data)
        self._waiting.clear()
        return sum(map(int, b"".join(parts).replace(b":", b"").split()))

    def _some_bytes(self) -> bytes:
        """Returns the next bytes of replies. Raises redis.ResponseError if one of them is an error."""
        data: bytes = self._connection._sock.recv(RECEIVED_AT_ONCE)
        if not data:
            raise redis.ConnectionError("connection closed by the server")
        if b"-" in data:
            raise redis.ResponseError(self._error_in(data))
        return data

    def _receive(self) -> None:
        """Reads the replies to one block.

        redis-py's own parser takes longer for a reply than the server takes for a command.
        """
        missing = self._waiting[0]
        while missing:
            data, self._received = self._received or self._some_bytes(), b""
            lines = data.count(b"\n")
            if lines > missing:  # those after belong to the next block
                at = -1
                for _ in range(missing):
                    at = data.index(b"\n", at + 1)
                self._received, lines = data[at + 1 :], missing
            missing -= lines
        self._waiting.popleft()

    def _error_in(self, data: bytes) -> str:
        text = data[data.index(b"-") + 1 :]
        while b"\r\n" not in text and (more := self._connection._sock.recv(RECEIVED_AT_ONCE)):
            text += more
        return text.partition(b"\r\n")[0].decode(errors="replace")


def send_lists(
    client: Client,
    namespace: str,
    release: Release,
    kind: str,
    lists: RankedLists,
    with_scores: bool,
    pace: RateLimiter,
) -> None:
    """Writes lists of one kind and waits until the server has confirmed all. Raises redis.RedisError, OSError."""
    with ExitStack() as opened:
        sockets: dict[int, PipelinedSocket] = {}
        for node, rows, commands, count in _blocks(client, namespace, release, kind, lists, with_scores):
            if id(node) not in sockets:
                sockets[id(node)] = opened.enter_context(PipelinedSocket(node))
            pace.wait(rows)
            sockets[id(node)].send(commands, count)
        for each in sockets.values():
            each.finish()


def _blocks(
    client: Client, namespace: str, release: Release, kind: str, lists: RankedLists, with_scores: bool
) -> Iterator[tuple[redis.Redis, int, Bytes, int]]:
    """Yields (node, number of lists, commands, number of commands) for blocks of whole buckets.

    A block is small enough for a core's cache.
    """
    keys = Keys(namespace)
    buckets, fields = buckets_and_fields(lists.keys, release.buckets[kind])
    order = np.argsort(buckets)
    starts = np.flatnonzero(np.diff(buckets[order], prepend=-1))  # where the lists of each bucket begin
    names = [keys.bucket(release.name, kind, bucket) for bucket in buckets[order[starts]].tolist()]
    owners, node_of_bucket = _owners(client, names)
    if len(owners) > 1:
        lengths = np.diff(starts, append=len(order))
        by_node = np.argsort(node_of_bucket, kind="stable")
        order = order[np.argsort(np.repeat(node_of_bucket, lengths), kind="stable")]
        starts = np.concatenate(([0], np.cumsum(lengths[by_node])[:-1]))
        names, node_of_bucket = [names[at] for at in by_node.tolist()], node_of_bucket[by_node]
    # A block ends with a bucket: after about ROWS_A_BLOCK lists, and where the next node begins.
    edge = (np.diff(starts // ROWS_A_BLOCK, prepend=-1) > 0) | (np.diff(node_of_bucket, prepend=-1) > 0)
    for first, end in pairwise([*np.flatnonzero(edge).tolist(), len(starts)]):
        start, stop = int(starts[first]), int(starts[end]) if end < len(starts) else len(order)
        some = order[start:stop]
        number = np.repeat(np.arange(end - first), np.diff(starts[first:end], append=stop))
        records = encode_lists(*select_lists(lists, some, with_scores))
        commands = hset_commands(names[first:end], number, fields[some], records)
        yield owners[int(node_of_bucket[first])], len(some), commands, end - first


def _owners(client: Client, names: list[bytes]) -> tuple[list[redis.Redis], npt.NDArray[np.int64]]:
    """Returns the nodes, and for each key the number of its node."""
    if not isinstance(client, redis.RedisCluster):
        return [client], np.zeros(len(names), np.int64)
    found: dict[int, int] = {}
    owners: list[redis.Redis] = []
    where = np.empty(len(names), np.int64)
    for at, name in enumerate(names):
        node = owner(client, name)
        if id(node) not in found:
            found[id(node)] = len(owners)
            owners.append(node)
        where[at] = found[id(node)]
    return owners, where
