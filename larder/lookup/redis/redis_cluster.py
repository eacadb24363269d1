"""A Redis Cluster with the interface of one connection: each command goes to the server that owns its key.

While slots move, a server names another one for some keys (MOVED, ASK); those commands are sent again, there.
"""

from __future__ import annotations

import asyncio
import binascii
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any, NamedTuple

import hiredis

from larder.lookup.answer.reasons import REDIS_DOWN, REDIS_TIMEOUT
from larder.lookup.operations.metrics import Histogram
from larder.lookup.redis.address import RedisAddress
from larder.lookup.redis.link import RedisLink
from larder.lookup.redis.redis_commands import command
from larder.lookup.redis.redis_connection import PendingReplies, Replies, Sent, replies_to

SLOTS = 16384
# The interval of CLUSTER SLOTS, and so the longest time for which a moved slot is not found.
LOOK_SECONDS = 0.5
# A server that owns no slot yet is left when nothing was sent to it for so long.
IDLE_SECONDS = 30.0
ASKING = command(b"ASKING")

log = logging.getLogger("larder.lookup")

HostPort = tuple[str, int]


class Redirection(NamedTuple):
    """Where a server says that a key is: for good (MOVED), or for this command alone (ASK)."""

    server: HostPort
    is_ask: bool


class _Visited(NamedTuple):
    """A server that was named by a redirection and owns no slot."""

    link: RedisLink
    task: asyncio.Task[None]
    used: float  # perf_counter()


