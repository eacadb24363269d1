"""Whether a server keeps buckets compact, has room for a release, and never evicts it: looked at before a load.

Managed servers often refuse CONFIG and leave fields of INFO out. What cannot be read is found out by a probe if
possible; otherwise the load is told what could not be looked at and goes on.
"""

from __future__ import annotations

import logging
import math
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import redis

from larder.loaders.keys import Keys
from larder.loaders.registered_release import ReleaseError
from larder.loaders.servers import Client, info, nodes, number_of, slot_of

LISTPACK_SETTING = "hash-max-listpack-value"
OLD_LISTPACK_SETTING = "hash-max-ziplist-value"
LISTPACK_BYTES = 512
COMPACT = (b"listpack", b"ziplist")
# Memory of buckets that are not compact: measured in Valkey 8.1, 1.26 times with scores and 1.43 times without. Servers
# with an older hash table, and records that are shorter, take more.
TIMES_LARGER = 1.3
MEBIBYTE = 1 << 20
FREEING_SECONDS, POLL_SECONDS = 5.0, 0.1
PROBE_SECONDS = 10

Check: TypeAlias = Literal["require", "warn", "off"]
log = logging.getLogger("larder.loaders")


@dataclass(frozen=True)
class ServerLimits:
    """Looks at a server before a load.

    check: `require` raises ReleaseError for what would harm the server, `warn` warns, `off` does not look.
    """

    client: Client
    namespace: str
    check: Check = "require"

    def before_load(self, needed: int, name: str) -> None:
        """Looks at everything before release `name`, of about `needed` bytes, is written. Raises ReleaseError."""
        if self.check == "off":
            return
        self._judge(lambda: require_listpacks(self.client, self.namespace, needed))
        self._judge(lambda: require_room(self.client, needed, name))

    def _judge(self, look: Callable[[], None]) -> None:
        try:
            look()
        except ReleaseError as error:
            if self.check == "require":
                raise
            log.warning("larder: %s (redis.check is warn, so the load goes on)", error)


def require_listpacks(client: Client, namespace: str, needed: int = 0) -> None:
    """Makes the server keep buckets compact if it does not. Raises ReleaseError, with the remedy, if it can't."""
    for node in nodes(client):
        settings = _listpack_settings(node)
        if settings is None:
            _probe(client, node, namespace, needed)
            continue
        for name, value in settings.items():
            if value < LISTPACK_BYTES:
                try:
                    node.config_set(name, LISTPACK_BYTES)
                except redis.ResponseError as error:
                    raise ReleaseError(
                        f"the server does not let its settings be changed ({error}), and {name} is {value}: a release "
                        f"would take at least {TIMES_LARGER} times its memory{_in_figures(needed)}; set {name} "
                        f"{LISTPACK_BYTES} in the server's configuration"
                    ) from None


def _listpack_settings(node: redis.Redis) -> dict[str, int] | None:
    """Returns the settings that decide about compact hashes; None if CONFIG GET does not tell them."""
    try:
        told = node.config_get("hash-max-*-value")
    except redis.ResponseError:
        return None
    # Redis before 7 knows it as ziplist alone; later ones by both names.
    known = {name: told[name] for name in (LISTPACK_SETTING, OLD_LISTPACK_SETTING) if name in told}
    settings = {name: number for name in known if (number := number_of(known, name)) is not None}
    return settings or None


def _probe(client: Client, node: redis.Redis, namespace: str, needed: int) -> None:
    """Writes a hash with one long value and asks how the server holds it. Raises ReleaseError if it is not compact."""
    key = _key_on(client, node, namespace)
    held: Any = None
    try:
        node.hset(key, "f", b"x" * LISTPACK_BYTES)
        node.expire(key, PROBE_SECONDS)
        held = node.object("ENCODING", key)
    except redis.ResponseError as error:
        log.warning(
            "larder: the server tells neither its settings (CONFIG GET) nor how it holds a hash (OBJECT ENCODING: %s);"
            " if %s is below %d, a release takes at least %s times its memory%s",
            error, LISTPACK_SETTING, LISTPACK_BYTES, TIMES_LARGER, _in_figures(needed),
        )  # fmt: skip
        return
    finally:
        node.unlink(key)
    if held not in (*COMPACT, *(name.decode() for name in COMPACT)):
        shown = held.decode(errors="replace") if isinstance(held, bytes) else str(held)
        raise ReleaseError(
            f"the server holds a hash with a value of {LISTPACK_BYTES} bytes as {shown}, not as listpack: a release "
            f"would take at least {TIMES_LARGER} times its memory{_in_figures(needed)}; set {LISTPACK_SETTING} "
            f"{LISTPACK_BYTES} in the server's parameters, or redis.check to warn"
        )


