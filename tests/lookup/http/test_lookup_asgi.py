"""The ASGI application in an event loop of its own: starts, refusals, ends. Its answers are tested with the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest
from lookup_servers import RedisServer

from larder.lookup.asgi import AsgiApplication
from larder.settings import LookupSettings, RedisSettings, Settings

pytestmark = pytest.mark.end_to_end

Message = MutableMapping[str, Any]
KEY = "a key of sixteen and more"


def application(redis_server: RedisServer, **limits: Any) -> AsgiApplication:
    return AsgiApplication(
        Settings(redis=RedisSettings(url=redis_server.url), lookup=LookupSettings(pointer_seconds=0.2, **limits))
    )


async def asked(
    app: AsgiApplication, method: str = "GET", path: str = "/v1/recommendations", query: bytes = b"", **more: Any
) -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, headers and body of the answer to one request."""
    parts = list(more.get("parts", [b""]))
    sent: list[Message] = []

    async def receive() -> Message:
        body = parts.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(parts)}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": more.get("root", "") + path,
        "raw_path": (more.get("root", "") + path).encode(),
        "root_path": more.get("root", ""),
        "query_string": query,
        "headers": more.get("headers", []),
    }
    await app(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


def within_lifespan(app: AsgiApplication, test: Callable[[], Awaitable[None]]) -> list[str]:
    """Runs `test` between start and end; returns what the application told the server."""
    told: list[str] = []
    ended = asyncio.Event

    async def main() -> None:
        begun, done = ended(), ended()
        events = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

        async def receive() -> Message:
            event = next(events)
            if event["type"] == "lifespan.shutdown":
                await done.wait()
            return event

        async def send(message: Message) -> None:
            told.append(message["type"])
            begun.set()

        life = asyncio.create_task(app({"type": "lifespan"}, receive, send))
        await begun.wait()
        try:
            if told == ["lifespan.startup.complete"]:
                await test()
        finally:
            done.set()
            await life

    asyncio.run(main())
    return told


async def ready(app: AsgiApplication) -> None:
    while (await asked(app, path="/health/ready"))[0] != 200:
        await asyncio.sleep(0.02)


def test_it_answers_between_start_and_end(redis_server: RedisServer) -> None:
    app = application(redis_server)

    async def test() -> None:
        await asyncio.wait_for(ready(app), 10)
        status, headers, body = await asked(app, query=b"cookie=c1&n=1")
        assert (status, b'"id":"p3"' in body, headers[b"content-length"]) == (200, True, b"%d" % len(body))
        # Mounted below a path.
        assert (await asked(app, root="/shop", query=b"cookie=c1&n=1"))[0] == 200
        assert (await asked(app, method="HEAD"))[2] == b""
        assert (await asked(app, path="/nowhere"))[0] == 404
        assert (await asked(app, query=b"cookie=\xff"))[0] == 400
        assert (await asked(app, query=b"cookie=" + b"x" * 70_000))[0] == 414

    assert within_lifespan(app, test) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_bodies_are_bounded_and_keys_come_first(redis_server: RedisServer) -> None:
    app = application(redis_server, max_body_bytes=1024, api_keys={"web": KEY})
    batch = {"method": "POST", "path": "/v1/recommendations:batch"}
    key = (b"x-api-key", KEY.encode())

    async def test() -> None:
        await asyncio.wait_for(ready(app), 10)
        whole = [b'{"requests":', b'[{"cookie":"c1"}]}']
        assert (await asked(app, **batch, parts=whole, headers=[key]))[0] == 200
        assert (await asked(app, **batch, parts=[b"x" * 600] * 2, headers=[key]))[0] == 413
        assert (await asked(app, **batch, parts=[], headers=[key, (b"content-length", b"1025")]))[0] == 413
        # Nothing is read of a caller without a key.
        assert (await asked(app, **batch, parts=[], headers=[(b"content-length", b"9")]))[0] == 401

    within_lifespan(app, test)


def test_settings_that_cannot_be_used_are_told_at_the_start() -> None:
    app = AsgiApplication(Settings(redis=RedisSettings(url="http://nowhere")))

    async def test() -> None:
        raise AssertionError("it must not start")

    assert within_lifespan(app, test) == ["lifespan.startup.failed"]