class ClusterLink:
    """Links to all primaries. Run `run` as a task; `send` never waits and never raises."""

    def __init__(self, address: RedisAddress, deadline: float, name: str) -> None:
        """`address` is any server of the cluster; its user, password and TLS are used for all. See RedisLink."""
        self._address = address
        self._deadline = deadline
        self._name = name
        self._seed = RedisLink(address, deadline, name)
        self._links: dict[HostPort, RedisLink] = {}
        self._tasks: dict[HostPort, asyncio.Task[None]] = {}
        self._owners: list[RedisLink | None] = [None] * SLOTS
        self._visited: dict[HostPort, _Visited] = {}
        self._redirected: set[asyncio.Task[None]] = set()  # kept, or the tasks may be collected before they end
        self._first_attempt = asyncio.Event()
        self._lost = 0

    @property
    def up(self) -> bool:
        """Has every slot a connection with no overdue reply?"""
        return bool(self._links) and None not in self._owners and all(link.up for link in self._links.values())

    @property
    def problem(self) -> str:
        """Why it is not up; "" while it is."""
        if not self._links:
            return self._seed.problem or "the cluster's slots are not known yet"
        problems = [f"{host}:{port}: {link.problem}" for (host, port), link in self._links.items() if link.problem]
        if None in self._owners:
            problems.append(f"{self._owners.count(None)} slots have no server")
        return "; ".join(problems)

    @property
    def reconnects(self) -> int:
        """Connections that were lost."""
        return self._lost + sum(link.reconnects for link in self._links.values())

    async def first_attempt(self) -> None:
        """Waits until the slots are known, or could not be learned."""
        await self._first_attempt.wait()

    def send(
        self, commands: bytes, count: int, seconds: float | None = None, times: Histogram | None = None
    ) -> PendingReplies | str:
        """See RedisLink.send. An unreachable server fails only the commands for its own keys."""
        parts: dict[RedisLink | None, tuple[list[bytes], list[int]]] = {}
        each: list[bytes] = []
        for place, (words, key) in enumerate(split_commands(commands)):
            each.append(words)
            of_server = parts.setdefault(self._owners[slot_of(key)], ([], []))
            of_server[0].append(words)
            of_server[1].append(place)
        # Commands to several servers are timed together, until the last server replied.
        of_one = times if len(parts) == 1 else None
        sent = [
            (REDIS_DOWN if link is None else link.send(b"".join(words), len(words), seconds, of_one), places)
            for link, (words, places) in parts.items()
        ]
        gathered = _Gathered(
            self, sent, each, times if len(parts) > 1 else None, self._deadline if seconds is None else seconds
        )
        result = gathered.whole.result
        return result if isinstance(result, str) else gathered.whole

    def send_again(self, moved: _Moved, seconds: float) -> None:
        """Sends commands where redirections say, and gives their replies to `moved`."""
        task = asyncio.create_task(self._follow_redirections(moved, seconds))
        self._redirected.add(task)
        task.add_done_callback(self._redirected.discard)

    async def run(self) -> None:
        """Keeps the links to all primaries up until cancelled."""
        seed = asyncio.create_task(self._seed.run())
        try:
            await self._seed.first_attempt()
            while True:
                await self._look()
                self._first_attempt.set()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            visits = [visited.task for visited in self._visited.values()]
            for task in (seed, *self._tasks.values(), *visits, *self._redirected):
                task.cancel()

    async def _look(self) -> None:
        """Asks any reachable server for the owners of slots; keeps the known owners if none replies."""
        for link in (self._seed, *self._links.values()):
            replies = await replies_to(link.send(command(b"CLUSTER", b"SLOTS"), 1))
            if not isinstance(replies, str) and isinstance(replies[0], list):
                try:
                    await self._follow(owners_from(replies[0], self._address.host))
                except (ValueError, TypeError, IndexError, AttributeError) as error:
                    log.warning("%s: the reply to CLUSTER SLOTS is malformed: %r", self._name, error)
                    continue
                return

    async def _follow(self, owners: Mapping[HostPort, list[tuple[int, int]]]) -> None:
        new = [place for place in owners if place not in self._links]
        for place in new:
            address = replace(self._address, host=place[0], port=place[1], socket="")
            self._links[place] = RedisLink(address, self._deadline, self._name)
            self._tasks[place] = asyncio.create_task(self._links[place].run())
        await asyncio.gather(*(self._links[place].first_attempt() for place in new))
        slots: list[RedisLink | None] = [None] * SLOTS
        for place, ranges in owners.items():
            for first, last in ranges:
                slots[first : last + 1] = [self._links[place]] * (last + 1 - first)
        self._owners = slots
        for place in set(self._links) - set(owners):
            self._lost += self._links.pop(place).reconnects
            self._tasks.pop(place).cancel()
        for place, visited in list(self._visited.items()):
            if perf_counter() - visited.used > IDLE_SECONDS:
                visited.task.cancel()
                del self._visited[place]

    async def _follow_redirections(self, moved: _Moved, seconds: float) -> None:
        asked = [self._ask(moved, there) for there in set(moved.where.values())]
        try:
            await asyncio.wait_for(asyncio.gather(*asked), seconds)
        except asyncio.TimeoutError:
            moved.fail(REDIS_TIMEOUT)
        finally:  # whatever happens, a request waits for these replies
            moved.finish()

    async def _ask(self, moved: _Moved, there: Redirection) -> None:
        """Sends the commands that go `there`; an ASK holds for the one command that follows ASKING."""
        places = [place for place, redirection in moved.where.items() if redirection == there]
        words = [(ASKING, moved.commands[place]) if there.is_ask else (moved.commands[place],) for place in places]
        link = await self._link_to(there.server)
        commands = b"".join(b"".join(each) for each in words)
        replies = await replies_to(link.send(commands, len(places) * len(words[0])))
        moved.arrived(places, replies if isinstance(replies, str) else replies[len(words[0]) - 1 :: len(words[0])])

    async def _link_to(self, server: HostPort) -> RedisLink:
        host, port = server[0] or self._address.host, server[1]
        link = self._links.get((host, port))
        if link is not None:
            return link
        visited = self._visited.get((host, port))
        if visited is None:
            link = RedisLink(replace(self._address, host=host, port=port, socket=""), self._deadline, self._name)
            visited = _Visited(link, asyncio.create_task(link.run()), 0.0)
        self._visited[host, port] = visited._replace(used=perf_counter())
        await visited.link.first_attempt()
        return visited.link


