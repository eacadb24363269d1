"""A server as most teams would write it, with FastAPI and redis-py. It reads what bench/lookup_release.py wrote for
peers."""

from __future__ import annotations

import os
import struct
from typing import Any

import redis.asyncio
from fastapi import FastAPI

unpack = struct.Struct("<30I").unpack
app = FastAPI()
server = redis.asyncio.Redis(port=int(os.environ["REDIS_PORT"]))


@app.get("/r/{cookie}")
async def recommend(cookie: str) -> dict[str, Any]:
    """Returns the first ten numbers of the cookie's list."""
    value: Any = await server.get(f"rec:{cookie}")
    return {"cookie": cookie, "items": list(unpack(value)[:10]) if value else []}
