"""The web tier's install: the `lookup` extra alone, in an environment of its own, compiled."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from lookup_servers import KEYS, Endpoint, RedisServer, publish_usual
from repository import ROOT

from larder.loaders.codec import bucket_and_field
from larder.loaders.keys import COOKIES, PRODUCTS, key64

pytestmark = pytest.mark.end_to_end

FORBIDDEN = ("pyspark", "tensorflow", "pyarrow", "pandas", "elephas", "airflow")
CHECK = f"""
import importlib.util, sys
import larder.lookup.http.application, larder.lookup.operations.serve
present = [name for name in {FORBIDDEN!r} if importlib.util.find_spec(name) or name in sys.modules]
assert not present, present
print(larder.lookup.http.application.__file__)
"""
VALUES = {
    "cookie": ["c1", "none", "unknown", "broken", "", "x" * 600, "käse"],
    "product": ["p1", "p5", "p6", "käse 50%", "", "broken"],
    "exclude": ["p3", "p8", "p10", "p15"],
    "location": ["zone1", "zone9"],
    "device": ["phone", "till"],
    "n": ["1", "3", "200", "0", "-1", "many"],
    "scene": ["default", "other"],
    "explain": ["0", "yes"],
    "colour": ["red"],
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs of an environment that has the extra alone."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    install = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    constrained = ["--constraint", str(ROOT / "constraints.txt"), f"{ROOT}[lookup]"]
    # What is compiled is compared, not how fast it is.
    environment = {**os.environ, "LARDER_OPTIMISATION": "0"}
    subprocess.run([*install, *constrained], check=True, cwd=folder, env=environment)
    return folder / "bin"


def test_it_is_compiled_and_imports_without_spark_and_tensorflow(installed: Path, tmp_path: Path) -> None:
    found = subprocess.run(
        [installed / "python", "-I", "-c", CHECK], check=True, cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    # Without a compiler the modules do as they are.
    assert Path(found.stdout.strip()).suffix == (".so" if shutil.which("cc") else ".py")

    helped = subprocess.run([installed / "larder", "serve", "--help"], capture_output=True, text=True)
    assert "Answer over HTTP" in helped.stdout


def test_it_answers_as_the_source_does(
    installed: Path, own_redis: Callable[..., RedisServer], own_endpoint: Callable[..., Endpoint]
) -> None:
    server = own_redis()
    client = server.client()
    publish_usual(client)
    buckets = json.loads(client.get(KEYS.meta("r1")))["buckets"]
    for kind in (COOKIES, PRODUCTS):
        bucket, field = bucket_and_field(key64("broken"), buckets[kind])
        client.hset(KEYS.bucket("r1", kind, bucket), field, b"\xff\x01")
    source, compiled = own_endpoint(server.url), own_endpoint(server.url, python=str(installed / "python"))
    for each in (source, compiled):
        each.wait_ready("r1")
    draw = random.Random(0)
    for query in [_query(draw) for _ in range(400)]:
        assert _answer(compiled, query) == _answer(source, query), query


def _query(draw: random.Random) -> str:
    names = draw.sample(sorted(VALUES), draw.randrange(5)) + ["product"] * draw.randrange(3)
    return urlencode([(name, draw.choice(VALUES[name])) for name in names])


def _answer(endpoint: Endpoint, query: str) -> tuple[int, Any]:
    response = endpoint.client.get(f"/v1/recommendations?{query}", headers={"x-request-id": "1"})
    body = response.json()
    body.pop("age_seconds", None)
    return response.status_code, body
