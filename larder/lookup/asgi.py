"""The endpoint as an ASGI application for uvicorn, Granian or hypercorn: `uvicorn larder.lookup.asgi:app`.

It gives the same answers as `larder serve`, whose own HTTP server is faster. Connections, their time limits, TLS and
the number of workers are up to the ASGI server. Each worker has counters and rate limits of its own.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from larder.lookup.http.answer_future import AnswerFuture
from larder.lookup.http.application import LookupApp
from larder.lookup.http.http_connection import KNOWN_HEADERS, MAX_HEAD_BYTES
from larder.lookup.http.http_errors import BadRequestError
from larder.lookup.http.request import Request
from larder.lookup.http.request_parts import content_length, path_of
from larder.settings import Settings, load_settings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class AsgiApplication:
    """An ASGI 3 application. It reads the settings when it starts, or uses those that it is given."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings
        self._app: LookupApp | None = None
        self._most_body = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serves one connection scope: the server's lifespan or one request."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            self._started()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self._app is not None:
            await self._app.stop_within_loop()
        await send({"type": "lifespan.shutdown.complete"})

    def _started(self) -> LookupApp:
        """Returns the application, which starts here if the server has no lifespan."""
        if self._app is None:
            settings = self._settings if self._settings is not None else load_settings()
            app = LookupApp(settings)
            app.start(asyncio.get_running_loop(), _end_process)
            self._most_body = settings.lookup.max_body_bytes
            self._app = app
        return self._app

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        app, answer = self._started(), AnswerFuture()
        app.take(await self._request(app, answer, scope, receive))
        status, lines, body = await answer.answer
        size = len(body)
        headers = [(name, value) for name, _, value in (line.partition(b": ") for line in lines.split(b"\r\n") if line)]
        if scope["method"] != "HEAD":
            headers.append((b"content-length", b"%d" % size))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _request(self, app: LookupApp, answer: AnswerFuture, scope: Message, receive: Receive) -> Request:
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            known = KNOWN_HEADERS.get(name.lower())
            if known is not None and known not in headers:
                headers[known] = value.decode("utf-8", "surrogateescape")
        raw_path, raw_query = scope.get("raw_path"), scope["query_string"]
        path = (path_of(raw_path) if raw_path else scope["path"]).removeprefix(scope.get("root_path") or "")
        query, body, problem = "", b"", None
        try:
            if len(raw_path or b"") + len(raw_query) > MAX_HEAD_BYTES:
                raise BadRequestError(414, "uri_too_long", f"the URL has more than {MAX_HEAD_BYTES} bytes; use a batch")
            query = raw_query.decode()
            body = await self._body(app, path, headers, receive)
        except UnicodeDecodeError:
            problem = BadRequestError(400, "invalid_encoding", "the query is not percent-encoded UTF-8")
        except BadRequestError as error:
            problem = error
        return Request(answer, scope["method"], path, query, headers, body, False, problem)

    async def _body(self, app: LookupApp, path: str, headers: dict[str, str], receive: Receive) -> bytes:
        """Returns the body. Raises BadRequestError if it is too large, or its caller is not admitted."""
        length = headers.get("content-length", "0")
        if length != "0" or "transfer-encoding" in headers:
            app.admit_body(path, headers)
        too_large = BadRequestError(
            413, "body_too_large", f"the body has more than {self._most_body} bytes; split the batch"
        )
        if length.isascii() and length.isdigit() and content_length(length) > self._most_body:
            raise too_large
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._most_body:
                raise too_large
            more = message.get("more_body", False)
        return b"".join(parts)


def _end_process() -> None:
    """Has the server stop, and whoever started it start another: a background task has failed."""
    os.kill(os.getpid(), signal.SIGTERM)


app = AsgiApplication()