def _key_on(client: Client, node: redis.Redis, namespace: str) -> bytes:
    """Returns a new key that lies on this node."""
    while True:
        key = Keys(namespace).probe(secrets.token_hex(8))
        if not isinstance(client, redis.RedisCluster):
            return key
        found = client.nodes_manager.get_node_from_slot(slot_of(key))
        if client.get_redis_connection(found) is node:
            return key


def _in_figures(needed: int) -> str:
    if not needed:
        return ""
    return f" ({_mebibytes(round(TIMES_LARGER * needed))} instead of {_mebibytes(needed)} MiB)"


def _mebibytes(count: int) -> str:
    return f"{count / MEBIBYTE:,.{1 if count < 10 * MEBIBYTE else 0}f}"


def require_room(client: Client, needed: int, name: str) -> None:
    """Raises ReleaseError, with the figures, if a server has no room for its share of `needed` bytes.

    Memory of a release that was just retired may be freed a moment after the server has answered, so it is waited for.
    """
    servers = nodes(client)
    share = math.ceil(needed / len(servers))
    for node in servers:
        deadline = time.monotonic() + FREEING_SECONDS
        while lacking := _lacking(node, share, name):
            if time.monotonic() > deadline or not _is_freeing(node):
                raise ReleaseError(lacking)
            time.sleep(POLL_SECONDS)


def _lacking(node: redis.Redis, share: int, name: str) -> str:
    """Returns what is wrong if `share` bytes do not fit, or nothing."""
    memory = info(node, "memory")
    used, limit = number_of(memory, "used_memory"), number_of(memory, "maxmemory")
    what = "maxmemory"
    if not limit:
        what, limit = "the machine's memory", number_of(memory, "total_system_memory")
    if used is None or not limit:
        what = "its limit of memory" if used is not None else "how much memory is in use"
        needed = _mebibytes(share)
        log.warning("larder: the server does not tell %s (INFO); release %s takes about %s MiB", what, name, needed)
        return ""
    if used + share <= limit:
        return ""
    return (
        f"release {name} takes about {share / MEBIBYTE:,.0f} MiB, and the server has {used / MEBIBYTE:,.0f} of"
        f" {limit / MEBIBYTE:,.0f} MiB ({what}) in use: it lacks {(used + share - limit) / MEBIBYTE:,.0f} MiB;"
        " `larder retire` an old release or raise maxmemory; nothing was written"
    )


def _is_freeing(node: redis.Redis) -> bool:
    """Whether the memory in use falls, or objects wait to be freed."""
    before = info(node, "memory")
    time.sleep(POLL_SECONDS)
    after = info(node, "memory")
    pending = number_of(after, "lazyfree_pending_objects") or 0
    fell = (number_of(before, "used_memory") or 0) - (number_of(after, "used_memory") or 0)
    return pending > 0 or fell > MEBIBYTE // 16


def warn_of_eviction(client: Client) -> None:
    """Warns, with the figures, of servers that may evict the lists of a release when their memory is full."""
    for node in nodes(client):
        memory = info(node, "memory")
        policy, limit = str(memory.get("maxmemory_policy", "")), number_of(memory, "maxmemory")
        if policy.startswith("allkeys") and limit != 0:
            used = number_of(memory, "used_memory")
            figures = f"{(used or 0) / MEBIBYTE:,.0f} of {(limit or 0) / MEBIBYTE:,.0f} MiB are in use"
            log.warning(
                "larder: maxmemory-policy is %s: the server may evict lists of the live release when it is full (%s);"
                " set it to noeviction or volatile-ttl, or give releases a server of their own",
                policy, figures if limit else "it does not tell its limit",
            )  # fmt: skip
