"""Bodies of requests: of a size that was agreed on, in a time that is."""

from __future__ import annotations

import asyncio

from granian.rsgi import HTTPProtocol, ProtocolClosed, ProtocolError, Scope

from lookup.refusals import BadRequestError

# Slow enough for the largest body over a slow line, and still an end.
BODY_SECONDS = 10.0


async def read_body(scope: Scope, proto: HTTPProtocol, limit: int) -> bytes:
    """The whole body. Raises BadRequestError where it has more than `limit` bytes or takes too long."""
    announced = scope.headers.get("content-length") or "0"
    if announced.isdigit() and int(announced) > limit:
        raise _too_large(limit)
    try:
        return await asyncio.wait_for(_read(proto, limit), BODY_SECONDS)
    except (asyncio.TimeoutError, ProtocolClosed, ProtocolError):
        raise BadRequestError(
            408, "body_timeout", f"the body did not arrive within {BODY_SECONDS:g} seconds; send it again"
        ) from None


async def _read(proto: HTTPProtocol, limit: int) -> bytes:
    body = bytearray()
    async for piece in proto:
        body += piece
        if len(body) > limit:
            raise _too_large(limit)
    return bytes(body)


def _too_large(limit: int) -> BadRequestError:
    return BadRequestError(413, "body_too_large", f"the body has more than {limit} bytes; split the batch")
