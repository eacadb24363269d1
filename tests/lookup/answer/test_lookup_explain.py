"""Why an answer is what it is, for programs and for people."""

from __future__ import annotations

import pytest
from lookup_servers import Endpoint, RedisServer
from typer.testing import CliRunner

from larder.cli.main import app

pytestmark = pytest.mark.end_to_end


def test_an_explained_answer_names_the_records_it_was_made_of(endpoint: Endpoint, redis_server: RedisServer) -> None:
    plain = endpoint.ask("cookie=c1&product=p1")
    answer = endpoint.ask("cookie=c1&product=p1&explain=1")
    assert answer["items"] == plain["items"]
    assert "explain" not in plain
    found = answer["explain"]
    assert [(each["route"], each["id"]) for each in found["records"]] == [("similar", "p1"), ("personal", "c1")]
    for each in found["records"]:
        assert redis_server.client().hexists(each["key"], bytes.fromhex(each["field"]))
    assert (found["scene"], found["masked_products"], found["seen_products"]) == ("default", 0, 0)
    assert 0 < found["milliseconds"] < 5000


def test_for_people(endpoint: Endpoint) -> None:
    words = ["explain", "--cookie", "c1", "--product", "p1", "--location", "zone1", "--n", "7", "--url", endpoint.url]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    first, similar, personal, generic, masked, _, *items = done.output.splitlines()
    assert first.startswith("release r1 of 2017-12-04T00:00:00Z")
    assert similar.split()[:2] == ["similar", "used"]
    assert "larder:r1:c:" in personal
    assert "level location" in generic
    assert "0 products masked" in masked
    assert [line.split()[1] for line in items] == ["p2", "p3", "p4", "p8", "p9", "p13", "p10"]


@pytest.mark.parametrize(("words", "told"), [(["--n", "0"], "invalid_n"), (["--url", "http://127.0.0.1:1"], "--url")])
def test_what_went_wrong_is_told(endpoint: Endpoint, words: list[str], told: str) -> None:
    done = CliRunner().invoke(app, ["explain", "--url", endpoint.url, *words])
    assert told in str(done.exception)
