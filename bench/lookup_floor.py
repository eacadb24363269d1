"""The floor: a lookup without features on Granian, which writes once per turn of the event loop, as the endpoint does.

It reads what bench/lookup_release.py wrote for peers, and shows what the machine allows.
"""

from __future__ import annotations

import asyncio
import os
import struct
from collections import deque
from typing import Any, cast

import hiredis

unpack = struct.Struct("<30I").unpack
HEADERS = [("content-type", "application/json")]


class Wire(asyncio.Protocol):
    """One pipelined connection; trusts Redis with everything."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.reader = hiredis.Reader()
        self.waiting: deque[asyncio.Future[bytes | None]] = deque()
        self.out: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.reader.feed(data)
        while (reply := self.reader.gets()) is not False:
            waiting = self.waiting.popleft()
            if not waiting.done():
                waiting.set_result(reply)

    def get(self, key: bytes) -> asyncio.Future[bytes | None]:
        future = self.loop.create_future()
        self.waiting.append(future)
        if not self.out:
            self.loop.call_soon(self.flush)
        self.out.append(b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(key), key))
        return future

    def flush(self) -> None:
        self.transport.write(b"".join(self.out))
        self.out.clear()


class App:
    """Answers /r/COOKIE."""

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        port = int(os.environ["REDIS_PORT"])
        _, self.wire = loop.run_until_complete(loop.create_connection(Wire, "127.0.0.1", port))

    async def __rsgi__(self, scope: Any, proto: Any) -> None:
        cookie = scope.path[3:].encode()
        value = await self.wire.get(b"rec:" + cookie)
        items = list(unpack(value)[:10]) if value else []
        proto.response_bytes(200, HEADERS, b'{"cookie":"%b","items":%b}' % (cookie, str(items).encode()))


app = App()
