"""A server of the endpoint's own HTTP and Redis connection, without any feature: the difference is what features cost.

It reads the same records as the floor, and gives the same answers.
"""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import Mapping
from functools import partial
from typing import cast

import uvloop

from larder.lookup.http.connections import Connections
from larder.lookup.http.http_connection import accept
from larder.lookup.http.request import Request
from larder.lookup.redis.redis_commands import command
from larder.lookup.redis.redis_connection import PendingReplies, RedisConnection

unpack = struct.Struct("<30I").unpack
HEADERS = b"content-type: application/json\r\n"


class Bare:
    """Answers /r/COOKIE."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection

    def admit_body(self, path: str, headers: Mapping[str, str]) -> None:
        pass

    def take(self, request: Request) -> None:
        cookie = request.path[3:].encode()
        sent = self._connection.send(command(b"GET", b"rec:" + cookie), 1)
        assert isinstance(sent, PendingReplies)
        sent.then = partial(self._answer, request, cookie, sent)

    def _answer(self, request: Request, cookie: bytes, sent: PendingReplies) -> None:
        assert isinstance(sent.result, list)
        [value] = sent.result
        items = list(unpack(value)[:10]) if value else []
        request.respond(200, HEADERS, b'{"cookie":"%b","items":%b}' % (cookie, str(items).encode()))


async def serve() -> None:
    loop = asyncio.get_running_loop()
    connection = RedisConnection(10.0)
    protocol = cast(asyncio.BaseProtocol, connection)
    await loop.create_connection(lambda: protocol, "127.0.0.1", int(os.environ["REDIS_PORT"]))
    connections = Connections(Bare(connection), 0)
    server = await loop.create_server(partial(accept, connections), "127.0.0.1", int(os.environ["PORT"]))
    await asyncio.gather(server.serve_forever(), connections.watch())


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(serve())
