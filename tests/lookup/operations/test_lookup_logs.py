"""What the endpoint logs, in both forms, and what it never logs."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from lookup_servers import Endpoint, RedisServer, ids_of, publish_usual, wait_until

from larder.lookup.operations.logs import JsonLines, RateLimitFilter
from larder.lookup.redis.address import parse_address

MOMENT = 1511136000.25
KEY = "key-of-the-web-0123456789"
OTHER_KEY = "another-key-9876543210"
PASSWORD = "password-of-redis"
FIELDS = ["ts", "level", "logger", "pid", "message"]


def record(message: str, *values: object, name: str = "larder.lookup", at: float = MOMENT) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.WARNING, __file__, 1, message, values, None)
    made.created, made.process = at, 7
    return made


def test_a_record_is_an_object_in_one_line() -> None:
    line = JsonLines().format(record("Redis at %s:\n%s", "käse", '"down"'))
    assert "\n" not in line
    assert line.isascii()
    assert json.loads(line) == {
        "ts": "2017-11-20T00:00:00.250000Z",
        "level": "WARNING",
        "logger": "larder.lookup",
        "pid": 7,
        "message": 'Redis at käse:\n"down"',
    }


def test_an_exception_comes_with_its_trace() -> None:
    failed = record("a request failed")
    try:
        raise ValueError("no such thing")
    except ValueError:
        failed.exc_info = sys.exc_info()
    told = json.loads(JsonLines().format(failed))
    assert told["exception"].startswith("Traceback")
    assert told["exception"].endswith("ValueError: no such thing")


def test_the_same_is_said_once_a_minute() -> None:
    seldom = RateLimitFilter()
    said = [("lost %d", 0), ("lost %d", 30), ("other %d", 30), ("lost %d", 61), ("lost %d", 62)]
    assert [seldom.filter(record(message, 1, at=MOMENT + later)) for message, later in said] == [
        *(True, False, True, True, False)
    ]


def test_an_address_is_shown_without_its_password() -> None:
    address = parse_address(f"redis://lookup:{PASSWORD}@127.0.0.1:6379")
    assert address.password == PASSWORD
    assert PASSWORD not in f"{address} {address!r}"


@pytest.mark.end_to_end
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_the_log_is_of_one_form_and_holds_no_key(
    log_format: str,
    own_redis: Callable[..., RedisServer],
    own_endpoint: Callable[..., Endpoint],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    server, log = own_redis(), tmp_path / "log"
    client = server.client()
    publish_usual(client)
    monkeypatch.setenv("LARDER_LOOKUP__API_KEYS", json.dumps({"web": KEY, "next": OTHER_KEY}))
    url = f"redis://lookup:{PASSWORD}@127.0.0.1:{server.port}"
    served = own_endpoint(url, log=log, log_format=log_format, snapshot=tmp_path / "snapshot")
    wait_until(lambda: "WRONGPASS" in log.read_text())
    client.execute_command("ACL", "SETUSER", "lookup", "on", f">{PASSWORD}", "~*", "+@all")
    served.wait_ready("r1")
    path = "/v1/recommendations"
    assert ids_of(served.ask("cookie=c1&n=1", **{"X-API-Key": KEY})) == ["p3"]
    assert served.client.get(path, headers={"X-API-Key": f"{OTHER_KEY}x"}).status_code == 401
    assert served.client.get(f"{path}?key={KEY}", headers={"X-API-Key": OTHER_KEY}).status_code == 400
    server.kill()
    wait_until(lambda: "Connection refused" in log.read_text())
    assert served.stop() == 0

    lines = log.read_text().splitlines()
    # The release, its snapshot, the connections: enough was said to say a key with.
    assert len(lines) >= 5
    for secret in (KEY, OTHER_KEY, PASSWORD):
        assert secret not in log.read_text()
    if log_format == "json":
        assert all([*json.loads(line)] == FIELDS for line in lines)
        assert {json.loads(line)["logger"] for line in lines} >= {"larder.lookup"}
    else:
        assert all("larder.lookup[" in line for line in lines)


def test_others_log_in_the_same_form() -> None:
    script = """
import logging.config
from larder.lookup.operations.logs import logging_config
logging.config.dictConfig(logging_config("json"))
for name in ("larder.lookup", "asyncio", "opentelemetry.sdk"):
    for number in range(2):
        logging.getLogger(name).error("broken: %d", number)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    names = [json.loads(line)["logger"] for line in done.stderr.splitlines()]
    assert names == ["larder.lookup"] * 2 + ["asyncio"] * 2 + ["opentelemetry.sdk"]
