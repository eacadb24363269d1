"""Starting and ending the endpoint, and what it needs to be installed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from lookup_servers import SERVE, Endpoint, RedisServer, ids_of, publish_usual, wait_until

from larder.lookup.operations.serve import ServeError, free_address

CANNOT_BEGIN = "import sys; from larder.lookup.operations.supervisor import supervise; supervise(sys.exit, 2, print)"
FOREIGN = (
    "pyspark",
    "tensorflow",
    "pyarrow",
    "pandas",
    "opentelemetry",
    "larder.storage",
    "larder.models",
    "larder.jobs",
)
# Stands for an environment without OpenTelemetry.
BLOCKED = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("opentelemetry", "confluent_kafka"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
"""


def test_needs_neither_spark_nor_tensorflow() -> None:
    imports = "import sys, larder.lookup.http.application, larder.lookup.operations.serve"
    script = f"{imports}\nprint(*[name for name in {FOREIGN!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_taken_port_is_told() -> None:
    with socket.socket() as holder:
        # As workers bind: a second server with the same flag would share the port unnoticed.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(ServeError, match=f"port {port}.*lookup.port"):
            free_address("127.0.0.1", port)


def test_a_host_that_is_not_here_is_told() -> None:
    with pytest.raises(ServeError, match=r"lookup\.host"):
        free_address("192.0.2.1", 0)


def test_a_free_port_is_found() -> None:
    host, port = free_address("localhost", 0)
    assert host in ("127.0.0.1", "::1")
    assert port > 0


@pytest.mark.parametrize("url", ["", "http://x", "redis://x/nonsense"])
def test_an_address_that_is_none_stops_at_start(url: str) -> None:
    environment = {**os.environ, "LARDER_REDIS__URL": url, "LARDER_LOOKUP__PORT": "0"}
    done = subprocess.run([sys.executable, "-c", SERVE], env=environment, capture_output=True, text=True)
    assert done.returncode != 0
    assert "redis.url" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        (
            "TRACES",
            "http://127.0.0.1:4318",
            "lookup.traces needs opentelemetry: pip install 'larder[traces]', or leave it empty",
        ),
        (
            "KAFKA",
            "127.0.0.1:9092",
            "lookup.kafka needs confluent_kafka: pip install 'larder[kafka]', or leave it empty",
        ),
    ],
)
def test_a_package_that_is_missing_stops_at_start(variable: str, value: str, told: str) -> None:
    settings = {"LARDER_REDIS__URL": "redis://127.0.0.1", f"LARDER_LOOKUP__{variable}": value}
    environment = {**os.environ, **settings, "LARDER_LOOKUP__PORT": "0"}
    done = subprocess.run([sys.executable, "-c", BLOCKED + SERVE], env=environment, capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1].endswith(told)


def test_what_librdkafka_does_not_take_stops_at_start_and_shows_no_secret() -> None:
    settings = {
        "LARDER_REDIS__URL": "redis://127.0.0.1",
        "LARDER_LOOKUP__KAFKA": "127.0.0.1:9092",
        "LARDER_LOOKUP__KAFKA_OPTIONS": '{"sasl.pasword": "hunter2"}',
    }
    done = subprocess.run(
        [sys.executable, "-c", SERVE], env={**os.environ, **settings}, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "lookup.kafka_options cannot be used" in done.stderr.splitlines()[-1]
    assert "sasl.pasword" in done.stderr.splitlines()[-1]
    assert "hunter2" not in done.stderr


@pytest.mark.end_to_end
def test_counters_of_all_workers_are_told_by_each(
    redis_server: RedisServer, own_endpoint: Callable[..., Endpoint]
) -> None:
    served = own_endpoint(redis_server.url, workers=2)
    wait_until(lambda: all(served.readiness()["ready"] for _ in range(20)))
    asked = 40
    for _ in range(asked):
        # A connection of its own each, so that the kernel spreads them over the workers.
        with socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2])), 5) as connection:
            connection.sendall(b"GET /v1/recommendations?cookie=c1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    total = f'larder_lookup_requests_total{{endpoint="recommendations",status="200"}} {asked}\n'
    timed = f'larder_lookup_route_seconds_count{{route="personal"}} {asked}\n'
    wait_until(lambda: total in (said := served.client.get("/metrics").text) and timed in said)


@pytest.mark.end_to_end
def test_a_signal_lets_requests_end(
    own_redis: Callable[..., RedisServer], own_endpoint: Callable[..., Endpoint]
) -> None:
    server = own_redis()
    publish_usual(server.client())
    served = own_endpoint(server.url, deadline_ms=500)
    served.wait_ready("r1")
    server.client().client_pause(300)
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(served.ask, "cookie=c1")
        time.sleep(0.1)
        served.process.terminate()
        assert ids_of(answer.result())[0] == "p3"
    assert served.process.wait(10) == 0


def workers_of(pid: int) -> list[int]:
    """Processes of the endpoint below its first one. Linux."""
    children = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [each for each in children if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes()]


@pytest.mark.end_to_end
def test_a_worker_that_dies_is_replaced(redis_server: RedisServer, own_endpoint: Callable[..., Endpoint]) -> None:
    served = own_endpoint(redis_server.url)
    served.wait_ready("r1")
    [worker] = workers_of(served.process.pid)
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: workers_of(served.process.pid) not in ([], [worker]))
    wait_until(served.answers)
    served.wait_ready("r1")
    assert ids_of(served.ask("cookie=c1"))[0] == "p3"


@pytest.mark.end_to_end
def test_no_worker_outlives_the_endpoint(redis_server: RedisServer) -> None:
    served = Endpoint(redis_server.url)
    workers = workers_of(served.process.pid)
    assert len(workers) == 1
    served.process.kill()
    wait_until(lambda: not any(Path(f"/proc/{each}").exists() for each in workers))
    served.stop()


def test_a_worker_that_cannot_begin_ends_all() -> None:
    done = subprocess.run([sys.executable, "-c", CANNOT_BEGIN], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "could not start: exit status 1" in done.stderr
