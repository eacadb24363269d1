"""An application that answers when it is told to, and callers of it on real connections."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from larder.lookup.http.connections import Connections
from larder.lookup.http.http_connection import accept
from larder.lookup.http.http_errors import BadRequestError
from larder.lookup.http.request import Request

MOST_BODY = 1000
GET = b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n"


class Echo:
    """Says what it was asked; of paths that begin with `later`, only when told."""

    def __init__(self) -> None:
        self.later: list[Request] = []
        self.connections = Connections(self, MOST_BODY)

    def take(self, request: Request) -> None:
        if request.path.startswith("/later"):
            self.later.append(request)
        else:
            self.answer(request)

    def answer(self, request: Request) -> None:
        if request.problem is not None:
            request.respond(request.problem.status, b"", request.problem.code.encode())
        else:
            said = [request.method, request.path, request.query, request.headers, request.body.decode()]
            request.respond(200, b"x-said: yes\r\n", json.dumps(said).encode())

    def admit_body(self, path: str, headers: Mapping[str, str]) -> None:
        if path == "/closed":
            raise BadRequestError(401, "unauthorised", "no")


class Caller:
    """A connection to it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> tuple[int, dict[str, str]]:
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        return int(lines[0].split()[1]), headers

    async def answer(self) -> tuple[int, str]:
        status, headers = await self.head()
        return status, (await self.reader.readexactly(int(headers["content-length"]))).decode()

    async def said(self) -> list[object]:
        status, body = await self.answer()
        assert status == 200, body
        found: list[object] = json.loads(body)
        return found

    async def is_ended(self) -> bool:
        return await self.reader.read() == b""


Talk = Callable[[Echo, Callable[[], Awaitable[Caller]]], Awaitable[None]]


def talk(test: Talk) -> None:
    async def main() -> None:
        echo, callers = Echo(), []
        server = await asyncio.get_running_loop().create_server(partial(accept, echo.connections), "127.0.0.1", 0)

        async def call() -> Caller:
            callers.append(Caller(*await asyncio.open_connection(*server.sockets[0].getsockname())))
            return callers[-1]

        try:
            await asyncio.wait_for(test(echo, call), 20)
        finally:
            for caller in callers:
                caller.writer.close()
            server.close()
            await echo.connections.end(0)

    asyncio.run(main())


async def later(echo: Echo, count: int) -> None:
    while len(echo.later) < count:
        await asyncio.sleep(0.001)