class _Gathered:
    """Commands that went to the servers of their keys: `whole` gets all replies, in the order of the commands.

    A server that fails leaves an exception as each of its replies; if all fail, `whole` gets the first one's reason.
    """

    def __init__(
        self,
        cluster: ClusterLink,
        parts: Sequence[tuple[Sent, list[int]]],
        commands: list[bytes],
        times: Histogram | None,
        seconds: float,
    ) -> None:
        self.whole = PendingReplies(len(commands))
        self._cluster = cluster
        self._parts = parts
        self._commands = commands
        self._times = times
        self._seconds = seconds
        self._began = perf_counter()
        unfinished = [sent for sent, _ in parts if isinstance(sent, PendingReplies)]
        self._left = len(unfinished)
        for pending in unfinished:
            pending.then = self._arrived
        if not unfinished:
            self._finish()

    def _arrived(self) -> None:
        self._left -= 1
        if not self._left:
            if self._times is not None:
                self._times.add(perf_counter() - self._began)
            self._finish()

    def _finish(self) -> None:
        replies: list[Any] = [None] * len(self._commands)
        where: dict[int, Redirection] = {}
        problems = []
        for sent, places in self._parts:
            found = sent.result if isinstance(sent, PendingReplies) else sent
            if not isinstance(found, list):
                problems.append(found or REDIS_DOWN)
                found = [ConnectionError(found)] * len(places)
            for place, reply in zip(places, found, strict=True):
                replies[place] = reply
                if isinstance(reply, hiredis.ReplyError) and (there := redirection_from(str(reply))) is not None:
                    where[place] = there
        if where:
            left = self._seconds - (perf_counter() - self._began)
            self._cluster.send_again(_Moved(self.whole, self._commands, replies, where), left)
        else:
            self.whole.resolve(problems[0] if len(problems) == len(self._parts) else replies, perf_counter())


class _Moved:
    """Replies of which some are redirections: the commands at `where` are to be sent again."""

    def __init__(
        self, whole: PendingReplies, commands: list[bytes], replies: list[Any], where: dict[int, Redirection]
    ) -> None:
        self.commands = commands
        self.where = where
        self._whole = whole
        self._replies = replies
        self._missing = set(where)

    def arrived(self, places: list[int], replies: Replies) -> None:
        """Takes the replies to the commands at these places, or the reason why there are none."""
        found = [ConnectionError(replies)] * len(places) if isinstance(replies, str) else replies
        for place, reply in zip(places, found, strict=True):
            self._replies[place] = reply
            self._missing.discard(place)

    def fail(self, reason: str) -> None:
        """Gives up what has not arrived."""
        self.arrived(list(self._missing), reason)

    def finish(self) -> None:
        """Hands all replies on."""
        self._whole.resolve(self._replies, perf_counter())


def redirection_from(error: str) -> Redirection | None:
    """Returns what `MOVED 3999 10.0.0.1:6379` or `ASK …` says; a server without a name is the one that was asked."""
    kind, _, rest = error.partition(" ")
    if kind not in ("MOVED", "ASK"):
        return None
    host, _, port = rest.partition(" ")[2].rpartition(":")
    return Redirection((host, int(port)), kind == "ASK") if port.isdigit() else None


def split_commands(commands: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields each RESP command and its first argument, the key."""
    at = 0
    while at < len(commands):
        start = at
        end = commands.index(b"\r\n", at)
        words, at, key = int(commands[at + 1 : end]), end + 2, b""
        for number in range(words):
            end = commands.index(b"\r\n", at)
            size = int(commands[at + 1 : end])
            if number == 1:
                key = commands[end + 2 : end + 2 + size]
            at = end + 2 + size + 2
        yield commands[start:at], key


def slot_of(key: bytes) -> int:
    """Returns the slot of a key without {braces}: CRC16 (XMODEM) mod 16384."""
    return binascii.crc_hqx(key, 0) % SLOTS


def owners_from(reply: list[Any], seed_host: str) -> dict[HostPort, list[tuple[int, int]]]:
    """Returns slot ranges by primary, from a CLUSTER SLOTS reply. A server without a name is at `seed_host`."""
    owners: dict[HostPort, list[tuple[int, int]]] = {}
    for first, last, primary, *_ in reply:
        host = (primary[0] or b"").decode() or seed_host
        owners.setdefault((host, int(primary[1])), []).append((int(first), int(last)))
    return owners
