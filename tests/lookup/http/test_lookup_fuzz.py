"""Whatever is sent, the endpoint answers with sense or a 4xx that says why, and lives on."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from faulty_redis import FaultyRedis
from lookup_servers import Endpoint, RedisServer, publish_usual, route_of, wait_until

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

SEED = 20261121
WHOLE = (
    b"GET /v1/recommendations?cookie=c1&product=p1&n=3 HTTP/1.1\r\nHost: x\r\nX-Request-Id: a\r\n\r\n",
    b'POST /v1/recommendations:batch HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\n{"requests":[{"cookie":"c1"}]}',
    b"POST /v1/recommendations:batch HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'1e\r\n{"requests":[{"cookie":"c1"}]}\r\n0\r\n\r\n',
)


def test_the_description_holds_against_generated_requests(endpoint: Endpoint, tmp_path: Path) -> None:
    pytest.importorskip("schemathesis")
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    command = ["run", f"{endpoint.url}/openapi.json", "--checks", checks, "--max-examples", "60", "--seed", str(SEED)]
    script = "from schemathesis.cli import schemathesis; schemathesis()"
    done = subprocess.run([sys.executable, "-c", script, *command], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-4000:]


def mutated(draw: random.Random, data: bytes) -> bytes:
    """Some bytes changed, cut out, doubled or put in."""
    found = bytearray(data)
    for _ in range(draw.randrange(1, 6)):
        at = draw.randrange(len(found) + 1)
        match draw.randrange(4):
            case 0:
                found[at : at + 1] = bytes([draw.randrange(256)])
            case 1:
                del found[at : at + draw.randrange(1, 30)]
            case 2:
                found[at:at] = found[at : at + draw.randrange(1, 30)]
            case _:
                found[at:at] = draw.randbytes(draw.randrange(1, 20))
    return bytes(found)


def sent(port: int, data: bytes) -> bytes:
    """The beginning of what comes back; b"" where the connection is closed, or nothing comes at once."""
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.settimeout(0.2)
        try:
            connection.sendall(data)
            return connection.recv(65536)
        except (TimeoutError, ConnectionError):
            return b""


def test_mutated_requests(endpoint: Endpoint) -> None:
    draw, port = random.Random(SEED), int(endpoint.url.rpartition(":")[2])
    statuses = []
    for number in range(400):
        answer = sent(port, mutated(draw, WHOLE[number % len(WHOLE)]))
        if answer.startswith(b"HTTP/"):
            statuses.append(int(answer.split()[1]))
    assert len(statuses) > 100
    assert max(statuses) < 500
    assert endpoint.ask("cookie=c1&n=1")["items"]


PLANES = [chr(plane * 0x10000 + 0x41) for plane in range(17)]


@pytest.mark.parametrize("n", ["0", "-1", str(10**9), "1e3", "NaN", "%00", " ", "1;2"])
def test_an_n_that_is_none(endpoint: Endpoint, n: str) -> None:
    response = endpoint.client.get(f"/v1/recommendations?n={quote(n, safe='%')}")
    assert response.status_code == 400
    assert "n must be" in response.json()["error"]["message"]


@pytest.mark.parametrize("text", [*PLANES, "".join(PLANES), "\x00", "\u202e", "a\ud7ff", "\n", '"', "\\", "{}"])
def test_ids_of_every_plane_are_sound(endpoint: Endpoint, text: str) -> None:
    assert endpoint.ask(f"cookie={quote(text)}&product={quote(text)}&location={quote(text)}")["items"]
    batch = endpoint.client.post("/v1/recommendations:batch", json={"requests": [{"cookie": text, "exclude": text}]})
    assert "answer" in batch.json()["responses"][0]


def test_an_id_of_a_megabyte(endpoint: Endpoint) -> None:
    port = int(endpoint.url.rpartition(":")[2])
    answer = sent(port, b"GET /v1/recommendations?cookie=" + b"x" * (1 << 20) + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert not answer or 400 <= int(answer.split()[1]) < 500
    body = json.dumps({"requests": [{"cookie": "x" * 3000}]})
    response = endpoint.client.post("/v1/recommendations:batch", content=body)
    assert response.json()["responses"][0]["error"]["code"] == "id_too_long"


def test_replies_of_redis_with_flipped_bits(
    own_redis: Callable[..., RedisServer], own_endpoint: Callable[..., Endpoint]
) -> None:
    server = own_redis()
    publish_usual(server.client())
    proxy, draw = FaultyRedis(server.port), random.Random(SEED)
    served = own_endpoint(proxy.url, deadline_ms=50)
    served.wait_ready("r1")
    proxy.spoil = lambda data: mutated(draw, data)
    for _ in range(300):
        response = served.client.get("/v1/recommendations?cookie=c1&product=p1&product=p5")
        assert response.status_code == 200
        assert response.json()["items"]
    proxy.spoil = None
    wait_until(lambda: route_of(served.ask("cookie=c1"), "personal")["status"] == "used", 2)
    proxy.close()
