"""A background task that ends by itself ends its process, and another process takes its place."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from lookup_servers import Endpoint, RedisServer, wait_until

pytestmark = pytest.mark.end_to_end

# Each worker imports this script again, so that all of them have the fault.
SCRIPT = """
from larder.lookup.{module} import {name}

async def die(self):
    import asyncio
    await asyncio.sleep(1)
    {end}

{name}.{method} = die

if __name__ == "__main__":
    from larder.lookup.operations.serve import serve
    from larder.settings import load_settings
    serve(load_settings())
"""


@pytest.mark.parametrize(
    ("module", "name", "method"),
    [
        ("release.followed_release", "FollowedRelease", "follow"),
        ("release.mask_cache", "MaskCache", "follow"),
        ("http.connections", "Connections", "watch"),
    ],
)
@pytest.mark.parametrize("end", ["raise MemoryError", "return"])
def test_a_worker_does_not_outlive_its_tasks(
    redis_server: RedisServer, tmp_path: Path, module: str, name: str, method: str, end: str
) -> None:
    script = tmp_path / "faulty.py"
    script.write_text(SCRIPT.format(module=module, name=name, method=method, end=end))
    environment = {**os.environ, "LARDER_REDIS__URL": redis_server.url, "LARDER_LOOKUP__PORT": "0"}
    log = tmp_path / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, str(script)], env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True
        )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().rpartition(" ")[2].strip()
        wait_until(lambda: "exit status 1; starting another" in log.read_text(), 30)
        assert "the process ends" in log.read_text()
        wait_until(lambda: is_live(url), 30)
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def is_live(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/live").status_code == 200
    except httpx.TransportError:
        return False


def test_a_process_that_is_told_to_stop_did_not_fail(redis_server: RedisServer) -> None:
    served = Endpoint(redis_server.url)
    served.wait_ready("r1")
    assert served.stop() == 0
