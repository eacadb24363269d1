"""Who may load now: a lock in the server with an owner, that runs out by itself when the owner is gone."""

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
# Only who holds the lock renews it or gives it back: comparing and acting are one step in the server.
RENEW = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"
GIVE_BACK = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class LockError(ReleaseError):
    """Another one holds the lock, or it was lost."""


class Lease:
    """The lock of one namespace, held inside a `with` and renewed meanwhile.

    seconds: after which a holder that was killed no longer holds it. wait: seconds to wait for another holder.
    Raises LockError, with the holder and what is left of its lease, where the lock is not to be had in time.
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
        with suppress(redis.RedisError):  # it runs out by itself
            self.client.eval(GIVE_BACK, 1, self.key, self.owner)

    def check(self) -> None:
        """Raises LockError where the lock is no longer ours. To be called before anything that others see."""
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
                pass  # check() tells, once it matters


def holder(client: Client, key: bytes) -> str:
    """One line on who holds the lock, and for how long yet."""
    value, left = client.get(key), client.pttl(key)
    if not isinstance(value, bytes):
        return "another loader held the lock just now"
    who = json.loads(value)
    return f"{who['host']} (process {who['pid']}) is loading; its lease has {left / 1000:.0f} s left unless renewed"
