"""The lock of a namespace: one loader at a time. It expires by itself if its owner was killed."""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from types import TracebackType

import redis

from larder.loaders.keys import Keys
from larder.loaders.releases import ReleaseError
from larder.loaders.servers import Client

POLL_SECONDS = 0.2
RENEWALS_A_LEASE = 3
# Only the owner renews the lock or releases it: the server compares and acts in one step.
RENEW = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"
GIVE_BACK = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class LockError(ReleaseError):
    """Another loader holds the lock, or the lock was lost."""


class Lease:
    """The lock of one namespace, held inside a `with` and renewed meanwhile.

    seconds: after which the lock of a killed loader expires. wait: seconds to wait for another loader. Raises
    LockError, with the owner and the rest of its lease, if the lock is not free in time.
    """

    def __init__(self, client: Client, namespace: str, seconds: float, wait: float = 0.0) -> None:
        self.client, self.key = client, Keys(namespace).lock
        self.seconds, self.wait = seconds, wait
        self.owner = json.dumps(
            {"host": socket.gethostname(), "pid": os.getpid(), "token": secrets.token_hex(8)}, sort_keys=True
        )
        self._ended = threading.Event()
        self._lost = ""
        self._renewer = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> Lease:
        deadline = time.monotonic() + self.wait
        while not self.client.set(self.key, self.owner, nx=True, px=self._milliseconds):
            if time.monotonic() >= deadline:
                raise LockError(f"{holder(self.client, self.key)}; run it again later, or wait longer with --wait")
            time.sleep(POLL_SECONDS)
        self._renewer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._renewer.join()
        with suppress(redis.RedisError):  # it expires by itself
            self.client.eval(GIVE_BACK, 1, self.key, self.owner)

    def check(self) -> None:
        """Raises LockError if the lock is no longer ours. To be called before any change that readers see."""
        if self._lost or not self._renewed():
            raise LockError(f"the lock was lost {self._lost}; nothing was made live; run it again")

    @property
    def _milliseconds(self) -> int:
        return max(1, int(self.seconds * 1000))

    def _renewed(self) -> bool:
        return bool(self.client.eval(RENEW, 1, self.key, self.owner, str(self._milliseconds)))

    def _keep(self) -> None:
        while not self._ended.wait(self.seconds / RENEWALS_A_LEASE):
            try:
                if not self._renewed():
                    self._lost = "to another loader, or with the server's data"
                    return
            except redis.RedisError:
                pass  # check() finds out when it matters


def holder(client: Client, key: bytes) -> str:
    """Returns a line that says who holds the lock, and for how long."""
    value, left = client.get(key), client.pttl(key)
    if not isinstance(value, bytes):
        return "another loader held the lock just now"
    who = json.loads(value)
    return f"{who['host']} (process {who['pid']}) is loading; its lease has {left / 1000:.0f} s left unless renewed"
