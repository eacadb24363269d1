"""What a server's refusal means for whoever runs a load, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from larder.loaders.registered_release import ReleaseError

UNTOUCHED = "the live release is as it was"
# How a server's error begins -> what it means.
MEANINGS = {
    "OOM": "the server is full (maxmemory); `larder retire` an old release or raise maxmemory, then run it again",
    "READONLY": "the server is a read-only replica; set redis.url to the primary",
    "NOPERM": "the user of redis.url lacks a permission that loading needs",
    "NOAUTH": "the server requires a password; set it in redis.url or redis.password_file",
    "WRONGPASS": "the server does not accept the user or password of redis.url",
    "MISCONF": "the server cannot save its data and takes no writes",
    "LOADING": "the server is still reading its data; run it again in a moment",
    "CLUSTERDOWN": "the cluster is down",
    "MOVED": "the cluster's slots are being moved; run it again when that is done",
}
BY_CLASS: tuple[tuple[type[Exception], str], ...] = (
    (redis.exceptions.OutOfMemoryError, "OOM"),
    (redis.exceptions.ReadOnlyError, "READONLY"),
    (redis.exceptions.NoPermissionError, "NOPERM"),
    (redis.exceptions.AuthenticationError, "WRONGPASS"),
    (redis.exceptions.BusyLoadingError, "LOADING"),
)
NOT_REACHED = "there is no connection to the server of redis.url; when there is, run it again: it goes on where it was"


NO_CONNECTION = (redis.ConnectionError, redis.TimeoutError, ConnectionError, TimeoutError)  # other OSErrors: tables


class LoadError(ReleaseError):
    """A load stopped; the message says why, and that the live release was not changed."""


def explained(error: Exception) -> str:
    """Returns a line that says what happened and what to do. It never holds the URL, and so never a password."""
    text = str(error)
    word = next((word for kind, word in BY_CLASS if isinstance(error, kind)), text.partition(" ")[0])
    if word in MEANINGS:
        return f"{MEANINGS[word]}; {UNTOUCHED} ({text})"
    if isinstance(error, NO_CONNECTION):
        return f"{NOT_REACHED}; {UNTOUCHED} ({text})"
    return f"{text}; {UNTOUCHED}"


@contextmanager
def errors_explained() -> Iterator[None]:
    """Turns what a server refuses, or a connection that fails, into a LoadError that says what to do."""
    try:
        yield
    except (redis.RedisError, *NO_CONNECTION) as error:
        raise LoadError(explained(error)) from None
