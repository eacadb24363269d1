"""Redis as the last build filled it: this build writes the same keys, and gives the same answers from the kept ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import last_build
import pytest
import redis
from last_build import BASE, DELTA, END, MASKS_VERSION, WHOLE, Contents, contents, is_within, kept_json, restore
from lookup_servers import Endpoint, RedisServer

from larder.jobs import load_redis
from larder.loaders.mask_sets import MaskSets

pytestmark = pytest.mark.end_to_end

META, REGISTRY, MASKS = ":meta", "larder:releases", "larder:masks"  # the first two hold JSON


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    started = RedisServer(tmp_path_factory.mktemp("redis"))
    yield started
    started.kill()


@pytest.fixture
def client(server: RedisServer) -> Iterator[redis.Redis]:
    with server.client() as connected:
        connected.flushall()
        yield connected


def run(job: ModuleType, settings: Path, *words: str) -> None:
    job.run(None, job.parse_arguments(["--settings", str(settings), *words]))


def assert_same_keys(kept: Contents, now: Contents) -> None:
    """Lists and dictionaries to the byte; JSON may have more fields."""
    assert set(now) == set(kept)
    for key, old in kept.items():
        new = now[key]
        if key == REGISTRY or key.endswith(META):
            assert is_within(decoded(old), decoded(new)), key
        elif key == MASKS:
            assert without_version(new) == without_version(old)
        else:
            assert new == old, key


def decoded(typed: dict[str, Any]) -> dict[str, Any]:
    return {
        kind: {field: json.loads(bytes.fromhex(item)) for field, item in value.items()}
        if isinstance(value, dict)
        else json.loads(bytes.fromhex(value))
        for kind, value in typed.items()
    }


def without_version(typed: dict[str, Any]) -> dict[str, str]:
    return {field: item for field, item in typed["hash"].items() if field != MASKS_VERSION}


def test_kept_tables_are_loaded_to_the_kept_keys(
    server: RedisServer, client: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LARDER_REDIS__URL", server.url)
    settings = last_build.copy_release(tmp_path)

    run(load_redis, settings, "--as-of", BASE, "--without-spark")

    assert_same_keys(kept_json(WHOLE), contents(client))

    run(load_redis, settings, "--as-of", END, "--delta", "--without-spark")
    MaskSets(client, "larder").add(["p1"], "out_of_stock")
    MaskSets(client, "larder").add_for("c2", ["p2"], 1_000_000)

    assert_same_keys(kept_json(DELTA), contents(client))


@pytest.mark.parametrize("state", [WHOLE, DELTA])
def test_kept_keys_give_the_kept_answers(server: RedisServer, client: redis.Redis, state: str) -> None:
    restore(client, kept_json(state))
    endpoint = Endpoint(server.url)
    try:
        endpoint.wait_ready(json.loads(bytes.fromhex(live_meta(state)))["release"])
        answers = [asked(endpoint, number, request) for number, request in enumerate(kept_json("requests"))]
    finally:
        endpoint.stop()

    for request, old, new in zip(kept_json("requests"), kept_json(f"{state}_answers"), answers, strict=True):
        assert is_within(old, new), (request, new)


def live_meta(state: str) -> str:
    kept = kept_json(state)
    [name] = [value for field, value in kept["larder:live"]["hash"].items() if bytes.fromhex(field) == b"release"]
    meta: str = kept[f"larder:{bytes.fromhex(name).decode()}{META}"]["string"]
    return meta


def asked(endpoint: Endpoint, number: int, request: dict[str, Any]) -> dict[str, Any]:
    method = "POST" if "body" in request else "GET"
    headers = {"X-Request-Id": f"r{number}"}
    response = endpoint.client.request(method, request["path"], json=request.get("body"), headers=headers)
    return {"status": response.status_code, "body": response.json()}


def test_a_changed_byte_or_answer_would_be_seen() -> None:
    kept = kept_json(WHOLE)
    [bucket] = [key for key in kept if key.endswith(":c:0")]
    field, record = next(iter(kept[bucket]["hash"].items()))
    changed = {**kept, bucket: {"hash": {**kept[bucket]["hash"], field: record[:-2] + "00"}}}
    with pytest.raises(AssertionError):
        assert_same_keys(kept, changed)
    old = kept_json(f"{WHOLE}_answers")[0]
    assert not is_within(old, {**old, "body": {**old["body"], "items": old["body"]["items"][:-1]}})
